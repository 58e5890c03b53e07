//! Who works here: the threads of a server, and the workers that come and go while it runs.
//!
//! One owner: one change at a time. A change of workers is a few steps, each taken by all threads before the next is
//! ordered, in [`Change`]; what is under way goes on all the while.

use super::Cores;
use super::assembly::{self, Parts};
use crate::configuration::Configuration;
use crate::conversation::slot::SlotOwners;
use crate::counters::WorkerCounters;
use crate::generation::Generation;
use crate::life::Life;
use crate::path::{NetworkId, Peer, WorkerId};
use crate::policy::{Policy, PolicyFactory};
use crate::queue::message::Message;
use crate::queue::{BellId, Directory, LinkEnd, link};
use crate::seed::Seed;
use crate::worker::Worker;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What reaches a thread by its mailbox.
pub enum Letter {
    /// A link to a core that has come.
    Link(NewLink),
    /// This core of the thread is to panic, for a drill.
    Drill(Peer),
}

/// One end of a link, on its way to the core that it belongs to.
pub struct NewLink {
    pub(super) own: Peer,
    pub(super) other: Peer,
    /// Slots of the ring from here to there.
    pub(super) slots: usize,
    pub(super) end: LinkEnd<Message>,
}

/// What becomes of a server's workers. In this order, each step on all threads before the next:
///
/// 1. The threads of those that were hired begin; the bells are rung, for links are on their way.
/// 2. [`Cores::handle_owners`] with the new owners.
/// 3. Wait until [`Cores::has_settled`] of their epoch.
/// 4. [`Cores::handle_owners`] with the [settled](SlotOwners::settled) ones; [`Cores::dismiss`] of each that leaves.
/// 5. Wait until their [`Cores::is_gone`], and [`Staff::release`] them.
pub struct Change {
    /// The cores of new workers.
    pub hired: Vec<Cores>,
    /// Whose bells have to be rung.
    pub bells: Vec<BellId>,
    /// Who owns which slot from now on.
    pub owners: Arc<SlotOwners>,
    /// Who leaves.
    pub leaving: Vec<WorkerId>,
}

/// All threads of a server.
pub struct Staff {
    directory: Directory<Letter>,
    networks: Vec<BellId>,
    workers: BTreeMap<WorkerId, BellId>,
    /// Workers that have left: whoever has their number next counts on.
    former: BTreeMap<WorkerId, (Life, Arc<WorkerCounters>)>,
    owners: Arc<SlotOwners>,
    is_joined: bool,
    slots: usize,
    seed: Seed,
    policies: Arc<PolicyFactory>,
}

impl Staff {
    /// Builds the cores of every thread of a server, as [`assemble_with`](super::assemble_with) does, and what it takes to
    /// have more of them later.
    pub fn assemble(
        configuration: &Arc<Configuration>,
        seed: &Seed,
        policies: &Arc<PolicyFactory>,
    ) -> (Staff, Vec<Cores>) {
        let Parts { directory, owners, cores } = assembly::build(configuration, seed, policies);
        let is_joined = configuration.runtime.network_threads == 0;
        let networks = cores.iter().filter(|cores| cores.network().is_some()).map(Cores::bell).collect();
        let workers = cores.iter().filter_map(|cores| Some((cores.worker()?.id(), cores.bell()))).collect();
        let staff = Staff {
            directory,
            networks,
            workers,
            former: BTreeMap::new(),
            owners,
            is_joined,
            slots: configuration.runtime.ring_slots,
            seed: seed.clone(),
            policies: Arc::clone(policies),
        };
        (staff, cores)
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Who would be hired if there were to be so many.
    pub fn next_workers(&self, workers: usize) -> Vec<WorkerId> {
        let free = (0..).map(WorkerId).filter(|id| !self.workers.contains_key(id));
        free.take(workers.saturating_sub(self.workers.len())).collect()
    }

    /// There are to be so many workers, and all know this configuration alone. `None` if there are already, or if threads
    /// are joined: then it would take other sockets.
    ///
    /// # Panics
    /// If there is to be none. When the policy of a new worker cannot be made: then nothing has changed.
    pub fn change(
        &mut self,
        workers: usize,
        generation: Generation,
        configuration: &Arc<Configuration>,
    ) -> Option<Change> {
        assert!(workers > 0, "a server has a worker");
        if self.is_joined || workers == self.workers.len() {
            return None;
        }
        // First of all, as they are not ours and may panic.
        let make = |id| (id, (self.policies)(id, generation, configuration));
        let policies: Vec<_> = self.next_workers(workers).into_iter().map(make).collect();
        let leaving: Vec<_> = self.workers.keys().copied().skip(workers).collect();
        let mut bells = Vec::new();
        let mut hired = Vec::new();
        for (id, policy) in policies {
            hired.push(self.hire(id, policy, (generation, configuration), &mut bells));
        }
        let staying = self.workers.keys().copied().take(workers).collect();
        self.owners = Arc::new(self.owners.dealt_to(staying));
        Some(Change { hired, bells, owners: Arc::clone(&self.owners), leaving })
    }

    /// Slots forget who had them before the last change, which all have settled.
    pub fn settle(&mut self) -> Arc<SlotOwners> {
        self.owners = Arc::new(self.owners.settled());
        Arc::clone(&self.owners)
    }

    /// A worker has gone.
    ///
    /// # Panics
    /// If these are not the cores of one.
    pub fn release(&mut self, cores: Cores) {
        assert!(cores.is_gone(), "only a worker that has no links left can be released");
        let worker = cores.worker().expect("only workers go");
        let bell = self.workers.remove(&worker.id()).expect("it was here");
        self.former.insert(worker.id(), (worker.life(), Arc::clone(worker.counters())));
        self.directory.leave(bell);
    }

    /// Tells a core to panic, for a drill: whose bell has to be rung, if anybody's. Nothing if there is no such core.
    pub fn drill(&self, core: Peer) -> Option<BellId> {
        let bell = match core {
            Peer::Network(network) => self.networks.get(usize::from(network.0))?,
            Peer::Worker(worker) => self.workers.get(&worker)?,
        };
        self.directory.handle(*bell)?.post(Letter::Drill(core))
    }

    fn hire(
        &mut self,
        id: WorkerId,
        policy: Box<dyn Policy + Send>,
        configuration: (Generation, &Arc<Configuration>),
        bells: &mut Vec<BellId>,
    ) -> Cores {
        let former = self.former.remove(&id);
        let epoch = self.owners.epoch();
        let worker = Worker::hired(id, configuration, policy, &self.seed, epoch, former);
        let (handle, crossing) = self.directory.enter();
        self.workers.insert(id, handle.bell());
        let mut cores = assembly::cores(None, Some(worker), crossing, self.slots, &self.seed, &self.policies);
        for (network, bell) in (0..).zip(&self.networks) {
            let (own, other) = (Peer::Worker(id), Peer::Network(NetworkId(network)));
            let there = self.directory.handle(*bell).expect("network threads stay");
            let (here, there_end) = link(&handle, there, self.slots);
            let slots = self.slots;
            cores.attach(NewLink { own, other, slots, end: here });
            bells.extend(there.post(Letter::Link(NewLink { own: other, other: own, slots, end: there_end })));
        }
        cores
    }
}
