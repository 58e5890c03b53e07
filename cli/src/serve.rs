//! Serves: starts the threads, says when it is ready, and obeys signals. What SIGHUP asks for is in `reload`.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use signal_hook::{flag, low_level};
use ulna_config::Configuration;
use ulna_core::Seed;
use ulna_core::accounting::Loaded as SpoolLoaded;
use ulna_core::configuration::{AccountingFile, Listener};
use ulna_core::policy::configured_rules;
use ulna_runtime_mio::{
    Controls, RecordStore, Server, SpoolNews, SpoolStore, StoreNews, Stores, is_on_this_host,
};
use ulna_stores::file::FileDisk;
use ulna_stores::spool::SpoolDisk;

use crate::Loaded;
use crate::reload::{Reload, Shown};
use crate::standard_error::{Speaker, say};
use crate::state::State;

/// How long a draining server waits beyond the longest reject delay for what is under way.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);
/// How long the end waits for whoever reads standard error.
const SAY_PATIENCE: Duration = Duration::from_secs(2);

/// Serves this configuration, which was loaded from that file or is embedded, until SIGTERM or SIGINT; a second one does not wait for anything.
pub fn serve((configuration, warnings, source): Loaded, file: Option<PathBuf>) -> ExitCode {
    let speaker = match Speaker::start() {
        Ok(speaker) => speaker,
        Err(error) => {
            say(&format!("ulna: cannot start a thread: {error}"));
            return ExitCode::FAILURE;
        }
    };
    // Colours are for people: a file or a journal would keep their escapes for ever.
    let has_colours = io::stderr().is_terminal();
    let writer = speaker.clone();
    // tracing tells of its own errors by a macro that panics where standard error is closed.
    tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(has_colours)
        .with_target(false)
        .log_internal_errors(false)
        .init();
    if !warnings.is_empty() {
        speaker.say(warnings.to_string());
    }
    let ended = until_signalled(configuration, Shown::new(source), file, &speaker);
    if let Err(why) = &ended {
        speaker.say(format!("ulna: {why}"));
    }
    speaker.finish(SAY_PATIENCE);
    ended.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

/// The error is why it could not run, or could not drain.
fn until_signalled(
    mut configuration: Configuration,
    shown: Shown,
    file: Option<PathBuf>,
    speaker: &Speaker,
) -> Result<(), String> {
    // Before any socket is bound: a signal that comes early must not kill what it was to drain.
    let mut signals = listen_to_signals().map_err(|error| format!("cannot handle signals: {error}"))?;
    let mut octets = [0; 32];
    getrandom::fill(&mut octets).map_err(|error| format!("the system gives no random octets: {error}"))?;
    if file.is_none() {
        leave_out_what_this_host_lacks(&mut configuration);
    }
    let configuration = Arc::new(configuration);
    let stores = Stores {
        records: configuration.accounting.file.as_ref().map(record_store).transpose()?,
        spool: spool_store(&configuration)?,
    };
    let server = Server::start_storing(
        &configuration,
        &Seed::new(octets),
        &configured_rules(),
        stores,
        Box::new(io::stderr()),
    )
    .map_err(|error| error.to_string())?;
    let asked = configuration.runtime.receive_buffer_octets;
    match server.granted_receive_octets() {
        Some(granted) if granted < asked => tracing::warn!(
            asked,
            granted,
            "the kernel grants smaller receive buffers than asked for; raise net.core.rmem_max, or bursts are lost"
        ),
        Some(granted) => tracing::info!(granted, "receive buffers"),
        // Streams only.
        None => {}
    }
    if let Some(error) = server.steering_refused() {
        tracing::warn!(
            "the kernel cannot be told which thread a datagram is for: some cross threads, and Status-Server shares \
             buffers with requests: {error}"
        );
    }
    if file.is_none() {
        speaker.say(
            "No configuration named: serving bob / hello on this machine only, secret testing123. Ask it:\n  \
             ulna request --server 127.0.0.1 --secret testing123 auth User-Name=bob User-Password=hello",
        );
    }
    let reload = file.map(|file| Reload::start(file, server.reloader(), speaker.clone(), shown.clone()));
    let reload = match reload.transpose() {
        Ok(reload) => reload.map(Arc::new),
        Err(error) => {
            server.exit();
            return Err(format!("cannot start a thread: {error}"));
        }
    };
    let state = configuration.runtime.state_directory.as_ref();
    let state = state.map(|directory| State::start(Path::new(&**directory), server.reloader())).transpose();
    let state = match state {
        Ok(state) => state,
        Err(why) => {
            server.exit();
            return Err(why);
        }
    };
    server.set_controls(controls(reload.clone(), shown));
    say_ready(&server);
    for signal in signals.forever() {
        match signal {
            SIGUSR1 => speaker.say(server.report().to_string()),
            SIGUSR2 => server.begin_new_record_file(),
            SIGHUP => match &reload {
                Some(reload) => reload.ask(),
                None => tracing::warn!("reload: no file was named; the embedded configuration stays"),
            },
            _ => break,
        }
    }
    tracing::info!("draining");
    // While all threads still answer.
    if let Some(state) = state {
        state.finish();
    }
    let is_drained = server.drain(configuration.protocol.reject_delay + DRAIN_PATIENCE);
    speaker.say(server.report().to_string());
    server.exit();
    if is_drained { Ok(()) } else { Err("some requests were still under way when patience ended".into()) }
}

/// What is done for whoever has the control socket.
fn controls(reload: Option<Arc<Reload>>, shown: Shown) -> Controls {
    let reload = move || match &reload {
        Some(reload) => reload.ask_and_wait(),
        None => Err("no file was named; the embedded configuration stays".into()),
    };
    // Once, however many ask: a second signal would end the process at once.
    let is_asked = AtomicBool::new(false);
    let shutdown = move || {
        if is_asked.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Err(error) = low_level::raise(SIGTERM) {
            tracing::error!("shutdown: {error}");
        }
    };
    let configuration = move || shown.lines();
    Controls {
        reload: Box::new(reload),
        shutdown: Box::new(shutdown),
        configuration: Box::new(configuration),
    }
}

/// A first try shall not fail for want of IPv6. In a file every address is somebody's wish, and must be had.
fn leave_out_what_this_host_lacks(configuration: &mut Configuration) {
    configuration.listeners.retain(|listener| {
        let is_there = is_on_this_host(listener.address.ip());
        if !is_there {
            let Listener { name, address, .. } = listener;
            tracing::warn!(%address, "{name}: this host has no such address; it is left out");
        }
        is_there
    });
}

/// The signals that the server obeys. The handler itself ends the process at the second of those that end it, whatever
/// any thread is waiting for.
fn listen_to_signals() -> io::Result<Signals> {
    let is_ending = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: the first one finds the flag unset.
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&is_ending))?;
        flag::register(signal, Arc::clone(&is_ending))?;
    }
    Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2])
}

/// The file of accounting records, claimed for this process.
fn record_store(file: &AccountingFile) -> Result<RecordStore, String> {
    let path = PathBuf::from(&*file.path);
    let mut disk = FileDisk::claim(&path).map_err(|error| format!("cannot store accounting: {error}"))?;
    let tell = move |news| {
        let path = path.display();
        match news {
            StoreNews::Failing(error) => tracing::error!(
                "accounting is not stored, and its requests are not answered, until this is over: {error}"
            ),
            StoreNews::Recovered => tracing::info!("accounting is stored again in {path}"),
            StoreNews::Damaged(octets) => tracing::warn!(
                octets,
                "{path} ended in a record that was not whole; what was cut off is kept in {path}.damaged"
            ),
            StoreNews::NotSetAside(error) => {
                tracing::warn!("no new file for accounting is begun, the old one goes on: {error}");
            }
        }
    };
    Ok(RecordStore {
        perform: Box::new(move |operation| disk.perform(operation).map_err(|error| error.to_string())),
        tell: Box::new(tell),
    })
}

/// The spool, claimed for this process, if there is one.
fn spool_store(configuration: &Configuration) -> Result<Option<SpoolStore>, String> {
    let Some(directory) = configuration.runtime.state_directory.as_deref().map(Path::new) else {
        return Ok(None);
    };
    if configuration.accounting.spool.is_none() {
        let octets = SpoolDisk::octets(directory);
        if octets > 0 {
            tracing::warn!(
                octets,
                "{} may have records of accounting that are not sent on, as no rule has a spool: add [accounting.spool]",
                SpoolDisk::folder(directory).display()
            );
        }
        return Ok(None);
    }
    let wrong = |error: io::Error| format!("cannot have the spool: {error}");
    let mut disk = SpoolDisk::claim(directory).map_err(wrong)?;
    let key = disk.key(|octets| getrandom::fill(octets).map_err(io::Error::other)).map_err(wrong)?;
    let folder = SpoolDisk::folder(directory);
    let tell = move |news| {
        let folder = folder.display();
        match news {
            SpoolNews::Store(StoreNews::Failing(error)) => tracing::error!(
                "accounting is not spooled, and its requests are not answered, until this is over: {error}"
            ),
            SpoolNews::Store(StoreNews::Recovered) => {
                tracing::info!("accounting is spooled again in {folder}");
            }
            SpoolNews::Store(StoreNews::Damaged(octets)) => tracing::warn!(
                octets,
                "{folder} ended in a record that was not whole; what was cut off is kept in records.damaged"
            ),
            SpoolNews::Store(StoreNews::NotSetAside(error)) => {
                tracing::warn!("the spool goes on in the files that it has: {error}");
            }
            SpoolNews::Loaded(SpoolLoaded { records, damaged }) => {
                if damaged > 0 {
                    tracing::warn!(damaged, "{folder} has lines that are no records, and are left out");
                }
                if records > 0 {
                    tracing::info!(records, "of before are sent on from {folder}");
                }
            }
        }
    };
    Ok(Some(SpoolStore {
        perform: Box::new(move |operation| disk.perform(operation).map_err(|error| error.to_string())),
        key: Arc::new(key),
        tell: Box::new(tell),
    }))
}

/// Exactly one line on standard output, once every socket is bound.
fn say_ready(server: &Server) {
    let addresses: String =
        server.listeners().map(|(transport, address)| format!(" {transport} {address}")).collect();
    let mut out = io::stdout();
    // Whoever started us may have closed our output; that is no reason not to serve.
    let _ = writeln!(out, "ready{addresses}").and_then(|()| out.flush());
}
