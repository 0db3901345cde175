//! One random program: its bytes, and the machine it starts from.
//!
//! Both sides put program `slot` of a batch at the same addresses, so that link addresses and PC-relative
//! operands agree bit by bit. Nothing here knows who executes it.

/// Where the first program's code lies, and how far apart programs are.
pub(crate) const CODE: u64 = 0x0010_0000;
/// Where the first program's data lies. Code and data of a slot are always the same distance apart.
pub(crate) const DATA: u64 = CODE + STRIDE * BATCH as u64;
/// Bytes from one program to the next, in code and in data.
pub(crate) const STRIDE: u64 = 2048;
/// Most programs in a batch: everything stays below 16 MiB, where 24-bit addressing reaches it too.
pub(crate) const BATCH: usize = 2048;
/// Offset in a code slot of the first instruction.
pub(crate) const BODY: u64 = 128;
/// Offset in a code slot of the instructions that only EXECUTE reaches.
pub(crate) const TAIL: u64 = 1536;
/// A read-only table of random bytes that all programs share, and its length.
pub(crate) const TABLE: u64 = 0x0008_0000;
pub(crate) const TABLE_LEN: usize = 0x2_0000;
/// Bytes of data each program has; the rest of its stride is a gap.
pub(crate) const DATA_LEN: usize = 1024;

/// Register that holds a small index (0..=31). No generated instruction writes it, nor the next two.
pub(crate) const INDEX: u8 = 11;
/// Registers that point into the data, with the offsets they point to.
pub(crate) const BASES: [(u8, u64); 2] = [(12, 256), (13, 512)];

/// A deterministic source of random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True once in `n`.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// A value that arithmetic finds hard more often than chance would.
    pub(crate) fn value(&mut self) -> u64 {
        let random = self.next();
        match self.below(12) {
            0 => 0,
            1 => u64::MAX,
            2 => random & 0xff,
            3 => (random & 0xff).wrapping_neg(),
            4 => self.pick(&[
                0x7fff_ffff,
                0x8000_0000,
                0xffff_ffff,
                0xffff_ffff_8000_0000,
                i64::MAX as u64,
                1 << 63,
                0x7fff,
                0xffff_8000,
            ]),
            5 => (1u64 << (random & 63)).wrapping_sub(random >> 63),
            6 => random & 0xffff_ffff,
            7 => random as i32 as u64,
            8 => random & 0xffff,
            _ => random,
        }
    }
}

/// What a program finds when it starts.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) gprs: [u64; 16],
    /// Condition code (bits 2-3) and program mask (bits 4-7) as SET PROGRAM MASK takes them.
    pub(crate) cc_pm: u8,
    pub(crate) data: [u8; DATA_LEN],
}

/// The machine code of one program, independent of its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// Decides registers, condition code and data, see [`Program::start`].
    pub(crate) seed: u64,
    pub(crate) body: Vec<u8>,
    pub(crate) tail: Vec<u8>,
}

impl Program {
    pub(crate) fn start(&self, slot: usize) -> Start {
        let mut rng = Rng::new(self.seed);
        let mut gprs = [0; 16];
        gprs.fill_with(|| rng.value());
        gprs[usize::from(INDEX)] = rng.below(32);
        for (register, offset) in BASES {
            gprs[usize::from(register)] = data_address(slot) + offset;
        }
        // Overflow masks stay 0: QEMU's TCG has no such interruptions. HFP's two bits are only carried.
        let cc_pm = (rng.below(4) << 4 | rng.below(4)) as u8;
        Start { gprs, cc_pm, data: data(&mut rng) }
    }
}

fn data(rng: &mut Rng) -> [u8; DATA_LEN] {
    let mut data = [0; DATA_LEN];
    for chunk in data.chunks_mut(16) {
        let kind = rng.below(5);
        for half in chunk.chunks_mut(8) {
            let bytes = match kind {
                0 => packed_decimal(rng),
                1 => rng.next().to_be_bytes().map(|b| b"abcxyz 0\0\x40AB,.\xf1\xc1"[usize::from(b & 15)]),
                _ => rng.value().to_be_bytes(),
            };
            half.copy_from_slice(&bytes);
        }
    }
    // Equal halves make comparisons go on past the first byte.
    if rng.one_in(2) {
        data.copy_within(256..512, 512);
    }
    data
}

fn packed_decimal(rng: &mut Rng) -> [u8; 8] {
    let zeros = rng.below(16) * 4;
    let digits = (0..16).fold(0, |n, _| n << 4 | rng.below(10));
    let sign = rng.pick(&[0xc, 0xd, 0xf, 0xa, 0xb, 0xe, 0xc, 0xd]);
    (((digits << zeros) >> zeros) & !0xf | sign).to_be_bytes()
}

/// A few characters in UTF-8, one to four bytes each; now and then one that is none.
pub(crate) fn utf8(rng: &mut Rng) -> Vec<u8> {
    const CHARACTERS: [&str; 6] = ["a", "Z", "\u{e9}", "\u{20ac}", "\u{1f600}", "\u{7ff}"];
    const MALFORMED: [&[u8]; 8] = [
        &[0xc3, 0x41],
        &[0xc0, 0x80],
        &[0xe0, 0x80, 0x80],
        &[0xed, 0xa0, 0x80],
        &[0xe2, 0x82, 0x41],
        &[0xf4, 0x90, 0x80, 0x80],
        &[0x80],
        &[0xff],
    ];
    let one = |rng: &mut Rng| {
        if rng.one_in(16) { rng.pick(&MALFORMED) } else { rng.pick(&CHARACTERS).as_bytes() }
    };
    (0..6).flat_map(|_| one(rng)).copied().collect()
}

/// The bytes of [`TABLE`].
pub(crate) fn table() -> Vec<u8> {
    let mut rng = Rng::new(TABLE);
    (0..TABLE_LEN / 8).flat_map(|_| rng.next().to_be_bytes()).collect()
}

pub(crate) fn body_address(slot: usize) -> u64 {
    CODE + STRIDE * slot as u64 + BODY
}

pub(crate) fn data_address(slot: usize) -> u64 {
    DATA + STRIDE * slot as u64
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It ran off its last instruction.
    Done,
    /// A program interruption, as the signal Linux makes of it.
    Signal(Signal),
}

/// The signals a program interruption becomes (`arch/s390/kernel/traps.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Operation, privileged-operation, execute, specification, special-operation, operand; data with DXC 0.
    Ill,
    /// Fixed-point divide and overflow, data exceptions with another DXC.
    Fpe,
    /// Protection, addressing and translation.
    Segv,
}

/// What a program leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) end: End,
    /// Address of the next instruction, for signals other than SEGV (there it may be either).
    pub(crate) address: Option<u64>,
    pub(crate) gprs: [u64; 16],
    /// As [`Start::cc_pm`].
    pub(crate) cc_pm: u8,
    pub(crate) data: [u8; DATA_LEN],
}
