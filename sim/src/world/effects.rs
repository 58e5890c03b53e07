//! What the world does with what the server's threads ask for: passwords checked against their digests, each in a time of
//! its own, so that answers overtake each other. They lie in an inbox until their thread's next sweep, and its bell rings.

use super::{Event, World};
use crate::checks::Violation;
use crate::checks::ledger::Case;
use crate::fault::effect::{Course, course};
use crate::operator::digest_of;
use crate::trace::Kind;
use ulna_core::Instant;
use ulna_core::control::Errand;
use ulna_core::effect::{Effect, EffectDone, Resolved, Ticket};

/// What one thread has asked for.
#[derive(Default)]
pub(super) struct Asked {
    /// How many effects: the ordinal of their draws.
    count: u64,
    /// Answers that it has not taken.
    inbox: Vec<(Ticket, EffectDone)>,
}

impl Asked {
    /// Nobody is there to take answers: the process has ended, or the thread.
    pub fn forget_answers(&mut self) {
        self.inbox.clear();
    }
}

impl World<'_> {
    /// Takes what a thread asks for.
    pub(super) fn take_effects(&mut self, place: usize, now: Instant) -> Result<(), Violation> {
        while let Some((ticket, effect)) = self.thread(place).poll_effect() {
            let asked = &mut self.asked[place];
            asked.count += 1;
            if let Effect::LookUp(look_up) = &effect {
                let case = Case { plan: self.plan, sites: &self.sites, clock: &self.clock };
                let turn = now.as_nanoseconds();
                self.look_ups.begun(&case, place, (ticket, look_up), turn, self.now)?;
            }
            let asked = &self.asked[place];
            let course = course(place as u64, asked.count, self.now, &mut self.faults);
            let words = [u64::from(ticket.place), if let Course::Done(after) = course { after } else { 0 }];
            self.trace.add(self.now, place as u32, Kind::Asks, words, &[]);
            match course {
                Course::Done(_) if matches!(effect, Effect::Store(_)) => {
                    // How long it takes is the disk's.
                    let Effect::Store(batch) = effect else { unreachable!("it was just seen") };
                    self.records.store.take((place, ticket), batch);
                    self.store()?;
                }
                Course::Shed | Course::Lost if matches!(effect, Effect::Errand(_)) => {
                    // Who goes on errands answers each: nobody waits for ever.
                    self.control.note_errand_shed(self.now);
                    self.thread(place).handle_effect_done(ticket, EffectDone::Shed(effect), now);
                }
                Course::Shed => {
                    self.look_ups.ended(place, ticket);
                    self.thread(place).handle_effect_done(ticket, EffectDone::Shed(effect), now);
                }
                Course::Lost => {}
                Course::Done(after) => {
                    let (life, done) = (self.life, Box::new(self.done(effect)));
                    let event = Event::EffectDone { life, thread: place, ticket, done };
                    self.add_event(self.now + after, place, event);
                }
            }
        }
        Ok(())
    }

    /// An effect is done: its answer comes into the inbox, and the bell of the thread is rung.
    pub(super) fn effect_done(
        &mut self,
        place: usize,
        ticket: Ticket,
        done: EffectDone,
    ) -> Result<(), Violation> {
        if !self.threads[place].is_here() {
            // Of a worker that has gone, whose requests had all ended before.
            return Ok(());
        }
        self.asked[place].inbox.push((ticket, done));
        self.hear_bell(place, false)
    }

    /// Hands a thread the answers in its inbox.
    pub(super) fn hand_answers_in(&mut self, place: usize, now: Instant) {
        for (ticket, done) in std::mem::take(&mut self.asked[place].inbox) {
            let words = [u64::from(ticket.place), u64::from(ticket.generation)];
            if let EffectDone::LookedUp(_) = done {
                self.look_ups.ended(place, ticket);
            }
            self.trace.add(self.now, place as u32, Kind::IsAnswered, words, &[]);
            self.thread(place).handle_effect_done(ticket, done, now);
        }
    }

    /// What a hash thread would say, with a digest that is quicker made than Argon2; and a table of secrets.
    fn done(&self, effect: Effect) -> EffectDone {
        match effect {
            Effect::CheckPassword { hash, mut password } => {
                let matches = digest_of(password.octets())[..] == *hash.digest;
                password.wipe();
                EffectDone::PasswordChecked { password, matches }
            }
            Effect::LookUp(look_up) => EffectDone::LookedUp(self.node.look_up(&look_up)),
            Effect::Errand(Errand::Rows(_)) => EffectDone::ErrandDone(self.control.counted()),
            // No plan has a spool, or a reader who changes anything.
            Effect::Errand(Errand::Reload | Errand::Shutdown)
            | Effect::Store(_)
            | Effect::Spool(_)
            | Effect::Relay(_) => EffectDone::Shed(effect),
            // No plan has a remote server that is known by name.
            Effect::Resolve(_) => EffectDone::Resolved(Resolved::Failed),
        }
    }

    /// How many effects were asked for.
    pub fn effects(&self) -> u64 {
        self.asked.iter().map(|asked| asked.count).sum()
    }
}
