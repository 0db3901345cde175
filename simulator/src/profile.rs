//! Whose behaviour the host shows: one value per kernel, asked about every difference by name.
//!
//! 6.12 and 7.2 are stable releases as Debian has them, 6.12.107 and 7.2.13: mends of vfio_ap that 7.2.13 has are
//! neither in 7.2 as first released nor in 6.12.107.

use std::{fmt, str::FromStr};

/// A kernel version whose AP bus, vfio_ap and KVM the host imitates. Ordered by age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KernelProfile {
    /// Linux 6.12.
    V6_12,
    /// Linux 6.17.
    V6_17,
    /// Linux 7.0.
    V7_0,
    /// Linux 7.2, the reference.
    #[default]
    V7_2,
}

/// Which adapters (domains) are looked at when bits are newly set in the other mask
/// (`drivers/s390/crypto/ap_bus.c: apmask_commit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MaskBusyRule {
    /// EBUSY only when the queue would really become the host's: the other mask as it is now (6.0 to 6.17).
    OtherMask,
    /// EBUSY for any domain (adapter) that an mdev has with it (since 7.0).
    AnyOther,
}

impl KernelProfile {
    /// All profiles, oldest first.
    pub const ALL: [Self; 4] = [Self::V6_12, Self::V6_17, Self::V7_0, Self::V7_2];

    /// As the host file writes it: `7.2`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V6_12 => "6.12",
            Self::V6_17 => "6.17",
            Self::V7_0 => "7.0",
            Self::V7_2 => "7.2",
        }
    }

    /// When a newly set mask bit is refused for the sake of an mdev.
    pub(crate) fn mask_busy_rule(self) -> MaskBusyRule {
        if self >= Self::V7_0 { MaskBusyRule::AnyOther } else { MaskBusyRule::OtherMask }
    }

    /// Whether queues have `driver_override`, which excludes changed masks and is excluded by them (since 7.0).
    pub fn has_driver_override(self) -> bool {
        self >= Self::V7_0
    }

    /// Whether the bus shows how often all queues were found bound (`bindings_complete_count`; absent in 6.12, and first
    /// shown after 6.17).
    pub fn shows_bindings_complete_count(self) -> bool {
        self >= Self::V7_0
    }

    /// Whether a number of a mask's change that has more than 64 bits is taken for its lowest 64, as
    /// `simple_strtoul` has it up to 7.0. Later it is too great.
    pub(crate) fn numbers_of_masks_wrap(self) -> bool {
        self <= Self::V7_0
    }

    /// Interrupts of a vfio-ap device (`VFIO_AP_NUM_IRQS`): the release request, and since 6.17 also
    /// "configuration changed".
    pub fn num_irqs(self) -> u32 {
        if self >= Self::V6_17 { 2 } else { 1 }
    }

    /// Whether a request to remove an open mdev takes the guest's queues away at once, or only at close
    /// (`drivers/s390/crypto/vfio_ap_ops.c: vfio_ap_mdev_request`).
    pub fn clears_masks_on_remove_request(self) -> bool {
        self >= Self::V6_17
    }

    /// Whether a second mdev that is refused with EPERM nevertheless takes the first one's PQAP hook, so that the
    /// first one's AQIC is lost (`vfio_ap_mdev_set_kvm`). Debian's 6.12.107 does so, its 7.2.13 does not any more.
    pub(crate) fn refused_mdev_takes_the_hook(self) -> bool {
        self <= Self::V7_0
    }

    /// Whether, when the host's configuration shrinks, a guest's APCB is updated for the sake of what is *left* of a
    /// mask of which something assigned was removed: not when the last adapter (domain) goes, and also when the guest
    /// did not have what went (`vfio_ap_mdev_hot_unplug_cfg`). Debian's 6.12.107 does so; its 7.2.13 updates for
    /// what the guest lost.
    pub(crate) fn updates_by_what_is_left(self) -> bool {
        self <= Self::V7_0
    }

    /// Whether control domains that the host loses are taken from the guests they are *not* assigned to, which is
    /// to say from none (`vfio_ap_mdev_cfg_remove`). Debian's 6.12.107 does so, its 7.2.13 does not any more.
    pub(crate) fn takes_lost_control_domains_of_others(self) -> bool {
        self <= Self::V7_0
    }

    /// Whether the interrupt of a queue is given up when its reset says that the queue is gone (rc 01;
    /// `apq_reset_check`). Debian's 7.2.13 does so, its 6.12.107 does not.
    pub(crate) fn frees_interrupt_of_vanished_queue(self) -> bool {
        self >= Self::V7_2
    }

    /// Whether KVM takes memory slots of any pages (`kvm_arch_prepare_memory_region`; since 7.2). Before, their sizes
    /// must be multiples of 1 MiB.
    pub(crate) fn has_memory_slots_of_pages(self) -> bool {
        self >= Self::V7_2
    }

    /// Whether type 1 of VFIO says EOVERFLOW of what wraps around the address space, and looks for that before the
    /// flags (`vfio_dma_do_map`; since 6.18). Before, it is EINVAL.
    pub(crate) fn type1_says_overflow(self) -> bool {
        self >= Self::V7_0
    }

    /// Whether VFIO knows the feature `VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2`, which a device without migration answers
    /// with EINVAL and not ENOTTY (`vfio_main.c: vfio_ioctl_device_feature`; since 7.2).
    pub(crate) fn knows_precopy_info_v2(self) -> bool {
        self >= Self::V7_2
    }
}

impl fmt::Display for KernelProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not the name of a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kernel {0:?} is not known here; write one of 6.12, 6.17, 7.0, 7.2")]
pub struct UnknownKernel(String);

impl FromStr for KernelProfile {
    type Err = UnknownKernel;

    fn from_str(text: &str) -> Result<Self, UnknownKernel> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.name() == text)
            .ok_or_else(|| UnknownKernel(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_ordered_by_age_and_read_back() {
        assert!(KernelProfile::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        for profile in KernelProfile::ALL {
            assert_eq!(profile.name().parse(), Ok(profile));
        }
        assert_eq!(KernelProfile::default(), KernelProfile::V7_2);
        assert!("7.1".parse::<KernelProfile>().is_err());
    }
}
