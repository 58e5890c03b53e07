//! Look-ups under way: which the server has asked for, and which have had an end.

use super::ledger::Case;
use super::{Violation, invariants};
use std::collections::BTreeMap;
use ulna_core::effect::{LookUp, Ticket};

invariants! {
    ONE_LOOK_UP = "one-look-up", "One look-up at most of a table's key is under way in one worker.";
    LOOK_UPS_BOUNDED = "look-ups-bounded", "No more look-ups are under way than the limits of their rule allow, those of keys that were clients' not counted.";
}

/// All that are under way, as far as they are known from outside.
#[derive(Default)]
pub struct LookUps {
    /// By thread, table and key.
    under_way: BTreeMap<(usize, String, Vec<u8>), UnderWay>,
}

struct UnderWay {
    ticket: Ticket,
    /// From then on it has timed out.
    until: u64,
}

impl LookUps {
    /// A thread has asked for one in a turn of this time.
    ///
    /// # Errors
    /// [`ONE_LOOK_UP`], [`LOOK_UPS_BOUNDED`].
    pub fn begun(
        &mut self,
        case: &Case<'_>,
        thread: usize,
        (ticket, look_up): (Ticket, &LookUp),
        turn: u64,
        now: u64,
    ) -> Result<(), Violation> {
        let key = String::from_utf8_lossy(&look_up.key).into_owned();
        let name = (thread, look_up.source.to_string(), look_up.key.to_vec());
        let until = turn + case.plan.limits.request_timeout_ms * 1_000_000;
        let before = self.under_way.insert(name, UnderWay { ticket, until });
        if before.is_some_and(|before| turn < before.until) {
            let details = format!("thread {thread}, {key:?}");
            return Err(Violation { invariant: &ONE_LOOK_UP, at: now, details });
        }
        self.under_way.retain(|_, under_way| turn < under_way.until);
        // What no table has ever had was nobody's.
        let is_invented = |key: &[u8]| {
            let mut clients = case.sites.iter().flat_map(|site| &site.clients);
            !clients.any(|client| client.is_ruled() && client.name.as_bytes() == key)
        };
        let of_table = self.under_way.keys().filter(|(_, source, _)| **source == *look_up.source);
        let invented = of_table.filter(|(_, _, key)| is_invented(key)).count();
        // Tables are files of the same name as their rules.
        let rule = case.plan.topology.client_rules.iter().find(|rule| {
            let file = look_up.source.rsplit('/').next().unwrap_or_default();
            file.trim_end_matches(".toml").ends_with(&format!("-{}", rule.name))
        });
        let pending = rule.expect("each table is a rule's").pending;
        if invented > pending as usize {
            let details = format!("{invented} of names that are nobody's, {pending} are allowed");
            return Err(Violation { invariant: &LOOK_UPS_BOUNDED, at: now, details });
        }
        Ok(())
    }

    /// A thread is given an answer.
    pub fn ended(&mut self, thread: usize, ticket: Ticket) {
        self.under_way.retain(|(of, _, _), under_way| (*of, under_way.ticket) != (thread, ticket));
    }

    /// A core of this thread has died, or the thread has ended.
    pub fn forget_thread(&mut self, thread: usize) {
        self.under_way.retain(|(of, _, _), _| *of != thread);
    }

    /// The server's process has ended.
    pub fn forget_process(&mut self) {
        self.under_way.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::plan::Plan;
    use crate::site::Site;
    use crate::swarm::Profile;

    #[test]
    fn a_second_of_a_key_and_one_too_many_are_seen_and_what_has_ended_counts_no_more() {
        let has_rule = |plan: &Plan| !plan.topology.client_rules.is_empty();
        let mut plan = (0..).map(|seed| Plan::drawn(seed, Profile::Nat)).find(has_rule).expect("one has");
        plan.topology.client_rules[0].pending = 2;
        let (sites, clock) = (Site::all(&plan), Clock::default());
        let case = Case { plan: &plan, sites: &sites, clock: &clock };
        let source = format!("/tmp/ulna-sim-1-0-{}.toml", plan.topology.client_rules[0].name);
        let timeout = plan.limits.request_timeout_ms * 1_000_000;
        let ticket = |place| Ticket { place, generation: 0, life: Default::default() };
        let mut look_ups = LookUps::default();
        let begin = |look_ups: &mut LookUps, thread, place, key: &str, now| {
            let look_up = LookUp { source: source.as_str().into(), key: key.as_bytes().into() };
            let begun = look_ups.begun(&case, thread, (ticket(place), &look_up), now, now);
            begun.err().map(|violation| violation.invariant.name)
        };
        assert_eq!(begin(&mut look_ups, 0, 0, "nobody-1", 1), None);
        assert_eq!(begin(&mut look_ups, 1, 0, "nobody-1", 1), None, "another worker");
        look_ups.ended(1, ticket(0));
        assert_eq!(begin(&mut look_ups, 0, 1, "nobody-2", 1), None);
        look_ups.ended(0, ticket(1));
        assert_eq!(begin(&mut look_ups, 0, 2, "nobody-2", 2), None);
        assert_eq!(begin(&mut look_ups, 0, 3, "nobody-3", 2), Some("look-ups-bounded"));
        assert_eq!(begin(&mut look_ups, 0, 4, "nobody-1", timeout), Some("one-look-up"));
        assert_eq!(begin(&mut look_ups, 0, 5, "nobody-4", 3 * timeout), None, "all have timed out");
    }
}
