//! The death of a core, of this one or of a peer: what was with the dead is orphaned, and its retransmission starts anew.

use super::{LAZY_SWEEP, Network, Origin};
use crate::cores::{Bereavement, Outstanding};
use crate::life::Life;
use crate::path::Peer;
use crate::queue::message::{Message, STRANGERS};
use crate::seed::Seed;
use crate::time::Instant;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Network {
    /// The core that takes the place of this one, which has panicked. It knows the configurations, counts on, and has room for
    /// as much less as is still with others; whatever this one had not given a fate is orphaned, and what it remembered is
    /// forgotten. Connections are computed, so that they stay.
    ///
    /// Its tables go before those of the successor come: there are never both. Neither is walked over, nor touched where it
    /// was not in use; what is freed piece by piece is buffers and pages of kept replies.
    pub fn into_successor(
        mut self,
        seed: &Seed,
        outstanding: &dyn Fn(Peer) -> Outstanding,
        now: Instant,
    ) -> Network {
        let life = self.life().next();
        let seed = seed.fork(&format!("network {} in life {}", self.id.0, life.0));
        let workers: Vec<_> = self.lanes.iter().map(|(worker, _)| worker).collect();
        let evicted = self.dedup.evicted() + self.dedup.answered() as u64;
        // Strays that had not left this thread go with it: nobody will take them.
        let is_stray = |message: &Message| matches!(message, Message::Stray(_) | Message::Retransmission(_));
        let unsent = self.outgoing.iter().filter(|(_, message)| is_stray(message)).count();
        let events = core::mem::take(&mut self.events);
        let origin = Origin {
            life,
            id: self.id,
            generations: self.generations.clone(),
            generation: self.generation,
            // All threads compute owners by the same secrets.
            owners: self.owners.clone(),
            slots: self.slots.clone(),
            own_worker: self.own_worker,
            counters: Arc::clone(&self.counters),
        };
        // Retransmissions of what is under way start anew.
        self.dedup.for_each_with_worker(|told_by| self.forget_sighting(told_by));
        drop(self);
        let mut network = Network::begin(origin, &workers, &seed, outstanding);
        network.dedup.count_evicted(evicted);
        network.events = events;
        network.lazy_sweep = Some(now + LAZY_SWEEP);
        let counters = &network.counters;
        counters.strays_sent.set(counters.strays_sent.value() - unsent as u64);
        counters.in_progress.set(0);
        counters.strangers.set(0);
        counters.connections.set(0);
        // The driver closes them: the successor knows none.
        counters.streams_orphaned.add(counters.streams.value());
        counters.streams.set(0);
        counters.control_connections.set(0);
        counters.streams_octets.set(0);
        counters.delayed_rejects.set(0);
        counters.dedup_entries.set(0);
        let missing = counters.received.value() - counters.fates();
        counters.orphaned.add(missing);
        network.note();
        network
    }

    /// Which of the cores that had this place it is.
    pub fn life(&self) -> Life {
        self.buffers.life()
    }

    /// A peer has panicked and been replaced. It had some of ours, which nobody else has.
    pub fn handle_died(&mut self, peer: Peer, bereavement: &Bereavement, now: Instant) {
        let Bereavement { taken, lost, own } = *bereavement;
        let all = lost.iter().sum::<u64>();
        let [.., own_strangers] = own;
        let own_requests = own.iter().sum::<u64>() - own_strangers;
        self.buffers.write_off((own_requests + own_strangers) as usize);
        match peer {
            Peer::Network(network) => self.strays_out[usize::from(network.0)] -= all as usize,
            Peer::Worker(worker) => {
                self.lanes[worker].end_strangers(lost[STRANGERS]);
                self.lanes[worker].lose(all - lost[STRANGERS]);
                self.under_way.iter_mut().zip(lost).for_each(|(sum, lost)| *sum -= lost as usize);
                let mut by_stream = Vec::new();
                let sightings = &self.configuration.client_rules.sightings;
                let orphaned = self.dedup.forget_lost(worker, taken, |told_by, stream| {
                    // Its retransmission starts anew.
                    if let Some(sightings) = sightings {
                        sightings.forget(told_by);
                    }
                    by_stream.extend(stream);
                });
                self.counters.orphaned.add(orphaned);
                // The others have been superseded while the worker had them.
                self.counters.superseded.add(own_requests - orphaned);
                self.counters.in_progress.set(self.counters.in_progress.value() - own_requests);
                self.counters.orphaned.add(own_strangers);
                self.counters.strangers.set(self.counters.strangers.value() - own_strangers);
                self.lose_on_streams(&by_stream, now);
                if own_strangers > 0 {
                    self.end_asking_streams(now);
                }
                self.lose_tasks(worker, now);
            }
        }
        self.note();
    }
}
