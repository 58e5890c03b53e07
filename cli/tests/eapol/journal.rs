//! What a server wrote down, and what follows from it. A round at the wrong server shows itself in three ways that know
//! nothing of each other: its State is none that this server gave, its conversation did not begin here, and FreeRADIUS
//! itself complains.

use std::collections::BTreeSet;

/// What one server has seen.
#[derive(Debug, Default)]
pub struct Journal {
    /// Calling-Station-Id of each conversation that began here, in order; again if it began again.
    pub begun: Vec<String>,
    /// Rounds in all.
    pub rounds: usize,
    /// Whose Access-Accept it gave, in order.
    pub accepted: Vec<String>,
    /// To whom it gave an Access-Reject, and why.
    pub rejected: Vec<(String, String)>,
    /// Rounds with a State that was never given here.
    pub unknown_states: usize,
    /// Rounds behind the first that had no State.
    pub without_state: usize,
    /// Rounds behind the first of conversations that are not under way here.
    pub not_begun_here: Vec<String>,
    /// How often FreeRADIUS says that it knows no EAP session of that State.
    pub complaints: usize,
    /// Every User-Name that it has seen, as it prints it.
    pub names: BTreeSet<String>,
}

/// How FreeRADIUS begins to say that it does not know a State.
const COMPLAINT: &str = "No EAP session matching state";

impl Journal {
    /// `text` is a line for each round and each answer, `said` all else that it prints.
    pub fn read(text: &str, said: &str) -> Journal {
        let mut journal = Journal { complaints: said.matches(COMPLAINT).count(), ..Journal::default() };
        let mut given = BTreeSet::new();
        let mut under_way = BTreeSet::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.splitn(6, '|').collect();
            // The last line may still be in writing.
            let &[kind, station, state, eap, name, why] = &fields[..] else { continue };
            match kind {
                // Status-Server is no round.
                "round" if eap.is_empty() => {}
                "round" => {
                    journal.rounds += 1;
                    journal.names.insert(name.into());
                    if is_identity(eap) && state.is_empty() {
                        journal.begun.push(station.into());
                        under_way.insert(station);
                        continue;
                    }
                    if state.is_empty() {
                        journal.without_state += 1;
                    } else if !given.contains(state) {
                        journal.unknown_states += 1;
                    }
                    if !under_way.contains(station) {
                        journal.not_begun_here.push(station.into());
                    }
                }
                "Access-Challenge" => {
                    given.insert(state);
                }
                "Access-Accept" if !station.is_empty() => {
                    under_way.remove(station);
                    journal.accepted.push(station.into());
                }
                "Access-Reject" if !station.is_empty() => {
                    under_way.remove(station);
                    journal.rejected.push((station.into(), why.into()));
                }
                // The answer to a Status-Server.
                _ => assert!(station.is_empty(), "{line}"),
            }
        }
        journal
    }

    /// Nothing came here that belonged elsewhere.
    pub fn assert_nothing_strange(&self) {
        let strange = (self.unknown_states, self.not_begun_here.len(), self.complaints);
        assert_eq!(strange, (0, 0, 0), "rounds at the wrong server: {self:#?}");
    }
}

/// Whether these are the first octets of an EAP-Response/Identity (RFC 3748 §5.1).
fn is_identity(eap: &str) -> bool {
    let octets = eap.trim_start_matches("0x");
    octets.get(..2) == Some("02") && octets.get(8..10) == Some("01")
}
