//! `/dev/iommu` as far as a vfio-ap device needs it: I/O address spaces (`drivers/iommu/iommufd/{main,ioas}.c`, 7.2).

use super::{
    abi::{self, Argument},
    dma::{Access, AddressSpace, Rules},
    files::Files,
};
use crate::{Held, sysfs::Errno};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The number of an object of an iommufd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectId(u32);

impl ObjectId {
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

#[derive(Debug)]
enum Object {
    Ioas(Arc<AddressSpace>),
    /// A bound device.
    Access,
}

/// An open iommufd.
#[derive(Debug)]
pub(crate) struct Iommufd {
    objects: Mutex<BTreeMap<u32, Object>>,
    #[expect(dead_code, reason = "held for its drop")]
    held: Held,
}

impl Iommufd {
    pub(crate) fn new(held: Held) -> Self {
        Self { objects: Mutex::default(), held }
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<u32, Object>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers begin with 1; the lowest that is free is taken.
    fn add(&self, object: Object) -> ObjectId {
        let mut objects = self.objects();
        let id = (1..).zip(objects.keys()).find_map(|(free, taken)| (free != *taken).then_some(free));
        let id = id.unwrap_or_else(|| objects.keys().next_back().map_or(1, |last| last + 1));
        objects.insert(id, object);
        ObjectId(id)
    }

    /// Adds a device that is bound.
    pub(crate) fn add_access(&self) -> ObjectId {
        self.add(Object::Access)
    }

    /// A device is bound no more.
    pub(crate) fn forget(&self, id: ObjectId) {
        self.objects().remove(&id.0);
    }

    /// The address space with this number.
    ///
    /// # Errors
    /// ENOENT when it has none.
    pub(crate) fn ioas(&self, id: u32) -> Result<Arc<AddressSpace>, Errno> {
        match self.objects().get(&id) {
            Some(Object::Ioas(space)) => Ok(Arc::clone(space)),
            _ => Err(libc::ENOENT),
        }
    }

    /// `iommufd_fops_ioctl`. The requests that imitate a container are not there.
    pub(crate) fn ioctl(
        &self,
        files: &Files,
        request: u32,
        mut argument: Argument<'_>,
    ) -> Result<i32, Errno> {
        // The least that the kernel takes, and all that it knows.
        let (least, known) = match request {
            abi::IOMMU_DESTROY => (8, 8),
            abi::IOAS_ALLOC => (12, 12),
            abi::IOAS_MAP => (40, 40),
            abi::IOAS_UNMAP => (24, 24),
            _ => return Err(libc::ENOTTY),
        };
        let size = argument.u32(0)?;
        if size < least {
            return Err(libc::EINVAL);
        }
        argument.extends(known, size)?;
        match request {
            abi::IOMMU_DESTROY => self.destroy(argument.u32(4)?),
            abi::IOAS_ALLOC => self.alloc(files, &mut argument),
            abi::IOAS_MAP => self.map(files, &argument),
            _ => self.unmap(files, &mut argument),
        }
    }

    fn alloc(&self, files: &Files, argument: &mut Argument<'_>) -> Result<i32, Errno> {
        if argument.u32(4)? != 0 {
            return Err(libc::EOPNOTSUPP);
        }
        files.act("IOMMU_IOAS_ALLOC", "/dev/iommu")?;
        let space = AddressSpace::new(Rules::Iommufd, files.host().profile());
        let id = self.add(Object::Ioas(Arc::new(space)));
        argument.put_u32(8, id.0)?;
        Ok(0)
    }

    fn map(&self, files: &Files, argument: &Argument<'_>) -> Result<i32, Errno> {
        const FIXED: u32 = 1;
        const WRITEABLE: u32 = 2;
        const READABLE: u32 = 4;
        let flags = argument.u32(4)?;
        if flags & !(FIXED | WRITEABLE | READABLE) != 0 || argument.u32(12)? != 0 {
            return Err(libc::EOPNOTSUPP);
        }
        let (vaddr, length, iova) = (argument.u64(16)?, argument.u64(24)?, argument.u64(32)?);
        if iova == u64::MAX || length == u64::MAX {
            return Err(libc::EOVERFLOW);
        }
        if flags & (WRITEABLE | READABLE) == 0 {
            return Err(libc::EINVAL);
        }
        let space = self.ioas(argument.u32(8)?)?;
        // Nobody asks for an address that suits the kernel: a guest's memory has addresses.
        if flags & FIXED == 0 {
            return Err(libc::EOPNOTSUPP);
        }
        let access = Access { read: flags & READABLE != 0, write: flags & WRITEABLE != 0 };
        files.act("IOMMU_IOAS_MAP", format!("{iova:#x}"))?;
        space.map(iova, vaddr, length, access).map(|()| 0)
    }

    fn unmap(&self, files: &Files, argument: &mut Argument<'_>) -> Result<i32, Errno> {
        let space = self.ioas(argument.u32(4)?)?;
        let (iova, length) = (argument.u64(8)?, argument.u64(16)?);
        let all = iova == 0 && length == u64::MAX;
        if !all && (iova == u64::MAX || length == u64::MAX) {
            return Err(libc::EOVERFLOW);
        }
        files.act("IOMMU_IOAS_UNMAP", format!("{iova:#x}"))?;
        let unmapped = match all {
            true => space.unmap_all(files.host()),
            false => space.unmap(files.host(), iova, length)?,
        };
        if unmapped == 0 && !all {
            return Err(libc::ENOENT);
        }
        argument.put_u64(16, unmapped)?;
        Ok(0)
    }

    /// `iommufd_destroy`: not while a device uses it.
    fn destroy(&self, id: u32) -> Result<i32, Errno> {
        let mut objects = self.objects();
        match objects.get(&id) {
            None => Err(libc::ENOENT),
            Some(Object::Ioas(space)) if !space.is_used() => {
                objects.remove(&id);
                Ok(0)
            }
            Some(_) => Err(libc::EBUSY),
        }
    }
}
