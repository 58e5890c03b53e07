//! What an operator reads: how often each thing happened in one core.
//!
//! A counter has one writer, the thread that runs the core, and any number of readers; it costs that writer a plain
//! load and store. Every packet and every request ends in exactly one of them:
//!
//! - per packet: `received` = `strays_sent` + `status_answered` + `duplicates_resent` + `duplicates_in_progress`
//!   + discards of packets + `strangers` + `accepted`, where an owner counts a stray that it takes as received;
//! - per request: `accepted` = `answered` + `superseded` + discards of requests + `orphaned` + in progress.
//!
//! Of a network core that panics, also the packets about which it had not decided are counted as `orphaned`.

use crate::discard::Discard;
use core::sync::atomic::{AtomicU64, Ordering};

/// Counts up; gauges also count down.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the thread that owns the core may call this.
    pub fn add(&self, n: u64) {
        // Relaxed, and no read-modify-write: one writer, and readers need no order with anything else.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Adds one.
    pub fn up(&self) {
        self.add(1);
    }

    /// Takes one off a gauge.
    pub fn down(&self) {
        let value = self.0.load(Ordering::Relaxed);
        assert!(value > 0, "a gauge never goes below zero");
        self.0.store(value - 1, Ordering::Relaxed);
    }

    /// Notes a new reading of something that is counted elsewhere.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value now.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($(#[doc = $outer:literal])* $name:ident { $($(#[doc = $doc:literal])+ $field:ident,)+ }) => {
        $(#[doc = $outer])*
        #[derive(Debug)]
        #[repr(align(128))]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: Counter,)+
            /// Discards by reason: of packets in a network core, of requests that it had accepted, too.
            pub discarded: [Counter; Discard::COUNT],
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: Counter::default(),)+ discarded: core::array::from_fn(|_| Counter::default()) }
            }
        }

        impl $name {
            /// Name and value of each counter but the discards, in the order of declaration.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
                [$((stringify!($field), self.$field.value()),)+].into_iter()
            }
        }
    };
}

counters! {
    /// Counters of one [`Network`](crate::network::Network).
    NetworkCounters {
        /// Datagrams read, and strays taken from other network threads.
        received,
        /// Datagrams passed on to the network thread that owns their connection.
        strays_sent,
        /// Of the received, strays that another network thread had read.
        strays_taken,
        /// Status-Server requests answered.
        status_answered,
        /// Duplicates answered with the reply that was kept.
        duplicates_resent,
        /// Duplicates of requests that a worker still has.
        duplicates_in_progress,
        /// Requests given to a worker.
        accepted,
        /// Requests without Message-Authenticator among them (RFC 2865 Access-Requests that nothing protects).
        accepted_unsigned,
        /// Packets of nobody's, or that failed under their connection's client, that a worker was asked about.
        strangers_asked,
        /// Gauge: of these, those that a worker has.
        strangers,
        /// Connections that came to be a dynamic client's, or another's.
        connections_admitted,
        /// Of these, connections that another client had before.
        connections_taken_over,
        /// Gauge: connections of dynamic clients.
        connections,
        /// Reports of the network that what was sent to a client with a socket of its own did not arrive.
        unreachable,
        /// Streams accepted.
        streams_accepted,
        /// Gauge: streams that are open.
        streams,
        /// Times that a packet of a stream was held back, as there was no room for it.
        streams_blocked,
        /// Times that a packet of a stream was held back, as it, or its client, sends faster than it may.
        streams_paced,
        /// Gauge: octets of memory for replies that wait to be read.
        streams_octets,
        /// Streams not accepted: nobody's address.
        streams_refused_unknown,
        /// Streams not accepted: their listener has as many as it may.
        streams_refused_full,
        /// Streams not accepted: their source address has as many as it may.
        streams_refused_address_full,
        /// Streams that their peer ended.
        streams_ended_by_peer,
        /// Streams that were broken off.
        streams_broken,
        /// Streams ended for a packet (RFC 6613 §2.6.4), which is discarded by name.
        streams_ended_for_packet,
        /// Streams ended as they were silent.
        streams_ended_idle,
        /// Streams ended as a packet did not come to its end.
        streams_ended_slow_sender,
        /// Streams ended as replies were not read.
        streams_ended_slow_reader,
        /// Streams ended, or not accepted, as the server ends.
        streams_ended_draining,
        /// Streams ended as this core's predecessor had them, or as the worker died that was asked whose they are.
        streams_orphaned,
        /// Control connections accepted.
        control_accepted,
        /// Control connections refused: there are as many as may be.
        control_refused,
        /// Gauge: control connections that are open.
        control_connections,
        /// Commands that came by them.
        control_commands,
        /// Octets written to them.
        control_octets,
        /// Times that a task was told that what it had written is read as far as it wanted.
        control_marks,
        /// Control connections that their peer broke off.
        control_broken,
        /// Control connections ended as nothing was read for too long.
        control_timed_out,
        /// Requests verified under the old one of two secrets.
        verified_by_old_secret,
        /// Clients that were told of because they still have the old one.
        clients_by_old_secret,
        /// Requests passed on to another worker, as the first did not know their State.
        sent_elsewhere,
        /// Requests that got their reply.
        answered,
        /// Requests that a newer one with the same Identifier displaced.
        superseded,
        /// Requests whose worker, or this core's predecessor, panicked before they had any other end.
        orphaned,
        /// Gauge: requests that a worker has.
        in_progress,
        /// Gauge: rejects that wait for their time, each in a buffer.
        delayed_rejects,
        /// Gauge: live entries of the dedup table.
        dedup_entries,
        /// Kept replies given up before their lifetime for want of room.
        replies_evicted,
        /// Replies that found no room in the reply store: to unsigned requests, for which no signed one goes.
        replies_not_kept,
        /// Packet buffers made, of either class.
        buffers_made,
        /// Gauge: packet buffers that are in use.
        buffers_lent,
        /// How often this core panicked and was replaced.
        deaths,
        /// Notices of duplicates or superseded requests that found their ring full.
        notices_dropped,
        /// Events that found this core's line to the log full.
        events_lost,
    }
}

counters! {
    /// Counters of one [`Worker`](crate::worker::Worker).
    WorkerCounters {
        /// Requests taken up.
        requests,
        /// Decisions made: policy ran to its end.
        decisions,
        /// Access-Accepts made.
        accepts,
        /// Access-Rejects made.
        rejects,
        /// Access-Challenges made.
        challenges,
        /// Accounting-Requests acknowledged: their records are safe.
        records,
        /// Of these, those that were safe in the spool.
        spooled,
        /// Gauge: records of the spool that are under way to their remote servers.
        spool_under_way,
        /// Times that a record of the spool was sent.
        spool_sent,
        /// Records of the spool that a remote server has answered.
        spool_answered,
        /// Times that one was sent often, was not answered, and others of its pool got their turn.
        spool_put_back,
        /// Times that a record of the spool had to wait: its pool is unknown, or none of its remote servers lives or has room.
        spool_waits,
        /// CoA-ACKs and Disconnect-ACKs passed on.
        acks,
        /// CoA-NAKs and Disconnect-NAKs made.
        naks,
        /// Of these, those in which we say that a request has no way, or may not pass.
        naks_own,
        /// Wrong passwords, and wrong one-time codes, of users that there are.
        failures,
        /// Of the Access-Rejects, those of users who had failed too often for their password to be looked at.
        rejects_unchecked,
        /// Of the Access-Rejects, those of users with a one-time code whose password is right, by requests that leave no way to ask
        /// for a code: with CHAP, MS-CHAP or EAP.
        codes_not_asked,
        /// Of the wrong codes, those that were right once, and taken.
        codes_taken_before,
        /// Requests forwarded to a remote server or NAS, each time that it was another one counted again.
        forwarded,
        /// Forwarded requests sent again, as their NAS has.
        forwarded_again,
        /// Replies of remote servers that verified and were waited for.
        remote_replies,
        /// Packets from remote servers that nobody waited for: late, or sent twice.
        remote_replies_late,
        /// Packets from remote servers that are none, or do not verify.
        remote_replies_bad,
        /// Requests that were to be forwarded, and no pool is known where to: rejected.
        no_route,
        /// Requests of whose pool no remote server lives: rejected.
        no_server_alive,
        /// Requests that had been here before: refused.
        loops,
        /// Remote servers asked by Status-Server.
        probes,
        /// Of these, those that were answered.
        probes_answered,
        /// Times that it was asked which address a remote server's name stands for.
        resolutions,
        /// Of these, those without an answer that could be used.
        resolutions_failed,
        /// Times that it was another address than before, or one at last.
        remote_addresses_changed,
        /// Gauge: requests that wait for a remote server.
        outstanding,
        /// Gauge: live conversations.
        conversations,
        /// Conversations kept from their first challenge on.
        conversations_begun,
        /// Conversations given up for others before their time.
        conversations_forgotten,
        /// Conversations that were silent for too long.
        conversations_expired,
        /// Requests whose State was that of several conversations, and were given none.
        states_ambiguous,
        /// Rounds of conversations that went on.
        ongoing,
        /// Requests that had been answered by another connection, and were again, octet for octet.
        repeated,
        /// Requests whose State was not known.
        states_unknown,
        /// Effects asked for.
        effects,
        /// Effects whose answer came when nobody waited for it any more.
        effects_late,
        /// Gauge: requests that wait for an effect.
        requests_held,
        /// Look-ups asked for.
        look_ups,
        /// Of these, those that found a client.
        look_ups_found,
        /// Strangers' packets that failed under the secret of their key.
        strangers_unverified,
        /// Strangers' packets that their clients had sent before from elsewhere, or somebody had recorded.
        strangers_seen_before,
        /// Strangers' packets whose clients were admitted.
        admitted,
        /// Notices about requests that had been finished before.
        late_notices,
        /// Changes of workers that have waited long enough for conversations that this core's policy keeps.
        conversations_cut,
        /// How often this core panicked and was replaced.
        deaths,
        /// Gauge: parts of commands of control connections.
        tasks,
        /// Times that one went on as its output was read as far as it wanted.
        tasks_woken,
        /// Buffers made for replies that did not fit into their request's buffer.
        reply_buffers_made,
        /// Gauge: of these, how many are with a network thread.
        reply_buffers_lent,
        /// Gauge: completions that wait for room in their ring.
        completions_waiting,
        /// Events that found this core's line to the log full.
        events_lost,
    }
}

impl NetworkCounters {
    /// All that was received and is accounted for: with one fate each, or in progress.
    pub fn fates(&self) -> u64 {
        let fates = [
            &self.strays_sent,
            &self.status_answered,
            &self.duplicates_resent,
            &self.duplicates_in_progress,
            &self.answered,
            &self.superseded,
            &self.orphaned,
            &self.in_progress,
            &self.strangers,
            &self.delayed_rejects,
        ];
        fates.into_iter().chain(&self.discarded).map(Counter::value).sum()
    }

    /// Counts one discard.
    pub fn discard(&self, reason: Discard) {
        self.discarded[reason as usize].up();
    }
}

impl WorkerCounters {
    /// Counts one discard.
    pub fn discard(&self, reason: Discard) {
        self.discarded[reason as usize].up();
    }
}
