//! Draws when another number of workers is asked for, and which requests carry a State meanwhile: those may be elsewhere.

use super::Profile;
use super::reloads::HEAL_MS;
use crate::draw::{Class, Draw, Draws};
use crate::plan::Plan;
use crate::site::Reload;

/// Most workers that are asked for.
const WORKERS_MAX: u64 = 6;

/// Draws the changes of workers of a plan that has its reloads, for every other plan of split threads: as part of a reload, or
/// as one that changes nothing else; some several in a row, while the one before is under way; some after the faults.
pub(super) fn add_changes_of_workers(plan: &mut Plan, draws: Draws, profile: Profile) {
    let draw = |field: u64| draws.at(Class::Workers, 0, field);
    let is_admitted = match profile {
        Profile::Swarm
        | Profile::Threads
        | Profile::Everything
        | Profile::Nat
        | Profile::Proxy
        | Profile::Chain
        | Profile::Control => true,
        Profile::Calm | Profile::Link => false,
    };
    if !is_admitted || plan.topology.network_threads == 0 || !draw(0).one_in(2) {
        return;
    }
    for (place, reload) in (0..).zip(&mut plan.reloads) {
        let draw = draws.at(Class::Workers, 1, place);
        reload.workers = draw.one_in(3).then(|| workers(draw.fork(1)));
    }
    for place in 0..draw(1).range(1..=4) {
        let draw = draws.at(Class::Workers, 2, place);
        add_some(plan, draw.fork(1).below(plan.faulty_ms), draw.fork(2));
    }
    if draw(2).one_in(2) {
        add_some(plan, plan.faulty_ms + draw(3).range(HEAL_MS), draw(4));
    }
    plan.reloads.sort_by_key(|reload| reload.at_ms);
    for (place, nas) in (0..).zip(&mut plan.topology.nases) {
        nas.state_per_mille = draws.at(Class::Workers, 3, place).pick(&[0, 300, 1_000]);
    }
}

/// One change, or once in three a few, up to three seconds apart.
fn add_some(plan: &mut Plan, mut at_ms: u64, draw: Draw) {
    let more = if draw.fork(1).one_in(3) { draw.fork(2).range(1..=3) } else { 0 };
    for place in 0..=more {
        let draw = draw.fork(3).fork(place);
        plan.reloads.push(Reload { at_ms, changes: Vec::new(), workers: Some(workers(draw)), tables: false });
        at_ms += draw.fork(1).magnitude(1..=3_000) - 1;
    }
}

fn workers(draw: Draw) -> u16 {
    draw.range(1..=WORKERS_MAX) as u16
}
