//! The death of a core, of this one or of a network core.

use super::{Origin, Worker};
use crate::client::Strangers;
use crate::configuration::Configuration;
use crate::cores::Bereavement;
use crate::counters::WorkerCounters;
use crate::generation::{Generation, Generations};
use crate::life::Life;
use crate::path::{Peer, WorkerId};
use crate::policy::{Policy, PolicyFactory};
use crate::seed::Seed;
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;

impl Worker {
    /// A worker that comes to a server that runs, under its only configuration, when slots are owned as of this epoch. It
    /// counts on where the one that had its number left, if there was one.
    pub fn hired(
        id: WorkerId,
        (generation, configuration): (Generation, &Arc<Configuration>),
        policy: Box<dyn Policy + Send>,
        seed: &Seed,
        epoch: u32,
        former: Option<(Life, Arc<WorkerCounters>)>,
    ) -> Worker {
        let (life, counters) =
            former.map_or_else(Default::default, |(life, counters)| (life.next(), counters));
        let node_key = seed.clone();
        let seed = seed.fork(&format!("worker {} in life {}", id.0, life.0));
        let generations = Generations::from(generation, Arc::clone(configuration));
        let strangers = Strangers::new(life, (generation, configuration), &seed, &counters);
        Worker::begin(Origin { life, id, generations, epoch, counters, node_key }, policy, strangers, &seed)
    }

    /// A policy for the core that takes the place of this one, of the configurations that this one knows. May panic, as it is
    /// not ours; then nothing has changed.
    pub fn policy_of_successor(&self, policies: &PolicyFactory) -> Box<dyn Policy + Send> {
        let (generation, configuration) = self.generations.first();
        let mut policy = policies(self.id, generation, configuration);
        if let Some((generation, configuration)) = self.generations.second() {
            policy.handle_configuration(generation, configuration);
        }
        policy
    }

    /// The core that takes the place of this one, which has panicked, with a policy of its own. It knows the configurations
    /// and counts on, and hands out what this one had noted. What this one had taken up is lost; answers to what it asked for
    /// find nobody. Its tables go before those of the successor come.
    pub fn into_successor(mut self, policy: Box<dyn Policy + Send>, seed: &Seed) -> Worker {
        let life = self.life().next();
        let node_key = seed.clone();
        let seed = seed.fork(&format!("worker {} in life {}", self.id.0, life.0));
        let counters = Arc::clone(&self.counters);
        let gauges = [
            &counters.requests_held,
            &counters.reply_buffers_lent,
            &counters.completions_waiting,
            &counters.outstanding,
            &counters.conversations,
            &counters.spool_under_way,
            &counters.tasks,
        ];
        for gauge in gauges {
            gauge.set(0);
        }
        let (id, generations, time) = (self.id, self.generations.clone(), self.time);
        let (epochs, events) = (core::mem::take(&mut self.epochs), core::mem::take(&mut self.events));
        let legacy = self.strangers.legacy();
        drop(self);
        let strangers = Strangers::of_legacy(life, legacy, &seed, &counters);
        let worker = Worker::begin(
            Origin { life, id, generations, epoch: 0, counters, node_key },
            policy,
            strangers,
            &seed,
        );
        let mut worker = Worker { epochs, events, time, ..worker };
        // It began with the older of two configurations; requests that came under the newer go on, too.
        if let Some((generation, configuration)) = worker.generations.second() {
            let configuration = Arc::clone(configuration);
            worker.forwarding.learn(generation, &configuration);
            worker.learn_trees(&configuration);
        }
        worker
    }

    /// Which of the cores that had this place it is.
    pub fn life(&self) -> Life {
        self.reply_buffers.life()
    }

    /// A network core has panicked and been replaced. Replies of ours that it had are lost; its requests are answered all the
    /// same, for their clients wait.
    pub fn handle_died(&mut self, peer: Peer, bereavement: &Bereavement) {
        if let Peer::Network(network) = peer {
            self.tasks.handle_died(network);
            self.send_of_tasks();
        }
        self.reply_buffers.write_off(bereavement.own.iter().sum::<u64>() as usize);
        self.counters.reply_buffers_lent.set(self.reply_buffers.lent() as u64);
        self.counters.reply_buffers_made.set(self.reply_buffers.made() as u64);
    }
}
