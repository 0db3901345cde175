//! One integration binary: adjunct as its users run it, and what must hold of the tree.

mod acts;
mod api;
mod clock;
mod command;
mod conformance;
mod conformance_rows;
mod console;
mod cpu;
mod demo;
mod documents;
mod golden;
mod guest_code;
mod guest_image;
#[cfg(target_arch = "s390x")]
mod lab;
mod layers;
mod life;
mod lifecycle;
mod mount;
mod orders;
mod patience;
mod plan;
mod plug;
mod programs;
mod qmp;
#[cfg(target_arch = "s390x")]
mod real_host;
mod resets;
mod rest;
mod run;
mod sandbox;
mod serving;
mod share;
mod sockets;
mod steering;
mod sweep;
mod waiting;
mod watching;
