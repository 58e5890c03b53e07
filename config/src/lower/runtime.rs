//! `[runtime]` and `[protocol]`.

use super::Placed;
use super::client_rule::Lowered;
use super::realm::{STATE_LIFETIME_MAX, STATE_MAX};
use crate::dictionary_files::FileSystem;
use crate::document::Report;
use crate::keys;
use crate::section::Section;
use crate::shown;
use std::time::Duration;
use ulna_core::configuration::{
    Cores, Listener, NETWORK_THREADS_MAX, Protocol, RuntimeSettings, Signal, Unroutable, WORKERS_MAX,
};
use ulna_core::dictionary::Dictionary;
use ulna_core::reserved::{RESERVED_OCTETS_MAX, Sizes, reserved_octets};

const HASH_THREADS_MAX: usize = 64;
const GIBIBYTE: usize = 1 << 30;
/// Whoever looks for longer had better sleep.
const LINGER_MAX: Duration = Duration::from_millis(10);

pub fn runtime(
    file: &Section<'_>,
    cores: Cores,
    dictionary: &mut Dictionary,
    report: &mut Report,
) -> RuntimeSettings {
    let automatic = cores.0.clamp(1, WORKERS_MAX);
    let mut runtime = RuntimeSettings {
        workers: automatic,
        hash_threads: (cores.0 / 2).clamp(1, HASH_THREADS_MAX),
        ..RuntimeSettings::default()
    };
    let Some(section) = file.table("runtime", &keys::RUNTIME, report) else { return runtime };
    dictionaries(&section, dictionary, report);
    if let Some(threads) = section.integer("network_threads", 0..=NETWORK_THREADS_MAX, report) {
        runtime.network_threads = threads;
    }
    if let Some(workers) = threads(&section, "workers", automatic, WORKERS_MAX, report) {
        runtime.workers = workers;
    }
    if let Some(threads) = threads(&section, "hash_threads", runtime.hash_threads, HASH_THREADS_MAX, report) {
        runtime.hash_threads = threads;
    }
    if let Some(signal) = signal(&section, report) {
        runtime.signal = signal;
    }
    if let Some(span) = section.duration("linger_max", Duration::ZERO..=LINGER_MAX, report) {
        runtime.linger_max = span;
    }
    if let Some(percent) = section.integer("linger_cpu", 0..=100, report) {
        runtime.linger_cpu = percent as u32;
    }
    if let Some(slots) = ring_slots(&section, report) {
        runtime.ring_slots = slots;
    }
    if section.value("state_directory").is_some()
        && let Some(path) = section.name("state_directory", report)
    {
        let path = report.path(&path.span(), path.get_ref());
        runtime.state_directory = Some(path.display().to_string().into());
    }
    let sizes = [
        ("requests_max", 1..=1_048_576, &mut runtime.requests_max),
        ("receive_buffer_octets", 4_096..=GIBIBYTE, &mut runtime.receive_buffer_octets),
        ("dedup_entries_max", 1..=16_777_216, &mut runtime.dedup_entries_max),
        ("replies_octets_max", 65_536..=GIBIBYTE.saturating_mul(16), &mut runtime.replies_octets_max),
        ("streams_octets_max", 65_536..=GIBIBYTE.saturating_mul(16), &mut runtime.streams_octets_max),
        ("hash_line_max", 1..=65_536, &mut runtime.hash_line_max),
    ];
    for (key, range, size) in sizes {
        if let Some(octets) = section.integer(key, range, report) {
            *size = octets;
        }
    }
    runtime
}

/// Refuses tables that no machine has room for. Where the machine's cores are what makes them so large, there are as
/// many workers as fit.
pub fn keep_within_reserve(
    file: &Section<'_>,
    runtime: &mut RuntimeSettings,
    protocol: &Protocol,
    client_rules: &Lowered<'_>,
    listeners: &[Placed<Listener>],
    report: &mut Report,
) {
    let of_streams = listeners.iter().filter_map(|listener| listener.value.transport.stream_settings());
    let connections = of_streams.map(|settings| u64::from(settings.connections_max));
    let streams = connections.fold((0, 0), |(listeners, sum), more| (listeners + 1, sum + more));
    let octets_of = |runtime: &RuntimeSettings| {
        reserved_octets(&Sizes {
            runtime,
            protocol,
            limits: client_rules.limits(),
            has_client_rules: !client_rules.is_empty(),
            streams,
        })
    };
    let workers = file.value("runtime").and_then(|value| value.get_ref().as_table()?.get("workers"));
    let is_automatic = workers.is_none_or(|workers| workers.get_ref().as_str() == Some("auto"));
    let asked = octets_of(runtime);
    let wanted = runtime.workers;
    while is_automatic && runtime.workers > 1 && octets_of(runtime) > RESERVED_OCTETS_MAX {
        runtime.workers -= 1;
    }
    let place = workers.or_else(|| file.value("runtime")).map_or(file.span(), toml::Spanned::span);
    if octets_of(runtime) > RESERVED_OCTETS_MAX {
        let asked = asked.div_ceil(GIBIBYTE as u64);
        let most = RESERVED_OCTETS_MAX / GIBIBYTE as u64;
        report.error(
            place,
            format!(
                "the tables of all threads would take {asked} GiB, at most {most} are allowed; lower `workers`, \
                 `network_threads`, `ring_slots`, `requests_max`, `dedup_entries_max`, `replies_octets_max`, \
                 `delayed_rejects_max`, or of streams `connections_max` or `streams_octets_max`"
            ),
        );
    } else if runtime.workers < wanted {
        let most = RESERVED_OCTETS_MAX / GIBIBYTE as u64;
        let workers = runtime.workers;
        report.warning(
            place,
            format!(
                "{workers} workers for {wanted} cores: the tables of more would take above {most} GiB; lower \
                 `requests_max`, or set `network_threads`"
            ),
        );
    }
}

/// Reads dictionaries on top of what is built in, in order.
fn dictionaries(section: &Section<'_>, dictionary: &mut Dictionary, report: &mut Report) {
    let expected = "an array of files such as [\"dictionary.local\"]";
    let Some(value) = section.value("dictionaries") else { return };
    let Some(names) = value.get_ref().as_array() else {
        section.refuse("dictionaries", expected, value, report);
        return;
    };
    for name in names {
        let Some(text) = name.get_ref().as_str().filter(|text| !text.is_empty()) else {
            section.refuse("dictionaries", expected, name, report);
            continue;
        };
        let path = report.path(&name.span(), text);
        let loaded = dictionary.load(&path.display().to_string(), &mut FileSystem);
        if let Err(error) = loaded {
            let message = if shown::path(&path) == shown::HIDDEN {
                "no dictionary can be read there".into()
            } else {
                error.to_string()
            };
            report.error(name.span(), message);
        }
    }
}

/// A number of threads, or "auto".
fn threads(
    section: &Section<'_>,
    key: &str,
    automatic: usize,
    most: usize,
    report: &mut Report,
) -> Option<usize> {
    let value = section.value(key)?;
    if value.get_ref().as_str() == Some("auto") {
        return Some(automatic);
    }
    let threads = crate::section::integer(value.get_ref()).and_then(|number| usize::try_from(number).ok());
    let threads = threads.filter(|threads| (1..=most).contains(threads));
    if threads.is_none() {
        section.refuse(key, &format!("a whole number from 1 to {most} or \"auto\""), value, report);
    }
    threads
}

/// How threads are woken.
fn signal(section: &Section<'_>, report: &mut Report) -> Option<Signal> {
    let signals = [("announce", Signal::Announce), ("always", Signal::Always), ("timer", Signal::Timer)];
    let word = section.word("signal", &signals.map(|(word, _)| word), &[], report)?;
    signals.into_iter().find(|(each, _)| *each == word).map(|(_, signal)| signal)
}

/// A ring's place is found by masking its count, hence a power of two.
fn ring_slots(section: &Section<'_>, report: &mut Report) -> Option<usize> {
    let value = section.value("ring_slots")?;
    let slots = crate::section::integer(value.get_ref()).and_then(|number| usize::try_from(number).ok());
    let slots = slots.filter(|slots| (2..=65_536).contains(slots) && slots.is_power_of_two());
    if slots.is_none() {
        section.refuse("ring_slots", "a power of two from 2 to 65536", value, report);
    }
    slots
}

pub fn protocol(file: &Section<'_>, report: &mut Report) -> Protocol {
    let mut protocol = Protocol::default();
    let Some(section) = file.table("protocol", &keys::PROTOCOL, report) else { return protocol };
    let least = Duration::from_millis(10);
    let most = Duration::from_secs(3_600);
    let spans = [
        ("reject_delay", Duration::ZERO..=Duration::from_secs(60), &mut protocol.reject_delay),
        ("request_timeout", least..=most, &mut protocol.request_timeout),
        ("new_request_wait_max", least..=most, &mut protocol.new_request_wait_max),
        ("dedup_lifetime", least..=most, &mut protocol.dedup_lifetime),
        ("failure_window", Duration::from_secs(1)..=most, &mut protocol.failure_window),
        ("state_lifetime", least..=STATE_LIFETIME_MAX, &mut protocol.state_lifetime),
    ];
    for (key, range, span) in spans {
        if let Some(value) = section.duration(key, range, report) {
            *span = value;
        }
    }
    if let Some(word) = section.word("unroutable", &["reject", "discard"], &[], report) {
        protocol.unroutable = if word == "discard" { Unroutable::Discard } else { Unroutable::Reject };
    }
    if let Some(rejects) = section.integer("delayed_rejects_max", 0..=10_000_000, report) {
        protocol.delayed_rejects_max = rejects;
    }
    if let Some(failures) = section.integer("failures_max", 0..=1_000_000, report) {
        protocol.failures_max = failures as u32;
    }
    if let Some(states) = section.integer("state_max", 1..=STATE_MAX, report) {
        protocol.state_max = states;
    }
    event_timestamp(&section, &mut protocol, report);
    // A reject that waits longer than its request lives would never be sent.
    if protocol.reject_delay >= protocol.request_timeout {
        let place = section.value("reject_delay").or_else(|| section.value("request_timeout"));
        let place = place.map_or(section.span(), toml::Spanned::span);
        report.error(place, "`reject_delay` must be shorter than `request_timeout`".into());
    }
    protocol
}

/// How old CoA and Disconnect may be.
fn event_timestamp(section: &Section<'_>, protocol: &mut Protocol, report: &mut Report) {
    let range = Duration::from_secs(1)..=Duration::from_secs(3_600);
    protocol.event_timestamp_window = section.duration("event_timestamp_window", range, report);
    // RFC 5176 §6.3: one that is answered and comes again must be known as long as its time is taken.
    if protocol.event_timestamp_window.is_some_and(|window| window > protocol.dedup_lifetime) {
        let place = section.value("event_timestamp_window").map_or(section.span(), toml::Spanned::span);
        let message = "`event_timestamp_window` must not be longer than `dedup_lifetime`: a request that is sent again is known \
                       no longer than that";
        report.error(place, message.into());
    }
    protocol.require_event_timestamp =
        section.boolean("require_event_timestamp", report).unwrap_or(protocol.require_event_timestamp);
    if protocol.require_event_timestamp && section.value("event_timestamp_window").is_none() {
        let place = section.value("require_event_timestamp").map_or(section.span(), toml::Spanned::span);
        let message = "`require_event_timestamp` needs `event_timestamp_window`: nothing is compared without";
        report.error(place, message.into());
    }
}
