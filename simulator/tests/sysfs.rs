//! `/sys` of the simulated host beside what `tests/sysfs/record` recorded of the real kernel: which names there are,
//! what they are, who may open them, where links lead, what attributes say.

use adjunct_simulator::{HostFile, Node, NodeKind, SimHost, Tree};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    time::Duration,
};

/// The lab's host.
const HOST: &str = r#"
machine = "z16"
kernel = "KERNEL"
[ap]
features = ["APSC", "APXA"]
max_adapter = 255
max_domain = 255
usage_domains = [4, 0x47, 0xab, 0xff]
control_domains = [4, 0x47, 0xab, 0xff]
aqmask = "-4,-0xab"
[[ap.card]]
id = 5
type = "CEX8C"
[[ap.card]]
id = 6
type = "CEX8P"
[[mdev]]
uuid = "11111111-1111-1111-1111-111111111111"
adapters = [5, 6]
domains = [4, 0xab]
control_domains = [4, 0x47]
[[mdev]]
uuid = "22222222-2222-2222-2222-222222222222"
"#;

/// What was recorded below these.
const RECORDED: &[&str] = &[
    "bus/ap",
    "bus/matrix",
    "bus/mdev",
    "class/mdev_bus",
    "class/vfio",
    "class/vfio-dev",
    "devices/ap",
    "devices/vfio_ap",
    "devices/virtual/vfio",
    "kernel/iommu_groups",
    "module/ap",
    "module/mdev",
    "module/vfio_ap",
    "module/zcrypt",
    "module/zcrypt_cex4",
];

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    /// As `ls -l` and `stat -c %h` show them.
    permissions: String,
    links: usize,
    target: Option<String>,
    text: String,
}

fn host(kernel: &str) -> SimHost {
    let file = HostFile::parse(&HOST.replace("KERNEL", kernel)).expect("a host file");
    let host = SimHost::new(file).expect("a host");
    // Until the resets of queues that vfio_ap was given are done.
    host.advance(Duration::from_secs(1));
    host
}

/// What `tests/sysfs/record` wrote.
fn recorded(kernel: &str) -> BTreeMap<String, Listed> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/sysfs").join(format!("{kernel}.txt"));
    let mut listed = BTreeMap::new();
    let mut last = String::new();
    for line in fs::read_to_string(file).expect("readable").lines() {
        if let Some(text) = line.strip_prefix("| ") {
            let entry: &mut Listed = listed.get_mut(&last).expect("of a name");
            entry.text += &format!("{text}\n");
            continue;
        }
        let mut words = line.splitn(3, ' ');
        let permissions = words.next().expect("permissions").to_owned();
        let links = words.next().expect("a count").parse().expect("a number");
        let name = words.next().expect("a name");
        let (name, target) = match name.split_once(" -> ") {
            Some((name, target)) => (name, Some(target.to_owned())),
            None => (name, None),
        };
        last = name.to_owned();
        listed.insert(last.clone(), Listed { permissions, links, target, text: String::new() });
    }
    listed
}

/// The same of the simulated host.
fn simulated(tree: &Tree) -> BTreeMap<String, Listed> {
    let mut all = BTreeMap::new();
    for path in RECORDED {
        walk(tree, path, tree.find(path).expect("it is there"), &mut all);
    }
    all
}

fn walk(tree: &Tree, path: &str, node: Node, into: &mut BTreeMap<String, Listed>) {
    let permissions = tree.permissions(node).expect("it is there");
    let letters: String = (0..9)
        .map(|bit| if permissions & (0o400 >> bit) == 0 { '-' } else { ['r', 'w', 'x'][bit % 3] })
        .collect();
    let mut listed = Listed { permissions: String::new(), links: 1, target: None, text: String::new() };
    let letter = match node.kind() {
        NodeKind::Directory => {
            listed.links = 2 + tree.subdirectories(node).expect("a directory");
            for (name, inside) in tree.entries(node).expect("a directory") {
                walk(tree, &format!("{path}/{name}"), inside, into);
            }
            'd'
        }
        NodeKind::Link => {
            listed.target = Some(tree.target(node).expect("a link"));
            'l'
        }
        NodeKind::Attribute => {
            if permissions & 0o400 != 0 {
                listed.text = String::from_utf8(tree.load(node).expect("readable")).expect("text");
            }
            '-'
        }
    };
    listed.permissions = format!("{letter}{letters}");
    into.insert(path.to_owned(), listed);
}

/// Takes out what the lab's machine does that a simulated one does not, and the other way round.
fn without_differences(mut all: BTreeMap<String, Listed>) -> BTreeMap<String, Listed> {
    for (path, listed) in &mut all {
        let name = path.rsplit('/').next().expect("a name");
        // The host's drivers ask adapters for their serial numbers and keys; simulated adapters are not asked.
        // How often the bus has scanned, and found all queues bound, is a matter of when one looks.
        if matches!(name, "request_count" | "scans" | "bindings_complete_count") {
            listed.text.clear();
        }
        // Modules have sections and notes.
        if path.starts_with("module/") && listed.permissions.starts_with('d') {
            listed.links = 0;
        }
    }
    all
}

#[track_caller]
fn assert_same(kernel: &str) {
    let real = without_differences(recorded(kernel));
    let ours = without_differences(simulated(&host(kernel).tree()));
    let paths: BTreeSet<_> = real.keys().chain(ours.keys()).collect();
    let mut differences = String::new();
    for path in paths {
        let (real, ours) = (real.get(path), ours.get(path));
        if real != ours {
            differences += &format!("{path}\n  real {real:?}\n  ours {ours:?}\n");
        }
    }
    assert!(differences.is_empty(), "{kernel}:\n{differences}");
    assert!(real.len() > 300, "something was recorded");
}

#[test]
fn all_that_is_in_sys_for_ap_is_what_linux_6_12_has() {
    assert_same("6.12");
}

#[test]
fn all_that_is_in_sys_for_ap_is_what_linux_7_2_has() {
    assert_same("7.2");
}
