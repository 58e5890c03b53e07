//! Where conversations wait for each other, so that all of them are under way at the same moment.

use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// What 200 supplicants may take to begin on a machine that others use, too.
const PATIENCE: Duration = Duration::from_secs(30);

/// Closed until it is opened, and then open for ever.
#[derive(Debug)]
pub struct Gate {
    /// Rounds of a conversation that pass it while it is closed.
    pub after_rounds: usize,
    inner: Mutex<Inner>,
    more: Condvar,
}

#[derive(Debug)]
struct Inner {
    waiting: usize,
    is_open: bool,
}

impl Gate {
    pub fn after(rounds: usize) -> Gate {
        let inner = Mutex::new(Inner { waiting: 0, is_open: false });
        Gate { after_rounds: rounds, inner, more: Condvar::new() }
    }

    /// One more conversation waits.
    pub fn arrive(&self) {
        self.inner.lock().expect("nobody panics with it").waiting += 1;
        self.more.notify_all();
    }

    pub fn is_open(&self) -> bool {
        self.inner.lock().expect("nobody panics with it").is_open
    }

    pub fn open(&self) {
        self.inner.lock().expect("nobody panics with it").is_open = true;
    }

    /// Waits until so many conversations wait; gives how many do, fewer when patience ends.
    pub fn wait_for(&self, count: usize) -> usize {
        let until = Instant::now() + PATIENCE;
        let mut inner = self.inner.lock().expect("nobody panics with it");
        while inner.waiting < count {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            inner = self.more.wait_timeout(inner, left).expect("nobody panics with it").0;
        }
        inner.waiting
    }
}
