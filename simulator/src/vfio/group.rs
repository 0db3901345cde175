//! Groups: `/dev/vfio/N` (`drivers/vfio/group.c`, 7.2). Every mdev has one of its own.

use super::{
    abi::{self, Argument},
    container::Member,
    device::{Device, Opened},
    dma::AddressSpace,
    files::{Files, OpenFile},
    users::{Registration, Share},
};
use crate::{Held, kvm::KvmRef, sysfs::Errno};
use adjunct_ap::Uuid;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// `VFIO_GROUP_FLAGS_*`.
const VIABLE: u32 = 1;
const CONTAINER_SET: u32 = 2;

/// An open group. Devices of it keep it open.
#[derive(Debug)]
pub(crate) struct Group {
    uuid: Uuid,
    state: Mutex<State>,
    alone: Arc<Registration>,
    #[expect(dead_code, reason = "held for its drop")]
    held: Held,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    container: Option<Member>,
    /// The VM that KVM has said the group is for.
    kvm: Option<KvmRef>,
    /// The device, while any file of it is open.
    opened: Weak<Opened>,
}

impl Group {
    /// Opens the group of an mdev (`vfio_group_fops_open`).
    ///
    /// # Errors
    /// EBUSY when it is open, or the device is bound to an iommufd.
    pub(crate) fn open(files: &Files, uuid: Uuid, held: Held) -> Result<Self, Errno> {
        let alone = Arc::new(Registration::take(files.host(), uuid, Share::Group)?);
        Ok(Self { uuid, state: Mutex::default(), alone, held })
    }

    /// The device of the group.
    pub(crate) fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The group, for as long as which nobody opens or closes a device of it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group, in no container if its device has gone (`vfio_device_remove_group`).
    fn current(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if !self.alone.is_there() {
            state.container = None;
        }
        state
    }

    /// Which VM the group is for (`vfio_group_set_kvm`). A device that is open keeps its own.
    pub(crate) fn set_kvm(&self, kvm: Option<KvmRef>) {
        self.lock().kvm = kvm;
    }

    /// `vfio_group_fops_unl_ioctl`.
    pub(crate) fn ioctl(
        self: &Arc<Self>,
        files: &Files,
        request: u32,
        mut argument: Argument<'_>,
    ) -> Result<i32, Errno> {
        match request {
            abi::GROUP_GET_DEVICE_FD => self.get_device_fd(files, argument.string()?),
            abi::GROUP_GET_STATUS => self.get_status(&mut argument),
            abi::GROUP_SET_CONTAINER => self.set_container(files, argument.s32(0)?),
            abi::GROUP_UNSET_CONTAINER => self.unset_container(),
            _ => Err(libc::ENOTTY),
        }
    }

    fn get_status(&self, argument: &mut Argument<'_>) -> Result<i32, Errno> {
        argument.has(8)?;
        if argument.u32(0)? < 8 {
            return Err(libc::EINVAL);
        }
        let state = self.lock();
        if !self.alone.is_there() {
            return Err(libc::ENODEV);
        }
        let set = if state.container.is_some() { CONTAINER_SET } else { 0 };
        argument.put_u32(4, VIABLE | set)?;
        Ok(0)
    }

    fn set_container(&self, files: &Files, fd: i32) -> Result<i32, Errno> {
        let file = files.get(fd)?;
        files.act("VFIO_GROUP_SET_CONTAINER", self.uuid.to_string())?;
        let mut state = self.current();
        if state.container.is_some() {
            return Err(libc::EINVAL);
        }
        if !self.alone.is_there() {
            return Err(libc::ENODEV);
        }
        let Some(OpenFile::Container(container)) = file.as_deref() else { return Err(libc::EBADFD) };
        state.container = Some(Member::join(Arc::clone(container), Arc::clone(&self.alone)));
        Ok(0)
    }

    fn unset_container(&self) -> Result<i32, Errno> {
        let mut state = self.current();
        if state.container.is_none() {
            return Err(libc::EINVAL);
        }
        // Each device that is open uses the container.
        if state.opened.strong_count() > 0 {
            return Err(libc::EBUSY);
        }
        state.container = None;
        Ok(0)
    }

    /// `vfio_group_ioctl_get_device_fd`: the name is looked for first, then all else.
    fn get_device_fd(self: &Arc<Self>, files: &Files, name: &[u8]) -> Result<i32, Errno> {
        if name != self.uuid.to_string().as_bytes() || !self.alone.is_there() {
            return Err(libc::ENODEV);
        }
        files.act("VFIO_GROUP_GET_DEVICE_FD", self.uuid.to_string())?;
        let file = Registration::take(files.host(), self.uuid, Share::File)?;
        let mut state = self.lock();
        let space = state.container.as_ref().ok_or(libc::EINVAL)?.space();
        let opened = match state.opened.upgrade() {
            Some(opened) => opened,
            None => {
                let opened = Arc::new(self.first_open(files, &state, space)?);
                state.opened = Arc::downgrade(&opened);
                opened
            }
        };
        drop(state);
        let held = files.hold(format!("VFIO device {}", self.uuid));
        let device = Device::of_group(Arc::clone(self), opened, file, held);
        Ok(files.add(OpenFile::Device(Arc::new(device))))
    }

    /// `vfio_df_device_first_open`.
    fn first_open(
        &self,
        files: &Files,
        state: &State,
        space: Option<Arc<AddressSpace>>,
    ) -> Result<Opened, Errno> {
        let space = space.ok_or(libc::EINVAL)?;
        let kvm = state.kvm.as_ref().and_then(KvmRef::get).ok_or(libc::EINVAL)?;
        let opened = Opened::new(files.host(), self.uuid, kvm)?;
        opened.mdev().attach(Some(space))?;
        Ok(opened)
    }
}
