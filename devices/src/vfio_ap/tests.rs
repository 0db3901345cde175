//! Against a VM that logs what it is asked and refuses what it is told to.

use super::*;
use adjunct_hypervisor::{CryptoAttribute, Floating, Result, Tod};
use std::{
    path::Path,
    sync::{Arc, Mutex},
};

const EINVAL: i32 = 22;
const EBUSY: i32 = 16;
const MDEV: &str = "/sys/devices/vfio_ap/matrix/6c4a5d2e-0d3e-4c7a-9b0a-000000000001";

#[derive(Debug)]
struct Host {
    info: ApDeviceInfo,
    irq: IrqInfo,
    /// The act that is refused, by its line in the log, with this errno.
    refused: Option<(&'static str, i32)>,
    /// The request that the refusal names.
    request: &'static str,
    log: Mutex<Vec<String>>,
}

impl Host {
    fn act(&self, act: &str) -> Result<()> {
        self.log.lock().expect("no thread").push(act.to_owned());
        match self.refused {
            Some((refused, errno)) if refused == act => Err(KernelError::new(self.request, MDEV, errno)),
            _ => Ok(()),
        }
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().expect("no thread").clone()
    }
}

#[derive(Debug)]
struct TestVm(Arc<Host>);

impl TestVm {
    fn new(change: impl FnOnce(&mut Host)) -> Self {
        let mut host = Host {
            info: ApDeviceInfo { flags: 0x21, num_regions: 0, num_irqs: 2 },
            irq: IrqInfo { flags: 1, count: 1 },
            refused: None,
            request: "TEST",
            log: Mutex::default(),
        };
        change(&mut host);
        Self(Arc::new(host))
    }

    fn refusing(act: &'static str, errno: i32) -> Self {
        Self::new(|host| host.refused = Some((act, errno)))
    }

    fn attach(&self) -> std::result::Result<Attached, AttachError> {
        VfioAp::attach(self, Path::new(MDEV).into(), "ap0")
    }

    fn log(&self) -> Vec<String> {
        self.0.log()
    }
}

impl Vm for TestVm {
    fn set_crypto(&self, _: CryptoAttribute) -> Result<()> {
        self.0.act("set_crypto")
    }

    fn inject(&self, _: Floating) -> Result<()> {
        self.0.act("inject")
    }

    fn clear_interruptions(&self) -> Result<()> {
        self.0.act("clear_interruptions")
    }

    fn tod(&self) -> Result<Tod> {
        self.0.act("tod").map(|()| Tod::default())
    }

    fn set_tod(&self, _: Tod) -> Result<()> {
        self.0.act("set_tod")
    }

    fn open_ap(&self, source: ApSource) -> Result<Box<dyn ApDevice>> {
        assert_eq!(source.to_string(), MDEV);
        self.0.act("open")?;
        Ok(Box::new(TestDevice(self.0.clone())))
    }
}

#[derive(Debug)]
struct TestDevice(Arc<Host>);

impl ApDevice for TestDevice {
    fn info(&self) -> Result<ApDeviceInfo> {
        self.0.act("info").map(|()| self.0.info)
    }

    fn irq_info(&self, irq: ApIrq) -> Result<IrqInfo> {
        self.0.act(&format!("irq_info {irq:?}")).map(|()| self.0.irq)
    }

    fn set_irq(&self, irq: ApIrq, event: Option<&EventFd>) -> Result<()> {
        self.0.act(&format!("set_irq {irq:?} {}", if event.is_some() { "eventfd" } else { "none" }))
    }

    fn reset(&self) -> Result<()> {
        self.0.act("reset")
    }
}

impl Drop for TestDevice {
    fn drop(&mut self) {
        let _ = self.0.act("close");
    }
}

const ATTACH: [&str; 7] = [
    "open",
    "info",
    "irq_info ReleaseRequest",
    "set_irq ReleaseRequest eventfd",
    "irq_info ConfigChanged",
    "set_irq ConfigChanged eventfd",
    "reset",
];
const DETACH: [&str; 3] = ["set_irq ConfigChanged none", "set_irq ReleaseRequest none", "close"];

#[test]
fn attaching_and_dropping_ask_the_host_in_one_order() {
    let vm = TestVm::new(|_| {});
    let Attached { device, warnings } = vm.attach().expect("nothing is refused");
    assert!(warnings.is_empty());
    assert_eq!((device.id(), device.name()), ("ap0", MDEV));
    assert!(device.release_requests().is_some() && device.config_changes().is_some());
    assert_eq!(vm.log(), ATTACH);
    drop(device);
    assert_eq!(vm.log(), [&ATTACH[..], &DETACH].concat());
}

#[test]
fn detaching_asks_the_same_as_dropping_and_keeps_every_refusal() {
    let vm = TestVm::refusing("set_irq ConfigChanged none", EINVAL);
    let attached = vm.attach().expect("nothing of that is refused");
    assert_eq!(attached.device.detach(), [KernelError::new("TEST", MDEV, EINVAL)]);
    assert_eq!(vm.log(), [&ATTACH[..], &DETACH].concat());
}

#[test]
fn each_refusal_before_the_interrupts_is_an_error_and_leaves_nothing_open() {
    let vm = TestVm::refusing("open", EBUSY);
    assert!(matches!(vm.attach(), Err(AttachError::Busy { source, .. }) if source.errno.errno() == EBUSY));
    assert_eq!(vm.log(), ["open"]);

    let vm = TestVm::refusing("info", EINVAL);
    assert!(matches!(vm.attach(), Err(AttachError::Info { .. })));
    assert_eq!(vm.log(), ["open", "info", "close"]);
}

#[test]
fn a_device_without_the_ap_flag_or_the_reset_flag_is_refused_and_closed() {
    let vm = TestVm::new(|host| host.info.flags = 0x11);
    let error = vm.attach().expect_err("a vfio-ccw device");
    assert!(matches!(error, AttachError::NotAp { flags: 0x11, .. }));
    assert_eq!(
        error.to_string(),
        format!("{MDEV} is not a vfio-ap device: its VFIO flags are 0x11, without AP")
    );
    assert_eq!(vm.log(), ["open", "info", "close"]);

    let vm = TestVm::new(|host| host.info.flags = 0x20);
    assert!(matches!(vm.attach(), Err(AttachError::NoReset { flags: 0x20, .. })));
    assert_eq!(vm.log(), ["open", "info", "close"]);
}

#[test]
fn each_refusal_of_an_interrupt_is_one_warning_about_that_interrupt_alone() {
    for (act, irq) in [
        ("irq_info ReleaseRequest", ApIrq::ReleaseRequest),
        ("set_irq ReleaseRequest eventfd", ApIrq::ReleaseRequest),
        ("irq_info ConfigChanged", ApIrq::ConfigChanged),
        ("set_irq ConfigChanged eventfd", ApIrq::ConfigChanged),
    ] {
        let vm = TestVm::refusing(act, EINVAL);
        let Attached { device, warnings } = vm.attach().expect("not fatal");
        let [Warning::Refused { irq: refused, source, .. }] = &warnings[..] else {
            panic!("{act}: {warnings:?}");
        };
        assert_eq!((*refused, source.errno.errno()), (irq, EINVAL));
        assert_eq!(device.release_requests().is_none(), irq == ApIrq::ReleaseRequest);
        assert_eq!(device.config_changes().is_none(), irq == ApIrq::ConfigChanged);
        assert_eq!(vm.log().last().map(String::as_str), Some("reset"), "attaching goes on");
        let before = vm.log().len();
        drop(device);
        let kept: Vec<_> = DETACH.into_iter().filter(|act| !act.contains(&format!("{irq:?}"))).collect();
        assert_eq!(vm.log()[before..], kept, "only what was registered is unregistered");
    }
}

#[test]
fn old_kernels_offer_fewer_interrupts_and_each_missing_one_is_a_warning() {
    let missing = |num_irqs| {
        let vm = TestVm::new(|host| host.info.num_irqs = num_irqs);
        let Attached { device, warnings } = vm.attach().expect("not fatal");
        let irqs: Vec<_> = warnings
            .iter()
            .map(|warning| match warning {
                Warning::NotOffered { irq, .. } => *irq,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(device.release_requests().is_some(), num_irqs >= 1);
        assert_eq!(device.config_changes().is_some(), num_irqs >= 2);
        assert_eq!(vm.log().iter().filter(|act| act.contains("irq")).count(), 2 * num_irqs.min(2) as usize);
        irqs
    };
    assert_eq!(missing(0), [ApIrq::ReleaseRequest, ApIrq::ConfigChanged]);
    assert_eq!(missing(1), [ApIrq::ConfigChanged]);
    assert_eq!(missing(2), []);
    assert_eq!(missing(3), []);
}

#[test]
fn an_interrupt_without_count_or_eventfd_is_not_registered() {
    for irq in [IrqInfo { flags: 1, count: 0 }, IrqInfo { flags: 6, count: 1 }] {
        let vm = TestVm::new(|host| host.irq = irq);
        let Attached { device, warnings } = vm.attach().expect("not fatal");
        assert_eq!(warnings.len(), 2);
        assert!(
            warnings.iter().all(|warning| matches!(warning, Warning::NotUsable { info, .. } if *info == irq))
        );
        drop(device);
        assert!(!vm.log().iter().any(|act| act.starts_with("set_irq")));
    }
}

#[test]
fn a_failed_reset_is_a_warning_that_says_whether_any_queue_was_reset() {
    let vm = TestVm::refusing("reset", EIO);
    let Attached { device, warnings } = vm.attach().expect("not fatal");
    assert!(matches!(&warnings[..], [Warning::ResetIncomplete { .. }]));
    assert!(matches!(device.reset(), Err(Warning::ResetIncomplete { .. })));

    let vm = TestVm::refusing("reset", EINVAL);
    assert!(matches!(&vm.attach().expect("not fatal").warnings[..], [Warning::ResetRefused { .. }]));
}

#[test]
fn a_guest_reset_resets_the_device_once_each_time() {
    let vm = TestVm::new(|_| {});
    let mut bus = ApBus::default();
    bus.reset().expect("nothing to reset");
    bus.attach(&vm, Path::new(MDEV).into(), "ap0").expect("the place is free");
    bus.reset().expect("not refused");
    bus.reset().expect("not refused");
    assert_eq!(vm.log()[ATTACH.len()..], ["reset", "reset"]);
}

#[test]
fn a_second_device_is_refused_without_asking_the_host_and_leaves_the_first_alone() {
    let vm = TestVm::new(|_| {});
    let mut bus = ApBus::default();
    let (device, warnings) = bus.attach(&vm, Path::new(MDEV).into(), "ap0").expect("the place is free");
    assert_eq!((device.id(), warnings.len()), ("ap0", 0));
    let refused = bus.attach(&vm, Path::new("/sys/other").into(), "ap1");
    assert!(matches!(refused, Err(AttachError::SecondDevice { mdev, source: None }) if mdev == "/sys/other"));
    assert_eq!(vm.log(), ATTACH);
    assert_eq!(bus.remove().expect("the first").id(), "ap0");
    assert!(bus.device().is_none());
    bus.attach(&vm, Path::new(MDEV).into(), "ap2").expect("the place is free again");
}

#[test]
fn the_kernel_s_eperm_is_a_second_device_too() {
    let attach_with = |request| {
        let vm = TestVm::new(|host| {
            host.refused = Some(("open", EPERM));
            host.request = request;
        });
        vm.attach()
    };
    for request in ["VFIO_GROUP_GET_DEVICE_FD", "VFIO_DEVICE_BIND_IOMMUFD"] {
        assert!(matches!(attach_with(request), Err(AttachError::SecondDevice { source: Some(_), .. })));
    }
    // No leave to open a file is something else.
    assert!(matches!(attach_with("open"), Err(AttachError::Open { .. })));
}

#[test]
fn every_text_is_one_lower_case_line_that_names_the_device() {
    let vm = TestVm::new(|host| host.info.num_irqs = 0);
    let mut texts: Vec<_> = vm.attach().expect("not fatal").warnings.iter().map(Warning::to_string).collect();
    assert_eq!(
        texts[0],
        format!(
            "{MDEV} has no release request interrupt (Linux has it since 6.5): removing the mdev on the host blocks until the guest ends"
        )
    );
    let vm = TestVm::refusing("reset", EIO);
    texts.extend(vm.attach().expect("not fatal").warnings.iter().map(Warning::to_string));
    texts.extend(
        [EPERM, EBUSY]
            .map(|errno| TestVm::refusing("open", errno).attach().expect_err("refused").to_string()),
    );
    for text in texts {
        assert!(text.contains(MDEV) && !text.contains('\n') && !text.contains("TEST"), "{text}");
    }
}
