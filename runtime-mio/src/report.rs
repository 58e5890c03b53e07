//! The counters of a server as text: what an operator reads until there are metrics.

use std::fmt;
use std::sync::Arc;

use ulna_core::counters::{NetworkCounters, WorkerCounters};
use ulna_core::discard::Discard;

use crate::counters::ThreadCounters;
use crate::kernel_drops::drops;
use crate::listening::Listening;

/// The counters of one thread.
#[derive(Debug)]
pub struct ThreadReport {
    /// Its name.
    pub name: String,
    /// What its loop counts.
    pub thread: Arc<ThreadCounters>,
    /// What its network core counts, if it has one.
    pub network: Option<Arc<NetworkCounters>>,
    /// What its worker core counts, if it has one.
    pub worker: Option<Arc<WorkerCounters>>,
}

/// The counters of a server. `Display` prints one `name value` a line: sums over all threads, discards by reason where
/// there were any, and what the kernel dropped.
#[derive(Debug)]
pub struct Report<'a> {
    pub(crate) threads: Vec<&'a ThreadReport>,
    pub(crate) listening: &'a Listening,
}

impl Report<'_> {
    /// The threads, one by one.
    pub fn threads(&self) -> &[&ThreadReport] {
        &self.threads
    }

    /// The sum over all threads of the counter of this name; `None` if there is none.
    pub fn sum(&self, name: &str) -> Option<u64> {
        let found = self.sums().into_iter().find(|(each, _)| *each == name);
        found.map(|(_, value)| value)
    }

    /// How many packets and requests were discarded for this reason. Counted by network cores: a worker's discards
    /// come home to them.
    pub fn discarded(&self, reason: Discard) -> u64 {
        let networks = self.threads.iter().filter_map(|thread| thread.network.as_ref());
        networks.map(|network| network.discarded[reason as usize].value()).sum()
    }

    /// Datagrams that the kernel dropped at our sockets; `None` where it does not tell.
    pub fn kernel_drops(&self) -> Option<u64> {
        let inodes: Vec<_> = self.listening.sockets().iter().map(|bound| bound.inode).collect();
        let drops = drops(&inodes).ok()?;
        drops.into_iter().map(|each| each.map(u64::from)).sum()
    }

    fn sums(&self) -> Vec<(&'static str, u64)> {
        let mut sums: Vec<(&'static str, u64)> = Vec::new();
        for thread in &self.threads {
            let network = thread.network.iter().flat_map(|counters| counters.named());
            let worker = thread.worker.iter().flat_map(|counters| counters.named());
            for (name, value) in network.chain(worker).chain(thread.thread.named()) {
                match sums.iter_mut().find(|(each, _)| *each == name) {
                    Some((_, sum)) => *sum += value,
                    None => sums.push((name, value)),
                }
            }
        }
        sums
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.sums() {
            writeln!(f, "{name} {value}")?;
        }
        for reason in Discard::ALL {
            let discarded = self.discarded(*reason);
            if discarded > 0 {
                writeln!(f, "discarded {} {discarded}", reason.name())?;
            }
        }
        match self.kernel_drops() {
            Some(drops) => writeln!(f, "kernel_drops {drops}"),
            None => writeln!(f, "kernel_drops unknown"),
        }
    }
}
