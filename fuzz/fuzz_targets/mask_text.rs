//! The kernel's grammars: never a panic, and what is written back means the same.
#![no_main]

use adjunct_ap::{Apid, Apm, Apqi, Matrix, mdev, text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = text::parse_id(bytes);
    if let Ok(mask) = text::parse_mask::<Apid>(bytes) {
        assert_eq!(text::parse_mask(text::format_mask(&mask).as_bytes()), Ok(mask));
    }
    for old in [Apm::EMPTY, Apm::ALL] {
        if let Ok(new) = text::apply_mask_write(old, bytes) {
            let change = text::format_mask_change(&old, &new);
            if old != new {
                assert_eq!(text::apply_mask_write(old, change.as_bytes()), Ok(new), "{change}");
            }
        }
    }
    let _ = text::modify_mask::<Apqi>(text::parse_mask(b"0x41").unwrap_or(adjunct_ap::Aqm::EMPTY), bytes);
    if let Ok(matrix) = text::parse_ap_config(bytes) {
        assert_eq!(text::parse_ap_config(text::format_ap_config(&matrix).as_bytes()), Ok(matrix));
        let listed =
            text::parse_matrix(text::format_matrix(&matrix.apm, &matrix.aqm).as_bytes()).expect("ours");
        let shown = Matrix { apm: listed.apm, aqm: listed.aqm, ..Matrix::EMPTY };
        assert!(listed.cut || shown.apm == matrix.apm && shown.aqm == matrix.aqm);
    }
    let _ = text::parse_matrix(bytes);
    let _ = text::parse_control_domains(bytes);
    let _ = text::parse_features(bytes);
    let _ = text::parse_qci_mask::<Apid>(bytes);
    if let Ok(words) = std::str::from_utf8(bytes) {
        let _ = mdev::parse_path(words);
    }
});
