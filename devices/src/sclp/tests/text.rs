//! EBCDIC.

use super::*;

#[test]
fn ebcdic_is_code_page_500() {
    // Letters, digits and the characters in which 500 differs from 037.
    assert_eq!(to_ebcdic("AIJRSZaz09 "), [0xc1, 0xc9, 0xd1, 0xd9, 0xe2, 0xe9, 0x81, 0xa9, 0xf0, 0xf9, 0x40]);
    assert_eq!(to_ebcdic("[]!|^"), [0x4a, 0x5a, 0x4f, 0xbb, 0x5f]);
    assert_eq!(to_ebcdic("€\n"), [0x6f, 0x15]);
    assert_eq!(from_ebcdic(&[0xd4, 0xc4, 0xc2, 0x40]), "MDB ");
}

#[test]
fn every_latin_1_character_survives_ebcdic_and_back() {
    let text: String = (0..=u8::MAX).map(char::from).filter(|character| *character != '\u{85}').collect();
    assert_eq!(from_ebcdic(&to_ebcdic(&text)), text);
}
