//! A NAS's book of Identifiers: what waits under which, and which comes next, per port and listener (RFC 2865 §3).

use std::collections::BTreeMap;
use ulna_core::ListenerId;

/// Where an Identifier means one request: between one port of the NAS and one listener.
pub type Flow = (usize, ListenerId);

/// The book. Exchanges are named by their numbers.
#[derive(Debug, Default)]
pub struct Identifiers {
    waiting: BTreeMap<(Flow, u8), usize>,
    next: BTreeMap<Flow, u16>,
}

impl Identifiers {
    /// What waits under this Identifier.
    pub fn waiting(&self, flow: Flow, identifier: u8) -> Option<usize> {
        self.waiting.get(&(flow, identifier)).copied()
    }

    /// Every Identifier of this flow that something waits under, in their order.
    pub fn in_use(&self, flow: Flow) -> Vec<u8> {
        self.waiting.range((flow, 0)..=(flow, 255)).map(|(&(_, identifier), _)| identifier).collect()
    }

    /// The next of `count` Identifiers that is not `in_use`; `None` if all are. The count goes on either way.
    pub fn next_free(&mut self, flow: Flow, count: u16, in_use: &[u8]) -> Option<u8> {
        let next = self.next.entry(flow).or_default();
        for _ in 0..count {
            let identifier = *next as u8;
            *next = (*next + 1) % count;
            if !in_use.contains(&identifier) {
                return Some(identifier);
            }
        }
        None
    }

    /// From now on `exchange` waits under this Identifier.
    pub fn take(&mut self, flow: Flow, identifier: u8, exchange: usize) {
        self.waiting.insert((flow, identifier), exchange);
    }

    /// Nothing waits under this Identifier any more; what did, if anything.
    pub fn give_back(&mut self, flow: Flow, identifier: u8) -> Option<usize> {
        self.waiting.remove(&(flow, identifier))
    }

    /// Forgets everything and counts from 0 again; what waited.
    pub fn forget(&mut self) -> impl Iterator<Item = usize> + use<> {
        self.next.clear();
        std::mem::take(&mut self.waiting).into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_go_round_past_those_in_use_and_each_flow_has_its_own() {
        let (one, other) = ((0, ListenerId(0)), (1, ListenerId(0)));
        let mut book = Identifiers::default();
        let mut take = |flow, exchange| {
            let identifier = book.next_free(flow, 4, &book.in_use(flow))?;
            book.take(flow, identifier, exchange);
            Some(identifier)
        };
        let taken: Vec<_> = (0..5).map(|exchange| take(one, exchange)).collect();
        assert_eq!(taken, [Some(0), Some(1), Some(2), Some(3), None]);
        assert_eq!(take(other, 9), Some(0));
        assert_eq!(book.give_back(one, 2), Some(2));
        assert_eq!(book.next_free(one, 4, &book.in_use(one)), Some(2));
        assert_eq!((book.waiting(other, 0), book.waiting(one, 2)), (Some(9), None));
        assert_eq!(book.forget().collect::<Vec<_>>(), [0, 1, 3, 9]);
        assert_eq!(book.next_free(one, 4, &[]), Some(0));
    }
}
