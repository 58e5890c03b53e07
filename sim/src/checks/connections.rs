//! Who is known on a connection, and for how long: what a server may not ask a worker about again, and what it must.
//!
//! Only for clients of rules, and from outside: by who truly signed what came by a connection, and whether a worker was asked about
//! it. Reloads may end clients, and the death of a core or process makes it forget them; then nothing is claimed.

use super::ledger::{Case, Handed};
use super::{Violation, invariants};
use crate::oracle::codec::{Packet, code, kind};
use crate::oracle::judge::{Asked, verified_by};
use crate::plan::Client;
use crate::site::Site;
use std::collections::BTreeMap;
use std::net::SocketAddr;

invariants! {
    KNOWN_STAYS = "known-stays", "Whoever is known on a connection and is heard there within its idle time-out is not asked about again: a sibling's end, or its packets, touch no other.";
    ADMITTED_FIRST = "admitted-first", "Nobody is known on a connection but who was asked about there, within the idle time-out of the last packet that verified under his secret.";
    RECORDED_ADMITS_NOBODY = "recorded-admits-nobody", "A request that was decided before makes nobody known on another connection.";
    NOT_AS_UNVERIFIED = "not-as-unverified", "No packet that verifies is discarded as one that does not.";
}

/// What has come by all connections.
#[derive(Default)]
pub struct Connections {
    known: BTreeMap<(SocketAddr, SocketAddr, String), Known>,
    /// When requests were decided last, or Status-Servers answered.
    decided: BTreeMap<[u8; 16], u64>,
    /// When the last copy of each came that was not discarded at once.
    copied: BTreeMap<[u8; 16], u64>,
    /// When a core died last.
    died_at: Option<u64>,
    unverifiable: u64,
}

/// One client on one connection.
#[derive(Debug, Default)]
struct Known {
    /// When it was heard last, at the latest.
    latest: u64,
    /// When it was heard last, if it is certain that it is still known.
    certain: Option<u64>,
    /// Whether a packet that nobody had decided before has come from it here.
    fresh: bool,
    /// When a worker was asked about a packet of it here last. Whenever that is answered the connection is its, whoever was heard
    /// there meanwhile: were it otherwise, whoever has recorded a packet of theirs could keep it from coming.
    asked: Option<u64>,
}

/// A worker may be asked for so long, with all that may be in its way.
const ASKED_MAX: u64 = 120_000_000_000;
/// Two turns of a thread, where none is stopped.
const SLACK: u64 = 1_000_000;
/// A network core hears within so long what became of a request, even if it sleeps, where no thread is stopped.
const HEARD_AFTER: u64 = 2_000_000_000;

impl Connections {
    /// A datagram from where client rules decide was handed to the server, which has perhaps discarded it at once.
    ///
    /// # Errors
    /// The law that is broken where it was, or was not, asked about.
    pub fn handed<'a>(
        &mut self,
        case: &Case<'a>,
        handed: &Handed<'_>,
        is_discarded: bool,
        now: u64,
        turn_max: u64,
    ) -> Result<(), Violation> {
        if !case.only_tables_change() {
            return Ok(());
        }
        let topology = &case.plan.topology;
        if topology.client_rules.is_empty() {
            return Ok(());
        }
        let path = handed.path;
        let listener = topology.listeners[usize::from(path.listener.0)].kind;
        let asked = Asked { listener, source: path.remote.ip(), wall: 0, datagram: handed.octets };
        let verified = |site: &'a Site| verified_by(site, &asked).map(|place| &site.clients[place]);
        let verified: Vec<Option<&Client>> = case.sites.iter().map(verified).collect();
        // Under one site or the other it may be discarded as unverified.
        let fails = verified.iter().any(Option::is_none);
        let mut by = verified.into_iter().flatten();
        if fails {
            let is_signed = Packet::read(handed.octets).is_ok_and(|packet| {
                let signatures = packet.all(kind::MESSAGE_AUTHENTICATOR).count();
                packet.code() == code::ACCOUNTING_REQUEST || signatures > 0
            });
            self.unverifiable += u64::from(is_signed);
        }
        let Some(client) = by.next() else { return Ok(()) };
        let Some(rule) = topology.client_rules.iter().find(|rule| client.rule.as_ref() == Some(&rule.name))
        else {
            return Ok(());
        };
        let packet = Packet::read(handed.octets).expect("it verifies");
        let is_fresh = !self.decided.contains_key(&packet.authenticator());
        if !is_discarded {
            self.copied.insert(packet.authenticator(), now);
        }
        let idle = rule.idle_timeout_s * 1_000_000_000;
        let violation = |invariant| {
            let details = format!("{}, from {} to {}", client.name, path.remote, path.local);
            Err(Violation { invariant, at: now, details })
        };
        // Whoever else has been here may have it now.
        let (remote, local) = if rule.by_address {
            // By its address, in each network core.
            (SocketAddr::new(path.remote.ip(), handed.owner as u16), SocketAddr::from(([0; 4], 0)))
        } else {
            (path.remote, path.local)
        };
        let key = (remote, local, client.name.clone());
        let from = (remote, local, String::new());
        if handed.asked {
            self.known.entry(key.clone()).or_default().asked = Some(now);
            let here = self.known.range_mut(from.clone()..);
            let here = here.take_while(|(other, _)| (other.0, other.1) == (remote, local));
            here.filter(|(other, _)| **other != key).for_each(|(_, other)| other.certain = None);
        }
        let waits = case.plan.limits.request_timeout_ms * 1_000_000 + 4 * turn_max + 1_000 * SLACK;
        let here = self.known.range(from..).take_while(|(other, _)| (other.0, other.1) == (remote, local));
        let mut others = here.filter(|(other, _)| **other != key);
        let may_be_anothers = others.any(|(_, other)| other.asked.is_some_and(|at| now < at + waits));
        if fails || by.any(|other| other != client) {
            // Its line has changed, or will.
            return Ok(());
        }
        if !handed.asked && is_discarded {
            // Perhaps before anybody asked whose it is, perhaps after he was heard.
            if let Some(known) = self.known.get_mut(&key).filter(|known| known.latest > 0) {
                known.latest = known.latest.max(now);
            }
            return Ok(());
        }
        let known = self.known.entry(key).or_default();
        if !handed.asked {
            if known.latest == 0 || now > known.latest + idle + turn_max + SLACK {
                return violation(&ADMITTED_FIRST);
            }
            // What has been decided is noted in a table with room for as many requests as dedup has.
            if !known.fresh && is_roomy(case) {
                return violation(&RECORDED_ADMITS_NOBODY);
            }
            // Whatever was asked about before is decided, or on its way from thread to thread.
            known.latest = now + 4 * turn_max + 1_000 * SLACK;
            known.fresh = true;
            // An answer that says yes is believed longer than the world lasts.
            let is_certain = is_roomy(case) && rule.lifetime_s >= 3_600 && !may_be_anothers;
            known.certain = is_certain.then_some(now);
        } else {
            let certain = known.certain.filter(|_| !handed.is_passed_on);
            if certain.is_some_and(|at| now + turn_max + SLACK < at + idle) {
                return violation(&KNOWN_STAYS);
            }
            known.latest = now + ASKED_MAX;
            known.fresh |= is_fresh || handed.is_passed_on;
            known.certain = None;
        }
        Ok(())
    }

    /// Policy has decided this request, or it was a Status-Server that was answered.
    pub fn decided(&mut self, authenticator: [u8; 16], now: u64) {
        // What was under way when a core died starts anew with the copy that comes next, whoever has decided it by then.
        let is_kept = |at: u64| self.copied.get(&authenticator).is_some_and(|came| *came > at);
        if self.died_at.is_none_or(is_kept) {
            self.decided.insert(authenticator, now);
        }
    }

    /// The server has discarded so many as unverified.
    ///
    /// # Errors
    /// [`NOT_AS_UNVERIFIED`].
    pub fn count(&self, case: &Case<'_>, unverified: u64, now: u64) -> Result<(), Violation> {
        // Elsewhere nobody has counted.
        let counts = case.only_tables_change() && !case.plan.topology.client_rules.is_empty();
        if counts && unverified > self.unverifiable {
            let details = format!("{unverified} are, and {} do not verify", self.unverifiable);
            return Err(Violation { invariant: &NOT_AS_UNVERIFIED, at: now, details });
        }
        Ok(())
    }

    /// A core has died, and whatever it knew may be forgotten: also what was decided and not yet heard of, which starts anew.
    pub fn forget_core(&mut self, now: u64, turn_max: u64) {
        for known in self.known.values_mut() {
            known.certain = None;
            known.fresh = true;
        }
        self.decided.retain(|_, at| *at + HEARD_AFTER + 4 * turn_max < now);
        self.died_at = Some(now);
    }

    /// The process has ended, and its counts with it.
    pub fn forget_process(&mut self) {
        *self = Connections::default();
    }
}

impl Case<'_> {
    /// Whether all that reloads change, if there are any, is tables of secrets.
    fn only_tables_change(&self) -> bool {
        self.plan.reloads.iter().all(|reload| reload.tables)
    }
}

/// Whether nothing is shed before it is verified, nor forgotten before its time.
pub(super) fn is_roomy(case: &Case<'_>) -> bool {
    let limits = &case.plan.limits;
    limits.dedup_entries >= 8_192
        && limits.requests_max >= 16_384
        && limits.ring_slots >= 1_024
        && limits.buffers >= 2_048
        && limits.request_us == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::scene::{AUTHENTICATOR, Scene};

    const SECOND: u64 = 1_000_000_000;
    const TURN_MAX: u64 = 1_000;

    /// A copy comes from this port, and a worker is asked about it or not: the law that this breaks.
    fn comes(connections: &mut Connections, port: u16, asked: bool, now: u64) -> Option<&'static str> {
        let scene = Scene::new(false, "old");
        let path = scene.path(port);
        let handed = scene.handed(&path, asked, (0, None));
        let broken = connections.handed(&scene.case(), &handed, false, now, TURN_MAX);
        broken.err().map(|violation| violation.invariant.name)
    }

    /// What has come from one port at the first second.
    fn begun() -> Connections {
        let mut connections = Connections::default();
        assert_eq!(comes(&mut connections, 1_000, true, SECOND), None);
        connections
    }

    /// Whether its client may be known on the connection of another port, once it was asked about there.
    fn may_be_known(connections: &mut Connections, port: u16, now: u64) -> bool {
        assert_eq!(comes(connections, port, true, now), None);
        match comes(connections, port, false, now + 1) {
            None => true,
            Some("recorded-admits-nobody") => false,
            Some(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_request_that_was_decided_makes_nobody_known_elsewhere() {
        assert!(may_be_known(&mut begun(), 2_000, 2 * SECOND), "nobody has decided it");
        let mut connections = begun();
        connections.decided(AUTHENTICATOR, SECOND + 1);
        assert!(!may_be_known(&mut connections, 2_000, 2 * SECOND));
    }

    #[test]
    fn what_was_decided_just_before_a_core_died_starts_anew() {
        let mut connections = begun();
        connections.decided(AUTHENTICATOR, SECOND + 280);
        connections.forget_core(SECOND + 746, TURN_MAX);
        assert!(may_be_known(&mut connections, 2_000, 5 * SECOND));
        connections.decided(AUTHENTICATOR, 5 * SECOND + 2);
        assert!(!may_be_known(&mut connections, 3_000, 6 * SECOND), "it was decided anew");
    }

    #[test]
    fn what_was_under_way_when_a_core_died_starts_anew_whoever_has_decided_it_by_then() {
        let mut connections = begun();
        connections.forget_core(SECOND + 1, TURN_MAX);
        connections.decided(AUTHENTICATOR, SECOND + 2);
        assert!(may_be_known(&mut connections, 2_000, 2 * SECOND));
    }

    #[test]
    fn what_was_decided_long_before_a_core_died_stays_decided() {
        let mut connections = begun();
        connections.decided(AUTHENTICATOR, SECOND + 1);
        connections.forget_core(5 * SECOND, TURN_MAX);
        assert!(!may_be_known(&mut connections, 2_000, 6 * SECOND));
    }
}
