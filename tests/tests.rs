//! One integration binary: adjunct as its users run it, and what must hold of the tree.

mod acts;
mod command;
mod conformance;
mod cpu;
mod demo;
mod documents;
mod golden;
mod guest_image;
mod layers;
mod lifecycle;
mod plan;
mod run;
