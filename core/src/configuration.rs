//! Everything that an operator decides, as plain data: what the configuration file becomes.
//!
//! Holds no file names and no text to be read later; makes no decisions. Its bounds are checked where it is made.

use crate::accounting::Rotation;
use crate::authenticate::mac::Devices;
use crate::authenticate::users::Users;
use crate::client::{ClientRules, Clients, SecretTable};
use crate::control::Size;
use crate::dictionary::Dictionary;
use crate::forward::{Nases, Pool, PoolId, Realms, RemoteServer, RemoteServerId};
use crate::policy::{ServerId, VirtualServer};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// Room for configured attributes in a reply: 4 096 octets (RFC 2865 §3) less the header and the
/// Message-Authenticator. What a request's Proxy-States need comes off that, and is known only then.
pub const REPLY_OCTETS_MAX: usize = 4096 - 20 - 18;

/// Network threads that a configuration may ask for.
pub const NETWORK_THREADS_MAX: usize = 64;
/// Workers that a configuration may ask for.
pub const WORKERS_MAX: usize = 256;

/// A whole configuration. Shared by all threads, never changed.
pub struct Configuration {
    /// Threads, rings and memory.
    pub runtime: RuntimeSettings,
    /// Times and bounds of the protocol.
    pub protocol: Protocol,
    /// One for each address that is listened on; a [`ListenerId`](crate::ListenerId) is a place here.
    pub listeners: Vec<Listener>,
    /// Who may speak.
    pub clients: Clients,
    /// Who else may, by rules.
    pub client_rules: ClientRules,
    /// The tables that those look up in, as they were when they were read: for drivers.
    pub secret_tables: Vec<Arc<SecretTable>>,
    /// Users with their passwords.
    pub users: Users,
    /// Devices that are known by their hardware address. None of them is a user.
    pub devices: Devices,
    /// Virtual servers; a [`ServerId`] is a place here.
    pub servers: Vec<VirtualServer>,
    /// Servers that requests are forwarded to; a [`RemoteServerId`] is a place here, or behind these a NAS: see
    /// [`hops`](Configuration::hops).
    pub remote_servers: Vec<RemoteServer>,
    /// Which of the clients take CoA and Disconnect, and where. Each is a hop as a remote server is, numbered behind those.
    pub nases: Nases,
    /// Those that stand in for each other; a [`PoolId`] is a place here.
    pub pools: Vec<Pool>,
    /// Whose users go to which pool.
    pub realms: Realms,
    /// What attributes are called and how they are hidden: the built-in dictionary and the files of the configuration.
    pub dictionary: Arc<Dictionary>,
    /// Where accounting is stored, if it is.
    pub accounting: AccountingSettings,
    /// What is logged.
    pub log: LogSettings,
    /// How it is controlled.
    pub control: ControlSettings,
}

impl Configuration {
    /// How many network cores there are: network threads, or where these are joined with workers, workers.
    pub fn network_cores(&self) -> usize {
        self.runtime.network_cores()
    }

    /// How many worker cores there are.
    pub fn worker_cores(&self) -> usize {
        self.runtime.workers
    }

    /// A remote server, or a NAS, by its number.
    ///
    /// # Panics
    /// If the number is of another configuration.
    pub fn remote_server(&self, server: RemoteServerId) -> &RemoteServer {
        let number = usize::from(server.0);
        match number.checked_sub(self.remote_servers.len()) {
            None => &self.remote_servers[number],
            Some(nas) => &self.nases.hops()[nas],
        }
    }

    /// All that packets go on to: remote servers, and behind them NASes; a [`RemoteServerId`] is a place here.
    pub fn hops(&self) -> impl Iterator<Item = &RemoteServer> {
        self.remote_servers.iter().chain(self.nases.hops())
    }

    /// A pool by its number.
    ///
    /// # Panics
    /// If the number is of another configuration.
    pub fn pool(&self, pool: PoolId) -> &Pool {
        &self.pools[usize::from(pool.0)]
    }

    /// A virtual server by its number.
    ///
    /// # Panics
    /// If the number is of another configuration.
    pub fn server(&self, server: ServerId) -> &VirtualServer {
        &self.servers[usize::from(server.0)]
    }
}

/// How many cores the machine has. Handed in, so that the same file gives the same configuration in a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cores(pub usize);

/// Threads, rings and memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeSettings {
    /// Network threads, 0 to [`NETWORK_THREADS_MAX`]; 0: joined, each worker thread has a network core of its own.
    pub network_threads: usize,
    /// Worker threads, 1 to [`WORKERS_MAX`].
    pub workers: usize,
    /// How a thread that has nothing to do is woken for messages.
    pub signal: Signal,
    /// How long it goes on looking after the last message, at most, before it sleeps; 0 to 10 ms, 0: not at all.
    pub linger_max: Duration,
    /// Of one processor's time, how much in a hundred it may spend so; 0 to 100.
    pub linger_cpu: u32,
    /// Messages in a ring between two threads: a power of two, 2 to 65 536.
    pub ring_slots: usize,
    /// Requests in progress per network thread and worker, 1 to 1 048 576.
    pub requests_max: usize,
    /// Of each listening socket, 4 096 to 1 GiB.
    pub receive_buffer_octets: usize,
    /// Requests, in progress or answered, that a network thread remembers; 1 to 16 777 216.
    pub dedup_entries_max: usize,
    /// Octets of cached replies that a network thread keeps; 65 536 to 16 GiB.
    pub replies_octets_max: usize,
    /// Memory for replies that wait for the peers of streams to read them, in each network core. 65 536 to 16 GiB.
    pub streams_octets_max: usize,
    /// Threads that hash passwords, where users have Argon2 digests; 1 to 64.
    pub hash_threads: usize,
    /// Passwords that wait for one of them, 1 to 65 536.
    pub hash_line_max: usize,
    /// Where what survives a restart is kept, if it is; as its driver opens it.
    pub state_directory: Option<Box<str>>,
}

impl RuntimeSettings {
    /// How many network cores there are.
    pub fn network_cores(&self) -> usize {
        if self.network_threads == 0 { self.workers } else { self.network_threads }
    }
}

impl Default for RuntimeSettings {
    /// Joined threads, one worker; all else as the configuration's defaults.
    fn default() -> Self {
        RuntimeSettings {
            network_threads: 0,
            workers: 1,
            signal: Signal::Announce,
            linger_max: Duration::from_micros(50),
            linger_cpu: 5,
            ring_slots: 1024,
            requests_max: 16_384,
            receive_buffer_octets: 4_194_304,
            dedup_entries_max: 131_072,
            replies_octets_max: 64 * 1024 * 1024,
            streams_octets_max: 64 * 1024 * 1024,
            hash_threads: 1,
            hash_line_max: 128,
            state_directory: None,
        }
    }
}

/// How a thread that has nothing to do is woken for messages of other threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// It says that it sleeps, and is rung once for what is urgent.
    Announce,
    /// It is rung for every batch of messages, asleep or not. For comparison.
    Always,
    /// It looks each millisecond, and says that it sleeps only when nothing has come several times. For comparison.
    Timer,
}

/// Times and bounds of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    /// How long an Access-Reject of our own waits, against guessing; less than `request_timeout`.
    pub reject_delay: Duration,
    /// Rejects that wait at one time, per network core; further ones are discarded by name.
    pub delayed_rejects_max: usize,
    /// After which a request without an answer is given up.
    pub request_timeout: Duration,
    /// How long a new request may have waited when its worker takes it up: its NAS is about to ask again. Accounting and
    /// ongoing conversations wait for up to `request_timeout`.
    pub new_request_wait_max: Duration,
    /// How long an answered request is remembered for its duplicates (RFC 5080 §2.2.2).
    pub dedup_lifetime: Duration,
    /// After so many wrong passwords of one user at one Calling-Station-Id no more are looked at, per worker; 0: all are.
    pub failures_max: u32,
    /// How long, from the first of them.
    pub failure_window: Duration,
    /// What becomes of an Access-Request that is to be forwarded and has nowhere to go.
    pub unroutable: Unroutable,
    /// How long a conversation may be silent whose State is ours, or whose user has no realm.
    pub state_lifetime: Duration,
    /// How many of either kind are kept, per worker; 1 to 16 777 216.
    pub state_max: usize,
    /// How far the Event-Timestamp of a CoA- or Disconnect-Request may be from the time on the wall, if that is looked at; not
    /// above `dedup_lifetime` (RFC 5176 §6.3).
    pub event_timestamp_window: Option<Duration>,
    /// Whether it must have one then.
    pub require_event_timestamp: bool,
}

impl Default for Protocol {
    fn default() -> Self {
        Protocol {
            reject_delay: Duration::from_secs(1),
            delayed_rejects_max: 10_000,
            request_timeout: Duration::from_secs(30),
            new_request_wait_max: Duration::from_secs(1),
            dedup_lifetime: Duration::from_secs(10),
            failures_max: 10,
            failure_window: Duration::from_secs(60),
            unroutable: Unroutable::Reject,
            state_lifetime: Duration::from_secs(60),
            state_max: 100_000,
            event_timestamp_window: None,
            require_event_timestamp: false,
        }
    }
}

/// What becomes of an Access-Request for which no pool is known, or of whose pool no server lives. Accounting has no answer that
/// says so, and is discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unroutable {
    /// Access-Reject, after the reject delay: its NAS learns at once that it need not ask again.
    Reject,
    /// No answer: its NAS may ask another server.
    Discard,
}

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The operator's name; the addresses of one `[[listen]]` share it.
    pub name: Box<str>,
    /// The address and port; port 0 lets the system choose one.
    pub address: SocketAddr,
    /// What packets come by.
    pub transport: Transport,
    /// Which packets it takes.
    pub packets: Packets,
    /// Whose rules hold.
    pub server: ServerId,
    /// Whether connections behind a NAT get sockets of their own, where their client rule does not say.
    pub connected: bool,
}

/// What packets come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams (RFC 2865 §2.4).
    Udp,
    /// Streams (RFC 6613).
    Tcp(StreamSettings),
}

impl Transport {
    /// The name in the configuration.
    pub const fn name(&self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp(_) => "tcp",
        }
    }
}

impl Transport {
    /// Where it has streams, what these may be.
    pub fn stream_settings(&self) -> Option<&StreamSettings> {
        match self {
            Transport::Udp => None,
            Transport::Tcp(settings) => Some(settings),
        }
    }
}

/// How many streams a listener may have, and how long each may be silent or slow (RFC 6613 §2.6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSettings {
    /// At one time; each network core has its share. 1 to 1 048 576.
    pub connections_max: u32,
    /// Of these, from one source address, in each network core. 1 to 1 048 576.
    pub per_address_max: u32,
    /// How long one may be silent that has nothing under way.
    pub idle_timeout: Duration,
    /// In which a packet that has begun has to end.
    pub read_timeout: Duration,
    /// In which the peer has to read replies.
    pub write_timeout: Duration,
    /// Packets taken of one stream in a second; 0: any number.
    pub packets_per_second: u32,
}

impl Default for StreamSettings {
    fn default() -> Self {
        StreamSettings {
            connections_max: 1_024,
            per_address_max: 64,
            idle_timeout: Duration::from_secs(120),
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            packets_per_second: 0,
        }
    }
}

/// A set of kinds of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packets(u8);

impl Packets {
    /// None.
    pub const NONE: Packets = Packets(0);
    /// Access-Request (RFC 2865).
    pub const ACCESS: Packets = Packets(1);
    /// Accounting-Request (RFC 2866).
    pub const ACCOUNTING: Packets = Packets(2);
    /// Status-Server (RFC 5997).
    pub const STATUS: Packets = Packets(4);
    /// CoA-Request and Disconnect-Request (RFC 5176).
    pub const COA: Packets = Packets(8);

    /// Those of either.
    #[must_use]
    pub const fn with(self, other: Packets) -> Packets {
        Packets(self.0 | other.0)
    }

    /// Whether all of `other` are among these.
    pub const fn contains(self, other: Packets) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Where accounting is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountingSettings {
    /// In a file of JSON lines.
    pub file: Option<AccountingFile>,
    /// From which it is sent on later, in the state directory.
    pub spool: Option<SpoolSettings>,
}

/// Bounds of the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolSettings {
    /// Octets of records that are to be sent, on disk and in memory; 1 MiB, which is several batches, to 16 GiB. The files may have five times as many.
    pub octets_max: usize,
    /// Records of one pool that are under way at once; 1 to 4 096.
    pub outstanding_max: u32,
    /// Octets of records that may wait to be written; 65 536 to 1 GiB.
    pub line_octets_max: usize,
}

impl Default for SpoolSettings {
    fn default() -> Self {
        const MEBIBYTE: usize = 1024 * 1024;
        SpoolSettings { octets_max: 64 * MEBIBYTE, outstanding_max: 64, line_octets_max: 16 * MEBIBYTE }
    }
}

/// A file of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountingFile {
    /// Its path, as its driver opens it.
    pub path: Box<str>,
    /// When a new one is begun.
    pub rotation: Rotation,
    /// Octets of records that may wait to be stored; 65 536 to 1 GiB.
    pub line_octets_max: usize,
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// One line per finished request, and for discarded packets. What is rarer has its line in any case.
    pub requests: bool,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a server that runs is asked, and told what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlSettings {
    /// The socket that it listens on for that, if it does; as its driver binds it.
    pub socket: Option<ControlSocket>,
    /// Connections at once, 1 to 4 096.
    pub connections_max: usize,
    /// How much of a command's output may wait for its reader: 10 KiB to 16 MiB, and a mark of 1 to 100 in a hundred.
    pub size: Size,
    /// How long a reader may take nothing.
    pub patience: Duration,
}

impl Default for ControlSettings {
    fn default() -> Self {
        ControlSettings {
            socket: None,
            connections_max: 128,
            size: Size { octets_max: 128 * 1024, mark: 50 },
            patience: Duration::from_secs(600),
        }
    }
}

/// A control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlSocket {
    /// Its path.
    pub path: Box<str>,
    /// Who may connect: permissions of user, group and others; at most 0o777.
    pub mode: u32,
    /// The group that it belongs to, whose members may change what can be changed.
    pub group: Option<Box<str>>,
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings { requests: true, format: LogFormat::Text }
    }
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: a JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_a_set() {
        let both = Packets::ACCESS.with(Packets::STATUS);
        assert!(both.contains(Packets::ACCESS) && both.contains(Packets::STATUS));
        assert!(
            !both.contains(Packets::ACCOUNTING) && !both.contains(Packets::ACCESS.with(Packets::ACCOUNTING))
        );
        assert!(!Packets::NONE.contains(Packets::STATUS));
    }

    #[test]
    fn a_configuration_may_be_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Configuration>();
    }
}
