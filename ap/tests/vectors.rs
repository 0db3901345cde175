//! Our parsers against the answers of the kernel's own.

use adjunct_ap::{
    Apm, Aqm, Matrix,
    text::{
        AP_CONFIG_LEN, IdError, Malformed, apply_mask_write, format_ap_config, modify_mask, parse_ap_config,
        parse_id, parse_mask,
    },
};

const VECTORS: &str = include_str!("data/vectors.txt");

/// The lines of a section: what was asked, with its escapes resolved, and what the kernel answered.
fn section(name: &str) -> Vec<(String, &'static str)> {
    let heading = format!("[{name}]");
    let lines =
        VECTORS.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with('['));
    lines
        .filter_map(|line| line.split_once(" -> "))
        .map(|(asked, answer)| (asked.trim_matches('"').replace("\\n", "\n"), answer))
        .collect()
}

#[test]
fn every_vector_is_read() {
    let counts =
        ["id", "absolute", "relative", "ap_config", "ap_config length"].map(|name| section(name).len());
    assert_eq!(counts, [24, 16, 22, 14, 2]);
    assert_eq!(counts.iter().sum::<usize>(), VECTORS.lines().filter(|line| line.contains(" -> ")).count());
}

#[test]
fn ids_are_parsed_as_kstrtoul_parses_them() {
    for (text, answer) in section("id") {
        let ours = match parse_id(text.as_bytes()) {
            Ok(id) => id.to_string(),
            Err(IdError::Invalid) => "EINVAL".to_owned(),
            Err(IdError::Range) => "ERANGE".to_owned(),
        };
        assert_eq!(ours, answer, "{text:?}");
    }
}

fn shown(mask: Result<Apm, Malformed>) -> String {
    mask.map_or_else(|_| "EINVAL".to_owned(), |mask| mask.to_string())
}

#[test]
fn absolute_masks_are_parsed_as_ap_hex2bitmap_parses_them() {
    for (text, answer) in section("absolute") {
        assert_eq!(shown(parse_mask(text.as_bytes())), answer, "{text:?}");
        let old = Apm::from_bytes([0x5a; 32]);
        assert_eq!(shown(apply_mask_write(old, text.as_bytes())), answer, "{text:?} replaces what was there");
    }
}

#[test]
fn relative_masks_are_applied_as_modify_bitmap_applies_them() {
    for (text, answer) in section("relative") {
        let old = if text.starts_with('-') { Apm::ALL } else { Apm::EMPTY };
        assert_eq!(shown(modify_mask(old, text.as_bytes())), answer, "{text:?}");
        assert_eq!(shown(apply_mask_write(old, text.as_bytes())), answer, "{text:?}");
    }
}

#[test]
fn ap_config_is_parsed_as_the_driver_parses_it() {
    let first_half_words = |mask: String| mask["0x".len()..][..16].to_owned();
    for (text, answer) in section("ap_config") {
        let ours = parse_ap_config(text.as_bytes()).map_or_else(
            |_| "EINVAL".to_owned(),
            |Matrix { apm, aqm, adm }| {
                let [apm, aqm, adm] =
                    [apm.to_string(), aqm.to_string(), adm.to_string()].map(first_half_words);
                format!("apm {apm} aqm {aqm} adm {adm}")
            },
        );
        assert_eq!(ours, answer, "{text:?}");
    }
}

#[test]
fn of_ap_config_only_as_much_is_looked_at_as_it_prints() {
    let full = format_ap_config(&Matrix { apm: Apm::ALL, aqm: Aqm::ALL, ..Matrix::EMPTY });
    assert_eq!(section("ap_config length")[0].1, full.len().to_string());
    assert_eq!(full.len(), AP_CONFIG_LEN);

    assert_eq!(section("ap_config length")[1].1, "ok");
    let garbage = format!("{full}garbage");
    assert_eq!(parse_ap_config(garbage.as_bytes()), parse_ap_config(full.as_bytes()));
    assert!(parse_ap_config(full.as_bytes()).is_ok());
}
