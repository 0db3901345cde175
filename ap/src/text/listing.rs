//! What the attributes of an mdev print and take: `matrix`, `guest_matrix`, `control_domains`, `ap_config`.

use std::fmt::Write;

use super::{Malformed, c_string, hex_digit, parse_apqn, parse_mask};
use crate::{Adm, Apid, Apm, Apqi, Aqm, ControlDomain, Matrix};

/// What an attribute can print: a page less its NUL (`fs/sysfs/file.c: sysfs_emit_at`).
const SHOWN_MAX: usize = 4095;

/// Length in bytes of what `ap_config` prints: three masks, two commas, a newline. The kernel looks at no more than
/// this of what is written to it (`drivers/s390/crypto/vfio_ap_ops.c: AP_CONFIG_STRLEN`).
pub const AP_CONFIG_LEN: usize = 3 * 66 + 3;

/// What a `matrix` or `guest_matrix` attribute says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The adapters listed.
    pub apm: Apm,
    /// The usage domains listed.
    pub aqm: Aqm,
    /// Whether the kernel ran out of page: from 512 queues on it lists no more than 512, and there may be others.
    pub cut: bool,
}

/// What `matrix` and `guest_matrix` print (`drivers/s390/crypto/vfio_ap_ops.c: vfio_ap_mdev_matrix_show`): a line
/// `05.0047` for each queue; `05.` for each adapter while there is no domain, `.0047` for each domain while there
/// is no adapter. Cut at 4095 bytes, as sysfs cuts it.
pub fn format_matrix(apm: &Apm, aqm: &Aqm) -> String {
    let matrix = Matrix { apm: *apm, aqm: *aqm, adm: Adm::EMPTY };
    let mut text: String = if aqm.is_empty() {
        apm.iter().map(|apid| format!("{apid}.\n")).collect()
    } else if apm.is_empty() {
        aqm.iter().map(|apqi| format!(".{apqi}\n")).collect()
    } else {
        // One line more than fits is enough to be cut.
        matrix.apqns().take(SHOWN_MAX / 8 + 1).map(|apqn| format!("{apqn}\n")).collect()
    };
    text.truncate(SHOWN_MAX);
    text
}

/// Reads back what [`format_matrix`] prints.
///
/// # Errors
///
/// [`Malformed`] for other lines, mixed forms, and queues that are no cross product.
pub fn parse_matrix(text: &[u8]) -> Result<Listing, Malformed> {
    let text = c_string(text);
    let cut = text.len() >= SHOWN_MAX;
    let mut listing = Listing { apm: Apm::EMPTY, aqm: Aqm::EMPTY, cut };
    let (mut queues, mut halves) = (0, 0);
    let lines = match text.strip_suffix(b"\n") {
        Some(lines) => lines,
        None if cut => text,
        None if text.is_empty() => return Ok(listing),
        None => return Err(Malformed),
    };
    for line in lines.split(|byte| *byte == b'\n') {
        if let Some(apqn) = parse_apqn(line) {
            listing.apm.insert(apqn.apid);
            listing.aqm.insert(apqn.apqi);
            queues += 1;
        } else if let [high, low, b'.'] = line {
            listing.apm.insert(Apid(byte(*high, *low)?));
            halves += 1;
        } else {
            listing.aqm.insert(Apqi(parse_domain(line.strip_prefix(b".").ok_or(Malformed)?)?));
            halves += 1;
        }
    }
    let whole = if listing.apm.is_empty() || listing.aqm.is_empty() {
        queues == 0 && halves == listing.apm.count() + listing.aqm.count()
    } else {
        halves == 0 && (cut || queues == listing.apm.count() * listing.aqm.count())
    };
    if whole { Ok(listing) } else { Err(Malformed) }
}

/// What `control_domains` prints: a line `0047` for each
/// (`drivers/s390/crypto/vfio_ap_ops.c: control_domains_show`).
pub fn format_control_domains(adm: &Adm) -> String {
    adm.iter().map(|domain| format!("{domain}\n")).collect()
}

/// Reads back what [`format_control_domains`] prints.
///
/// # Errors
///
/// [`Malformed`] for any other line.
pub fn parse_control_domains(text: &[u8]) -> Result<Adm, Malformed> {
    let lines = match c_string(text) {
        b"" => return Ok(Adm::EMPTY),
        text => text.strip_suffix(b"\n").ok_or(Malformed)?,
    };
    lines.split(|byte| *byte == b'\n').map(|line| parse_domain(line).map(ControlDomain)).collect()
}

/// What `ap_config` prints and takes: adapters, usage domains, control domains
/// (`drivers/s390/crypto/vfio_ap_ops.c: ap_config_show`). [`AP_CONFIG_LEN`] bytes.
pub fn format_ap_config(matrix: &Matrix) -> String {
    let mut text = String::with_capacity(AP_CONFIG_LEN);
    // Writing to a String can't be refused.
    let _ = writeln!(text, "{},{},{}", matrix.apm, matrix.aqm, matrix.adm);
    text
}

/// What a write to `ap_config` asks for (`drivers/s390/crypto/vfio_ap_ops.c: ap_config_store, parse_bitmap`).
///
/// Three masks in hex, each ended by `,` or a newline; what ends the third, and all that follows, is not looked at.
/// An empty mask is allowed, so `0x04,0x08\n` has no control domain.
///
/// # Errors
///
/// [`Malformed`] for fewer than three, or a malformed one.
pub fn parse_ap_config(text: &[u8]) -> Result<Matrix, Malformed> {
    // DEVNOTE: the kernel looks at AP_CONFIG_LEN bytes and no more. Three masks that it accepts are never longer, so
    // cutting the text here would change no answer.
    let mut masks = c_string(text).split(|byte| matches!(byte, b',' | b'\n'));
    let mut next = || masks.next().ok_or(Malformed);
    Ok(Matrix { apm: parse_mask(next()?)?, aqm: parse_mask(next()?)?, adm: parse_mask(next()?)? })
}

/// A domain as sysfs prints it: `0047`.
fn parse_domain(text: &[u8]) -> Result<u8, Malformed> {
    match text {
        [b'0', b'0', high, low] => byte(*high, *low),
        _ => Err(Malformed),
    }
}

fn byte(high: u8, low: u8) -> Result<u8, Malformed> {
    let digit = |digit| hex_digit(digit).ok_or(Malformed);
    Ok(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::btree_set, prelude::*};

    fn masks(apids: &[u8], apqis: &[u8]) -> (Apm, Aqm) {
        (apids.iter().copied().map(Apid).collect(), apqis.iter().copied().map(Apqi).collect())
    }

    fn shown(apids: &[u8], apqis: &[u8]) -> String {
        let (apm, aqm) = masks(apids, apqis);
        format_matrix(&apm, &aqm)
    }

    #[test]
    fn a_matrix_is_shown_as_the_driver_shows_it() {
        assert_eq!(shown(&[5, 6], &[4, 0x47]), "05.0004\n05.0047\n06.0004\n06.0047\n");
        assert_eq!(shown(&[5, 0xa], &[]), "05.\n0a.\n");
        assert_eq!(shown(&[], &[4, 0xab]), ".0004\n.00ab\n");
        assert_eq!(shown(&[], &[]), "");
    }

    #[test]
    fn a_matrix_of_512_queues_and_more_is_cut_at_4095_bytes() {
        let ids: Vec<u8> = (0..32).collect();
        let text = shown(&ids, &ids);
        assert_eq!(text.len(), 4095);
        assert_eq!(text.lines().count(), 512);
        assert!(text.ends_with("\n0f.001f"));
        let (apm, aqm) = masks(&ids[..16], &ids);
        assert_eq!(parse_matrix(text.as_bytes()), Ok(Listing { apm, aqm, cut: true }));
        assert_eq!(format_matrix(&apm, &aqm), text, "exactly 512 lose their last newline");
    }

    #[test]
    fn listings_of_another_form_are_refused() {
        for text in
            ["05.0004", "\n", "05.0004\n\n", "05.0004\n05.\n", "05.\n.0004\n", "5.0004\n", "05.0104\n"]
        {
            assert_eq!(parse_matrix(text.as_bytes()), Err(Malformed), "{text:?}");
        }
        assert_eq!(parse_matrix(b"05.0004\n06.0047\n"), Err(Malformed), "no cross product");
    }

    #[test]
    fn control_domains_are_shown_as_the_driver_shows_them() {
        let adm: Adm = [4, 0xab].map(ControlDomain).into_iter().collect();
        assert_eq!(format_control_domains(&adm), "0004\n00ab\n");
        assert_eq!(format_control_domains(&Adm::EMPTY), "");
        for text in ["\n", "0004", "004\n", "0104\n", "00ag\n"] {
            assert_eq!(parse_control_domains(text.as_bytes()), Err(Malformed), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_shown_matrix_reads_back(apids in btree_set(any::<u8>(), 0..22), apqis in btree_set(any::<u8>(), 0..22)) {
            let apids: Vec<u8> = apids.into_iter().collect();
            let apqis: Vec<u8> = apqis.into_iter().collect();
            let (apm, aqm) = masks(&apids, &apqis);
            let listing = Listing { apm, aqm, cut: false };
            prop_assert_eq!(parse_matrix(shown(&apids, &apqis).as_bytes()), Ok(listing));
        }

        #[test]
        fn ap_config_and_control_domains_read_back(apm: [u8; 32], aqm: [u8; 32], adm: [u8; 32]) {
            let (apm, aqm, adm) = (Apm::from_bytes(apm), Aqm::from_bytes(aqm), Adm::from_bytes(adm));
            let matrix = Matrix { apm, aqm, adm };
            prop_assert_eq!(format_ap_config(&matrix).len(), AP_CONFIG_LEN);
            prop_assert_eq!(parse_ap_config(format_ap_config(&matrix).as_bytes()), Ok(matrix));
            prop_assert_eq!(parse_control_domains(format_control_domains(&adm).as_bytes()), Ok(adm));
        }
    }
}
