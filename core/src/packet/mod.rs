//! RADIUS packets as octets: framed, verified, read, written, signed.
//!
//! A datagram becomes [`Framed`] when its lengths hold (no secret needed), and [`Verified`] when its authenticators do.
//! Both borrow the datagram; neither allocates. The way out is [`Encoder`], which writes into the caller's buffer.
//! Knows no client, no policy and no dictionary: values are octets here, and what could stand in them is a rule apart
//! (`types`, `tagged`, `tlv`, `vendor`, `extended`), applied where a dictionary says so: the room `attributes`.
//!
//! RFC 2865 §3 and §5 (packet and attributes), RFC 2866 §3 (accounting), RFC 2869 §5.14 and RFC 3579 §3.2
//! (Message-Authenticator), RFC 5176 §2.3 and §3.4 (CoA and Disconnect), RFC 5997 §3 (Status-Server),
//! RFC 2868 §3 (tags), RFC 6929 §2 (extended attributes), RFC 8044 §3 (data types).

mod attributes;
mod authenticator;
pub mod chap;
mod code;
mod encode;
mod error;
mod error_cause;
pub mod extended;
mod frame;
pub mod hidden;
mod layout;
mod oid;
mod secret;
pub mod tagged;
pub mod tlv;
mod types;
pub mod vendor;
mod verify_law;

pub use attributes::{Attribute, Attributes, BadAttribute, number};
pub use authenticator::{Requirements, Verified, VerifiedReply};
pub use code::{AuthenticatorKind, Code};
pub use encode::{EncodeError, Encoder, MessageAuthenticator};
pub use error::{FrameError, ReplyError, VerifyError};
pub use error_cause::ErrorCause;
pub use frame::Framed;
#[doc(hidden)]
pub use frame::frame_law;
pub use layout::{Landmark, Layout};
pub use oid::{BadOid, OID_DEPTH_MAX, Oid};
pub use secret::{EmptySecret, Secret, SecretIndex, Secrets};
pub use types::DataType;
pub use vendor::VendorFormat;
#[doc(hidden)]
pub use verify_law::verify_law;

/// Octets before the first attribute: code, identifier, length, authenticator (RFC 2865 §3).
pub const HEADER_OCTETS: usize = 20;
/// The most that a packet may have (RFC 2865 §3).
pub const PACKET_OCTETS_MAX: usize = 4096;
/// The most that one attribute's value may have: its length is one octet and counts two of its own (RFC 2865 §5).
pub const VALUE_OCTETS_MAX: usize = 253;
/// An authenticator, of request, response or message: one MD5 (RFC 2865 §3, RFC 2869 §5.14).
pub const AUTHENTICATOR_OCTETS: usize = 16;
