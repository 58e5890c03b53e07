//! A small server that answers as the oracle would: what the simulator itself is tried and measured with.
//!
//! It has threads, rings, gates, duplicates and delayed rejects in their simplest form, and flaws that can be
//! chosen, each of which some law must notice. It shares the oracle's codec, so it says nothing about ulna.

mod thread;

use crate::oracle::codec::{Packet, Writer, code, kind};
use crate::oracle::judge::{Answer, Asked, Verdict, client_of, judge};
use crate::oracle::rules::{self, Around};
use crate::phases::{Decision, Node, NodeThread, Snapshot};
use crate::plan::Plan;
use crate::site::Site;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use ulna_core::{ListenerId, Path, Transmit};

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It parks without looking again.
    SecondLookMissing,
    /// It rings each time, whatever the gate says.
    RingsAlways,
    /// It takes any request under an Identifier for a duplicate of the last.
    DuplicateByIdentifier,
    /// It decides a duplicate again.
    DecidesAgain,
    /// It returns Proxy-States in reverse.
    ProxyStateReversed,
    /// It does not sign.
    Unsigned,
    /// It sends rejects at once.
    RejectsAtOnce,
    /// It answers from another address than it was asked at.
    OtherDoor,
    /// It forgets to count what it discards.
    UncountedDiscard,
    /// It asks for its time-out a millisecond late.
    TimeoutLate,
    /// The same, and it offers no look at its deadlines.
    TimeoutLateUnseen,
    /// It keeps duplicates by address without port.
    DuplicateWithoutPort,
    /// It answers what does not verify.
    BelievesAll,
    /// It panics at a certain User-Name.
    Panics,
    /// Its replies to duplicates have another octet.
    DuplicatesDiffer,
    /// It sends one packet a turn and parks, whether or not there are more.
    ParksWithOutput,
}

/// Builds the server without a flaw.
pub fn build(plan: &Plan) -> Box<dyn Node> {
    Box::new(StandIn::new(plan, None))
}

/// Clients that are not known by their networks have a connection in turn.
type Key = (SocketAddr, ListenerId, u8, bool, Option<u64>);
/// What tells a request: its authenticator, and the client and secrets that it is under.
type Named = ([u8; 16], String);

/// Where a request was taken, and until when which reply to it holds.
type Taken = (Key, Option<(u64, Vec<u8>)>);

/// A request, and what is owed for it by which configuration at which time.
struct Request {
    path: Path,
    octets: Vec<u8>,
    generation: usize,
    wall: u64,
    named: Named,
    answer: Answer,
}

enum Message {
    Stray(Path, Vec<u8>),
    Request(Request),
    Replied { key: Key, named: Named, reply: Vec<u8>, due: Option<u64> },
}

impl Message {
    fn is_urgent(&self) -> bool {
        !matches!(self, Message::Replied { due: None, .. })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    Run,
    Park,
    Rung,
}

struct Shared {
    plan: Plan,
    /// By generation; it keeps them all.
    sites: Vec<Site>,
    flaw: Option<Flaw>,
    /// Requests of clients of rules, and where each was taken; with its reply, and until when that holds, once there is one.
    taken: BTreeMap<Named, Taken>,
    rings: Vec<VecDeque<Message>>,
    gates: Vec<Gate>,
    counts: Snapshot,
}

enum Kept {
    InProgress,
    Delayed { due: u64, reply: Vec<u8> },
    Done { until: u64, reply: Vec<u8> },
}

struct Entry {
    named: Named,
    path: Path,
    kept: Kept,
}

struct Thread {
    place: usize,
    /// In force here.
    generation: usize,
    wall: u64,
    shared: Rc<RefCell<Shared>>,
    entries: BTreeMap<Key, Entry>,
    delayed: BTreeSet<(u64, Key)>,
    in_progress: usize,
    swept_at: u64,
    transmits: VecDeque<(Transmit, Vec<u8>)>,
    /// In this turn, as far as the flaw [`Flaw::ParksWithOutput`] wants to know.
    has_sent: bool,
    staged: Vec<(usize, Message)>,
    unchecked: BTreeMap<usize, bool>,
    decisions: Vec<Decision>,
}

/// The server.
pub struct StandIn {
    shared: Rc<RefCell<Shared>>,
    threads: Vec<Thread>,
}

const SECOND: u64 = 1_000_000_000;

impl StandIn {
    /// The server of a plan, perhaps with a flaw.
    pub fn new(plan: &Plan, flaw: Option<Flaw>) -> Self {
        let threads = plan.topology.threads();
        let shared = Rc::new(RefCell::new(Shared {
            plan: plan.clone(),
            sites: vec![Site { answers_accounting: false, ..Site::first(plan) }],
            flaw,
            taken: BTreeMap::new(),
            rings: (0..threads).map(|_| VecDeque::new()).collect(),
            gates: vec![Gate::Run; threads],
            counts: Snapshot::default(),
        }));
        let threads = (0..threads)
            .map(|place| Thread {
                place,
                generation: 0,
                wall: 0,
                shared: Rc::clone(&shared),
                entries: BTreeMap::new(),
                delayed: BTreeSet::new(),
                in_progress: 0,
                swept_at: 0,
                transmits: VecDeque::new(),
                has_sent: false,
                staged: Vec::new(),
                unchecked: BTreeMap::new(),
                decisions: Vec::new(),
            })
            .collect();
        StandIn { shared, threads }
    }
}

impl Node for StandIn {
    fn thread(&mut self, thread: usize) -> &mut dyn NodeThread {
        &mut self.threads[thread]
    }

    /// Its threads do not come and go.
    fn is_here(&self, thread: usize) -> bool {
        thread < self.threads.len()
    }

    fn steer(&self, _listener: ListenerId, remote: SocketAddr) -> usize {
        self.owner(remote)
    }

    fn owner(&self, remote: SocketAddr) -> usize {
        usize::from(remote.port()) % self.shared.borrow().plan.topology.networks()
    }

    fn restart(&mut self, site: &Site, _life: u64) {
        let (plan, flaw) = (self.shared.borrow().plan.clone(), self.shared.borrow().flaw);
        *self = StandIn::new(&plan, flaw);
        self.shared.borrow_mut().taken.clear();
        self.shared.borrow_mut().sites = vec![Site { answers_accounting: false, ..site.clone() }];
    }

    fn prepare(&mut self, site: &Site, generation: u8) {
        let sites = &mut self.shared.borrow_mut().sites;
        assert_eq!(sites.len(), usize::from(generation));
        // It has no disk.
        sites.push(Site { answers_accounting: false, ..site.clone() });
    }

    fn snapshot(&self) -> Snapshot {
        self.shared.borrow().counts.clone()
    }
}

impl Thread {
    fn has(&self, flaw: Flaw) -> bool {
        self.shared.borrow().flaw == Some(flaw)
    }

    fn count(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.shared.borrow_mut().counts);
    }

    fn key(&self, path: &Path, packet: Packet<'_>, answer: &Answer, generation: usize) -> Key {
        let mut remote = path.remote;
        if self.has(Flaw::DuplicateWithoutPort) {
            remote.set_port(0);
        }
        let clients = &self.shared.borrow().sites[generation].clients;
        let client = &clients[answer.client];
        let name = || {
            client
                .name
                .bytes()
                .fold(7, |hash: u64, octet| hash.wrapping_mul(1_099_511_628_211) ^ u64::from(octet))
        };
        let ruled = client.is_ruled().then(name);
        (remote, path.listener, packet.identifier(), answer.signed, ruled)
    }

    fn send(&mut self, path: &Path, reply: Vec<u8>) {
        let mut transmit = path.reversed();
        if self.has(Flaw::OtherDoor) {
            transmit.source = Some("203.0.113.9".parse().expect("written here"));
        }
        self.transmits.push_back((transmit, reply));
    }

    fn take_in(&mut self, path: Path, octets: &[u8], now: u64) {
        let networks = self.shared.borrow().plan.topology.networks();
        let owner = usize::from(path.remote.port()) % networks;
        if owner != self.place {
            self.count(|counts| counts.in_progress += 1);
            self.staged.push((owner, Message::Stray(path, octets.to_vec())));
            return;
        }
        let verdict = {
            let shared = self.shared.borrow();
            let listener = shared.plan.topology.listeners[usize::from(path.listener.0)].kind;
            let asked = Asked { listener, source: path.remote.ip(), wall: self.wall, datagram: octets };
            judge(&shared.sites[self.generation], &asked)
        };
        let answer = match verdict {
            Verdict::Answer(answer) => answer,
            Verdict::Silence("wrong Message-Authenticator") if self.has(Flaw::BelievesAll) => {
                let shared = self.shared.borrow();
                let client = client_of(&shared.sites[self.generation].clients, path.remote.ip());
                Answer {
                    code: code::ACCESS_REJECT,
                    client: client.expect("it is known, its secret is wrong"),
                    secret: 0,
                    user: None,
                    proxy_states: Vec::new(),
                    signed: true,
                    signs_reply: true,
                }
            }
            Verdict::Silence(_) => {
                let counted = !self.has(Flaw::UncountedDiscard);
                self.count(|counts| counts.discarded += u64::from(counted));
                return;
            }
        };
        self.sort_out(path, octets, answer, now);
    }

    /// Fresh, duplicate or superseding.
    fn sort_out(&mut self, path: Path, octets: &[u8], answer: Answer, now: u64) {
        let packet = Packet::read(octets).expect("the oracle has read it");
        let named = self.named(packet, &answer);
        if packet.code() == code::STATUS_SERVER {
            // RFC 5997 §4.2: it needs no worker, and a duplicate gets the same.
            let (octets, generation, wall) = (octets.to_vec(), self.generation, self.wall);
            let reply = self.reply_of(&Request { path, octets, generation, wall, named, answer });
            self.count(|counts| counts.answered += 1);
            self.send(&path, reply);
            return;
        }
        let key = self.key(&path, packet, &answer, self.generation);
        let by_identifier = self.has(Flaw::DuplicateByIdentifier);
        let again = self.has(Flaw::DecidesAgain);
        let differ = self.has(Flaw::DuplicatesDiffer);
        let taken = self.shared.borrow().taken.get(&named).filter(|(other, _)| *other != key).cloned();
        match taken {
            // By another connection of its client's.
            Some((_, None)) => {
                self.count(|counts| counts.in_progress_duplicates += 1);
                return;
            }
            Some((_, Some((until, reply)))) if now < until => {
                self.count(|counts| counts.resent += 1);
                self.send(&path, reply);
                return;
            }
            Some(_) | None => {}
        }
        if let Some(entry) = self.entries.get(&key) {
            let same = entry.named == named || by_identifier;
            match &entry.kept {
                Kept::InProgress | Kept::Delayed { .. } if same => {
                    self.count(|counts| counts.in_progress_duplicates += 1);
                    return;
                }
                Kept::Done { until, reply } if same && now < *until && !again => {
                    let mut reply = reply.clone();
                    if differ {
                        let answer = Answer { proxy_states: Vec::new(), user: None, ..answer };
                        let (octets, generation, wall) = (octets.to_vec(), self.generation, self.wall);
                        reply = self.reply_of(&Request { path, octets, generation, wall, named, answer });
                    }
                    self.count(|counts| counts.resent += 1);
                    self.send(&path, reply);
                    return;
                }
                Kept::Done { .. } => {}
                Kept::InProgress | Kept::Delayed { .. } => {
                    if let Kept::Delayed { due, .. } = entry.kept {
                        self.delayed.remove(&(due, key));
                    }
                    self.in_progress -= 1;
                    self.count(|counts| {
                        counts.superseded += 1;
                        counts.in_progress -= 1;
                    });
                }
            }
        }
        if let Some(before) = self.entries.get(&key) {
            self.shared.borrow_mut().taken.remove(&before.named);
        }
        if key.4.is_some() {
            self.shared.borrow_mut().taken.insert(named.clone(), (key, None));
        }
        self.entries.insert(key, Entry { named: named.clone(), path, kept: Kept::InProgress });
        self.in_progress += 1;
        self.count(|counts| counts.in_progress += 1);
        let (octets, generation, wall) = (octets.to_vec(), self.generation, self.wall);
        let request = Request { path, octets, generation, wall, named, answer };
        let worker = {
            let topology = &self.shared.borrow().plan.topology;
            topology.thread_of_worker(usize::from(packet.identifier()) % usize::from(topology.workers))
        };
        self.staged.push((worker, Message::Request(request)));
    }

    fn named(&self, packet: Packet<'_>, answer: &Answer) -> Named {
        let client = &self.shared.borrow().sites[self.generation].clients[answer.client];
        let secrets: Vec<&str> = if answer.signed {
            client.secrets().skip(answer.secret).take(1).collect()
        } else {
            client.secrets().collect()
        };
        (packet.authenticator(), format!("{} {secrets:?}", client.name))
    }

    fn reply_of(&self, request: &Request) -> Vec<u8> {
        let Request { octets, generation, wall, answer, .. } = request;
        let packet = Packet::read(octets).expect("the oracle has read it");
        let shared = self.shared.borrow();
        let site = &shared.sites[*generation];
        let client = &site.clients[answer.client];
        let secret = client.secret(answer.secret);
        let mut reply = Writer::new(answer.code, packet.identifier(), [0; 16]);
        if answer.signs_reply && shared.flaw != Some(Flaw::Unsigned) {
            reply = reply.signed();
        }
        if packet.code() == code::ACCESS_REQUEST {
            let around = Around { client: &client.name, wall: *wall };
            let user = answer.user.map(|user| &site.users[user]);
            let accept = answer.code == code::ACCESS_ACCEPT;
            for (kind, value) in rules::reply(site, packet, around, accept, user) {
                reply = reply.attribute(kind, &value);
            }
        }
        let mut states = answer.proxy_states.clone();
        if shared.flaw == Some(Flaw::ProxyStateReversed) {
            states.reverse();
        }
        for state in &states {
            reply = reply.attribute(kind::PROXY_STATE, state);
        }
        reply.reply(&packet.authenticator(), secret)
    }

    /// As a worker: policy decides.
    fn work(&mut self, request: Request, now: u64) {
        let Request { path, generation, answer, .. } = &request;
        let packet = Packet::read(&request.octets).expect("the oracle has read it");
        assert!(
            !self.has(Flaw::Panics) || packet.identifier() != 3,
            "the stand-in was told to panic at Identifier 3"
        );
        let key = self.key(path, packet, answer, *generation);
        self.decisions.push(Decision {
            remote: path.remote,
            listener: path.listener,
            identifier: packet.identifier(),
            authenticator: packet.authenticator(),
            generation: *generation as u8,
        });
        let reply = self.reply_of(&request);
        let delay = self.shared.borrow().plan.limits.reject_delay_ms * 1_000_000;
        let delayed = answer.code == code::ACCESS_REJECT && delay > 0 && !self.has(Flaw::RejectsAtOnce);
        let due = delayed.then_some(now + delay);
        if due.is_none() {
            self.send(path, reply.clone());
        }
        let owner = usize::from(path.remote.port()) % self.shared.borrow().plan.topology.networks();
        self.staged.push((owner, Message::Replied { key, named: request.named, reply, due }));
    }

    /// As a network thread: a worker has finished.
    fn remember(&mut self, key: Key, named: &Named, reply: Vec<u8>, due: Option<u64>, now: u64) {
        let lifetime = self.shared.borrow().plan.limits.dedup_lifetime_ms * 1_000_000;
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if entry.named != *named || !matches!(entry.kept, Kept::InProgress) {
            return;
        }
        match due {
            Some(due) => {
                entry.kept = Kept::Delayed { due, reply };
                self.delayed.insert((due, key));
            }
            None => {
                let until = now + lifetime;
                if let Some((other, kept)) = self.shared.borrow_mut().taken.get_mut(named)
                    && *other == key
                {
                    *kept = Some((until, reply.clone()));
                }
                entry.kept = Kept::Done { until, reply };
                self.finish_one();
            }
        }
    }

    fn finish_one(&mut self) {
        self.in_progress -= 1;
        self.count(|counts| {
            counts.in_progress -= 1;
            counts.answered += 1;
        });
    }

    fn deadline(&self) -> Option<u64> {
        let lazy = (self.in_progress > 0).then_some(self.swept_at + SECOND);
        let delayed = self.delayed.first().map(|&(due, _)| due);
        [lazy, delayed].into_iter().flatten().min()
    }
}
