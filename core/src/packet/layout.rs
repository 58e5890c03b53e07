//! Whether a packet's attributes hold, and where those stand that every packet is asked for. RFC 2865 §5.
//!
//! One walk, so that no one walks again to verify, to find a duplicate's State or to choose a worker.

use crate::packet::attributes::number;
use crate::packet::{AUTHENTICATOR_OCTETS, FrameError, HEADER_OCTETS};
use core::fmt;

/// An attribute that framing looks out for; its first instance is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Landmark {
    /// User-Name (RFC 2865 §5.1).
    UserName = 1,
    /// User-Password (RFC 2865 §5.2).
    UserPassword,
    /// CHAP-Password (RFC 2865 §5.3).
    ChapPassword,
    /// CHAP-Challenge (RFC 2865 §5.40).
    ChapChallenge,
    /// Service-Type (RFC 2865 §5.6).
    ServiceType,
    /// The first Vendor-Specific (RFC 2865 §5.26).
    VendorSpecific,
    /// Calling-Station-Id (RFC 2865 §5.31).
    CallingStationId,
    /// The first EAP-Message (RFC 3579 §3.1).
    EapMessage,
    /// The first Proxy-State (RFC 2865 §5.33).
    ProxyState,
    // From here on the kinds of which a packet may hold one only: `Layout::of` compares with the first of them.
    /// State (RFC 2865 §5.24).
    State,
    /// Message-Authenticator (RFC 2869 §5.14).
    MessageAuthenticator,
}

impl Landmark {
    /// Every landmark.
    pub const ALL: &'static [Landmark] = &[
        Landmark::UserName,
        Landmark::UserPassword,
        Landmark::ChapPassword,
        Landmark::ChapChallenge,
        Landmark::ServiceType,
        Landmark::VendorSpecific,
        Landmark::CallingStationId,
        Landmark::EapMessage,
        Landmark::ProxyState,
        Landmark::State,
        Landmark::MessageAuthenticator,
    ];

    /// Its attribute number.
    pub const fn number(self) -> u8 {
        match self {
            Landmark::UserName => number::USER_NAME,
            Landmark::UserPassword => number::USER_PASSWORD,
            Landmark::ChapPassword => number::CHAP_PASSWORD,
            Landmark::ChapChallenge => number::CHAP_CHALLENGE,
            Landmark::ServiceType => number::SERVICE_TYPE,
            Landmark::VendorSpecific => number::VENDOR_SPECIFIC,
            Landmark::CallingStationId => number::CALLING_STATION_ID,
            Landmark::EapMessage => number::EAP_MESSAGE,
            Landmark::ProxyState => number::PROXY_STATE,
            Landmark::State => number::STATE,
            Landmark::MessageAuthenticator => number::MESSAGE_AUTHENTICATOR,
        }
    }
}

/// Where the first attribute of each [`Landmark`] begins. Small, without borrow: it crosses to the worker beside the
/// octets.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Layout {
    /// Offset of the attribute's number octet, by landmark; 0 is absent, as the header stands there.
    offsets: [u16; LANDMARKS],
}

impl Layout {
    /// One walk over the attributes of `octets`, which are header and attributes of one packet.
    #[inline]
    pub(in crate::packet) fn of(octets: &[u8]) -> Result<Layout, FrameError> {
        let mut offsets = [0u16; PLACES_ROUNDED];
        let mut rest = &octets[HEADER_OCTETS..];
        while let [number, length, ..] = *rest {
            let offset = (octets.len() - rest.len()) as u16;
            if length < 2 {
                return Err(FrameError::BadAttributeLength { attribute: number, offset, length });
            }
            let Some((_, after)) = rest.split_at_checked(usize::from(length)) else {
                return Err(FrameError::AttributeOverrun { attribute: number, offset });
            };
            // Branchless: attributes that we do not look out for write to place 0, which nobody reads. The mask
            // changes nothing, it shows the compiler that the place is inside.
            let place = usize::from(PLACES[usize::from(number)]) & (PLACES_ROUNDED - 1);
            let seen = offsets[place];
            offsets[place] = if seen == 0 { offset } else { seen };
            if (seen != 0) & (place >= Landmark::State as usize) {
                return Err(if place == Landmark::State as usize {
                    FrameError::SeveralStates { offset }
                } else {
                    FrameError::SeveralMessageAuthenticators { offset }
                });
            }
            rest = after;
        }
        if let [number] = *rest {
            let offset = (octets.len() - 1) as u16;
            return Err(FrameError::AttributeOverrun { attribute: number, offset });
        }
        let offset = offsets[Landmark::MessageAuthenticator as usize];
        if offset != 0 {
            let length = octets[usize::from(offset) + 1];
            if usize::from(length) != 2 + AUTHENTICATOR_OCTETS {
                return Err(FrameError::BadMessageAuthenticatorLength { offset, length });
            }
        }
        offsets[0] = 0;
        Ok(Layout { offsets: *offsets.first_chunk().expect("the rounded places hold the landmarks") })
    }

    /// Where the first attribute of this kind begins (its number octet), counted from the packet's code: 20 to 4 094.
    #[inline]
    pub fn offset(&self, landmark: Landmark) -> Option<usize> {
        match self.offsets[landmark as usize] {
            0 => None,
            offset => Some(usize::from(offset)),
        }
    }

    /// Whether the packet has an attribute of this kind.
    #[inline]
    pub fn has(&self, landmark: Landmark) -> bool {
        self.offsets[landmark as usize] != 0
    }

    /// The value of the first attribute of this kind in `octets`, the packet of which this is the layout.
    #[inline]
    pub fn value<'a>(&self, landmark: Landmark, octets: &'a [u8]) -> Option<&'a [u8]> {
        let offset = self.offset(landmark)?;
        let length = usize::from(octets[offset + 1]);
        Some(&octets[offset + 2..offset + length])
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let present = Landmark::ALL.iter().filter_map(|landmark| Some((landmark, self.offset(*landmark)?)));
        f.debug_map().entries(present).finish()
    }
}

const LANDMARKS: usize = Landmark::ALL.len() + 1;
/// A power of two that holds [`LANDMARKS`].
const PLACES_ROUNDED: usize = LANDMARKS.next_power_of_two();

/// The place of each attribute number in [`Layout`]; 0 for all that are no landmark.
static PLACES: [u8; 256] = {
    let mut places = [0; 256];
    let mut index = 0;
    while index < Landmark::ALL.len() {
        let landmark = Landmark::ALL[index];
        places[landmark.number() as usize] = landmark as u8;
        index += 1;
    }
    places
};
