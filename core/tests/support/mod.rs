//! A whole server without sockets, threads or clocks, for tests of situations: its threads' cores, assembled as in
//! production, are played phase by phase, and time moves only by hand.
//!
//! [`Server::turn`] is one turn of the runtime's loop. Tests that need a thread stopped in the middle of it call the
//! phases one by one on [`Server::threads`].
#![allow(dead_code, reason = "each situation uses its own part of this")]

pub mod mschap;
mod packets;

#[allow(unused_imports, reason = "as above")]
pub use packets::{Ask, OTHER_SECRET, Reply, SECRET, secret};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use ulna_core::configuration::Cores as MachineCores;
use ulna_core::cores::{Change, Cores, Staff};
use ulna_core::discard::Discard;
use ulna_core::effect::{Effect, EffectDone, LookedUp, NotStored, RecordBatch, Ticket};
use ulna_core::event::Event;
use ulna_core::forward::{RemoteOrder, RemoteSocket};
use ulna_core::generation::Generation;
use ulna_core::network::connected::SocketOrder;
use ulna_core::network::owner::Owners;
use ulna_core::path::Peer;
use ulna_core::policy::{ConfiguredRules, Policy, PolicyFactory};
use ulna_core::reload::Waits;
use ulna_core::stream::End;
use ulna_core::time::UnixTime;
use ulna_core::{
    Configuration, Instant, ListenerId, Path, Seed, SocketId, StreamId, Transmit, Via, WorkerId,
};

/// Time enough for a turn.
pub const TICK: Duration = Duration::from_micros(10);

/// Rules with, beside `bob`, `alice`, of whom a digest is known. What it is a digest of the situation says when it answers.
pub const HASHED: &str = r#"
[[server.new]]
authenticate = "users"
[[user]]
name = "alice"
password = { argon2 = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$IMit9qkFULCMA/ViizL57cnTLOa5DiVM9eMwpAvPwr4" }
reply = { Session-Timeout = 60 }
"#;

/// Rules, users and clients of most situations. `SERVER` and `RUNTIME` are the part that differs.
const COMMON: &str = r#"
[[listen]]
name = "authentication"
transport = "udp"
address = "192.0.2.1:1812"
packets = ["access", "status"]
server = "edge"

[[listen]]
name = "accounting"
transport = "udp"
address = "192.0.2.1:1813"
packets = ["accounting", "status"]
server = "edge"

[[client]]
name = "branch"
network = ["198.51.100.0/24", "2001:db8:1::/48"]
secret = "a secret of the branch"

[[client]]
name = "strict"
network = "203.0.113.0/24"
secret = "a secret of the branch"
require_message_authenticator = true

[[user]]
name = "bob"
password = "hello"
reply = { Session-Timeout = 3600 }

[[server]]
name = "edge"
"#;

/// `authenticate = "users"`: what most situations ask for.
pub const USERS: &str = "[[server.new]]\nauthenticate = \"users\"\n";

/// A configuration: listeners 0 (authentication) and 1 (accounting), clients 0 (`branch`) and 1 (`strict`), user
/// `bob` with password `hello`. `rules` follows `[[server]]`, `settings` stands in front of all.
pub fn configuration(settings: &str, rules: &str) -> String {
    format!("{settings}\n{COMMON}\n{rules}")
}

/// One packet that left.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The thread that sent it.
    pub thread: usize,
    /// How.
    pub transmit: Transmit,
    /// Its octets.
    pub octets: Vec<u8>,
}

/// One packet that left to a remote server.
#[derive(Debug, Clone)]
pub struct Forwarded {
    pub thread: usize,
    pub socket: RemoteSocket,
    pub remote: SocketAddr,
    pub octets: Vec<u8>,
}

/// What the peer of a stream sees.
#[derive(Debug, Default)]
pub struct Wire {
    /// What came, in order.
    pub output: Vec<u8>,
    /// Octets that it will still take; it reads no more.
    pub window: Option<usize>,
    /// Whether the server reads.
    pub is_read: bool,
    pub is_closed: bool,
}

impl Wire {
    /// The packets that came; all are whole.
    pub fn packets(&self) -> Vec<&[u8]> {
        let (mut packets, mut rest) = (Vec::new(), &self.output[..]);
        while let Some(&[_, _, high, low]) = rest.first_chunk() {
            let (packet, after) = rest.split_at(usize::from(u16::from_be_bytes([high, low])));
            packets.push(packet);
            rest = after;
        }
        assert!(rest.is_empty(), "{rest:?}");
        packets
    }
}

/// A stream of a thread.
pub type Stream = (usize, StreamId);

/// All threads of a server.
pub struct Server {
    pub configuration: Arc<Configuration>,
    /// First the network threads, then the workers; where they are joined, all of them.
    pub threads: Vec<Cores>,
    /// The hand-held clock.
    pub now: Instant,
    /// What has left so far, in order.
    pub sent: Vec<Sent>,
    /// What was noted for the log so far.
    pub events: Vec<Event>,
    /// What threads have asked for and nobody has done yet, in order.
    pub effects: Vec<(usize, Ticket, Effect)>,
    /// About sockets of connections, with the thread that has them.
    pub orders: Vec<(usize, SocketOrder)>,
    /// Sockets to remote servers that are open, and whom they are connected to.
    pub remote_sockets: BTreeMap<(usize, RemoteSocket), SocketAddr>,
    /// What has left to remote servers so far and nobody has taken, in order.
    pub forwarded: Vec<Forwarded>,
    /// Whether a socket to a remote server can be had.
    pub has_remote_sockets: bool,
    /// Streams that were accepted, as their peers see them.
    pub streams: BTreeMap<(usize, StreamId), Wire>,
    /// How many requests a worker takes up in a turn.
    pub requests_max: usize,
    owners: Owners,
    generation: Generation,
    staff: Staff,
    leaving: Vec<WorkerId>,
}

impl Server {
    /// Assembles the threads of a configuration.
    pub fn new(settings: &str, rules: &str) -> Server {
        Server::of(&configuration(settings, rules))
    }

    /// The same of a whole file.
    pub fn of(text: &str) -> Server {
        Server::with(text, |configuration| Box::new(ConfiguredRules::new(configuration)))
    }

    /// The same with a policy of the test's own for each worker.
    pub fn with(
        text: &str,
        policy: impl Fn(Arc<Configuration>) -> Box<dyn Policy + Send> + Send + Sync + 'static,
    ) -> Server {
        Server::with_each(text, move |_, configuration| policy(configuration))
    }

    /// The same with a policy that knows whose it is.
    pub fn with_each(
        text: &str,
        policy: impl Fn(WorkerId, Arc<Configuration>) -> Box<dyn Policy + Send> + Send + Sync + 'static,
    ) -> Server {
        let parsed = ulna_config::parse(text, "situation.toml", MachineCores(2));
        let (configuration, _) = parsed.unwrap_or_else(|errors| panic!("{errors}"));
        let configuration = Arc::new(configuration);
        let seed = Seed::new([7; 32]);
        let policies: Arc<PolicyFactory> =
            Arc::new(move |worker, _, configuration| policy(worker, Arc::clone(configuration)));
        let (staff, threads) = Staff::assemble(&configuration, &seed, &policies);
        Server {
            threads,
            owners: Owners::new(configuration.network_cores() as u16, &seed),
            now: Instant::from_nanoseconds(1_000_000_000),
            sent: Vec::new(),
            events: Vec::new(),
            effects: Vec::new(),
            orders: Vec::new(),
            remote_sockets: BTreeMap::new(),
            forwarded: Vec::new(),
            has_remote_sockets: true,
            streams: BTreeMap::new(),
            requests_max: usize::MAX,
            generation: Generation::default(),
            staff,
            leaving: Vec::new(),
            configuration,
        }
    }

    /// A reload's first two steps on all threads: all know the new configuration, and it is in force.
    pub fn reload(&mut self, text: &str) -> Vec<Waits> {
        let waits = self.learn(text);
        self.put_in_force();
        waits
    }

    /// The second alone.
    pub fn put_in_force(&mut self) {
        self.threads.iter_mut().for_each(|cores| cores.put_in_force(self.generation));
    }

    /// The first alone.
    pub fn learn(&mut self, text: &str) -> Vec<Waits> {
        let waits = self.prepare(text);
        self.hand_out();
        waits
    }

    /// A new configuration, of which no thread has heard yet.
    pub fn prepare(&mut self, text: &str) -> Vec<Waits> {
        let parsed = ulna_config::parse(text, "reloaded.toml", MachineCores(2));
        let (mut configuration, _) = parsed.unwrap_or_else(|errors| panic!("{errors}"));
        let waits = configuration.follow(&self.configuration).expect("it is no larger than what runs");
        self.generation = self.generation.next();
        self.configuration = Arc::new(configuration);
        waits
    }

    /// All threads hear of the newest.
    pub fn hand_out(&mut self) {
        for cores in &mut self.threads {
            cores.handle_configuration(self.generation, &self.configuration);
        }
    }

    /// Whether any thread needs the configuration before the one in force.
    pub fn needs_older(&self) -> bool {
        self.threads.iter().any(Cores::needs_older)
    }

    /// Its third step.
    pub fn forget_older(&mut self) {
        self.threads.iter_mut().for_each(Cores::forget_older);
    }

    /// The way of a datagram from `remote` to a listener, through the socket of this thread.
    pub fn path(&self, thread: usize, listener: usize, remote: SocketAddr) -> Path {
        let networks = self.configuration.network_cores();
        Path {
            via: Via::Socket(SocketId((listener * networks + thread) as u16)),
            listener: ListenerId(listener as u16),
            local: self.configuration.listeners[listener].address,
            remote,
        }
    }

    /// The thread that a connection belongs to.
    pub fn owner(&self, remote: SocketAddr) -> usize {
        usize::from(self.owners.owner(remote).0)
    }

    /// What the clock on the wall shows from now on.
    pub fn wall_time(&mut self, time: UnixTime) {
        self.threads.iter_mut().for_each(|cores| cores.handle_wall_time(time));
    }

    /// A datagram read by its owner. Nothing else happens yet.
    pub fn datagram(&mut self, remote: SocketAddr, octets: &[u8]) {
        let thread = self.owner(remote);
        self.datagram_at(thread, 0, remote, octets);
    }

    /// A datagram read by any thread, from any listener's socket.
    pub fn datagram_at(&mut self, thread: usize, listener: usize, remote: SocketAddr, octets: &[u8]) {
        let path = self.path(thread, listener, remote);
        self.threads[thread].handle_datagram(path, octets, self.now);
    }

    /// One turn of a thread without new datagrams.
    pub fn turn(&mut self, thread: usize) {
        let cores = &mut self.threads[thread];
        cores.begin();
        cores.sweep(self.now);
        self.finish_turn(thread);
    }

    /// The rest of a turn, from where datagrams have been read.
    pub fn finish_turn(&mut self, thread: usize) {
        let cores = &mut self.threads[thread];
        cores.handle_timeout(self.now);
        cores.work(self.requests_max, self.now);
        while let Some((ticket, effect)) = cores.poll_effect() {
            self.effects.push((thread, ticket, effect));
        }
        while let Some(order) = self.threads[thread].poll_socket() {
            self.orders.push((thread, order));
        }
        self.transmit_on(thread);
        self.transmit(thread);
        let cores = &mut self.threads[thread];
        cores.bring_home(self.now);
        self.write_streams(thread);
        let cores = &mut self.threads[thread];
        // Whoever reads looks for itself.
        while cores.poll_control().is_some() {}
        cores.finish(self.now);
        cores.publish();
        while cores.check_gate().is_some() {}
        while let Some(event) = cores.poll_event() {
            self.events.push(event);
        }
    }

    /// A stream that this thread accepts, if it does.
    pub fn accept(&mut self, thread: usize, listener: usize, remote: SocketAddr) -> Result<Stream, End> {
        let local = self.configuration.listeners[listener].address;
        let accepted =
            self.threads[thread].handle_accepted(ListenerId(listener as u16), local, remote, self.now);
        let stream = (thread, accepted?);
        let wire = Wire { is_read: true, ..Wire::default() };
        assert!(self.streams.insert(stream, wire).is_none(), "a stream has a name of its own");
        Ok(stream)
    }

    /// Octets read of a stream. Nothing else happens yet.
    pub fn read(&mut self, (thread, id): Stream, octets: &[u8]) {
        self.threads[thread].handle_octets(id, octets, self.now);
    }

    /// The same, and all that follows at once: the packets that came by the stream so far.
    pub fn ask_by(&mut self, stream: Stream, octets: &[u8]) -> Vec<Vec<u8>> {
        self.threads[stream.0].begin();
        self.read(stream, octets);
        self.finish_turn(stream.0);
        self.settle();
        self.replies(stream)
    }

    /// The packets that came by a stream so far.
    pub fn replies(&self, stream: Stream) -> Vec<Vec<u8>> {
        self.streams[&stream].packets().into_iter().map(<[u8]>::to_vec).collect()
    }

    /// The peer of a stream sends nothing more.
    pub fn end(&mut self, (thread, id): Stream) {
        self.threads[thread].begin();
        self.threads[thread].handle_ended(id, self.now);
        self.finish_turn(thread);
        self.settle();
    }

    /// Its driver finds a stream broken.
    pub fn break_off(&mut self, (thread, id): Stream) {
        self.threads[thread].begin();
        self.threads[thread].handle_broken(id, self.now);
        self.finish_turn(thread);
        self.settle();
    }

    pub fn is_closed(&self, stream: Stream) -> bool {
        self.streams[&stream].is_closed
    }

    /// Its peer reads so many octets more, or all.
    pub fn open_window(&mut self, stream: Stream, octets: Option<usize>) {
        self.streams.get_mut(&stream).expect("it was accepted").window = octets;
        let (thread, id) = stream;
        self.threads[thread].begin();
        self.write_stream(thread, id);
        self.finish_turn(thread);
        self.settle();
    }

    fn write_streams(&mut self, thread: usize) {
        while let Some(id) = self.threads[thread].poll_stream() {
            self.write_stream(thread, id);
        }
    }

    fn write_stream(&mut self, thread: usize, id: StreamId) {
        let cores = &mut self.threads[thread];
        let wire = self.streams.get_mut(&(thread, id)).expect("it was accepted");
        loop {
            let Some(view) = cores.stream(id) else { return };
            wire.is_read = view.may_read;
            let octets = view.output.len().min(wire.window.unwrap_or(usize::MAX));
            wire.output.extend_from_slice(&view.output[..octets]);
            wire.window = wire.window.map(|window| window - octets);
            if view.is_over {
                wire.is_closed = true;
                return cores.handle_closed(id);
            }
            if octets == 0 {
                return;
            }
            cores.handle_written(id, octets, self.now);
        }
    }

    /// There are to be so many workers: those that are new begin, and slots change hands. Nothing else happens yet.
    pub fn begin_change(&mut self, workers: usize) {
        let change = self.staff.change(workers, self.generation, &self.configuration).expect("a change");
        let Change { hired, owners, leaving, .. } = change;
        self.threads.extend(hired);
        self.leaving = leaving;
        for cores in &mut self.threads {
            cores.handle_owners(&owners, self.now);
        }
    }

    /// Whether slots may forget who had them before the change.
    pub fn has_settled(&mut self) -> bool {
        let epoch = self.threads[0].network().expect("the first is a network thread's").owners().epoch();
        self.threads.iter().all(|cores| cores.has_settled(epoch))
    }

    /// The rest of the change, once all have settled.
    pub fn end_change(&mut self) {
        self.settle();
        assert!(self.has_settled(), "a change ends when all have settled");
        let owners = self.staff.settle();
        for cores in &mut self.threads {
            cores.handle_owners(&owners, self.now);
            self.leaving.iter().for_each(|worker| cores.dismiss(*worker));
        }
        let leaving = std::mem::take(&mut self.leaving).len();
        self.run(Duration::from_secs(2));
        for _ in 0..leaving {
            let gone = self.threads.iter().position(Cores::is_gone).expect("who leaves is gone");
            self.staff.release(self.threads.remove(gone));
            // Its sockets go with it.
            let sockets = std::mem::take(&mut self.remote_sockets).into_iter();
            self.remote_sockets = sockets
                .filter(|((thread, _), _)| *thread != gone)
                .map(|((thread, socket), remote)| ((thread - usize::from(thread > gone), socket), remote))
                .collect();
        }
    }

    /// A core is told to panic. Its thread does not look yet.
    pub fn drill(&self, core: Peer) {
        let _its_bell = self.staff.drill(core);
    }

    /// A core of a thread panics between two turns, and another takes its place.
    pub fn die(&mut self, thread: usize, peer: Peer) {
        let cores = &mut self.threads[thread];
        cores.die(peer);
        assert_eq!(cores.recover(self.now), Some(peer));
        if let Peer::Worker(_) = peer {
            // Its driver closes what it had.
            self.remote_sockets.retain(|(of, _), _| *of != thread);
        }
        if let Peer::Network(_) = peer {
            let of_thread = self.streams.iter_mut().filter(|((of, _), _)| *of == thread);
            of_thread.for_each(|(_, wire)| wire.is_closed = true);
        }
    }

    /// A turn of a thread in which a core may panic. If one does, another takes its place: which one it was.
    pub fn risky_turn(&mut self, thread: usize) -> Option<Peer> {
        let died = catch_unwind(AssertUnwindSafe(|| self.turn(thread))).is_err();
        died.then(|| self.threads[thread].recover(self.now).expect("a core was running"))
    }

    /// Answers the effect that was asked for first: whether the password is this one. Gives what left.
    pub fn answer_effect(&mut self, password: &str) -> Vec<Sent> {
        let (thread, ticket, effect) = self.effects.remove(0);
        let Effect::CheckPassword { password: given, .. } = effect else { panic!("{effect:?}") };
        let matches = given.octets() == password.as_bytes();
        self.done(thread, ticket, EffectDone::PasswordChecked { password: given, matches })
    }

    /// Answers the look-up that was asked for first as the table has it. Gives its key and what left.
    pub fn look_up(&mut self) -> (Vec<u8>, Vec<Sent>) {
        let (_, _, effect) = &self.effects[0];
        let Effect::LookUp(look_up) = effect else { panic!("{effect:?}") };
        let tables = &self.configuration.secret_tables;
        let table = tables.iter().find(|table| table.source == look_up.source).expect("it was read");
        self.answer_look_up(table.look_up(&look_up.key))
    }

    /// Answers it so.
    pub fn answer_look_up(&mut self, answer: LookedUp) -> (Vec<u8>, Vec<Sent>) {
        let (thread, ticket, effect) = self.effects.remove(0);
        let Effect::LookUp(look_up) = effect else { panic!("{effect:?}") };
        (look_up.key.to_vec(), self.done(thread, ticket, EffectDone::LookedUp(answer)))
    }

    /// Has no room for the effect that was asked for first. Gives what left.
    pub fn shed_effect(&mut self) -> Vec<Sent> {
        let (thread, ticket, effect) = self.effects.remove(0);
        self.done(thread, ticket, EffectDone::Shed(effect))
    }

    /// Stores, or does not, the batch that was asked for first. Gives its octets and what left.
    pub fn store(&mut self, result: Result<(), NotStored>) -> (Vec<u8>, Vec<Sent>) {
        let (thread, ticket, effect) = self.effects.remove(0);
        let Effect::Store(RecordBatch { octets, .. }) = effect else { panic!("{effect:?}") };
        let buffer = octets.clone();
        (octets, self.done(thread, ticket, EffectDone::Stored { buffer, result }))
    }

    /// Gives a thread an answer. Gives what left.
    pub fn done(&mut self, thread: usize, ticket: Ticket, done: EffectDone) -> Vec<Sent> {
        let before = self.sent.len();
        self.threads[thread].handle_effect_done(ticket, done, self.now);
        self.settle();
        self.sent[before..].to_vec()
    }

    /// Opens and closes sockets to remote servers, and sends through them.
    fn transmit_on(&mut self, thread: usize) {
        while self.obey(thread) {
            self.send_on(thread);
        }
        self.send_on(thread);
    }

    /// Opens and closes a few, as a driver may that has other things to do. False if there are no more.
    fn obey(&mut self, thread: usize) -> bool {
        let cores = &mut self.threads[thread];
        for _ in 0..8 {
            match cores.poll_remote_order() {
                Some(RemoteOrder::Open { socket, .. }) if !self.has_remote_sockets => {
                    cores.handle_remote_refused(socket, self.now);
                }
                Some(RemoteOrder::Open { socket, remote, .. }) => {
                    let before = self.remote_sockets.insert((thread, socket), remote);
                    assert!(before.is_none(), "a socket has a name of its own");
                }
                Some(RemoteOrder::Close { socket }) => {
                    self.remote_sockets.remove(&(thread, socket)).expect("what is closed was open");
                }
                None => return false,
            }
        }
        true
    }

    fn send_on(&mut self, thread: usize) {
        let cores = &mut self.threads[thread];
        let mut octets = Vec::new();
        while let Some(transmit) = cores.poll_forward(&mut octets) {
            let open = self
                .remote_sockets
                .iter()
                .find(|((of, socket), _)| *of == thread && socket.via() == transmit.via);
            let ((_, socket), remote) = open.expect("packets go through sockets that are open");
            let octets = std::mem::take(&mut octets);
            self.forwarded.push(Forwarded { thread, socket: *socket, remote: *remote, octets });
        }
    }

    /// A datagram from a remote server by the socket that a request left through, and all that follows: what left for NASes.
    pub fn remote_reply(&mut self, to: &Forwarded, octets: &[u8]) -> Vec<Sent> {
        let before = self.sent.len();
        self.threads[to.thread].handle_remote_datagram(to.socket, octets, self.now);
        self.settle();
        self.sent[before..].to_vec()
    }

    /// Takes what has left to remote servers.
    pub fn take_forwarded(&mut self) -> Vec<Forwarded> {
        std::mem::take(&mut self.forwarded)
    }

    /// Sends all that a thread has to send.
    pub fn transmit(&mut self, thread: usize) {
        let mut octets = Vec::new();
        while let Some(transmit) = self.threads[thread].poll_transmit(&mut octets) {
            self.sent.push(Sent { thread, transmit, octets: std::mem::take(&mut octets) });
        }
    }

    /// Turns of all threads until none of them has anything to do at this time.
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            for thread in 0..self.threads.len() {
                self.turn(thread);
            }
            let now = self.now;
            let quiet = |cores: &mut Cores| {
                cores.may_park()
                    && !cores.is_anything_unread()
                    && cores.poll_timeout().is_none_or(|(due, _)| due > now)
            };
            if self.threads.iter_mut().all(quiet) {
                // What is read next is read in a turn that has begun.
                self.threads.iter_mut().for_each(Cores::begin);
                return;
            }
        }
        panic!("the threads never come to rest");
    }

    /// A datagram read by its owner, and all that follows from it at once. Gives what left.
    pub fn ask(&mut self, remote: SocketAddr, octets: &[u8]) -> Vec<Sent> {
        let before = self.sent.len();
        self.datagram(remote, octets);
        self.settle();
        self.sent[before..].to_vec()
    }

    /// The same on the accounting listener.
    pub fn ask_accounting(&mut self, remote: SocketAddr, octets: &[u8]) -> Vec<Sent> {
        let before = self.sent.len();
        self.datagram_at(self.owner(remote), 1, remote, octets);
        self.settle();
        self.sent[before..].to_vec()
    }

    /// Time passes, nothing is done meanwhile.
    pub fn pass(&mut self, span: Duration) {
        self.now += span;
    }

    /// Time passes, and at each deadline on the way all is done that is due.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(due) = self.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.settle();
        }
        self.now = end;
        self.settle();
    }

    /// Runs until no deadline is left: all is answered, forgotten and back home.
    pub fn drain(&mut self) {
        self.settle();
        while let Some(due) = self.next_deadline() {
            self.now = self.now.max(due);
            self.settle();
        }
        // Lazy messages may have come home after their recipient's last turn.
        self.settle();
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.threads.iter().filter_map(|cores| cores.poll_timeout()).map(|(due, _)| due).min()
    }

    /// Takes what has left so far.
    pub fn take_sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    /// The sum over all threads of the counter of this name.
    pub fn count(&self, name: &str) -> u64 {
        let mut found = false;
        let mut sum = 0;
        for cores in &self.threads {
            let network = cores.network().into_iter().flat_map(|network| network.counters().named());
            let worker = cores.worker().into_iter().flat_map(|worker| worker.counters().named());
            for (_, value) in network.chain(worker).filter(|(each, _)| *each == name) {
                found = true;
                sum += value;
            }
        }
        assert!(found, "there is no counter {name}");
        sum
    }

    /// Discards by name, those that there were; requests that workers discard are counted once, at home.
    pub fn discards(&self) -> BTreeMap<&'static str, u64> {
        let mut discards = BTreeMap::new();
        for network in self.threads.iter().filter_map(Cores::network) {
            for reason in Discard::ALL {
                let count = network.counters().discarded[*reason as usize].value();
                if count > 0 {
                    *discards.entry(reason.name()).or_default() += count;
                }
            }
        }
        discards
    }

    /// How often this reason was counted.
    pub fn discarded(&self, reason: Discard) -> u64 {
        self.discards().get(reason.name()).copied().unwrap_or_default()
    }

    /// The two sums that `core/src/counters.rs` promises, at any time when no packet is between two phases.
    pub fn assert_sums(&self) {
        let discarded = |of_requests: bool| {
            let reasons = Discard::ALL.iter().filter(|reason| is_of_request(**reason) == of_requests);
            reasons.map(|reason| self.discarded(*reason)).sum::<u64>()
        };
        let packets = [
            "strays_sent",
            "status_answered",
            "duplicates_resent",
            "duplicates_in_progress",
            "strangers",
            "accepted",
        ];
        let packets = packets.map(|name| self.count(name)).iter().sum::<u64>() + discarded(false);
        assert_eq!(self.count("received"), packets, "each packet has one fate; {}", self.table());
        let requests = ["answered", "superseded", "orphaned", "in_progress", "delayed_rejects"];
        let requests = requests.map(|name| self.count(name)).iter().sum::<u64>() + discarded(true);
        assert_eq!(self.count("accepted"), requests, "each request has one fate; {}", self.table());
        let ended = ["by_peer", "for_packet", "idle", "slow_sender", "slow_reader", "draining"];
        let ended = ended.map(|why| self.count(&format!("streams_ended_{why}"))).iter().sum::<u64>();
        let streams =
            ended + self.count("streams_broken") + self.count("streams_orphaned") + self.count("streams");
        assert_eq!(self.count("streams_accepted"), streams, "each stream has one end; {}", self.table());
    }

    /// Drains, and then nothing may be left anywhere: gauges, deadlines, messages.
    pub fn assert_nothing_is_left(&mut self) {
        self.drain();
        self.assert_sums();
        for gauge in [
            "in_progress",
            "delayed_rejects",
            "dedup_entries",
            "buffers_lent",
            "reply_buffers_lent",
            "completions_waiting",
            "requests_held",
            "strangers",
            "connections",
            "streams",
        ] {
            assert_eq!(self.count(gauge), 0, "{gauge} returns to zero; {}", self.table());
        }
        assert!(self.threads.iter().all(Cores::is_drained), "{}", self.table());
    }

    /// All counters that are not zero, for messages.
    pub fn table(&self) -> String {
        let mut sums: BTreeMap<&str, u64> = self.discards();
        for cores in &self.threads {
            let network = cores.network().into_iter().flat_map(|network| network.counters().named());
            let worker = cores.worker().into_iter().flat_map(|worker| worker.counters().named());
            for (name, value) in network.chain(worker) {
                *sums.entry(name).or_default() += value;
            }
        }
        sums.retain(|_, value| *value > 0);
        format!("{sums:?}")
    }
}

/// Whether this ends a request that had been accepted; every other reason ends a packet before that.
pub fn is_of_request(reason: Discard) -> bool {
    matches!(
        reason,
        Discard::TooOld
            | Discard::WaitedTooLong
            | Discard::NoAccountingRule
            | Discard::ReplyTooLong
            | Discard::EditTooLong
            | Discard::DelayedRejectsFull
            | Discard::EffectTimedOut
            | Discard::HashLineFull
            | Discard::StoreLineFull
            | Discard::NotStored
            | Discard::RecordTooLong
            | Discard::SpoolLineFull
            | Discard::SpoolFull
            | Discard::NotSpooled
            | Discard::ConnectionClosed
            | Discard::NoRoute
            | Discard::NoAnswer
            | Discard::NoServerAlive
            | Discard::OutstandingFull
            | Discard::NoSocket
            | Discard::ForwardTooLong
            | Discard::AnsweredElsewhere
            | Discard::ForwardLoop
            | Discard::EventTimestampOutside
            | Discard::NoEventTimestamp
            | Discard::BadHiddenAttribute
    )
}

/// An address of client `branch`, with this port.
pub fn nas(port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 7], port))
}
