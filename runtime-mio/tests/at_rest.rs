//! A server that nobody asks does nothing: its threads are not woken, and use no time.
//!
//! That time passes is what is tested here; nothing waits for anything else by it.

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ulna_config::Cores;
use ulna_core::Seed;
use ulna_core::packet::{Code, Encoder, MessageAuthenticator, Secret};
use ulna_runtime_mio::Server;

const SECRET: &str = "a secret of the test";

/// What each serving thread, and that of the log, has done so far: its name, times that it slept, and nanoseconds on a processor.
fn threads() -> Vec<(String, u64, u64)> {
    let mut threads = Vec::new();
    for task in fs::read_dir("/proc/self/task").expect("Linux has it") {
        let path = task.expect("Linux has it").path();
        let Ok(name) = fs::read_to_string(path.join("comm")) else { continue };
        let name = name.trim().to_string();
        if !["network-", "worker-", "joined-", "ulna-log"].iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let status = fs::read_to_string(path.join("status")).expect("the thread lives");
        let sleeps = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let times = fs::read_to_string(path.join("schedstat")).expect("the thread lives");
        let time = times.split_ascii_whitespace().next();
        let number = |text: Option<&str>| text.and_then(|text| text.trim().parse().ok()).expect("a number");
        threads.push((name, number(sleeps), number(time)));
    }
    threads.sort();
    threads
}

fn serve(layout: &str, signal: &str) -> Server {
    let text = format!(
        "[runtime]\n{layout}\nsignal = \"{signal}\"\n\
         [log]\nrequests = false\n[protocol]\ndedup_lifetime = \"100ms\"\n\
         [[listen]]\nname = \"auth\"\ntransport = \"udp\"\naddress = [\"127.0.0.1:0\"]\n\
         packets = [\"access\", \"status\"]\nserver = \"edge\"\n\
         [[client]]\nname = \"here\"\nnetwork = [\"127.0.0.0/8\"]\nsecret = \"{SECRET}\"\n\
         require_message_authenticator = true\n\
         [[server]]\nname = \"edge\"\n[[server.new]]\naccept = true\n"
    );
    let (configuration, _) = ulna_config::parse(&text, "test", Cores(2)).expect("it is right");
    Server::start(&Arc::new(configuration), &Seed::new([7; 32]), Box::new(io::sink())).expect("it starts")
}

/// One request, so that the server has worked before it rests.
fn ask(server: &Server) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    let mut octets = Vec::new();
    let first = MessageAuthenticator::First;
    Encoder::request(&mut octets, Code::AccessRequest, 1, &[9; 16], first)
        .finish_request(&Secret::new(SECRET.as_bytes()).expect("it has octets"));
    socket.send_to(&octets, server.addresses().next().expect("it listens")).expect("loopback takes it");
    let mut reply = [0; 4096];
    let length = socket.recv(&mut reply).expect("a reply");
    assert!(length >= 20 && reply[0] == 2, "an Access-Accept");
}

/// One at a time: threads are told apart by their names, of the whole process.
static RESTS: Mutex<()> = Mutex::new(());

fn rests(span: Duration) {
    let _alone = RESTS.lock().unwrap_or_else(PoisonError::into_inner);
    let joined = "network_threads = 0\nworkers = 2";
    let split = "network_threads = 1\nworkers = 1";
    for (layout, signal) in [(joined, "announce"), (split, "announce"), (joined, "always"), (split, "always")]
    {
        let server = serve(layout, signal);
        ask(&server);
        // What the request left behind, a reply kept for 0.1 s and a lazy sweep within a second, is over by then.
        std::thread::sleep(Duration::from_millis(1500));
        let before = threads();
        assert_eq!(before.len(), 3, "{before:?}");
        std::thread::sleep(span);
        let after = threads();
        for ((name, sleeps_before, time_before), (_, sleeps, time)) in before.iter().zip(&after) {
            let (sleeps, time) = (sleeps - sleeps_before, Duration::from_nanos(time - time_before));
            println!("{signal}, {name}: {sleeps} wake-ups and {time:?} within {span:?}");
            assert!(sleeps <= 1, "{signal}, {name}: {sleeps} wake-ups within {span:?}");
            assert!(time <= span / 1000, "{signal}, {name}: {time:?} within {span:?}");
        }
        assert_eq!(server.report().sum("lost_wakeups"), Some(0));
        server.exit();
    }
}

#[test]
fn no_thread_is_woken_within_five_seconds() {
    rests(Duration::from_secs(5));
}

/// Four minutes, thus of the night.
#[test]
#[ignore = "four minutes: .ci/night"]
fn no_thread_is_woken_within_a_minute() {
    rests(Duration::from_secs(60));
}
