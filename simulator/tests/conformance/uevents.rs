//! What udev is told, byte for byte: streams that real kernels sent (`uevents/*.txt`), with the operations that
//! made them, and the same operations on the simulated host.
//!
//! A stream is a text. `> write PATH VALUE` is a write to a file of sysfs, `> machine ORDER` an order to the machine;
//! below it are the name of its errno, if it was refused, and a line for each event: NUL is `\0`, a newline `\n`; a blank at the end of a value `\s`.
//! No mask is written while a queue has no driver: the kernel then looks for its flags at address 0, and what it finds there
//! is not always the same (`ap_bus.c: __ap_revise_reserved`).
//! SEQNUM counts from the first event, and COMPLETECOUNT from the first operation.

use crate::fixture::{Host, Order, Place, unmasked};

const STREAMS: [(&str, &str); 2] =
    [("6.12", include_str!("uevents/6.12.txt")), ("7.2", include_str!("uevents/7.2.txt"))];

fn write(place: &Place, order: &str) -> Option<&'static str> {
    let (path, value) = order.split_once(' ').unwrap();
    match place.try_write(path, &value.replace("\\n", "\n").replace("\\s", " ")) {
        0 => None,
        libc::EINVAL => Some("EINVAL"),
        libc::EBUSY => Some("EBUSY"),
        libc::ENODEV => Some("ENODEV"),
        libc::EEXIST => Some("EEXIST"),
        errno => panic!("{order}: errno {errno}"),
    }
}

/// What an order of the lab's machine is here.
fn machine(place: &Place, order: &str) {
    let (verb, what) = order.split_once(' ').unwrap();
    let (id, kind) = what.split_once('=').unwrap_or((what, ""));
    let (id, kind): (u8, _) = (id.parse().unwrap(), kind.to_uppercase());
    place.order(match verb {
        "card-add" => Order::AddCard(id, &kind),
        "card-del" => Order::RemoveCard(id),
        "cfg" => Order::Configure(id, true),
        "decfg" => Order::Configure(id, false),
        "cstop" => Order::Checkstop(id, true),
        "cstart" => Order::Checkstop(id, false),
        "usage-add" => Order::UsageDomain(id, true),
        "usage-del" => Order::UsageDomain(id, false),
        _ => panic!("{order}"),
    });
}

/// Carries out the operations of `recorded`, and tells of them in its form. `heard` gives the events since it was last
/// asked, as they come out of a netlink socket.
fn replay(place: &Place, mut heard: impl FnMut() -> Vec<Vec<u8>>, recorded: &str) -> String {
    let mut stream = String::new();
    let (mut first, mut complete) = (None, None);
    for line in recorded.lines().filter(|line| line.is_empty() || line.starts_with(['>', '#'])) {
        stream.push_str(line);
        stream.push('\n');
        let refused = match line.strip_prefix("> ").map(|order| order.split_once(' ').unwrap()) {
            Some(("write", order)) => write(place, order),
            Some(("machine", order)) => {
                machine(place, order);
                None
            }
            _ => continue,
        };
        stream.extend(refused.map(|errno| format!("{errno}\n")));
        for message in heard() {
            let message = String::from_utf8(message).unwrap();
            let message = relative(&message, "SEQNUM=", &mut first);
            let message = relative(&message, "COMPLETECOUNT=", &mut complete);
            stream.push_str(&message.replace('\0', "\\0").replace('\n', "\\n"));
            stream.push('\n');
        }
    }
    stream
}

/// The message with the number after `name` counted from the first one there was, which is 1.
fn relative(message: &str, name: &str, first: &mut Option<u64>) -> String {
    let words = message.split_inclusive('\0').map(|word| match word.strip_prefix(name) {
        None => word.to_owned(),
        Some(number) => {
            let number: u64 = number.trim_end_matches('\0').parse().unwrap();
            format!("{name}{}\0", number - *first.get_or_insert(number) + 1)
        }
    });
    words.collect()
}

/// The first lines that differ say more than two long texts.
#[track_caller]
fn assert_same(kernel: &str, stream: &str, recorded: &str) {
    let mut order = "";
    for (here, there) in stream.lines().zip(recorded.lines()) {
        assert_eq!(here, there, "{kernel}, after {order}");
        if here.starts_with('>') {
            order = here;
        }
    }
    assert_eq!(stream, recorded);
}

// lib/kobject_uevent.c, drivers/base/core.c:dev_uevent, ap_bus.c:ap_uevent, mdev_core.c, vfio_main.c, group.c
#[test]
fn udev_is_told_what_a_real_kernel_tells_it_byte_for_byte() {
    for (kernel, recorded) in STREAMS {
        // The masks are written when udev listens already: what a boot says is not compared.
        let host = Host::with_kernel(&unmasked(), kernel);
        host.write("bus/ap/apmask", "-5,-6");
        let mut reader = host.host.watch_uevents().unwrap();
        let heard =
            || std::iter::from_fn(|| reader.try_next().unwrap()).map(|event| event.message()).collect();
        assert_same(kernel, &replay(&host, heard, recorded), recorded);
    }
}

#[cfg(target_arch = "s390x")]
mod lab {
    use super::*;
    use crate::fixture::lab;
    use nix::sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
    };
    use std::os::fd::AsRawFd;

    mod cdev {
        use super::*;

        #[test]
        #[ignore = "needs the lab; ./check --lab runs it"]
        fn udev_is_told_what_the_recorded_kernel_told_it_byte_for_byte() {
            let place = lab::place();
            let kernel = place.kernel.name();
            let (_, recorded) = STREAMS.into_iter().find(|(name, _)| *name == kernel).expect("a recording");
            let events = socket(
                AddressFamily::Netlink,
                SockType::Datagram,
                SockFlag::SOCK_NONBLOCK,
                SockProtocol::NetlinkKObjectUEvent,
            )
            .unwrap();
            bind(events.as_raw_fd(), &NetlinkAddr::new(0, 1)).unwrap();
            let heard = || {
                let (mut message, mut heard) = ([0; 8192], Vec::new());
                while let Ok(length) = recv(events.as_raw_fd(), &mut message, MsgFlags::empty()) {
                    heard.push(message[..length].to_vec());
                }
                heard
            };
            assert_same(kernel, &replay(&place, heard, recorded), recorded);
        }
    }
}
