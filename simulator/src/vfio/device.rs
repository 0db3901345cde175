//! Files of a device: those that a group hands out, and its own character device, `/dev/vfio/devices/vfioN`
//! (`drivers/vfio/vfio_main.c`, `device_cdev.c`, `drivers/s390/crypto/vfio_ap_ops.c`, 7.2).

use super::{
    abi::{self, Argument},
    files::{Files, OpenFile},
    group::Group,
    iommufd::{Iommufd, ObjectId},
    users::{Registration, Share},
};
use crate::{
    Held, KernelProfile, OpenMdev, SimHost,
    kvm::{Kvm, KvmRef},
    sysfs::Errno,
};
use adjunct_ap::Uuid;
use adjunct_hypervisor::descriptor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A device that vfio_ap has opened for a VM.
#[derive(Debug)]
pub(crate) struct Opened {
    mdev: Arc<OpenMdev>,
    /// The VM lives at least as long.
    #[expect(dead_code, reason = "held for its drop")]
    kvm: Kvm,
}

impl Opened {
    /// Opens the device for the VM.
    ///
    /// # Errors
    /// As [`Kvm::open`].
    pub(crate) fn new(host: &SimHost, uuid: Uuid, kvm: Kvm) -> Result<Self, Errno> {
        Ok(Self { mdev: kvm.open(host, uuid)?, kvm })
    }

    pub(crate) fn mdev(&self) -> &OpenMdev {
        &self.mdev
    }
}

/// A file of a device.
#[derive(Debug)]
pub(crate) struct Device {
    uuid: Uuid,
    /// Through whose group it was opened, if it was.
    group: Option<Arc<Group>>,
    state: Mutex<State>,
    #[expect(dead_code, reason = "held for its drop, before which the device is closed")]
    file: Registration,
    #[expect(dead_code, reason = "held for its drop")]
    held: Held,
}

/// Fields in the order in which they go.
#[derive(Debug, Default)]
struct State {
    /// Nothing can be asked of a device before.
    opened: Option<Arc<Opened>>,
    binding: Option<Binding>,
    /// The VM that KVM has said the file is for.
    kvm: Option<KvmRef>,
}

/// A device that is bound to an iommufd.
#[derive(Debug)]
struct Binding {
    iommufd: Arc<Iommufd>,
    id: ObjectId,
    #[expect(dead_code, reason = "held for its drop")]
    ungrouped: Registration,
}

impl Drop for Binding {
    fn drop(&mut self) {
        self.iommufd.forget(self.id);
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // Nobody opens the device through the group while its last file is being closed.
        let group = self.group.clone();
        let _closing = group.as_ref().map(|group| group.lock());
        let state = std::mem::take(&mut *self.state());
        drop(state.opened);
        drop(state.binding);
    }
}

impl Device {
    /// The character device of an mdev, opened and not yet bound.
    ///
    /// # Errors
    /// ENODEV when the mdev is going.
    pub(crate) fn open(files: &Files, uuid: Uuid, held: Held) -> Result<Self, Errno> {
        let file = Registration::take(files.host(), uuid, Share::File)?;
        Ok(Self { uuid, group: None, state: Mutex::default(), file, held })
    }

    pub(crate) fn of_group(group: Arc<Group>, opened: Arc<Opened>, file: Registration, held: Held) -> Self {
        let state = State { opened: Some(opened), ..State::default() };
        Self { uuid: group.uuid(), group: Some(group), state: Mutex::new(state), file, held }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which VM the file is for (`vfio_device_file_set_kvm`). Of a device that was opened through its group that says
    /// nothing.
    pub(crate) fn set_kvm(&self, kvm: Option<KvmRef>) {
        self.state().kvm = kvm;
    }

    /// The device, if this file may be asked.
    ///
    /// # Errors
    /// EINVAL before it is bound.
    pub(crate) fn opened(&self) -> Result<Arc<OpenMdev>, Errno> {
        self.state().opened.as_ref().map(|opened| Arc::clone(&opened.mdev)).ok_or(libc::EINVAL)
    }

    /// `vfio_device_fops_unl_ioctl`, `vfio_ap_mdev_ioctl`.
    pub(crate) fn ioctl(
        &self,
        files: &Files,
        request: u32,
        mut argument: Argument<'_>,
    ) -> Result<i32, Errno> {
        if request == abi::DEVICE_BIND_IOMMUFD {
            return self.bind(files, &mut argument);
        }
        let mdev = self.opened()?;
        match request {
            abi::DEVICE_ATTACH_IOMMUFD_PT if self.group.is_none() => self.attach(files, &mdev, &argument),
            abi::DEVICE_DETACH_IOMMUFD_PT if self.group.is_none() => {
                detach(files.host().profile(), &mdev, &argument)
            }
            abi::DEVICE_FEATURE => feature(files.host().profile(), &argument),
            // Since 7.0 VFIO asks the driver for its regions by another way, which vfio_ap has not.
            abi::DEVICE_GET_REGION_INFO if files.host().profile() >= KernelProfile::V7_0 => Err(libc::EINVAL),
            abi::DEVICE_GET_INFO => get_info(&mdev, &mut argument),
            abi::DEVICE_GET_IRQ_INFO => get_irq_info(&mdev, &mut argument),
            abi::DEVICE_SET_IRQS => set_irqs(files, &mdev, &argument),
            abi::DEVICE_RESET => {
                files.act("VFIO_DEVICE_RESET", self.uuid.to_string())?;
                mdev.reset().map(|()| 0)
            }
            _ => Err(libc::EOPNOTSUPP),
        }
    }

    /// `vfio_df_ioctl_bind_iommufd`.
    fn bind(&self, files: &Files, argument: &mut Argument<'_>) -> Result<i32, Errno> {
        const SIZE: u32 = 16;
        argument.has(4)?;
        let size = argument.u32(0)?;
        if size < SIZE {
            return Err(libc::EINVAL);
        }
        // Older kernels don't look behind what they know.
        if files.host().profile() >= KernelProfile::V6_17 {
            argument.extends(24, size)?;
        }
        argument.has(16)?;
        let (flags, iommufd) = (argument.u32(4)?, argument.s32(8)?);
        // The one flag that there is brings a token, which vfio_ap has no use for.
        if iommufd < 0 || flags != 0 || self.group.is_some() {
            return Err(libc::EINVAL);
        }
        files.act("VFIO_DEVICE_BIND_IOMMUFD", self.uuid.to_string())?;
        let ungrouped = Registration::take(files.host(), self.uuid, Share::Bound)?;
        let mut state = self.state();
        if state.opened.is_some() {
            return Err(libc::EINVAL);
        }
        let iommufd = match files.get(iommufd)?.as_deref() {
            Some(OpenFile::Iommufd(iommufd)) => Arc::clone(iommufd),
            _ => return Err(libc::EBADFD),
        };
        if files.host().is_open(self.uuid) {
            return Err(libc::EINVAL);
        }
        let kvm = state.kvm.as_ref().and_then(KvmRef::get).ok_or(libc::EINVAL)?;
        let opened = Opened::new(files.host(), self.uuid, kvm)?;
        let id = iommufd.add_access();
        state.binding = Some(Binding { iommufd, id, ungrouped });
        state.opened = Some(Arc::new(opened));
        argument.put_u32(12, id.number())?;
        Ok(0)
    }

    /// `vfio_df_ioctl_attach_pt`.
    fn attach(&self, files: &Files, mdev: &OpenMdev, argument: &Argument<'_>) -> Result<i32, Errno> {
        argument.has(12)?;
        if argument.u32(0)? < 12 {
            return Err(libc::EINVAL);
        }
        refuse_pasid(files.host().profile(), argument)?;
        files.act("VFIO_DEVICE_ATTACH_IOMMUFD_PT", self.uuid.to_string())?;
        let space = match &self.state().binding {
            Some(binding) => binding.iommufd.ioas(argument.u32(8)?)?,
            None => return Err(libc::EINVAL),
        };
        mdev.attach(Some(space)).map(|()| 0)
    }
}

/// `vfio_df_ioctl_detach_pt`.
fn detach(profile: KernelProfile, mdev: &OpenMdev, argument: &Argument<'_>) -> Result<i32, Errno> {
    argument.has(8)?;
    if argument.u32(0)? < 8 {
        return Err(libc::EINVAL);
    }
    refuse_pasid(profile, argument)?;
    mdev.attach(None).map(|()| 0)
}

/// Flags of attaching and detaching: one that needs what vfio_ap has not, no others.
fn refuse_pasid(profile: KernelProfile, argument: &Argument<'_>) -> Result<(), Errno> {
    const PASID: u32 = 1;
    match argument.u32(4)? {
        0 => Ok(()),
        PASID if profile >= KernelProfile::V6_17 => Err(libc::EOPNOTSUPP),
        _ => Err(libc::EINVAL),
    }
}

/// `vfio_ioctl_device_feature`: vfio_ap has none of them.
fn feature(profile: KernelProfile, argument: &Argument<'_>) -> Result<i32, Errno> {
    const NUMBER: u32 = 0xffff;
    const MIG_PRECOPY_INFO_V2: u32 = 12;
    const GET: u32 = 1 << 16;
    const SET: u32 = 1 << 17;
    const PROBE: u32 = 1 << 18;
    argument.has(8)?;
    let flags = argument.u32(4)?;
    let both = flags & (GET | SET) == GET | SET && flags & PROBE == 0;
    if argument.u32(0)? < 8 || flags & !(NUMBER | GET | SET | PROBE) != 0 || both {
        return Err(libc::EINVAL);
    }
    // The one that is asked of the device's migration before anything else.
    if flags & NUMBER == MIG_PRECOPY_INFO_V2 && profile.knows_precopy_info_v2() {
        return Err(libc::EINVAL);
    }
    Err(libc::ENOTTY)
}

/// `vfio_ap_mdev_get_device_info`: 16 bytes; what a caller has behind them stays.
fn get_info(mdev: &OpenMdev, argument: &mut Argument<'_>) -> Result<i32, Errno> {
    argument.has(16)?;
    if argument.u32(0)? < 16 {
        return Err(libc::EINVAL);
    }
    let info = mdev.info();
    argument.put_u32(4, info.flags)?;
    argument.put_u32(8, info.num_regions)?;
    argument.put_u32(12, info.num_irqs)?;
    Ok(0)
}

/// `vfio_ap_get_irq_info`.
fn get_irq_info(mdev: &OpenMdev, argument: &mut Argument<'_>) -> Result<i32, Errno> {
    argument.has(16)?;
    if argument.u32(0)? < 16 {
        return Err(libc::EINVAL);
    }
    let info = mdev.irq_info(argument.u32(8)?)?;
    argument.put_u32(4, info.flags)?;
    argument.put_u32(12, info.count)?;
    Ok(0)
}

/// `vfio_ap_set_irqs`, `vfio_set_irqs_validate_and_prepare`.
fn set_irqs(files: &Files, mdev: &OpenMdev, argument: &Argument<'_>) -> Result<i32, Errno> {
    const HEADER: u32 = 20;
    const DATA_NONE: u32 = 1;
    const DATA_BOOL: u32 = 2;
    const DATA_EVENTFD: u32 = 4;
    const ACTION_TRIGGER: u32 = 1 << 5;
    const ALL_FLAGS: u32 = 0x3f;
    argument.has(20)?;
    let [size, flags, index, start, count] = [0, 4, 8, 12, 16].map(|at| argument.u32(at).unwrap_or(0));
    if size < HEADER || index >= mdev.info().num_irqs || count >= u32::MAX - start || flags & !ALL_FLAGS != 0
    {
        return Err(libc::EINVAL);
    }
    // There is one of each.
    if start >= 1 || start + count > 1 {
        return Err(libc::EINVAL);
    }
    let data = flags & (DATA_NONE | DATA_BOOL | DATA_EVENTFD);
    let needs = match data {
        DATA_NONE => 0,
        DATA_BOOL => count,
        DATA_EVENTFD => 4 * count,
        _ => return Err(libc::EINVAL),
    };
    if size - HEADER < needs || flags & ACTION_TRIGGER == 0 || data != DATA_EVENTFD {
        return Err(libc::EINVAL);
    }
    // Read whatever the count is.
    let event = match argument.s32(20)? {
        -1 => None,
        fd if fd < 0 => return Err(libc::EINVAL),
        fd if files.get(fd)?.is_some() => return Err(libc::EINVAL),
        fd => Some(descriptor::event(fd).map_err(|error| error.raw_os_error().unwrap_or(libc::EINVAL))?),
    };
    files.act("VFIO_DEVICE_SET_IRQS", format!("{} {index}", mdev.uuid()))?;
    mdev.set_irq(index, event).map(|()| 0)
}
