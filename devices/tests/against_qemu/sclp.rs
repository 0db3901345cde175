//! The SCLP against QEMU's: a guest makes some hundred service calls, good and bad, under
//! `qemu-system-s390x`; the same calls on the same memory must leave the same memory, condition codes,
//! program interruptions, interruption parameters and console output here.
//!
//! Not compared, because it differs on purpose: messages whose lengths lead out of the event buffer (QEMU
//! reads on), masks that do not fit the SCCB (the same), the events for CPU hot plug and the priority commands
//! that QEMU says it sends, the CPU reconfiguration that it claims but has no command for. Debian's QEMU has no extended-length SCCBs under emulation.

use crate::qemu::{Directory, Qemu};
use adjunct_devices::{
    ProgramInterruption,
    sclp::{Consoles, Sclp, ScpInfo, ServiceCall, to_ebcdic},
};
use adjunct_hypervisor::{GuestMemory, MemorySize, allocate};
use std::{
    fs,
    io::{self, Write},
    sync::{Arc, Mutex},
};
use vm_memory::{Bytes, GuestAddress};

const MEMORY: u32 = 64;
const IMAGE: usize = 8 << 20;
const PROGRAM: usize = 0x2000;
/// Number of calls, padded to 16 bytes, then for each a command and an SCCB address.
const CALLS: usize = 0x3000;
const PREFIX: u32 = 0x6000;
/// For each call: interruption parameter (0 if none came), condition code or 0x100 + program interruption.
const RESULTS: usize = 0x8000;
const SCCBS: u64 = 0x2_0000;

/// Makes the calls. Assembled from:
/// ```text
/// start:  larl %r1,prefix; spx 0(%r1)
///         larl %r1,psws; mvc 0x1d0(16,%r0),0(%r1); mvc 0x1b0(16,%r0),16(%r1)
///         larl %r1,cr0; lctlg %c0,%c0,0(%r1)           # service signals
///         larl %r9,0x3000; larl %r10,0x8000; lg %r8,0(%r9)
/// loop:   aghi %r9,16; lghi %r6,0; lg %r2,0(%r9); lg %r3,8(%r9)
///         servc %r2,%r3; ipm %r4; srl %r4,28
///         larl %r1,byte; stosm 0(%r1),1; nopr; nopr; stnsm 0(%r1),0xfc; j store
/// external: llgf %r6,0x80(%r0); j store
/// program:  llgh %r4,0x8e(%r0); aghi %r4,0x100
/// store:  st %r6,0(%r10); st %r4,4(%r10); aghi %r10,8; brctg %r8,loop
///         larl %r1,wait; lpswe 0(%r1)
/// psws:   .quad 0x180000000,program, 0x180000000,external
/// wait:   .quad 0x0002000180000000,0
/// cr0: .quad 0x200;  prefix: .long 0x6000;  byte: .long 0
/// ```
const CODE: &str = "\
    c0100000006cb2101000c0100000004bd20f01d01000d20f01b01010c0100000005aeb001000002fc090000007ecc0a0\
    00002fe9e38090000004a79b0010a7690000e32090000004e33090080004b2200023b22200408840001cc01000000041\
    ad01100007000700acfc1000a7f4000ce36000800016a7f40007e340008e0091a74b01005060a0005040a004a7ab0008\
    a787ffd5c01000000016b2b2100007070000000180000000000000000000207a00000001800000000000000000002070\
    0002000180000000000000000000000000000000000002000000600000000000";

const READ_SCP_INFO: u32 = 0x0002_0001;
const READ_CPU_INFO: u32 = 0x0001_0001;
const WRITE_EVENT_DATA: u32 = 0x0076_0005;
const READ_EVENT_DATA: u32 = 0x0077_0005;
const WRITE_EVENT_MASK: u32 = 0x0078_0005;

/// The calls, and the memory that they begin with.
struct Calls {
    image: Vec<u8>,
    calls: Vec<(u32, u64)>,
    next: u64,
    random: u64,
}

impl Calls {
    fn new() -> Self {
        let mut image = vec![0; IMAGE];
        image[..8].copy_from_slice(&(0x0008_0000_8000_0000 | PROGRAM as u64).to_be_bytes());
        let code: Vec<_> = (0..CODE.len() / 2)
            .map(|at| u8::from_str_radix(&CODE[2 * at..2 * at + 2], 16).expect("hexadecimal"))
            .collect();
        image[PROGRAM..PROGRAM + code.len()].copy_from_slice(&code);
        Self { image, calls: Vec::new(), next: SCCBS, random: 0x9e37_79b9_7f4a_7c15 }
    }

    /// A number below `bound` (xorshift).
    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % bound as u64).expect("small")
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn at(&mut self, command: u32, address: u64) {
        self.calls.push((command, address));
    }

    /// Adds a call with an SCCB of its own, `offset` into a page.
    fn call(&mut self, command: u32, offset: u64, length: u16, head: [u8; 6], data: &[u8]) {
        let address = self.next + offset;
        self.next += 0x3000;
        let start = usize::try_from(address).expect("small");
        let [high, low] = length.to_be_bytes();
        self.image[start..start + 2].copy_from_slice(&[high, low]);
        self.image[start + 2..start + 8].copy_from_slice(&head);
        self.image[start + 8..start + 8 + data.len()].copy_from_slice(data);
        self.at(command, address);
    }

    /// Adds a call whose SCCB is just long enough for `data`.
    fn filled(&mut self, command: u32, function: u8, data: &[u8]) {
        let length = u16::try_from(8 + data.len()).expect("short");
        self.call(command, 0, length, [function, 0, 0, 0, 0, 0], data);
    }

    /// The image, with the list of calls.
    fn finish(mut self) -> (Vec<u8>, Vec<(u32, u64)>) {
        assert!(16 * (self.calls.len() + 1) <= PREFIX as usize - CALLS, "{} calls", self.calls.len());
        self.image[CALLS..CALLS + 8].copy_from_slice(&(self.calls.len() as u64).to_be_bytes());
        for (row, (command, address)) in self.image[CALLS + 16..].chunks_exact_mut(16).zip(&self.calls) {
            row[..8].copy_from_slice(&u64::from(*command).to_be_bytes());
            row[8..].copy_from_slice(&address.to_be_bytes());
        }
        (self.image, self.calls)
    }
}

fn event(kind: u8, data: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(6 + data.len()).expect("short").to_be_bytes();
    [&[high, low, kind, 0, 0, 0], data].concat()
}

fn message(lines: &[String]) -> Vec<u8> {
    let mut objects = vec![0; 56];
    objects[..4].copy_from_slice(&[0, 56, 0, 1]);
    for line in lines {
        let [high, low] = u16::try_from(10 + line.len()).expect("short").to_be_bytes();
        objects.extend([high, low, 0, 4, 0x10, 0, 0, 0, 0, 0]);
        objects.extend(to_ebcdic(line));
    }
    let [high, low] = u16::try_from(12 + objects.len()).expect("short").to_be_bytes();
    [&[high, low, 0, 1, 0xd4, 0xc4, 0xc2, 0x40, 0, 0, 0, 1], &objects[..]].concat()
}

fn all_calls() -> Calls {
    let mut calls = Calls::new();
    // The first answer tells what QEMU's CPU model is.
    calls.call(READ_SCP_INFO, 0, 4096, [0; 6], &[]);
    addresses(&mut calls);
    infos(&mut calls);
    for round in 0..100 {
        masks(&mut calls);
        writes(&mut calls, round);
        reads(&mut calls);
    }
    calls
}

fn addresses(calls: &mut Calls) {
    let end = u64::from(MEMORY) << 20;
    let prefix = u64::from(PREFIX);
    for address in [0, 8, 0x1ff8, prefix, prefix + 8, prefix + 0x1ff8, SCCBS + 0x0010_0004, SCCBS + 1] {
        calls.at(READ_SCP_INFO, address);
    }
    for address in
        [end, end + 4, 0x7fff_f000, 0x8000_0000, 0x8000_0001, 1 << 32, (1 << 32) + SCCBS, !7, u64::MAX]
    {
        calls.at(READ_SCP_INFO, address);
    }
}

fn infos(calls: &mut Calls) {
    let commands = [READ_SCP_INFO, 0x0012_0001, READ_CPU_INFO, READ_SCP_INFO | 0x5500];
    for command in commands {
        for length in [0, 7, 8, 55, 56, 127, 128, 143, 144, 159, 160, 175, 176, 4095, 4096, 4097, 8192] {
            let control = calls.pick(&[0, 0x80]);
            calls.call(command, 0, length, [0x80, 0, 0, control, 0, 0], &[]);
        }
        calls.call(command, 0xf00, 0x100, [0; 6], &[]);
        calls.call(command, 0xf00, 0x108, [0; 6], &[]);
        calls.call(command, 0xff8, 8, [0; 6], &[]);
    }
    for command in [0, 0x0002_0002, 0x001f_0001, 0x7777_7777, 0x0077_0004, 0x0012_0101] {
        calls.call(command, 0, 4096, [0; 6], &[]);
        calls.call(command, 0, 8192, [0; 6], &[]);
        calls.call(command, 0, 4, [0; 6], &[]);
    }
    for command in [0x001a_0001, 0x001b_0001] {
        for length in [8, 15, 16, 24, 4104] {
            calls.call(command, 0, length, [0; 6], &[3, 0, 0, 0]);
        }
    }
}

fn masks(calls: &mut Calls) {
    let length: u16 = calls.pick(&[0, 1, 2, 4, 4, 4, 8, 8, 9, 100, 1021, 1022, 0xffff]);
    let [high, low] = length.to_be_bytes();
    let mut data = vec![0, 0, high, low];
    let mask = [calls.pick(&[0, 0x80, 0xc0, 0xff]), 0, 0, calls.pick(&[0, 0x40, 0x48]), 0xff, 1, 2, 3];
    data.extend(mask.iter().cycle().take(4 * usize::from(length.min(1021))));
    calls.call(WRITE_EVENT_MASK, 0, 4096, [0; 6], &data[..data.len().min(4088)]);
}

fn writes(calls: &mut Calls, round: usize) {
    let mut chain = Vec::new();
    for number in 0..calls.below(4) {
        let text = format!("round {round}, event {number}");
        let lines: Vec<_> = (0..calls.below(4)).map(|line| format!("{text}, line {line}.")).collect();
        chain.push(match calls.below(8) {
            0..3 => event(0x1a, format!("{text}\n").as_bytes()),
            3 => event(calls.pick(&[0, 1, 4, 0x0b, 0x1d, 0xff]), b"?"),
            4 => event(0x1a, b""),
            kind => event(if kind == 5 { 0x09 } else { 0x02 }, &message(&lines)),
        });
    }
    let chain = chain.concat();
    let function = calls.pick(&[0, 0, 0, 0, 1]);
    calls.filled(WRITE_EVENT_DATA, function, &chain);
    // The same with a length in the chain that is wrong.
    let mut broken = [event(0x1a, b"never seen"), event(0x02, &message(&["never".to_owned()]))].concat();
    broken[1] = calls.pick(&[0, 1, 5, 15, 17, 200]);
    calls.filled(WRITE_EVENT_DATA, 0, &broken);
    // And with an object in a message that has no length, or one that is too long.
    let mut broken = message(&["first".to_owned(), "second".to_owned()]);
    let (high, low) = calls.pick(&[(0, 0), (0x7f, 0xff), (0, 200)]);
    let object = calls.pick(&[12, 68, 83]);
    broken[object..object + 2].copy_from_slice(&[high, low]);
    calls.filled(WRITE_EVENT_DATA, 0, &event(0x02, &broken));
}

fn reads(calls: &mut Calls) {
    let length = calls.pick(&[4096, 4096, 4096, 4088, 8]);
    let function = calls.pick(&[0, 1, 1, 2]);
    let control = calls.pick(&[0, 0x80, 0xff]);
    let mask = [calls.pick(&[0, 0x80, 0x01]), 0, 0, calls.pick(&[0, 0x40, 0x04])];
    calls.call(READ_EVENT_DATA, 0, length, [function, 0, 0, control, 0, 0], &mask);
}

/// Runs `image` under QEMU until it waits; returns its memory and the output of the two consoles.
fn run_qemu(image: &[u8]) -> io::Result<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let directory = Directory::new()?;
    let kernel = directory.file("image", image)?;
    let [ascii, lines] = ["ascii", "lines"].map(|name| directory.path(name));
    let mut qemu = Qemu::start(&[
        "-cpu",
        "max,zpci=off",
        "-smp",
        "2",
        "-m",
        &MEMORY.to_string(),
        "-kernel",
        &kernel,
        "-chardev",
        &format!("file,id=a,path={ascii}"),
        "-device",
        "sclpconsole,chardev=a",
        "-chardev",
        &format!("file,id=l,path={lines}"),
        "-device",
        "sclplmconsole,chardev=l",
    ])?;
    qemu.execute_until(r#""cont""#, "GUEST_PANICKED")?;
    let memory = qemu.memory(IMAGE, &directory)?;
    qemu.quit()?;
    Ok((memory, fs::read(ascii)?, fs::read(lines)?))
}

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no thread").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Screen {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("no thread").clone()
    }
}

/// Makes the calls here; puts the results where the guest program puts them.
fn run_here(sclp: &mut Sclp, memory: &GuestMemory, calls: &[(u32, u64)]) -> Vec<(u32, u32)> {
    calls
        .iter()
        .map(|&(command, sccb)| match sclp.service_call(ServiceCall { command, sccb }, PREFIX, memory) {
            Ok(signal) => (signal.parameter, 0),
            Err(exception) => (0, 0x100 + u32::from(ProgramInterruption::code(exception))),
        })
        .collect()
}

/// What QEMU says of its machine in an answer to READ SCP INFO, apart from what it was told.
fn info_of(sccb: &[u8]) -> ScpInfo {
    ScpInfo {
        memory: u64::from(MEMORY) << 20,
        cpus: 2,
        ibc: u32::from_be_bytes(sccb[76..80].try_into().expect("four")),
        conf_char: sccb[80..99].try_into().expect("19"),
        conf_char_ext: sccb[116..120].try_into().expect("four"),
        cpu_features: sccb[130..136].try_into().expect("six"),
        hmfai: u32::from_be_bytes(sccb[124..128].try_into().expect("four")),
        mha_pow: sccb[99],
        loadparm: [0x40; 8],
        extended_length: false,
        ..ScpInfo::default()
    }
}

/// Takes the events that QEMU sends and we do not out of its answer to a WRITE EVENT MASK.
fn without_other_events(sccb: &mut [u8]) {
    let length = usize::from(u16::from_be_bytes([sccb[10], sccb[11]]));
    if sccb[6..8] == [0x00, 0x20] {
        let send = &mut sccb[12 + 3 * length..12 + 4 * length];
        for (byte, other) in send.iter_mut().zip([0x10, 0x80]) {
            *byte &= !other;
        }
    }
}

/// Takes that bit of the facilities out of QEMU's answer to a READ SCP INFO.
fn without_cpu_reconfiguration(sccb: &mut [u8]) {
    if sccb[6..8] == [0x00, 0x10] {
        sccb[48] &= !0x04;
    }
}

/// Mends QEMU's answer to a READ CPU INFO: on little-endian hosts it calculates the offset of the standby
/// CPUs with fields that are already big-endian.
fn with_standby_offset(sccb: &mut [u8]) {
    if sccb[6..8] == [0x00, 0x10] && cfg!(target_endian = "little") {
        sccb[14..16].reverse();
    }
}

#[test]
#[ignore = "needs qemu-system-s390x; ./check runs it"]
fn the_same_service_calls_leave_the_same_memory_as_under_qemu() {
    let (image, calls) = all_calls().finish();
    let (mut theirs, ascii, lines) = run_qemu(&image).expect("QEMU runs");

    let first = usize::try_from(calls[0].1).expect("small");
    let (our_ascii, our_lines) = (Screen::default(), Screen::default());
    let consoles =
        Consoles { ascii: Some(Box::new(our_ascii.clone())), line_mode: Some(Box::new(our_lines.clone())) };
    let mut sclp = Sclp::new(info_of(&theirs[first..]), consoles);
    let memory = allocate(MemorySize::mebibytes(MEMORY).expect("not zero")).expect("can be had");
    memory.write_slice(&image, GuestAddress(0)).expect("inside");
    let results = run_here(&mut sclp, &memory, &calls);
    let mut ours = vec![0; IMAGE];
    memory.read_slice(&mut ours, GuestAddress(0)).expect("inside");

    for (index, (&(command, sccb), (parameter, code))) in calls.iter().zip(results).enumerate() {
        let name = format!("call {index}: {command:#010x} at {sccb:#x}");
        let theirs_here = &theirs[RESULTS + 8 * index..][..8];
        let word = |at| u32::from_be_bytes(theirs_here[at..at + 4].try_into().expect("four"));
        assert_eq!((parameter, code), (word(0), word(4)), "{name}");
        let Some(start) = usize::try_from(sccb).ok().filter(|start| (first..IMAGE).contains(start)) else {
            continue;
        };
        match command & 0xffff_00ff {
            WRITE_EVENT_MASK => without_other_events(&mut theirs[start..]),
            READ_SCP_INFO | 0x0012_0001 => without_cpu_reconfiguration(&mut theirs[start..]),
            READ_CPU_INFO => with_standby_offset(&mut theirs[start..]),
            _ => {}
        }
        let page = start..start + 0x2000;
        let (ours, theirs) = (&ours[page.clone()], &theirs[page]);
        let at = ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs);
        assert_eq!(at, None, "{name}: ours {:02x?}, QEMU's {:02x?}", &ours[..64], &theirs[..64]);
    }
    assert_eq!(our_ascii.bytes(), ascii);
    // QEMU puts its line feed before a line.
    assert_eq!([b"\n", &our_lines.bytes()[..]].concat(), [&lines[..], b"\n"].concat());
    assert!(ascii.len() > 500 && lines.len() > 500, "both consoles were used");
}
