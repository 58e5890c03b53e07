//! What others do with the machine meanwhile: where they use it, times say nothing of the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Looks each half millisecond, on each core and before everybody else there, whether the core does anything: one of a virtual
/// machine stands still for tens of milliseconds whenever its host wants it for others, of which `/proc` knows nothing.
pub struct Watch {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Stall>>>,
}

/// When a core stood still, or was the kernel's alone.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    began: Instant,
    ended: Instant,
}

impl Watch {
    /// From now on.
    pub fn begin() -> Watch {
        let is_over = Arc::<AtomicBool>::default();
        let cores = sched_getaffinity(None).expect("a thread has cores");
        let threads = (0..CpuSet::MAX_CPU).filter(|core| cores.is_set(*core)).map(|core| {
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || watch(core, &is_over))
        });
        let threads = threads.collect();
        Watch { is_over, threads }
    }

    /// What it has seen.
    pub fn end(self) -> Vec<Stall> {
        self.is_over.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().expect("it only looks")).collect()
    }
}

fn watch(core: usize, is_over: &AtomicBool) -> Vec<Stall> {
    let mut cpus = CpuSet::new();
    cpus.set(core);
    sched_setaffinity(None, &cpus).expect("the core is there");
    // On Linux this thread alone.
    setpriority_process(None, -20).expect("who makes namespaces may");
    let mut stalls = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let due = Instant::now() + Duration::from_micros(500);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let ended = Instant::now();
        if ended.saturating_duration_since(due) > STALL_MIN {
            stalls.push(Stall { began: due, ended });
        }
    }
    stalls
}

impl Stall {
    /// Whether a request that was answered so long after it began has had to do with it: for twice as long as it took, what has come
    /// meanwhile is still in front.
    pub fn touches(&self, began: Instant, answered_after: Duration) -> bool {
        let is_forgotten = self.ended + (self.ended - self.began) * 2;
        began <= is_forgotten && self.began <= began + answered_after
    }
}

/// From its making on.
pub struct Meter {
    processes: Vec<u32>,
    began: Instant,
    busy_ticks: u64,
    own_ticks: u64,
}

impl Meter {
    /// Everybody else is other than this process and these.
    pub fn begin(processes: Vec<u32>) -> Meter {
        let own_ticks = own_ticks(&processes);
        Meter { processes, began: Instant::now(), busy_ticks: busy_ticks(), own_ticks }
    }

    /// How much of all cores others have used, from 0 to 1. The kernel's own work is not theirs: it is ours for the most part.
    pub fn others(&self) -> f64 {
        let own = own_ticks(&self.processes) - self.own_ticks;
        let others = (busy_ticks() - self.busy_ticks).saturating_sub(own);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        others as f64 / TICKS_PER_SECOND / self.began.elapsed().as_secs_f64() / cores as f64
    }
}

/// Of programs, and of the host that has taken cores away.
fn busy_ticks() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").expect("Linux has it");
    let line = text.lines().next().expect("a line for all cores");
    let figures =
        line.split_ascii_whitespace().skip(1).map(|figure| figure.parse::<u64>().expect("a number"));
    let [user, nice, system, _idle, _iowait, _irq, _softirq, steal] =
        figures.take(8).collect::<Vec<_>>()[..].try_into().expect("eight kinds");
    user + nice + system + steal
}

fn own_ticks(processes: &[u32]) -> u64 {
    let own = std::process::id();
    let of_one = |process: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // Behind the name, which may hold anything: utime and stime are the 14th and 15th of all.
        let (_, fields) = text.rsplit_once(')').unwrap_or_default();
        let ticks = fields.split_ascii_whitespace().skip(11).take(2);
        ticks.map(|figure| figure.parse::<u64>().expect("a number")).sum::<u64>()
    };
    processes.iter().chain(&[own]).map(of_one).sum()
}

/// Of `/proc`, on every architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;
/// Threads that come first are this late where the kernel is busy with a flood.
const STALL_MIN: Duration = Duration::from_millis(1);
