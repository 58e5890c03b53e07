//! Clients of a rule after a restart: what `state_directory` is for, and what becomes of it when it cannot be had. docs/clients.md.

mod support;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use support::site::Site;
use support::{PASSWORD, PATIENCE, Ulna, file, run};
use ulna_core::packet::Code;

/// As many as one rule may have by default.
const SITES: usize = 5_000;
/// Behind so many addresses.
const NATS: usize = 10;
/// In which all are to be served again.
const SOON: Duration = Duration::from_secs(5);
/// When a NAS sends its request again: RFC 5080 §2.2.1 has 2 s, 0.2 s more or less, so that NASes do not go on as one.
const RETRANSMIT_AFTER: Duration = Duration::from_millis(1_800);
const RETRANSMIT_SPREAD: Duration = Duration::from_millis(400);
/// A rule that takes all of them at once.
const NEW_AT_ONCE: &str = "limits = { pending = 10_000, new_per_second = 100_000, per_address = { pending = 10_000, \
                           new_per_second = 100_000 } }";

fn secret(n: usize) -> String {
    format!("a-secret-of-site-{n}")
}

/// With the table beside it.
fn configuration(listen: &str, runtime: &str, limits: &str) -> String {
    format!(
        r#"
[runtime]
network_threads = 0
workers = 2
{runtime}
[log]
requests = false
[limits]
pending = 10_000
new_per_second = 10_000

[[listen]]
name = "authentication"
transport = "udp"
address = "{listen}"
packets = ["access"]
server = "default"

[[client_rule]]
name = "branches"
network = "127.2.0.0/16"
nat = true
secret = {{ table = "sites.toml", key = "NAS-Identifier" }}
{limits}

[[user]]
name = "bob"
password = "{PASSWORD}"

[[server]]
name = "default"
[[server.new]]
authenticate = "users"
"#
    )
}

/// A folder with a configuration, the table of all sites, and whatever the server keeps.
struct Folder {
    configuration: PathBuf,
}

const STATE: &str = "state_directory = \"state\"";

impl Folder {
    fn new(sites: usize) -> Folder {
        let configuration = file("ulna.toml", "");
        let line = |n: usize| format!("\"site-{n}\" = {{ secret = \"{}\" }}\n", secret(n));
        fs::write(configuration.with_file_name("sites.toml"), (0..sites).map(line).collect::<String>())
            .expect("it can be written");
        Folder { configuration }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.configuration.with_file_name(name)
    }

    /// Where the server writes who was a client.
    fn state(&self) -> PathBuf {
        self.path("state/client-keys.jsonl")
    }

    fn arguments(&self, configuration: &str) -> [&str; 3] {
        fs::write(&self.configuration, configuration).expect("it can be written");
        ["serve", "--config", self.configuration.to_str().expect("the path is UTF-8")]
    }

    fn start(&self, configuration: &str) -> Ulna {
        Ulna::start_with(&self.arguments(configuration))
    }
}

fn site(server: SocketAddr, n: usize) -> Site {
    let local = format!("127.2.0.{}:0", n % NATS + 1);
    Site::new(&local, server, &format!("site-{n}"), &secret(n))
}

fn accepts(site: &Site) -> bool {
    let sent = site.send("bob", PASSWORD);
    let reply = site.receive_within(PATIENCE).expect("a reply comes");
    site.code(&sent, &reply) == Some(Code::AccessAccept)
}

/// Has all of them ask at once, and again as NASes do: how many were served within that time, and how long the last of them took.
fn ask_all(sites: &[Site], wait: Duration) -> (usize, Duration) {
    let began = Instant::now();
    let patience = |n: usize| RETRANSMIT_AFTER + RETRANSMIT_SPREAD * (n % 64) as u32 / 64;
    let ask = |(n, site)| (site, Site::send(site, "bob", PASSWORD), patience(n));
    let mut waiting: Vec<_> = sites.iter().enumerate().map(ask).collect();
    let mut last = Duration::ZERO;
    while !waiting.is_empty() && began.elapsed() < wait {
        waiting.retain_mut(|(site, sent, patience)| {
            if let Some(reply) = site.receive_within(Duration::ZERO) {
                assert_eq!(site.code(sent, &reply), Some(Code::AccessAccept));
                last = began.elapsed();
                return false;
            }
            if sent.at.elapsed() >= *patience {
                site.send_again(sent);
                sent.at = Instant::now();
            }
            true
        });
    }
    (sites.len() - waiting.len(), last)
}

/// A socket for each, beside what the test has.
fn have_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to its maximum");
    let enough = limit.maximum.is_none_or(|maximum| maximum > SITES as u64 + 100);
    assert!(enough, "a process may have {:?} descriptors, which is too few", limit.maximum);
}

#[test]
fn five_thousand_sites_behind_nats_are_served_again_at_once() {
    have_descriptors();
    let folder = Folder::new(SITES);
    let ulna = folder.start(&configuration("127.0.0.1:0", STATE, NEW_AT_ONCE));
    let server = ulna.addresses[0];
    let sites: Vec<Site> = (0..SITES).map(|n| site(server, n)).collect();
    let (served, first) = ask_all(&sites, PATIENCE);
    assert_eq!(served, SITES);
    ulna.stop();
    let kept = fs::read_to_string(folder.state()).expect("it was written");
    assert_eq!(kept.lines().count(), SITES);
    assert!(!kept.contains("a-secret"), "a secret is written");
    let mode = fs::metadata(folder.state()).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Now with the limits that a rule has where nothing is said: 50 new ones a second.
    let configured = |runtime| configuration(&server.to_string(), runtime, "");
    let ulna = folder.start(&configured(STATE));
    let (served, again) = ask_all(&sites, SOON);
    eprintln!("all served {first:?} after they came, and {again:?} after the restart");
    let counters = ulna.counters();
    assert_eq!(served, SITES, "{counters:#?}");
    assert_eq!((counters["connections"], counters["look_ups"]), (SITES as u64, SITES as u64));
    ulna.stop();
    // Without it, who was a client is new like any other; which in a table in memory is no matter of limits.
    let ulna = folder.start(&configured(""));
    let (served, again) = ask_all(&sites, SOON);
    eprintln!("all served {again:?} after a restart that knows nobody");
    let refused = ulna.counters().get("discarded look-up-limit").copied();
    assert_eq!((served, refused), (SITES, None));
    ulna.stop();
}

/// The configuration of a server that knew `site-0` before and meets `site-1`.
fn small(folder: &Folder) -> String {
    fs::create_dir(folder.path("state")).expect("it can be made");
    fs::write(folder.state(), "[\"branches\",\"site-0\"]\n").expect("it can be written");
    configuration("127.0.0.1:0", STATE, "")
}

#[test]
fn a_directory_that_cannot_be_had_keeps_the_server_from_its_start() {
    let folder = Folder::new(2);
    fs::write(folder.path("state"), "a file, and no directory").expect("it can be written");
    let ended = run(&folder.arguments(&configuration("127.0.0.1:0", STATE, "")));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!((ended.status.code(), ended.stdout.is_empty()), (Some(1), true), "{said}");
    assert!(said.contains("cannot have the `state_directory`") && said.contains("/state: "), "{said}");
    fs::remove_file(folder.path("state")).expect("ours");
    fs::create_dir_all(folder.state()).expect("it can be made");
    // What cannot be read costs its clients the time of new ones, and no start.
    let ulna = folder.start(&configuration("127.0.0.1:0", STATE, ""));
    for says in ["clients of before are not known: ", "clients are not kept for the next start: "] {
        ulna.wait_for(0, says, |said| said.contains(says).then_some(()));
    }
    assert!(accepts(&site(ulna.addresses[0], 0)));
    ulna.stop();
}

#[test]
fn what_is_damaged_is_told_and_the_rest_is_known() {
    let folder = Folder::new(2);
    let configuration = small(&folder);
    let mut garbage: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    garbage.retain(|octet| *octet != b'\n');
    garbage.extend_from_slice(
        b"\n[\"branches\",\"site-0\"]\n[\"branches\",[]]\n[\"gone\",\"site-0\"]\n[\"branches\",\"si",
    );
    fs::write(folder.state(), garbage).expect("it can be written");
    let ulna = folder.start(&configuration);
    ulna.wait_for(0, "a word about it", |said| said.contains("damaged_lines=3").then_some(()));
    ulna.wait_for(0, "the rest", |said| said.contains("known from before clients=2").then_some(()));
    assert!(accepts(&site(ulna.addresses[0], 0)) && accepts(&site(ulna.addresses[0], 1)));
    ulna.stop();
    let kept = fs::read_to_string(folder.state()).expect("it was written");
    // A rule that is gone may come back.
    let expected = "[\"branches\",\"site-0\"]\n[\"branches\",\"site-1\"]\n[\"gone\",\"site-0\"]\n";
    assert_eq!(kept, expected);
}

#[test]
fn a_disk_that_takes_nothing_is_told_at_once_and_harms_nobody() {
    let folder = Folder::new(2);
    let arguments = small(&folder);
    // What writes to a file has an error, as on a disk that is full; pipes and sockets are none.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_ulna")]);
    command.args(folder.arguments(&arguments)).stdin(Stdio::null());
    let ulna = Ulna::begin(&mut command, Stdio::piped());
    let says = "clients are not kept for the next start: ";
    ulna.wait_for(0, says, |said| said.contains(says).then_some(()));
    assert!(accepts(&site(ulna.addresses[0], 0)) && accepts(&site(ulna.addresses[0], 1)));
    let ended = ulna.stop();
    assert_eq!(ended.stderr.matches(says).count(), 1, "{}", ended.stderr);
    assert_eq!(names(&folder.path("state")), ["client-keys.jsonl"]);
    assert_eq!(fs::read_to_string(folder.state()).expect("it is there"), "[\"branches\",\"site-0\"]\n");
}

#[test]
fn a_directory_that_goes_while_it_runs_is_told_at_the_end() {
    let folder = Folder::new(2);
    let configuration = small(&folder);
    let ulna = folder.start(&configuration);
    assert!(accepts(&site(ulna.addresses[0], 1)));
    // At once, as it may just be writing there.
    fs::rename(folder.path("state"), folder.path("elsewhere")).expect("ours");
    let ended = ulna.stop();
    assert!(ended.stderr.contains("clients are not kept for the next start: "), "{}", ended.stderr);
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("it is there");
    entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect()
}
