//! A copy of what `/sys` showed of AP at one moment: attributes and their texts, and links.

use adjunct_ap::{Apqn, Sysfs, Uuid};
use std::{collections::BTreeMap, fmt, io, str::FromStr};

/// What `/sys` showed of AP: readable attributes with their texts, and who drives what. It can be read as the original
/// could, and never written to.
///
/// As text it is one line for each: `devices/ap/card05/depth = 8\n`, with `\n` and `\\` for newlines and backslashes, and
/// `bus/ap/drivers/vfio_ap/05.0004 -> devices/ap/card05/05.0004` for links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    files: BTreeMap<String, String>,
    links: BTreeMap<String, String>,
}

/// An attribute that two hosts do not agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Below `/sys`.
    pub path: String,
    /// What it says in the snapshot that was asked; `None` where there is none.
    pub here: Option<String>,
    /// What it says in the other one.
    pub there: Option<String>,
}

impl Difference {
    /// The last part of the path: the attribute's name.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |text: &Option<String>| match text {
            Some(text) => format!("{:?}", text.strip_suffix('\n').unwrap_or(text)),
            None => "not there".to_owned(),
        };
        write!(f, "/sys/{}: {} here, {} on a simulated host.", self.path, said(&self.here), said(&self.there))
    }
}

/// Who has drivers that are devices' of the AP bus.
const DRIVERS: [&str; 3] = ["cex4card", "cex4queue", "vfio_ap"];
const CARDS: &str = "devices/ap";
const MATRIX: &str = "devices/vfio_ap/matrix";

fn is_card(name: &str) -> bool {
    name.strip_prefix("card").is_some_and(|id| u8::from_str_radix(id, 16).is_ok())
}

impl Snapshot {
    /// What `sysfs` shows now. What can't be read is left out.
    pub fn of(sysfs: &dyn Sysfs) -> Self {
        let mut snapshot = Self::default();
        let mut files = |dir: &str| {
            let names = sysfs.list(dir).unwrap_or_default();
            for name in &names {
                let path = format!("{dir}/{name}");
                if let Ok(text) = sysfs.read(&path) {
                    snapshot.files.insert(path, text);
                }
            }
            names
        };
        files("bus/ap");
        for card in files(CARDS).into_iter().filter(|name| is_card(name)) {
            let card = format!("{CARDS}/{card}");
            for queue in files(&card).into_iter().filter(|name| name.parse::<Apqn>().is_ok()) {
                files(&format!("{card}/{queue}"));
            }
        }
        for mdev in files(MATRIX).into_iter().filter(|name| name.parse::<Uuid>().is_ok()) {
            files(&format!("{MATRIX}/{mdev}"));
        }
        files(&format!("{MATRIX}/mdev_supported_types/vfio_ap-passthrough"));
        for dir in DRIVERS.map(|driver| format!("bus/ap/drivers/{driver}")) {
            for name in sysfs.list(&dir).unwrap_or_default() {
                if let Some(to) = device(&name) {
                    snapshot.link(format!("{dir}/{name}"), to);
                }
            }
        }
        snapshot
    }

    /// Adds an attribute, by its path below `/sys`.
    pub fn file(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.files.insert(path.into(), text.into());
    }

    /// Adds a link at `path` to `target`, both below `/sys`.
    pub fn link(&mut self, path: impl Into<String>, target: impl Into<String>) {
        self.links.insert(path.into(), target.into());
    }

    /// Its attributes: path below `/sys`, text.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Where this one and another do not agree, by path. Links are compared as attributes without text.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let (here, there) = (self.all(), other.all());
        let paths: std::collections::BTreeSet<&String> = here.keys().chain(there.keys()).collect();
        let said = |all: &BTreeMap<String, String>, path: &str| all.get(path).cloned();
        let all = paths.into_iter().map(|path| Difference {
            path: path.clone(),
            here: said(&here, path),
            there: said(&there, path),
        });
        all.filter(|difference| difference.here != difference.there).collect()
    }

    /// Both kinds, but of links only those that say who drives what: others just are names of what is there anyway.
    fn all(&self) -> BTreeMap<String, String> {
        let drivers = self.links.keys().filter(|path| {
            DRIVERS.iter().any(|driver| {
                let rest = path.strip_prefix("bus/ap/drivers/").and_then(|rest| rest.strip_prefix(driver));
                rest.is_some_and(|name| name.strip_prefix('/').and_then(device).is_some())
            })
        });
        let links = drivers.map(|path| (path.clone(), String::new()));
        self.files.clone().into_iter().chain(links).collect()
    }

    /// `path` with all links followed; not for ever.
    fn resolve(&self, path: &str) -> Option<String> {
        let mut path = path.to_owned();
        for _ in 0..8 {
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            let hop = ends.filter_map(|end| self.links.get(&path[..end]).map(|to| (end, to))).next();
            let Some((end, to)) = hop else { return Some(path) };
            path = format!("{to}{}", &path[end..]);
        }
        None
    }
}

/// Where a device of the AP bus is, by its name.
fn device(name: &str) -> Option<String> {
    match name.parse::<Apqn>() {
        Ok(apqn) => Some(format!("{CARDS}/card{}/{apqn}", apqn.apid)),
        Err(_) => is_card(name).then(|| format!("{CARDS}/{name}")),
    }
}

impl Sysfs for Snapshot {
    fn read(&self, path: &str) -> io::Result<String> {
        let path = self.resolve(path).ok_or_else(|| io::Error::from_raw_os_error(libc::ELOOP))?;
        match self.files.get(&path) {
            Some(text) => Ok(text.clone()),
            None if self.list(&path).is_ok() => Err(io::Error::from_raw_os_error(libc::EISDIR)),
            None => Err(io::Error::from_raw_os_error(libc::ENOENT)),
        }
    }

    /// EROFS.
    fn write(&self, _path: &str, _value: &str) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(libc::EROFS))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let dir = self.resolve(dir).ok_or_else(|| io::Error::from_raw_os_error(libc::ELOOP))?;
        let below = format!("{dir}/");
        let all = self.files.range(below.clone()..).map(|(path, _)| path);
        let links = self.links.range(below.clone()..).map(|(path, _)| path);
        let inside = |path: &&String| path.starts_with(&below);
        let paths = all.take_while(inside).chain(links.take_while(inside));
        let mut names: Vec<String> =
            paths.filter_map(|path| path[below.len()..].split('/').next()).map(str::to_owned).collect();
        names.sort();
        names.dedup();
        match names.is_empty() {
            true if self.files.contains_key(&dir) => Err(io::Error::from_raw_os_error(libc::ENOTDIR)),
            true => Err(io::Error::from_raw_os_error(libc::ENOENT)),
            false => Ok(names),
        }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, text) in &self.files {
            writeln!(f, "{path} = {}", text.replace('\\', "\\\\").replace('\n', "\\n"))?;
        }
        self.links.iter().try_for_each(|(path, target)| writeln!(f, "{path} -> {target}"))
    }
}

/// Not the text of a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is neither \"PATH = TEXT\" nor \"PATH -> TARGET\"")]
pub struct ParseSnapshotError {
    /// Counted from 1.
    pub line: usize,
}

impl FromStr for Snapshot {
    type Err = ParseSnapshotError;

    fn from_str(text: &str) -> Result<Self, ParseSnapshotError> {
        let mut snapshot = Self::default();
        for (n, line) in text.lines().enumerate() {
            if let Some((path, text)) = line.split_once(" = ") {
                snapshot.file(path, unescaped(text));
            } else if let Some((path, target)) = line.split_once(" -> ") {
                snapshot.link(path, target);
            } else if !line.is_empty() && !line.starts_with('#') {
                return Err(ParseSnapshotError { line: n + 1 });
            }
        }
        Ok(snapshot)
    }
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}
