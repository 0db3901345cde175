#![doc = include_str!("../README.md")]
//!
//! | term        | here                              | meaning                                         |
//! |-------------|-----------------------------------|-------------------------------------------------|
//! | APID        | [`Apid`]                          | adapter (card) number                           |
//! | APQI        | [`Apqi`]                          | AP queue index: the number of a usage domain    |
//! | APQN        | [`Apqn`]                          | (APID, APQI): one queue, written `05.0047`      |
//! | APM         | [`Apm`]                           | mask of adapters                                |
//! | AQM         | [`Aqm`]                           | mask of usage domains                           |
//! | ADM         | [`Adm`]                           | mask of control domains                         |
//! | matrix      | [`Matrix`]                        | what one mdev (and so one guest) is given       |
//! | host share  | [`HostShare`]                     | what `apmask` and `aqmask` keep for the host    |
//!
//! Everywhere, bit *n* of a mask is counted from the left: bit 0 is the leftmost bit of byte 0.
#![forbid(unsafe_code)]

pub mod admin;
pub mod host;
mod id;
mod mask;
mod matrix;
pub mod mdev;
pub mod sysfs;
pub mod text;
mod uuid;
pub mod why;

pub use id::{Apid, Apqi, Apqn, ControlDomain, Number, ParseApqnError, ParseIdError};
pub use mask::{Adm, ApMask, Apm, Aqm};
pub use matrix::{HostShare, Matrix};
pub use sysfs::{HostSysfs, Sysfs};
pub use uuid::{ParseUuidError, Uuid};
