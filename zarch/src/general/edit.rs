//! EDIT and EDIT AND MARK: packed digits into a pattern of text.

use crate::execution::{Done, Execution, Trap};
use crate::general::decimal::is_minus;
use crate::instruction::Code;
use crate::operand::{Address, Bd, Bd32};

const DIGIT_SELECTOR: u8 = 0x20;
const SIGNIFICANCE_STARTER: u8 = 0x21;
const FIELD_SEPARATOR: u8 = 0x22;

/// How far an edit has come.
struct Edit {
    /// The next byte of packed digits.
    source: u64,
    /// The right digit of the byte before, while it is due.
    right_digit: Option<u8>,
    /// The significance indicator.
    significant: bool,
    /// Whether the field had a digit other than zero.
    nonzero: bool,
}

impl Edit {
    /// The next digit, and whether a plus sign follows it.
    fn digit(&mut self, x: &mut Execution<'_>) -> Result<(u8, bool), Trap> {
        if let Some(digit) = self.right_digit.take() {
            return Ok((digit, false));
        }
        let byte = x.byte(self.source)?;
        self.source = self.source.wrapping_add(1);
        let (left, right) = (byte >> 4, byte & 0xf);
        if left > 9 {
            return Err(x.data_exception(0));
        }
        if right <= 9 {
            self.right_digit = Some(right);
            return Ok((left, false));
        }
        Ok((left, !is_minus(right)))
    }
}

/// EDIT and (`MARK`) EDIT AND MARK.
pub(crate) fn edit<const MARK: bool>(x: &mut Execution<'_>, code: Code) -> Done {
    let length = usize::from(code.b8()) + 1;
    let pattern = Bd::address(x, code);
    let source = Bd32::address(x, code);
    let mut edit = Edit { source, right_digit: None, significant: false, nonzero: false };
    x.check_store(pattern, length)?;
    let fill = x.byte(pattern)?;
    for offset in 0..length as u64 {
        let here = pattern.wrapping_add(offset) & x.address_mask;
        let result = match x.byte(here)? {
            selector @ (DIGIT_SELECTOR | SIGNIFICANCE_STARTER) => {
                let (digit, plus) = edit.digit(x)?;
                let shown = edit.significant || digit != 0;
                if MARK && shown && !edit.significant {
                    x.set_found(here);
                }
                edit.nonzero |= digit != 0;
                edit.significant = (shown || selector == SIGNIFICANCE_STARTER) && !plus;
                if shown { digit | 0xf0 } else { fill }
            }
            FIELD_SEPARATOR => {
                (edit.significant, edit.nonzero) = (false, false);
                fill
            }
            _ if offset == 0 || !edit.significant => fill,
            message => message,
        };
        x.set_byte(here, result)?;
    }
    x.set_cc(match (edit.nonzero, edit.significant) {
        (false, _) => 0,
        (true, true) => 1,
        (true, false) => 2,
    });
    Ok(())
}
