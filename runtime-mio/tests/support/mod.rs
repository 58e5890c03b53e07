//! A server with a policy of the test's own, and NASes that ask it and ask again.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod crowd;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ulna_config::Cores;
use ulna_core::packet::{Code, Encoder, MessageAuthenticator, Secret, number};
use ulna_core::policy::PolicyFactory;
use ulna_core::{Configuration, Discard, Seed};
use ulna_runtime_mio::Server;

/// A server on a free port of this machine, with these settings of `[runtime]`.
pub fn start(runtime: &str, policies: &Arc<PolicyFactory>) -> Server {
    let configuration = Arc::new(configuration(runtime));
    let server = Server::start_with(&configuration, &Seed::new([9; 32]), policies, Box::new(io::sink()));
    server.expect("a port is free")
}

/// Its configuration: who is called alice waits for a hash thread, all others are let in.
pub fn configuration(runtime: &str) -> Configuration {
    let text = format!(
        "[runtime]\n{runtime}\n\
         [[listen]]\nname = \"auth\"\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\npackets = [\"access\"]\nserver = \"edge\"\n\
         [[client]]\nname = \"here\"\nnetwork = \"127.0.0.1/32\"\nsecret = \"testing123\"\n\
         [[user]]\nname = \"alice\"\npassword = {{ argon2 = \"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$\
         nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4\" }}\n\
         [[server]]\nname = \"edge\"\n\
         [[server.new]]\nwhen = {{ User-Name = \"alice\" }}\nauthenticate = \"users\"\n\
         [[server.new]]\naccept = true\n"
    );
    ulna_config::parse(&text, "test.toml", Cores(2)).expect("it is right").0
}

/// One connection of a NAS.
pub struct Nas {
    pub socket: UdpSocket,
    identifier: u8,
    asked: u64,
    secret: Secret,
}

impl Nas {
    /// Which sends again when it has waited so long.
    pub fn new(server: SocketAddr, patience: Duration) -> Nas {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(server).expect("it is on this machine");
        socket.set_read_timeout(Some(patience)).expect("not zero");
        Nas { socket, identifier: 0, asked: 0, secret: Secret::new(b"testing123").expect("it has octets") }
    }

    pub fn request(&mut self, user: &[u8]) -> Vec<u8> {
        self.identifier = self.identifier.wrapping_add(1);
        self.asked += 1;
        let mut request = Vec::new();
        let mut authenticator = [7; 16];
        authenticator[..8].copy_from_slice(&self.asked.to_le_bytes());
        let (code, sign) = (Code::AccessRequest, MessageAuthenticator::First);
        let mut encoder = Encoder::request(&mut request, code, self.identifier, &authenticator, sign);
        encoder.attribute(number::USER_NAME, user).expect("it fits");
        encoder.user_password(b"password", &self.secret).expect("it fits");
        encoder.finish_request(&self.secret);
        request
    }

    /// Asks, and asks again as long as nobody answers: how often it had to send. Half a minute at most.
    pub fn ask(&mut self, user: &[u8]) -> u32 {
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

/// Drains, and then each packet has one fate, and all gauges are zero.
pub fn assert_all_is_accounted_for(server: &Server) {
    assert!(server.drain(Duration::from_secs(20)), "{}", server.report());
    let report = server.report();
    let sum = |name: &str| report.sum(name).unwrap_or_else(|| panic!("there is no counter {name}"));
    let discarded: u64 = Discard::ALL.iter().map(|reason| report.discarded(*reason)).sum();
    let fates =
        ["answered", "superseded", "orphaned", "duplicates_resent", "duplicates_in_progress", "strays_sent"];
    let fates: u64 = fates.iter().map(|name| sum(name)).sum();
    assert_eq!(sum("received"), fates + discarded, "{report}");
    for gauge in [
        "in_progress",
        "delayed_rejects",
        "buffers_lent",
        "reply_buffers_lent",
        "completions_waiting",
        "requests_held",
    ] {
        assert_eq!(sum(gauge), 0, "{gauge}; {report}");
    }
    assert_eq!(sum("lost_wakeups"), 0);
}
