//! In steady state the threads that serve, and the log's, call the allocator never: not per packet, not per second. Nor does
//! the one that stores records, on a real disk.
//!
//! A test binary of its own, as its allocator counts for the whole process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ulna_config::Cores;
use ulna_core::Seed;
use ulna_core::packet::chap::chap_password;
use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Secret, number};
use ulna_core::policy::configured_rules;
use ulna_runtime_mio::{RecordStore, Server};
use ulna_stores::file::FileDisk;

/// How much is sent, for each of the two layouts, while it is counted.
struct Extent {
    packets: u64,
    /// Fewer are a failure: nothing would be shown.
    packets_min: u64,
    span_max: Duration,
}

/// Where CI is set no packet less will do, however slow the machine.
const WHOLE: Extent =
    Extent { packets: 1_000_000, packets_min: 1_000_000, span_max: Duration::from_secs(300) };
/// For whoever waits for it.
const SHORT: Extent = Extent { packets: 200_000, packets_min: 50_000, span_max: Duration::from_secs(25) };
/// Short, so that replies expire many times in the test.
const LIFETIME: Duration = Duration::from_millis(500);
/// Identifiers that a port uses in turn. So few that all of them live at once within the shortest warm-up: the memory
/// for kept replies is made when it is needed first, and is as large as it will ever be then.
const IDENTIFIERS: u8 = 64;

/// Counts calls by threads that serve, as long as it is asked to.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicU64 = AtomicU64::new(0);
/// Places shown, at most.
const SHOWN_MAX: u64 = 5;

thread_local! {
    /// While a call is being shown: showing it allocates, too.
    static SHOWS: Cell<bool> = const { Cell::new(false) };
}

impl Counting {
    fn note(call: &str, layout: Layout) {
        if !COUNTS.load(Ordering::Relaxed) || SHOWS.get() || !serves() {
            return;
        }
        if CALLS.fetch_add(1, Ordering::Relaxed) < SHOWN_MAX {
            SHOWS.set(true);
            eprintln!("{call} of {} octets:\n{}", layout.size(), Backtrace::force_capture());
            SHOWS.set(false);
        }
    }
}

/// Whether the calling thread is one that serves, stores or logs, by the name that the kernel has of it: to ask the standard library
/// could allocate.
fn serves() -> bool {
    let mut name = [0u8; 16];
    // SAFETY: PR_GET_NAME writes at most 16 octets to where its argument points, which has as many.
    let told = unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    told == 0
        && [&b"network-"[..], b"worker-", b"joined-", b"store", b"ulna-log"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::note("alloc", layout);
        // SAFETY: our caller keeps to the contract of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Counting::note("alloc_zeroed", layout);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, octets: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Counting::note("realloc", layout);
        // SAFETY: as above.
        unsafe { System.realloc(octets, layout, size) }
    }

    unsafe fn dealloc(&self, octets: *mut u8, layout: Layout) {
        Counting::note("dealloc", layout);
        // SAFETY: as above.
        unsafe { System.dealloc(octets, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SECRET: &[u8] = b"a secret of the test";

/// Where records go.
fn records() -> std::path::PathBuf {
    let name = format!("no_allocation-{}.jsonl", std::process::id());
    std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn configuration(threads: &str, format: &str) -> String {
    format!(
        r#"
[runtime]
{threads}
receive_buffer_octets = 1_048_576

[log]
format = "{format}"

[protocol]
reject_delay = "2ms"
# Counted, and never so many that a password is not looked at.
failures_max = 1_000_000
failure_window = "1s"
dedup_lifetime = "{}ms"

[[listen]]
name = "authentication"
transport = "udp"
address = ["127.0.0.1:0", "[::1]:0"]
packets = ["access", "status"]
server = "default"

[[listen]]
name = "accounting"
transport = "udp"
address = ["127.0.0.1:0"]
packets = ["accounting"]
server = "default"

[accounting.file]
path = {:?}

[[client]]
name = "localhost"
network = ["127.0.0.0/8", "::1"]
secret = "a secret of the test"

[[client_rule]]
name = "behind a NAT"
network = ["127.0.0.2/32"]
nat = true
secret = "a secret of the test"
limits = {{ packets_per_second = 0 }}

[[client_rule]]
name = "behind a NAT with sockets of their own"
network = ["127.0.0.3/32"]
nat = true
connected = true
secret = "a secret of the test"
limits = {{ packets_per_second = 0 }}

[[user]]
name = "bob"
password = "hello"
reply = {{ "Tunnel-Password:1" = "hidden anew each time", MS-MPPE-Send-Key = "0x0001", MS-MPPE-Recv-Key = "0x0203" }}

[[user]]
name = "long"
password = "hello"
reply = {{ Reply-Message = ["{}", "{}", "{}"] }}

[[user]]
name = "User"
password = "clientPass"

[[server]]
name = "default"
[[server.accounting]]
when = {{ User-Name = {{ regex = "^(no|some)body" }} }}
store = "file"
[[server.accounting]]
when = {{ User-Name = {{ glob = "b?b" }}, Acct-Status-Type = "Stop", network = ["127.0.0.0/8"] }}
store = "file"
set_request = {{ NAS-Identifier = "edited" }}
remove_request = ["Calling-Station-Id"]
[[server.new]]
when = {{ User-Name = {{ regex = "^(no|some)body" }}, Class = {{ present = false }} }}
reject = true
[[server.new]]
when = {{ User-Name = {{ glob = "b?b" }}, realm = {{ present = false }}, network = ["127.0.0.0/8", "::1"], time = "00:00-24:00" }}
authenticate = "users"
set_request = {{ NAS-Identifier = "edited", Cisco-AVPair = ["a=1", "b=2"] }}
remove_request = ["Class"]
set_session = {{ site = "campus" }}
set_reply = {{ Session-Timeout = 60, "Tunnel-Password:1" = "sesame", Filter-Id = "gone" }}
remove_reply = ["Reply-Message"]
[[server.new]]
authenticate = "users"
set_reply = {{ Session-Timeout = 3600 }}
[[server.reply]]
when = {{ "session.site" = "campus", NAS-Identifier = "edited", Cisco-AVPair = "b=2", reply = "accept" }}
remove_reply = ["Filter-Id"]
set_reply = {{ Class = "0x01", "Tunnel-Password:2" = "open" }}
"#,
        LIFETIME.as_millis(),
        records(),
        "a".repeat(250),
        "b".repeat(250),
        "c".repeat(250),
    )
}

/// RFC 2865 §5.11.
const FILTER_ID: u8 = 11;
/// Clients behind each of two NATs.
const BEHIND_EACH_NAT: usize = 3;
/// Requests that one port has outstanding.
const WINDOW: u8 = 16;

/// What a port asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Pap,
    Chap,
    MsChap,
    Accounting,
}

/// MS-CHAP-Challenge and MS-CHAP2-Response, each in a Vendor-Specific: the exchange of RFC 2759 §9.2, as RFC 2548 §2.1.2
/// and §2.3.2 have it.
fn ms_chap() -> [Vec<u8>; 2] {
    let challenge = 0x5b5d_7c7d_7b3f_2f3e_3c2c_6021_3226_2628_u128.to_be_bytes();
    let peer_challenge = 0x2140_2324_255e_262a_2829_5f2b_3a33_7c7e_u128.to_be_bytes();
    let response: [u8; 24] = [
        0x82, 0x30, 0x9e, 0xcd, 0x8d, 0x70, 0x8b, 0x5e, 0xa0, 0x8f, 0xaa, 0x39, 0x81, 0xcd, 0x83, 0x54, 0x42,
        0x33, 0x11, 0x4a, 0x3d, 0x85, 0xd6, 0xdf,
    ];
    [
        [&[0, 0, 1, 55, 11, 18][..], &challenge].concat(),
        [&[0, 0, 1, 55, 25, 52, 7, 0][..], &peer_challenge, &[0; 8], &response].concat(),
    ]
}

/// One source port.
struct Nas {
    asks: Asks,
    socket: UdpSocket,
    identifier: u8,
    authenticator: u128,
    window: Vec<Vec<u8>>,
    user: &'static [u8],
    is_long: bool,
    guesses: bool,
    password: &'static [u8],
    signed: MessageAuthenticator,
    /// Replies that have what rules for replies set, and what they remove.
    edited: u64,
    unedited: u64,
}

impl Nas {
    fn new(server: SocketAddr, number: u128, asks: Asks) -> Nas {
        Nas::from(if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }, server, number, asks)
    }

    fn from(local: &str, server: SocketAddr, number: u128, asks: Asks) -> Nas {
        let socket = UdpSocket::bind(local).expect("a free port");
        socket.connect(server).expect("it is on this machine");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("not zero");
        // Of eight ports one guesses passwords, two do not sign, one gets long replies and one sends long requests:
        // of either there are never more at once than buffers for them were made at start.
        Nas {
            asks,
            socket,
            identifier: 0,
            authenticator: number << 64,
            window: vec![Vec::with_capacity(4096); usize::from(WINDOW)],
            user: match asks {
                Asks::MsChap => b"User",
                Asks::Pap if number % 8 == 2 => b"long",
                Asks::Pap | Asks::Chap | Asks::Accounting => b"bob",
            },
            is_long: asks == Asks::Pap && number % 8 == 3,
            guesses: asks == Asks::Pap && number % 8 == 7,
            password: if number % 8 == 7 { b"guess" } else { b"hello" },
            signed: if number % 8 < 2 { MessageAuthenticator::Absent } else { MessageAuthenticator::First },
            edited: 0,
            unedited: 0,
        }
    }

    /// Sends a window of new requests, every twentieth of them twice. Says how many packets that were.
    fn send(&mut self) -> u64 {
        let secret = Secret::new(SECRET).expect("it has octets");
        let mut packets = 0;
        for request in &mut self.window {
            self.authenticator += 1;
            self.identifier = (self.identifier + 1) % IDENTIFIERS;
            let authenticator = self.authenticator.to_be_bytes();
            let code = match self.asks {
                Asks::Pap | Asks::Chap | Asks::MsChap => Code::AccessRequest,
                Asks::Accounting => Code::AccountingRequest,
            };
            let mut encoder = Encoder::request(request, code, self.identifier, &authenticator, self.signed);
            encoder.attribute(number::USER_NAME, self.user).expect("it fits");
            if self.is_long {
                for _ in 0..3 {
                    encoder.attribute(number::CLASS, &[7; 250]).expect("it fits");
                }
            }
            if self.guesses {
                // Without a station of their own all of the client's users would be shut out with them.
                encoder.attribute(number::CALLING_STATION_ID, b"00-11-22").expect("it fits");
            }
            match self.asks {
                Asks::Pap => encoder.user_password(self.password, &secret).expect("it fits"),
                Asks::Chap => {
                    let value = chap_password(self.identifier, &authenticator, self.password);
                    encoder.attribute(number::CHAP_PASSWORD, &value).expect("it fits");
                }
                Asks::MsChap => ms_chap().iter().for_each(|value| {
                    encoder.attribute(number::VENDOR_SPECIFIC, value).expect("it fits");
                }),
                Asks::Accounting => {
                    encoder.attribute(number::ACCT_STATUS_TYPE, &[0, 0, 0, 2]).expect("it fits");
                    encoder.attribute(number::ACCT_SESSION_ID, &authenticator).expect("it fits");
                    encoder.attribute(number::CALLING_STATION_ID, b"00-11-22").expect("it fits");
                }
            }
            encoder.finish_request(&secret);
            let times = if self.authenticator.is_multiple_of(20) { 2 } else { 1 };
            for _ in 0..times {
                put(&self.socket, request);
                packets += 1;
            }
        }
        packets
    }

    /// Waits for the replies to the window, and asks again for those that do not come. Says how many packets that were.
    fn collect(&mut self) -> u64 {
        let mut packets = 0;
        let mut waiting: Vec<&Vec<u8>> = self.window.iter().collect();
        let mut octets = [0; 4096];
        let until = Instant::now() + Duration::from_secs(10);
        while !waiting.is_empty() {
            match self.socket.recv(&mut octets) {
                Ok(length) => {
                    let reply = Framed::parse(&octets[..length]).expect("a reply is a packet");
                    let has = |number| reply.attributes().any(|attribute| attribute.number == number);
                    self.edited += u64::from(has(number::CLASS));
                    self.unedited += u64::from(has(FILTER_ID));
                    let is_wanted = match self.asks {
                        Asks::Pap => matches!(octets[0], 2 | 3),
                        Asks::Chap => octets[0] == 2,
                        // With MS-CHAP2-Success and keys.
                        Asks::MsChap => octets[0] == 2 && has(number::VENDOR_SPECIFIC),
                        Asks::Accounting => octets[0] == 5,
                    };
                    assert!(is_wanted, "{:?} is answered by code {}", self.asks, octets[0]);
                    waiting.retain(|request| request[1] != octets[1]);
                }
                Err(error) => {
                    let kind = error.kind();
                    assert!(matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{error}");
                    assert!(Instant::now() < until, "{} requests get no answer", waiting.len());
                    waiting.iter().for_each(|request| put(&self.socket, request));
                    packets += waiting.len() as u64;
                }
            }
        }
        // Of each window one is asked for again after its reply; what comes is not waited for.
        put(&self.socket, &self.window[0]);
        packets + 1
    }
}

/// A full buffer is what a lost packet is: the request is sent again later.
fn put(socket: &UdpSocket, request: &[u8]) {
    let _ = socket.send(request);
}

/// Load until so many packets are sent or the time is over, with rests in which all replies expire.
fn load(nases: &mut [Nas], packets: u64, span: Duration) -> u64 {
    let until = Instant::now() + span;
    let mut sent = 0;
    let mut rest_after = Duration::ZERO;
    let mut last_rest = Instant::now();
    while sent < packets && Instant::now() < until {
        sent += nases.iter_mut().map(Nas::send).sum::<u64>();
        sent += nases.iter_mut().map(Nas::collect).sum::<u64>();
        if last_rest.elapsed() > rest_after {
            // Not a wait for anything: the silence itself is part of the load.
            thread::sleep(LIFETIME + LIFETIME / 4);
            rest_after = 8 * LIFETIME;
            last_rest = Instant::now();
        }
    }
    sent
}

fn measure(threads: &str, format: &str, extent: &Extent) {
    let (configuration, _) =
        ulna_config::parse(&configuration(threads, format), "test.toml", Cores(2)).expect("it is right");
    let configuration = Arc::new(configuration);
    let mut disk = FileDisk::claim(&records()).expect("the folder is ours");
    let store = RecordStore {
        perform: Box::new(move |operation| disk.perform(operation).map_err(|error| error.to_string())),
        tell: Box::new(|news| panic!("{news:?}")),
    };
    let seed = Seed::new([3; 32]);
    let server = Server::start_storing(
        &configuration,
        &seed,
        &configured_rules(),
        Some(store).into(),
        Box::new(io::sink()),
    );
    let server = server.expect("ports are free");
    let addresses: Vec<_> = server.addresses().collect();
    let mut nases: Vec<_> =
        (0..16).map(|number| Nas::new(addresses[number as usize / 8], number, Asks::Pap)).collect();
    for (number, asks) in (16..).zip([Asks::Chap, Asks::MsChap]) {
        nases.extend([addresses[0], addresses[1]].map(|address| Nas::new(address, number << 8, asks)));
    }
    let behind_nats = ["127.0.0.2:0", "127.0.0.3:0"].into_iter().cycle().take(2 * BEHIND_EACH_NAT);
    // Numbers of such as sign.
    nases.extend(
        behind_nats.zip(4..).map(|(from, number)| Nas::from(from, addresses[0], number << 16 | 4, Asks::Pap)),
    );
    nases.extend((20..22).map(|number| Nas::new(addresses[2], number, Asks::Accounting)));
    // Every Identifier of every port lives at once, several times over.
    load(&mut nases, u64::MAX, 3 * LIFETIME + Duration::from_secs(2));
    COUNTS.store(true, Ordering::Relaxed);
    let began = Instant::now();
    let packets = load(&mut nases, extent.packets, extent.span_max);
    let span = began.elapsed();
    COUNTS.store(false, Ordering::Relaxed);
    let report = server.report();
    println!(
        "{threads:?}: {packets} packets in {span:?}, {} calls of the allocator",
        CALLS.load(Ordering::Relaxed)
    );
    let sum = |name: &str| report.sum(name).unwrap_or_else(|| panic!("there is no counter {name}"));
    let edited = nases.iter().map(|nas| nas.edited).sum::<u64>();
    let unedited = nases.iter().map(|nas| nas.unedited).sum::<u64>();
    assert!(
        edited > packets / 4 && unedited == 0,
        "{edited} of {packets} replies are edited, {unedited} partly"
    );
    assert!(packets >= extent.packets_min, "only {packets} packets were sent");
    for name in ["duplicates_resent", "accepts", "rejects", "accepted_unsigned", "records"] {
        assert!(sum(name) > 1_000, "the load has something of everything: {name} {}\n{report}", sum(name));
    }
    let with_own_socket = sum("connected_opened") - sum("connected_closed");
    assert_eq!((sum("connections"), with_own_socket), (2 * BEHIND_EACH_NAT as u64, BEHIND_EACH_NAT as u64));
    assert_eq!(sum("records"), sum("accounting_stored"), "what is stored is answered\n{report}");
    assert_eq!(
        CALLS.swap(0, Ordering::Relaxed),
        0,
        "calls of the allocator by threads that serve or store\n{report}"
    );
    assert!(server.drain(Duration::from_secs(5)));
    server.exit();
    std::fs::remove_file(records()).expect("it was written");
    let _ = std::fs::remove_file(records().with_extension("jsonl.lock"));
}

#[test]
fn serving_threads_never_call_the_allocator() {
    let extent = if std::env::var_os("CI").is_some() { WHOLE } else { SHORT };
    measure("network_threads = 2\nworkers = 2", "text", &extent);
    measure("network_threads = 0\nworkers = 2", "json", &extent);
}
