//! The loader against QEMU's `-kernel`, `-initrd` and `-append`: the same files must leave the same memory and PSW.

use crate::qemu::{Directory, Qemu};
use adjunct_devices::ipl::Image;
use adjunct_hypervisor::{MemorySize, Psw, allocate};
use std::{fs, io};
use vm_memory::{Bytes, GuestAddress};

const MEMORY: u32 = 64;
/// Above this QEMU has its firmware.
const COMPARED: usize = 32 << 20;
/// QEMU tells its firmware something at 0xcc, in an area that no kernel needs.
const QIPL: std::ops::Range<usize> = 0xcc..0xe8;

fn run_qemu(image: &Image) -> io::Result<(Vec<u8>, Psw)> {
    let directory = Directory::new()?;
    let memory = MEMORY.to_string();
    let kernel = directory.file("kernel", &image.kernel)?;
    let initrd = image.initrd.as_ref().map(|bytes| directory.file("initrd", bytes)).transpose()?;
    let mut arguments = vec!["-m", &memory, "-kernel", &kernel];
    if let Some(path) = &initrd {
        arguments.extend(["-initrd", path]);
    }
    if let Some(line) = &image.command_line {
        arguments.extend(["-append", line]);
    }
    let mut qemu = Qemu::start(&arguments)?;
    let memory = qemu.memory(COMPARED, &directory)?;
    let command = r#""human-monitor-command","arguments":{"command-line":"info registers"}"#;
    let registers = qemu.execute(command)?;
    qemu.quit()?;
    Ok((memory, psw(&registers).ok_or_else(|| io::Error::other(registers))?))
}

/// Reads `PSW=mask 0000000180000000 addr 0000000000010000`.
fn psw(registers: &str) -> Option<Psw> {
    let mut words = registers.split("PSW=mask ").nth(1)?.split([' ', '\\']);
    let mask = u64::from_str_radix(words.next()?, 16).ok()?;
    let address = u64::from_str_radix(words.nth(1)?, 16).ok()?;
    Some(Psw { mask, address })
}

fn compare(name: &str, image: &Image) {
    let (mut theirs, their_psw) = run_qemu(image).expect(name);
    let memory = allocate(MemorySize::mebibytes(MEMORY).expect("not zero")).expect("can be had");
    let psw = image.load(&memory).expect(name);
    let mut ours = vec![0; COMPARED];
    memory.read_slice(&mut ours, GuestAddress(0)).expect("inside");
    theirs[QIPL].copy_from_slice(&ours[QIPL]);
    assert_eq!(psw, their_psw, "{name}");
    assert_eq!(ours.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs), None, "{name}");
}

/// A raw Linux image of `size` bytes with something everywhere.
fn linux(size: usize) -> Vec<u8> {
    let mut image: Vec<_> = (0..size).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
    image[..0x1_0000].fill(0);
    image[0x1_0008..0x1_000e].copy_from_slice(b"S390EP");
    image[0x1_0400..0x1_0480].fill(0);
    image
}

#[test]
#[ignore = "needs qemu-system-s390x; ./check runs it"]
fn linux_images_are_loaded_as_by_qemu() {
    let plain = Image { kernel: linux(0x2_1234), ..Image::default() };
    compare("a kernel alone", &plain);
    let command_line = Some("console=ttyS1 root=/dev/ram0".to_owned());
    compare("with a command line", &Image { command_line: command_line.clone(), ..plain.clone() });
    let longest = Some("x".repeat(895));
    compare("with the longest one", &Image { command_line: longest, ..plain.clone() });
    for size in [0x2_0000, (7 << 20) - 1, 7 << 20, (7 << 20) + 1, (9 << 20) + 77] {
        let image = Image {
            kernel: linux(size),
            initrd: Some(b"070701 an initrd".repeat(99)),
            command_line: command_line.clone(),
        };
        compare(&format!("with an initrd behind {size} bytes"), &image);
    }
}

#[test]
#[ignore = "needs qemu-system-s390x; ./check runs it"]
fn other_programs_are_loaded_as_by_qemu() {
    let mut raw = vec![0x07; 0x3001];
    raw[..8].copy_from_slice(&0x0008_0000_8000_2000u64.to_be_bytes());
    compare("a raw image", &Image { kernel: raw, ..Image::default() });
    let apcheck = concat!(env!("CARGO_MANIFEST_DIR"), "/../resources/guests/apcheck/apcheck.elf");
    let kernel = fs::read(apcheck).expect("it is in the tree");
    compare("apcheck", &Image { kernel, ..Image::default() });
}
