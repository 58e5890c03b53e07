//! Which messages of a batch leave together: pure data, no descriptor.
//!
//! The kernel takes messages of equal length to one destination as segments of one send (UDP_SEGMENT), at a tenth of
//! what each costs alone. While a batch fills, [`Groups`] links each message to those before it that it may leave
//! with, and each group to the others of its socket. Messages to one destination keep their order; between
//! destinations there is none to keep.
//!
//! Costs a hash and a comparison for each message, allocates nothing. The hash is not keyed: a batch is so short
//! that whoever makes all its destinations collide costs us 64 comparisons for a message, less than a tenth of its
//! send.

use std::net::{IpAddr, SocketAddr};

use ulna_core::path::{SocketId, Transmit};

/// Messages in a batch at most. Also the segments of one send that every kernel with UDP_SEGMENT takes.
pub const MESSAGES_MAX: usize = 64;

/// The longest message that is sent as a segment: with its headers it passes wherever IPv6 does (MTU 1 280), and a
/// segment must not be fragmented.
pub const SEGMENT_OCTETS_MAX: usize = 1_200;

/// The octets of one send at most: below the 65 507 that IPv4 and the 65 487 that IPv6 headers leave of 64 KiB.
pub const GROUP_OCTETS_MAX: usize = 65_000;

/// Marks the end of a chain and an empty place of the table.
pub const NONE: u8 = u8::MAX;

/// Messages that leave in one send, all the same way.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// How each of them is sent.
    pub transmit: Transmit,
    /// The first message; the others follow by [`Groups::after`].
    pub first: u8,
    last: u8,
    /// How many there are.
    pub messages: u8,
    /// Octets of each but the last, which may have fewer.
    pub segment_octets: u16,
    octets: u32,
    /// Whether a further message may join.
    open: bool,
    /// The next group of the same socket, or [`NONE`].
    pub next: u8,
}

/// The groups that leave through one socket, in order.
#[derive(Debug, Clone, Copy)]
pub struct Chain {
    /// The socket.
    pub via: SocketId,
    /// Its first group; the others follow by [`Group::next`].
    pub first: u8,
    last: u8,
}

/// The messages of one batch, grouped. At most [`MESSAGES_MAX`] of them.
#[derive(Debug)]
pub struct Groups {
    /// For each message the next one of its group, or [`NONE`].
    after: Vec<u8>,
    groups: Vec<Group>,
    chains: Vec<Chain>,
    /// For each way to send the newest group that goes it: open addressing, at most half full.
    newest: [u8; PLACES],
}

impl Groups {
    /// No message yet. Allocates all that it will ever need.
    pub fn new() -> Self {
        Groups {
            after: Vec::with_capacity(MESSAGES_MAX),
            groups: Vec::with_capacity(MESSAGES_MAX),
            chains: Vec::with_capacity(MESSAGES_MAX),
            newest: [NONE; PLACES],
        }
    }

    /// Messages added so far.
    pub fn messages(&self) -> usize {
        self.after.len()
    }

    /// Adds the next message, of `octets` octets. It leaves together with earlier ones only if `together`.
    pub fn add(&mut self, transmit: Transmit, octets: usize, together: bool) {
        assert!(self.after.len() < MESSAGES_MAX, "a batch takes no more messages than it was made for");
        let message = narrow(self.after.len());
        self.after.push(NONE);

        let mut place = place_of(&transmit);
        loop {
            match self.newest[place] {
                NONE => break,
                newest if self.groups[usize::from(newest)].transmit == transmit => {
                    if self.joins(newest, message, octets) {
                        return;
                    }
                    break;
                }
                _ => place = (place + 1) % PLACES,
            }
        }
        self.newest[place] = self.open_group(transmit, message, octets, together);
    }

    /// The sockets that have something to send, each once.
    pub fn chains(&self) -> &[Chain] {
        &self.chains
    }

    /// A group by the number that [`Chain::first`] or [`Group::next`] gave.
    pub fn group(&self, group: u8) -> &Group {
        &self.groups[usize::from(group)]
    }

    /// The message that follows this one in its group, or [`NONE`].
    pub fn after(&self, message: u8) -> u8 {
        self.after[usize::from(message)]
    }

    /// Forgets all messages, keeps the memory.
    pub fn clear(&mut self) {
        self.after.clear();
        self.groups.clear();
        self.chains.clear();
        self.newest.fill(NONE);
    }

    /// Appends the message to the group if it may leave with it: no longer than the others, and only the last may
    /// be shorter.
    fn joins(&mut self, group: u8, message: u8, octets: usize) -> bool {
        let group = &mut self.groups[usize::from(group)];
        let segment_octets = usize::from(group.segment_octets);
        let fits = group.octets as usize + octets <= GROUP_OCTETS_MAX;
        if !(group.open && fits && octets > 0 && octets <= segment_octets) {
            return false;
        }
        group.open = octets == segment_octets;
        group.octets += u32::try_from(octets).expect("no longer than a segment");
        group.messages += 1;
        self.after[usize::from(group.last)] = message;
        group.last = message;
        true
    }

    /// Begins a group with this message, behind all others of its socket.
    fn open_group(&mut self, transmit: Transmit, message: u8, octets: usize, together: bool) -> u8 {
        let number = narrow(self.groups.len());
        let open = together && octets > 0 && octets <= SEGMENT_OCTETS_MAX;
        let segment_octets = if open { u16::try_from(octets).expect("no longer than a segment") } else { 0 };
        self.groups.push(Group {
            transmit,
            first: message,
            last: message,
            messages: 1,
            segment_octets,
            octets: u32::from(segment_octets),
            open,
            next: NONE,
        });
        // The newest socket first: most threads have one or two, and consecutive messages share theirs.
        match self.chains.iter_mut().rev().find(|chain| chain.via == transmit.via) {
            Some(chain) => {
                self.groups[usize::from(chain.last)].next = number;
                chain.last = number;
            }
            None => self.chains.push(Chain { via: transmit.via, first: number, last: number }),
        }
        number
    }
}

/// Where the search for a way to send begins. Ports tell peers apart more than addresses do.
fn place_of(transmit: &Transmit) -> usize {
    let address = match transmit.destination {
        SocketAddr::V4(address) => u32::from(*address.ip()),
        SocketAddr::V6(address) => {
            let [high, middle, low, last] = words(u128::from(*address.ip()));
            high ^ middle.rotate_left(8) ^ low.rotate_left(16) ^ last
        }
    };
    let source = match transmit.source {
        Some(IpAddr::V4(address)) => u32::from(address),
        Some(IpAddr::V6(address)) => words(u128::from(address))[3],
        None => 0,
    };
    let port = u32::from(transmit.destination.port()) | u32::from(transmit.via.0) << 16;
    // The multiplier is the golden ratio's fraction: it spreads neighbouring ports and addresses over the high bits.
    let mixed = (address ^ source.rotate_left(13) ^ port.rotate_left(5)).wrapping_mul(0x9E37_79B9);
    (mixed >> (u32::BITS - PLACES.ilog2())) as usize
}

/// The four 32-bit words of an IPv6 address, most significant first.
const fn words(address: u128) -> [u32; 4] {
    [(address >> 96) as u32, (address >> 64) as u32, (address >> 32) as u32, address as u32]
}

/// A place in the batch as the octet that chains are made of.
fn narrow(place: usize) -> u8 {
    u8::try_from(place).expect("a batch has at most 64 messages")
}

/// Places in the table: twice as many as messages, so that a search ends soon.
const PLACES: usize = 2 * MESSAGES_MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    fn way(via: u16, port: u16) -> Transmit {
        Transmit {
            via: SocketId(via),
            source: Some(IpAddr::from([127, 0, 0, 2])),
            destination: SocketAddr::from(([127, 0, 0, 1], port)),
        }
    }

    /// The groups in the order of sending: how they go, and which messages are in each.
    fn listed(groups: &Groups) -> Vec<(Transmit, Vec<usize>)> {
        let mut listed = Vec::new();
        for chain in groups.chains() {
            let mut number = chain.first;
            while number != NONE {
                let group = groups.group(number);
                assert_eq!(group.transmit.via, chain.via);
                let mut messages = Vec::new();
                let mut message = group.first;
                while message != NONE {
                    messages.push(usize::from(message));
                    message = groups.after(message);
                }
                assert_eq!(messages.len(), usize::from(group.messages));
                listed.push((group.transmit, messages));
                number = group.next;
            }
        }
        listed
    }

    #[test]
    fn equal_lengths_to_one_destination_leave_together() {
        let mut groups = Groups::new();
        for (port, octets) in [(1, 100), (2, 100), (1, 100), (2, 90), (1, 80), (1, 80), (2, 90)] {
            groups.add(way(0, port), octets, true);
        }
        assert_eq!(
            listed(&groups),
            [(way(0, 1), vec![0, 2, 4]), (way(0, 2), vec![1, 3]), (way(0, 1), vec![5]), (way(0, 2), vec![6])]
        );
    }

    #[test]
    fn a_longer_message_begins_a_group_of_its_own() {
        let mut groups = Groups::new();
        for octets in [100, 120, 120, 100, 100] {
            groups.add(way(0, 1), octets, true);
        }
        let members: Vec<_> = listed(&groups).into_iter().map(|(_, messages)| messages).collect();
        assert_eq!(members, [vec![0], vec![1, 2, 3], vec![4]]);
    }

    #[test]
    fn long_and_empty_messages_stay_alone_and_so_do_all_when_told() {
        let mut groups = Groups::new();
        for octets in [1_201, 1_201, 0, 0] {
            groups.add(way(0, 1), octets, true);
        }
        assert_eq!(listed(&groups).len(), 4);
        groups.clear();
        assert_eq!(groups.messages(), 0);
        for _ in 0..4 {
            groups.add(way(0, 1), 100, false);
        }
        assert_eq!(listed(&groups).len(), 4);
    }

    #[test]
    fn a_group_stays_below_the_octets_of_one_send() {
        let mut groups = Groups::new();
        for _ in 0..MESSAGES_MAX {
            groups.add(way(0, 1), 1_200, true);
        }
        let members: Vec<_> = listed(&groups).into_iter().map(|(_, messages)| messages.len()).collect();
        assert_eq!(members, [54, 10]);
    }

    #[test]
    fn sockets_and_sources_are_kept_apart() {
        let mut groups = Groups::new();
        let elsewhere = Transmit { source: Some(IpAddr::from([127, 0, 0, 3])), ..way(0, 1) };
        for transmit in [way(0, 1), way(1, 1), elsewhere, way(0, 1), way(1, 1), elsewhere] {
            groups.add(transmit, 100, true);
        }
        assert_eq!(
            listed(&groups),
            [(way(0, 1), vec![0, 3]), (elsewhere, vec![2, 5]), (way(1, 1), vec![1, 4])]
        );
    }

    proptest! {
        #[test]
        fn every_message_leaves_once_in_the_order_of_its_destination(
            batch in prop::collection::vec((0u16..3, 0u16..5, 0usize..1_400), 0..=MESSAGES_MAX)
        ) {
            let mut groups = Groups::new();
            let mut expected: BTreeMap<(u16, u16), Vec<usize>> = BTreeMap::new();
            for (message, &(via, port, octets)) in batch.iter().enumerate() {
                groups.add(way(via, port), octets, true);
                expected.entry((via, port)).or_default().push(message);
            }
            let mut sent: BTreeMap<(u16, u16), Vec<usize>> = BTreeMap::new();
            for (transmit, messages) in listed(&groups) {
                let lengths: Vec<usize> = messages.iter().map(|&message| batch[message].2).collect();
                let (last, others) = lengths.split_last().expect("no group is empty");
                if let Some(&segment) = others.first() {
                    prop_assert!(others.iter().all(|&octets| octets == segment) && *last <= segment && *last > 0);
                    prop_assert!(segment <= SEGMENT_OCTETS_MAX);
                    prop_assert!(lengths.iter().sum::<usize>() <= GROUP_OCTETS_MAX);
                }
                sent.entry((transmit.via.0, transmit.destination.port())).or_default().extend(messages);
            }
            prop_assert_eq!(sent, expected);
        }
    }
}
