//! A policy that panics in the middle of a request costs the requests that its worker had then, each counted, and nobody else
//! anything; the third within ten seconds ends the process.

use std::env;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ulna_config::Cores;
use ulna_core::packet::{Code, Encoder, Landmark, MessageAuthenticator, Secret, number};
use ulna_core::policy::{Asked, Decision, Policy, PolicyFactory, Verdict};
use ulna_core::{Discard, Seed};
use ulna_runtime_mio::Server;

/// Lets all in, and panics at the name `poison`.
struct Poisonable;

impl Policy for Poisonable {
    fn decide<'p>(&'p mut self, asked: &Asked<'_>) -> Verdict<'p> {
        assert!(asked.framed.value(Landmark::UserName) != Some(b"poison"), "a policy panics");
        Verdict::plain(Decision::Accept)
    }
}

fn start(runtime: &str) -> Server {
    let text = format!(
        "[runtime]\n{runtime}\n\
         [[listen]]\nname = \"auth\"\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\npackets = [\"access\"]\nserver = \"edge\"\n\
         [[client]]\nname = \"here\"\nnetwork = \"127.0.0.1/32\"\nsecret = \"testing123\"\n\
         [[server]]\nname = \"edge\"\n[[server.new]]\naccept = true\n"
    );
    let (configuration, _) = ulna_config::parse(&text, "panics.toml", Cores(2)).expect("it is right");
    let policies: Arc<PolicyFactory> = Arc::new(|_, _, _| Box::new(Poisonable));
    let server =
        Server::start_with(&Arc::new(configuration), &Seed::new([9; 32]), &policies, Box::new(io::sink()));
    server.expect("a port is free")
}

struct Nas {
    socket: UdpSocket,
    identifier: u8,
}

impl Nas {
    fn new(server: SocketAddr) -> Nas {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(server).expect("it is on this machine");
        socket.set_read_timeout(Some(Duration::from_millis(300))).expect("not zero");
        Nas { socket, identifier: 0 }
    }

    fn request(&mut self, user: &[u8]) -> Vec<u8> {
        self.identifier = self.identifier.wrapping_add(1);
        let mut request = Vec::new();
        let authenticator = [self.identifier; 16];
        let (code, sign) = (Code::AccessRequest, MessageAuthenticator::First);
        let mut encoder = Encoder::request(&mut request, code, self.identifier, &authenticator, sign);
        encoder.attribute(number::USER_NAME, user).expect("it fits");
        encoder.finish_request(&Secret::new(b"testing123").expect("it has octets"));
        request
    }

    /// Asks, and asks again as long as nobody answers: how often it had to send.
    fn ask(&mut self, user: &[u8]) -> u32 {
        let request = self.request(user);
        let until = Instant::now() + Duration::from_secs(30);
        let mut reply = [0; 4096];
        for sent in 1.. {
            self.socket.send(&request).expect("loopback takes it");
            while let Ok(octets) = self.socket.recv(&mut reply) {
                if octets > 1 && reply[1] == request[1] {
                    assert_eq!(reply[0], Code::AccessAccept as u8);
                    return sent;
                }
            }
            assert!(Instant::now() < until, "no answer to {}", user.escape_ascii());
        }
        unreachable!("it ends by its answer or by the clock")
    }
}

#[test]
fn the_others_are_answered_and_each_orphan_is_counted() {
    for runtime in ["network_threads = 2\nworkers = 2", "network_threads = 0\nworkers = 2"] {
        let server = start(runtime);
        let address = server.addresses().next().expect("it listens");
        let mut nas = Nas::new(address);
        for user in 0..50_u32 {
            assert_eq!(nas.ask(format!("user{user}").as_bytes()), 1);
        }
        let poison = nas.request(b"poison");
        for deaths in 1..3 {
            nas.socket.send(&poison).expect("loopback takes it");
            let until = Instant::now() + Duration::from_secs(10);
            while server.report().sum("deaths") != Some(deaths) {
                assert!(Instant::now() < until, "its worker has not died");
                std::thread::yield_now();
            }
            for user in 0..50_u32 {
                nas.ask(format!("user{user}").as_bytes());
            }
        }
        assert!(server.drain(Duration::from_secs(10)));
        let report = server.report();
        let sum = |name: &str| report.sum(name).expect("there is such a counter");
        assert_eq!((sum("orphaned"), sum("deaths")), (2, 2));
        let discarded: u64 = Discard::ALL.iter().map(|reason| report.discarded(*reason)).sum();
        let fates = [
            "answered",
            "superseded",
            "orphaned",
            "duplicates_resent",
            "duplicates_in_progress",
            "strays_sent",
        ];
        let fates: u64 = fates.iter().map(|name| sum(name)).sum();
        assert_eq!(sum("received"), fates + discarded, "{report}");
        for gauge in
            ["in_progress", "delayed_rejects", "buffers_lent", "reply_buffers_lent", "completions_waiting"]
        {
            assert_eq!(sum(gauge), 0, "{gauge}");
        }
        server.exit();
    }
}

/// Set for the process in which a worker panics three times.
const DOOMED: &str = "ULNA_TEST_DOOMED";

#[test]
fn the_third_within_ten_seconds_ends_the_process() {
    if env::var_os(DOOMED).is_some() {
        let server = start("network_threads = 1\nworkers = 1");
        let mut nas = Nas::new(server.addresses().next().expect("it listens"));
        let poison = nas.request(b"poison");
        for _ in 0..200 {
            nas.socket.send(&poison).expect("loopback takes it");
            std::thread::park_timeout(Duration::from_millis(50));
        }
        unreachable!("the process has ended long before");
    }
    let me = env::current_exe().expect("this test runs from a file");
    let mut child = Command::new(me);
    child.args(["--exact", "the_third_within_ten_seconds_ends_the_process", "--nocapture"]).env(DOOMED, "1");
    let output = child.output().expect("it can be run again");
    assert_eq!(output.status.signal(), Some(6), "it aborts; {}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8_lossy(&output.stderr).matches("a policy panics").count();
    assert_eq!(told, 3, "{}", String::from_utf8_lossy(&output.stderr));
}
