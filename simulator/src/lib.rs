#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod acts;
mod adapters;
mod ap_bus;
pub mod capture;
mod clock;
mod host;
mod host_file;
mod kvm;
mod lock;
mod profile;
pub mod share;
mod sysfs;
mod uevents;
pub mod vfio;
mod vfio_ap;

pub use acts::{Acts, Fault, Held, ParseFaultError, Which};
pub use adapters::{
    Adapters, ApFacilities, Card, InterruptSink, Interruption, Machine, Qci, QueueStatus, ReplyPart,
    Response, Tested,
};
pub use clock::Clock;
pub use host::{EventInformation, LoadError, SimHost};
pub use host_file::{
    ApSection, CardDetails, CardEntry, Firmware, HostFile, HostFileError, MdevEntry, QueueEntry,
};
pub use kvm::{Shadow, SieBlock, SimApDevice, SimProtoVm, SimVcpu, SimVm, Validity};
pub use profile::{KernelProfile, UnknownKernel};
pub use sysfs::{Node, NodeKind, Tree};
pub use uevents::{Uevent, UeventReader, UeventsLost};
pub use vfio_ap::{GuestCrypto, Notification, OpenMdev, VmId};
