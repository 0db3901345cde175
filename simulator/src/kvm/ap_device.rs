//! An mdev that a VM has open, and the way there: what a VMM does with `/dev/kvm` and `/dev/vfio`.

use super::{
    host::{VmHeld, VmHost, VmMdev},
    vm::Shared,
};
use adjunct_ap::Uuid;
use adjunct_hypervisor::{
    ApDevice, ApDeviceInfo, ApIrq, ApSource, EventFd, IrqInfo, KernelError, Result, VfioBackend,
};
use std::{path::Path, sync::Arc};

/// Which mdev the directory `path` in sysfs is. Nothing is changed.
///
/// # Errors
/// ENOENT when there is no such directory; ENODEV when it is no mdev.
pub(super) fn find(host: &dyn VmHost, path: &Path) -> Result<Uuid> {
    let refused = |errno| KernelError::new("open", path.display().to_string(), errno);
    let below = path.strip_prefix("/sys").ok().and_then(Path::to_str).ok_or_else(|| refused(libc::ENOENT))?;
    host.list(below).map_err(|error| refused(error.raw_os_error().unwrap_or(libc::ENOENT)))?;
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| refused(libc::ENODEV))?;
    name.parse().map_err(|_| refused(libc::ENODEV))
}

/// The mdev that `source` names, and the way to open it: the simulated kernel has both.
///
/// # Errors
/// As [`find`]; EBADF for descriptors, because no file of ours is a device of the simulated host.
pub(super) fn resolve(host: &dyn VmHost, source: &ApSource) -> Result<(Uuid, VfioBackend)> {
    match source {
        ApSource::Mdev { path, backend } => Ok((find(host, path)?, backend.unwrap_or(VfioBackend::Iommufd))),
        ApSource::Descriptors { .. } => Err(KernelError::new(BIND_IOMMUFD, source.to_string(), libc::EBADF)),
    }
}

const BIND_IOMMUFD: &str = "VFIO_DEVICE_BIND_IOMMUFD";

/// The request that opens the device, and those that map memory for it.
fn requests(backend: VfioBackend) -> (&'static str, &'static [&'static str]) {
    match backend {
        VfioBackend::Group => ("VFIO_GROUP_GET_DEVICE_FD", &["VFIO_IOMMU_MAP_DMA"]),
        VfioBackend::Iommufd => (BIND_IOMMUFD, &["VFIO_DEVICE_ATTACH_IOMMUFD_PT", "IOMMU_IOAS_MAP"]),
    }
}

/// An open vfio-ap device of the simulated host.
#[derive(Debug)]
pub struct SimApDevice {
    uuid: Uuid,
    host: Arc<dyn VmHost>,
    /// The device file. Dropped first: that closes the device.
    mdev: Arc<dyn VmMdev>,
    /// Newest first.
    #[expect(dead_code, reason = "held for its drop")]
    held: Vec<VmHeld>,
    /// The VM lives at least as long.
    #[expect(dead_code, reason = "held for its drop")]
    vm: Arc<Shared>,
}

impl SimApDevice {
    /// Tells KVM of the mdev, opens it and maps all guest memory for it. Whatever was reached before a refusal is
    /// given back.
    pub(super) fn open(vm: &Arc<Shared>, uuid: Uuid, backend: VfioBackend) -> Result<Self> {
        let host = vm.host.clone();
        let (opens, maps) = requests(backend);
        host.act("KVM_DEV_VFIO_FILE_ADD", &uuid.to_string())?;
        let file = host.hold(&format!("VFIO file {uuid}"));
        host.act(opens, &uuid.to_string())?;
        let mut hook = vm.change_hook();
        let mdev = host
            .open_mdev(uuid, vm.id, vm.crypto.clone())
            .map_err(|errno| KernelError::new(opens, uuid.to_string(), errno))?;
        *hook = Some(Arc::downgrade(&mdev));
        drop(hook);
        // From here on the mdev is open; dropping it closes it.
        let device = host.hold(&format!("VFIO device {uuid}"));
        let mut held = vec![device, file];
        if let Some(memory) = &vm.memory {
            maps.iter().try_for_each(|request| host.act(request, &uuid.to_string()))?;
            let mapped = mdev.map_dma(0..memory.size());
            mapped.map_err(|errno| KernelError::new(maps[0], uuid.to_string(), errno))?;
            held.insert(0, host.hold(&format!("DMA map {uuid}")));
        }
        Ok(Self { uuid, host, mdev, held, vm: Arc::clone(vm) })
    }

    fn refused(&self, request: &'static str, errno: i32) -> KernelError {
        KernelError::new(request, self.uuid.to_string(), errno)
    }
}

impl ApDevice for SimApDevice {
    fn info(&self) -> Result<ApDeviceInfo> {
        Ok(self.mdev.info())
    }

    fn irq_info(&self, irq: ApIrq) -> Result<IrqInfo> {
        self.mdev.irq_info(irq.index()).map_err(|errno| self.refused("VFIO_DEVICE_GET_IRQ_INFO", errno))
    }

    fn set_irq(&self, irq: ApIrq, event: Option<&EventFd>) -> Result<()> {
        const REQUEST: &str = "VFIO_DEVICE_SET_IRQS";
        // A host that is gone signals nothing.
        if event.is_none() && self.host.check().is_err() {
            return Ok(());
        }
        // The kernel takes a reference of its own.
        let event = event
            .map(EventFd::try_clone)
            .transpose()
            .map_err(|error| self.refused(REQUEST, error.raw_os_error().unwrap_or(libc::EBADF)))?;
        self.mdev.irq_info(irq.index()).map_err(|errno| self.refused(REQUEST, errno))?;
        self.host.act(REQUEST, &format!("{} {irq:?}", self.uuid))?;
        self.mdev.set_irq(irq.index(), event).map_err(|errno| self.refused(REQUEST, errno))
    }

    fn reset(&self) -> Result<()> {
        const REQUEST: &str = "VFIO_DEVICE_RESET";
        self.host.act(REQUEST, &self.uuid.to_string())?;
        self.mdev.reset().map_err(|errno| self.refused(REQUEST, errno))
    }
}
