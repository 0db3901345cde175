//! How a guest of several CPUs has ended is for the last of them to say.

use crate::{
    lifecycle::{FOR_EVER, image},
    patience::until,
    steering::{config, host, steered},
};
use adjunct::{
    config::Config,
    control::VcpuState,
    event::{EndCause, Event},
};
use std::time::Duration;

/// 1 January 2026 and half an hour by the guest's TOD clock, in units of 2^-12 microseconds: the simulated host begins with
/// that year.
pub(crate) const HALF_PAST: u64 = ((126 * 365 + 31) * 86_400 + 1800) * 1_000_000 * 4096;

/// `lhi %r3,1`, then an order to CPU 1.
const CPU_1: u32 = 0xa738_0001;
const RESTART: u32 = 0xae03_0006;
const STOP: u32 = 0xae03_0005;

/// CPU 0 starts CPU 1 and waits at `first`; half an hour later CPU 1 waits at `last`, or stops. What is told of the end.
fn ended(first: u64, last: Option<u64>) -> (Option<u16>, EndCause, u8) {
    let wait = |address: u64| [0x0002_0001_8000_0000_u64.to_be_bytes(), address.to_be_bytes()].concat();
    let restart = [0x0000_0001_8000_0000_u64.to_be_bytes(), 0x300_u64.to_be_bytes()].concat();
    let mut waits = vec![0xb2, 0x05, 0x09, 0x00]; // 300 stck 0x900
    waits.extend([0xd5, 0x07, 0x09, 0x00, 0x09, 0x10]); // 304 clc  0x900(8),0x910
    waits.extend([0xa7, 0x44, 0xff, 0xfb]); // 30a jl   300
    let rests = if last.is_some() { vec![0xb2b2_0430_u32] } else { vec![CPU_1, STOP, FOR_EVER] };
    waits.extend(rests.into_iter().flat_map(u32::to_be_bytes));
    let (first, last) = (wait(first), wait(last.unwrap_or_default()));
    let elsewhere: [(usize, &[u8]); 5] = [
        (0x1a0, &restart),
        (0x300, &waits),
        (0x420, &first),
        (0x430, &last),
        (0x910, &HALF_PAST.to_be_bytes()),
    ];
    let (_dir, kernel) = image(&[CPU_1, RESTART, 0xb2b2_0420], &elsewhere);
    let host = host();
    let mut told = None;
    steered(&host, |operator| {
        operator.handle.create(Config { vcpus: 2, ..config(&kernel, None) }).expect("there is none");
        operator.handle.boot().expect("it boots");
        let states = || -> Vec<_> {
            let info = operator.handle.info().expect("it runs");
            info.vcpus.iter().map(|cpu| cpu.state).collect()
        };
        until(|| states() == [VcpuState::DisabledWait, VcpuState::Operating]);
        host.advance(Duration::from_secs(3600));
        let mut panicked = None;
        told = Some(operator.hear(|event| match event {
            Event::GuestPanicked { cpu, .. } => {
                panicked = Some(cpu);
                None
            }
            Event::GuestEnded { cause, status, .. } => Some((panicked, cause, status)),
            _ => None,
        }));
    });
    told.expect("it has ended")
}

#[test]
fn the_cpu_that_comes_to_rest_last_says_how_the_guest_ended() {
    for (first, last, (panicked, cause, status)) in [
        (0xbad, None, (None, EndCause::Guest, 0)),
        (0xbad, Some(0xfff), (None, EndCause::Guest, 0)),
        (0xfff, Some(0xbad), (Some(1), EndCause::Panic, 1)),
        (0xbad, Some(0xbad), (Some(1), EndCause::Panic, 1)),
        (0xfff, None, (None, EndCause::Guest, 0)),
    ] {
        assert_eq!(ended(first, last), (panicked, cause, status), "{first:#x}, then {last:x?}");
    }
}
