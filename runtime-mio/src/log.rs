//! Turns events into lines, on a thread of its own: the threads that serve only put them into a ring.
//!
//! The ring is bounded; what does not fit is lost and counted. While events come, the log thread looks every
//! [`NAP`]; when none has come for a while it sleeps until it is rung for.

use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, SystemTime};

use ulna_core::configuration::Configuration;
use ulna_core::discard::Discard;
use ulna_core::event::{Decided, Event, Outcome};
use ulna_core::generation::Generation;
use ulna_core::queue::{Announcement, BellId, Crossing, Exchange, LinkId, Urgency};
use ulna_core::time::Instant;

use crate::clock::Clock;

/// Events that a thread's ring holds: more than are written in one nap at full speed.
const RING_SLOTS: usize = 8192;
/// Between two looks while events come.
const NAP: Duration = Duration::from_millis(10);
/// Looks in vain after which the log thread sleeps until it is rung for.
const LOOKS_IN_VAIN_MAX: u32 = 20;
/// Between two lines about lost events, as long as events come.
const LOST_LINE_EACH: Duration = Duration::from_secs(1);
/// How long the end waits for the log's reader.
const FINISH_PATIENCE: Duration = Duration::from_secs(2);
/// In place of a name that is no longer kept.
const UNKNOWN: &str = "?";
/// Lines about discarded packets in one second, for each reason; a line then says how many more there were.
const DISCARD_LINES_MAX: u64 = 10;

/// A serving thread's end of its ring to the log.
pub(crate) struct EventWriter {
    crossing: Crossing<Event>,
    room: usize,
    log_thread: Thread,
}

impl EventWriter {
    /// Puts an event into the ring; false if it is full.
    pub fn write(&mut self, event: Event) -> bool {
        if self.room == 0 {
            self.room = self.crossing.room(TO_LOG);
        }
        if self.room == 0 {
            return false;
        }
        self.room -= 1;
        self.crossing.stage(TO_LOG, event, Urgency::Urgent);
        true
    }

    /// Shows them to the log thread, and wakes it if it sleeps.
    pub fn publish(&mut self) {
        self.crossing.publish();
        while self.crossing.check_gate().is_some() {
            self.log_thread.unpark();
        }
    }
}

/// A serving thread has one link, to the log.
const TO_LOG: LinkId = LinkId(0);

/// How many events all threads have lost so far.
pub(crate) type EventsLost = Box<dyn Fn() -> u64 + Send>;

/// The log thread, and the way to end it.
pub(crate) struct Log {
    thread: Thread,
    end: Arc<AtomicBool>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Log {
    /// Starts the log thread, with a writer for each of `threads` serving threads.
    pub fn start(
        names: Arc<Names>,
        threads: u16,
        clock: Clock,
        lost: EventsLost,
        out: Box<dyn Write + Send>,
    ) -> io::Result<(Log, Vec<EventWriter>)> {
        let mut exchange = Exchange::new(threads + 1);
        for thread in 0..threads {
            exchange.link(BellId(thread), BellId(threads), RING_SLOTS);
        }
        let mut crossings = exchange.build();
        let crossing = crossings.pop().expect("the log's own crossing is the last");
        let end = Arc::new(AtomicBool::new(false));
        let reader = Reader {
            crossing,
            lines: Lines::new(names, clock, out),
            end: Arc::clone(&end),
            lost,
            told_of: 0,
            tell_after: std::time::Instant::now(),
        };
        let (ends, ended) = channel::<()>();
        let thread = thread::Builder::new().name("ulna-log".into()).spawn(move || {
            let _ends = ends;
            reader.run();
        })?;
        let log_thread = thread.thread().clone();
        let writers = crossings
            .into_iter()
            .map(|crossing| EventWriter { crossing, room: 0, log_thread: log_thread.clone() })
            .collect();
        Ok((Log { thread: thread.thread().clone(), end, ended }, writers))
    }

    /// Ends it once it has written all that is in the rings; the serving threads have ended before. A pipe that nobody
    /// reads would hold it for ever: after a while it is left behind, and ends with the process.
    pub fn finish(self) {
        self.end.store(true, Ordering::Release);
        self.thread.unpark();
        // A panic there has been reported by the panic itself, and the server is going down.
        let _ = self.ended.recv_timeout(FINISH_PATIENCE);
    }
}

struct Reader {
    crossing: Crossing<Event>,
    lines: Lines,
    end: Arc<AtomicBool>,
    lost: EventsLost,
    /// Of the lost ones, how many a line has told of.
    told_of: u64,
    /// The next such line is not written before.
    tell_after: std::time::Instant,
}

impl Reader {
    fn run(mut self) {
        let mut in_vain = 0;
        loop {
            // Read before the sweep: what was written before the end was set is then found by it.
            let is_ending = self.end.load(Ordering::Acquire);
            let Reader { crossing, lines, .. } = &mut self;
            let taken = crossing.sweep(RING_SLOTS, |_, event| lines.write(&event));
            crossing.publish();
            while crossing.check_gate().is_some() {}
            lines.flush();
            if is_ending && taken == 0 {
                self.tell_of_lost();
                self.lines.sum_up();
                return;
            }
            if std::time::Instant::now() >= self.tell_after {
                self.tell_of_lost();
            }
            in_vain = if taken > 0 { 0 } else { in_vain + 1 };
            if in_vain < LOOKS_IN_VAIN_MAX {
                thread::sleep(NAP);
                continue;
            }
            self.tell_of_lost();
            self.lines.sum_up();
            self.crossing.announce(Announcement::Park);
            if !self.crossing.look_again() && !self.end.load(Ordering::Acquire) {
                thread::park();
            }
            self.crossing.unpark();
            in_vain = 0;
        }
    }
}

impl Reader {
    /// Says how many events were lost since it was said last.
    fn tell_of_lost(&mut self) {
        let lost = (self.lost)();
        if lost > self.told_of {
            self.lines.write_lost(lost - self.told_of);
            self.told_of = lost;
            self.tell_after = std::time::Instant::now() + LOST_LINE_EACH;
        }
    }
}

/// What clients and virtual servers are called, by generation of the configuration that events come from: a line may be
/// written when that is forgotten. Of the last [`NAMES_KEPT`] configurations; no secret is among them.
pub(crate) struct Names {
    kept: Mutex<VecDeque<Arc<NamesOf>>>,
    /// Counts the configurations.
    changes: AtomicU32,
}

/// The names of one configuration, each in its place.
struct NamesOf {
    generation: Generation,
    clients: Box<[Box<str>]>,
    servers: Box<[Box<str>]>,
}

impl Names {
    /// Those of the first configuration.
    pub fn new(configuration: &Configuration) -> Names {
        let names = Names { kept: Mutex::default(), changes: AtomicU32::new(0) };
        names.add(Generation::default(), configuration);
        names
    }

    /// Adds those of the next. Before its first event comes.
    pub fn add(&self, generation: Generation, configuration: &Configuration) {
        let names = NamesOf {
            generation,
            clients: configuration.clients.iter().map(|(_, client)| client.name.clone()).collect(),
            servers: configuration.servers.iter().map(|server| server.name.clone()).collect(),
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == NAMES_KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::new(names));
        // Release pairs with the Acquire in `Lines::write`.
        self.changes.fetch_add(1, Ordering::Release);
    }
}

/// A line is written milliseconds after its event, unless nobody reads the log.
const NAMES_KEPT: usize = 8;

/// Renders events.
struct Lines {
    names: Arc<Names>,
    /// What is kept there, as of so many changes.
    known: VecDeque<Arc<NamesOf>>,
    changes: u32,
    /// The wall time of the clock's origin.
    origin: SystemTime,
    out: BufWriter<Box<dyn Write + Send>>,
    /// The second that the counts below are of.
    second: u64,
    discards: [u64; Discard::COUNT],
}

impl Lines {
    fn new(names: Arc<Names>, clock: Clock, out: Box<dyn Write + Send>) -> Self {
        let since_origin = Duration::from_nanos(clock.now().as_nanoseconds());
        Lines {
            names,
            known: VecDeque::new(),
            changes: 0,
            origin: SystemTime::now() - since_origin,
            out: BufWriter::with_capacity(65_536, out),
            second: 0,
            discards: [0; Discard::COUNT],
        }
    }

    /// A log that cannot be written must not end the server: errors are dropped here, and nowhere else.
    fn write(&mut self, event: &Event) {
        // Acquire pairs with the Release in `Names::add`.
        let changes = self.names.changes.load(Ordering::Acquire);
        if changes != self.changes {
            self.changes = changes;
            self.known = self.names.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        }
        match *event {
            Event::Finished {
                received,
                finished,
                remote,
                generation,
                client,
                identifier,
                user_name,
                decided,
                outcome,
                ..
            } => {
                let at = self.wall(finished);
                // What nobody read for so long that its names are gone is told without them.
                let names = self.known.iter().find(|names| names.generation == generation);
                let client = names.map_or(UNKNOWN, |names| &*names.clients[client.0 as usize]);
                let outcome = match outcome {
                    Outcome::Accept => "accept",
                    Outcome::Reject => "reject",
                    Outcome::Recorded => "recorded",
                    Outcome::Discarded(reason) => reason.name(),
                    Outcome::Superseded => "superseded",
                };
                let _ = write!(
                    self.out,
                    "{at} {outcome} user={user_name:?} client={client} from={remote} identifier={identifier}"
                );
                if let Some(Decided { server, rule }) = decided {
                    let server = names.map_or(UNKNOWN, |names| &*names.servers[usize::from(server.0)]);
                    let _ = match rule {
                        Some(rule) => write!(self.out, " rule={server}/{rule}"),
                        None => write!(self.out, " rule={server}/none"),
                    };
                }
                // Both instants are beginnings of turns: in the turn that read it nothing can be told between them.
                let queued = finished.saturating_since(received);
                let _ = match queued.as_micros() {
                    0 => writeln!(self.out),
                    queued => writeln!(self.out, " queued_us={queued}"),
                };
            }
            Event::Discarded { at, remote, reason } => {
                let second = at.as_nanoseconds() / 1_000_000_000;
                if second != self.second {
                    self.sum_up();
                    self.second = second;
                }
                let count = &mut self.discards[reason as usize];
                *count += 1;
                if *count <= DISCARD_LINES_MAX {
                    let at = self.wall(at);
                    let _ = writeln!(self.out, "{at} discard reason={} from={remote}", reason.name());
                }
            }
        }
    }

    /// Says how many discards of the last second got no line of their own.
    fn sum_up(&mut self) {
        let at = self.wall(Instant::from_nanoseconds(self.second * 1_000_000_000));
        for (reason, count) in Discard::ALL.iter().zip(&mut self.discards) {
            if *count > DISCARD_LINES_MAX {
                let more = *count - DISCARD_LINES_MAX;
                let _ = writeln!(self.out, "{at} discard reason={} more={more}", reason.name());
            }
            *count = 0;
        }
        self.flush();
    }

    fn write_lost(&mut self, lines: u64) {
        let now = humantime::format_rfc3339_micros(SystemTime::now());
        let _ = writeln!(self.out, "{now} {lines} lines lost");
        self.flush();
    }

    fn flush(&mut self) {
        let _ = self.out.flush();
    }

    fn wall(&self, at: Instant) -> humantime::Rfc3339Timestamp {
        humantime::format_rfc3339_micros(self.origin + Duration::from_nanos(at.as_nanoseconds()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc::{Sender, sync_channel};
    use ulna_config::Cores;
    use ulna_core::ServerId;
    use ulna_core::client::ClientId;
    use ulna_core::event::ShortName;
    use ulna_core::path::ListenerId;

    /// A log file that passes each write on, and takes it only when the other side does.
    struct Passed(std::sync::mpsc::SyncSender<Vec<u8>>);

    impl Write for Passed {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.send(octets.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

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

    fn names() -> Arc<Names> {
        Arc::new(Names::new(&configuration()))
    }

    #[test]
    fn a_line_has_the_names_of_the_configuration_that_its_event_came_under() {
        let (kept, names) = (Kept::default(), names());
        let mut lines = Lines::new(Arc::clone(&names), Clock::start(), Box::new(kept.clone()));
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

    fn finished(received: u64, finished: u64) -> Event {
        Event::Finished {
            received: Instant::from_nanoseconds(received),
            finished: Instant::from_nanoseconds(finished),
            remote: "192.0.2.1:1000".parse().expect("an address"),
            generation: Generation::default(),
            client: ClientId(0),
            listener: ListenerId(0),
            identifier: 7,
            request_authenticator: [0; 16],
            user_name: ShortName::new(b"bob"),
            decided: None,
            outcome: Outcome::Accept,
        }
    }

    #[test]
    fn how_long_a_request_was_queued_is_told_where_it_was() {
        let kept = Kept::default();
        let mut lines = Lines::new(names(), Clock::start(), Box::new(kept.clone()));
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
        let mut lines = Lines::new(names(), Clock::start(), Box::new(kept.clone()));
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

    #[test]
    fn lines_that_were_lost_are_told_of() {
        let lost = Arc::new(AtomicU64::new(0));
        let (out, file) = sync_channel(0);
        let (log, mut writers) = Log::start(
            names(),
            1,
            Clock::start(),
            Box::new({
                let lost = Arc::clone(&lost);
                move || lost.load(Ordering::Relaxed)
            }),
            Box::new(Passed(out)),
        )
        .expect("a thread");
        // The log thread waits for its file to take the first lines; behind it the ring fills up.
        let writer = &mut writers[0];
        let mut is_lost = false;
        while !is_lost {
            is_lost = !writer.write(finished(0, 0));
            writer.publish();
        }
        lost.fetch_add(3, Ordering::Relaxed);
        let mut text = String::new();
        let octets = |text: &mut String| {
            let octets = file.recv_timeout(Duration::from_secs(20)).expect("it goes on");
            text.push_str(&String::from_utf8_lossy(&octets));
        };
        while !text.contains(" 3 lines lost\n") {
            octets(&mut text);
        }
        // What is lost at the end is told of as well, and only what has not been told of.
        lost.fetch_add(2, Ordering::Relaxed);
        let ender = thread::spawn(move || log.finish());
        while !text.contains(" 2 lines lost\n") {
            octets(&mut text);
        }
        while let Ok(more) = file.recv_timeout(Duration::from_secs(20)) {
            text.push_str(&String::from_utf8_lossy(&more));
        }
        ender.join().expect("it ends");
        assert_eq!(text.matches("lines lost").count(), 2, "{text}");
    }

    #[test]
    fn a_file_that_takes_nothing_does_not_hold_up_the_end() {
        let (out, file) = sync_channel(0);
        let nothing_lost = Box::new(|| 0);
        let (log, mut writers) =
            Log::start(names(), 1, Clock::start(), nothing_lost, Box::new(Passed(out))).expect("a thread");
        assert!(writers[0].write(finished(0, 0)));
        writers[0].publish();
        let (tell, ended): (Sender<()>, _) = channel();
        thread::spawn(move || {
            log.finish();
            let _ = tell.send(());
        });
        ended.recv_timeout(Duration::from_secs(20)).expect("it ends");
        drop(file);
    }
}
