//! Draws how files of tables of secrets change while the server runs, and when their NASes hear of it: lines that go and come
//! back, other secrets, and two while rotating.

use super::reloads::HEAL_MS;
use crate::draw::{Class, Draw, Draws};
use crate::plan::{Plan, Standing};
use crate::site::{Change, Reload, Site};

/// Draws the changes of a plan that has all else, for every other one with client rules.
pub(super) fn add_changes_of_tables(plan: &mut Plan, draws: Draws) {
    let draw = |field: u64| draws.at(Class::Tables, 0, field);
    if plan.topology.client_rules.is_empty() || !draw(0).one_in(2) {
        return;
    }
    let mut times: Vec<u64> =
        (0..draw(1).range(1..=4)).map(|place| draw(10 + place).below(plan.faulty_ms)).collect();
    times.sort_unstable();
    let mut site = Site::first(plan);
    let mut changes_to_come = Vec::new();
    let mut at_next = Vec::new();
    for (place, at_ms) in (0..).zip(times) {
        let draw = draws.at(Class::Tables, 1, place);
        let mut changes = std::mem::take(&mut at_next);
        changes.iter().for_each(|change| site.change(change));
        for place in 0..draw.fork(1).range(1..=3) {
            changes.extend(change(plan, &mut site, &mut at_next, at_ms, draw.fork(2).fork(place), false));
        }
        changes_to_come.push((at_ms, changes));
    }
    if !at_next.is_empty() {
        // Nobody stays away for good.
        at_next.iter().for_each(|change| site.change(change));
        changes_to_come.push((plan.faulty_ms, std::mem::take(&mut at_next)));
    }
    if draw(2).one_in(3) {
        let at_ms = plan.faulty_ms + draw(3).range(HEAL_MS);
        let calm = change(plan, &mut site, &mut at_next, at_ms, draws.at(Class::Tables, 2, 0), true);
        changes_to_come.push((at_ms, calm.into_iter().collect()));
    }
    let changes_to_come = changes_to_come.into_iter().filter(|(_, changes)| !changes.is_empty());
    plan.reloads.extend(changes_to_come.map(|(at_ms, changes)| Reload {
        at_ms,
        changes,
        workers: None,
        tables: true,
    }));
    plan.reloads.sort_by_key(|reload| reload.at_ms);
}

/// One line that changes. `is_calm`: whoever is patient then is owed an answer, so that the line stays.
fn change(
    plan: &mut Plan,
    site: &mut Site,
    at_next: &mut Vec<Change>,
    at_ms: u64,
    draw: Draw,
    is_calm: bool,
) -> Option<Change> {
    let ruled: Vec<usize> = (0..site.clients.len()).filter(|place| site.clients[*place].is_ruled()).collect();
    if ruled.is_empty() {
        return None;
    }
    let which = draw.fork(1).pick(&ruled);
    let client = site.clients[which].clone();
    let name = client.name.clone();
    let others = site.clients.iter().filter(|other| other.rule == client.rule).count();
    let change = if draw.one_in(4) && !is_calm && others > 1 {
        at_next.retain(|change| !matches!(change, Change::Secrets { client, .. } if *client == name));
        at_next.push(Change::Add(which, client));
        Change::Remove(name)
    } else {
        let secret = format!("changed-{:016x}", draw.fork(2).bits());
        let both = draw.fork(3).per_mille(600);
        let secrets = |old_secret: Option<String>| Change::Secrets {
            client: name.clone(),
            secret: secret.clone(),
            old_secret,
        };
        if both {
            at_next.push(secrets(None));
        }
        let has_its_name = |nas: &&mut crate::plan::NasPlan| {
            nas.standing == Standing::Known && nas.nas_identifiers == [name.as_str()]
        };
        for nas in plan.topology.nases.iter_mut().filter(has_its_name) {
            let draw = draw.fork(4);
            let at_ms = match draw.below(4) {
                0 => at_ms.saturating_sub(draw.fork(1).below(3_000)),
                1 => at_ms,
                _ => at_ms + draw.fork(1).below(10_000),
            };
            nas.rotations.retain(|(earlier, _)| *earlier < at_ms);
            nas.rotations.push((at_ms, secret.clone()));
        }
        secrets(both.then(|| client.secret.clone()))
    };
    site.change(&change);
    Some(change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::Profile;

    #[test]
    fn lines_change_go_and_come_back_and_configured_clients_stay_as_they_are() {
        let (mut plans, mut rotated, mut removed, mut both) = (0, 0, 0, 0);
        for seed in 0..200 {
            let plan = Plan::drawn(seed, Profile::Nat);
            assert!(plan.reloads.is_sorted_by_key(|reload| reload.at_ms) && plan.reloads.len() < 64);
            let sites = Site::all(&plan);
            let names = |site: &Site| {
                let ruled = site.clients.iter().filter(|client| client.is_ruled());
                ruled.map(|client| client.name.clone()).collect::<std::collections::BTreeSet<_>>()
            };
            assert_eq!(names(&sites[0]), names(&sites[sites.len() - 1]), "seed {seed}");
            let of_tables: Vec<_> = plan.reloads.iter().filter(|reload| reload.tables).collect();
            plans += usize::from(!of_tables.is_empty());
            for (place, reload) in plan.reloads.iter().enumerate() {
                let configured = |site: &Site| {
                    let configured = site.clients.iter().filter(|client| !client.is_ruled());
                    configured.cloned().collect::<Vec<_>>()
                };
                if reload.tables {
                    assert_eq!(configured(&sites[place]), configured(&sites[place + 1]));
                    assert_eq!(
                        (&sites[place].users, &sites[place].rules),
                        (&sites[place + 1].users, &sites[place + 1].rules)
                    );
                }
                for rule in &plan.topology.client_rules {
                    let of_rule = |client: &&crate::plan::Client| client.rule.as_ref() == Some(&rule.name);
                    assert!(sites[place + 1].clients.iter().any(|client| of_rule(&client)));
                }
            }
            for change in of_tables.iter().flat_map(|reload| &reload.changes) {
                match change {
                    Change::Secrets { old_secret, .. } => {
                        rotated += 1;
                        both += usize::from(old_secret.is_some());
                    }
                    Change::Remove(_) => removed += 1,
                    Change::Add(..) | Change::Password(..) | Change::Reply(..) | Change::Rules(_) => {}
                }
            }
        }
        for count in [plans, rotated, removed, both] {
            assert!(count > 40, "{plans} {rotated} {removed} {both}");
        }
    }
}
