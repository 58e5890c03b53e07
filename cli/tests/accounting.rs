//! Accounting as an operator and a NAS see it: the file, its answers, and what a kill, a full disk or a second server
//! does to them. RFC 2866 §4.1.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::accounting::{ACCOUNTING, Loader, acknowledges, request};
use support::{Nas, Ulna, file, on_free_ports, without_peer};
use ulna_core::accounting::{Line, Lines};

/// A configuration that stores, in a folder of its own, and the path of the file of records.
fn storing(settings: &str) -> (PathBuf, PathBuf) {
    let settings = format!("[accounting.file]\npath = \"records.jsonl\"\n{settings}\n");
    let text = on_free_ports(&settings) + "\n[[server.accounting]]\nstore = \"file\"\n";
    let path = file("ulna.toml", &text);
    let records = path.with_file_name("records.jsonl");
    (path, records)
}

fn start(path: &Path) -> Ulna {
    Ulna::start_with(&["serve", "--config", path.to_str().expect("the path is UTF-8")])
}

/// The records of a file, which has nothing else in it: digests by session.
fn records(path: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let octets = fs::read(path).expect("it is there");
    let mut records = BTreeMap::<_, BTreeSet<_>>::new();
    for line in Lines::of(&octets) {
        let Line::Whole(line) = line else { panic!("torn: {line:?}") };
        let line = std::str::from_utf8(line).expect("UTF-8");
        let value = |key: &str| {
            let begin = line.find(&format!("\"{key}\":\"")).expect("it is there") + key.len() + 4;
            line[begin..][..line[begin..].find('"').expect("it ends")].to_owned()
        };
        records.entry(value("Acct-Session-Id")).or_default().insert(value("digest"));
    }
    records
}

/// The documentation shows what is written.
#[test]
fn the_record_in_the_documentation_is_what_a_server_writes() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/accounting.md"));
    let text = text.expect("it is there");
    let example = text.split("```json\n").nth(1).expect("an example").split("```").next().expect("it ends");
    let example = example.replace("\n ", "");
    assert_eq!(Lines::of(example.as_bytes()).collect::<Vec<_>>(), [Line::Whole(example.as_bytes())]);
    let without = |line: &str, keys: &[&str]| {
        let mut line = line.to_owned();
        for key in keys {
            let begin = line.find(&format!("\"{key}\":\"")).expect(key);
            let end = begin + key.len() + 4;
            let end = end + line[end..].find('"').expect("it ends") + 1;
            line.replace_range(begin..end, "");
        }
        line
    };
    let (path, written) = storing("");
    let ulna = start(&path);
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[ACCOUNTING]);
    let request = request(7, "00000001");
    nas.send(&request);
    assert!(acknowledges(&request, &nas.receive()));
    let line = fs::read_to_string(written).expect("it is there");
    let changes = ["received", "remote", "check"];
    assert_eq!(without(&line, &changes), without(&example, &changes));
    let ended = ulna.stop();
    assert!(ended.stderr.contains("recorded"), "{}", ended.stderr);
    assert!(ended.stderr.contains("accounting_stored 1\n"), "{}", ended.stderr);
}

/// RFC 2866 §4.1, the hard way: after each kill everything that was acknowledged is there, and whole.
// checklist 12
#[test]
fn killed_fifty_times_under_load_it_loses_nothing_that_it_acknowledged() {
    const KILLS: u32 = 50;
    let (path, written) = storing("");
    let mut acknowledged = BTreeSet::new();
    let mut ulna = start(&path);
    for kill in 0..KILLS {
        let server = ulna.addresses[ACCOUNTING];
        let mut loaders: Vec<_> =
            (0..2).map(|nas| Loader::new(format!("{kill}-{nas}"), server, 100)).collect();
        // At another moment each time: from the first group on to many.
        let until = Instant::now() + Duration::from_millis(5 + u64::from(kill * 37 % 120));
        std::thread::scope(|scope| {
            for loader in &mut loaders {
                scope.spawn(|| loader.run(until + Duration::from_millis(5)));
            }
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
            ulna.signal("KILL");
        });
        drop(ulna);
        for mut loader in loaders {
            loader.drain();
            acknowledged.extend(loader.acknowledged);
        }
        // The start repairs what the kill has left.
        ulna = start(&path);
        let records = records(&written);
        let missing: Vec<_> = acknowledged.iter().filter(|session| !records.contains_key(*session)).collect();
        assert!(missing.is_empty(), "after kill {kill} these are missing: {missing:?}");
        assert!(records.values().all(|digests| digests.len() == 1), "a record repeated has its digest");
    }
    assert!(acknowledged.len() > KILLS as usize * 20, "{} is no load", acknowledged.len());
    eprintln!("{} records acknowledged before {KILLS} kills", acknowledged.len());
    ulna.stop();
}

#[test]
fn a_full_disk_answers_nobody_and_a_new_file_everybody() {
    let (path, written) = storing("");
    // The limit stands for a full disk: writing past 64 KiB fails, after a part of it.
    let script = "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_ulna"), "serve", "--config"]).arg(&path);
    command.stdin(Stdio::null());
    let ulna = Ulna::begin(&mut command, Stdio::piped());
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[ACCOUNTING]);
    nas.socket.set_read_timeout(Some(Duration::from_millis(500))).expect("not zero");
    let mut acknowledged = BTreeSet::new();
    let refused = (0..1_000_u32).find(|number| {
        let session = format!("{number:08}");
        let request = request((number % 256) as u8, &session);
        nas.send(&request);
        let mut octets = [0; 4096];
        loop {
            match nas.socket.recv(&mut octets) {
                Ok(length) => {
                    assert!(acknowledges(&request, &octets[..length]));
                    acknowledged.insert(session);
                    return false;
                }
                // The machine may be slow; only a record that the server says it could not store counts.
                Err(_) if ulna.counters().get("discarded not-stored").is_some_and(|count| *count > 0) => {
                    return true;
                }
                Err(_) => nas.send(&request),
            }
        }
    });
    let refused = refused.expect("64 KiB are soon full");
    let counters = ulna.counters();
    assert_eq!(counters["accounting_failing"], 1);
    ulna.wait_for(0, "the error", |text| text.contains("accounting is not stored").then_some(()));
    ulna.signal("USR2");
    let request = request(77, "after");
    let reply = nas.insist(&request);
    assert!(acknowledges(&request, &reply));
    assert_eq!(ulna.counters()["accounting_failing"], 0);
    // The old one holds all that was acknowledged, whole, and has the time in its name.
    let aside = fs::read_dir(written.parent().expect("it has one")).expect("it is there");
    let aside = aside.map(|entry| entry.expect("it is there").path());
    let aside = aside.filter(|path| path.to_str().is_some_and(|path| path.contains("records.jsonl.20")));
    let aside: Vec<_> = aside.collect();
    let [aside] = &aside[..] else { panic!("{aside:?}") };
    let old = records(aside);
    assert!(acknowledged.iter().all(|session| old.contains_key(session)), "{refused}");
    assert_eq!(records(&written).keys().collect::<Vec<_>>(), ["after"]);
    ulna.stop();
}

#[test]
fn two_servers_do_not_write_one_file() {
    let (path, _) = storing("");
    let ulna = start(&path);
    let second = support::run(&["serve", "--config", path.to_str().expect("UTF-8")]);
    let stderr = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("another server writes"), "{stderr}");
    ulna.stop();
}

/// What a traced process did, in the order in which the kernel let it.
#[derive(Debug)]
enum Call {
    /// These octets were written, the call has returned.
    Written(Vec<u8>),
    /// A sync began.
    Syncs(String),
    /// The sync of this thread returned well.
    Synced(String),
    /// These datagrams are about to be sent.
    Sends(Vec<Vec<u8>>),
}

/// No response leaves before the sync that covers its record has returned: seen from outside, system call by system call.
// checklist 12
#[test]
fn no_response_is_sent_before_the_sync_of_its_record_returned() {
    if let Err(error) = Command::new("strace").arg("-V").stdout(Stdio::null()).status() {
        return without_peer(&format!("strace (Debian: strace) cannot be run: {error}"));
    }
    let (path, written) = storing("");
    let trace = written.with_file_name("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-xx", "-s", "4000000", "-o"]).arg(&trace);
    command.args([
        "-e",
        "trace=write,writev,pwrite64,fsync,fdatasync,sendmsg,sendmmsg,sendto",
        "-e",
        "signal=none",
    ]);
    command.args([env!("CARGO_BIN_EXE_ulna"), "serve", "--config"]).arg(&path).stdin(Stdio::null());
    let ulna = Ulna::begin(&mut command, Stdio::piped());
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[ACCOUNTING]);
    let requests: Vec<_> = (0..=255).map(|number| request(number, &format!("session-{number:03}"))).collect();
    for burst in requests.chunks(32) {
        burst.iter().for_each(|request| nas.send(request));
        for _ in burst {
            let reply = nas.receive();
            assert!(acknowledges(&requests[usize::from(reply[1])], &reply));
        }
    }
    // strace passes no signal on: the server itself is told. Its end ends strace.
    let pid = fs::read_to_string(&trace).expect("it is there");
    let pid = pid.split_whitespace().next().expect("each line begins with one").to_owned();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("it is there").success());
    ulna.end();
    let calls = calls(&fs::read_to_string(&trace).expect("it is there"));
    check_order(&calls);
    // The check itself: without the syncs, and with each behind what follows it, it does not hold.
    let without: Vec<_> = calls.iter().filter(|call| !matches!(call, Call::Synced(_))).collect();
    assert!(std::panic::catch_unwind(|| check_order(&without)).is_err());
}

/// For each response: its record was written before a sync began that has returned.
fn check_order(calls: &[impl std::borrow::Borrow<Call>]) {
    let (mut written, mut covered) = (BTreeSet::new(), BTreeMap::<String, BTreeSet<u32>>::new());
    let (mut safe, mut responses) = (BTreeSet::new(), 0);
    for call in calls {
        match call.borrow() {
            Call::Written(octets) => {
                let text = String::from_utf8_lossy(octets);
                let sessions = text.split("\"Acct-Session-Id\":\"session-").skip(1);
                written.extend(sessions.map(|rest| rest[..3].parse::<u32>().expect("a number")));
            }
            Call::Syncs(thread) => drop(covered.insert(thread.clone(), written.clone())),
            Call::Synced(thread) => safe.extend(covered.remove(thread).expect("it began")),
            Call::Sends(packets) => {
                for packet in packets.iter().filter(|packet| packet[0] == 5) {
                    assert!(safe.contains(&u32::from(packet[1])), "{} was not safe", packet[1]);
                    responses += 1;
                }
            }
        }
    }
    assert!(responses >= 256, "{responses} responses were seen");
}

fn calls(trace: &str) -> Vec<Call> {
    let mut begun = BTreeMap::<&str, String>::new();
    let mut sending = BTreeMap::<&str, usize>::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let (thread, line) = line.split_once(char::is_whitespace).expect("a thread's number");
        let line = line.trim_start();
        let (call, is_over) = if let Some(rest) = line.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, rest.to_owned());
            (rest.to_owned(), false)
        } else if let Some(rest) = line.strip_prefix("<... ") {
            let rest = rest.split_once(" resumed>").expect("strace says so").1;
            (begun.remove(thread).expect("it began") + rest, true)
        } else {
            (line.to_owned(), true)
        };
        let was_begun = line.starts_with("<... ");
        let returned = call.rsplit_once("= ").map(|(_, value)| value.trim());
        let strings = || call.split('"').skip(1).step_by(2).map(unescape);
        if call.starts_with("fdatasync(") || call.starts_with("fsync(") {
            if !was_begun {
                calls.push(Call::Syncs(thread.into()));
            }
            if is_over && returned == Some("0") {
                calls.push(Call::Synced(thread.into()));
            }
        } else if call.starts_with("send") {
            // Stands where the call begins, though strace may tell only at its end what was sent.
            if !was_begun {
                sending.insert(thread, calls.len());
                calls.push(Call::Sends(Vec::new()));
            }
            if is_over {
                let place = sending.remove(thread).expect("it began");
                calls[place] = Call::Sends(strings().flat_map(|octets| packets(&octets)).collect());
            }
        } else if is_over && (call.starts_with("write") || call.starts_with("pwrite")) {
            calls.push(Call::Written(strings().flatten().collect()));
        }
    }
    calls
}

fn unescape(text: &str) -> Vec<u8> {
    let digits = text.split("\\x").skip(1);
    digits.map(|digits| u8::from_str_radix(digits, 16).expect("strace writes two digits")).collect()
}

/// Packets that leave in one send as segments of it.
fn packets(mut octets: &[u8]) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    while let [_, _, high, low, ..] = octets {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if !(20..=octets.len()).contains(&length) {
            break;
        }
        let (packet, rest) = octets.split_at(length);
        packets.push(packet.to_vec());
        octets = rest;
    }
    packets
}
