//! What scripts and service managers see of the binary: the ready line, exit codes, signals.

mod support;

use std::net::UdpSocket;

use support::{
    Nas, PASSWORD, SECRET, Ulna, WRONG_PASSWORD, bob, configuration, file, on_free_ports, run, secret,
};
use ulna_core::packet::{Code, MessageAuthenticator};

fn stderr_of(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn one_line_on_standard_output_names_every_address() {
    for threads in ["network_threads = 0", "network_threads = 2"] {
        let ulna = Ulna::start(&on_free_ports(&format!("[runtime]\n{threads}\nworkers = 2\n")));
        assert_eq!(ulna.addresses.len(), 3);
        assert!(ulna.addresses.iter().all(|address| address.port() != 0));
        assert!(ulna.addresses[0].is_ipv4() && ulna.addresses[1].is_ipv6());
        let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
        assert_eq!(nas.ask(&bob(1)), Code::AccessAccept, "it is ready when it says so");
        let ended = ulna.stop();
        assert_eq!(ended.stdout.lines().count(), 1, "{:?}", ended.stdout);
        assert!(ended.stdout.ends_with('\n'));
    }
}

#[test]
fn sigterm_and_sigint_end_it_well() {
    for signal in ["TERM", "INT"] {
        let ulna = Ulna::start(&on_free_ports(""));
        ulna.signal(signal);
        let ended = ulna.end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("kernel_drops"), "the last counters are printed:\n{}", ended.stderr);
    }
}

#[test]
fn sighup_does_not_end_it() {
    let ulna = Ulna::start(&on_free_ports(""));
    let from = ulna.stderr().len();
    ulna.signal("HUP");
    ulna.wait_for(from, "a word about the reload", |text| text.contains("reload").then_some(()));
    assert_eq!(Nas::new("127.0.0.1:0", ulna.addresses[0]).ask(&bob(1)), Code::AccessAccept);
    ulna.stop();
}

#[test]
fn sigusr1_prints_counters_and_changes_nothing() {
    let ulna = Ulna::start(&on_free_ports(""));
    let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
    for identifier in 0..5 {
        assert_eq!(nas.ask(&bob(identifier)), Code::AccessAccept);
    }
    ulna.wait_for_counters("five answers", |counters| counters["answered"] == 5);
    let counters = ulna.counters();
    assert_eq!(
        ["accepted", "decisions", "packets_sent", "kernel_drops"].map(|name| counters[name]),
        [5, 5, 5, 0]
    );
    assert_eq!(nas.ask(&bob(5)), Code::AccessAccept);
    ulna.stop();
}

#[test]
fn a_draining_server_still_sends_its_delayed_reject() {
    for threads in ["network_threads = 0", "network_threads = 1"] {
        let settings = format!("[runtime]\n{threads}\nworkers = 1\n[protocol]\nreject_delay = \"700ms\"\n");
        let ulna = Ulna::start(&on_free_ports(&settings));
        let nas = Nas::new("127.0.0.1:0", ulna.addresses[0]);
        let request = support::pap(1, WRONG_PASSWORD, &secret(), MessageAuthenticator::First);
        nas.send(&request);
        ulna.wait_for_counters("a reject waits", |counters| counters["delayed_rejects"] == 1);
        ulna.signal("TERM");
        let ended = ulna.end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        // It left before the end: it lies in our socket.
        assert_eq!(support::code_of_reply(&request, &nas.receive()), Code::AccessReject);
    }
}

#[test]
fn a_second_server_starts_on_the_same_ports_when_the_first_has_ended() {
    let ulna = Ulna::start(&on_free_ports("[runtime]\nnetwork_threads = 2\nworkers = 1\n"));
    let addresses = ulna.addresses.clone();
    let nas = Nas::new("127.0.0.1:0", addresses[0]);
    assert_eq!(nas.ask(&bob(1)), Code::AccessAccept);
    ulna.stop();
    let text = configuration(
        &format!(r#"["{}", "{}"]"#, addresses[0], addresses[1]),
        &format!(r#""{}""#, addresses[2]),
        "[runtime]\nnetwork_threads = 2\nworkers = 1\n",
    );
    for _ in 0..3 {
        let ulna = Ulna::start(&text);
        assert_eq!(ulna.addresses, addresses);
        assert_eq!(nas.ask(&bob(1)), Code::AccessAccept);
        ulna.stop();
    }
}

#[test]
fn an_address_in_use_is_named_and_ends_it_with_1() {
    for threads in ["network_threads = 1", "network_threads = 2"] {
        let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it is bound");
        let holder = UdpSocket::bind(taken).expect("it was free a moment ago");
        let settings = format!("[runtime]\n{threads}\nworkers = 1\n");
        let text = configuration(r#""127.0.0.1:0""#, &format!("\"{taken}\""), &settings);
        let path = file("taken.toml", &text);
        let output = run(&["serve", "--config", path.to_str().unwrap()]);
        let stderr = stderr_of(&output);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(output.stdout.is_empty(), "it was never ready");
        assert!(stderr.contains(&taken.to_string()), "it says which: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        drop(holder);
    }
}

#[test]
fn two_servers_never_share_an_address() {
    let first = Ulna::start(&on_free_ports("[runtime]\nnetwork_threads = 2\nworkers = 1\n"));
    let text = configuration(
        &format!("\"{}\"", first.addresses[0]),
        r#""127.0.0.1:0""#,
        "[runtime]\nnetwork_threads = 2\nworkers = 1\n",
    );
    let path = file("second.toml", &text);
    let output = run(&["--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr_of(&output));
    assert!(stderr_of(&output).contains(&first.addresses[0].to_string()));
    first.stop();
}

#[test]
fn a_wrong_configuration_ends_it_with_2_and_every_place() {
    let text = on_free_ports("[runtime]\nworkers = 0\nnetwork_thread = 1\n");
    let path = file("wrong.toml", &text);
    let path = path.to_str().unwrap();
    for command in ["serve", "check"] {
        let output = run(&[command, "--config", path]);
        let stderr = stderr_of(&output);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(output.stdout.is_empty());
        assert!(stderr.contains(&format!("{path}:2:")), "{stderr}");
        assert!(stderr.contains(&format!("{path}:3:1: ")), "{stderr}");
    }
}

#[test]
fn errors_next_to_secrets_show_none() {
    let right = on_free_ports("");
    let broken = [
        // The line of the secret itself: another type, another key, no end.
        right.replace(&format!("secret = \"{SECRET}\""), &format!("secret = [\"{SECRET}\"]")),
        right.replace(&format!("secret = \"{SECRET}\""), &format!("secrte = \"{SECRET}\"")),
        right.replace(&format!("secret = \"{SECRET}\""), &format!("secret = \"{SECRET}")),
        right.replace(
            &format!("password = \"{PASSWORD}\""),
            &format!("password = {{ md5 = \"{PASSWORD}\" }}"),
        ),
        right.replace(&format!("password = \"{PASSWORD}\""), &format!("pasword = \"{PASSWORD}\"")),
        right.replace(&format!("password = \"{PASSWORD}\""), &format!("password = \"{PASSWORD}\" x")),
    ];
    for text in broken {
        assert_ne!(text, right);
        let path = file("secret.toml", &text);
        // That no secret is printed is looked at by `run`, for whatever it runs.
        let output = run(&["check", "--config", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr_of(&output));
    }
}

#[test]
fn check_touches_no_socket() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = format!("\"{}\"", taken.local_addr().expect("it is bound"));
    let path = file("right.toml", &configuration(&address, r#""127.0.0.1:0""#, ""));
    let output = run(&["check", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr_of(&output));
}

#[test]
fn usage_errors_end_it_with_2() {
    for arguments in [
        &["--no-such-option"][..],
        &["no-such-command"],
        &["serve", "--config"],
        &["check"],
        &["serve", "--config", "/no/such/file.toml"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr_of(&output));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_default_that_is_printed_is_a_right_configuration() {
    let output = run(&["check", "--print-default"]);
    assert_eq!(output.status.code(), Some(0));
    let path = file("default.toml", &String::from_utf8(output.stdout).expect("it is text"));
    let output = run(&["check", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr_of(&output));
}
