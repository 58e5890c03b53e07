//! Which configuration a request belongs to, where two are alive: the one in force, and the one before it as long as
//! requests are under way that came under it. docs/reload.md.
//!
//! Numbers in a request's stamp (client, secret, listener) are places in the configuration under which it was verified:
//! looked up in another they would name somebody else, and somebody else's secret would sign the reply.

use crate::configuration::Configuration;
use alloc::sync::Arc;

/// Tells a configuration from the one before and the one after it. No more than two are ever alive, so it may wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Generation(pub u8);

impl Generation {
    /// The one after this.
    #[must_use]
    pub fn next(self) -> Generation {
        Generation(self.0.wrapping_add(1))
    }

    /// 0 or 1, unlike that of the other one alive.
    pub(crate) fn parity(self) -> usize {
        usize::from(self.0 & 1)
    }
}

/// The configurations that are alive in one core.
#[derive(Clone)]
pub struct Generations {
    first: (Generation, Arc<Configuration>),
    second: Option<(Generation, Arc<Configuration>)>,
}

impl Generations {
    /// One, from the start.
    pub fn new(configuration: Arc<Configuration>) -> Self {
        Generations::from(Generation::default(), configuration)
    }

    /// One, in a core that begins when there were others before.
    pub fn from(generation: Generation, configuration: Arc<Configuration>) -> Self {
        Generations { first: (generation, configuration), second: None }
    }

    /// The older of two, or the only one.
    pub fn first(&self) -> (Generation, &Arc<Configuration>) {
        (self.first.0, &self.first.1)
    }

    /// The newer of two.
    pub fn second(&self) -> Option<(Generation, &Arc<Configuration>)> {
        self.second.as_ref().map(|(generation, configuration)| (*generation, configuration))
    }

    /// Takes the next.
    ///
    /// # Panics
    /// If the one before the last is still alive: whoever hands it in has waited for its end.
    pub fn learn(&mut self, generation: Generation, configuration: Arc<Configuration>) {
        assert!(self.second.is_none(), "a third configuration waits until the first is forgotten");
        assert!(generation == self.first.0.next(), "configurations come one after the other");
        self.second = Some((generation, configuration));
    }

    /// The configuration of this generation.
    ///
    /// # Panics
    /// If it is not alive: none is forgotten while a request has it in its stamp.
    #[inline]
    pub fn of(&self, generation: Generation) -> &Arc<Configuration> {
        match &self.second {
            _ if self.first.0 == generation => &self.first.1,
            Some((second, configuration)) if *second == generation => configuration,
            Some(_) | None => panic!("no configuration is forgotten while requests have it"),
        }
    }

    /// Whether this one has been learnt, and not been forgotten.
    pub fn knows(&self, generation: Generation) -> bool {
        self.first.0 == generation || self.second.as_ref().is_some_and(|(second, _)| *second == generation)
    }

    /// The newest that is known, in force or not.
    pub(crate) fn newest(&self) -> (Generation, &Arc<Configuration>) {
        self.second().unwrap_or(self.first())
    }

    /// Forgets the older of two. With one alone nothing happens.
    pub fn forget_older(&mut self) {
        if let Some(second) = self.second.take() {
            self.first = second;
        }
    }
}
