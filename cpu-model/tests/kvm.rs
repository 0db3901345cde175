//! KVM's blobs: offsets and bits as the kernel's header has them, and what becomes of a host or a CPU on the
//! way through them.

use adjunct_cpu_model::kvm::{Capabilities, MachineAttributes, ProcessorAttributes, processor_facilities};
use adjunct_cpu_model::{Cpu, CpuSpec, Feature, FeatureSet, HostCpu, IbcRange, Identity, Model};

fn model(name: &str) -> &'static Model {
    Model::by_name(name).expect(name)
}

fn cpu(text: &str) -> Cpu {
    text.parse::<CpuSpec>().expect(text).expand().expect(text)
}

/// What every host of that model gives once user space has had its say: all but `hpma2`, which KVM cannot
/// express.
fn most(model: &'static Model) -> FeatureSet {
    model.full().difference(FeatureSet::of(&[Feature::Hpma2]))
}

fn decoded(host: &HostCpu) -> HostCpu {
    MachineAttributes::encode(host).decode(&Capabilities::of(host.features)).expect("a known machine")
}

#[test]
fn the_facility_list_is_the_known_one_with_bits_2_and_138() {
    let mut compared = 0;
    for line in include_str!("data/stfle.txt").lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let model = model(words[0]);
        let features = if words[1] == "full" { model.full() } else { model.default_features() };
        let mut expected: Vec<u8> = words[2..]
            .iter()
            .flat_map(|word| u64::from_str_radix(word, 16).expect(word).to_be_bytes())
            .collect();
        expected[0] |= 0x20;
        expected[138 / 8] |= 0x20;
        let attributes = ProcessorAttributes::encode(&Cpu::new(model, features));
        assert_eq!(attributes.facilities()[..32], expected, "{line}");
        assert!(attributes.facilities()[32..].iter().all(|byte| *byte == 0), "{line}");
        let said = processor_facilities(&attributes.processor);
        for facility in [Feature::Zarch, Feature::Vx, Feature::Gs] {
            assert_eq!(said.contains(facility), features.contains(facility), "{line}: {facility}");
        }
        compared += 1;
    }
    assert_eq!(compared, 22);
}

#[test]
fn the_processor_begins_with_cpuid_and_ibc() {
    let mut z14 = cpu("z14.2");
    z14.identity = Identity { version: 0xff, serial: 0x0012_3456, format: true };
    let processor = ProcessorAttributes::encode(&z14).processor;
    assert_eq!(processor[..16], [0xff, 0x12, 0x34, 0x56, 0x39, 0x06, 0x80, 0, 0, 0x42, 0, 0, 0, 0, 0, 0]);
    let processor = ProcessorAttributes::encode(&cpu("z900")).processor;
    assert_eq!(processor[..10], [0xff, 0, 0, 0, 0x20, 0x64, 0, 0, 0, 0], "no format bit, no IBC");
}

#[test]
fn the_machine_has_a_wide_ibc_and_two_facility_lists() {
    let mut host = HostCpu::new(model("gen16a"), FeatureSet::of(&[Feature::Zarch, Feature::Apqci]));
    host.ibc = IbcRange { lowest: 0x031, unblocked: 0x061 };
    let machine = MachineAttributes::encode(&host).machine;
    assert_eq!(machine[..16], [0xff, 0, 0, 0, 0x39, 0x31, 0x80, 0, 0, 0x31, 0, 0x61, 0, 0, 0, 0]);
    // Facilities 1, 2, 12 and 138.
    for list in [&machine[16..2064], &machine[2064..]] {
        let on: Vec<usize> = (0..list.len() * 8).filter(|n| list[n / 8] & (0x80 >> (n % 8)) != 0).collect();
        assert_eq!(on, [1, 2, 12, 138]);
    }
}

#[test]
fn numbered_features_have_the_kernels_numbers() {
    let rows = include_str!("data/features.txt").lines().filter(|line| !line.starts_with('#'));
    for row in rows.map(|line| line.split(' ').collect::<Vec<_>>()) {
        let feature: Feature = row[0].parse().expect(row[0]);
        let mut expected = [0u8; 128];
        if let Ok(number) = row[3].parse::<usize>() {
            expected[number / 8] = 0x80 >> (number % 8);
        }
        let only = Cpu::new(model("gen17a"), FeatureSet::of(&[feature]));
        assert_eq!(ProcessorAttributes::encode(&only).feat, expected, "{feature}");
    }
}

#[test]
fn function_codes_are_in_the_block_of_their_instruction_behind_its_query() {
    // offset, feature, function code, the feature that tells that the instruction is there
    let blocks = [
        (0, "plo-csx", 7, "esan3"),
        (32, "ptff-sto", 65, "tods-base"),
        (48, "kmac-aes-256", 20, "msa-base"),
        (64, "kmc-prng", 67, "msa-base"),
        (80, "km-xts-eaes-256", 60, "msa-base"),
        (96, "kimd-ghash", 65, "msa-base"),
        (112, "klmd-shake-256", 37, "msa-base"),
        (128, "pckmo-ecc-ed448", 41, "msa3-base"),
        (144, "kmctr-dea", 1, "msa4-base"),
        (160, "kmf-dea", 1, "msa4-base"),
        (176, "kmo-dea", 1, "msa4-base"),
        (192, "pcc-qai", 127, "msa4-base"),
        (208, "prno-trng", 114, "msa5-base"),
        (224, "kma-gcm-aes-128", 18, "msa8-base"),
        (240, "kdsa-ecdsa-verify-p256", 1, "msa9-base"),
        (256, "sortl-f0", 192, "esort-base"),
        (288, "dfltcc-f0", 192, "deflate-base"),
        (320, "pfcr-cststg", 4, "ccf-base"),
    ];
    for (offset, function, code, needs) in blocks {
        let [function, needs] = [function, needs].map(|name| name.parse::<Feature>().expect(name));
        let with = |features| ProcessorAttributes::encode(&Cpu::new(model("gen17a"), features)).subfunc;
        let subfunc = with(FeatureSet::of(&[function, needs]));
        assert_ne!(subfunc[offset + code / 8] & (0x80 >> (code % 8)), 0, "{function}");
        let query = if function == Feature::PloCsx { 0 } else { 0x80 };
        assert_eq!(subfunc[offset] & 0x80, query, "query of {function}");
        if function != Feature::PloCsx {
            let locked = with(FeatureSet::of(&[function]));
            assert!(locked.iter().all(|byte| *byte == 0), "{function} without {needs}");
        }
    }
}

#[test]
fn ultravisor_features_are_bits_4_and_5_and_only_said_with_ap() {
    let attributes = ProcessorAttributes::encode(&cpu("gen16a,ap=on,appv=on,appvi=on"));
    assert_eq!((attributes.apie, attributes.uv_feat), (true, Some([0x0c, 0, 0, 0, 0, 0, 0, 0])));
    let attributes = ProcessorAttributes::encode(&cpu("gen16a,appv=on,appvi=on"));
    assert_eq!((attributes.apie, attributes.uv_feat), (false, None));
}

#[test]
fn every_host_of_every_model_comes_back_as_it_was() {
    for model in Model::all() {
        let host = HostCpu::new(model, most(model));
        let back = decoded(&host);
        assert_eq!(back.features, host.features, "{model}");
        assert_eq!(back.ibc, host.ibc);
        if model.generation >= 10 && model.name != "z14ZR1" {
            assert_eq!(back.model, model, "{model}");
        } else {
            // Without IBC a GA level cannot be told, and z14ZR1 passes for z14.
            assert_eq!(back.model.generation, model.generation, "{model}");
        }
    }
}

#[test]
fn every_cpu_comes_back_but_for_what_kvm_is_not_told() {
    let untold = FeatureSet::of(&[Feature::Hpma2, Feature::Diag318]);
    for model in Model::all() {
        for features in [model.base(), model.default_features(), model.full()] {
            let sent = Cpu::new(model, features);
            let back = ProcessorAttributes::encode(&sent).decode().expect("a known machine");
            assert_eq!(back.features, sent.features.difference(untold), "{model}");
        }
    }
}

#[test]
fn each_capability_decides_on_its_feature() {
    let host = HostCpu::new(model("gen16a"), most(model("gen16a")));
    let attributes = MachineAttributes::encode(&host);
    let all = Capabilities::of(host.features);
    let lost = |capabilities: Capabilities| {
        let less = attributes.decode(&capabilities).expect("a known machine").features;
        host.features.difference(less).to_string()
    };
    assert_eq!(lost(all), "");
    assert_eq!(lost(Capabilities { cmma: false, ..all }), "cmmnt cmm");
    assert_eq!(lost(Capabilities { bpb: false, ..all }), "bpb");
    assert_eq!(lost(Capabilities { diag318: false, ..all }), "diag318");
    assert_eq!(lost(Capabilities { apie: false, ..all }), "ap appv appvi");
    // These two only add; the facility list of this host has them anyway.
    assert_eq!(lost(Capabilities { protected: false, topology: false, ..all }), "");
    let bare = HostCpu::new(model("gen16a"), FeatureSet::of(&[Feature::Esan3, Feature::Zarch]));
    let bare = MachineAttributes::encode(&bare);
    let gained = |capabilities| bare.decode(&capabilities).expect("a known machine").features.to_string();
    assert_eq!(gained(Capabilities::default()), "esan3 zarch zpci aen els");
    let given = Capabilities { protected: true, topology: true, ..Capabilities::default() };
    assert_eq!(gained(given), "esan3 zarch ctop zpci aen els unpack");
}

#[test]
fn a_host_without_ultravisor_attributes_has_no_ap_for_secure_guests() {
    let host = HostCpu::new(model("gen16a"), most(model("gen16a")));
    let mut attributes = MachineAttributes::encode(&host);
    attributes.uv_feat = None;
    let features = attributes.decode(&Capabilities::of(host.features)).expect("a known machine").features;
    assert_eq!(host.features.difference(features).to_string(), "appv appvi");
}

#[test]
fn multiple_epoch_functions_need_the_facility() {
    let mut features = most(model("z14"));
    features.remove(Feature::Mepoch);
    let back = decoded(&HostCpu::new(model("z14"), features)).features;
    assert_eq!(features.difference(back).to_string(), "ptff-qsie ptff-qtoue ptff-stoe ptff-stoue");
}

#[test]
fn a_host_far_below_its_models_base_set_stays_what_it_is() {
    let cut = FeatureSet::of(&[Feature::Esan3, Feature::Zarch, Feature::Stfle, Feature::Dateh2, Feature::Ap]);
    let back = decoded(&HostCpu::new(model("gen16a"), cut));
    assert_eq!(back.model.name, "gen16a", "the type is known");
    assert_eq!(back.features.difference(cut).to_string(), "zpci aen els", "which user space adds");
    assert!(cut.is_subset(back.features));
}

#[test]
fn a_machine_too_new_to_be_known_is_the_newest_model_its_features_fill() {
    let newest = HostCpu::new(model("gen17a"), model("gen17a").full());
    let mut attributes = MachineAttributes::encode(&newest);
    attributes.machine[4..6].copy_from_slice(&[0x99, 0x99]);
    attributes.machine[10..12].copy_from_slice(&[0x00, 0x81]);
    let all = Capabilities::of(newest.features);
    assert_eq!(attributes.decode(&all).expect("a model fits").model.name, "gen17b");
    // Facility 61, minste3, came with the base set of z15.
    attributes.machine[16 + 61 / 8] &= !(0x80 >> (61 % 8));
    assert_eq!(attributes.decode(&all).expect("a model fits").model.name, "z14ZR1");
    attributes.machine[16..2064].fill(0);
    let refused = attributes.decode(&all).expect_err("nothing fits");
    let text = "machine type 0x9999 is not known, and its features fit no CPU model";
    assert_eq!((refused.machine_type, refused.to_string().as_str()), (0x9999, text));
}

#[test]
fn ibc_tells_the_ga_level_and_may_make_a_machine_older() {
    let named = |machine_type: &str, ibc: u32| {
        let host = HostCpu::new(model(machine_type), most(model(machine_type)));
        let mut attributes = MachineAttributes::encode(&host);
        attributes.machine[8..12].copy_from_slice(&ibc.to_be_bytes());
        attributes.decode(&Capabilities::of(host.features)).expect("a known machine").model.name
    };
    assert_eq!(named("z14", 0x0031_0041), "z14");
    assert_eq!(named("z14", 0x0031_0042), "z14.2");
    assert_eq!(named("z14", 0x0000_0041), "z14.2", "a lowest value of 0: no IBC, GA level unknown");
    assert_eq!(named("gen16a", 0x0021_0041), "z14", "limited to what z14 GA 1 had");
}

#[test]
fn sclp_bytes_are_where_read_scp_info_has_them() {
    let mut z14 = cpu("z14,gsls=on,hpma2=on,kss=on,64bscao=on,cmma=on,pfmfi=on,ibs=on,sief2=on,cei=on");
    let sclp = z14.sclp();
    let mut conf_char = [0; 19];
    // gsls is bit 40, esop (default) 46, hpma2 90, kss 151.
    (conf_char[5], conf_char[11], conf_char[18]) = (0x82, 0x20, 0x01);
    assert_eq!((sclp.conf_char, sclp.conf_char_ext), (conf_char, [0xc0, 0x60, 0, 0]));
    assert_eq!(sclp.cpu_features, [0x08, 0, 0, 0, 0, 0x10]);
    assert_eq!((sclp.ibc, sclp.hmfai, sclp.mha_pow), (0, 0x0800_0000, 47));
    z14.lowest_ibc = 0x021;
    assert_eq!(z14.sclp().ibc, 0x0021_0041);
    z14.lowest_ibc = 0x051;
    assert_eq!(z14.sclp().ibc, 0, "the host cannot block that much");
}

#[test]
fn bytes_134_and_139_are_only_filled_for_longer_sccbs() {
    let bytes = |text| (cpu(text).sclp().fac134, cpu(text).sclp().fac139);
    assert_eq!(bytes("gen16a,diag318=on,astfleie2=on,els=on"), (0x80, 0x40));
    assert_eq!(bytes("gen16a,diag318=on,astfleie2=on"), (0, 0));
}
