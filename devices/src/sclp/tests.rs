mod anything;
mod calls;
mod info;
mod input;
mod masks;
mod output;
mod text;

use super::*;
use adjunct_hypervisor::{MemorySize, allocate};
use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

const SCCB: u64 = 0x5000;
const PREFIX: u32 = 0x1_0000;
const MIB: u64 = 1 << 20;

const READ_SCP_INFO: u32 = 0x0002_0001;
const READ_CPU_INFO: u32 = 0x0001_0001;
const WRITE_EVENT_DATA: u32 = 0x0076_0005;
const READ_EVENT_DATA: u32 = 0x0077_0005;
const WRITE_EVENT_MASK: u32 = 0x0078_0005;

const ASCII: u64 = 0x40 << 32;
const OPERATOR_COMMAND: u64 = 0x8000_0000 << 32;
const QUIESCE: u64 = 0x8 << 32;

/// An output that can be looked at.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no thread").clone()).expect("UTF-8")
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no thread").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An output that is broken.
struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Machine {
    sclp: Sclp,
    memory: GuestMemory,
    ascii: Screen,
    lines: Screen,
}

impl Machine {
    fn new(info: ScpInfo) -> Self {
        let (ascii, lines) = (Screen::default(), Screen::default());
        let consoles =
            Consoles { ascii: Some(Box::new(ascii.clone())), line_mode: Some(Box::new(lines.clone())) };
        Self::with(info, consoles, ascii, lines)
    }

    fn with(info: ScpInfo, consoles: Consoles, ascii: Screen, lines: Screen) -> Self {
        let memory = allocate(MemorySize::mebibytes(1).expect("not zero")).expect("1M can be had");
        Self { sclp: Sclp::new(info, consoles), memory, ascii, lines }
    }

    /// Makes the call with `sccb`, which is put at [`SCCB`]; returns the signal and the SCCB as it is then.
    fn call(&mut self, command: u32, sccb: &[u8]) -> (u32, Vec<u8>) {
        self.memory.write_slice(sccb, GuestAddress(SCCB)).expect("inside");
        let call = ServiceCall { command, sccb: SCCB };
        let signal = self.sclp.service_call(call, PREFIX, &self.memory).expect("a good address");
        let mut answer = vec![0; sccb.len()];
        self.memory.read_slice(&mut answer, GuestAddress(SCCB)).expect("inside");
        (signal.parameter, answer)
    }

    fn response(&mut self, command: u32, sccb: &[u8]) -> u16 {
        response(&self.call(command, sccb).1)
    }

    /// Sets the guest's receive mask; returns the signal's parameter.
    fn want(&mut self, mask: u64) -> u32 {
        let (parameter, answer) = self.call(WRITE_EVENT_MASK, &mask_sccb(8, mask));
        assert_eq!(response(&answer), 0x0020);
        parameter
    }

    /// Reads events unconditionally, with variable length.
    fn read_events(&mut self) -> (u32, Vec<u8>) {
        let (parameter, answer) = self.call(READ_EVENT_DATA, &sccb(4096, 0, 0x80, &[]));
        let length = usize::from(u16::from_be_bytes([answer[0], answer[1]]));
        assert_eq!(answer[5], 0, "the variable-length bit is taken back");
        (parameter, answer[..length].to_vec())
    }
}

/// An SCCB of `length` bytes that begins with `data`.
fn sccb(length: u16, function_code: u8, control: u8, data: &[u8]) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    let mut bytes = [&[high, low, function_code, 0, 0, control, 0, 0], data].concat();
    bytes.resize(usize::from(length).max(8), 0);
    bytes
}

/// An SCCB that `data` fills.
fn filled(data: &[u8]) -> Vec<u8> {
    sccb(u16::try_from(8 + data.len()).expect("short"), 0, 0, data)
}

fn mask_sccb(length: u16, mask: u64) -> Vec<u8> {
    let mut masks = vec![0; 4 * usize::from(length)];
    for (to, from) in masks[..usize::from(length)].iter_mut().zip(mask.to_be_bytes()) {
        *to = from;
    }
    let [high, low] = length.to_be_bytes();
    filled(&[&[0, 0, high, low], &masks[..]].concat())
}

fn event(kind: u8, data: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(6 + data.len()).expect("short").to_be_bytes();
    [&[high, low, kind, 0, 0, 0], data].concat()
}

/// A message data block as Linux builds it (`drivers/s390/char/sclp_rw.c`): a general object, then a message
/// text object for each line.
fn mdb(lines: &[&str]) -> Vec<u8> {
    // struct go: u16 length, u16 type, u32 domid, time, date, flags, names.
    let mut objects = vec![0; 56];
    objects[..4].copy_from_slice(&[0, 56, 0, 1]);
    for line in lines {
        let text = to_ebcdic(line);
        let [high, low] = u16::try_from(10 + text.len()).expect("short").to_be_bytes();
        // Type 4, line type flags: end text.
        objects.extend([high, low, 0, 4, 0x10, 0, 0, 0, 0, 0]);
        objects.extend(text);
    }
    let [high, low] = u16::try_from(12 + objects.len()).expect("short").to_be_bytes();
    [&[high, low, 0, 1, 0xd4, 0xc4, 0xc2, 0x40, 0, 0, 0, 1], &objects[..]].concat()
}

fn response(sccb: &[u8]) -> u16 {
    u16::from_be_bytes([sccb[6], sccb[7]])
}

fn be16(sccb: &[u8], offset: usize) -> u16 {
    u16::from_be_bytes([sccb[offset], sccb[offset + 1]])
}

fn info() -> ScpInfo {
    ScpInfo {
        memory: 256 * MIB,
        cpus: 2,
        ibc: 0x0031_0061,
        conf_char: std::array::from_fn(|index| 0xa0 + u8::try_from(index).expect("19")),
        conf_char_ext: [0xc1, 0xc2, 0xc3, 0xc4],
        fac134: 0x80,
        fac139: 0x40,
        cpu_features: [1, 2, 3, 4, 5, 6],
        hmfai: 0x0800_0000,
        mha_pow: 47,
        loadparm: *b"\xd3\xd6\xc1\xc4\x40\x40\x40\x40",
        extended_length: true,
    }
}

fn long(info: &ScpInfo) -> ScpInfo {
    ScpInfo { extended_length: true, ..info.clone() }
}

fn short(info: &ScpInfo) -> ScpInfo {
    ScpInfo { extended_length: false, ..info.clone() }
}
