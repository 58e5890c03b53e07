//! How long a change of workers waits for the conversations that a worker, or its policy, keeps from before it. Knows none of
//! them: both are asked, each second.

use crate::counters::WorkerCounters;
use crate::time::Instant;
use core::time::Duration;

/// How long a change of workers waits for conversations, at most. What goes on in them after that is decided
/// as if it were new.
pub const CONVERSATIONS_WAIT_MAX: Duration = Duration::from_secs(120);
/// How often it is asked whether there are any.
const LOOK: Duration = Duration::from_secs(1);

/// Whether any are waited for.
#[derive(Default)]
pub struct Handover(Option<Wait>);

#[derive(Clone, Copy)]
struct Wait {
    /// When it is asked again.
    look_at: Instant,
    /// How long at most.
    until: Instant,
}

impl Handover {
    /// Workers have come or gone: those that there are now are waited for.
    pub fn begin(&mut self, keeps_any: bool, counters: &WorkerCounters, now: Instant) {
        self.0 = Wait::on(keeps_any, now + CONVERSATIONS_WAIT_MAX, counters, now);
    }

    /// Asks again if that is due.
    pub fn handle_timeout(
        &mut self,
        keeps_any: impl FnOnce() -> bool,
        counters: &WorkerCounters,
        now: Instant,
    ) {
        if let Some(Wait { look_at, until }) = self.0
            && look_at <= now
        {
            self.0 = Wait::on(keeps_any(), until, counters, now);
        }
    }

    /// When it asks again.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.0.map(|wait| wait.look_at)
    }

    /// Whether none is waited for.
    pub fn is_over(&self) -> bool {
        self.0.is_none()
    }
}

impl Wait {
    /// As long as there are any, and this time has not come.
    fn on(keeps_any: bool, until: Instant, counters: &WorkerCounters, now: Instant) -> Option<Wait> {
        if !keeps_any {
            return None;
        }
        if until <= now {
            counters.conversations_cut.up();
            return None;
        }
        Some(Wait { look_at: until.min(now + LOOK), until })
    }
}
