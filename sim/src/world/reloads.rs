//! What the world does when an operator asks for a new configuration: the steps of docs/reload.md, and where it asks for
//! another number of workers those of that change, each ordered of all threads by their bells, and taken by each at the end of
//! a turn of its own.

use super::{Event, SECOND, World};
use crate::actor::owed::Configured;
use crate::checks::Violation;
use crate::checks::ledger::Case;
use crate::draw::Class;
use crate::plan::Plan;
use crate::site::Site;
use crate::trace::Kind;
use std::collections::VecDeque;

/// How far the reload under way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
enum Step {
    Know = 1,
    PutInForce = 2,
    /// Taken once nothing of the thread needs the older configuration.
    Outlive = 3,
    Forget = 4,
    /// The first of a change of workers: slots change hands.
    TakeOwners = 6,
    /// Taken once nothing of the thread is left from before.
    Settle = 7,
    /// What slots remember is void; who leaves is dismissed.
    Dismiss = 8,
    /// Taken by who leaves once it has gone, with which its thread ends.
    Part = 9,
    /// Lines of tables of secrets are others.
    TakeTables = 10,
}

/// What became of a thread at the end of its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Followed {
    GoesOn,
    Ends,
}

/// Which configuration is where.
pub(super) struct Reloads {
    /// The sites of each generation since the server began: of one configuration, while tables of secrets change.
    generations: Vec<Vec<usize>>,
    /// The site in force, by thread.
    in_force: Vec<usize>,
    /// Those that were asked for while another was under way, and whether each is one of tables only. Of several
    /// configurations in a row one does for all.
    asked: VecDeque<(usize, bool)>,
    step: Option<Step>,
    /// Threads that have taken the step.
    taken: Vec<bool>,
    /// Steps so far: the ordinal of their bells' draws.
    steps: u64,
}

/// A NAS waits so long for an answer at most (RFC 5080 §2.2.1), and a step takes a moment.
const PATIENCE: u64 = 32 * SECOND;

impl Reloads {
    /// A server that begins with this site.
    pub fn new(threads: usize, site: usize) -> Self {
        Reloads {
            generations: vec![vec![site]],
            in_force: vec![site; threads],
            asked: VecDeque::new(),
            step: None,
            taken: vec![false; threads],
            steps: 0,
        }
    }

    /// The site in force in a thread.
    pub fn in_force(&self, thread: usize) -> usize {
        self.in_force[thread]
    }

    /// The sites of a generation.
    pub fn sites(&self, generation: u8) -> &[usize] {
        &self.generations[usize::from(generation)]
    }

    /// The site that may be in force, too, for clients whose tables are just changing.
    pub fn may_be_in_force(&self) -> Option<usize> {
        (self.step == Some(Step::TakeTables)).then(|| self.newest_known())
    }

    /// The newest that was asked for: what a process reads that begins now.
    pub fn newest(&self) -> usize {
        self.asked.back().map_or(self.newest_known(), |(site, _)| *site)
    }

    /// Whether none is under way, and nothing of an older configuration is left.
    pub fn are_over(&self) -> bool {
        self.step.is_none()
    }

    /// The site of the newest configuration that threads know.
    pub fn newest_known(&self) -> usize {
        let sites = &self.generations[self.generations.len() - 1];
        sites[sites.len() - 1]
    }

    /// A new thread knows the newest configuration and no other.
    pub fn begin_thread(&mut self, thread: usize) {
        self.in_force[thread] = self.newest_known();
    }

    /// What NASes have to do with at this virtual nanosecond.
    pub fn configured<'s>(&self, plan: &Plan, sites: &'s [Site], now: u64) -> Configured<'s> {
        let asked = plan.reloads.iter().take_while(|reload| reload.at_ms * 1_000_000 <= now + PATIENCE);
        let oldest = self.in_force.iter().copied().min().unwrap_or(0);
        let newest = self.in_force.iter().copied().max().unwrap_or(0);
        Configured { sites, ahead: oldest..asked.count().max(newest) + 1, newest }
    }
}

impl World<'_> {
    /// An operator asks for the configuration of this number.
    pub(super) fn ask_for_reload(&mut self, site: usize) {
        let is_of_tables = self.plan.reloads[site - 1].tables;
        let asked = &mut self.reloads.asked;
        if !is_of_tables && asked.back().is_some_and(|(_, is_of_tables)| !is_of_tables) {
            asked.pop_back();
        }
        asked.push_back((site, is_of_tables));
        if self.reloads.step.is_none() {
            self.begin_reload();
        }
    }

    fn begin_reload(&mut self) {
        let Some((site, is_of_tables)) = self.reloads.asked.pop_front() else { return };
        let changes = if is_of_tables { self.node.put_tables(&self.sites[site]) } else { None };
        if let Some(is_any) = changes {
            self.reloads.generations.last_mut().expect("there is one").push(site);
            if !is_any {
                self.reloads.in_force.fill(site);
                return self.begin_reload();
            }
            let case = Case { plan: self.plan, sites: &self.sites, clock: &self.clock };
            for network in 0..self.plan.topology.networks() {
                self.ledger.came_into_force(&case, network, site, self.now);
            }
            return self.order(Step::TakeTables);
        }
        self.reloads.generations.push(vec![site]);
        let generation = u8::try_from(self.reloads.generations.len() - 1).expect("plans have a few reloads");
        self.node.prepare(&self.sites[site], generation);
        self.order(Step::Know);
    }

    /// All threads are to take a step; each is woken for it.
    fn order(&mut self, step: Step) {
        self.reloads.step = Some(step);
        self.reloads.taken.fill(false);
        self.reloads.steps += 1;
        for thread in 0..self.first_threads {
            if !self.threads[thread].is_here() {
                self.reloads.taken[thread] = true;
                self.reloads.begin_thread(thread);
                continue;
            }
            let draw = self.draws.at(Class::ReloadBell, thread as u64, self.life << 32 | self.reloads.steps);
            let event = Event::Bell { thread, real: false };
            self.schedule.add(self.now + draw.magnitude(500..=5_000_000), thread, event);
        }
    }

    /// A thread at the end of its turn takes the step that is ordered, if it has not.
    pub(super) fn follow(&mut self, place: usize) -> Result<Followed, Violation> {
        let step = self.reloads.step.filter(|_| !self.reloads.taken[place]);
        let Some(step) = step else { return Ok(Followed::GoesOn) };
        let now = self.instant(place);
        let thread = self.node.thread(place);
        let newest = self.reloads.newest_known();
        match step {
            Step::Know => thread.know_newest(),
            Step::PutInForce => {
                thread.put_in_force();
                self.reloads.in_force[place] = newest;
                let case = Case { plan: self.plan, sites: &self.sites, clock: &self.clock };
                self.ledger.came_into_force(&case, place, newest, self.now);
            }
            // The answers that it waits for come with turns of their own.
            Step::Outlive if thread.needs_older() => return Ok(Followed::GoesOn),
            Step::Outlive => {}
            Step::Forget => thread.forget_older(),
            Step::TakeOwners | Step::Dismiss => thread.take_orders(now),
            Step::Settle if !thread.has_settled() => return Ok(Followed::GoesOn),
            Step::Settle => {}
            Step::TakeTables => thread.take_tables(),
            Step::Part if thread.is_leaving() && !thread.is_gone() => return Ok(Followed::GoesOn),
            Step::Part => {}
        }
        let ends = step == Step::Part && thread.is_leaving();
        let kind = match step {
            Step::Settle => Kind::Settles,
            Step::Part if ends => Kind::Leaves,
            Step::Know
            | Step::PutInForce
            | Step::Outlive
            | Step::Forget
            | Step::TakeOwners
            | Step::Dismiss
            | Step::TakeTables
            | Step::Part => Kind::Reloads,
        };
        self.trace.add(self.now, place as u32, kind, [step as u64, newest as u64], &[]);
        self.reloads.taken[place] = true;
        if ends {
            self.end_thread(place);
        }
        if self.reloads.taken.iter().all(|taken| *taken) {
            self.go_on(step)?;
        }
        Ok(if ends { Followed::Ends } else { Followed::GoesOn })
    }

    /// All threads have taken a step.
    fn go_on(&mut self, step: Step) -> Result<(), Violation> {
        match step {
            Step::Know => self.order(Step::PutInForce),
            Step::PutInForce => self.order(Step::Outlive),
            Step::Outlive => self.order(Step::Forget),
            // A single configuration is alive: only now may workers come that know no other.
            Step::Forget if self.hire()? => self.order(Step::TakeOwners),
            Step::Forget | Step::Part => {
                self.reloads.step = None;
                self.begin_reload();
            }
            Step::TakeOwners => self.order(Step::Settle),
            Step::Settle => {
                self.settle()?;
                self.order(Step::Dismiss);
            }
            Step::Dismiss => self.order(Step::Part),
            Step::TakeTables => {
                let site = self.reloads.newest_known();
                self.reloads.in_force.fill(site);
                self.reloads.step = None;
                self.begin_reload();
            }
        }
        Ok(())
    }
}
