//! The bugs that the search has to find. Those that the sources carry themselves have the names that
//! `core/src/seeded.rs` gives them; the others are made here, by the modelled memory or by the order of the phases.

use std::cell::Cell;

macro_rules! bugs {
    ($($variant:ident = $name:literal,)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bug { $($variant,)+ }

        impl Bug {
            pub const ALL: &'static [Bug] = &[$(Bug::$variant,)+];

            pub fn name(self) -> &'static str {
                match self { $(Bug::$variant => $name,)+ }
            }
        }
    };
}

bugs! {
    // In the sources.
    SecondLookMissing = "second-look-missing",
    NotEmptySoDontRing = "not-empty-so-dont-ring",
    GateReadBeforePublish = "gate-read-before-publish",
    BlockedRingNotInSecondLook = "blocked-ring-not-in-second-look",
    SpaceCrossingOffByOne = "space-crossing-off-by-one",
    MailboxNotInSecondLook = "mailbox-not-in-second-look",
    PostWithoutFence = "post-without-fence",
    RetireWithoutWakingThePeer = "retire-without-waking-the-peer",
    WritersFenceMissing = "writers-fence-missing",
    ReadersFenceMissing = "readers-fence-missing",
    LazyPublishWithoutFence = "lazy-publish-without-fence",
    SecondLookAtOneRing = "second-look-at-one-ring",
    WantSpaceReadBeforeHead = "want-space-read-before-head-is-published",
    WantSpaceWrittenAfterSecondLook = "want-space-written-after-second-look",
    // In the sources, and in the memory, which does not know the orders of accesses.
    TailPublishedRelaxed = "tail-published-relaxed",
    // In the memory.
    RungWithoutASwap = "rung-without-a-swap",
    HalfARingRingsNobody = "half-a-ring-rings-nobody",
    // In the order of the phases.
    SecondLookBeforeAnnouncement = "second-look-before-announcement",
    BellTakenAfterAnnouncement = "bell-taken-after-announcement",
    LimitParkedWithPark = "limit-reached-parked-with-park",
    SpaceNeverAskedFor = "space-never-asked-for",
    AnnouncedBeforePublish = "announced-before-publish",
}

thread_local! {
    static CHOSEN: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Switches one bug on, or all off, for the searches of the calling thread.
pub fn choose(bug: Option<Bug>) {
    CHOSEN.set(bug);
}

/// Whether this bug is on. The sources ask this too.
pub fn is(bug: Bug) -> bool {
    match CHOSEN.get() {
        // The look is there, but it is another one, before the announcement.
        Some(Bug::SecondLookBeforeAnnouncement) if bug == Bug::SecondLookMissing => true,
        chosen => chosen == Some(bug),
    }
}
