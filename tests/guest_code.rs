//! Machine code for guests that look for themselves whether what the host did is right: a step that finds something else
//! ends the guest badly, and its number says which.

use crate::{
    command::Ran,
    lifecycle::{END_BADLY, END_WELL, image, run_image},
};
use std::path::PathBuf;
use tempfile::TempDir;

/// Where a guest's first CPU begins.
const START: u16 = 0x2000;
/// Where the bad end stands: of two CPUs the other is stopped first, or the guest would not end.
const BAD: u16 = 0x420;

/// What an order is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Accepted,
    Status(u32),
    NotOperational,
}

/// Instructions one after the other. General registers 0, 1, 13 and those that an order takes (2 to 4) are its own.
///
/// Addresses are below 512 KiB, those of [`Code::branch`] below 4 KiB.
#[derive(Clone, Debug, Default)]
pub(crate) struct Code {
    pub(crate) bytes: Vec<u8>,
    steps: Vec<String>,
}

impl Code {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An instruction of four bytes.
    pub(crate) fn word(mut self, instruction: u32) -> Self {
        self.bytes.extend(instruction.to_be_bytes());
        self
    }

    /// One of two bytes.
    pub(crate) fn half(mut self, instruction: u16) -> Self {
        self.bytes.extend(instruction.to_be_bytes());
        self
    }

    /// An instruction of format RXY or RSY: `op` are its first and its last byte, the operand has no base register.
    pub(crate) fn long(mut self, op: u16, r1: u8, r3: u8, address: u32) -> Self {
        let [first, last] = op.to_be_bytes();
        let [_, high, middle, low] = address.to_be_bytes();
        // DL has the lower 12 bits of the displacement, DH the upper 8.
        self.bytes.extend([first, r1 << 4 | r3, middle & 0xf, low, high << 4 | middle >> 4, last]);
        self
    }

    /// Loads 32 bits into the lower half of a register, and zeros into the upper.
    pub(crate) fn load(mut self, register: u8, value: u32) -> Self {
        self.bytes.extend([0xc0, register << 4 | 0xf]);
        self.bytes.extend(value.to_be_bytes());
        self
    }

    /// `bc`
    pub(crate) fn branch(self, mask: u8, to: u16) -> Self {
        assert!(to < 0x1000, "no base register reaches {to:#x}");
        self.word(0x4700_0000 | u32::from(mask) << 20 | u32::from(to))
    }

    /// `brc` over so many bytes, from the beginning of the instruction.
    pub(crate) fn jump(self, mask: u8, by: i16) -> Self {
        let [high, low] = (by / 2).to_be_bytes();
        self.word(u32::from_be_bytes([0xa7, mask << 4 | 4, high, low]))
    }

    /// What comes now fails as this.
    pub(crate) fn step(mut self, what: impl Into<String>) -> Self {
        self.steps.push(what.into());
        let number = u32::try_from(self.steps.len()).expect("not that many");
        self.load(13, number)
    }

    /// Ends badly on these condition codes.
    pub(crate) fn bad_if(self, mask: u8) -> Self {
        self.branch(mask, BAD)
    }

    /// `clfi`, and ends badly unless equal.
    pub(crate) fn is(mut self, register: u8, value: u32) -> Self {
        self.bytes.extend([0xc2, register << 4 | 0xf]);
        self.bytes.extend(value.to_be_bytes());
        self.bad_if(7)
    }

    /// Wants these 32 bits in memory.
    pub(crate) fn holds(self, address: u32, value: u32) -> Self {
        self.step(format!("{value:#x} at {address:#x}")).long(0xe358, 1, 0, address).is(1, value)
    }

    /// Wants these 64 bits in memory.
    pub(crate) fn holds_long(self, address: u32, value: u64) -> Self {
        let [high, low] = [value >> 32, value & 0xffff_ffff].map(|half| u32::try_from(half).expect("half"));
        self.holds(address, high).holds(address + 4, low)
    }

    /// Wants the same in so many bytes at both addresses.
    pub(crate) fn same(self, length: u8, one: u32, other: u32) -> Self {
        let mut loaded =
            self.step(format!("the same at {one:#x} and {other:#x}")).load(0, 0).load(5, one).load(6, other);
        // clc
        loaded.bytes.extend([0xd5, length - 1, 0x50, 0, 0x60, 0]);
        loaded.bad_if(7)
    }

    /// Does this only if these 32 bits in memory are something else.
    pub(crate) fn unless(self, address: u32, value: u32, block: impl FnOnce(Self) -> Self) -> Self {
        let mut tested = self.long(0xe358, 1, 0, address);
        tested.bytes.extend([0xc2, 0x1f]);
        tested.bytes.extend(value.to_be_bytes());
        let at = tested.bytes.len();
        let mut whole = block(tested.word(0));
        let by = i16::try_from(whole.bytes.len() - at).expect("not that long");
        whole.bytes[at..at + 4].copy_from_slice(&Self::new().jump(8, by).bytes);
        whole
    }

    /// Waits until these 32 bits in memory are `value`, or are not.
    pub(crate) fn until(self, address: u32, is: bool, value: u32) -> Self {
        let mut waits = self.long(0xe358, 1, 0, address);
        waits.bytes.extend([0xc2, 0x1f]);
        waits.bytes.extend(value.to_be_bytes());
        waits.jump(if is { 7 } else { 8 }, -12)
    }

    /// Stores 32 bits.
    pub(crate) fn store(self, address: u32, value: u32) -> Self {
        self.load(1, value).long(0xe350, 1, 0, address)
    }

    /// SIGP, again while the other is busy, with what it must be answered; the upper half of the status register stays.
    pub(crate) fn sigp(self, cpu: u16, order: u8, parameter: u32, answer: Answer) -> Self {
        let (code, status) = match answer {
            Answer::Accepted => (0, 0x1111_2222),
            Answer::Status(status) => (1, status),
            Answer::NotOperational => (3, 0x1111_2222),
        };
        let mut given = self
            .step(format!("order {order:#x} to CPU {cpu} with {parameter:#x}: {answer:x?}"))
            .load(4, cpu.into())
            .load(3, parameter)
            .load(2, 0x1111_2222);
        // iihf
        given.bytes.extend([0xc0, 0x28, 0x5a, 0x5a, 0x5a, 0x5a]);
        let mut looked =
            given.word(0xae24_0000 | u32::from(order)).jump(2, -4).bad_if(0xf & !(8 >> code)).is(2, status);
        // srlg %r1,%r2,32
        looked.bytes.extend([0xeb, 0x12, 0x00, 0x20, 0x00, 0x0c]);
        looked.is(1, 0x5a5a_5a5a)
    }

    /// `lpswe`
    pub(crate) fn load_psw(self, address: u16) -> Self {
        self.word(0xb2b2_0000 | u32::from(address))
    }

    /// The end, well.
    pub(crate) fn well(self) -> Self {
        self.word(END_WELL)
    }

    /// An image that begins with this, and has what is elsewhere in memory.
    pub(crate) fn image(&self, elsewhere: &[(usize, &[u8])]) -> (TempDir, PathBuf) {
        let start = (0x0008_0000_8000_0000 | u64::from(START)).to_be_bytes();
        // lhi %r4,1; stap 0x440; sh %r4,0x440; sigp; again while it is busy
        let other = Self::new().word(0xa748_0001).word(0xb212_0440).word(0x4b40_0440);
        let bad = other.word(0xae24_0005).jump(2, -4).word(END_BADLY);
        let here: [(usize, &[u8]); 3] = [(0, &start), (BAD.into(), &bad.bytes), (START.into(), &self.bytes)];
        image(&[], &[&here[..], elsewhere].concat())
    }

    /// Wants a run of this to have ended well.
    #[track_caller]
    pub(crate) fn assert_well(&self, ran: &Ran) {
        let panicked = ran.stdout.lines().find(|event| event.contains("guest-panicked"));
        let step = panicked.and_then(|event| {
            let event: serde_json::Value = serde_json::from_str(event).ok()?;
            let number = usize::from_str_radix(event["gprs"][13].as_str()?.strip_prefix("0x")?, 16).ok()?;
            self.steps.get(number.checked_sub(1)?)
        });
        assert_eq!(ran.status, 0, "{step:?}: {ran:?}");
    }
}

/// A PSW of 64-bit addressing.
pub(crate) fn psw(mask: u64, address: u64) -> Vec<u8> {
    [(mask | 0x0000_0001_8000_0000).to_be_bytes(), address.to_be_bytes()].concat()
}

/// Runs a guest of this on `host` with 1 MiB, and wants it to end well.
#[track_caller]
pub(crate) fn ends_well(host: &str, code: &Code, elsewhere: &[(usize, &[u8])], words: &[&str]) -> Ran {
    let (_dir, file) = code.image(elsewhere);
    let ran = run_image(host, &file, &[&["--memory", "1M"], words].concat());
    code.assert_well(&ran);
    ran
}
