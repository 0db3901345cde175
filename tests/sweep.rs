//! What becomes of a simulated host when somebody's writes to it fail, or are late: each of them in turn, through the
//! socket and through a mount. And that orders are carried out whatever is planned for programs.

use crate::{
    command::{MDEV, host_file},
    mount::Mounted,
    patience::until,
    share::Shared,
};
use adjunct_ap::Sysfs;
use adjunct_simulator::{
    HostFile, Node, NodeKind, SimHost, Tree,
    share::{Operator, Order, SharedHost},
};
use std::{collections::BTreeSet, io, thread, time::Duration};

/// `include/uapi/asm-generic/errno-base.h`: an errno that no write to sysfs has a meaning for here.
const ENXIO: i32 = 6;

/// What is written to the files of this name.
const VALUES: &[(&str, &str)] = &[
    ("ap_config", MASKS),
    ("ap_domain", "71"),
    ("apmask", "-7"),
    ("aqmask", "-9"),
    ("assign_adapter", "7"),
    ("assign_control_domain", "4"),
    ("assign_domain", "9"),
    ("bind", "05.0004"),
    ("config", "0"),
    ("config_time", "31"),
    ("create", "6c4a5d2e-0d3e-4c7a-9b0a-000000000009"),
    ("driver_override", "vfio_ap"),
    ("drivers_autoprobe", "0"),
    ("drivers_probe", "card05"),
    ("online", "0"),
    ("poll_thread", "1"),
    ("poll_timeout", "300000"),
    ("remove", "1"),
    ("request_count", "0"),
    ("reset", "1"),
    ("scans", "1"),
    ("type", "DMA"),
    ("uevent", "change"),
    ("unassign_adapter", "6"),
    ("unassign_control_domain", "4"),
    ("unassign_domain", "4"),
    ("unbind", "05.0004"),
];

/// Adapter 6, domain 4, no control domain.
const MASKS: &str = "0x0200000000000000000000000000000000000000000000000000000000000000,\
    0x0800000000000000000000000000000000000000000000000000000000000000,\
    0x0000000000000000000000000000000000000000000000000000000000000000";

fn value(path: &str) -> &'static str {
    let name = path.rsplit('/').next().expect("a name");
    let row = VALUES.iter().find(|(other, _)| *other == name);
    row.unwrap_or_else(|| panic!("{path}: what is written to it?")).1
}

/// How late a write is.
const LATE: Duration = Duration::from_secs(31);

/// How writes are late that happen nevertheless.
fn lates() -> [String; 2] {
    ["held door".to_owned(), format!("late {}s", LATE.as_secs())]
}

/// All that root may write to, what takes a device away last.
fn writable(tree: &Tree) -> Vec<String> {
    fn walk(tree: &Tree, directory: Node, path: &str, found: &mut Vec<String>) {
        for (name, node) in tree.entries(directory).expect("a directory") {
            let path = format!("{path}/{name}");
            match node.kind() {
                NodeKind::Directory => walk(tree, node, &path, found),
                NodeKind::Attribute if tree.permissions(node).expect("it is there") & 0o200 != 0 => {
                    found.push(path[1..].to_owned());
                }
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(tree, Node::ROOT, "", &mut found);
    found.sort_by_key(|path| (path.ends_with("/remove"), path.clone()));
    found
}

fn errno(done: io::Result<()>) -> Result<(), Option<i32>> {
    done.map_err(|refused| refused.raw_os_error())
}

fn order(host: &SharedHost, text: &str) -> String {
    host.order(&text.parse().expect(text)).expect(text)
}

/// A dump without what only time changes.
fn lasting(dump: &str) -> String {
    dump.lines().filter(|line| !line.contains("initiated")).map(|line| format!("{line}\n")).collect()
}

/// Writes to each file as `write` does, on the built-in host that `host` is. First the write is refused, and nothing has
/// changed; then it is `late`, and ends as it does otherwise.
fn writes_are_refused_and_late(
    write: impl Fn(&str, &str) -> io::Result<()> + Sync,
    host: &SharedHost,
    late: &str,
) {
    let reference = SimHost::new(HostFile::three_guests().expect("the built-in host is right"))
        .expect("the built-in host starts");
    let operator = Operator::new(reference.clone());
    let dump = || lasting(&order(host, "dump"));
    let mut names = BTreeSet::new();
    for path in writable(&reference.tree()) {
        if reference.tree().find(&path).is_err() {
            continue;
        }
        let text = value(&path);
        names.insert(path.rsplit('/').next().expect("a name").to_owned());
        let before = dump();
        order(host, &format!("fault write on /sys/{path}: fails ENXIO"));
        assert_eq!(errno(write(&path, text)), Err(Some(ENXIO)), "{path}");
        assert_eq!(dump(), before, "{path} was refused");
        order(host, &format!("fault write on /sys/{path}: {late}"));
        let done = thread::scope(|scope| {
            let writer = scope.spawn(|| write(&path, text));
            if late.starts_with("held") {
                // What holds somebody is planned no more.
                until(|| order(host, "faults").is_empty());
                assert_eq!(dump(), before, "{path} is held");
                order(host, "release door");
            }
            writer.join().expect("it only writes")
        });
        assert_eq!(order(host, "faults"), "", "{path}");
        if !late.starts_with("held") {
            reference.advance(LATE);
        }
        assert_eq!(errno(done), errno(reference.write(&path, text)), "{path}, {late}");
        // What the bus has not seen yet it sees now, here and there.
        order(host, "rescan");
        reference.config_changed();
        let expected = operator.order(&Order::Dump).expect("it can be dumped");
        assert_eq!(dump(), lasting(&expected), "{path}, {late}");
    }
    let rows: BTreeSet<_> = VALUES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names, rows, "each row is for files that are there");
}

#[test]
fn whichever_write_of_a_client_is_refused_or_late_nothing_is_half_done() {
    for late in lates() {
        let shared = Shared::new();
        let client = shared.connect();
        writes_are_refused_and_late(|path, text| client.write(path, text), &client, &late);
    }
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn whichever_write_through_a_mount_is_refused_or_late_nothing_is_half_done() {
    for late in lates() {
        let mounted = Mounted::controlled();
        let write = |path: &str, text: &str| mounted.write(&format!("sys/{path}"), text).map(drop);
        writes_are_refused_and_late(write, &mounted.control(), &late);
    }
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn whichever_file_of_a_mount_can_not_be_read_says_so_and_is_read_the_next_time() {
    fn walk(tree: &Tree, directory: Node, path: &str, read: &mut dyn FnMut(&str)) {
        for (name, node) in tree.entries(directory).expect("a directory") {
            let path = format!("{path}/{name}");
            match node.kind() {
                NodeKind::Directory => walk(tree, node, &path, read),
                NodeKind::Attribute if tree.permissions(node).expect("it is there") & 0o400 != 0 => {
                    read(&path)
                }
                _ => {}
            }
        }
    }
    let mounted = Mounted::controlled();
    let control = mounted.control();
    let host = SimHost::new(HostFile::three_guests().expect("the built-in host is right"))
        .expect("the built-in host starts");
    let mut count = 0;
    walk(&host.tree(), Node::ROOT, "", &mut |path| {
        order(&control, &format!("fault read on /sys{path}: fails ENXIO"));
        let read = || mounted.read(&format!("sys{path}")).map(drop);
        assert_eq!(errno(read()), Err(Some(ENXIO)), "{path}");
        assert_eq!(errno(read()), errno(host.read(&path[1..]).map(drop)), "{path}");
        count += 1;
    });
    assert!(count > 100, "only {count} files");
}

/// All orders, in an order in which each can be carried out; `FILE` is one to load.
const ORDERS: &[&str] = &[
    "card add 7 CEX8C",
    "card config-off 7",
    "card config-on 7",
    "card checkstop 7",
    "card checkstart 7",
    "card remove 7",
    "domain add 5",
    "domain remove 5",
    "control-domain add 5",
    "control-domain remove 5",
    "queue stuck 05.0004",
    "queue free 05.0004",
    "guest open UUID",
    "apcb UUID",
    "guest close UUID",
    "rescan",
    "uevents",
    "log",
    "acts",
    "held",
    "load FILE",
    "dump",
];

/// Orders of what is planned itself.
const OF_PLANS: &[&str] = &["fault FAULT", "faults", "faults forget", "release NAME"];

#[test]
fn whatever_is_planned_for_programs_every_order_is_carried_out() {
    let words = |form: &str| form.split(' ').take_while(|word| word.chars().any(char::is_lowercase)).count();
    for (form, _) in Order::FORMS {
        let begins: String = form.split(' ').take(words(form)).collect::<Vec<_>>().join(" ");
        let there = ORDERS.iter().chain(OF_PLANS).any(|order| order.starts_with(&begins));
        assert!(there, "{form} is in no list");
    }
    let (free, planned) = (Shared::new(), Shared::new());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = host_file(dir.path(), &free.order("dump")).display().to_string();
    for fault in ["any always: fails ENXIO", "read always: fails ENXIO", "list always: fails ENXIO"] {
        planned.order(&format!("fault {fault}"));
    }
    let client = planned.connect();
    assert_eq!(errno(client.write("bus/ap/config_time", "31")), Err(Some(ENXIO)));
    let uuid = MDEV[0].rsplit('/').next().expect("a path");
    for order in ORDERS {
        let order = order.replace("UUID", uuid).replace("FILE", &file);
        assert_eq!(planned.order(&order), free.order(&order), "{order}");
    }
    assert_eq!(planned.order("faults").lines().count(), 3);
    planned.order("faults forget");
    assert_eq!(errno(client.write("bus/ap/config_time", "31")), Ok(()));
}

#[test]
fn while_a_write_is_held_every_order_is_carried_out() {
    let (free, planned) = (Shared::new(), Shared::new());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = host_file(dir.path(), &free.order("dump")).display().to_string();
    planned.order("fault write: held door");
    let client = planned.connect();
    let uuid = MDEV[0].rsplit('/').next().expect("a path");
    thread::scope(|scope| {
        let held = scope.spawn(|| client.write("bus/ap/config_time", "31"));
        planned.host.acts().wait_until_held("door");
        for order in ORDERS {
            let order = order.replace("UUID", uuid).replace("FILE", &file);
            assert_eq!(planned.order(&order), free.order(&order), "{order}");
        }
        planned.order("release door");
        assert_eq!(errno(held.join().expect("it only writes")), Ok(()));
    });
    assert_eq!(planned.host.read("bus/ap/config_time").expect("readable"), "31\n");
}
