//! Containers: `/dev/vfio/vfio` (`drivers/vfio/container.c`, `vfio_iommu_type1.c`, 7.2).

use super::{
    abi::{self, Argument},
    dma::{Access, AddressSpace, Rules},
    files::Files,
    users::Registration,
};
use crate::{Held, sysfs::Errno};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What `VFIO_CHECK_EXTENSION` asks for (`include/uapi/linux/vfio.h`).
const TYPE1: u64 = 1;
const TYPE1_V2: u64 = 3;
const DMA_CC: u64 = 4;
const UNMAP_ALL: u64 = 9;

/// An open container.
#[derive(Debug)]
pub(crate) struct Container {
    state: Mutex<State>,
    #[expect(dead_code, reason = "held for its drop")]
    held: Held,
}

#[derive(Debug, Default)]
struct State {
    /// The groups that are in it, by what they have of their devices.
    groups: Vec<Arc<Registration>>,
    /// Once `VFIO_SET_IOMMU` has chosen.
    space: Option<Arc<AddressSpace>>,
}

impl State {
    /// Lets only some groups stay. With its last group a container loses what it was made to be, mappings included.
    fn retain(&mut self, stays: impl Fn(&Arc<Registration>) -> bool) {
        self.groups.retain(stays);
        if self.groups.is_empty() {
            self.space = None;
        }
    }
}

/// A group in a container; it leaves when this is dropped, or its device goes.
#[derive(Debug)]
pub(crate) struct Member {
    container: Arc<Container>,
    group: Arc<Registration>,
}

impl Member {
    pub(crate) fn join(container: Arc<Container>, group: Arc<Registration>) -> Self {
        container.state().groups.push(Arc::clone(&group));
        Self { container, group }
    }

    /// The address space that the container's devices have, if it was chosen.
    pub(crate) fn space(&self) -> Option<Arc<AddressSpace>> {
        self.container.state().space.clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.container.state().retain(|group| !Arc::ptr_eq(group, &self.group));
    }
}

impl Container {
    pub(crate) fn new(held: Held) -> Self {
        Self { state: Mutex::default(), held }
    }

    /// Without the groups whose devices have gone (`vfio_device_remove_group`).
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.retain(|group| group.is_there());
        state
    }

    /// `vfio_fops_unl_ioctl`.
    pub(crate) fn ioctl(
        &self,
        files: &Files,
        request: u32,
        mut argument: Argument<'_>,
    ) -> Result<i32, Errno> {
        match request {
            abi::GET_API_VERSION => Ok(0),
            abi::CHECK_EXTENSION => Ok(self.has_extension(argument.u64(0)?).into()),
            abi::SET_IOMMU => self.set_iommu(files, argument.u64(0)?),
            _ => {
                let space = self.state().space.clone().ok_or(libc::EINVAL)?;
                match request {
                    abi::IOMMU_GET_INFO => get_info(&mut argument),
                    abi::IOMMU_MAP_DMA => map(files, &space, &argument),
                    abi::IOMMU_UNMAP_DMA => unmap(files, &space, &mut argument),
                    _ => Err(libc::ENOTTY),
                }
            }
        }
    }

    /// `vfio_ioctl_set_iommu`: once, and not without a group.
    fn set_iommu(&self, files: &Files, kind: u64) -> Result<i32, Errno> {
        files.act("VFIO_SET_IOMMU", format!("/dev/vfio/vfio {kind}"))?;
        let mut state = self.state();
        if state.groups.is_empty() || state.space.is_some() {
            return Err(libc::EINVAL);
        }
        let rules = match kind {
            TYPE1 => Rules::Type1,
            TYPE1_V2 => Rules::Type1v2,
            // The driver says that it has this extension, and then can't be opened by it.
            UNMAP_ALL => return Err(libc::EINVAL),
            _ => return Err(libc::ENODEV),
        };
        state.space = Some(Arc::new(AddressSpace::new(rules, files.host().profile())));
        Ok(0)
    }

    /// `vfio_iommu_type1_check_extension`, as with devices that are not the hardware's own: none of them can do other than
    /// coherent DMA, once it is asked of somebody.
    fn has_extension(&self, extension: u64) -> bool {
        match extension {
            TYPE1 | TYPE1_V2 | UNMAP_ALL => true,
            DMA_CC => self.state().space.is_some(),
            _ => false,
        }
    }
}

/// `vfio_iommu_type1_get_info`: pages of every size. Its chain of capabilities is not there.
fn get_info(argument: &mut Argument<'_>) -> Result<i32, Errno> {
    const SIZE: u32 = 16;
    const PAGE_SIZES: u32 = 1;
    argument.has(16)?;
    if argument.u32(0)? < SIZE {
        return Err(libc::EINVAL);
    }
    argument.put_u32(4, PAGE_SIZES)?;
    argument.put_u64(8, !(abi::PAGE - 1))?;
    Ok(0)
}

/// `vfio_iommu_type1_map_dma`.
fn map(files: &Files, space: &AddressSpace, argument: &Argument<'_>) -> Result<i32, Errno> {
    const SIZE: u32 = 32;
    const READ: u32 = 1;
    const WRITE: u32 = 2;
    const VADDR: u32 = 4;
    argument.has(32)?;
    let flags = argument.u32(4)?;
    if argument.u32(0)? < SIZE || flags & !(READ | WRITE | VADDR) != 0 {
        return Err(libc::EINVAL);
    }
    let (vaddr, iova, size) = (argument.u64(8)?, argument.u64(16)?, argument.u64(24)?);
    let access = Access { read: flags & READ != 0, write: flags & WRITE != 0 };
    match flags {
        VADDR => return space.remap(iova, vaddr, size).map(|()| 0),
        flags if flags == 0 || flags & VADDR != 0 => {
            // What is wrong with the range is said first.
            return space.last(iova, vaddr, size).and(Err(libc::EINVAL));
        }
        _ => {}
    }
    files.act("VFIO_IOMMU_MAP_DMA", format!("{iova:#x}"))?;
    space.map(iova, vaddr, size, access).map(|()| 0)
}

/// `vfio_iommu_type1_unmap_dma`.
fn unmap(files: &Files, space: &AddressSpace, argument: &mut Argument<'_>) -> Result<i32, Errno> {
    const SIZE: u32 = 24;
    const DIRTY_BITMAP: u32 = 1;
    const ALL: u32 = 2;
    const VADDR: u32 = 4;
    argument.has(24)?;
    let flags = argument.u32(4)?;
    // Nobody tracks what is dirty.
    if argument.u32(0)? < SIZE || flags & !(ALL | VADDR) != 0 || flags & DIRTY_BITMAP != 0 {
        return Err(libc::EINVAL);
    }
    if flags & VADDR != 0 {
        return Err(libc::EBUSY);
    }
    let (iova, size) = (argument.u64(8)?, argument.u64(16)?);
    if flags & ALL != 0 && (iova, size) != (0, 0) {
        return Err(libc::EINVAL);
    }
    files.act("VFIO_IOMMU_UNMAP_DMA", format!("{iova:#x}"))?;
    let unmapped = match flags & ALL {
        0 => space.unmap(files.host(), iova, size)?,
        _ => space.unmap_all(files.host()),
    };
    argument.put_u64(16, unmapped)?;
    Ok(0)
}
