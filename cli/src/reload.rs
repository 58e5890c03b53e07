//! SIGHUP: loads the file anew and puts it in force, on a thread of its own, so that other signals are obeyed meanwhile.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use ulna_runtime_mio::{ReloadError, Reloader};

use crate::standard_error::Speaker;

/// Takes what an operator asks for.
pub struct Reload {
    /// Holds one: that waits while another is under way, and does for all that come meanwhile.
    ask: SyncSender<()>,
}

impl Reload {
    /// Starts the thread. It is left behind when the process ends.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn start(file: PathBuf, reloader: Reloader, speaker: Speaker) -> io::Result<Reload> {
        let (ask, asked) = sync_channel(1);
        let thread = thread::Builder::new().name("reload".into());
        thread.spawn(move || reload_when(&asked, &file, &reloader, &speaker))?;
        Ok(Reload { ask })
    }

    /// Asks for a reload.
    pub fn ask(&self) {
        match self.ask.try_send(()) {
            Ok(()) => {}
            Err(TrySendError::Full(())) => {
                tracing::info!("reload: one waits already; it does for this one, too");
            }
            Err(TrySendError::Disconnected(())) => tracing::error!("reload: its thread has ended"),
        }
    }
}

fn reload_when(asked: &Receiver<()>, file: &std::path::Path, reloader: &Reloader, speaker: &Speaker) {
    while asked.recv().is_ok() {
        let (configuration, warnings) = match crate::load(Some(file)) {
            Ok(loaded) => loaded,
            Err(errors) => {
                speaker.say(errors.to_string());
                tracing::error!("reload: the file has errors; the configuration stays as it is");
                continue;
            }
        };
        if !warnings.is_empty() {
            speaker.say(warnings.to_string());
        }
        match reloader.put_in_force(configuration) {
            Ok(waits) => {
                waits.iter().for_each(|waits| tracing::warn!("reload: {waits}"));
                tracing::info!("reload: the new configuration is in force");
            }
            Err(ReloadError::Ends) => return,
            Err(error) => tracing::error!("reload: {error}; the configuration stays as it is"),
        }
        match reloader.settle() {
            Ok(Some(workers)) => tracing::info!(workers, "reload: workers have come or gone"),
            Ok(None) => {}
            Err(ReloadError::Ends) => return,
            Err(error) => tracing::error!("reload: {error}; there are as many workers as before"),
        }
    }
}
