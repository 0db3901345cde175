//! The simulated host as a place for tests of [`crate::everywhere`].

use crate::{
    everywhere::{Files, Mdev, Place, Vm},
    support::{memory, uuid},
};
use adjunct_ap::Sysfs;
use adjunct_hypervisor::ProtoVm;
use adjunct_simulator::{SimHost, SimProtoVm, SimVcpu, SimVm};
use std::sync::Arc;

/// Makes tests of functions of a place: on the simulated host as each kernel has it.
macro_rules! on_every_host {
    ($($promise:ident)*) => {
        mod simulator {
            $(#[test]
            fn $promise() {
                for kernel in adjunct_simulator::KernelProfile::ALL {
                    super::$promise(&crate::simulated::with_kernel(kernel.name()));
                }
            })*
        }
    };
}
pub(crate) use on_every_host;

/// The host of the example with another kernel.
pub(crate) fn with_kernel(kernel: &str) -> SimHost {
    crate::support::host_with(&[("\"7.2\"", &format!("{kernel:?}"))])
}

/// The files of a program that makes its VMs itself.
pub(crate) struct OwnFiles {
    host: SimHost,
    pub(crate) files: adjunct_simulator::vfio::Files,
}

/// A VM before and after its vCPUs.
pub(crate) enum AnyVm {
    New(Box<SimProtoVm>),
    Frozen(Arc<SimVm>, #[expect(dead_code, reason = "held for its drop")] Vec<SimVcpu>),
}

fn new_vm(host: &SimHost) -> SimProtoVm {
    let mut vm = SimProtoVm::create(host).expect("KVM makes VMs");
    vm.set_memory(&memory()).expect("1M is memory");
    vm
}

impl OwnFiles {
    pub(crate) fn new(host: &SimHost) -> Self {
        Self { host: host.clone(), files: adjunct_simulator::vfio::Files::new(host) }
    }
}

pub(crate) fn mdev(n: u8) -> Mdev {
    let number = n - 1;
    Mdev {
        uuid: uuid(n),
        group: format!("/dev/vfio/{number}"),
        cdev: Some(format!("/dev/vfio/devices/vfio{number}")),
    }
}

impl Place for SimHost {
    type Files = OwnFiles;
    type Vm = AnyVm;

    fn kernel(&self) -> (u32, u32) {
        let name = self.profile().name();
        let (major, minor) = name.split_once('.').expect("two numbers");
        (major.parse().expect("a number"), minor.parse().expect("a number"))
    }

    fn files(&self) -> OwnFiles {
        OwnFiles::new(self)
    }

    fn vm(&self, vcpus: u16) -> AnyVm {
        if vcpus == 0 {
            return AnyVm::New(Box::new(new_vm(self)));
        }
        let (vm, vcpus) = new_vm(self).build(vcpus).expect("KVM makes vCPUs");
        AnyVm::Frozen(vm, vcpus)
    }

    fn mdev(&self, n: u8) -> Mdev {
        mdev(n)
    }

    fn read(&self, attribute: &str) -> String {
        Sysfs::read(self, attribute).unwrap_or_else(|error| panic!("{attribute}: {error}"))
    }

    fn write(&self, attribute: &str, text: &str) {
        Sysfs::write(self, attribute, text)
            .unwrap_or_else(|error| panic!("{text:?} to {attribute}: {error}"));
    }
}

impl Files for OwnFiles {
    fn open(&self, path: &str) -> Result<i32, i32> {
        self.files.open(path)
    }

    fn ioctl(&self, fd: i32, request: u32, argument: &mut [u8]) -> Result<i32, i32> {
        self.files.ioctl(fd, request, argument)
    }

    fn read(&self, fd: i32, buffer: &mut [u8]) -> Result<usize, i32> {
        self.files.read(fd, buffer)
    }

    fn write(&self, fd: i32, data: &[u8]) -> Result<usize, i32> {
        self.files.write(fd, data)
    }

    fn mmap(&self, fd: i32, length: usize) -> Result<(), i32> {
        self.files.mmap(fd, length)
    }

    fn dup(&self, fd: i32) -> Result<i32, i32> {
        self.files.dup(fd)
    }

    fn close(&self, fd: i32) -> Result<(), i32> {
        self.files.close(fd)
    }

    fn vm(&self) -> i32 {
        let (vm, _) = SimProtoVm::create(&self.host).expect("a VM").build(0).expect("no vCPUs");
        self.files.vm(&vm)
    }
}

impl Vm for AnyVm {
    fn has_attribute(&self, group: u32, attr: u64) -> Result<(), i32> {
        match self {
            Self::New(vm) => vm.has_attribute(group, attr),
            Self::Frozen(vm, _) => vm.has_attribute(group, attr),
        }
    }

    fn attribute(&self, group: u32, attr: u64, value: &mut [u8]) -> Result<(), i32> {
        match self {
            Self::New(vm) => vm.attribute(group, attr, value),
            Self::Frozen(vm, _) => vm.attribute(group, attr, value),
        }
    }

    fn set_attribute(&mut self, group: u32, attr: u64, value: &[u8]) -> Result<(), i32> {
        match self {
            Self::New(vm) => vm.set_attribute(group, attr, value),
            Self::Frozen(vm, _) => vm.set_attribute(group, attr, value),
        }
    }
}
