//! The loader.

use super::{
    SHORT_PSW, SHORT_PSW_ADDRESS,
    linux::{self, Linux},
};
use adjunct_hypervisor::{GuestMemory, Psw};
use elf::{ElfBytes, abi, endian::BigEndian, segment::ProgramHeader};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend as _};

/// What is to be loaded, by the bytes of its files. It outlives a load, since every re-IPL loads it
/// again.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// An s390x ELF program, a Linux kernel image (as `make image` or `bzImage` writes it), or a raw
    /// image with a short IPL PSW at its start, which is loaded at absolute address 0.
    pub kernel: Vec<u8>,
    /// An initial RAM disk for Linux.
    pub initrd: Option<Vec<u8>>,
    /// A command line for Linux, without NUL.
    pub command_line: Option<String>,
}

/// Why an image can't be loaded. Guest memory may hold parts of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Neither ELF nor a raw image with a PSW.
    #[error("the kernel is no ELF file, no Linux image and does not begin with an IPL PSW (--kernel)")]
    NotBootable,
    /// An ELF file that this loader can't read.
    #[error("the kernel is a damaged ELF file: {0} (--kernel)")]
    DamagedElf(String),
    /// An ELF file of another machine, or one that is no program.
    #[error("the kernel is no 64-bit big-endian s390x ELF program, but {0} (--kernel)")]
    WrongElf(String),
    /// The kernel needs more memory.
    #[error("the kernel reaches up to {end:#x}, but guest memory ends at {memory:#x} (--kernel, --memory)")]
    KernelTooLarge {
        /// First address behind the kernel.
        end: u64,
        /// First address behind memory.
        memory: u64,
    },
    /// The initrd needs more memory.
    #[error("the initrd reaches up to {end:#x}, but guest memory ends at {memory:#x} (--initrd, --memory)")]
    InitrdTooLarge {
        /// First address behind the initrd.
        end: u64,
        /// First address behind memory.
        memory: u64,
    },
    /// Only Linux has a parameter area.
    #[error("the kernel is not Linux, so it can't be given an initrd (--initrd)")]
    InitrdWithoutLinux,
    /// Only Linux has a parameter area.
    #[error("the kernel is not Linux, so it can't be given a command line (--append)")]
    CommandLineWithoutLinux,
    /// The kernel has no room for the command line.
    #[error("the command line has {length} bytes, but this kernel takes {maximum} (--append)")]
    CommandLineTooLong {
        /// Its length.
        length: usize,
        /// The largest possible length.
        maximum: u64,
    },
    /// The command line would end early.
    #[error("the command line has a NUL character (--append)")]
    CommandLineWithNul,
}

/// A kernel in memory.
struct Kernel {
    entry: u64,
    end: u64,
}

impl Image {
    /// Loads the image into `memory` and returns the PSW to start CPU 0 with: 64-bit addressing,
    /// everything disabled. Memory that the image does not cover stays as it is.
    ///
    /// # Errors
    /// See [`LoadError`]; each names the option to change.
    pub fn load(&self, memory: &GuestMemory) -> Result<Psw, LoadError> {
        let kernel = if self.kernel.starts_with(&abi::ELFMAGIC) {
            load_elf(&self.kernel, memory)?
        } else {
            load_raw(&self.kernel, memory)?
        };
        let start = |address| Psw { mask: Psw::MASK_64BIT, address };
        if !linux::is_linux(memory, kernel.entry, kernel.end) {
            if self.initrd.is_some() {
                return Err(LoadError::InitrdWithoutLinux);
            }
            if self.command_line.as_ref().is_some_and(|line| !line.is_empty()) {
                return Err(LoadError::CommandLineWithoutLinux);
            }
            return Ok(start(kernel.entry));
        }
        let linux = Linux { memory, kernel_end: kernel.end };
        linux.put_command_line(self.command_line.as_deref().unwrap_or_default())?;
        if let Some(initrd) = &self.initrd {
            linux.put_initrd(initrd)?;
        }
        Ok(start(linux::ENTRY))
    }
}

/// First address behind memory.
pub(super) fn end_of(memory: &GuestMemory) -> u64 {
    memory.last_addr().0.saturating_add(1)
}

/// Loads an image at absolute address 0. It is Linux, or says by a short PSW where it begins. QEMU would
/// take anything for that PSW; we want its bit 12 and an address in the image, since a file given by
/// mistake is better refused than run.
fn load_raw(kernel: &[u8], memory: &GuestMemory) -> Result<Kernel, LoadError> {
    let end = kernel.len() as u64;
    memory
        .write_slice(kernel, GuestAddress(0))
        .map_err(|_| LoadError::KernelTooLarge { end, memory: end_of(memory) })?;
    if linux::is_linux(memory, linux::ENTRY, end) {
        return Ok(Kernel { entry: linux::ENTRY, end });
    }
    match kernel.first_chunk().map(|psw| u64::from_be_bytes(*psw)) {
        Some(psw) if psw & SHORT_PSW != 0 && psw & SHORT_PSW_ADDRESS < end => {
            Ok(Kernel { entry: psw & SHORT_PSW_ADDRESS, end })
        }
        _ => Err(LoadError::NotBootable),
    }
}

/// Loads the segments of an ELF program at their physical addresses.
fn load_elf(kernel: &[u8], memory: &GuestMemory) -> Result<Kernel, LoadError> {
    let damaged = |error: elf::ParseError| LoadError::DamagedElf(error.to_string());
    let wrong = |what: String| Err(LoadError::WrongElf(what));
    // Byte 4 is the class, byte 5 the byte order: said before a parser trips over them.
    if kernel.get(4).is_some_and(|class| *class != abi::ELFCLASS64) {
        return wrong(format!("of class {}", kernel[4]));
    }
    if kernel.get(5).is_some_and(|order| *order != abi::ELFDATA2MSB) {
        return wrong(format!("of data encoding {}", kernel[5]));
    }
    let elf = ElfBytes::<BigEndian>::minimal_parse(kernel).map_err(damaged)?;
    if elf.ehdr.e_machine != abi::EM_S390 {
        return wrong(format!("for machine {}", elf.ehdr.e_machine));
    }
    if elf.ehdr.e_type != abi::ET_EXEC && elf.ehdr.e_type != abi::ET_DYN {
        return wrong(format!("of type {}", elf.ehdr.e_type));
    }
    let mut end = 0;
    let loadable = |segment: &ProgramHeader| segment.p_type == abi::PT_LOAD && segment.p_memsz > 0;
    for segment in elf.segments().into_iter().flatten().filter(loadable) {
        let data = elf.segment_data(&segment).map_err(damaged)?;
        end = end.max(load_segment(&segment, data, memory)?);
    }
    if end == 0 {
        return wrong("without anything to load".to_owned());
    }
    Ok(Kernel { entry: elf.ehdr.e_entry, end })
}

/// Loads one segment and zeroes what it has in memory but not in the file; returns its end.
fn load_segment(segment: &ProgramHeader, data: &[u8], memory: &GuestMemory) -> Result<u64, LoadError> {
    let too_large = |end| LoadError::KernelTooLarge { end, memory: end_of(memory) };
    let start = segment.p_paddr;
    let end = start.saturating_add(segment.p_memsz.max(segment.p_filesz));
    if end > end_of(memory) {
        return Err(too_large(end));
    }
    memory.write_slice(data, GuestAddress(start)).map_err(|_| too_large(end))?;
    let mut address = start + data.len() as u64;
    let zeros = [0; 4096];
    while address < end {
        let length = usize::try_from(end - address).map_or(zeros.len(), |rest| rest.min(zeros.len()));
        memory.write_slice(&zeros[..length], GuestAddress(address)).map_err(|_| too_large(end))?;
        address += length as u64;
    }
    Ok(end)
}
