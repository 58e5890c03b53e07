//! Draws who connects to the control socket, when, and how each of them reads: fast, in trickles, with a stall, not to the end.

use crate::draw::{Class, Draw, Draws};
use crate::plan::Plan;
use crate::plan::control::{Asks, CommandPlan, ControlPlan, ControlReaderPlan, Goes};

/// The least that the configuration takes, so that much has to wait.
const BUFFER_OCTETS: u32 = 10 * 1024;
/// Taken in a second at least, so that each reader gets to its end in time.
const RATE_MIN: u64 = 10_000;
/// Who takes fewer octets at once asks for little.
const TRICKLE: u64 = 16;

/// Readers while faults strike, and some after them.
pub(super) fn add_control(plan: &mut Plan, draws: Draws) {
    let draw = |field: u64| draws.at(Class::Control, 1, field);
    let (while_faulty, healed) = (draw(0).range(3..=16), draw(1).range(1..=4));
    let workers: Vec<u64> =
        plan.reloads.iter().filter(|reload| reload.workers.is_some()).map(|reload| reload.at_ms).collect();
    let mut readers = Vec::new();
    for place in 0..while_faulty + healed {
        let draw = draws.at(Class::Control, 2, place);
        let mut reader = reader(draw.fork(1));
        if place >= while_faulty {
            reader.connects_ms = plan.faulty_ms + draw.fork(2).range(0..=40_000);
            reader.stalls = None;
        } else if !workers.is_empty() && draw.fork(3).one_in(2) {
            wait_for_workers(&mut reader, draw.fork(4).pick(&workers), plan.faulty_ms, draw.fork(5));
        } else {
            reader.connects_ms = draw.fork(6).below(plan.faulty_ms);
        }
        readers.push(reader);
    }
    readers.sort_by_key(|reader| reader.connects_ms);
    plan.topology.control = Some(ControlPlan {
        buffer_octets: BUFFER_OCTETS,
        mark: draw(2).pick(&[1, 10, 50, 90, 100]),
        patience_s: draw(3).range(2..=20),
        connections_max: draw(4).pick(&[2, 4, 64, 64]),
        facts: draw(5).magnitude(50..=1_200) as u32,
        readers,
    });
}

/// Has this reader stall in the middle of an answer of several workers' as their number changes.
fn wait_for_workers(reader: &mut ControlReaderPlan, at_ms: u64, faulty_ms: u64, draw: Draw) {
    reader.connects_ms = at_ms.saturating_sub(draw.fork(1).range(0..=1_000)).min(faulty_ms);
    reader.commands[0].asks = draw.fork(2).pick(&[Asks::Clients, Asks::Conversations]);
    (reader.kernel_octets, reader.takes_octets, reader.takes_every_us) = (64, 64, 64 * 1_000_000 / RATE_MIN);
    reader.stalls = Some((draw.fork(3).range(1..=64), draw.fork(4).range(1_000..=10_000)));
}

fn reader(draw: Draw) -> ControlReaderPlan {
    let takes_octets = draw.fork(1).magnitude(1..=16_384);
    // What it takes at once was written by then, or as much of it as has room.
    let kernel_octets = draw.fork(8).magnitude(64..=16_384);
    let takes_octets = takes_octets.min(kernel_octets);
    let rate = draw.fork(2).magnitude(RATE_MIN..=2_000_000);
    let asks = |draw: Draw| {
        if takes_octets < TRICKLE {
            return draw.pick(&[Asks::Clients, Asks::Help, Asks::Nonsense]);
        }
        match draw.below(10) {
            0 => Asks::Clients,
            1 => Asks::Connections,
            2 => Asks::Conversations,
            3 => Asks::Help,
            4 => Asks::Nonsense,
            _ => Asks::Statistics,
        }
    };
    let command = |place: u64| {
        let draw = draw.fork(3).fork(place);
        CommandPlan { asks: asks(draw.fork(1)), json: draw.fork(2).one_in(2) }
    };
    ControlReaderPlan {
        connects_ms: 0,
        commands: (0..draw.fork(4).range(1..=3)).map(command).collect(),
        at_once: draw.fork(5).one_in(2),
        sends_octets: draw.fork(6).magnitude(1..=128) as u32,
        sends_every_us: draw.fork(7).magnitude(10..=20_000),
        kernel_octets: kernel_octets as u32,
        takes_octets: takes_octets as u32,
        takes_every_us: (takes_octets * 1_000_000 / rate).max(1),
        stalls: draw
            .fork(9)
            .one_in(3)
            .then(|| (draw.fork(10).magnitude(1..=20_000), draw.fork(11).magnitude(500..=30_000))),
        goes: match draw.fork(12).below(6) {
            0 => Goes::VanishesAfter(draw.fork(13).magnitude(1..=40_000)),
            1 => Goes::VanishesAt(draw.fork(13).magnitude(1..=20_000)),
            2 | 3 => Goes::EndsWhenSent,
            _ => Goes::EndsWhenAnswered,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::Profile;

    #[test]
    fn readers_differ_in_kind_and_each_comes_to_its_end_in_time() {
        let (mut stall, mut vanish, mut trickle, mut late) = (0, 0, 0, 0);
        for seed in 0..100 {
            let plan = Plan::drawn(seed, Profile::Control);
            let control = plan.topology.control.as_ref().expect("each plan of the profile has readers");
            assert!(control.readers.is_sorted_by_key(|reader| reader.connects_ms));
            for reader in &control.readers {
                let octets: u64 = reader
                    .commands
                    .iter()
                    .map(|command| match command.asks {
                        Asks::Statistics => u64::from(control.facts) * 50,
                        Asks::Clients
                        | Asks::Connections
                        | Asks::Conversations
                        | Asks::Help
                        | Asks::Nonsense => {
                            if u64::from(reader.takes_octets) < TRICKLE {
                                2_500
                            } else {
                                20_000
                            }
                        }
                    })
                    .sum();
                let takes_us = octets / u64::from(reader.takes_octets) * reader.takes_every_us;
                assert!(takes_us < 20_000_000, "seed {seed}: {reader:?}");
                stall += usize::from(reader.stalls.is_some());
                vanish += usize::from(matches!(reader.goes, Goes::VanishesAfter(_) | Goes::VanishesAt(_)));
                trickle += usize::from(reader.takes_octets < 64);
                late += usize::from(reader.connects_ms > plan.faulty_ms);
            }
            assert!(Plan::drawn(seed, Profile::Swarm).topology.control.is_none());
        }
        for count in [stall, vanish, trickle, late] {
            assert!(count > 100, "{stall} {vanish} {trickle} {late}");
        }
    }
}
