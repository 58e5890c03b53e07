//! Whether octets are a packet: lengths and attribute boundaries hold, and what stands where. RFC 2865 §3 and §5.
//!
//! One pass, no secret, no allocation; the pass over the attributes is [`Layout`]'s, which notes on the way what everyone
//! asks for afterwards.

use crate::Discard;
use crate::packet::attributes::{Attributes, number};
use crate::packet::encode::Encoder;
use crate::packet::layout::{Landmark, Layout};
use crate::packet::{AUTHENTICATOR_OCTETS, Code, FrameError, HEADER_OCTETS, PACKET_OCTETS_MAX};
use alloc::vec::Vec;
use core::fmt;

/// A packet whose lengths hold. Nothing says yet who sent it.
#[derive(Clone, Copy)]
pub struct Framed<'a> {
    /// Exactly as many as Length says: 20 to 4 096.
    octets: &'a [u8],
    layout: Layout,
}

impl<'a> Framed<'a> {
    /// Reads one datagram, which holds one packet. Octets past Length are padding and are dropped (RFC 2865 §3).
    ///
    /// # Errors
    /// The first [`FrameError`] met; each asks for a silent discard.
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Result<Self, FrameError> {
        let Some(&[_, _, high, low, ..]) = datagram.first_chunk::<HEADER_OCTETS>() else {
            return Err(FrameError::TooShort { octets: datagram.len() });
        };
        let length = u16::from_be_bytes([high, low]);
        if !(HEADER_OCTETS..=PACKET_OCTETS_MAX).contains(&usize::from(length)) {
            return Err(FrameError::BadLength { length });
        }
        let Some(octets) = datagram.get(..usize::from(length)) else {
            return Err(FrameError::Truncated { length, octets: datagram.len() });
        };
        let layout = Layout::of(octets)?;
        Ok(Framed { octets, layout })
    }

    /// The same packet again, elsewhere: `octets` and `layout` are those of a `Framed` from [`Framed::parse`].
    #[inline]
    pub(crate) fn trusted(octets: &'a [u8], layout: Layout) -> Self {
        debug_assert_eq!(Layout::of(octets), Ok(layout), "only a framed packet's octets come back");
        Framed { octets, layout }
    }

    /// The first octet, whether or not it is a code that we know.
    #[inline]
    pub fn code_octet(&self) -> u8 {
        self.octets[0]
    }

    /// The code, if it is a known one.
    #[inline]
    pub fn code(&self) -> Option<Code> {
        Code::from_octet(self.code_octet())
    }

    /// Tells apart the requests that one port has outstanding (RFC 2865 §3).
    #[inline]
    pub fn identifier(&self) -> u8 {
        self.octets[1]
    }

    /// The Authenticator field: of the request in a request, of the response in a reply (RFC 2865 §3).
    #[inline]
    pub fn authenticator(&self) -> &'a [u8; AUTHENTICATOR_OCTETS] {
        self.octets[4..].first_chunk().expect("a framed packet has its header")
    }

    /// The packet, exactly as long as its Length field says.
    #[inline]
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// Every attribute, in order.
    #[inline]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::framed(&self.octets[HEADER_OCTETS..])
    }

    /// Where the attributes stand that are asked for most.
    #[inline]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The value of the first attribute of this kind.
    #[inline]
    pub fn value(&self, landmark: Landmark) -> Option<&'a [u8]> {
        self.layout.value(landmark, self.octets)
    }

    /// The challenge that CHAP-Password answers: CHAP-Challenge, or without it the Request Authenticator
    /// (RFC 2865 §5.3).
    #[inline]
    pub fn chap_challenge(&self) -> &'a [u8] {
        self.value(Landmark::ChapChallenge).unwrap_or(self.authenticator())
    }

    /// The pieces of the one EAP packet that may be in here, in order; they belong together without a gap
    /// (RFC 3579 §3.1). A piece may be empty: EAP-Start (RFC 3579 §2.1).
    #[inline]
    pub fn eap_message(&self) -> impl Iterator<Item = &'a [u8]> {
        // Without any the walk begins at the end.
        let from = self.layout.offset(Landmark::EapMessage).unwrap_or(self.octets.len());
        Attributes::framed(&self.octets[from..]).of(number::EAP_MESSAGE)
    }

    /// Every Proxy-State, in order (RFC 2865 §5.33).
    #[inline]
    pub fn proxy_states(&self) -> impl Iterator<Item = &'a [u8]> {
        let from = self.layout.offset(Landmark::ProxyState).unwrap_or(self.octets.len());
        Attributes::framed(&self.octets[from..]).of(number::PROXY_STATE)
    }
}

impl fmt::Debug for Framed<'_> {
    /// Numbers and lengths only: values may be passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code() {
            Some(code) => write!(f, "{code}")?,
            None => write!(f, "code {}", self.code_octet())?,
        }
        write!(f, " {} of {} octets:", self.identifier(), self.octets.len())?;
        for attribute in self.attributes() {
            write!(f, " {}[{}]", attribute.number, attribute.value.len())?;
        }
        Ok(())
    }
}

/// The law of framing, for any octets whatever; the entry point of the fuzzer.
///
/// # Panics
/// If the law does not hold: our bug.
#[doc(hidden)]
pub fn frame_law(data: &[u8]) {
    let parsed = Framed::parse(data);
    assert_eq!(
        parsed.map_err(FrameError::discard).err(),
        fault(data),
        "refused for what is wrong, and for no more"
    );
    let Ok(framed) = parsed else { return };
    let octets = framed.octets();
    assert_eq!(octets, &data[..octets.len()], "a packet is a prefix of its datagram");
    assert_eq!(octets[2..4], (octets.len() as u16).to_be_bytes(), "as long as Length says");

    // The attributes cover the packet exactly.
    let mut offset = HEADER_OCTETS;
    for attribute in framed.attributes() {
        assert_eq!(octets[offset], attribute.number);
        assert_eq!(usize::from(octets[offset + 1]), attribute.value.len() + 2);
        offset += 2 + attribute.value.len();
    }
    assert_eq!(offset, octets.len(), "the attributes end where the packet ends");

    // Each landmark is the first attribute of its number.
    for landmark in Landmark::ALL {
        let mut before = framed.attributes();
        let first = before.find(|attribute| attribute.number == landmark.number());
        assert_eq!(framed.value(*landmark), first.map(|attribute| attribute.value));
        let header = first.map(|first| octets.len() - before.octets().len() - first.value.len() - 2);
        assert_eq!(framed.layout().offset(*landmark), header, "{landmark:?} is the first of its kind");
        assert_eq!(framed.layout().has(*landmark), first.is_some());
    }
    for unique in [Landmark::State, Landmark::MessageAuthenticator] {
        assert!(framed.attributes().of(unique.number()).count() <= 1, "{unique:?} is alone");
    }

    // Written again, it is the same packet.
    let mut again = Vec::with_capacity(PACKET_OCTETS_MAX);
    let mut encoder =
        Encoder::as_is(&mut again, framed.code_octet(), framed.identifier(), framed.authenticator());
    encoder.raw(framed.attributes().octets()).expect("framed attributes are attributes and fit");
    encoder.finish_as_is();
    assert_eq!(again, octets, "encoding what was framed gives it back");

    // Padding changes nothing, whatever it holds.
    again.extend_from_slice(&[24, 1, 80, 0]);
    let padded = Framed::parse(&again).expect("padding is no part of the packet");
    assert_eq!((padded.octets(), padded.layout()), (octets, framed.layout()));
}

/// What is wrong with a datagram first, read from the RFCs without haste: RFC 2865 §3, §5 and §5.44, RFC 2869 §5.14.
fn fault(datagram: &[u8]) -> Option<Discard> {
    if datagram.len() < 20 {
        return Some(Discard::TooShort);
    }
    let length = usize::from(datagram[2]) * 256 + usize::from(datagram[3]);
    if !(20..=4096).contains(&length) {
        return Some(Discard::BadLength);
    }
    if datagram.len() < length {
        return Some(Discard::Truncated);
    }
    let (mut place, mut states, mut message_authenticators) = (20, 0, Vec::new());
    while place < length {
        let whole = place + 1 < length && datagram[place + 1] >= 2;
        if !whole || place + usize::from(datagram[place + 1]) > length {
            return Some(Discard::BadAttribute);
        }
        match datagram[place] {
            24 => states += 1,
            80 => message_authenticators.push(datagram[place + 1]),
            _ => {}
        }
        if states > 1 {
            return Some(Discard::SeveralStates);
        }
        if message_authenticators.len() > 1 {
            return Some(Discard::SeveralMessageAuthenticators);
        }
        place += usize::from(datagram[place + 1]);
    }
    message_authenticators
        .iter()
        .any(|&octets| octets != 18)
        .then_some(Discard::BadMessageAuthenticatorLength)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// A packet of these attributes, its Length as it should be.
    fn packet(attributes: &[u8]) -> Vec<u8> {
        let mut octets = alloc::vec![1, 7, 0, 0];
        octets.extend_from_slice(&[0xaa; 16]);
        octets.extend_from_slice(attributes);
        let length = octets.len() as u16;
        octets[2..4].copy_from_slice(&length.to_be_bytes());
        octets
    }

    #[test]
    fn lengths_out_of_bounds_are_refused() {
        // checklist 1
        let error = |octets: &[u8]| Framed::parse(octets).expect_err("a length is wrong");
        assert_eq!(error(&[]), FrameError::TooShort { octets: 0 });
        assert_eq!(error(&[0; 19]), FrameError::TooShort { octets: 19 });
        let mut octets = alloc::vec![0; 5000];
        for length in [0u16, 19, 4097, u16::MAX] {
            octets[2..4].copy_from_slice(&length.to_be_bytes());
            assert_eq!(error(&octets), FrameError::BadLength { length });
            assert_eq!(error(&octets).discard(), Discard::BadLength);
        }
        let short = packet(&[1, 3, 9]);
        assert_eq!(error(&short[..22]), FrameError::Truncated { length: 23, octets: 22 });
        assert_eq!(error(&short[..22]).to_string(), "Length says 23 octets, 22 arrived");
    }

    #[test]
    fn smallest_and_largest_packet_are_taken() {
        // checklist 1
        assert_eq!(Framed::parse(&packet(&[])).expect("a header alone").attributes().count(), 0);
        let mut attributes = Vec::new();
        for _ in 0..15 {
            attributes.extend_from_slice(&[25, 255]);
            attributes.extend_from_slice(&[b'x'; 253]);
        }
        attributes.extend_from_slice(&[26, 251]);
        attributes.extend_from_slice(&[0; 249]);
        let largest = packet(&attributes);
        assert_eq!(largest.len(), PACKET_OCTETS_MAX);
        assert_eq!(Framed::parse(&largest).expect("4096 octets are allowed").attributes().count(), 16);
    }

    #[test]
    fn octets_past_length_are_padding() {
        // checklist 2
        let mut octets = packet(&[1, 3, b'u']);
        octets.extend_from_slice(&[80, 0, 24]);
        let framed = Framed::parse(&octets).expect("padding does not matter");
        assert_eq!(framed.octets().len(), 23);
        assert_eq!(framed.value(Landmark::UserName), Some(&b"u"[..]));
    }

    #[test]
    fn attribute_lengths_that_cannot_be_drop_the_packet() {
        // checklist 3
        for (attributes, error) in [
            (&[1u8, 0][..], FrameError::BadAttributeLength { attribute: 1, offset: 20, length: 0 }),
            (&[1, 1, 2, 2], FrameError::BadAttributeLength { attribute: 1, offset: 20, length: 1 }),
            (&[1, 2, 200, 9, 0], FrameError::AttributeOverrun { attribute: 200, offset: 22 }),
            (&[1, 3, 5, 4], FrameError::AttributeOverrun { attribute: 4, offset: 23 }),
        ] {
            let found = Framed::parse(&packet(attributes)).expect_err("a boundary does not hold");
            assert_eq!(found, error);
            assert_eq!(found.discard(), Discard::BadAttribute);
        }
    }

    #[test]
    fn unknown_attributes_and_codes_are_framed() {
        // checklist 5
        let mut octets = packet(&[250, 4, 1, 2, 0, 2]);
        octets[0] = 99;
        let framed = Framed::parse(&octets).expect("framing judges lengths only");
        assert_eq!((framed.code(), framed.code_octet(), framed.identifier()), (None, 99, 7));
        assert_eq!(framed.layout(), Layout::default());
        assert_eq!(framed.authenticator(), &[0xaa; 16]);
    }

    #[test]
    fn one_message_authenticator_of_sixteen_octets() {
        // checklist 20
        let one: Vec<u8> = [80, 18].into_iter().chain([0; 16]).collect();
        let two = [&one[..], &[1, 3, 9], &one].concat();
        assert!(Framed::parse(&packet(&one)).is_ok());
        assert_eq!(
            Framed::parse(&packet(&two)).expect_err("two are one too many"),
            FrameError::SeveralMessageAuthenticators { offset: 41 }
        );
        for length in [2, 17, 19] {
            let mut wrong = alloc::vec![80, length];
            wrong.resize(usize::from(length), 0);
            let error = Framed::parse(&packet(&wrong)).expect_err("its length is not 18");
            assert_eq!(error, FrameError::BadMessageAuthenticatorLength { offset: 20, length });
            assert_eq!(error.discard(), Discard::BadMessageAuthenticatorLength);
        }
    }

    #[test]
    fn one_state_at_most() {
        // checklist 28
        let error = Framed::parse(&packet(&[24, 3, 1, 1, 3, 1, 24, 3, 1])).expect_err("two States");
        assert_eq!(error, FrameError::SeveralStates { offset: 26 });
        assert_eq!(error.discard(), Discard::SeveralStates);
    }

    #[test]
    fn landmarks_are_the_first_of_their_kind() {
        let octets = packet(&[33, 3, 1, 1, 3, b'a', 33, 3, 2, 1, 3, b'b', 31, 3, b'c', 24, 3, 5, 60, 3, 6]);
        let framed = Framed::parse(&octets).expect("the boundaries hold");
        assert_eq!(framed.layout().offset(Landmark::ProxyState), Some(20));
        assert_eq!(framed.value(Landmark::UserName), Some(&b"a"[..]));
        assert_eq!(framed.value(Landmark::CallingStationId), Some(&b"c"[..]));
        assert_eq!(framed.value(Landmark::State), Some(&[5][..]));
        assert_eq!(framed.value(Landmark::EapMessage), None);
        assert_eq!(framed.chap_challenge(), &[6]);
        assert!(framed.proxy_states().eq([&[1], &[2]]));
        assert_eq!(framed.eap_message().count(), 0);
        // checklist 10
        assert_eq!(Framed::parse(&packet(&[])).expect("a header").chap_challenge(), &[0xaa; 16]);
    }

    #[test]
    fn eap_pieces_come_in_order() {
        // checklist 21
        let octets = packet(&[1, 3, b'u', 79, 4, 2, 1, 79, 3, 0, 25, 3, 9, 79, 2]);
        let framed = Framed::parse(&octets).expect("the boundaries hold");
        assert_eq!(framed.eap_message().collect::<Vec<_>>().concat(), [2, 1, 0]);
    }

    #[test]
    fn debug_shows_no_values() {
        let octets = packet(&[2, 5, b's', b'e', b'c']);
        let framed = Framed::parse(&octets).expect("the boundaries hold");
        assert_eq!(alloc::format!("{framed:?}"), "Access-Request 7 of 25 octets: 2[3]");
    }
}
