//! 1 MiB of guest storage and what it should be.

use adjunct_hypervisor::{GuestMemory, MemorySize, allocate};
use std::cell::RefCell;
use vm_memory::{Bytes, GuestAddress};

const SIZE: usize = 1 << 20;
const PAGE: usize = 4096;

/// Guest storage and its copy, in which only that changes what may change in the guest.
pub struct Storage {
    memory: GuestMemory,
    copy: Vec<u8>,
    fill: u8,
    /// Pages that are not all `fill`.
    changed: Vec<bool>,
}

thread_local! {
    /// What earlier runs have left: a mapping for each run would be most of its time.
    static POOL: RefCell<Vec<Storage>> = const { RefCell::new(Vec::new()) };
}

impl Storage {
    /// Storage of which each byte is `fill`.
    pub(crate) fn take(fill: u8) -> Self {
        let found = POOL.with_borrow_mut(|pool| {
            let at = pool.iter().position(|storage| storage.fill == fill)?;
            Some(pool.swap_remove(at))
        });
        found.unwrap_or_else(|| {
            let memory = allocate(MemorySize::MEBIBYTE).expect("1 MiB can be had");
            Self { memory, copy: vec![0; SIZE], fill, changed: vec![true; SIZE / PAGE] }.clean()
        })
    }

    fn clean(mut self) -> Self {
        for page in 0..SIZE / PAGE {
            if std::mem::take(&mut self.changed[page]) {
                let at = page * PAGE;
                self.copy[at..at + PAGE].fill(self.fill);
                self.memory.write_slice(&[self.fill; PAGE], GuestAddress(at as u64)).expect("inside");
            }
        }
        self
    }

    pub fn memory(&self) -> &GuestMemory {
        &self.memory
    }

    /// The range that is inside.
    fn inside(at: u64, length: u64) -> std::ops::Range<usize> {
        let end = at.saturating_add(length).min(SIZE as u64) as usize;
        (at.min(SIZE as u64) as usize).min(end)..end
    }

    fn changes(&mut self, range: &std::ops::Range<usize>) {
        if !range.is_empty() {
            self.changed[range.start / PAGE..=(range.end - 1) / PAGE].fill(true);
        }
    }

    /// Stores `bytes` at `at`, as far as there is storage.
    pub fn put(&mut self, at: u64, bytes: &[u8]) {
        let range = Self::inside(at, bytes.len() as u64);
        self.changes(&range);
        let bytes = &bytes[..range.len()];
        self.copy[range].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.memory.write_slice(bytes, GuestAddress(at)).expect("inside");
        }
    }

    /// What the guest has stored in these bytes until now it might.
    pub fn permit(&mut self, at: u64, length: u64) {
        let range = Self::inside(at, length);
        self.changes(&range);
        if !range.is_empty() {
            let start = GuestAddress(range.start as u64);
            self.memory.read_slice(&mut self.copy[range], start).expect("inside");
        }
    }

    pub fn read<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.memory.read_slice(&mut bytes, GuestAddress(at)).expect("inside");
        bytes
    }

    /// What is there, as far as there is storage.
    pub fn bytes(&self, at: u64, length: u64) -> Vec<u8> {
        let range = Self::inside(at, length);
        let mut bytes = vec![0; range.len()];
        if !bytes.is_empty() {
            self.memory.read_slice(&mut bytes, GuestAddress(range.start as u64)).expect("inside");
        }
        bytes
    }

    /// Nothing has changed but what might.
    pub fn check(&self) {
        let mut page = [0; PAGE];
        for (number, expected) in self.copy.chunks_exact(PAGE).enumerate() {
            let start = number * PAGE;
            self.memory.read_slice(&mut page, GuestAddress(start as u64)).expect("inside");
            if page[..] != *expected {
                let at = page.iter().zip(expected).position(|(is, was)| is != was).expect("they differ");
                panic!("{:#x}: {:#04x} became {:#04x}", start + at, expected[at], page[at]);
            }
        }
    }

    /// Checks it and gives it back.
    pub(crate) fn finish(self) {
        self.check();
        let storage = self.clean();
        POOL.with_borrow_mut(|pool| pool.push(storage));
    }
}
