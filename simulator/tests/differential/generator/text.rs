//! What is written: numbers, masks, names, in every way in which they are taken, and in some in which they are not.

use super::Random;

/// How a text ends: attributes take one newline, and stop at NUL.
fn ended(random: &mut Random, text: String) -> String {
    let end = random.weighted(&[(10, "\n"), (8, ""), (1, "\0"), (1, "\0x")]);
    text + end
}

fn written(random: &mut Random, id: u8) -> String {
    match random.below(10) {
        0..5 => format!("{id}"),
        5..8 => format!("{id:#x}"),
        8 => format!("0{id:o}"),
        _ => format!("0X{id:X}"),
    }
}

/// A number as `kstrtoul` reads it.
pub(super) fn number(random: &mut Random, id: u8) -> String {
    if random.chance(88) {
        let sign = if random.chance(5) { "+" } else { "" };
        let text = format!("{sign}{}", written(random, id));
        return ended(random, text);
    }
    let wrong = [
        "",
        "\n",
        " 5",
        "5 ",
        "-1",
        "08",
        "0x",
        "5,6",
        "abc",
        "256",
        "255",
        "64",
        "5\n\n",
        "18446744073709551615",
        "18446744073709551616",
        "+-5",
        "\x005",
        "0x10000000000000000",
    ];
    random.pick(&wrong).to_owned()
}

/// Hexadecimal digits of a mask with these bits, without what is zero at the end.
fn digits(ids: &[u8], invert: bool) -> String {
    let mut mask = [if invert { 0xff } else { 0u8 }; 32];
    for id in ids {
        mask[usize::from(id / 8)] ^= 0x80 >> (id % 8);
    }
    mask.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An absolute mask of these bits.
pub(super) fn absolute(random: &mut Random, ids: &[u8]) -> String {
    let mut digits = digits(ids, false);
    if random.chance(50) {
        digits = digits.trim_end_matches('0').to_owned();
    }
    if random.chance(5) {
        digits = digits.to_uppercase();
    }
    random.weighted(&[(8, "0x"), (3, ""), (1, "x")]).to_owned() + &digits
}

/// Something written to `apmask` or `aqmask`, of these ids.
pub(super) fn mask(random: &mut Random, of: &[(usize, u8)]) -> String {
    let text = match random.below(20) {
        0..10 => relative(random, of),
        10..14 => {
            let ids: Vec<u8> = (0..1 + random.below(3)).map(|_| random.weighted(of)).collect();
            format!("0x{}", digits(&ids, true))
        }
        14 => {
            let ids: Vec<u8> = (0..random.below(4)).map(|_| random.weighted(of)).collect();
            absolute(random, &ids)
        }
        15 => format!("0x{}", "f".repeat(64)),
        _ => return wrong_mask(random).to_owned(),
    };
    ended(random, text)
}

fn relative(random: &mut Random, of: &[(usize, u8)]) -> String {
    let mut text = String::new();
    for n in 0..1 + random.below(3) {
        if n > 0 {
            text += random.weighted(&[(8, ","), (1, ",,"), (1, ""), (1, "\n"), (1, ",\n,")]);
        }
        let (id, sign) = (random.weighted(of), random.weighted(&[(3, "-"), (2, "+")]));
        text += sign;
        text += &written(random, id);
        if random.chance(15) {
            let to = id.saturating_add(u8::try_from(random.below(4)).unwrap_or(0));
            text += &format!("-{}", written(random, to));
        }
    }
    text
}

fn wrong_mask(random: &mut Random) -> &'static str {
    random.pick(&[
        "",
        "\n",
        "0x\n",
        "0XFF\n",
        "+",
        "-",
        "+256",
        "-5-3",
        "+5-256",
        "+ 1",
        "+1,2",
        "+1 ,+2",
        "+08",
        "garbage",
        "0xfffg",
        "ff ff",
        "0xff\n\n",
        "-4,+",
        "+0x",
        "-0x4-",
        "+1-2-3",
        "--4",
        "\0ff",
        "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff0",
        "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ])
}

/// Three masks as `ap_config` takes them, or does not.
pub(super) fn ap_config(random: &mut Random, masks: Vec<String>) -> String {
    match random.below(20) {
        0..14 => masks.join(",") + random.weighted(&[(4, "\n"), (1, "")]),
        14 => masks[..2].join(",") + "\n",
        15 => masks[..2].join(","),
        16 => masks.join("\n"),
        17 => format!("{},0x1\n", masks.join(",")),
        18 => masks.join(", "),
        _ => random.pick(&["", "\n", ",,\n", ",,", "zz,0x0,0x0\n", "0x4\n", ",\n"]).to_owned(),
    }
}

/// The name of an mdev for `create`.
pub(super) fn uuid(random: &mut Random, uuid: &str) -> String {
    match random.below(20) {
        0..8 => uuid.to_owned(),
        8..14 => format!("{uuid}\n"),
        14 => uuid.to_uppercase(),
        15 => format!("{uuid}x"),
        16 => format!("{uuid}\n\n"),
        17 => uuid[..35].to_owned(),
        18 => uuid.replace('-', "_"),
        _ => random
            .pick(&["", "\n", "g1111111-1111-1111-1111-111111111111", "111111111-111-1111-1111-111111111111"])
            .to_owned(),
    }
}

/// The name of a device for a driver.
pub(super) fn device(random: &mut Random, device: String) -> String {
    match random.below(20) {
        0..10 => device,
        10..18 => device + "\n",
        18 => random
            .pick(&["", "\n", "5.4", "05.004", "05.0004 ", "0x05.0x0004", "card5", "nothing"])
            .to_owned(),
        _ => device + "\n\n",
    }
}

/// Something for one of the bus's own attributes.
pub(super) fn bus_store(random: &mut Random) -> (&'static str, &'static str) {
    match random.below(6) {
        0 | 1 => (
            "ap_domain",
            random.pick(&["4", "0x47\n", "0xab", "255", "256", "-1", "x", "", "9", " 4x", "0253"]),
        ),
        2 => ("config_time", random.pick(&["120", "119\n", "100junk", "4", "121", "x", "", "0x50", "-30"])),
        3 => (
            "poll_timeout",
            random.pick(&["250000", "1500000\n", "120000000000", "120000000001", "x", "0x100", "", "-1"]),
        ),
        4 => ("poll_thread", random.pick(&["1", "0", "y", "n\n", "on", "off", "2", "", "o", "true"])),
        _ => ("uevent", random.pick(&["add", "", "x"])),
    }
}

/// Something for a switch of a device.
pub(super) fn switch(random: &mut Random) -> &'static str {
    random.weighted(&[
        (8, "1"),
        (4, "0\n"),
        (2, "1\n"),
        (1, "2"),
        (1, "x"),
        (1, ""),
        (1, " 1"),
        (1, "change"),
        (1, "-0"),
    ])
}
