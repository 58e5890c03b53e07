//! How many system calls a thread has made, counted where they are made.
//!
//! System calls are nine tenths of what a request costs, so their number per packet is a goal of its own. The
//! counters are plain words of the one thread that makes the calls; whoever exports them copies them out between
//! two turns.

use core::ops::AddAssign;

/// System calls made by one thread since its start, by what they were for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SystemCalls {
    /// Calls that read datagrams, empty ones too.
    pub receive: u64,
    /// Calls that sent datagrams, refused ones too.
    pub send: u64,
    /// Waits for readiness, those with a zero time-out too.
    pub wait: u64,
    /// Rings of another thread's bell.
    pub ring: u64,
    /// Times that the thread let another one run.
    pub yields: u64,
}

impl SystemCalls {
    /// All of them together.
    pub const fn total(&self) -> u64 {
        self.receive + self.send + self.wait + self.ring + self.yields
    }
}

impl AddAssign for SystemCalls {
    fn add_assign(&mut self, other: SystemCalls) {
        self.receive += other.receive;
        self.send += other.send;
        self.wait += other.wait;
        self.ring += other.ring;
        self.yields += other.yields;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_threads_add_field_by_field() {
        let mut sum = SystemCalls { receive: 1, send: 2, wait: 3, ring: 4, yields: 5 };
        sum += SystemCalls { receive: 10, send: 20, wait: 30, ring: 40, yields: 50 };
        assert_eq!(sum, SystemCalls { receive: 11, send: 22, wait: 33, ring: 44, yields: 55 });
        assert_eq!(sum.total(), 165);
    }
}
