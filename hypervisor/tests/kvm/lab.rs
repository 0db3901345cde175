//! A real kernel as a place for tests that run on every host: its files, by number, and its attributes.
//!
//! What a test asks is in the simulator's `tests/kvm_host/everywhere`; here is only how a program asks Linux.

// UNSAFETY: the tests want to know what the kernel says to arguments that no safe function would make: descriptors
// that are not open, structures that end too early.
#![expect(unsafe_code, reason = "system calls as a program makes them, with whatever arguments")]

use crate::everywhere::{
    CREATE_DEVICE, Files, GET_ATTR, GET_DEVICE_FD, HAS_ATTR, Mdev, Place, SET_ATTR, SET_IOMMU, Vm, attribute,
};
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
    ptr,
    sync::Mutex,
};

/// Makes tests of functions of a place: on the kernel that runs.
macro_rules! on_every_host {
    ($($promise:ident)*) => {
        mod real_host {
            $(#[test]
            #[ignore = "needs KVM and vfio-ap mdevs in ADJUNCT_MDEV and ADJUNCT_SECOND_MDEV; tests/lab runs it"]
            fn $promise() {
                super::$promise(&crate::lab::Lab);
            })*
        }
    };
}
pub(crate) use on_every_host;

const CREATE_VM: u32 = 0xae01;
const CREATE_VCPU: u32 = 0xae41;
const PAGE: usize = 4096;

/// This machine.
pub(crate) struct Lab;

/// The files of a program. They are closed when it ends.
pub(crate) struct Program(Mutex<BTreeMap<RawFd, OwnedFd>>);

/// A VM's descriptor, and those of its vCPUs.
pub(crate) struct KvmVm {
    files: Program,
    vm: RawFd,
}

fn folder(variable: &str) -> PathBuf {
    PathBuf::from(std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} names an mdev")))
}

impl Place for Lab {
    type Files = Program;
    type Vm = KvmVm;

    fn kernel(&self) -> (u32, u32) {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux has it");
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse());
        let mut next = || numbers.next().expect("two numbers").expect("a number");
        (next(), next())
    }

    fn files(&self) -> Program {
        Program(Mutex::default())
    }

    fn vm(&self, vcpus: u16) -> KvmVm {
        let files = self.files();
        let vm = files.vm();
        for id in 0..usize::from(vcpus) {
            files.made(call(vm, CREATE_VCPU, ptr::without_provenance_mut(id)).expect("a vCPU"));
        }
        KvmVm { files, vm }
    }

    fn mdev(&self, n: u8) -> Mdev {
        let path = folder(if n == 1 { "ADJUNCT_MDEV" } else { "ADJUNCT_SECOND_MDEV" });
        let last = |path: &Path| path.file_name().expect("it has a name").to_string_lossy().into_owned();
        let group = fs::read_link(path.join("iommu_group")).expect("each mdev has a group");
        let mut cdevs = fs::read_dir(path.join("vfio-dev")).ok().into_iter().flatten();
        let cdev = cdevs.find_map(|entry| {
            let file = Path::new("/dev/vfio/devices").join(entry.ok()?.file_name());
            file.exists().then(|| file.to_string_lossy().into_owned())
        });
        Mdev { uuid: last(&path), group: format!("/dev/vfio/{}", last(&group)), cdev }
    }

    fn read(&self, attribute: &str) -> String {
        let path = Path::new("/sys").join(attribute);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn write(&self, attribute: &str, text: &str) {
        let path = Path::new("/sys").join(attribute);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{text:?} to {}: {error}", path.display()));
    }
}

/// What a system call returned, or its errno.
fn result(returned: libc::c_int) -> Result<i32, i32> {
    if returned < 0 { Err(errno(&io::Error::last_os_error())) } else { Ok(returned) }
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().expect("from the kernel")
}

fn call(fd: RawFd, request: u32, argument: *mut u8) -> Result<i32, i32> {
    // SAFETY: each argument is null, a number, or memory that is ours alone as far as it goes, with nothing behind it.
    result(unsafe { libc::ioctl(fd, request.into(), argument) })
}

/// Memory whose end is the end of a page behind which there is nothing.
struct Edge {
    start: *mut libc::c_void,
    length: usize,
}

impl Edge {
    fn new(room: usize) -> Self {
        let length = room.next_multiple_of(PAGE) + PAGE;
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new memory, wherever the kernel puts it.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, access, kind, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        let edge = Self { start, length };
        let guard = edge.end().cast();
        // SAFETY: the last page of it.
        assert_eq!(result(unsafe { libc::mprotect(guard, PAGE, libc::PROT_NONE) }), Ok(0));
        edge
    }

    fn end(&self) -> *mut u8 {
        self.start.cast::<u8>().wrapping_add(self.length - PAGE)
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // SAFETY: mapped by us, and nobody has its address any more.
        let unmapped = unsafe { libc::munmap(self.start, self.length) };
        assert_eq!(unmapped, 0);
    }
}

impl Program {
    fn table(&self) -> std::sync::MutexGuard<'_, BTreeMap<RawFd, OwnedFd>> {
        self.0.lock().expect("nobody panics with it")
    }

    /// A descriptor that the kernel made for us is ours.
    fn made(&self, fd: RawFd) {
        // SAFETY: the kernel has just returned it, and nobody else knows it.
        let file = unsafe { OwnedFd::from_raw_fd(fd) };
        self.table().insert(fd, file);
    }
}

impl Files for Program {
    fn open(&self, path: &str) -> Result<i32, i32> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| errno(&error))?;
        let fd = file.as_raw_fd();
        self.table().insert(fd, file.into());
        Ok(fd)
    }

    fn ioctl(&self, fd: i32, request: u32, argument: &mut [u8]) -> Result<i32, i32> {
        if request == SET_IOMMU {
            let number = u64::from_ne_bytes(argument.try_into().expect("a number"));
            return call(fd, request, ptr::without_provenance_mut(usize::try_from(number).expect("64 bits")));
        }
        let edge = Edge::new(argument.len());
        let start = edge.end().wrapping_sub(argument.len());
        if [SET_ATTR, GET_ATTR, HAS_ATTR].contains(&request)
            && let Some(address) = argument.get_mut(16..24)
        {
            let offset = u64::from_ne_bytes((&*address).try_into().expect("8 bytes"));
            address.copy_from_slice(&(start.addr() as u64 + offset).to_ne_bytes());
        }
        // SAFETY: the memory is as long as the argument, and ours.
        unsafe { ptr::copy_nonoverlapping(argument.as_ptr(), start, argument.len()) };
        let answer = call(fd, request, start);
        // SAFETY: as before.
        unsafe { ptr::copy_nonoverlapping(start, argument.as_mut_ptr(), argument.len()) };
        let answer = answer?;
        match request {
            GET_DEVICE_FD => self.made(answer),
            // Bit 0 of the flags: it was only asked.
            CREATE_DEVICE if argument[11] & 1 == 0 => {
                self.made(i32::from_ne_bytes(argument[4..8].try_into().expect("4 bytes")));
            }
            _ => (),
        }
        Ok(answer)
    }

    fn read(&self, fd: i32, buffer: &mut [u8]) -> Result<usize, i32> {
        // SAFETY: the buffer is as long as it says.
        let read = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
        usize::try_from(read).map_err(|_| errno(&io::Error::last_os_error()))
    }

    fn write(&self, fd: i32, data: &[u8]) -> Result<usize, i32> {
        // SAFETY: the data is as long as it says.
        let written = unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) };
        usize::try_from(written).map_err(|_| errno(&io::Error::last_os_error()))
    }

    fn mmap(&self, fd: i32, length: usize) -> Result<(), i32> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: new memory, wherever the kernel puts it.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, access, libc::MAP_SHARED, fd, 0) };
        if start == libc::MAP_FAILED { Err(errno(&io::Error::last_os_error())) } else { Ok(()) }
    }

    fn dup(&self, fd: i32) -> Result<i32, i32> {
        let mut table = self.table();
        let same = table.get(&fd).ok_or(libc::EBADF)?.try_clone().map_err(|error| errno(&error))?;
        let number = same.as_raw_fd();
        table.insert(number, same);
        Ok(number)
    }

    fn close(&self, fd: i32) -> Result<(), i32> {
        // std knows of no answer to it; no other number is closed than one of ours.
        let file = self.table().remove(&fd);
        file.map(drop).ok_or(libc::EBADF)
    }

    fn vm(&self) -> i32 {
        let kvm = self.open("/dev/kvm").expect("KVM is there, and may be used");
        let vm = call(kvm, CREATE_VM, ptr::null_mut()).expect("a VM");
        self.made(vm);
        vm
    }
}

impl KvmVm {
    fn ask(&self, request: u32, group: u32, attr: u64, value: &mut [u8]) -> Result<(), i32> {
        let mut argument = attribute(group, attr, value);
        let answer = self.files.ioctl(self.vm, request, &mut argument);
        value.copy_from_slice(&argument[24..]);
        answer.map(|_| ())
    }
}

impl Vm for KvmVm {
    fn has_attribute(&self, group: u32, attr: u64) -> Result<(), i32> {
        self.ask(HAS_ATTR, group, attr, &mut [])
    }

    fn attribute(&self, group: u32, attr: u64, value: &mut [u8]) -> Result<(), i32> {
        self.ask(GET_ATTR, group, attr, value)
    }

    fn set_attribute(&mut self, group: u32, attr: u64, value: &[u8]) -> Result<(), i32> {
        self.ask(SET_ATTR, group, attr, &mut value.to_vec())
    }
}
