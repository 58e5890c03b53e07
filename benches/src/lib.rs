//! What the benchmarks share: the requests they ask with, a load generator, the processes that are measured, and what
//! the machine says about them.
//!
//! | bench | measures |
//! |---|---|
//! | `end_to_end` | a whole server over loopback beside a bare responder: throughput, CPU, system calls, latency, memory |
//! | `hashing` | what others feel while passwords with an Argon2 digest are guessed |
//! | `accounting` | records stored a second, and how long one waits, beside FreeRADIUS |
//! | `new_clients` | the first packet of a client that nobody listed, and thousands of them at once, beside FreeRADIUS |
//! | `forwarding` | what it costs to forward a request to a home server and its reply back, beside FreeRADIUS and radsecproxy |
//! | `another_process` | the same requests over a ring that two processes share, and over loopback |
//! | `overload` | what a server still does that is asked for more than it can |
//! | `signals` | what waking costs: bells, system calls, latency and CPU time against load, for each way to wait |
//! | `packet`, `dedup`, `clients` | the parts, by criterion |
//! | `channel` | a message between two threads, beside other queues |
//! | `peers`, a package of its own | reading a request beside other crates for RADIUS |
//! | the binary `count` under callgrind | instructions per operation, the same on every machine of a kind |

#![forbid(unsafe_code)]

pub mod disk;
pub mod ending;
pub mod exchange;
pub mod feeder;
pub mod home;
pub mod load;
pub mod machine;
pub mod measured;
pub mod newcomers;
pub mod options;
pub mod plot;
pub mod radiusd;
pub mod radsecproxy;
pub mod responder;
pub mod workload;

/// The middle one; of an even number the upper of the two in the middle.
///
/// # Panics
/// Without any.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), 3.0);
    }
}
