//! Reading what is there, and noting what can't be read.

use adjunct_ap::Sysfs;
use std::{io, str::FromStr};

/// Somebody who looks at a host.
pub(super) struct Look<'a> {
    sysfs: &'a dyn Sysfs,
    pub(super) notes: Vec<String>,
}

impl<'a> Look<'a> {
    pub(super) fn new(sysfs: &'a dyn Sysfs) -> Self {
        Self { sysfs, notes: Vec::new() }
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(super) fn is_dir(&self, path: &str) -> bool {
        self.sysfs.list(path).is_ok()
    }

    /// The names in a directory; none where there is none.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        self.sysfs.list(path).unwrap_or_default()
    }

    /// What an attribute says, as it is. What is not there says nothing; what can't be read is noted.
    pub(super) fn text(&mut self, path: &str) -> Option<String> {
        match self.sysfs.read(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.note(format!("/sys/{path} can't be read: {error}."));
                None
            }
        }
    }

    /// What an attribute says, in the form that the kernel gives it.
    pub(super) fn parsed<T, E>(
        &mut self,
        path: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(path)?;
        let parsed = parse(text.as_bytes()).ok();
        if parsed.is_none() {
            self.note(format!(
                "/sys/{path} says {:?}, which is not what the kernel prints there.",
                text.trim_end()
            ));
        }
        parsed
    }

    /// The one word that an attribute says.
    pub(super) fn word<T: FromStr>(&mut self, path: &str) -> Option<T> {
        self.parsed(path, |text| {
            std::str::from_utf8(text).map_err(|_| ())?.trim_end().parse::<T>().map_err(|_| ())
        })
    }

    /// 0 or 1.
    pub(super) fn flag(&mut self, path: &str) -> Option<bool> {
        self.word::<u8>(path).map(|flag| flag != 0)
    }

    /// A line without its end; empty when nothing is there.
    pub(super) fn line(&mut self, path: &str) -> String {
        let text = self.text(path).unwrap_or_default();
        text.strip_suffix('\n').unwrap_or(&text).to_owned()
    }
}
