//! Every reason for which ulna stays silent, by name. A silent `return` is not one of them.
//!
//! RADIUS asks a server to *silently discard* what it cannot trust (RFC 2865 §3); silent towards the peer, that is:
//! each reason is counted, and shown to the operator under the name that [`Discard::name`] gives.

macro_rules! discards {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a packet got no answer.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Discard { $($(#[doc = $doc])+ $variant,)+ }

        impl Discard {
            /// Every reason, in the order of their numbers.
            pub const ALL: &'static [Discard] = &[$(Discard::$variant,)+];
            /// How many reasons there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name in counters and logs: kebab-case, stable.
            pub const fn name(self) -> &'static str {
                match self { $(Discard::$variant => $name,)+ }
            }
        }
    };
}

discards! {
    /// Fewer than 20 octets arrived (RFC 2865 §3).
    TooShort = "too-short",
    /// The Length field is below 20 or above 4 096 (RFC 2865 §3).
    BadLength = "bad-length",
    /// The datagram is shorter than its Length field says (RFC 2865 §3).
    Truncated = "truncated",
    /// An attribute's length is 0 or 1, or it reaches past the packet (RFC 2865 §5).
    BadAttribute = "bad-attribute",
    /// More than one Message-Authenticator (RFC 2869 §5.14).
    SeveralMessageAuthenticators = "several-message-authenticators",
    /// A Message-Authenticator whose value is not 16 octets (RFC 2869 §5.14).
    BadMessageAuthenticatorLength = "bad-message-authenticator-length",
    /// More than one State (RFC 2865 §5.44).
    SeveralStates = "several-states",
    /// No client's network contains the source address (RFC 2865 §3).
    UnknownClient = "unknown-client",
    /// No client rule matches it, or the one that did is gone.
    NoClientRule = "no-client-rule",
    /// It has no attribute that its client rule looks up by, and is none of those admitted from there last.
    NoLookUpKey = "no-look-up-key",
    /// A look-up of its key has said no.
    ClientDenied = "client-denied",
    /// An Access-Request of nobody's without Message-Authenticator: nothing could admit it.
    UnsignedStranger = "unsigned-stranger",
    /// An Access-Request without Message-Authenticator from a client behind a NAT: any neighbour could have sent it.
    UnsignedBehindNat = "unsigned-behind-nat",
    /// Its client sends more packets than it may.
    ClientTooFast = "client-too-fast",
    /// More packets of nobody's come from its address than are looked at.
    StrangersTooFast = "strangers-too-fast",
    /// The worker that it would have had to ask has no room for one more stranger's packet.
    StrangersFull = "strangers-full",
    /// A packet of nobody's had waited longer for its worker to be asked than half of `new_request_wait_max`, or of accounting, with a
    /// State or by a stream than `request_timeout`.
    StrangerWaited = "stranger-waited",
    /// Its look-up would be one more than may be under way, or begin in a second.
    LookUpLimit = "look-up-limit",
    /// The line of look-ups is full.
    LookUpLineFull = "look-up-line-full",
    /// Its look-up failed.
    LookUpFailed = "look-up-failed",
    /// Its look-up was not answered in time.
    LookUpTimedOut = "look-up-timed-out",
    /// The same packet waits for its look-up already.
    HeldDuplicate = "held-duplicate",
    /// As many packets as may wait for its look-up.
    HeldFull = "held-full",
    /// As many clients as its rule, or all rules together, may have.
    ClientsFull = "clients-full",
    /// As many connections as its address, its rule or all rules together may have.
    ConnectionsFull = "connections-full",
    /// Strangers from as many addresses as are known at once.
    AddressesFull = "addresses-full",
    /// It was sent before from elsewhere, too long ago to be a retransmission: somebody else may have recorded it.
    Replayed = "replayed",
    /// The code is not one that a server takes (RFC 2865 §3).
    UnknownCode = "unknown-code",
    /// The listener does not take this kind of packet.
    UnexpectedCode = "unexpected-code",
    /// The Message-Authenticator does not verify under the client's secret: wrong secret, or forged.
    BadMessageAuthenticator = "bad-message-authenticator",
    /// The Request Authenticator does not verify under the client's secret (RFC 2866 §3).
    BadRequestAuthenticator = "bad-request-authenticator",
    /// This client must sign its Access-Requests, and this one carries no Message-Authenticator.
    MessageAuthenticatorRequired = "message-authenticator-required",
    /// Status-Server without Message-Authenticator (RFC 5997 §3).
    UnsignedStatusServer = "unsigned-status-server",
    /// EAP-Message without Message-Authenticator (RFC 3579 §3.1).
    UnsignedEap = "unsigned-eap",
    /// Proxy-State without Message-Authenticator from a client with `limit_proxy_state`.
    UnsignedProxyState = "unsigned-proxy-state",
    /// The worker that would have had to take it has no room for a new request.
    WorkerFull = "worker-full",
    /// The worker has no room for accounting.
    WorkerFullAccounting = "worker-full-accounting",
    /// The worker has no room even for an ongoing conversation.
    WorkerFullOngoing = "worker-full-ongoing",
    /// No packet buffer was free.
    NoBuffer = "no-buffer",
    /// The table of live requests is full.
    DedupFull = "dedup-full",
    /// The queue of packets to be sent is full.
    TransmitQueueFull = "transmit-queue-full",
    /// It belongs to another network thread, and the ring there was full.
    StrayRingFull = "stray-ring-full",
    /// It had waited longer than `request_timeout` when its worker took it up.
    TooOld = "too-old",
    /// A new request that had waited longer than `new_request_wait_max` when its worker took it up (RFC 5080 §2.2.3).
    WaitedTooLong = "waited-too-long",
    /// No `accounting` rule says what to do with it.
    NoAccountingRule = "no-accounting-rule",
    /// It is to be forwarded, and no remote server is known where to.
    NoRoute = "no-route",
    /// It was forwarded, and the remote server did not answer within `request_timeout`.
    NoAnswer = "no-answer",
    /// No remote server that it could be forwarded to lives.
    NoServerAlive = "no-server-alive",
    /// As many requests as may wait for the remote server that it would be forwarded to.
    OutstandingFull = "outstanding-full",
    /// No socket to the remote server could be had.
    NoSocket = "no-socket",
    /// With what is added or hidden anew it would pass 4 096 octets on its way on (RFC 2865 §3).
    ForwardTooLong = "forward-too-long",
    /// The very same packet came by another connection meanwhile, and that is answered.
    AnsweredElsewhere = "answered-elsewhere",
    /// It has been here before: a loop.
    ForwardLoop = "forward-loop",
    /// CoA or Disconnect from whom no `[[client]]` names: client rules admit NASes, and these do not order others about.
    NoCoaClient = "no-coa-client",
    /// The Event-Timestamp of CoA or Disconnect is further from the time on the wall than `event_timestamp_window` (RFC 5176 §6.3).
    EventTimestampOutside = "event-timestamp-outside",
    /// CoA or Disconnect without an Event-Timestamp, where `require_event_timestamp` asks for one (RFC 5176 §6.3).
    NoEventTimestamp = "no-event-timestamp",
    /// An attribute that is hidden under the secret has no length that such may have: it cannot be hidden anew.
    BadHiddenAttribute = "bad-hidden-attribute",
    /// The reply would pass 4 096 octets (RFC 2865 §3).
    ReplyTooLong = "reply-too-long",
    /// What a rule makes of the request, or of its session, would pass what they may hold.
    EditTooLong = "edit-too-long",
    /// More rejects are being delayed than `delayed_rejects_max`.
    DelayedRejectsFull = "delayed-rejects-full",
    /// A duplicate of an answered request whose reply could not be kept; unsigned ones only.
    ReplyNotKept = "reply-not-kept",
    /// What it waited for, a password hashed or a record stored, had not come within `request_timeout`.
    EffectTimedOut = "effect-timed-out",
    /// The line of passwords to be hashed is full.
    HashLineFull = "hash-line-full",
    /// The line of records to be stored is full.
    StoreLineFull = "store-line-full",
    /// Its record could not be stored: the disk is full, or failed.
    NotStored = "not-stored",
    /// Its record would pass 131 072 octets.
    RecordTooLong = "record-too-long",
    /// The line of records to be written into the spool is full.
    SpoolLineFull = "spool-line-full",
    /// The spool holds as much as it may.
    SpoolFull = "spool-full",
    /// Its record could not be written into the spool: the disk is full, or failed, or there is no spool.
    NotSpooled = "not-spooled",
    /// Its stream was closed before it was answered (RFC 6613 §2.6.1).
    ConnectionClosed = "connection-closed",
    /// Its stream was closed before it was known whose it is.
    StrangerGone = "stranger-gone",
}

impl Discard {
    /// Whether a packet that is discarded for this reason might be taken later: a stream's then waits.
    pub const fn wants_room(self) -> bool {
        matches!(
            self,
            Discard::WorkerFull
                | Discard::WorkerFullAccounting
                | Discard::WorkerFullOngoing
                | Discard::NoBuffer
                | Discard::DedupFull
        )
    }

    /// Whether a packet that is discarded for this reason ends the stream that it came by.
    ///
    /// RFC 6613 §2.6.4: what is malformed or not to be believed ends it, and who is unknown; what is only not taken here does not,
    /// nor what there is no room for. A stranger's connection ends with its packet also where a look-up had no room, or failed:
    /// nothing may be sent again on it (RFC 6613 §2.6.1), so that its peer could only wait.
    pub const fn ends_stream(self) -> bool {
        match self {
            Discard::TooShort
            | Discard::BadLength
            | Discard::Truncated
            | Discard::BadAttribute
            | Discard::SeveralMessageAuthenticators
            | Discard::BadMessageAuthenticatorLength
            | Discard::SeveralStates
            | Discard::UnknownClient
            | Discard::NoClientRule
            | Discard::NoLookUpKey
            | Discard::ClientDenied
            | Discard::UnsignedStranger
            | Discard::UnsignedBehindNat
            | Discard::StrangersTooFast
            | Discard::StrangersFull
            | Discard::StrangerWaited
            | Discard::LookUpLimit
            | Discard::LookUpLineFull
            | Discard::LookUpFailed
            | Discard::LookUpTimedOut
            | Discard::HeldDuplicate
            | Discard::HeldFull
            | Discard::ClientsFull
            | Discard::ConnectionsFull
            | Discard::AddressesFull
            | Discard::Replayed
            | Discard::BadMessageAuthenticator
            | Discard::BadRequestAuthenticator
            | Discard::MessageAuthenticatorRequired
            | Discard::UnsignedStatusServer
            | Discard::UnsignedEap
            | Discard::UnsignedProxyState => true,
            Discard::UnknownCode
            | Discard::UnexpectedCode
            | Discard::ClientTooFast
            | Discard::WorkerFull
            | Discard::WorkerFullAccounting
            | Discard::WorkerFullOngoing
            | Discard::NoBuffer
            | Discard::DedupFull
            | Discard::TransmitQueueFull
            | Discard::StrayRingFull
            | Discard::TooOld
            | Discard::WaitedTooLong
            | Discard::NoAccountingRule
            | Discard::NoRoute
            | Discard::NoAnswer
            | Discard::NoServerAlive
            | Discard::OutstandingFull
            | Discard::NoSocket
            | Discard::ForwardTooLong
            | Discard::AnsweredElsewhere
            | Discard::ForwardLoop
            | Discard::NoCoaClient
            | Discard::EventTimestampOutside
            | Discard::NoEventTimestamp
            | Discard::BadHiddenAttribute
            | Discard::ReplyTooLong
            | Discard::EditTooLong
            | Discard::DelayedRejectsFull
            | Discard::ReplyNotKept
            | Discard::EffectTimedOut
            | Discard::HashLineFull
            | Discard::StoreLineFull
            | Discard::NotStored
            | Discard::RecordTooLong
            | Discard::SpoolLineFull
            | Discard::SpoolFull
            | Discard::NotSpooled
            | Discard::ConnectionClosed
            | Discard::StrangerGone => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_numbers_are_places() {
        let names: BTreeSet<_> = Discard::ALL.iter().map(|discard| discard.name()).collect();
        assert_eq!(names.len(), Discard::COUNT);
        for (place, discard) in Discard::ALL.iter().enumerate() {
            assert_eq!(*discard as usize, place);
        }
    }
}
