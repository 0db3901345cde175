//! VFIO's, iommufd's and KVM's requests as bytes: their numbers, and an argument as the kernel reads and writes it.
//!
//! Source: `include/uapi/linux/{vfio,iommufd,kvm}.h`. Numbers are in the byte order of the process that asks, which is
//! this one's.

use crate::sysfs::Errno;

/// `VFIO_GET_API_VERSION`.
pub(crate) const GET_API_VERSION: u32 = 0x3b64;
/// `VFIO_CHECK_EXTENSION`; the argument is a number.
pub(crate) const CHECK_EXTENSION: u32 = 0x3b65;
/// `VFIO_SET_IOMMU`; the argument is a number.
pub(crate) const SET_IOMMU: u32 = 0x3b66;
/// `VFIO_GROUP_GET_STATUS`.
pub(crate) const GROUP_GET_STATUS: u32 = 0x3b67;
/// `VFIO_GROUP_SET_CONTAINER`.
pub(crate) const GROUP_SET_CONTAINER: u32 = 0x3b68;
/// `VFIO_GROUP_UNSET_CONTAINER`.
pub(crate) const GROUP_UNSET_CONTAINER: u32 = 0x3b69;
/// `VFIO_GROUP_GET_DEVICE_FD`.
pub(crate) const GROUP_GET_DEVICE_FD: u32 = 0x3b6a;
/// `VFIO_DEVICE_GET_INFO`.
pub(crate) const DEVICE_GET_INFO: u32 = 0x3b6b;
/// `VFIO_DEVICE_GET_REGION_INFO`.
pub(crate) const DEVICE_GET_REGION_INFO: u32 = 0x3b6c;
/// `VFIO_DEVICE_GET_IRQ_INFO`.
pub(crate) const DEVICE_GET_IRQ_INFO: u32 = 0x3b6d;
/// `VFIO_DEVICE_SET_IRQS`.
pub(crate) const DEVICE_SET_IRQS: u32 = 0x3b6e;
/// `VFIO_DEVICE_RESET`.
pub(crate) const DEVICE_RESET: u32 = 0x3b6f;
/// `VFIO_IOMMU_GET_INFO`.
pub(crate) const IOMMU_GET_INFO: u32 = 0x3b70;
/// `VFIO_IOMMU_MAP_DMA`.
pub(crate) const IOMMU_MAP_DMA: u32 = 0x3b71;
/// `VFIO_IOMMU_UNMAP_DMA`.
pub(crate) const IOMMU_UNMAP_DMA: u32 = 0x3b72;
/// `VFIO_DEVICE_FEATURE`.
pub(crate) const DEVICE_FEATURE: u32 = 0x3b75;
/// `VFIO_DEVICE_BIND_IOMMUFD`.
pub(crate) const DEVICE_BIND_IOMMUFD: u32 = 0x3b76;
/// `VFIO_DEVICE_ATTACH_IOMMUFD_PT`.
pub(crate) const DEVICE_ATTACH_IOMMUFD_PT: u32 = 0x3b77;
/// `VFIO_DEVICE_DETACH_IOMMUFD_PT`.
pub(crate) const DEVICE_DETACH_IOMMUFD_PT: u32 = 0x3b78;
/// `IOMMU_DESTROY`.
pub(crate) const IOMMU_DESTROY: u32 = 0x3b80;
/// `IOMMU_IOAS_ALLOC`.
pub(crate) const IOAS_ALLOC: u32 = 0x3b81;
/// `IOMMU_IOAS_MAP`.
pub(crate) const IOAS_MAP: u32 = 0x3b85;
/// `IOMMU_IOAS_UNMAP`.
pub(crate) const IOAS_UNMAP: u32 = 0x3b86;
/// `KVM_CREATE_DEVICE`.
pub(crate) const KVM_CREATE_DEVICE: u32 = 0xc00c_aee0;
/// `KVM_SET_DEVICE_ATTR`.
pub(crate) const KVM_SET_DEVICE_ATTR: u32 = 0x4018_aee1;
/// `KVM_GET_DEVICE_ATTR`.
pub(crate) const KVM_GET_DEVICE_ATTR: u32 = 0x4018_aee2;
/// `KVM_HAS_DEVICE_ATTR`.
pub(crate) const KVM_HAS_DEVICE_ATTR: u32 = 0x4018_aee3;

/// Size of a page.
pub(crate) const PAGE: u64 = 4096;

/// The memory of the caller that an ioctl's argument points to. What is not there is EFAULT.
#[derive(Debug)]
pub(crate) struct Argument<'a>(&'a mut [u8]);

impl<'a> Argument<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self(bytes)
    }

    fn bytes<const N: usize>(&self, at: usize) -> Result<[u8; N], Errno> {
        let bytes = at.checked_add(N).and_then(|end| self.0.get(at..end)).ok_or(libc::EFAULT)?;
        bytes.try_into().map_err(|_| libc::EFAULT)
    }

    /// `copy_from_user` of the first `length` bytes, as far as it can fail.
    pub(crate) fn has(&self, length: usize) -> Result<(), Errno> {
        if self.0.len() < length { Err(libc::EFAULT) } else { Ok(()) }
    }

    /// The u32 at byte `at`.
    pub(crate) fn u32(&self, at: usize) -> Result<u32, Errno> {
        self.bytes(at).map(u32::from_ne_bytes)
    }

    /// The s32 at byte `at`.
    pub(crate) fn s32(&self, at: usize) -> Result<i32, Errno> {
        self.bytes(at).map(i32::from_ne_bytes)
    }

    /// The u64 at byte `at`.
    pub(crate) fn u64(&self, at: usize) -> Result<u64, Errno> {
        self.bytes(at).map(u64::from_ne_bytes)
    }

    /// Stores a u32 at byte `at`.
    pub(crate) fn put_u32(&mut self, at: usize, value: u32) -> Result<(), Errno> {
        self.put(at, &value.to_ne_bytes())
    }

    /// Stores a u64 at byte `at`.
    pub(crate) fn put_u64(&mut self, at: usize, value: u64) -> Result<(), Errno> {
        self.put(at, &value.to_ne_bytes())
    }

    fn put(&mut self, at: usize, bytes: &[u8]) -> Result<(), Errno> {
        let end = at.checked_add(bytes.len()).ok_or(libc::EFAULT)?;
        self.0.get_mut(at..end).ok_or(libc::EFAULT)?.copy_from_slice(bytes);
        Ok(())
    }

    /// The string that ends with a NUL (`strndup_user` with a page).
    pub(crate) fn string(&self) -> Result<&[u8], Errno> {
        let length = self.0.iter().position(|byte| *byte == 0).ok_or(libc::EFAULT)?;
        if length >= 4096 { Err(libc::EINVAL) } else { Ok(&self.0[..length]) }
    }

    /// What an address in a structure points to: the bytes from that offset on.
    pub(crate) fn at(&mut self, address: u64) -> Result<&mut [u8], Errno> {
        let at = usize::try_from(address).map_err(|_| libc::EFAULT)?;
        self.0.get_mut(at..).ok_or(libc::EFAULT)
    }

    /// A structure of `known` bytes, of which the caller has `size` (`copy_struct_from_user`): E2BIG if what the
    /// kernel does not know is not zero.
    pub(crate) fn extends(&self, known: usize, size: u32) -> Result<(), Errno> {
        let size = usize::try_from(size).map_err(|_| libc::EFAULT)?;
        self.has(size)?;
        let unknown = self.0.get(known..size).unwrap_or_default();
        if unknown.iter().any(|byte| *byte != 0) { Err(libc::E2BIG) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outside_the_argument_is_a_fault() {
        let mut bytes = [1, 0, 0, 0, 2];
        let mut argument = Argument::new(&mut bytes);
        assert_eq!(argument.u32(0), Ok(u32::from_ne_bytes([1, 0, 0, 0])));
        assert_eq!(argument.u32(2), Err(libc::EFAULT));
        assert_eq!(argument.u64(usize::MAX), Err(libc::EFAULT));
        assert_eq!(argument.put_u64(0, 0), Err(libc::EFAULT));
        assert_eq!(argument.at(6).err(), Some(libc::EFAULT));
        assert_eq!(argument.string(), Ok(&[1][..]));
    }

    #[test]
    fn a_larger_structure_may_only_have_zeros_behind_what_is_known() {
        let mut bytes = [9, 9, 0, 7];
        let argument = Argument::new(&mut bytes);
        assert_eq!(argument.extends(2, 3), Ok(()));
        assert_eq!(argument.extends(2, 4), Err(libc::E2BIG));
        assert_eq!(argument.extends(2, 5), Err(libc::EFAULT));
    }
}
