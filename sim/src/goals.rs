//! What runs have to come to *sometimes*: situations without which laws hold of nothing. A long campaign that never reaches one
//! of its profile's is empty in that respect.

macro_rules! goals {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $text:literal;)+) => {
        /// A situation to be reached.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Goal { $($(#[doc = $doc])+ $variant,)+ }

        impl Goal {
            /// All of them.
            pub const ALL: &'static [Goal] = &[$(Goal::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// Its name in tables.
            pub const fn name(self) -> &'static str {
                match self { $(Goal::$variant => $name,)+ }
            }

            /// What has happened then, in a line.
            pub const fn text(self) -> &'static str {
                match self { $(Goal::$variant => $text,)+ }
            }
        }
    };
}

goals! {
    /// Of one outside endpoint toward one listener.
    PortReusedSoon = "port-reused-soon", "a NAS sends from a port that another NAS has sent from within a second";
    /// The octets are the same, the outside endpoint is not.
    RetransmissionFromNewPort = "retransmission-from-new-port", "a retransmission comes from another port or address than the request before";
    /// It must not believe it.
    ReplyReachedAnother = "reply-reached-another", "a reply reaches another NAS than the one that sent its request";
    /// It refuses it by its filter.
    ReplyFiltered = "reply-filtered", "a NAT refuses a reply by its filter: the port is another NAS's by now, who has not sent there";
    /// Its mapping is gone.
    ReplyWithoutMapping = "reply-without-mapping", "a reply comes to a NAT where no mapping has its port any more";
    /// And nothing is left for a new flow.
    PoolExhausted = "pool-exhausted", "a NAT has no port for a new flow";
    /// The oldest mapping goes.
    MappingEvicted = "mapping-evicted", "a NAT ends the oldest mapping for a new flow";
    /// Nothing refreshed it.
    MappingExpired = "mapping-expired", "a mapping of a NAT ends at its time-out";
    /// All mappings are lost.
    MappingsLost = "mappings-lost", "a NAT loses all its mappings";
    /// One connection, one Identifier, two NASes.
    IdentifierOfAnother = "identifier-of-another", "a request takes the connection and Identifier of another NAS's request that may be remembered";
    /// Whose it was before is known there.
    AddressOfAnother = "address-of-another", "a NAS of a rule by address sends from an address that another has sent from last";
    /// The file has changed, and the NAS has not heard of it or a copy comes late.
    SecretOfBefore = "secret-of-before", "a packet of a rule's client verifies under a secret that its table no longer has, or not yet";
    /// Somebody invents names, or all ask at once.
    LookUpLimit = "look-up-limit", "a stranger's packet finds as many look-ups under way as may be";
    /// An answer was owed but for that.
    Excused = "excused", "a patient NAS gets no answer because a NAT has dropped its packets, or ended its mappings, all the time";
    /// Through the server under test to its home and back, in several rounds.
    ConversationFinished = "conversation-finished", "a conversation of several rounds with a remote server ends by Access-Accept";
    /// The same octets, once more.
    RetransmissionForwarded = "retransmission-forwarded", "a request goes on to its remote server again, octet for octet";
    /// Nobody waits for it.
    RemoteReplyLate = "remote-reply-late", "a verified reply of a remote server is read for a request that has had one, or that another displaced";
    /// It is told from the others.
    StateOfTwoServers = "state-of-two-servers", "a round goes on with a State that two remote servers, or more, have given away";
    /// As no remote server lives, say.
    RejectedHere = "rejected-here", "a request that should go on is answered Access-Reject here";
    /// It said nothing for its zombie period.
    ServerDied = "server-died", "a server under test takes a remote server for dead";
    /// By three answers to Status-Server, or by one to a request that tried it.
    ServerRejoined = "server-rejoined", "a remote server that was dead counts as alive again";
    /// Something came in time.
    SuspicionEnded = "suspicion-ended", "a remote server that was suspected answers before it counts as dead";
    /// To its home, and stored here or not.
    RecordForwarded = "record-forwarded", "an Accounting-Request is answered as its remote server has answered it";
    /// By the first of them, and passed back through all.
    LoopRejected = "loop-rejected", "a request that has come round through several servers under test ends by Access-Reject";
    /// A task waited for it.
    MarkReached = "mark-reached", "a reader of a control connection has taken so much that a task is told to go on";
    /// In the middle of an answer.
    ReaderVanished = "reader-vanished", "a reader vanishes before it has the whole of an answer";
    /// It has stalled.
    ReaderGivenUp = "reader-given-up", "a reader takes nothing for so long that its connection is closed";
    /// It died, or left.
    WorkerGoneTold = "worker-gone-told", "a reader is told that a worker has gone, and its answer with it";
    /// With its network core, or its process.
    ReaderCutOff = "reader-cut-off", "a control connection ends with its network core, or with the process";
    /// There are too many.
    ReaderRefused = "reader-refused", "a reader connects while there are as many as may be";
    /// Or lost: that is told, too.
    ErrandRefused = "errand-refused", "a reader is told that there was no room for what it asked";
}

impl Goal {
    /// Whether it is one of forwarding, which only plans with remote servers reach.
    pub const fn is_of_forwarding(self) -> bool {
        self as usize >= Goal::ConversationFinished as usize && !self.is_of_control()
    }

    /// Whether it is one of control connections, which only plans with readers reach; all others are of NATs.
    pub const fn is_of_control(self) -> bool {
        self as usize >= Goal::MarkReached as usize
    }
}

/// How often each was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goals([u64; Goal::COUNT]);

impl Default for Goals {
    fn default() -> Self {
        Goals([0; Goal::COUNT])
    }
}

impl Goals {
    /// It was reached once more.
    pub fn reach(&mut self, goal: Goal) {
        self.0[goal as usize] += 1;
    }

    /// It was reached so many times more.
    pub fn reach_times(&mut self, goal: Goal, times: u64) {
        self.0[goal as usize] += times;
    }

    /// How often it was.
    pub fn count(&self, goal: Goal) -> u64 {
        self.0[goal as usize]
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Goals) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, count)| *sum += count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_counts_are_sums() {
        let names: std::collections::BTreeSet<_> = Goal::ALL.iter().map(|goal| goal.name()).collect();
        assert_eq!(names.len(), Goal::COUNT);
        let (mut one, mut other) = (Goals::default(), Goals::default());
        one.reach(Goal::PoolExhausted);
        other.reach(Goal::PoolExhausted);
        other.reach(Goal::MappingExpired);
        one.add(&other);
        assert_eq!((one.count(Goal::PoolExhausted), one.count(Goal::MappingExpired)), (2, 1));
        assert_eq!(one.count(Goal::Excused), 0);
    }
}
