//! The packet that is sent: written from attributes, or octets as they were given. The rules about octets are core's.

use ulna_core::attributes::text::{self, Assignment, Sealing};
use ulna_core::dictionary::Dictionary;
use ulna_core::packet::chap::{CHAP_PASSWORD_OCTETS, chap_password};
use ulna_core::packet::hidden::Hop;
use ulna_core::packet::{
    AUTHENTICATOR_OCTETS, AuthenticatorKind, Code, Encoder, HEADER_OCTETS, Oid, PACKET_OCTETS_MAX, Secret,
    number,
};
use zeroize::Zeroizing;

use super::Placement;

/// How a packet is to be written.
pub struct Form {
    pub kind: Kind,
    pub identifier: Option<u8>,
    pub authenticator: Option<[u8; AUTHENTICATOR_OCTETS]>,
    pub placement: Option<Placement>,
    pub chap: bool,
}

/// A packet and what its reply is matched and verified by.
pub struct Request {
    pub octets: Vec<u8>,
    authenticator: [u8; AUTHENTICATOR_OCTETS],
    is_raw: bool,
}

/// The code of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(u8);

impl Kind {
    pub fn parse(text: &str) -> Result<Kind, String> {
        let code = match text {
            "auth" => Code::AccessRequest,
            "accounting" => Code::AccountingRequest,
            "status" => Code::StatusServer,
            "coa" => Code::CoaRequest,
            "disconnect" => Code::DisconnectRequest,
            number => {
                // It may be an attribute with a password: it is not shown.
                return number.parse().map(Kind).map_err(|_| {
                    "KIND comes before the attributes: auth, accounting, status, coa, disconnect, or the number of a code"
                        .into()
                });
            }
        };
        Ok(Kind(code.octet()))
    }

    fn code(self) -> Option<Code> {
        Code::from_octet(self.0)
    }

    fn has_computed_authenticator(self) -> bool {
        self.code().is_some_and(|code| code.authenticator_kind() == AuthenticatorKind::Computed)
    }

    /// RFC 2869 §5.14 and RFC 5997 §3: of all requests these two have a random authenticator, which proves nothing.
    fn default_placement(self) -> Placement {
        match self.code() {
            Some(Code::AccessRequest | Code::StatusServer) => Placement::First,
            _ => Placement::Off,
        }
    }
}

impl Form {
    /// Writes and signs it. `chance` is random: authenticator, Identifier, CHAP identifier and first salt.
    pub fn write(
        &self,
        dictionary: &Dictionary,
        mut assignments: Vec<Assignment<'_>>,
        secret: &Secret,
        chance: &[u8; AUTHENTICATOR_OCTETS + 4],
    ) -> Result<Request, String> {
        let (random, [identifier, chap_identifier, salt @ ..]) = chance
            .split_first_chunk::<AUTHENTICATOR_OCTETS>()
            .map(|(random, rest)| (*random, <[u8; 4]>::try_from(rest).expect("four octets are left")))
            .expect("it has more octets");
        let computed = self.kind.has_computed_authenticator() && self.authenticator.is_none();
        // While attributes are hidden a computed authenticator is not there yet: it is over them. Zeros stand for it, as
        // FreeRADIUS has it.
        let authenticator = self.authenticator.unwrap_or(if computed { [0; 16] } else { random });
        self.answer_challenge(&mut assignments, chap_identifier, computed, &authenticator)?;

        let asked_at = assignments.iter().position(asks_for_message_authenticator);
        if asked_at.is_some() && self.placement.is_some() {
            return Err(
                "Message-Authenticator stands among the attributes and --message-authenticator says it again"
                    .into(),
            );
        }
        let sealing = |skipped: usize| Sealing {
            hop: Hop { secret, request_authenticator: &authenticator },
            salt: u16::from_be_bytes(salt).wrapping_add(skipped as u16),
        };
        let mut octets = Vec::with_capacity(PACKET_OCTETS_MAX);
        let identifier = self.identifier.unwrap_or(identifier);
        let mut encoder = Encoder::as_is(&mut octets, self.kind.0, identifier, &authenticator);
        let has_one = assignments.iter().any(|assignment| assignment.oid == MESSAGE_AUTHENTICATOR);
        let default = if has_one { Placement::Off } else { self.kind.default_placement() };
        let placement = self.placement.unwrap_or(default);
        let refused = |error: ulna_core::packet::EncodeError| error.to_string();
        let write = |encoder: &mut Encoder<'_>, assignments: &[Assignment<'_>], skipped: usize| {
            let mut attributes = Zeroizing::new(Vec::new());
            let written = text::write(dictionary, assignments, Some(sealing(skipped)), &mut attributes);
            written.map_err(|error| match error.attribute {
                Some(attribute) => format!("`{attribute}`: {}", error.fault),
                None => error.fault.to_string(),
            })?;
            encoder.raw(&attributes).map_err(refused)
        };
        match asked_at {
            Some(at) => {
                if assignments[at + 1..].iter().any(asks_for_message_authenticator) {
                    return Err(
                        "one Message-Authenticator can be computed; a further one needs its 16 octets, \
                                `Attr-80 = 0x…`"
                            .into(),
                    );
                }
                write(&mut encoder, &assignments[..at], 0)?;
                encoder.message_authenticator().map_err(refused)?;
                write(&mut encoder, &assignments[at + 1..], at + 1)?;
            }
            None => {
                if placement == Placement::First {
                    encoder.message_authenticator().map_err(refused)?;
                }
                write(&mut encoder, &assignments, 0)?;
                if placement == Placement::Last {
                    encoder.message_authenticator().map_err(refused)?;
                }
            }
        }
        let authenticator = if computed {
            encoder.finish_request(secret)
        } else {
            encoder.finish_request_as_is(secret);
            authenticator
        };
        Ok(Request { octets, authenticator, is_raw: false })
    }

    /// Makes CHAP-Password of a password, where that is asked for by the switch or by a value that is none.
    fn answer_challenge(
        &self,
        assignments: &mut [Assignment<'_>],
        identifier: u8,
        computed: bool,
        authenticator: &[u8; AUTHENTICATOR_OCTETS],
    ) -> Result<(), String> {
        let is = |assignment: &Assignment<'_>, number: u8| {
            assignment.attribute.is_some() && assignment.oid == Oid::standard(number)
        };
        let challenge =
            assignments.iter().find(|assignment| assignment.oid == Oid::standard(number::CHAP_CHALLENGE));
        let challenge = challenge.map(|assignment| assignment.value.clone());
        let mut done = false;
        for assignment in assignments {
            let password = self.chap && is(assignment, number::USER_PASSWORD);
            let chap =
                is(assignment, number::CHAP_PASSWORD) && assignment.value.len() != CHAP_PASSWORD_OCTETS;
            if !password && !chap {
                continue;
            }
            let challenge = match &challenge {
                Some(challenge) => challenge.as_slice(),
                None if computed => {
                    return Err("CHAP in a packet whose authenticator is computed needs CHAP-Challenge among the attributes".into());
                }
                None => authenticator,
            };
            let plain = Zeroizing::new(std::mem::take(&mut assignment.value));
            assignment.value = chap_password(identifier, challenge, &plain).into();
            assignment.oid = Oid::standard(number::CHAP_PASSWORD);
            assignment.attribute = None;
            done = true;
        }
        if self.chap && !done {
            return Err("--chap needs User-Password among the attributes".into());
        }
        Ok(())
    }
}

/// `Message-Authenticator = 0x00`, as radclient's users write it, or one of zeros: it is computed.
fn asks_for_message_authenticator(assignment: &Assignment<'_>) -> bool {
    let named = assignment.attribute.is_some() && assignment.oid == MESSAGE_AUTHENTICATOR;
    let is_one =
        assignment.value.len() == AUTHENTICATOR_OCTETS && assignment.value.iter().any(|octet| *octet != 0);
    named && !is_one
}

impl Request {
    /// Octets that are sent as they are, whatever they are.
    pub fn raw(octets: Vec<u8>) -> Result<Request, String> {
        if octets.len() > DATAGRAM_OCTETS_MAX {
            return Err(format!(
                "a datagram has at most {DATAGRAM_OCTETS_MAX} octets, found {}",
                octets.len()
            ));
        }
        let authenticator = octets.get(4..HEADER_OCTETS).and_then(|field| field.try_into().ok());
        Ok(Request { octets, authenticator: authenticator.unwrap_or_default(), is_raw: true })
    }

    /// What the reply's Response Authenticator is over, and hidden values in it are hidden with.
    pub fn authenticator(&self) -> &[u8; AUTHENTICATOR_OCTETS] {
        &self.authenticator
    }

    /// That a reply must have; `None` of octets that have none.
    pub fn identifier(&self) -> Option<u8> {
        self.octets.get(1).copied()
    }

    fn code(&self) -> Option<Code> {
        self.octets.first().and_then(|octet| Code::from_octet(*octet))
    }

    /// Whether a packet of this code answers this one.
    pub fn is_answered_by(&self, code: Code) -> bool {
        let codes: &[Code] = match self.code() {
            Some(Code::AccessRequest) => &[Code::AccessAccept, Code::AccessReject, Code::AccessChallenge],
            Some(Code::AccountingRequest) => &[Code::AccountingResponse],
            Some(Code::CoaRequest) => &[Code::CoaAck, Code::CoaNak],
            Some(Code::DisconnectRequest) => &[Code::DisconnectAck, Code::DisconnectNak],
            // RFC 5997 §4.1: whatever verifies as the answer to a Status-Server is a sign of life.
            _ => return true,
        };
        code == Code::ProtocolError || codes.contains(&code)
    }

    /// What the packet is called in messages.
    pub fn name(&self) -> String {
        match (self.code(), self.octets.first()) {
            (Some(code), _) => code.to_string(),
            (None, Some(octet)) => format!("packet of code {octet}"),
            (None, None) => "packet".into(),
        }
    }

    /// RFC 2865 §3, RFC 2866 §3, RFC 5176 §2.1.
    pub fn default_port(&self) -> u16 {
        match self.code() {
            Some(Code::AccountingRequest) => 1813,
            Some(Code::CoaRequest | Code::DisconnectRequest) => 3799,
            _ => 1812,
        }
    }

    /// RFC 5997 §4.1: Status-Server is not retransmitted. What is exact should not be more.
    pub fn default_retries(&self) -> u8 {
        if self.is_raw || self.code() == Some(Code::StatusServer) { 0 } else { 2 }
    }
}

const MESSAGE_AUTHENTICATOR: Oid = Oid::standard(number::MESSAGE_AUTHENTICATOR);

/// What fits into one over IPv4.
const DATAGRAM_OCTETS_MAX: usize = 65_507;
