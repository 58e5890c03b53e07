//! The bells of all threads, by number, as threads come and go.

use std::sync::{PoisonError, RwLock};

use ulna_core::configuration::{NETWORK_THREADS_MAX, WORKERS_MAX};
use ulna_core::queue::BellId;

use crate::bell::Bell;
use crate::system_calls::SystemCalls;

/// Threads that a server can have at once, at most: all that a configuration may ask for, and as many workers that have left
/// and whose numbers are not free again.
pub(crate) const THREADS_MAX: usize = (NETWORK_THREADS_MAX + 2 * WORKERS_MAX).next_power_of_two();

/// Who has which bell. A lock for each, taken where a bell is rung: next to the system call that follows it is nothing, and it
/// is contended only when a thread comes or goes.
#[derive(Debug)]
pub(crate) struct Bells(Box<[RwLock<Option<Bell>>]>);

impl Bells {
    /// Nobody's so far.
    pub fn new() -> Bells {
        Bells((0..THREADS_MAX).map(|_| RwLock::default()).collect())
    }

    /// A thread has come; or gone.
    pub fn set(&self, thread: BellId, bell: Option<Bell>) {
        *self.0[usize::from(thread.0)].write().unwrap_or_else(PoisonError::into_inner) = bell;
    }

    /// Rings the bell of a thread. For one that has gone there is nothing to be woken for.
    pub fn ring(&self, thread: BellId, calls: &mut SystemCalls) {
        let bell = self.0[usize::from(thread.0)].read().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = &*bell {
            bell.ring(calls);
        }
    }

    /// Rings all.
    pub fn ring_all(&self, calls: &mut SystemCalls) {
        for thread in 0..self.0.len() {
            self.ring(BellId(thread as u16), calls);
        }
    }
}
