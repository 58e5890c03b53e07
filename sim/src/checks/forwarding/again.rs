//! What is sent again: by the NAS while its request waits for a remote server, and then to that. RFC 2865 §2.3, RFC 5080 §2.2.1.

use super::home::may_be_repicked;
use super::{AGAIN_GOES_ON, ANSWER_GOES_BACK, Asked, Forwarding, Passing, Waits};
use crate::actor::visit::Token;
use crate::checks::Violation;
use std::net::SocketAddr;

impl Forwarding {
    /// A copy of a request was read.
    pub(super) fn note_again(&mut self, token: Token, now: u64) {
        let asked = self.asked.get_mut(&token).expect("who calls has seen it");
        if let Some(waits) = &mut asked.waits
            && waits.again_at.is_none()
        {
            waits.again_at = Some(now);
            self.due_again.push_back((now, token));
        }
    }

    /// A request has gone on, as a new one or again: what is wrong with that.
    pub(super) fn note_sent(
        &mut self,
        passing: Passing<'_>,
        token: Token,
        (server, key): (usize, (u64, u8)),
        is_new: bool,
    ) -> Option<String> {
        let before = self.asked[&token].waits;
        let is_alive_since = before.and_then(|waits| self.is_surely_alive(passing, waits.server));
        let is_one = self.is_one_request(passing, token);
        let asked = self.asked.get_mut(&token).expect("who calls has seen it");
        if asked.is_displaced {
            // It may go on all the same, where there was no room to tell of that; and is new when it comes again.
            asked.waits = None;
            return None;
        }
        if let (Some(waits), false) = (&mut asked.waits, is_new) {
            waits.again_at = None;
            return None;
        }
        asked.waits = Some(Waits { server, key, since: passing.now, again_at: None });
        let before = before?;
        let is_alive = is_alive_since.is_some_and(|since| since < before.since);
        let excuse = !is_one || !is_alive || self.is_forgotten(token);
        (!excuse).then(|| format!("it has been waiting since {} ns", before.since))
    }

    /// A request was read under an Identifier of a connection: one that had it before waits no longer.
    pub(super) fn displace(&mut self, token: Token, connection: SocketAddr, identifier: u8) {
        let before = self.newest.insert((connection, identifier), token).filter(|before| *before != token);
        if let Some(displaced) = before.and_then(|before| self.asked.get_mut(&before)) {
            displaced.end();
            displaced.is_displaced = true;
        }
    }

    /// Whether all that has come is one request, which is not as old as it may get.
    fn is_one_request(&self, passing: Passing<'_>, token: Token) -> bool {
        let asked = &self.asked[&token];
        let until = asked.first_read_at + passing.request_timeout();
        (asked.came_as.len() == 1 || self.is_known_everywhere(passing, token)) && passing.now + SECOND < until
    }

    /// Whether a round of a conversation is the same by whichever connection of its client it comes.
    fn is_known_everywhere(&self, passing: Passing<'_>, token: Token) -> bool {
        let asked = &self.asked[&token];
        let first = asked.came_as.first().map(|(_, authenticator)| authenticator);
        let is_as_it_should_be = |round: u64| {
            let Asked { state_is_lost, came_after_answer, is_answered_at_home, .. } =
                self.asked[&Token { round, ..token }];
            // What comes again behind its answer may take the place of the round that is under way.
            !state_is_lost && !came_after_answer && is_answered_at_home
        };
        let (Some(challenge), Some(before)) = (asked.challenge, token.round.checked_sub(1)) else {
            return false;
        };
        let before = &self.asked[&Token { round: before, ..token }];
        // Whoever began it knows of it still.
        self.memory_lost_at.is_none_or(|at| at < before.at)
            && !asked.state_is_lost
            && !asked.servers.iter().any(|server| may_be_repicked(passing.proxy(), *server))
            && asked.came_as.iter().all(|(_, authenticator)| Some(authenticator) == first)
            && (0..token.round).all(is_as_it_should_be)
            && !self.ended_before(token)
            && !self.is_ambiguous(passing.proxy(), token, challenge.server)
    }

    /// Whether a remote server has ended its visit before it was read.
    fn ended_before(&self, token: Token) -> bool {
        self.ended.contains(&(token.nas, token.visit)) && !self.asked[&token].is_answered_at_home
    }

    /// Whether a request that was answered is surely remembered, with its answer.
    pub(super) fn is_remembered(&self, passing: Passing<'_>, token: Token) -> bool {
        let asked = &self.asked[&token];
        let lifetime = passing.plan.limits.dedup_lifetime_ms * 1_000_000;
        let is_recent = asked.answered_at.is_some_and(|at| passing.now + passing.turn_max < at + lifetime);
        let has_gone_on = self.asked.contains_key(&Token { round: token.round + 1, ..token });
        let is_one = asked.came_as.len() == 1
            || asked.is_answered_at_home && !has_gone_on && self.is_known_everywhere(passing, token);
        is_recent && is_one && !asked.is_displaced && !self.is_forgotten(token)
    }

    fn is_forgotten(&self, token: Token) -> bool {
        let Asked { first_read_at, .. } = self.asked[&token];
        self.memory_lost_at.max(self.core_died_at).is_some_and(|at| at >= first_read_at)
    }

    /// What was read again some time ago has gone on again by now, and what was answered has been.
    ///
    /// # Errors
    /// [`AGAIN_GOES_ON`], [`ANSWER_GOES_BACK`].
    pub fn look_at_debts(&mut self, passing: Passing<'_>) -> Result<(), Violation> {
        let slack = 6 * SECOND + 2 * passing.turn_max;
        let (plan, faulty_until) = (passing.plan, passing.plan.faulty_until());
        // Workers take their time while there are faults.
        let is_busy = |at: u64| plan.limits.request_us > 0 && at < faulty_until;
        while let Some((at, token)) =
            self.due_back.front().copied().filter(|(at, _)| at + slack <= passing.now)
        {
            self.due_back.pop_front();
            let is_owed = self.asked[&token].has_answer_since == Some(at);
            if is_owed && !is_busy(at) && self.asked[&token].came_as.len() == 1 && !self.is_forgotten(token) {
                return Err(
                    passing.violation(&ANSWER_GOES_BACK, format!("{token}: it was answered at {at} ns"))
                );
            }
        }
        while let Some((at, token)) =
            self.due_again.front().copied().filter(|(at, _)| at + slack <= passing.now)
        {
            self.due_again.pop_front();
            let Some(waits) = self.asked[&token].waits.filter(|waits| waits.again_at == Some(at)) else {
                continue;
            };
            let is_alive =
                self.is_surely_alive(passing, waits.server).is_some_and(|since| since < waits.since);
            if !is_busy(at) && is_alive && self.is_one_request(passing, token) && !self.is_forgotten(token) {
                let details = format!("{token}: it came again at {at} ns");
                return Err(passing.violation(&AGAIN_GOES_ON, details));
            }
        }
        Ok(())
    }
}

const SECOND: u64 = 1_000_000_000;
