//! The code of a packet: what it asks or answers. RFC 2865 §3, RFC 2866 §3, RFC 5176 §2, RFC 7930 §4.

use core::fmt;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $octet:literal, $name:literal;)+) => {
        /// A code that ulna knows. Others are dropped without an answer (RFC 2865 §3).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Code { $($(#[doc = $doc])+ $variant = $octet,)+ }

        impl Code {
            /// Every known code, ascending.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)+];

            /// The code of this octet, if it is a known one.
            #[inline]
            pub const fn from_octet(octet: u8) -> Option<Code> {
                match octet {
                    $($octet => Some(Code::$variant),)+
                    _ => None,
                }
            }

            /// Its name in the RFCs.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)+ }
            }
        }
    };
}

codes! {
    /// A user wants in (RFC 2865 §4.1).
    AccessRequest = 1, "Access-Request";
    /// The user is let in; also answers Status-Server on an authentication port (RFC 2865 §4.2, RFC 5997 §3).
    AccessAccept = 2, "Access-Accept";
    /// The user is refused (RFC 2865 §4.3).
    AccessReject = 3, "Access-Reject";
    /// Use to be recorded (RFC 2866 §4.1).
    AccountingRequest = 4, "Accounting-Request";
    /// The record is stored (RFC 2866 §4.2).
    AccountingResponse = 5, "Accounting-Response";
    /// Another round is needed (RFC 2865 §4.4).
    AccessChallenge = 11, "Access-Challenge";
    /// Is the server alive? (RFC 5997 §3)
    StatusServer = 12, "Status-Server";
    /// Reserved, never used (RFC 2865 §3).
    StatusClient = 13, "Status-Client";
    /// End a user's session (RFC 5176 §2.1).
    DisconnectRequest = 40, "Disconnect-Request";
    /// The session has ended (RFC 5176 §2.1).
    DisconnectAck = 41, "Disconnect-ACK";
    /// The session could not be ended (RFC 5176 §2.1).
    DisconnectNak = 42, "Disconnect-NAK";
    /// Change the authorization of a session (RFC 5176 §2.2).
    CoaRequest = 43, "CoA-Request";
    /// It is changed (RFC 5176 §2.2).
    CoaAck = 44, "CoA-ACK";
    /// It could not be changed (RFC 5176 §2.2).
    CoaNak = 45, "CoA-NAK";
    /// The request could not be taken at all (RFC 7930 §4).
    ProtocolError = 52, "Protocol-Error";
}

impl Code {
    /// The octet that stands first in a packet.
    #[inline]
    pub const fn octet(self) -> u8 {
        self as u8
    }

    /// What stands in the Authenticator field of a packet with this code.
    #[inline]
    pub const fn authenticator_kind(self) -> AuthenticatorKind {
        match self {
            // RFC 5997 §3.1: Status-Server has a random one on an accounting port, too.
            Code::AccessRequest | Code::StatusServer => AuthenticatorKind::Random,
            Code::AccountingRequest | Code::DisconnectRequest | Code::CoaRequest => {
                AuthenticatorKind::Computed
            }
            Code::AccessAccept
            | Code::AccessReject
            | Code::AccessChallenge
            | Code::AccountingResponse
            | Code::DisconnectAck
            | Code::DisconnectNak
            | Code::CoaAck
            | Code::CoaNak
            | Code::ProtocolError => AuthenticatorKind::Response,
            Code::StatusClient => AuthenticatorKind::Undefined,
        }
    }

    /// Whether it asks a NAS to change or end a session (RFC 5176 §2).
    #[inline]
    pub const fn is_dynamic_authorization(self) -> bool {
        matches!(self, Code::CoaRequest | Code::DisconnectRequest)
    }

    /// Whether a packet with this code can be the reply to a request with that one. Status-Server is answered as the
    /// requests of its port are (RFC 5997 §3); with Protocol-Error any request may be (RFC 7930 §4).
    #[inline]
    pub const fn answers(self, request: Code) -> bool {
        match self {
            Code::AccessAccept => matches!(request, Code::AccessRequest | Code::StatusServer),
            Code::AccessReject | Code::AccessChallenge => matches!(request, Code::AccessRequest),
            Code::AccountingResponse => matches!(request, Code::AccountingRequest | Code::StatusServer),
            Code::DisconnectAck | Code::DisconnectNak => matches!(request, Code::DisconnectRequest),
            Code::CoaAck | Code::CoaNak => matches!(request, Code::CoaRequest),
            Code::ProtocolError => matches!(
                request.authenticator_kind(),
                AuthenticatorKind::Random | AuthenticatorKind::Computed
            ),
            Code::AccessRequest
            | Code::AccountingRequest
            | Code::StatusServer
            | Code::StatusClient
            | Code::DisconnectRequest
            | Code::CoaRequest => false,
        }
    }
}

/// How the Authenticator field comes about; it tells requests from replies, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticatorKind {
    /// A request's, random: it proves nothing, the Message-Authenticator does (RFC 2865 §3, RFC 5997 §3).
    Random,
    /// A request's, an MD5 over packet and secret (RFC 2866 §3, RFC 5176 §2.3).
    Computed,
    /// A reply's, an MD5 over packet, the request's authenticator and secret (RFC 2865 §3).
    Response,
    /// No RFC says.
    Undefined,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn only_replies_answer_and_only_requests_of_their_kind() {
        let answering = |request: Code| -> Vec<&str> {
            Code::ALL.iter().filter(|code| code.answers(request)).map(|code| code.name()).collect()
        };
        assert_eq!(
            answering(Code::AccessRequest),
            ["Access-Accept", "Access-Reject", "Access-Challenge", "Protocol-Error"]
        );
        assert_eq!(answering(Code::AccountingRequest), ["Accounting-Response", "Protocol-Error"]);
        assert_eq!(
            answering(Code::DisconnectRequest),
            ["Disconnect-ACK", "Disconnect-NAK", "Protocol-Error"]
        );
        assert_eq!(answering(Code::CoaRequest), ["CoA-ACK", "CoA-NAK", "Protocol-Error"]);
        for code in Code::ALL.iter().filter(|code| code.authenticator_kind() == AuthenticatorKind::Response) {
            assert_eq!(answering(*code), [""; 0], "{code} is no request");
        }
        assert_eq!(answering(Code::StatusClient), [""; 0]);
    }

    #[test]
    fn known_octets_are_exactly_those_of_the_codes() {
        let known = (0..=u8::MAX).filter_map(Code::from_octet);
        assert!(known.eq(Code::ALL.iter().copied()));
        for code in Code::ALL {
            assert_eq!(Code::from_octet(code.octet()), Some(*code));
        }
    }
}
