//! `--api-socket` and `adjunct ctl`, as those use them who steer guests.

use crate::{
    command::{MDEV, Ran, Start, Started, command, post_mortem},
    golden::assert_matches_file,
    lifecycle::{FOR_EVER, image, resets_once},
    serving::{Events, Http, Serving, ctl},
};
use command_fds::{CommandFdExt, FdMapping};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead, BufReader, Write},
    net::Shutdown,
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process::{Command, Stdio},
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A guest that never ends, with the first mediated device.
fn for_ever() -> (TempDir, Value) {
    let (dir, kernel) = image(&[FOR_EVER], &[]);
    let config = json!({
        "payload": { "kernel": kernel },
        "console": { "mode": "Off" },
        "devices": [{ "path": MDEV[0], "id": "ap0" }],
    });
    (dir, config)
}

#[test]
fn a_guest_is_steered_through_its_whole_life_by_ctl() {
    let adjunct = Serving::new();
    let refused = adjunct.ctl(&["boot"]);
    assert_eq!(
        (refused.status, refused.stderr.as_str()),
        (3, "adjunct: there is no guest: create one first\n")
    );
    let (_dir, config) = for_ever();
    adjunct.order(&["create", &adjunct.config(&config)]);
    assert_eq!(adjunct.info()["state"], "Created");
    let state = adjunct.order(&["info"]);
    assert!(
        state.lines().next().is_some_and(|line| line.split_whitespace().eq(["state", "created"])),
        "{state}"
    );
    adjunct.order(&["boot"]);
    let info = adjunct.info();
    assert_eq!(info["state"], "Running");
    assert_eq!(info["config"]["devices"], config["devices"]);
    assert_eq!(info["device_tree"]["ap0"]["apqns"], json!(["05.0004", "05.00ab", "06.0004", "06.00ab"]));
    assert_eq!(info["vcpus"][0]["state"], "Operating");
    assert_eq!(info["memory_actual_size"], 256 << 20);
    adjunct.order(&["pause"]);
    assert_eq!(adjunct.info()["state"], "Paused");
    adjunct.order(&["resume"]);
    assert_eq!(adjunct.info()["state"], "Running");
    adjunct.order(&["remove-device", "ap0"]);
    let info = adjunct.info();
    assert_eq!((&info["device_tree"], &info["config"]["devices"]), (&json!({}), &json!([])));
    let shown = adjunct.order(&["add-device", &format!("vfio-ap,sysfsdev={},id=ap1", MDEV[1])]);
    assert_eq!(
        shown,
        "device  ap1 (mediated device 6c4a5d2e-0d3e-4c7a-9b0a-000000000002): 05.0047 05.00ff\n"
    );
    assert!(adjunct.info()["device_tree"]["ap1"].is_object());
    adjunct.order(&["reboot"]);
    let counters: Value = serde_json::from_str(&adjunct.order(&["counters", "--json"])).expect("JSON");
    assert_eq!(counters["resets"]["external"], 1);
    let ap = &counters["ap"];
    assert_eq!((&ap["attached"], &ap["detached"], &ap["queues"]), (&json!(2), &json!(1), &json!(2)));
    assert!(adjunct.order(&["counters"]).contains("devices attached   2\n"));
    adjunct.order(&["shutdown"]);
    assert_eq!(adjunct.info()["state"], "Shutdown");
    adjunct.order(&["boot"]);
    adjunct.order(&["delete"]);
    assert_eq!(adjunct.ctl(&["info"]).status, 3);
    let ended = adjunct.end();
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
}

#[test]
fn what_cannot_be_done_is_refused_and_the_connection_lives() {
    let adjunct = Serving::new();
    let (_dir, config) = for_ever();
    let mut http = adjunct.connect();
    let mut refused = |method: &str, name: &str, body: &str, status: u16, why: &str| {
        let answer = http.ask(method, &format!("/api/v1/{name}"), body);
        assert_eq!(answer.status, status, "{method} {name} {body}: {answer:?}");
        assert!(answer.why().contains(why), "{method} {name} {body}: {answer:?}");
        answer.head
    };
    refused("PUT", "vm.create", "{", 400, "EOF");
    refused("PUT", "vm.create", "", 400, "EOF");
    refused("PUT", "vm.create", "{} {}", 400, "trailing");
    refused("PUT", "vm.create", "[[[[", 400, "");
    refused(
        "PUT",
        "vm.create",
        r#"{"payload":{"firmware":"x"}}"#,
        400,
        "payload.firmware: unknown field `firmware`",
    );
    refused("PUT", "vm.create", r#"{"memory":{"size":"256M"}}"#, 400, "memory.size: ");
    refused("PUT", "vm.create", r#"{"memory":{"size":1000}}"#, 400, "memory.size: ");
    refused("PUT", "vm.create", r#"{"cpus":{"boot_vcpus":0}}"#, 400, "cpus.boot_vcpus: ");
    refused("PUT", "vm.create", r#"{"cpus":{"boot_vcpus":1,"max_vcpus":2}}"#, 400, "cpus.max_vcpus: ");
    refused("PUT", "vm.create", r#"{"cpus":{"model":"z99"}}"#, 400, "cpus.model: ");
    refused("PUT", "vm.create", r#"{"devices":[{"path":"/a"},{"path":"/b"}]}"#, 400, "one vfio-ap device");
    refused("PUT", "vm.create", r#"{"console":{"mode":"File"}}"#, 400, "console.file: ");
    refused("PUT", "vm.add-device", "{}", 400, "device: ");
    refused("PUT", "vm.remove-device", "{}", 400, "missing field `id`");
    refused("GET", "vm.nope", "", 404, "there is no");
    refused("GET", "", "", 404, "there is no");
    assert!(refused("GET", "vm.boot", "", 405, "PUT").contains("\r\nAllow: PUT\r\n"));
    assert!(refused("PUT", "vm.info", "", 405, "GET").contains("\r\nAllow: GET, HEAD\r\n"));
    refused("DELETE", "vm.info", "", 405, "GET");
    refused("PUT", "vm.boot", "{}", 400, "no body");
    refused("PUT", "vm.create", &"x".repeat(70_000), 413, "65536 bytes");
    refused("GET", "vm.info", "", 404, "create one first");
    for order in
        ["vm.boot", "vm.delete", "vm.pause", "vm.resume", "vm.reboot", "vm.shutdown", "vm.power-button"]
    {
        refused("PUT", order, "", 404, "create one first");
    }
    assert_eq!(http.put("vm.create", &config.to_string()).status, 204);
    let mut refused = |name: &str, body: &str, status: u16, why: &str| {
        let answer = http.put(name, body);
        assert!(answer.status == status && answer.why().contains(why), "{name} {body}: {answer:?}");
    };
    refused("vm.create", "{}", 409, "there is a guest already");
    refused("vm.pause", "", 409, "boot it first");
    refused("vm.remove-device", r#"{"id":"ap0"}"#, 409, "boot it first");
    assert_eq!(http.put("vm.boot", "").status, 204);
    let mut refused = |name: &str, body: &str, status: u16, why: &str| {
        let answer = http.put(name, body);
        assert!(answer.status == status && answer.why().contains(why), "{name} {body}: {answer:?}");
    };
    refused("vm.boot", "", 409, "running");
    refused("vm.resume", "", 409, "running");
    refused("vm.remove-device", r#"{"id":"ap7"}"#, 404, "ap0");
    refused("vm.add-device", &json!({ "path": MDEV[1] }).to_string(), 409, "remove it first");
    assert_eq!(http.put("vm.remove-device", r#"{"id":"ap0"}"#).status, 204);
    let absent = "/sys/devices/vfio_ap/matrix/6c4a5d2e-0d3e-4c7a-9b0a-000000000009";
    let answer = http.put("vm.add-device", &json!({ "path": absent }).to_string());
    assert!(answer.status == 400 && answer.why().contains("this simulated host has"), "{answer:?}");
    assert_eq!(http.get("vmm.ping").status, 200);
    assert_eq!(adjunct.end().status, 0);
}

#[test]
fn a_guest_that_cannot_start_is_refused_by_what_the_plan_says() {
    let adjunct = Serving::new();
    let mut http = adjunct.connect();
    assert_eq!(
        http.put("vm.create", r#"{"cpus":{"model":"host,ap=off"},"devices":[{"path":"/sys/x"}]}"#).status,
        204
    );
    let answer = http.put("vm.boot", "");
    assert!(answer.status == 400 && answer.why().contains("ap=on"), "{answer:?}");
    assert!(http.get("vm.info").body.contains("\"Created\""));
    assert_eq!(http.put("vm.delete", "").status, 204);
}

#[test]
fn a_console_that_cannot_be_made_is_the_fault_of_who_asked_and_not_the_hosts() {
    let adjunct = Serving::new();
    let console = json!({ "console": { "mode": "File", "file": "/no/such/directory/console" } });
    adjunct.order(&["create", &adjunct.config(&console)]);
    let answer = adjunct.connect().put("vm.boot", "");
    let what = "--console file:/no/such/directory/console: it can't be written";
    assert!(answer.status == 400 && answer.why().contains(what), "{answer:?}");
    let refused = adjunct.ctl(&["boot"]);
    assert!(refused.status == 3 && refused.stderr.contains(what), "{refused:?}");
}

#[test]
fn what_is_no_request_is_answered_and_ends_the_connection() {
    let adjunct = Serving::new();
    let long = "x".repeat(10_000);
    for (text, status) in [
        ("nonsense\r\n\r\n", 400),
        ("GET /api/v1/vmm.ping HTTP/2.0\r\n\r\n", 505),
        ("PUT /api/v1/vm.create HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n", 400),
        ("PUT /api/v1/vm.create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        ("PUT /api/v1/vm.create HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (
            "PUT /api/v1/vm.create HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999\r\n\r\n",
            413,
        ),
        ("PUT /api/v1/vm.create HTTP/1.1\r\nHost: x\r\nExpect: more\r\n\r\n", 417),
        (&format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), 431),
    ] {
        let mut http = adjunct.connect();
        http.send(text);
        let answer = http.answer();
        assert_eq!(answer.status, status, "{text}: {answer:?}");
        answer.why();
        assert!(answer.head.contains("\r\nConnection: close\r\n"), "{answer:?}");
    }
    assert_eq!(adjunct.connect().get("vmm.ping").status, 200);
}

#[test]
fn connections_end_when_the_client_says_so_and_heads_can_be_had_alone() {
    let adjunct = Serving::new();
    let mut http = adjunct.connect();
    http.send(
        "HEAD /api/v1/vmm.ping HTTP/1.1\r\nHost: x\r\n\r\nHEAD /api/v1/vm.info HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert_eq!((http.head().0, http.head().0), (200, 404));
    http.send("GET http://localhost/api/v1/vmm.ping?x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(http.answer().status, 200);
    assert_eq!(http.rest(), "");
    let mut http = adjunct.connect();
    http.send("GET /api/v1/vmm.ping HTTP/1.0\r\n\r\n");
    let text = http.rest();
    assert!(text.contains("\r\nConnection: close\r\n") && text.contains("\"version\""), "{text}");
}

#[test]
fn of_two_who_want_the_same_at_once_one_gets_it() {
    let adjunct = Serving::new();
    let (_dir, config) = for_ever();
    assert_eq!(adjunct.connect().put("vm.create", &config.to_string()).status, 204);
    let wanted = ["vm.boot", "vm.pause", "vm.shutdown"];
    for name in wanted {
        let ask = || adjunct.connect().put(name, "").status;
        let mut statuses = thread::scope(|scope| {
            let askers = [(); 8].map(|()| scope.spawn(ask));
            askers.map(|asker| asker.join().expect("answered"))
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 409, 409, 409, 409, 409, 409, 409], "{name}");
    }
}

#[test]
fn a_client_that_goes_away_in_the_middle_of_a_request_has_asked_nothing() {
    let adjunct = Serving::new();
    let request = "PUT /api/v1/vm.create HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
    for length in [1, 30, request.len() - 1] {
        let mut http = adjunct.connect();
        http.send(&request[..length]);
        http.stream.get_ref().shutdown(Shutdown::Write).expect("it is there");
        assert_eq!(http.rest(), "", "nobody is there to be answered");
    }
    assert_eq!(adjunct.connect().get("vm.info").status, 404);
}

#[test]
fn a_client_that_goes_away_before_it_is_answered_has_asked() {
    let adjunct = Serving::new();
    let mut events = adjunct.connect().events();
    let (_dir, config) = for_ever();
    assert_eq!(adjunct.connect().put("vm.create", &config.to_string()).status, 204);
    adjunct.connect().send("PUT /api/v1/vm.boot HTTP/1.1\r\nHost: x\r\n\r\n");
    events.hear("vm-built");
    // And one that has enough of events harms nobody.
    drop(adjunct.connect().events());
    adjunct.order(&["pause"]);
    events.hear("paused");
    assert_eq!(adjunct.end().status, 0);
}

#[test]
fn events_are_heard_until_adjunct_ends() {
    let adjunct = Serving::new();
    let mut events = adjunct.connect().events();
    let (_dir, kernel) = resets_once(1, FOR_EVER);
    let config = json!({ "payload": { "kernel": kernel }, "console": { "mode": "Off" } });
    adjunct.order(&["create", &adjunct.config(&config)]);
    adjunct.order(&["boot"]);
    assert_eq!(events.hear("guest-reset")["kind"], "load-normal");
    assert_eq!(adjunct.end().status, 0);
    events.hear("guest-ended");
    let last = events.last().expect("one more");
    assert_eq!((&last["event"], &last["status"]), (&json!("ended"), &json!(0)));
}

#[test]
fn ctl_prints_events_until_adjunct_ends() {
    let adjunct = Serving::new();
    let (_dir, config) = for_ever();
    adjunct.order(&["create", &adjunct.config(&config)]);
    adjunct.order(&["boot"]);
    let mut following = command();
    following.arg("ctl").arg("--api-socket").arg(adjunct.file("api")).arg("events").stdout(Stdio::piped());
    let mut following = following.start();
    let mut lines = BufReader::new(following.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let listens = AtomicBool::new(false);
    let last = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let first = lines.next();
            listens.store(true, Ordering::Release);
            first.and(lines.last())
        });
        while !listens.load(Ordering::Acquire) {
            adjunct.order(&["reboot"]);
        }
        adjunct.order(&["quit"]);
        reader.join().expect("no panic")
    });
    assert!(last.as_ref().is_some_and(|line| line.contains("\"event\":\"ended\"")), "{last:?}");
    assert_eq!(following.wait().expect("it ends").code(), Some(0));
}

#[test]
fn there_is_a_limit_to_clients_and_who_leaves_makes_room() {
    let adjunct = Serving::new();
    let mut clients: Vec<Http> = (0..64).map(|_| adjunct.connect()).collect();
    assert!(clients.iter_mut().all(|client| client.get("vmm.ping").status == 200));
    let answer = adjunct.connect().answer();
    assert!(answer.status == 503 && answer.why().contains("64 clients"), "{answer:?}");
    clients.pop();
    clients.push(served(&adjunct));
    // Nor does who only listened take room any more when he is gone, though there is nothing to tell.
    let listeners: Vec<Events> = clients.into_iter().map(Http::events).collect();
    assert_eq!(adjunct.connect().answer().status, 503);
    drop(listeners);
    served(&adjunct);
}

/// A client that there is room for: it takes a moment to be noticed that others have left.
fn served(adjunct: &Serving) -> Http {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let mut client = adjunct.connect();
        let asked = client.stream.get_mut().write_all(b"GET /api/v1/vmm.ping HTTP/1.1\r\nHost: x\r\n\r\n");
        if asked.is_ok() && client.answer().status == 200 {
            return client;
        }
        assert!(Instant::now() < patience, "there is no room yet");
    }
}

/// A guest that never ends, run with a socket of its own making; the guest runs and the socket is there.
fn run_at(socket: &Path, kernel: &Path) -> (Started, BufReader<std::process::ChildStdout>) {
    let mut child = command()
        .args(["run", "--host", "sim", "--console", "off", "--event-monitor", "fd=1", "--api-socket"])
        .arg(format!("path={}", socket.display()))
        .arg("--kernel")
        .arg(kernel)
        .stdout(Stdio::piped())
        .start();
    let mut events = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("vm-built") {
        assert_ne!(events.read_line(&mut line).expect("text"), 0, "it has ended: {line}");
    }
    (child, events)
}

#[test]
fn a_socket_is_for_its_user_alone_and_goes_with_adjunct() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let socket = dir.path().join("api");
    // As after SIGKILL: the file is there and nobody listens.
    drop(UnixListener::bind(&socket).expect("nobody is there"));
    let (_kernel, kernel) = image(&[FOR_EVER], &[]);
    let (mut child, _events) = run_at(&socket, &kernel);
    assert_eq!(fs::metadata(&socket).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert!(ctl(&socket, &["ping"]).stdout.contains("guests run on simulated"));
    let option = format!("path={}", socket.display());
    let second = command().args(["serve", "--host", "sim", "--api-socket", &option]).ran();
    assert!(second.status == 3 && second.stderr.contains("another program listens there"), "{second:?}");
    assert_eq!(ctl(&socket, &["quit"]).status, 0);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert!(!socket.exists());
    let nobody = ctl(&socket, &["ping"]);
    assert!(nobody.status == 3 && nobody.stderr.contains("no adjunct listens there"), "{nobody:?}");
    assert!(nobody.stderr.contains(&format!("--api-socket {option}: ")), "as the other names it: {nobody:?}");
    assert_eq!(ctl(Path::new("fd=3"), &["ping"]).status, 2);
}

#[test]
fn what_is_no_socket_is_neither_replaced_nor_listened_at() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("mine");
    fs::write(&file, "mine").expect("writable");
    let serve = |option: &str, mapped: Option<FdMapping>| -> Ran {
        let mut command: Command = command();
        command.args(["serve", "--host", "sim", "--api-socket", option]);
        command.fd_mappings(mapped.into_iter().collect()).expect("at most one mapping");
        command.ran()
    };
    let refused = serve(&format!("path={}", file.display()), None);
    assert!(refused.status == 3 && refused.stderr.contains("what is there is no socket"), "{refused:?}");
    assert_eq!(fs::read(&file).expect("it is there"), b"mine");
    let refused = serve("path=/no/such/directory/api", None);
    assert!(refused.status == 3 && refused.stderr.contains("can't be made"), "{refused:?}");
    let (ours, _other) = UnixStream::pair().expect("a pair");
    let plain = fs::File::open(&file).expect("it is there");
    for descriptor in [ours.into(), plain.into()] {
        let refused = serve("fd=3", Some(FdMapping { parent_fd: descriptor, child_fd: 3 }));
        assert!(refused.status == 3 && refused.stderr.contains("no listening Unix socket"), "{refused:?}");
    }
    assert_eq!(serve("fd=77", None).status, 3);
    assert_eq!(command().arg("serve").ran().status, 2);
}

#[test]
fn a_guest_that_ends_by_itself_ends_adjunct_run_and_its_socket() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let socket = dir.path().join("api");
    let option = format!("path={}", socket.display());
    let ran = command().args(["run", "--host", "sim", "--console", "off", "--api-socket", &option]).ran();
    assert_eq!(ran.status, 0);
    assert!(!socket.exists());
}

#[test]
fn the_openapi_document_in_docs_is_that_of_the_program() {
    let mut text = serde_json::to_string_pretty(&adjunct::api::openapi::document()).expect("JSON");
    text.push('\n');
    assert_matches_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.json"), &text);
    let adjunct = Serving::new();
    let served: Value = serde_json::from_str(&adjunct.connect().get("openapi.json").body).expect("JSON");
    assert_eq!(served, adjunct::api::openapi::document());
}

#[test]
fn ctl_says_of_a_socket_of_qmp_that_it_is_one() {
    let adjunct = Serving::at(&[("--qmp", "qmp")]);
    let ran = ctl(&adjunct.file("qmp"), &["ping"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (3, ""));
    assert!(ran.stderr.starts_with("adjunct: that is a socket of --qmp, "), "{ran:?}");
}

#[test]
fn configurations_that_ctl_cannot_understand_are_refused_by_file_and_member() {
    let adjunct = Serving::new();
    let refused = adjunct.ctl(&["create", &adjunct.config(&json!({ "cpus": { "boot": 1 } }))]);
    assert!(
        refused.status == 2 && refused.stderr.contains("guest.json: cpus.boot: unknown field"),
        "{refused:?}"
    );
    let refused = adjunct.ctl(&["create", "/no/such/file"]);
    assert!(refused.status == 3 && refused.stderr.contains("/no/such/file"), "{refused:?}");
    assert_eq!(adjunct.ctl(&["add-device", "vfio-pci,host=1"]).status, 2);
}

#[test]
fn every_path_is_in_the_document_for_people() {
    let document =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md")).expect("readable");
    let openapi = adjunct::api::openapi::document();
    let paths = openapi["paths"].as_object().expect("an object");
    assert!(paths.len() > 10);
    for path in paths.keys() {
        assert!(document.contains(&format!("`{}`", &path[1..])), "{path}");
    }
}

#[test]
#[ignore = "needs curl; ./check runs it"]
fn the_examples_of_the_document_do_what_it_says() {
    let document =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md")).expect("readable");
    let mut adjunct = Serving::at(&[("--api-socket", "api.sock")]);
    let fences = || document.split("```").skip(1).step_by(2).filter_map(|fence| fence.split_once('\n'));
    let (_, guest) = fences().find(|(kind, _)| *kind == "json").expect("a guest");
    fs::write(adjunct.file("guest.json"), guest).expect("writable");
    let folder = Path::new(env!("CARGO_BIN_EXE_adjunct")).parent().expect("a folder").display();
    let mut ran = 0;
    for step in fences().filter(|(kind, _)| *kind == "console").flat_map(|(_, text)| text.split("$ ").skip(1))
    {
        let (line, want) = step.split_once('\n').expect("a line");
        if line.ends_with('&') {
            continue;
        }
        let script = format!("PATH={folder}:$PATH\n{line}");
        let output =
            Command::new("bash").args(["-c", &script]).current_dir(adjunct.file("")).output().expect("bash");
        let got = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(got, want, "{line}");
        ran += 1;
    }
    assert!(ran >= 7, "there are examples");
    assert_eq!(adjunct.child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_signal_ends_a_guest_whose_clients_ask_without_end() {
    let mut adjunct = Serving::new();
    let (_dir, config) = for_ever();
    adjunct.order(&["create", &adjunct.config(&config)]);
    adjunct.order(&["boot"]);
    let asking = Barrier::new(9);
    let child = Pid::from_raw(adjunct.child.id().try_into().expect("small"));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let Http { mut stream } = adjunct.connect();
                let questions = "GET /api/v1/vm.info HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
                stream.get_mut().write_all(questions.as_bytes()).expect("it is there");
                stream.fill_buf().expect("an answer");
                asking.wait();
                // Neither of these ends before the other side does.
                let mut asker = stream.get_ref().try_clone().expect("a descriptor");
                scope.spawn(move || while asker.write_all(questions.as_bytes()).is_ok() {});
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            });
        }
        asking.wait();
        kill(child, Signal::SIGTERM).expect("it is there");
    });
    assert_eq!(adjunct.child.wait().expect("it ends").code(), Some(143));
}

#[test]
#[ignore = "needs schemathesis and others of PyPI; ./check runs it"]
fn other_peoples_programs_find_it_as_documented() {
    let python =
        env::var_os("ADJUNCT_API_PYTHON").expect("./check names it: the one that tests/python prints");
    let mut adjunct = Serving::new();
    let (_dir, config) = for_ever();
    adjunct.order(&["create", &adjunct.config(&config)]);
    adjunct.order(&["boot"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/others.py");
    let ran = Command::new(python).arg(script).arg(adjunct.file("api")).output().expect("it starts");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{}\n{said}\n{}", ran.status, post_mortem(&mut adjunct.child));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "9 families of metrics\n16 operations\n");
    // The last of them was to end.
    assert_eq!(adjunct.child.wait().expect("it ends").code(), Some(0), "{}", post_mortem(&mut adjunct.child));
}

/// Leaves `adjunct` so many files more than it has.
fn limit_files(adjunct: &Serving, spare: usize) {
    let id = adjunct.child.id();
    let files = fs::read_dir(format!("/proc/{id}/fd")).expect("it runs");
    let number = |file: std::io::Result<fs::DirEntry>| file.ok()?.file_name().to_str()?.parse().ok();
    let taken: BTreeSet<u64> = files.filter_map(number).collect();
    let limit = (0..).filter(|number| !taken.contains(number)).nth(spare).expect("numbers have no end");
    let limit = format!("--nofile={limit}:");
    let ran = Command::new("prlimit").args(["--pid", &id.to_string(), &limit]).status();
    assert!(ran.expect("util-linux is there").success());
}

#[test]
fn a_guest_that_lacks_a_file_is_not_booted_and_the_vmm_stays() {
    let adjunct = Serving::new();
    let (_dir, config) = for_ever();
    adjunct.order(&["create", &adjunct.config(&config)]);
    let mut client = adjunct.connect();
    // Its connection has the file that it needs.
    assert_eq!(client.get("vm.info").status, 200);
    let mut refusals = Vec::new();
    for spare in 0.. {
        limit_files(&adjunct, spare);
        let booted = client.put("vm.boot", "");
        let info = client.get("vm.info").body;
        if booted.status == 204 {
            assert!(info.contains("Running"), "{info}");
            break;
        }
        let why = booted.why();
        assert!(why.contains("Too many open files"), "{spare}: {why}");
        assert!(info.contains("Created"), "{spare}: {info}");
        refusals.push(why);
    }
    assert!(refusals.iter().any(|why| why.contains("the event loop has failed")), "{refusals:?}");
}
