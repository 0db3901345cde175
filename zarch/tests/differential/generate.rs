//! Random programs over the instruction table: each row by its format, with operands that stay inside the
//! program's own data, forward branches only, and the loops that interruptible instructions need.

mod company;

use crate::piece::{Piece, Target, field, long_displacement};
use crate::program::{BASES, DATA_LEN, INDEX, Rng};
use adjunct_zarch::{Format, Instruction};

/// Registers that generated instructions may change.
const WRITABLE: [u8; 13] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15];
/// Even registers whose odd neighbour may be changed too.
const PAIRS: [u8; 6] = [0, 2, 4, 6, 8, 14];
/// The pieces of one program, 1 to 12 of them, from the rows given.
pub(crate) fn pieces(
    seed: u64,
    rows: &[&'static Instruction],
    first: Option<&'static Instruction>,
) -> Vec<Piece> {
    let mut rng = Rng::new(seed ^ 0x5eed);
    let count = 1 + rng.below(12);
    let mut generator = Generator { rng: &mut rng, rows, short: false };
    let mut pieces = Vec::new();
    // A few programs run with short addresses.
    if generator.rng.one_in(6) {
        pieces.push(generator.addressing_mode());
    }
    pieces.extend(first.map(|row| generator.piece(row)));
    for _ in 1..count {
        let row = generator.rng.pick(generator.rows);
        pieces.push(generator.piece(row));
    }
    pieces
}

/// A single piece of one row, alone.
pub(crate) fn single(seed: u64, row: &'static Instruction) -> Piece {
    let mut rng = Rng::new(seed);
    Generator { rng: &mut rng, rows: &[], short: false }.plain(row)
}

struct Generator<'a> {
    rng: &'a mut Rng,
    rows: &'a [&'static Instruction],
    /// Whether 24- or 31-bit addressing may be on.
    short: bool,
}

/// How a storage operand may be placed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Anywhere around either base.
    Any,
    /// On a 16-byte boundary.
    Aligned,
}

impl Generator<'_> {
    fn writable(&mut self) -> u8 {
        self.rng.pick(&WRITABLE)
    }

    fn any(&mut self) -> u8 {
        self.rng.below(16) as u8
    }

    /// Mostly an even register; an odd one is a specification exception.
    fn pair(&mut self) -> u8 {
        if self.rng.one_in(60) { 1 + 2 * self.rng.below(4) as u8 } else { self.rng.pick(&PAIRS) }
    }

    /// Two even registers of different pairs, neither pair containing 0 or 1.
    fn two_pairs(&mut self) -> (u8, u8) {
        let pairs = [2, 4, 6, 8, 14];
        let first = self.rng.below(5) as usize;
        let second = (first + 1 + self.rng.below(4) as usize) % 5;
        (pairs[first], pairs[second])
    }

    /// Base and 12-bit displacement, at bit 16 when shifted by 32.
    fn storage(&mut self, place: Place) -> u64 {
        let (base, _) = self.rng.pick(&BASES);
        let displacement = self.displacement(place);
        u64::from(base) << 12 | displacement
    }

    fn displacement(&mut self, place: Place) -> u64 {
        match place {
            Place::Any => self.rng.below(200),
            Place::Aligned => self.rng.below(13) * 16,
        }
    }

    fn signed_displacement(&mut self, place: Place) -> i64 {
        let d = self.displacement(place) as i64;
        if self.rng.one_in(3) { -d } else { d }
    }

    /// Index and base registers, in any of the ways to write them.
    fn indexed(&mut self) -> (u8, u8) {
        let (base, _) = self.rng.pick(&BASES);
        self.rng.pick(&[(0, base), (INDEX, base), (base, 0), (base, INDEX)])
    }

    fn addressing_mode(&mut self) -> Piece {
        self.short = true;
        let (mnemonic, code) = self.rng.pick(&[("SAM24", 0x010c), ("SAM31", 0x010d)]);
        let mut piece = Piece::new(mnemonic);
        piece.push(code << 48, 2);
        piece
    }

    fn skip(&mut self) -> Target {
        Target::Skip(self.rng.below(3) as usize)
    }

    /// The row with operands, and what must surround it.
    fn piece(&mut self, row: &'static Instruction) -> Piece {
        let mnemonic = row.mnemonic;
        self.short |= matches!(mnemonic, "SAM24" | "SAM31");
        match mnemonic {
            "EX" | "EXRL" => self.execute(row),
            "SPM" => self.set_program_mask(row),
            "BSM" | "BASSM" => self.branch_and_set_mode(row),
            "BCR" | "BALR" | "BASR" | "BCTR" | "BCTGR" => self.branch_to_register(row),
            "BAL" | "BAS" | "BC" | "BCT" | "BCTG" | "BXH" | "BXLE" | "BXHG" | "BXLEG" => {
                self.branch_to_storage(row)
            }
            "LA" | "LAY" | "LAE" | "LAEY" | "LARL" if self.short => self.short_address(row),
            "BIC" => self.branch_indirect(row),
            "MVCRL" => self.move_right_to_left(row),
            "SFPC" | "LFPC" => self.floating_point_control(row),
            "D" | "DR" | "DSG" | "DSGR" | "DSGF" | "DSGFR" | "DL" | "DLR" | "DLG" | "DLGR" => {
                self.divide(row)
            }
            "CS" | "CSY" | "CSG" | "CDS" | "CDSY" | "CDSG" => self.compare_and_swap(row),
            "MVCL" | "CLCL" | "MVCLE" | "CLCLE" | "MVCLU" | "CLCLU" => self.long_operands(row),
            "SRST" | "SRSTU" => self.search_string(row),
            "MVST" | "CLST" => self.terminated_strings(row),
            "CKSM" | "TRE" => self.address_and_length(row),
            "CU12" | "CU14" | "CU21" | "CU24" | "CU41" | "CU42" => self.convert_unicode(row),
            "TROO" | "TROT" | "TRTO" | "TRTT" => self.translate_extended(row),
            "PKA" | "PKU" | "UNPK" => self.leading_zero(row),
            "TR" => self.translate(row),
            _ if row.format == Format::RIS || row.format == Format::RRS => self.compare_and_branch(row),
            _ => self.plain(row),
        }
    }

    /// A row that needs nothing around it.
    fn plain(&mut self, row: &'static Instruction) -> Piece {
        use Format::*;
        let mut piece = Piece::new(row.mnemonic);
        let fields = self.fields(row);
        let at = piece.push(row.template() | fields, usize::from(row.length()));
        match row.format {
            RIb | RIc | RIEb | RIEc | RIEe | RSI => {
                let target = self.skip();
                piece.fix(at, false, target);
            }
            RILb | RILc => {
                let target = match row.mnemonic {
                    "BRASL" | "BRCL" | "BRCTH" => self.skip(),
                    "LARL" => Target::Data(self.rng.below(2 * DATA_LEN as u64) & !1),
                    _ => Target::Data(self.rng.below(DATA_LEN as u64 / 8) * 8),
                };
                piece.fix(at, true, target);
            }
            _ => {}
        }
        piece
    }

    /// The operand fields of a format, other than relative ones.
    fn fields(&mut self, row: &Instruction) -> u64 {
        use Format::*;
        let aligned = needs_alignment(row.mnemonic);
        let place = if aligned && !self.rng.one_in(50) { Place::Aligned } else { Place::Any };
        let r1 = if writes_pair(row.mnemonic) { self.pair() } else { self.writable() };
        let first = field(r1, 8);
        let immediate = self.rng.next();
        match row.format {
            E => 0,
            RIa => first | self.rng.value() << 48 >> 16,
            RIb | RILb => first,
            RIc | RILc => field(self.any(), 8),
            RIEa | RIEg => first | (self.rng.value() & 0xffff) << 32 | field(self.any(), mask_at(row)),
            RIEb => first | field(self.any(), 12) | field(self.any(), 32),
            RIEc => first | field(self.any(), 12) | (self.rng.value() & 0xff) << 24,
            RIEd => first | field(self.any(), 12) | (self.rng.value() & 0xffff) << 32,
            RIEe => first | field(self.any(), 12),
            // QEMU 7.2 combines with an uninitialised value in the test-only form, bit 16.
            RIEf if row.mnemonic.starts_with('R') && !row.mnemonic.starts_with("RI") => {
                first | field(self.any(), 12) | (immediate & 0x7f_ffff) << 24
            }
            RIEf => first | field(self.any(), 12) | (immediate & 0xff_ffff) << 24,
            RILa => first | (self.rng.value() & 0xffff_ffff) << 16,
            RR if row.mnemonic == "SPM" => first,
            RR => first | field(self.any(), 12),
            RRE if row.mnemonic == "IPM" => field(r1, 24),
            RRE => field(r1, 24) | field(self.any(), 28),
            RRFa => {
                let mask = if row.mnemonic.starts_with("SEL") { self.any() } else { 0 };
                field(self.any(), 16) | field(mask, 20) | field(r1, 24) | field(self.any(), 28)
            }
            RRFb => field(self.any(), 16) | field(r1, 24) | field(self.any(), 28),
            RRFc => field(self.mask(row.mnemonic), 16) | field(r1, 24) | field(self.any(), 28),
            RSa | RSYa => self.register_range(row, r1, place),
            RSb => first | field(self.any(), 12) | self.storage(place) << 32,
            RSYb => first | field(self.any(), 12) | self.long_storage(place),
            RSI => first | field(self.any(), 12),
            RSLa => first | self.storage(place) << 32,
            RXa | RXb | RXYa | RXYb => self.indexed_storage(row, r1, place),
            S => self.storage(place) << 32,
            SI if row.mnemonic == "TS" => self.storage(place) << 32,
            // Monitor classes above 15 are a specification exception.
            SI if row.mnemonic == "MC" && !self.rng.one_in(20) => {
                (immediate & 0x0f) << 48 | self.storage(place) << 32
            }
            SI => (immediate & 0xff) << 48 | self.storage(place) << 32,
            SIY => (immediate & 0xff) << 48 | self.long_storage(place),
            SIL => self.storage(place) << 32 | (self.rng.value() & 0xffff) << 16,
            SSa | SSf => self.storage_to_storage(row),
            SSb if row.mnemonic == "UNPK" => {
                let (first, second) = (self.rng.below(100), self.rng.below(100));
                let bases = BASES.map(|(base, _)| u64::from(base) << 12);
                (immediate & 0xff) << 48 | (bases[0] | first) << 32 | (bases[1] | second) << 16
            }
            SSb => (immediate & 0xff) << 48 | self.storage(place) << 32 | self.storage(place) << 16,
            SSc | SSd => (immediate & 0xff) << 48 | self.storage(place) << 32 | self.storage(place) << 16,
            SSE => self.storage(place) << 32 | self.storage(place) << 16,
            SSe => {
                let last = if self.rng.one_in(2) { r1 } else { (r1 + 1) & 15 };
                let last = if WRITABLE.contains(&last) { last } else { r1 };
                first | field(last, 12) | self.storage(place) << 32 | self.storage(place) << 16
            }
            SSF => field(self.rng.pick(&PAIRS), 8) | self.storage(place) << 32 | self.storage(place) << 16,
            I | IE | MII | RIS | RRS | SMI => 0,
        }
    }

    /// M3 of an RRF-c instruction: a condition, a comparison, or a flag that few bits are defined of.
    fn mask(&mut self, mnemonic: &str) -> u8 {
        match mnemonic {
            "POPCNT" => self.rng.pick(&[0, 8]),
            _ => self.any(),
        }
    }

    /// R1 and R3 with a storage operand or a shift amount.
    fn register_range(&mut self, row: &Instruction, r1: u8, place: Place) -> u64 {
        let long = row.format == Format::RSYa;
        if is_shift(row.mnemonic) {
            let base = if self.rng.one_in(2) { 0 } else { self.any() };
            let amount = self.rng.below(0x1000);
            return field(r1, 8)
                | field(self.any() & if long { 15 } else { 0 }, 12)
                | field(base, 16)
                | amount << 32;
        }
        let (r1, r3) = match row.mnemonic {
            // Loads: no register of the range may be one that addresses depend on.
            "LM" | "LMG" | "LMY" | "LMH" => {
                let first = self.writable();
                let room = if first >= 14 { 27 - first } else { 11 - first };
                (first, (first + self.rng.below(room.into()) as u8) & 15)
            }
            _ => (r1, self.any()),
        };
        let storage = if long { self.long_storage(place) } else { self.storage(place) << 32 };
        field(r1, 8) | field(r3, 12) | storage
    }

    fn long_storage(&mut self, place: Place) -> u64 {
        let (base, _) = self.rng.pick(&BASES);
        field(base, 16) | long_displacement(self.signed_displacement(place))
    }

    fn indexed_storage(&mut self, row: &Instruction, r1: u8, place: Place) -> u64 {
        let long = matches!(row.format, Format::RXYa | Format::RXYb);
        let (mut index, mut base) = self.indexed();
        if place == Place::Aligned && (index == INDEX || base == INDEX) {
            (index, base) = (0, BASES[0].0);
        }
        if matches!(row.mnemonic, "LA" | "LAY" | "LAE" | "LAEY") {
            (index, base) = (self.any(), self.any());
        }
        let displacement = match (row.mnemonic, long) {
            ("LA" | "LAE", _) => self.rng.below(0x1000) << 32,
            ("LAY" | "LAEY", _) => long_displacement(self.rng.value() as i64),
            (_, true) => long_displacement(self.signed_displacement(place)),
            (_, false) => self.displacement(place) << 32,
        };
        field(r1, 8) | field(index, 12) | field(base, 16) | displacement
    }

    /// Two storage operands with one length; where the architecture leaves overlap open, there is none.
    fn storage_to_storage(&mut self, row: &Instruction) -> u64 {
        let length = match row.mnemonic {
            "PKA" | "UNPKA" if !self.rng.one_in(20) => self.rng.below(32),
            "PKU" | "UNPKU" if !self.rng.one_in(20) => self.rng.below(32) * 2 + 1,
            "PKA" | "UNPKA" | "PKU" | "UNPKU" => self.rng.below(100),
            _ if self.rng.one_in(3) => self.rng.below(256),
            _ => self.rng.below(20),
        };
        let (first, second) = match row.mnemonic {
            "MVCIN" | "TR" | "PKA" | "PKU" | "UNPKA" | "UNPKU" => {
                let length = length.min(127);
                let first = u64::from(BASES[0].0) << 12 | self.rng.below(100);
                let second = u64::from(BASES[1].0) << 12 | (128 + self.rng.below(100));
                return length << 48 | first << 32 | second << 16;
            }
            // Leftward from the first operand's last byte.
            "TRTR" => (u64::from(BASES[1].0) << 12 | self.rng.below(200), self.storage(Place::Any)),
            _ => (self.storage(Place::Any), self.storage(Place::Any)),
        };
        // The same address twice clears or tests a field: common, so make it common here.
        let second = if self.rng.one_in(6) { first } else { second };
        length << 48 | first << 32 | second << 16
    }
}

/// Where RIE-a and RIE-g have their mask.
fn mask_at(row: &Instruction) -> u32 {
    if row.format == Format::RIEa { 32 } else { 12 }
}

fn is_shift(mnemonic: &str) -> bool {
    matches!(
        mnemonic,
        "SLL"
            | "SRL"
            | "SLA"
            | "SRA"
            | "SLDL"
            | "SRDL"
            | "SLDA"
            | "SRDA"
            | "SLLG"
            | "SRLG"
            | "SLAG"
            | "SRAG"
            | "RLL"
            | "RLLG"
            | "SLLK"
            | "SRLK"
            | "SLAK"
            | "SRAK"
    )
}

fn writes_pair(mnemonic: &str) -> bool {
    matches!(
        mnemonic,
        "M" | "MR"
            | "MFY"
            | "ML"
            | "MLR"
            | "MLG"
            | "MLGR"
            | "MG"
            | "MGRK"
            | "SLDL"
            | "SRDL"
            | "SLDA"
            | "SRDA"
            | "LPQ"
            | "STPQ"
            | "FLOGR"
    )
}

fn needs_alignment(mnemonic: &str) -> bool {
    matches!(
        mnemonic,
        "LPQ"
            | "STPQ"
            | "LAM"
            | "STAM"
            | "LAMY"
            | "STAMY"
            | "LPD"
            | "LPDG"
            | "LAA"
            | "LAAG"
            | "LAAL"
            | "LAALG"
            | "LAN"
            | "LANG"
            | "LAO"
            | "LAOG"
            | "LAX"
            | "LAXG"
    )
}

/// Where a longer operand would not fit the data or is a specification exception.
fn has_length_limit(mnemonic: &str) -> bool {
    matches!(mnemonic, "PKA" | "PKU" | "UNPKA" | "UNPKU" | "MVCIN" | "TR")
}
