//! Connections behind a NAT with sockets of their own, on real sockets: they come and go under load, and no packet is lost but what
//! the kernel counts, none is another's, and each is served where there is no socket to be had.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ulna_config::Cores;
use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Secret, number};
use ulna_core::path::{NetworkId, Peer};
use ulna_core::{Discard, Seed};
use ulna_runtime_mio::Server;

/// Lines of the log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic under it").extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn secret_of(site: usize) -> Secret {
    Secret::new(format!("the secret of site {site}").as_bytes()).expect("it has octets")
}

/// A server that has a rule for 127.0.0.2 and `::1`, with so many sites of a secret each, and a client at 127.0.0.1.
fn start(name: &str, runtime: &str, listen: &str, sites: usize, limits: &str, log: Lines) -> Server {
    let table = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("connected-{name}-{}.toml", std::process::id()));
    let secrets =
        (0..sites).map(|site| format!("\"site-{site}\" = {{ secret = \"the secret of site {site}\" }}\n"));
    std::fs::write(&table, secrets.collect::<String>()).expect("the folder is ours");
    let requests = name == "unreachable";
    let text = format!(
        "[runtime]\n{runtime}\n[log]\nrequests = {requests}\n[protocol]\nreject_delay = \"100ms\"\n\
         [limits]\nnew_per_second = 1_000_000\n{limits}\n\
         [[listen]]\nname = \"auth\"\ntransport = \"udp\"\naddress = \"{listen}\"\npackets = [\"access\"]\nserver = \"edge\"\n\
         connected = true\n\
         [[client]]\nname = \"here\"\nnetwork = \"127.0.0.1/32\"\nsecret = \"the secret of site 0\"\n\
         [[client_rule]]\nname = \"sites\"\nnetwork = [\"127.0.0.2/32\", \"::1/128\"]\nnat = true\nidle_timeout = \"1s\"\n\
         secret = {{ table = {table:?}, key = \"NAS-Identifier\" }}\n\
         limits = {{ packets_per_second = 0, connections_per_client = 1_000_000, new_per_second = 1_000_000, per_address = {{ new_per_second = 1_000_000 }} }}\n\
         [[server]]\nname = \"edge\"\n[[server.new]]\nwhen = {{ User-Name = \"nobody\" }}\nreject = true\n\
         [[server.new]]\naccept = true\n"
    );
    let (configuration, _) = ulna_config::parse(&text, "test.toml", Cores(2)).expect("it is right");
    std::fs::remove_file(&table).expect("it was written");
    Server::start(&Arc::new(configuration), &Seed::new([9; 32]), Box::new(log)).expect("a port is free")
}

/// A NAS of this site, from whatever port it has now.
struct Nas {
    site: usize,
    secret: Secret,
    from: IpAddr,
    server: SocketAddr,
    socket: UdpSocket,
    asked: u64,
}

impl Nas {
    fn new(site: usize, from: IpAddr, server: SocketAddr) -> Nas {
        let socket = Nas::bind(from, server);
        Nas { site, secret: secret_of(site), from, server, socket, asked: 0 }
    }

    fn bind(from: IpAddr, server: SocketAddr) -> UdpSocket {
        let socket = UdpSocket::bind(SocketAddr::new(from, 0)).expect("a free port");
        socket.connect(server).expect("it is on this machine");
        // So long that only what is lost is sent again.
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("not zero");
        socket
    }

    /// Its NAT gives it another port.
    fn move_on(&mut self) {
        self.socket = Nas::bind(self.from, self.server);
    }

    /// Its reply is as much longer as it has Proxy-State.
    fn request(&mut self, user: &[u8], proxy_state: &[u8]) -> Vec<u8> {
        self.asked += 1;
        let mut authenticator = [7; 16];
        authenticator[..8].copy_from_slice(&self.asked.to_le_bytes());
        authenticator[8..].copy_from_slice(&(self.site as u64).to_le_bytes());
        let mut request = Vec::new();
        let (code, sign) = (Code::AccessRequest, MessageAuthenticator::First);
        let mut encoder = Encoder::request(&mut request, code, self.asked as u8, &authenticator, sign);
        encoder.attribute(number::USER_NAME, user).expect("it fits");
        encoder.attribute(number::NAS_IDENTIFIER, format!("site-{}", self.site).as_bytes()).expect("it fits");
        encoder.attribute(number::PROXY_STATE, proxy_state).expect("it fits");
        encoder.finish_request(&self.secret);
        request
    }

    /// Asks, and asks again as long as nobody answers: how often it had to send.
    fn ask(&mut self) -> u64 {
        let request = self.request(b"somebody", b"1");
        let until = Instant::now() + Duration::from_secs(30);
        let mut reply = [0; 4096];
        for sent in 1.. {
            self.socket.send(&request).expect("loopback takes it");
            if let Ok(octets) = self.socket.recv(&mut reply) {
                self.verify(&request, &reply[..octets]);
                return sent;
            }
            assert!(Instant::now() < until, "site {} gets no answer", self.site);
        }
        unreachable!("it ends by its answer or by the clock")
    }

    /// It is the reply to this request under this site's secret, which no other has.
    fn verify(&self, request: &[u8], reply: &[u8]) {
        let request = Framed::parse(request).expect("it is a packet");
        let reply = Framed::parse(reply).expect("it is a packet");
        assert_eq!(reply.identifier(), request.identifier());
        let verified = reply.verify_reply(&self.secret, request.authenticator(), true);
        assert_eq!(verified.expect("it is under this secret").code(), Code::AccessAccept);
    }
}

fn sum(server: &Server, name: &str) -> u64 {
    server.report().sum(name).unwrap_or_else(|| panic!("there is no counter {name}"))
}

/// Datagrams that were read, each counted once.
fn read(server: &Server) -> u64 {
    sum(server, "received") - sum(server, "strays_taken")
}

/// Looks until this holds, for ten seconds at most.
fn wait_until(what: &str, server: &Server, holds: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < until, "{what}; {}", server.report());
        thread::yield_now();
    }
}

/// One way to listen, and where NASes ask from and to.
struct Way {
    name: &'static str,
    runtime: &'static str,
    listen: &'static str,
    from: &'static str,
    to: &'static str,
    /// Whether its sockets join the group of the listening ones, as they have the same address.
    is_in_group: bool,
}

const SPLIT: &str = "network_threads = 3\nworkers = 2";
const JOINED: &str = "network_threads = 0\nworkers = 2";

const WAYS: [Way; 6] = [
    Way {
        name: "v4",
        runtime: SPLIT,
        listen: "127.0.0.1:0",
        from: "127.0.0.2",
        to: "127.0.0.1",
        is_in_group: true,
    },
    Way {
        name: "joined",
        runtime: JOINED,
        listen: "127.0.0.1:0",
        from: "127.0.0.2",
        to: "127.0.0.1",
        is_in_group: true,
    },
    Way {
        name: "any-v4",
        runtime: SPLIT,
        listen: "0.0.0.0:0",
        from: "127.0.0.2",
        to: "127.0.0.1",
        is_in_group: false,
    },
    // Left to itself the kernel would answer 127.0.0.2 from 127.0.0.1.
    Way {
        name: "other-v4",
        runtime: SPLIT,
        listen: "0.0.0.0:0",
        from: "127.0.0.2",
        to: "127.0.0.3",
        is_in_group: false,
    },
    Way { name: "v6", runtime: SPLIT, listen: "[::1]:0", from: "::1", to: "::1", is_in_group: true },
    Way { name: "any-v6", runtime: JOINED, listen: "[::]:0", from: "::1", to: "::1", is_in_group: false },
];

/// How long each way is under load.
const SPAN: Duration = Duration::from_secs(3);
const THREADS: usize = 4;
const NASES_EACH: usize = 40;
/// After so many requests a NAS has another port.
const REQUESTS_EACH_PORT: u64 = 40;

#[test]
fn nobody_is_lost_or_mistaken_while_sockets_come_and_go_under_load() {
    for way in WAYS {
        let limits = "connected_sockets_max = 300";
        let server = start(way.name, way.runtime, way.listen, THREADS * NASES_EACH, limits, Lines::default());
        let port = server.addresses().next().expect("it listens").port();
        let address = SocketAddr::new(way.to.parse().expect("an address"), port);
        let from: IpAddr = way.from.parse().expect("an address");
        let (asked, sent, ends) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            for crowd in 0..THREADS {
                let (asked, sent, ends) = (&asked, &sent, &ends);
                scope.spawn(move || {
                    // Of each crowd but the first one in four is a client of the configuration, which has no socket.
                    let known: IpAddr = "127.0.0.1".parse().expect("an address");
                    let is_known = |place: usize| crowd > 0 && place.is_multiple_of(4) && from.is_ipv4();
                    let nas = |place: usize| match is_known(place) {
                        true => {
                            Nas { asked: ((crowd * 100 + place) as u64) << 40, ..Nas::new(0, known, address) }
                        }
                        false => Nas::new(crowd * NASES_EACH + place, from, address),
                    };
                    let mut nases: Vec<_> = (0..NASES_EACH).map(nas).collect();
                    while !ends.load(Ordering::Relaxed) {
                        for (place, nas) in nases.iter_mut().enumerate() {
                            sent.fetch_add(nas.ask(), Ordering::Relaxed);
                            asked.fetch_add(1, Ordering::Relaxed);
                            // Not all at once.
                            if (nas.asked + place as u64).is_multiple_of(REQUESTS_EACH_PORT) {
                                nas.move_on();
                            }
                        }
                    }
                });
            }
            thread::sleep(SPAN);
            ends.store(true, Ordering::Relaxed);
        });
        let (asked, sent) = (asked.into_inner(), sent.into_inner());
        // All end, and what was on its way into a socket that was about to be closed has been read.
        let closed = || sum(&server, "connected_closed") == sum(&server, "connected_opened");
        wait_until("all sockets are closed", &server, || closed() && sum(&server, "connections") == 0);
        let [opened, refused, elsewhere, strays] =
            ["connected_opened", "connected_refused", "connected_elsewhere", "strays_sent"]
                .map(|name| sum(&server, name));
        let drops = server.report().kernel_drops().expect("Linux tells") + sum(&server, "connected_drops");
        println!(
            "{}: {asked} requests, {} retransmissions, {opened} sockets, {refused} refused; {elsewhere} datagrams read from \
             another's socket, {strays} strays, {drops} dropped by the kernel",
            way.name,
            sent - asked
        );
        wait_until("each datagram is read", &server, || read(&server) + drops >= sent);
        assert_eq!(read(&server) + drops, sent, "{}", server.report());
        assert!(opened > 300, "sockets come and go: {opened}");
        assert!(sum(&server, "connections_admitted") >= opened);
        // The kernel's selection among the listening sockets goes on as before: what a thread reads that is not its own it
        // has from a new socket that was not yet connected.
        assert!(strays <= elsewhere, "{strays} strays, {elsewhere} from other sockets");
        if way.is_in_group {
            assert!(
                elsewhere <= opened / 10,
                "{elsewhere} datagrams came to {opened} sockets before they were connected"
            );
        }
        let unverified: u64 = [
            Discard::BadMessageAuthenticator,
            Discard::BadRequestAuthenticator,
            Discard::UnknownClient,
            Discard::UnexpectedCode,
        ]
        .into_iter()
        .map(|reason| server.report().discarded(reason))
        .sum();
        assert_eq!(unverified, 0, "nobody was taken for another");
        assert!(server.drain(Duration::from_secs(10)), "{}", server.report());
        server.exit();
    }
}

#[test]
fn what_the_network_says_about_a_client_is_counted_for_it() {
    for (name, listen, from) in
        [("unreachable", "127.0.0.1:0", "127.0.0.2"), ("unreachable", "[::]:0", "::1")]
    {
        let log = Lines::default();
        let server = start(name, SPLIT, listen, 3, "", log.clone());
        let port = server.addresses().next().expect("it listens").port();
        let to = if from == "::1" { "::1" } else { "127.0.0.1" };
        let address = SocketAddr::new(to.parse().expect("an address"), port);
        let mut nases: Vec<_> =
            (0..3).map(|site| Nas::new(site, from.parse().expect("an address"), address)).collect();
        nases.iter_mut().for_each(|nas| assert_eq!(nas.ask(), 1));
        wait_until("each has its socket", &server, || sum(&server, "connected_opened") == 3);
        // One goes before its rejects come, to which its host says that nobody is there.
        // Of equal length they would leave as one.
        for proxy_state in [&b"1"[..], b"22"] {
            let request = nases[1].request(b"nobody", proxy_state);
            nases[1].socket.send(&request).expect("loopback takes it");
        }
        wait_until("both are read", &server, || sum(&server, "delayed_rejects") == 2);
        let gone = nases.remove(1).socket.local_addr().expect("it is bound");
        wait_until("both are reported", &server, || sum(&server, "unreachable") == 2);
        nases.iter_mut().for_each(|nas| assert_eq!(nas.ask(), 1, "nobody else notices"));
        server.exit();
        let lines = String::from_utf8(log.0.lock().expect("no panic under it").clone()).expect("it is text");
        let told: Vec<_> = lines.lines().filter(|line| line.contains(" unreachable ")).collect();
        let expected = [1, 2].map(|times| format!("unreachable client=\"site-1\" from={gone} times={times}"));
        assert_eq!(told.len(), 2, "{lines}");
        assert!(told.iter().zip(&expected).all(|(line, expected)| line.ends_with(expected)), "{told:?}");
    }
}

#[test]
fn at_the_bound_all_others_are_served_from_the_table() {
    let server = start("bound", SPLIT, "127.0.0.1:0", 50, "connected_sockets_max = 10", Lines::default());
    let address = server.addresses().next().expect("it listens");
    let from = "127.0.0.2".parse().expect("an address");
    let mut nases: Vec<_> = (0..50).map(|site| Nas::new(site, from, address)).collect();
    for _ in 0..20 {
        nases.iter_mut().for_each(|nas| assert_eq!(nas.ask(), 1));
    }
    assert_eq!((sum(&server, "connected_opened"), sum(&server, "connected_refused")), (10, 40));
    wait_until("all end", &server, || sum(&server, "connected_closed") == 10);
    // Those that are closed make room for others, some time later.
    wait_until("there is room again", &server, || {
        let opened = sum(&server, "connected_opened");
        let mut nas = Nas::new(7, from, address);
        nas.asked = 1_000_000 + sum(&server, "received");
        assert_eq!(nas.ask(), 1);
        wait_until("it is decided", &server, || {
            sum(&server, "connected_opened") + sum(&server, "connected_refused")
                == sum(&server, "connections_admitted")
        });
        sum(&server, "connected_opened") > opened
    });
    server.exit();
}

#[test]
fn a_network_thread_that_panics_closes_its_sockets_and_its_clients_get_new_ones() {
    let server = start("panics", SPLIT, "127.0.0.1:0", 30, "", Lines::default());
    let address = server.addresses().next().expect("it listens");
    let mut nases: Vec<_> =
        (0..30).map(|site| Nas::new(site, "127.0.0.2".parse().expect("an address"), address)).collect();
    nases.iter_mut().for_each(|nas| assert_eq!(nas.ask(), 1));
    wait_until("each has its socket", &server, || sum(&server, "connected_opened") == 30);
    for network in 0..3 {
        server.supervisor().panic_thread(Peer::Network(NetworkId(network)));
    }
    wait_until("all have died", &server, || sum(&server, "deaths") == 3);
    wait_until("all are closed", &server, || sum(&server, "connected_closed") == 30);
    nases.iter_mut().for_each(|nas| assert_eq!(nas.ask(), 1));
    wait_until("each has its socket again", &server, || sum(&server, "connected_opened") == 60);
    server.exit();
}

/// Set for the process in which there are no descriptors.
const CHILD: &str = "ULNA_CONNECTED_CHILD";

#[test]
fn where_the_process_has_no_descriptors_left_all_are_served_from_the_table() {
    if std::env::var_os(CHILD).is_some() {
        return without_descriptors();
    }
    // In a process of its own: other tests want theirs.
    let test = "where_the_process_has_no_descriptors_left_all_are_served_from_the_table";
    let child = Command::new(std::env::current_exe().expect("it runs"))
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    assert!(said.contains("5 sockets, 45 refused"), "{said}");
}

fn without_descriptors() {
    for way in [&WAYS[0], &WAYS[3]] {
        let server = start(way.name, way.runtime, way.listen, 50, "", Lines::default());
        let port = server.addresses().next().expect("it listens").port();
        let address = SocketAddr::new(way.to.parse().expect("an address"), port);
        let from = way.from.parse().expect("an address");
        let mut nases: Vec<_> = (0..50).map(|site| Nas::new(site, from, address)).collect();
        // The lowest numbers that are free are given first.
        let spare: Vec<_> = (0..5).map(|_| std::fs::File::open("/dev/null").expect("Linux has it")).collect();
        let beyond = spare.iter().map(AsRawFd::as_raw_fd).max().expect("there are five") + 1;
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: both are given a structure that lives through the call.
        let lowered = unsafe {
            let told = libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
            let before = limit.rlim_cur;
            limit.rlim_cur = beyond as libc::rlim_t;
            let set = libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            limit.rlim_cur = before;
            told == 0 && set == 0
        };
        assert!(lowered, "{}", io::Error::last_os_error());
        drop(spare);
        for _ in 0..20 {
            nases.iter_mut().for_each(|nas| assert_eq!(nas.ask(), 1));
        }
        let (opened, refused) = (sum(&server, "connected_opened"), sum(&server, "connected_refused"));
        // SAFETY: as above.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
        println!("{}: {opened} sockets, {refused} refused", way.name);
        assert_eq!(opened + refused, 50);
        assert_eq!(opened, 5);
        server.exit();
    }
}
