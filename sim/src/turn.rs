//! A virtual thread: which phase comes next, whether it sleeps, what its bell says. Holds no core and no queue.

/// The next thing that a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Leave the kernel, after a sleep or a mere look at the sockets: with the bell and the sockets that it reports.
    Return,
    /// Swap the gate back.
    Unpark,
    /// Begin a turn: take `now`.
    Begin,
    /// Take messages.
    Sweep,
    /// Read datagrams.
    Read,
    /// Do what is due.
    Timeouts,
    /// Send datagrams.
    Transmit,
    /// Write messages into slots.
    Stage,
    /// Publish them.
    Publish,
    /// Look at one gate.
    Gate,
    /// Announce a park.
    Announce,
    /// Look once more.
    LookAgain,
    /// Enter the kernel.
    Park,
    /// Wait there.
    Asleep,
    /// Nothing: there is no such thread now.
    Away,
}

/// Why a thread left the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// Its bell.
    Bell = 1,
    /// A datagram.
    Datagram = 2,
    /// Its deadline.
    Deadline = 3,
    /// A control connection.
    Control = 4,
}

/// One virtual thread.
#[derive(Debug)]
pub struct Turn {
    /// What comes next.
    pub phase: Phase,
    /// The `now` of this turn.
    pub now: u64,
    /// Requests taken up in it.
    pub requests: u64,
    /// Turns begun.
    pub turns: u64,
    /// Until when it runs slower, and how many times.
    pub slow: (u64, u64),
    /// Turns in a row for a deadline in the past.
    pub overdue: u32,
    /// Phases so far: the ordinal of their draws.
    pub phases: u64,
    /// Parks announced.
    pub announced: u64,
    /// Waits in the kernel.
    pub parks: u64,
    /// Wake-ups, for their latency's draw.
    pub wakes: u64,
    /// Bells that threads rang for it.
    pub rings: u64,
    /// The bell is up.
    pub bell_pending: bool,
    /// Real bells not yet heard.
    pub bells_on_their_way: u32,
    /// Phases still scheduled of a thread that ended with its process.
    pub stale_phases: u32,
}

impl Turn {
    /// A thread that is about to begin its first turn, or one that is not here yet.
    pub fn new(is_here: bool) -> Self {
        Turn {
            phase: if is_here { Phase::Begin } else { Phase::Away },
            now: 0,
            requests: 0,
            turns: 0,
            slow: (0, 1),
            overdue: 0,
            phases: 0,
            announced: 0,
            parks: 0,
            wakes: 0,
            rings: 0,
            bell_pending: false,
            bells_on_their_way: 0,
            stale_phases: 0,
        }
    }

    /// A thread begins its first turn now, in a new process or as a new worker's; what draws count on goes on.
    pub fn begin_life(&mut self, now: u64) {
        self.phase = Phase::Begin;
        (self.now, self.requests, self.slow, self.overdue, self.bell_pending) = (now, 0, (0, 1), 0, false);
    }

    /// Whether there is such a thread.
    pub fn is_here(&self) -> bool {
        self.phase != Phase::Away
    }

    /// Whether the phase that is due is one of a thread that ended with its process.
    pub fn has_stale_phase(&mut self) -> bool {
        let is_stale = self.stale_phases > 0;
        self.stale_phases -= u32::from(is_stale);
        is_stale
    }

    /// Whether it waits in the kernel.
    pub fn is_asleep(&self) -> bool {
        self.phase == Phase::Asleep
    }
}
