//! Blocks of damaged packets among genuine requests, from several ports, and what must have come of all of them.
//!
//! A block ends with a genuine Access-Request. When that is answered, the server has read all of the block: the kernel
//! keeps the order of a port. So what is on its way can be kept below what any receive buffer holds, and nothing is lost.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use crate::draw::Draw;
use crate::mutation::{MUTATIONS, oddities};
use crate::packet::{
    ACCESS_REQUEST, ACCOUNTING_REQUEST, ACCT_STATUS_TYPE, CALLING_STATION_ID, CHAP_PASSWORD, Digests,
    EAP_MESSAGE, Fate, MESSAGE_AUTHENTICATOR, NAS_IDENTIFIER, NAS_IP_ADDRESS, NAS_PORT, PROXY_STATE, STATE,
    STATUS_SERVER, USER_NAME, USER_PASSWORD, VENDOR_SPECIFIC, chap_password, push, set_length,
};
use crate::port::{Port, Request};
use crate::support::{PASSWORD, SECRET, Ulna, WRONG_PASSWORD};

const PORTS: usize = 16;
/// How much of a receive buffer may be taken by what is on its way. An unprivileged server on a kernel with its usual
/// bound gets 416 KiB, of which a quarter may be freed late.
const ON_THE_WAY_MAX: usize = 256 * 1024;
/// Of the latest requests of a port, how many are damaged.
const DAMAGED: usize = 6;
/// As many as the block before had, and the companion of this one.
const REPEATED: usize = 3;
/// Longer ones would make replies that do not fit, once their Proxy-States are returned.
const ODDITY_OCTETS_MAX: usize = 3500;

/// What was sent, and what the server must therefore have counted.
#[derive(Debug, Default)]
pub struct Tally {
    pub sent: u64,
    /// Damaged packets, among them those that differ from their original in nothing that counts.
    pub mutants: u64,
    pub mutants_unharmed: u64,
    /// Requests with a Message-Authenticator that is right and contents that are not.
    pub oddities: u64,
    /// Different Access-Requests that verify.
    pub requests: u64,
    /// Datagrams that hold one of them again.
    pub duplicates: u64,
    /// Datagrams that hold a Status-Server, and those that hold accounting, that verifies.
    pub status: u64,
    pub accounting: u64,
    pub discards: BTreeMap<&'static str, u64>,
}

pub struct Campaign {
    digests: Digests,
    draw: Draw,
    serial: u32,
    ports: Vec<Port>,
    /// Ports that wait for the end of their block: which, for how many of its requests, what the block takes.
    on_the_way: VecDeque<(usize, usize, usize)>,
    next_port: usize,
    pub tally: Tally,
}

impl Campaign {
    pub fn new(server: SocketAddr, seed: u64) -> Campaign {
        Campaign {
            digests: Digests::new(SECRET.as_bytes()),
            draw: Draw::new(seed),
            serial: 0,
            ports: (0..PORTS).map(|_| Port::new(server)).collect(),
            on_the_way: VecDeque::new(),
            next_port: 0,
            tally: Tally::default(),
        }
    }

    /// Sends so many blocks of so many damaged packets each, and takes all replies.
    pub fn run(&mut self, blocks: u64, mutants_each: usize) {
        for _ in 0..blocks {
            let port = self.next_port;
            self.next_port = (port + 1) % PORTS;
            self.block(port, mutants_each);
        }
        while !self.on_the_way.is_empty() {
            self.take_oldest();
        }
        // Each port's latest requests have had no duplicate yet.
        for port in 0..PORTS {
            let before = self.ports[port].requests.len();
            self.repeat_latest(port, before);
            let Campaign { ports, digests, tally, .. } = self;
            ports[port].wait(digests, before, 0, |request| tally.repeated(request));
        }
    }

    fn block(&mut self, port: usize, mutants: usize) {
        while self.on_the_way.iter().any(|(busy, ..)| *busy == port) {
            self.take_oldest();
        }
        let damaged_max = DAMAGED.min(self.ports[port].requests.len());
        let last = self.access_request(port);
        let companion = self.draw.one_in(4).then(|| self.companion(port));
        let bases: Vec<Vec<u8>> = {
            let latest = self.ports[port].requests.iter().rev().take(damaged_max);
            latest.map(|request| request.octets.clone()).chain([last.octets.clone()]).collect()
        };
        let mut damaged: Vec<Vec<u8>> = Vec::with_capacity(mutants);
        while damaged.len() < mutants {
            let (base, other) = (self.draw.below(bases.len()), self.draw.below(bases.len()));
            let (_, damage) = self.draw.one_of(&MUTATIONS);
            let mutant = damage(&mut self.draw, &bases[base], &bases[other]);
            match self.digests.fate(&mutant) {
                Fate::Discard(reason) => *self.tally.discards.entry(reason).or_default() += 1,
                // The last request of a block is not to be answered before its end.
                Fate::Request(_) if base == damaged_max => continue,
                Fate::Request(_) => {
                    self.tally.mutants_unharmed += 1;
                    let place = self.ports[port].place(&mutant);
                    self.tally.repeated(&self.ports[port].requests[place]);
                    // `repeated` counts what is sent; what follows counts all mutants.
                    self.tally.sent -= 1;
                }
            }
            damaged.push(mutant);
        }
        let taken: usize = damaged.iter().map(|mutant| buffer_octets(mutant.len())).sum();
        let taken = taken + 8 * buffer_octets(4096);
        while !self.on_the_way.is_empty()
            && self.on_the_way.iter().map(|(.., taken)| taken).sum::<usize>() + taken > ON_THE_WAY_MAX
        {
            self.take_oldest();
        }

        let asked = 1 + usize::from(companion.is_some());
        if let Some(companion) = companion {
            self.ask(port, companion);
        }
        let middle = self.draw.below(mutants);
        for (place, mutant) in damaged.iter().enumerate() {
            if place == middle {
                self.repeat_latest(port, REPEATED);
            }
            self.ports[port].send(mutant);
        }
        self.tally.sent += mutants as u64;
        self.tally.mutants += mutants as u64;
        self.ask(port, last);
        self.on_the_way.push_back((port, asked, taken));
    }

    /// Waits for the end of the block that was sent first.
    fn take_oldest(&mut self) {
        let (port, asked, _) = self.on_the_way.pop_front().expect("a block is on its way");
        let Campaign { ports, digests, tally, .. } = self;
        ports[port].wait(digests, DAMAGED, asked, |request| tally.repeated(request));
    }

    /// Sends the duplicates of a port's latest requests.
    fn repeat_latest(&mut self, port: usize, count: usize) {
        let requests = &self.ports[port].requests;
        for request in requests.iter().skip(requests.len().saturating_sub(count)) {
            self.ports[port].send(&request.octets);
            self.tally.repeated(request);
        }
    }

    fn ask(&mut self, port: usize, request: Request) {
        match request.code() {
            ACCESS_REQUEST => self.tally.requests += 1,
            ACCOUNTING_REQUEST => self.tally.accounting += 1,
            STATUS_SERVER => self.tally.status += 1,
            code => unreachable!("nothing here asks with code {code}"),
        }
        self.tally.sent += 1;
        self.ports[port].ask(request);
    }

    /// The request that ends a block: PAP or CHAP, with a number of its own and, now and then, with what makes it odd.
    fn access_request(&mut self, port: usize) -> Request {
        let draw = &mut self.draw;
        let accept = !draw.one_in(8);
        let password = if accept { PASSWORD } else { WRONG_PASSWORD }.as_bytes();
        let mut octets = vec![ACCESS_REQUEST, self.ports[port].identifier(), 0, 0];
        octets.extend_from_slice(&draw.octets::<16>());
        let authenticator = octets[4..].to_vec();
        let signed_first = draw.one_in(2);
        if signed_first {
            push(&mut octets, MESSAGE_AUTHENTICATOR, &[0; 16]);
        }
        push(&mut octets, USER_NAME, b"bob");
        if draw.one_in(4) {
            push(&mut octets, CHAP_PASSWORD, &chap_password(draw.octet(), password, &authenticator));
        } else {
            let hidden = self.digests.hide(password, &authenticator);
            push(&mut octets, USER_PASSWORD, &hidden);
        }
        push(&mut octets, NAS_IP_ADDRESS, &[192, 0, 2, 10]);
        self.serial += 1;
        push(&mut octets, NAS_PORT, &self.serial.to_be_bytes());
        push(&mut octets, NAS_IDENTIFIER, b"switch-1");
        // Another worker's conversation as often as not.
        push(&mut octets, CALLING_STATION_ID, format!("00-00-5E-00-53-{:02X}", draw.octet()).as_bytes());
        push(&mut octets, PROXY_STATE, &self.serial.to_be_bytes());
        if draw.one_in(8) {
            push(&mut octets, STATE, &draw.octets::<16>());
        }
        if draw.one_in(8) {
            push(&mut octets, EAP_MESSAGE, &[2, draw.octet(), 0, 8, 1, b'b', b'o', b'b']);
        }
        if draw.one_in(32) {
            for _ in 0..draw.below(12) {
                push(&mut octets, VENDOR_SPECIFIC, &[9; 250]);
            }
        }
        if !signed_first {
            push(&mut octets, MESSAGE_AUTHENTICATOR, &[0; 16]);
        }
        Request::new(self.signed(octets), Some(accept))
    }

    /// Something else that verifies.
    fn companion(&mut self, port: usize) -> Request {
        match self.draw.below(4) {
            0 => {
                let mut octets = vec![STATUS_SERVER, self.ports[port].identifier(), 0, 0];
                octets.extend_from_slice(&self.draw.octets::<16>());
                push(&mut octets, MESSAGE_AUTHENTICATOR, &[0; 16]);
                Request::new(self.signed(octets), None)
            }
            1 => {
                let mut octets = vec![ACCOUNTING_REQUEST, self.ports[port].identifier(), 0, 0];
                octets.extend_from_slice(&[0; 16]);
                push(&mut octets, ACCT_STATUS_TYPE, &[0, 0, 0, 1]);
                push(&mut octets, USER_NAME, b"bob");
                self.serial += 1;
                push(&mut octets, NAS_PORT, &self.serial.to_be_bytes());
                if self.draw.one_in(2) {
                    push(&mut octets, MESSAGE_AUTHENTICATOR, &[0; 16]);
                }
                Request::new(self.signed(octets), None)
            }
            _ => self.oddity(port),
        }
    }

    /// An Access-Request that was damaged and then signed: as a NAS sends it that is broken, or that somebody hostile has
    /// taken over.
    fn oddity(&mut self, port: usize) -> Request {
        loop {
            let (base, other) = (self.access_request(port), self.access_request(port));
            let mut octets = oddities(&mut self.draw, &base.octets, &other.octets);
            if octets.len() > ODDITY_OCTETS_MAX {
                continue;
            }
            octets[4..20].copy_from_slice(&self.draw.octets::<16>());
            self.digests.sign(&mut octets);
            if self.digests.fate(&octets) == Fate::Request(ACCESS_REQUEST) {
                self.tally.oddities += 1;
                return Request::new(octets, None);
            }
        }
    }

    fn signed(&self, mut octets: Vec<u8>) -> Vec<u8> {
        set_length(&mut octets);
        self.digests.sign(&mut octets);
        assert_eq!(self.digests.fate(&octets), Fate::Request(octets[0]), "what we sign verifies");
        octets
    }

    /// Takes what is still on its way, and compares all that was sent with all that the server has counted.
    pub fn settle(&mut self, ulna: &Ulna) -> BTreeMap<String, u64> {
        let sent = self.tally.sent;
        ulna.wait_for_counters("all that was sent is done with", |counters| {
            let received = counters["received"] - counters["strays_taken"];
            let waiting =
                ["in_progress", "delayed_rejects", "completions_waiting"].map(|name| counters[name]);
            received + counters["kernel_drops"] >= sent && waiting == [0; 3]
        });
        for port in &mut self.ports {
            while port.receive(&self.digests) {}
        }
        let counters = ulna.counters();
        let Tally { requests, duplicates, status, accounting, .. } = self.tally;
        let counted = |names: &[&str]| -> u64 {
            names.iter().map(|name| counters.get(*name).copied().unwrap_or_default()).sum()
        };
        let answers: u64 = self.ports.iter().map(|port| port.answers).sum();
        let equal = |what: &str, ours: u64, theirs: u64| {
            assert_eq!(ours, theirs, "{what}: ours, theirs of {:#?}\n{counters:#?}", self.tally);
        };
        equal("what the kernel dropped", 0, counted(&["kernel_drops", "send_would_block", "send_failed"]));
        equal("packets", sent, counters["received"] - counters["strays_taken"]);
        // Each request was answered (its port has seen that) and only so many times did policy run: once for each.
        equal("policy ran", requests, counters["decisions"]);
        equal("requests answered", requests, counters["answered"]);
        equal("accepted or rejected", requests, counted(&["accepts", "rejects"]));
        equal("Status-Server answered", status, counters["status_answered"]);
        let no_rule = counted(&["discarded no-accounting-rule"]);
        equal("accepted", requests + no_rule, counters["accepted"]);
        let seen_before = counted(&["duplicates_resent", "duplicates_in_progress"]);
        equal("duplicates and accounting", duplicates + accounting, seen_before + no_rule);
        equal("answers", answers, requests + counters["duplicates_resent"] + status);
        equal("answers sent", answers, counters["packets_sent"]);
        for (name, theirs) in counters.iter().filter(|(name, _)| name.starts_with("discarded ")) {
            if name != "discarded no-accounting-rule" {
                let ours = self.tally.discards.get(&name["discarded ".len()..]).copied();
                equal(name, ours.unwrap_or_default(), *theirs);
            }
        }
        // With the sums equal, none of ours can be missing there either.
        let discarded = counters.iter().filter(|(name, _)| name.starts_with("discarded "));
        let discarded: u64 = discarded.map(|(_, value)| value).sum();
        equal("discards by all names", self.tally.discards.values().sum(), discarded - no_rule);
        equal(
            "discards and answers and duplicates in progress",
            sent,
            discarded + answers + counters["duplicates_in_progress"],
        );
        counters
    }
}

impl Tally {
    /// A request was sent once more.
    fn repeated(&mut self, request: &Request) {
        self.sent += 1;
        match request.code() {
            ACCESS_REQUEST => self.duplicates += 1,
            ACCOUNTING_REQUEST => self.accounting += 1,
            _ => self.status += 1,
        }
    }
}

/// What a datagram takes of a receive buffer: the kernel rounds up and adds what it keeps of each.
fn buffer_octets(octets: usize) -> usize {
    (octets + 400).next_power_of_two() + 256
}
