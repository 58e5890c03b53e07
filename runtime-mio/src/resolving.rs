//! The threads that find out which addresses hosts have: the system's resolver, which may block for as long as it likes.
//!
//! Bounded in number and line. One host that nobody answers for holds one of them; the others go on. They are not waited for
//! when the server ends: what the resolver says then nobody hears.

use std::collections::VecDeque;
use std::io;
use std::net::ToSocketAddrs;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use ulna_core::configuration::Configuration;
use ulna_core::effect::{Effect, EffectDone, Resolve, Resolved, Ticket};
use ulna_core::forward::RemoteAddress;

use crate::server::{EndsProcessOnPanic, locked};

/// What is to be resolved.
#[derive(Default)]
pub(crate) struct ResolveLine {
    questions: Mutex<Questions>,
    /// A question came, or the end.
    came: Condvar,
}

#[derive(Default)]
struct Questions {
    waiting: VecDeque<Question>,
    /// How many threads there are.
    threads: usize,
    is_over: bool,
}

struct Question {
    /// Who asks.
    worker: usize,
    ticket: Ticket,
    resolve: Resolve,
}

impl ResolveLine {
    /// Starts the threads that are missing for the names in this configuration. Each gives `answer` what it finds, with the worker that
    /// asked.
    ///
    /// # Errors
    /// When a thread cannot be had. Those that were started stay.
    pub fn start_for<A>(
        self: &Arc<Self>,
        configuration: &Configuration,
        mut answer: impl FnMut() -> A,
    ) -> io::Result<()>
    where
        A: FnMut(usize, Ticket, EffectDone) + Send + 'static,
    {
        let is_named = |address: &RemoteAddress| matches!(address, RemoteAddress::Named { .. });
        let names = configuration.remote_servers.iter().filter(|server| is_named(&server.address)).count();
        let mut questions = locked(&self.questions);
        while questions.threads < names.min(THREADS_MAX) {
            let (line, answer) = (Arc::clone(self), answer());
            thread::Builder::new().name(format!("resolve-{}", questions.threads)).spawn(move || {
                let _end_with_the_process = EndsProcessOnPanic;
                line.run(answer);
            })?;
            questions.threads += 1;
        }
        Ok(())
    }

    /// Puts a question in line. If that is full, or nobody answers, it comes back as its answer.
    pub fn ask(&self, worker: usize, ticket: Ticket, resolve: Resolve) -> Result<(), EffectDone> {
        let mut questions = locked(&self.questions);
        if questions.threads == 0 || questions.waiting.len() == LINE_MAX {
            return Err(EffectDone::Shed(Effect::Resolve(resolve)));
        }
        questions.waiting.push_back(Question { worker, ticket, resolve });
        drop(questions);
        self.came.notify_one();
        Ok(())
    }

    /// Nothing is answered from here on.
    pub fn end(&self) {
        locked(&self.questions).is_over = true;
        self.came.notify_all();
    }

    fn run(&self, mut answer: impl FnMut(usize, Ticket, EffectDone)) {
        while let Some(Question { worker, ticket, resolve }) = self.next() {
            let resolved = resolved(&resolve);
            if locked(&self.questions).is_over {
                return;
            }
            answer(worker, ticket, EffectDone::Resolved(resolved));
        }
    }

    fn next(&self) -> Option<Question> {
        let mut questions = locked(&self.questions);
        loop {
            if questions.is_over {
                return None;
            }
            if let Some(question) = questions.waiting.pop_front() {
                return Some(question);
            }
            questions = self.came.wait(questions).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What the system says, in its order (RFC 6724). Which of them can be used is core's to say.
fn resolved(Resolve { name, .. }: &Resolve) -> Resolved {
    match (&**name, 0).to_socket_addrs() {
        Ok(addresses) => Resolved::Addresses(addresses.map(|address| address.ip()).collect()),
        Err(_) => Resolved::Failed,
    }
}

/// Each name takes one at a time, and there are few.
const THREADS_MAX: usize = 4;
/// Questions that wait: more than any configuration has names, nearly.
const LINE_MAX: usize = 1_024;
