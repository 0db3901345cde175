//! `--qmp`, by clients: one of ours, QEMU's own in Python, and beside QEMU.

pub(crate) mod client;
mod qemu;

use crate::{
    command::{MDEV, Start, adjunct, command, post_mortem},
    lifecycle::{FOR_EVER, image},
    share::Shared,
};
use adjunct_ap::Sysfs;
use client::{Client, Guest};
use command_fds::{CommandFdExt, FdMapping};
use serde_json::{Value, json};
use std::{
    env, fs,
    io::{Read, Write},
    net::Shutdown,
    os::{
        fd::AsFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    process::{Command, Stdio},
};

fn desc(error: Result<Value, Value>) -> String {
    error.expect_err("refused")["desc"].as_str().expect("a sentence").to_owned()
}

#[test]
fn a_client_is_greeted_and_must_begin_before_it_orders() {
    let guest = Guest::start("sim", &[]);
    let mut client = Client::connect(&guest.socket);
    let version = &client.greeting["QMP"]["version"];
    assert!(version["qemu"]["major"].as_u64() >= Some(5), "govmm takes no older one: {version}");
    assert!(version["package"].as_str().is_some_and(|package| package.starts_with("adjunct ")), "{version}");
    assert_eq!(client.greeting["QMP"]["capabilities"], json!([]));
    let early = client.execute("query-status", json!({})).expect_err("too early");
    assert_eq!(early["class"], "CommandNotFound");
    assert_eq!(client.execute("qmp_capabilities", json!({})), Ok(json!({})));
    let status = client.execute("query-status", json!({}));
    assert_eq!(status, Ok(json!({ "running": true, "status": "running" })));
}

#[test]
fn a_guest_is_stopped_and_goes_on_and_both_are_told() {
    let guest = Guest::start("sim", &["--smp", "2"]);
    let mut client = guest.client();
    for _ in 0..3 {
        assert_eq!(client.execute("stop", json!({})), Ok(json!({})));
        assert_eq!(client.event("STOP")["data"], Value::Null);
        assert_eq!(client.execute("stop", json!({})), Ok(json!({})), "once more is as good");
        assert_eq!(client.execute("query-status", json!({})).expect("known")["status"], "paused");
        assert_eq!(client.execute("cont", json!({})), Ok(json!({})));
        client.event("RESUME");
        assert_eq!(client.execute("cont", json!({})), Ok(json!({})));
    }
    let cpus = client.execute("query-cpus-fast", json!({})).expect("known");
    let states: Vec<_> = cpus.as_array().expect("a list").iter().map(|cpu| &cpu["cpu-state"]).collect();
    assert_eq!(states, ["operating", "stopped"]);
}

#[test]
fn a_guest_is_reset_and_asked_to_power_down() {
    let guest = Guest::start("sim", &[]);
    let mut client = guest.client();
    assert_eq!(client.execute("system_reset", json!({})), Ok(json!({})));
    let reset = client.event("RESET");
    assert_eq!(reset["data"], json!({ "guest": false, "reason": "host-qmp-system-reset" }));
    assert_eq!(client.execute("system_powerdown", json!({})), Ok(json!({})));
    client.event("POWERDOWN");
}

#[test]
fn who_quits_is_answered_and_told_of_the_end_and_the_socket_is_gone() {
    let mut guest = Guest::start("sim", &[]);
    let mut client = guest.client();
    assert_eq!(client.execute("quit", json!({})), Ok(json!({})));
    let end = client.event("SHUTDOWN");
    assert_eq!(end["data"], json!({ "guest": false, "reason": "host-qmp-quit" }));
    assert_eq!(client.line(), None);
    assert_eq!(guest.ended(), Some(0));
    assert!(!guest.socket.exists());
}

/// A guest that does nothing, until it is reset: then it ends at address 0xbad.
fn panics_when_reset(words: &[&str]) -> Guest {
    let code = [
        0x5810_0800, // 200 l     %r1,0x800
        0x1211_0000, // 204 ltr   %r1,%r1
        0xa774_0008, // 206 jnz   216
        0xa718_0001, // 20a lhi   %r1,1
        0x5010_0800, // 20e st    %r1,0x800
        FOR_EVER,    // 212 j     212
        0xb2b2_0410, // 216 lpswe 0x410
    ];
    Guest::of(&code, "sim", words)
}

#[test]
fn a_guest_that_panics_is_told_with_its_psw_and_then_its_end() {
    let mut guest = panics_when_reset(&[]);
    let mut client = guest.client();
    // Whether or not it has come as far as to wait, a reset or two will do.
    let panicked = loop {
        client.try_send("{\"execute\":\"system_reset\"}{\"execute\":\"query-name\",\"id\":1}");
        let told = |line: &Value| line["event"] == "GUEST_PANICKED" || line["id"] == 1;
        let line = std::iter::from_fn(|| client.line()).find(told).expect("one of them");
        if line["event"] == "GUEST_PANICKED" {
            break line;
        }
    };
    let info = json!({
        "type": "s390", "core": 0, "psw-mask": 0x0002_0001_8000_0000_u64, "psw-addr": 0xbad, "reason": "disabled-wait"
    });
    assert_eq!(panicked["data"], json!({ "action": "poweroff", "info": info }));
    assert_eq!(client.event("SHUTDOWN")["data"], json!({ "guest": true, "reason": "guest-panic" }));
    assert_eq!(guest.ended(), Some(1));
}

/// What a device goes through on each host: plugged, asked for, refused a second time, unplugged.
pub(crate) fn a_device_comes_and_goes(host: &str, mdev: &str, apqns: &[String]) {
    let guest = Guest::start(host, &[]);
    let mut client = guest.client();
    let add = || json!({ "driver": "vfio-ap", "id": "ap0", "sysfsdev": mdev });
    for _ in 0..3 {
        assert_eq!(client.execute("device_add", add()), Ok(json!({})));
        let ap = client.execute("x-query-ap", json!({})).expect("known");
        assert_eq!(ap["device"]["id"], "ap0");
        assert_eq!(ap["device"]["matrix"]["apqns"], json!(apqns));
        assert_eq!(ap["features"]["ap"], true);
        assert_eq!(client.event("X_AP_ATTACHED")["data"]["apqns"], json!(apqns));
        let second = desc(client.execute("device_add", add()));
        assert!(second.contains("can have one"), "{second}");
        let listed = client.execute("qom-list", json!({ "path": "/machine/peripheral" })).expect("known");
        assert_eq!(listed[1], json!({ "name": "ap0", "type": "child<vfio-ap>" }));

        // The answer, and then the event.
        client.send(json!({ "execute": "device_del", "arguments": { "id": "ap0" } }).to_string());
        assert_eq!(client.line(), Some(json!({ "return": {} })));
        let gone = client.event("DEVICE_DELETED");
        assert_eq!(gone["data"], json!({ "device": "ap0", "path": "/machine/peripheral/ap0" }));
        let gone = client.execute("device_del", json!({ "id": "ap0" })).expect_err("gone");
        assert_eq!(gone, json!({ "class": "DeviceNotFound", "desc": "Device 'ap0' not found" }));
        assert_eq!(client.execute("x-query-ap", json!({})).expect("known")["device"], Value::Null);
    }
    assert_eq!(client.execute("device_add", add()), Ok(json!({})));
    let by_path = client.execute("device_del", json!({ "id": "/machine/peripheral/ap0" }));
    assert_eq!(by_path, Ok(json!({})));
}

#[test]
fn a_device_is_plugged_and_unplugged_by_qmp() {
    let apqns = ["05.0004", "05.00ab", "06.0004", "06.00ab"].map(str::to_owned);
    a_device_comes_and_goes("sim", MDEV[0], &apqns);
}

#[test]
fn a_device_that_cannot_be_had_is_refused_with_the_reason() {
    let guest = Guest::start("sim", &[]);
    let mut client = guest.client();
    let mut refused = |arguments: Value| desc(client.execute("device_add", arguments));
    assert_eq!(refused(json!({})), "Parameter 'driver' is missing");
    assert_eq!(refused(json!({ "driver": "vfio-pci" })), "'vfio-pci' is not a valid device model name");
    assert_eq!(refused(json!({ "driver": "vfio-ap" })), "Parameter 'sysfsdev' is missing");
    let with = |name: &str, value: Value| {
        let mut arguments = json!({ "driver": "vfio-ap", "sysfsdev": MDEV[0] });
        arguments[name] = value;
        arguments
    };
    assert_eq!(refused(with("foo", json!(1))), "Property 'vfio-ap.foo' not found");
    assert_eq!(refused(with("bus", json!("pci.0"))), "Bus 'pci.0' not found");
    assert_eq!(refused(with("id", json!("a b"))), "Parameter 'id' expects an identifier");
    let wrong = refused(with("sysfsdev", json!(3)));
    assert_eq!(wrong, "Invalid parameter type for 'sysfsdev', expected: string");
    let absent =
        refused(with("sysfsdev", json!("/sys/devices/vfio_ap/matrix/6c4a5d2e-0d3e-4c7a-9b0a-00000000000f")));
    assert!(absent.contains("6c4a5d2e-0d3e-4c7a-9b0a-000000000001"), "what there is: {absent}");
    assert_eq!(client.execute("query-status", json!({})).expect("it lives")["running"], true);
}

/// How many files it has open. Its own are all there when a question about the guest has been answered.
fn open_files(guest: &Guest) -> usize {
    fs::read_dir(format!("/proc/{}/fd", guest.child.id())).expect("it is ours").count()
}

#[test]
fn files_that_are_sent_get_names_and_are_closed_when_nobody_needs_them_any_more() {
    let guest = Guest::start("sim", &[]);
    let mut client = guest.client();
    client.execute("query-status", json!({})).expect("it runs");
    let before = open_files(&guest);
    let (file, other) = std::io::pipe().expect("a pipe");
    let done = json!({ "return": {} });
    assert_eq!(client.hand_over("a", file.as_fd()), done);
    assert_eq!(client.hand_over("b", file.as_fd()), done);
    assert_eq!(open_files(&guest), before + 2);
    assert_eq!(client.hand_over("a", file.as_fd()), done, "the first of that name goes");
    assert_eq!(open_files(&guest), before + 2);
    // With another command, and two of them: the first is kept until it is asked for, and nothing is kept twice.
    for _ in 0..3 {
        client.send_with(&json!({ "execute": "query-name" }), &[file.as_fd(), other.as_fd()]);
        assert_eq!(client.answer(), done);
    }
    assert_eq!(open_files(&guest), before + 3);
    assert_eq!(client.execute("getfd", json!({ "fdname": "c" })), Ok(json!({})));
    assert_eq!(open_files(&guest), before + 3);
    let none = desc(client.execute("getfd", json!({ "fdname": "d" })));
    assert_eq!(none, "No file descriptor supplied via SCM_RIGHTS");
    let digit = client.hand_over("1a", file.as_fd());
    assert_eq!(digit["error"]["desc"], "Parameter 'fdname' expects a name not starting with a digit");
    assert_eq!(open_files(&guest), before + 3);

    // Names outlive a client, and what has none does not.
    client.send_with(&json!({ "execute": "query-name" }), &[file.as_fd()]);
    assert_eq!(client.answer(), done);
    drop(client);
    let mut client = guest.client();
    assert_eq!(open_files(&guest), before + 3);
    let none = desc(client.execute("getfd", json!({ "fdname": "d" })));
    assert_eq!(none, "No file descriptor supplied via SCM_RIGHTS");
    for name in ["a", "b", "c"] {
        assert_eq!(client.execute("closefd", json!({ "fdname": name })), Ok(json!({})));
    }
    assert_eq!(
        desc(client.execute("closefd", json!({ "fdname": "a" }))),
        "File descriptor named 'a' not found"
    );
    assert_eq!(open_files(&guest), before);
    for n in 0..64 {
        assert_eq!(client.hand_over(&format!("n{n}"), file.as_fd()), done);
    }
    let refused = client.hand_over("one-more", file.as_fd());
    assert_eq!(refused["error"]["desc"], "64 file descriptors have names already: close one first");
    assert_eq!(open_files(&guest), before + 64);
}

#[test]
fn a_device_by_files_needs_both_and_takes_them_whatever_becomes_of_it() {
    let guest = Guest::start("sim", &[]);
    let mut client = guest.client();
    client.execute("query-status", json!({})).expect("it runs");
    let before = open_files(&guest);
    let (file, _other) = std::io::pipe().expect("a pipe");
    let hand_over = |client: &mut Client, name: &str| {
        assert_eq!(client.hand_over(name, file.as_fd()), json!({ "return": {} }));
    };
    let device = |more: Value| {
        let mut arguments = json!({ "driver": "vfio-ap", "id": "ap0" });
        arguments.as_object_mut().expect("an object").extend(more.as_object().expect("one more").clone());
        arguments
    };
    let refused = |client: &mut Client, more: Value| desc(client.execute("device_add", device(more)));
    let alone = refused(&mut client, json!({ "fd": "dev" }));
    assert_eq!(alone, "Use FD passing only with iommufd backend");
    let unknown = client.execute("device_add", device(json!({ "fd": "dev", "iommufd": "iommufd0" })));
    assert_eq!(unknown, Err(json!({ "class": "DeviceNotFound", "desc": "Device 'iommufd0' not found" })));
    let no_file =
        client.execute("object-add", json!({ "qom-type": "iommufd", "id": "iommufd0", "fd": "io" }));
    assert_eq!(desc(no_file), "File descriptor named 'io' has not been found");
    hand_over(&mut client, "io");
    let object = json!({ "qom-type": "iommufd", "id": "iommufd0", "fd": "io" });
    assert_eq!(client.execute("object-add", object.clone()), Ok(json!({})));
    hand_over(&mut client, "io");
    let twice = desc(client.execute("object-add", object));
    assert_eq!(twice, "attempt to add duplicate property 'iommufd0' to object (type 'container')");
    assert_eq!(client.execute("closefd", json!({ "fdname": "io" })), Ok(json!({})), "it was not taken");
    let no_file = refused(&mut client, json!({ "fd": "dev", "iommufd": "iommufd0" }));
    assert_eq!(no_file, "File descriptor named 'dev' has not been found");
    hand_over(&mut client, "dev");
    let both = refused(&mut client, json!({ "fd": "dev", "iommufd": "iommufd0", "sysfsdev": MDEV[0] }));
    assert_eq!(both, "Parameter 'fd' is for a device without 'sysfsdev'");
    assert_eq!(open_files(&guest), before + 2);
    // A file of this machine is no device of the simulated host.
    let simulated = refused(&mut client, json!({ "fd": "dev", "iommufd": "iommufd0" }));
    assert!(simulated.contains("vfio-ap,fd=dev,iommufd=iommufd0: no file of this process"), "{simulated}");
    assert_eq!(open_files(&guest), before + 1, "the object's is left");
    assert_eq!(client.execute("object-del", json!({ "id": "iommufd0" })), Ok(json!({})));
    assert_eq!(
        desc(client.execute("object-del", json!({ "id": "iommufd0" }))),
        "object 'iommufd0' not found"
    );
    assert_eq!(open_files(&guest), before);

    // An object without a file says which of VFIO's ways it is.
    assert_eq!(client.execute("object-add", json!({ "qom-type": "iommufd", "id": "io1" })), Ok(json!({})));
    let group = refused(&mut client, json!({ "sysfsdev": MDEV[0], "iommufd": "io1", "backend": "group" }));
    assert_eq!(group, "Parameter 'backend' contradicts 'iommufd'");
    hand_over(&mut client, "dev");
    let no_file = refused(&mut client, json!({ "fd": "dev", "iommufd": "io1" }));
    assert_eq!(no_file, "object 'io1' has no 'fd', which a device with 'fd' needs");
    let plugged = client.execute("device_add", device(json!({ "sysfsdev": MDEV[0], "iommufd": "io1" })));
    assert_eq!(plugged, Ok(json!({})));
}

#[test]
fn a_guest_without_ap_has_no_bus_for_the_device() {
    let guest = Guest::start("sim", &["--cpu", "host,ap=off"]);
    let mut client = guest.client();
    let arguments = json!({ "driver": "vfio-ap", "id": "ap0", "sysfsdev": MDEV[0] });
    let refused = desc(client.execute("device_add", arguments));
    assert_eq!(refused, "No 'ap-bus' bus found for device 'vfio-ap': the guest's CPU has ap=off");
    assert_eq!(client.execute("x-query-ap", json!({})).expect("known")["features"]["ap"], false);
}

#[test]
fn queues_that_the_host_takes_are_told_to_clients() {
    let shared = Shared::new();
    let guest =
        Guest::start(&shared.option(), &["--device", &format!("vfio-ap,id=ap0,sysfsdev={}", MDEV[0])]);
    let mut client = guest.client();
    let before = client.execute("x-query-ap", json!({})).expect("known");
    assert_eq!(before["device"]["matrix"]["adapters"], json!([5, 6]));
    shared.host.write(&format!("{}/unassign_adapter", &MDEV[0]["/sys/".len()..]), "5").expect("assigned");
    let changed = client.event("X_AP_CONFIG_CHANGED");
    assert_eq!(changed["data"]["id"], "ap0");
    assert_eq!(changed["data"]["removed"], json!(["05.0004", "05.00ab"]));
    assert_eq!(changed["data"]["apqns"], json!(["06.0004", "06.00ab"]));
    let ap = client.execute("x-query-ap", json!({})).expect("known");
    assert_eq!(ap["device"]["matrix"]["adapters"], json!([6]));
    assert_eq!(ap["device"]["matrix"]["domains"], json!([4, 0xab]));
}

#[test]
fn requests_may_be_cut_anywhere_and_come_together() {
    let guest = Guest::start("sim", &[]);
    let mut client = guest.client();
    for byte in br#"{"execute" : "query-name", "id": "}\"{" }"# {
        client.send([*byte]);
    }
    assert_eq!(client.answer(), json!({ "return": {}, "id": "}\"{" }));
    client.send(r#"{"execute":"query-name","id":1}{"execute":"query-name","id":2}"#);
    client.send("\r\n\t{\"execute\":\"query-target\",\"id\":3}\n");
    for id in 1..=2 {
        assert_eq!(client.answer(), json!({ "return": {}, "id": id }));
    }
    assert_eq!(client.answer(), json!({ "return": { "arch": "s390x" }, "id": 3 }));
}

#[test]
fn bad_requests_are_refused_one_by_one_and_the_connection_lives() {
    let guest = Guest::start("sim", &[]);
    let mut client = guest.client();
    let too_long = "[".repeat(100_000) + "\n";
    for bad in
        ["garbage\n", "{]", "\"text\"", "[]", "{\"execute\":\n3}", "{\"execute\":\"quit\x01", &too_long]
    {
        client.send(bad);
        let answer = client.answer();
        assert_eq!(answer["error"]["class"], "GenericError", "{bad:.20}: {answer}");
    }
    client.send([b'{', 0xff]);
    assert!(
        client.answer()["error"]["desc"].as_str().is_some_and(|desc| desc.starts_with("JSON parse error"))
    );
    assert_eq!(client.execute("query-name", json!({})), Ok(json!({})));
}

#[test]
fn one_client_is_served_at_a_time_and_the_next_when_it_has_gone() {
    let guest = Guest::start("sim", &[]);
    let mut first = guest.client();
    let mut second = UnixStream::connect(&guest.socket).expect("there is a queue");
    second.write_all(b"{\"execute\":\"qmp_capabilities\"}{\"execute\":\"query-name\"}").expect("room");
    assert_eq!(first.execute("query-name", json!({})), Ok(json!({})));
    drop(first);
    let mut second = Client::greeted(second);
    assert_eq!(second.answer(), json!({ "return": {} }));
    assert_eq!(second.answer(), json!({ "return": {} }));
}

#[test]
fn clients_that_go_in_the_middle_of_a_word_or_do_not_read_hold_nobody_up() {
    let mut guest = Guest::start("sim", &[]);
    for half in ["", "{", "{\"execute\":\"qmp_capabilities\"}{\"execute\":\"device_add\",\"argum"] {
        UnixStream::connect(&guest.socket).expect("it listens").write_all(half.as_bytes()).expect("room");
    }
    // Asks for more than sockets hold, and never reads.
    let mut deaf = UnixStream::connect(&guest.socket).expect("it listens");
    deaf.set_nonblocking(true).expect("a socket");
    let question = r#"{"execute":"qmp_capabilities"}"#.to_owned()
        + &r#"{"execute":"query-cpu-definitions"}"#.repeat(1000);
    let _ = deaf.write(question.as_bytes());
    let pid = guest.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
    assert_eq!(guest.ended(), Some(143));
    assert!(!guest.socket.exists());
}

#[test]
fn an_order_is_carried_out_though_its_client_goes_before_it_is_answered() {
    let guest = Guest::start("sim", &[]);
    let mut client = guest.client();
    let device = json!({ "driver": "vfio-ap", "id": "ap0", "sysfsdev": MDEV[0] });
    client.send(json!({ "execute": "device_add", "arguments": device }).to_string());
    drop(client);
    let ap = guest.client().execute("x-query-ap", json!({})).expect("the next is served");
    assert_eq!(ap["device"]["id"], "ap0");
}

#[test]
fn a_client_that_says_no_more_is_still_told_what_it_asked() {
    let guest = Guest::start("sim", &[]);
    let mut stream = UnixStream::connect(&guest.socket).expect("it listens");
    stream.write_all(b"{\"execute\":\"qmp_capabilities\"}{\"execute\":\"query-target\"}").expect("room");
    stream.shutdown(Shutdown::Write).expect("a socket");
    let mut all = String::new();
    stream.read_to_string(&mut all).expect("text");
    assert!(all.ends_with("{\"return\":{\"arch\":\"s390x\"}}\r\n"), "{all}");
}

#[test]
fn the_socket_can_be_one_that_somebody_else_listens_at() {
    let (dir, kernel) = image(&[FOR_EVER], &[]);
    let socket = dir.path().join("ours");
    let listener = UnixListener::bind(&socket).expect("a socket");
    // Connected before anybody serves: nothing is lost, as Kata wants it.
    let stream = UnixStream::connect(&socket).expect("it listens");
    let mut command = command();
    command
        .args(["run", "--host", "sim", "--memory", "1M", "--console", "off", "--qmp", "fd=7", "--kernel"])
        .arg(kernel);
    command
        .fd_mappings(vec![FdMapping { parent_fd: listener.into(), child_fd: 7 }])
        .expect("no number twice");
    let mut child = command.stderr(Stdio::piped()).start();
    let mut client = Client::greeted(stream);
    client.execute("qmp_capabilities", json!({})).expect("it begins");
    assert_eq!(client.execute("quit", json!({})), Ok(json!({})));
    assert!(child.wait().expect("it ends").success());
    assert!(socket.exists(), "it is not ours to remove");
}

#[test]
fn where_a_monitor_cannot_be_is_said_with_the_option() {
    let (dir, _) = image(&[FOR_EVER], &[]);
    let file = dir.path().join("file");
    fs::write(&file, "text").expect("writable");
    let option = format!("path={}", file.display());
    let ran = adjunct(&["run", "--host", "sim", "--qmp", &option]);
    assert_eq!(ran.status, 3, "{ran:?}");
    assert!(ran.stderr.contains("--qmp path=") && ran.stderr.contains("no socket"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(&file).expect("it is still there"), "text");
}

/// QEMU's own client, `qemu.qmp` of PyPI, in a virtual environment that `tests/python` makes.
#[test]
#[ignore = "needs Python and qemu.qmp from PyPI; ./check runs it"]
fn qemus_own_client_gets_on_with_it() {
    let python =
        env::var_os("ADJUNCT_QMP_PYTHON").expect("./check names it: the one that tests/python prints");
    let mut guest = Guest::start("sim", &["--smp", "2"]);
    let session = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/qmp/session.py");
    let ran = Command::new(python).arg(session).arg(&guest.socket).arg(MDEV[0]).output().expect("it starts");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{}\n{said}\n{}", ran.status, post_mortem(&mut guest.child));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "all as expected\n");
}
