//! Whatever is sent to a socket, in whatever pieces: it is answered or the connection ends, and the next client is served.

use crate::{command::post_mortem, patience::PATIENCE, qmp::client::Client, serving::Serving};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
    thread,
};

/// What comes of `pieces`, up to the end of the connection.
fn say(socket: &Path, pieces: &[Vec<u8>]) -> Vec<u8> {
    let stream = UnixStream::connect(socket).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut answer = Vec::new();
    thread::scope(|scope| {
        // Beside reading: who is answered more than sockets hold must read.
        scope.spawn(|| {
            // The other side may end it before.
            let _ = pieces.iter().try_for_each(|piece| (&stream).write_all(piece));
            let _ = stream.shutdown(Shutdown::Write);
        });
        let mut stream = &stream;
        let mut bytes = [0; 4096];
        loop {
            match stream.read(&mut bytes) {
                Ok(0) => break,
                Ok(length) => answer.extend(&bytes[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // It was ended before all was read.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("neither an answer nor an end: {error}"),
            }
        }
    });
    answer
}

/// Bytes in pieces: some that mean something, some that do not, some that are too many.
fn pieces(with_a_meaning: &'static [&'static str]) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let piece = prop_oneof![
        4 => proptest::sample::select(with_a_meaning).prop_map(|text| text.as_bytes().to_vec()),
        2 => proptest::collection::vec(any::<u8>(), 0..200),
        1 => (any::<u8>(), 0_usize..100_000).prop_map(|(byte, count)| vec![byte; count]),
    ];
    proptest::collection::vec(piece, 0..8)
}

fn try_each(
    serving: &mut Serving,
    strategy: impl Strategy<Value = Vec<Vec<u8>>>,
    check: impl Fn(&Serving, &[Vec<u8>]),
) {
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    let tried = TestRunner::new(config).run(&strategy, |pieces| {
        check(serving, &pieces);
        Ok(())
    });
    tried.unwrap_or_else(|failed| panic!("{failed}\n{}", post_mortem(&mut serving.child)));
}

#[test]
fn whatever_is_sent_to_the_api_is_answered_or_ends_the_connection() {
    const MEANT: &[&str] = &[
        "GET /api/v1/vm.info HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /api/v1/vm.events HTTP/1.1\r\nHost: x\r\n\r\n",
        "PUT /api/v1/vm.create HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n",
        "PUT /api/v1/vm.create HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{",
        "PUT /api/v1/vm.boot HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\n",
        "Host: x\r\n",
        "\r\n\r\n",
        "{\"payload\":{}}",
    ];
    let mut serving = Serving::new();
    try_each(&mut serving, pieces(MEANT), |serving, pieces| {
        let answer = say(&serving.file("api"), pieces);
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        let ping = [b"GET /api/v1/vmm.ping HTTP/1.0\r\n\r\n".to_vec()];
        let next = say(&serving.file("api"), &ping);
        assert!(next.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&next));
    });
}

#[test]
fn whatever_is_sent_to_the_monitor_is_answered_or_ends_the_connection() {
    const MEANT: &[&str] = &[
        "{\"execute\":\"qmp_capabilities\"}",
        "{\"execute\":\"query-commands\",\"id\":1}",
        "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"vfio-ap\",",
        "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"x\"}}",
        "{\"execute\":",
        "\"stop\"",
        "}]",
        "\n",
    ];
    let mut serving = Serving::at(&[("--qmp", "qmp")]);
    try_each(&mut serving, pieces(MEANT), |serving, pieces| {
        let answer = say(&serving.file("qmp"), pieces);
        let text = String::from_utf8(answer).expect("text");
        let mut lines = text.split_terminator("\r\n").map(|line| {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
        });
        assert!(lines.next().is_some_and(|greeting| greeting["QMP"].is_object()), "{text}");
        assert!(
            lines.all(|line| ["return", "error", "event"].iter().any(|member| line.get(member).is_some())),
            "{text}"
        );
        let mut next = Client::negotiated(&serving.file("qmp"));
        assert_eq!(next.execute("query-target", json!({})), Ok(json!({ "arch": "s390x" })));
    });
}
