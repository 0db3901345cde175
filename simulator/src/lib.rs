#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod acts;
mod adapters;
mod ap_bus;
mod clock;
mod host;
mod host_file;
mod kvm;
mod profile;
mod sysfs;
mod vfio_ap;

pub use acts::{Acts, Held};
pub use adapters::{
    Adapters, ApFacilities, Card, InterruptSink, Interruption, Machine, Qci, QueueStatus, ReplyPart,
    Response, Tested,
};
pub use ap_bus::Uevent;
pub use clock::Clock;
pub use host::SimHost;
pub use host_file::{ApSection, CardEntry, HostFile, HostFileError, MdevEntry};
pub use kvm::{Crycb, CrycbFormat, SieBlock, SimApDevice, SimProtoVm, SimVcpu, SimVm};
pub use profile::{KernelProfile, MaskBusyRule, UnknownKernel};
pub use vfio_ap::{GuestCrypto, Notification, OpenMdev, VmId};
