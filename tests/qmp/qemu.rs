//! Our answers beside those of QEMU: the same members of the same types, the same classes and sentences of errors.
//!
//! `tests/golden/qmp-of-qemu.json` is what Debian's QEMU 7.2 has said. The test that asks QEMU again compares us with the
//! QEMU that is installed, whichever it is, and with `BLESS=1` writes the file.

use super::{
    client::{Client, Guest},
    panics_when_reset,
};
use crate::command::{MDEV, Start, Started};
use command_fds::{CommandFdExt, FdMapping};
use serde_json::{Map, Value, json};
use std::{
    env, fs,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What both are asked. Both have two CPUs without AP instructions.
const REQUESTS: &[&str] = &[
    r#"{"execute":"query-status"}"#,
    r#"{"execute":"qmp_capabilities","arguments":{"x":3}}"#,
    r#"{"execute":"qmp_capabilities","arguments":{"enable":3}}"#,
    r#"{"execute":"qmp_capabilities"}"#,
    r#"{"execute":"qmp_capabilities","id":"x"}"#,
    r#"{"execute":"query-version","id":1}"#,
    r#"{"execute":"query-status","id":[1,{"a":null}]}"#,
    r#"{"execute":"query-status","arguments":{"a":1}}"#,
    r#"{"execute":"query-status","arguments":[]}"#,
    r#"{"execute":"query-status","arguments":null}"#,
    r#"{"execute":"query-status","foo":null,"id":7}"#,
    r#"{"exec-oob":"query-status"}"#,
    r#"{"execute":3,"id":1}"#,
    r#"{"execute":"nosuch","id":7}"#,
    r#"{"id":7}"#,
    r#"[]"#,
    r#"3"#,
    r#""x""#,
    r#"null"#,
    r#"{"a":}"#,
    r#"{"execute":"stop","execute":"cont"}"#,
    r#"{"execute":"query-commands"}"#,
    r#"{"execute":"query-cpus-fast"}"#,
    r#"{"execute":"query-hotpluggable-cpus"}"#,
    r#"{"execute":"query-name"}"#,
    r#"{"execute":"query-target"}"#,
    r#"{"execute":"query-block"}"#,
    r#"{"execute":"query-fdsets"}"#,
    r#"{"execute":"query-iothreads"}"#,
    r#"{"execute":"query-memory-devices"}"#,
    r#"{"execute":"query-cpu-definitions"}"#,
    r#"{"execute":"query-cpu-model-expansion"}"#,
    r#"{"execute":"query-cpu-model-expansion","arguments":{"type":"x"}}"#,
    r#"{"execute":"query-cpu-model-expansion","arguments":{"type":"static"}}"#,
    r#"{"execute":"query-cpu-model-expansion","arguments":{"type":"static","model":3}}"#,
    r#"{"execute":"query-cpu-model-expansion","arguments":{"type":"static","model":{}}}"#,
    r#"{"execute":"query-cpu-model-expansion","arguments":{"type":"static","model":{"name":3}}}"#,
    r#"{"execute":"query-cpu-model-expansion","arguments":{"type":"static","model":{"name":"nosuch"}}}"#,
    r#"{"execute":"query-cpu-model-expansion","arguments":{"type":"static","model":{"name":"z14"},"foo":1}}"#,
    r#"{"execute":"query-cpu-model-expansion","arguments":{"type":"static","model":{"name":"z14","foo":1}}}"#,
    r#"{"execute":"query-cpu-model-expansion","arguments":{"type":"static","model":{"name":"z14"}}}"#,
    r#"{"execute":"query-cpu-model-expansion","arguments":{"type":"full","model":{"name":"z14-base"}}}"#,
    r#"{"execute":"query-cpu-model-expansion","arguments":{"type":"static","model":{"name":"zEC12","props":{"ap":true,"apft":true}}}}"#,
    r#"{"execute":"query-cpu-model-expansion","arguments":{"type":"static","model":{"name":"z14","props":{"ap":"on"}}}}"#,
    r#"{"execute":"query-cpu-model-expansion","arguments":{"type":"static","model":{"name":"z14","props":{"foo":true}}}}"#,
    r#"{"execute":"query-cpu-model-expansion","arguments":{"type":"static","model":{"name":"z14","props":3}}}"#,
    r#"{"execute":"query-cpu-model-expansion","arguments":{"type":"static","model":{"name":"z196","props":{"ap":true}}}}"#,
    r#"{"execute":"query-cpu-model-comparison","arguments":{"modela":{"name":"z14"},"modelb":{"name":"z13"}}}"#,
    r#"{"execute":"query-cpu-model-comparison","arguments":{"modela":{"name":"z14"}}}"#,
    r#"{"execute":"query-cpu-model-baseline","arguments":{"modela":{"name":"z14"},"modelb":{"name":"z13"}}}"#,
    r#"{"execute":"device_add"}"#,
    r#"{"execute":"device_add","arguments":{"driver":"foo"}}"#,
    r#"{"execute":"device_add","arguments":{"driver":"vfio-ap","id":"a b","sysfsdev":"/x"}}"#,
    r#"{"execute":"device_add","arguments":{"driver":"vfio-ap","id":"ap0","sysfsdev":"/x","bus":"x"}}"#,
    r#"{"execute":"device_add","arguments":{"driver":"vfio-ap","id":"ap0","sysfsdev":"/sys/devices/vfio_ap/matrix/6c4a5d2e-0d3e-4c7a-9b0a-000000000001"}}"#,
    r#"{"execute":"device_del"}"#,
    r#"{"execute":"device_del","arguments":{"id":"ap0"}}"#,
    r#"{"execute":"device_del","arguments":{"id":"ap0","x":1}}"#,
    r#"{"execute":"device_del","arguments":{"id":3}}"#,
    r#"{"execute":"getfd"}"#,
    r#"{"execute":"getfd","arguments":{"fdname":"a"}}"#,
    r#"{"execute":"getfd","arguments":{"fdname":3}}"#,
    r#"{"execute":"closefd"}"#,
    r#"{"execute":"closefd","arguments":{"fdname":"a"}}"#,
    r#"{"execute":"closefd","arguments":{"fdname":"a","x":1}}"#,
    r#"{"execute":"object-add"}"#,
    r#"{"execute":"object-add","arguments":{"qom-type":"foo","id":"x"}}"#,
    r#"{"execute":"object-del"}"#,
    r#"{"execute":"object-del","arguments":{"id":"x"}}"#,
    r#"{"execute":"qom-list"}"#,
    r#"{"execute":"qom-list","arguments":{"path":"/machine/peripheral"}}"#,
    r#"{"execute":"qom-list","arguments":{"path":"/machine/nope"}}"#,
    r#"{"execute":"stop"}"#,
];

/// Where we differ from QEMU 7.2, and why: the difference as it is reported, and docs/qmp.md says it too.
const KNOWN: &[(&str, &str)] = &[
    ("greeting.QMP.capabilities: array of string, not empty", "nothing here is worth a second way in"),
    ("query-status: no member singlestep", "gone since QEMU 9.0"),
    ("query-cpu-model-expansion: a member more: deprecated-props", "since QEMU 9.1"),
    (
        r#"{"execute":"query-cpu-model-expansion","arguments":{"type":"static","model":{"name":"z14","props":{"ap":"on"}}}}: "Invalid parameter type for 'ap', expected: boolean" not "Invalid parameter type for 'model.props.ap', expected: boolean""#,
        "with its path since QEMU 10.0",
    ),
    (
        r#"{"execute":"query-cpu-model-expansion","arguments":{"type":"static","model":{"name":"z14","props":3}}}: "Invalid parameter type for 'props', expected: dict" not "Invalid parameter type for 'model.props', expected: object""#,
        "with its path since QEMU 10.0",
    ),
    (
        r#"{"execute":"device_add","arguments":{"driver":"vfio-ap","id":"ap0","sysfsdev":"/sys/devices/vfio_ap/matrix/6c4a5d2e-0d3e-4c7a-9b0a-000000000001"}}: "No 'ap-bus' bus found for device 'vfio-ap'" not "No 'ap-bus' bus found for device 'vfio-ap': the guest's CPU has ap=off""#,
        "we say why as well",
    ),
    (
        r#"{"a":}: "JSON parse error, expecting value" not "JSON parse error, expected value at line 1 column 6""#,
        "another parser",
    ),
    (
        r#"{"execute":"stop","execute":"cont"}: "JSON parse error, duplicate key" not "JSON parse error, duplicate key at line 1 column 35""#,
        "another parser",
    ),
];

/// The features that QEMU has learnt since.
const LEARNT: &[&str] = &[
    "appv",
    "appvi",
    "astfleie2",
    "ccf",
    "gen17ptff",
    "ineff_nc_tx",
    "minste4",
    "msa10",
    "msa10_pckmo",
    "msa11",
    "msa11_pckmo",
    "msa12",
    "msa13",
    "msa13_pckmo",
    "plo_ext",
    "sif",
    "vxeh3",
    "vxpdeh3",
];

/// Each difference that there may be.
fn known() -> Vec<String> {
    let learnt = LEARNT
        .iter()
        .map(|feature| format!("query-cpu-model-expansion.model.props: a member more: {feature}"));
    KNOWN.iter().map(|(difference, _)| (*difference).to_owned()).chain(learnt).collect()
}

/// What somebody at a monitor has heard.
struct Heard {
    greeting: Value,
    /// By what was asked.
    answers: Vec<(String, Value)>,
    /// By name.
    events: Map<String, Value>,
}

impl Heard {
    fn to_json(&self) -> Value {
        json!({ "greeting": self.greeting, "answers": self.answers, "events": self.events })
    }

    fn from_json(mut value: Value) -> Self {
        Self {
            greeting: value["greeting"].take(),
            answers: serde_json::from_value(value["answers"].take()).expect("as it was written"),
            events: serde_json::from_value(value["events"].take()).expect("as it was written"),
        }
    }
}

fn ask_all(socket: &Path) -> (Value, Vec<(String, Value)>) {
    let mut client = Client::connect(socket);
    let ask = |request: &&str| {
        client.send(format!("{request}\n"));
        ((*request).to_owned(), first_items(client.answer()))
    };
    let answers = REQUESTS.iter().map(ask).collect();
    (client.greeting, answers)
}

/// Gives these orders, one of which is to unplug a device, and the `last` one, `again` if that was not the end; keeps an
/// event of each name.
fn events_of(socket: &Path, orders: &[Value], last: &str, again: bool) -> Map<String, Value> {
    let mut client = Client::negotiated(socket);
    for order in orders {
        client.send(format!("{order}\n"));
        let answer = client.answer();
        assert!(answer.get("return").is_some(), "{order}: {answer}");
    }
    let mut events = Map::new();
    let mut next = |client: &mut Client| {
        let line = client.message()?;
        if let Some(name) = line["event"].as_str() {
            events.insert(name.to_owned(), line.clone());
        }
        Some(line)
    };
    // Devices go when nobody looks at them any more, which can be after the end. Of one of QEMU's there are two events: of
    // what is in it, and of itself.
    let gone = |line: &Value| line["event"] == "DEVICE_DELETED" && line["data"]["device"].is_string();
    while !gone(&next(&mut client).expect("it goes")) {}
    loop {
        client.try_send(format!("{}\n", json!({ "execute": last, "id": last })));
        loop {
            match next(&mut client) {
                Some(line) if again && line["id"] == last => break,
                Some(_) => {}
                None => return events,
            }
        }
    }
}

/// Of each list the first, for a file that can be read.
fn first_items(value: Value) -> Value {
    match value {
        Value::Array(items) if items.first().is_some_and(Value::is_object) => {
            items.into_iter().take(1).map(first_items).collect()
        }
        Value::Object(members) => members.into_iter().map(|(key, value)| (key, first_items(value))).collect(),
        other => other,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// How `ours` differs in form from `theirs`.
fn differences(at: &str, theirs: &Value, ours: &Value, found: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            for (key, value) in theirs {
                match ours.get(key) {
                    Some(other) => differences(&format!("{at}.{key}"), value, other, found),
                    None => found.push(format!("{at}: no member {key}")),
                }
            }
            let more = ours.keys().filter(|key| !theirs.contains_key(*key));
            found.extend(more.map(|key| format!("{at}: a member more: {key}")));
        }
        (Value::Array(theirs), Value::Array(ours)) => match (theirs.first(), ours.first()) {
            (Some(a), Some(b)) => differences(&format!("{at}[]"), a, b, found),
            (Some(a), None) => found.push(format!("{at}: array of {}, not empty", type_of(a))),
            (None, Some(b)) => found.push(format!("{at}: empty, not array of {}", type_of(b))),
            (None, None) => {}
        },
        // What a CPU model has is the same, not only of the same type.
        (Value::Bool(_), Value::Bool(_)) if at.contains(".props.") && theirs != ours => {
            found.push(format!("{at}: {theirs}, not {ours}"));
        }
        _ if type_of(theirs) == type_of(ours) => {}
        _ => found.push(format!("{at}: {}, not {}", type_of(theirs), type_of(ours))),
    }
}

/// How what we said to one request differs from what QEMU said.
fn answer_differences(request: &str, theirs: &Value, ours: &Value, found: &mut Vec<String>) {
    let asked: Value = serde_json::from_str(request).unwrap_or_default();
    let command = asked.get("execute").and_then(Value::as_str).unwrap_or(request);
    if theirs.get("id") != ours.get("id") {
        found.push(format!("{request}: id {} not {}", theirs["id"], ours["id"]));
    }
    match (theirs.get("error"), ours.get("error")) {
        (Some(theirs), Some(ours)) if theirs == ours => {}
        (Some(theirs), Some(ours)) if theirs["class"] == ours["class"] => {
            found.push(format!("{request}: {} not {}", theirs["desc"], ours["desc"]));
        }
        (Some(theirs), Some(ours)) => found.push(format!("{request}: {theirs} not {ours}")),
        (None, None) => differences(command, &theirs["return"], &ours["return"], found),
        _ => found.push(format!("{request}: {theirs} not {ours}")),
    }
}

fn ours() -> Heard {
    let guest = Guest::start("sim", &["--smp", "2", "--cpu", "host,ap=off"]);
    let (greeting, answers) = ask_all(&guest.socket);
    let guest = panics_when_reset(&[]);
    let orders = [
        json!({ "execute": "stop" }),
        json!({ "execute": "cont" }),
        json!({ "execute": "system_powerdown" }),
        json!({ "execute": "device_add", "arguments": { "driver": "vfio-ap", "id": "x", "sysfsdev": MDEV[0] } }),
        json!({ "execute": "device_del", "arguments": { "id": "x" } }),
    ];
    Heard { greeting, answers, events: events_of(&guest.socket, &orders, "system_reset", true) }
}

/// All that differs.
fn all_differences(theirs: &Heard, ours: &Heard) -> Vec<String> {
    let mut found = Vec::new();
    differences("greeting", &theirs.greeting, &ours.greeting, &mut found);
    assert_eq!(theirs.answers.len(), REQUESTS.len(), "BLESS=1 asks QEMU anew");
    for ((request, theirs), (_, ours)) in theirs.answers.iter().zip(&ours.answers) {
        answer_differences(request, theirs, ours, &mut found);
    }
    for (name, event) in &theirs.events {
        match ours.events.get(name) {
            Some(our_event) => {
                differences(name, event, our_event, &mut found);
                if event["data"]["reason"] != our_event["data"]["reason"] {
                    found.push(format!("{name}: {event} not {our_event}"));
                }
            }
            None => found.push(format!("no event {name}")),
        }
    }
    found
}

/// Fails for a difference that nobody has explained.
#[track_caller]
fn assert_explained(found: &[String]) {
    let known = known();
    let unexplained: Vec<_> = found.iter().filter(|difference| !known.contains(difference)).collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/qmp-of-qemu.json")
}

#[test]
fn answers_errors_and_events_have_the_form_that_qemu_gives_them() {
    let text = fs::read_to_string(golden()).expect("it is in the tree");
    let theirs = Heard::from_json(serde_json::from_str(&text).expect("JSON"));
    let found = all_differences(&theirs, &ours());
    assert_explained(&found);
    for known in known() {
        assert!(found.contains(&known), "no longer so: {known}");
    }
}

/// QEMU, halted before its first instruction.
struct Qemu {
    _child: Started,
    socket: PathBuf,
    _dir: tempfile::TempDir,
}

impl Qemu {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let socket = dir.path().join("qmp");
        // A socket that listens already: it says nothing when it does so itself.
        let listener = UnixListener::bind(&socket).expect("a socket");
        let mut command = Command::new("qemu-system-s390x");
        command
            .args(["-M", "s390-ccw-virtio", "-nodefaults", "-nographic", "-S", "-m", "64", "-smp", "2"])
            .args(["-chardev", "socket,id=qmp,fd=7,server=on,wait=off", "-mon", "chardev=qmp,mode=control"])
            .stdin(Stdio::null())
            .fd_mappings(vec![FdMapping { parent_fd: listener.into(), child_fd: 7 }])
            .expect("no number twice");
        let child = command.start();
        Self { _child: child, socket, _dir: dir }
    }
}

#[test]
#[ignore = "needs qemu-system-s390x; ./check runs it"]
fn the_qemu_that_is_here_says_the_same_in_the_same_form() {
    let qemu = Qemu::start();
    let (greeting, answers) = ask_all(&qemu.socket);
    let qemu = Qemu::start();
    let orders = [
        json!({ "execute": "system_reset" }),
        json!({ "execute": "system_powerdown" }),
        json!({ "execute": "device_add", "arguments": { "driver": "virtio-rng-ccw", "id": "x" } }),
        json!({ "execute": "device_del", "arguments": { "id": "x" } }),
    ];
    // There is nothing to boot: it panics.
    let events = events_of(&qemu.socket, &orders, "cont", false);
    let theirs = Heard { greeting, answers, events };
    if env::var_os("BLESS").is_some() {
        let text = serde_json::to_string_pretty(&theirs.to_json()).expect("JSON");
        fs::write(golden(), text + "\n").expect("writable");
    }
    assert_explained(&all_differences(&theirs, &ours()));
}
