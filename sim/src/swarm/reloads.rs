//! Draws what operators change while the server runs, and when the NASes hear of other secrets: before, with or after it.

use super::Profile;
use super::rules::rules;
use crate::draw::{Class, Draw, Draws};
use crate::oracle::judge::client_of;
use crate::plan::{Client, Plan, Standing};
use crate::site::{Change, Reload, Site};

/// After the faults the NASes begin anew at the 31st second, and are at it for half a minute.
pub(super) const HEAL_MS: std::ops::RangeInclusive<u64> = 32_000..=55_000;

/// Draws the reloads of a plan that has all else, every other plan some.
pub(super) fn add_reloads(plan: &mut Plan, draws: Draws, profile: Profile) {
    let draw = |field: u64| draws.at(Class::Reload, 0, field);
    // Without faults there is nothing that a reload would be in the way of.
    if profile == Profile::Calm || !draw(0).one_in(2) {
        return;
    }
    let count = draw(1).range(1..=4);
    let mut times: Vec<u64> = (0..count).map(|place| draw(10 + place).below(plan.faulty_ms)).collect();
    times.sort_unstable();
    let mut site = Site::first(plan);
    let mut at_next = Vec::new();
    for (place, at_ms) in (0..).zip(times) {
        let draw = draws.at(Class::Reload, 1, place);
        add(plan, &mut site, &mut at_next, at_ms, draw, false);
    }
    if !at_next.is_empty() {
        // Nobody stays away for good.
        let at_ms = plan.faulty_ms.max(plan.reloads.last().map_or(0, |reload| reload.at_ms));
        at_next.iter().for_each(|change| site.change(change));
        plan.reloads.push(Reload { at_ms, changes: at_next.clone(), workers: None, tables: false });
        at_next.clear();
    }
    if draw(2).one_in(3) {
        let at_ms = plan.faulty_ms + draw(3).range(HEAL_MS);
        add(plan, &mut site, &mut at_next, at_ms, draws.at(Class::Reload, 1, 100), true);
    }
}

/// One reload: what was to come back, and up to three things more. `is_calm`: whoever is patient then is owed an answer.
fn add(plan: &mut Plan, site: &mut Site, at_next: &mut Vec<Change>, at_ms: u64, draw: Draw, is_calm: bool) {
    let mut changes = std::mem::take(at_next);
    changes.iter().for_each(|change| site.change(change));
    for place in 0..draw.fork(1).range(1..=3) {
        let draw = draw.fork(2).fork(place);
        let clients = site.clients.len() as u64;
        let which = draw.fork(1).below(clients) as usize;
        // Tables stay as they are.
        let clients = if site.clients.get(which).is_some_and(Client::is_ruled) { 0 } else { clients };
        let user = draw.fork(2).below(site.users.len() as u64) as usize;
        let change = match draw.below(8) {
            0..=3 if clients > 0 => rotate(plan, site, at_next, which, at_ms, draw.fork(3)),
            4 if clients > 0 && !is_calm => {
                let client = site.clients[which].clone();
                let name = client.name.clone();
                at_next.retain(|change| !matches!(change, Change::Secrets { client, .. } if *client == name));
                at_next.push(Change::Add(draw.fork(4).below(clients) as usize, client));
                Change::Remove(name)
            }
            5 => {
                let name = site.users[user].name.clone();
                Change::Password(name, format!("{:016x}", draw.fork(5).bits()))
            }
            6 => {
                let reply = vec![(25, draw.fork(6).octets::<8>().to_vec())];
                Change::Reply(site.users[user].name.clone(), reply)
            }
            _ => Change::Rules(rules(draw.fork(7), site)),
        };
        site.change(&change);
        changes.push(change);
    }
    plan.reloads.push(Reload { at_ms, changes, workers: None, tables: false });
}

/// A client has a new secret, beside the one before it until the next reload, or in its place at once.
fn rotate(
    plan: &mut Plan,
    site: &Site,
    at_next: &mut Vec<Change>,
    which: usize,
    at_ms: u64,
    draw: Draw,
) -> Change {
    let client = &site.clients[which];
    let secret = format!("rotated-{:016x}", draw.fork(1).bits());
    let both = draw.fork(2).per_mille(600);
    let change = |old_secret: Option<String>| Change::Secrets {
        client: client.name.clone(),
        secret: secret.clone(),
        old_secret,
    };
    if both {
        at_next.push(change(None));
    }
    let seen: Vec<_> = (0..plan.topology.nases.len()).map(|nas| plan.topology.seen(nas)).collect();
    for ((place, nas), seen) in (0..).zip(&mut plan.topology.nases).zip(seen) {
        if nas.standing == Standing::Known && client_of(&site.clients, seen) == Some(which) {
            let draw = draw.fork(3).fork(place);
            let at_ms = match draw.below(4) {
                0 => at_ms.saturating_sub(draw.fork(1).below(3_000)),
                1 => at_ms,
                _ => at_ms + draw.fork(1).below(10_000),
            };
            // What it was told last holds.
            nas.rotations.retain(|(earlier, _)| *earlier < at_ms);
            nas.rotations.push((at_ms, secret.clone()));
        }
    }
    change(both.then(|| client.secret.clone()))
}
