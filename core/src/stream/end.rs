//! Why a stream is not accepted, or ends; each with a name, and counted. RFC 6613 §2.6.4 and §2.6.7.

use crate::counters::{Counter, NetworkCounters};

/// Why a stream is not accepted, or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Not accepted: no client's network, and no client rule's, holds its source address (RFC 6613 §2.6.4).
    UnknownClient,
    /// Not accepted: its listener has as many as it may.
    ListenerFull,
    /// Not accepted: its source address has as many as it may.
    AddressFull,
    /// The peer has ended it, and has been answered.
    Peer,
    /// The peer has broken it off, or the network has.
    Broken,
    /// A packet came that ends it (RFC 6613 §2.6.4); that has a name of its own.
    Packet,
    /// Nothing has come for as long as may be, and nothing was under way.
    Idle,
    /// A packet has begun and has not ended in time.
    SlowSender,
    /// Replies were not read in time.
    SlowReader,
    /// The server ends.
    Draining,
    /// Whoever was asked whose it is has died.
    Orphaned,
}

impl End {
    /// Every reason, in the order of their numbers.
    pub const ALL: &'static [End] = &[
        End::UnknownClient,
        End::ListenerFull,
        End::AddressFull,
        End::Peer,
        End::Broken,
        End::Packet,
        End::Idle,
        End::SlowSender,
        End::SlowReader,
        End::Draining,
        End::Orphaned,
    ];
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The name in logs: kebab-case, stable.
    pub const fn name(self) -> &'static str {
        match self {
            End::UnknownClient => "unknown-client",
            End::ListenerFull => "listener-full",
            End::AddressFull => "address-full",
            End::Peer => "peer",
            End::Broken => "broken",
            End::Packet => "packet",
            End::Idle => "idle",
            End::SlowSender => "slow-sender",
            End::SlowReader => "slow-reader",
            End::Draining => "draining",
            End::Orphaned => "orphaned",
        }
    }

    /// Whether an operator may want to read of it: neither what is usual, nor what has its packet's discard told already.
    pub const fn is_news(self) -> bool {
        match self {
            End::UnknownClient
            | End::ListenerFull
            | End::AddressFull
            | End::SlowSender
            | End::SlowReader
            | End::Orphaned => true,
            End::Peer | End::Broken | End::Packet | End::Idle | End::Draining => false,
        }
    }

    /// What it is counted as.
    pub(crate) fn counter(self, counters: &NetworkCounters) -> &Counter {
        match self {
            End::UnknownClient => &counters.streams_refused_unknown,
            End::ListenerFull => &counters.streams_refused_full,
            End::AddressFull => &counters.streams_refused_address_full,
            End::Peer => &counters.streams_ended_by_peer,
            End::Broken => &counters.streams_broken,
            End::Packet => &counters.streams_ended_for_packet,
            End::Idle => &counters.streams_ended_idle,
            End::SlowSender => &counters.streams_ended_slow_sender,
            End::SlowReader => &counters.streams_ended_slow_reader,
            End::Draining => &counters.streams_ended_draining,
            End::Orphaned => &counters.streams_orphaned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_numbers_are_places() {
        let names: BTreeSet<_> = End::ALL.iter().map(|end| end.name()).collect();
        assert_eq!(names.len(), End::COUNT);
        for (place, end) in End::ALL.iter().enumerate() {
            assert_eq!(*end as usize, place);
        }
    }
}
