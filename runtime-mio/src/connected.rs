//! Sockets that connections have for themselves: opened, read, and closed so that nothing which came to one is lost.
//!
//! Decides nothing: core orders each, and whose a datagram is says its own addresses, wherever it was read.
//!
//! Where the listening sockets are bound to the connection's own address, a new socket joins their group, behind all of them. The
//! steering program names none that is so far behind, so that what others send goes on to the listening sockets, but for
//! what the kernel is about to deliver in the very moment in which the new one is connected. Where they are bound to the
//! wildcard, the new one takes all that comes to its address between its bind and its connect. Either is read out with
//! its real addresses. (Bound to the wildcard itself it would join there, too; but then its connect moves it from one chain of
//! the kernel's table to another, and a look-up that stands on it just then goes astray and finds nobody. Seen.)
//!
//! To close one without loss it is first *parked*: connected to itself, to where nobody sends. From there on its peer's
//! packets go to the listening sockets. What it has is handed in, and after a while, in which what the kernel was just
//! delivering has arrived, it is looked at again and closed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use ulna_core::Instant;
use ulna_core::network::connected::OwnSocket;
use ulna_core::path::{Path, Via};

use crate::counters::ThreadCounters;
use crate::listening::{Listening, ReadFrom};
use crate::mmsg::{ReceiveBatch, report_errors, socket_drops, take_error};
use crate::sockets::share_udp;
use crate::system_calls::SystemCalls;

/// Sockets read in one turn, at most; as many as events are taken at once.
pub(crate) const READ_EACH_TURN: usize = 64;
/// Sockets opened or closed in one turn, at most: each takes the kernel some 10 to 20 µs.
pub(crate) const ORDERS_EACH_TURN: usize = 32;
/// How long a parked socket is kept. The kernel delivers what it has looked up within microseconds, unless a hypervisor takes
/// its processor away.
const PARKED_FOR: Duration = Duration::from_millis(200);
/// Hundreds of small packets: more than one NAS has under way.
const RECEIVE_OCTETS_MAX: usize = 262_144;
/// Behind those of all listening sockets, which have 16 bits.
const FIRST_TOKEN: usize = 1 << 32;
/// Reports of the network taken from one socket at once.
const REPORTS_MAX: u32 = 64;

/// How many sockets there are in the whole process, parked ones included.
#[derive(Debug, Default)]
pub(crate) struct Budget(AtomicU32);

/// One of them, given back when its socket is closed.
#[derive(Debug)]
struct Share(Arc<Budget>);

impl Budget {
    fn take(self: &Arc<Self>, at_most: u32) -> Option<Share> {
        // Relaxed: a count, which orders nothing else.
        let more = |open: u32| (open < at_most).then_some(open + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Share(Arc::clone(self)))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The sockets of one thread's connections.
pub(crate) struct ConnectedSockets {
    /// By the place of the connection.
    places: Vec<Option<Own>>,
    /// Places of sockets that may have something to read.
    ready: VecDeque<u32>,
    /// In the order in which they were parked.
    parked: VecDeque<Parked>,
    /// Of these, so many of the last have not been read yet.
    unread: usize,
    budget: Arc<Budget>,
    receive_octets: usize,
    counters: Arc<ThreadCounters>,
}

/// One socket.
struct Own {
    socket: UdpSocket,
    share: Share,
    generation: u32,
    from: ReadFrom,
    path: Path,
    is_ready: bool,
}

/// One that is about to be closed.
struct Parked {
    socket: UdpSocket,
    _share: Share,
    from: ReadFrom,
    since: Instant,
}

/// What came of reading one socket.
pub(crate) struct Read {
    /// What the datagrams have in common.
    pub from: ReadFrom,
    /// The connection whose socket it is.
    pub path: Path,
    /// How often the network said that something sent along it did not arrive.
    pub unreachable: u32,
}

impl ConnectedSockets {
    /// None so far. Each asks for a receive buffer of so many octets, if they are not too many for one NAS.
    pub fn new(budget: &Arc<Budget>, receive_octets: usize, counters: &Arc<ThreadCounters>) -> Self {
        ConnectedSockets {
            places: Vec::new(),
            ready: VecDeque::new(),
            parked: VecDeque::new(),
            unread: 0,
            budget: Arc::clone(budget),
            receive_octets: receive_octets.min(RECEIVE_OCTETS_MAX),
            counters: Arc::clone(counters),
        }
    }

    /// Opens one. False if there are too many, or the kernel has none: then its connection goes on without.
    pub fn open(
        &mut self,
        socket: OwnSocket,
        path: &Path,
        at_most: u32,
        listening: &Listening,
        registry: &Registry,
        now: Instant,
    ) -> bool {
        let own =
            self.connect(path, at_most, listening, now).and_then(|(mut own, share, from)| {
                match registry.register(&mut own, token(socket.place), Interest::READABLE) {
                    Ok(()) => Some((own, share, from)),
                    Err(_) => {
                        self.park(own, share, from, now);
                        None
                    }
                }
            });
        let Some((own, share, from)) = own else {
            self.counters.connected_refused.up();
            return false;
        };
        let place = socket.place as usize;
        if self.places.len() <= place {
            self.places.resize_with(place + 1, || None);
            self.ready.reserve(2 * self.places.len() - self.ready.len());
        }
        let own =
            Own { socket: own, share, generation: socket.generation, from, path: *path, is_ready: false };
        if let Some(before) = self.places[place].replace(own) {
            self.put_aside(before, registry, now);
        }
        // What came before it was registered is not reported.
        self.set_ready(socket.place);
        self.counters.connected_opened.up();
        true
    }

    /// A socket from the connection's own address, connected to its peer.
    fn connect(
        &mut self,
        path: &Path,
        at_most: u32,
        listening: &Listening,
        now: Instant,
    ) -> Option<(UdpSocket, Share, ReadFrom)> {
        let Via::Socket(via) = path.via else { unreachable!("a stream has a socket of its own") };
        let from = ReadFrom { connected_to: Some(path.remote), ..listening.read_from(via) };
        let mut own = from.local;
        own.set_ip(path.local.ip());
        if let (SocketAddr::V6(own), SocketAddr::V6(remote)) = (&mut own, path.remote) {
            // An address of one link alone means nothing without that link.
            own.set_scope_id(remote.scope_id());
        }
        let share = self.budget.take(at_most)?;
        let socket = share_udp(own, self.receive_octets).ok()?;
        let connected = report_errors(&socket, path.remote).and_then(|()| socket.connect(path.remote));
        if connected.is_err() {
            // Since its bind something may have come to it.
            self.park(socket, share, from, now);
            return None;
        }
        Some((socket, share, from))
    }

    /// Closes one, as soon as all that has come to it is handed in. Nothing if it was refused.
    pub fn close(&mut self, socket: OwnSocket, registry: &Registry, now: Instant) {
        let own = self.places.get_mut(socket.place as usize);
        let own = own.and_then(|own| own.take_if(|own| own.generation == socket.generation));
        if let Some(own) = own {
            self.put_aside(own, registry, now);
        }
    }

    /// Closes all: nobody knows of their connections any more.
    pub fn close_all(&mut self, registry: &Registry, now: Instant) {
        for place in 0..self.places.len() {
            if let Some(own) = self.places[place].take() {
                self.put_aside(own, registry, now);
            }
        }
    }

    fn put_aside(&mut self, own: Own, registry: &Registry, now: Instant) {
        let Own { mut socket, share, from, .. } = own;
        // It only fails for what is not registered; then there is nothing to be undone.
        let _ = registry.deregister(&mut socket);
        self.counters.connected_closed.up();
        self.park(socket, share, from, now);
    }

    fn park(&mut self, socket: UdpSocket, share: Share, from: ReadFrom, now: Instant) {
        // Where the kernel refuses it takes its peer's packets until it is closed, and they are read as well.
        let _ = socket.local_addr().and_then(|own| socket.connect(own));
        self.parked.push_back(Parked { socket, _share: share, from, since: now });
        self.unread += 1;
    }

    /// Readiness was reported under this token; false if it is of none of these.
    pub fn note_ready(&mut self, token: Token) -> bool {
        let Some(place) = token.0.checked_sub(FIRST_TOKEN).and_then(|place| u32::try_from(place).ok()) else {
            return false;
        };
        self.set_ready(place);
        true
    }

    fn set_ready(&mut self, place: u32) {
        if let Some(Some(own)) = self.places.get_mut(place as usize)
            && !std::mem::replace(&mut own.is_ready, true)
        {
            self.ready.push_back(place);
        }
    }

    /// Whether one may have something to read.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// How many places are in line to be read.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Reads one batch of the socket that has waited longest. `None` when none waits.
    pub fn read_next(&mut self, receive: &mut ReceiveBatch, calls: &mut SystemCalls) -> Option<Read> {
        while let Some(place) = self.ready.pop_front() {
            let Some(Some(own)) = self.places.get_mut(place as usize) else { continue };
            if !std::mem::take(&mut own.is_ready) {
                continue;
            }
            let before = receive.unreachable_reports();
            let received = receive.receive(&own.socket, calls);
            // One report stands for all that are in line behind it.
            let mut unreachable = (receive.unreachable_reports() - before) as u32;
            if unreachable > 0 {
                let in_line = (0..REPORTS_MAX).take_while(|_| take_error(&own.socket, calls)).count() as u32;
                unreachable = unreachable.max(in_line);
            }
            let read = Read { from: own.from, path: own.path, unreachable };
            // A short batch has emptied it: readiness is reported again when something comes. What is refused for want of memory is
            // tried again.
            let is_empty = received.as_ref().is_ok_and(|received| *received < receive.capacity());
            if received.is_err() {
                self.counters.receive_failed.up();
            }
            if !is_empty || unreachable >= REPORTS_MAX {
                self.set_ready(place);
            }
            return Some(read);
        }
        None
    }

    /// Reads a batch of what is to be closed. `None` when all is read that can be by now; what is empty for good is closed.
    pub fn read_parked(
        &mut self,
        receive: &mut ReceiveBatch,
        calls: &mut SystemCalls,
        now: Instant,
    ) -> Option<ReadFrom> {
        while self.unread > 0 {
            let parked = &self.parked[self.parked.len() - self.unread];
            let received = receive.receive(&parked.socket, calls).unwrap_or_default();
            if received < receive.capacity() {
                self.unread -= 1;
            }
            if received > 0 {
                return Some(parked.from);
            }
        }
        while let Some(parked) = self.parked.front()
            && parked.since + PARKED_FOR <= now
        {
            let (from, received) = (parked.from, receive.receive(&parked.socket, calls).unwrap_or_default());
            if received < receive.capacity() {
                let drops = socket_drops(&parked.socket).unwrap_or_default();
                self.counters.connected_drops.add(drops.into());
                self.parked.pop_front();
            }
            if received > 0 {
                return Some(from);
            }
        }
        None
    }

    /// When there is something to be closed next.
    pub fn deadline(&self) -> Option<Instant> {
        self.parked.front().map(|parked| parked.since + PARKED_FOR)
    }
}

fn token(place: u32) -> Token {
    Token(FIRST_TOKEN + place as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::Poll;
    use std::sync::atomic::{AtomicBool, AtomicU64};
    use ulna_config::Cores;
    use ulna_core::Seed;
    use ulna_core::network::owner::Owners;
    use ulna_core::path::{ListenerId, SocketId};

    /// All listening sockets and all of `sockets` are read until nothing is there: each datagram's octets go to `take`.
    fn read_all(
        sockets: &mut ConnectedSockets,
        listening: &Listening,
        now: Instant,
        take: &mut dyn FnMut(&[u8]),
    ) {
        let (mut receive, mut calls) = (ReceiveBatch::new(64, 64), SystemCalls::default());
        let mut hand_in = |receive: &mut ReceiveBatch| {
            while let Some(datagram) = receive.next_datagram() {
                take(datagram.octets);
            }
        };
        for bound in listening.sockets() {
            while receive.receive(&bound.socket, &mut calls).expect("it is a socket") > 0 {
                hand_in(&mut receive);
            }
        }
        while sockets.read_next(&mut receive, &mut calls).is_some() {
            hand_in(&mut receive);
        }
        while sockets.read_parked(&mut receive, &mut calls, now).is_some() {
            hand_in(&mut receive);
        }
    }

    /// `ULNA_SOCKET_ROUNDS` says how often for each address; the suite takes seconds, the night a minute.
    #[test]
    fn nothing_is_lost_though_its_peer_sends_as_it_is_opened_and_closed() {
        // They fit into any of its receive buffers.
        const UNREAD_MAX: u64 = 300;
        const READ_EACH_ROUND: u64 = 50;
        // The clock of the sockets is so much faster: a parked one is gone in 20 ms, in which hundreds of datagrams come.
        const HASTE: u64 = 10;
        let rounds: u32 =
            std::env::var("ULNA_SOCKET_ROUNDS").map_or(400, |text| text.parse().expect("a number of rounds"));
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
            let text = format!(
                "[runtime]\nnetwork_threads = 1\n[[listen]]\nname = \"a\"\ntransport = \"udp\"\naddress = \"{address}\"\n\
                 packets = [\"access\"]\nserver = \"s\"\n[[client]]\nname = \"c\"\nnetwork = \"127.0.0.0/8\"\n\
                 secret = \"0123456789abcdef\"\n[[server]]\nname = \"s\"\n[[server.new]]\nreject = true\n"
            );
            let (configuration, _) = ulna_config::parse(&text, "x", Cores(2)).expect("it is right");
            let polls = [Poll::new().expect("a poll")];
            let owners = Owners::new(1, &Seed::new([9; 32]));
            let listening = Listening::bind(&configuration, owners.mixing(), &polls).expect("a free port");
            let own = if address.starts_with('[') { "[::1]:0" } else { "127.0.0.1:0" };
            let peer = std::net::UdpSocket::bind(own).expect("a free port");
            let remote = peer.local_addr().expect("it is bound");
            let local = SocketAddr::new(remote.ip(), listening.addresses().next().expect("one").1.port());
            peer.connect(local).expect("it is on this machine");
            let counters = Arc::<ThreadCounters>::default();
            let mut sockets = ConnectedSockets::new(&Arc::default(), 1 << 20, &counters);
            let (read, ends) = (AtomicU64::new(0), AtomicBool::new(false));
            let mut seen = std::collections::HashSet::new();
            let mut take = |octets: &[u8]| {
                assert!(seen.insert(octets.to_vec()), "each comes once");
                read.fetch_add(1, Ordering::Relaxed);
            };
            let sent = std::thread::scope(|scope| {
                let sender = scope.spawn(|| {
                    let mut sent = 0_u64;
                    while !ends.load(Ordering::Relaxed) {
                        if sent - read.load(Ordering::Relaxed) < UNREAD_MAX {
                            sent += 1;
                            peer.send(&sent.to_be_bytes()).expect("somebody has the port");
                        } else {
                            // Its reader may want this very processor.
                            std::thread::yield_now();
                        }
                    }
                    sent
                });
                let began = std::time::Instant::now();
                let now = || Instant::from_nanoseconds(began.elapsed().as_nanos() as u64 * HASTE);
                // What is lost is never read: its sender waits for ever.
                let progress = std::cell::Cell::new((0, began));
                let stalls = || {
                    let (before, since) = progress.get();
                    match read.load(Ordering::Relaxed) {
                        read if read == before => since.elapsed() > Duration::from_secs(10),
                        read => {
                            progress.set((read, std::time::Instant::now()));
                            false
                        }
                    }
                };
                let registry = polls[0].registry();
                for generation in 0..rounds {
                    let socket = OwnSocket { place: 0, generation };
                    let path = Path { via: Via::Socket(SocketId(0)), listener: ListenerId(0), local, remote };
                    assert!(sockets.open(socket, &path, rounds, &listening, registry, now()));
                    let before = read.load(Ordering::Relaxed);
                    // Its peer goes on sending while it is read, and while it is closed.
                    while read.load(Ordering::Relaxed) < before + READ_EACH_ROUND && !stalls() {
                        sockets.set_ready(0);
                        read_all(&mut sockets, &listening, now(), &mut take);
                    }
                    sockets.close(socket, registry, now());
                    // Now and then no other one follows before it is gone.
                    while {
                        read_all(&mut sockets, &listening, now(), &mut take);
                        generation % 10 == 0 && sockets.deadline().is_some()
                    } {}
                }
                ends.store(true, Ordering::Relaxed);
                sender.join().expect("it has not panicked")
            });

            read_all(&mut sockets, &listening, Instant::from_nanoseconds(u64::MAX / 2), &mut take);
            assert_eq!(read.into_inner(), sent, "of those to {address}");
            assert!(sockets.deadline().is_none(), "all are closed");
            assert_eq!(
                (counters.connected_opened.value(), counters.connected_drops.value()),
                (rounds.into(), 0)
            );
        }
    }

    #[test]
    fn a_budget_is_never_passed_and_comes_back() {
        let budget = Arc::<Budget>::default();
        let mut shares: Vec<_> = (0..3).map_while(|_| budget.take(3)).collect();
        assert_eq!(shares.len(), 3);
        assert!(budget.take(3).is_none() && budget.take(0).is_none());
        shares.pop();
        assert!(budget.take(2).is_none(), "a reload may have it less");
        assert!(budget.take(3).is_some());
        drop(shares);
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn tokens_of_others_are_none_of_these() {
        let mut sockets = ConnectedSockets::new(&Arc::default(), 4096, &Arc::default());
        assert!(!sockets.note_ready(Listening::token(SocketId(65_535))));
        assert!(!sockets.note_ready(crate::bell::BELL));
        assert!(sockets.note_ready(token(7)), "late news of one that is closed");
        assert!(!sockets.has_ready());
    }
}
