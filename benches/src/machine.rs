//! What the machine says: which core a process may use, how much it and all others used, how much memory it has.

use std::fs;
use std::io;
use std::time::Duration;

/// Keeps the calling thread, and what it starts from here on, on one core.
///
/// # Errors
/// The kernel's, when there is no such core for us.
pub fn pin_to(core: usize) -> io::Result<()> {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    Ok(rustix::thread::sched_setaffinity(None, &cores)?)
}

/// Keeps one thread of a process on one core, by the name that the thread has or is about to give itself.
///
/// # Errors
/// The kernel's, or that no thread of this name comes.
pub fn pin_thread(process: u32, name: &str, core: usize) -> io::Result<()> {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    let begin = std::time::Instant::now();
    while begin.elapsed() < NAMED_WITHIN {
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let task = task?;
            if fs::read_to_string(task.path().join("comm"))?.trim() == name {
                let thread = task.file_name().to_str().and_then(|number| number.parse().ok());
                let thread = rustix::thread::Pid::from_raw(thread.ok_or(io::ErrorKind::InvalidData)?);
                return Ok(rustix::thread::sched_setaffinity(thread, &cores)?);
            }
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// A thread gives itself its name when it first runs.
const NAMED_WITHIN: Duration = Duration::from_secs(1);

/// How many cores there are for us.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The time that all threads of a process have been on a core, kernel and user together.
///
/// # Errors
/// When there is no such process, or a kernel without these figures.
pub fn cpu_time(process: u32) -> io::Result<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        // First of three figures: time on a core, in nanoseconds.
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let first = text.split_ascii_whitespace().next().and_then(|figure| figure.parse::<u64>().ok());
        nanoseconds += first.ok_or(io::ErrorKind::InvalidData)?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// A process's memory in octets: resident now, and at its peak.
///
/// # Errors
/// When there is no such process.
pub fn memory(process: u32) -> io::Result<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let figure = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    figure("VmRSS:").zip(figure("VmHWM:")).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The time that all cores together have been busy, or taken away by the host, since the machine's start.
///
/// # Errors
/// When the kernel does not tell.
pub fn busy_time() -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    // user nice system idle iowait irq softirq steal; guest time is in user already.
    let ticks: Vec<u64> =
        line.split_ascii_whitespace().skip(1).take(8).filter_map(|figure| figure.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal] = ticks[..] else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    Ok(Duration::from_millis((user + nice + system + irq + softirq + steal) * MILLISECONDS_EACH_TICK))
}

/// The kernel tells hundredths of seconds in `/proc/stat` on every architecture that we build for.
const MILLISECONDS_EACH_TICK: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_time_and_memory() {
        let before = cpu_time(std::process::id()).expect("this process is there");
        let mut sum = 0u64;
        while cpu_time(std::process::id()).expect("still there") == before {
            sum = std::hint::black_box(sum + 1);
        }
        let (resident, peak) = memory(std::process::id()).expect("this process is there");
        assert!(resident > 0 && peak >= resident / 2);
        assert!(busy_time().expect("the kernel tells") > Duration::ZERO);
    }
}
