//! A request of a client of a rule over all connections by which its copies come: a NAT may give its NAS another port between
//! any two, also one on which the client is known already.
//!
//! Knows requests by who signed them and what they say, whatever way they came.

use super::ledger::{Case, Key, Record};
use super::{Violation, invariants};
use std::collections::BTreeMap;

invariants! {
    ONCE_EVERYWHERE = "once-everywhere", "A request of a client of a rule is decided once while it can be remembered, by whichever of its client's connections its copies come.";
}

/// All of them.
#[derive(Default)]
pub struct Everywhere {
    requests: BTreeMap<Same, Told>,
    /// Decisions so far.
    decisions: u64,
}

/// What makes two copies one request: client, secret, octets.
type Same = (String, Vec<u8>, Vec<u8>);

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// How often policy decided it.
    pub decisions: u32,
    /// The configurations under which it did.
    pub sites: Vec<usize>,
    /// Replies to it, each once.
    pub different: Vec<Vec<u8>>,
    /// When it was decided last, how many decisions there had been, and where.
    last: Option<(u64, u64, Place)>,
}

/// The record of its last decision, and how often that could have been decided by then.
type Place = (Key, u64, u32);

/// So many requests later, one is still among those that a server remembers, wherever it puts them.
const REMEMBERED: u64 = 512;

impl Everywhere {
    /// Of a record's request, if it is one of a client of a rule and no other packet can be meant.
    pub(super) fn of(&mut self, case: &Case<'_>, record: &Record) -> Option<&mut Told> {
        Some(self.requests.entry(record.same(case)?).or_default())
    }

    /// Policy has decided a request of this record under this configuration. `is_kept` tells whether no other request has
    /// had the place of a record; `is_excused`, whether the server may have forgotten one.
    ///
    /// # Errors
    /// [`ONCE_EVERYWHERE`].
    pub(super) fn decided(
        &mut self,
        case: &Case<'_>,
        (key, record, site): (Key, &Record, usize),
        (now, turn_max): (u64, u64),
        is_kept: impl FnOnce(Place) -> bool,
        is_excused: impl FnOnce() -> bool,
    ) -> Result<(), Violation> {
        self.decisions += 1;
        let count = self.decisions;
        let lifetime = case.plan.limits.dedup_lifetime_ms * 1_000_000;
        let Some(told) = self.of(case, record) else { return Ok(()) };
        if let Some((at, before, place)) = told.last
            && place.0 != key
            && now < at + lifetime.saturating_sub(turn_max)
            && count - before < REMEMBERED
            && is_kept(place)
            && !is_excused()
        {
            let details = format!(
                "from {}, Identifier {}, {} ns after it was decided from {}",
                key.0,
                key.2,
                now - at,
                place.0.0
            );
            return Err(Violation { invariant: &ONCE_EVERYWHERE, at: now, details });
        }
        told.decisions += 1;
        told.last = Some((now, count, (key, record.number(), record.runs)));
        if !told.sites.contains(&site) {
            told.sites.push(site);
        }
        Ok(())
    }

    /// The server's process has ended.
    pub fn forget_process(&mut self) {
        for told in self.requests.values_mut() {
            told.last = None;
        }
    }
}
