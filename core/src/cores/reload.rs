//! The steps in which a thread takes a new configuration, each between two turns. docs/reload.md.
//!
//! A policy is told of some of them, and may panic: then its worker is replaced as ever, and the driver takes the same step
//! again, in which whoever has taken it already does nothing.

use super::{Cores, Running};
use crate::configuration::Configuration;
use crate::generation::Generation;
use crate::network::Network;
use alloc::boxed::Box;
use alloc::sync::Arc;

impl Cores {
    /// A reload's first step, between two turns: all cores of all threads take the configuration that is to be in force
    /// next, and go on under the one that is.
    pub fn handle_configuration(&mut self, generation: Generation, configuration: &Arc<Configuration>) {
        if let Some(network) = &mut self.network
            && !network.knows(generation)
        {
            network.handle_configuration(generation, Arc::clone(configuration));
        }
        if let Some(worker) = &mut self.worker
            && !worker.knows(generation)
        {
            self.running = Running::Worker;
            worker.handle_configuration(generation, Arc::clone(configuration));
            self.running = Running::Queues;
        }
    }

    /// Each rule and key that is a client's here, and would be looked up by anybody as a client's of before. Walks over them.
    pub fn client_keys(&mut self, mut each: impl FnMut(&Arc<str>, &[u8])) {
        if let Some(worker) = &mut self.worker {
            worker.strangers().keys().for_each(|(rule, key)| each(rule, key));
        }
    }

    /// These were clients before the server began: their keys are looked up without counting as new.
    pub fn remember_clients(&mut self, keys: &[(Arc<str>, Box<[u8]>)]) {
        if let Some(worker) = &mut self.worker {
            keys.iter().for_each(|(rule, key)| worker.strangers().remember(rule, key));
        }
    }

    /// What a table of secrets says of these keys has changed: answers to look-ups are void, and clients whose secrets were there
    /// end.
    pub fn handle_table_changed(&mut self, source: &str, keys: &[Box<[u8]>]) {
        if let Some(worker) = &mut self.worker {
            worker.handle_table_changed(source, keys);
        }
    }

    /// Its second step, once every thread has done the first: packets read from here on are verified under it.
    pub fn put_in_force(&mut self, generation: Generation) {
        if let Some(network) = &mut self.network {
            network.put_in_force(generation);
        }
    }

    /// Whether this thread still has to do with the configuration before the one in force.
    pub fn needs_older(&self) -> bool {
        self.network.as_ref().is_some_and(Network::needs_older)
    }

    /// Its third step, once every thread has done the second and none needs it: the configuration before is forgotten.
    pub fn forget_older(&mut self) {
        if let Some(network) = &mut self.network {
            network.forget_older();
        }
        if let Some(worker) = &mut self.worker {
            self.running = Running::Worker;
            worker.forget_older();
            self.running = Running::Queues;
        }
    }
}
