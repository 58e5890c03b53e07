//! SIGHUP: loads the file anew and puts it in force, on a thread of its own, so that other signals are obeyed meanwhile. The same
//! thread reads tables of secrets again when their files change.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use ulna_config::Source;
use ulna_core::control::ConfigLine;
use ulna_runtime_mio::{FileWatch, ReloadError, Reloader};

use crate::standard_error::Speaker;

/// Takes what an operator asks for.
pub struct Reload {
    asked: Arc<Asked>,
    _watch: Arc<FileWatch>,
}

#[derive(Default)]
struct Asked {
    waiting: Mutex<Waiting>,
    came: Condvar,
}

/// What waits while another is under way. One of each does for all that come meanwhile.
#[derive(Default)]
struct Waiting {
    configuration: bool,
    /// Nobody takes anything any more.
    is_over: bool,
    /// Who wants to know what comes of it.
    askers: Vec<SyncSender<Result<(), String>>>,
    tables: BTreeSet<PathBuf>,
}

impl Asked {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something, and takes it.
    fn take(&self) -> Waiting {
        let is_nothing = |waiting: &mut Waiting| !waiting.configuration && waiting.tables.is_empty();
        let waiting = self.came.wait_while(self.waiting(), is_nothing);
        std::mem::take(&mut *waiting.unwrap_or_else(PoisonError::into_inner))
    }
}

impl Reload {
    /// Starts the thread. It is left behind when the process ends.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn start(file: PathBuf, reloader: Reloader, speaker: Speaker, shown: Shown) -> io::Result<Reload> {
        let asked = Arc::<Asked>::default();
        let tell = Arc::clone(&asked);
        let watch = Arc::new(FileWatch::start(move |table| {
            tell.waiting().tables.insert(table.to_owned());
            tell.came.notify_one();
        })?);
        let reload = Reload { asked: Arc::clone(&asked), _watch: Arc::clone(&watch) };
        let reading = Reading { file, reloader, speaker, watch, shown };
        reading.watch_tables();
        thread::Builder::new().name("reload".into()).spawn(move || {
            let _over = Over(Arc::clone(&asked));
            while reading.read(asked.take()).is_ok() {}
        })?;
        Ok(reload)
    }

    /// Asks for a reload.
    pub fn ask(&self) {
        if std::mem::replace(&mut self.asked.waiting().configuration, true) {
            tracing::info!("reload: one waits already; it does for this one, too");
        }
        self.asked.came.notify_one();
    }

    /// Asks for a reload and waits until the new configuration is in force, and there are as many workers as it wants.
    ///
    /// # Errors
    /// Why the configuration stays as it is.
    pub fn ask_and_wait(&self) -> Result<(), String> {
        let (tell, told) = sync_channel(1);
        {
            let mut waiting = self.asked.waiting();
            if waiting.is_over {
                return Err(ENDS.into());
            }
            waiting.configuration = true;
            waiting.askers.push(tell);
        }
        self.asked.came.notify_one();
        told.recv().unwrap_or_else(|_| Err(ENDS.into()))
    }
}

/// However the thread ends, nobody waits for it any more.
struct Over(Arc<Asked>);

impl Drop for Over {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.is_over = true;
        waiting.askers.clear();
    }
}

const ENDS: &str = "the server ends";

/// What reads files anew.
struct Reading {
    file: PathBuf,
    reloader: Reloader,
    speaker: Speaker,
    watch: Arc<FileWatch>,
    shown: Shown,
}

/// The lines of the configuration that is in force, for whoever wants to see them. What waits for a restart stands there as well.
#[derive(Clone)]
pub struct Shown(Arc<Mutex<Arc<[ConfigLine]>>>);

impl Shown {
    /// Of what is in force from the start.
    pub fn new(source: Source) -> Shown {
        Shown(Arc::new(Mutex::new(source.into_lines().into())))
    }

    pub fn lines(&self) -> Arc<[ConfigLine]> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, source: Source) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = source.into_lines().into();
    }
}

/// The server ends, and takes nothing any more.
struct Ends;

impl Reading {
    fn read(&self, Waiting { configuration, askers, tables, .. }: Waiting) -> Result<(), Ends> {
        if configuration {
            let read = self.read_configuration()?;
            // Whoever has gone meanwhile hears nothing.
            askers.iter().for_each(|asker| drop(asker.send(read.clone())));
        }
        tables.iter().try_for_each(|table| self.read_table(table))
    }

    fn watch_tables(&self) {
        let tables = self.reloader.secret_tables();
        self.watch.watch(tables.iter().map(|source| PathBuf::from(&**source)).collect());
    }

    fn read_configuration(&self) -> Result<Result<(), String>, Ends> {
        let (configuration, warnings, source) = match crate::load(Some(&self.file)) {
            Ok(loaded) => loaded,
            Err(errors) => {
                self.speaker.say(errors.to_string());
                tracing::error!("reload: the file has errors; the configuration stays as it is");
                return Ok(Err(format!("the configuration stays as it is: {errors}")));
            }
        };
        if !warnings.is_empty() {
            self.speaker.say(warnings.to_string());
        }
        let mut read = Ok(());
        match self.reloader.put_in_force(configuration) {
            Ok(waits) => {
                self.shown.set(source);
                waits.iter().for_each(|waits| tracing::warn!("reload: {waits}"));
                tracing::info!("reload: the new configuration is in force");
            }
            Err(ReloadError::Ends) => return Err(Ends),
            Err(error) => {
                tracing::error!("reload: {error}; the configuration stays as it is");
                read = Err(format!("the configuration stays as it is: {error}"));
            }
        }
        self.watch_tables();
        match self.reloader.settle() {
            Ok(Some(workers)) => tracing::info!(workers, "reload: workers have come or gone"),
            Ok(None) => {}
            Err(ReloadError::Ends) => return Err(Ends),
            Err(error) => {
                tracing::error!("reload: {error}; there are as many workers as before");
                read = read.and_then(|()| Err(format!("there are as many workers as before: {error}")));
            }
        }
        Ok(read)
    }

    /// What a table has wrong in it leaves clients as they are.
    fn read_table(&self, table: &Path) -> Result<(), Ends> {
        let (read, warnings) = match ulna_config::load_secret_table(table) {
            Ok(read) => read,
            Err(errors) => {
                self.speaker.say(errors.to_string());
                tracing::error!("{}: the table stays as it was", table.display());
                return Ok(());
            }
        };
        if !warnings.is_empty() {
            self.speaker.say(warnings.to_string());
        }
        match self.reloader.put_secret_table(&Arc::new(read)) {
            Ok(0) => Ok(()),
            Ok(changed) => {
                tracing::info!(changed, "{}: keys have changed", table.display());
                Ok(())
            }
            Err(
                ReloadError::Ends | ReloadError::Thread(_) | ReloadError::Policy | ReloadError::Refused(_),
            ) => Err(Ends),
        }
    }
}
