//! Builds the cores of all threads of a server at once, and the rings between them.

use super::links::Ways;
use super::staff::NewLink;
use super::{Between, Cores, Letter, Line, Running, SWEEP_BUDGET};
use crate::configuration::Configuration;
use crate::conversation::slot::SlotOwners;
use crate::generation::Generation;
use crate::network::{Network, STRAY_SLOTS_MIN};
use crate::path::{NetworkId, Peer, WorkerId};
use crate::policy::{PolicyFactory, configured_rules};
use crate::queue::message::Message;
use crate::queue::{BellId, Crossing, Directory, link};
use crate::seed::Seed;
use crate::worker::Worker;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Builds the cores of every thread of a server: first the network threads, then the workers; joined ones are both. The
/// rules of the configuration decide.
pub fn assemble(configuration: &Arc<Configuration>, seed: &Seed) -> Vec<Cores> {
    assemble_with(configuration, seed, &configured_rules())
}

/// The same with a policy for each worker that `policies` makes.
pub fn assemble_with(
    configuration: &Arc<Configuration>,
    seed: &Seed,
    policies: &Arc<PolicyFactory>,
) -> Vec<Cores> {
    build(configuration, seed, policies).cores
}

/// What a server is made of.
pub(super) struct Parts {
    pub directory: Directory<Letter>,
    pub owners: Arc<SlotOwners>,
    pub cores: Vec<Cores>,
}

pub(super) fn build(configuration: &Arc<Configuration>, seed: &Seed, policies: &Arc<PolicyFactory>) -> Parts {
    let networks = configuration.network_cores() as u16;
    let workers = configuration.worker_cores() as u16;
    let is_joined = configuration.runtime.network_threads == 0;
    let slots = configuration.runtime.ring_slots;
    let owners = Arc::new(SlotOwners::new((0..workers).map(WorkerId).collect()));
    let thread_of = |peer: Peer| match peer {
        Peer::Network(network) => BellId(network.0),
        Peer::Worker(worker) if is_joined => BellId(worker.0),
        Peer::Worker(worker) => BellId(networks + worker.0),
    };
    let threads = if is_joined { workers } else { networks + workers };
    let mut directory = Directory::new();
    let mut all: Vec<Cores> = (0..threads)
        .map(|thread| {
            let network = (thread < networks).then(|| {
                let own_worker = is_joined.then_some(WorkerId(thread));
                let (configuration, owners) = (Arc::clone(configuration), Arc::clone(&owners));
                Network::new(NetworkId(thread), configuration, owners, own_worker, seed)
            });
            let worker = if is_joined { Some(thread) } else { thread.checked_sub(networks) };
            let worker = worker.map(|worker| {
                let policy = policies(WorkerId(worker), Generation::default(), configuration);
                Worker::new(WorkerId(worker), Arc::clone(configuration), policy, seed)
            });
            let (_, crossing) = directory.enter();
            cores(network, worker, crossing, slots, seed, policies)
        })
        .collect();
    let all_networks = || (0..networks).map(|network| Peer::Network(NetworkId(network)));
    let all_workers = || (0..workers).map(|worker| Peer::Worker(WorkerId(worker)));
    let strays = all_networks()
        .flat_map(|one| all_networks().filter(move |other| one < *other).map(move |o| (one, o)));
    let requests = all_networks().flat_map(|network| all_workers().map(move |worker| (network, worker)));
    for (one, other) in strays.chain(requests) {
        if thread_of(one) == thread_of(other) {
            continue;
        }
        let between_networks = matches!((one, other), (Peer::Network(_), Peer::Network(_)));
        let slots = if between_networks { slots.max(STRAY_SLOTS_MIN) } else { slots };
        let [ones, others] =
            [one, other].map(|peer| directory.handle(thread_of(peer)).expect("all threads have entered"));
        let (ones_end, others_end) = link(ones, others, slots);
        for (own, other, end) in [(one, other, ones_end), (other, one, others_end)] {
            all[usize::from(thread_of(own).0)].attach(NewLink { own, other, slots, end });
        }
    }
    Parts { directory, owners, cores: all }
}

/// What one thread runs, without links so far.
pub(super) fn cores(
    network: Option<Network>,
    worker: Option<Worker>,
    crossing: Crossing<Message, Letter>,
    slots: usize,
    seed: &Seed,
    policies: &Arc<PolicyFactory>,
) -> Cores {
    let is_joined = network.is_some() && worker.is_some();
    Cores {
        network,
        worker,
        crossing,
        links: Vec::new(),
        ties: Vec::new(),
        ways: Ways::default(),
        between: Between::new(if is_joined { slots } else { 0 }),
        running: Running::Queues,
        seed: seed.clone(),
        policies: Arc::clone(policies),
        sweep_budget: SWEEP_BUDGET.min(slots / 2).max(1),
        lines: Vec::from_iter(is_joined.then_some(Line::Own)),
        next_line: 0,
        drills: VecDeque::new(),
    }
}
