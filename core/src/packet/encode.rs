//! Writing a packet into a buffer that the caller keeps, and signing it. RFC 2865 §3, RFC 3579 §3.2, RFC 5176 §3.4.
//!
//! The Message-Authenticator stands first: attributes that a forger influences then follow it, which is what defeats
//! BlastRADIUS at receivers that do not check it (draft-ietf-radext-deprecating-radius).

use crate::packet::attributes::{Attributes, number};
use crate::packet::authenticator::NO_AUTHENTICATOR;
use crate::packet::hidden;
use crate::packet::{
    AUTHENTICATOR_OCTETS, AuthenticatorKind, Code, Framed, HEADER_OCTETS, PACKET_OCTETS_MAX, Secret,
    VALUE_OCTETS_MAX,
};
use crate::seeded::{self, Bug};
use alloc::vec::Vec;
use core::fmt;

/// Whether a packet that is written gets a Message-Authenticator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageAuthenticator {
    /// As its first attribute: every Access-Request and Status-Server that we send, and every reply to one.
    First,
    /// Not at all.
    Absent,
}

/// Writes one packet of at most 4 096 octets. Until it is finished the buffer holds no packet.
///
/// A buffer with room for 4 096 octets is never reallocated; a smaller one grows. An attribute that does not fit or may
/// not be is refused whole, and the packet is as it was before.
#[derive(Debug)]
#[must_use = "a packet is only a packet when it is finished"]
pub struct Encoder<'b> {
    out: &'b mut Vec<u8>,
    /// Where the header of the Message-Authenticator stands that is computed when the packet is finished; it is zeros
    /// until then.
    reserved: Option<usize>,
    /// Whether a Message-Authenticator that the caller gives is an attribute like any other.
    as_is: bool,
}

impl<'b> Encoder<'b> {
    /// Begins a reply to the request of this identifier. `out` is cleared.
    #[inline]
    pub fn reply(out: &'b mut Vec<u8>, code: Code, identifier: u8, sign: MessageAuthenticator) -> Self {
        Self::begin(out, code.octet(), identifier, &NO_AUTHENTICATOR, Some(sign))
    }

    /// Begins a request. `out` is cleared.
    ///
    /// `authenticator` is random and never used before under this secret (RFC 2865 §3); accounting, CoA and Disconnect
    /// compute theirs in the end and ignore it.
    #[inline]
    pub fn request(
        out: &'b mut Vec<u8>,
        code: Code,
        identifier: u8,
        authenticator: &[u8; AUTHENTICATOR_OCTETS],
        sign: MessageAuthenticator,
    ) -> Self {
        Self::begin(out, code.octet(), identifier, authenticator, Some(sign))
    }

    /// Begins any packet, also one that no one should send: it is written with this code and authenticator as they are,
    /// and a Message-Authenticator is an attribute like any other. For tests, load and `ulna request`. `out` is cleared.
    #[inline]
    pub fn as_is(
        out: &'b mut Vec<u8>,
        code: u8,
        identifier: u8,
        authenticator: &[u8; AUTHENTICATOR_OCTETS],
    ) -> Self {
        Self::begin(out, code, identifier, authenticator, None)
    }

    #[inline]
    fn begin(
        out: &'b mut Vec<u8>,
        code: u8,
        identifier: u8,
        authenticator: &[u8; AUTHENTICATOR_OCTETS],
        sign: Option<MessageAuthenticator>,
    ) -> Self {
        out.clear();
        out.extend_from_slice(&[code, identifier, 0, 0]);
        out.extend_from_slice(authenticator);
        let mut encoder = Encoder { out, reserved: None, as_is: sign.is_none() };
        if sign == Some(MessageAuthenticator::First) {
            encoder.reserve();
        }
        encoder
    }

    /// Adds a Message-Authenticator that is computed when the packet is finished. Of a packet that is written as it is:
    /// any other has its own in the first place, or none.
    ///
    /// # Errors
    /// [`EncodeError::ForeignMessageAuthenticator`] where one is reserved already or none is wanted,
    /// [`EncodeError::PacketFull`].
    pub fn message_authenticator(&mut self) -> Result<(), EncodeError> {
        if !self.as_is || self.reserved.is_some() {
            return Err(EncodeError::ForeignMessageAuthenticator);
        }
        self.room_for(number::MESSAGE_AUTHENTICATOR, 2 + AUTHENTICATOR_OCTETS)?;
        self.reserve();
        Ok(())
    }

    #[inline]
    fn reserve(&mut self) {
        self.reserved = Some(self.out.len());
        self.out.extend_from_slice(&[number::MESSAGE_AUTHENTICATOR, 2 + AUTHENTICATOR_OCTETS as u8]);
        self.out.extend_from_slice(&NO_AUTHENTICATOR);
    }

    /// How many octets of attributes, their headers included, still fit.
    #[inline]
    pub fn room_octets(&self) -> usize {
        PACKET_OCTETS_MAX - self.out.len()
    }

    /// Adds an attribute of 1 to 253 octets.
    ///
    /// # Errors
    /// [`EncodeError::EmptyValue`], [`EncodeError::ValueTooLong`], [`EncodeError::PacketFull`], and
    /// [`EncodeError::ForeignMessageAuthenticator`] unless the packet is written as it is.
    #[inline]
    pub fn attribute(&mut self, number: u8, value: &[u8]) -> Result<(), EncodeError> {
        // RFC 2865 §5: text and string of no octets are not sent, the attribute is left out.
        if value.is_empty() {
            return Err(EncodeError::EmptyValue { attribute: number });
        }
        if value.len() > VALUE_OCTETS_MAX {
            return Err(EncodeError::ValueTooLong { attribute: number, octets: value.len() });
        }
        self.no_foreign_signature(number)?;
        self.room_for(number, value.len() + 2)?;
        self.out.extend_from_slice(&[number, (value.len() + 2) as u8]);
        self.out.extend_from_slice(value);
        Ok(())
    }

    /// Adds attributes that are encoded already: what a proxy passes on. Those without octets pass, too.
    ///
    /// # Errors
    /// [`EncodeError::NotAttributes`], [`EncodeError::PacketFull`] (named after the first of them), and
    /// [`EncodeError::ForeignMessageAuthenticator`] unless the packet is written as it is.
    pub fn raw(&mut self, octets: &[u8]) -> Result<(), EncodeError> {
        let attributes =
            Attributes::parse(octets).map_err(|bad| EncodeError::NotAttributes { offset: bad.offset })?;
        let Some(first) = octets.first() else { return Ok(()) };
        for attribute in attributes {
            self.no_foreign_signature(attribute.number)?;
        }
        self.room_for(*first, octets.len())?;
        self.out.extend_from_slice(octets);
        Ok(())
    }

    /// Adds what `write` writes behind the packet as it is so far: whole attributes, and no Message-Authenticator. For what is
    /// made from other attributes on its way, without a copy between. The buffer grows for what then turns out not to fit.
    ///
    /// # Errors
    /// [`EncodeError::PacketFull`] (named after the first of them); the packet is as it was before then.
    pub(crate) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), EncodeError> {
        let begin = self.out.len();
        let room = self.room_octets();
        write(self.out);
        let written = &self.out[begin..];
        debug_assert!(
            Attributes::parse(written).is_ok_and(|mut all| all
                .all(|attribute| self.no_foreign_signature(attribute.number).is_ok())),
            "whole attributes, and none that signs"
        );
        let octets = written.len();
        if octets > room {
            let attribute = written[0];
            self.out.truncate(begin);
            return Err(EncodeError::PacketFull { attribute, octets, room });
        }
        Ok(())
    }

    /// Adds every Proxy-State of the request that this packet answers, unchanged and in order (RFC 2865 §5.33); also one
    /// without octets, which nobody should send and everybody should return.
    ///
    /// # Errors
    /// [`EncodeError::PacketFull`].
    pub fn proxy_states(&mut self, request: &Framed<'_>) -> Result<(), EncodeError> {
        if seeded::is(Bug::ProxyStateReversed) {
            let states: Vec<_> = request.proxy_states().collect();
            return states.into_iter().rev().try_for_each(|state| self.proxy_state(state));
        }
        request.proxy_states().try_for_each(|state| self.proxy_state(state))
    }

    fn proxy_state(&mut self, value: &[u8]) -> Result<(), EncodeError> {
        if value.is_empty() {
            self.raw(&[number::PROXY_STATE, 2])
        } else {
            self.attribute(number::PROXY_STATE, value)
        }
    }

    /// Adds one EAP packet as so many EAP-Message attributes as it needs, one after the other, all but the last full
    /// (RFC 3579 §3.1): whoever joins and splits it again gets the same pieces.
    ///
    /// # Errors
    /// [`EncodeError::EmptyValue`], [`EncodeError::PacketFull`]; nothing is added then.
    pub fn eap_message(&mut self, packet: &[u8]) -> Result<(), EncodeError> {
        if packet.is_empty() {
            return Err(EncodeError::EmptyValue { attribute: number::EAP_MESSAGE });
        }
        let octets = packet.len() + 2 * packet.len().div_ceil(VALUE_OCTETS_MAX);
        self.room_for(number::EAP_MESSAGE, octets)?;
        for piece in packet.chunks(VALUE_OCTETS_MAX) {
            self.attribute(number::EAP_MESSAGE, piece)?;
        }
        Ok(())
    }

    /// Adds User-Password, hidden under the secret and this request's authenticator (RFC 2865 §5.2). Only for
    /// Access-Requests: others have no authenticator yet.
    ///
    /// # Errors
    /// [`EncodeError::PasswordTooLong`] above 128 octets, [`EncodeError::PacketFull`].
    pub fn user_password(&mut self, password: &[u8], secret: &Secret) -> Result<(), EncodeError> {
        let authenticator = *self.out[4..].first_chunk().expect("the header is written first");
        let mut hidden = [0; hidden::USER_PASSWORD_OCTETS_MAX];
        // Its length is all that a password can be refused for.
        let value = hidden::hide_user_password(password, secret, &authenticator, &mut hidden)
            .map_err(|_| EncodeError::PasswordTooLong { octets: password.len() })?;
        self.attribute(number::USER_PASSWORD, value)
    }

    /// Fills in Length, Message-Authenticator if one was reserved, and the Response Authenticator over the authenticator
    /// of the request (RFC 2865 §3, RFC 3579 §3.2).
    ///
    /// `secret` is the one that verified the request.
    pub fn finish_reply(self, secret: &Secret, request_authenticator: &[u8; AUTHENTICATOR_OCTETS]) {
        // The digests are over the packet with the request's authenticator where the response's will stand.
        let octets = self.finish_message_authenticator(secret, request_authenticator);
        let digest = secret.md5_at_end([octets]);
        octets[AUTHENTICATOR].copy_from_slice(&digest);
    }

    /// Fills in Length, Message-Authenticator if one was reserved, and of accounting, CoA and Disconnect the Request
    /// Authenticator (RFC 2866 §3, RFC 5176 §2.3). Gives the packet's authenticator, against which its reply verifies.
    pub fn finish_request(self, secret: &Secret) -> [u8; AUTHENTICATOR_OCTETS] {
        let computed = Code::from_octet(self.out[0])
            .is_some_and(|code| code.authenticator_kind() == AuthenticatorKind::Computed);
        let random = *self.out[4..].first_chunk().expect("the header is written first");
        let field = if computed { NO_AUTHENTICATOR } else { random };
        let octets = self.finish_message_authenticator(secret, &field);
        if !computed {
            return random;
        }
        let digest = secret.md5_at_end([octets]);
        octets[AUTHENTICATOR].copy_from_slice(&digest);
        digest
    }

    /// Fills in Length, and of what was reserved the Message-Authenticator, over the packet with the authenticator that it
    /// was begun with: that stays, whatever the code.
    pub fn finish_request_as_is(self, secret: &Secret) {
        let authenticator = *self.out[4..].first_chunk().expect("the header is written first");
        self.finish_message_authenticator(secret, &authenticator);
    }

    /// Fills in Length and nothing else.
    pub fn finish_as_is(self) {
        self.finish_length();
    }

    /// Fills in Length, the authenticator that the digests are over, and the Message-Authenticator if it was reserved.
    fn finish_message_authenticator(
        self,
        secret: &Secret,
        authenticator: &[u8; AUTHENTICATOR_OCTETS],
    ) -> &'b mut [u8] {
        let reserved = self.reserved;
        let octets = self.finish_length();
        octets[AUTHENTICATOR].copy_from_slice(authenticator);
        if let Some(place) = reserved {
            // RFC 3579 §3.2: over zeros in its own place, which is how it was reserved.
            let mac = secret.hmac([octets]);
            octets[place + 2..][..AUTHENTICATOR_OCTETS].copy_from_slice(&mac);
        }
        octets
    }

    fn finish_length(self) -> &'b mut [u8] {
        assert!(self.out.len() <= PACKET_OCTETS_MAX, "every attribute was checked for room");
        let length = self.out.len() as u16;
        self.out[2..4].copy_from_slice(&length.to_be_bytes());
        self.out
    }

    #[inline]
    fn room_for(&self, attribute: u8, octets: usize) -> Result<(), EncodeError> {
        if octets > self.room_octets() {
            return Err(EncodeError::PacketFull { attribute, octets, room: self.room_octets() });
        }
        Ok(())
    }

    /// A Message-Authenticator made for another packet would never verify, and two are one too many (RFC 2869 §5.14).
    #[inline]
    fn no_foreign_signature(&self, number: u8) -> Result<(), EncodeError> {
        if number == number::MESSAGE_AUTHENTICATOR && !self.as_is {
            return Err(EncodeError::ForeignMessageAuthenticator);
        }
        Ok(())
    }
}

/// Why something cannot be written into a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeError {
    /// A value without octets; such an attribute is left out instead (RFC 2865 §5).
    EmptyValue {
        /// The attribute's number.
        attribute: u8,
    },
    /// A value of more than 253 octets.
    ValueTooLong {
        /// The attribute's number.
        attribute: u8,
        /// How many it has.
        octets: usize,
    },
    /// The packet would pass 4 096 octets.
    PacketFull {
        /// The number of the attribute that does not fit.
        attribute: u8,
        /// How many octets were to be added, headers included.
        octets: usize,
        /// How many still fit.
        room: usize,
    },
    /// A User-Password of more than 128 octets (RFC 2865 §5.2).
    PasswordTooLong {
        /// How many it has.
        octets: usize,
    },
    /// Octets given as attributes are none.
    NotAttributes {
        /// Where in them the first bad one begins.
        offset: usize,
    },
    /// A Message-Authenticator given as an attribute: the encoder makes its own.
    ForeignMessageAuthenticator,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            EncodeError::EmptyValue { attribute } => write!(f, "attribute {attribute} has no octets"),
            EncodeError::ValueTooLong { attribute, octets } => {
                write!(f, "attribute {attribute} has {octets} octets, above {VALUE_OCTETS_MAX}")
            }
            EncodeError::PacketFull { attribute, octets, room } => {
                write!(f, "attribute {attribute} needs {octets} octets, the packet has room for {room}")
            }
            EncodeError::PasswordTooLong { octets } => {
                write!(f, "User-Password has {octets} octets, above {}", hidden::USER_PASSWORD_OCTETS_MAX)
            }
            EncodeError::NotAttributes { offset } => {
                write!(f, "the octets from {offset} on are not an attribute")
            }
            EncodeError::ForeignMessageAuthenticator => {
                f.write_str("a Message-Authenticator is made by the encoder, not passed on")
            }
        }
    }
}

impl core::error::Error for EncodeError {}

/// Where the Authenticator field stands.
const AUTHENTICATOR: core::ops::Range<usize> = 4..HEADER_OCTETS;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Framed, Landmark};

    const RANDOM: [u8; 16] = [0x5a; 16];

    fn secret() -> Secret {
        Secret::new(b"testing123").expect("not empty")
    }

    #[test]
    fn a_signed_reply_begins_with_its_message_authenticator() {
        // checklist 90, 94
        for code in [Code::AccessAccept, Code::AccessReject, Code::AccessChallenge] {
            let mut out = Vec::new();
            let mut encoder = Encoder::reply(&mut out, code, 5, MessageAuthenticator::First);
            encoder.attribute(number::REPLY_MESSAGE, b"hello").expect("fits");
            encoder.finish_reply(&secret(), &RANDOM);
            let framed = Framed::parse(&out).expect("it is a packet");
            assert_eq!(framed.layout().offset(Landmark::MessageAuthenticator), Some(HEADER_OCTETS));
            assert!(framed.verify_reply(&secret(), &RANDOM, true).is_ok());
        }
    }

    #[test]
    fn a_signed_access_request_begins_with_its_message_authenticator_and_keeps_its_authenticator() {
        // checklist 89
        let mut out = Vec::new();
        let mut encoder =
            Encoder::request(&mut out, Code::AccessRequest, 5, &RANDOM, MessageAuthenticator::First);
        encoder.attribute(number::USER_NAME, b"bob").expect("fits");
        assert_eq!(encoder.finish_request(&secret()), RANDOM);
        let framed = Framed::parse(&out).expect("it is a packet");
        assert_eq!(framed.authenticator(), &RANDOM);
        assert_eq!(framed.layout().offset(Landmark::MessageAuthenticator), Some(HEADER_OCTETS));
    }

    #[test]
    fn values_have_one_to_253_octets() {
        let mut out = Vec::new();
        let mut encoder =
            Encoder::request(&mut out, Code::AccessRequest, 0, &RANDOM, MessageAuthenticator::Absent);
        assert_eq!(encoder.attribute(25, &[]), Err(EncodeError::EmptyValue { attribute: 25 }));
        assert_eq!(
            encoder.attribute(25, &[0; 254]),
            Err(EncodeError::ValueTooLong { attribute: 25, octets: 254 })
        );
        assert_eq!(encoder.eap_message(&[]), Err(EncodeError::EmptyValue { attribute: 79 }));
        assert_eq!(
            encoder.user_password(&[b'x'; 129], &secret()),
            Err(EncodeError::PasswordTooLong { octets: 129 })
        );
        assert_eq!(encoder.room_octets(), PACKET_OCTETS_MAX - HEADER_OCTETS);
        assert_eq!(encoder.attribute(25, &[7; 253]), Ok(()));
        encoder.finish_as_is();
        assert_eq!(out.len(), HEADER_OCTETS + 255);
    }

    #[test]
    fn a_packet_never_passes_4096_octets_and_says_what_did_not_fit() {
        let mut out = Vec::with_capacity(PACKET_OCTETS_MAX);
        let before = out.as_ptr();
        let mut encoder = Encoder::reply(&mut out, Code::AccessAccept, 0, MessageAuthenticator::First);
        while encoder.room_octets() >= 255 {
            encoder.attribute(number::CLASS, &[1; 253]).expect("there is room");
        }
        let room = encoder.room_octets();
        let full = |attribute, octets| Err(EncodeError::PacketFull { attribute, octets, room });
        assert_eq!(encoder.attribute(18, &[0; 253]), full(18, 255));
        assert_eq!(encoder.eap_message(&[0; 600]), full(79, 606));
        assert_eq!(encoder.raw(&[25, 3, 0].repeat(100)), full(25, 300));
        assert_eq!(encoder.room_octets(), room);
        encoder.attribute(18, &alloc::vec![2; room - 2]).expect("exactly full");
        assert_eq!(encoder.room_octets(), 0);
        encoder.finish_reply(&secret(), &RANDOM);
        assert_eq!((out.len(), out.as_ptr()), (PACKET_OCTETS_MAX, before), "nothing was reallocated");
        assert!(Framed::parse(&out).expect("a packet").verify_reply(&secret(), &RANDOM, true).is_ok());
    }

    #[test]
    fn an_eap_packet_is_split_into_full_pieces_and_joins_to_the_same() {
        // checklist 21, 22
        for octets in [1, 253, 254, 506, 1020] {
            let packet: Vec<u8> = (0..octets).map(|place| place as u8).collect();
            let mut out = Vec::new();
            let mut encoder =
                Encoder::request(&mut out, Code::AccessRequest, 0, &RANDOM, MessageAuthenticator::First);
            encoder.eap_message(&packet).expect("fits");
            encoder.attribute(number::STATE, b"s").expect("fits");
            encoder.finish_request(&secret());
            let framed = Framed::parse(&out).expect("a packet");
            let pieces: Vec<&[u8]> = framed.eap_message().collect();
            assert_eq!(pieces.concat(), packet);
            let (last, full) = pieces.split_last().expect("at least one");
            assert!(full.iter().all(|piece| piece.len() == 253) && !last.is_empty());
            // Contiguous: between first and State stands nothing else.
            let numbers: Vec<u8> = framed.attributes().map(|attribute| attribute.number).collect();
            assert_eq!(numbers[1..numbers.len() - 1], alloc::vec![79; pieces.len()]);
        }
    }

    #[test]
    fn as_is_a_message_authenticator_stands_where_it_was_asked_for() {
        let written = |place: usize, code: Code| {
            let mut out = Vec::new();
            let mut encoder = Encoder::as_is(&mut out, code.octet(), 5, &RANDOM);
            for at in 0..3 {
                if at == place {
                    encoder.message_authenticator().expect("there is room");
                    let twice = encoder.message_authenticator();
                    assert_eq!(twice, Err(EncodeError::ForeignMessageAuthenticator));
                }
                encoder.attribute(number::USER_NAME, b"bob").expect("fits");
            }
            (encoder.finish_request(&secret()), out)
        };
        for code in [Code::AccessRequest, Code::StatusServer, Code::AccountingRequest, Code::CoaRequest] {
            for place in 0..3 {
                let (authenticator, out) = written(place, code);
                let framed = Framed::parse(&out).expect("a packet");
                assert_eq!(framed.authenticator(), &authenticator);
                let offset = HEADER_OCTETS + 5 * place;
                assert_eq!(framed.layout().offset(Landmark::MessageAuthenticator), Some(offset));
                let verified = framed.verify_request(&secret().into(), Default::default());
                assert!(verified.expect("it verifies").signed());
            }
        }
        // An authenticator that is to stay, under a code whose authenticator is else computed.
        let mut out = Vec::new();
        let mut encoder = Encoder::as_is(&mut out, Code::AccountingRequest.octet(), 5, &RANDOM);
        encoder.message_authenticator().expect("there is room");
        encoder.finish_request_as_is(&secret());
        let framed = Framed::parse(&out).expect("a packet");
        assert_eq!(framed.authenticator(), &RANDOM);
        assert_ne!(framed.value(Landmark::MessageAuthenticator), Some(&NO_AUTHENTICATOR[..]));

        let mut out = Vec::new();
        let mut encoder =
            Encoder::request(&mut out, Code::AccessRequest, 5, &RANDOM, MessageAuthenticator::Absent);
        assert_eq!(encoder.message_authenticator(), Err(EncodeError::ForeignMessageAuthenticator));
    }

    #[test]
    fn raw_octets_must_be_attributes() {
        let mut out = Vec::new();
        let mut encoder = Encoder::reply(&mut out, Code::AccessAccept, 0, MessageAuthenticator::First);
        assert_eq!(encoder.raw(&[1, 3, 0, 2, 1]), Err(EncodeError::NotAttributes { offset: 3 }));
        assert_eq!(encoder.raw(&[1, 3, 0, 2]), Err(EncodeError::NotAttributes { offset: 3 }));
        assert_eq!(encoder.raw(&[1, 3, 0, 80, 2]), Err(EncodeError::ForeignMessageAuthenticator));
        assert_eq!(encoder.attribute(80, &[0; 16]), Err(EncodeError::ForeignMessageAuthenticator));
        assert_eq!(encoder.raw(&[]), Ok(()));
        assert_eq!(encoder.raw(&[33, 3, 1, 33, 2]), Ok(()));
        encoder.finish_reply(&secret(), &RANDOM);
        assert_eq!(out[38..], [33, 3, 1, 33, 2]);
    }
}
