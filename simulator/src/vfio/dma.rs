//! I/O address spaces: which guest memory a device may reach (`drivers/vfio/vfio_iommu_type1.c`,
//! `drivers/iommu/iommufd/io_pagetable.c`).
//!
//! It knows neither files nor requests. Addresses of the process are not kept: nothing of a simulated device reaches
//! memory by them.

use super::abi::PAGE;
use crate::{KernelProfile, SimHost, sysfs::Errno};
use adjunct_ap::Uuid;
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Whose rules an address space follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// `VFIO_TYPE1_IOMMU`: of it no page can be pinned.
    Type1,
    /// `VFIO_TYPE1v2_IOMMU`.
    Type1v2,
    /// An IOAS of an iommufd.
    Iommufd,
}

/// What a device may do with a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl Access {
    /// Both.
    pub(crate) const ALL: Self = Self { read: true, write: true };
}

#[derive(Clone, Copy, Debug)]
struct Area {
    last: u64,
    access: Access,
}

#[derive(Debug, Default)]
struct Areas {
    /// By their first addresses; they don't overlap.
    areas: BTreeMap<u64, Area>,
    /// The devices that are to be told when something is unmapped.
    devices: Vec<Uuid>,
}

/// An I/O address space.
#[derive(Debug)]
pub(crate) struct AddressSpace {
    rules: Rules,
    /// What is said of what leaves the address space.
    overflow: Errno,
    areas: Mutex<Areas>,
}

impl AddressSpace {
    /// Most mappings of a container (`dma_entry_limit`).
    const MAPPINGS: usize = 65535;

    pub(crate) fn new(rules: Rules, profile: KernelProfile) -> Self {
        let overflow = match rules {
            Rules::Type1 | Rules::Type1v2 if !profile.type1_says_overflow() => libc::EINVAL,
            _ => libc::EOVERFLOW,
        };
        Self { rules, overflow, areas: Mutex::default() }
    }

    fn areas(&self) -> MutexGuard<'_, Areas> {
        self.areas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A device uses the space from now on.
    ///
    /// # Errors
    /// EADDRINUSE when an IOAS has mappings that are no multiples of a page (`iopt_check_iova_alignment`).
    pub(crate) fn attach(&self, uuid: Uuid) -> Result<(), Errno> {
        let mut areas = self.areas();
        let odd = |(first, area): (&u64, &Area)| first % PAGE != 0 || area.last.wrapping_add(1) % PAGE != 0;
        if self.rules == Rules::Iommufd && areas.areas.iter().any(odd) {
            return Err(libc::EADDRINUSE);
        }
        areas.devices.push(uuid);
        Ok(())
    }

    /// Whether a device uses the space.
    pub(crate) fn is_used(&self) -> bool {
        !self.areas().devices.is_empty()
    }

    /// A device uses the space no more.
    pub(crate) fn detach(&self, uuid: Uuid) {
        self.areas().devices.retain(|device| *device != uuid);
    }

    /// Whether the page of `address` can be pinned for reading and writing (`vfio_pin_pages`): type 1 wants a mapping
    /// for both, an IOAS one for writing.
    ///
    /// DEVNOTE: asked for an address within a page that is not mapped, type 1 takes the mapping of the next page
    /// (`vfio_find_dma` finds what overlaps 4096 bytes from there) and pins what the process has before it. That is an
    /// accident, and is not imitated.
    pub(crate) fn can_pin(&self, address: u64) -> bool {
        let areas = self.areas();
        let Some((_, area)) = areas.areas.range(..=address).next_back() else { return false };
        address <= area.last
            && match self.rules {
                Rules::Type1 => false,
                Rules::Type1v2 => area.access == Access::ALL,
                Rules::Iommufd => area.access.write,
            }
    }

    /// Where `size` bytes from `iova` on end, which the caller has at `vaddr`.
    ///
    /// # Errors
    /// EINVAL for nothing; EOVERFLOW (type 1 before 6.18: EINVAL) when it leaves an address space.
    pub(crate) fn last(&self, iova: u64, vaddr: u64, size: u64) -> Result<u64, Errno> {
        let more = size.checked_sub(1).ok_or(libc::EINVAL)?;
        let last = vaddr.checked_add(more).and_then(|_| iova.checked_add(more));
        last.ok_or(self.overflow)
    }

    /// Makes `size` bytes from `iova` on reachable (`vfio_dma_do_map`, `iopt_map_user_pages`). `vaddr` is where the
    /// caller has them.
    ///
    /// # Errors
    /// EINVAL for what is no multiple of a page (an IOAS that no device uses takes any); as [`AddressSpace::last`];
    /// EEXIST when any of it is mapped; ENOSPC when there are too many mappings.
    pub(crate) fn map(&self, iova: u64, vaddr: u64, size: u64, access: Access) -> Result<(), Errno> {
        let mut areas = self.areas();
        let alignment = match self.rules {
            Rules::Iommufd if areas.devices.is_empty() => 1,
            _ => PAGE,
        };
        let last = self.last(iova, vaddr, size);
        let odd = !(iova | vaddr | size).is_multiple_of(alignment);
        // Type 1 looks at the ends first, an IOAS at the alignment.
        if odd && (self.rules == Rules::Iommufd || last.is_ok()) {
            return Err(libc::EINVAL);
        }
        let last = last?;
        if areas.overlapping(iova, last).next().is_some() {
            return Err(libc::EEXIST);
        }
        if self.rules != Rules::Iommufd && areas.areas.len() >= Self::MAPPINGS {
            return Err(libc::ENOSPC);
        }
        areas.areas.insert(iova, Area { last, access });
        Ok(())
    }

    /// Gives an existing mapping of type 1 another address (`vfio_dma_do_map` with `VFIO_DMA_MAP_FLAG_VADDR`): only one
    /// that has lost its own, and none does.
    ///
    /// # Errors
    /// ENOENT where nothing is mapped; else EINVAL; as [`AddressSpace::last`].
    pub(crate) fn remap(&self, iova: u64, vaddr: u64, size: u64) -> Result<(), Errno> {
        let last = self.last(iova, vaddr, size)?;
        let mapped = self.areas().overlapping(iova, last).next().is_some();
        if mapped || !(iova | vaddr | size).is_multiple_of(PAGE) {
            Err(libc::EINVAL)
        } else {
            Err(libc::ENOENT)
        }
    }

    /// Takes mappings away, tells the devices, and answers how many bytes were mapped.
    ///
    /// # Errors
    /// EINVAL (type 1 v2) or ENOENT (IOAS) when a mapping is only partly inside; as [`AddressSpace::last`].
    pub(crate) fn unmap(&self, host: &SimHost, iova: u64, size: u64) -> Result<u64, Errno> {
        if size == 0 || self.rules != Rules::Iommufd && !(iova | size).is_multiple_of(PAGE) {
            return Err(libc::EINVAL);
        }
        let last = self.last(iova, 0, size)?;
        self.unmap_to(host, iova, last)
    }

    /// Takes all mappings away (`VFIO_DMA_UNMAP_FLAG_ALL`; an IOAS by address 0 and the longest length).
    pub(crate) fn unmap_all(&self, host: &SimHost) -> u64 {
        // Nothing is only partly inside.
        self.unmap_to(host, 0, u64::MAX).unwrap_or(0)
    }

    fn unmap_to(&self, host: &SimHost, first: u64, last: u64) -> Result<u64, Errno> {
        let mut areas = self.areas();
        let cut = |(start, area): (u64, Area)| start < first || area.last > last;
        let whole: Vec<(u64, Area)> = match self.rules {
            Rules::Type1v2 if areas.overlapping(first, last).any(cut) => return Err(libc::EINVAL),
            // What begins before is where v1 stops; what ends later goes with the rest.
            Rules::Type1 => areas.overlapping(first, last).take_while(|(start, _)| *start >= first).collect(),
            Rules::Type1v2 => areas.overlapping(first, last).collect(),
            Rules::Iommufd => areas.overlapping(first, last).take_while(|area| !cut(*area)).collect(),
        };
        let refused = self.rules == Rules::Iommufd && areas.overlapping(first, last).any(cut);
        for (start, _) in &whole {
            areas.areas.remove(start);
        }
        let devices = areas.devices.clone();
        // The devices are told without the lock: nobody can pin what is gone already.
        drop(areas);
        let mut unmapped = 0_u64;
        for (start, area) in whole {
            unmapped = unmapped.wrapping_add(area.last - start).wrapping_add(1);
            devices.iter().for_each(|uuid| host.unmapped(*uuid, start..area.last.saturating_add(1)));
        }
        if refused { Err(libc::ENOENT) } else { Ok(unmapped) }
    }
}

impl Areas {
    /// What overlaps `first..=last`, in order.
    fn overlapping(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, Area)> + '_ {
        let before = self.areas.range(..first).next_back().filter(|(_, area)| area.last >= first);
        before.into_iter().chain(self.areas.range(first..=last)).map(|(start, area)| (*start, *area))
    }
}

impl SimHost {
    /// `vfio_ap_mdev_dma_unmap`: queues that notify into `memory` must not any more.
    pub(crate) fn unmapped(&self, uuid: Uuid, memory: Range<u64>) {
        self.state().unmapped(uuid, &memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostFile;

    fn host() -> SimHost {
        SimHost::new(HostFile::three_guests().expect("the built-in host is right"))
            .expect("the built-in host starts")
    }

    #[test]
    fn mappings_are_pages_that_do_not_overlap() {
        for rules in [Rules::Type1, Rules::Type1v2, Rules::Iommufd] {
            let space = AddressSpace::new(rules, KernelProfile::V7_2);
            space.attach("6c4a5d2e-0d3e-4c7a-9b0a-000000000001".parse().expect("a UUID")).expect("empty");
            let map = |iova, vaddr, size| space.map(iova, vaddr, size, Access::ALL);
            assert_eq!(map(0x1000, 0x1_0000, 0x2000), Ok(()), "{rules:?}");
            for (iova, size) in [(0x1000, 0x1000), (0, 0x2000), (0x2000, 0x8000)] {
                assert_eq!(map(iova, 0x1_0000, size), Err(libc::EEXIST), "{rules:?} {iova:#x}");
            }
            for (iova, vaddr, size) in
                [(0x8001, 0, 0x1000), (0x8000, 1, 0x1000), (0x8000, 0, 1), (0x8000, 0, 0)]
            {
                assert_eq!(
                    map(iova, vaddr, size),
                    Err(libc::EINVAL),
                    "{rules:?} {iova:#x} {vaddr} {size:#x}"
                );
            }
            assert_eq!(map(u64::MAX - 0xfff, 0, 0x2000), Err(libc::EOVERFLOW), "{rules:?}");
            assert_eq!(map(u64::MAX - 0xfff, 0, 0x1000), Ok(()), "{rules:?}");
        }
    }

    #[test]
    fn an_address_space_of_its_own_without_devices_takes_odd_mappings_and_then_no_device() {
        let space = AddressSpace::new(Rules::Iommufd, KernelProfile::V7_2);
        space.map(0x1234, 0x10, 5, Access::ALL).expect("any bytes");
        let device = "6c4a5d2e-0d3e-4c7a-9b0a-000000000001".parse().expect("a UUID");
        assert_eq!(space.attach(device), Err(libc::EADDRINUSE));
        assert_eq!(space.unmap(&host(), 0x1234, 5), Ok(5));
        assert_eq!(space.attach(device), Ok(()));
        assert_eq!(space.map(0x1234, 0x10, 5, Access::ALL), Err(libc::EINVAL));
    }

    #[test]
    fn what_is_cut_is_refused_by_v2_and_iommufd_and_left_by_v1() {
        let host = host();
        let cases = [
            (Rules::Type1, Ok(0), true),
            (Rules::Type1v2, Err(libc::EINVAL), true),
            (Rules::Iommufd, Err(libc::ENOENT), true),
        ];
        for (rules, answer, stays) in cases {
            let space = AddressSpace::new(rules, KernelProfile::V7_2);
            space.map(0x1000, 0, 0x4000, Access::ALL).expect("free");
            assert_eq!(space.unmap(&host, 0x2000, 0x1000), answer, "{rules:?}");
            assert_eq!(space.can_pin(0x2fff) || rules == Rules::Type1, stays, "{rules:?}");
            assert_eq!(space.unmap(&host, 0x2000, 0x8000).is_ok(), rules == Rules::Type1);
            // v1 takes all of a mapping whose first address is inside.
            let whole = space.unmap(&host, 0x1000, 0x1000);
            assert_eq!(whole, if rules == Rules::Type1 { Ok(0x4000) } else { answer }, "{rules:?}");
            assert_eq!(space.unmap_all(&host), if rules == Rules::Type1 { 0 } else { 0x4000 });
            assert_eq!(space.unmap(&host, 0x1000, 0x1000), Ok(0), "nothing is there");
        }
    }

    #[test]
    fn only_what_is_mapped_for_writing_can_be_pinned_and_of_v1_nothing() {
        let read = Access { read: true, write: false };
        let write = Access { read: false, write: true };
        let cases = [
            (Rules::Type1, [false, false, false]),
            (Rules::Type1v2, [true, false, false]),
            (Rules::Iommufd, [true, false, true]),
        ];
        for (rules, expected) in cases {
            let seen = [Access::ALL, read, write].map(|access| {
                let space = AddressSpace::new(rules, KernelProfile::V7_2);
                space.map(0x1000, 0, 0x1000, access).expect("free");
                assert!(!space.can_pin(0xfff) && !space.can_pin(0x2000), "{rules:?}");
                space.can_pin(0x1fff)
            });
            assert_eq!(seen, expected, "{rules:?}");
        }
    }
}
