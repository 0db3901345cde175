//! Adapters and queues as AP instructions find them.

use crate::fixture::{Host, Told, queue};
use adjunct_ap::Apid;
use adjunct_simulator::{Interruption, Response};
use std::{sync::Arc, time::Duration};

const Q: &str = "05.0004";

#[test]
fn a_message_comes_back_from_the_queue_it_went_to() {
    let host = Host::new();
    let adapters = host.host.adapters();
    adapters.zeroize(queue(Q));
    host.host.advance(Duration::from_secs(1));
    let status = adapters.enqueue(queue(Q), 0x1234_5678_9abc_def0, b"message");
    assert_eq!(status.code(), 0);
    assert!(status.replies_waiting() && !status.queue_empty());
    assert_eq!(adapters.dequeue(queue("05.0047"), 100).0.code(), 0x10);
    let (status, part) = adapters.dequeue(queue(Q), 100);
    let part = part.unwrap();
    assert_eq!(
        (part.psmid, part.data.as_slice(), part.residual),
        (0x1234_5678_9abc_def0, &b"message"[..], 0)
    );
    assert!(status.queue_empty() && !status.replies_waiting());
}

// 210: a guest's ap_sm_recv
#[test]
fn dequeuing_what_is_not_there_is_response_code_10() {
    let host = Host::new();
    let adapters = host.host.adapters();
    let (status, part) = adapters.dequeue(queue(Q), 100);
    assert_eq!((status.code(), status.queue_empty(), part), (0x10, true, None));
    adapters.operate(|machine| machine.service_time = Duration::from_millis(1));
    adapters.enqueue(queue(Q), 1, b"x");
    let (status, _) = adapters.dequeue(queue(Q), 100);
    assert_eq!((status.code(), status.queue_empty()), (0x10, false), "it is under way");
    host.host.advance(Duration::from_millis(1));
    assert_eq!(adapters.dequeue(queue(Q), 100).0.code(), 0);
}

#[test]
fn a_queue_holds_as_many_messages_as_it_is_deep() {
    let host = Host::new();
    let adapters = host.host.adapters();
    for n in 0..8 {
        let status = adapters.enqueue(queue(Q), n, b"x");
        assert_eq!((status.code(), status.queue_full()), (0, n == 7));
    }
    assert_eq!(adapters.enqueue(queue(Q), 8, b"x").code(), 0x10);
    assert_eq!(adapters.dequeue(queue(Q), 1).1.unwrap().psmid, 0);
    assert_eq!(adapters.enqueue(queue(Q), 8, b"x").code(), 0);
}

#[test]
fn a_message_longer_than_the_adapter_takes_is_response_code_15() {
    let host = Host::new();
    let adapters = host.host.adapters();
    assert_eq!(adapters.enqueue(queue(Q), 1, &[0; 12 * 1024]).code(), 0);
    assert_eq!(adapters.enqueue(queue(Q), 1, &[0; 12 * 1024 + 1]).code(), 0x15);
    adapters.operate(|machine| machine.cards.get_mut(&Apid(5)).unwrap().max_message = 6);
    assert_eq!(adapters.enqueue(queue(Q), 1, &[0; 24 * 1024]).code(), 0);
}

#[test]
fn a_reply_longer_than_the_buffer_comes_in_parts() {
    let host = Host::new();
    let adapters = host.host.adapters();
    adapters.enqueue(queue(Q), 7, b"abcdefg");
    let parts: Vec<(Vec<u8>, usize)> = (0..3)
        .map(|_| adapters.dequeue(queue(Q), 3).1.unwrap())
        .map(|part| (part.data, part.residual))
        .collect();
    assert_eq!(parts, [(b"abc".to_vec(), 4), (b"def".to_vec(), 1), (b"g".to_vec(), 0)]);
    assert!(host.queue_empty(Q));
}

// 208: a guest's ap_sm_reset_wait
#[test]
fn a_reset_takes_a_while_and_leaves_the_queue_empty() {
    let host = Host::new();
    let adapters = host.host.adapters();
    host.leave_message(Q);
    adapters.operate(|machine| machine.reset_time = Duration::from_micros(100));
    assert_eq!(adapters.reset(queue(Q)).code(), 0);
    let tested = adapters.test(queue(Q));
    assert_eq!(tested.status.code(), 2);
    assert_ne!(tested.info, 0, "what the card is can be told all the same");
    assert_eq!(adapters.enqueue(queue(Q), 1, b"x").code(), 2);
    assert_eq!(adapters.reset(queue(Q)).code(), 2);
    // Nobody moves the clock but these instructions.
    let tests = (0..20).take_while(|_| adapters.test(queue(Q)).status.code() == 2).count();
    assert!(tests < 20);
    assert!(adapters.test(queue(Q)).status.queue_empty());
}

#[test]
fn a_queue_that_can_not_be_used_says_why() {
    let host = Host::new();
    let adapters = host.host.adapters();
    let codes = |apqn: &str| {
        let apqn = queue(apqn);
        let codes = [
            adapters.test(apqn).status,
            adapters.reset(apqn),
            adapters.zeroize(apqn),
            adapters.enqueue(apqn, 1, b"x"),
            adapters.dequeue(apqn, 9).0,
            adapters.set_interruption(apqn, None),
            adapters.query_type(apqn, 0).status,
        ];
        codes.map(|status| status.code())
    };
    assert_eq!(codes("07.0004"), [1; 7]);
    assert_eq!(codes("05.0005"), [1; 7]);
    host.configure(5, false);
    assert_eq!(codes(Q), [3; 7]);
    host.configure(5, true);
    adapters.operate(|machine| machine.cards.get_mut(&Apid(5)).unwrap().checkstopped = true);
    assert_eq!(codes(Q), [4; 7]);
    assert_eq!(adapters.test(queue("07.0004")).info, 0);
}

// 209: a guest's ap_sm_setirq_wait
#[test]
fn interruptions_are_enabled_once_and_the_status_word_says_so() {
    let host = Host::new();
    let adapters = host.host.adapters();
    let told = Arc::new(Told::default());
    adapters.zeroize(queue(Q));
    host.host.advance(Duration::from_secs(1));
    let on = |nib| Some(Interruption { nib, isc: 6, sink: Some(told.clone() as _) });
    assert_eq!(adapters.set_interruption(queue(Q), on(0x1000)).code(), 0);
    assert!(adapters.test(queue(Q)).status.interruptions_enabled());
    assert!(adapters.set_interruption(queue(Q), on(0x2000)).is(Response::OtherwiseChanged));
    adapters.enqueue(queue(Q), 1, b"x");
    adapters.test(queue(Q));
    assert_eq!(*told.0.lock().unwrap(), [(0x1000, 6)], "once for one reply, as first registered");
    assert_eq!(adapters.set_interruption(queue(Q), None).code(), 0);
    assert_eq!(adapters.set_interruption(queue(Q), None).code(), 7);
    adapters.enqueue(queue(Q), 2, b"x");
    assert_eq!(told.0.lock().unwrap().len(), 1);
}

#[test]
fn a_reply_that_takes_time_interrupts_when_it_is_there() {
    let host = Host::new();
    let adapters = host.host.adapters();
    let told = Arc::new(Told::default());
    adapters.zeroize(queue(Q));
    host.host.advance(Duration::from_secs(1));
    adapters.operate(|machine| machine.service_time = Duration::from_millis(5));
    adapters.set_interruption(queue(Q), Some(Interruption { nib: 8, isc: 1, sink: Some(told.clone()) }));
    adapters.enqueue(queue(Q), 1, b"x");
    assert!(told.0.lock().unwrap().is_empty());
    host.host.advance(Duration::from_millis(5));
    assert_eq!(*told.0.lock().unwrap(), [(8, 1)]);
}
