//! A change of workers, as the production server's main thread orders it and its threads take it.
//!
//! The thread of a worker has the worker's number behind those of the network threads, whoever had it before. Its bell is
//! whatever the directory has given it.

use super::thread::Thread;
use super::{HERE, ORDERED, Server};
use crate::phases::Hired;
use std::sync::Arc;
use ulna_core::conversation::slot::SlotOwners;
use ulna_core::cores::{Change, Cores};
use ulna_core::{Instant, WorkerId};

/// What all threads are to know.
pub(super) struct Orders {
    /// Who owns which slot.
    pub owners: Arc<SlotOwners>,
    leaving: Vec<WorkerId>,
    /// Whether all have settled, so that who leaves may go.
    has_settled: bool,
}

impl Server {
    pub(super) fn thread_rung_by(&self, bell: usize) -> usize {
        let has_it = |thread: &Thread| usize::from(thread.cores.bell().0) == bell;
        let rung = self.threads.iter().position(|thread| thread.as_ref().is_some_and(has_it));
        rung.expect("a thread that has gone said last that it was awake: nobody rings it")
    }

    pub(super) fn hire_and_dismiss(&mut self, workers: u16) -> Option<Hired> {
        let change = self.staff.change(usize::from(workers), self.generation, &self.running)?;
        let Change { hired, bells, owners, leaving } = change;
        let bells = bells.into_iter().map(|bell| self.thread_rung_by(usize::from(bell.0))).collect();
        let threads = hired.into_iter().map(|cores| self.seat(cores)).collect();
        self.order(Orders { owners, leaving, has_settled: false });
        Some(Hired { threads, bells })
    }

    pub(super) fn let_slots_forget(&mut self) {
        let owners = self.staff.settle();
        let leaving = self.orders().leaving.clone();
        self.order(Orders { owners, leaving, has_settled: true });
    }

    /// By the owners as a network core has them.
    pub(super) fn count_requests_of_others(&self) -> usize {
        let network = self.threads[0].as_ref().and_then(|thread| thread.cores.network());
        let slots = network.expect("network threads come first and stay").slots();
        self.threads.iter().flatten().map(|thread| thread.cores.requests_of_others(slots)).sum()
    }

    pub(super) fn end_thread(&mut self, thread: usize) {
        let Thread { cores, .. } = self.threads[thread].take().expect(HERE);
        // What its worker knew of deaths stays known.
        self.buffers_lost -= cores.inspect().buffers_settled;
        self.staff.release(cores);
    }

    fn seat(&mut self, cores: Cores) -> usize {
        let worker = cores.worker().expect("workers are hired").id();
        let place = self.networks + usize::from(worker.0);
        let thread = self.thread_of(cores);
        assert!(self.threads[place].replace(thread).is_none(), "a number is given to one worker at a time");
        place
    }

    fn order(&mut self, orders: Orders) {
        let orders = Arc::new(orders);
        for thread in self.threads.iter_mut().flatten() {
            thread.orders = Some(Arc::clone(&orders));
        }
    }

    fn orders(&self) -> &Orders {
        self.threads[0].as_ref().expect(HERE).orders.as_ref().expect(ORDERED)
    }
}

impl Thread {
    pub(super) fn obey(&mut self, now: Instant) {
        let orders = self.orders.as_ref().expect(ORDERED);
        self.cores.handle_owners(&orders.owners, now);
        if orders.has_settled {
            orders.leaving.iter().for_each(|worker| self.cores.dismiss(*worker));
        }
    }

    pub(super) fn is_of_one_who_leaves(&self) -> bool {
        let orders = self.orders.as_ref().expect(ORDERED);
        self.cores.worker().is_some_and(|worker| orders.leaving.contains(&worker.id()))
    }
}

#[cfg(test)]
mod tests {
    use crate::node::build;
    use crate::plan::Plan;
    use crate::run::run;
    use crate::swarm::Profile;
    use crate::trace::Kind;

    #[test]
    fn workers_come_settle_and_go_in_one_process_after_the_other() {
        let mut counts = [0; 4];
        for seed in 0..12 {
            for profile in [Profile::Threads, Profile::Everything] {
                let outcome = run(&Plan::drawn(seed, profile), None, build, usize::MAX);
                assert_eq!(outcome.violation, None, "{} {seed}", profile.name());
                let kinds = [Kind::Hires, Kind::Settles, Kind::Leaves];
                let has_changed =
                    kinds.map(|kind| outcome.tail.iter().filter(|event| event.kind == kind).count());
                counts.iter_mut().zip(has_changed).for_each(|(sum, count)| *sum += count);
                let crashes = outcome.tail.iter().filter(|event| event.kind == Kind::Crashes).count();
                counts[3] += usize::from(has_changed[0] > 0) * crashes;
            }
        }
        let [hires, settles, leaves, crashes] = counts;
        assert!(hires > 30 && settles > 100 && leaves > 30 && crashes > 5, "{counts:?}");
    }
}
