//! The server's sockets to remote servers: what the kernel holds for each, and what their threads know of it.
//!
//! Each socket has a port of its own, which no later one gets: what comes late to a port that is closed comes to nobody.

use std::collections::{BTreeMap, VecDeque};
use ulna_core::SocketId;
use ulna_core::forward::RemoteSocket;

/// All of a server, by thread.
pub struct RemoteSockets {
    threads: Vec<Thread>,
    /// Where each open port is.
    ports: BTreeMap<u64, (usize, u16)>,
    opened: u64,
    queue_max: usize,
}

#[derive(Default)]
struct Thread {
    /// By the place that the thread has for it.
    sockets: BTreeMap<u16, Socket>,
    /// The thread believes that there is something to read.
    may_read: bool,
}

struct Socket {
    name: RemoteSocket,
    port: u64,
    server: usize,
    /// In the kernel.
    queue: VecDeque<Vec<u8>>,
}

/// One datagram that a thread reads.
pub struct Read {
    /// By which socket.
    pub socket: RemoteSocket,
    /// Its port.
    pub port: u64,
    /// The remote server that it is connected to.
    pub server: usize,
    /// What came.
    pub octets: Vec<u8>,
}

impl RemoteSockets {
    /// None, of so many threads; each will hold so many datagrams.
    pub fn new(threads: usize, queue_max: usize) -> Self {
        let threads = (0..threads).map(|_| Thread::default()).collect();
        RemoteSockets { threads, ports: BTreeMap::new(), opened: 0, queue_max }
    }

    /// Opens one to a remote server. Whoever had its place is closed: its thread has another core now.
    pub fn open(&mut self, thread: usize, name: RemoteSocket, server: usize) -> u64 {
        let port = self.opened;
        self.opened += 1;
        let socket = Socket { name, port, server, queue: VecDeque::new() };
        if let Some(before) = self.threads[thread].sockets.insert(name.place, socket) {
            self.ports.remove(&before.port);
        }
        self.ports.insert(port, (thread, name.place));
        port
    }

    /// Closes one, if it is open: its port.
    pub fn close(&mut self, thread: usize, name: RemoteSocket) -> Option<u64> {
        let sockets = &mut self.threads[thread].sockets;
        sockets.get(&name.place).filter(|socket| socket.name == name)?;
        let socket = sockets.remove(&name.place)?;
        self.ports.remove(&socket.port);
        Some(socket.port)
    }

    /// The port that a thread sends from through this one, and the remote server at its other end.
    pub fn port(&self, thread: usize, via: SocketId) -> Option<(u64, usize)> {
        self.threads[thread].sockets.get(&via.0).map(|socket| (socket.port, socket.server))
    }

    /// A datagram comes to a port: the thread that it wakes. `None`: the port is closed, or its buffer full.
    pub fn put(&mut self, port: u64, octets: Vec<u8>) -> Option<usize> {
        let (thread, place) = *self.ports.get(&port)?;
        let queue = &mut self.threads[thread].sockets.get_mut(&place).expect("its port is open").queue;
        if queue.len() >= self.queue_max {
            return None;
        }
        queue.push_back(octets);
        Some(thread)
    }

    /// Whether the kernel would not let this thread sleep.
    pub fn has_news(&self, thread: usize) -> bool {
        !self.threads[thread].may_read && self.has_any(thread)
    }

    /// The kernel tells a thread its news.
    pub fn tell(&mut self, thread: usize) {
        self.threads[thread].may_read |= self.has_any(thread);
    }

    /// Whether the thread knows of something to read.
    pub fn has_unread(&self, thread: usize) -> bool {
        self.threads[thread].may_read
    }

    /// Reads at most so many from each socket, if the thread knows of any.
    pub fn read(&mut self, thread: usize, batch: usize) -> Vec<Read> {
        let mut all = Vec::new();
        let turn = &mut self.threads[thread];
        if turn.may_read {
            for socket in turn.sockets.values_mut() {
                let count = batch.min(socket.queue.len());
                let read =
                    |octets| Read { socket: socket.name, port: socket.port, server: socket.server, octets };
                all.extend(socket.queue.drain(..count).map(read));
            }
            self.threads[thread].may_read = self.has_any(thread);
        }
        all
    }

    /// A thread ends, or its process; or the worker that has ordered them.
    pub fn lose(&mut self, thread: usize) {
        for socket in std::mem::take(&mut self.threads[thread]).sockets.values() {
            self.ports.remove(&socket.port);
        }
    }

    fn has_any(&self, thread: usize) -> bool {
        self.threads[thread].sockets.values().any(|socket| !socket.queue.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_to_a_port_is_read_once_and_a_closed_port_takes_nothing() {
        let mut sockets = RemoteSockets::new(2, 2);
        let name = RemoteSocket { place: 3, generation: 0 };
        let port = sockets.open(1, name, 7);
        assert_eq!(sockets.port(1, name.via()), Some((port, 7)));
        assert_eq!(
            [sockets.put(port, vec![1]), sockets.put(port, vec![2]), sockets.put(port, vec![3])],
            [Some(1), Some(1), None]
        );
        assert!(sockets.has_news(1) && !sockets.has_unread(1) && !sockets.has_news(0));
        sockets.tell(1);
        let read: Vec<_> = sockets.read(1, 1).into_iter().map(|read| (read.port, read.octets)).collect();
        assert_eq!((read, sockets.has_unread(1)), (vec![(port, vec![1])], true));
        assert_eq!((sockets.read(1, 9).len(), sockets.has_unread(1)), (1, false));
        // Its thread has another core, which opens the same place.
        let other = sockets.open(1, name, 7);
        assert_eq!((sockets.put(port, vec![4]), sockets.put(other, vec![5])), (None, Some(1)));
        assert_eq!(sockets.close(1, RemoteSocket { generation: 1, ..name }), None);
        assert_eq!((sockets.close(1, name), sockets.close(1, name)), (Some(other), None));
        assert_eq!(sockets.put(other, vec![6]), None);
    }
}
