//! How often policy runs, and that every request ends.

use super::connections::is_roomy;
use super::ledger::{Case, Key, Ledger};
use super::{Violation, invariants};
use crate::phases::{Decision, Snapshot};

invariants! {
    ONCE = "once", "Policy runs at most once per connection, Identifier and authenticator while the request can be remembered.";
    VERIFIED_ONLY = "verified-only", "Policy runs only for what was received and verifies.";
    ONE_FATE = "one-fate", "Each datagram received has exactly one fate or is in progress.";
    ALL_SEEN = "all-seen", "The server counts as received what was handed to it.";
    NOTHING_LEFT = "nothing-left", "When nothing has come for a long time, nothing is in progress or remembered any more.";
    NO_PANIC = "no-panic", "The server never panics.";
    PROGRESS = "progress", "After the faults, each patient client gets an answer within 30 seconds.";
}

/// Policy decided a request that was verified under one of these configurations, which one generation had in turn as tables of
/// secrets changed. `forgotten` tells how many decided requests the server says that it had to forget before
/// their time, its bounds being reached: each of these, and no other, may be decided once more.
///
/// # Errors
/// The law that this breaks.
pub fn decided(
    ledger: &mut Ledger,
    case: &Case<'_>,
    (decision, sites): (&Decision, &[usize]),
    now: u64,
    turn_max: u64,
    forgotten: impl Fn() -> u64,
) -> Result<(), Violation> {
    let excused = ledger.excused;
    let key = (decision.remote, decision.listener, decision.identifier);
    let describe = |what: &str| format!("{}, Identifier {}: {what}", decision.remote, decision.identifier);
    let is_it = |site: &&usize| {
        ledger.record(key, &decision.authenticator, **site).is_some_and(|record| record.is_owed_under(**site))
    };
    let site = sites.iter().rev().find(is_it).or(sites.last()).copied().expect("each generation has one");
    let Some(record) = ledger.record(key, &decision.authenticator, site) else {
        let details = describe("nothing of that authenticator was received under that configuration");
        return Err(Violation { invariant: &VERIFIED_ONLY, at: now, details });
    };
    if !record.is_answerable() {
        let details = describe("it was to be discarded");
        return Err(Violation { invariant: &VERIFIED_ONLY, at: now, details });
    }
    let lifetime = case.plan.limits.dedup_lifetime_ms * 1_000_000;
    let number = record.number();
    if record.decisions >= record.runs {
        let expired = now >= record.decided_at + lifetime.saturating_sub(turn_max);
        let is_excess = !expired && !record.is_ambiguous();
        if is_excess && excused >= forgotten() {
            let details = describe(&format!(
                "authenticator {:02x?}, again after {} ns; decided {} times, {} are allowed",
                &decision.authenticator[..4],
                now - record.decided_at,
                record.decisions + 1,
                record.runs
            ));
            return Err(Violation { invariant: &ONCE, at: now, details });
        }
        record.runs = record.decisions + 1;
        record.decisions += 1;
        record.decided_at = now;
        ledger.excused += u64::from(is_excess);
    } else {
        record.decisions += 1;
        record.decided_at = now;
    }
    let Ledger { slots, everywhere, .. } = ledger;
    let record = slots[&key].records.iter().find(|record| record.number() == number).expect("just seen");
    let is_kept = |(key, number, runs): (Key, u64, u32)| {
        let records = slots.get(&key).map_or(&[][..], |slot| &slot.records);
        let record = records.iter().find(|record| record.number() == number);
        record.is_some_and(|record| !record.was_displaced && record.runs == runs)
    };
    let is_excused = || !is_roomy(case) || excused < forgotten();
    everywhere.decided(case, (key, record, site), (now, turn_max), is_kept, is_excused)
}

/// The sums, while nothing is between two of a thread's phases or at the end.
///
/// # Errors
/// The law that they break.
pub fn sums(snapshot: &Snapshot, handed: u64, now: u64) -> Result<(), Violation> {
    if snapshot.received != handed {
        let details = format!("it counts {}, it was handed {handed}", snapshot.received);
        return Err(Violation { invariant: &ALL_SEEN, at: now, details });
    }
    if snapshot.fates() != snapshot.received {
        let details = format!("{} received, {} fates: {snapshot:?}", snapshot.received, snapshot.fates());
        return Err(Violation { invariant: &ONE_FATE, at: now, details });
    }
    Ok(())
}

/// The gauges, when the world has been idle for long.
///
/// # Errors
/// The law that they break.
pub fn idle(snapshot: &Snapshot, is_over: bool, now: u64) -> Result<(), Violation> {
    if !is_over {
        let details = "a reload, or a record, is left".into();
        return Err(Violation { invariant: &NOTHING_LEFT, at: now, details });
    }
    if snapshot.in_progress != 0 {
        let details = format!("{} still in progress: {snapshot:?}", snapshot.in_progress);
        return Err(Violation { invariant: &NOTHING_LEFT, at: now, details });
    }
    if snapshot.remembered != 0 {
        let details = format!("{} are still remembered: {snapshot:?}", snapshot.remembered);
        return Err(Violation { invariant: &NOTHING_LEFT, at: now, details });
    }
    if snapshot.look_ups != 0 {
        let details = format!("{} look-ups are still under way: {snapshot:?}", snapshot.look_ups);
        return Err(Violation { invariant: &NOTHING_LEFT, at: now, details });
    }
    if snapshot.conversations + snapshot.outstanding != 0 {
        let Snapshot { conversations, outstanding, .. } = snapshot;
        let details = format!("{conversations} conversations are still kept, {outstanding} requests sent on");
        return Err(Violation { invariant: &NOTHING_LEFT, at: now, details });
    }
    if snapshot.held != 0 {
        let details = format!("{} still wait for an effect: {snapshot:?}", snapshot.held);
        return Err(Violation { invariant: &NOTHING_LEFT, at: now, details });
    }
    Ok(())
}
