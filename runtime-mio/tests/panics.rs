//! A policy that panics in the middle of a request costs the requests that its worker had then, each counted, and nobody else
//! anything; the third within ten seconds ends the process.

mod support;

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::{Nas, assert_all_is_accounted_for, configuration, start};
use ulna_core::generation::Generation;
use ulna_core::packet::Landmark;
use ulna_core::path::Peer;
use ulna_core::policy::{Asked, Decision, Policy, PolicyFactory, Verdict};
use ulna_core::{Configuration, WorkerId};
use ulna_runtime_mio::ReloadError;

/// Lets all in, and panics at the name `poison`.
struct Poisonable;

impl Policy for Poisonable {
    fn decide<'p>(&'p mut self, asked: &Asked<'_>) -> Verdict<'p> {
        assert!(asked.framed.value(Landmark::UserName) != Some(b"poison"), "a policy panics");
        Verdict::plain(Decision::Accept)
    }
}

fn policies() -> Arc<PolicyFactory> {
    Arc::new(|_, _, _| Box::new(Poisonable))
}

/// Long enough that a slow machine is not taken for a lost request.
const PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn the_others_are_answered_and_each_orphan_is_counted() {
    for runtime in ["network_threads = 2\nworkers = 2", "network_threads = 0\nworkers = 2"] {
        let server = start(runtime, &policies());
        let address = server.addresses().next().expect("it listens");
        let mut nas = Nas::new(address, PATIENCE);
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
        assert_all_is_accounted_for(&server);
        let report = server.report();
        assert_eq!((report.sum("orphaned"), report.sum("deaths")), (Some(2), Some(2)));
        server.exit();
    }
}

/// Lets all in, and panics when it hears of a configuration as often as this says.
struct Deaf(Arc<AtomicU64>);

fn takes_one(fuse: &AtomicU64) -> bool {
    fuse.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

impl Policy for Deaf {
    fn decide<'p>(&'p mut self, _asked: &Asked<'_>) -> Verdict<'p> {
        Verdict::plain(Decision::Accept)
    }

    fn handle_configuration(&mut self, _generation: Generation, _configuration: &Arc<Configuration>) {
        assert!(!takes_one(&self.0), "a policy panics");
    }
}

#[test]
fn a_reload_survives_policies_that_panic_as_they_are_made_or_told() {
    let [making, hearing] = [0, 1].map(|_| Arc::<AtomicU64>::default());
    let policies: Arc<PolicyFactory> = {
        let (making, hearing) = (Arc::clone(&making), Arc::clone(&hearing));
        Arc::new(move |_, _, _| {
            assert!(!takes_one(&making), "a policy panics");
            Box::new(Deaf(Arc::clone(&hearing)))
        })
    };
    let server = start("network_threads = 2\nworkers = 1", &policies);
    let (reloader, supervisor) = (server.reloader(), server.supervisor());
    let mut nas = Nas::new(server.addresses().next().expect("it listens"), PATIENCE);
    let reload = |workers: usize| {
        let mut new = configuration(&format!("network_threads = 2\nworkers = {workers}"));
        // The port that port 0 stood for at the start.
        new.listeners[0].address.set_port(0);
        reloader.put_in_force(new).expect("it runs");
        reloader.settle()
    };
    // As it is told.
    hearing.store(1, Ordering::Relaxed);
    assert!(matches!(reload(1), Ok(None)));
    assert_eq!(server.report().sum("deaths"), Some(1));
    assert_eq!(nas.ask(b"one"), 1);
    // As the second of two new ones is made.
    making.store(1, Ordering::Relaxed);
    assert!(matches!(reload(3), Err(ReloadError::Policy)));
    assert_eq!((supervisor.workers(), server.report().sum("failed_hires")), (1, Some(1)));
    assert_eq!(nas.ask(b"two"), 1);
    assert!(matches!(reload(3), Ok(Some(3))));
    assert_eq!((supervisor.workers(), server.report().threads().len()), (3, 5));
    (0..20).for_each(|user: u8| assert_eq!(nas.ask(&[b'a' + user]), 1));
    // As the successor of one is made, which is one more panic.
    making.store(1, Ordering::Relaxed);
    supervisor.panic_thread(Peer::Worker(WorkerId(2)));
    let until = Instant::now() + Duration::from_secs(10);
    while server.report().sum("deaths") != Some(3) {
        assert!(Instant::now() < until, "it has not died twice");
        std::thread::yield_now();
    }
    (0..20).for_each(|user: u8| assert_eq!(nas.ask(&[b'a' + user]), 1));
    assert_all_is_accounted_for(&server);
    server.exit();
}

/// Set for the process in which a worker panics three times.
const DOOMED: &str = "ULNA_TEST_DOOMED";

#[test]
fn the_third_within_ten_seconds_ends_the_process() {
    if env::var_os(DOOMED).is_some() {
        let server = start("network_threads = 1\nworkers = 1", &policies());
        let mut nas = Nas::new(server.addresses().next().expect("it listens"), PATIENCE);
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
