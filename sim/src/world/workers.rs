//! What the world does when workers come and go: threads that begin and end, and what holds when all have settled. The steps
//! are those of a reload, and are ordered there.

use super::{Event, World};
use crate::checks::{Violation, channels};
use crate::draw::Class;
use crate::trace::{Kind, OPERATOR};
use crate::turn::Phase;

impl World<'_> {
    /// The number of workers becomes that of the newest configuration. Says whether anything has to be done for it.
    ///
    /// # Errors
    /// A bell was rung once too often.
    pub(super) fn hire(&mut self) -> Result<bool, Violation> {
        let workers = self.sites[self.reloads.newest_known()].workers;
        let Some(hired) = self.node.change_workers(workers) else { return Ok(false) };
        self.proxy.forget_conversations(self.now);
        self.control.note_worker_lost(self.now);
        for place in hired.threads {
            let turn = &mut self.threads[place];
            turn.begin_life(self.now);
            let after =
                self.draws.at(Class::ThreadStart, place as u64, turn.turns).magnitude(1_000..=5_000_000);
            self.trace.add(self.now, place as u32, Kind::Hires, [u64::from(workers), 0], &[]);
            self.reloads.begin_thread(place);
            self.schedule.add(self.now + after, place, Event::Phase(place));
        }
        for thread in hired.bells {
            self.ring(OPERATOR, thread)?;
        }
        self.check_rest()?;
        Ok(true)
    }

    /// All threads say that nothing is left from before the change.
    ///
    /// # Errors
    /// Something is.
    pub(super) fn settle(&mut self) -> Result<(), Violation> {
        channels::forgotten(self.node.requests_of_others(), self.now)?;
        self.node.settle();
        self.proxy.forget_conversations(self.now);
        Ok(())
    }

    /// The thread of a worker that has gone ends. Answers on their way to it find nobody.
    pub(super) fn end_thread(&mut self, place: usize) {
        self.node.release(place);
        self.control.note_worker_lost(self.now);
        self.proxy.sockets.lose(place);
        self.proxy.forget_conversations(self.now);
        self.proxy.laws[0].note_leave(self.now);
        self.threads[place].phase = Phase::Away;
        self.asked[place].forget_answers();
        self.look_ups.forget_thread(place);
    }
}
