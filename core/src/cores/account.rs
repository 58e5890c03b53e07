//! What a core of this thread and a core elsewhere have of each other's: packet buffers, each of which goes home in a later
//! message. When one of the two dies, this tells what died with it.
//!
//! Counted where messages enter and leave the rings, outside of both cores, so that no panic in one of them makes it
//! wrong. A request is known by how many were lent before it.
//!
//! # When both die: an example
//!
//! A ring keeps its order, so of two buffers the one lent first is taken first, whoever lent it. That is enough to tell what
//! died with a worker that had buffers of two lives of a network core, as the unit test at the end does it:
//!
//! | what happens | `lent` | `back` | `older` | `lent_before` |
//! |---|---|---|---|---|
//! | the network core lends five, one comes home | 5 | 1 | 0 | 0 |
//! | it dies: four of its buffers are with the worker, or on their way | 5 | 1 | 4 | 5 |
//! | its successor lends the sixth and the seventh; two of the older ones come home | 7 | 3 | 2 | 5 |
//!
//! Now the worker dies; three of what it had taken had been sent back.
//!
//! | it had taken | so it lost | of which `older` | and `own` |
//! |---|---|---|---|
//! | 4: not yet all that were lent before ours, thus none of ours | 1 | 1 | 0 |
//! | 6: all that were lent before ours, thus all of them that were not back | 3 | 2 | 1: the sixth |
//!
//! In the first case the fifth is older, too, and lies in the ring: it is with the worker's successor, and `older` stays 1.
//! `own` is what the buffer pool of this life writes off; buffers of its predecessor are not in that pool.

use crate::life::Life;
use crate::queue::message::{LOANS, Loss, Message};

/// Counts of both directions of one link, each by what is lent, since the link was made.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Ours that went there, and those that came back or are lost.
    lent: [u64; LOANS],
    back: [u64; LOANS],
    /// Theirs that this core has taken, and those that it has sent back or lost.
    taken: [u64; LOANS],
    returned: [u64; LOANS],
    /// Of ours that are there, those that a predecessor of this core lent: the first of them, as rings keep their order.
    older: [u64; LOANS],
    /// How many our predecessors ever lent.
    lent_before: u64,
    /// What the other core has still to be told of our death.
    owed: Option<Loss>,
}

/// What a core lost when its peer died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bereavement {
    /// The peer had taken up the first so many that were ever lent to it.
    pub taken: u64,
    /// Those that are lost, by parity.
    pub lost: [u64; LOANS],
    /// How many of the lost ones the core itself had lent, and not its predecessors.
    pub own: [u64; LOANS],
}

/// What is with a peer when a core begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outstanding {
    /// How many were ever lent.
    pub lent: u64,
    /// How many are there, by parity.
    pub away: [u64; LOANS],
}

impl Account {
    /// A message of this core goes to the other.
    #[inline]
    pub fn staged(&mut self, message: &Message) {
        if let Some(parity) = message.lends() {
            self.lent[parity] += 1;
        }
        if let Some((parity, _)) = message.gives_back() {
            self.returned[parity] += 1;
        }
    }

    /// A message of the other core is about to be handed to this one, which lives this life.
    #[inline]
    pub fn taken(&mut self, message: &Message, life: Life) {
        if let Some(parity) = message.lends() {
            self.taken[parity] += 1;
        }
        if let Some((parity, lender)) = message.gives_back() {
            self.back[parity] += 1;
            self.older[parity] -= u64::from(lender != life);
        }
    }

    /// This core has died with what it had of the other's.
    pub fn die(&mut self) {
        let mut loss = self.owed.take().unwrap_or_default();
        loss.taken = sum(self.taken);
        for parity in 0..LOANS {
            loss.lost[parity] += (self.taken[parity] - self.returned[parity]) as u32;
        }
        self.returned = self.taken;
        self.older = self.outstanding().away;
        self.lent_before = sum(self.lent);
        self.owed = Some(loss);
    }

    /// What the other core has to be told, if anything.
    pub fn owed(&self) -> Option<Loss> {
        self.owed
    }

    /// It is told now.
    pub fn told(&mut self) {
        self.owed = None;
    }

    /// Whether neither has anything of the other's.
    pub fn is_settled(&self) -> bool {
        self.lent == self.back && self.taken == self.returned
    }

    /// The other core has died.
    pub fn bereave(&mut self, loss: Loss) -> Bereavement {
        let lost = loss.lost.map(u64::from);
        for (back, lost) in self.back.iter_mut().zip(lost) {
            *back += lost;
        }
        // The oldest are taken first: if it had come to ours, it had taken all older ones.
        let older = if loss.taken >= self.lent_before { self.older } else { lost };
        let mut own = lost;
        for (place, older) in older.into_iter().enumerate() {
            self.older[place] -= older;
            own[place] -= older;
        }
        Bereavement { taken: loss.taken, lost, own }
    }

    /// What is there now.
    pub fn outstanding(&self) -> Outstanding {
        let mut away = self.lent;
        away.iter_mut().zip(self.back).for_each(|(away, back)| *away -= back);
        Outstanding { lent: sum(self.lent), away }
    }
}

fn sum(of_each: [u64; LOANS]) -> u64 {
    of_each.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the table above has it.
    fn two_lives() -> Account {
        let mut account = Account { lent: [5, 0, 0], back: [1, 0, 0], ..Account::default() };
        account.die();
        assert_eq!((account.older, account.lent_before), ([4, 0, 0], 5));
        assert_eq!(account.outstanding(), Outstanding { lent: 5, away: [4, 0, 0] });
        account.told();
        account.lent[0] += 2;
        account.back[0] += 2;
        account.older[0] -= 2;
        account
    }

    #[test]
    fn who_had_not_come_to_ours_has_lost_none_of_them() {
        let mut account = two_lives();
        let bereavement = account.bereave(Loss { taken: 4, lost: [1, 0, 0] });
        assert_eq!(bereavement, Bereavement { taken: 4, lost: [1, 0, 0], own: [0; LOANS] });
        assert_eq!((account.older, account.outstanding().away), ([1, 0, 0], [3, 0, 0]));
    }

    #[test]
    fn who_had_come_to_ours_has_lost_all_older_ones_that_were_there() {
        let mut account = two_lives();
        let bereavement = account.bereave(Loss { taken: 6, lost: [3, 0, 0] });
        assert_eq!(bereavement, Bereavement { taken: 6, lost: [3, 0, 0], own: [1, 0, 0] });
        assert_eq!((account.older, account.outstanding().away), ([0; LOANS], [1, 0, 0]));
    }
}
