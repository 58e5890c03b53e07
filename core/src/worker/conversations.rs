//! How long a change of workers waits for the conversations that a worker's policy keeps from before it. Knows none of them:
//! the policy is asked, each second.

use crate::counters::WorkerCounters;
use crate::policy::Policy;
use crate::time::{Instant, UnixTime};
use core::time::Duration;

/// How long a change of workers waits for conversations that policies keep, at most. What goes on in them after that is decided
/// as if it were new.
pub const CONVERSATIONS_WAIT_MAX: Duration = Duration::from_secs(120);
/// How often a policy is asked whether it keeps any.
const LOOK: Duration = Duration::from_secs(1);

/// Whether any are waited for.
#[derive(Default)]
pub struct Conversations(Option<Wait>);

#[derive(Clone, Copy)]
struct Wait {
    /// When the policy is asked again.
    look_at: Instant,
    /// How long at most.
    until: Instant,
}

impl Conversations {
    /// Workers have come or gone: those that the policy has now are waited for.
    pub fn mark(&mut self, policy: &mut dyn Policy, time: UnixTime, counters: &WorkerCounters, now: Instant) {
        policy.mark_conversations();
        self.0 = Wait::on(policy, time, now + CONVERSATIONS_WAIT_MAX, counters, now);
    }

    /// Asks again if that is due.
    pub fn handle_timeout(
        &mut self,
        policy: &dyn Policy,
        time: UnixTime,
        counters: &WorkerCounters,
        now: Instant,
    ) {
        if let Some(Wait { look_at, until }) = self.0
            && look_at <= now
        {
            self.0 = Wait::on(policy, time, until, counters, now);
        }
    }

    /// When it asks again.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.0.map(|wait| wait.look_at)
    }

    /// Whether none is waited for.
    pub fn are_over(&self) -> bool {
        self.0.is_none()
    }
}

impl Wait {
    /// As long as the policy keeps any, and this time has not come.
    fn on(
        policy: &dyn Policy,
        time: UnixTime,
        until: Instant,
        counters: &WorkerCounters,
        now: Instant,
    ) -> Option<Wait> {
        if !policy.keeps_marked_conversations(time) {
            return None;
        }
        if until <= now {
            counters.conversations_cut.up();
            return None;
        }
        Some(Wait { look_at: until.min(now + LOOK), until })
    }
}
