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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

    /// The kernel has dropped as many references. The answer is the node, when they were the last and it was changed.
    pub(super) fn forget(&mut self, inode: u64, lookups: u64) -> Option<Node> {
        let (node, count) = self.known.get_mut(&inode)?;
        let node = *node;
        *count = count.saturating_sub(lookups);
        if *count > 0 {
            return None;
        }
        self.known.remove(&inode);
        self.changed.contains_key(&inode).then_some(node)
    }

    /// Adds `change` to what was changed before.
    pub(super) fn change(&mut self, inode: u64, change: Changed) {
        if change == Changed::default() {
            return;
        }
        let changed = self.changed.entry(inode).or_default();
        changed.mode = change.mode.or(changed.mode);
        changed.user = change.user.or(changed.user);
        changed.group = change.group.or(changed.group);
    }

    /// What was changed is of no use any more.
    pub(super) fn drop_changes(&mut self, inode: u64) {
        self.changed.remove(&inode);
    }

    pub(super) fn changed(&self, inode: u64) -> Changed {
        self.changed.get(&inode).copied().unwrap_or_default()
    }
}
