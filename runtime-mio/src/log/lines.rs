//! Which lines the log has: one for each event, and of discarded packets not more than anybody reads.

use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use humantime::Rfc3339Timestamp;
use ulna_core::configuration::LogFormat;
use ulna_core::discard::Discard;
use ulna_core::event::{Decided, Event, EventClient, Outcome, ShortName};
use ulna_core::forward::RemoteServerId;
use ulna_core::stream::End;
use ulna_core::time::Instant;

use super::line::{Line, Value};
use super::names::{Known, Names, NamesOf};
use crate::clock::Clock;

/// In place of a name that is no longer kept.
const UNKNOWN: &str = "?";
/// Lines about discarded packets, or ended streams, in one second, for each reason; a line then says how many more there were.
const DISCARD_LINES_MAX: u64 = 10;

/// Where lines are written.
pub struct Lines {
    names: Arc<Names>,
    known: Known,
    format: LogFormat,
    /// The wall time of the clock's origin.
    origin: SystemTime,
    out: BufWriter<Box<dyn Write + Send>>,
    /// The second that the counts below are of.
    second: u64,
    discards: [u64; Discard::COUNT],
    stream_ends: [u64; End::COUNT],
}

impl Lines {
    pub fn new(names: Arc<Names>, format: LogFormat, clock: Clock, out: Box<dyn Write + Send>) -> Self {
        let since_origin = Duration::from_nanos(clock.now().as_nanoseconds());
        Lines {
            names,
            known: Known::default(),
            format,
            origin: SystemTime::now() - since_origin,
            out: BufWriter::with_capacity(65_536, out),
            second: 0,
            discards: [0; Discard::COUNT],
            stream_ends: [0; End::COUNT],
        }
    }

    /// A log that cannot be written must not end the server: errors are dropped here, and nowhere else.
    pub fn write(&mut self, event: &Event) {
        let _ = match *event {
            Event::Finished { .. } => self.write_finished(event),
            Event::Discarded { at, remote, reason } => {
                self.begin_second(at);
                let count = &mut self.discards[reason as usize];
                *count += 1;
                if *count > DISCARD_LINES_MAX {
                    return;
                }
                self.write_discard(at, reason, "from", Value::Address(remote))
            }
            Event::Admitted { at, remote, ref client, is_others } => {
                let what = if is_others { "taken-over" } else { "admitted" };
                self.write_client(at, what, client, remote)
            }
            Event::OldSecret { at, remote, generation, ref client } => {
                let names = self.known.of(&self.names, generation);
                let client = client_value(client, names);
                Line::begin(&mut self.out, self.format, wall(self.origin, at), "old-secret")
                    .and_then(|line| line.with("client", client)?.with("from", Value::Address(remote))?.end())
            }
            Event::UnsignedBehindNat { at, remote, ref client } => {
                self.write_client(at, "unsigned-behind-nat", client, remote)
            }
            Event::Unreachable { at, remote, ref client, times } => {
                self.write_unreachable(at, client, remote, times)
            }
            Event::Loop { at, remote } => {
                self.begin_second(at);
                let count = &mut self.discards[Discard::ForwardLoop as usize];
                *count += 1;
                if *count > DISCARD_LINES_MAX {
                    return;
                }
                self.write_discard(at, Discard::ForwardLoop, "from", Value::Address(remote))
            }
            Event::RemoteServer { at, generation, remote_server, standing } => {
                let name = server_name(self.known.of(&self.names, generation), remote_server);
                Line::begin(&mut self.out, self.format, wall(self.origin, at), "remote-server").and_then(
                    |line| {
                        line.with("name", Value::Word(name))?.with("is", Value::Word(standing.name()))?.end()
                    },
                )
            }
            Event::RemoteAddress { at, generation, remote_server, address } => {
                let name = server_name(self.known.of(&self.names, generation), remote_server);
                Line::begin(&mut self.out, self.format, wall(self.origin, at), "remote-server-address")
                    .and_then(|line| {
                        line.with("name", Value::Word(name))?.with("is", Value::Address(address))?.end()
                    })
            }
            Event::RemoteUnresolved { at, generation, remote_server } => {
                let name = server_name(self.known.of(&self.names, generation), remote_server);
                Line::begin(&mut self.out, self.format, wall(self.origin, at), "remote-server-unresolved")
                    .and_then(|line| line.with("name", Value::Word(name))?.end())
            }
            Event::SpoolPoolUnknown { at, ref pool } => {
                Line::begin(&mut self.out, self.format, wall(self.origin, at), "spool-pool-unknown")
                    .and_then(|line| line.with("pool", Value::User(pool))?.end())
            }
            Event::SpoolRecordUnwritable { at, record, ref pool } => {
                Line::begin(&mut self.out, self.format, wall(self.origin, at), "spool-record-unwritable")
                    .and_then(|line| {
                        let name = format!("{record:?}");
                        line.with("record", Value::Word(&name))?.with("pool", Value::User(pool))?.end()
                    })
            }
            Event::StreamEnded { at, remote, end } => {
                self.begin_second(at);
                let count = &mut self.stream_ends[end as usize];
                *count += 1;
                if *count > DISCARD_LINES_MAX {
                    return;
                }
                self.write_stream_end(at, end, "from", Value::Address(remote))
            }
        };
    }

    fn begin_second(&mut self, at: Instant) {
        let second = at.as_nanoseconds() / 1_000_000_000;
        if second != self.second {
            self.sum_up();
            self.second = second;
        }
    }

    fn write_finished(&mut self, event: &Event) -> io::Result<()> {
        let Event::Finished {
            received,
            finished,
            remote,
            generation,
            ref client,
            identifier,
            ref user_name,
            decided,
            remote_server,
            outcome,
            ..
        } = *event
        else {
            return Ok(());
        };
        let at = wall(self.origin, finished);
        // What nobody read for so long that its names are gone is told without them.
        let names = self.known.of(&self.names, generation);
        let client = client_value(client, names);
        let ended = match outcome {
            Outcome::Accept => "accept",
            Outcome::Reject => "reject",
            Outcome::Challenge => "challenge",
            Outcome::Recorded => "recorded",
            Outcome::Ack => "ack",
            Outcome::Nak { .. } => "nak",
            Outcome::Discarded(reason) => reason.name(),
            Outcome::Superseded => "superseded",
        };
        let mut line = Line::begin(&mut self.out, self.format, at, ended)?
            .with("user", Value::User(user_name))?
            .with("client", client)?
            .with("from", Value::Address(remote))?
            .with("identifier", Value::Number(identifier.into()))?;
        if let Some(Decided { server, rule }) = decided {
            let server = names
                .and_then(|names| names.servers.get(usize::from(server.0)))
                .map_or(UNKNOWN, |name| &**name);
            line = line.with("rule", Value::Rule(server, rule))?;
        }
        if let Some(server) = remote_server {
            let server = server_name(names, server);
            line = line.with("remote-server", Value::Word(server))?;
        }
        if let Outcome::Nak { error_cause: Some(cause) } = outcome {
            line = line.with("error-cause", Value::Number(cause.into()))?;
        }
        // Both instants are beginnings of turns: in the turn that read it nothing can be told between them.
        let queued = finished.saturating_since(received).as_micros();
        if queued > 0 {
            line = line.with("queued_us", Value::Number(queued as u64))?;
        }
        line.end()
    }

    fn write_client(
        &mut self,
        at: Instant,
        what: &str,
        client: &ShortName,
        remote: SocketAddr,
    ) -> io::Result<()> {
        let line = Line::begin(&mut self.out, self.format, wall(self.origin, at), what)?;
        line.with("client", Value::User(client))?.with("from", Value::Address(remote))?.end()
    }

    fn write_unreachable(
        &mut self,
        at: Instant,
        client: &ShortName,
        remote: SocketAddr,
        times: u32,
    ) -> io::Result<()> {
        let line = Line::begin(&mut self.out, self.format, wall(self.origin, at), "unreachable")?;
        let line = line.with("client", Value::User(client))?.with("from", Value::Address(remote))?;
        line.with("times", Value::Number(times.into()))?.end()
    }

    fn write_discard(&mut self, at: Instant, reason: Discard, key: &str, value: Value<'_>) -> io::Result<()> {
        let at = wall(self.origin, at);
        let line = Line::begin(&mut self.out, self.format, at, "discard")?;
        line.with("reason", Value::Word(reason.name()))?.with(key, value)?.end()
    }

    fn write_stream_end(&mut self, at: Instant, end: End, key: &str, value: Value<'_>) -> io::Result<()> {
        let at = wall(self.origin, at);
        let line = Line::begin(&mut self.out, self.format, at, "connection-ended")?;
        line.with("reason", Value::Word(end.name()))?.with(key, value)?.end()
    }

    /// Says how many discards, and ends of streams, of the last second got no line of their own.
    pub fn sum_up(&mut self) {
        let at = Instant::from_nanoseconds(self.second * 1_000_000_000);
        for reason in Discard::ALL {
            let count = std::mem::take(&mut self.discards[*reason as usize]);
            if count > DISCARD_LINES_MAX {
                let more = Value::Number(count - DISCARD_LINES_MAX);
                let _ = self.write_discard(at, *reason, "more", more);
            }
        }
        for end in End::ALL {
            let count = std::mem::take(&mut self.stream_ends[*end as usize]);
            if count > DISCARD_LINES_MAX {
                let more = Value::Number(count - DISCARD_LINES_MAX);
                let _ = self.write_stream_end(at, *end, "more", more);
            }
        }
        self.flush();
    }

    /// Says how many lines there are not.
    pub fn write_lost(&mut self, lines: u64) {
        let now = humantime::format_rfc3339_micros(SystemTime::now());
        let _ = match self.format {
            LogFormat::Text => writeln!(self.out, "{now} {lines} lines lost"),
            LogFormat::Json => Line::begin(&mut self.out, self.format, now, "lost")
                .and_then(|line| line.with("lines", Value::Number(lines))?.end()),
        };
        self.flush();
    }

    pub fn flush(&mut self) {
        let _ = self.out.flush();
    }
}

/// What a remote server is called.
fn server_name(names: Option<&NamesOf>, server: RemoteServerId) -> &str {
    let name = names.and_then(|names| names.remote_servers.get(usize::from(server.0)));
    name.map_or(UNKNOWN, |name| &**name)
}

/// What a client is called.
fn client_value<'v>(client: &'v EventClient, names: Option<&'v NamesOf>) -> Value<'v> {
    match client {
        EventClient::Configured(client) => {
            Value::Word(names.map_or(UNKNOWN, |names| &*names.clients[client.0 as usize]))
        }
        EventClient::Dynamic(name) => Value::User(name),
    }
}

fn wall(origin: SystemTime, at: Instant) -> Rfc3339Timestamp {
    humantime::format_rfc3339_micros(origin + Duration::from_nanos(at.as_nanoseconds()))
}

#[cfg(test)]
pub mod tests {
    use super::super::names::NAMES_KEPT;
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value as Parsed, json};
    use std::sync::Mutex;
    use ulna_config::Cores;
    use ulna_core::ServerId;
    use ulna_core::client::ClientId;
    use ulna_core::configuration::Configuration;
    use ulna_core::event::NAME_OCTETS_MAX;
    use ulna_core::generation::Generation;
    use ulna_core::path::ListenerId;

    /// A log file that others may look into.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panics").write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn configuration() -> Arc<Configuration> {
        let text = ulna_config::default_text();
        Arc::new(ulna_config::parse(text, "test.toml", Cores(1)).expect("it is right").0)
    }

    pub fn names() -> Arc<Names> {
        Arc::new(Names::new(&configuration()))
    }

    /// An event of the default configuration.
    pub fn finished(received: u64, finished: u64) -> Event {
        Event::Finished {
            received: Instant::from_nanoseconds(received),
            finished: Instant::from_nanoseconds(finished),
            remote: "192.0.2.1:1000".parse().expect("an address"),
            generation: Generation::default(),
            client: EventClient::Configured(ClientId(0)),
            listener: ListenerId(0),
            identifier: 7,
            request_authenticator: [0; 16],
            user_name: ShortName::new(b"bob"),
            decided: None,
            remote_server: None,
            outcome: Outcome::Accept,
        }
    }

    #[test]
    fn a_line_has_the_names_of_the_configuration_that_its_event_came_under() {
        let (kept, names) = (Kept::default(), names());
        let mut lines =
            Lines::new(Arc::clone(&names), LogFormat::Text, Clock::start(), Box::new(kept.clone()));
        let text = ulna_config::default_text().replace("\"localhost\"", "\"next\"");
        let (next, _) = ulna_config::parse(&text, "test.toml", Cores(1)).expect("it is right");
        let event = |of: Generation| {
            let mut event = finished(5_000, 5_000);
            if let Event::Finished { generation, .. } = &mut event {
                *generation = of;
            }
            event
        };
        let first = Generation::default();
        lines.write(&event(first));
        let mut generation = first.next();
        names.add(generation, &next);
        lines.write(&event(first));
        lines.write(&event(generation));
        for _ in 1..NAMES_KEPT {
            generation = generation.next();
            names.add(generation, &next);
        }
        lines.write(&event(first));
        lines.write(&event(first.next()));
        lines.flush();
        let text = String::from_utf8(kept.0.lock().expect("nobody panics").clone()).expect("it is text");
        let told: Vec<_> =
            text.lines().filter_map(|line| line.split_once("client=")?.1.split(' ').next()).collect();
        assert_eq!(told, ["localhost", "localhost", "next", "?", "next"]);
    }

    #[test]
    fn how_long_a_request_was_queued_is_told_where_it_was() {
        let kept = Kept::default();
        let mut lines = Lines::new(names(), LogFormat::Text, Clock::start(), Box::new(kept.clone()));
        lines.write(&finished(5_000, 5_000));
        lines.write(&finished(5_000, 17_999));
        lines.flush();
        let text = String::from_utf8(kept.0.lock().expect("nobody panics").clone()).expect("it is text");
        let told: Vec<_> = text.lines().map(|line| line.split_once(' ').expect("after the time").1).collect();
        let same = "accept user=\"bob\" client=localhost from=192.0.2.1:1000 identifier=7";
        assert_eq!(told, [same.to_string(), format!("{same} queued_us=12")]);
    }

    #[test]
    fn the_rule_that_decided_is_told_by_its_server_and_number() {
        let kept = Kept::default();
        let mut lines = Lines::new(names(), LogFormat::Text, Clock::start(), Box::new(kept.clone()));
        for rule in [Some(2), None] {
            let mut event = finished(5_000, 5_000);
            if let Event::Finished { decided, .. } = &mut event {
                *decided = Some(Decided { server: ServerId(0), rule });
            }
            lines.write(&event);
        }
        lines.flush();
        let text = String::from_utf8(kept.0.lock().expect("nobody panics").clone()).expect("it is text");
        let told: Vec<_> = text.lines().filter_map(|line| line.split_once(" identifier=7 ")).collect();
        assert_eq!(
            told.iter().map(|(_, rule)| *rule).collect::<Vec<_>>(),
            ["rule=default/2", "rule=default/none"]
        );
    }

    fn rendered(format: LogFormat, write: impl FnOnce(&mut Lines)) -> String {
        let kept = Kept::default();
        let mut lines = Lines::new(names(), format, Clock::start(), Box::new(kept.clone()));
        write(&mut lines);
        lines.flush();
        let octets = kept.0.lock().expect("nobody panics").clone();
        String::from_utf8(octets).expect("it is text")
    }

    fn with_user(name: &[u8]) -> Event {
        let mut event = finished(5_000, 17_999);
        if let Event::Finished { user_name, decided, .. } = &mut event {
            *user_name = ShortName::new(name);
            *decided = Some(Decided { server: ServerId(0), rule: Some(2) });
        }
        event
    }

    /// Each line as an object, its time taken off.
    fn objects(text: &str) -> Vec<Parsed> {
        let lines = text.lines().map(|line| {
            let mut object: Parsed =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let time =
                object.as_object_mut().and_then(|object| object.remove("time")).expect("it has a time");
            let time = time.as_str().expect("it is a text").to_string();
            humantime::parse_rfc3339(&time).unwrap_or_else(|error| panic!("{error}: {time}"));
            object
        });
        lines.collect()
    }

    #[test]
    fn json_has_the_keys_of_text() {
        let remote = "[2001:db8::1]:5".parse().expect("an address");
        let reason = Discard::UnknownClient;
        let text = rendered(LogFormat::Json, |lines| {
            lines.write(&with_user(b"bob"));
            for _ in 0..DISCARD_LINES_MAX + 3 {
                lines.write(&Event::Discarded { at: Instant::from_nanoseconds(7), remote, reason });
            }
            lines.sum_up();
            lines.write_lost(128);
        });
        let mut objects = objects(&text);
        let discard = json!({ "event": "discard", "reason": "unknown-client", "from": "[2001:db8::1]:5" });
        assert_eq!(
            objects[0],
            json!({ "event": "accept", "user": "bob", "client": "localhost", "from": "192.0.2.1:1000",
                    "identifier": 7, "rule": "default/2", "queued_us": 12 })
        );
        objects.remove(0);
        assert_eq!(objects[..10], vec![discard; 10]);
        assert_eq!(
            objects[10..],
            [
                json!({ "event": "discard", "reason": "unknown-client", "more": 3 }),
                json!({ "event": "lost", "lines": 128 })
            ]
        );
        // The time is the first key, for whoever reads the file itself.
        assert!(text.lines().all(|line| line.starts_with("{\"time\":\"")), "{text}");
    }

    /// What a name is in JSON.
    fn expected(name: &[u8]) -> String {
        let kept = &name[..name.len().min(NAME_OCTETS_MAX)];
        match std::str::from_utf8(kept) {
            Ok(text) => text.into(),
            Err(error) if name.len() >= NAME_OCTETS_MAX && error.error_len().is_none() => {
                String::from_utf8_lossy(&kept[..error.valid_up_to()]).into()
            }
            Err(_) => kept.iter().fold("0x".into(), |text, octet| format!("{text}{octet:02x}")),
        }
    }

    fn assert_is_one_object(name: &[u8]) {
        let text = rendered(LogFormat::Json, |lines| lines.write(&with_user(name)));
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        assert!(!text.trim_end().contains(char::is_control), "nothing that a terminal would obey: {text:?}");
        assert_eq!(objects(&text)[0]["user"], expected(name), "{name:?}");
    }

    #[test]
    fn names_that_are_no_text_are_digits() {
        for (name, told) in [
            (&b"\xff\x00"[..], "0xff00"),
            (b"", ""),
            ("Zoë\u{7f}\u{85}\"\\\n".as_bytes(), "Zoë\u{7f}\u{85}\"\\\n"),
            ("\u{1f600}\u{2028}".as_bytes(), "\u{1f600}\u{2028}"),
            ([b"x".repeat(62), "é".into()].concat().as_slice(), &"x".repeat(62)),
        ] {
            assert_eq!(expected(name), told);
            assert_is_one_object(name);
        }
    }

    proptest! {
        #[test]
        fn any_name_gives_one_object(name in prop::collection::vec(any::<u8>(), 0..80)) {
            assert_is_one_object(&name);
        }

        #[test]
        fn so_does_any_text(name in "\\PC{0,40}|[\\x00-\\x7f]{0,70}") {
            assert_is_one_object(name.as_bytes());
        }
    }
}
