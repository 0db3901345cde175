//! Which node an inode number stands for, as long as the kernel knows it, and what people changed of its owner and
//! permissions.

use adjunct_simulator::Node;
use std::collections::HashMap;

/// The inode number of what is mounted; below it is `sys`.
const TOP: u64 = 1;

/// What an inode number stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// The directory that it is mounted on.
    Top,
    /// Something in `sys`.
    Node(Node),
}

/// What was changed by `chmod` and `chown`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Changed {
    pub(super) mode: Option<u16>,
    pub(super) user: Option<u32>,
    pub(super) group: Option<u32>,
}

/// The nodes that the kernel has a reference to.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    known: HashMap<u64, (Node, u64)>,
    changed: HashMap<u64, Changed>,
}

impl Nodes {
    pub(super) fn place(&self, inode: u64) -> Option<Place> {
        match inode {
            TOP => Some(Place::Top),
            _ => self.known.get(&inode).map(|(node, _)| Place::Node(*node)),
        }
    }

    /// The kernel was told of `place` once more.
    pub(super) fn looked_up(&mut self, place: Place) {
        if let Place::Node(node) = place {
            self.known.entry(node.number()).or_insert((node, 0)).1 += 1;
        }
    }

    /// The kernel has dropped as many references.
    pub(super) fn forget(&mut self, inode: u64, lookups: u64) {
        if let Some((_, count)) = self.known.get_mut(&inode) {
            *count = count.saturating_sub(lookups);
            if *count == 0 {
                self.known.remove(&inode);
            }
        }
    }

    pub(super) fn change(&mut self, inode: u64, mode: Option<u16>, user: Option<u32>, group: Option<u32>) {
        if mode.or(user.and(Some(0))).or(group.and(Some(0))).is_none() {
            return;
        }
        let changed = self.changed.entry(inode).or_default();
        changed.mode = mode.or(changed.mode);
        changed.user = user.or(changed.user);
        changed.group = group.or(changed.group);
    }

    pub(super) fn changed(&self, inode: u64) -> Changed {
        self.changed.get(&inode).copied().unwrap_or_default()
    }
}
