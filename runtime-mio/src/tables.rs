//! The tables of secrets that look-ups are answered from: in memory, so that an answer costs a look-up there and no wait.
//!
//! Shared by the workers' threads and whoever reads the files anew. The lock is taken once for each look-up, which is no packet's
//! but a new client's, and held as long as that takes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ulna_core::client::SecretTable;
use ulna_core::effect::{LookUp, LookedUp};

use crate::server::locked;

/// All of them, by what rules call them.
#[derive(Default)]
pub(crate) struct Tables(Mutex<BTreeMap<Arc<str>, Arc<SecretTable>>>);

impl Tables {
    /// These.
    pub fn new(tables: &[Arc<SecretTable>]) -> Tables {
        let by_source = |table: &Arc<SecretTable>| (Arc::clone(&table.source), Arc::clone(table));
        Tables(Mutex::new(tables.iter().map(by_source).collect()))
    }

    /// The answer to a look-up. That of a table that is gone by now has failed.
    pub fn look_up(&self, look_up: &LookUp) -> LookedUp {
        match locked(&self.0).get(&look_up.source) {
            Some(table) => table.look_up(&look_up.key),
            None => LookedUp::Failed,
        }
    }

    /// Has a table as it is now, and gives the keys of which it says something else than before.
    pub fn put(&self, table: &Arc<SecretTable>) -> Vec<Box<[u8]>> {
        match locked(&self.0).insert(Arc::clone(&table.source), Arc::clone(table)) {
            Some(before) => table.changed_since(&before),
            None => Vec::new(),
        }
    }

    /// Forgets those that no rule asks.
    pub fn keep_only(&self, tables: &[Arc<SecretTable>]) {
        locked(&self.0).retain(|source, _| tables.iter().any(|table| table.source == *source));
    }
}
