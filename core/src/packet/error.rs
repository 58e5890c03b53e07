//! Why a packet is dropped before anyone acts on it, and the [`Discard`] under which that is counted.
//!
//! All of them reach no further than this packet on UDP; on a stream RFC 6613 §2.6.4 says which end the connection.

use crate::Discard;
use crate::packet::{HEADER_OCTETS, PACKET_OCTETS_MAX};
use core::fmt;

/// Why octets are not a packet. The peer's fault; each is a silent discard of the whole packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// Fewer octets than a header has.
    TooShort {
        /// How many arrived.
        octets: usize,
    },
    /// Length is below 20 or above 4 096.
    BadLength {
        /// The Length field.
        length: u16,
    },
    /// Fewer octets arrived than Length says.
    Truncated {
        /// The Length field.
        length: u16,
        /// How many arrived.
        octets: usize,
    },
    /// An attribute's length does not even count its own header.
    BadAttributeLength {
        /// Its number.
        attribute: u8,
        /// Where it begins in the packet.
        offset: u16,
        /// Its length octet: 0 or 1.
        length: u8,
    },
    /// An attribute passes the end of the packet.
    AttributeOverrun {
        /// Its number.
        attribute: u8,
        /// Where it begins in the packet.
        offset: u16,
    },
    /// A second Message-Authenticator.
    SeveralMessageAuthenticators {
        /// Where the second begins in the packet.
        offset: u16,
    },
    /// A Message-Authenticator whose value is not 16 octets.
    BadMessageAuthenticatorLength {
        /// Where it begins in the packet.
        offset: u16,
        /// Its length octet, which should be 18.
        length: u8,
    },
    /// A second State.
    SeveralStates {
        /// Where the second begins in the packet.
        offset: u16,
    },
}

impl FrameError {
    /// The name under which this is counted.
    pub const fn discard(self) -> Discard {
        match self {
            FrameError::TooShort { .. } => Discard::TooShort,
            FrameError::BadLength { .. } => Discard::BadLength,
            FrameError::Truncated { .. } => Discard::Truncated,
            FrameError::BadAttributeLength { .. } | FrameError::AttributeOverrun { .. } => {
                Discard::BadAttribute
            }
            FrameError::SeveralMessageAuthenticators { .. } => Discard::SeveralMessageAuthenticators,
            FrameError::BadMessageAuthenticatorLength { .. } => Discard::BadMessageAuthenticatorLength,
            FrameError::SeveralStates { .. } => Discard::SeveralStates,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            FrameError::TooShort { octets } => {
                write!(f, "{octets} octets are fewer than a header of {HEADER_OCTETS}")
            }
            FrameError::BadLength { length } => {
                write!(f, "Length {length} is not within {HEADER_OCTETS} to {PACKET_OCTETS_MAX}")
            }
            FrameError::Truncated { length, octets } => {
                write!(f, "Length says {length} octets, {octets} arrived")
            }
            FrameError::BadAttributeLength { attribute, offset, length } => {
                write!(f, "attribute {attribute} at octet {offset} has length {length}, below 2")
            }
            FrameError::AttributeOverrun { attribute, offset } => {
                write!(f, "attribute {attribute} at octet {offset} passes the end of the packet")
            }
            FrameError::SeveralMessageAuthenticators { offset } => {
                write!(f, "a second Message-Authenticator at octet {offset}")
            }
            FrameError::BadMessageAuthenticatorLength { offset, length } => {
                write!(f, "the Message-Authenticator at octet {offset} has length {length}, not 18")
            }
            FrameError::SeveralStates { offset } => write!(f, "a second State at octet {offset}"),
        }
    }
}

impl core::error::Error for FrameError {}

/// Why a request is not believed. Each is a silent discard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyError {
    /// Not a code that a server takes.
    NotARequest {
        /// The packet's first octet.
        code: u8,
    },
    /// An Access-Request without Message-Authenticator, from a client that must send one.
    MessageAuthenticatorRequired,
    /// Status-Server without Message-Authenticator (RFC 5997 §3).
    UnsignedStatusServer,
    /// EAP-Message without Message-Authenticator (RFC 3579 §3.1 and §3.3).
    UnsignedEap,
    /// An Access-Request with Proxy-State and without Message-Authenticator, from a client with `limit_proxy_state`.
    UnsignedProxyState,
    /// The Message-Authenticator verifies under none of the secrets.
    BadMessageAuthenticator,
    /// The Request Authenticator verifies under none of the secrets (RFC 2866 §3).
    BadRequestAuthenticator,
}

impl VerifyError {
    /// The name under which this is counted.
    pub const fn discard(self) -> Discard {
        match self {
            VerifyError::NotARequest { .. } => Discard::UnknownCode,
            VerifyError::MessageAuthenticatorRequired => Discard::MessageAuthenticatorRequired,
            VerifyError::UnsignedStatusServer => Discard::UnsignedStatusServer,
            VerifyError::UnsignedEap => Discard::UnsignedEap,
            VerifyError::UnsignedProxyState => Discard::UnsignedProxyState,
            VerifyError::BadMessageAuthenticator => Discard::BadMessageAuthenticator,
            VerifyError::BadRequestAuthenticator => Discard::BadRequestAuthenticator,
        }
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VerifyError::NotARequest { code } => return write!(f, "code {code} is not that of a request"),
            VerifyError::MessageAuthenticatorRequired => {
                "no Message-Authenticator, which this client must send"
            }
            VerifyError::UnsignedStatusServer => "Status-Server without Message-Authenticator",
            VerifyError::UnsignedEap => "EAP-Message without Message-Authenticator",
            VerifyError::UnsignedProxyState => "Proxy-State without Message-Authenticator",
            VerifyError::BadMessageAuthenticator => {
                "the Message-Authenticator is wrong: other secret, or forged"
            }
            VerifyError::BadRequestAuthenticator => {
                "the Request Authenticator is wrong: other secret, or forged"
            }
        })
    }
}

impl core::error::Error for VerifyError {}

/// Why a reply is not believed. Each is a silent discard: the request waits on as if nothing had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyError {
    /// Not a code that answers anything.
    NotAReply {
        /// The packet's first octet.
        code: u8,
    },
    /// No Message-Authenticator, which this server must send.
    MessageAuthenticatorRequired,
    /// EAP-Message without Message-Authenticator (RFC 3579 §3.1).
    UnsignedEap,
    /// The Response Authenticator does not verify (RFC 2865 §3).
    BadResponseAuthenticator,
    /// The Message-Authenticator does not verify (RFC 3579 §3.2).
    BadMessageAuthenticator,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReplyError::NotAReply { code } => return write!(f, "code {code} is not that of a reply"),
            ReplyError::MessageAuthenticatorRequired => {
                "no Message-Authenticator, which this server must send"
            }
            ReplyError::UnsignedEap => "EAP-Message without Message-Authenticator",
            ReplyError::BadResponseAuthenticator => {
                "the Response Authenticator is wrong: other secret, or forged"
            }
            ReplyError::BadMessageAuthenticator => {
                "the Message-Authenticator is wrong: other secret, or forged"
            }
        })
    }
}

impl core::error::Error for ReplyError {}
