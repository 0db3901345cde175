//! VFIO in memory: what a program finds at `/dev/vfio` and `/dev/iommu`, byte by byte.
//!
//! [`Files`] are a program's open files. Their requests are checked as the kernel checks them (`drivers/vfio/{group,
//! container,device_cdev,vfio_main,vfio_iommu_type1}.c`, `drivers/iommu/iommufd`, `virt/kvm/vfio.c`, 7.2): what an
//! argument lacks, which flag, count or index is wrong, in which order. What is behind them is the same as behind
//! [`SimVm::open_ap`](crate::SimVm::open_ap): one device, one address space, one count of who has it open.
//!
//! It refuses to know what an AP queue is; that is `vfio_ap`'s. Not here: IOMMUs of hardware, PASIDs,
//! migration, and iommufd's imitation of a container.
//!
//! # Locks
//!
//! A group's, then a device file's, then the host's, then an address space's. None is held while a file goes, but the
//! group's while a device of it does.

mod abi;
mod container;
mod device;
mod dma;
mod files;
mod group;
mod iommufd;
mod kvm_vfio;
mod users;

pub(crate) use dma::{Access, AddressSpace, Rules};
pub use files::Files;
pub(crate) use users::{Registration, Share, Users};
