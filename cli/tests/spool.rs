//! The spool as an operator, a NAS and a remote server see it: what was answered arrives, whoever dies meanwhile. RFC 2866 §4.1 and
//! §5.2, RFC 5080 §2.2.1.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant};

use support::accounting::{ACCOUNTING, Loader, acknowledges, request};
use support::radiusd::Radiusd;
use support::remote::Remote;
use support::{Nas, SECRET, Ulna, file, on_free_ports};

/// A configuration that spools for a remote server at this address, in a folder of its own.
fn spooling(remote: SocketAddr, settings: &str) -> PathBuf {
    file("ulna.toml", &text(remote, settings))
}

fn text(remote: SocketAddr, settings: &str) -> String {
    let settings = format!("{settings}\n[runtime]\nstate_directory = \"state\"\n");
    on_free_ports(&settings)
        + &format!(
            r#"
[[server.accounting]]
proxy = "far"
spool = true

[[remote_server]]
name = "far"
address = "{remote}"
secret = "{SECRET}"
response_window = "1s"
zombie_period = "1s"
status_check = "status-server"
status_interval = "200ms"

[[pool]]
name = "far"
remote_servers = ["far"]
"#
        )
}

/// An address where nobody is, and nobody else will be: of this process alone, and at no port that is given to who asks for any.
fn nobody() -> SocketAddr {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let port = 1813 + GIVEN.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from(([127, 64 | high, middle, low], port))
}

fn start(path: &Path) -> Ulna {
    Ulna::start_with(&["serve", "--config", path.to_str().expect("the path is UTF-8")])
}

fn killed(ulna: Ulna) {
    ulna.signal("KILL");
    assert_eq!(ulna.end().code, None);
}

fn sessions<'t>(taken: impl IntoIterator<Item = &'t support::remote::Taken>) -> BTreeSet<String> {
    taken.into_iter().map(|taken| taken.session.clone()).collect()
}

/// Whether all of these have come, of what comes bit by bit.
fn all_of(expected: &BTreeSet<String>) -> impl FnMut(&[support::remote::Taken]) -> bool {
    let mut missing = expected.clone();
    move |taken| {
        for taken in taken {
            missing.remove(&taken.session);
        }
        missing.is_empty()
    }
}

// checklist 12, 14, 40
#[test]
fn answered_while_nobody_is_there_killed_twice_and_sent_once_each_when_somebody_comes() {
    const RECORDS: u8 = 200;
    let address = nobody();
    let path = spooling(address, "");
    let ulna = start(&path);
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[ACCOUNTING]);
    let began = Instant::now();
    for number in 0..RECORDS {
        let request = request(number, &format!("session-{number:03}"));
        nas.send(&request);
        assert!(acknowledges(&request, &nas.receive()));
    }
    let answered = Instant::now();
    assert_eq!(ulna.counters()["spool_records"], u64::from(RECORDS));
    killed(ulna);
    let ulna = start(&path);
    ulna.wait_for(0, "what it found", |text| text.contains("of before are sent on").then_some(()));
    // Some time passes: nobody is there for the first ones, again and again.
    ulna.wait_for_counters("it is tried", |counters| counters["spool_waits"] >= 64);
    assert_eq!(ulna.counters()["spool_records"], u64::from(RECORDS));
    killed(ulna);

    let ulna = start(&path);
    let waited = answered.elapsed();
    let remote = Remote::at(address, |_| true);
    let mut missing = usize::from(RECORDS);
    let taken = remote.wait_for("all of it", |taken| {
        missing = missing.saturating_sub(taken.len());
        missing == 0
    });
    let over = began.elapsed();
    let expected: BTreeSet<_> = (0..RECORDS).map(|number| format!("session-{number:03}")).collect();
    assert_eq!(sessions(&taken), expected);
    ulna.wait_for_counters("all are answered", |counters| counters["spool_records"] == 0);
    for each in &taken {
        let delay = u64::from(each.delay);
        assert!(delay + 1 >= waited.as_secs() && delay <= over.as_secs() + 1, "{each:?} after {waited:?}");
    }
    assert!(waited >= Duration::from_secs(1), "long enough to be seen: {waited:?}");
    assert_eq!(ulna.counters()["spool_answered"], u64::from(RECORDS));
    assert_eq!(ulna.counters()["spool_under_way"], 0);
    ulna.stop();

    // After a good end nothing is sent again.
    let ulna = start(&path);
    assert_eq!(ulna.counters()["spool_records"], 0);
    let request = request(255, "the last");
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[ACCOUNTING]);
    nas.send(&request);
    assert!(acknowledges(&request, &nas.receive()));
    let taken = remote.wait_for("the last", |taken| taken.iter().any(|taken| taken.session == "the last"));
    assert_eq!(taken.len(), usize::from(RECORDS) + 1, "each once");
    ulna.stop();
}

// checklist 12
#[test]
fn killed_under_load_with_a_remote_server_that_misses_some_it_loses_nothing_that_it_answered() {
    const KILLS: u32 = 20;
    let address = nobody();
    let path = spooling(address, "[accounting.spool]\noutstanding_max = 100");
    // Every seventh is not answered, and sent again; at last all are, or of thousands one would be missed for half a minute.
    let is_over = Arc::new(AtomicBool::new(false));
    let remote = Remote::at(address, {
        let is_over = Arc::clone(&is_over);
        move |number| number % 7 != 3 || is_over.load(Ordering::Relaxed)
    });
    let mut acknowledged = BTreeSet::new();
    let mut ulna = start(&path);
    for kill in 0..KILLS {
        let server = ulna.addresses[ACCOUNTING];
        let mut loader = Loader::new(format!("{kill}"), server, 100);
        let until = Instant::now() + Duration::from_millis(5 + u64::from(kill * 37 % 120));
        loader.run(until);
        ulna.signal("KILL");
        drop(ulna);
        loader.drain();
        acknowledged.extend(loader.acknowledged);
        ulna = start(&path);
    }
    assert!(acknowledged.len() > KILLS as usize * 20, "{} is no load", acknowledged.len());
    is_over.store(true, Ordering::Relaxed);
    let taken = remote.wait_for("all that was answered", all_of(&acknowledged));
    ulna.wait_for_counters("all are answered", |counters| counters["spool_records"] == 0);
    // No packet twice: each transmission has an authenticator of its own.
    let packets: BTreeSet<_> = taken.iter().map(|taken| taken.authenticator).collect();
    assert_eq!(packets.len(), taken.len());
    eprintln!(
        "{} records answered before {KILLS} kills arrived, in {} packets",
        acknowledged.len(),
        taken.len()
    );
    ulna.stop();
    // The spool's files are no longer than they have to be.
    let ulna = start(&path);
    assert_eq!(ulna.counters()["spool_records"], 0);
    ulna.stop();
}

// checklist 14
#[test]
fn freeradius_reads_what_it_gets_later() {
    let path = spooling(nobody(), "");
    let ulna = start(&path);
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[ACCOUNTING]);
    for number in 0..3 {
        let request = request(number, &format!("session-{number}"));
        nas.send(&request);
        assert!(acknowledges(&request, &nas.receive()));
    }
    ulna.wait_for_counters("some time passes", |counters| counters["spool_waits"] >= 3);
    killed(ulna);
    let Some(radiusd) = Radiusd::start(&["Reply-Message := \"nobody reads it\"".into()]) else { return };
    // The pool is what a record knows of its way.
    let asked = "status_check = \"status-server\"\nstatus_interval = \"200ms\"\n";
    fs::write(&path, text(radiusd.accounting, "").replace(asked, "")).expect("it can be written");
    let ulna = start(&path);
    let mut found = BTreeMap::new();
    for _ in 0..3 {
        let attributes = radiusd.attributes();
        let value = |name: &str| {
            let line = attributes.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            line.unwrap_or_else(|| panic!("no {name}: {attributes:?}")).trim_matches('"').to_owned()
        };
        assert_eq!((value("User-Name"), value("Acct-Status-Type")), ("bob".into(), "Stop".into()));
        let delay: u32 = value("Acct-Delay-Time").parse().expect("a number");
        found.insert(value("Acct-Session-Id"), delay);
    }
    assert_eq!(found.keys().collect::<Vec<_>>(), ["session-0", "session-1", "session-2"]);
    assert!(found.values().all(|delay| (1..600).contains(delay)), "{found:?}");
    ulna.wait_for_counters("it has answered", |counters| counters["spool_records"] == 0);
    ulna.stop();
}

// checklist 12
#[test]
fn a_full_disk_answers_nobody_and_loses_nothing_that_it_answered() {
    let address = nobody();
    let path = spooling(address, "");
    // The limit stands for a full disk: writing past 64 KiB fails, after a part of it.
    let mut command = Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_ulna"), "serve", "--config"]).arg(&path);
    command.stdin(Stdio::null());
    let ulna = Ulna::begin(&mut command, Stdio::piped());
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[ACCOUNTING]);
    nas.socket.set_read_timeout(Some(Duration::from_millis(500))).expect("not zero");
    let mut answered = BTreeSet::new();
    let mut number = 0_u32;
    while ulna.counters().get("discarded not-spooled").is_none_or(|count| *count == 0) {
        let session = format!("{number:08}");
        let request = request((number % 256) as u8, &session);
        nas.send(&request);
        let mut octets = [0; 4096];
        if let Ok(length) = nas.socket.recv(&mut octets)
            && octets[1] == request[1]
            && acknowledges(&request, &octets[..length])
        {
            answered.insert(session);
        }
        number += 1;
        assert!(number < 2_000, "64 KiB are soon full");
    }
    assert_eq!(ulna.counters()["spool_failing"], 1);
    ulna.wait_for(0, "the error", |text| text.contains("accounting is not spooled").then_some(()));
    killed(ulna);
    let ulna = start(&path);
    let remote = Remote::at(address, |_| true);
    let taken = remote.wait_for("all that was answered", all_of(&answered));
    assert!(answered.len() > 20, "{}", answered.len());
    // What was half written and never answered may be there as well: its NAS sends it again.
    assert!(taken.len() <= number as usize);
    ulna.stop();
}

#[test]
fn two_servers_do_not_share_a_spool_and_its_key_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let path = spooling(nobody(), "");
    let ulna = start(&path);
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[ACCOUNTING]);
    let request = request(1, "session");
    nas.send(&request);
    assert!(acknowledges(&request, &nas.receive()));
    let refused = |what: &str| {
        let second = support::run(&["serve", "--config", path.to_str().expect("UTF-8")]);
        let stderr = String::from_utf8_lossy(&second.stderr).into_owned();
        assert_eq!(second.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(what), "{stderr}");
    };
    refused("another server writes");
    let spool = path.with_file_name("state").join("spool");
    let mode = |name: &str| fs::metadata(spool.join(name)).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode("key"), mode("records")), (0o600, 0o640));
    ulna.stop();
    // Without the key nobody can read what is hidden: the server says so, and draws no other.
    fs::rename(spool.join("key"), spool.join("moved")).expect("it is there");
    refused("put it back, or move the folder away");
    fs::rename(spool.join("moved"), spool.join("key")).expect("it is there");
    // A configuration that no longer spools says what lies there.
    let text = fs::read_to_string(&path).expect("it is there").replace("spool = true\n", "");
    let without = path.with_file_name("without.toml");
    fs::write(&without, text).expect("it can be written");
    let ulna = start(&without);
    ulna.wait_for(0, "the warning", |text| text.contains("are not sent on").then_some(()));
    ulna.stop();
}
