//! What the cores of a thread have to say, on its way into the rings or into the line between them.

use super::links::Ways;
use super::tie::Tie;
use super::{Letter, Running};
use crate::path::Peer;
use crate::queue::Crossing;
use crate::queue::message::Message;
use alloc::collections::VecDeque;

/// Asks a core, which is what runs meanwhile. All else here is no core's: what goes wrong there is not mended by another
/// core.
pub(super) fn polling<T>(
    running: &mut Running,
    core: Running,
    mut poll: impl FnMut() -> Option<T>,
) -> impl FnMut() -> Option<T> {
    move || {
        *running = core;
        let polled = poll();
        *running = Running::Queues;
        polled
    }
}

/// All that a core has to say goes into the rings, or into the line to the other core of its thread. Messages to the same
/// core that follow each other are staged together.
pub(super) fn stage_from(
    mut poll: impl FnMut() -> Option<(Peer, Message)>,
    own: Peer,
    mut joined: Option<(Peer, &mut Tie, &mut VecDeque<Message>)>,
    crossing: &mut Crossing<Message, Letter>,
    ways: &Ways,
    ties: &mut [Tie],
) {
    let mut next = poll();
    while let Some((to, message)) = next.take() {
        if let Some((other, tie, line)) = &mut joined
            && *other == to
        {
            tie.staged(&message);
            line.push_back(message);
            next = poll();
            continue;
        }
        let link = ways.find(own, to).expect("every two cores are linked");
        let tie = &mut ties[link.0];
        let mut first = Some(message);
        let run = core::iter::from_fn(|| {
            let message = match first.take().map(|message| (to, message)).or_else(&mut poll) {
                Some((other, message)) if other == to => message,
                end => {
                    next = end;
                    return None;
                }
            };
            tie.staged(&message);
            let urgency = message.urgency();
            Some((message, urgency))
        });
        crossing.stage_each(link, run);
    }
}
