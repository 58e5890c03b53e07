//! Where a packet on a stream ends and the next begins: by its Length field alone, in whatever segments octets come.
//! RFC 6613 §2.6.4.
//!
//! Four octets tell the length, so that what can be no packet is known before more of it is waited for, and nothing that waits is
//! longer than one packet.

use crate::packet::{HEADER_OCTETS, PACKET_OCTETS_MAX};
use alloc::vec::Vec;

/// What octets of a stream begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A packet of so many octets.
    Packet(usize),
    /// The beginning of one, or nothing.
    Partial,
    /// No packet has this length. Where the next begins nobody knows.
    BadLength,
}

/// What these octets begin with.
#[inline]
pub fn next(octets: &[u8]) -> Next {
    let Some(&[_, _, high, low]) = octets.first_chunk() else { return Next::Partial };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if !(HEADER_OCTETS..=PACKET_OCTETS_MAX).contains(&length) {
        Next::BadLength
    } else if octets.len() < length {
        Next::Partial
    } else {
        Next::Packet(length)
    }
}

/// Octets of a stream that wait to be taken: what came, by us; what goes, by the peer. In memory that is lent while there are any.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    octets: Vec<u8>,
    /// How many of the first were taken since.
    taken: usize,
}

impl Pending {
    /// What was not taken.
    pub fn octets(&self) -> &[u8] {
        &self.octets[self.taken..]
    }

    /// How much memory it has.
    pub fn memory_octets(&self) -> usize {
        self.octets.capacity()
    }

    /// Whether that is nothing.
    pub fn is_empty(&self) -> bool {
        self.octets().is_empty()
    }

    /// Behind what is there come these; memory comes from `spares` if none is there yet.
    pub fn append(&mut self, octets: &[u8], spares: &mut Spares) {
        if self.octets.capacity() == 0 {
            self.octets = spares.take();
        }
        // Each octet is moved once for as many that were taken, at most.
        if self.taken * 2 >= self.octets.len() {
            self.octets.drain(..self.taken);
            self.taken = 0;
        }
        self.octets.extend_from_slice(octets);
    }

    /// The first so many are taken. Empty, it gives its memory back.
    pub fn take(&mut self, octets: usize, spares: &mut Spares) {
        self.taken += octets;
        if self.is_empty() {
            self.clear(spares);
        }
    }

    /// Nothing is wanted of it any more.
    pub fn clear(&mut self, spares: &mut Spares) {
        self.taken = 0;
        spares.give_back(core::mem::take(&mut self.octets));
    }
}

/// Memory for octets that wait, lent to the streams that have such: nearly all have none at any time.
#[derive(Debug, Default)]
pub(crate) struct Spares(Vec<Vec<u8>>);

impl Spares {
    /// Memory, which may grow.
    pub fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_else(|| Vec::with_capacity(SPARE_OCTETS))
    }

    /// What has grown is freed, and what is more than a few.
    pub fn give_back(&mut self, mut octets: Vec<u8>) {
        if (1..=SPARE_OCTETS).contains(&octets.capacity()) && self.0.len() < SPARES_MAX {
            octets.clear();
            self.0.push(octets);
        }
    }
}

/// A read and what was left of the one before, rounded up.
const SPARE_OCTETS: usize = 32 * 1024;
/// Kept for the next.
const SPARES_MAX: usize = 64;

/// The law of framing: however a stream is cut into segments, it has the same packets and ends in the same way. The entry point
/// of the fuzzer: the first octets are lengths of segments.
///
/// # Panics
/// If the law does not hold: our bug.
#[doc(hidden)]
pub fn framing_law(data: &[u8]) {
    let (cuts, octets) = data.split_at(data.len().min(8));
    let whole = read(&mut core::iter::once(octets));
    let mut rest = octets;
    let mut cuts = cuts.iter().cycle().map(|cut| usize::from(*cut));
    let mut segments = core::iter::from_fn(|| {
        let cut = cuts.next().unwrap_or(1).clamp(1, rest.len().max(1));
        let (segment, after) = rest.split_at_checked(cut)?;
        rest = after;
        (!segment.is_empty()).then_some(segment)
    });
    let cut = read(&mut segments);
    assert_eq!(cut.0, whole.0, "the same packets");
    assert_eq!(cut.1, whole.1, "and the same end");
    let octets_of_packets: usize = whole.0.iter().map(Vec::len).sum();
    assert!(whole.0.concat() == octets[..octets_of_packets], "packets follow each other without a gap");
    for packet in &whole.0 {
        assert_eq!(packet[2..4], (packet.len() as u16).to_be_bytes(), "as long as Length says");
    }
}

/// The packets of these segments, and whether a bad Length ends them. What waits is never longer than a packet.
fn read(segments: &mut dyn Iterator<Item = &[u8]>) -> (Vec<Vec<u8>>, bool) {
    let (mut packets, mut input, mut spares) = (Vec::new(), Pending::default(), Spares::default());
    for segment in segments {
        input.append(segment, &mut spares);
        loop {
            match next(input.octets()) {
                Next::Packet(length) => {
                    packets.push(input.octets()[..length].to_vec());
                    input.take(length, &mut spares);
                }
                Next::Partial => break,
                Next::BadLength => return (packets, true),
            }
        }
        assert!(input.octets().len() < PACKET_OCTETS_MAX, "less than a packet waits");
    }
    (packets, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_length_alone_tells_where_a_packet_ends() {
        // checklist 73
        let mut packet = [0; 24];
        packet[..4].copy_from_slice(&[1, 7, 0, 20]);
        for octets in 0..20 {
            assert_eq!(next(&packet[..octets]), Next::Partial, "{octets}");
        }
        assert_eq!(next(&packet[..20]), Next::Packet(20));
        assert_eq!(next(&packet), Next::Packet(20));
    }

    #[test]
    fn a_length_that_no_packet_has_is_known_from_four_octets() {
        // checklist 74
        for length in [0u16, 1, 19, 4097, u16::MAX] {
            let [high, low] = length.to_be_bytes();
            assert_eq!(next(&[1, 7, high, low]), Next::BadLength, "{length}");
            assert_eq!(next(&[1, 7, high]), Next::Partial);
        }
        for length in [20u16, 4096] {
            let [high, low] = length.to_be_bytes();
            assert_eq!(next(&[1, 7, high, low]), Next::Partial, "{length}");
        }
    }

    proptest! {
        #[test]
        fn segments_do_not_matter(
            lengths in proptest::collection::vec(20u16..200, 0..20),
            cuts in any::<[u8; 8]>(),
            tail in proptest::collection::vec(any::<u8>(), 0..30),
        ) {
            let mut data = cuts.to_vec();
            for length in lengths {
                let mut packet = alloc::vec![9; usize::from(length)];
                packet[2..4].copy_from_slice(&length.to_be_bytes());
                data.extend(packet);
            }
            data.extend(tail);
            framing_law(&data);
        }
    }
}
