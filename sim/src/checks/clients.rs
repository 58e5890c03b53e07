//! Who gets an answer, and who believes it, by who truly sent the request: the world knows that also where several NASes are
//! behind one address, or have had one port in turn. A server cannot know it, and is judged by it all the same.

use super::ledger::{Case, Record};
use super::{Violation, invariants};
use crate::plan::{Client, Standing};

invariants! {
    TRUE_SECRET = "true-secret", "No reply to a NAS's request verifies under a secret that is not that NAS's, behind one NAT and after port reuse too.";
    STRANGER_SILENCE = "stranger-silence", "Whoever knows no secret gets no reply, whatever he says to be and whoever else is behind his address.";
    REPLY_OF_ANOTHER = "reply-of-another", "No NAS believes a reply to another NAS's request.";
}

/// A reply leaves that verifies under this secret as one to this request.
///
/// # Errors
/// [`TRUE_SECRET`], [`STRANGER_SILENCE`].
pub fn signed(case: &Case<'_>, record: &Record, secret: &str, now: u64) -> Result<(), Violation> {
    // Of what was damaged on its way nobody is the sender.
    let Some(nas) = record.sender else { return Ok(()) };
    match case.plan.topology.nases[nas].standing {
        Standing::Known if case.is_secret_of(nas, secret) => Ok(()),
        Standing::Known => {
            let details = format!("NAS {nas}, Identifier {}", record.octets[1]);
            Err(Violation { invariant: &TRUE_SECRET, at: now, details })
        }
        Standing::WrongSecret | Standing::Unknown => {
            let details = format!("NAS {nas}, Identifier {}", record.octets[1]);
            Err(Violation { invariant: &STRANGER_SILENCE, at: now, details })
        }
    }
}

/// A NAS takes a reply for the answer to a request of its own; it was sent as one to a request of `requester`.
///
/// # Errors
/// [`REPLY_OF_ANOTHER`].
pub fn believed(nas: usize, requester: Option<usize>, now: u64) -> Result<(), Violation> {
    match requester {
        Some(other) if other != nas => {
            let details = format!("NAS {nas} believes what is for NAS {other}");
            Err(Violation { invariant: &REPLY_OF_ANOTHER, at: now, details })
        }
        Some(_) | None => Ok(()),
    }
}

impl Case<'_> {
    /// Whether a secret is this NAS's under any configuration, or one that it was told.
    fn is_secret_of(&self, nas: usize, secret: &str) -> bool {
        let topology = &self.plan.topology;
        let plan = &topology.nases[nas];
        let told = plan.rotations.iter().map(|(_, secret)| secret);
        // An unsigned request is answered under a secret that its NAS may never hear of.
        let seen = topology.seen(nas);
        let is_it = |client: &&Client| {
            let is_named = !client.is_ruled() || plan.nas_identifiers.contains(&client.name);
            client.contains(seen) && is_named
        };
        let clients = self.sites.iter().flat_map(|site| &site.clients).filter(is_it);
        told.chain([&plan.secret]).any(|own| own == secret)
            || clients.flat_map(|client| client.secrets()).any(|own| own == secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::ledger::{Handed, Ledger};
    use crate::clock::Clock;
    use crate::oracle::codec::{Writer, code};
    use crate::plan::Plan;
    use crate::site::Site;
    use crate::swarm::Profile;
    use std::net::SocketAddr;
    use ulna_core::{ListenerId, Path, SocketId, Via};

    /// What the law says when a reply under `secret` answers what this NAS has sent.
    fn law(plan: &Plan, nas: usize, secret: &str) -> Option<&'static str> {
        let (sites, clock) = (Site::all(plan), Clock::default());
        let case = Case { plan, sites: &sites, clock: &clock };
        let topology = &plan.topology;
        let path = Path {
            via: Via::Socket(SocketId(0)),
            listener: ListenerId(0),
            local: topology.listeners[0].address,
            remote: SocketAddr::new(topology.seen(nas), 40_000),
        };
        let octets = Writer::new(code::ACCESS_REQUEST, 3, [7; 16]).signed();
        let octets = octets.request(topology.nases[nas].secret.as_bytes());
        let mut ledger = Ledger::new(1);
        let handed = Handed {
            thread: 0,
            path: &path,
            sender: Some(nas),
            octets: &octets,
            stray: false,
            owner: 0,
            is_passed_on: false,
            asked: false,
            site: 0,
            also: None,
        };
        ledger.received(&case, &handed, 5);
        let record = ledger.record((path.remote, path.listener, 3), &[7; 16], 0).expect("it was handed in");
        signed(&case, record, secret, 9).err().map(|violation| violation.invariant.name)
    }

    #[test]
    fn a_reply_is_under_the_secret_of_who_truly_asked_or_there_is_none() {
        let attacks = |plan: &Plan| {
            let of_nat = plan.topology.nases.iter().filter(|nas| nas.nat.is_some());
            of_nat.filter(|nas| nas.standing == Standing::WrongSecret).count() > 0
        };
        let mut plan = (0..).map(|seed| Plan::drawn(seed, Profile::Nat)).find(attacks).expect("some has one");
        plan.reloads.clear();
        let nases = &plan.topology.nases;
        let place =
            |is_it: &dyn Fn(&crate::plan::NasPlan) -> bool| nases.iter().position(is_it).expect("one is");
        let known = place(&|nas| nas.nat.is_some() && nas.standing == Standing::Known);
        let attacker = place(&|nas| nas.nat.is_some() && nas.standing == Standing::WrongSecret);
        let secret = nases[known].secret.clone();
        assert_eq!(law(&plan, known, &secret), None);
        assert_eq!(law(&plan, known, "a neighbour's"), Some("true-secret"));
        assert_eq!(law(&plan, attacker, &secret), Some("stranger-silence"));
        assert_eq!(law(&plan, attacker, &nases[attacker].secret), Some("stranger-silence"));
    }

    #[test]
    fn nobody_believes_what_is_for_another() {
        assert_eq!(believed(3, Some(3), 1), Ok(()));
        assert_eq!(believed(3, None, 1), Ok(()), "somebody made it up, or it was damaged");
        let name = believed(3, Some(4), 1).map_err(|violation| violation.invariant.name);
        assert_eq!(name, Err("reply-of-another"));
    }
}
