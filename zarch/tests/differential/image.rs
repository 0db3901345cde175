//! A batch of programs as one static s390x executable, written by hand: no assembler, no linker.
//!
//! Each program's slot loads its registers and condition code, runs its body, and saves what is left into a
//! record; a signal handler does the saving when the body is interrupted. At the end the records and all
//! data go to standard output.

use crate::program::{
    BATCH, BODY, CODE, DATA, DATA_LEN, End, Outcome, Program, STRIDE, Signal, TABLE, TABLE_LEN, TAIL,
    body_address, data_address, table,
};

/// Where the file is loaded; also the entry point.
const BASE: u64 = 0x0001_0000;
const HANDLER: u64 = BASE + 0x200;
/// `struct sigaction` and `stack_t` as s390x Linux takes them.
const SIGACTION: u64 = BASE + 0x300;
const ALTSTACK: u64 = BASE + 0x340;
/// Address of the running program's record.
const CURRENT: u64 = BASE + 0x380;
/// 64 bytes of zeros for the access registers.
const ZEROS: u64 = BASE + 0x3c0;
/// Registers of a program that has just ended.
const SAVED: u64 = BASE + 0x400;
const STACK: u64 = BASE + 0x1000;
const STACK_LEN: u64 = 0x8000;
const RECORDS: u64 = BASE + 0x1_0000;
const HEADER_LEN: u64 = 64 + 56;

/// A record: 16 registers, then these.
const RECORD_LEN: u64 = 192;
const PM: u16 = 128;
const SIGNO: u16 = 136;
const ADDRESS: u16 = 144;
const NEXT: u16 = 152;

const SYS_EXIT: u8 = 1;
const SYS_WRITE: u8 = 4;
const SYS_RT_SIGACTION: u8 = 174;
const SYS_SIGALTSTACK: u8 = 186;
const SA_SIGINFO: u64 = 4;
const SA_ONSTACK: u64 = 0x0800_0000;
const SA_NODEFER: u64 = 0x4000_0000;
const SIGILL: u32 = 4;
const SIGTRAP: u32 = 5;
const SIGBUS: u32 = 7;
const SIGFPE: u32 = 8;
const SIGSEGV: u32 = 11;
/// In `struct ucontext`: PSW mask, PSW address, registers.
const UC_PSW_ADDRESS: u16 = 48;
const UC_GPRS: u16 = 56;

/// Instructions that know their own address.
struct Assembler {
    at: u64,
    bytes: Vec<u8>,
}

impl Assembler {
    fn new(at: u64) -> Self {
        Self { at, bytes: Vec::new() }
    }

    fn here(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn relative(&mut self, opcode: [u8; 2], target: u64) {
        let halfwords = (target.wrapping_sub(self.here()) as i64 / 2) as i32;
        self.put(&opcode);
        self.put(&halfwords.to_be_bytes());
    }

    /// LARL
    fn address(&mut self, r: u8, target: u64) {
        self.relative([0xc0, r << 4], target);
    }

    /// BRCL 15
    fn jump(&mut self, target: u64) {
        self.relative([0xc0, 0xf4], target);
    }

    /// LGFI
    fn load(&mut self, r: u8, value: i32) {
        self.put(&[0xc0, r << 4 | 1]);
        self.put(&value.to_be_bytes());
    }

    /// An RXY or RSY instruction with an absolute address below 512 KiB.
    fn absolute(&mut self, opcode: u8, operand: u8, r: u8, r3: u8, address: u64) {
        let [.., high, d, low] = (address as u32).to_be_bytes();
        self.put(&[opcode, r << 4 | r3, d & 15, low, high << 4 | d >> 4, operand]);
    }

    /// MVC
    fn copy(&mut self, to: (u8, u16), length: u8, from: (u8, u16)) {
        self.put(&[0xd2, length - 1]);
        for (base, displacement) in [to, from] {
            self.put(&(u16::from(base) << 12 | displacement).to_be_bytes());
        }
    }

    fn svc(&mut self, number: u8) {
        self.put(&[0x0a, number]);
    }
}

fn entry(programs: usize) -> Vec<u8> {
    let mut a = Assembler::new(BASE + HEADER_LEN);
    a.address(2, ALTSTACK);
    a.load(3, 0);
    a.svc(SYS_SIGALTSTACK);
    for signal in [SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV] {
        a.load(2, signal as i32);
        a.address(3, SIGACTION);
        a.load(4, 0);
        a.load(5, 8);
        a.svc(SYS_RT_SIGACTION);
    }
    a.jump(prologue_address(0));
    assert!(a.here() <= HANDLER, "the entry code has grown into the handler (batch of {programs})");
    a.bytes
}

/// Entered with the signal number in register 2, `siginfo` in 3 and `ucontext` in 4; never returns to the
/// kernel, so that the stack it runs on is free again for the next signal.
fn handler() -> Vec<u8> {
    let mut a = Assembler::new(HANDLER);
    a.put(&[0xb2, 0x22, 0x00, 0x00]); // IPM 0: qemu-user does not put the condition code into ucontext
    a.absolute(0xe3, 0x04, 1, 0, CURRENT); // LG 1
    a.put(&[0xe3, 0x00, 0x10 | (PM >> 8) as u8, PM as u8, 0, 0x24]); // STG 0,PM(1)
    a.copy((1, 0), 128, (4, UC_GPRS));
    a.copy((1, SIGNO), 8, (3, 0)); // si_signo, si_errno
    a.copy((1, ADDRESS), 8, (4, UC_PSW_ADDRESS));
    a.put(&[0xe3, 0x20, 0x10 | (NEXT >> 8) as u8, NEXT as u8, 0, 0x04]); // LG 2,NEXT(1)
    a.put(&[0x07, 0xf2]); // BR 2
    a.bytes
}

fn prologue(slot: usize, cc_pm: u8) -> Vec<u8> {
    let mut a = Assembler::new(prologue_address(slot));
    a.address(1, record_address(slot));
    a.absolute(0xe3, 0x24, 1, 0, CURRENT); // STG 1
    a.load(0, 0);
    a.put(&[0xb3, 0x84, 0x00, 0x00]); // SFPC 0
    a.load(0, i32::from(cc_pm) << 24);
    a.absolute(0xeb, 0x9a, 0, 15, ZEROS); // LAMY 0,15
    for fpr in 0..16 {
        a.put(&[0xb3, 0x75, 0x00, fpr << 4]); // LZDR
    }
    a.put(&[0x04, 0x00]); // SPM 0
    a.put(&[0xeb, 0x0f, 0x10, 0x00, 0x00, 0x04]); // LMG 0,15,0(1)
    assert_eq!(a.here(), body_address(slot));
    a.bytes
}

fn epilogue(at: u64, slot: usize, next: u64) -> Vec<u8> {
    let mut a = Assembler::new(at);
    a.absolute(0xeb, 0x24, 0, 15, SAVED); // STMG 0,15
    a.put(&[0xb2, 0x22, 0x00, 0x00]); // IPM 0
    a.put(&[0x01, 0x0e]); // SAM64
    a.address(1, record_address(slot));
    a.address(2, SAVED);
    a.copy((1, 0), 128, (2, 0));
    a.put(&[0xe3, 0x00, 0x10 | (PM >> 8) as u8, PM as u8, 0, 0x24]); // STG 0,PM(1)
    a.jump(next);
    a.bytes
}

fn finish(at: u64, programs: usize) -> Vec<u8> {
    let mut a = Assembler::new(at);
    for (from, length) in [(RECORDS, RECORD_LEN), (DATA, STRIDE)] {
        a.load(2, 1);
        a.address(3, from);
        a.load(4, (length * programs as u64) as i32);
        a.svc(SYS_WRITE);
    }
    a.load(2, 0);
    a.svc(SYS_EXIT);
    a.bytes
}

fn prologue_address(slot: usize) -> u64 {
    body_address(slot) - 106
}

fn record_address(slot: usize) -> u64 {
    RECORDS + RECORD_LEN * slot as u64
}

/// The code slot of a program: what lies at its body's address up to the end of its tail.
///
/// # Panics
/// When the program is longer than its slot.
pub(crate) fn code(program: &Program) -> Vec<u8> {
    let room = (TAIL - BODY) as usize;
    assert!(program.body.len() + 64 <= room, "a program of {} bytes is too long", program.body.len());
    let mut code = program.body.clone();
    code.resize(room, 0);
    code.extend_from_slice(&program.tail);
    assert!(code.len() as u64 <= STRIDE - BODY, "a tail of {} bytes is too long", program.tail.len());
    code
}

/// The executable for `programs`, each in the slot of its index.
pub(crate) fn executable(programs: &[Program]) -> Vec<u8> {
    assert!(programs.len() <= BATCH, "{} programs do not fit a batch", programs.len());
    assert!(record_address(BATCH) <= TABLE, "the records have grown into the table");
    assert!(TABLE + TABLE_LEN as u64 <= CODE, "the table has grown into the code");
    let end = data_address(programs.len());
    let mut image = vec![0; (end - BASE) as usize];
    let mut put = |address: u64, bytes: &[u8]| {
        let at = (address - BASE) as usize;
        image[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(BASE, &elf_header(end - BASE));
    put(BASE + HEADER_LEN, &entry(programs.len()));
    put(HANDLER, &handler());
    put(SIGACTION, &words(&[HANDLER, SA_SIGINFO | SA_ONSTACK | SA_NODEFER, 0, 0]));
    put(TABLE, &table());
    put(ALTSTACK, &words(&[STACK, 0, STACK_LEN]));
    let finish_address = BASE + 0xa000;
    put(finish_address, &finish(finish_address, programs.len()));
    for (slot, program) in programs.iter().enumerate() {
        let start = program.start(slot);
        let body = body_address(slot);
        let next = if slot + 1 == programs.len() { finish_address } else { prologue_address(slot + 1) };
        put(prologue_address(slot), &prologue(slot, start.cc_pm));
        put(body, &code(program));
        let after = body + program.body.len() as u64;
        put(after, &epilogue(after, slot, next));
        put(record_address(slot), &words(&start.gprs));
        put(record_address(slot) + u64::from(NEXT), &words(&[next]));
        put(data_address(slot), &start.data);
    }
    image
}

fn words(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_be_bytes()).collect()
}

/// ELF64, big-endian, `EM_S390`, one segment that may be read, written and executed.
fn elf_header(length: u64) -> Vec<u8> {
    let mut h = b"\x7fELF\x02\x02\x01\0\0\0\0\0\0\0\0\0".to_vec();
    h.extend_from_slice(&[0, 2, 0, 22, 0, 0, 0, 1]); // ET_EXEC, EM_S390, version
    h.extend(words(&[BASE + HEADER_LEN, 64, 0])); // entry, program headers, no sections
    h.extend_from_slice(&[0, 0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0]);
    h.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 7]); // PT_LOAD, RWX
    h.extend(words(&[0, BASE, BASE, length, length, 0x1000]));
    h
}

/// Reads what the executable wrote: records, then data.
///
/// # Errors
/// Says so when the output is not that of `programs` programs.
pub(crate) fn outcomes(output: &[u8], programs: usize) -> Result<Vec<Outcome>, String> {
    let records = RECORD_LEN as usize * programs;
    let expected = records + STRIDE as usize * programs;
    if output.len() != expected {
        return Err(format!("{} bytes of results where {expected} were due", output.len()));
    }
    let (records, data) = output.split_at(records);
    let slots = records.chunks(RECORD_LEN as usize).zip(data.chunks(STRIDE as usize));
    slots.map(|(record, data)| outcome(record, data)).collect()
}

fn outcome(record: &[u8], data: &[u8]) -> Result<Outcome, String> {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&record[at..at + 8]);
        u64::from_be_bytes(bytes)
    };
    let end = match (word(SIGNO.into()) >> 32) as u32 {
        0 => End::Done,
        SIGILL => End::Signal(Signal::Ill),
        SIGFPE => End::Signal(Signal::Fpe),
        SIGSEGV => End::Signal(Signal::Segv),
        other => return Err(format!("unforeseen signal {other} at {:#x}", word(ADDRESS.into()))),
    };
    let mut left = [0; DATA_LEN];
    left.copy_from_slice(&data[..DATA_LEN]);
    Ok(Outcome {
        end,
        address: matches!(end, End::Signal(Signal::Ill | Signal::Fpe)).then(|| word(ADDRESS.into())),
        gprs: std::array::from_fn(|r| word(8 * r)),
        cc_pm: record[usize::from(PM) + 4],
        data: left,
    })
}
