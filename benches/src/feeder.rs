//! Asks a server over a ring that both processes have mapped, as [`load`](crate::load) does over loopback, and counts what
//! comes back.
//!
//! It spins, so that it costs the server no ring of a bell; or it sleeps whenever there is nothing to read, as a program
//! would that has other things to do.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use ulna_core::packet::Secret;
use ulna_runtime_mio::shared_ring::{Link, LinkCounters};

use crate::load::Outcome;
use crate::workload::{IDENTIFIERS, Requests, secret};

/// As in the other load: one in so many replies is verified whole.
const VERIFIED_ONE_IN: u64 = 64;
/// How long the last replies of a run are waited for.
const LAST_PATIENCE: Duration = Duration::from_millis(250);
/// Requests that an open run stages before it looks for replies.
const FEW: u64 = 8;
/// What the server is taken to listen on.
const SERVER: ([u8; 4], u16) = ([127, 0, 0, 1], 1812);
const FIRST_PORT: u16 = 40_000;

/// The other process's end of a link, and what is outstanding on it.
pub struct Feeder<'r> {
    requests: &'r Requests,
    side: Side,
    /// By source port, which here is but a number in a slot.
    ports: Vec<Port>,
    sleeps: bool,
    secret: Secret,
    start: Instant,
}

struct Side {
    link: Link,
    poll: Poll,
    events: Events,
}

struct Port {
    next: usize,
    /// By Identifier: the number of the outstanding request, and when it was due.
    outstanding: Vec<Option<(usize, Duration)>>,
    count: usize,
}

impl<'r> Feeder<'r> {
    /// Opens the link of this name.
    ///
    /// # Errors
    /// When it is not there, or the kernel refuses to watch it.
    pub fn open(requests: &'r Requests, link: &Path, ports: usize, sleeps: bool) -> io::Result<Feeder<'r>> {
        let mut link = Link::open(link).map_err(io::Error::other)?;
        let poll = Poll::new()?;
        link.register(poll.registry(), Token(0))?;
        let port = |number| Port {
            next: requests.first_of(number, ports),
            outstanding: vec![None; IDENTIFIERS],
            count: 0,
        };
        Ok(Feeder {
            requests,
            side: Side { link, poll, events: Events::with_capacity(4) },
            ports: (0..ports).map(port).collect(),
            sleeps,
            secret: secret(),
            start: Instant::now(),
        })
    }

    /// What its side of the link has counted so far.
    pub fn counters(&self) -> LinkCounters {
        self.side.link.counters()
    }

    /// Keeps `window` requests outstanding over all ports for `span`.
    ///
    /// # Errors
    /// When the server has gone, or the kernel refuses to wait.
    pub fn closed(&mut self, window: usize, span: Duration) -> io::Result<Outcome> {
        let mut outcome = Outcome::default();
        let each = (window / self.ports.len()).max(1);
        let begin = Instant::now();
        loop {
            let elapsed = begin.elapsed();
            if elapsed >= span {
                outcome.span = elapsed;
                // What is answered from here on is not counted.
                let answered = outcome.answered;
                self.take_last(&mut outcome, false)?;
                outcome.answered = answered;
                return Ok(outcome);
            }
            let now = self.start.elapsed();
            let mut staged = 0;
            let mut room = self.side.link.room();
            for port in 0..self.ports.len() {
                let missing = each.saturating_sub(self.ports[port].count).min(room);
                (0..missing).for_each(|_| self.stage(port, now, &mut outcome));
                room -= missing;
                staged += missing;
            }
            let taken = self.take_replies(now, &mut outcome, false)?;
            if taken == 0 && staged == 0 {
                self.rest(None)?;
            }
        }
    }

    /// Sends `rate` requests a second, evenly, for `span`, and waits for the last replies. Between two requests it sleeps, if
    /// it sleeps at all, as far as the kernel's milliseconds go.
    ///
    /// # Errors
    /// As [`Feeder::closed`].
    pub fn at_rate(&mut self, rate: f64, span: Duration) -> io::Result<Outcome> {
        let mut outcome = Outcome::default();
        let total = (rate * span.as_secs_f64()) as u64;
        outcome.latencies.reserve(total as usize);
        let origin = self.start.elapsed();
        let due = |n: u64| origin + Duration::from_secs_f64(n as f64 / rate);
        let mut next = 0;
        while next < total {
            let now = self.start.elapsed();
            let mut staged = 0;
            while staged < FEW && next < total && due(next) <= now && self.side.link.room() > 0 {
                let port = next as usize % self.ports.len();
                if self.ports[port].count == IDENTIFIERS {
                    (outcome.lost, outcome.unsent) = (outcome.lost + 1, outcome.unsent + 1);
                } else {
                    self.stage(port, due(next), &mut outcome);
                }
                (next, staged) = (next + 1, staged + 1);
            }
            self.side.link.publish();
            let now = self.start.elapsed();
            let taken = self.take_replies(now, &mut outcome, true)?;
            // With nothing outstanding it sleeps until the next is due, which is what a time-out is for.
            if taken == 0 && staged == 0 && self.ports.iter().any(|port| port.count > 0) {
                self.rest(Some(due(next).saturating_sub(self.start.elapsed())))?;
            }
        }
        self.take_last(&mut outcome, true)?;
        outcome.span = span.max(self.start.elapsed() - origin);
        Ok(outcome)
    }

    /// Puts the next request of a port into the ring.
    fn stage(&mut self, port: usize, due: Duration, outcome: &mut Outcome) {
        let number = port as u16;
        let Port { next, outstanding, count } = &mut self.ports[port];
        while outstanding[*next % IDENTIFIERS].is_some() {
            *next += 1;
        }
        outstanding[*next % IDENTIFIERS] = Some((*next, due));
        *count += 1;
        outcome.sent += 1;
        let remote = SocketAddr::from(([127, 0, 0, 1], FIRST_PORT + number));
        self.side.link.stage(remote, SERVER.into(), self.requests.of(*next));
        *next += 1;
    }

    /// What has come, and shows the server what was staged.
    fn take_replies(&mut self, now: Duration, outcome: &mut Outcome, timed: bool) -> io::Result<usize> {
        let Feeder { requests, side, ports, secret, .. } = self;
        let reply = requests.reply().octet();
        let taken = side.link.sweep(usize::MAX, |slot| {
            let place = usize::from(slot.remote.port().wrapping_sub(FIRST_PORT));
            let (Some(port), [code, identifier, ..]) = (ports.get_mut(place), slot.octets()) else {
                outcome.wrong += 1;
                return;
            };
            let outstanding = &mut port.outstanding[usize::from(*identifier)];
            let Some((number, due)) = *outstanding else {
                outcome.late += 1;
                return;
            };
            let is_looked_at = outcome.answered.is_multiple_of(VERIFIED_ONE_IN);
            if *code != reply || (is_looked_at && !requests.accepts(number, slot.octets(), secret)) {
                outcome.wrong += 1;
                return;
            }
            *outstanding = None;
            port.count -= 1;
            outcome.answered += 1;
            if timed {
                outcome.latencies.push(now.saturating_sub(due).as_secs_f32() * 1e6);
            }
        });
        side.link.publish();
        match side.link.end() {
            None => Ok(taken),
            Some(end) => Err(io::Error::other(end.to_string())),
        }
    }

    /// The replies that are still to come; those that do not are lost.
    fn take_last(&mut self, outcome: &mut Outcome, timed: bool) -> io::Result<()> {
        let until = self.start.elapsed() + LAST_PATIENCE;
        while self.ports.iter().any(|port| port.count > 0) && self.start.elapsed() < until {
            let now = self.start.elapsed();
            if self.take_replies(now, outcome, timed)? == 0 {
                self.rest(Some(LAST_PATIENCE))?;
            }
        }
        for port in &mut self.ports {
            outcome.lost += port.count as u64;
            port.outstanding.fill(None);
            port.count = 0;
        }
        Ok(())
    }

    fn rest(&mut self, patience: Option<Duration>) -> io::Result<()> {
        if self.sleeps {
            let Side { link, poll, events } = &mut self.side;
            link.wait(poll, events, patience)?;
        } else {
            std::hint::spin_loop();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Setup, configuration};
    use std::sync::Arc;
    use ulna_core::Seed;
    use ulna_core::path::ListenerId;
    use ulna_core::policy::configured_rules;
    use ulna_runtime_mio::shared_ring::End;
    use ulna_runtime_mio::{Served, SharedPort};

    #[test]
    fn a_port_answers_all_that_is_asked_whether_or_not_one_sleeps() {
        let configuration = Arc::new(configuration(Setup { network_threads: 0, workers: 1, log: false }));
        let requests = Requests::prepare();
        for sleeps in [false, true] {
            let name = std::env::temp_dir().join(format!("ulna-feeder-{}", std::process::id()));
            let link = Link::create(&name, 64).expect("a new name");
            let (seed, log) = (Seed::new([7; 32]), Box::new(io::sink()));
            let port = SharedPort::new(&configuration, ListenerId(0), &seed, &configured_rules(), None, log);
            let mut port = port.expect("a thread can be had");
            let served = std::thread::spawn(move || port.serve(link).expect("the kernel waits"));
            let mut feeder = Feeder::open(&requests, &name, 2, sleeps).expect("it is there");
            let closed = feeder.closed(32, Duration::from_millis(100)).expect("the port is there");
            assert!(closed.answered > 32, "{closed:?}");
            let open = feeder.at_rate(2000.0, Duration::from_millis(100)).expect("the port is there");
            assert_eq!((open.sent, open.answered), (200, 200), "{open:?}");
            assert_eq!(open.latencies.len(), 200);
            for outcome in [closed, open] {
                assert_eq!((outcome.wrong, outcome.late, outcome.lost), (0, 0, 0), "{outcome:?}");
            }
            drop(feeder);
            assert_eq!(served.join().expect("it ends"), Served::Ended(End::Gone));
        }
    }
}
