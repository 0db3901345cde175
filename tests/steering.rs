//! Who steers a VMM in this process, and guests to be steered.

use crate::lifecycle::image;
use adjunct::{
    chain::chain,
    config::{Config, Image, VfioApOption},
    control::{Handle, Refusal, VmState, mailbox},
    event::{Event, Events, Reset, Subscription},
    exit_status::ExitStatus,
    host::{Host, builtin},
    vmm::{After, Vmm},
};
use adjunct_simulator::SimHost;
use std::{path::Path, thread};

/// Somebody who steers a VMM, and hears what happens.
pub(crate) struct Operator {
    pub(crate) handle: Handle,
    pub(crate) events: Subscription,
}

/// A test that fails leaves no VMM behind that waits for orders.
impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.handle.quit();
    }
}

impl Operator {
    /// The next event that `wanted` picks; others are passed over.
    pub(crate) fn hear<T>(&mut self, wanted: impl FnMut(Event) -> Option<T>) -> T {
        self.events.find_map(wanted).expect("it happens")
    }

    /// Forgets what has been.
    pub(crate) fn forget(&self) {
        while self.events.next_now().is_some() {}
    }

    pub(crate) fn state(&self) -> VmState {
        self.handle.info().expect("there is a guest").state
    }

    pub(crate) fn boot(&self, kernel: &Path, device: Option<&str>) {
        self.handle.create(config(kernel, device)).expect("there is no guest");
        self.handle.boot().expect("it boots");
    }
}

pub(crate) fn config(kernel: &Path, device: Option<&str>) -> Config {
    let device = device.map(option);
    Config { kernel: Image::File(kernel.to_owned()), ..Config::apcheck(device) }
}

pub(crate) fn option(mdev: &str) -> VfioApOption {
    format!("vfio-ap,sysfsdev={mdev},id=ap0").parse().expect("well formed")
}

/// A VMM on `host` without a guest, steered by `steer`; how it ended.
pub(crate) fn steered(host: &SimHost, steer: impl FnOnce(&mut Operator)) -> (ExitStatus, String) {
    let (handle, mailbox) = mailbox().expect("an eventfd");
    let events = Events::default();
    let mut operator = Operator { handle, events: events.subscribe().expect("an eventfd") };
    let host = Host::simulated(host);
    thread::scope(|scope| {
        let vmm = scope.spawn(|| Vmm::new(&host, &events, None, mailbox).serve(After::Stay));
        steer(&mut operator);
        drop(operator);
        vmm.join().expect("it does not panic").expect("nothing is lost")
    })
}

pub(crate) fn host() -> SimHost {
    builtin().expect("the built-in host is right")
}

pub(crate) fn queues(event: Event) -> Option<Vec<String>> {
    match event {
        Event::ApAttached { apqns, .. } => Some(apqns),
        _ => None,
    }
}

/// Every refusal is one line that says what is the matter, and what to do about it.
#[track_caller]
pub(crate) fn assert_says<T: std::fmt::Debug>(refused: Result<T, Refusal>, parts: &[&str]) {
    let said = chain(&refused.expect_err("it is refused"));
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
    assert!(!said.contains('\n'), "{said}");
}

/// Resets itself without end, which is heard.
pub(crate) fn heartbeat() -> (tempfile::TempDir, std::path::PathBuf) {
    // lhi %r2,1; diag %r0,%r2,0x308: load normal, by the PSW at absolute 0.
    let psw = 0x0008_0000_8000_0200_u64.to_be_bytes();
    image(&[0xa728_0001, 0x8302_0308], &[(0, &psw)])
}

pub(crate) fn beat(event: Event) -> Option<()> {
    matches!(event, Event::GuestReset { kind: Reset::LoadNormal }).then_some(())
}
