//! What a server says of remote servers, against what it has read of them: dead or alive. RFC 5997 §4.

use super::{ALIVE_BY_ANSWERS, Forwarding, Passing, SERVERS_REJOIN, SUSPECTED_FOR_SILENCE};
use crate::checks::Violation;
use crate::goals::{Goal, Goals};
use crate::phases::Stands;
use crate::plan::proxy::RemoteServerPlan;
use std::collections::BTreeMap;
use ulna_core::forward::Standing;

/// What one server under test has said of remote servers.
#[derive(Default)]
pub(super) struct Standings {
    /// By remote server: what was said of it, and what came from it.
    known: BTreeMap<usize, Known>,
    /// When its process began.
    began: u64,
    /// When a worker died last that may have had something to say.
    died_at: Option<u64>,
    /// When a worker left last that may have looked after some.
    left_at: Option<u64>,
}

#[derive(Default)]
struct Known {
    /// What was said last; nothing: alive, or whoever had to say it has died.
    told: Option<Told>,
    /// The time of the turn that has read its last reply which no server could fail to take for one.
    heard: Option<u64>,
    /// When a reply was read last that may have been taken for one.
    verified_at: Option<u64>,
}

#[derive(Clone, Copy)]
struct Told {
    standing: Standing,
    /// When that was said.
    at: u64,
    /// Since when nothing was said but that it lives, if perhaps not well.
    lives_since: u64,
    /// Since when it counts as dead, or will if nothing comes.
    dead_since: u64,
    /// Replies since it was suspected.
    replies: u32,
}

impl Standings {
    /// A worker has died: what was said last need not hold.
    pub fn note_death(&mut self, now: u64) {
        self.forget();
        self.died_at = Some(now);
    }

    /// Another process begins, which knows nothing.
    pub fn begin(&mut self, now: u64) {
        self.forget();
        (self.began, self.died_at, self.left_at) = (now, None, None);
    }

    /// A worker has left.
    pub fn note_leave(&mut self, now: u64) {
        self.left_at = Some(now);
    }

    fn forget(&mut self) {
        self.known.values_mut().for_each(|known| known.told = None);
    }

    /// A reply was read that verifies. `is_sure`: its request waits, or is in quarantine.
    pub fn heard(&mut self, passing: Passing<'_>, server: usize, is_sure: bool) {
        let known = self.known.entry(server).or_default();
        known.verified_at = Some(passing.now);
        if is_sure {
            known.heard = known.heard.max(Some(passing.turn));
        }
        if let Some(told) = &mut known.told {
            told.replies += 1;
        }
    }

    /// Since when one lives of which nothing was said.
    fn lives_since(&self, plan: &RemoteServerPlan) -> u64 {
        // Who was suspected when a worker died is dead by then, and that is said.
        self.died_at.map_or(self.began, |died_at| died_at + plan.zombie_period_ms * 1_000_000)
    }

    /// Whether a new request must not go there; why.
    pub fn is_dead(&self, passing: Passing<'_>, server: usize) -> Option<String> {
        let told = self.known.get(&server)?.told?;
        let plan = &passing.proxy().remote_servers[server];
        let is_told_of = matches!(told.standing, Standing::Zombie | Standing::Dead);
        let is_dead = is_told_of
            // A turn that was under way then need not have known.
            && passing.turn > told.at
            && passing.turn >= told.dead_since + MICROSECOND
            && (plan.answers_status || passing.turn + MICROSECOND < told.dead_since + revive_interval(plan));
        is_dead.then(|| format!("it was {} at {} ns", told.standing.name(), told.at))
    }
}

impl Forwarding {
    /// A thread says how a remote server is to be treated from now on.
    ///
    /// # Errors
    /// The law that it breaks.
    pub fn stands(&mut self, passing: Passing<'_>, stands: &Stands) -> Result<(), Violation> {
        let &Stands { server, standing, turn } = stands;
        let plan = &passing.proxy().remote_servers[server];
        let known = self.standings.known.entry(server).or_default();
        let violation =
            |law, details: String| Err(passing.violation(law, format!("{}: {details}", plan.name)));
        let before = known.told;
        let is_just_heard = known.verified_at == Some(passing.now);
        let is_alive = match before {
            Some(told) => told.standing == Standing::Alive,
            None => self.standings.died_at.is_none(),
        };
        note(&mut self.goals, before.map(|told| told.standing), standing);
        match standing {
            Standing::Zombie => {
                let least = known.heard.map(|heard| heard + plan.response_window_ms * 1_000_000);
                if least.is_some_and(|least| turn + MICROSECOND < least) {
                    return violation(
                        &SUSPECTED_FOR_SILENCE,
                        format!("heard of at {:?} ns, suspected at {turn} ns", known.heard),
                    );
                }
            }
            Standing::Dead => {
                if is_alive {
                    return violation(&SUSPECTED_FOR_SILENCE, format!("dead at {turn} ns, never suspected"));
                }
                let is_early = before.is_some_and(|told| {
                    told.standing == Standing::Zombie && turn + MICROSECOND < told.dead_since
                });
                if is_early {
                    return violation(&SUSPECTED_FOR_SILENCE, format!("dead at {turn} ns, before its time"));
                }
            }
            Standing::Alive | Standing::HalfOpen => {
                // Who can be asked whether it lives is not tried.
                let is_tried = standing == Standing::HalfOpen;
                let is_wrong = is_tried && (plan.answers_status || is_alive);
                let is_due = before.is_some_and(|told| {
                    is_tried && turn + MICROSECOND >= told.dead_since + revive_interval(plan)
                });
                let was_dead = before.is_some_and(|told| turn >= told.dead_since + MICROSECOND);
                let are_too_few =
                    was_dead && plan.answers_status && before.is_some_and(|told| told.replies < 3);
                if is_wrong || before.is_some() && !is_due && (!is_just_heard || are_too_few) {
                    let replies = before.map_or(0, |told| told.replies);
                    return violation(
                        &ALIVE_BY_ANSWERS,
                        format!("{} at {turn} ns, {replies} verified replies since", standing.name()),
                    );
                }
            }
        }
        let dead_since = match (standing, before) {
            (Standing::Zombie, _) => turn + plan.zombie_period_ms * 1_000_000,
            (Standing::Dead, Some(told)) if told.standing == Standing::Zombie => told.dead_since,
            (Standing::Dead, Some(_)) => turn,
            // Whoever has said that it was suspected has died.
            (Standing::Dead, None) => 0,
            (Standing::HalfOpen | Standing::Alive, _) => u64::MAX / 2,
        };
        let lives_since = match (standing, before) {
            (Standing::Zombie, Some(told)) => told.lives_since,
            (Standing::Zombie, None) => self.standings.lives_since(plan),
            (Standing::Alive, _) => passing.now,
            (Standing::HalfOpen | Standing::Dead, _) => u64::MAX,
        };
        let known = self.standings.known.entry(server).or_default();
        known.told = Some(Told { standing, at: passing.now, lives_since, dead_since, replies: 0 });
        if let (Some(told), Some(before)) = (&mut known.told, before)
            && standing == Standing::Dead
        {
            told.replies = before.replies;
        }
        Ok(())
    }

    /// Since when a remote server surely counts as living, which it does while it is suspected; `None`: it need not.
    pub(super) fn is_surely_alive(&self, passing: Passing<'_>, server: usize) -> Option<u64> {
        let told = self.standings.known.get(&server).and_then(|known| known.told);
        let Some(Told { standing, lives_since, dead_since, .. }) = told else {
            return Some(self.standings.lives_since(&passing.proxy().remote_servers[server]));
        };
        match standing {
            Standing::Alive => Some(lives_since),
            Standing::Zombie => (passing.now + passing.turn_max < dead_since).then_some(lives_since),
            Standing::HalfOpen | Standing::Dead => None,
        }
    }

    /// What holds when everything is over.
    ///
    /// # Errors
    /// [`SERVERS_REJOIN`].
    pub fn close(&self, passing: Passing<'_>) -> Result<(), Violation> {
        let Standings { known, left_at, .. } = &self.standings;
        for (server, known) in known {
            let plan = &passing.proxy().remote_servers[*server];
            if let Some(Told { standing: standing @ (Standing::Zombie | Standing::Dead), at, .. }) =
                known.told
                && plan.answers_status
                // Whoever has said so looks after it until it lives, unless he has left since.
                && left_at.is_none_or(|left_at| left_at < at)
            {
                let details = format!("{} has been {} since {at} ns", plan.name, standing.name());
                return Err(passing.violation(&SERVERS_REJOIN, details));
            }
        }
        Ok(())
    }
}

fn note(goals: &mut Goals, before: Option<Standing>, after: Standing) {
    match (before, after) {
        (_, Standing::Dead) => goals.reach(Goal::ServerDied),
        (Some(Standing::Dead | Standing::HalfOpen), Standing::Alive) => goals.reach(Goal::ServerRejoined),
        (Some(Standing::Zombie), Standing::Alive) => goals.reach(Goal::SuspicionEnded),
        _ => {}
    }
}

fn revive_interval(plan: &RemoteServerPlan) -> u64 {
    plan.revive_interval_ms * 1_000_000
}

/// Servers count in these.
const MICROSECOND: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::swarm::Profile;
    use Standing::{Dead, HalfOpen, Zombie};

    const SECOND: u64 = 1_000_000_000;

    /// A plan whose first remote server is suspected for two seconds, and tried again after ten.
    fn plan(answers_status: bool) -> Plan {
        let mut plan = Plan::drawn(0, Profile::Proxy);
        let proxy = plan.topology.proxy.as_mut().expect("the profile forwards");
        let server = &mut proxy.remote_servers[0];
        server.answers_status = answers_status;
        (server.zombie_period_ms, server.revive_interval_ms) = (2_000, 10_000);
        plan
    }

    fn at(plan: &Plan, now: u64) -> Passing<'_> {
        Passing { plan, now, turn: now, turn_max: 0 }
    }

    /// The law that the last of these breaks, said at so many seconds.
    fn broken(laws: &mut Forwarding, plan: &Plan, said: &[(u64, Standing)]) -> Option<&'static str> {
        let mut last = None;
        for (at_s, standing) in said {
            assert_eq!(last, None, "before {standing:?}");
            let turn = at_s * SECOND;
            let told = laws.stands(at(plan, turn), &Stands { server: 0, standing: *standing, turn });
            last = told.err().map(|violation| violation.invariant.name);
        }
        last
    }

    #[test]
    fn one_that_was_not_suspected_does_not_die() {
        let (plan, mut laws) = (plan(true), Forwarding::new(0));
        assert_eq!(broken(&mut laws, &plan, &[(1, Dead)]), Some("suspected-for-silence"));
        assert_eq!(broken(&mut Forwarding::new(0), &plan, &[(1, Zombie), (3, Dead)]), None);
        let early = broken(&mut Forwarding::new(0), &plan, &[(1, Zombie), (2, Dead)]);
        assert_eq!(early, Some("suspected-for-silence"));
        // Unless whoever has said that it was suspected has died; the next process has nobody's word.
        laws.forget_standings(2 * SECOND);
        assert_eq!(broken(&mut laws, &plan, &[(3, Dead)]), None);
        laws.forget_process(true, 4 * SECOND);
        assert_eq!(broken(&mut laws, &plan, &[(5, Dead)]), Some("suspected-for-silence"));
    }

    #[test]
    fn only_one_that_cannot_be_asked_is_tried_again_after_its_time() {
        let said = [(1, Zombie), (3, Dead), (13, HalfOpen)];
        assert_eq!(broken(&mut Forwarding::new(0), &plan(false), &said), None);
        assert_eq!(broken(&mut Forwarding::new(0), &plan(true), &said), Some("alive-by-answers"));
        let early = [(1, Zombie), (3, Dead), (12, HalfOpen)];
        assert_eq!(broken(&mut Forwarding::new(0), &plan(false), &early), Some("alive-by-answers"));
        assert_eq!(broken(&mut Forwarding::new(0), &plan(false), &[(1, HalfOpen)]), Some("alive-by-answers"));
    }

    #[test]
    fn one_that_is_suspected_lives_until_its_time() {
        let (plan, mut laws) = (plan(true), Forwarding::new(0));
        assert_eq!(laws.is_surely_alive(at(&plan, SECOND), 0), Some(0));
        assert_eq!(broken(&mut laws, &plan, &[(1, Zombie)]), None);
        assert_eq!(laws.is_surely_alive(at(&plan, 3 * SECOND - 1), 0), Some(0));
        assert_eq!(laws.is_surely_alive(at(&plan, 3 * SECOND), 0), None);
        assert_eq!(broken(&mut laws, &plan, &[(3, Dead)]), None);
        assert_eq!(laws.is_surely_alive(at(&plan, 3 * SECOND), 0), None);
        // Nobody's word is known: who was suspected when the worker died, and is not said to be dead by then, lives.
        laws.forget_standings(4 * SECOND);
        assert_eq!(laws.is_surely_alive(at(&plan, 5 * SECOND), 0), Some(6 * SECOND));
    }

    #[test]
    fn whoever_has_said_that_one_is_dead_looks_after_it_until_he_dies_or_leaves() {
        let (plan, mut laws) = (plan(true), Forwarding::new(0));
        let law =
            |laws: &Forwarding| laws.close(at(&plan, 9 * SECOND)).err().map(|broken| broken.invariant.name);
        laws.forget_standings(SECOND);
        laws.note_leave(2 * SECOND);
        assert_eq!(broken(&mut laws, &plan, &[(3, Zombie), (5, Dead)]), None);
        assert_eq!(law(&laws), Some("servers-rejoin"));
        // Conversations are others', too.
        laws.forget_conversations(6 * SECOND);
        assert_eq!(law(&laws), Some("servers-rejoin"));
        laws.note_leave(6 * SECOND);
        assert_eq!(law(&laws), None);
    }
}
