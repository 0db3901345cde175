//! The real host: `/sys`, `/dev/kvm`, and the adapters of `tests/lab/apemu`.

use crate::{
    host::{Host, Machine, VMS},
    operation::{Answer, Operation},
};
use adjunct_ap::HostSysfs;
use adjunct_hypervisor::kvm::Kvm;
use std::{fs, io, sync::Arc};

struct Real;

/// This machine.
pub(crate) fn host() -> Host {
    let kvm = Kvm::open().expect("KVM is there");
    Host::new(Arc::new(HostSysfs::default()), Arc::new(kvm), Box::new(Real))
}

impl Machine for Real {
    fn order(&self, order: &str) -> io::Result<()> {
        fs::write("/sys/kernel/debug/apemu/ctl", order)
    }

    fn settle(&self) {
        self.order("settle").expect("apemu knows the bus");
    }
}

impl Host {
    /// Makes the host as it is after a boot: whatever stands in the way goes first.
    pub(crate) fn refresh(&mut self) {
        for vm in 0..VMS {
            self.apply(&Operation::Close { vm });
        }
        let write = |path: &str, value: &str| match self.sysfs.write(path, value) {
            Ok(()) => {}
            Err(error) => panic!("{path} takes no {value:?} on the way to a fresh host: {error}"),
        };
        for mdev in self.sysfs.list("bus/mdev/devices").unwrap_or_default() {
            write(&format!("bus/mdev/devices/{mdev}/remove"), "1");
        }
        for device in self.sysfs.list("bus/ap/devices").unwrap_or_default() {
            let path = format!("bus/ap/devices/{device}/driver_override");
            if self.sysfs.read(&path).is_ok_and(|text| text != "\n") {
                write(&path, "\n");
            }
        }
        write("bus/ap/drivers_autoprobe", "1");
        for mask in ["apmask", "aqmask"] {
            write(&format!("bus/ap/{mask}"), &format!("0x{}", "f".repeat(64)));
        }
        write("bus/ap/ap_domain", "4");
        write("bus/ap/config_time", "120");
        write("bus/ap/poll_timeout", "250000");
        write("bus/ap/poll_thread", "0");
        assert_eq!(self.order("reset"), Answer::Done);
        // Every device is made anew, with what it remembers.
        for card in [5, 6] {
            assert_eq!(self.order(&format!("card-del {card}")), Answer::Done);
        }
        write("bus/ap/scans", "1");
        assert_eq!(self.order("reset"), Answer::Done);
        write("bus/ap/scans", "1");
        Real.settle();
        self.count_from_here();
    }
}
