//! Draws rules, and names with realms that they can ask for.

use crate::draw::{Class, Draw, Draws};
use crate::plan::Topology;
use crate::site::{Action, NewRule, ReplyRule, Rules, Site, When};

/// What is behind the names of users, and in conditions, too.
const REALMS: [&str; 2] = ["one.example", "two.example.org"];

/// Every other plan has rules from the start, and users in realms.
pub(super) fn add_rules(topology: &mut Topology, draws: Draws) {
    if !draws.at(Class::Rules, 0, 0).one_in(2) {
        return;
    }
    for (place, user) in (0..).zip(&mut topology.users) {
        let draw = draws.at(Class::Rules, 1, place);
        if draw.one_in(2) {
            user.name = format!("{}@{}", user.name, draw.fork(1).pick(&REALMS));
        }
    }
    let site = Site {
        clients: topology.clients.clone(),
        users: topology.users.clone(),
        rules: Rules::default(),
        answers_accounting: false,
        workers: topology.workers,
    };
    topology.rules = rules(draws.at(Class::Rules, 0, 1), &site);
}

/// Rules for this site.
pub(super) fn rules(draw: Draw, site: &Site) -> Rules {
    let new = (0..draw.fork(1).range(0..=3)).map(|place| {
        let draw = draw.fork(2).fork(place);
        let action = match draw.fork(1).below(8) {
            0 => Action::Accept,
            1 => Action::Reject,
            _ => Action::Users,
        };
        let other = site.users.get(draw.fork(2).below(site.users.len() as u64) as usize);
        NewRule {
            when: when(draw.fork(3), site),
            action,
            user_name: other
                .filter(|_| action == Action::Users && draw.fork(4).one_in(5))
                .map(|user| user.name.clone()),
            set_reply: attributes(draw.fork(5)),
            remove_reply: removed(draw.fork(6)),
        }
    });
    let reply = (0..draw.fork(3).range(0..=2)).map(|place| {
        let draw = draw.fork(4).fork(place);
        ReplyRule {
            when: if draw.fork(1).one_in(3) { When::default() } else { when(draw.fork(2), site) },
            accept: !draw.fork(3).one_in(3),
            set_reply: attributes(draw.fork(4)),
            remove_reply: removed(draw.fork(5)),
        }
    });
    Rules { new: new.collect(), reply: reply.collect() }
}

/// One condition at least: a rule that always matched would let none follow it.
fn when(draw: Draw, site: &Site) -> When {
    let mut when = When::default();
    let first = draw.below(4);
    let has = |which: u64| which == first || draw.fork(which).one_in(5);
    if has(0) {
        // Letter case does not count.
        when.realm = Some(draw.fork(10).pick(&[REALMS[0], REALMS[1], "One.Example"]).into());
    }
    if has(1) || site.clients.is_empty() {
        when.nas_port =
            (0..64).filter(|port| draw.fork(11).fork(*port).one_in(3)).map(|port| port as u32).collect();
        when.nas_port.push(0);
    }
    // Those of a table are not known to the configuration.
    let clients: Vec<_> = site.clients.iter().filter(|client| !client.is_ruled()).collect();
    if has(2) && !clients.is_empty() {
        let place = draw.fork(12).below(clients.len() as u64) as usize;
        when.client = Some(clients[place].name.clone());
    }
    if has(3) {
        let from = draw.fork(13).below(1_440);
        // The world begins at midnight, and lasts minutes: half of the spans begin or end in it.
        let from = if draw.fork(14).one_in(2) { from % 2 } else { from } as u32;
        when.minutes = Some((from, (from + draw.fork(15).range(1..=1_000) as u32) % 1_440));
    }
    when
}

/// Of Reply-Message, Class and Session-Timeout some.
fn attributes(draw: Draw) -> Vec<(u8, Vec<u8>)> {
    let mut attributes = Vec::new();
    if draw.fork(1).one_in(2) {
        attributes.push((18, format!("message {}", draw.fork(2).below(1_000)).into_bytes()));
    }
    if draw.fork(3).one_in(3) {
        attributes.push((25, draw.fork(4).octets::<16>().to_vec()));
    }
    if draw.fork(5).one_in(4) {
        attributes.push((27, (draw.fork(6).below(1 << 20) as u32).to_be_bytes().to_vec()));
    }
    attributes
}

fn removed(draw: Draw) -> Vec<u8> {
    [25, 27].into_iter().filter(|kind| draw.fork(u64::from(*kind)).one_in(4)).collect()
}
