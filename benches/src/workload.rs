//! The requests that all benchmarks ask with, made before the clock runs, and the configuration that knows their users.
//!
//! 1 000 users, PAP, 105 to 110 octets with Message-Authenticator first: what a small access switch sends. For accounting
//! some 190 octets, each a record of a session of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::newcomers::{self, Place};
use ulna_config::Configuration;
use ulna_core::configuration::{Cores, Signal};
use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Secret, number};
use ulna_core::policy::{Asked, ConfiguredRules, Policy, Verdict};

/// The secret of the one client.
pub const SECRET: &[u8] = b"a secret of 24 octets ..";
/// How many users there are.
pub const USERS: usize = 1000;
/// Identifiers of one source port.
pub const IDENTIFIERS: usize = 256;
/// Requests of each Identifier: one is never followed by itself, so that none is a duplicate of the one before.
const REQUESTS_EACH: usize = 64;

/// The name of a user: 6 to 11 octets, so that requests differ in length. Neighbours are alike.
pub fn user_name(user: usize) -> String {
    let width = 2 + user * 6 / USERS;
    format!("u{user:03}{}", &"@lan.example"[..width])
}

/// The password of a user: one block.
pub fn password(user: usize) -> String {
    format!("hello {user:03}")
}

/// The secret as core keeps it.
pub fn secret() -> Secret {
    Secret::new(SECRET).expect("it has octets")
}

/// One PAP request; equal numbers give equal octets.
pub fn request(user: usize, identifier: u8, draw: u64, out: &mut Vec<u8>) {
    round(user, identifier, draw, None, out);
}

/// One record of a session that goes on, as a small access switch sends it; another session for each number.
fn accounting_request(number: u64, identifier: u8, out: &mut Vec<u8>) {
    let none = [0; 16];
    let mut encoder =
        Encoder::request(out, Code::AccountingRequest, identifier, &none, MessageAuthenticator::Absent);
    let user = number as usize % USERS;
    let name = user_name(user);
    let number_octets = (number as u32).to_be_bytes();
    let station = format!("00-00-5E-00-{:02X}-{:02X}", user / 256, user % 256);
    let session = format!("{number:016X}");
    let attributes: [(u8, &[u8]); 14] = [
        (number::USER_NAME, name.as_bytes()),
        (number::NAS_IP_ADDRESS, &[192, 0, 2, 10]),
        (number::NAS_PORT, &[0, 0, 0, 17]),
        (FRAMED_IP_ADDRESS, &[203, 0, 113, 5]),
        (number::CALLED_STATION_ID, b"00-00-5E-00-53-01:campus"),
        (number::CALLING_STATION_ID, station.as_bytes()),
        (number::NAS_IDENTIFIER, b"switch-1"),
        (number::NAS_PORT_TYPE, &[0, 0, 0, 15]),
        (number::ACCT_STATUS_TYPE, &[0, 0, 0, 3]),
        (number::ACCT_INPUT_OCTETS, &number_octets),
        (number::ACCT_OUTPUT_OCTETS, &number_octets),
        (number::ACCT_SESSION_ID, session.as_bytes()),
        (ACCT_SESSION_TIME, &[0, 0, 14, 16]),
        (number::EVENT_TIMESTAMP, &[0x6A, 0, 0, 0]),
    ];
    for (number, value) in attributes {
        encoder.attribute(number, value).expect("it fits");
    }
    encoder.finish_request(&secret());
}

/// RFC 2865 §5.8.
const FRAMED_IP_ADDRESS: u8 = 8;
/// RFC 2866 §5.7.
const ACCT_SESSION_TIME: u8 = 46;

/// Sixteen octets that look drawn and are the same every time (splitmix64).
fn authenticator(draw: u64) -> [u8; 16] {
    let word = |n: u64| {
        let mut z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&word(draw * 2 + 1).to_le_bytes());
    octets[8..].copy_from_slice(&word(draw * 2 + 2).to_le_bytes());
    octets
}

/// Requests that are ready to be sent.
#[derive(Debug)]
pub struct Requests {
    all: Vec<Vec<u8>>,
    /// What answers each of them.
    reply: Code,
}

impl Requests {
    /// Makes those of PAP, all that a benchmark needs.
    pub fn prepare() -> Requests {
        Requests::prepare_sets(REQUESTS_EACH)
    }

    /// So many of each Identifier. Where as many source ports ask, no two of them send the same octets: from clients of one
    /// secret that would be one request, sent again from elsewhere.
    pub fn prepare_sets(sets: usize) -> Requests {
        let count = IDENTIFIERS * sets;
        let request = |n: usize| {
            let mut octets = Vec::with_capacity(128);
            // Long runs of one user's length, as the load generator sends equal lengths together.
            let user = (n / IDENTIFIERS * USERS / sets + n % 15) % USERS;
            request(user, n as u8, n as u64, &mut octets);
            octets
        };
        Requests { all: (0..count).map(request).collect(), reply: Code::AccessAccept }
    }

    /// Makes so many Accounting-Requests, rounded up to whole sets of Identifiers: each a record of its own.
    pub fn prepare_accounting(count: usize) -> Requests {
        let request = |n: usize| {
            let mut octets = Vec::with_capacity(256);
            accounting_request(n as u64, n as u8, &mut octets);
            octets
        };
        let count = count.next_multiple_of(IDENTIFIERS);
        Requests { all: (0..count).map(request).collect(), reply: Code::AccountingResponse }
    }

    /// The number of the first request of a source port: each port has its own part of all. Its Identifier is 0.
    pub fn first_of(&self, port: usize, ports: usize) -> usize {
        self.all.len() / IDENTIFIERS * port / ports * IDENTIFIERS
    }

    /// The code of the packets that answer.
    pub fn reply(&self) -> Code {
        self.reply
    }

    /// The `n`th request of a source port; its Identifier is the low octet of `n`.
    pub fn of(&self, n: usize) -> &[u8] {
        &self.all[n % self.all.len()]
    }

    /// Whether these octets answer the `n`th request as they should, signed for that very request.
    pub fn accepts(&self, n: usize, reply: &[u8], secret: &Secret) -> bool {
        let request = Framed::parse(self.of(n)).expect("we made it");
        let Ok(reply) = Framed::parse(reply) else { return false };
        let verified = reply.verify_reply(secret, request.authenticator(), false);
        verified.is_ok_and(|verified| verified.code() == self.reply)
    }
}

/// How the measured server is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// Network threads; 0: joined.
    pub network_threads: usize,
    /// Worker threads.
    pub workers: usize,
    /// Whether each finished request is logged.
    pub log: bool,
}

/// How the threads of a measured server wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// How they are woken.
    pub signal: Signal,
    /// How long they linger at most, in microseconds.
    pub linger_us: u32,
}

/// How a server takes newcomers in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitting {
    /// By source address, or each connection by itself.
    pub place: Place,
    /// Whether there are look-ups without bound; else as many as by default.
    pub is_unlimited: bool,
    /// Of its rings.
    pub ring_slots: usize,
}

/// The table of secrets of newcomers.
pub const KEYS: &str = "keys.toml";
/// The file of accounting records.
pub const RECORDS: &str = "accounting.jsonl";

/// A user of whom an Argon2 digest is known, beside the others.
pub const HASHED_USER: &str = "alice";

/// A guess at the password of a user, the `n`th: from a Calling-Station-Id of its own.
pub fn guess(user: &str, n: u64, out: &mut Vec<u8>) {
    // Far away from the draws of other requests.
    let authenticator = authenticator(n + (1 << 40));
    let mut encoder =
        Encoder::request(out, Code::AccessRequest, n as u8, &authenticator, MessageAuthenticator::First);
    let secret = secret();
    encoder.attribute(number::USER_NAME, user.as_bytes()).expect("a name fits");
    encoder.user_password(format!("guess {n}").as_bytes(), &secret).expect("it fits");
    encoder.attribute(number::CALLING_STATION_ID, format!("{n:012x}").as_bytes()).expect("an address fits");
    encoder.finish_request(&secret);
}

/// A Status-Server, the `n`th (RFC 5997 §3).
pub fn status(n: u64, out: &mut Vec<u8>) {
    let authenticator = authenticator(n + (1 << 41));
    Encoder::request(out, Code::StatusServer, n as u8, &authenticator, MessageAuthenticator::First)
        .finish_request(&secret());
}

/// A policy that takes so long for each decision, on its core, and then decides by the configuration's rules.
pub struct Slow {
    each: Duration,
    rules: ConfiguredRules,
}

impl Slow {
    /// One for a worker.
    pub fn new(each: Duration, configuration: &Arc<Configuration>) -> Slow {
        Slow { each, rules: ConfiguredRules::new(Arc::clone(configuration)) }
    }
}

impl Policy for Slow {
    fn decide<'p>(&'p mut self, asked: &Asked<'_>) -> Verdict<'p> {
        let begin = Instant::now();
        while begin.elapsed() < self.each {
            std::hint::spin_loop();
        }
        self.rules.decide(asked)
    }
}

/// The configuration of a server under load.
pub fn configuration(setup: Setup) -> Configuration {
    configured(setup, "")
}

/// The name of the control socket.
pub const CONTROL: &str = "control.sock";

/// How output waits for readers of the control socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Controlled {
    /// Of each.
    pub buffer_octets: usize,
    /// When a command goes on, in a hundred.
    pub mark: u8,
}

/// The same with a control socket in the present folder, and a user whose requests begin [conversations](begin_conversation).
pub fn controlled_configuration(setup: Setup, controlled: Controlled) -> Configuration {
    let Controlled { buffer_octets, mark } = controlled;
    let more = format!(
        "[[user]]\nname = \"{CODE_USER}\"\npassword = \"hello\"\n\
         one_time_code = {{ totp = \"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\" }}\n\
         [control]\nsocket = \"{CONTROL}\"\nbuffer_octets = {buffer_octets}\nmark = {mark}\n\
         [protocol]\nstate_max = 1_000_000\nstate_lifetime = \"1h\"\ndedup_lifetime = \"1s\"\n"
    );
    configured(setup, &more)
}

/// Who is asked for a one-time code.
const CODE_USER: &str = "ann@lan.example";

/// A request that begins a conversation of the device of this number.
pub fn begin_conversation(number: u32, identifier: u8, out: &mut Vec<u8>) {
    let authenticator = authenticator(u64::from(number) << 8);
    let mut encoder =
        Encoder::request(out, Code::AccessRequest, identifier, &authenticator, MessageAuthenticator::First);
    let device = format!("device-{number:07}");
    let attributes = [(number::USER_NAME, CODE_USER), (number::CALLING_STATION_ID, &device)];
    for (attribute, value) in attributes {
        encoder.attribute(attribute, value.as_bytes()).expect("it fits");
    }
    encoder.user_password(b"hello", &secret()).expect("one block");
    encoder.finish_request(&secret());
}

/// The same with threads that wait so.
pub fn waiting_configuration(setup: Setup, waiting: Waiting) -> Configuration {
    let mut configuration = configuration(setup);
    configuration.runtime.signal = waiting.signal;
    configuration.runtime.linger_max = Duration::from_micros(u64::from(waiting.linger_us));
    configuration
}

/// The configuration of a server that stores accounting in the present folder, in [`RECORDS`].
pub fn accounting_configuration(setup: Setup) -> Configuration {
    let client = format!(
        "[accounting.file]\npath = \"{RECORDS}\"\n\
         [[listen]]\nname = \"acct\"\ntransport = \"udp\"\naddress = [\"127.0.0.1:0\"]\n\
         packets = [\"accounting\"]\nserver = \"records\"\n\
         [[client]]\nname = \"load\"\nnetwork = [\"127.0.0.1/32\"]\nsecret = \"{}\"\n\
         [[server]]\nname = \"records\"\n[[server.accounting]]\nstore = \"file\"\n",
        std::str::from_utf8(SECRET).expect("it is text"),
    );
    parsed(&(settings(setup) + &client))
}

/// The configuration of a server that accepts whatever a client sends, and whose clients are those of [`KEYS`] in the present
/// folder, by a rule.
pub fn admitting_configuration(setup: Setup, admitting: Admitting) -> Configuration {
    let Admitting { place, is_unlimited, ring_slots } = admitting;
    let mut text = settings(setup).replace("[log]", &format!("ring_slots = {ring_slots}\n[log]"));
    text += &format!(
        "[[listen]]\nname = \"auth\"\ntransport = \"udp\"\naddress = [\"127.0.0.1:0\"]\npackets = [\"access\", \"status\"]\n\
         server = \"edge\"\n\
         [[server]]\nname = \"edge\"\n[[server.new]]\naccept = true\n\
         [[client_rule]]\nname = \"newcomers\"\nnetwork = \"{}\"\nnat = {}\n\
         secret = {{ table = \"{KEYS}\", key = \"NAS-Identifier\" }}\n",
        place.network(),
        place == Place::Nat,
    );
    if is_unlimited {
        let look_ups = "pending = 100_000, new_per_second = 1_000_000";
        text += &format!("limits = {{ {look_ups}, per_address = {{ {look_ups} }} }}\n");
        text += "[limits]\npending = 100_000\nnew_per_second = 1_000_000\n";
    }
    parsed(&text)
}

/// The table of secrets of so many newcomers.
pub fn keys(count: usize) -> String {
    (0..count)
        .map(|n| format!("{} = {{ secret = \"{}\" }}\n", newcomers::name(n), newcomers::secret(n)))
        .collect()
}

/// The same with [`HASHED_USER`], whose digest has the parameters that OWASP recommends: 19 MiB, two passes.
pub fn hashing_configuration(setup: Setup) -> Configuration {
    let digest = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$IMit9qkFULCMA/ViizL57cnTLOa5DiVM9eMwpAvPwr4";
    let user = format!("[[user]]\nname = \"{HASHED_USER}\"\npassword = {{ argon2 = \"{digest}\" }}\n");
    configured(setup, &user)
}

/// What a proxy and the home server behind it share.
pub const HOME_SECRET: &[u8] = SECRET;
/// How the rule that forwards is told from all others: by the NAS-Identifier of every request.
const FORWARDED_FROM: &str = "switch-1";

/// The configuration of a proxy in front of the home server at this address, with so many rules for new requests, of which the last
/// forwards all that there is.
///
/// # Panics
/// Without any rule.
pub fn forwarding_configuration(setup: Setup, home: SocketAddr, rules: usize) -> Configuration {
    assert!(rules > 0, "one rule forwards");
    let [secret, home_secret] =
        [SECRET, HOME_SECRET].map(|secret| std::str::from_utf8(secret).expect("it is text"));
    let mut text = settings(setup);
    text += &format!(
        "[[listen]]\nname = \"auth\"\ntransport = \"udp\"\naddress = [\"127.0.0.1:0\"]\npackets = [\"access\", \"status\"]\n\
         server = \"edge\"\n\
         [[client]]\nname = \"load\"\nnetwork = [\"127.0.0.1/32\"]\nsecret = \"{secret}\"\n\
         require_message_authenticator = true\n\
         [[remote_server]]\nname = \"home\"\naddress = \"{home}\"\nsecret = \"{home_secret}\"\n\
         [[pool]]\nname = \"homes\"\nremote_servers = [\"home\"]\n\
         [[server]]\nname = \"edge\"\n"
    );
    for rule in 1..rules {
        text += &format!("[[server.new]]\nwhen = {{ NAS-Identifier = \"site-{rule}\" }}\nreject = true\n");
    }
    text +=
        &format!("[[server.new]]\nwhen = {{ NAS-Identifier = \"{FORWARDED_FROM}\" }}\nproxy = \"homes\"\n");
    parsed(&text)
}

/// A round of a conversation: the [`request`] of a user with this State, if it is not the first.
pub fn round(user: usize, identifier: u8, draw: u64, state: Option<&[u8]>, out: &mut Vec<u8>) {
    let authenticator = authenticator(draw);
    let mut encoder =
        Encoder::request(out, Code::AccessRequest, identifier, &authenticator, MessageAuthenticator::First);
    let secret = secret();
    encoder.attribute(number::USER_NAME, user_name(user).as_bytes()).expect("a name fits");
    encoder.user_password(password(user).as_bytes(), &secret).expect("one block");
    encoder.attribute(number::NAS_IP_ADDRESS, &[192, 0, 2, 10]).expect("an address fits");
    encoder.attribute(number::NAS_PORT, &[0, 0, 0, 17]).expect("a number fits");
    encoder.attribute(number::NAS_IDENTIFIER, FORWARDED_FROM.as_bytes()).expect("a name fits");
    encoder.attribute(number::CALLING_STATION_ID, b"00-00-5E-00-53-17").expect("an address fits");
    if let Some(state) = state {
        encoder.attribute(number::STATE, state).expect("a State fits");
    }
    encoder.finish_request(&secret);
}

/// Where clients behind NATs speak from: each connection from [`TABLED`] is a client from the table, with [`OWN_SOCKETS`] for its
/// own as far as there may be any.
pub const TABLED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// See [`TABLED`].
pub const OWN_SOCKETS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// Where clients behind a NAT have a secret of their own each, [`sites`] of them.
pub const SITES: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);

/// The configuration of a server that has clients behind NATs beside the one of all others. Replies are not remembered for long: with
/// many ports there are many. Secrets of sites come from this table, if there is one.
pub fn connections_configuration(setup: Setup, connected_max: u32, table: Option<&Path>) -> Configuration {
    let rule = |name: &str, address: Ipv4Addr, keys: &str| {
        format!(
            "[[client_rule]]\nname = \"{name}\"\nnetwork = \"{address}/32\"\nnat = true\nidle_timeout = \"1h\"\n{keys}\n\
             limits = {{ connections = 20_000, connections_per_client = 20_000, clients = 20_000, new_per_second = 1_000_000, packets_per_second = 0, \
             per_address = {{ connections = 20_000, new_per_second = 1_000_000 }} }}\n"
        )
    };
    let secret = format!("secret = \"{}\"", std::str::from_utf8(SECRET).expect("it is text"));
    let mut text = format!(
        "[protocol]\ndedup_lifetime = \"2s\"\n[limits]\nnew_per_second = 1_000_000\nconnected_sockets_max = {connected_max}\n"
    );
    text += &rule("tabled", TABLED, &secret);
    text += &rule("own sockets", OWN_SOCKETS, &format!("connected = true\n{secret}"));
    if let Some(table) = table {
        text += &rule("sites", SITES, &format!("secret = {{ table = {table:?}, key = \"NAS-Identifier\" }}"));
    }
    configured(setup, &text)
}

/// A table with the secret of so many sites.
pub fn sites(count: usize) -> String {
    let secret = std::str::from_utf8(SECRET).expect("it is text");
    (0..count).map(|site| format!("\"site-{site}\" = {{ secret = \"{secret}\" }}\n")).collect()
}

/// A request of a site, the `draw`th of all.
pub fn request_of_site(site: usize, identifier: u8, draw: u64, out: &mut Vec<u8>) {
    let authenticator = authenticator(draw);
    let mut encoder =
        Encoder::request(out, Code::AccessRequest, identifier, &authenticator, MessageAuthenticator::First);
    let secret = secret();
    encoder.attribute(number::USER_NAME, user_name(0).as_bytes()).expect("a name fits");
    encoder.user_password(password(0).as_bytes(), &secret).expect("one block");
    encoder.attribute(number::NAS_IDENTIFIER, format!("site-{site}").as_bytes()).expect("a name fits");
    encoder.finish_request(&secret);
}

fn configured(setup: Setup, users: &str) -> Configuration {
    let secret = std::str::from_utf8(SECRET).expect("it is text");
    let mut text = settings(setup);
    text += &format!(
        "[[listen]]\nname = \"auth\"\ntransport = \"udp\"\naddress = [\"127.0.0.1:0\"]\npackets = [\"access\", \"status\"]\n\
         server = \"edge\"\n\
         [[client]]\nname = \"load\"\nnetwork = [\"127.0.0.1/32\"]\nsecret = \"{secret}\"\n\
         require_message_authenticator = true\n\
         [[server]]\nname = \"edge\"\n[[server.new]]\nauthenticate = \"users\"\n"
    );
    for user in 0..USERS {
        let (name, password) = (user_name(user), password(user));
        text += &format!("[[user]]\nname = \"{name}\"\npassword = \"{password}\"\n");
    }
    text += users;
    parsed(&text)
}

fn settings(setup: Setup) -> String {
    let Setup { network_threads, workers, log } = setup;
    format!("[runtime]\nnetwork_threads = {network_threads}\nworkers = {workers}\n[log]\nrequests = {log}\n")
}

fn parsed(text: &str) -> Configuration {
    match ulna_config::parse(text, "benchmark", Cores(1)) {
        Ok((configuration, _warnings)) => configuration,
        Err(errors) => panic!("the benchmark's configuration is refused: {errors}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ulna_core::packet::Requirements;

    #[test]
    fn requests_have_105_to_110_octets_and_verify() {
        let requests = Requests::prepare();
        let secrets = secret().into();
        let all = Requirements { require_message_authenticator: true, limit_proxy_state: true };
        let mut seen = [false; 6];
        for n in 0..IDENTIFIERS * REQUESTS_EACH {
            let framed = Framed::parse(requests.of(n)).expect("a packet");
            assert_eq!(framed.identifier(), n as u8);
            assert!(framed.verify_request(&secrets, all).is_ok());
            seen[requests.of(n).len() - 105] = true;
        }
        assert_eq!(seen, [true; 6]);
    }

    #[test]
    fn no_two_requests_of_an_identifier_are_alike() {
        let requests = Requests::prepare();
        let mut all: Vec<_> = requests.all.iter().map(|octets| &octets[4..20]).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), requests.all.len());
    }

    #[test]
    fn each_port_has_accounting_requests_of_its_own() {
        let requests = Requests::prepare_accounting(1000);
        assert_eq!(requests.all.len(), 1024);
        assert_eq!([0, 1, 2].map(|port| requests.first_of(port, 3)), [0, 256, 512]);
        let secrets = secret().into();
        let mut sessions = Vec::new();
        for n in 0..1024 {
            let framed = Framed::parse(requests.of(n)).expect("a packet");
            assert_eq!(framed.identifier(), n as u8);
            assert!(framed.verify_request(&secrets, Requirements::default()).is_ok());
            let session = framed.attributes().find(|at| at.number == number::ACCT_SESSION_ID);
            sessions.push(session.expect("it has one").value);
        }
        sessions.dedup();
        assert_eq!(sessions.len(), 1024);
        let setup = Setup { network_threads: 0, workers: 1, log: false };
        let file = accounting_configuration(setup).accounting.file.expect("there is one");
        assert_eq!(&*file.path, RECORDS);
    }

    #[test]
    fn the_configuration_is_taken() {
        let configuration = configuration(Setup { network_threads: 0, workers: 1, log: false });
        assert_eq!(configuration.users.len(), USERS);
        assert!(!configuration.log.requests);
    }
}
