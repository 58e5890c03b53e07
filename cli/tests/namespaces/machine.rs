//! What others do with the machine meanwhile: where they use it, times say nothing of the server.

use std::time::Instant;

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
