//! Whether a packet comes from one who has the secret: Request, Response and Message-Authenticator.
//!
//! RFC 2865 §3, RFC 2866 §3, RFC 2869 §5.14, RFC 3579 §3.2, RFC 5176 §2.3 and §3.4, RFC 5997 §3; against forged
//! replies (BlastRADIUS) what draft-ietf-radext-deprecating-radius asks for. All comparisons are in constant time.

use crate::packet::{
    AUTHENTICATOR_OCTETS, AuthenticatorKind, Code, Framed, HEADER_OCTETS, Landmark, ReplyError, Secret,
    SecretIndex, Secrets, VerifyError,
};
use crate::seeded::{self, Bug};
use subtle::ConstantTimeEq;

/// What is asked of a client's Access-Requests beyond the RFCs; by configuration, never learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Requirements {
    /// Each carries a Message-Authenticator.
    pub require_message_authenticator: bool,
    /// One that carries Proxy-State carries a Message-Authenticator.
    pub limit_proxy_state: bool,
}

/// A request that its client may have sent: nothing in it speaks against a secret of that client.
///
/// Made by [`Framed::verify_request`] only. An Access-Request without Message-Authenticator has nothing to be verified
/// by; it is here, too, if the client's [`Requirements`] allow it, and says so by [`Verified::signed`].
#[derive(Debug, Clone, Copy)]
pub struct Verified<'a> {
    framed: Framed<'a>,
    code: Code,
    secret_index: SecretIndex,
    signed: bool,
}

impl<'a> Verified<'a> {
    /// The packet.
    #[inline]
    pub fn framed(&self) -> &Framed<'a> {
        &self.framed
    }

    /// Its code, that of a request.
    #[inline]
    pub fn code(&self) -> Code {
        self.code
    }

    /// Which of the client's secrets verified it; the reply is signed with the same. The newest if nothing is signed.
    #[inline]
    pub fn secret_index(&self) -> SecretIndex {
        self.secret_index
    }

    /// Whether a Message-Authenticator or a Request Authenticator proves that the sender has the secret.
    #[inline]
    pub fn signed(&self) -> bool {
        self.signed
    }
}

/// A reply that comes from one who has the secret, to the request whose authenticator it was verified against.
///
/// Made by [`Framed::verify_reply`] only.
#[derive(Debug, Clone, Copy)]
pub struct VerifiedReply<'a> {
    framed: Framed<'a>,
    code: Code,
}

impl<'a> VerifiedReply<'a> {
    /// The packet.
    #[inline]
    pub fn framed(&self) -> &Framed<'a> {
        &self.framed
    }

    /// Its code, that of a reply.
    #[inline]
    pub fn code(&self) -> Code {
        self.code
    }
}

impl<'a> Framed<'a> {
    /// Verifies a request under one of its client's secrets.
    ///
    /// What the client's flags forbid is refused before anything is computed. A Message-Authenticator is verified
    /// wherever it stands (its place is never a reason to drop); Request Authenticators of accounting, CoA and Disconnect
    /// always are. Costs one HMAC-MD5 or MD5 over the packet, or both; twice with two secrets.
    ///
    /// # Errors
    /// [`VerifyError`]; each asks for a silent discard.
    pub fn verify_request(
        self,
        secrets: &Secrets,
        requirements: Requirements,
    ) -> Result<Verified<'a>, VerifyError> {
        let no_request = VerifyError::NotARequest { code: self.code_octet() };
        let code = self.code().ok_or(no_request)?;
        let is_signed = self.layout().has(Landmark::MessageAuthenticator);
        let secret_index = match code.authenticator_kind() {
            AuthenticatorKind::Random if is_signed => self.secret_of_random_authenticator(secrets)?,
            AuthenticatorKind::Random => {
                self.may_be_unsigned(code, requirements)?;
                return Ok(Verified { framed: self, code, secret_index: SecretIndex::NEWEST, signed: false });
            }
            // RFC 3579 §3.3: in any packet type EAP-Message asks for a Message-Authenticator.
            AuthenticatorKind::Computed if !is_signed && self.layout().has(Landmark::EapMessage) => {
                return Err(VerifyError::UnsignedEap);
            }
            AuthenticatorKind::Computed => self.secret_of_computed_authenticator(secrets)?,
            AuthenticatorKind::Response | AuthenticatorKind::Undefined => return Err(no_request),
        };
        Ok(Verified { framed: self, code, secret_index, signed: true })
    }

    /// Whether a request that nothing proves, without Message-Authenticator, is to be taken at all.
    fn may_be_unsigned(&self, code: Code, requirements: Requirements) -> Result<(), VerifyError> {
        // RFC 5997 §3: without one it could be forged by anyone.
        if code == Code::StatusServer {
            return Err(VerifyError::UnsignedStatusServer);
        }
        if requirements.require_message_authenticator {
            return Err(VerifyError::MessageAuthenticatorRequired);
        }
        // RFC 3579 §3.1.
        if self.layout().has(Landmark::EapMessage) {
            return Err(VerifyError::UnsignedEap);
        }
        // BlastRADIUS needs an attribute whose octets the forger chooses and the server returns.
        if requirements.limit_proxy_state && self.layout().has(Landmark::ProxyState) {
            return Err(VerifyError::UnsignedProxyState);
        }
        Ok(())
    }

    /// The secret of an Access-Request or Status-Server, whose Request Authenticator is random: only the
    /// Message-Authenticator, which is there, can tell (RFC 3579 §3.2, RFC 5997 §3).
    fn secret_of_random_authenticator(&self, secrets: &Secrets) -> Result<SecretIndex, VerifyError> {
        secrets
            .iter()
            .find(|(_, secret)| self.message_authenticator_holds(secret, self.authenticator()))
            .map(|(index, _)| index)
            .ok_or(VerifyError::BadMessageAuthenticator)
    }

    /// The secret of accounting, CoA or Disconnect, whose Request Authenticator is computed (RFC 2866 §3, RFC 5176
    /// §2.3). Their Message-Authenticator, if any, is computed before it, over zeros in its place (RFC 5176 §3.4;
    /// no RFC says so of accounting, where there should be none, but its order can be no other).
    fn secret_of_computed_authenticator(&self, secrets: &Secrets) -> Result<SecretIndex, VerifyError> {
        let (index, secret) = secrets
            .iter()
            .find(|(_, secret)| {
                same(&packet_digest(secret, self.octets(), &NO_AUTHENTICATOR), self.authenticator())
            })
            .ok_or(VerifyError::BadRequestAuthenticator)?;
        if !self.message_authenticator_holds(secret, &NO_AUTHENTICATOR) {
            return Err(VerifyError::BadMessageAuthenticator);
        }
        Ok(index)
    }

    /// Verifies a reply to a request that carried `request_authenticator`. That its Identifier and path are those of the
    /// request is for the caller, who has found the request by them.
    ///
    /// `require_message_authenticator` asks one of replies to Access-Requests: Access-Accept, Access-Reject,
    /// Access-Challenge and Protocol-Error; replies to accounting, CoA and Disconnect are not concerned.
    ///
    /// # Errors
    /// [`ReplyError`]; each asks for a silent discard that leaves the request's timers as they are.
    pub fn verify_reply(
        self,
        secret: &Secret,
        request_authenticator: &[u8; AUTHENTICATOR_OCTETS],
        require_message_authenticator: bool,
    ) -> Result<VerifiedReply<'a>, ReplyError> {
        let Some(code) = self.code().filter(|code| code.authenticator_kind() == AuthenticatorKind::Response)
        else {
            return Err(ReplyError::NotAReply { code: self.code_octet() });
        };
        let to_access_request = matches!(
            code,
            Code::AccessAccept | Code::AccessReject | Code::AccessChallenge | Code::ProtocolError
        );
        if !self.layout().has(Landmark::MessageAuthenticator) {
            if require_message_authenticator && to_access_request {
                return Err(ReplyError::MessageAuthenticatorRequired);
            }
            // RFC 3579 §3.1.
            if self.layout().has(Landmark::EapMessage) {
                return Err(ReplyError::UnsignedEap);
            }
        }
        if !same(&packet_digest(secret, self.octets(), request_authenticator), self.authenticator()) {
            return Err(ReplyError::BadResponseAuthenticator);
        }
        // RFC 3579 §3.2 and RFC 5176 §3.4 put the Request Authenticator into the field. FreeRADIUS 3 computes those of
        // accounting, CoA and Disconnect replies over zeros; as both prove the secret and the Response Authenticator
        // above ties the reply to its request, these are believed, too.
        let holds = self.message_authenticator_holds(secret, request_authenticator)
            || (!to_access_request && self.message_authenticator_holds(secret, &NO_AUTHENTICATOR));
        if !holds {
            return Err(ReplyError::BadMessageAuthenticator);
        }
        Ok(VerifiedReply { framed: self, code })
    }

    /// Whether the Message-Authenticator, if there is one, is that of the packet with `authenticator` in its field.
    fn message_authenticator_holds(
        &self,
        secret: &Secret,
        authenticator: &[u8; AUTHENTICATOR_OCTETS],
    ) -> bool {
        let Some(offset) = self.layout().offset(Landmark::MessageAuthenticator) else {
            return true;
        };
        if seeded::is(Bug::ForgedPacketBelieved) {
            return true;
        }
        let (before, received, after) = around(self.octets(), offset);
        same(&message_authenticator(secret, before, authenticator, after), received)
    }
}

/// What stands before, in and behind the value of the Message-Authenticator whose header is at `offset`; before includes
/// the packet's header.
fn around(octets: &[u8], offset: usize) -> (&[u8], &[u8; AUTHENTICATOR_OCTETS], &[u8]) {
    let (before, value_on) = octets.split_at(offset + 2);
    let (value, after) =
        value_on.split_first_chunk().expect("framing has seen that the Message-Authenticator has 16 octets");
    (before, value, after)
}

/// HMAC-MD5 over the packet with `authenticator` in its field and zeros between `before` and `after`, where the
/// Message-Authenticator stands (RFC 3579 §3.2).
fn message_authenticator(
    secret: &Secret,
    before: &[u8],
    authenticator: &[u8; AUTHENTICATOR_OCTETS],
    after: &[u8],
) -> [u8; AUTHENTICATOR_OCTETS] {
    secret.hmac([&header_with(before, authenticator), &before[HEADER_OCTETS..], &NO_AUTHENTICATOR, after])
}

/// MD5 over the packet with `authenticator` in its field, then the secret: with zeros the Request Authenticator
/// (RFC 2866 §3), with that of the request the Response Authenticator (RFC 2865 §3).
fn packet_digest(
    secret: &Secret,
    octets: &[u8],
    authenticator: &[u8; AUTHENTICATOR_OCTETS],
) -> [u8; AUTHENTICATOR_OCTETS] {
    secret.md5_at_end([&header_with(octets, authenticator), &octets[HEADER_OCTETS..]])
}

/// The packet's header with another authenticator in it.
#[inline]
fn header_with(octets: &[u8], authenticator: &[u8; AUTHENTICATOR_OCTETS]) -> [u8; HEADER_OCTETS] {
    let mut header = [0; HEADER_OCTETS];
    header[..4].copy_from_slice(&octets[..4]);
    header[4..].copy_from_slice(authenticator);
    header
}

/// Compares in constant time; folded to one word first, since octets would be compared one by one, each behind a barrier
/// of its own.
#[inline]
fn same(computed: &[u8; AUTHENTICATOR_OCTETS], received: &[u8; AUTHENTICATOR_OCTETS]) -> bool {
    let difference = u128::from_ne_bytes(*computed) ^ u128::from_ne_bytes(*received);
    (difference as u64 | (difference >> 64) as u64).ct_eq(&0).into()
}

/// What stands in an authenticator's place while it, or the one after it, is computed.
pub(in crate::packet) const NO_AUTHENTICATOR: [u8; AUTHENTICATOR_OCTETS] = [0; AUTHENTICATOR_OCTETS];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Discard;
    use crate::packet::{Encoder, MessageAuthenticator, number};
    use alloc::vec::Vec;

    const RANDOM: [u8; 16] = *b"sixteen octets!!";

    fn secret(octets: &[u8]) -> Secret {
        Secret::new(octets).expect("not empty")
    }

    fn secrets() -> Secrets {
        Secrets::one(secret(b"testing123"))
    }

    fn request(code: Code, sign: MessageAuthenticator, attributes: &[(u8, &[u8])], with: &Secret) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::request(&mut out, code, 1, &RANDOM, sign);
        for (number, value) in attributes {
            encoder.attribute(*number, value).expect("small attributes fit");
        }
        encoder.finish_request(with);
        out
    }

    fn verify(
        octets: &[u8],
        secrets: &Secrets,
        requirements: Requirements,
    ) -> Result<(u8, bool), VerifyError> {
        let framed = Framed::parse(octets).expect("lengths hold");
        framed
            .verify_request(secrets, requirements)
            .map(|verified| (verified.secret_index().0, verified.signed()))
    }

    const NONE: Requirements =
        Requirements { require_message_authenticator: false, limit_proxy_state: false };
    const SIGNED: Requirements = Requirements { require_message_authenticator: true, ..NONE };
    const LIMITED: Requirements = Requirements { limit_proxy_state: true, ..NONE };
    const EVERY_REQUEST: [Code; 5] = [
        Code::AccessRequest,
        Code::AccountingRequest,
        Code::StatusServer,
        Code::DisconnectRequest,
        Code::CoaRequest,
    ];

    #[test]
    fn signed_requests_verify_under_their_secret_only() {
        // checklist 11, 18, 83
        for code in EVERY_REQUEST {
            let octets = request(code, MessageAuthenticator::First, &[(1, b"bob")], secrets().newest());
            assert_eq!(verify(&octets, &secrets(), SIGNED), Ok((0, true)), "{code}");
            let others = Secrets::one(secret(b"testing124"));
            let error = if code.authenticator_kind() == AuthenticatorKind::Random {
                VerifyError::BadMessageAuthenticator
            } else {
                VerifyError::BadRequestAuthenticator
            };
            assert_eq!(verify(&octets, &others, NONE), Err(error), "{code}");
        }
    }

    #[test]
    fn accounting_needs_no_message_authenticator() {
        // checklist 11
        let octets =
            request(Code::AccountingRequest, MessageAuthenticator::Absent, &[(33, b"p")], secrets().newest());
        let all = Requirements { require_message_authenticator: true, limit_proxy_state: true };
        assert_eq!(verify(&octets, &secrets(), all), Ok((0, true)));
    }

    #[test]
    fn a_wrong_message_authenticator_under_a_right_request_authenticator_is_refused() {
        // checklist 83
        let mut octets =
            request(Code::CoaRequest, MessageAuthenticator::First, &[(1, b"bob")], secrets().newest());
        octets[22] ^= 1;
        let digest = packet_digest(secrets().newest(), &octets, &NO_AUTHENTICATOR);
        octets[4..20].copy_from_slice(&digest);
        assert_eq!(verify(&octets, &secrets(), NONE), Err(VerifyError::BadMessageAuthenticator));
    }

    #[test]
    fn an_unsigned_access_request_is_taken_unless_the_client_must_sign() {
        // checklist 91
        let octets =
            request(Code::AccessRequest, MessageAuthenticator::Absent, &[(1, b"bob")], secrets().newest());
        assert_eq!(verify(&octets, &secrets(), NONE), Ok((0, false)));
        assert_eq!(verify(&octets, &secrets(), LIMITED), Ok((0, false)));
        assert_eq!(verify(&octets, &secrets(), SIGNED), Err(VerifyError::MessageAuthenticatorRequired));
        // The flag speaks first, whatever else is wrong.
        let eap = request(
            Code::AccessRequest,
            MessageAuthenticator::Absent,
            &[(79, b"eap"), (33, b"proxy")],
            secrets().newest(),
        );
        assert_eq!(verify(&eap, &secrets(), SIGNED), Err(VerifyError::MessageAuthenticatorRequired));
    }

    #[test]
    fn status_server_must_be_signed() {
        // checklist 66
        let octets = request(Code::StatusServer, MessageAuthenticator::Absent, &[], secrets().newest());
        assert_eq!(verify(&octets, &secrets(), NONE), Err(VerifyError::UnsignedStatusServer));
        assert_eq!(VerifyError::UnsignedStatusServer.discard(), Discard::UnsignedStatusServer);
    }

    #[test]
    fn eap_must_be_signed() {
        // checklist 19
        for code in [Code::AccessRequest, Code::AccountingRequest, Code::CoaRequest] {
            let octets = request(code, MessageAuthenticator::Absent, &[(79, b"eap")], secrets().newest());
            assert_eq!(verify(&octets, &secrets(), NONE), Err(VerifyError::UnsignedEap), "{code}");
        }
    }

    #[test]
    fn limited_proxy_state_must_be_signed() {
        // checklist 92
        let attributes: &[(u8, &[u8])] = &[(number::PROXY_STATE, b"p")];
        let unsigned =
            request(Code::AccessRequest, MessageAuthenticator::Absent, attributes, secrets().newest());
        assert_eq!(verify(&unsigned, &secrets(), LIMITED), Err(VerifyError::UnsignedProxyState));
        assert_eq!(verify(&unsigned, &secrets(), NONE), Ok((0, false)));
        let signed =
            request(Code::AccessRequest, MessageAuthenticator::First, attributes, secrets().newest());
        assert_eq!(verify(&signed, &secrets(), LIMITED), Ok((0, true)));
    }

    #[test]
    fn a_message_authenticator_may_stand_anywhere() {
        // checklist 93
        let before: &[(u8, &[u8])] = &[(1, b"bob"), (4, &[192, 0, 2, 1]), (33, b"p")];
        for place in 0..=before.len() {
            let mut out = Vec::new();
            let mut encoder = Encoder::as_is(&mut out, 1, 9, &RANDOM);
            for (number, value) in &before[..place] {
                encoder.attribute(*number, value).expect("fits");
            }
            encoder.attribute(number::MESSAGE_AUTHENTICATOR, &[0; 16]).expect("fits");
            for (number, value) in &before[place..] {
                encoder.attribute(*number, value).expect("fits");
            }
            encoder.finish_as_is();
            let offset = Framed::parse(&out)
                .expect("lengths hold")
                .layout()
                .offset(Landmark::MessageAuthenticator)
                .expect("it was written");
            let (head, _, tail) = around(&out, offset);
            let mac = message_authenticator(secrets().newest(), head, &RANDOM, tail);
            out[offset + 2..offset + 18].copy_from_slice(&mac);
            assert_eq!(verify(&out, &secrets(), SIGNED), Ok((0, true)), "place {place}");
        }
    }

    #[test]
    fn while_rotating_the_secret_that_verified_is_told() {
        let old = secret(b"old secret");
        let rotating = Secrets::rotating(secret(b"new secret"), old.clone());
        for code in EVERY_REQUEST {
            let from_old = request(code, MessageAuthenticator::First, &[], &old);
            assert_eq!(verify(&from_old, &rotating, SIGNED), Ok((1, true)), "{code}");
            let from_new = request(code, MessageAuthenticator::First, &[], rotating.newest());
            assert_eq!(verify(&from_new, &rotating, SIGNED), Ok((0, true)), "{code}");
        }
    }

    #[test]
    fn replies_and_unknown_codes_are_no_requests() {
        // checklist 4
        for code in (0..=u8::MAX)
            .filter(|octet| Code::from_octet(*octet).is_none_or(|code| !EVERY_REQUEST.contains(&code)))
        {
            let mut out = Vec::new();
            Encoder::as_is(&mut out, code, 0, &RANDOM).finish_as_is();
            let error = verify(&out, &secrets(), NONE).expect_err("no request");
            assert_eq!(error, VerifyError::NotARequest { code });
            assert_eq!(error.discard(), Discard::UnknownCode);
        }
    }

    fn reply(code: Code, sign: MessageAuthenticator, attributes: &[(u8, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::reply(&mut out, code, 1, sign);
        for (number, value) in attributes {
            encoder.attribute(*number, value).expect("small attributes fit");
        }
        encoder.finish_reply(secrets().newest(), &RANDOM);
        out
    }

    fn verify_reply(octets: &[u8], authenticator: &[u8; 16], require: bool) -> Result<Code, ReplyError> {
        let framed = Framed::parse(octets).expect("lengths hold");
        framed.verify_reply(secrets().newest(), authenticator, require).map(|reply| reply.code())
    }

    #[test]
    fn replies_verify_against_their_request_only() {
        // checklist 8, 18
        for code in [Code::AccessAccept, Code::AccountingResponse, Code::CoaAck, Code::ProtocolError] {
            for sign in [MessageAuthenticator::First, MessageAuthenticator::Absent] {
                let octets = reply(code, sign, &[(18, b"hello")]);
                assert_eq!(verify_reply(&octets, &RANDOM, false), Ok(code));
                assert_eq!(
                    verify_reply(&octets, &[1; 16], false),
                    Err(ReplyError::BadResponseAuthenticator),
                    "{code}"
                );
            }
        }
    }

    #[test]
    fn a_reply_without_message_authenticator_is_refused_where_one_is_required() {
        // checklist 91
        for code in [Code::AccessAccept, Code::AccessReject, Code::AccessChallenge, Code::ProtocolError] {
            let octets = reply(code, MessageAuthenticator::Absent, &[]);
            assert_eq!(verify_reply(&octets, &RANDOM, true), Err(ReplyError::MessageAuthenticatorRequired));
            // The flag speaks first, whatever else is wrong.
            assert_eq!(verify_reply(&octets, &[1; 16], true), Err(ReplyError::MessageAuthenticatorRequired));
        }
        let stored = reply(Code::AccountingResponse, MessageAuthenticator::Absent, &[]);
        assert_eq!(verify_reply(&stored, &RANDOM, true), Ok(Code::AccountingResponse));
    }

    #[test]
    fn a_reply_with_eap_must_be_signed() {
        // checklist 19
        let octets = reply(Code::AccessChallenge, MessageAuthenticator::Absent, &[(79, b"eap")]);
        assert_eq!(verify_reply(&octets, &RANDOM, false), Err(ReplyError::UnsignedEap));
    }

    /// A reply whose Message-Authenticator is over `field`, and whose Response Authenticator is right.
    fn reply_over(code: Code, field: &[u8; 16]) -> Vec<u8> {
        let mut octets = reply(code, MessageAuthenticator::First, &[(18, b"hello")]);
        let (before, _, after) = around(&octets, HEADER_OCTETS);
        let mac = message_authenticator(secrets().newest(), before, field, after);
        octets[22..38].copy_from_slice(&mac);
        let digest = packet_digest(secrets().newest(), &octets, &RANDOM);
        octets[4..20].copy_from_slice(&digest);
        octets
    }

    #[test]
    fn a_right_response_authenticator_does_not_excuse_a_wrong_message_authenticator() {
        // checklist 18
        for code in [Code::AccessAccept, Code::AccountingResponse] {
            let octets = reply_over(code, &[7; 16]);
            assert_eq!(
                verify_reply(&octets, &RANDOM, true),
                Err(ReplyError::BadMessageAuthenticator),
                "{code}"
            );
        }
    }

    #[test]
    fn a_message_authenticator_over_zeros_is_believed_of_accounting_and_coa_only() {
        assert_eq!(verify_reply(&reply_over(Code::CoaAck, &[0; 16]), &RANDOM, true), Ok(Code::CoaAck));
        assert_eq!(
            verify_reply(&reply_over(Code::AccessAccept, &[0; 16]), &RANDOM, true),
            Err(ReplyError::BadMessageAuthenticator)
        );
    }

    #[test]
    fn requests_are_no_replies() {
        for code in EVERY_REQUEST {
            let octets = request(code, MessageAuthenticator::First, &[], secrets().newest());
            assert_eq!(
                verify_reply(&octets, &RANDOM, false),
                Err(ReplyError::NotAReply { code: code.octet() })
            );
        }
    }
}
