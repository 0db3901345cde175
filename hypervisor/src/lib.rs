//! The boundary to a host that can run s390x guests.
//!
//! This crate says what a host *is*; it knows no device, no guest software and no command line. KVM
//! on IBM Z and the simulated host (crate `adjunct-simulator`) implement the same traits with the
//! same requests, the same errno and the same order, so that the code above cannot tell them apart.
//!
//! A VM is built in one direction only, and the types hold you to it:
//!
//! ```text
//! Hypervisor --create_vm--> ProtoVm --create_vcpus--> Vm + Vcpus --open_ap--> ApDevice
//!   machine()                 set_memory                run, inject             info, irqs, reset
//!   limits()                  set_model                 set_crypto
//!                             set_crypto                tod, set_tod
//! ```
//!
//! KVM answers EBUSY to a CPU model that is set after the first vCPU
//! (`arch/s390/kvm/kvm-s390.c: kvm_s390_set_processor`, 7.2); here [`ProtoVm::create_vcpus`] consumes
//! the only object that has [`ProtoVm::set_model`], so that mistake does not compile.
//!
//! All `unsafe` code of the project belongs into this crate, module by module.

mod ap;
mod attribute;
pub mod descriptor;
mod error;
mod exit;
mod host;
#[cfg(target_arch = "s390x")]
pub mod kvm;
mod memory;
mod operand;
pub mod sandbox;
mod state;
pub mod vfio;

pub use ap::{ApDevice, ApDeviceInfo, ApIrq, ApSource, IrqInfo, VfioBackend};
pub use attribute::{CryptoAttribute, ModelAttribute, apply_cpu_model};
pub use error::{Errno, KernelError, Result};
pub use exit::{Exit, Floating, Local};
pub use host::{Built, Hypervisor, Kick, Limits, ProtoVm, Vcpu, Vm};
pub use memory::{GuestMemory, GuestRegion, MemoryError, MemorySize, allocate};
pub use operand::{Access, Accessed, Operand};
pub use state::{AdditionalState, CpuReset, CpuState, Psw, RunState, Tod};

pub use vmm_sys_util::eventfd::EventFd;
