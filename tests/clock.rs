//! The time that a guest has: a pause is none to it.

use crate::{
    lifecycle::image,
    steering::{Operator, beat, host, steered},
};
use adjunct::{
    control::{Handle, Refusal},
    event::Event,
};
use adjunct_simulator::{Fault, SimHost};
use std::{path::PathBuf, time::Duration};
use tempfile::TempDir;

/// What the host's clock is moved by.
const HOUR: Duration = Duration::from_secs(3600);

/// Looks at its clock over and over, which is heard, and ends badly if a minute has passed between two looks.
fn watchful() -> (TempDir, PathBuf) {
    let code = [
        0xa53e_0001_u32.to_be_bytes().as_slice(), // 200 llilh %r3,1
        &0xa736_0000_u32.to_be_bytes(),           // 204 brct  %r3,204     not too often for who listens
        &0xb205_0900_u32.to_be_bytes(),           // 208 stck  0x900
        &[0xe3, 0x10, 0x09, 0x00, 0x00, 0x04],    // 20c lg    %r1,0x900
        &[0xe3, 0x00, 0x09, 0x08, 0x00, 0x04],    // 212 lg    %r0,0x908   the look before
        &[0xe3, 0x10, 0x09, 0x08, 0x00, 0x24],    // 218 stg   %r1,0x908
        &0xb902_0000_u32.to_be_bytes(),           // 21e ltgr  %r0,%r0
        &0xa784_0009_u32.to_be_bytes(),           // 222 jz    234         there was none
        &0xb909_0010_u32.to_be_bytes(),           // 226 sgr   %r1,%r0
        &[0xe3, 0x10, 0x04, 0x40, 0x00, 0x21],    // 22a clg   %r1,0x440
        &0xa724_0006_u32.to_be_bytes(),           // 230 jh    23c
        &0xa728_0001_u32.to_be_bytes(),           // 234 lhi   %r2,1
        &0x8302_0308_u32.to_be_bytes(),           // 238 diag  %r0,%r2,0x308
        &0xb2b2_0410_u32.to_be_bytes(),           // 23c lpswe 0x410
    ]
    .concat();
    // The PSW of a load normal; a minute in units of 2^-12 microseconds. 0x908 lies outside: a reset leaves it alone.
    let psw = 0x0008_0000_8000_0200_u64.to_be_bytes();
    let minute = (60_000_000_u64 * 4096).to_be_bytes();
    image(&[], &[(0, &psw), (0x200, &code), (0x440, &minute)])
}

/// Whether the guest looks at its clock `looks` times, or finds before that a minute has passed.
fn looks(operator: &mut Operator, looks: usize) -> bool {
    (0..looks).all(|_| {
        operator.hear(|event| match event {
            Event::GuestPanicked { registers, .. } => {
                assert_eq!(registers.psw_addr, 0xbad);
                Some(false)
            }
            event => beat(event).map(|()| true),
        })
    })
}

/// Whether a guest sees that an hour passes, while it is paused or not.
fn sees_the_hour(host: &SimHost, paused: bool) -> bool {
    let (_dir, kernel) = watchful();
    let mut seen = false;
    steered(host, |operator| {
        let handle = operator.handle.clone();
        operator.boot(&kernel, None);
        assert!(looks(operator, 2));
        if paused {
            handle.pause().expect("it runs");
            host.advance(HOUR);
            handle.resume().expect("it is paused");
            operator.hear(|event| (event == Event::Resumed).then_some(()));
        } else {
            host.advance(HOUR);
        }
        // Some of what is heard first may be from before.
        seen = !looks(operator, 30);
    });
    seen
}

#[test]
fn a_guest_does_not_see_how_long_it_was_paused() {
    let host = host();
    assert!(sees_the_hour(&host, false), "the guest can tell");
    assert!(!sees_the_hour(&host, true));
}

#[test]
fn where_the_clock_can_not_be_set_the_guest_goes_on_and_sees_the_pause() {
    let host = host();
    host.acts().plan(Fault::of("KVM_S390_VM_TOD/EXT").fails_with(libc::EOPNOTSUPP));
    assert!(sees_the_hour(&host, true));
}

#[test]
fn a_reset_of_a_paused_guest_leaves_its_clock_alone() {
    let host = host();
    let (_dir, kernel) = watchful();
    steered(&host, |operator| {
        let handle = operator.handle.clone();
        operator.boot(&kernel, None);
        assert!(looks(operator, 2));
        for end in [Handle::resume as fn(&Handle) -> Result<(), Refusal>, Handle::reboot] {
            handle.pause().expect("it runs");
            host.advance(HOUR);
            handle.reset().expect("it may be paused");
            host.advance(HOUR);
            end(&handle).expect("it is paused");
            operator.hear(|event| (event == Event::Resumed).then_some(()));
            assert!(looks(operator, 4));
        }
        // Only when it was to run again.
        let clock = host.acts().text().lines().filter(|act| act.starts_with("KVM_S390_VM_TOD")).count();
        assert_eq!(clock, 2);
    });
}
