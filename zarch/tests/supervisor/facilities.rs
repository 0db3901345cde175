//! The table of instructions and the facilities they make up.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use adjunct_zarch::{Facility, Format, IMPLEMENTED_FACILITIES, Stop, Storage, instructions};

use crate::guest::{Guest, START};

#[test]
fn opcodes_ascend_and_none_is_there_twice() {
    for pair in instructions().windows(2) {
        assert!(pair[0].opcode < pair[1].opcode, "{} and {}", pair[0].mnemonic, pair[1].mnemonic);
    }
    let names: BTreeSet<_> = instructions().iter().map(|instruction| instruction.mnemonic).collect();
    assert_eq!(names.len(), instructions().len());
}

#[test]
fn templates_of_one_first_byte_differ_in_one_place() {
    let mut places: BTreeMap<u16, BTreeSet<u64>> = BTreeMap::new();
    for instruction in instructions() {
        let second = u64::from(instruction.opcode & 0xff);
        let place = if second == 0 { 0 } else { instruction.template() << 8 >> 8 };
        let shift = (place.trailing_zeros().min(63) / 16) * 16;
        if second != 0 {
            places.entry(instruction.opcode >> 8).or_default().insert(u64::from(shift));
        }
    }
    assert!(places.values().all(|shifts| shifts.len() == 1), "{places:x?}");
}

#[test]
fn an_instruction_whose_facility_is_off_is_an_operation_exception() {
    for instruction in instructions() {
        let Some(number) = instruction.facility.number() else { continue };
        let mut guest = Guest::new("");
        guest.storage.write(START, &instruction.template().to_be_bytes()).expect("inside");
        guest.around.set_facility(number, false);
        let (code, length, _) = guest.program_check();
        assert_eq!((code, length), (1, u16::from(instruction.length())), "{}", instruction.mnemonic);
    }
}

#[test]
fn no_instruction_of_the_table_is_an_operation_exception_where_its_facility_is_on() {
    for instruction in instructions() {
        let mut guest = Guest::new("");
        guest.storage.write(START, &instruction.template().to_be_bytes()).expect("inside");
        // An EXECUTE's target is in register 0's storage: zeros, which are one.
        if instruction.mnemonic.starts_with("EX") && instruction.length() != 2 {
            continue;
        }
        let stop = guest.run(1);
        assert_ne!(guest.half(0x8e), 1, "{} {stop:?}", instruction.mnemonic);
    }
}

/// The instructions of each facility that is a set of instructions, from the Principles of Operation (chapter 4,
/// "Facility Indications", and the tables of appendix B).
#[rustfmt::skip]
const MEMBERS: &[(u16, &str)] = &[
    (0, "ALC ALCR BRASL BRCL DL DLR EPSW LARL LRV LRVH LRVR ML MLR RLL SAM24 SAM31 SLB SLBR STRV STRVH TAM"),
    (7, "STFLE"),
    (10, "SSKE"),
    (13, "IPTE"),
    (16, "CLCLU MVCLU PKA PKU TP TROO TROT TRTO TRTT UNPKA UNPKU"),
    (18, "AHY ALY AY CDSY CHY CLIY CLMY CLY CSY CVBY CVDY CY ICMY ICY LAMY LAY LB LDY LEY LGB LHY LMY LRAY LY MSY \
          MVIY NIY NY OIY OY SHY SLY STAMY STCMY STCY STDY STEY STHY STMY STY SY TMY XIY XY"),
    (21, "AFI AGFI ALFI ALGFI CFI CGFI CLFI CLGFI FLOGR IIHF IILF LBR LGBR LGFI LGHR LHR LLC LLCR LLGCR LLGHR LLH LLHR \
          LLIHF LLILF LT LTG NIHF NILF OIHF OILF SLFI SLGFI XIHF XILF"),
    (22, "CU14 CU24 CU41 CU42 SRSTU TRTR"),
    (25, "STCKF"),
    (26, "TRTE TRTRE"),
    (27, "MVCOS"),
    (31, "ECTG"),
    (32, "CSST"),
    (34, "AGSI ALGSI ALSI ASI CGFRL CGH CGHRL CGHSI CGIB CGIJ CGIT CGRB CGRJ CGRL CGRT CHHSI CHRL CHSI CIB CIJ CIT CLFHSI \
          CLFIT CLGFRL CLGHRL CLGHSI CLGIB CLGIJ CLGIT CLGRB CLGRJ CLGRL CLGRT CLHHSI CLHRL CLIB CLIJ CLRB CLRJ CLRL CLRT \
          CRB CRJ CRL CRT ECAG LAEY LGFRL LGHRL LGRL LHRL LLGFRL LLGHRL LLHRL LRL LTGF MFY MHY MSFI MSGFI MVGHI MVHHI \
          MVHI PFD PFDRL RISBG RNSBG ROSBG RXSBG STGRL STHRL STRL"),
    (35, "EXRL"),
    (45, "AGHIK AGRK AHHHR AHHLR AHIK AIH ALGHSIK ALGRK ALHHHR ALHHLR ALHSIK ALRK ALSIH ALSIHN ARK BRCTH CHF CHHR CHLR CIH \
          CLHF CLHHR CLHLR CLIH LAA LAAG LAAL LAALG LAN LANG LAO LAOG LAX LAXG LBH LFH LHH LLCH LLHH LOC LOCG LOCGR LOCR \
          LPD LPDG NGRK NRK OGRK ORK POPCNT RISBHG RISBLG SGRK SHHHR SHHLR SLAK SLGRK SLHHHR SLHHLR SLLK SLRK SRAK SRK \
          SRLK STCH STFH STHH STOC STOCG XGRK XRK"),
    (49, "BPP BPRP CLGT CLT LAT LFHAT LGAT LLGFAT LLGTAT NIAI PPA RISBGN"),
    (53, "LLZRGF LOCFH LOCFHR LOCGHI LOCHHI LOCHI LZRF LZRG STOCFH"),
    (58, "AGH BIC MG MGH MGRK MSC MSGC MSGRKC MSRKC SGH"),
    (61, "MVCRL NCGRK NCRK NNGRK NNRK NOGRK NORK NXGRK NXRK OCGRK OCRK SELFHR SELGR SELR"),
];

/// Facilities that change instructions of others, or say something about the machine: each has tests of its own, here,
/// in `control`, in `adjuncts` or against QEMU.
const WITHOUT_INSTRUCTIONS: &[u16] = &[1, 2, 12, 14, 15, 19, 24, 30, 33, 52, 138];

#[test]
fn every_implemented_facility_is_accounted_for() {
    let mut accounted: Vec<u16> = MEMBERS.iter().map(|(number, _)| *number).collect();
    accounted.extend(WITHOUT_INSTRUCTIONS);
    accounted.sort_unstable();
    assert_eq!(accounted, IMPLEMENTED_FACILITIES);
}

#[test]
fn every_member_of_an_implemented_facility_is_in_the_table() {
    for (number, members) in MEMBERS {
        for mnemonic in members.split_whitespace() {
            let found = instructions().iter().find(|instruction| instruction.mnemonic == mnemonic);
            let instruction = found.unwrap_or_else(|| panic!("{mnemonic} of facility {number} is missing"));
            // Facilities 0, 10 and 13 concern instructions that are there without them.
            if !matches!(number, 0 | 10 | 13) {
                assert_eq!(instruction.facility.number(), Some(*number), "{mnemonic}");
            }
        }
    }
}

#[test]
fn every_instruction_of_a_facility_is_a_member_of_it() {
    for instruction in instructions() {
        let Some(number) = instruction.facility.number() else { continue };
        let (_, members) = MEMBERS.iter().find(|(member, _)| *member == number).expect("a known facility");
        let found = members.split_whitespace().any(|member| member == instruction.mnemonic);
        assert!(found, "{} of facility {number}", instruction.mnemonic);
    }
}

#[test]
fn the_second_form_of_population_count_needs_its_facility() {
    // POPCNT 1,2,8
    for (on, result) in [(true, 9), (false, 0x0800_0000_0000_0001)] {
        let mut guest = Guest::new("b9e18012");
        guest.around.set_facility(Facility::MiscellaneousExtensions3.number().expect("61"), on);
        guest.cpu.state.gprs[2] = 0xff00_0000_0000_0001;
        assert_eq!(guest.run(1), Stop::Budget);
        assert_eq!(guest.cpu.state.gprs[1], result);
    }
}

#[test]
fn well_formedness_is_checked_where_facility_30_is() {
    // CU12 2,4,1 of an overlong blank: C0 A0.
    for (on, cc) in [(true, 2), (false, 0)] {
        let mut guest = Guest::new("b2a71024");
        guest.around.set_facility(30, on);
        guest.put(0x4000, "c0a0");
        let gprs = &mut guest.cpu.state.gprs;
        (gprs[2], gprs[3], gprs[4], gprs[5]) = (0x5000, 16, 0x4000, 2);
        assert_eq!(guest.run(1), Stop::Budget);
        assert_eq!(guest.cc(), cc);
    }
}

#[test]
fn the_test_character_is_ignored_where_facility_24_is() {
    // TROO 2,4,1 with the test character that the table gives.
    for (on, cc) in [(true, 0), (false, 1)] {
        let mut guest = Guest::new("b9931024");
        guest.around.set_facility(24, on);
        guest.put(0x4000, "05");
        guest.put(0x6005, "77");
        let gprs = &mut guest.cpu.state.gprs;
        (gprs[0], gprs[1], gprs[2], gprs[3], gprs[4]) = (0x77, 0x6000, 0x5000, 1, 0x4000);
        assert_eq!(guest.run(1), Stop::Budget);
        assert_eq!(guest.cc(), cc);
    }
}

#[test]
fn swapping_16_bytes_and_storing_needs_facility_33() {
    // CSST 512(0),528(0),2 with function code 2.
    for on in [true, false] {
        let mut guest = Guest::new("c82202000210");
        guest.around.set_facility(33, on);
        guest.put(0x4000, &format!("{}{}", "11".repeat(16), "22".repeat(16)));
        let gprs = &mut guest.cpu.state.gprs;
        (gprs[0], gprs[1]) = (0x0402, 0x4000);
        if on {
            assert_eq!(guest.run(1), Stop::Budget);
            assert_eq!((guest.cc(), guest.double(0x208)), (0, 0x1111_1111_1111_1111));
            assert_eq!(guest.double(0x210), 0x2222_2222_2222_2222);
        } else {
            assert_eq!(guest.program_check().0, 6);
        }
    }
}

#[test]
fn lengths_follow_from_the_first_two_bits() {
    for instruction in instructions() {
        let six = matches!(
            instruction.format,
            Format::RIEa
                | Format::RIEb
                | Format::RIEc
                | Format::RIEd
                | Format::RIEe
                | Format::RIEf
                | Format::RIEg
                | Format::RILa
                | Format::RILb
                | Format::RILc
                | Format::RIS
                | Format::RRS
                | Format::RSLa
                | Format::RSYa
                | Format::RSYb
                | Format::RXYa
                | Format::RXYb
                | Format::SIL
                | Format::SIY
                | Format::MII
                | Format::SMI
                | Format::SSa
                | Format::SSb
                | Format::SSc
                | Format::SSd
                | Format::SSe
                | Format::SSf
                | Format::SSE
                | Format::SSF
        );
        let two = matches!(instruction.format, Format::E | Format::I | Format::RR);
        let length = if six {
            6
        } else if two {
            2
        } else {
            4
        };
        assert_eq!(instruction.length(), length, "{}", instruction.mnemonic);
    }
}

#[test]
#[ignore = "needs s390x-linux-gnu-objdump; ./check runs it"]
fn objdump_calls_every_template_what_the_table_calls_it() {
    let folder = tempfile::tempdir().expect("a folder for one file");
    let file = folder.path().join("templates");
    let mut image = Vec::new();
    for instruction in instructions() {
        image.extend_from_slice(&instruction.template().to_be_bytes()[..usize::from(instruction.length())]);
    }
    std::fs::write(&file, image).expect("the folder is ours");
    let output = Command::new("s390x-linux-gnu-objdump")
        .args(["-D", "-bbinary", "-ms390:64-bit", "-Mesa,zarch", "--no-show-raw-insn"])
        .arg(&file)
        .output()
        .expect("objdump runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let names: Vec<&str> =
        text.lines().filter_map(|line| line.split_once(":\t")?.1.split_whitespace().next()).collect();
    assert_eq!(names.len(), instructions().len());
    let differing: Vec<_> = instructions()
        .iter()
        .zip(names)
        .filter(|(instruction, name)| !instruction.mnemonic.eq_ignore_ascii_case(name))
        .map(|(instruction, name)| (instruction.mnemonic, name))
        .collect();
    assert_eq!(differing, KNOWN_OTHERWISE);
}

/// Where objdump has another name for a mask of zero or an older name, or (`.long`) none, as for what only Linux's
/// `.insn` writes.
const KNOWN_OTHERWISE: &[(&str, &str)] = &[
    ("BCR", "nopr"),
    ("BC", "nop"),
    ("BRC", "jnop"),
    ("SERVC", ".long"),
    ("CHSC", ".long"),
    ("CU21", "cuutf"),
    ("CU12", "cutfu"),
    ("NQAP", ".long"),
    ("DQAP", ".long"),
    ("PQAP", ".long"),
    ("BRCL", "jgnop"),
];
