//! The production cores behind the simulator's door: the same `Network`, `Worker` and `Crossing` that the runtime
//! drives, assembled by the same function from a configuration in the same language.

mod workers;

use self::workers::Orders;
use crate::fault::thread::Panic;
use crate::operator::configuration;
use crate::phases::{Buffers, Decision, Died, GateCheck, Hired, Node, NodeThread, Snapshot};
use crate::plan::Plan;
use crate::site::Site;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use ulna_core::client::{Counted, SecretTable};
use ulna_core::cores::{Cores, Staff};
use ulna_core::counters::NetworkCounters;
use ulna_core::effect::{Effect, EffectDone, LookUp, LookedUp, Ticket};
use ulna_core::event::{Event, Outcome};
use ulna_core::forward::{RemoteOrder, RemoteSocket};
use ulna_core::generation::Generation;
use ulna_core::network::owner::Owners;
use ulna_core::path::Peer;
use ulna_core::policy::{
    AccountingVerdict, Asked, ConfiguredRules, Edit, Policy, PolicyFactory, ReplyKind, Verdict,
};
use ulna_core::time::UnixTime;
use ulna_core::{Configuration, Discard, Instant, ListenerId, Path, Seed, Transmit, WorkerId};

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

struct Thread {
    cores: Cores,
    /// How many requests it takes up in a turn, at most.
    turn_requests: usize,
    /// How many it had taken up when this one began.
    requests_before: u64,
    /// What a reload brings.
    newest: Option<(Generation, Arc<Configuration>)>,
    /// Lines of tables that have changed: by table, their keys.
    changed: Arc<[ChangedLines]>,
    /// What a change of workers does.
    orders: Option<Arc<Orders>>,
    /// After how many decisions its worker's policy panics; 0: it does not.
    fuse: Arc<AtomicU64>,
    died: bool,
}

/// A table's name and the keys of its lines.
type ChangedLines = (Arc<str>, Vec<Box<[u8]>>);

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
            snapshot.held += cores.worker().map_or(0, |worker| worker.counters().requests_held.value());
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

impl Thread {
    /// Does what policy may take part in.
    fn risk(&mut self, now: Instant, f: impl FnOnce(&mut Cores)) {
        if self.fuse.load(Ordering::Relaxed) == 0 {
            f(&mut self.cores);
        } else if catch_unwind(AssertUnwindSafe(|| f(&mut self.cores))).is_err() {
            self.recover(now);
        }
    }

    fn recover(&mut self, now: Instant) {
        self.fuse.store(0, Ordering::Relaxed);
        self.cores.recover(now).expect("a core was running");
        self.died = true;
    }

    /// How many requests its worker has taken up since it was built.
    fn taken_up(&self) -> u64 {
        self.cores.worker().map_or(0, |worker| worker.counters().requests.value())
    }
}

impl NodeThread for Thread {
    fn unpark(&mut self, _now: Instant) {
        self.cores.unpark();
    }

    fn begin_turn(&mut self, _now: Instant) {
        self.requests_before = self.taken_up();
        self.cores.begin();
    }

    fn handle_wall_time(&mut self, time: UnixTime) {
        self.cores.handle_wall_time(time);
    }

    fn sweep(&mut self, now: Instant) -> usize {
        usize::from(self.cores.sweep(now))
    }

    fn handle_datagram(&mut self, path: Path, octets: &[u8], now: Instant) {
        self.cores.handle_datagram(path, octets, now);
    }

    fn handle_timeouts(&mut self, now: Instant) {
        let requests = self.turn_requests;
        self.risk(now, |cores| {
            cores.handle_timeout(now);
            cores.work(requests, now);
        });
    }

    fn panic(&mut self, panic: Panic, now: Instant) -> bool {
        let network = self.cores.network().map(|network| Peer::Network(network.id()));
        let worker = self.cores.worker().map(|worker| Peer::Worker(worker.id()));
        let core = match panic {
            Panic::Network => network,
            Panic::Worker => worker,
            Panic::AtDecision(decision) => {
                self.fuse.store(decision, Ordering::Relaxed);
                None
            }
        };
        if let Some(core) = core {
            self.cores.die(core);
            self.recover(now);
        }
        std::mem::take(&mut self.died)
    }

    fn has_panicked(&mut self) -> bool {
        std::mem::take(&mut self.died)
    }

    fn poll_effect(&mut self) -> Option<(Ticket, Effect)> {
        self.cores.poll_effect()
    }

    fn poll_remote_order(&mut self) -> Option<RemoteOrder> {
        self.cores.poll_remote_order()
    }

    fn handle_remote_refused(&mut self, socket: RemoteSocket, now: Instant) {
        self.cores.handle_remote_refused(socket, now);
    }

    fn handle_remote_datagram(&mut self, socket: RemoteSocket, octets: &[u8], now: Instant) {
        self.risk(now, |cores| cores.handle_remote_datagram(socket, octets, now));
    }

    fn poll_forward(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        self.cores.poll_forward(out)
    }

    fn handle_effect_done(&mut self, ticket: Ticket, done: EffectDone, now: Instant) {
        self.risk(now, |cores| cores.handle_effect_done(ticket, done, now));
    }

    fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        self.cores.poll_transmit(out)
    }

    fn stage_messages(&mut self, now: Instant) {
        // A socket of a connection's own changes nothing that a network could tell.
        while self.cores.poll_socket().is_some() {}
        self.cores.finish(now);
    }

    fn publish(&mut self) {
        self.cores.publish();
    }

    fn check_gate(&mut self) -> GateCheck {
        self.cores.check_gate().map_or(GateCheck::Done, |bell| GateCheck::Ring(usize::from(bell.0)))
    }

    fn is_before_gate(&self) -> bool {
        self.cores.is_before_gate()
    }

    fn may_park(&self) -> bool {
        self.cores.may_park()
    }

    fn has_output(&self) -> bool {
        self.cores.has_output()
    }

    fn announce(&mut self) {
        self.cores.announce();
    }

    fn look_again(&mut self) -> bool {
        let found = self.cores.look_again();
        if found {
            self.cores.unpark();
        }
        found
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.cores.poll_timeout().map(|(due, _)| due)
    }

    fn earliest_deadline(&self) -> Option<Instant> {
        self.cores.inspect().earliest_deadline
    }

    fn urgent_visible(&self) -> bool {
        self.cores.inspect().must_not_sleep
    }

    fn requests(&self) -> usize {
        (self.taken_up() - self.requests_before) as usize
    }

    fn know_newest(&mut self) {
        let (generation, configuration) = self.newest.as_ref().expect("it was prepared");
        self.cores.handle_configuration(*generation, configuration);
    }

    fn put_in_force(&mut self) {
        let (generation, _) = self.newest.as_ref().expect("it was prepared");
        self.cores.put_in_force(*generation);
    }

    fn needs_older(&self) -> bool {
        self.cores.needs_older()
    }

    fn forget_older(&mut self) {
        self.cores.forget_older();
    }

    fn take_tables(&mut self) {
        for (source, keys) in self.changed.iter() {
            self.cores.handle_table_changed(source, keys);
        }
    }

    fn take_orders(&mut self) {
        self.obey();
    }

    fn has_settled(&self) -> bool {
        let epoch = self.orders.as_ref().expect(ORDERED).owners.epoch();
        self.cores.has_settled(epoch)
    }

    fn is_leaving(&self) -> bool {
        self.is_of_one_who_leaves()
    }

    fn is_gone(&self) -> bool {
        self.cores.is_gone()
    }

    fn drain_decisions(&mut self, sink: &mut Vec<Decision>) {
        while let Some(event) = self.cores.poll_event() {
            if let Event::Finished {
                remote,
                generation: Generation(generation),
                listener,
                identifier,
                request_authenticator: authenticator,
                outcome:
                    Outcome::Accept
                    | Outcome::Reject
                    | Outcome::Challenge
                    | Outcome::Recorded
                    | Outcome::Ack
                    | Outcome::Nak { .. },
                ..
            } = event
            {
                sink.push(Decision { remote, listener, identifier, authenticator, generation });
            }
        }
    }
}

const HERE: &str = "only threads that are here are asked";
const ORDERED: &str = "a change of workers is under way";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultClass;
    use crate::goals::{Goal, Goals};
    use crate::plan::Standing;
    use crate::run::{check_determinism, run};
    use crate::swarm::Profile;

    #[test]
    fn the_server_breaks_no_law() {
        for profile in Profile::ALL {
            for seed in 0..10 {
                let outcome = run(&Plan::drawn(seed, profile), None, build, 0);
                assert_eq!(outcome.violation, None, "{} {seed}", profile.name());
                assert!(outcome.transactions >= 50 && outcome.replies > 0, "{} {seed}", profile.name());
            }
        }
    }

    #[test]
    fn passwords_are_hashed_in_every_way_that_there_is() {
        let mut effects = 0;
        let mut struck = [0; FaultClass::COUNT];
        for seed in 0..20 {
            let outcome = run(&Plan::drawn(seed, Profile::Everything), None, build, 0);
            effects += outcome.effects;
            struck.iter_mut().zip(outcome.counts).for_each(|(sum, count)| *sum += count);
        }
        assert!(effects > 1_000, "{effects}");
        for class in [FaultClass::EffectSlow, FaultClass::EffectShed, FaultClass::EffectLost] {
            assert!(struck[class as usize] > 20, "{class:?} {}", struck[class as usize]);
        }
    }

    #[test]
    fn nats_do_all_that_they_are_there_for() {
        let mut struck = [0; FaultClass::COUNT];
        let mut goals = Goals::default();
        for seed in 0..30 {
            let outcome = run(&Plan::drawn(seed, Profile::Nat), None, build, 0);
            assert_eq!(outcome.violation, None, "{seed}");
            struck.iter_mut().zip(outcome.counts).for_each(|(sum, count)| *sum += count);
            goals.add(&outcome.goals);
        }
        for &class in FaultClass::ALL
            .iter()
            .filter(|class| Profile::Nat.has(**class) && !Profile::Everything.has(**class))
        {
            assert!(struck[class as usize] > 50, "{class:?} {}", struck[class as usize]);
        }
        let mut of_nats = Goal::ALL.iter().filter(|goal| Profile::Nat.reaches(**goal));
        assert!(of_nats.all(|&goal| goals.count(goal) > 20), "{goals:?}");
    }

    #[test]
    fn remote_servers_do_all_that_they_are_there_for() {
        let mut struck = [0; FaultClass::COUNT];
        let mut goals = Goals::default();
        for seed in 0..30 {
            let outcome = run(&Plan::drawn(seed, Profile::Proxy), None, build, 0);
            assert_eq!(outcome.violation, None, "{seed}");
            struck.iter_mut().zip(outcome.counts).for_each(|(sum, count)| *sum += count);
            goals.add(&outcome.goals);
        }
        for &class in FaultClass::ALL.iter().filter(|class| class.is_of_forwarding()) {
            assert!(struck[class as usize] > 10, "{class:?} {}", struck[class as usize]);
        }
        let mut reached = Goal::ALL.iter().filter(|goal| Profile::Proxy.reaches(**goal));
        assert!(reached.all(|&goal| goals.count(goal) > 10), "{goals:?}");
    }

    #[test]
    fn an_attacker_behind_a_nat_is_discarded_by_name_whatever_he_says_to_be() {
        let mut attackers = 0;
        for seed in 0..40 {
            let mut plan = Plan::drawn(seed, Profile::Nat);
            let nases = &mut plan.topology.nases;
            nases.retain(|nas| nas.standing == Standing::WrongSecret && nas.nat.is_some());
            attackers += nases.len();
            nases.iter_mut().for_each(|nas| nas.nas_identifiers.retain(|name| !name.starts_with("nobody")));
            (plan.faults, plan.reloads) = (Vec::new(), Vec::new());
            // What finds no room is not looked at, and no secret is asked for what nobody answers.
            plan.limits = Plan::drawn(3, Profile::Calm).limits;
            plan.topology.answers_accounting = true;
            let outcome = run(&plan, None, build, 0);
            assert_eq!((outcome.violation, outcome.replies), (None, 0), "{seed}");
            let Snapshot { received, discarded, unverified, .. } = outcome.counted;
            assert_eq!(received, discarded, "{seed}");
            // Where look-ups are needed, some are discarded as they wait for those: duplicates, and more than may.
            let waits = if plan.topology.client_rules.is_empty() { 0 } else { received / 4 };
            assert!(unverified + waits >= received, "{seed}: {unverified} of {received}");
            assert!(received > 0 || plan.topology.nases.is_empty(), "{seed}");
        }
        assert!(attackers > 5, "{attackers}");
    }

    #[test]
    fn the_same_plan_gives_the_same_digest() {
        for seed in 0..5 {
            let plan = Plan::drawn(seed, Profile::Everything);
            check_determinism(&plan, None, build).expect("the server is deterministic");
            for profile in [Profile::Nat, Profile::Proxy] {
                let plan = Plan::drawn(seed, profile);
                check_determinism(&plan, None, build).expect("the server is deterministic");
            }
        }
    }
}
