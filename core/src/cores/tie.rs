//! What two cores have with each other, on one thread or two: the account of what each lent the other, and what is said about
//! the link itself. Outside of both cores, so that it survives their panics.

use super::Running;
use super::account::Account;
use crate::network::Network;
use crate::path::Peer;
use crate::queue::message::{Loss, Message};
use crate::time::Instant;
use crate::worker::Worker;

/// One side of it.
#[derive(Debug, Default)]
pub(super) struct Tie {
    pub account: Account,
    /// A network core's: the epoch that the worker was told last, and the one that it has still to be told.
    told: u32,
    untold: Option<u32>,
    closing: Closing,
    /// Messages that have ever gone to the other core, and which of them, counted from 1, told last of a death.
    sent: u64,
    died_at: u64,
}

/// How far the end of a link is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Closing {
    /// Nobody has spoken of it.
    #[default]
    Open,
    /// This side says its last as soon as nothing is left to be said: it was told to, or has heard the other's.
    Wanted { is_heard: bool },
    /// This side has.
    Said,
    /// Both have.
    Over,
}

/// What this side has to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Died(Loss),
    Epoch(u32),
    Close,
}

impl Tie {
    /// Hands a message of the other core to a network core.
    #[inline]
    pub fn hand_to_network(
        &mut self,
        network: &mut Network,
        from: Peer,
        message: Message,
        running: &mut Running,
        now: Instant,
    ) {
        if let Message::Died(loss) = message {
            return network.handle_died(from, &self.account.bereave(loss), now);
        }
        if let Message::Close = message {
            return self.hear_close();
        }
        self.account.taken(&message, network.life());
        *running = Running::Network;
        network.handle_message(from, message, now);
        *running = Running::Queues;
    }

    /// Hands a message of the other core to a worker core.
    #[inline]
    pub fn hand_to_worker(
        &mut self,
        worker: &mut Worker,
        from: Peer,
        message: Message,
        running: &mut Running,
        now: Instant,
    ) {
        if let Message::Died(loss) = message {
            return worker.handle_died(from, &self.account.bereave(loss));
        }
        if let Message::Close = message {
            return self.hear_close();
        }
        self.account.taken(&message, worker.life());
        *running = Running::Worker;
        worker.handle_message(from, message, now);
        *running = Running::Queues;
    }

    /// A message of this core goes to the other.
    #[inline]
    pub fn staged(&mut self, message: &Message) {
        self.sent += 1;
        self.account.staged(message);
    }

    /// Whether no death of this core lies in the ring, in which so many messages are unread as far as we know.
    pub fn has_death_been_heard(&self, unread: usize) -> bool {
        self.died_at <= self.sent - unread as u64
    }

    /// The other core is to be told that slots have changed hands.
    pub fn tell_epoch(&mut self, epoch: u32) {
        if self.closing == Closing::Open && self.told != epoch {
            self.untold = Some(epoch);
        }
    }

    /// This side is to say its last when nothing is left.
    pub fn close(&mut self) {
        self.closing = match self.closing {
            Closing::Open => Closing::Wanted { is_heard: false },
            closing @ (Closing::Wanted { .. } | Closing::Said | Closing::Over) => closing,
        };
    }

    fn hear_close(&mut self) {
        self.closing = match self.closing {
            Closing::Open | Closing::Wanted { .. } => Closing::Wanted { is_heard: true },
            Closing::Said | Closing::Over => Closing::Over,
        };
    }

    /// Whether anything but messages of cores is going on.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.account.owed().is_some() || self.untold.is_some() || self.closing != Closing::Open
    }

    /// Whether both sides have said their last.
    pub fn is_over(&self) -> bool {
        self.closing == Closing::Over
    }

    /// What this side has to tell next, if anything. `has_done`: its core has nothing left for the other.
    pub fn news(&self, has_done: bool) -> Option<News> {
        match self.closing {
            // Nothing follows a last message; whoever has died since then had nothing of the other's.
            Closing::Said | Closing::Over => return None,
            Closing::Open | Closing::Wanted { .. } => {}
        }
        let died = self.account.owed().map(News::Died);
        let epoch = || self.untold.map(News::Epoch);
        let wants_to_close = matches!(self.closing, Closing::Wanted { .. });
        died.or_else(epoch)
            .or_else(|| (wants_to_close && has_done && self.account.is_settled()).then_some(News::Close))
    }

    /// It is told now.
    pub fn tell(&mut self, news: News) -> Message {
        self.sent += 1;
        match news {
            News::Died(loss) => {
                self.died_at = self.sent;
                self.account.told();
                Message::Died(loss)
            }
            News::Epoch(epoch) => {
                (self.told, self.untold) = (epoch, None);
                Message::Epoch(epoch)
            }
            News::Close => {
                let is_heard = self.closing == Closing::Wanted { is_heard: true };
                self.closing = if is_heard { Closing::Over } else { Closing::Said };
                Message::Close
            }
        }
    }
}
