//! Serves: starts the threads, says when it is ready, and obeys signals.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use ulna_config::Configuration;
use ulna_core::Seed;
use ulna_runtime_mio::Server;

/// How long a draining server waits beyond the longest reject delay for what is under way.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// Serves until SIGTERM or SIGINT.
pub fn serve(configuration: Configuration, is_first_try: bool) -> ExitCode {
    // Before any socket is bound: a signal that comes early must not kill what it was to drain.
    let mut signals = match Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1]) {
        Ok(signals) => signals,
        Err(error) => return could_not_run(&format!("cannot handle signals: {error}")),
    };
    let mut octets = [0; 32];
    if let Err(error) = getrandom::fill(&mut octets) {
        return could_not_run(&format!("the system gives no random octets: {error}"));
    }
    let configuration = Arc::new(configuration);
    let server = match Server::start(&configuration, &Seed::new(octets), Box::new(std::io::stderr())) {
        Ok(server) => server,
        Err(error) => return could_not_run(&error.to_string()),
    };
    let (asked, granted) = (configuration.runtime.receive_buffer_octets, server.granted_receive_octets());
    if granted < asked {
        tracing::warn!(
            asked,
            granted,
            "the kernel grants smaller receive buffers than asked for; raise net.core.rmem_max, or bursts are lost"
        );
    } else {
        tracing::info!(granted, "receive buffers");
    }
    if is_first_try {
        eprintln!(
            "No configuration named: serving bob / hello on this machine only, secret testing123. Ask it:\n  \
             echo 'User-Name = bob, User-Password = hello' | radclient 127.0.0.1:1812 auth testing123"
        );
    }
    say_ready(&server);
    for signal in signals.forever() {
        match signal {
            SIGUSR1 => eprint!("{}", server.report()),
            SIGHUP => tracing::warn!("reload is not built yet; the configuration stays as it is"),
            _ => break,
        }
    }
    tracing::info!("draining");
    let is_drained = server.drain(configuration.protocol.reject_delay + DRAIN_PATIENCE);
    eprint!("{}", server.report());
    server.exit();
    if is_drained {
        ExitCode::SUCCESS
    } else {
        could_not_run("some requests were still under way when patience ended")
    }
}

/// Exactly one line on standard output, once every socket is bound.
fn say_ready(server: &Server) {
    let addresses: String = server.addresses().map(|address| format!(" udp {address}")).collect();
    let mut out = std::io::stdout();
    // Whoever started us may have closed our output; that is no reason not to serve.
    let _ = writeln!(out, "ready{addresses}").and_then(|()| out.flush());
}

fn could_not_run(why: &str) -> ExitCode {
    eprintln!("ulna: {why}");
    ExitCode::FAILURE
}
