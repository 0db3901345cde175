//! KVM's VFIO device: where KVM is told which VFIO files belong to a VM (`virt/kvm/vfio.c`, `kvm_main.c`, 7.2).

use super::{
    abi::{self, Argument},
    files::{Files, OpenFile},
};
use crate::{kvm::Kvm, sysfs::Errno};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `KVM_DEV_TYPE_*`.
const TYPE_VFIO: u32 = 4;
const TYPE_FLIC: u32 = 6;
/// `KVM_DEV_VFIO_FILE`, and its attributes.
const FILE: u32 = 1;
const FILE_ADD: u64 = 1;
const FILE_DEL: u64 = 2;

/// The device of one VM. When its last descriptor is closed, KVM forgets all files, and the VM can have another.
#[derive(Debug)]
pub(crate) struct KvmVfio {
    files: Mutex<Vec<Arc<OpenFile>>>,
    kvm: Kvm,
}

impl Drop for KvmVfio {
    fn drop(&mut self) {
        let files = std::mem::take(&mut *self.files());
        files.iter().for_each(|file| set_kvm(file, None));
        self.kvm.give_vfio_device_back();
    }
}

/// `vfio_file_set_kvm`.
fn set_kvm(file: &OpenFile, kvm: Option<&Kvm>) {
    match file {
        OpenFile::Group(group) => group.set_kvm(kvm.map(Kvm::weak)),
        OpenFile::Device(device) => device.set_kvm(kvm.map(Kvm::weak)),
        _ => (),
    }
}

impl KvmVfio {
    fn files(&self) -> MutexGuard<'_, Vec<Arc<OpenFile>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests to the descriptor of a VM: creating a device, and the VM's own attributes.
    pub(crate) fn vm_ioctl(
        files: &Files,
        kvm: &Kvm,
        request: u32,
        mut argument: Argument<'_>,
    ) -> Result<i32, Errno> {
        match request {
            abi::KVM_CREATE_DEVICE => Self::create(files, kvm, &mut argument),
            abi::KVM_SET_DEVICE_ATTR => {
                let (group, attr, address) = attribute(&argument)?;
                let value = argument.at(address);
                kvm.vm().set_attribute(group, attr, value.as_deref().unwrap_or_default()).map(|()| 0)
            }
            abi::KVM_GET_DEVICE_ATTR => {
                let (group, attr, address) = attribute(&argument)?;
                let value = argument.at(address);
                kvm.vm().attribute(group, attr, value.unwrap_or_default()).map(|()| 0)
            }
            abi::KVM_HAS_DEVICE_ATTR => {
                let (group, attr, _) = attribute(&argument)?;
                kvm.vm().has_attribute(group, attr).map(|()| 0)
            }
            _ => Err(libc::ENOTTY),
        }
    }

    /// `kvm_ioctl_create_device`.
    fn create(files: &Files, kvm: &Kvm, argument: &mut Argument<'_>) -> Result<i32, Errno> {
        const TEST: u32 = 1;
        argument.has(12)?;
        let (kind, test) = (argument.u32(0)?, argument.u32(8)? & TEST != 0);
        match kind {
            TYPE_VFIO | TYPE_FLIC if test => Ok(0),
            // The VM came with its FLIC.
            TYPE_FLIC => Err(libc::EINVAL),
            TYPE_VFIO => {
                kvm.take_vfio_device()?;
                let device = Self { files: Mutex::default(), kvm: kvm.clone() };
                argument.put_u32(4, files.add(OpenFile::KvmVfio(device)).cast_unsigned())?;
                Ok(0)
            }
            _ => Err(libc::ENODEV),
        }
    }

    /// `kvm_device_ioctl`.
    pub(crate) fn ioctl(
        &self,
        files: &Files,
        request: u32,
        mut argument: Argument<'_>,
    ) -> Result<i32, Errno> {
        match request {
            // There is nothing to get.
            abi::KVM_GET_DEVICE_ATTR => Err(libc::EPERM),
            abi::KVM_HAS_DEVICE_ATTR => match attribute(&argument)? {
                (FILE, FILE_ADD | FILE_DEL, _) => Ok(0),
                _ => Err(libc::ENXIO),
            },
            abi::KVM_SET_DEVICE_ATTR => {
                let (group, attr, address) = attribute(&argument)?;
                if group != FILE || ![FILE_ADD, FILE_DEL].contains(&attr) {
                    return Err(libc::ENXIO);
                }
                let fd = Argument::new(argument.at(address)?).s32(0)?;
                if attr == FILE_ADD { self.add(files, fd) } else { self.forget(files, fd) }
            }
            _ => Err(libc::ENOTTY),
        }
    }

    /// `kvm_vfio_file_add`.
    fn add(&self, files: &Files, fd: i32) -> Result<i32, Errno> {
        let file = files.get(fd)?.ok_or(libc::EINVAL)?;
        if !matches!(&*file, OpenFile::Group(_) | OpenFile::Device(_)) {
            return Err(libc::EINVAL);
        }
        files.act("KVM_DEV_VFIO_FILE_ADD", fd.to_string())?;
        let mut known = self.files();
        if known.iter().any(|known| Arc::ptr_eq(known, &file)) {
            return Err(libc::EEXIST);
        }
        set_kvm(&file, Some(&self.kvm));
        known.push(file);
        Ok(0)
    }

    /// `kvm_vfio_file_del`.
    fn forget(&self, files: &Files, fd: i32) -> Result<i32, Errno> {
        let file = files.get(fd)?.ok_or(libc::ENOENT)?;
        files.act("KVM_DEV_VFIO_FILE_DEL", fd.to_string())?;
        let mut known = self.files();
        let at = known.iter().position(|known| Arc::ptr_eq(known, &file)).ok_or(libc::ENOENT)?;
        let forgotten = known.remove(at);
        drop(known);
        set_kvm(&forgotten, None);
        Ok(0)
    }
}

/// `struct kvm_device_attr`: group, attribute and address.
fn attribute(argument: &Argument<'_>) -> Result<(u32, u64, u64), Errno> {
    argument.has(24)?;
    Ok((argument.u32(4)?, argument.u64(8)?, argument.u64(16)?))
}
