//! Whatever is done to a host, in whatever order, some things stay true.

use crate::fixture::{A, B, HOST, Host, TYPE, Vm, id};
use adjunct_ap::{Apid, Apqn, Matrix, Sysfs, text};
use adjunct_simulator::{Card, HostFile, HostFileError, OpenMdev, SimHost, VmId};
use proptest::{collection::vec, prelude::*, sample::select};
use std::{sync::Arc, time::Duration};

const C: &str = "6c4a5d2e-0d3e-4c7a-9b0a-00000000000c";
const MDEVS: [&str; 3] = [A, B, C];
const ADAPTERS: [u8; 4] = [4, 5, 6, 7];
const DOMAINS: [u8; 3] = [4, 5, 0x47];

#[derive(Clone, Debug)]
enum Step {
    Write(String, String),
    Card(u8, Option<&'static str>),
    Configure(u8, bool),
    Missing(u8, Vec<u8>),
    Usage(Vec<u8>),
    Control(Vec<u8>),
    Tell,
    Wait(u64),
    Open(usize, usize),
    Close(usize),
    Reset(usize),
}

fn mdev() -> impl Strategy<Value = String> {
    select(&MDEVS[..]).prop_map(|uuid| format!("devices/vfio_ap/matrix/{uuid}"))
}

fn apqn() -> impl Strategy<Value = String> {
    (select(&ADAPTERS[..]), select(&DOMAINS[..])).prop_map(|(apid, apqi)| Apqn::new(apid, apqi).to_string())
}

fn some(of: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    proptest::sample::subsequence(of, 0..=of.len())
}

fn config() -> impl Strategy<Value = String> {
    let mask = |ids: Vec<u8>| ids.into_iter().map(Apid).collect::<adjunct_ap::Apm>().to_string();
    (some(&ADAPTERS), some(&DOMAINS), some(&DOMAINS))
        .prop_map(move |(apm, aqm, adm)| format!("{},{},{}\n", mask(apm), mask(aqm), mask(adm)))
}

fn step() -> impl Strategy<Value = Step> {
    let write = |path: String, value: &str| Step::Write(path, value.to_owned());
    prop_oneof![
        3 => select(&MDEVS[..]).prop_map(move |uuid| write(format!("{TYPE}/create"), uuid)),
        1 => mdev().prop_map(move |mdev| write(format!("{mdev}/remove"), "1")),
        8 => (mdev(), select(vec!["assign_adapter", "unassign_adapter"]), select(&ADAPTERS[..]))
            .prop_map(|(mdev, attribute, id)| Step::Write(format!("{mdev}/{attribute}"), id.to_string())),
        8 => (
            mdev(),
            select(vec!["assign_domain", "unassign_domain", "assign_control_domain", "unassign_control_domain"]),
            select(&DOMAINS[..]),
        )
            .prop_map(|(mdev, attribute, id)| Step::Write(format!("{mdev}/{attribute}"), id.to_string())),
        3 => (mdev(), config()).prop_map(|(mdev, config)| Step::Write(format!("{mdev}/ap_config"), config)),
        4 => (select(vec!["apmask", "aqmask"]), select(vec!["+4", "-4", "+5", "-5", "-6,-0x47", "+0-255", "0"]))
            .prop_map(|(mask, text)| Step::Write(format!("bus/ap/{mask}"), text.to_owned())),
        4 => (select(vec!["vfio_ap", "cex4queue"]), select(vec!["bind", "unbind"]), apqn())
            .prop_map(|(driver, attribute, apqn)| Step::Write(format!("bus/ap/drivers/{driver}/{attribute}"), apqn)),
        2 => (apqn(), select(vec!["vfio_ap", "cex4queue", "\n", "x"]))
            .prop_map(|(apqn, name)| Step::Write(format!("bus/ap/devices/{apqn}/driver_override"), name.to_owned())),
        2 => apqn().prop_map(|apqn| Step::Write("bus/ap/drivers_probe".to_owned(), apqn)),
        1 => (select(&ADAPTERS[..]), select(vec![None, Some("CEX8C"), Some("CEX5A"), Some("CEX8P")]))
            .prop_map(|(apid, kind)| Step::Card(apid, kind)),
        1 => (select(&ADAPTERS[..]), any::<bool>()).prop_map(|(apid, on)| Step::Configure(apid, on)),
        1 => (select(&ADAPTERS[..]), some(&DOMAINS)).prop_map(|(apid, domains)| Step::Missing(apid, domains)),
        1 => some(&DOMAINS).prop_map(Step::Usage),
        1 => some(&DOMAINS).prop_map(Step::Control),
        3 => Just(Step::Tell),
        1 => (0..40_u64).prop_map(Step::Wait),
        3 => (0..3_usize, 0..2_usize).prop_map(|(mdev, vm)| Step::Open(mdev, vm)),
        1 => (0..3_usize).prop_map(Step::Close),
        1 => (0..3_usize).prop_map(Step::Reset),
    ]
}

struct Run {
    host: Host,
    vms: [(VmId, Arc<Vm>); 2],
    open: [Option<(OpenMdev, usize)>; 3],
}

impl Run {
    fn new(kernel: &str) -> Self {
        let host = Host::with_kernel(HOST, kernel);
        let vm = || (host.host.new_vm_id(), Arc::new(Vm::default()));
        Self { vms: [vm(), vm()], open: [None, None, None], host }
    }

    fn step(&mut self, step: &Step) {
        let adapters = self.host.host.adapters();
        match step {
            // One thread alone would wait for itself.
            Step::Write(path, _) if path.ends_with("/remove") && self.is_open(path) => {}
            // Any answer is right here; what must stay true is asked afterwards.
            Step::Write(path, value) => drop(self.host.host.write(path, value)),
            Step::Card(apid, kind) => adapters.operate(|machine| match kind {
                None => drop(machine.cards.remove(&Apid(*apid))),
                Some(kind) => drop(machine.cards.insert(Apid(*apid), Card::new(kind.parse().unwrap()))),
            }),
            Step::Configure(apid, on) => adapters.operate(|machine| {
                if let Some(card) = machine.cards.get_mut(&Apid(*apid)) {
                    card.configured = *on;
                }
            }),
            Step::Missing(apid, domains) => adapters.operate(|machine| {
                if let Some(card) = machine.cards.get_mut(&Apid(*apid)) {
                    card.missing = domains.iter().copied().map(Into::into).collect();
                }
            }),
            Step::Usage(domains) => self.host.set_usage_domains(domains),
            Step::Control(domains) => {
                let mask = domains.iter().copied().map(Into::into).collect();
                adapters.operate(|machine| machine.control_domains = mask);
            }
            Step::Tell => self.host.host.config_changed(),
            Step::Wait(seconds) => self.host.host.advance(Duration::from_secs(*seconds)),
            Step::Open(n, vm) => {
                let (id_of_vm, crypto) = &self.vms[*vm];
                if let Ok(open) = self.host.host.open_mdev(id(MDEVS[*n]), *id_of_vm, crypto.clone()) {
                    self.open[*n] = Some((open, *vm));
                }
            }
            Step::Close(n) => self.open[*n] = None,
            Step::Reset(n) => drop(self.open[*n].as_ref().map(|(open, _)| open.reset())),
        }
    }

    fn is_open(&self, path: &str) -> bool {
        MDEVS.iter().zip(&self.open).any(|(uuid, open)| path.contains(uuid) && open.is_some())
    }

    fn check(&self, kernel: &str) -> Result<(), TestCaseError> {
        let vfio_ap = self.host.bound("vfio_ap");
        let cex4queue = self.host.bound("cex4queue");
        prop_assert!(vfio_ap.iter().all(|apqn| !cex4queue.contains(apqn)));
        let mut given: Vec<Matrix> = Vec::new();
        for (n, uuid) in MDEVS.iter().enumerate() {
            let read = |attribute: &str| self.host.host.read(&format!("bus/mdev/devices/{uuid}/{attribute}"));
            let Ok(config) = read("ap_config") else { continue };
            let matrix = text::parse_ap_config(config.as_bytes()).unwrap();
            let guest = text::parse_matrix(read("guest_matrix").unwrap().as_bytes()).unwrap();
            prop_assert!(guest.apm.is_subset(&matrix.apm) && guest.aqm.is_subset(&matrix.aqm));
            prop_assert!(given.iter().all(|other| !other.conflicts_with(&matrix)), "a queue is in two mdevs");
            given.push(matrix);
            let shadow = Matrix { apm: guest.apm, aqm: guest.aqm, adm: Default::default() };
            for apqn in shadow.apqns() {
                prop_assert!(
                    vfio_ap.contains(&apqn.to_string()),
                    "{apqn} is for a guest and not bound to vfio_ap"
                );
            }
            if let Some((_, vm)) = &self.open[n] {
                let masks = self.vms[*vm].1.now().unwrap();
                // Kernels before 7.2 leave an empty shadow's masks alone.
                if kernel == "7.2" || shadow.has_queues() {
                    prop_assert_eq!((masks.apm, masks.aqm), (guest.apm, guest.aqm), "what KVM has");
                }
                prop_assert!(masks.adm.is_subset(&matrix.adm) || kernel != "7.2");
            }
        }
        Ok(())
    }

    /// After a scan the host's own configuration bounds what guests may have.
    fn check_scanned(&self) -> Result<(), TestCaseError> {
        let qci = self.host.host.adapters().query_configuration().unwrap();
        for uuid in MDEVS {
            let Ok(text) = self.host.host.read(&format!("bus/mdev/devices/{uuid}/guest_matrix")) else {
                continue;
            };
            let guest = text::parse_matrix(text.as_bytes()).unwrap();
            prop_assert!(guest.apm.is_subset(&qci.apm), "{:?} beyond {:?}", guest.apm, qci.apm);
            prop_assert!(guest.aqm.is_subset(&qci.aqm), "{:?} beyond {:?}", guest.aqm, qci.aqm);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn no_sequence_of_changes_breaks_what_guests_rely_on(
        kernel in select(vec!["6.12", "6.17", "7.0", "7.2"]),
        steps in vec(step(), 1..60),
    ) {
        let mut run = Run::new(kernel);
        for step in &steps {
            run.step(step);
            run.check(kernel)?;
        }
        run.host.host.config_changed();
        run.check(kernel)?;
        run.check_scanned()?;
    }

    #[test]
    fn a_host_that_can_be_described_starts_or_is_refused_by_key(
        kernel in select(vec!["6.12", "7.2"]),
        features in select(vec!["", "\"APSC\"", "\"APXA\"", "\"APSC\", \"APXA\", \"QACT\", \"RC8A\", \"APSB\""]),
        machine in select(vec!["z10EC", "zEC12", "z14", "z17"]),
        mask in "[-+][0-9](,[-+][0-9]-9)?",
        cards in some(&ADAPTERS),
        mdevs in vec((some(&ADAPTERS), some(&[4, 5])), 0..3),
    ) {
        let cards: String = cards.iter().map(|id| format!("[[ap.card]]\nid = {id}\ntype = \"CEX6P\"\n")).collect();
        let mdevs: String = mdevs.iter().zip(MDEVS).map(|((adapters, domains), uuid)| {
            format!("[[mdev]]\nuuid = \"{uuid}\"\nadapters = {adapters:?}\ndomains = {domains:?}\n")
        }).collect();
        let text = format!(
            "machine = \"{machine}\"\nkernel = \"{kernel}\"\n[ap]\nfeatures = [{features}]\n\
            usage_domains = [4, 5]\napmask = \"{mask}\"\n{cards}{mdevs}"
        );
        let file = match HostFile::parse(&text) {
            Err(error) => {
                prop_assert!(machine == "z10EC" && error.to_string().contains("no crypto adapters"), "{error}");
                return Ok(());
            }
            Ok(file) => file,
        };
        prop_assert_eq!(&HostFile::parse(&file.to_toml()).unwrap(), &file);
        match SimHost::new(file) {
            Ok(host) => prop_assert!(host.read("bus/ap/bindings").unwrap().ends_with(" (complete)\n")),
            Err(HostFileError::Refused { key, why, errno }) => {
                prop_assert!(key.starts_with("mdev[") && !why.is_empty(), "{key}: {why}");
                prop_assert!([libc::EADDRNOTAVAIL, libc::EADDRINUSE].contains(&errno));
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn any_write_anywhere_is_answered(
        path in select(vec![
            "bus/ap/apmask", "bus/ap/aqmask", "bus/ap/ap_domain", "bus/ap/config_time", "bus/ap/poll_thread",
            "bus/ap/poll_timeout", "bus/ap/scans", "bus/ap/drivers_probe", "bus/ap/drivers/vfio_ap/bind",
            "bus/ap/drivers/vfio_ap/unbind", "bus/ap/drivers/cex4card/unbind", "devices/ap/card05/config",
            "devices/ap/card05/online", "devices/ap/card05/05.0004/driver_override", "devices/ap/card05/05.0004/reset",
            "devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create",
            "bus/mdev/devices/6c4a5d2e-0d3e-4c7a-9b0a-00000000000a/assign_adapter",
            "bus/mdev/devices/6c4a5d2e-0d3e-4c7a-9b0a-00000000000a/ap_config",
            "bus/mdev/devices/6c4a5d2e-0d3e-4c7a-9b0a-00000000000a/remove",
        ]),
        value in prop_oneof!["[-+0-9a-fx,\n]{0,20}", ".{0,40}"],
    ) {
        let host = Host::new();
        host.mdev(A, &[5], &[4]);
        if let Err(error) = host.host.write(path, &value) {
            prop_assert!(error.raw_os_error().is_some(), "{error}");
        }
    }
}

#[test]
fn the_largest_host_there_can_be_starts_and_changes_hands() {
    let cards: String = (0..=255).map(|id| format!("[[ap.card]]\nid = {id}\ntype = \"CEX8C\"\n")).collect();
    let domains: Vec<String> = (0..=255).map(|id: u32| id.to_string()).collect();
    let host = Host::of(&format!(
        "[ap]\nmax_adapter = 255\nusage_domains = [{}]\napmask = \"0\"\n{cards}",
        domains.join(", ")
    ));
    assert_eq!(host.read("bus/ap/bindings"), "65536/65536 (complete)\n");
    assert_eq!(host.bound("vfio_ap").len(), 65536);
}

/// Enough rounds for threads to meet in every order; a deadlock would show as a test that never ends.
const ROUNDS: usize = 300;

#[test]
fn threads_that_do_everything_at_once_do_not_wait_for_each_other_forever() {
    let host = Host::new();
    host.mdev(A, &[5], &[4]);
    host.mdev(B, &[6], &[4]);
    let write = |path: &str, value: &str| drop(host.host.write(path, value));
    std::thread::scope(|threads| {
        for uuid in [A, B] {
            let write = &write;
            threads.spawn(move || {
                for round in 0..ROUNDS {
                    let attribute = if round % 2 == 0 { "assign_domain" } else { "unassign_domain" };
                    write(&format!("bus/mdev/devices/{uuid}/{attribute}"), "0x47");
                }
            });
            let host = &host;
            threads.spawn(move || {
                for _ in 0..ROUNDS {
                    let (open, vm) = host.open(uuid);
                    open.map_dma(0..0x1000).unwrap();
                    let _ = open.reset();
                    assert!(vm.now().is_some());
                }
            });
        }
        threads.spawn(|| {
            for round in 0..ROUNDS {
                let attribute = if round % 2 == 0 { "unbind" } else { "bind" };
                write(&format!("bus/ap/drivers/vfio_ap/{attribute}"), "05.0004");
                host.host.config_changed();
            }
        });
        threads.spawn(|| {
            for round in 0..ROUNDS {
                let _ = host.host.adapters().enqueue(Apqn::new(5, 4), round as u64, b"x");
                let _ = host.host.adapters().dequeue(Apqn::new(5, 4), 100);
                host.host.advance(Duration::from_secs(1));
            }
        });
    });
    write("bus/ap/drivers/vfio_ap/bind", "05.0004");
    host.write("bus/mdev/devices/6c4a5d2e-0d3e-4c7a-9b0a-00000000000a/unassign_domain", "0x47");
    assert_eq!(host.mdev_read(A, "matrix"), "05.0004\n");
}
