//! The log's thread: the threads that serve only put events into a ring. What a line looks like is `lines`' business.
//!
//! The ring is bounded; what does not fit is lost and counted. While events come, the log thread looks every
//! [`NAP`]; when none has come for a while it sleeps until it is rung for.

mod line;
mod lines;
mod names;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, Thread};
use std::time::Duration;

use ulna_core::configuration::LogFormat;
use ulna_core::event::Event;
use ulna_core::queue::{Announcement, Crossing, Directory, LinkEnd, LinkId, ThreadHandle, Urgency, link};

use crate::clock::Clock;
use lines::Lines;
pub(crate) use names::Names;

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

/// A serving thread's end of its ring to the log.
pub(crate) struct EventWriter {
    crossing: Crossing<Event, LinkEnd<Event>>,
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
    /// The log thread is in it, and every writer.
    directory: Directory<LinkEnd<Event>>,
    handle: ThreadHandle<LinkEnd<Event>>,
    thread: Thread,
    end: Arc<AtomicBool>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Log {
    /// Starts the log thread.
    pub fn start(
        names: Arc<Names>,
        format: LogFormat,
        clock: Clock,
        lost: EventsLost,
        out: Box<dyn Write + Send>,
    ) -> io::Result<Log> {
        let mut directory = Directory::new();
        let (handle, crossing) = directory.enter();
        let end = Arc::new(AtomicBool::new(false));
        let reader = Reader {
            crossing,
            lines: Lines::new(names, format, clock, out),
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
        Ok(Log { directory, handle, thread: thread.thread().clone(), end, ended })
    }

    /// A writer for one more serving thread. They are made for as many threads as serve at once, and used again.
    pub fn writer(&mut self) -> EventWriter {
        let (writer, mut crossing) = self.directory.enter();
        let (ours, logs) = link(&writer, &self.handle, RING_SLOTS);
        crossing.attach(ours);
        if self.handle.post(logs).is_some() {
            self.thread.unpark();
        }
        EventWriter { crossing, room: 0, log_thread: self.thread.clone() }
    }

    /// Ends it once it has written all that is in the rings; the serving threads have ended before. A pipe that nobody
    /// reads would hold it for ever: after a while it is left behind, and ends with the process.
    pub fn finish(&self) {
        self.end.store(true, Ordering::Release);
        self.thread.unpark();
        // A panic there has been reported by the panic itself, and the server is going down.
        let _ = self.ended.recv_timeout(FINISH_PATIENCE);
    }
}

struct Reader {
    crossing: Crossing<Event, LinkEnd<Event>>,
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
            while let Some(writer) = crossing.poll_letter() {
                crossing.attach(writer);
            }
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

#[cfg(test)]
mod tests {
    use super::lines::tests::{finished, names};
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc::{Sender, sync_channel};

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

    #[test]
    fn lines_that_were_lost_are_told_of() {
        let lost = Arc::new(AtomicU64::new(0));
        let (out, file) = sync_channel(0);
        let mut log = Log::start(
            names(),
            LogFormat::Text,
            Clock::start(),
            Box::new({
                let lost = Arc::clone(&lost);
                move || lost.load(Ordering::Relaxed)
            }),
            Box::new(Passed(out)),
        )
        .expect("a thread");
        // The log thread waits for its file to take the first lines; behind it the ring fills up.
        let mut writer = log.writer();
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
        let mut log =
            Log::start(names(), LogFormat::Text, Clock::start(), nothing_lost, Box::new(Passed(out)))
                .expect("a thread");
        let mut writer = log.writer();
        assert!(writer.write(finished(0, 0)));
        writer.publish();
        let (tell, ended): (Sender<()>, _) = channel();
        thread::spawn(move || {
            log.finish();
            let _ = tell.send(());
        });
        ended.recv_timeout(Duration::from_secs(20)).expect("it ends");
        drop(file);
    }
}
