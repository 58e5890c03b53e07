//! What goes wrong on purpose: the classes, one record for each time that one struck, and who decides that it does.
//!
//! A fault is drawn at its coordinates (class, entity, ordinal) or, when a failure file is replayed, read from its
//! log: a fault that was removed there simply does not happen. Where each class acts is in [`link`], [`nat`],
//! [`thread`] and [`effect`], and in the NAS for those that a NAS commits.

pub mod disk;
pub mod effect;
pub mod link;
pub mod nat;
pub mod thread;

use crate::draw::{Draw, Draws};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

macro_rules! fault_classes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal, $name:literal, $text:literal, $usual:literal;)+) => {
        /// A way for things to go wrong. Numbers are frozen, as every draw's are.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[repr(u16)]
        pub enum FaultClass { $($(#[doc = $doc])+ #[serde(rename = $name)] $variant = $number,)+ }

        impl FaultClass {
            /// Every class, in the order of their numbers.
            pub const ALL: &'static [FaultClass] = &[$(FaultClass::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// Its name in plans and tables.
            pub const fn name(self) -> &'static str {
                match self { $(FaultClass::$variant => $name,)+ }
            }

            /// What it does, in a line.
            pub const fn text(self) -> &'static str {
                match self { $(FaultClass::$variant => $text,)+ }
            }

            /// A middling intensity in parts of 10 000; seeds draw from a quarter to four times of it.
            pub const fn usual(self) -> u32 {
                match self { $(FaultClass::$variant => $usual,)+ }
            }
        }
    };
}

fault_classes! {
    /// One datagram lost.
    Loss = 0, "loss", "a datagram is lost", 400;
    /// Losses in a row, by a Gilbert–Elliott link.
    BurstLoss = 1, "burst-loss", "a link turns bad and loses most of what it carries, until it turns good", 100;
    /// A copy comes up to 30 s late.
    Duplication = 2, "duplication", "a datagram arrives again, up to 30 s late", 300;
    /// Later datagrams overtake this one.
    Reorder = 3, "reorder", "a datagram is overtaken by later ones", 300;
    /// One datagram takes up to 5 s.
    DelaySpike = 4, "delay-spike", "a datagram takes up to 5 s", 150;
    /// One bit is flipped.
    BitFlip = 5, "bit-flip", "one bit of a datagram is flipped", 200;
    /// Octets without sense arrive from a client's address.
    Garbage = 6, "garbage", "random octets arrive from the address and port of a client", 200;
    /// The end is cut off.
    Truncation = 7, "truncation", "a datagram loses its end", 200;
    /// Octets follow beyond Length.
    Padding = 8, "padding", "a datagram is followed by octets beyond its Length", 300;
    /// Right address, right Identifier, but without the secret.
    Forgery = 9, "forgery", "a packet with an Identifier in use comes from the client's address, made without its secret", 300;
    /// A NAS sends what breaks a rule about octets.
    Malformed = 10, "malformed", "a NAS sends a packet with bad lengths, two Message-Authenticators or an unknown code", 300;
    /// A NAS gives an Identifier that still waits to another request.
    IdentifierReuse = 11, "identifier-reuse", "a NAS reuses an Identifier that still waits, with a new authenticator", 500;
    /// A NAS sends again long before its time.
    Impatience = 12, "impatience", "a NAS retransmits within 50 ms", 600;
    /// A NAS forgets everything; its Identifiers begin at 0.
    Reboot = 13, "reboot", "a NAS reboots and counts its Identifiers from 0", 150;
    /// The kernel hands a datagram to another network thread's socket.
    Misdelivery = 14, "misdelivery", "a datagram arrives at a socket of another network thread", 300;
    /// A socket's buffer is full for up to a second.
    ReceiveOverflow = 15, "receive-overflow", "a socket's receive buffer is full for up to a second", 100;
    /// A thread is stopped between two phases.
    ThreadStall = 16, "thread-stall", "a thread is stopped between two phases, for 1 us to 2 s", 10;
    /// A bell is heard late.
    BellLate = 17, "bell-late", "a bell is heard up to 200 ms late", 1000;
    /// A thread is woken for nothing.
    BellSpurious = 18, "bell-spurious", "a thread's bell rings though nobody rang it", 200;
    /// One bell is heard twice, the second time in a later park, perhaps.
    BellMerged = 19, "bell-merged", "a bell rings twice, and both merge, or the second comes in a later park", 1000;
    /// A thread has its core only now and then.
    ThreadSlow = 20, "thread-slow", "a thread runs 2 to 64 times slower, for up to 5 s", 300;
    /// What a thread has asked for is long in coming, perhaps longer than its request may wait.
    EffectSlow = 21, "effect-slow", "an effect takes 100 ms to 60 s", 1000;
    /// There is no room for what a thread asks for.
    EffectShed = 22, "effect-shed", "an effect is given back undone", 500;
    /// Nothing is ever heard of what a thread has asked for.
    EffectLost = 23, "effect-lost", "an effect is never done", 300;
    /// The clock on the wall is set.
    ClockJump = 24, "clock-jump", "the clock on the wall jumps by a second to ten years, forward or back", 20;
    /// What is asked of the disk fails.
    DiskFails = 25, "disk-fails", "an operation on the disk of accounting fails, perhaps half done", 1000;
    /// The disk takes long.
    DiskSlow = 26, "disk-slow", "an operation on the disk of accounting takes 100 ms to 8 s", 1500;
    /// All stops.
    ProcessCrash = 27, "process-crash", "the server's process ends, or its machine, with what was not synced", 1;
    /// A core panics.
    CorePanic = 28, "core-panic", "a core panics in the middle of a turn and is replaced", 2;
    /// A NAT forgets its mappings.
    NatReboot = 29, "nat-reboot", "a NAT reboots: all its mappings are lost, and all its ports free at once", 30;
    /// A flow leaves from another port.
    NatRebinding = 30, "nat-rebinding", "a NAT gives a flow another port in the middle of a conversation", 300;
    /// One NAS's port becomes another's.
    PortGivenToAnother = 31, "port-given-to-another", "the port of a NAS behind a NAT becomes another's, after 0 ms to 120 s", 300;
    /// A NAT has other addresses.
    NatAddressChange = 32, "nat-address-change", "a NAT has other outside addresses, and its mappings are lost", 60;
    /// A NAT has no port to give.
    NatPoolExhausted = 33, "nat-pool-exhausted", "no port of a NAT is free for a new flow, for up to 10 s", 60;
    /// Somebody at the NAT's own address sends what NASes behind it could have sent.
    NatForgery = 34, "nat-forgery", "from a NAT's outside address, up to 30 s later, comes a forged packet or one that was recorded, from its NAS's port or another", 300;
    /// Two lines swap their addresses.
    AddressGivenToAnother = 35, "address-given-to-another", "two NASes of a client rule by address swap their addresses", 100;
    /// A remote server says nothing to one request.
    RemoteSilence = 36, "remote-silence", "a remote server does not answer a packet", 400;
    /// The request is given up by then, perhaps.
    RemoteLate = 37, "remote-late", "a remote server answers 100 ms to 90 s late", 300;
    /// Once is enough.
    RemoteTwice = 38, "remote-twice", "a remote server answers twice, the second time up to 40 s later", 400;
    /// Nobody is there for a time.
    RemoteDeath = 39, "remote-death", "a remote server is gone for up to 40 s, and may have forgotten its conversations when it is back", 60;
    /// It does not verify.
    RemoteForgery = 40, "remote-forgery", "before a remote server's reply comes one of somebody who does not know the secret", 600;
    /// Others of the same server are well.
    RealmSilence = 41, "realm-silence", "a remote server does not answer for one realm, for up to 20 s", 60;
    /// No descriptor is left, say.
    SocketRefused = 42, "socket-refused", "a socket to a remote server cannot be opened", 2000;
    /// A hop in between loses it.
    StateLost = 43, "state-lost", "a request goes on with a conversation but has no State", 200;
    /// Its request comes from elsewhere.
    PortChanged = 44, "port-changed", "a NAS sends the next round, or a retransmission, from another port", 800;
    /// With the same Identifier.
    VisitAbandoned = 45, "visit-abandoned", "a NAS gives a request up and uses its Identifier for another at once", 300;
    /// Though RFC 3579 §2.6.1 would have one.
    StateMissing = 46, "state-missing", "a remote server's challenge has no State", 150;
    /// Two conversations of one server have it.
    StateOfAnother = 47, "state-of-another", "a remote server's challenge has the State of the one before it, which was for another conversation", 300;
    /// Octet for octet.
    StateLikeOurs = 48, "state-like-ours", "a remote server's challenge has a State that the server under test could have given itself", 300;
    /// Nobody listens to that.
    OtherSource = 49, "other-source", "a remote server answers from another address than it was asked at", 200;
    /// The first is on its way already.
    SecondChallenge = 50, "second-challenge", "a remote server follows a challenge by a second one to the same request, with another State", 400;
    /// As a link does that has a loose contact.
    RemoteFlapping = 51, "remote-flapping", "a remote server is gone and back again, by turns of 200 ms to 5 s, for up to 40 s", 40;
    /// RFC 2865 §5.24 wants one, of an octet at least.
    StateWrong = 52, "state-wrong", "a remote server's challenge has an empty State, two, or one as long as any attribute may be", 200;
    /// A hop in between puts another in its place.
    StateRewritten = 53, "state-rewritten", "a request goes on with a conversation but has a State that nobody has given away", 150;
}

impl FaultClass {
    /// Whether it is one of forwarding, which only plans with remote servers have.
    pub const fn is_of_forwarding(self) -> bool {
        self as u16 >= FaultClass::RemoteSilence as u16
    }
}

/// One time that a fault struck: data, so that it can be replayed, edited or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Virtual nanoseconds. Informative: what is replayed is found by its coordinates.
    pub at: u64,
    /// Which class.
    pub class: FaultClass,
    /// The link, NAS, socket or thread that it struck.
    pub entity: u64,
    /// Which packet, phase, bell or transaction of that entity.
    pub ordinal: u64,
    /// What the class needs to know besides: lengths, positions, delays.
    pub parameters: [u64; 2],
}

/// Decides whether a fault strikes, and records each that does.
pub struct Injector {
    draws: Draws,
    intensities: [u32; FaultClass::COUNT],
    until: u64,
    recorded: Option<BTreeMap<(FaultClass, u64, u64), [u64; 2]>>,
    log: Vec<Fault>,
    counts: [u64; FaultClass::COUNT],
}

impl Injector {
    /// Draws faults at these intensities (parts of 10 000), until the virtual nanosecond `until`.
    pub fn drawn(draws: Draws, intensities: [u32; FaultClass::COUNT], until: u64) -> Self {
        Injector {
            draws,
            intensities,
            until,
            recorded: None,
            log: Vec::new(),
            counts: [0; FaultClass::COUNT],
        }
    }

    /// Repeats the faults of a log, and no others.
    pub fn recorded(draws: Draws, log: &[Fault]) -> Self {
        let recorded =
            log.iter().map(|fault| ((fault.class, fault.entity, fault.ordinal), fault.parameters)).collect();
        Injector { recorded: Some(recorded), ..Injector::drawn(draws, [0; FaultClass::COUNT], 0) }
    }

    /// Whether `class` strikes at these coordinates, with its parameters.
    pub fn strike(
        &mut self,
        class: FaultClass,
        entity: u64,
        ordinal: u64,
        now: u64,
        parameters: impl FnOnce(Draw) -> [u64; 2],
    ) -> Option<[u64; 2]> {
        self.decide(class, entity, ordinal, now, |intensity, draw| {
            draw.per_myriad(intensity).then(|| parameters(draw.fork(0)))
        })
    }

    /// As [`Injector::strike`], for a class that decides by more than one draw. `decide` is not called where the
    /// class is off or the faults have ended, or where a log is replayed.
    pub fn decide(
        &mut self,
        class: FaultClass,
        entity: u64,
        ordinal: u64,
        now: u64,
        decide: impl FnOnce(u32, Draw) -> Option<[u64; 2]>,
    ) -> Option<[u64; 2]> {
        let parameters = match &self.recorded {
            Some(recorded) => *recorded.get(&(class, entity, ordinal))?,
            None => {
                let intensity = self.intensities[class as usize];
                if intensity == 0 || now >= self.until {
                    return None;
                }
                decide(intensity, self.draws.fault(class as u16, entity, ordinal))?
            }
        };
        self.counts[class as usize] += 1;
        self.log.push(Fault { at: now, class, entity, ordinal, parameters });
        Some(parameters)
    }

    /// All draws of the run, for details of a fault that its parameters name.
    pub fn draws(&self) -> Draws {
        self.draws
    }

    /// What struck so far, in the order of time.
    pub fn log(&self) -> &[Fault] {
        &self.log
    }

    /// How often each class struck, by its number.
    pub fn counts(&self) -> &[u64; FaultClass::COUNT] {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything(injector: &mut Injector) -> Vec<Option<[u64; 2]>> {
        (0..200)
            .map(|ordinal| {
                injector.strike(FaultClass::Loss, 3, ordinal, ordinal, |draw| [draw.below(9), ordinal])
            })
            .collect()
    }

    #[test]
    fn numbers_are_places_and_names_unique() {
        let names: std::collections::BTreeSet<_> = FaultClass::ALL.iter().map(|class| class.name()).collect();
        assert_eq!(names.len(), FaultClass::COUNT);
        assert!(FaultClass::ALL.iter().enumerate().all(|(place, class)| *class as usize == place));
    }

    #[test]
    fn a_log_repeats_its_faults_and_a_removed_one_does_not_happen() {
        let mut intensities = [0; FaultClass::COUNT];
        intensities[FaultClass::Loss as usize] = 3_000;
        let mut drawn = Injector::drawn(Draws::new(5), intensities, 150);
        let struck = everything(&mut drawn);
        assert!(struck[..150].iter().flatten().count() > 20 && struck[150..].iter().all(Option::is_none));

        let mut repeated = Injector::recorded(Draws::new(5), drawn.log());
        assert_eq!(everything(&mut repeated), struck);

        let mut fewer = drawn.log().to_vec();
        let removed = fewer.remove(3);
        let without = everything(&mut Injector::recorded(Draws::new(5), &fewer));
        assert_eq!(without[removed.ordinal as usize], None);
        assert_eq!(without.iter().flatten().count(), struck.iter().flatten().count() - 1);
    }

    #[test]
    fn a_class_at_intensity_zero_never_strikes() {
        let mut injector = Injector::drawn(Draws::new(5), [0; FaultClass::COUNT], u64::MAX);
        assert!(everything(&mut injector).iter().all(Option::is_none) && injector.log().is_empty());
    }
}
