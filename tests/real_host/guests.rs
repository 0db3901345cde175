//! Whole guests: `adjunct run --host kvm`.

use super::{mdev, second_mdev};
use crate::{
    command::{Ran, Start, Started, adjunct, command},
    lifecycle::{self, FOR_EVER, image},
    orders,
    plug::plugs_hold_nothing,
    resets,
    run::{assert_ran, assert_refused, queues},
    watching::{Watching, assert_told, plugs_and_unplugs},
};
use adjunct_hypervisor::VfioBackend;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;

fn device(mdev: &Path) -> String {
    format!("vfio-ap,sysfsdev={},id=ap0", mdev.display())
}

/// What apcheck says where the guest's memory is mapped for the device, at its own addresses: else the kernel can't find the
/// notification byte, and refuses with response code 06.
const INTERRUPTION: &str = "interruption enabled, disabled with response code 00";

/// apcheck with the first mdev.
fn apcheck(words: &[&str]) -> Ran {
    let device = device(&mdev());
    adjunct(&[&["run", "--host", "kvm", "--memory", "1M", "--device", &device], words].concat())
}

/// An attribute of the mdev, line by line.
pub(crate) fn lines(mdev: &Path, attribute: &str) -> Vec<String> {
    let text = fs::read_to_string(mdev.join(attribute)).expect("readable");
    text.lines().map(str::to_owned).collect()
}

/// A guest that runs for ever, until this is dropped or killed.
pub(crate) struct Running {
    pub(crate) child: Started,
    events: Box<dyn Iterator<Item = String>>,
    _image: TempDir,
}

impl Running {
    /// Starts it with the device as `--device` takes it; it has its queues when this returns.
    pub(crate) fn start(device: &str, code: &[u32], words: &[&str]) -> Self {
        let (dir, file) = image(code, &[]);
        let mut child = command()
            .args(["run", "--host", "kvm", "--memory", "1M", "--console", "off", "--event-monitor", "fd=1"])
            .args(["--device", device, "--kernel"])
            .arg(&file)
            .args(words)
            .stdout(Stdio::piped())
            .start();
        let events = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let mut running = Self { child, events: Box::new(events), _image: dir };
        running.wait_for("ap-attached");
        running
    }

    /// Waits for an event of this kind.
    pub(crate) fn wait_for(&mut self, kind: &str) -> String {
        let event = self.events.find(|line| line.contains(&format!("\"event\":\"{kind}\"")));
        event.unwrap_or_else(|| panic!("the guest ended before {kind}"))
    }

    /// Sends it a signal; its exit status, which a killed process has not.
    pub(crate) fn end_with(mut self, signal: &str) -> Option<i32> {
        let kill = Command::new("kill").args([format!("-{signal}"), self.child.id().to_string()]).status();
        assert!(kill.expect("kill is there").success());
        self.child.wait().expect("it ends").code()
    }
}

// 169: vfio_ap_ops.c:vfio_ap_irq_disable
#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn a_guest_sees_exactly_the_queues_of_its_mdev() {
    let matrix = lines(&mdev(), "guest_matrix");
    assert!(!matrix.is_empty(), "ADJUNCT_MDEV has no queues that a guest gets");
    let ran = apcheck(&[]);
    assert_ran(&ran, &matrix.iter().map(String::as_str).collect::<Vec<_>>());
    for apqn in &matrix {
        assert!(ran.stdout.contains(&format!("{apqn}: ok")), "{}", ran.stdout);
    }
    assert!(ran.stdout.contains(INTERRUPTION), "{}", ran.stdout);
}

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn each_of_vfios_ways_that_the_host_has_brings_the_same_queues() {
    let matrix = lines(&mdev(), "guest_matrix");
    for way in super::vfio::ways() {
        let way = match way {
            VfioBackend::Group => "group",
            VfioBackend::Iommufd => "iommufd",
        };
        let device = format!("{},backend={way}", device(&mdev()));
        let ran = adjunct(&["run", "--host", "kvm", "--memory", "1M", "--device", &device]);
        assert_ran(&ran, &matrix.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(ran.stdout.contains(INTERRUPTION), "{way}: {}", ran.stdout);
    }
}

#[test]
#[ignore = "needs /dev/kvm; the lab runs it"]
fn a_guest_without_ap_instructions_finds_none() {
    let ran = adjunct(&["run", "--host", "kvm", "--memory", "1M", "--cpu", "host,ap=off"]);
    assert_ran(&ran, &[]);
    assert!(ran.stdout.contains("AP instructions are not installed"), "{}", ran.stdout);
    let ran = apcheck(&["--cpu", "host,ap=off"]);
    assert_refused(&ran, 3, &["ap=on"]);
}

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn a_guest_without_a_facility_sees_less() {
    let matrix = lines(&mdev(), "guest_matrix");
    let low: Vec<_> = matrix.iter().filter(|apqn| apqn[3..5] == *"00" && apqn[5..6] == *"0").collect();
    let ran = apcheck(&["--cpu", "host,apqci=off"]);
    assert_ran(&ran, &low.into_iter().map(String::as_str).collect::<Vec<_>>());
    assert!(ran.stderr.contains("domain above 15"), "{}", ran.stderr);
    let ran = apcheck(&["--cpu", "host,apft=off"]);
    assert_ran(&ran, &[]);
    assert!(ran.stderr.contains("facility 15"), "{}", ran.stderr);
    let ran = apcheck(&["--cpu", "host,apqi=off"]);
    assert_eq!(queues(&ran.stdout).len(), matrix.len(), "{ran:?}");
    assert!(
        ran.stdout.contains("65 (apqi) off") && !ran.stdout.contains("interruption enabled"),
        "{}",
        ran.stdout
    );
}

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn the_mdev_of_a_running_guest_is_refused_to_another_and_free_when_it_is_killed() {
    let first = Running::start(&device(&mdev()), &[FOR_EVER], &[]);
    assert_refused(&apcheck(&[]), 3, &["is open already", &mdev().display().to_string()]);
    assert_eq!(first.end_with("KILL"), None);
    let matrix = lines(&mdev(), "guest_matrix");
    assert_ran(&apcheck(&[]), &matrix.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
#[ignore = "needs /dev/kvm, ADJUNCT_MDEV and ADJUNCT_SECOND_MDEV; the lab runs it"]
fn guests_with_an_mdev_each_run_side_by_side() {
    let first = Running::start(&device(&mdev()), &[FOR_EVER], &[]);
    let second = Running::start(&device(&second_mdev()), &[FOR_EVER], &[]);
    assert_eq!(second.end_with("TERM"), Some(143));
    assert_eq!(first.end_with("INT"), Some(130));
}

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn the_event_of_an_attached_device_names_its_queues() {
    let ran = apcheck(&["--console", "off", "--event-monitor", "fd=1"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let attached = ran.stdout.lines().find(|line| line.contains("ap-attached")).expect("an event");
    for apqn in lines(&mdev(), "guest_matrix") {
        assert!(attached.contains(&format!("\"{apqn}\"")), "{attached}");
    }
}

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn a_foreign_vmm_that_embeds_the_device_has_its_queues() {
    // Where cargo built it, or where whoever brought the tests here has put it.
    let built = Path::new(env!("CARGO_BIN_EXE_adjunct")).with_file_name("examples").join("embed");
    let embed = if built.exists() { built } else { "embed".into() };
    let ran: Ran = Command::new(embed).arg(mdev()).stdin(Stdio::null()).ran();
    assert_eq!(ran.status, 0, "{ran:?}");
    for apqn in lines(&mdev(), "guest_matrix") {
        assert!(ran.stdout.contains(&format!("{apqn} TAPQ status 80000000\n")), "{}", ran.stdout);
    }
}

#[test]
#[ignore = "needs /dev/kvm; the lab runs it"]
fn a_guest_can_reset_itself_in_each_way_and_goes_on() {
    lifecycle::each_reset("kvm");
}

#[test]
#[ignore = "needs /dev/kvm; the lab runs it"]
fn a_cpu_can_start_another_and_order_it_about() {
    lifecycle::each_order("kvm");
}

#[test]
#[ignore = "needs /dev/kvm; the lab runs it"]
fn a_cpu_that_orders_itself_is_answered() {
    lifecycle::an_order_to_itself("kvm");
}

#[test]
#[ignore = "needs /dev/kvm; the lab runs it"]
fn a_cpu_that_is_stopped_stands_still_until_it_is_started() {
    orders::stop_and_start("kvm");
}

#[test]
#[ignore = "needs /dev/kvm; the lab runs it"]
fn a_stopped_cpu_can_be_given_a_prefix_that_is_in_memory() {
    orders::set_prefix("kvm");
}

#[test]
#[ignore = "needs /dev/kvm; the lab runs it"]
fn the_status_of_a_cpu_is_stored_where_the_architecture_has_it() {
    orders::store_status("kvm");
}

#[test]
#[ignore = "needs /dev/kvm; the lab runs it"]
fn vector_registers_are_stored_where_the_order_says_if_the_model_has_them() {
    orders::store_additional_status("kvm", "host", true);
    orders::store_additional_status("kvm", "host,vx=off,gs=off", false);
}

#[test]
#[ignore = "needs /dev/kvm; the lab runs it"]
fn a_cpu_reset_leaves_registers_and_an_initial_one_the_general_ones() {
    orders::cpu_resets("kvm");
}

#[test]
#[ignore = "needs /dev/kvm; the lab runs it"]
fn signals_to_another_cpu_interrupt_it_unless_it_is_reset() {
    orders::signals_to_another_cpu("kvm");
}

#[test]
#[ignore = "needs /dev/kvm; the lab runs it"]
fn orders_to_no_cpu_and_orders_that_are_none_are_answered() {
    orders::odd_orders("kvm");
}

#[test]
#[ignore = "needs /dev/kvm; the lab runs it"]
fn a_cpu_takes_what_is_pending_before_it_stops() {
    orders::interruptions_before_a_stop("kvm");
}

#[test]
#[ignore = "needs /dev/kvm; the lab runs it"]
fn of_two_cpus_that_order_each_other_one_is_busy() {
    orders::each_other("kvm");
}

#[test]
#[ignore = "needs /dev/kvm; the lab runs it"]
fn a_reset_by_another_cpu_than_the_first_starts_who_shall_go_on() {
    resets::by_the_second_cpu("kvm");
}

#[test]
#[ignore = "needs /dev/kvm; the lab runs it"]
fn each_other_subcode_of_diagnose_308_is_answered() {
    resets::other_subcodes("kvm");
}

#[test]
#[ignore = "needs /dev/kvm; the lab runs it"]
fn signals_end_a_guest_that_never_ends_with_their_own_status() {
    lifecycle::each_signal("kvm");
}

// vfio_ap_ops.c:signal_guest_ap_cfg_changed
#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn a_guest_is_told_of_each_change_of_its_queues_by_kernels_that_tell() {
    let matrix = lines(&mdev(), "guest_matrix");
    let adapter = &matrix.first().expect("it has queues")[..2];
    let left: Vec<_> = matrix.iter().map(String::as_str).filter(|apqn| !apqn.starts_with(adapter)).collect();
    let write = |attribute: &str| {
        fs::write(mdev().join(attribute), format!("0x{adapter}\n")).expect("it may be changed");
    };
    let (guest, first) = Watching::start("kvm", &["--device", &device(&mdev())]);
    assert!(matrix.iter().all(|apqn| first.contains(&format!("{apqn}: ok"))), "{first}");
    if kernel_tells() {
        write("unassign_adapter");
        assert_told(&guest.look(), &left);
        write("assign_adapter");
        assert_told(&guest.look(), &matrix.iter().map(String::as_str).collect::<Vec<_>>());
        guest.end();
    } else {
        assert!(guest.end().contains("no configuration change interrupt"), "nobody says why it is not told");
    }
}

/// Whether this kernel signals changes of a guest's queues.
fn kernel_tells() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux has it");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
    let version: (u32, u32) = (numbers.next().expect("two"), numbers.next().expect("two"));
    version >= (6, 17)
}

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn a_guest_is_told_of_a_device_that_is_plugged_and_unplugged() {
    let matrix = lines(&mdev(), "guest_matrix");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let socket = dir.path().join("api");
    let path = format!("path={}", socket.display());
    let matrix = matrix.iter().map(String::as_str).collect::<Vec<_>>();
    plugs_and_unplugs("kvm", &["--api-socket", &path], &socket, &mdev().display().to_string(), &matrix);
}

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn a_thousand_plugs_and_unplugs_leave_nothing_behind() {
    plugs_hold_nothing("kvm", &mdev().display().to_string(), &[], [100, 900]);
}

/// With character devices of VFIO's own, which Linux has since 6.6 and not every distribution builds.
mod cdev {
    use super::*;
    use command_fds::{CommandFdExt, FdMapping};
    use std::{fs::File, os::unix::process::CommandExt};

    fn open(path: &str) -> File {
        File::options().read(true).write(true).open(path).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// apcheck, by somebody who may open nothing, with three files that we have opened.
    fn with_descriptors_only(words: &[&str]) -> Ran {
        let vfio = fs::read_dir(mdev().join("vfio-dev")).expect("a host with VFIO's character devices");
        let name = vfio.map(|entry| entry.expect("readable").file_name()).next().expect("one");
        let device = format!("/dev/vfio/devices/{}", name.display());
        let files = [(20, open("/dev/kvm")), (21, open(&device)), (22, open("/dev/iommu"))];
        let mappings = files
            .map(|(child_fd, file)| FdMapping { parent_fd: file.into(), child_fd })
            .into_iter()
            .collect();
        let mut command = command();
        command.args(["run", "--host", "kvm:fd=20", "--memory", "1M"]).args(words).uid(65534).gid(65534);
        command.fd_mappings(mappings).expect("no number twice");
        command.ran()
    }

    #[test]
    #[ignore = "needs /dev/kvm, ADJUNCT_MDEV and VFIO's character devices; the lab runs it"]
    fn who_may_open_nothing_can_run_a_guest_with_files_that_somebody_else_opened() {
        let matrix = lines(&mdev(), "guest_matrix");
        for _ in 0..2 {
            let ran = with_descriptors_only(&["--device", "vfio-ap,fd=21,iommufd=22"]);
            assert_ran(&ran, &matrix.iter().map(String::as_str).collect::<Vec<_>>());
        }
        let device = device(&mdev());
        let refused = with_descriptors_only(&["--device", &device]);
        assert_refused(&refused, 4, &["/dev/iommu", "Permission denied"]);
    }

    #[test]
    #[ignore = "needs /dev/kvm, ADJUNCT_MDEV and VFIO's character devices; the lab runs it"]
    fn descriptors_of_something_else_are_refused_by_name() {
        let refused = with_descriptors_only(&["--device", "vfio-ap,fd=21,iommufd=30"]);
        assert_refused(&refused, 3, &["iommufd=30 is no open file descriptor"]);
        let refused = with_descriptors_only(&["--device", "vfio-ap,fd=22,iommufd=21"]);
        assert_refused(&refused, 4, &["descriptor 22"]);
    }
}
