//! The server's sockets: what the kernel holds for each, and what their threads know of it.
//!
//! Readiness is told by the edge, as by epoll: once for what comes, and not again for what is left there.

use crate::fault::{FaultClass, Injector};
use crate::plan::Plan;
use std::collections::VecDeque;
use std::net::SocketAddr;
use ulna_core::SocketId;

/// All sockets of a server, by the numbers that [`crate::plan::Topology::socket`] gives.
pub struct Sockets {
    /// Its name in draws and in the fault log: 0 is that of the first server.
    host: u64,
    sockets: Vec<Socket>,
    queue_max: usize,
}

/// A datagram at the server's host.
#[derive(Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Where it came from, as the server sees it.
    pub remote: SocketAddr,
    /// The NAS that has sent it as it is; no server knows that.
    pub sender: Option<usize>,
    /// Its octets.
    pub octets: Vec<u8>,
}

struct Socket {
    thread: usize,
    /// In the kernel.
    queue: VecDeque<Datagram>,
    /// The kernel has news of it for its thread.
    has_news: bool,
    /// The thread believes that there is more to read.
    may_read: bool,
    arrivals: u64,
    full_until: u64,
}

const SECOND: u64 = 1_000_000_000;

impl Sockets {
    /// Empty ones; each thread looks at its own before it waits for the first time.
    pub fn new(plan: &Plan) -> Self {
        Sockets::of_host(plan, 0)
    }

    /// Those of another host.
    pub fn of_host(plan: &Plan, host: u64) -> Self {
        let networks = plan.topology.networks();
        let sockets = (0..plan.topology.listeners.len() * networks).map(|socket| Socket {
            thread: socket % networks,
            queue: VecDeque::new(),
            has_news: false,
            may_read: true,
            arrivals: 0,
            full_until: 0,
        });
        Sockets { host, sockets: sockets.collect(), queue_max: plan.limits.receive_queue as usize }
    }

    /// Their process ends; another opens them anew.
    pub fn lose_all(&mut self) {
        for socket in &mut self.sockets {
            socket.queue.clear();
            (socket.has_news, socket.may_read) = (false, true);
        }
    }

    /// Whose socket it is.
    pub fn thread(&self, socket: SocketId) -> usize {
        self.sockets[usize::from(socket.0)].thread
    }

    /// Whether there is room for a datagram that reaches the server's host now.
    pub fn has_room(&mut self, socket: SocketId, now: u64, faults: &mut Injector) -> bool {
        let place = &mut self.sockets[usize::from(socket.0)];
        let ordinal = place.arrivals;
        place.arrivals += 1;
        // Full for a time, not for a number of datagrams: that might last into the time after the faults.
        let span = |draw: crate::draw::Draw| [draw.magnitude(1_000..=SECOND), 0];
        let (class, entity) = (FaultClass::ReceiveOverflow, self.host << 32 | u64::from(socket.0));
        if let Some([span, _]) = faults.strike(class, entity, ordinal, now, span) {
            place.full_until = now + span;
        }
        now >= place.full_until && place.queue.len() < self.queue_max
    }

    /// Puts it there.
    pub fn put(&mut self, socket: SocketId, datagram: Datagram) {
        let socket = &mut self.sockets[usize::from(socket.0)];
        socket.queue.push_back(datagram);
        socket.has_news = true;
    }

    /// What this thread knows to be readable, from this socket on.
    pub fn next_unread(&self, thread: usize, from: SocketId) -> Option<SocketId> {
        let mine = self.sockets.iter().enumerate().skip(usize::from(from.0));
        mine.filter(|(_, socket)| socket.thread == thread && socket.may_read)
            .map(|(place, _)| SocketId(place as u16))
            .next()
    }

    /// One datagram. When there is none, the thread knows that, too: a short batch has emptied the socket. A full batch
    /// says nothing, and the kernel will not say it again.
    pub fn read(&mut self, socket: SocketId) -> Option<Datagram> {
        let socket = &mut self.sockets[usize::from(socket.0)];
        let datagram = socket.queue.pop_front();
        socket.may_read = datagram.is_some();
        datagram
    }

    /// Whether the kernel would not let this thread sleep.
    pub fn has_news(&self, thread: usize) -> bool {
        self.sockets
            .iter()
            .any(|socket| socket.thread == thread && socket.has_news && !socket.queue.is_empty())
    }

    /// The kernel tells a thread its news. A socket that was emptied since is not named.
    pub fn tell(&mut self, thread: usize) {
        for socket in self.sockets.iter_mut().filter(|socket| socket.thread == thread) {
            let has_news = std::mem::take(&mut socket.has_news);
            socket.may_read |= has_news && !socket.queue.is_empty();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draws;
    use crate::swarm::Profile;

    const FIRST: SocketId = SocketId(0);

    fn sockets() -> (Sockets, Injector) {
        let mut plan = Plan::drawn(1, Profile::Calm);
        plan.limits.receive_queue = 2;
        let faults = Injector::drawn(Draws::new(1), plan.intensities(), 0);
        let mut sockets = Sockets::new(&plan);
        while let Some(unread) = sockets.next_unread(0, FIRST) {
            assert_eq!(sockets.read(unread), None);
        }
        (sockets, faults)
    }

    fn arrive(sockets: &mut Sockets, faults: &mut Injector) -> bool {
        let has_room = sockets.has_room(FIRST, 0, faults);
        if has_room {
            let remote = "10.0.0.1:1024".parse().expect("written here");
            sockets.put(FIRST, Datagram { remote, sender: None, octets: vec![1] });
        }
        has_room
    }

    #[test]
    fn news_is_told_once_and_what_a_full_batch_left_stays_known() {
        let (mut sockets, mut faults) = sockets();
        let arrived: Vec<_> = (0..3).map(|_| arrive(&mut sockets, &mut faults)).collect();
        assert_eq!(arrived, [true, true, false]);
        assert_eq!((sockets.next_unread(0, FIRST), sockets.has_news(0)), (None, true));
        sockets.tell(0);
        assert_eq!((sockets.next_unread(0, FIRST), sockets.has_news(0)), (Some(FIRST), false));
        assert!(sockets.read(FIRST).is_some());
        sockets.tell(0);
        assert_eq!(sockets.next_unread(0, FIRST), Some(FIRST), "one is left, and the thread knows it");
        assert!(sockets.read(FIRST).is_some() && sockets.read(FIRST).is_none());
        assert_eq!(sockets.next_unread(0, FIRST), None);
    }

    #[test]
    fn news_of_what_was_read_meanwhile_is_none() {
        let (mut sockets, mut faults) = sockets();
        assert!(arrive(&mut sockets, &mut faults));
        assert!(sockets.read(FIRST).is_some() && sockets.read(FIRST).is_none());
        assert!(!sockets.has_news(0));
        sockets.tell(0);
        assert_eq!(sockets.next_unread(0, FIRST), None);
    }
}
