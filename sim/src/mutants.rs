//! Seeded bugs: each must be noticed by some law, or the laws are too few.

use crate::crash;
use crate::plan::Plan;
use crate::run::{Builder, run};
use crate::spool_crash;
use crate::swarm::Profile;
use std::time::Duration;
use ulna_core::seeded::{self, Bug};

/// What became of one seeded bug.
#[derive(Debug, Clone)]
pub struct Fate {
    /// The bug.
    pub bug: Bug,
    /// The law that noticed it, and the seed.
    pub killed: Option<(&'static str, u64)>,
    /// How long that took, or how long it was tried.
    pub took: Duration,
}

/// Profiles in turn: channels die sooner where threads are crossed and rings are tiny.
const PROFILES: [Profile; 2] = [Profile::Swarm, Profile::Threads];

/// Bugs of clients of rules, which only the profile nat has.
const OF_CLIENTS: [Bug; 15] = [
    Bug::ClientByAddressBehindNat,
    Bug::PortReuseKeepsTheOldClient,
    Bug::SiblingsEndTogether,
    Bug::ForgedPacketDeniesItsKey,
    Bug::HeldDecidedByTheFirst,
    Bug::UnsignedPacketAdmits,
    Bug::ReplayedPacketAdmits,
    Bug::ForgedPacketKeepsAlive,
    Bug::KnownConnectionDecidesAgain,
    Bug::LookUpsUnbounded,
    Bug::LookUpForEachPacket,
    Bug::LookUpNeverTimesOut,
    Bug::ChangedLineEndsItsTable,
    Bug::AddressClientByConnection,
    Bug::RetiredClientStays,
];

/// Bugs of forwarding, which only plans with remote servers have.
const OF_FORWARDING: [Bug; 28] = [
    Bug::HiddenPassedOnAsItIs,
    Bug::ProxyStatesNotPassedOn,
    Bug::OwnProxyStateFirst,
    Bug::OwnProxyStateReturned,
    Bug::ChapChallengeLeftBehind,
    Bug::IdentifierWithoutQuarantine,
    Bug::StateFoundByStateAlone,
    Bug::UnsignedReplyBelieved,
    Bug::DeadServersConversationMoved,
    Bug::ServerChosenPerPacket,
    Bug::UnverifiedPacketRevives,
    Bug::DeadServerGetsNewRequests,
    Bug::HealedServerStaysDead,
    Bug::RealmSilenceKillsServer,
    Bug::DuplicateInProgressNotForwarded,
    Bug::ForwardedAnewOnRetransmit,
    Bug::SuspectedServersRequestDecidedAnew,
    Bug::DuplicateForwardedTwice,
    Bug::ReplyMatchedByIdentifierOnly,
    Bug::StateNotReturned,
    Bug::RecordAnsweredBeforeItsHome,
    Bug::RecordGoesOnUnstored,
    Bug::RecordWithoutAWayAcknowledged,
    Bug::ConversationOfAnotherClient,
    Bug::StateTreeWithoutRealm,
    Bug::ConversationNeverEnds,
    Bug::AnsweredElsewhereDecidedAgain,
    Bug::WaitingElsewhereDecidedAgain,
];

/// Bugs of the spool, which has a small world of its own.
const OF_SPOOL: [Bug; 4] = [
    Bug::SpoolFileRemovedEarly,
    Bug::SpooledForgottenWhenSent,
    Bug::SpooledNeverSentAgain,
    Bug::DelayNotRaised,
];

/// Bugs of control connections, which only plans with readers have.
const OF_CONTROL: [Bug; 8] = [
    Bug::MarkToldNever,
    Bug::MarkToldAgain,
    Bug::TaskOutlivesItsReader,
    Bug::OctetLostAtShortWrite,
    Bug::RoomNotRespected,
    Bug::PatienceFromTheFirstOctet,
    Bug::ControlPlaceKept,
    Bug::ShedErrandForgotten,
];

/// Bugs that few seeds notice, and one that does: it is tried first, and all others if it no longer does.
const FOUND_LATE: [(Bug, u64); 5] = [
    (Bug::ShedRequestRemembered, 337),
    (Bug::WorkerChangeWithoutEpoch, 402),
    (Bug::RecordWithoutAWayAcknowledged, 14),
    (Bug::ConversationOfAnotherClient, 21),
    (Bug::AnsweredElsewhereDecidedAgain, 73),
];

/// Runs plans with this bug until a law is broken, at most for `limit`. `None` where bugs are not compiled in.
pub fn hunt(bug: Bug, build: Builder, limit: Duration) -> Option<Fate> {
    if !seeded::COMPILED_IN {
        return None;
    }
    #[expect(clippy::disallowed_methods, reason = "how long a hunt may last is no matter of virtual time")]
    let began = std::time::Instant::now();
    let mut seed = 0;
    let mut killed = None;
    let of_records = [Bug::AnsweredBeforeSync, Bug::TornLineNotRepaired, Bug::StoredThoughSyncFailed];
    let records = of_records.contains(&bug).then(crash::configuration);
    let of_spool = OF_SPOOL.contains(&bug).then(spool_crash::configuration);
    if let Some(configuration) = records.as_ref().or(of_spool.as_ref()) {
        while killed.is_none() && began.elapsed() < limit {
            let broken = match of_spool {
                Some(_) => spool_crash::run(seed, configuration, Some(bug)).err(),
                None => crash::run(seed, configuration, Some(bug)).err(),
            };
            killed = broken.map(|violation| (violation.invariant.name, seed));
            seed += 1;
        }
        return Some(Fate { bug, killed, took: began.elapsed() });
    }
    let known = FOUND_LATE.iter().filter(|(late, _)| *late == bug).map(|(_, seed)| *seed);
    for seed in known.chain(0..) {
        let profile = if OF_CLIENTS.contains(&bug) {
            Profile::Nat
        } else if OF_FORWARDING.contains(&bug) {
            Profile::Proxy
        } else if OF_CONTROL.contains(&bug) {
            Profile::Control
        } else if bug == Bug::LoopNotSeen {
            // Only there anything comes back.
            Profile::Chain
        } else {
            PROFILES[(seed % 2) as usize]
        };
        let mut plan = Plan::drawn(seed, profile);
        plan.bug = Some(bug.name().into());
        killed = run(&plan, None, build, 0).violation.map(|violation| (violation.invariant.name, seed));
        if killed.is_some() || began.elapsed() >= limit {
            break;
        }
    }
    Some(Fate { bug, killed, took: began.elapsed() })
}
