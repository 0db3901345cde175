//! The program `adjunct`: a VMM for s390x around one device, vfio-ap.
//!
//! ```text
//! argv --cli--> Config --plan--> Plan --machine--> Machine --run--> Outcome -> exit status
//!       pure     pure   reads host     one build order    threads
//! ```
//!
//! This crate puts the others together and talks to people; what a guest sees is in `adjunct-devices`, what a host is
//! in `adjunct-hypervisor`, hosts without a mainframe in `adjunct-simulator`. `docs/architecture.md` has the whole.
#![forbid(unsafe_code)]

pub mod api;
pub mod chain;
pub mod cli;
pub mod config;
pub mod console;
pub mod control;
pub mod counts;
pub mod cpu;
pub mod ctl;
pub mod demo;
pub mod event;
pub mod exit_status;
pub mod host;
pub mod launch;
pub mod logging;
mod lossy;
pub mod machine;
pub mod management;
pub mod manual;
mod mounts;
pub mod option;
pub mod outcome;
pub mod output;
pub mod plan;
pub mod qmp;
pub mod run;
pub mod sandbox;
pub mod signals;
pub mod sim;
pub mod socket;
pub mod vmm;
mod wait;
