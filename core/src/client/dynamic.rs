//! A client that a rule has admitted, and whose a packet is: that of a configured client or of one of these.
//!
//! A dynamic client is shared by all who have to do with it: the cache of the worker that looked it up, its connections in the
//! network threads, and its requests under way, which end under the secret that verified them whatever becomes of the client.

use super::limits::{Counted, Counts, Pace};
use super::mark::Marks;
use super::rule::ClientRule;
use super::{Client, ClientId, Clients};
use crate::event::{EventClient, ShortName};
use crate::packet::{SecretIndex, Secrets};
use crate::seeded::{self, Bug};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;

/// A client that a rule has admitted.
pub struct DynamicClient {
    client: Client,
    marks: Marks,
    rule: Arc<str>,
    key: Box<[u8]>,
    nat: bool,
    connected: Option<bool>,
    idle_timeout: Duration,
    expires: Instant,
    packets_per_second: u32,
    counts: Arc<Counts>,
    pace: Pace,
    repeats: Pace,
    retired: AtomicBool,
    warned: AtomicBool,
    old_secret_used: AtomicBool,
    unreachable: AtomicU32,
}

impl DynamicClient {
    /// What `rule` makes of the answer to a look-up of `key`.
    pub(super) fn new(
        rule: &ClientRule,
        key: &[u8],
        name: Box<str>,
        secrets: Secrets,
        now: Instant,
    ) -> DynamicClient {
        let client = rule.client(name, secrets);
        DynamicClient {
            marks: Marks::of(&client),
            client,
            rule: Arc::clone(&rule.name),
            key: key.into(),
            nat: rule.nat,
            connected: rule.connected,
            idle_timeout: rule.idle_timeout,
            expires: now + rule.lifetime,
            packets_per_second: rule.limits.packets_per_second,
            counts: Arc::default(),
            pace: Pace::default(),
            repeats: Pace::default(),
            retired: AtomicBool::new(false),
            warned: AtomicBool::new(false),
            old_secret_used: AtomicBool::new(false),
            unreachable: AtomicU32::new(0),
        }
    }

    /// Its name, secrets and flags.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Its name, for events.
    pub fn name(&self) -> ShortName {
        ShortName::new(self.client.name.as_bytes())
    }

    /// The rule that admitted it, and the key that it was looked up by.
    pub fn origin(&self) -> (&str, &[u8]) {
        (&self.rule, &self.key)
    }

    /// See [`Clients::mark`].
    #[inline]
    pub fn mark(&self, secret: Option<SecretIndex>) -> &[u8; 16] {
        self.marks.of_secret(secret)
    }

    /// Whether it is known by its connection, and not by its source address.
    pub fn is_behind_nat(&self) -> bool {
        self.nat
    }

    /// Whether its connections get sockets of their own, where its rule leaves that to the listener as this listener has it.
    pub fn is_connected(&self, by_listener: bool) -> bool {
        self.nat && self.connected.unwrap_or(by_listener)
    }

    /// The network says that something sent to it did not arrive: how often it has said so.
    pub(crate) fn count_unreachable(&self) -> u32 {
        // Relaxed: a count, read by nobody else. At most the ICMP messages of the client's lifetime.
        self.unreachable.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// How long a connection of it may say nothing.
    pub fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// What counts against its own limits.
    pub(super) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// How many connections it has.
    pub fn connections(&self) -> u32 {
        self.counts.value(Counted::Connection)
    }

    /// When it ends at the latest.
    pub fn expires(&self) -> Instant {
        self.expires
    }

    /// Ends it, with all its connections: its answer is void. Requests that are under way go on.
    pub fn retire(&self) {
        // Relaxed: a packet that is read meanwhile may be before or after it.
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Whether it speaks for nobody any more.
    #[inline]
    pub fn is_over(&self, now: Instant) -> bool {
        self.retired.load(Ordering::Relaxed) && !seeded::is(Bug::RetiredClientStays) || self.expires <= now
    }

    /// Whether one more request of it may pass now that was taken before, too long ago to be known as a duplicate: a NAS may
    /// retransmit so late, but not often.
    pub fn repeats(&self, now: Instant) -> bool {
        self.repeats.passes(REPEATS_PER_SECOND, now)
    }

    /// Whether one more new request of it may pass now.
    #[inline]
    pub fn passes(&self, now: Instant) -> bool {
        self.packets_per_second == 0 || self.pace.passes(self.packets_per_second, now)
    }

    /// Whether its operator is to be told that it does not sign: once.
    pub fn is_first_unsigned(&self) -> bool {
        !self.warned.swap(true, Ordering::Relaxed)
    }
}

/// Late retransmissions of one client.
const REPEATS_PER_SECOND: u32 = 16;

impl fmt::Debug for DynamicClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DynamicClient { client, rule, expires, .. } = self;
        write!(f, "DynamicClient({:?} by {rule:?}, until {expires})", client.name)
    }
}

/// Whose a packet is.
#[derive(Clone)]
pub enum Whose {
    /// A client's of the configuration under which the packet came.
    Configured(ClientId),
    /// That of a client which a rule has admitted.
    Dynamic(Arc<DynamicClient>),
}

impl Whose {
    /// The client.
    #[inline]
    pub fn client<'c>(&'c self, clients: &'c Clients) -> &'c Client {
        match self {
            Whose::Configured(client) => clients.client(*client),
            Whose::Dynamic(dynamic) => dynamic.client(),
        }
    }

    /// What tells it, with this secret or with all that it has, from all others. See [`Clients::mark`].
    #[inline]
    pub fn mark<'c>(&'c self, clients: &'c Clients, secret: Option<SecretIndex>) -> &'c [u8; 16] {
        match self {
            Whose::Configured(client) => clients.mark(*client, secret),
            Whose::Dynamic(dynamic) => dynamic.mark(secret),
        }
    }

    /// Notes that a packet has verified under the client's old secret. Whether it is the first of that client.
    pub fn note_old_secret(&self, clients: &Clients) -> bool {
        match self {
            Whose::Configured(client) => clients.note_old_secret(*client),
            Whose::Dynamic(dynamic) => !dynamic.old_secret_used.swap(true, Ordering::Relaxed),
        }
    }

    /// As events name it.
    pub fn for_event(&self) -> EventClient {
        match self {
            Whose::Configured(client) => EventClient::Configured(*client),
            Whose::Dynamic(dynamic) => EventClient::Dynamic(dynamic.name()),
        }
    }

    /// What stands for the client's definition where several have one connection one after the other: 0 where only one can.
    #[inline]
    pub fn definition(&self) -> u32 {
        match self {
            Whose::Configured(_) => 0,
            Whose::Dynamic(dynamic) => {
                let [a, b, c, d, ..] = *dynamic.mark(None);
                u32::from_le_bytes([a, b, c, d]) | 1
            }
        }
    }
}

impl fmt::Debug for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whose::Configured(client) => write!(f, "{client:?}"),
            Whose::Dynamic(dynamic) => write!(f, "{dynamic:?}"),
        }
    }
}
