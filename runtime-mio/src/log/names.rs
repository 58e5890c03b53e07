//! What clients, virtual servers and remote servers are called when a line is written.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ulna_core::configuration::Configuration;
use ulna_core::generation::Generation;

/// What clients and virtual servers are called, by generation of the configuration that events come from: a line may be
/// written when that is forgotten. Of the last [`NAMES_KEPT`] configurations; no secret is among them.
pub struct Names {
    kept: Mutex<Kept>,
    /// Counts the configurations.
    changes: AtomicU32,
}

/// The last of them.
type Kept = VecDeque<Arc<NamesOf>>;

/// The names of one configuration, each in its place.
pub struct NamesOf {
    pub generation: Generation,
    pub clients: Box<[Box<str>]>,
    pub servers: Box<[Box<str>]>,
    /// And of NASes behind them.
    pub remote_servers: Box<[Box<str>]>,
}

/// One reader's view of them, taken anew when there are more.
#[derive(Default)]
pub struct Known {
    /// What is kept there, as of so many changes.
    kept: Kept,
    changes: u32,
}

impl Known {
    /// The names under which an event of this generation came, if they are still kept.
    pub fn of(&mut self, names: &Names, generation: Generation) -> Option<&NamesOf> {
        // Acquire pairs with the Release in `Names::add`.
        let changes = names.changes.load(Ordering::Acquire);
        if changes != self.changes {
            self.changes = changes;
            self.kept = names.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        }
        self.kept.iter().find(|names| names.generation == generation).map(|names| &**names)
    }
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
            remote_servers: configuration.hops().map(|server| server.name.clone()).collect(),
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == NAMES_KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::new(names));
        // Release pairs with the Acquire in `Known::of`.
        self.changes.fetch_add(1, Ordering::Release);
    }
}

/// A line is written milliseconds after its event, unless nobody reads the log.
pub const NAMES_KEPT: usize = 8;
