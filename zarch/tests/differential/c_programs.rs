//! Freestanding C programs (`tests/data/programs`): what the interpreter prints for them must be what is recorded,
//! the recorded must be what QEMU prints, and the images must be what the sources compile to.

use std::fs;
use std::process::Command;

use adjunct_zarch::psw::{ADDRESSING_64, BASIC_ADDRESSING, PROBLEM, Psw, WAIT};
use adjunct_zarch::storage::{FlatStorage, Width};
use adjunct_zarch::{Cpu, Stop, Storage};

use crate::ours::Bare;
use crate::{data, qemu};

const NAMES: [&str; 5] = ["arithmetic", "machine", "sha256", "sort", "strings"];
/// Those that print the same as 31-bit programs, which QEMU does not run: these have no 128-bit integers.
const NAMES_31: [&str; 3] = ["machine", "sort", "strings"];
const COMPILER: &str = "s390x-linux-gnu-gcc";
const FLAGS: [&str; 16] = [
    "-march=z10",
    "-msoft-float",
    "-O2",
    "-Wall",
    "-Werror",
    "-ffreestanding",
    "-fno-stack-protector",
    "-fno-pic",
    "-no-pie",
    "-nostdlib",
    "-static",
    "-s",
    "-Wl,--build-id=none",
    "-Wl,-z,noseparate-code",
    "-Wl,-z,max-page-size=4096",
    "-Wl,-Ttext-segment=0x10000",
];

const STORAGE: usize = 0x10_0000;
const CALLED: u64 = 0xca11;
const BUDGET: u64 = 200_000_000;
/// Lowcore fields.
const SVC_CODE: u64 = 0x8a;
const SVC_OLD_PSW: u64 = 0x140;
const SVC_NEW_PSW: u64 = 0x1c0;
const SYS_EXIT: u64 = 1;
const SYS_WRITE: u64 = 4;

/// Loads a big-endian ELF executable and returns its entry point and addressing mode.
fn load(storage: &FlatStorage, elf: &[u8]) -> Psw {
    let number =
        |at: usize, length: usize| elf[at..at + length].iter().fold(0, |n, &b| n << 8 | u64::from(b));
    assert_eq!(
        (&elf[..4], elf[5], number(18, 2)),
        (&b"\x7fELF"[..], 2, 22),
        "not a big-endian ELF file for s390"
    );
    let wide = elf[4] == 2;
    // Bytes of an address; program headers: where, how many, how long.
    let (word, headers, count, length) =
        if wide { (8, number(32, 8), number(56, 2), 56) } else { (4, number(28, 4), number(44, 2), 32) };
    for header in (0..count).map(|n| (headers + length * n) as usize).filter(|&header| number(header, 4) == 1)
    {
        let field = |index: usize| number(header + if wide { 0 } else { 4 } + index * word, word);
        // In ELF64 the flags come before the offset, in ELF32 they come last: fields count from the offset.
        let (offset, address, bytes) =
            if wide { (field(1), field(2), field(4)) } else { (field(0), field(1), field(3)) };
        storage.write(address, &elf[offset as usize..(offset + bytes) as usize]).expect("programs are small");
    }
    let mode = if wide { ADDRESSING_64 } else { BASIC_ADDRESSING };
    Psw::new(PROBLEM | mode, number(24, word))
}

/// Runs an executable as Linux would, as far as `write` and `exit` go: standard output and exit code.
fn run(elf: &[u8]) -> (Vec<u8>, i32) {
    let storage = FlatStorage::new(STORAGE);
    let called = Psw::new(WAIT | ADDRESSING_64, CALLED).to_be_bytes();
    storage.write(SVC_NEW_PSW, &called).expect("the lowcore is inside");
    let mut cpu = Cpu::new();
    cpu.state.psw = load(&storage, elf);
    cpu.state.gprs[15] = STORAGE as u64 - 256;
    let mut environment = Bare::new();
    let mut printed = Vec::new();
    loop {
        let stop = cpu.run(&storage, &mut environment, BUDGET);
        assert_eq!((stop, cpu.state.psw.address), (Stop::DisabledWait, CALLED), "{:x?}", cpu.state);
        let mut old = [0; 16];
        storage.read(SVC_OLD_PSW, &mut old).expect("the lowcore is inside");
        cpu.state.psw = Psw::from_be_bytes(old);
        match storage.load(SVC_CODE, Width::Half) {
            Ok(SYS_EXIT) => return (printed, (cpu.state.gprs[2] & 0xff) as i32),
            Ok(SYS_WRITE) => {
                // A 31-bit program's arguments are the right halves of its registers.
                let mask = cpu.state.psw.addressing_mode().address_mask();
                let mut text = vec![0; (cpu.state.gprs[4] & mask) as usize];
                storage.read(cpu.state.gprs[3] & mask, &mut text).expect("the text is inside");
                cpu.state.gprs[2] = cpu.state.gprs[4];
                printed.extend(text);
            }
            other => panic!("system call {other:?}"),
        }
    }
}

/// Output and exit code as one text.
fn transcript((printed, code): (Vec<u8>, i32)) -> String {
    format!("{}exit code {code}\n", String::from_utf8_lossy(&printed))
}

fn image(name: &str) -> Vec<u8> {
    fs::read(data(&format!("programs/{name}.elf"))).expect("the image is in the tree")
}

fn expected(name: &str) -> String {
    fs::read_to_string(data(&format!("programs/{name}.out"))).expect("the transcript is in the tree")
}

#[test]
fn c_programs_print_what_they_printed_under_qemu() {
    for name in NAMES {
        assert_eq!(transcript(run(&image(name))), expected(name), "{name}");
    }
}

#[test]
fn the_same_programs_print_the_same_with_31_bit_addresses() {
    for name in NAMES_31 {
        assert_eq!(transcript(run(&image(&format!("{name}-31")))), expected(name), "{name}");
    }
}

#[test]
fn the_sha256_program_finds_the_digests_of_fips_180() {
    let printed = expected("sha256");
    let digests: Vec<&str> = printed.lines().skip(1).take(2).collect();
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let long = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";
    assert_eq!(digests, [abc, long]);
}

#[test]
#[ignore = "needs qemu-s390x (Debian's qemu-user); ./check runs it"]
fn the_recorded_transcripts_are_qemus() {
    for name in NAMES {
        let theirs = transcript(qemu::run(&image(name)).expect("qemu runs the program"));
        if std::env::var_os("BLESS").is_some() {
            fs::write(data(&format!("programs/{name}.out")), &theirs).expect("the transcript can be written");
        }
        assert_eq!(expected(name), theirs, "{name}");
    }
}

#[test]
#[ignore = "needs s390x-linux-gnu-gcc 12; ./check runs it"]
fn the_images_are_what_the_sources_compile_to() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let wide = NAMES.iter().map(|name| (name.to_string(), name, &["-m64"][..]));
    let narrow = NAMES_31.iter().map(|name| (format!("{name}-31"), name, &["-m31", "-mzarch"][..]));
    for (image_name, source, mode) in wide.chain(narrow) {
        let built = directory.path().join(&image_name);
        let status = Command::new(COMPILER)
            .args(mode)
            .args(FLAGS)
            .arg("-o")
            .arg(&built)
            .arg(data(&format!("programs/{source}.c")))
            .status()
            .expect("the compiler starts");
        assert!(status.success(), "{image_name}: {status}");
        let built = fs::read(built).expect("the compiler wrote its output");
        if std::env::var_os("BLESS").is_some() {
            fs::write(data(&format!("programs/{image_name}.elf")), &built).expect("the image can be written");
        }
        assert!(
            image(&image_name) == built,
            "{image_name}.elf is not what {source}.c compiles to; BLESS=1 rewrites it"
        );
    }
}
