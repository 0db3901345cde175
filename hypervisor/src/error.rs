//! What a host answers when it refuses.

pub use vmm_sys_util::errno::Error as Errno;

/// A request that the host refused: what was asked, of what, and the errno.
///
/// One struct instead of fifty variants: no caller acts differently for different requests, and a
/// person who reads it can look the request up in the kernel's source under this very name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host refused {request} for {target}")]
pub struct KernelError {
    /// The kernel's own name of the request, for example `KVM_CREATE_VM`; for a device attribute
    /// its group and name, for example `KVM_S390_VM_CPU_MODEL/PROCESSOR`.
    pub request: &'static str,
    /// What it was put to, in the user's words: a path, `vCPU 0`, `the VM`.
    pub target: String,
    /// The kernel's answer.
    #[source]
    pub errno: Errno,
}

impl KernelError {
    /// A refusal of `request` for `target` with the positive errno number `errno`.
    pub fn new(request: &'static str, target: impl Into<String>, errno: i32) -> Self {
        Self { request, target: target.into(), errno: Errno::new(errno) }
    }
}

/// What the host said.
pub type Result<T> = std::result::Result<T, KernelError>;
