//! The end of the server's process, or of its machine, at any moment; and the process that begins after it, over the disk
//! that is left, with the configuration that its operator has written last. NASes and links go on.

use super::reloads::Reloads;
use super::{Event, World, effects};
use crate::checks::Violation;
use crate::draw::Class;
use crate::fault::disk::Crash;
use crate::goals::Goal;
use crate::trace::Kind;
use crate::turn::Phase;

impl World<'_> {
    /// Everything stops but what is around.
    ///
    /// # Errors
    /// What is broken where the next process begins.
    pub(super) fn crash(&mut self, crash: Crash, boot: u64) -> Result<(), Violation> {
        let site = self.reloads.newest();
        let life = self.life + 1;
        self.life = life;
        self.trace.add(self.now, 0, Kind::Crashes, [crash as u64, boot], &[]);
        self.goals.reach_times(Goal::LookUpLimit, self.node.snapshot().look_ups_refused);
        self.lose_readers();
        self.node.restart(&self.sites[site], life);
        self.reloads = Reloads::new(self.first_threads, site);
        self.sockets.lose_all();
        self.proxy.forget_process(0, self.now);
        self.asked[..self.first_threads].iter_mut().for_each(effects::Asked::forget_answers);
        self.ledger.forget_process();
        self.connections.forget_process();
        self.look_ups.forget_process();
        self.handed = 0;
        self.network_died_at = None;
        let time = self.clock.shows(self.now);
        self.records.store.crash(crash, time, self.draws.at(Class::Disk, 3, life));
        self.records.forget_process();
        for thread in 0..self.first_threads {
            self.proxy.sockets.lose(thread);
            let turn = &mut self.threads[thread];
            // Bells that were rung for the old process may still be heard. Of all threads that are here and not asleep the
            // next phase is scheduled, and is the first of the new one; or it was the last.
            let is_scheduled = turn.is_here() && !turn.is_asleep();
            turn.begin_life(self.now);
            if !self.node.is_here(thread) {
                turn.phase = Phase::Away;
                turn.stale_phases += u32::from(is_scheduled);
            } else if !is_scheduled {
                self.schedule.add(self.now + boot, thread, Event::Phase(thread));
            }
        }
        if self.plan.topology.answers_accounting {
            self.store()?;
        }
        Ok(())
    }
}
