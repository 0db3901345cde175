//! A whole IBM Z host in memory. Being written.
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
    Adapters, ApFacilities, Card, CardType, InterruptSink, Interruption, Machine, Mode, Qci, QueueStatus, ReplyPart,
    Response, Tested, UnknownCardType,
};
pub use ap_bus::Uevent;
pub use clock::Clock;
pub use host::SimHost;
pub use host_file::{HostFile, HostFileError};
pub use profile::{KernelProfile, MaskBusyRule, UnknownKernel};
pub use vfio_ap::{GuestCrypto, Notification, OpenMdev, VmId};
