//! What a task writes on: bounded by what its reader has not been given yet, with marks at which it is woken.
//!
//! Positions are absolute, counted from the first octet of the part, so that a mark means one place whatever happens meanwhile.

use crate::seeded::{self, Bug};
use alloc::vec::Vec;

/// How much may wait, and when a task that waits for room is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Octets that may wait; above [`ROW_OCTETS_MAX`](super::ROW_OCTETS_MAX).
    pub octets_max: usize,
    /// When so much of it, in a hundred, is free; 1 to 100.
    pub mark: u8,
}

/// The octets of one part of a command.
#[derive(Debug)]
pub struct Screen {
    size: Size,
    /// Those that have not crossed to the connection.
    octets: Vec<u8>,
    /// How many have.
    sent: u64,
    /// How many are known to have been taken by the reader's kernel.
    written: u64,
}

impl Screen {
    /// An empty one.
    pub fn new(size: Size) -> Screen {
        Screen { size, octets: Vec::new(), sent: 0, written: 0 }
    }

    /// Whether so many octets have room. Where nothing waits any have.
    pub fn has_room(&self, octets: usize) -> bool {
        let waiting = self.waiting();
        seeded::is(Bug::RoomNotRespected)
            || waiting == 0
            || waiting + octets as u64 <= self.size.octets_max as u64
    }

    /// How many wait to be taken.
    pub fn waiting(&self) -> u64 {
        self.sent + self.octets.len() as u64 - self.written
    }

    /// Writes on.
    pub fn write(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }

    /// Whether so much has been written that it should cross.
    pub fn is_worth_sending(&self) -> bool {
        self.octets.len() >= (self.size.octets_max / 4).min(SEND_OCTETS)
    }

    /// What is to cross now, if there is anything.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        if self.octets.is_empty() {
            return None;
        }
        self.sent += self.octets.len() as u64;
        Some(core::mem::take(&mut self.octets))
    }

    /// The place at whose writing a task is to be woken that has found no room. All that there is has crossed.
    pub fn mark(&self) -> u64 {
        let waiting = self.waiting().max(1);
        let octets_max = self.size.octets_max as u64;
        let may_wait = octets_max - octets_max * u64::from(self.size.mark) / 100;
        self.written + waiting.saturating_sub(may_wait).clamp(1, waiting)
    }

    /// So many octets have been written in all.
    pub fn note_written(&mut self, written: u64) {
        assert!(
            written <= self.sent && written >= self.written,
            "only what has crossed is written, and once"
        );
        self.written = written;
    }
}

/// What is sent at once, so that the connection has something to write while the task goes on.
const SEND_OCTETS: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A task that writes rows as they find room, and a connection that tells it of marks alone.
        #[test]
        fn whoever_is_told_of_marks_alone_writes_all_and_never_too_much(
            octets_max in 10usize..300, mark in 1u8..=100, rows in proptest::collection::vec(1usize..10, 0..60),
        ) {
            let mut screen = Screen::new(Size { octets_max, mark });
            let (mut crossed, mut written) = (0, 0);
            for row in &rows {
                if !screen.has_room(*row) {
                    crossed += screen.take().map_or(0, |octets| octets.len() as u64);
                    let mark = screen.mark();
                    prop_assert!(mark > written && mark <= crossed, "{written} < {mark} <= {crossed}");
                    written = mark;
                    screen.note_written(written);
                }
                if !screen.has_room(*row) {
                    // A mark below what the row needs: the next one is higher.
                    let next = screen.mark();
                    prop_assert!(next > written && next <= crossed);
                    written = crossed;
                    screen.note_written(written);
                }
                prop_assert!(screen.has_room(*row));
                screen.write(&[b'x'; 10][..*row]);
                prop_assert!(screen.waiting() <= octets_max as u64);
            }
            crossed += screen.take().map_or(0, |octets| octets.len() as u64);
            prop_assert_eq!(crossed, rows.iter().sum::<usize>() as u64);
        }
    }
}
