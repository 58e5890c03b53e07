//! In steady state no core calls the allocator to forward: neither for a request nor for a round of a conversation, nor for what is sent
//! again, edited, hidden anew, or longer than most.
//!
//! A test binary of its own, as its allocator counts for the whole process. What the test itself does around the cores is not counted.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use support::{Ask, Server, nas};
use ulna_core::attributes::{Sealing, text};
use ulna_core::dictionary::Dictionary;
use ulna_core::forward::{RemoteOrder, RemoteSocket};
use ulna_core::packet::hidden::Hop;
use ulna_core::packet::{Code, Encoder, Framed, Landmark, MessageAuthenticator, Secret, number};
use ulna_core::path::Transmit;

struct Counting;

thread_local! {
    static COUNTS: Cell<bool> = const { Cell::new(false) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Places shown, at most.
const SHOWN_MAX: u64 = 3;

impl Counting {
    fn note(call: &str, layout: Layout) {
        if COUNTS.replace(false) {
            CALLS.set(CALLS.get() + 1);
            if CALLS.get() <= SHOWN_MAX {
                eprintln!("{call} of {} octets:\n{}", layout.size(), Backtrace::force_capture());
            }
            COUNTS.set(true);
        }
    }
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::note("alloc", layout);
        // SAFETY: our caller keeps to the contract of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, octets: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Counting::note("realloc", layout);
        // SAFETY: as above.
        unsafe { System.realloc(octets, layout, size) }
    }

    unsafe fn dealloc(&self, octets: *mut u8, layout: Layout) {
        Counting::note("dealloc", layout);
        // SAFETY: as above.
        unsafe { System.dealloc(octets, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SETTINGS: &str =
    "[protocol]\ndedup_lifetime = \"500ms\"\nreject_delay = \"500ms\"\nrequest_timeout = \"1s\"\n";
const FARM: &str = r#"
[[server.new]]
when = { User-Name = { glob = "eap*" } }
proxy = "farm"
set_session = { site = "campus" }
set_request = { Operator-Name = "1example.org" }
remove_request = ["Class"]
set_reply = { Filter-Id = "begun" }
[[server.new]]
proxy = "by hash"
[[server.ongoing]]
set_session = { ongoing = "yes" }
set_request = { NAS-Identifier = "edited" }
continue = true
[[server.accounting]]
proxy = "farm"
[[server.reply]]
when = { "session.site" = "campus", reply = "accept" }
set_reply = { Reply-Message = "campus", "Tunnel-Password:1" = "sesame" }

[[remote_server]]
name = "one"
address = "203.0.113.5:1812"
secret = "a secret of the remote servers"
[[remote_server]]
name = "two"
address = "203.0.113.6:1812"
secret = "a secret of the remote servers"
[[pool]]
name = "farm"
balance = "round-robin"
remote_servers = ["one", "two"]
[[pool]]
name = "by hash"
balance = "hash"
hash_by = ["User-Name"]
remote_servers = ["one", "two"]
"#;

const USERS_OF_EACH_KIND: usize = 24;
/// Rounds of a conversation after the first.
const LAST_ROUND: u8 = 4;
/// Source ports of one user, used in turn.
const PORTS: usize = 4;
/// Of a remote server's replies one in so many is lost.
const LOST_ONE_IN: usize = 7;
/// From one step to the next.
const STEP: Duration = Duration::from_millis(20);
/// Of the warm-up and of what is counted.
const STEPS: [usize; 2] = [400, 1500];
/// At first no remote server answers.
const STALLED: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pap,
    Eap,
    Accounting,
}

struct User {
    kind: Kind,
    number: usize,
    round: u8,
    port: usize,
    waits: Option<Vec<u8>>,
}

impl User {
    /// The next packet: the one that waits for its reply once more, of an EAP conversation from another port.
    fn ask(&mut self, draw: &mut u32) -> (SocketAddr, Vec<u8>) {
        if self.waits.is_none() || self.kind == Kind::Eap {
            self.port = (self.port + 1) % PORTS;
        }
        let octets = self.waits.take().unwrap_or_else(|| {
            *draw += 1;
            self.next(*draw)
        });
        self.waits = Some(octets.clone());
        (self.address(), octets)
    }

    fn address(&self) -> SocketAddr {
        let kind = self.kind as usize * USERS_OF_EACH_KIND;
        nas((2000 + (kind + self.number) * PORTS + self.port) as u16)
    }

    fn next(&self, draw: u32) -> Vec<u8> {
        let name = format!("{:?}{}@example.edu", self.kind, self.number).to_lowercase();
        let ask = match self.kind {
            Kind::Pap => Ask::user(name.as_bytes(), b"hello"),
            Kind::Eap => Ask::of(Code::AccessRequest).with(number::USER_NAME, name.as_bytes()),
            Kind::Accounting => Ask::accounting().with(number::USER_NAME, name.as_bytes()),
        };
        let mut ask = ask.identifier(draw as u8).with(number::CLASS, b"class");
        if self.kind != Kind::Accounting {
            ask = ask.numbered(draw);
        }
        if self.kind == Kind::Eap {
            let kind = if self.round == 0 { 1 } else { 25 };
            ask = ask.with(number::EAP_MESSAGE, &[2, self.round, 0, 5, kind]);
            if self.round > 0 {
                ask = ask.with(number::STATE, STATE);
            }
        }
        if self.number.is_multiple_of(8) {
            ask = ask.with(number::CLASS, &[7; 250]).with(number::CLASS, &[8; 250]);
        }
        if self.kind == Kind::Accounting {
            ask = ask.with(number::ACCT_SESSION_ID, &draw.to_be_bytes());
        }
        ask.octets()
    }

    fn take(&mut self, code: Code) {
        self.waits = None;
        self.round = if code == Code::AccessChallenge { self.round + 1 } else { 0 };
    }
}

const STATE: &[u8] = b"the same for all";

/// A server's threads and what they send.
struct Rig {
    server: Server,
    sockets: Vec<(usize, RemoteSocket)>,
    forwarded: Vec<(usize, Transmit, Vec<u8>)>,
    sent: Vec<(Transmit, Vec<u8>)>,
    dictionary: Dictionary,
    secret: Secret,
    out: Vec<u8>,
}

/// Calls a core. From now on what it does is counted, until it has done.
fn counted<R>(counts: bool, call: impl FnOnce() -> R) -> R {
    COUNTS.set(counts);
    let result = call();
    COUNTS.set(false);
    result
}

impl Rig {
    /// All threads once.
    fn turn(&mut self, counts: bool) {
        let Rig { server, sockets, forwarded, sent, out, .. } = self;
        let now = server.now;
        for (thread, cores) in server.threads.iter_mut().enumerate() {
            counted(counts, || {
                cores.begin();
                cores.sweep(now);
                cores.handle_timeout(now);
                cores.work(usize::MAX, now);
            });
            while let Some(order) = counted(counts, || cores.poll_remote_order()) {
                match order {
                    RemoteOrder::Open { socket, .. } => sockets.push((thread, socket)),
                    RemoteOrder::Close { .. } => panic!("no server goes"),
                }
            }
            while let Some(transmit) = counted(counts, || cores.poll_forward(out)) {
                forwarded.push((thread, transmit, out.clone()));
                out.clear();
            }
            while let Some(transmit) = counted(counts, || cores.poll_transmit(out)) {
                sent.push((transmit, out.clone()));
                out.clear();
            }
            counted(counts, || {
                cores.bring_home(now);
                cores.finish(now);
                cores.publish();
                while cores.check_gate().is_some() {}
                while cores.poll_event().is_some() {}
            });
        }
    }

    fn settle(&mut self, counts: bool) {
        (0..4).for_each(|_| self.turn(counts));
    }

    fn ask(&mut self, from: SocketAddr, kind: Kind, octets: &[u8], counts: bool) {
        let thread = self.server.owner(from);
        let path = self.server.path(thread, usize::from(kind == Kind::Accounting), from);
        let Server { threads, now, .. } = &mut self.server;
        counted(counts, || threads[thread].handle_datagram(path, octets, *now));
    }

    fn reply(&mut self, request: &(usize, Transmit, Vec<u8>), counts: bool) {
        let (thread, transmit, octets) = request;
        let socket = self.sockets.iter().find(|(of, socket)| of == thread && socket.via() == transmit.via);
        let socket = socket.expect("it was opened").1;
        let octets = self.answer(octets);
        let Server { threads, now, .. } = &mut self.server;
        counted(counts, || threads[*thread].handle_remote_datagram(socket, &octets, *now));
    }

    /// What a remote server says: to EAP in the last round, to every fourth user with PAP that he may not; to all others that they may,
    /// with keys.
    fn answer(&self, request: &[u8]) -> Vec<u8> {
        let request = Framed::parse(request).expect("what leaves is a packet");
        let eap = request.value(Landmark::EapMessage);
        let user = request.value(Landmark::UserName).expect("each has a name");
        let code = match (request.code(), eap) {
            (Some(Code::AccountingRequest), _) => Code::AccountingResponse,
            (_, Some(eap)) if eap[1] < LAST_ROUND => Code::AccessChallenge,
            (_, None) if user.starts_with(b"pap1") => Code::AccessReject,
            _ => Code::AccessAccept,
        };
        let mut out = Vec::new();
        let sign = if code == Code::AccountingResponse {
            MessageAuthenticator::Absent
        } else {
            MessageAuthenticator::First
        };
        let mut encoder = Encoder::reply(&mut out, code, request.identifier(), sign);
        if code == Code::AccessChallenge {
            encoder.attribute(number::STATE, STATE).expect("it fits");
        }
        if code == Code::AccessAccept {
            let keys = "MS-MPPE-Send-Key = 0x0001, MS-MPPE-Recv-Key = 0x0203, Class = 0x07";
            let keys = text::parse(&self.dictionary, keys).unwrap_or_else(|error| panic!("{error}"));
            let hop = Hop { secret: &self.secret, request_authenticator: request.authenticator() };
            let mut attributes = Vec::new();
            text::write(&self.dictionary, &keys, Some(Sealing { hop, salt: 1 }), &mut attributes)
                .expect("it fits");
            encoder.raw(&attributes).expect("it fits");
        }
        for state in request.proxy_states() {
            encoder.attribute(number::PROXY_STATE, state).expect("it fits");
        }
        encoder.finish_reply(&self.secret, request.authenticator());
        out
    }
}

fn run(threads: &str) {
    let mut rig = Rig {
        server: Server::new(&format!("{threads}{SETTINGS}"), FARM),
        sockets: Vec::new(),
        forwarded: Vec::new(),
        sent: Vec::new(),
        dictionary: Dictionary::built_in(),
        secret: Secret::new(b"a secret of the remote servers").expect("it has octets"),
        out: Vec::with_capacity(4096),
    };
    let kinds = [Kind::Pap, Kind::Eap, Kind::Accounting];
    let user = |kind| move |number| User { kind, number, round: 0, port: 0, waits: None };
    let mut users: Vec<User> =
        kinds.into_iter().flat_map(|kind| (0..USERS_OF_EACH_KIND).map(user(kind))).collect();
    let (mut draw, mut lost, mut codes) = (0, 0, BTreeMap::<u8, usize>::new());
    let mut before = 0;
    for (phase, steps) in STEPS.into_iter().enumerate() {
        let counts = phase == 1;
        for step in 0..steps {
            // At first everything waits at once: free lists are as long as they will ever be.
            let nothing_comes = phase == 0 && step < STALLED;
            for user in &mut users {
                let (from, octets) = user.ask(&mut draw);
                rig.ask(from, user.kind, &octets, counts);
            }
            rig.settle(counts);
            for request in std::mem::take(&mut rig.forwarded) {
                lost += 1;
                if !nothing_comes && !usize::is_multiple_of(lost, LOST_ONE_IN) {
                    rig.reply(&request, counts);
                }
            }
            rig.settle(counts);
            for (transmit, octets) in std::mem::take(&mut rig.sent) {
                let user = users.iter_mut().find(|user| user.address() == transmit.destination);
                let user = user.filter(|user| user.waits.as_ref().is_some_and(|waits| waits[1] == octets[1]));
                let (Some(user), Some(code)) = (user, Code::from_octet(octets[0])) else { continue };
                user.take(code);
                *codes.entry(code.octet()).or_default() += usize::from(counts);
            }
            rig.server.pass(STEP);
        }
        let calls = CALLS.replace(0);
        assert_eq!(calls, 0, "calls of the allocator; {}", rig.server.table());
        if phase == 0 {
            before = rig.server.count("forwarded");
        }
    }
    println!("{threads:?}: {codes:?}, {}", rig.server.table());
    // Nothing of this was rare.
    assert!(rig.server.count("forwarded") - before > 20_000, "{}", rig.server.table());
    for name in ["ongoing", "forwarded_again"] {
        assert!(rig.server.count(name) > 2000, "{name}; {}", rig.server.table());
    }
    for code in [Code::AccessAccept, Code::AccessReject, Code::AccessChallenge, Code::AccountingResponse] {
        assert!(codes.get(&code.octet()).is_some_and(|count| *count > 1000), "{code:?}; {codes:?}");
    }
}

#[test]
fn no_core_calls_the_allocator_to_forward() {
    run("[runtime]\nnetwork_threads = 1\nworkers = 2\n");
    run("[runtime]\nnetwork_threads = 0\nworkers = 2\n");
}
