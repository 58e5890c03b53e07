//! Many seeds on several threads of the operating system. What each seed gives does not depend on how many.

use crate::checks::Violation;
use crate::fault::FaultClass;
use crate::goals::Goals;
use crate::plan::Plan;
use crate::run::{Builder, Outcome, check_determinism, failure_file, run};
use crate::swarm::Profile;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

/// What to run.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// Which seeds; taken in order, until the end or until told to stop.
    pub seeds: Range<u64>,
    /// How plans are drawn.
    pub profile: Profile,
    /// Threads of the operating system.
    pub threads: usize,
    /// Where failure files go.
    pub failures: PathBuf,
}

/// A seed that broke a law or was not deterministic.
#[derive(Debug)]
pub enum Failure {
    /// A law was broken; its failure file, or why none could be written.
    Law {
        /// The seed.
        seed: u64,
        /// What was broken.
        violation: Violation,
        /// Its file.
        file: Result<PathBuf, String>,
    },
    /// Two runs of the same plan differ; where.
    NotDeterministic {
        /// The seed.
        seed: u64,
        /// The first differing event.
        difference: String,
    },
}

/// Sums over all seeds so far.
#[derive(Debug, Clone)]
pub struct Totals {
    /// Seeds that were run.
    pub seeds: u64,
    /// Seeds that failed.
    pub failures: u64,
    /// Seeds that were run again, and gave the same.
    pub repeated: u64,
    /// Events.
    pub events: u64,
    /// Transactions.
    pub transactions: u64,
    /// Replies that the server sent.
    pub replies: u64,
    /// Virtual nanoseconds.
    pub simulated: u64,
    /// How often each fault class struck, by its number.
    pub counts: [u64; FaultClass::COUNT],
    /// How often each goal was reached.
    pub goals: Goals,
}

/// Every so many seeds one is run twice more, to see that it gives the same.
const REPEAT_ONE_IN: u64 = 25;

impl Campaign {
    /// Runs the seeds. `watch` is called after each of them, with the sums so far and its failure if it has one,
    /// and answers whether to go on.
    pub fn run(&self, build: Builder, mut watch: impl FnMut(&Totals, Option<&Failure>) -> bool) -> Totals {
        let next = AtomicU64::new(self.seeds.start);
        let stop = AtomicBool::new(false);
        let (sender, results) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                let (sender, next, stop) = (sender.clone(), &next, &stop);
                scope.spawn(move || {
                    loop {
                        // Relaxed: a counter and a wish, neither guards other memory.
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= self.seeds.end || stop.load(Ordering::Relaxed) {
                            break;
                        }
                        if sender.send(self.try_seed(seed, build)).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            let mut totals = Totals::default();
            for (outcome, repeated, failure) in results {
                totals.add(&outcome, repeated, failure.is_some());
                if !watch(&totals, failure.as_ref()) {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            totals
        })
    }

    fn try_seed(&self, seed: u64, build: Builder) -> (Outcome, bool, Option<Failure>) {
        let plan = Plan::drawn(seed, self.profile);
        let outcome = run(&plan, None, build, 0);
        if let Some(violation) = outcome.violation.clone() {
            let file = write_failure(&self.failures, &plan, &outcome);
            return (outcome, false, Some(Failure::Law { seed, violation, file }));
        }
        if !seed.is_multiple_of(REPEAT_ONE_IN) {
            return (outcome, false, None);
        }
        let failure = match check_determinism(&plan, None, build) {
            Ok(digest) if digest == outcome.digest => None,
            Ok(digest) => Some(format!("{digest} instead of {}", outcome.digest)),
            Err(difference) => Some(difference),
        };
        let failure = failure.map(|difference| Failure::NotDeterministic { seed, difference });
        (outcome, failure.is_none(), failure)
    }
}

impl Default for Totals {
    /// Of no seeds.
    fn default() -> Self {
        Totals {
            seeds: 0,
            failures: 0,
            repeated: 0,
            events: 0,
            transactions: 0,
            replies: 0,
            simulated: 0,
            counts: [0; FaultClass::COUNT],
            goals: Goals::default(),
        }
    }
}

impl Totals {
    fn add(&mut self, outcome: &Outcome, repeated: bool, failed: bool) {
        self.seeds += 1;
        self.failures += u64::from(failed);
        self.repeated += u64::from(repeated);
        self.events += outcome.events;
        self.transactions += outcome.transactions;
        self.replies += outcome.replies;
        self.simulated += outcome.simulated;
        self.goals.add(&outcome.goals);
        for (sum, count) in self.counts.iter_mut().zip(outcome.counts) {
            *sum += count;
        }
    }
}

/// Writes the failure file of a run into `directory`.
///
/// # Errors
/// Why it could not be written, in words.
pub fn write_failure(directory: &Path, plan: &Plan, outcome: &Outcome) -> Result<PathBuf, String> {
    let file = failure_file(plan, outcome).ok_or("the run broke no law")?;
    let name = format!("{}-{}.json", file.invariant, plan.seed);
    let path = directory.join(name);
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(&path, file.to_json()))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phases::Node;
    use crate::plan::FailureFile;
    use crate::stand_in::{Flaw, StandIn, build};

    fn campaign(threads: usize) -> Campaign {
        let failures = std::env::temp_dir().join(format!("ulna-sim-test-{}", std::process::id()));
        Campaign { seeds: 0..27, profile: Profile::Swarm, threads, failures }
    }

    #[test]
    fn sums_do_not_depend_on_the_number_of_threads() {
        let one = campaign(1).run(build, |_, failure| failure.is_none());
        let two = campaign(2).run(build, |_, failure| failure.is_none());
        assert_eq!((one.seeds, one.repeated, one.failures), (27, 2, 0));
        assert_eq!(
            (one.events, one.transactions, one.simulated, one.counts, one.goals),
            (two.events, two.transactions, two.simulated, two.counts, two.goals)
        );
    }

    #[test]
    fn a_failure_leaves_a_file_that_replays_to_the_same_breach() {
        fn flawed(plan: &Plan) -> Box<dyn Node> {
            Box::new(StandIn::new(plan, Some(Flaw::Unsigned)))
        }
        let campaign = campaign(1);
        let mut found = None;
        let totals = campaign.run(flawed, |_, failure| {
            if let Some(Failure::Law { violation, file: Ok(file), .. }) = failure {
                found.get_or_insert((violation.clone(), file.clone()));
            }
            failure.is_none()
        });
        assert!(totals.failures >= 1 && totals.seeds < 27, "it stops soon after the first");
        let (violation, path) = found.expect("an unsigned reply breaks a law");
        let text = std::fs::read_to_string(&path).expect("it was written");
        std::fs::remove_dir_all(&campaign.failures).expect("it was made");
        let file = FailureFile::from_json(&text).expect("it is a failure file");
        let again = run(&file.plan, Some(&file.faults), flawed, 0);
        assert_eq!((again.violation, again.digest.to_string()), (Some(violation), file.digest));
    }
}
