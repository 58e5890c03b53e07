//! What a thread looks like from inside, for the simulator's judges. Decides nothing, and nothing decides by it.

use super::Cores;
use crate::conversation::slot::Slots;
use crate::network::Network;
use crate::packet::Code;
use crate::queue::Urgency;
use crate::queue::message::Message;
use crate::request::Request;
use crate::time::Instant;
use crate::worker::Worker;

/// What a thread looks like from inside, at the boundary of two phases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The next deadline, found by looking at what is due.
    pub earliest_deadline: Option<Instant>,
    /// A message or a letter for which the thread must be woken is visible to it, or room that it waits for has come.
    pub must_not_sleep: bool,
    /// Packet buffers that this thread's cores have made.
    pub buffers_made: usize,
    /// Of these, how many lie in their free lists.
    pub buffers_free: usize,
    /// Buffers of any owner in messages that this thread has not read.
    pub buffers_in_rings: usize,
    /// Buffers of any owner that this thread holds.
    pub buffers_owned: usize,
    /// Of the buffers that died with a core, or whose owner died, those that this thread's cores have learnt of: lost ones that
    /// are no longer counted as made, less those that were freed because nobody counts them.
    pub buffers_settled: isize,
    /// Most octets that wait for one reader of a control connection.
    pub control_waiting: usize,
}

impl Cores {
    /// What is inside, for the simulator's judges.
    pub fn inspect(&self) -> Inspection {
        let of_network = self.network.as_ref().and_then(Network::earliest_deadline);
        let of_worker = self.worker.as_ref().and_then(Worker::earliest_deadline);
        let earliest_deadline = of_network.into_iter().chain(of_worker).min();
        let mut inspection = Inspection {
            earliest_deadline,
            must_not_sleep: self.crossing.is_space_there() || self.crossing.is_letter_unread(),
            ..Inspection::default()
        };
        self.crossing.for_each_unread(|_, message| {
            inspection.buffers_in_rings += message.buffers();
            inspection.must_not_sleep |= message.urgency() == Urgency::Urgent;
        });
        self.crossing.for_each_staged(|message| inspection.buffers_owned += message.buffers());
        for message in self.between.to_worker.iter().chain(&self.between.to_network) {
            inspection.buffers_owned += message.buffers();
        }
        if let Some(network) = &self.network {
            inspection.buffers_made += network.buffers().made();
            inspection.buffers_free += network.buffers().free();
            inspection.buffers_owned += network.buffers_owned();
            inspection.buffers_settled += network.buffers().settled();
            inspection.control_waiting = network.control_waiting();
        }
        if let Some(worker) = &self.worker {
            inspection.buffers_made += worker.buffers().made();
            inspection.buffers_free += worker.buffers().free();
            inspection.buffers_owned += worker.buffers_owned();
            inspection.buffers_settled += worker.buffers().settled();
        }
        inspection
    }

    /// How many requests this thread's worker has, read or not, of slots that are another's by these owners, but for those
    /// that were sent to it since then as their State might be known here: none is left once
    /// [`has_settled`](Cores::has_settled). For the simulator's judges.
    pub fn requests_of_others(&self, slots: &Slots) -> usize {
        let Some(worker) = &self.worker else { return 0 };
        let is_of_another = |request: &Request| {
            let (framed, stamp) = (request.framed(), request.stamp());
            framed.code() == Some(Code::AccessRequest)
                && !stamp.may_be_elsewhere
                && slots.owners().owner(slots.slot(&framed, &worker.client(request).name)) != worker.id()
        };
        let mut found = worker.requests_held().filter(|request| is_of_another(request)).count();
        self.crossing.for_each_unread(|_, message| {
            if let Message::Request(request) = message {
                found += usize::from(is_of_another(request));
            }
        });
        found
    }
}
