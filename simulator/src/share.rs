//! One host for many: orders to it, and a socket by which other processes have the same one.
//!
//! An [`Operator`] carries out [`Order`]s: what a person does at the machine's console, and what scripts want to look
//! at. [`serve`] answers on a Unix socket, for `adjunct sim ctl` and for VMs in other processes, and lets the host's time
//! pass by the real clock ([`SimHost::keep_time`](crate::SimHost::keep_time)). It refuses to know what a file system is,
//! and what a VM runs.

mod client;
mod lines;
mod operator;
mod order;
mod protocol;
mod server;
mod socket;
mod time;

pub use client::{ConnectError, SharedHost, SharedOrderError};
pub use operator::{Operator, OrderError};
pub use order::{CardChange, Change, GuestChange, Order, ParseOrderError, QueueChange};
pub use server::{Served, serve};
pub use socket::SocketFile;
pub use time::TimeKeeper;
