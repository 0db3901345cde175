//! DIAGNOSE 0x308 against QEMU's: the subcodes that do not reset, with good and bad operands.
//!
//! Not compared: subcode 4, which KVM has and QEMU's emulation has not, and the blocks that QEMU could load
//! from.

use crate::qemu::{Directory, Qemu};
use adjunct_devices::{
    intercept::{Intercept, decode},
    ipl::{IplAction, diagnose_308},
};
use adjunct_hypervisor::{CpuState, GuestMemory, MemorySize, allocate};
use std::io;

const MEMORY: u32 = 64;
const IMAGE: usize = 0x1_0000;
const PROGRAM: usize = 0x2000;
/// Number of cases, padded to 32 bytes, then for each the instruction, the address and the subcode.
const CASES: usize = 0x3000;
/// For each case: register 3, and the program interruption or 0.
const RESULTS: usize = 0x8000;

/// Executes the instructions with the address in registers 2 and 3 and the subcode in 4. Assembled from:
/// ```text
/// start:  larl %r1,psw; mvc 0x1d0(16,%r0),0(%r1)
///         larl %r9,0x3000; larl %r10,0x8000; lg %r8,0(%r9)
/// loop:   aghi %r9,32; lg %r2,8(%r9); lgr %r3,%r2; lg %r4,16(%r9); lghi %r6,0
///         ex %r0,0(%r9); j store
/// program: llgh %r6,0x8e(%r0)
/// store:  stg %r3,0(%r10); stg %r6,8(%r10); aghi %r10,16; brctg %r8,loop
///         larl %r1,wait; lpswe 0(%r1)
/// psw:    .quad 0x180000000,program
/// wait:   .quad 0x0002000180000000,0
/// ```
const CODE: &str = "\
    c01000000034d20f01d01000c090000007fac0a000002ff7e38090000004a79b0020e32090080004b9040032e3409010\
    0004a769000044009000a7f40005e360008e0091e330a0000024e360a0080024a7ab0010a787ffe5c01000000010b2b2\
    10000707070707070000000180000000000000000000203e00020001800000000000000000000000";

type Case = (u32, u64, u64);

fn cases() -> Vec<Case> {
    // DIAG %r2,%r4,0x308; DIAG %r3,%r4,0x308.
    let instructions = [0x8324_0308, 0x8334_0308];
    let end = u64::from(MEMORY) << 20;
    let addresses = [0, 0x4000, 0x4008, 0x4fff, end - 4096, end, end + 1, 0x1_0000_4000, !0xfff, u64::MAX];
    let subcodes = [2, 5, 6, 7, 8, 9, 10, 11, 0x20, 0xffff, 0x1_0000, 0x1_0005, (1 << 32) + 6, u64::MAX];
    let mut cases = Vec::new();
    for instruction in instructions {
        for address in addresses {
            cases.extend(subcodes.map(|subcode| (instruction, address, subcode)));
        }
    }
    cases
}

fn image(cases: &[Case]) -> Vec<u8> {
    let mut image = vec![0; IMAGE];
    image[..8].copy_from_slice(&(0x0008_0000_8000_0000 | PROGRAM as u64).to_be_bytes());
    for (at, byte) in image[PROGRAM..][..CODE.len() / 2].iter_mut().enumerate() {
        *byte = u8::from_str_radix(&CODE[2 * at..2 * at + 2], 16).expect("hexadecimal");
    }
    image[CASES..CASES + 8].copy_from_slice(&(cases.len() as u64).to_be_bytes());
    assert!(CASES + 32 * (cases.len() + 1) <= RESULTS);
    for (row, (instruction, address, subcode)) in image[CASES + 32..].chunks_exact_mut(32).zip(cases) {
        row[..4].copy_from_slice(&instruction.to_be_bytes());
        row[8..16].copy_from_slice(&address.to_be_bytes());
        row[16..24].copy_from_slice(&subcode.to_be_bytes());
    }
    image
}

fn run_qemu(image: &[u8]) -> io::Result<Vec<u8>> {
    let directory = Directory::new()?;
    let kernel = directory.file("image", image)?;
    let mut qemu = Qemu::start(&["-m", &MEMORY.to_string(), "-kernel", &kernel])?;
    qemu.execute_until(r#""cont""#, "GUEST_PANICKED")?;
    let memory = qemu.memory(IMAGE, &directory)?;
    qemu.quit()?;
    Ok(memory)
}

/// Register 3 and the program interruption, as the guest program stores them.
fn run_here((instruction, address, subcode): Case, memory: &GuestMemory) -> (u64, u64) {
    let mut cpu = CpuState::default();
    (cpu.gprs[2], cpu.gprs[3], cpu.gprs[4]) = (address, address, subcode);
    let [a, b, c, d] = instruction.to_be_bytes();
    let intercept = decode(0x04, u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, 0, 0]), &cpu);
    let Intercept::Diagnose { code: 0x308, r1, r3 } = intercept else {
        panic!("{instruction:#x}: {intercept:?}");
    };
    match diagnose_308(r1, r3, &cpu, memory) {
        IplAction::Answer { register: 3, rc } => (rc, 0),
        IplAction::Exception(exception) => (address, u64::from(exception.code())),
        other => panic!("{subcode:#x}: {other:?}"),
    }
}

#[test]
#[ignore = "needs qemu-system-s390x; ./check runs it"]
fn diagnose_308_answers_and_refuses_as_under_qemu() {
    let cases = cases();
    let theirs = run_qemu(&image(&cases)).expect("QEMU runs");
    let memory = allocate(MemorySize::mebibytes(MEMORY).expect("not zero")).expect("can be had");
    for (row, case) in theirs[RESULTS..].chunks_exact(16).zip(cases) {
        let word = |at| u64::from_be_bytes(row[at..at + 8].try_into().expect("eight"));
        let (instruction, address, subcode) = case;
        assert_eq!(run_here(case, &memory), (word(0), word(8)), "{instruction:#x} {address:#x} {subcode:#x}");
    }
}
