//! A file of sysfs: a name, who may open it, what it says, what it takes.

use super::Errno;
use crate::host::State;

type Show<T> = fn(&State, T) -> Result<String, Errno>;
type Store<T> = fn(&mut State, T, &str) -> Result<(), Errno>;

/// Mode of a file: opening it in the other direction is EACCES, even for root.
#[derive(Clone, Copy)]
enum Access<T> {
    Ro(Show<T>),
    Wo(Store<T>),
    Rw(Show<T>, Store<T>),
}

/// A row of the table of attributes of a kind of directory. `T` says which of its kind.
pub(crate) struct Attribute<T: 'static> {
    pub(crate) name: &'static str,
    access: Access<T>,
    there: fn(&State, T) -> bool,
}

impl<T: Copy> Attribute<T> {
    const fn new(name: &'static str, access: Access<T>) -> Self {
        Self { name, access, there: |_, _| true }
    }

    /// Mode 0444.
    pub(crate) const fn ro(name: &'static str, show: Show<T>) -> Self {
        Self::new(name, Access::Ro(show))
    }

    /// Mode 0200.
    pub(crate) const fn wo(name: &'static str, store: Store<T>) -> Self {
        Self::new(name, Access::Wo(store))
    }

    /// Mode 0644.
    pub(crate) const fn rw(name: &'static str, show: Show<T>, store: Store<T>) -> Self {
        Self::new(name, Access::Rw(show, store))
    }

    /// Only there while `there` says so.
    pub(crate) const fn when(mut self, there: fn(&State, T) -> bool) -> Self {
        self.there = there;
        self
    }
}

type Reader = Box<dyn FnOnce(&State) -> Result<String, Errno>>;
type Writer = Box<dyn FnOnce(&mut State, &str) -> Result<(), Errno>>;

/// An attribute of one directory, ready to be read or written.
pub(super) struct File {
    /// The name, for as long as the program runs.
    pub(super) name: &'static str,
    pub(super) show: Option<Reader>,
    pub(super) store: Option<Writer>,
}

/// The attribute `name` in the directory of `of`, if it is there.
pub(super) fn find<T: Copy + 'static>(
    table: &[Attribute<T>],
    state: &State,
    of: T,
    name: &str,
) -> Option<File> {
    let attribute = table.iter().find(|attribute| attribute.name == name)?;
    if !(attribute.there)(state, of) {
        return None;
    }
    let (show, store) = match attribute.access {
        Access::Ro(show) => (Some(show), None),
        Access::Wo(store) => (None, Some(store)),
        Access::Rw(show, store) => (Some(show), Some(store)),
    };
    Some(File {
        name: attribute.name,
        show: show.map(|show| Box::new(move |state: &State| show(state, of)) as _),
        store: store.map(|store| Box::new(move |state: &mut State, text: &str| store(state, of, text)) as _),
    })
}

/// The names of the attributes that are there.
pub(super) fn names<T: Copy>(table: &[Attribute<T>], state: &State, of: T) -> Vec<&'static str> {
    let there = table.iter().filter(|attribute| (attribute.there)(state, of));
    there.map(|attribute| attribute.name).collect()
}

impl File {
    /// Permissions.
    pub(super) fn mode(&self) -> u16 {
        match (&self.show, &self.store) {
            (Some(_), Some(_)) => 0o644,
            (Some(_), None) => 0o444,
            (None, _) => 0o200,
        }
    }
}
