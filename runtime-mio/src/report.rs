//! The counters of a server as text: what an operator reads until there are metrics.

use std::fmt;
use std::sync::Arc;

use ulna_core::cores::Cores;
use ulna_core::counters::{NetworkCounters, WorkerCounters};
use ulna_core::discard::Discard;
use ulna_core::network::Network;
use ulna_core::path::WorkerId;
use ulna_core::worker::Worker;

use crate::counters::ThreadCounters;
use crate::kernel_drops::drops;
use crate::listening::Listening;
use crate::spooling::SpoolCounters;
use crate::storing::StoreCounters;

/// The counters of one thread.
#[derive(Debug, Clone)]
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

impl ThreadReport {
    /// The report of a thread that is to run these cores; its own counters are made here.
    pub(crate) fn of(cores: &Cores) -> Self {
        ThreadReport {
            name: name_of(cores),
            thread: Arc::default(),
            network: cores.network().map(Network::counters).cloned(),
            worker: cores.worker().map(Worker::counters).cloned(),
        }
    }

    /// The report of all threads that have gone: what their loops counted.
    pub(crate) fn of_those_gone(thread: Arc<ThreadCounters>) -> Self {
        ThreadReport { name: "gone".into(), thread, network: None, worker: None }
    }

    /// Events for the log that were lost on any part of the way to it.
    pub(crate) fn events_lost(&self) -> u64 {
        let network = self.network.as_ref().map_or(0, |network| network.events_lost.value());
        let worker = self.worker.as_ref().map_or(0, |worker| worker.events_lost.value());
        self.thread.events_lost.value() + network + worker
    }
}

/// The name of a thread that runs these.
pub(crate) fn name_of(cores: &Cores) -> String {
    match (cores.network(), cores.worker()) {
        (Some(network), None) => format!("network-{}", network.id().0),
        (None, Some(worker)) => name_of_worker(worker.id()),
        (Some(_), Some(worker)) => format!("joined-{}", worker.id().0),
        (None, None) => unreachable!("a thread has a core"),
    }
}

/// The name of the thread of a worker that shares it with nobody.
pub(crate) fn name_of_worker(worker: WorkerId) -> String {
    format!("worker-{}", worker.0)
}

/// The counters of a server. `Display` prints one `name value` a line: sums over all threads (of what ends in `_max` the
/// most), discards by reason where there were any, each thread's own beside its cores (`thread worker-0 parks 7`), and what
/// the kernel dropped.
#[derive(Debug)]
pub struct Report<'a> {
    pub(crate) threads: Vec<ThreadReport>,
    /// What workers counted that have gone.
    pub(crate) gone: Vec<ThreadReport>,
    pub(crate) failed_hires: u64,
    pub(crate) listening: &'a Listening,
    pub(crate) store: Option<&'a Arc<StoreCounters>>,
    pub(crate) spool: Option<&'a Arc<SpoolCounters>>,
}

impl Report<'_> {
    /// The threads, one by one.
    pub fn threads(&self) -> &[ThreadReport] {
        &self.threads
    }

    /// The sum over all threads of the counter of this name, or the most if it ends in `_max`; `None` if there is none.
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

    /// All that is counted, over all threads: sums, discards by reason where there were any, and what the kernel dropped.
    pub fn counted(&self) -> Vec<(String, u64)> {
        let sums = self.sums().into_iter().map(|(name, value)| (name.into(), value));
        let discards = Discard::ALL.iter().map(|reason| (reason, self.discarded(*reason)));
        let discards = discards.filter(|(_, discarded)| *discarded > 0);
        let discards =
            discards.map(|(reason, discarded)| (format!("discarded {}", reason.name()), discarded));
        let drops = self.kernel_drops().map(|drops| ("kernel_drops".into(), drops));
        sums.chain(discards).chain(drops).collect()
    }

    fn sums(&self) -> Vec<(&'static str, u64)> {
        let mut sums: Vec<(&'static str, u64)> = Vec::new();
        for thread in self.threads.iter().chain(&self.gone) {
            let network = thread.network.iter().flat_map(|counters| counters.named());
            let worker = thread.worker.iter().flat_map(|counters| counters.named());
            for (name, value) in network.chain(worker).chain(thread.thread.named()) {
                match sums.iter_mut().find(|(each, _)| *each == name) {
                    Some((_, most)) if name.ends_with("_max") => *most = value.max(*most),
                    Some((_, sum)) => *sum += value,
                    None => sums.push((name, value)),
                }
            }
        }
        sums.push(("failed_hires", self.failed_hires));
        sums.extend(self.store.iter().flat_map(|store| store.named()));
        sums.extend(self.spool.iter().flat_map(|spool| spool.named()));
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
        for ThreadReport { name, thread, .. } in &self.threads {
            for (counter, value) in thread.named() {
                writeln!(f, "thread {name} {counter} {value}")?;
            }
        }
        match self.kernel_drops() {
            Some(drops) => writeln!(f, "kernel_drops {drops}"),
            None => writeln!(f, "kernel_drops unknown"),
        }
    }
}
