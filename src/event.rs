//! What happened to a guest, for whoever watches: one JSON object a line in a file, or a subscription.

mod watchers;

use crate::exit_status::ExitStatus;
use adjunct_devices::ipl::ResetKind;
use adjunct_hypervisor::CpuState;
use serde::{Serialize, Serializer};
pub use watchers::{Events, EventsError, Subscription};

/// Something that happened. The shape is part of the interface and pinned by a test; new events and
/// new members may come, what is here stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// The host was looked at and can do what was asked for. Nothing has been changed yet.
    HostChecked {
        /// What the host is.
        host: String,
        /// What was worth a warning.
        warnings: Vec<String>,
    },
    /// The VM and its vCPUs exist; the CPU model is frozen.
    VmBuilt {
        /// CPU model as `--cpu` takes it.
        cpu: String,
        /// Number of vCPUs.
        vcpus: u16,
        /// Guest memory in bytes.
        memory: u64,
    },
    /// The AP device is open: the guest has these queues. At its start, or by hot plug.
    ApAttached {
        /// What the user calls the device.
        id: String,
        /// UUID of the mediated device, if it is known.
        mdev: Option<String>,
        /// The guest's queues as sysfs writes them: `05.0004`.
        apqns: Vec<String>,
    },
    /// The host changed the guest's queues (`VFIO_AP_CFG_CHG_IRQ_INDEX`).
    ApConfigChanged {
        /// What the user calls the device.
        id: String,
        /// The queues the guest has now.
        apqns: Vec<String>,
        /// Those that it did not have before.
        added: Vec<String>,
        /// Those that it had before.
        removed: Vec<String>,
    },
    /// Adapters of the guest are checkstopped, or work again. The host's kernel tells nobody: adjunct looks every 30
    /// seconds, at resets, and when it is asked about the guest.
    ApCheckstopped {
        /// What the user calls the device.
        id: String,
        /// All of the guest's queues that are checkstopped now.
        apqns: Vec<String>,
    },
    /// The host wants the AP device back (`VFIO_AP_REQ_IRQ_INDEX`).
    ApReleaseRequested {
        /// What the user calls the device.
        id: String,
    },
    /// The AP device is gone from a guest that goes on.
    ApDetached {
        /// What the user calls the device.
        id: String,
        /// The queues that the guest has lost.
        apqns: Vec<String>,
        /// Who wanted it.
        reason: DetachReason,
    },
    /// All vCPUs are held.
    Paused,
    /// The vCPUs go on.
    Resumed,
    /// The guest was asked to shut down (SCLP signal quiesce).
    PowerDownRequested,
    /// The guest was reset.
    GuestReset {
        /// Which.
        kind: Reset,
    },
    /// The guest can't go on, by its own fault. It has ended.
    GuestPanicked {
        /// Address of the CPU that says so.
        cpu: u16,
        /// How that is known.
        reason: PanicReason,
        /// That CPU's registers; numbers are hexadecimal.
        #[serde(flatten)]
        registers: Registers,
    },
    /// A guest ended, or did not start; the next one may come.
    GuestEnded {
        /// Who wanted it.
        cause: EndCause,
        /// Exit status that the program has if it ends with this guest.
        status: u8,
        /// Why, for people.
        reason: String,
    },
    /// The program ends. Always the last event.
    Ended {
        /// Exit status of the program.
        status: u8,
        /// Why, for people.
        reason: String,
    },
}

/// A reset of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reset {
    /// Somebody who steers it wanted it.
    External,
    /// The guest loads itself again (DIAGNOSE 0x308 subcodes 3 and 4).
    ReIpl,
    /// The guest wanted it, with all CPUs cleared (subcode 0): a kernel dump, for example.
    ModifiedClear,
    /// The guest wanted it (subcode 1): kexec, for example.
    LoadNormal,
}

impl From<ResetKind> for Reset {
    fn from(kind: ResetKind) -> Self {
        match kind {
            ResetKind::External => Self::External,
            ResetKind::ReIpl => Self::ReIpl,
            ResetKind::ModifiedClear => Self::ModifiedClear,
            ResetKind::LoadNormal => Self::LoadNormal,
        }
    }
}

/// Why a device is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DetachReason {
    /// It was unplugged.
    Unplugged,
    /// The host wanted it back.
    HostRequest,
}

/// Who ended a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EndCause {
    /// The guest: it has powered off.
    Guest,
    /// The guest, which can't go on.
    Panic,
    /// Somebody who steers it.
    Order,
    /// A signal to the program.
    Signal,
    /// The host, which refused something.
    HostError,
}

/// How a guest says that it can't go on, as QEMU calls it (`qapi/run-state.json: S390CrashReason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PanicReason {
    /// Its CPUs wait, and no interruption can wake one.
    DisabledWait,
    /// Program interruptions without end.
    PgmintLoop,
    /// Operation exceptions without end.
    OpintLoop,
    /// External interruptions without end.
    ExtintLoop,
    /// Something else; the end of the guest says what.
    Unknown,
}

/// The registers of a CPU; written as `0x…`: JSON's numbers don't hold all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Registers {
    /// Bits 0-63 of the PSW.
    #[serde(serialize_with = "hex")]
    pub psw_mask: u64,
    /// Bits 64-127 of the PSW: the instruction address.
    #[serde(serialize_with = "hex")]
    pub psw_addr: u64,
    /// Address of the prefix area.
    #[serde(serialize_with = "hex_of_a_word")]
    pub prefix: u32,
    /// General registers.
    #[serde(serialize_with = "hex_of_each")]
    pub gprs: [u64; 16],
    /// Control registers.
    #[serde(serialize_with = "hex_of_each")]
    pub crs: [u64; 16],
}

fn hex<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:#018x}"))
}

fn hex_of_a_word<S: Serializer>(value: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:#010x}"))
}

fn hex_of_each<S: Serializer>(values: &[u64; 16], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|value| format!("{value:#018x}")))
}

impl From<&CpuState> for Registers {
    fn from(cpu: &CpuState) -> Self {
        let CpuState { psw, gprs, crs, prefix, .. } = cpu;
        Self { psw_mask: psw.mask, psw_addr: psw.address, prefix: *prefix, gprs: *gprs, crs: *crs }
    }
}

impl Event {
    /// A CPU's last word.
    pub fn guest_panicked(cpu: u16, reason: PanicReason, registers: &CpuState) -> Self {
        Self::GuestPanicked { cpu, reason, registers: registers.into() }
    }

    /// It as one line.
    fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }

    /// The last event.
    pub fn ended(status: ExitStatus, reason: &str) -> Self {
        Self::Ended { status: status.code(), reason: reason.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjunct_hypervisor::Psw;

    #[test]
    fn an_event_is_one_json_object_on_one_line() {
        let apqns = vec!["05.0004".to_owned(), "05.00ab".to_owned()];
        let (id, added, removed) = ("ap0".to_owned(), vec!["05.00ab".to_owned()], vec!["06.0004".to_owned()]);
        let psw = Psw { mask: 0x0002_0001_8000_0000, address: 0xbad };
        let cpu = CpuState { psw, gprs: [1; 16], prefix: 0x2000, ..CpuState::default() };
        let events = [
            Event::HostChecked { host: "KVM".to_owned(), warnings: vec!["two\nlines".to_owned()] },
            Event::VmBuilt { cpu: "host".to_owned(), vcpus: 2, memory: 1 << 28 },
            Event::ApAttached { id: id.clone(), mdev: Some("6c4a".to_owned()), apqns: apqns.clone() },
            Event::ApConfigChanged { id: id.clone(), apqns: apqns.clone(), added, removed },
            Event::ApCheckstopped { id: id.clone(), apqns: vec!["05.0004".to_owned()] },
            Event::ApReleaseRequested { id: id.clone() },
            Event::ApDetached { id: id.clone(), apqns, reason: DetachReason::HostRequest },
            Event::ApDetached { id, apqns: Vec::new(), reason: DetachReason::Unplugged },
            Event::Paused,
            Event::Resumed,
            Event::PowerDownRequested,
            Event::GuestReset { kind: ResetKind::LoadNormal.into() },
            Event::guest_panicked(1, PanicReason::DisabledWait, &cpu),
            Event::GuestEnded { cause: EndCause::Panic, status: 1, reason: "disabled wait".to_owned() },
            Event::ended(ExitStatus::GuestFailed, "disabled wait"),
        ];
        let mut text = Vec::new();
        for event in &events {
            text.extend(event.line());
        }
        let want = [
            r#"{"event":"host-checked","host":"KVM","warnings":["two\nlines"]}"#,
            r#"{"event":"vm-built","cpu":"host","vcpus":2,"memory":268435456}"#,
            r#"{"event":"ap-attached","id":"ap0","mdev":"6c4a","apqns":["05.0004","05.00ab"]}"#,
            r#"{"event":"ap-config-changed","id":"ap0","apqns":["05.0004","05.00ab"],"added":["05.00ab"],"removed":["06.0004"]}"#,
            r#"{"event":"ap-checkstopped","id":"ap0","apqns":["05.0004"]}"#,
            r#"{"event":"ap-release-requested","id":"ap0"}"#,
            r#"{"event":"ap-detached","id":"ap0","apqns":["05.0004","05.00ab"],"reason":"host-request"}"#,
            r#"{"event":"ap-detached","id":"ap0","apqns":[],"reason":"unplugged"}"#,
            r#"{"event":"paused"}"#,
            r#"{"event":"resumed"}"#,
            r#"{"event":"power-down-requested"}"#,
            r#"{"event":"guest-reset","kind":"load-normal"}"#,
            concat!(
                r#"{"event":"guest-panicked","cpu":1,"reason":"disabled-wait","psw-mask":"0x0002000180000000","#,
                r#""psw-addr":"0x0000000000000bad","prefix":"0x00002000","gprs":["#,
                r#""0x0000000000000001","0x0000000000000001","0x0000000000000001","0x0000000000000001","#,
                r#""0x0000000000000001","0x0000000000000001","0x0000000000000001","0x0000000000000001","#,
                r#""0x0000000000000001","0x0000000000000001","0x0000000000000001","0x0000000000000001","#,
                r#""0x0000000000000001","0x0000000000000001","0x0000000000000001","0x0000000000000001"],"crs":["#,
                r#""0x0000000000000000","0x0000000000000000","0x0000000000000000","0x0000000000000000","#,
                r#""0x0000000000000000","0x0000000000000000","0x0000000000000000","0x0000000000000000","#,
                r#""0x0000000000000000","0x0000000000000000","0x0000000000000000","0x0000000000000000","#,
                r#""0x0000000000000000","0x0000000000000000","0x0000000000000000","0x0000000000000000"]}"#,
            ),
            r#"{"event":"guest-ended","cause":"panic","status":1,"reason":"disabled wait"}"#,
            r#"{"event":"ended","status":1,"reason":"disabled wait"}"#,
        ];
        assert_eq!(String::from_utf8(text).expect("JSON is UTF-8").lines().collect::<Vec<_>>(), want);
    }
}
