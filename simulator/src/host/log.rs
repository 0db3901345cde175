//! The kernel's log.

use std::collections::VecDeque;

/// How much of it is kept, in bytes: what a kernel's buffer has room for (`CONFIG_LOG_BUF_SHIFT` = 17).
const ROOM: usize = 1 << 17;

/// What the kernel said, oldest first, as far back as there is room.
#[derive(Debug, Default)]
pub(super) struct KernelLog {
    lines: VecDeque<String>,
    bytes: usize,
}

impl KernelLog {
    pub(super) fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.bytes > ROOM {
            let Some(line) = self.lines.pop_front() else { break };
            self.bytes -= line.len();
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_make_room_for_new_ones() {
        let mut log = KernelLog::default();
        let line = |n: usize| format!("{n:01024}");
        (0..200).for_each(|n| log.push(line(n)));
        assert_eq!(log.lines(), (200 - 128..200).map(line).collect::<Vec<_>>());
        log.push("x".repeat(ROOM + 1));
        assert!(log.lines().is_empty());
        log.push("next".to_owned());
        assert_eq!(log.lines(), ["next"]);
    }
}
