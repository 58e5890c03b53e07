//! Whoever asks a server what it does: connects, sends commands in pieces, takes what comes at a rate of its own, and goes.
//!
//! Has the two ends of its socket's buffers. Whose turn it is, and when, the world says.

use crate::checks::Violation;
use crate::checks::control::{Answers, Befell, CONTROL_ANSWERS_WHOLE, Ended};
use crate::plan::control::{ControlReaderPlan, Goes};
use std::collections::VecDeque;

const MILLISECOND: u64 = 1_000_000;

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not connected yet.
    Before,
    /// It waits to be accepted, or is open.
    Open,
    /// Nothing more comes from the server: all that could be said was said.
    Ended,
    /// Nothing more comes from the server, which has refused it, given it up, or died.
    CutOff,
    /// Its reader is gone.
    Vanished,
    /// Its reader has taken all that came, and is content.
    Over,
}

/// One reader.
#[derive(Debug)]
pub struct ControlReader {
    plan: ControlReaderPlan,
    /// How far it is.
    pub standing: Standing,
    /// What it says and has not sent.
    unsent: VecDeque<u8>,
    /// How many commands it has begun to say.
    said: usize,
    /// What it has sent and the server has not read.
    pub outgoing: Vec<u8>,
    /// Whether it will send nothing more.
    pub has_ended: bool,
    /// What was written to it and it has not taken.
    pub incoming: VecDeque<u8>,
    answers: Answers,
    taken: u64,
    has_stalled: bool,
    is_sending: bool,
    is_taking: bool,
    /// When it had the answer before; or connected, where that may have been long before it took it.
    pub answered_at: u64,
}

/// What a reader does next, after how many nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It sends.
    Send(u64),
    /// It takes.
    Take(u64),
    /// It is gone.
    Vanish(u64),
}

impl ControlReader {
    /// A reader of a server that is told of so many counters.
    pub fn new(plan: &ControlReaderPlan, facts: u32) -> ControlReader {
        ControlReader {
            standing: Standing::Before,
            unsent: VecDeque::new(),
            said: 0,
            outgoing: Vec::new(),
            has_ended: false,
            incoming: VecDeque::new(),
            answers: Answers::new(&plan.commands, facts),
            taken: 0,
            has_stalled: false,
            is_sending: false,
            is_taking: false,
            answered_at: 0,
            plan: plan.clone(),
        }
    }

    /// It connects.
    pub fn connect(&mut self, now: u64) -> Vec<Next> {
        (self.standing, self.answered_at) = (Standing::Open, now);
        let mut next = Vec::new();
        if let Goes::VanishesAt(after_ms) = self.plan.goes {
            next.push(Next::Vanish(after_ms * MILLISECOND));
        }
        next.extend(self.say());
        next
    }

    /// Says what is to be said now.
    fn say(&mut self) -> Option<Next> {
        let until = if self.plan.at_once { self.plan.commands.len() } else { self.answers.answered() + 1 };
        for command in self.plan.commands.get(self.said..until.min(self.plan.commands.len()))? {
            self.unsent.extend(command.line().into_bytes());
            self.said += 1;
        }
        let goes_on = !self.unsent.is_empty() && !std::mem::replace(&mut self.is_sending, true);
        goes_on.then(|| Next::Send(self.plan.sends_every_us * 1_000))
    }

    /// Sends a piece.
    pub fn send(&mut self) -> (usize, Option<Next>) {
        let octets = self.unsent.len().min(self.plan.sends_octets as usize);
        self.outgoing.extend(self.unsent.drain(..octets));
        self.is_sending = !self.unsent.is_empty();
        let is_all = self.unsent.is_empty() && self.said == self.plan.commands.len();
        self.has_ended |= is_all && self.plan.goes == Goes::EndsWhenSent;
        (octets, self.is_sending.then(|| Next::Send(self.plan.sends_every_us * 1_000)))
    }

    /// How many octets can be written to it now.
    pub fn room(&self) -> usize {
        match self.standing {
            Standing::Open => self.plan.kernel_octets as usize - self.incoming.len(),
            Standing::Before | Standing::Ended | Standing::CutOff | Standing::Vanished | Standing::Over => 0,
        }
    }

    /// Something was written to it, or the server has closed.
    pub fn note_readable(&mut self) -> Option<Next> {
        let begins = self.standing != Standing::Vanished && !std::mem::replace(&mut self.is_taking, true);
        begins.then(|| Next::Take(self.plan.takes_every_us * 1_000))
    }

    /// Takes a piece: which, how the answers ended that are in it, and what comes next.
    ///
    /// # Errors
    /// What is wrong with it.
    #[expect(clippy::type_complexity, reason = "three plain results of one step")]
    pub fn take(&mut self, befell: Befell, now: u64) -> Result<(Vec<u8>, Vec<Ended>, Vec<Next>), Violation> {
        self.is_taking = false;
        if matches!(self.standing, Standing::Vanished | Standing::Over) {
            return Ok(Default::default());
        }
        let mut octets = self.incoming.len().min(self.plan.takes_octets as usize);
        if let Goes::VanishesAfter(after) = self.plan.goes {
            octets = octets.min((after - self.taken) as usize);
        }
        let piece: Vec<u8> = self.incoming.drain(..octets).collect();
        self.taken += piece.len() as u64;
        let ended = self.answers.take(&piece, befell, now)?;
        if !ended.is_empty() && !self.plan.at_once {
            self.answered_at = now;
        }
        let mut next = Vec::new();
        if self.plan.goes == Goes::VanishesAfter(self.taken) {
            return Ok((piece, ended, vec![Next::Vanish(0)]));
        }
        if self.answers.are_whole() {
            self.has_ended = true;
        } else if !ended.is_empty() {
            next.extend(self.say());
        }
        let stall = self.plan.stalls.filter(|(after, _)| !self.has_stalled && self.taken >= *after);
        if let Some((_, for_ms)) = stall {
            (self.has_stalled, self.is_taking) = (true, true);
            next.push(Next::Take(for_ms * MILLISECOND));
        } else if !self.incoming.is_empty() {
            next.extend(self.note_readable());
        } else if matches!(self.standing, Standing::Ended | Standing::CutOff) {
            self.finish(now)?;
        }
        Ok((piece, ended, next))
    }

    fn finish(&mut self, now: u64) -> Result<(), Violation> {
        if self.standing == Standing::Ended && !self.answers.are_whole() {
            let details = format!("{} commands were answered of {:?}", self.answers.answered(), self.plan);
            return Err(Violation { invariant: &CONTROL_ANSWERS_WHOLE, at: now, details });
        }
        self.standing = Standing::Over;
        Ok(())
    }

    /// It is refused with this line, which no command's answer is.
    pub fn refuse(&mut self) {
        self.incoming.clear();
        self.standing = Standing::Over;
    }

    /// It is gone. Whether it had not had the whole of an answer that it asked for.
    pub fn vanish(&mut self) -> bool {
        self.standing = Standing::Vanished;
        self.incoming.clear();
        self.answers.answered() < self.said
    }

    /// What it has come to, for whoever finds that it should have come to its end.
    pub fn describe(&self) -> String {
        let ControlReader { plan, standing, taken, .. } = self;
        format!("{standing:?}, {} commands answered, {taken} octets taken: {plan:?}", self.answers.answered())
    }
}
