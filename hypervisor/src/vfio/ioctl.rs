//! VFIO's, iommufd's and KVM's requests as functions: what is asked, of which file, with which structure.
//!
//! Everything unsafe of the module is here. A refusal is a [`KernelError`] with the request's own name.
// UNSAFETY: an ioctl has no safe form: its argument is a pointer and its result can be a file descriptor.
#![expect(unsafe_code, reason = "ioctl, and the file descriptors that some of them return")]

use super::dma::Block;
use crate::{ApDeviceInfo, ApIrq, Errno, EventFd, IrqInfo, KernelError, Result};
use iommufd_bindings::iommufd as iommu;
use std::{
    marker::PhantomData,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        raw::{c_int, c_uint, c_ulong},
    },
};
use vfio_bindings::bindings::vfio;
use vmm_sys_util::ioctl;

/// An ioctl by name and number whose argument is the address of an `A`, or nothing if that is `()`.
///
/// Invariant, for [`Request::put`]: the kernel reads and writes no more than the `A` at that address. Where an `A` has
/// an address in it, the function that fills it in says why that holds.
struct Request<A> {
    name: &'static str,
    number: c_ulong,
    argument: PhantomData<A>,
}

macro_rules! requests {
    ($($name:ident($argument:ty) = $number:expr;)*) => {
        $(const $name: Request<$argument> =
            Request { name: stringify!($name), number: $number, argument: PhantomData };)*
    };
}

/// `include/uapi/linux/vfio.h`: `_IO(VFIO_TYPE, VFIO_BASE + nr)`, whatever the argument is.
const fn vfio(nr: c_uint) -> c_ulong {
    ioctl::ioctl_expr(ioctl::_IOC_NONE, vfio::VFIO_TYPE as c_uint, vfio::VFIO_BASE + nr, 0)
}

/// `include/uapi/linux/iommufd.h`: `_IO(IOMMUFD_TYPE, nr)`.
const fn iommufd(nr: c_uint) -> c_ulong {
    ioctl::ioctl_expr(ioctl::_IOC_NONE, iommu::IOMMUFD_TYPE as c_uint, nr, 0)
}

/// `include/uapi/linux/kvm.h`: `KVMIO` is 0xae.
const fn kvm<A>(dir: c_uint, nr: c_uint) -> c_ulong {
    // No structure of an ioctl is larger than its 14 bits of size.
    #[expect(clippy::cast_possible_truncation, reason = "at most 24")]
    ioctl::ioctl_expr(dir, 0xae, nr, size_of::<A>() as c_uint)
}

requests! {
    VFIO_SET_IOMMU(()) = vfio(2);
    VFIO_GROUP_SET_CONTAINER(RawFd) = vfio(4);
    VFIO_GROUP_GET_DEVICE_FD(DeviceName) = vfio(6);
    VFIO_DEVICE_GET_INFO(vfio::vfio_device_info) = vfio(7);
    VFIO_DEVICE_GET_IRQ_INFO(vfio::vfio_irq_info) = vfio(9);
    VFIO_DEVICE_SET_IRQS(IrqEvent) = vfio(10);
    VFIO_DEVICE_RESET(()) = vfio(11);
    VFIO_IOMMU_MAP_DMA(vfio::vfio_iommu_type1_dma_map) = vfio(13);
    VFIO_DEVICE_BIND_IOMMUFD(vfio::vfio_device_bind_iommufd) = vfio(18);
    VFIO_DEVICE_ATTACH_IOMMUFD_PT(vfio::vfio_device_attach_iommufd_pt) = vfio(19);
    IOMMU_DESTROY(iommu::iommu_destroy) = iommufd(iommu::IOMMUFD_CMD_DESTROY);
    IOMMU_IOAS_ALLOC(iommu::iommu_ioas_alloc) = iommufd(iommu::IOMMUFD_CMD_IOAS_ALLOC);
    IOMMU_IOAS_MAP(iommu::iommu_ioas_map) = iommufd(iommu::IOMMUFD_CMD_IOAS_MAP);
    KVM_CREATE_DEVICE(CreateDevice) = kvm::<CreateDevice>(ioctl::_IOC_READ | ioctl::_IOC_WRITE, 0xe0);
    // KVM_SET_DEVICE_ATTR both.
    KVM_DEV_VFIO_FILE_ADD(DeviceAttr) = kvm::<DeviceAttr>(ioctl::_IOC_WRITE, 0xe1);
    KVM_DEV_VFIO_FILE_DEL(DeviceAttr) = kvm::<DeviceAttr>(ioctl::_IOC_WRITE, 0xe1);
}

/// The requests in which vfio_ap opens the device, by name.
pub(super) const OPENS_BY_GROUP: &str = VFIO_GROUP_GET_DEVICE_FD.name;
pub(super) const OPENS_BY_IOMMUFD: &str = VFIO_DEVICE_BIND_IOMMUFD.name;

/// `struct kvm_create_device`. Two small structures don't justify kvm-bindings, which has only some architectures.
#[repr(C)]
struct CreateDevice {
    kind: u32,
    fd: u32,
    flags: u32,
}

/// `struct kvm_device_attr`.
#[repr(C)]
struct DeviceAttr {
    flags: u32,
    group: u32,
    attr: u64,
    addr: u64,
}

/// `struct vfio_irq_set` with one eventfd.
#[repr(C)]
struct IrqEvent {
    header: vfio::vfio_irq_set,
    event: i32,
}

/// The name of a mediated device, a UUID in its text form, as a C string.
#[repr(transparent)]
pub(super) struct DeviceName([u8; 37]);

impl DeviceName {
    /// None if `name` is longer or shorter than a UUID.
    pub(super) fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; 37];
        let text: &[u8; 36] = name.as_bytes().try_into().ok()?;
        bytes[..36].copy_from_slice(text);
        Some(Self(bytes))
    }
}

impl<A> Request<A> {
    /// Puts the request to `file`, which messages call `target`. The result is what the ioctl returns.
    fn put(&self, file: BorrowedFd<'_>, argument: &mut A, target: &str) -> Result<c_int> {
        // SAFETY: by the invariant of the type the kernel stays within `argument`, which is borrowed exclusively.
        let answer = unsafe { ioctl::ioctl_with_mut_ref(&file, self.number, argument) };
        self.checked(answer, target)
    }

    fn checked(&self, answer: c_int, target: &str) -> Result<c_int> {
        match answer {
            0.. => Ok(answer),
            _ => Err(KernelError { request: self.name, target: target.to_owned(), errno: Errno::last() }),
        }
    }

    fn refused(&self, target: &str, errno: c_int) -> KernelError {
        KernelError::new(self.name, target, errno)
    }
}

/// The size of a structure, as its own first field says it.
const fn size<A>() -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "at most 40")]
    let size = size_of::<A>() as u32;
    size
}

/// The VFIO pseudo device of the VM with file `vm`, close-on-exec.
pub(super) fn create_kvm_vfio(vm: BorrowedFd<'_>) -> Result<OwnedFd> {
    /// `KVM_DEV_TYPE_VFIO`.
    const VFIO: u32 = 4;
    let mut device = CreateDevice { kind: VFIO, fd: 0, flags: 0 };
    KVM_CREATE_DEVICE.put(vm, &mut device, "the VM")?;
    owned(device.fd.cast_signed()).ok_or_else(|| KVM_CREATE_DEVICE.refused("the VM", libc::EBADF))
}

/// Tells KVM that the VFIO file `file` is the VM's.
pub(super) fn kvm_file_add(kvm: BorrowedFd<'_>, file: BorrowedFd<'_>, target: &str) -> Result<()> {
    kvm_file(&KVM_DEV_VFIO_FILE_ADD, 1, kvm, file, target)
}

/// Tells KVM to forget `file`, and to let go of it.
pub(super) fn kvm_file_del(kvm: BorrowedFd<'_>, file: BorrowedFd<'_>, target: &str) -> Result<()> {
    kvm_file(&KVM_DEV_VFIO_FILE_DEL, 2, kvm, file, target)
}

fn kvm_file(
    request: &Request<DeviceAttr>,
    attr: u64,
    kvm: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    target: &str,
) -> Result<()> {
    /// `KVM_DEV_VFIO_FILE`, of old `KVM_DEV_VFIO_GROUP`.
    const FILE: u32 = 1;
    // The address of a local: the kernel reads the 4 bytes there (`get_user`) before this function ends. The room behind
    // them is for values of other attributes with these numbers, should `kvm` be another file of KVM.
    let mut value: [RawFd; 64] = [0; 64];
    value[0] = file.as_raw_fd();
    let addr = &raw const value as u64;
    request.put(kvm, &mut DeviceAttr { flags: 0, group: FILE, attr, addr }, target).map(drop)
}

/// Puts a group into a container.
pub(super) fn set_container(group: BorrowedFd<'_>, container: BorrowedFd<'_>, target: &str) -> Result<()> {
    VFIO_GROUP_SET_CONTAINER.put(group, &mut container.as_raw_fd(), target).map(drop)
}

/// Makes a container that has its group one of `VFIO_TYPE1v2_IOMMU`, the only type of which vfio_ap can pin pages.
pub(super) fn set_iommu(container: BorrowedFd<'_>, target: &str) -> Result<()> {
    // SAFETY: the argument is a number.
    let answer = unsafe {
        ioctl::ioctl_with_val(&container, VFIO_SET_IOMMU.number, c_ulong::from(vfio::VFIO_TYPE1v2_IOMMU))
    };
    VFIO_SET_IOMMU.checked(answer, target).map(drop)
}

/// Opens a device of a group, close-on-exec.
pub(super) fn get_device_fd(group: BorrowedFd<'_>, mut name: DeviceName, target: &str) -> Result<OwnedFd> {
    let fd = VFIO_GROUP_GET_DEVICE_FD.put(group, &mut name, target)?;
    owned(fd).ok_or_else(|| VFIO_GROUP_GET_DEVICE_FD.refused(target, libc::EBADF))
}

/// Maps guest memory in a container for reading and writing.
pub(super) fn map_dma(container: BorrowedFd<'_>, block: &Block, target: &str) -> Result<()> {
    // The kernel reaches that memory until the container is closed: whoever has the container holds the memory
    // (`super::VfioApDevice`), and what a device writes into it is what guest memory is for.
    let mut map = vfio::vfio_iommu_type1_dma_map {
        argsz: size::<vfio::vfio_iommu_type1_dma_map>(),
        flags: vfio::VFIO_DMA_MAP_FLAG_READ | vfio::VFIO_DMA_MAP_FLAG_WRITE,
        vaddr: block.host(),
        iova: block.iova(),
        size: block.size(),
    };
    VFIO_IOMMU_MAP_DMA.put(container, &mut map, target).map(drop)
}

/// Binds a device to an iommufd: this opens it.
pub(super) fn bind_iommufd(device: BorrowedFd<'_>, iommufd: BorrowedFd<'_>, target: &str) -> Result<()> {
    let mut bind = vfio::vfio_device_bind_iommufd {
        argsz: size::<vfio::vfio_device_bind_iommufd>(),
        iommufd: iommufd.as_raw_fd(),
        ..Default::default()
    };
    VFIO_DEVICE_BIND_IOMMUFD.put(device, &mut bind, target).map(drop)
}

/// Gives a bound device the I/O address space `ioas`.
pub(super) fn attach_ioas(device: BorrowedFd<'_>, ioas: u32, target: &str) -> Result<()> {
    let mut attach = vfio::vfio_device_attach_iommufd_pt {
        argsz: size::<vfio::vfio_device_attach_iommufd_pt>(),
        pt_id: ioas,
        ..Default::default()
    };
    VFIO_DEVICE_ATTACH_IOMMUFD_PT.put(device, &mut attach, target).map(drop)
}

/// A new I/O address space of an iommufd.
pub(super) fn alloc_ioas(iommufd: BorrowedFd<'_>, target: &str) -> Result<u32> {
    let mut alloc = iommu::iommu_ioas_alloc { size: size::<iommu::iommu_ioas_alloc>(), ..Default::default() };
    IOMMU_IOAS_ALLOC.put(iommufd, &mut alloc, target)?;
    Ok(alloc.out_ioas_id)
}

/// Maps guest memory in an I/O address space for reading and writing.
pub(super) fn map_ioas(iommufd: BorrowedFd<'_>, ioas: u32, block: &Block, target: &str) -> Result<()> {
    // As for `map_dma`: the memory is held until the address space is destroyed.
    let mut map = iommu::iommu_ioas_map {
        size: size::<iommu::iommu_ioas_map>(),
        flags: iommu::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_FIXED_IOVA
            | iommu::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_READABLE
            | iommu::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_WRITEABLE,
        ioas_id: ioas,
        user_va: block.host(),
        length: block.size(),
        iova: block.iova(),
        ..Default::default()
    };
    IOMMU_IOAS_MAP.put(iommufd, &mut map, target).map(drop)
}

/// Destroys an object of an iommufd.
pub(super) fn destroy(iommufd: BorrowedFd<'_>, id: u32, target: &str) -> Result<()> {
    let mut destroy = iommu::iommu_destroy { size: size::<iommu::iommu_destroy>(), id };
    IOMMU_DESTROY.put(iommufd, &mut destroy, target).map(drop)
}

/// What a device is.
pub(super) fn device_info(device: BorrowedFd<'_>, target: &str) -> Result<ApDeviceInfo> {
    let mut info = vfio::vfio_device_info { argsz: size::<vfio::vfio_device_info>(), ..Default::default() };
    VFIO_DEVICE_GET_INFO.put(device, &mut info, target)?;
    Ok(ApDeviceInfo { flags: info.flags, num_regions: info.num_regions, num_irqs: info.num_irqs })
}

/// What an interrupt of a device is.
pub(super) fn irq_info(device: BorrowedFd<'_>, irq: ApIrq, target: &str) -> Result<IrqInfo> {
    let mut info = vfio::vfio_irq_info {
        argsz: size::<vfio::vfio_irq_info>(),
        index: irq.index(),
        ..Default::default()
    };
    VFIO_DEVICE_GET_IRQ_INFO.put(device, &mut info, target)?;
    Ok(IrqInfo { flags: info.flags, count: info.count })
}

/// Registers the eventfd of an interrupt, or takes it back.
///
/// The latter with -1: the other way that VFIO has, no data and a count of 0, is EINVAL from vfio_ap
/// (`vfio_ap_ops.c: vfio_ap_irq_set_init`, 7.2).
pub(super) fn set_irq(
    device: BorrowedFd<'_>,
    irq: ApIrq,
    event: Option<&EventFd>,
    target: &str,
) -> Result<()> {
    let header = vfio::vfio_irq_set {
        argsz: size::<IrqEvent>(),
        flags: vfio::VFIO_IRQ_SET_DATA_EVENTFD | vfio::VFIO_IRQ_SET_ACTION_TRIGGER,
        index: irq.index(),
        start: 0,
        count: 1,
        ..Default::default()
    };
    let event = event.map_or(-1, AsRawFd::as_raw_fd);
    VFIO_DEVICE_SET_IRQS.put(device, &mut IrqEvent { header, event }, target).map(drop)
}

/// Resets a device.
pub(super) fn reset(device: BorrowedFd<'_>, target: &str) -> Result<()> {
    VFIO_DEVICE_RESET.put(device, &mut (), target).map(drop)
}

/// The owner of a descriptor that the kernel has just made for us; none if it is no descriptor.
fn owned(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: a number that an ioctl returned as a new descriptor; nobody else has it.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn the_requests_have_the_kernels_numbers() {
        // Computed from the kernel's headers; a Linux with another encoding of ioctl (powerpc, mips) has others.
        let numbers = [
            (VFIO_SET_IOMMU.number, 0x3b66),
            (VFIO_GROUP_SET_CONTAINER.number, 0x3b68),
            (VFIO_GROUP_GET_DEVICE_FD.number, 0x3b6a),
            (VFIO_DEVICE_GET_INFO.number, 0x3b6b),
            (VFIO_DEVICE_GET_IRQ_INFO.number, 0x3b6d),
            (VFIO_DEVICE_SET_IRQS.number, 0x3b6e),
            (VFIO_DEVICE_RESET.number, 0x3b6f),
            (VFIO_IOMMU_MAP_DMA.number, 0x3b71),
            (VFIO_DEVICE_BIND_IOMMUFD.number, 0x3b76),
            (VFIO_DEVICE_ATTACH_IOMMUFD_PT.number, 0x3b77),
            (IOMMU_DESTROY.number, 0x3b80),
            (IOMMU_IOAS_ALLOC.number, 0x3b81),
            (IOMMU_IOAS_MAP.number, 0x3b85),
            (KVM_CREATE_DEVICE.number, 0xc00c_aee0),
            (KVM_DEV_VFIO_FILE_ADD.number, 0x4018_aee1),
            (KVM_DEV_VFIO_FILE_DEL.number, 0x4018_aee1),
        ];
        for (number, expected) in numbers {
            assert_eq!(number, expected, "{expected:#x}");
        }
    }

    #[test]
    fn the_structures_are_the_kernels() {
        assert_eq!((size_of::<CreateDevice>(), offset_of!(CreateDevice, fd)), (12, 4));
        assert_eq!((size_of::<DeviceAttr>(), offset_of!(DeviceAttr, attr)), (24, 8));
        assert_eq!(offset_of!(DeviceAttr, addr), 16);
        // The eventfd follows the header without a gap.
        assert_eq!((size_of::<IrqEvent>(), offset_of!(IrqEvent, event)), (24, 20));
    }

    #[test]
    fn our_own_constants_are_those_of_the_bindings() {
        assert_eq!(ApDeviceInfo::FLAG_AP, vfio::VFIO_DEVICE_FLAGS_AP);
        assert_eq!(ApDeviceInfo::FLAG_RESET, vfio::VFIO_DEVICE_FLAGS_RESET);
        assert_eq!(ApIrq::ReleaseRequest.index(), vfio::VFIO_AP_REQ_IRQ_INDEX);
        assert_eq!(ApIrq::ConfigChanged.index(), vfio::VFIO_AP_CFG_CHG_IRQ_INDEX);
    }

    #[test]
    fn a_device_is_named_by_a_uuid_that_ends_with_a_nul() {
        let name = DeviceName::new("6c4a5d2e-0d3e-4c7a-9b0a-000000000001").expect("36 characters");
        assert_eq!(name.0[36], 0);
        assert_eq!(&name.0[..8], b"6c4a5d2e");
        assert!(DeviceName::new("6c4a5d2e").is_none());
    }
}
