//! The production cores behind the simulator's door: the same `Network`, `Worker` and `Crossing` that the runtime
//! drives, assembled by the same function from a configuration in the same language.

mod thread;
mod workers;

use self::thread::{ChangedLines, Thread};
use self::workers::Orders;
use crate::operator::configuration;
use crate::phases::{Buffers, Died, Hired, Node, NodeThread, Snapshot};
use crate::plan::Plan;
use crate::site::Site;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use ulna_core::client::{Counted, SecretTable};
use ulna_core::cores::{Cores, Staff};
use ulna_core::counters::NetworkCounters;
use ulna_core::effect::{LookUp, LookedUp};
use ulna_core::generation::Generation;
use ulna_core::network::owner::Owners;
use ulna_core::policy::{
    AccountingVerdict, Asked, ConfiguredRules, Edit, Policy, PolicyFactory, ReplyKind, Verdict,
};
use ulna_core::{Configuration, Discard, ListenerId, Seed, WorkerId};

/// A server of the plan's topology and limits.
pub fn build(plan: &Plan) -> Box<dyn Node> {
    Box::new(Server::new(plan.clone(), &Site::first(plan), 0))
}

struct Server {
    /// By number; `None` where there is none now.
    threads: Vec<Option<Thread>>,
    staff: Staff,
    networks: usize,
    /// As its network cores have them.
    owners: Owners,
    plan: Plan,
    running: Arc<Configuration>,
    /// What look-ups are answered from.
    tables: Vec<Arc<SecretTable>>,
    generation: Generation,
    /// Workers of the first configuration since the process began.
    workers: u16,
    /// By worker.
    fuses: Arc<[Arc<AtomicU64>]>,
    /// What the deaths of cores so far did to the count of buffers: seen at the last one.
    buffers_lost: isize,
    network_deaths: u64,
}

/// The configuration's rules, and a fuse. A State is known where it names the worker.
struct Mortal {
    worker: WorkerId,
    rules: ConfiguredRules,
    fuse: Arc<AtomicU64>,
}

impl Mortal {
    fn burn(&self) {
        let left = self.fuse.load(Ordering::Relaxed);
        if left > 0 {
            self.fuse.store(left - 1, Ordering::Relaxed);
            if left == 1 {
                // A panic without the hook, which would write to standard error.
                resume_unwind(Box::new("a policy panics"));
            }
        }
    }
}

impl Policy for Mortal {
    fn decide<'p>(&'p mut self, asked: &Asked<'_>) -> Verdict<'p> {
        self.burn();
        self.rules.decide(asked)
    }

    fn edit_reply<'p>(&'p mut self, asked: &Asked<'_>, reply: ReplyKind) -> Option<&'p Edit> {
        self.burn();
        self.rules.edit_reply(asked, reply)
    }

    fn account<'p>(&'p mut self, asked: &Asked<'_>) -> Option<AccountingVerdict<'p>> {
        self.burn();
        self.rules.account(asked)
    }

    fn knows_state(&self, state: &[u8]) -> bool {
        state == self.worker.0.to_string().as_bytes()
    }

    fn handle_configuration(&mut self, generation: Generation, configuration: &Arc<Configuration>) {
        self.rules.handle_configuration(generation, configuration);
    }

    fn forget_older(&mut self) {
        self.rules.forget_older();
    }
}

impl Server {
    fn new(plan: Plan, site: &Site, life: u64) -> Server {
        let mut octets = [0; 32];
        octets[..8].copy_from_slice(&plan.seed.to_le_bytes());
        octets[8..16].copy_from_slice(&life.to_le_bytes());
        let seed = Seed::new(octets);
        let running = Arc::new(configuration(&plan, site, site.workers));
        let fuses: Arc<[Arc<AtomicU64>]> = (0..plan.workers_max()).map(|_| Arc::default()).collect();
        let policies: Arc<PolicyFactory> = {
            let fuses = Arc::clone(&fuses);
            Arc::new(move |worker, generation, configuration| {
                let rules = ConfiguredRules::from(generation, Arc::clone(configuration));
                Box::new(Mortal { worker, rules, fuse: Arc::clone(&fuses[usize::from(worker.0)]) })
            })
        };
        let (staff, cores) = Staff::assemble(&running, &seed, &policies);
        let networks = plan.topology.networks();
        let owners = Owners::new(networks as u16, &seed);
        let mut server = Server {
            threads: (0..plan.threads_max()).map(|_| None).collect(),
            staff,
            networks,
            owners,
            tables: running.secret_tables.clone(),
            running,
            generation: Generation::default(),
            workers: site.workers,
            fuses,
            buffers_lost: 0,
            network_deaths: 0,
            plan,
        };
        for (place, cores) in cores.into_iter().enumerate() {
            server.threads[place] = Some(server.thread_of(cores));
        }
        server
    }

    fn thread_of(&self, cores: Cores) -> Thread {
        let fuse = cores.worker().map(|worker| Arc::clone(&self.fuses[usize::from(worker.id().0)]));
        Thread {
            cores,
            turn_requests: self.plan.limits.turn_requests as usize,
            requests_before: 0,
            newest: None,
            changed: Arc::new([]),
            orders: None,
            fuse: fuse.unwrap_or_default(),
            died: false,
        }
    }
}

impl Node for Server {
    fn thread(&mut self, thread: usize) -> &mut dyn NodeThread {
        self.threads[thread].as_mut().expect(HERE)
    }

    fn is_here(&self, thread: usize) -> bool {
        self.threads[thread].is_some()
    }

    fn thread_of_bell(&self, bell: usize) -> usize {
        self.thread_rung_by(bell)
    }

    fn change_workers(&mut self, workers: u16) -> Option<Hired> {
        self.hire_and_dismiss(workers)
    }

    fn settle(&mut self) {
        self.let_slots_forget();
    }

    fn requests_of_others(&self) -> usize {
        self.count_requests_of_others()
    }

    fn release(&mut self, thread: usize) {
        self.end_thread(thread);
    }

    fn put_tables(&mut self, site: &Site) -> Option<bool> {
        let read = configuration(&self.plan, site, self.workers).secret_tables;
        let mut changed = Vec::new();
        for table in &read {
            let before = self.tables.iter_mut().find(|before| before.source == table.source);
            let before = before.expect("rules stay, and with them their tables");
            let keys = table.changed_since(before);
            *before = Arc::clone(table);
            if !keys.is_empty() {
                changed.push((Arc::clone(&table.source), keys));
            }
        }
        let changed: Arc<[ChangedLines]> = changed.into();
        for thread in self.threads.iter_mut().flatten() {
            thread.changed = Arc::clone(&changed);
        }
        Some(!changed.is_empty())
    }

    fn look_up(&self, look_up: &LookUp) -> LookedUp {
        let table = self.tables.iter().find(|table| table.source == look_up.source);
        table.map_or(LookedUp::Failed, |table| table.look_up(&look_up.key))
    }

    fn discards(&self) -> u64 {
        let networks = self.threads.iter().flatten().filter_map(|thread| thread.cores.network());
        networks.flat_map(|network| &network.counters().discarded).map(|counter| counter.value()).sum()
    }

    fn strangers(&self) -> Option<u64> {
        let networks = self.threads.iter().flatten().filter_map(|thread| thread.cores.network());
        let of_one = |counters: &NetworkCounters| {
            let refused = [
                Discard::UnsignedStranger,
                Discard::StrangersTooFast,
                Discard::StrangersFull,
                Discard::NoBuffer,
            ];
            let refused = refused.into_iter().map(|reason| counters.discarded[reason as usize].value());
            counters.strangers_asked.value() + refused.sum::<u64>()
        };
        Some(networks.map(|network| of_one(network.counters())).sum())
    }

    /// By the program that tells the kernel whose a connection is; or, where the kernel takes none, by its own hash over the
    /// sockets of a port, which knows nothing of ours.
    fn steer(&self, listener: ListenerId, remote: SocketAddr) -> usize {
        if self.plan.topology.steered {
            return self.owner(remote);
        }
        let address: u128 = match remote {
            SocketAddr::V4(v4) => u128::from(v4.ip().to_bits()),
            SocketAddr::V6(v6) => v6.ip().to_bits(),
        };
        let words = [address as u64, (address >> 64) as u64, u64::from(remote.port()), u64::from(listener.0)];
        let hash = words.into_iter().fold(self.plan.seed, |hash, word| {
            let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^ (mixed >> 29)
        });
        (hash % self.networks as u64) as usize
    }

    fn owner(&self, remote: SocketAddr) -> usize {
        usize::from(self.owners.owner(remote).0)
    }

    fn restart(&mut self, site: &Site, life: u64) {
        *self = Server::new(self.plan.clone(), site, life);
    }

    fn prepare(&mut self, site: &Site, generation: u8) {
        // How many workers there are is changed apart from the configuration.
        let mut configuration = configuration(&self.plan, site, self.workers);
        let waits = configuration.follow(&self.running).expect("plans are small");
        assert!(waits.is_empty(), "reloads of plans change nothing that waits for a restart: {waits:?}");
        self.running = Arc::new(configuration);
        self.generation = Generation(generation);
        for thread in self.threads.iter_mut().flatten() {
            thread.newest = Some((self.generation, Arc::clone(&self.running)));
        }
    }

    fn core_died(&mut self) -> Died {
        let snapshot = self.snapshot();
        let died = if snapshot.deaths > self.network_deaths { Died::Network } else { Died::Worker };
        self.network_deaths = snapshot.deaths;
        let buffers = snapshot.buffers.expect("this server counts them");
        let found = buffers.free + buffers.in_rings + buffers.owned;
        // What it took with it is seen now; from here on each buffer has to be accounted for again.
        self.buffers_lost += buffers.allocated as isize - found as isize;
        died
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut buffers = Buffers::default();
        let mut settled = 0;
        for Thread { cores, .. } in self.threads.iter().flatten() {
            let inside = cores.inspect();
            buffers.allocated += inside.buffers_made as u64;
            buffers.free += inside.buffers_free as u64;
            buffers.in_rings += inside.buffers_in_rings as u64;
            buffers.owned += inside.buffers_owned as u64;
            settled += inside.buffers_settled;
            if let Some(counters) = cores.worker().map(|worker| worker.counters()) {
                snapshot.held += counters.requests_held.value();
                snapshot.conversations += counters.conversations.value();
                snapshot.outstanding += counters.outstanding.value();
                snapshot.tasks += counters.tasks.value();
                snapshot.tasks_woken += counters.tasks_woken.value();
            }
            let Some(network) = cores.network() else { continue };
            let counters = network.counters();
            // A stray is received twice, by its reader and by its owner; one that is between them is in progress.
            snapshot.received += counters.received.value() - counters.strays_taken.value();
            snapshot.in_progress += counters.strays_sent.value() + counters.strangers.value();
            snapshot.in_progress += counters.in_progress.value() + counters.delayed_rejects.value();
            snapshot.answered += counters.answered.value() + counters.status_answered.value();
            snapshot.remembered += counters.dedup_entries.value();
            snapshot.unsent += counters.discarded[Discard::TransmitQueueFull as usize].value();
            snapshot.resent += counters.duplicates_resent.value();
            snapshot.in_progress_duplicates += counters.duplicates_in_progress.value();
            snapshot.superseded += counters.superseded.value();
            snapshot.orphaned += counters.orphaned.value();
            snapshot.deaths += counters.deaths.value();
            snapshot.control_connections += counters.control_connections.value();
            snapshot.control_marks += counters.control_marks.value();
            snapshot.notices_dropped += counters.notices_dropped.value();
            snapshot.forgotten += counters.replies_evicted.value()
                + counters.orphaned.value()
                + counters.discarded[Discard::DelayedRejectsFull as usize].value();
            snapshot.look_ups_refused += counters.discarded[Discard::LookUpLimit as usize].value();
            snapshot.unverified += counters.discarded[Discard::BadMessageAuthenticator as usize].value()
                + counters.discarded[Discard::BadRequestAuthenticator as usize].value();
            snapshot.discarded += counters.discarded.iter().map(|counter| counter.value()).sum::<u64>();
        }
        let rules = || self.running.client_rules.iter();
        snapshot.look_ups = rules().map(|rule| u64::from(rule.counts.value(Counted::Pending))).sum();
        let networks = self.threads.iter().flatten().filter_map(|thread| thread.cores.network());
        snapshot.in_progress -= networks.map(|network| network.counters().strays_taken.value()).sum::<u64>();
        buffers.allocated = buffers.allocated.saturating_add_signed((settled - self.buffers_lost) as i64);
        snapshot.buffers = Some(buffers);
        snapshot
    }
}

const HERE: &str = "only threads that are here are asked";
const ORDERED: &str = "a change of workers is under way";

#[cfg(test)]
mod tests;
