//! What of a new configuration takes effect while a server runs, and what waits for its next start. docs/reload.md.

use crate::ServerId;
use crate::configuration::{Configuration, Listener, Packets, RuntimeSettings, Transport};
use crate::reserved::{RESERVED_OCTETS_MAX, Sizes, reserved_octets};
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::net::SocketAddr;

/// Something in a new configuration that waits for the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// This key; until then it is as it was.
    Key(&'static str),
    /// This address, which nobody listens on yet.
    NewAddress(SocketAddr),
    /// This address, which is still bound; what comes there is discarded.
    GoneAddress(SocketAddr),
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Waits::Key(key) => write!(f, "`{key}` has changed and waits for a restart"),
            Waits::NewAddress(address) => write!(f, "{address} is new, and listened on after a restart"),
            Waits::GoneAddress(address) => {
                write!(f, "{address} is gone: what comes there is discarded, and it is closed by a restart")
            }
        }
    }
}

/// Why a new configuration cannot take effect while the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// With so many workers, and all else as large as it is until a restart, the tables of all threads would take so much.
    TooLarge {
        /// How many there would be.
        workers: usize,
        /// What all tables would take.
        octets: u64,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal::TooLarge { workers, octets } = self;
        let (asked, most) = (octets.div_ceil(GIBIBYTE), RESERVED_OCTETS_MAX / GIBIBYTE);
        write!(
            f,
            "with `workers` = {workers} the tables of all threads would take {asked} GiB, at most {most} are allowed; until a \
             restart all other sizes stay as they are, whatever the file says: lower `workers`, or restart"
        )
    }
}

impl core::error::Error for Refusal {}

const GIBIBYTE: u64 = 1 << 30;

impl Configuration {
    /// Makes a new configuration one that can follow `running`: what is fixed from start to exit is taken from that.
    /// Gives what differed.
    ///
    /// # Errors
    /// When what would run takes more memory than is allowed: the new number of workers with the old sizes, which no file
    /// has asked for together, and which has thus not been looked at so far. Then nothing has been taken over.
    pub fn follow(&mut self, running: &Configuration) -> Result<Vec<Waits>, Refusal> {
        // Joined, a worker has sockets of its own, whose number is fixed.
        let is_joined = running.runtime.network_threads == 0;
        let workers = if is_joined { running.runtime.workers } else { self.runtime.workers };
        let runtime = RuntimeSettings { workers, ..running.runtime.clone() };
        let octets = reserved_octets(&Sizes { runtime: &runtime, ..running.sizes() });
        // What runs already is no reload's to refuse, however it was started.
        if workers > running.runtime.workers && octets > RESERVED_OCTETS_MAX {
            return Err(Refusal::TooLarge { workers, octets });
        }
        let mut waits = Vec::new();
        let mut keep = |key, differs| {
            if differs {
                waits.push(Waits::Key(key));
            }
        };
        let (new, old) = (&self.runtime, &running.runtime);
        keep("network_threads", new.network_threads != old.network_threads);
        keep("workers", workers != new.workers);
        keep("signal", new.signal != old.signal);
        keep("linger_max", new.linger_max != old.linger_max);
        keep("linger_cpu", new.linger_cpu != old.linger_cpu);
        keep("ring_slots", new.ring_slots != old.ring_slots);
        keep("requests_max", new.requests_max != old.requests_max);
        keep("receive_buffer_octets", new.receive_buffer_octets != old.receive_buffer_octets);
        keep("dedup_entries_max", new.dedup_entries_max != old.dedup_entries_max);
        keep("replies_octets_max", new.replies_octets_max != old.replies_octets_max);
        keep("streams_octets_max", new.streams_octets_max != old.streams_octets_max);
        keep("state_directory", new.state_directory != old.state_directory);
        keep("hash_threads", new.hash_threads != old.hash_threads);
        keep("hash_line_max", new.hash_line_max != old.hash_line_max);
        let (new, old) = (&self.protocol, &running.protocol);
        keep("delayed_rejects_max", new.delayed_rejects_max != old.delayed_rejects_max);
        keep("dedup_lifetime", new.dedup_lifetime != old.dedup_lifetime);
        keep("failures_max", new.failures_max != old.failures_max);
        keep("failure_window", new.failure_window != old.failure_window);
        // It may not be longer than what is in force.
        let is_too_long = new.event_timestamp_window > Some(old.dedup_lifetime);
        keep("event_timestamp_window", is_too_long);
        keep("accounting.file", self.accounting.file != running.accounting.file);
        keep("accounting.spool", self.accounting.spool != running.accounting.spool);
        keep("format", self.log.format != running.log.format);
        keep("control", self.control != running.control);
        // By name, as numbers are of one configuration alone.
        let mut known: Vec<_> = running.remote_servers.iter().collect();
        known.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        for server in &mut self.remote_servers {
            if let Ok(place) = known.binary_search_by(|other| other.name.cmp(&server.name)) {
                server.follow(known[place]);
            }
        }
        self.users.follow(&running.users);
        let (new, old) = (&mut self.client_rules, &running.client_rules);
        keep("limits.clients", new.limits.clients != old.limits.clients);
        keep("limits.connections", new.limits.connections != old.limits.connections);
        new.limits.clients = old.limits.clients;
        new.limits.connections = old.limits.connections;
        new.count_on(old);
        self.runtime = runtime;
        self.protocol.delayed_rejects_max = running.protocol.delayed_rejects_max;
        self.protocol.dedup_lifetime = running.protocol.dedup_lifetime;
        if is_too_long {
            self.protocol.event_timestamp_window = running.protocol.event_timestamp_window;
        }
        self.protocol.failures_max = running.protocol.failures_max;
        self.protocol.failure_window = running.protocol.failure_window;
        self.accounting = running.accounting.clone();
        self.log.format = running.log.format;
        self.control = running.control.clone();
        self.keep_listeners(running, &mut waits);
        Ok(waits)
    }

    /// A socket's place among the listeners never changes. What a `[[listen]]` takes and whose rules hold may.
    fn keep_listeners(&mut self, running: &Configuration, waits: &mut Vec<Waits>) {
        let mut new = mem::take(&mut self.listeners);
        for old in &running.listeners {
            let place = new.iter().position(|listener| {
                let (one, other) = (&listener.transport, &old.transport);
                listener.address == old.address && mem::discriminant(one) == mem::discriminant(other)
            });
            self.listeners.push(match place {
                Some(place) => {
                    let mut listener = new.remove(place);
                    if let (Transport::Tcp(new), Transport::Tcp(old)) =
                        (&mut listener.transport, &old.transport)
                    {
                        // Memory for all of them was taken at start.
                        if new.connections_max != old.connections_max {
                            waits.push(Waits::Key("connections_max"));
                        }
                        new.connections_max = old.connections_max;
                    }
                    listener
                }
                None => {
                    if old.packets != Packets::NONE {
                        waits.push(Waits::GoneAddress(old.address));
                    }
                    let Listener { name, address, transport, .. } = old.clone();
                    // It takes nothing, so no rule is ever asked.
                    let (packets, server) = (Packets::NONE, ServerId(0));
                    Listener { name, address, transport, packets, server, connected: false }
                }
            });
        }
        waits.extend(new.iter().map(|listener| Waits::NewAddress(listener.address)));
    }
}
