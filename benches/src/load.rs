//! Asks a server over loopback, in one thread that never sleeps, and counts what comes back.
//!
//! Two ways: [`Load::closed`] keeps so many requests outstanding, which finds the most that a server does; [`Load::open`] sends at a
//! rate whatever comes back and measures from the time at which each request was due, so that a server that stalls
//! is charged for all that should have been sent meanwhile.
//!
//! It never waits in the kernel: a server that wakes it would pay for that, 8 to 16 µs each time.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ulna_core::packet::Secret;
use ulna_core::path::{SocketId, Transmit};
use ulna_runtime_mio::{BoundUdp, Outlet, ReceiveBatch, SendBatch, SystemCalls, connect_udp, kernel_drops};

use crate::workload::{IDENTIFIERS, Requests, secret};

/// Datagrams sent or read at once.
const BATCH: usize = 64;
/// A request without a reply for so long counts as lost, and another one takes its place; unless
/// [`Load::lost_after`] says otherwise.
const LOST_AFTER: Duration = Duration::from_millis(250);
/// Requests that an open run sends between two looks for replies, which are to be seen soon after they come; unless
/// [`Load::in_groups`] says otherwise.
const FEW: u64 = 8;
/// One in so many replies is verified whole; all of them have their Identifier and code looked at.
const VERIFIED_ONE_IN: u64 = 64;

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Requests sent, and of these answered.
    pub sent: u64,
    /// Access-Accepts or Accounting-Responses to outstanding requests.
    pub answered: u64,
    /// Requests that got no reply in time.
    pub lost: u64,
    /// Of the lost, those that were never sent: each Identifier of their port was outstanding when they were due.
    pub unsent: u64,
    /// Of the lost, those that the kernel did not take: the send buffer was full, or there was no memory.
    pub refused: u64,
    /// Replies to requests that had been given up.
    pub late: u64,
    /// Replies that answer nothing that was asked.
    pub wrong: u64,
    /// How long it took.
    pub span: Duration,
    /// Microseconds from when each request was due to its reply, in an open or a timed run.
    pub latencies: Vec<f32>,
}

impl Outcome {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.span.as_secs_f64()
    }

    /// The latency below which this part (0 to 1) of the answers lies, in microseconds. Sorts them.
    pub fn latency(&mut self, part: f64) -> f64 {
        self.latencies.sort_by(f32::total_cmp);
        let last = self.latencies.len().saturating_sub(1);
        self.latencies
            .get((last as f64 * part).round() as usize)
            .map_or(f64::NAN, |&latency| f64::from(latency))
    }
}

/// The source ports, and what is outstanding on each.
pub struct Load<'r> {
    requests: &'r Requests,
    ports: Vec<Port>,
    receive: ReceiveBatch,
    send: SendBatch,
    calls: SystemCalls,
    secret: Secret,
    lost_after: Duration,
    start: Instant,
    /// Requests that leave one port in one send, and that are sent between two looks for replies.
    group: u64,
    burst: u64,
    /// Whether all that is due in an open run leaves together, port by port.
    by_port: bool,
    /// How long a run sleeps at a time when there is nothing to do.
    nap: Option<Duration>,
}

struct Port {
    bound: BoundUdp,
    /// The number of the next request.
    next: usize,
    /// By Identifier: the number of the outstanding request, and when it was due.
    outstanding: Vec<Option<(usize, Duration)>>,
    /// By Identifier: the number of the request that was given up last.
    given_up: Vec<Option<usize>>,
    /// Outstanding ones in order of sending; those answered meanwhile are still in it.
    line: VecDeque<usize>,
    outstanding_count: usize,
}

impl<'r> Load<'r> {
    /// `ports` sockets connected to `server`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(requests: &'r Requests, server: SocketAddr, ports: usize) -> io::Result<Load<'r>> {
        Load::from_address(requests, None, server, ports)
    }

    /// The same from this address.
    ///
    /// # Errors
    /// The kernel's.
    pub fn from_address(
        requests: &'r Requests,
        source: Option<IpAddr>,
        server: SocketAddr,
        ports: usize,
    ) -> io::Result<Load<'r>> {
        let port = |number: usize| {
            Ok(Port {
                bound: connect_udp(source, server, 1 << 20)?,
                // Ports do not ask for the same at the same time.
                next: requests.first_of(number, ports),
                outstanding: vec![None; IDENTIFIERS],
                given_up: vec![None; IDENTIFIERS],
                line: VecDeque::with_capacity(2 * IDENTIFIERS),
                outstanding_count: 0,
            })
        };
        Ok(Load {
            requests,
            ports: (0..ports).map(port).collect::<io::Result<_>>()?,
            receive: ReceiveBatch::new(BATCH, 512),
            send: SendBatch::new(BATCH),
            calls: SystemCalls::default(),
            secret: secret(),
            lost_after: LOST_AFTER,
            start: Instant::now(),
            group: 1,
            burst: FEW,
            by_port: false,
            nap: None,
        })
    }

    /// Has open runs sleep for up to so long when nothing is due, and closed ones when no reply has come, for machines on
    /// which generator and server share their cores. Replies are then seen later by up to as much; they wake nobody, so
    /// that the server does not pay for it.
    ///
    /// # Errors
    /// When the kernel does not let this thread sleep for less than its 50 µs more.
    pub fn napping(self, nap: Duration) -> io::Result<Self> {
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
        Ok(Load { nap: Some(nap), ..self })
    }

    /// Has open runs send so many at once from a port, sixteen times as many between two looks for replies: for rates that
    /// one by one cannot be reached.
    #[must_use]
    pub fn in_groups(self, group: u64) -> Self {
        Load { group, burst: 16 * group, ..self }
    }

    /// Has open runs send all that is due at once, what falls to a port in one batch: for rates that one by one cannot be
    /// reached where the generator has to leave the server its cores. Who asks for what, and when it was due, is the same.
    #[must_use]
    pub fn by_port(self) -> Self {
        Load { by_port: true, burst: (BATCH * self.ports.len()) as u64, ..self }
    }

    /// The system calls that this has made so far.
    pub fn calls(&self) -> SystemCalls {
        self.calls
    }

    /// Takes a request for lost only after so long.
    pub fn lost_after(&mut self, span: Duration) {
        self.lost_after = span;
    }

    /// Keeps `window` requests outstanding over all ports for `span`; what was outstanding before stays so.
    ///
    /// # Errors
    /// The kernel's.
    pub fn closed(&mut self, window: usize, span: Duration) -> io::Result<Outcome> {
        self.keep_outstanding(window, span, false)
    }

    /// The same with the time that each answer took.
    ///
    /// # Errors
    /// The kernel's.
    pub fn closed_timed(&mut self, window: usize, span: Duration) -> io::Result<Outcome> {
        self.keep_outstanding(window, span, true)
    }

    fn keep_outstanding(&mut self, window: usize, span: Duration, timed: bool) -> io::Result<Outcome> {
        let mut outcome = Outcome::default();
        let each = (window / self.ports.len()).max(1);
        let begin = Instant::now();
        loop {
            let elapsed = begin.elapsed();
            if elapsed >= span {
                outcome.span = elapsed;
                return Ok(outcome);
            }
            let now = self.start.elapsed();
            let sent = outcome.sent;
            for port in 0..self.ports.len() {
                self.take_replies(port, now, &mut outcome, timed)?;
                self.give_up(port, now, &mut outcome);
                let missing = each.saturating_sub(self.ports[port].outstanding_count);
                (0..missing).for_each(|_| self.put(port, now, &mut outcome));
                self.flush(port, &mut outcome);
            }
            if let Some(nap) = self.nap.filter(|_| outcome.sent == sent) {
                std::thread::sleep(nap);
            }
        }
    }

    /// Sends `rate` requests a second, evenly, for `span`, and waits for the last replies.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(&mut self, rate: f64, span: Duration) -> io::Result<Outcome> {
        let mut outcome = Outcome::default();
        let total = (rate * span.as_secs_f64()) as u64;
        outcome.latencies.reserve(total as usize);
        let origin = self.start.elapsed();
        let due = |n: u64| origin + Duration::from_secs_f64(n as f64 / rate);
        let mut next = 0;
        let mut until = origin;
        loop {
            // Each request that is outstanding is answered or given up in the end.
            if next == total && self.ports.iter().all(|port| port.outstanding_count == 0) {
                // A line that was filled is emptied after the last request.
                outcome.span = span.max(until - origin);
                return Ok(outcome);
            }
            let now = self.start.elapsed();
            let end = (next..total.min(next + self.burst)).find(|&n| due(n) > now);
            let end = end.unwrap_or(total.min(next + self.burst));
            if next < end {
                until = now;
            }
            if self.by_port {
                for port in 0..self.ports.len() {
                    let ports = self.ports.len() as u64;
                    let first = next + (port as u64 + ports - next % ports) % ports;
                    for n in (first..end).step_by(ports as usize) {
                        self.put(port, due(n), &mut outcome);
                    }
                    self.flush(port, &mut outcome);
                }
                next = end;
            }
            while next < end {
                let port = (next / self.group) as usize % self.ports.len();
                self.put(port, due(next), &mut outcome);
                next += 1;
                if next.is_multiple_of(self.group) || next == total {
                    self.flush(port, &mut outcome);
                }
            }
            for port in 0..self.ports.len() {
                if self.ports[port].outstanding_count > 0 {
                    let now = self.start.elapsed();
                    let before = outcome.answered;
                    self.take_replies(port, now, &mut outcome, true)?;
                    if outcome.answered > before {
                        until = now;
                    }
                    self.give_up(port, now, &mut outcome);
                }
            }
            if let Some(nap) = self.nap {
                let now = self.start.elapsed();
                let until_due = if next == total { nap } else { due(next).saturating_sub(now) };
                if !until_due.is_zero() {
                    std::thread::sleep(nap.min(until_due));
                }
            }
        }
    }

    /// Puts the next request of a port in line to be sent.
    fn put(&mut self, port: usize, due: Duration, outcome: &mut Outcome) {
        let Port { next, outstanding, line, outstanding_count, .. } = &mut self.ports[port];
        if *outstanding_count == IDENTIFIERS {
            // What an open run cannot send counts as lost, it is not put off.
            outcome.lost += 1;
            outcome.unsent += 1;
            return;
        }
        // As a NAS does: an Identifier that is still outstanding is passed over.
        while outstanding[*next % IDENTIFIERS].is_some() {
            *next += 1;
        }
        let identifier = *next % IDENTIFIERS;
        outstanding[identifier] = Some((*next, due));
        line.push_back(*next);
        *outstanding_count += 1;
        outcome.sent += 1;
        let octets = self.requests.of(*next);
        *next += 1;
        self.send.slot().extend_from_slice(octets);
        let destination = SocketAddr::from(([0, 0, 0, 0], 0));
        self.send.push(Transmit { via: SocketId(0), source: None, destination });
        if self.send.is_full() {
            self.flush(port, outcome);
        }
    }

    /// Sends these octets from a port, whatever they are, apart from all requests.
    ///
    /// # Errors
    /// The kernel's.
    pub fn send_as_is(&self, port: usize, octets: &[u8]) -> io::Result<usize> {
        self.ports[port].bound.socket.send(octets)
    }

    /// How many replies the kernel threw away before they were read, as their socket's receive buffer was full.
    ///
    /// # Errors
    /// Of reading the kernel's tables.
    pub fn kernel_drops(&self) -> io::Result<u64> {
        let inodes: Vec<u64> = self.ports.iter().map(|port| port.bound.inode).collect();
        Ok(kernel_drops::drops(&inodes)?.into_iter().flatten().map(u64::from).sum())
    }

    fn flush(&mut self, port: usize, outcome: &mut Outcome) {
        if !self.send.is_empty() {
            let socket = self.ports[port].bound.socket.as_fd();
            // What the kernel does not take is missed as a lost request.
            let sent = self.send.flush(|_| Some(Outlet::Connected(socket)), &mut self.calls);
            outcome.refused += (sent.dropped_would_block + sent.failed) as u64;
        }
    }

    fn take_replies(
        &mut self,
        port: usize,
        now: Duration,
        outcome: &mut Outcome,
        timed: bool,
    ) -> io::Result<()> {
        let Load { requests, ports, receive, calls, secret, .. } = self;
        let reply = requests.reply().octet();
        let Port { bound, outstanding, given_up, outstanding_count, .. } = &mut ports[port];
        receive.receive(&bound.socket, calls)?;
        for datagram in receive.datagrams() {
            let [code, identifier, ..] = *datagram.octets else {
                outcome.wrong += 1;
                continue;
            };
            if code != reply {
                outcome.wrong += 1;
                continue;
            }
            let identifier = usize::from(identifier);
            let is_late =
                || given_up[identifier].is_some_and(|old| requests.accepts(old, datagram.octets, secret));
            let Some((number, due)) = outstanding[identifier] else {
                *if is_late() { &mut outcome.late } else { &mut outcome.wrong } += 1;
                continue;
            };
            if outcome.answered.is_multiple_of(VERIFIED_ONE_IN)
                && !requests.accepts(number, datagram.octets, secret)
            {
                *if is_late() { &mut outcome.late } else { &mut outcome.wrong } += 1;
                continue;
            }
            outstanding[identifier] = None;
            *outstanding_count -= 1;
            outcome.answered += 1;
            if timed {
                outcome.latencies.push(now.saturating_sub(due).as_secs_f32() * 1e6);
            }
        }
        Ok(())
    }

    /// Counts as lost what has waited too long.
    fn give_up(&mut self, port: usize, now: Duration, outcome: &mut Outcome) {
        let lost_after = self.lost_after;
        let Port { outstanding, given_up, line, outstanding_count, .. } = &mut self.ports[port];
        while let Some(&oldest) = line.front() {
            match outstanding[oldest % IDENTIFIERS] {
                Some((number, due)) if number == oldest => {
                    if now.saturating_sub(due) < lost_after {
                        return;
                    }
                    outstanding[oldest % IDENTIFIERS] = None;
                    given_up[oldest % IDENTIFIERS] = Some(oldest);
                    *outstanding_count -= 1;
                    outcome.lost += 1;
                }
                // Answered long ago.
                _ => {}
            }
            line.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::responder::Responder;
    use std::sync::Mutex;

    #[test]
    fn a_responder_answers_all_that_is_asked() {
        let responder = Responder::bind(false).expect("loopback is there");
        let address = responder.address();
        std::thread::spawn(move || responder.run(&Mutex::default()));
        let requests = Requests::prepare();
        let mut load = Load::new(&requests, address, 4).expect("loopback is there");
        let outcome = load.closed(64, Duration::from_millis(100)).expect("sockets work");
        assert!(outcome.answered > 0 && outcome.wrong == 0, "{outcome:?}");
        let mut outcome = load.open(1000.0, Duration::from_millis(100)).expect("sockets work");
        // What the closed run left outstanding is answered here, too.
        assert!(outcome.answered >= 100 && outcome.wrong == 0, "{outcome:?}");
        assert!(outcome.latency(0.5) > 0.0);
    }

    #[test]
    fn what_nobody_answers_is_lost() {
        let silent = ulna_runtime_mio::bind_udp(SocketAddr::from(([127, 0, 0, 1], 0)), false, 1 << 20);
        let silent = silent.expect("loopback is there");
        let requests = Requests::prepare();
        let mut load = Load::new(&requests, silent.local, 2).expect("loopback is there");
        let outcome = load.open(1000.0, Duration::from_millis(50)).expect("sockets work");
        assert_eq!((outcome.answered, outcome.sent, outcome.lost), (0, 50, 50), "{outcome:?}");
        assert_eq!((outcome.unsent, outcome.refused, load.kernel_drops().expect("readable")), (0, 0, 0));
        // Two ports have 512 Identifiers, for longer than this takes.
        let outcome = load.open(20_000.0, Duration::from_millis(50)).expect("sockets work");
        assert_eq!((outcome.sent + outcome.unsent, outcome.lost), (1000, 1000), "{outcome:?}");
        assert!(outcome.unsent > 0, "{outcome:?}");
    }
}
