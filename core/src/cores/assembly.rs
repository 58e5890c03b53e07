//! Builds the cores of all threads of a server at once, and the rings between them.

use super::account::Account;
use super::{Between, Cores, Ends, Line, Running, SWEEP_BUDGET};
use crate::configuration::Configuration;
use crate::generation::Generation;
use crate::network::Network;
use crate::path::{NetworkId, Peer, WorkerId};
use crate::policy::{PolicyFactory, configured_rules};
use crate::queue::{BellId, Exchange, LinkId};
use crate::seed::Seed;
use crate::worker::Worker;
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
    let networks = configuration.network_cores() as u16;
    let workers = configuration.worker_cores() as u16;
    let is_joined = configuration.runtime.network_threads == 0;
    let slots = configuration.runtime.ring_slots;
    let thread_of = |peer: Peer| match peer {
        Peer::Network(network) => BellId(network.0),
        Peer::Worker(worker) if is_joined => BellId(worker.0),
        Peer::Worker(worker) => BellId(networks + worker.0),
    };
    let threads = if is_joined { workers } else { networks + workers };
    let mut exchange = Exchange::new(threads);
    let mut links: Vec<Vec<Ends>> = (0..threads).map(|_| Vec::new()).collect();
    let all_networks = || (0..networks).map(|network| Peer::Network(NetworkId(network)));
    let all_workers = || (0..workers).map(|worker| Peer::Worker(WorkerId(worker)));
    let strays = all_networks()
        .flat_map(|one| all_networks().filter(move |other| one < *other).map(move |o| (one, o)));
    let requests = all_networks().flat_map(|network| all_workers().map(move |worker| (network, worker)));
    for (one, other) in strays.chain(requests) {
        if thread_of(one) != thread_of(other) {
            // Between network cores one more, in which each tells the other that it has died.
            let between_networks = matches!((one, other), (Peer::Network(_), Peer::Network(_)));
            let slots = slots + usize::from(between_networks);
            let (at_one, at_other) = exchange.link(thread_of(one), thread_of(other), slots);
            for (own, other, link) in [(one, other, at_one), (other, one, at_other)] {
                let links = &mut links[usize::from(thread_of(own).0)];
                assert!(
                    links.len() == link.0,
                    "links of a thread count up in the order in which they are made"
                );
                links.push(Ends { own, other, slots });
            }
        }
    }
    exchange
        .build()
        .into_iter()
        .zip(links)
        .zip(0..)
        .map(|((crossing, links), thread)| {
            let network = (thread < networks).then(|| {
                let own_worker = is_joined.then_some(WorkerId(thread));
                Network::new(NetworkId(thread), Arc::clone(configuration), own_worker, seed)
            });
            let worker = if is_joined { Some(thread) } else { thread.checked_sub(networks) };
            let worker = worker.map(|worker| {
                let worker = WorkerId(worker);
                Worker::new(
                    worker,
                    Arc::clone(configuration),
                    policies(worker, Generation::default(), configuration),
                    seed,
                )
            });
            let between = if is_joined { Between::new(slots) } else { Between::new(0) };
            let rings = links.iter().zip(0..).filter(|(ends, _)| matches!(ends.own, Peer::Worker(_)));
            let rings = rings.map(|(_, link)| Line::Ring(LinkId(link)));
            Cores {
                network,
                worker,
                crossing,
                lines: rings.chain(is_joined.then_some(Line::Own)).collect(),
                next_line: 0,
                accounts: links.iter().map(|_| Account::default()).collect(),
                links,
                running: Running::Queues,
                seed: seed.clone(),
                policies: Arc::clone(policies),
                between,
                sweep_budget: SWEEP_BUDGET.min(slots / 2).max(1),
            }
        })
        .collect()
}
