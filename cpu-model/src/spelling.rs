//! Which known name someone may have meant. Knows letters only.

/// Longer words are not compared: no name is that long, and the words come from outside.
const LONGEST: usize = 40;

/// The candidate most like `word`, if one is near enough: one slip in a short word, up to three in a long
/// one. Upper and lower case count as the same, so that `Z14` finds `z14`.
pub(crate) fn nearest(word: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let length = word.chars().count();
    if length > LONGEST {
        return None;
    }
    let slips = (length / 3).clamp(1, 3);
    candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= slips)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters to insert, drop, replace or swap with their neighbour to make one word of the other
/// ("optimal string alignment").
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut two_back: Vec<usize> = vec![0; b.len() + 1];
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = previous[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(previous[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(two_back[j - 2] + 1);
            }
        }
        two_back = std::mem::replace(&mut previous, row);
    }
    previous[b.len()]
}

/// Ends a message: what was meant, or nothing.
pub(crate) fn did_you_mean(nearest: &Option<&'static str>) -> String {
    nearest.map_or(String::new(), |name| format!(", did you mean {name}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_slips() {
        for (a, b, slips) in
            [("", "", 0), ("ap", "ap", 0), ("z41", "z14", 1), ("AP", "ap", 0), ("apqi", "apft", 2)]
        {
            assert_eq!(distance(a, b), slips, "{a} {b}");
            assert_eq!(distance(b, a), slips, "{b} {a}");
        }
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn only_near_names_are_suggested() {
        let names = || ["z14", "zEC12", "gen16a"].into_iter();
        assert_eq!(nearest("Z14", names()), Some("z14"));
        assert_eq!(nearest("zec12", names()), Some("zEC12"));
        assert_eq!(nearest("gen16", names()), Some("gen16a"));
        assert_eq!(nearest("power9", names()), None);
        assert_eq!(nearest(&"z".repeat(1000), names()), None);
    }
}
