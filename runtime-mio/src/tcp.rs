//! The streams of one network thread: accepted in bounded batches, read in turn, written as far as that goes without waiting.
//!
//! Decides nothing: whether a stream is accepted, read or closed core says. A stream belongs to the thread that accepted it, to its
//! end. Readiness is reported at its edges, so that what is ready is noted until a call has said that it is no more.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use ulna_core::Instant;
use ulna_core::cores::Cores;
use ulna_core::path::{ListenerId, StreamId};
use ulna_core::stream::READ_OCTETS_MAX;

use crate::counters::ThreadCounters;
use crate::listening::{Listening, STREAMS};
use crate::system_calls::SystemCalls;

/// Streams accepted in one turn from one listening socket, at most.
const ACCEPTS_MAX: usize = 64;
/// Streams read in one turn, at most, each once.
const READS_MAX: usize = 64;
/// Octets thrown away of a stream that is closed, at most, in reads: what is unread then would have the kernel reset it, and the peer
/// lose replies that it has not read yet.
const LAST_READS_MAX: usize = 4;

/// The streams of a thread.
pub(crate) struct Tcp {
    /// Numbers of its listening sockets, and whether each may have a stream.
    acceptors: Vec<(usize, bool)>,
    /// By place.
    streams: Vec<Option<Held>>,
    /// In the order in which they are read next.
    to_read: VecDeque<StreamId>,
    /// Those that can be written again.
    to_write: VecDeque<StreamId>,
    octets: Box<[u8]>,
    /// Given up when no descriptor is left, so that a stream can be taken from the kernel's line and closed.
    spare: Option<File>,
    /// No descriptor was left for a stream that waits to be accepted.
    is_exhausted: bool,
    is_draining: bool,
}

struct Held {
    id: StreamId,
    socket: TcpStream,
    is_readable: bool,
    is_writable: bool,
    /// The peer's end was reported: a short read is not the last.
    has_ended: bool,
    is_queued: bool,
}

impl Tcp {
    /// Those that this network thread accepts, if the thread is one.
    pub fn new(listening: &Listening, network: Option<usize>) -> Tcp {
        let acceptors = network.map(|network| listening.acceptors_of_thread(network)).unwrap_or_default();
        let spare = if acceptors.is_empty() { None } else { spare() };
        let octets = if acceptors.is_empty() { 0 } else { READ_OCTETS_MAX };
        Tcp {
            acceptors: acceptors.into_iter().map(|number| (number, true)).collect(),
            streams: Vec::new(),
            to_read: VecDeque::new(),
            to_write: VecDeque::new(),
            octets: vec![0; octets].into(),
            spare,
            is_exhausted: false,
            is_draining: false,
        }
    }

    /// Accepts what waits, up to a bound.
    pub fn accept(
        &mut self,
        listening: &Listening,
        cores: &mut Cores,
        registry: &Registry,
        counters: &ThreadCounters,
        now: Instant,
    ) {
        for acceptor in 0..self.acceptors.len() {
            let (number, may_accept) = self.acceptors[acceptor];
            if !may_accept {
                continue;
            }
            let bound = listening.acceptor(number);
            for _ in 0..ACCEPTS_MAX {
                match bound.socket.accept() {
                    Ok((socket, remote)) => {
                        if self.take(socket, remote, bound.listener, cores, registry, now).is_err() {
                            counters.accept_failed.up();
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.acceptors[acceptor].1 = false;
                        break;
                    }
                    Err(error) => {
                        counters.accept_failed.up();
                        if is_exhausted(&error) && !self.turn_away(&bound.socket) {
                            // The next stream that comes, or one that is closed, has it tried again.
                            self.acceptors[acceptor].1 = false;
                            self.is_exhausted = true;
                            break;
                        }
                    }
                }
            }
        }
    }

    fn take(
        &mut self,
        mut socket: TcpStream,
        remote: SocketAddr,
        listener: ListenerId,
        cores: &mut Cores,
        registry: &Registry,
        now: Instant,
    ) -> io::Result<()> {
        let local = socket.local_addr()?;
        // Refused, it is closed at once.
        let Ok(id) = cores.handle_accepted(listener, local, remote, now) else { return Ok(()) };
        let place = id.place as usize;
        let token = Token(STREAMS + place);
        let registered = registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE);
        if self.streams.len() <= place {
            self.streams.resize_with(place + 1, || None);
        }
        let held =
            Held { id, socket, is_readable: true, is_writable: true, has_ended: false, is_queued: true };
        self.streams[place] = Some(held);
        self.to_read.push_back(id);
        registered.inspect_err(|_| cores.handle_broken(id, now))
    }

    /// Takes a stream from the line for which no descriptor is left, and closes it: its peer then knows, and the line moves on.
    fn turn_away(&mut self, socket: &TcpListener) -> bool {
        if self.spare.take().is_none() {
            self.spare = spare();
            return false;
        }
        let accepted = socket.accept().is_ok();
        self.spare = spare();
        accepted
    }

    /// Reads streams that have something, each once, up to a bound.
    pub fn read(&mut self, cores: &mut Cores, now: Instant, calls: &mut SystemCalls) {
        for _ in 0..self.to_read.len().min(READS_MAX) {
            let Some(id) = self.to_read.pop_front() else { return };
            let Some(held) = held(&mut self.streams, id) else { continue };
            held.is_queued = false;
            // Core says when it may be read again.
            if !held.is_readable || !cores.stream(id).is_some_and(|stream| stream.may_read) {
                continue;
            }
            calls.receive += 1;
            match held.socket.read(&mut self.octets) {
                Ok(0) => {
                    held.is_readable = false;
                    cores.handle_ended(id, now);
                }
                Ok(octets) => {
                    // A short read has emptied it.
                    held.is_readable = octets == self.octets.len() || held.has_ended;
                    if held.is_readable {
                        held.is_queued = true;
                        self.to_read.push_back(id);
                    }
                    cores.handle_octets(id, &self.octets[..octets], now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => held.is_readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    held.is_queued = true;
                    self.to_read.push_back(id);
                }
                Err(_) => cores.handle_broken(id, now),
            }
        }
    }

    /// The server ends: no stream is accepted or read any more.
    pub fn drain(&mut self, cores: &mut Cores, now: Instant) {
        if !self.is_draining {
            self.is_draining = true;
            cores.drain_streams(now);
        }
    }

    /// Writes what there is to be written, and closes what is over.
    pub fn write(&mut self, cores: &mut Cores, now: Instant, calls: &mut SystemCalls) {
        while let Some(id) = cores.poll_stream().or_else(|| self.to_write.pop_front()) {
            self.write_one(id, cores, now, calls);
        }
    }

    fn write_one(&mut self, id: StreamId, cores: &mut Cores, now: Instant, calls: &mut SystemCalls) {
        let Some(held) = held(&mut self.streams, id) else { return cores.handle_closed(id) };
        while held.is_writable
            && let Some(stream) = cores.stream(id)
            && !stream.output.is_empty()
        {
            calls.send += 1;
            match held.socket.write(stream.output) {
                Ok(octets) => {
                    held.is_writable = octets == stream.output.len();
                    let is_over = stream.is_over;
                    cores.handle_written(id, octets, now);
                    if is_over {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => held.is_writable = false,
                Err(_) => {
                    held.is_writable = false;
                    cores.handle_broken(id, now);
                }
            }
        }
        let Some(stream) = cores.stream(id) else { return };
        if stream.is_over {
            self.close(id);
            cores.handle_closed(id);
        } else if stream.may_read && held.is_readable && !held.is_queued {
            held.is_queued = true;
            self.to_read.push_back(id);
        }
    }

    fn close(&mut self, id: StreamId) {
        let Some(mut held) = self.streams.get_mut(id.place as usize).and_then(Option::take) else { return };
        // The peer reads our end behind all replies. It may be gone already.
        let _ = held.socket.shutdown(Shutdown::Write);
        for _ in 0..LAST_READS_MAX {
            if !matches!(held.socket.read(&mut self.octets), Ok(octets) if octets > 0) {
                break;
            }
        }
        // A descriptor is free, for whom it was wanting.
        if std::mem::take(&mut self.is_exhausted) {
            self.acceptors.iter_mut().for_each(|(_, may_accept)| *may_accept = true);
        }
    }

    /// Closes all of them: the core is gone that had them.
    pub fn close_all(&mut self) {
        self.streams.iter_mut().for_each(|held| *held = None);
        self.to_read.clear();
        self.to_write.clear();
    }

    /// Whether this thread has, or ever had, a stream.
    pub fn has_any(&self) -> bool {
        !self.streams.is_empty()
    }

    /// Whether anything waits to be accepted or read.
    pub fn has_unread(&self) -> bool {
        !self.to_read.is_empty() || self.acceptors.iter().any(|(_, may_accept)| *may_accept)
    }

    /// Whether anything can be written again.
    pub fn has_unwritten(&self) -> bool {
        !self.to_write.is_empty()
    }

    /// Notes what has become ready.
    pub fn note(&mut self, event: &Event) {
        if let Some(number) = Listening::acceptor_of(event.token()) {
            for (_, may_accept) in self.acceptors.iter_mut().filter(|(own, _)| *own == number) {
                *may_accept = true;
            }
            return;
        }
        let place = event.token().0.checked_sub(STREAMS);
        let Some(Some(held)) = place.and_then(|place| self.streams.get_mut(place)) else { return };
        held.has_ended |= event.is_read_closed() || event.is_error();
        if event.is_readable() || held.has_ended {
            held.is_readable = true;
            if !held.is_queued {
                held.is_queued = true;
                self.to_read.push_back(held.id);
            }
        }
        if event.is_writable() && !held.is_writable {
            held.is_writable = true;
            self.to_write.push_back(held.id);
        }
    }
}

/// The stream of this name, if it was not closed.
fn held(streams: &mut [Option<Held>], id: StreamId) -> Option<&mut Held> {
    streams.get_mut(id.place as usize)?.as_mut().filter(|held| held.id == id)
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Whether descriptors have run out.
fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
