//! [`real_host`].
#![cfg(target_arch = "s390x")]

mod real_host;
