//! A relay between a NAS and its server that holds, turns or edits what passes, and knows the secret of both. Each source
//! that it hears has a socket of its own towards the servers, as behind a NAT.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ulna_core::packet::Framed;

use crate::edit;
use crate::gate::Gate;

/// What becomes of the State in requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requests {
    AsTheyAre,
    /// It is taken out.
    WithoutState,
    /// It is made another, one that nobody has given.
    WithAnotherState,
    /// It becomes the one that this server has last given to that Calling-Station-Id.
    WithTheServersState,
}

/// What becomes of the State in replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replies {
    AsTheyAre,
    /// It becomes the same for all conversations.
    AllAlike,
}

/// What a relay does.
pub struct Plan {
    pub to: Vec<SocketAddr>,
    /// Which of these a conversation's round, counted from 1, goes to.
    pub route: fn(usize) -> usize,
    pub requests: Requests,
    pub replies: Replies,
    pub gate: Option<Arc<Gate>>,
}

impl Plan {
    /// One that changes nothing.
    pub fn to(server: SocketAddr) -> Plan {
        let (requests, replies) = (Requests::AsTheyAre, Replies::AsTheyAre);
        Plan { to: vec![server], route: |_| 0, requests, replies, gate: None }
    }
}

/// A running relay.
pub struct Relay {
    pub address: SocketAddr,
    is_to_end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    pub fn start(plan: Plan) -> Relay {
        let front = socket();
        let address = front.local_addr().expect("it is bound");
        let is_to_end = Arc::new(AtomicBool::new(false));
        let mut work = Work { plan, front, lines: Vec::new(), states: BTreeMap::new() };
        let thread = std::thread::spawn({
            let is_to_end = Arc::clone(&is_to_end);
            move || {
                while !is_to_end.load(Ordering::Relaxed) {
                    work.turn();
                }
            }
        });
        Relay { address, is_to_end, thread: Some(thread) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.is_to_end.store(true, Ordering::Relaxed);
        let ended = self.thread.take().expect("it ends once").join();
        assert!(ended.is_ok() || std::thread::panicking(), "the relay met a packet that it cannot read");
    }
}

/// One of any port, which is never waited for.
fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.set_nonblocking(true).expect("it is a socket");
    socket
}

struct Work {
    plan: Plan,
    front: UdpSocket,
    lines: Vec<Line>,
    /// The State that was last given to a Calling-Station-Id.
    states: BTreeMap<String, Vec<u8>>,
}

/// What comes from one source.
struct Line {
    nas: SocketAddr,
    socket: UdpSocket,
    rounds: usize,
    /// The newest request under each Identifier.
    asked: BTreeMap<u8, Asked>,
    /// Waits at the gate.
    held: Option<u8>,
}

struct Asked {
    authenticator: [u8; 16],
    station: String,
    /// As it is sent on, again and again.
    octets: Vec<u8>,
    to: SocketAddr,
}

impl Work {
    /// Waits for packets, not for long, and passes them on.
    fn turn(&mut self) {
        let sockets = [&self.front].into_iter().chain(self.lines.iter().map(|line| &line.socket));
        let mut waits: Vec<PollFd> = sockets.map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        let a_moment = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        // What a signal cuts short is only an earlier turn.
        let _ = poll(&mut waits, Some(&a_moment));
        let readable: Vec<bool> = waits.iter().map(|wait| !wait.revents().is_empty()).collect();
        let mut buffer = [0; 4096];
        for (index, _) in readable.iter().skip(1).enumerate().filter(|(_, readable)| **readable) {
            while let Ok(length) = self.lines[index].socket.recv(&mut buffer) {
                self.reply(index, &buffer[..length]);
            }
        }
        if readable[0] {
            while let Ok((length, nas)) = self.front.recv_from(&mut buffer) {
                self.request(nas, &buffer[..length]);
            }
        }
        if self.plan.gate.as_ref().is_some_and(|gate| gate.is_open()) {
            for line in &mut self.lines {
                if let Some(identifier) = line.held.take() {
                    line.send(identifier);
                }
            }
        }
    }

    fn request(&mut self, nas: SocketAddr, octets: &[u8]) {
        let packet = Framed::parse(octets).expect("NASes send packets");
        let identifier = packet.identifier();
        let index = self.lines.iter().position(|line| line.nas == nas).unwrap_or_else(|| {
            self.lines.push(Line { nas, socket: socket(), rounds: 0, asked: BTreeMap::new(), held: None });
            self.lines.len() - 1
        });
        let line = &mut self.lines[index];
        let is_again =
            line.asked.get(&identifier).is_some_and(|asked| asked.authenticator == *packet.authenticator());
        if !is_again {
            line.rounds += 1;
            let station = edit::station(&packet);
            let octets = match (self.plan.requests, edit::state(&packet)) {
                (Requests::AsTheyAre, _) => octets.to_vec(),
                (Requests::WithoutState, _) | (Requests::WithAnotherState, None) => {
                    edit::request(&packet, None)
                }
                (Requests::WithAnotherState, Some(state)) => {
                    let another: Vec<u8> = state.iter().map(|octet| !octet).collect();
                    edit::request(&packet, Some(&another))
                }
                (Requests::WithTheServersState, _) => {
                    let state = self.states.get(&station).filter(|_| !edit::is_first(&packet));
                    edit::request(&packet, state.map(Vec::as_slice))
                }
            };
            let to = self.plan.to[(self.plan.route)(line.rounds)];
            let authenticator = *packet.authenticator();
            line.asked.insert(identifier, Asked { authenticator, station, octets, to });
        }
        let gate = self.plan.gate.as_ref().filter(|gate| line.rounds > gate.after_rounds && !gate.is_open());
        match gate {
            Some(gate) if line.held.replace(identifier).is_none() => gate.arrive(),
            Some(_) => {}
            None => line.send(identifier),
        }
    }

    fn reply(&mut self, index: usize, octets: &[u8]) {
        let packet = Framed::parse(octets).expect("servers send packets");
        let line = &self.lines[index];
        let Some(asked) = line.asked.get(&packet.identifier()) else { return };
        let state = edit::state(&packet).filter(|_| edit::is_challenge(&packet));
        if let Some(state) = state {
            self.states.insert(asked.station.clone(), state.to_vec());
        }
        let octets = match self.plan.replies {
            Replies::AllAlike if state.is_some() => {
                edit::reply(&packet, Some(b"as all the others"), &asked.authenticator)
            }
            Replies::AllAlike | Replies::AsTheyAre => octets.to_vec(),
        };
        // One that has ended meanwhile is not waited for.
        let _ = self.front.send_to(&octets, line.nas);
    }
}

impl Line {
    fn send(&self, identifier: u8) {
        let asked = &self.asked[&identifier];
        // What a dead server refuses has been sent all the same.
        let _ = self.socket.send_to(&asked.octets, asked.to);
    }
}
