//! What is not the same, and why: what the lab itself causes.

use crate::operation::{Answer, Tree};

/// A file that is not compared.
pub(crate) struct Listed {
    /// Its name, in whatever directory.
    pub(crate) file: &'static str,
    /// What of it.
    pub(crate) what: What,
    #[expect(dead_code, reason = "for those who read it")]
    pub(crate) why: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// What a read of it says, where both hosts have it.
    Text,
    /// That it is there.
    Presence,
}

#[rustfmt::skip]
pub(crate) const LISTED: &[Listed] = &[
];

pub(crate) fn listed(file: &str, what: What) -> bool {
    LISTED.iter().any(|listed| listed.file == file && listed.what == what)
}

/// Whether an answer to a question about `path` stands for the other.
pub(crate) fn alike(path: &str, real: &Answer, simulated: &Answer) -> bool {
    let file = path.rsplit('/').next().unwrap_or_default();
    match (real, simulated) {
        (Answer::Text(_), Answer::Text(_)) if listed(file, What::Text) => true,
        (Answer::Text(_), Answer::Refused(libc::ENOENT))
        | (Answer::Refused(libc::ENOENT), Answer::Text(_))
            if listed(file, What::Presence) =>
        {
            true
        }
        (Answer::Names(real), Answer::Names(simulated)) => {
            let of = |names: &[String]| -> Vec<String> {
                names.iter().filter(|name| !listed(name, What::Presence)).cloned().collect()
            };
            of(real) == of(simulated)
        }
        (Answer::Tree(real), Answer::Tree(simulated)) => different(real, simulated).is_empty(),
        _ => real == simulated,
    }
}

/// The paths at which two trees differ. Only those that the real one has: which files there are is told by directories.
pub(crate) fn different(real: &Tree, simulated: &Tree) -> Vec<String> {
    let nothing = Answer::Refused(libc::ENOENT);
    let compared = |path: &&String| !listed(path.rsplit('/').next().unwrap_or_default(), What::Text);
    let differs = |path: &&String| {
        let of = |tree: &Tree| tree.get(*path).unwrap_or(&nothing).clone();
        !alike(path, &of(real), &of(simulated))
    };
    real.keys().filter(compared).filter(differs).cloned().collect()
}

/// What both have said, for people.
pub(crate) fn told(real: &Answer, simulated: &Answer) -> String {
    let (Answer::Tree(real), Answer::Tree(simulated)) = (real, simulated) else {
        return format!("    {real} != {simulated}\n");
    };
    let nothing = Answer::Refused(libc::ENOENT);
    let line = |path: String| {
        let of = |tree: &Tree| tree.get(&path).unwrap_or(&nothing).to_string();
        format!("    {path}: {} != {}\n", of(real), of(simulated))
    };
    different(real, simulated).into_iter().map(line).collect()
}
