//! Says things on standard error, which may be closed, full, or a pipe that nobody reads: nothing of that may end a
//! server or hold it up. The log of requests is not said here; it has a thread of its own in the runtime.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Texts that wait to be written; more are lost.
const WAITING_MAX: usize = 256;

/// Says it now, and waits until it is written. That it cannot be written has nobody to be told of.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{}", text.trim_end_matches('\n'));
}

/// Says things in order on a thread of its own, so that whoever speaks never waits. Clones speak through the same one.
#[derive(Clone)]
pub struct Speaker {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    line: Mutex<Line>,
    changed: Condvar,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<String>,
    /// One has been taken out and is being written.
    is_writing: bool,
    lost: u64,
}

impl Speaker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The kernel's, when it gives no further thread.
    pub fn start() -> io::Result<Speaker> {
        let speaker = Speaker { shared: Arc::default() };
        let shared = Arc::clone(&speaker.shared);
        thread::Builder::new().name("ulna-says".into()).spawn(move || shared.run())?;
        Ok(speaker)
    }

    /// Puts it in line, or loses it if too much waits there.
    pub fn say(&self, text: impl Into<String>) {
        let mut line = self.shared.lock();
        if line.waiting.len() < WAITING_MAX {
            line.waiting.push_back(text.into());
        } else {
            line.lost += 1;
        }
        self.shared.changed.notify_all();
    }

    /// Waits until all is written, but no longer than `patience`: what nobody reads is then left unsaid.
    pub fn finish(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut line = self.shared.lock();
        while line.is_writing || !line.waiting.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.shared.changed.wait_timeout(line, left);
            line = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// For tracing, which writes a whole event at once.
impl Write for Speaker {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.say(String::from_utf8_lossy(octets));
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    /// A queue of texts is whole at any time, whoever panics.
    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes without the lock: a write may wait for ever.
    fn run(&self) {
        let mut line = self.lock();
        loop {
            let Some(text) = line.waiting.pop_front() else {
                line = self.changed.wait(line).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            line.is_writing = true;
            let lost = std::mem::take(&mut line.lost);
            drop(line);
            say(&text);
            if lost > 0 {
                say(&format!("ulna: {lost} further messages were lost, as nobody read standard error"));
            }
            line = self.lock();
            line.is_writing = false;
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_too_much_in_line_is_lost_and_counted() {
        // Without its thread: nothing leaves the line.
        let speaker = Speaker { shared: Arc::default() };
        (0..WAITING_MAX + 3).for_each(|number| speaker.say(number.to_string()));
        let line = speaker.shared.lock();
        assert_eq!((line.waiting.len(), line.lost), (WAITING_MAX, 3));
        assert_eq!(line.waiting.back().map(String::as_str), Some("255"));
    }

    #[test]
    fn finishing_waits_for_all_that_is_said_and_no_longer_than_its_patience() {
        let silent = Speaker { shared: Arc::default() };
        silent.say("never written");
        silent.finish(Duration::from_millis(1));
        assert_eq!(silent.shared.lock().waiting.len(), 1);

        let speaker = Speaker::start().expect("a thread");
        speaker.say("said by a test");
        speaker.finish(Duration::from_secs(20));
        let line = speaker.shared.lock();
        assert!(line.waiting.is_empty() && !line.is_writing);
    }
}
