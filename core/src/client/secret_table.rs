//! A table of secrets, as a file or a database has them: what a client rule's look-ups are answered from.
//!
//! Core asks for look-ups and never reads here: whoever drives it does, at once from memory or some time later from elsewhere.

use crate::effect::LookedUp;
use crate::packet::Secrets;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Keys with their clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretTable {
    /// What rules call it.
    pub source: Arc<str>,
    /// By key, as it stands in the table.
    pub entries: BTreeMap<Box<[u8]>, SecretEntry>,
}

/// What a table says of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretEntry {
    /// What the client is called: its key, if nothing else.
    pub name: Box<str>,
    /// One, or two while rotating.
    pub secrets: Secrets,
}

impl SecretTable {
    /// The answer to a look-up of this key.
    pub fn look_up(&self, key: &[u8]) -> LookedUp {
        match self.entries.get(key) {
            Some(SecretEntry { name, secrets }) => {
                LookedUp::Found { name: name.clone(), secrets: Box::new(secrets.clone()) }
            }
            None => LookedUp::NotFound,
        }
    }

    /// The keys of which this table says something else than the one before it, in order.
    pub fn changed_since(&self, before: &SecretTable) -> Vec<Box<[u8]>> {
        let gone = before.entries.keys().filter(|key| !self.entries.contains_key(*key));
        let other = self.entries.iter().filter(|(key, entry)| before.entries.get(*key) != Some(entry));
        let mut changed: Vec<Box<[u8]>> = gone.chain(other.map(|(key, _)| key)).cloned().collect();
        changed.sort();
        changed
    }
}
