//! SIGHUP: a new configuration while requests come. docs/reload.md.

mod support;

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, RwLock};

use support::{Nas, PASSWORD, PATIENCE, SECRET, Ulna, file, in_a_namespace, on_free_ports};
use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Secret, number};

const OTHER_SECRET: &str = "another-secret-that-nobody-prints";
const ALICE: &str = r#"
[[user]]
name = "alice"
password = { argon2 = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4" }
"#;
const IN_FORCE: &str = "the new configuration is in force";

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes()).expect("it has octets")
}

/// A signed Access-Request whose like no other test sends: `number` is its authenticator.
fn request(number: u128, user: &str, password: &str, shared: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let sign = MessageAuthenticator::First;
    let mut encoder =
        Encoder::request(&mut out, Code::AccessRequest, number as u8, &number.to_be_bytes(), sign);
    encoder.attribute(number::USER_NAME, user.as_bytes()).expect("it fits");
    encoder.user_password(password.as_bytes(), &secret(shared)).expect("it fits");
    encoder.finish_request(&secret(shared));
    out
}

/// What the reply to it says, which must be under this secret.
fn code(request: &[u8], reply: &[u8], shared: &str) -> Code {
    let authenticator = Framed::parse(request).expect("a packet").authenticator();
    let reply = Framed::parse(reply).expect("a packet");
    reply.verify_reply(&secret(shared), authenticator, true).expect("it verifies").code()
}

fn ask(nas: &Nas, number: u128, user: &str, password: &str, shared: &str) -> Code {
    let request = request(number, user, password, shared);
    nas.send(&request);
    code(&request, &nas.receive(), shared)
}

fn with_secret(text: &str, secret: &str) -> String {
    let line = format!("secret = \"{SECRET}\"");
    assert!(text.contains(&line));
    text.replace(&line, &format!("secret = {secret}"))
}

fn start(path: &Path) -> Ulna {
    Ulna::start_with(&["serve", "--config", path.to_str().expect("the path is UTF-8")])
}

/// Has a server load this, and waits until it says so. Gives what it said.
fn reload(ulna: &Ulna, path: &Path, text: &str, says: &str) -> String {
    std::fs::write(path, text).expect("it can be written");
    let from = ulna.stderr().len();
    ulna.signal("HUP");
    ulna.wait_for(from, says, |said| {
        let end = said.find(says)?;
        said[end..].contains('\n').then(|| said.to_string())
    })
}

#[test]
fn no_request_is_lost_while_a_secret_is_rotated() {
    for threads in ["network_threads = 0\nworkers = 2", "network_threads = 2\nworkers = 2"] {
        let text = on_free_ports(&format!("[log]\nrequests = false\n[runtime]\n{threads}\n"));
        let path = file("ulna.toml", &text);
        let ulna = start(&path);
        // Which secret NASes use. Each request is asked under the read lock: while it is changed none is under way.
        let using = Arc::new(RwLock::new(SECRET));
        let is_over = Arc::new(AtomicBool::new(false));
        let (answered, answers) = channel();
        let asking: Vec<_> = (0..4u128)
            .map(|thread| {
                let (using, is_over, answered) = (Arc::clone(&using), Arc::clone(&is_over), answered.clone());
                let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
                std::thread::spawn(move || {
                    let mut asked = 0u128;
                    while !is_over.load(Ordering::Relaxed) {
                        asked += 1;
                        let using = using.read().expect("nobody panics");
                        // Sent once: that no reply comes in time is a failure.
                        let code = ask(&nas, thread << 64 | asked, "bob", PASSWORD, *using);
                        assert_eq!(code, Code::AccessAccept);
                        answered.send(*using).expect("somebody listens");
                    }
                    asked
                })
            })
            .collect();
        let wait_for_answers = |expected: &str| {
            let mut left = 100;
            while left > 0 {
                let using = answers.recv_timeout(PATIENCE).expect("they are answered");
                left -= u32::from(using == expected);
            }
        };
        let (mut new, mut old) = (OTHER_SECRET, SECRET);
        for _ in 0..6 {
            reload(&ulna, &path, &with_secret(&text, &format!("[\"{new}\", \"{old}\"]")), IN_FORCE);
            wait_for_answers(old);
            *using.write().expect("nobody panics") = new;
            wait_for_answers(new);
            reload(&ulna, &path, &with_secret(&text, &format!("\"{new}\"")), IN_FORCE);
            wait_for_answers(new);
            std::mem::swap(&mut new, &mut old);
        }
        is_over.store(true, Ordering::Relaxed);
        let asked: u128 = asking.into_iter().map(|thread| thread.join().expect("all are answered")).sum();
        // What has the secret that is gone gets nothing, and is counted.
        let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
        nas.send(&request(1 << 80, "bob", PASSWORD, new));
        ulna.wait_for_counters("it is discarded by name", |counters| {
            counters.get("discarded bad-message-authenticator") == Some(&1)
        });
        ulna.wait_for_counters("all are answered", |counters| u128::from(counters["answered"]) == asked);
        assert_eq!(ulna.counters()["duplicates_resent"], 0);
        let ended = ulna.stop();
        assert!(!ended.stderr.contains(OTHER_SECRET), "a secret is told");
    }
}

#[test]
fn a_file_with_errors_changes_nothing_and_all_of_them_are_told() {
    let text = on_free_ports("");
    let path = file("ulna.toml", &text);
    let ulna = start(&path);
    let wrong = with_secret(&text, &format!("\"{OTHER_SECRET}\"")) + "[[user]]\nname = 5\npasswort = \"x\"\n";
    let said = reload(&ulna, &path, &wrong, "the configuration stays as it is");
    for expected in ["`name` must be", "unknown key `passwort`"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!said.contains(IN_FORCE), "{said}");
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
    assert_eq!(ask(&nas, 1, "bob", PASSWORD, SECRET), Code::AccessAccept);
    // The next one that is right is taken.
    reload(&ulna, &path, &with_secret(&text, &format!("\"{OTHER_SECRET}\"")), IN_FORCE);
    assert_eq!(ask(&nas, 2, "bob", PASSWORD, OTHER_SECRET), Code::AccessAccept);
    ulna.stop();
}

#[test]
fn the_first_user_with_a_digest_may_come_while_it_runs() {
    let text = on_free_ports("[protocol]\nreject_delay = \"10ms\"\n");
    let path = file("ulna.toml", &text);
    let ulna = start(&path);
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
    assert_eq!(ask(&nas, 1, "alice", "password", SECRET), Code::AccessReject);
    reload(&ulna, &path, &(text.clone() + ALICE), IN_FORCE);
    assert_eq!(ask(&nas, 2, "alice", "password", SECRET), Code::AccessAccept);
    assert_eq!(ask(&nas, 3, "alice", "looking-glass", SECRET), Code::AccessReject);
    reload(&ulna, &path, &text, IN_FORCE);
    assert_eq!(ask(&nas, 4, "alice", "password", SECRET), Code::AccessReject);
    ulna.stop();
}

#[test]
fn what_waits_for_a_restart_is_named_and_the_rest_is_in_force() {
    let text = on_free_ports("[runtime]\nnetwork_threads = 1\nworkers = 1\n");
    let path = file("ulna.toml", &text);
    let ulna = start(&path);
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
    assert_eq!(ask(&nas, 1, "bob", PASSWORD, SECRET), Code::AccessAccept);
    let changed = text
        .replace("workers = 1", "workers = 1\nring_slots = 64")
        .replace("\"[::1]:0\"", "\"127.0.0.3:1899\"")
        .replace("name = \"localhost\"", "name = \"renamed\"");
    let said = reload(&ulna, &path, &changed, IN_FORCE);
    for expected in [
        "`ring_slots` has changed and waits for a restart",
        "127.0.0.3:1899 is new, and listened on after a restart",
        "[::1]:0 is gone: what comes there is discarded",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert_eq!(ask(&nas, 2, "bob", PASSWORD, SECRET), Code::AccessAccept);
    let ended = ulna.stop();
    let told = ended.stderr.lines().filter(|line| line.contains(" accept user="));
    let clients: Vec<_> =
        told.filter_map(|line| line.split_once("client=")?.1.split_whitespace().next()).collect();
    assert_eq!(clients, ["localhost", "renamed"], "{}", ended.stderr);
}

#[test]
fn workers_come_and_go_without_losing_a_request() {
    let text = on_free_ports("[log]\nrequests = false\n[runtime]\nnetwork_threads = 1\nworkers = 1\n");
    let path = file("ulna.toml", &text);
    let ulna = start(&path);
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
    let mut before = "workers = 1".to_string();
    for (round, workers) in (0u128..).zip([4, 2, 1, 3]) {
        let after = format!("workers = {workers}");
        let changed = text.replace("workers = 1", &after);
        assert_ne!(before, after);
        reload(&ulna, &path, &changed, &format!("workers have come or gone workers={workers}"));
        // Sent once: that no reply comes in time is a failure.
        for request in 0..40 {
            assert_eq!(ask(&nas, round << 64 | request, "bob", PASSWORD, SECRET), Code::AccessAccept);
        }
        before = after;
    }
    let counters = ulna.counters();
    assert_eq!((counters["accepts"], counters["lost_wakeups"]), (160, 0));
    assert!(
        counters.contains_key("thread worker-2 parks") && !counters.contains_key("thread worker-3 parks")
    );
    ulna.stop();
}

#[test]
fn after_signals_without_a_pause_the_last_file_is_in_force() {
    let text = on_free_ports("");
    let path = file("ulna.toml", &text);
    let ulna = start(&path);
    for round in 0..20 {
        let secret = if round % 2 == 0 { SECRET } else { OTHER_SECRET };
        // Exchanged whole: a server that loads at this moment finds one or the other.
        let next = path.with_extension("next");
        std::fs::write(&next, with_secret(&text, &format!("\"{secret}\""))).expect("it can be written");
        std::fs::rename(&next, &path).expect("it can be renamed");
        ulna.signal("HUP");
    }
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
    let request = request(1, "bob", PASSWORD, OTHER_SECRET);
    assert_eq!(code(&request, &nas.insist(&request), OTHER_SECRET), Code::AccessAccept);
    ulna.stop();
}

#[test]
fn without_a_file_there_is_nothing_to_load() {
    let Some(mut command) = in_a_namespace("true", &["serve"]) else { return };
    let ulna = Ulna::begin(&mut command, Stdio::piped());
    let from = ulna.stderr().len();
    ulna.signal("HUP");
    ulna.wait_for(from, "why not", |said| said.contains("no file was named").then_some(()));
    ulna.stop();
}
