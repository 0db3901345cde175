//! Bits of byte blocks, numbered as the architecture does: bit 0 is the most significant bit of byte 0.
//! Working on bytes, this is the same on hosts of either byte order. A bit beyond the block reads as off and
//! is not set.

/// Whether bit `bit` of `block` is on.
pub(crate) fn is_on(block: &[u8], bit: usize) -> bool {
    block.get(bit / 8).is_some_and(|byte| byte & (0x80 >> (bit % 8)) != 0)
}

/// Switches bit `bit` of `block` on.
pub(crate) fn switch_on(block: &mut [u8], bit: usize) {
    if let Some(byte) = block.get_mut(bit / 8) {
        *byte |= 0x80 >> (bit % 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bit_0_is_the_leftmost() {
        let mut block = [0; 3];
        for bit in [0, 9, 23, 24] {
            assert!(!is_on(&block, bit));
            switch_on(&mut block, bit);
        }
        assert_eq!(block, [0x80, 0x40, 0x01]);
        assert!(is_on(&block, 0) && is_on(&block, 9) && is_on(&block, 23) && !is_on(&block, 24));
    }
}
