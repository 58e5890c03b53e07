//! Faults of the network between one port of a NAS and one listener: each direction is an entity of its own.
//!
//! Only datagrams that an end really sent count as ordinals; copies, garbage and forgeries do not, so that taking
//! one fault out of a log leaves the others where they were.

use super::{FaultClass, Injector};
use crate::draw::Class;

/// How a datagram came to be what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// As it was sent (perhaps later, perhaps again, perhaps with octets beyond its Length).
    Intact,
    /// Bits were flipped, or its end cut off.
    Damaged,
    /// Made by somebody else.
    Foreign,
}

/// One datagram as it will arrive.
#[derive(Debug, Clone)]
pub struct Carried {
    /// After this many nanoseconds.
    pub delay: u64,
    /// What arrives.
    pub octets: Vec<u8>,
    /// How it came to be.
    pub origin: Origin,
}

/// One direction of one link.
#[derive(Debug)]
pub struct Link {
    entity: u64,
    latency: u64,
    ordinal: u64,
    arrivals: u64,
    bad: bool,
}

/// Losses per mille of a link in its bad time.
const BAD_LOSS_PER_MILLE: u64 = 800;
/// A bad time ends after this many datagrams, on the average.
const BAD_LENGTH: u64 = 6;

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

impl Link {
    /// A link of this name, which takes `latency` nanoseconds when nothing is wrong.
    pub fn new(entity: u64, latency: u64) -> Self {
        Link { entity, latency, ordinal: 0, arrivals: 0, bad: false }
    }

    /// Counts what comes out at its end: the ordinal of whatever strikes there.
    pub fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals - 1
    }

    /// Takes one datagram and appends to `out` what arrives of it. `forgeable`: it goes towards the server, where a
    /// forger would follow it.
    pub fn carry(
        &mut self,
        octets: &[u8],
        forgeable: bool,
        now: u64,
        faults: &mut Injector,
        out: &mut Vec<Carried>,
    ) {
        let ordinal = self.ordinal;
        self.ordinal += 1;
        self.add_foreign(octets, forgeable, ordinal, now, faults, out);
        if self.loses(ordinal, now, faults) {
            return;
        }
        let mut octets_carried = octets.to_vec();
        let origin = damage(self.entity, ordinal, now, &mut octets_carried, faults);
        let mut delay = self.latency;
        let reorder = |draw: crate::draw::Draw| [draw.range(100 * MICROSECOND..=20 * MILLISECOND), 0];
        if let Some([late, _]) = faults.strike(FaultClass::Reorder, self.entity, ordinal, now, reorder) {
            delay += late;
        }
        let spike = |draw: crate::draw::Draw| [draw.magnitude(10 * MILLISECOND..=5 * SECOND), 0];
        if let Some([late, _]) = faults.strike(FaultClass::DelaySpike, self.entity, ordinal, now, spike) {
            delay += late;
        }
        let copy = |draw: crate::draw::Draw| [draw.magnitude(MICROSECOND..=30 * SECOND), 0];
        if let Some([late, _]) = faults.strike(FaultClass::Duplication, self.entity, ordinal, now, copy) {
            out.push(Carried { delay: delay + late, octets: octets_carried.clone(), origin });
        }
        out.push(Carried { delay, octets: octets_carried, origin });
    }

    fn loses(&mut self, ordinal: u64, now: u64, faults: &mut Injector) -> bool {
        if faults.strike(FaultClass::Loss, self.entity, ordinal, now, |_| [0, 0]).is_some() {
            return true;
        }
        let change = faults.draws().at(Class::BurstState, self.entity, ordinal);
        let bad = &mut self.bad;
        faults
            .decide(FaultClass::BurstLoss, self.entity, ordinal, now, |intensity, draw| {
                *bad = if *bad { !change.one_in(BAD_LENGTH) } else { change.per_myriad(intensity) };
                (*bad && draw.per_mille(BAD_LOSS_PER_MILLE)).then_some([0, 0])
            })
            .is_some()
    }

    fn add_foreign(
        &self,
        octets: &[u8],
        forgeable: bool,
        ordinal: u64,
        now: u64,
        faults: &mut Injector,
        out: &mut Vec<Carried>,
    ) {
        let detail = faults.draws().at(Class::FaultDetail, self.entity, ordinal);
        let garbage = |draw: crate::draw::Draw| [draw.fork(1).range(0..=120), draw.range(0..=SECOND)];
        if let Some([length, late]) = faults.strike(FaultClass::Garbage, self.entity, ordinal, now, garbage) {
            let mut garbage = vec![0; length as usize];
            detail.fork(1).fill(&mut garbage);
            out.push(Carried { delay: late, octets: garbage, origin: Origin::Foreign });
        }
        if !forgeable {
            return;
        }
        let forgery = |draw: crate::draw::Draw| [draw.fork(1).below(3), draw.range(0..=10 * MILLISECOND)];
        if let Some([kind, late]) = faults.strike(FaultClass::Forgery, self.entity, ordinal, now, forgery)
            && let Some(forged) = forge(octets, kind, detail.fork(2).octets())
        {
            out.push(Carried { delay: self.latency + late, octets: forged, origin: Origin::Foreign });
        }
    }
}

/// Damages the octets in place, at most once by each class; says what became of them.
fn damage(entity: u64, ordinal: u64, now: u64, octets: &mut Vec<u8>, faults: &mut Injector) -> Origin {
    let mut origin = Origin::Intact;
    let length = octets.len() as u64;
    let flip = |draw: crate::draw::Draw| [draw.below(length * 8), 0];
    if length > 0
        && let Some([bit, _]) = faults.strike(FaultClass::BitFlip, entity, ordinal, now, flip)
        && let Some(octet) = octets.get_mut(bit as usize / 8)
    {
        *octet ^= 1 << (bit % 8);
        origin = Origin::Damaged;
    }
    let cut = |draw: crate::draw::Draw| [draw.below(length), 0];
    if let Some([kept, _]) = faults.strike(FaultClass::Truncation, entity, ordinal, now, cut) {
        octets.truncate(kept as usize);
        origin = Origin::Damaged;
    }
    let pad = |draw: crate::draw::Draw| [draw.range(1..=200), draw.fork(1).below(256)];
    if let Some([more, octet]) = faults.strike(FaultClass::Padding, entity, ordinal, now, pad) {
        // RFC 2865 §3: octets outside the range of the Length field are padding. A packet that was cut before
        // would become whole again in length only, so it is damaged in any case.
        octets.resize(octets.len() + more as usize, octet as u8);
    }
    origin
}

/// What somebody without the secret makes of a packet that he has seen: its code and Identifier are kept.
/// `None` where the packet is too odd to start from.
pub fn forge(octets: &[u8], kind: u64, fresh: [u8; 32]) -> Option<Vec<u8>> {
    let mut forged = octets.to_vec();
    match kind {
        // A new authenticator; whatever signed the old one no longer does. What was unsigned gets a wrong signature.
        0 | 1 => {
            forged.get_mut(4..20)?.copy_from_slice(&fresh[..16]);
            if kind == 1 {
                // Same authenticator, so that it looks like a duplicate, with other attributes.
                forged[4..20].copy_from_slice(&octets[4..20]);
            }
            forged.truncate(20);
            forged.extend_from_slice(&[1, 5, b'e', b'v', b'e']);
        }
        // Everything as it was, and one more attribute.
        _ => {
            if forged.len() < 20 {
                return None;
            }
            strip_message_authenticators(&mut forged);
            forged.extend_from_slice(&[4, 6, 192, 0, 2, 66]);
        }
    }
    forged.extend_from_slice(&[80, 18]);
    forged.extend_from_slice(&fresh[16..]);
    let length = u16::try_from(forged.len()).ok()?;
    forged[2..4].copy_from_slice(&length.to_be_bytes());
    Some(forged)
}

/// Takes the Message-Authenticators out, so that the forger's own is the only one; stops where the octets stop
/// making sense.
fn strip_message_authenticators(octets: &mut Vec<u8>) {
    let mut place = 20;
    while let Some(&[kind, length]) = octets.get(place..place + 2) {
        let end = place + length as usize;
        if length < 2 || end > octets.len() {
            return;
        }
        if kind == 80 {
            octets.drain(place..end);
        } else {
            place = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draws;

    fn injector(class: FaultClass, intensity: u32) -> Injector {
        let mut intensities = [0; FaultClass::COUNT];
        intensities[class as usize] = intensity;
        Injector::drawn(Draws::new(11), intensities, u64::MAX)
    }

    fn carry_all(class: FaultClass, intensity: u32, octets: &[u8]) -> (Vec<Carried>, u64) {
        let mut faults = injector(class, intensity);
        let mut link = Link::new(1, 500);
        let mut out = Vec::new();
        for now in 0..1_000 {
            link.carry(octets, true, now, &mut faults, &mut out);
        }
        (out, faults.counts()[class as usize])
    }

    #[test]
    fn a_good_link_delivers_each_datagram_once_as_it_was() {
        let (out, _) = carry_all(FaultClass::Loss, 0, &[7; 30]);
        assert_eq!(out.len(), 1_000);
        assert!(out.iter().all(|c| c.delay == 500 && c.octets == [7; 30] && c.origin == Origin::Intact));
    }

    #[test]
    fn losses_come_in_bursts_where_the_link_turns_bad() {
        let (out, lost) = carry_all(FaultClass::BurstLoss, 300, &[7; 30]);
        assert_eq!(out.len() as u64 + lost, 1_000);
        assert!((50..500).contains(&lost), "{lost}");
    }

    #[test]
    fn each_class_changes_what_it_says_and_nothing_else() {
        let packet = [7; 30];
        for &(class, intact) in
            &[(FaultClass::BitFlip, false), (FaultClass::Truncation, false), (FaultClass::Padding, true)]
        {
            let (out, struck) = carry_all(class, 2_000, &packet);
            let changed = out.iter().filter(|c| c.octets != packet).count() as u64;
            assert!(struck > 100 && changed == struck, "{class:?}");
            assert!(out.iter().all(|c| (c.origin == Origin::Intact) == (intact || c.octets == packet)));
        }
        let (out, struck) = carry_all(FaultClass::Duplication, 2_000, &packet);
        assert_eq!(out.len() as u64, 1_000 + struck);
        assert!(out.iter().all(|c| c.delay <= 500 + 30 * SECOND));
        let (out, struck) = carry_all(FaultClass::Garbage, 2_000, &packet);
        assert_eq!(out.iter().filter(|c| c.origin == Origin::Foreign).count() as u64, struck);
    }

    #[test]
    fn a_forgery_keeps_code_and_identifier_and_is_whole_in_length() {
        let mut packet = vec![1, 42, 0, 43];
        packet.extend_from_slice(&[9; 16]);
        packet.extend_from_slice(&[80, 18]);
        packet.extend_from_slice(&[5; 16]);
        packet.extend_from_slice(&[1, 5, b'b', b'o', b'b']);
        for kind in 0..3 {
            let forged = forge(&packet, kind, [3; 32]).expect("the packet is a whole one");
            assert_eq!(forged[..2], [1, 42]);
            assert_eq!(usize::from(u16::from_be_bytes([forged[2], forged[3]])), forged.len());
            assert_ne!(forged, packet);
            assert!(forged.ends_with(&[3; 16]));
            assert_eq!(forged[4..20] == [9; 16], kind != 0);
        }
    }
}
