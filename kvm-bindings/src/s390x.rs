//! KVM of s390x: what bindgen made of the headers, and what kvm-ioctls names besides.

#[rustfmt::skip]
#[allow(
    clippy::all,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unsafe_op_in_unsafe_fn,
    reason = "generated, and named as in C"
)]
mod bindings;
#[cfg(feature = "fam-wrappers")]
mod fam_wrappers;

pub use bindings::*;
#[cfg(feature = "fam-wrappers")]
pub use fam_wrappers::*;

/// KVM of s390x has no coalesced MMIO, hence no page for it; kvm-ioctls names it on every architecture.
pub const KVM_COALESCED_MMIO_PAGE_OFFSET: u32 = 0;
