//! What one thread counts beside its cores: system calls, packets sent, sleeps and bells.

use std::time::Duration;

use ulna_core::counters::Counter;
use ulna_core::queue::QueueCounters;

use crate::mmsg::SendOutcome;
use crate::patience::PatienceCounters;
use crate::system_calls::SystemCalls;

macro_rules! thread_counters {
    ($($(#[doc = $doc:literal])+ $field:ident,)+) => {
        /// Written by its thread, read by any.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct ThreadCounters { $($(#[doc = $doc])+ pub $field: Counter,)+ }

        impl ThreadCounters {
            /// Name and value of each, in the order of declaration.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
                [$((stringify!($field), self.$field.value()),)+].into_iter()
            }

            /// Adds all that another thread has counted, which has ended; of what ends in `_max` the most counts.
            pub(crate) fn add_all(&self, gone: &ThreadCounters) {
                $(
                    let (own, other) = (self.$field.value(), gone.$field.value());
                    let is_most = stringify!($field).ends_with("_max");
                    self.$field.set(if is_most { own.max(other) } else { own + other });
                )+
            }
        }
    };
}

thread_counters! {
    /// System calls that read datagrams.
    receive_calls,
    /// Of these, refused for want of memory or for a reason that is none of the socket's; each is tried again.
    receive_failed,
    /// Streams that could not be accepted: descriptors or memory ran out, or the peer had gone.
    accept_failed,
    /// System calls that sent packets.
    send_calls,
    /// Waits in the kernel, and looks without waiting.
    wait_calls,
    /// Bells rung: system calls that woke another thread.
    ring_calls,
    /// Times that the thread let another one run, as it had shed for want of room at that one.
    yield_calls,
    /// Packets sent.
    packets_sent,
    /// Of these, packets that left as segments of a send that they shared.
    packets_sent_together,
    /// Packets dropped because a socket's send buffer was full.
    send_would_block,
    /// Packets that the kernel refused to send.
    send_failed,
    /// Sleeps.
    parks,
    /// Sleeps that the second look prevented.
    park_cancels,
    /// Bells that this thread had to ring, by the count of its crossing.
    rings_sent,
    /// Bells that brought nothing.
    rings_spurious,
    /// Times that this thread waited for room in a ring.
    full,
    /// Most lazy messages found in one ring after a sleep.
    lazy_backlog_max,
    /// Waits that returned at once, and brought nothing.
    empty_polls,
    /// Times that this thread looked on for a while before it slept.
    lingers,
    /// Of these, those in which something came.
    lingers_found,
    /// Microseconds that it looked on so.
    linger_us,
    /// Wake-ups that were lost: a defect of ulna if it is ever more than 0.
    lost_wakeups,
    /// Sockets opened for single connections.
    connected_opened,
    /// Sockets of single connections closed.
    connected_closed,
    /// Connections that were to have a socket of their own and got none: there are as many as may be, or the kernel has no more.
    connected_refused,
    /// Datagrams read from such a socket that were another connection's.
    connected_elsewhere,
    /// Datagrams that the kernel dropped at such sockets, counted when they are closed.
    connected_drops,
    /// Sockets opened to remote servers.
    remote_opened,
    /// Sockets to remote servers closed.
    remote_closed,
    /// Sockets to remote servers that could not be had.
    remote_refused,
    /// Reports of the network that a remote server cannot be reached. Anyone can forge them: counted, and nothing else.
    remote_unreachable,
    /// Events that found the log's ring full.
    events_lost,
    /// The longest turn, in microseconds, from its begin until its packets were ready to be sent.
    turn_us_max,
}

impl ThreadCounters {
    pub(crate) fn note(&self, calls: &SystemCalls, queue: QueueCounters, patience: PatienceCounters) {
        self.receive_calls.set(calls.receive);
        self.send_calls.set(calls.send);
        self.wait_calls.set(calls.wait);
        self.ring_calls.set(calls.ring);
        self.yield_calls.set(calls.yields);
        self.parks.set(queue.parks);
        self.park_cancels.set(queue.park_cancels);
        self.rings_sent.set(queue.rings_sent);
        self.rings_spurious.set(queue.rings_spurious);
        self.full.set(queue.full);
        self.lazy_backlog_max.set(queue.lazy_backlog_max);
        self.empty_polls.set(patience.empty_polls);
        self.lingers.set(patience.lingers);
        self.lingers_found.set(patience.lingers_found);
        self.linger_us.set(patience.lingered.as_micros() as u64);
        self.lost_wakeups.set(patience.lost_wakeups);
    }

    pub(crate) fn note_turn(&self, took: Duration) {
        let microseconds = took.as_micros() as u64;
        if microseconds > self.turn_us_max.value() {
            self.turn_us_max.set(microseconds);
        }
    }

    pub(crate) fn note_sent(&self, outcome: &SendOutcome) {
        self.packets_sent.add(outcome.sent as u64);
        self.packets_sent_together.add(outcome.sent_together as u64);
        self.send_would_block.add(outcome.dropped_would_block as u64);
        self.send_failed.add(outcome.failed as u64);
    }
}
