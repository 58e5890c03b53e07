//! Which remote server has a conversation, and who may not be able to tell. RFC 2865 §5.24, RFC 7542.

use super::{Forwarding, Heard, Passing, VISITS_END_WELL};
use crate::actor::visit::Token;
use crate::checks::Violation;
use crate::oracle::codec::{Packet, kind};
use crate::plan::proxy::{ProxyPlan, States};

impl Forwarding {
    /// The server that a request should have gone to, if it goes to another without excuse.
    pub(super) fn strayed_from(&self, passing: Passing<'_>, token: Token, server: usize) -> Option<usize> {
        let asked = &self.asked[&token];
        let challenge = asked.challenge?;
        let homes = &self.answers.get(&challenge)?.servers;
        let home = homes.first().copied().filter(|_| !homes.contains(&server))?;
        let before = &self.asked[&Token { round: token.round - 1, ..token }];
        let proxy = passing.proxy();
        let dedup_lifetime = passing.plan.limits.dedup_lifetime_ms * 1_000_000;
        // Who died, or came, since the request before was asked, cannot know.
        let is_forgotten = self.memory_lost_at.is_some_and(|at| at >= before.at);
        let may_be_repicked = may_be_repicked(proxy, home);
        // By another server under test it is another client's.
        let hosts: Vec<_> = before.came_as.iter().map(|(remote, _)| remote.ip()).collect();
        let is_anothers = asked.came_as.iter().any(|(remote, _)| !hosts.contains(&remote.ip()));
        let excused = is_forgotten
            || is_anothers
            || may_be_repicked
            // RFC 5080 §2.2.2: its answer is forgotten by now, and its State was used.
            || asked.answered_at.is_some_and(|at| passing.now + TURN_MAX >= at + dedup_lifetime)
            || self.ended.contains(&(token.nas, token.visit))
            // An earlier copy was rejected, as the server had died, and nobody has that answer: it is decided anew.
            || asked.copies > 1 && self.may_have_died(proxy, home, asked.at, passing.now)
            || asked.state_is_lost && !is_known_without_state(proxy, token.nas)
            || self.is_ambiguous(proxy, token, challenge.server);
        (!excused).then_some(home)
    }

    /// Whether a remote server may have counted as dead since then.
    fn may_have_died(&self, proxy: &ProxyPlan, server: usize, since: u64, now: u64) -> bool {
        let Heard { last_at, silence_ended_at } = self.heard.get(&server).copied().unwrap_or_default();
        let zombie_period = proxy.remote_servers[server].zombie_period_ms * 1_000_000;
        now >= last_at + zombie_period || silence_ended_at.is_some_and(|at| at >= since)
    }

    /// Whether two conversations that nothing tells apart may have this request's State.
    pub(super) fn is_ambiguous(&self, proxy: &ProxyPlan, token: Token, home: usize) -> bool {
        let name = |token: Token| {
            let asked = self.asked.get(&token)?;
            Packet::read(&asked.octets).expect("a NAS writes packets").all(kind::USER_NAME).next()
        };
        let request = Packet::read(&self.asked[&token].octets).expect("a NAS writes packets");
        let visits = request.all(kind::STATE).next().and_then(|state| self.visits_of_state.get(state));
        // Of other clients or other users it is another's. Whoever passes on what comes from several NASes is one client.
        let is_alike = |(nas, visit): &&(usize, usize)| {
            (*nas == token.nas || self.level > 0)
                && name(Token { nas: *nas, visit: *visit, round: 0 }) == name(token)
        };
        let visits = visits.map_or(0, |visits| visits.iter().filter(is_alike).count());
        let before = || (0..token.round).map(|round| &self.asked[&Token { round, ..token }]);
        // A round that had lost it may have begun a second conversation, which then was given the State of the first.
        let began_again = before().any(|asked| asked.state_is_lost);
        // As may one whose answer was forgotten before it was asked for again.
        let began_twice = before().any(|asked| asked.decided > 1);
        let may_be_equal = proxy.remote_servers[home].states != States::Random;
        if visits < 2 && !began_again && !(began_twice && may_be_equal) {
            return false;
        }
        began_twice || !is_known_without_state(proxy, token.nas)
    }

    /// A visit that had to end well, begun then, has not: whether that breaks a law.
    ///
    /// # Errors
    /// [`VISITS_END_WELL`].
    pub fn ended_badly(
        &self,
        passing: Passing<'_>,
        (nas, visit): (usize, usize),
        begun: u64,
        details: String,
    ) -> Result<(), Violation> {
        let proxy = passing.proxy();
        let is_forgotten = self.memory_lost_at.is_some_and(|at| at >= begun);
        let all_random = proxy.remote_servers.iter().all(|server| server.states == States::Random);
        let are_told_apart = !proxy.nases[nas].anonymous || is_known_without_state(proxy, nas);
        if is_forgotten || !all_random && !are_told_apart {
            return Ok(());
        }
        Err(passing.violation(&VISITS_END_WELL, format!("roaming NAS {nas}, visit {visit}: {details}")))
    }
}

/// A turn that was stopped may have answered by a time that lies so far behind.
const TURN_MAX: u64 = 4_000_000_000;

/// Whether the requests of a NAS say whose they are: many may have one User-Name.
fn is_known_without_state(proxy: &ProxyPlan, nas: usize) -> bool {
    proxy.nases[nas].calling_station_id
}

/// Whether a conversation may go to another server when this one has died.
pub(super) fn may_be_repicked(proxy: &ProxyPlan, server: usize) -> bool {
    proxy.pools.iter().any(|pool| pool.repick && pool.remote_servers.contains(&server))
}
