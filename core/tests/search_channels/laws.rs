//! What has to hold in every state.

use crate::memory;
use crate::queue::gate::Announcement;
use crate::search::{Scenario, State};
use crate::thread::{Broken, Phase, is_urgent};

/// A law of the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// Nobody sleeps with an urgent message in a ring, no bell on its way and nobody before its gate.
    UrgentEndsASleep,
    /// Nobody who announced WANT sleeps so with any message.
    AnyEndsASleepWithWant,
    /// Nobody sleeps so behind more than half a ring.
    HalfARingEndsASleep,
    /// Nobody sleeps so with the room that it asked for.
    RoomEndsASleep,
    /// Nobody sleeps so with a letter unread.
    LetterEndsASleep,
    /// Bells are rung at most once per park.
    OneRingPerPark,
    /// Messages come once, in order, as they were sent.
    OnceAndInOrder,
    /// Where nothing happens any more, all is sent, nothing urgent unread, and all are asleep.
    NoDeadlock,
    /// The sources' own assertions hold.
    Assertions,
}

impl Law {
    /// Every law.
    pub const ALL: &'static [Law] = &[
        Law::UrgentEndsASleep,
        Law::AnyEndsASleepWithWant,
        Law::HalfARingEndsASleep,
        Law::RoomEndsASleep,
        Law::LetterEndsASleep,
        Law::OneRingPerPark,
        Law::OnceAndInOrder,
        Law::NoDeadlock,
        Law::Assertions,
    ];
}

/// Which law is broken in this state, and by whom.
pub fn broken(scenario: &Scenario, state: &State) -> Option<(Law, String)> {
    (0..state.threads.len()).find_map(|at| {
        let (thread, bell) = (&state.threads[at], state.bells[at]);
        if thread.phase != Phase::Asleep || bell.rung || bell.on_its_way {
            return None;
        }
        let has_link_with = |other: usize| {
            let joins = |(one, two): &(u16, u16)| {
                [(at, other), (other, at)].contains(&(usize::from(*one), usize::from(*two)))
            };
            scenario.links.iter().chain(scenario.later).any(joins)
        };
        let is_posted_to_by =
            |other: usize| scenario.roles[other].posts.iter().any(|(to, _)| usize::from(*to) == at);
        let somebody_will_ring = (0..state.threads.len()).any(|other| {
            (has_link_with(other) || is_posted_to_by(other)) && state.threads[other].is_before_gate()
        });
        if somebody_will_ring {
            return None;
        }
        let mut unread = vec![(0, 0); thread.crossing.links()];
        let (has_room, has_letter) = memory::look(&state.memory, || {
            thread.crossing.for_each_unread(|link, message| {
                unread[link.0].0 += 1;
                unread[link.0].1 += usize::from(is_urgent(*message));
            });
            (thread.crossing.is_space_there(), thread.crossing.is_letter_unread())
        });
        let wants = thread.announced == Announcement::Want;
        let law = if unread.iter().any(|(_, urgent)| *urgent > 0) {
            Law::UrgentEndsASleep
        } else if wants && unread.iter().any(|(all, _)| *all > 0) {
            Law::AnyEndsASleepWithWant
        } else if unread.iter().any(|(all, _)| *all > scenario.slots / 2) {
            Law::HalfARingEndsASleep
        } else if has_letter {
            Law::LetterEndsASleep
        } else if has_room {
            Law::RoomEndsASleep
        } else {
            return None;
        };
        Some((law, format!("{} sleeps, and nobody will wake it", scenario.roles[at].name)))
    })
}

/// The same where nothing can happen any more but by chance.
pub fn broken_at_the_end(scenario: &Scenario, state: &State) -> Option<(Law, String)> {
    if scenario.roles.iter().any(|role| role.closes) {
        // All that was said before a last message, and it, and nothing after it.
        let said: usize =
            state.threads.iter().zip(scenario.roles).map(|(thread, role)| thread.said(role)).sum();
        let heard: usize =
            state.threads.iter().flat_map(|thread| &thread.received).map(|count| usize::from(*count)).sum();
        if said != heard {
            return Some((Law::OnceAndInOrder, format!("{said} messages were sent, {heard} came")));
        }
    }
    state.threads.iter().zip(scenario.roles).find_map(|(thread, role)| {
        if thread.phase != Phase::Asleep {
            return Some((Law::NoDeadlock, format!("{} is stuck in {:?}", role.name, thread.phase)));
        }
        let mut urgent = 0;
        memory::look(&state.memory, || {
            thread.crossing.for_each_unread(|_, message| urgent += usize::from(is_urgent(*message)));
        });
        let is_left = !thread.is_done(role) || urgent > 0;
        is_left.then(|| (Law::NoDeadlock, format!("{} sleeps for ever, and is not done", role.name)))
    })
}

/// The same for what one thread's step showed.
pub fn of_one(broken: Broken) -> (Law, String) {
    match broken {
        Broken::Assertion(text) => (Law::Assertions, text),
        Broken::Message(text) => (Law::OnceAndInOrder, text),
    }
}
