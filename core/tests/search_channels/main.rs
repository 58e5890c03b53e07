//! Every state that the channels of small threads can come to: the second of their three checkers, between loom
//! (`loom_queue.rs`: every memory order, smallest cases) and the simulator (whole servers, phases as units).
//!
//! **What runs is the source itself.** `queue/mod.rs` here compiles `core/src/queue/{ring,gate,crossing,mailbox,directory}.rs`
//! once more, as modules of this test, over atomics, fences and slots of its own (`queue/sync.rs`) whose content is a modelled memory.
//! So no model can drift from the protocol, and no test has to compare the two. `cfg` and features would have done the
//! same with a build of their own; this way `cargo test` needs no flags, and nothing of it is in the server. Three
//! small files that are compiled for tests only, `ring/snapshot.rs`, `crossing/snapshot.rs` and `crossing/link_snapshot.rs`,
//! copy a thread's own state and tell two of them apart; they name every field, so that a new one does not compile before it is considered. What is
//! *not* the source: the order of the phases, which is the driver's (`thread.rs`, after `core/src/cores.rs` and
//! `runtime-mio/src/turn.rs`), and the bell (`search.rs`).
//!
//! | file | is |
//! |---|---|
//! | `memory.rs` | memory with a store buffer for each thread (TSO), and how real code is stopped at each access |
//! | `thread.rs` | a turn: which phase follows which |
//! | `search.rs` | what can happen next, breadth-first; the shortest trace to a violation |
//! | `laws.rs` | what has to hold in every state |
//! | `scenarios.rs` | who talks to whom, with 2 slots |
//! | `seeded.rs` | bugs: in the sources, in the memory, in the order of the phases |
//!
//! A state is memory, store buffers, bells (rung, and on their way), and for each thread its crossing, its phase and how
//! far it has come in it. Between two states one thread accesses memory once, or a store leaves its buffer, or a bell
//! is rung, comes, or ends a wait; bells come late, together, and, a given number of times, for nothing. What a thread
//! does by itself (stores into its own buffer, the passing of a fence with nothing to wait for) belongs to the step before
//! it. Links come by letters that a supervisor posts, and go when both ends have said their last: the rings of all of them
//! are there from the start, attached or not, since nobody can tell when memory was made. Threads never end: who has nothing to do parks, so that a wake-up that gets lost is a state in which nothing
//! happens any more. Compiler and processor may do more than TSO to a `Relaxed` access; that is loom's, but for one seeded bug.
//!
//! The one bug that no search here can find is a post without its fence: putting a letter in is a read-modify-write, which
//! empties the store buffer. Loom finds it; `scripts/seeded-bugs` prints bug × checker.
//!
//! `cargo test --profile ci -p ulna-core --test search_channels -- --nocapture` prints sizes, and bug × law with the
//! length of the shortest trace and the traces themselves. `--ignored` searches the larger scenarios. The sources' unit
//! tests come along and run here, too, over ordinary memory.
#![cfg(not(loom))]

extern crate alloc;

mod laws;
mod memory;
#[allow(dead_code, unused_qualifications, reason = "the sources serve more than this search")]
mod queue;
mod scenarios;
mod search;
mod seeded;
mod thread;

use laws::Law;
use scenarios::*;
use search::{Scenario, search};
use seeded::Bug;

#[test]
fn the_protocol_as_it_stands() {
    hold_in(ALL);
}

#[test]
#[ignore = "minutes"]
fn the_protocol_as_it_stands_in_large() {
    hold_in(LARGE);
}

#[test]
fn each_seeded_bug_dies_by_its_law() {
    println!("{:42} fate  {:22} {:>5} {:>7}  scenario", "bug", "law", "steps", "states");
    let (mut broken, mut traces) = (Vec::new(), Vec::new());
    for bug in Bug::ALL {
        let (scenario, law) = where_it_dies(*bug);
        seeded::choose(Some(*bug));
        let report = search(&scenario);
        seeded::choose(None);
        let Some(law) = law else {
            assert!(report.violation.is_none(), "{} is not for this memory", bug.name());
            println!("{:42} alive {:22} {:>5} {:7}  {}", bug.name(), "-", "-", report.states, scenario.name);
            continue;
        };
        let Some(violation) = report.violation else {
            panic!("{} lives: {} states of {:?}", bug.name(), report.states, scenario.name)
        };
        println!(
            "{:42} dead  {:22} {:5} {:7}  {}",
            bug.name(),
            format!("{:?}", violation.law),
            violation.trace.len(),
            report.states,
            scenario.name
        );
        let told = format!("{}: {}\n{}", bug.name(), violation.what, violation.trace.join("\n"));
        assert_eq!(violation.law, law, "{told}");
        traces.push(told);
        if !broken.contains(&law) {
            broken.push(law);
        }
    }
    for law in Law::ALL {
        assert!(broken.contains(law), "{law:?} can fail");
    }
    traces.iter().for_each(|trace| println!("\n{trace}"));
}

#[test]
fn a_look_at_one_ring_is_enough_for_one_writer() {
    seeded::choose(Some(Bug::SecondLookAtOneRing));
    let report = search(&ONE_WRITER);
    seeded::choose(None);
    assert!(report.violation.is_none(), "only a second writer shows it");
}

/// Without its fence the writer looks at the gate while its store is still in the buffer.
#[test]
fn a_trace_can_be_followed() {
    seeded::choose(Some(Bug::WritersFenceMissing));
    let report = search(&ONE_WRITER);
    seeded::choose(None);
    let violation = report.violation.expect("it dies");
    let told = violation.trace.join("\n");
    let mut at = 0;
    for expected in [
        "1 writer   Room           loads head of ring 1→0: 0; Publish(1): stores slot of ring 1→0",
        "stores tail of ring 1→0 = 1 in its buffer → CheckGate",
        "1 writer   CheckGate      loads gate of 0: RUN",
        "0 reader   store buffer   its store gate of 0 = PARK reaches memory; Announce: passes a SeqCst fence",
        "0 reader   LookAgain      loads tail of ring 1→0: 0 → Asleep",
        "1 writer   store buffer   its store slot of ring 1→0",
        "its store tail of ring 1→0 = 1 reaches memory",
    ] {
        at += told[at..].find(expected).unwrap_or_else(|| panic!("{expected} is not next in\n{told}"));
    }
}

/// The smallest scenario in which a bug shows, and the law that it breaks first. None where this memory cannot show it:
/// there a read-modify-write, such as that which puts a letter in, is a fence by itself, as on x86.
fn where_it_dies(bug: Bug) -> (Scenario, Option<Law>) {
    let (scenario, law) = match bug {
        Bug::PostWithoutFence => return (NEW_LINK, None),
        Bug::MailboxNotInSecondLook => (NEW_LINK, Law::LetterEndsASleep),
        Bug::RetireWithoutWakingThePeer => (CLOSE, Law::RoomEndsASleep),
        Bug::SecondLookMissing
        | Bug::GateReadBeforePublish
        | Bug::WritersFenceMissing
        | Bug::ReadersFenceMissing
        | Bug::SecondLookBeforeAnnouncement
        | Bug::NotEmptySoDontRing
        | Bug::BellTakenAfterAnnouncement => (ONE_WRITER, Law::UrgentEndsASleep),
        Bug::SecondLookAtOneRing => (TWO_WRITERS, Law::UrgentEndsASleep),
        Bug::LazyPublishWithoutFence => (LAZY_WANTED, Law::AnyEndsASleepWithWant),
        Bug::HalfARingRingsNobody => (LAZY, Law::HalfARingEndsASleep),
        Bug::BlockedRingNotInSecondLook
        | Bug::WantSpaceReadBeforeHead
        | Bug::WantSpaceWrittenAfterSecondLook => (ONE_WRITER, Law::RoomEndsASleep),
        Bug::SpaceCrossingOffByOne => (SLOW_READER, Law::RoomEndsASleep),
        Bug::TailPublishedRelaxed => (ONE_WRITER, Law::OnceAndInOrder),
        Bug::RungWithoutASwap => (TWO_WRITERS, Law::OneRingPerPark),
        Bug::LimitParkedWithPark => (LIMIT, Law::NoDeadlock),
        Bug::SpaceNeverAskedFor => (ONE_WRITER, Law::NoDeadlock),
        Bug::AnnouncedBeforePublish => (ONE_WRITER, Law::Assertions),
    };
    (scenario, Some(law))
}

fn hold_in(scenarios: &[Scenario]) {
    let mut states = 0;
    for scenario in scenarios {
        let report = search(scenario);
        println!(
            "{:44} {:8} states, {:3} steps deep, {:2} ends, {} parks",
            scenario.name, report.states, report.depth, report.ends, report.parks
        );
        if let Some(violation) = report.violation {
            panic!("{:?}: {}\n{}", violation.law, violation.what, violation.trace.join("\n"));
        }
        assert!(report.parks >= 2, "some thread sleeps twice");
        assert!(report.ends > 0, "it comes to rest");
        states += report.states;
    }
    println!("{states} states");
}
