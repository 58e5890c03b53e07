//! Bugs kept on purpose, so that the simulator can show it would find them.
//!
//! Compiled in only by the feature `seeded-bugs`, which only the simulator's command line names; chosen at run time.
//! Without the feature [`is`] is a constant `false`, and the code of every bug is gone.

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A bug that can be switched on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Bug { $($(#[doc = $doc])+ $variant,)+ }

        impl Bug {
            /// Every seeded bug.
            pub const ALL: &'static [Bug] = &[$(Bug::$variant,)+];

            /// Its kebab-case name, as `ulna-sim mutants` prints it.
            pub const fn name(self) -> &'static str {
                match self { $(Bug::$variant => $name,)+ }
            }

            /// The bug of that name.
            pub fn named(name: &str) -> Option<Bug> {
                Bug::ALL.iter().copied().find(|bug| bug.name() == name)
            }
        }
    };
}

bugs! {
    /// A thread parks right after its announcement, without looking at its rings again.
    SecondLookMissing = "second-look-missing",
    /// A writer rings only if the ring was empty before.
    NotEmptySoDontRing = "not-empty-so-dont-ring",
    /// The gate is read before the messages are published.
    GateReadBeforePublish = "gate-read-before-publish",
    /// A thread waiting for room does not look at the blocked ring once more before it parks.
    BlockedRingNotInSecondLook = "blocked-ring-not-in-second-look",
    /// The test whether the reader freed enough room is off by one.
    SpaceCrossingOffByOne = "space-crossing-off-by-one",
    /// A thread parks without a look at its mailbox.
    MailboxNotInSecondLook = "mailbox-not-in-second-look",
    /// Whoever posts a letter looks at the gate without a fence.
    PostWithoutFence = "post-without-fence",
    /// A link is given up before its gate is checked: nobody tells the other end that all is read.
    RetireWithoutWakingThePeer = "retire-without-waking-the-peer",
    /// Nothing keeps a publish before the look at the gate.
    WritersFenceMissing = "writers-fence-missing",
    /// Nothing keeps an announcement before the second look.
    ReadersFenceMissing = "readers-fence-missing",
    /// The fence is left out where nothing urgent is published.
    LazyPublishWithoutFence = "lazy-publish-without-fence",
    /// The second look is at the first ring alone.
    SecondLookAtOneRing = "second-look-at-one-ring",
    /// The second look comes before the announcement. Made by whoever drives the phases.
    SecondLookBeforeAnnouncement = "second-look-before-announcement",
    /// A bell is taken between second look and sleep. Made by whoever drives the phases.
    BellTakenAfterAnnouncement = "bell-taken-after-announcement",
    /// A tail is stored without Release.
    TailPublishedRelaxed = "tail-published-relaxed",
    /// A thread at a limit, which waits for completions, says that it does not. Made by whoever drives the phases.
    LimitParkedWithPark = "limit-reached-parked-with-park",
    /// The mark for space is read before the head is published.
    WantSpaceReadBeforeHead = "want-space-read-before-head-is-published",
    /// The mark for space is written after the second look.
    WantSpaceWrittenAfterSecondLook = "want-space-written-after-second-look",
    /// Duplicates are told by Identifier alone, whatever the Request Authenticator.
    DedupKeyWithoutAuthenticator = "dedup-key-without-authenticator",
    /// Duplicates are told by source address without its port.
    DedupKeyWithoutPort = "dedup-key-without-port",
    /// A duplicate of an answered request runs through policy again.
    PolicyRunAgainOnRetransmit = "policy-run-again-on-retransmit",
    /// Proxy-State attributes are returned in reverse order.
    ProxyStateReversed = "proxy-state-reversed",
    /// A completion of a superseded request does not give its buffer back.
    LateRepliedKeepsItsBuffer = "late-replied-keeps-its-buffer",
    /// A request whose worker has no room is forgotten without a fate.
    RequestLeakedWhenDropped = "request-leaked-when-dropped",
    /// The Message-Authenticator is not compared.
    ForgedPacketBelieved = "forged-packet-believed",
    /// `poll_timeout` answers a millisecond late.
    TimeoutRoundedUp = "timeout-rounded-up",
    /// A thread parks though its cores have not handed out all that they have.
    OutputForgottenBeforeAPark = "output-forgotten-before-a-park",
    /// A thread parks though it knows that a socket has more to read. Made by whoever drives the phases.
    ReadableSocketForgotten = "readable-socket-forgotten-before-a-park",
    /// A duplicate is taken for one of a request in progress before the ring of its worker is swept.
    InProgressWithoutSweep = "in-progress-decided-without-a-sweep",
    /// A deadline decides before all rings are swept.
    DeadlineWithoutSweep = "deadline-decided-without-a-sweep",
    /// The answer to an effect that nobody waits for any more is given to whoever has its place now.
    StaleAnswerBelieved = "stale-answer-believed",
    /// A worker does not let go of a request that waits for an effect and has been superseded.
    SupersededRequestAnswered = "superseded-request-answered",
    /// An accounting record is acknowledged when it is written, before it is synced.
    AnsweredBeforeSync = "answered-before-sync",
    /// What a crash left of the last record stays in the file.
    TornLineNotRepaired = "torn-line-not-repaired",
    /// Records are acknowledged though their sync failed.
    StoredThoughSyncFailed = "stored-though-sync-failed",
    /// The old file of a spool is removed before all that is to be sent from it has been copied.
    SpoolFileRemovedEarly = "spool-file-removed-early",
    /// A record of the spool counts as answered as soon as it is sent.
    SpooledForgottenWhenSent = "spooled-forgotten-when-sent",
    /// A record of the spool is sent once, and waits for its answer without an end.
    SpooledNeverSentAgain = "spooled-never-sent-again",
    /// A record of the spool is sent with the Acct-Delay-Time that it came with.
    DelayNotRaised = "delay-not-raised",
    /// A request that is shed for want of room is remembered, and its retransmission taken for a duplicate.
    ShedRequestRemembered = "shed-request-remembered",
    /// A Status-Server is shed with the requests when a worker has no room.
    StatusServerShed = "status-server-shed",
    /// A worker looks a request up in the newest configuration instead of its own.
    ReloadSwapsASecretInFlight = "reload-swaps-a-secret-in-flight",
    /// A network core that has replaced one takes completions of that one's requests for its own.
    OlderCompletionBelieved = "older-completion-believed",
    /// A completion that finds its ring full is forgotten.
    CompletionDroppedAtFullRing = "completion-dropped-at-full-ring",
    /// A core that has replaced one does not tell its peers.
    DeathTellsNobody = "death-tells-nobody",
    /// A worker that has not heard of the epoch counts as settled.
    WorkerChangeWithoutEpoch = "worker-change-without-epoch",
    /// A request that a worker gives back, since it does not know its State, is forgotten without a fate.
    ElsewhereNotSentBack = "elsewhere-not-sent-back",
    /// What had died with a worker stays remembered as in progress.
    OrphansKeepTheirEntry = "orphans-keep-their-entry",
    /// A client behind a NAT is known by its source address alone.
    ClientByAddressBehindNat = "client-by-address-behind-nat",
    /// A connection that changes hands stays the old client's.
    PortReuseKeepsTheOldClient = "port-reuse-keeps-the-old-client",
    /// With one connection all others of its source address end.
    SiblingsEndTogether = "siblings-end-together",
    /// A packet that fails under the secret of its key has that key denied.
    ForgedPacketDeniesItsKey = "forged-packet-denies-its-key",
    /// Packets that waited for one look-up are all decided by the first.
    HeldDecidedByTheFirst = "held-decided-by-the-first",
    /// A packet without Message-Authenticator admits a client.
    UnsignedPacketAdmits = "unsigned-packet-admits",
    /// Look-ups are begun whatever the limits say.
    LookUpsUnbounded = "look-ups-unbounded",
    /// A request that was seen on another connection admits its client once more.
    ReplayedPacketAdmits = "replayed-packet-admits",
    /// A request that comes again by another connection of its client's, known there, is decided again.
    KnownConnectionDecidesAgain = "known-connection-decides-again",
    /// Each packet that claims a key has it looked up, though a look-up of it is under way.
    LookUpForEachPacket = "look-up-for-each-packet",
    /// A look-up of which nothing is heard stays under way.
    LookUpNeverTimesOut = "look-up-never-times-out",
    /// With one line of a table all clients end that it has admitted.
    ChangedLineEndsItsTable = "changed-line-ends-its-table",
    /// A client that is keyed by its address is known on the connection alone by which it came.
    AddressClientByConnection = "address-client-by-connection",
    /// A packet that fails keeps its connection alive.
    ForgedPacketKeepsAlive = "forged-packet-keeps-alive",
    /// A client whose secret has changed stays.
    RetiredClientStays = "retired-client-stays",
    /// A worker keeps the time of its next sweep as one on the wall.
    WallClockInATimer = "wall-clock-in-a-timer",
    /// A value that is hidden under the secret of one hop goes over the next as it came.
    HiddenPassedOnAsItIs = "hidden-passed-on-as-it-is",
    /// Proxy-States of a request do not go on with it.
    ProxyStatesNotPassedOn = "proxy-states-not-passed-on",
    /// The Proxy-State that is ours stands before those that were there.
    OwnProxyStateFirst = "own-proxy-state-first",
    /// Proxy-States that a remote server returned go on to the NAS, ours too.
    OwnProxyStateReturned = "own-proxy-state-returned",
    /// A request that has our Proxy-State is not seen to be a loop.
    LoopNotSeen = "loop-not-seen",
    /// A CHAP-Password goes on without the challenge that the Request Authenticator was.
    ChapChallengeLeftBehind = "chap-challenge-left-behind",
    /// An Identifier is free as soon as its request is given up, though the reply may still come.
    IdentifierWithoutQuarantine = "identifier-without-quarantine",
    /// A conversation is found by its State alone, whoever comes with it.
    StateFoundByStateAlone = "state-found-by-state-alone",
    /// A remote server's reply to a request is believed without Message-Authenticator, whatever the configuration says.
    UnsignedReplyBelieved = "unsigned-reply-believed",
    /// A conversation whose server has died goes to another that does not know it.
    DeadServersConversationMoved = "dead-servers-conversation-moved",
    /// The pool chooses for each packet of a conversation.
    ServerChosenPerPacket = "server-chosen-per-packet",
    /// A packet that does not verify is taken for a sign of life.
    UnverifiedPacketRevives = "unverified-packet-revives",
    /// A remote server that is dead counts as suspected: what no other can take goes there.
    DeadServerGetsNewRequests = "dead-server-gets-new-requests",
    /// A remote server that was dead stays so, whatever it answers.
    HealedServerStaysDead = "healed-server-stays-dead",
    /// One request without an answer makes its server suspected, though others have had theirs since.
    RealmSilenceKillsServer = "realm-silence-kills-server",
    /// What a NAS sends again while its request waits for a remote server does not go there again.
    DuplicateInProgressNotForwarded = "duplicate-in-progress-not-forwarded",
    /// What a NAS sends again while its request waits for a remote server is decided, and sent, as a new one.
    ForwardedAnewOnRetransmit = "forwarded-anew-on-retransmit",
    /// What a NAS sends again while its request waits for a remote server that is suspected is decided, and sent, as a new one.
    SuspectedServersRequestDecidedAnew = "suspected-servers-request-decided-anew",
    /// What a NAS sends again goes to its remote server twice.
    DuplicateForwardedTwice = "duplicate-forwarded-twice",
    /// A reply is looked for under its Identifier, by whichever port it comes.
    ReplyMatchedByIdentifierOnly = "reply-matched-by-identifier-only",
    /// The State of a remote server's challenge does not go back to the NAS.
    StateNotReturned = "state-not-returned",
    /// A record that is to be stored and to go on is acknowledged when it is stored, and goes nowhere.
    RecordAnsweredBeforeItsHome = "record-answered-before-its-home",
    /// A record that is to be stored first goes on at once.
    RecordGoesOnUnstored = "record-goes-on-unstored",
    /// A record that no remote server takes is acknowledged.
    RecordWithoutAWayAcknowledged = "record-without-a-way-acknowledged",
    /// Conversations are told apart by what users are called, whichever client they come by.
    ConversationOfAnotherClient = "conversation-of-another-client",
    /// States of all realms are in one tree, and users are known by what stands before their realm.
    StateTreeWithoutRealm = "state-tree-without-realm",
    /// A conversation stays when its State has lost its worth.
    ConversationNeverEnds = "conversation-never-ends",
    /// A request that was answered by one connection of its client's, and comes by another, is decided again.
    AnsweredElsewhereDecidedAgain = "answered-elsewhere-decided-again",
    /// A request that waits, and comes again by another connection of its client's, is decided again.
    WaitingElsewhereDecidedAgain = "waiting-elsewhere-decided-again",
    /// No task is told that its mark is reached.
    MarkToldNever = "mark-told-never",
    /// A task is told of its mark with each write from there on.
    MarkToldAgain = "mark-told-again",
    /// A task whose reader has gone stays.
    TaskOutlivesItsReader = "task-outlives-its-reader",
    /// What is written goes on one octet too late after a write that took a part of it.
    OctetLostAtShortWrite = "octet-lost-at-short-write",
    /// A task writes on whether there is room or not.
    RoomNotRespected = "room-not-respected",
    /// The patience with a reader runs from when there is something to be read, whatever it takes.
    PatienceFromTheFirstOctet = "patience-from-the-first-octet",
    /// The place of a control connection that is closed stays taken.
    ControlPlaceKept = "control-place-kept",
    /// A task is not told that its errand was given back.
    ShedErrandForgotten = "shed-errand-forgotten",
}

impl Bug {
    /// Whether the simulator can notice it. Its memory has one order and its threads are stopped between phases only,
    /// with the phases in their right places; so fences, orders within a phase, and what only a driver of phases can do
    /// are for loom and the search of all states. So is a link that is given up too early: cores give theirs up at the
    /// beginning of a turn, when all gates of the one before are checked. What a sweep would have told, the next turn does, and
    /// nobody is owed it sooner: those are for situations of this crate's own, `tests/seeded_bugs.rs`.
    pub const fn is_for_simulator(self) -> bool {
        !matches!(
            self,
            Bug::PostWithoutFence
                | Bug::RetireWithoutWakingThePeer
                | Bug::WritersFenceMissing
                | Bug::ReadersFenceMissing
                | Bug::LazyPublishWithoutFence
                | Bug::SecondLookBeforeAnnouncement
                | Bug::BellTakenAfterAnnouncement
                | Bug::TailPublishedRelaxed
                | Bug::LimitParkedWithPark
                | Bug::WantSpaceReadBeforeHead
                | Bug::WantSpaceWrittenAfterSecondLook
                | Bug::InProgressWithoutSweep
                | Bug::DeadlineWithoutSweep
        )
    }
}

#[cfg(feature = "seeded-bugs")]
static CHOSEN: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(u8::MAX);

/// Switches one bug on, or all off. For the whole process.
#[cfg(feature = "seeded-bugs")]
pub fn choose(bug: Option<Bug>) {
    // Relaxed: chosen before a run starts, by the thread that runs it.
    CHOSEN.store(bug.map_or(u8::MAX, |bug| bug as u8), core::sync::atomic::Ordering::Relaxed);
}

/// Whether this bug is on.
#[cfg(feature = "seeded-bugs")]
pub fn is(bug: Bug) -> bool {
    CHOSEN.load(core::sync::atomic::Ordering::Relaxed) == bug as u8
}

/// Whether this bug is on: never, the feature is off.
#[cfg(not(feature = "seeded-bugs"))]
#[inline(always)]
pub const fn is(_bug: Bug) -> bool {
    false
}

/// Whether the bugs are compiled in; a server's `main` asserts that they are not.
pub const COMPILED_IN: bool = cfg!(feature = "seeded-bugs");
