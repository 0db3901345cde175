//! `adjunct demo`.

use crate::{command::adjunct, golden::assert_golden};

#[test]
fn three_guests_find_their_own_queues_and_a_fourth_mdev_is_refused_the_first_ones() {
    let ran = adjunct(&["demo"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    let parts: Vec<&str> = ran.stdout.split("\nGuest ").collect();
    assert_eq!(parts.len(), 4, "{}", ran.stdout);
    let last = parts[3].split("\nA fourth").collect::<Vec<_>>();
    let found = |text: &str| -> Vec<String> {
        let words = text.lines().filter_map(|line| line.split_whitespace().next());
        words.filter(|w| w.len() == 7 && w.as_bytes()[2] == b'.').map(str::to_owned).collect()
    };
    assert_eq!(found(parts[1]), ["05.0004", "05.00ab", "06.0004", "06.00ab"]);
    assert_eq!(found(parts[2]), ["05.0047", "05.00ff"]);
    assert_eq!(found(last[0]), ["06.0047", "06.00ff"]);
    assert!(last[1].contains("refused") && last[1].contains("05.0004"), "{}", last[1]);
    assert!(last[1].contains("6c4a5d2e-0d3e-4c7a-9b0a-000000000001"), "which mdev has it: {}", last[1]);
    assert_golden("demo.txt", &ran.stdout);
}
