//! What one run does to a host, act by act, and what is left when any of them is refused.

use crate::{
    command::MDEV,
    golden::assert_golden,
    lifecycle::{END_WELL, resets_once},
};
use adjunct::{
    chain::chain,
    config::{Config, Image, KeyWrapping},
    console::Kept,
    demo,
    event::Events,
    exit_status::ExitStatus,
    host::{Host, builtin},
    machine::BuildError,
    outcome::Outcome,
    plan::plan,
    run::{self, Watch},
};
use adjunct_ap::Sysfs;
use adjunct_simulator::{Acts, Fault, SimHost};
use std::{thread, time::Duration};
use tempfile::TempDir;

/// `include/uapi/asm-generic/errno-base.h`: an errno that no act of a run has a meaning for.
const ENXIO: i32 = 6;

/// What is run: apcheck, and an image that resets itself once by DIAGNOSE 0x308 subcode 3.
struct Kernels {
    resets_itself: Image,
    _dir: TempDir,
}

impl Kernels {
    fn new() -> Self {
        let (dir, file) = resets_once(3, END_WELL);
        Self { resets_itself: Image::File(file), _dir: dir }
    }

    fn all(&self) -> [(&Image, &'static str); 2] {
        [(&Image::Apcheck, "acts-of-a-run.txt"), (&self.resets_itself, "acts-of-a-run-with-a-reset.txt")]
    }
}

fn config(kernel: &Image) -> Config {
    let device = format!("vfio-ap,sysfsdev={}", MDEV[0]).parse().expect("well formed");
    Config { vcpus: 2, kernel: kernel.clone(), ..Config::apcheck(Some(device)) }
}

/// Starting the host is not what is looked at: acts are counted from here.
fn host() -> (SimHost, usize) {
    let host = builtin().expect("the built-in host is right");
    let before = host.acts().len();
    (host, before)
}

fn acts_since(acts: &Acts, before: usize) -> String {
    acts.text().lines().skip(before).map(|act| format!("{act}\n")).collect()
}

/// One whole run on `simulated`: how it ended, or why it did not begin.
fn run_once(simulated: &SimHost, kernel: &Image) -> Result<Outcome, BuildError> {
    let host = Host::simulated(simulated);
    let plan = plan(&config(kernel), &host).expect("fits");
    let machine = plan.build(&*host.hypervisor, Kept::default().consoles())?;
    let ended = run::run(machine, &host, &Events::default(), Watch::default());
    Ok(ended.expect("a loop can be set up").outcome)
}

#[test]
fn planning_does_nothing_to_the_host() {
    let (simulated, before) = host();
    plan(&config(&Image::Apcheck), &Host::simulated(&simulated)).expect("fits");
    assert_eq!(acts_since(&simulated.acts(), before), "");
}

#[test]
fn the_acts_of_a_run_are_these_in_this_order_and_all_is_given_back() {
    for (kernel, golden) in Kernels::new().all() {
        let (simulated, before) = host();
        let outcome = run_once(&simulated, kernel).expect("nothing is refused");
        assert_eq!(outcome.status(), ExitStatus::Success, "{outcome}");
        assert_golden(golden, &acts_since(&simulated.acts(), before));
        assert_eq!(simulated.acts().held(), Vec::<String>::new());
    }
}

#[test]
fn every_guest_reset_resets_the_ap_device() {
    let resets = |kernel| {
        let (simulated, _) = host();
        run_once(&simulated, kernel).expect("nothing is refused");
        simulated.acts().text().lines().filter(|act| act.starts_with("VFIO_DEVICE_RESET")).count()
    };
    assert_eq!(resets(&Image::Apcheck), 1, "when it is attached");
    assert_eq!(resets(&Kernels::new().resets_itself), 2, "and when the guest is reset");
}

/// Acts that may fail and the guest runs all the same, as under QEMU: interrupts of the AP device that
/// an older kernel lacks, its reset, and giving things back.
fn is_survived(act: &str) -> bool {
    act.starts_with("VFIO_DEVICE_SET_IRQS") || act.starts_with("VFIO_DEVICE_RESET")
}

#[test]
fn whichever_act_is_refused_it_is_named_and_nothing_is_held_afterwards() {
    for (kernel, _) in Kernels::new().all() {
        let (simulated, before) = host();
        run_once(&simulated, kernel).expect("nothing is refused");
        let acts: Vec<String> = acts_since(&simulated.acts(), before).lines().map(str::to_owned).collect();
        let refused = acts.iter().enumerate().filter(|(n, act)| refuse(kernel, *n, act)).count();
        assert!(refused >= 12, "the sweep refused only {refused} of {} acts", acts.len());
    }
}

/// Runs `kernel` anew with its act number `n` refused; whether that ended the run.
fn refuse(kernel: &Image, n: usize, act: &str) -> bool {
    let (simulated, _) = host();
    simulated.acts().plan(Fault::of_any().nth(n + 1).fails_with(ENXIO));
    let ended = run_once(&simulated, kernel);
    assert_eq!(simulated.acts().held(), Vec::<String>::new(), "{act} was refused");
    let said = match ended {
        Err(error) => chain(&error),
        Ok(outcome @ Outcome::Refused(_)) => outcome.to_string(),
        Ok(outcome) => {
            assert!(is_survived(act), "{act} was refused, yet: {outcome}");
            return false;
        }
    };
    let request = act.split(' ').next().expect("a request");
    assert!(said.contains(request), "{act} was refused, but what is said is: {said}");
    assert!(!is_survived(act), "{act} is survived under QEMU; here: {said}");
    true
}

/// What is done to a host, and what was said if it was not done.
type Doing<'a> = (&'static str, &'a (dyn Fn(&SimHost) -> Result<(), String> + Sync));

fn demo(host: &SimHost) -> Result<(), String> {
    match demo::show_on(host, &mut Vec::new()) {
        Ok(ExitStatus::Success) => Ok(()),
        Ok(status) => Err(format!("{status:?}")),
        Err(error) => Err(chain(&error)),
    }
}

/// A run with an option for everything that can be opted for.
fn run_with(device: &str, key_wrapping: KeyWrapping, host: &SimHost) -> Result<(), String> {
    let device = format!("vfio-ap,sysfsdev={}{device}", MDEV[0]).parse().expect("well formed");
    let config = Config { vcpus: 3, key_wrapping, ..Config::apcheck(Some(device)) };
    let on = Host::simulated(host);
    let plan = plan(&config, &on).map_err(|error| chain(&error))?;
    let machine = plan.build(&*on.hypervisor, Kept::default().consoles()).map_err(|error| chain(&error))?;
    let ended = run::run(machine, &on, &Events::default(), Watch::default());
    match ended.expect("a loop can be set up").outcome {
        outcome if outcome.status() == ExitStatus::Success => Ok(()),
        outcome => Err(outcome.to_string()),
    }
}

/// Does something to a host on which `fault` is planned, and sees that nothing is left.
fn suffer(doing: &Doing<'_>, fault: &Fault) -> (Result<(), String>, String) {
    let (simulated, before) = host();
    simulated.acts().plan(fault.clone());
    let done = doing.1(&simulated);
    assert_eq!(simulated.acts().planned(), [], "{}: {fault}", doing.0);
    assert_eq!(simulated.acts().held(), Vec::<String>::new(), "{}: {fault}", doing.0);
    (done, acts_since(&simulated.acts(), before))
}

/// The same with an act that `fault` holds at a gate: meanwhile others get at the host, and then it goes on.
fn suffer_a_gate(doing: &Doing<'_>, fault: &Fault) -> (Result<(), String>, String) {
    let (simulated, before) = host();
    simulated.acts().plan(fault.clone());
    let done = thread::scope(|scope| {
        let doer = scope.spawn(|| doing.1(&simulated));
        simulated.acts().wait_until_held("door");
        assert!(simulated.read("bus/ap/apmask").is_ok(), "{}: {fault}", doing.0);
        assert_eq!(simulated.acts().release("door"), 1, "{}: {fault}", doing.0);
        doer.join().expect("it ends")
    });
    assert_eq!(simulated.acts().held(), Vec::<String>::new(), "{}: {fault}", doing.0);
    (done, acts_since(&simulated.acts(), before))
}

#[test]
fn whichever_act_of_whichever_command_fails_or_is_late_nothing_is_held_afterwards() {
    let none = KeyWrapping { aes: false, dea: false };
    let doings: [Doing<'_>; 4] = [
        ("demo", &demo),
        ("run, group", &|host| run_with(",backend=group", KeyWrapping::default(), host)),
        ("run, iommufd", &|host| run_with(",backend=iommufd,id=ap0", none, host)),
        ("run", &|host| run_with("", KeyWrapping { aes: true, dea: false }, host)),
    ];
    for doing in &doings {
        let (simulated, before) = host();
        doing.1(&simulated).expect("nothing is refused");
        let text = acts_since(&simulated.acts(), before);
        let acts: Vec<&str> = text.lines().collect();
        assert!(acts.len() >= 12, "{}: only {} acts", doing.0, acts.len());
        for (n, act) in acts.iter().enumerate() {
            // Guests that run at once act in any order, so acts are named and not counted.
            let (request, target) = act.split_once(' ').expect("a request and a target");
            let again = acts[..n].iter().filter(|other| *other == act).count();
            let which = || Fault::of(request).on(target).nth(again + 1);
            // One act's text is the beginning of another's: it may be that one which suffers.
            let (done, _) = suffer(doing, &which().fails_with(ENXIO));
            match done {
                Ok(()) => assert!(is_survived(act), "{}: {act} was refused, and nobody noticed", doing.0),
                Err(said) => {
                    // A write is named by its file.
                    let name =
                        if request == "write" { target.split(' ').next().unwrap_or(target) } else { request };
                    assert!(said.contains(name), "{}: {act} was refused: {said}", doing.0);
                }
            }
            let sorted = |text: &str| {
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines.sort();
                lines
            };
            for (done, late) in [
                // Less than a guest waits for its console: the clock moves for those too that the act is not of.
                suffer(doing, &which().late_by(Duration::from_secs(5))),
                suffer_a_gate(doing, &which().held_at("door")),
            ] {
                assert_eq!(done, Ok(()), "{}: {act} was late", doing.0);
                assert_eq!(sorted(&late), sorted(&text), "{}: {act} was late", doing.0);
            }
        }
    }
}

#[test]
fn a_run_whose_attributes_can_not_be_read_is_refused_before_anything_is_done() {
    let (simulated, before) = host();
    let attribute = format!("{}/guest_matrix", MDEV[0]);
    simulated.acts().plan(Fault::of("read").on(attribute.as_str()).fails_with(libc::EIO));
    let said = run_with("", KeyWrapping::default(), &simulated).expect_err("the mdev can't be read");
    assert!(said.contains(&attribute), "{said}");
    assert_eq!(acts_since(&simulated.acts(), before), "");
}

#[test]
fn while_an_act_is_held_the_host_can_be_changed() {
    let (simulated, _) = host();
    simulated.acts().plan(Fault::of("KVM_DEV_VFIO_FILE_ADD").held_at("door"));
    let done = thread::scope(|scope| {
        let run = scope.spawn(|| run_with(",backend=group", KeyWrapping::default(), &simulated));
        simulated.acts().wait_until_held("door");
        let remove = format!("{}/remove", &MDEV[0]["/sys/".len()..]);
        simulated.write(&remove, "1").expect("nobody has it open yet");
        assert_eq!(simulated.acts().release("door"), 1);
        run.join().expect("it ends")
    });
    let said = done.expect_err("the device is gone");
    assert!(said.contains("VFIO_GROUP_GET_DEVICE_FD"), "{said}");
    assert_eq!(simulated.acts().held(), Vec::<String>::new());
}

#[test]
fn each_way_to_open_a_device_asks_vfio_for_something_else() {
    let requests = |backend: &str| {
        let (simulated, before) = host();
        let device = format!("vfio-ap,sysfsdev={},backend={backend}", MDEV[0]).parse().expect("well formed");
        let host = Host::simulated(&simulated);
        let plan = plan(&Config::apcheck(Some(device)), &host).expect("it can work");
        drop(plan.build(&simulated, Kept::default().consoles()).expect("it can be built"));
        let acts = acts_since(&simulated.acts(), before);
        let requests =
            acts.lines().filter_map(|act| act.split_once(' ')).map(|(request, _)| request.to_owned());
        requests
            .filter(|request| request.contains("VFIO") || request.starts_with("IOMMU"))
            .collect::<Vec<_>>()
    };
    let rest = ["VFIO_DEVICE_SET_IRQS", "VFIO_DEVICE_SET_IRQS", "VFIO_DEVICE_RESET"];
    let undo = ["VFIO_DEVICE_SET_IRQS", "VFIO_DEVICE_SET_IRQS"];
    let group = ["KVM_DEV_VFIO_FILE_ADD", "VFIO_GROUP_GET_DEVICE_FD", "VFIO_IOMMU_MAP_DMA"];
    let own = [
        "KVM_DEV_VFIO_FILE_ADD",
        "VFIO_DEVICE_BIND_IOMMUFD",
        "VFIO_DEVICE_ATTACH_IOMMUFD_PT",
        "IOMMU_IOAS_MAP",
    ];
    assert_eq!(requests("group"), [&group[..], &rest, &undo].concat());
    assert_eq!(requests("iommufd"), [&own[..], &rest, &undo].concat());
}
