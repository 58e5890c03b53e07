//! What survives a restart: which keys were clients, written each minute and at the end to the state directory.
//!
//! No secret is written: each is looked up anew in its table. A crash costs what came in the last minute; those clients are new
//! when they speak.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ulna_runtime_mio::{ClientKey, ReloadError, Reloader};
use ulna_stores::client_keys::{ClientKeys, Kept};

/// Between two looks at who is a client.
const EVERY: Duration = Duration::from_secs(60);
/// The same until workers have said so once.
const SOON: Duration = Duration::from_millis(100);
/// For so long after a start a client of before may say nothing and still be known at the next.
const UNHEARD_KEPT: Duration = Duration::from_secs(86_400);

/// Keeps it on a thread of its own.
pub struct State {
    end: SyncSender<()>,
    handle: JoinHandle<()>,
}

impl State {
    /// Tells the server what was kept in this directory, and keeps what becomes of it there.
    ///
    /// # Errors
    /// When the directory or the thread cannot be had.
    pub fn start(directory: &Path, reloader: Reloader) -> Result<State, String> {
        let wrong = |what: &str, error: &io::Error| format!("{what} {}: {error}", directory.display());
        let file = ClientKeys::within(directory)
            .map_err(|error| wrong("cannot have the `state_directory`", &error))?;
        // What cannot be read costs its clients the time of new ones, and no start.
        let Kept { keys, damaged_lines } = file.read().unwrap_or_else(|error| {
            tracing::error!("clients of before are not known: {}: {error}", file.path().display());
            Kept::default()
        });
        if damaged_lines > 0 {
            tracing::warn!(
                damaged_lines,
                "{} has lines that are damaged: whose clients those were is new",
                file.path().display()
            );
        }
        if !keys.is_empty() {
            tracing::info!(clients = keys.len(), "known from before");
        }
        // It ends only with the server, which has just begun.
        let _ = reloader.remember_clients(keys.clone());
        let (end, ended) = sync_channel(1);
        let keeping = Keeping {
            file,
            reloader,
            began: Instant::now(),
            written: keys,
            has_asked: false,
            has_written: false,
            is_failing: false,
        };
        let handle = thread::Builder::new()
            .name("state".into())
            .spawn(move || keeping.run(&ended))
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(State { end, handle })
    }

    /// Writes what there is now, and ends. Before the server does.
    pub fn finish(self) {
        let _ = self.end.send(());
        let _ = self.handle.join();
    }
}

struct Keeping {
    file: ClientKeys,
    reloader: Reloader,
    began: Instant,
    /// What stands in the file.
    written: Vec<ClientKey>,
    /// Whether workers have ever said whom they know: at the start another step may be under way.
    has_asked: bool,
    /// Whether it is this process that wrote it last, who thus can.
    has_written: bool,
    is_failing: bool,
}

impl Keeping {
    /// Writes at once, too: an operator is to hear at the start, and not at the end, that nothing will be kept.
    fn run(mut self, ended: &Receiver<()>) {
        let mut is_last = false;
        while self.write().is_ok() && !is_last {
            let wait = if self.has_asked { EVERY } else { SOON };
            is_last = ended.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
        }
    }

    fn write(&mut self) -> Result<(), ReloadError> {
        let Some(mut keys) = self.reloader.client_keys()? else { return Ok(()) };
        self.has_asked = true;
        if self.began.elapsed() < UNHEARD_KEPT {
            // Who was a client before and has not spoken yet is not forgotten for that.
            keys.extend(self.written.iter().cloned());
            keys.sort();
            keys.dedup();
        }
        if self.has_written && keys == self.written {
            return Ok(());
        }
        match self.file.write(&keys) {
            Ok(()) => {
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("clients are kept again in {}", self.file.path().display());
                }
                (self.written, self.has_written) = (keys, true);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!(
                        "clients are not kept for the next start: {}: {error}",
                        self.file.path().display()
                    );
                }
            }
        }
        Ok(())
    }
}
