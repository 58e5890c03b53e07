//! Values that are hidden under the secret of each hop, as the dictionary says how. RFC 2865 §5.2, RFC 2868 §3.5,
//! RFC 2548 §2.4.2. The octets are the room `packet`'s business (`packet::hidden`).

use super::walk::{Item, Shape};
use crate::dictionary::Encryption;
use crate::packet::hidden::{
    ASCEND_SECRET_OCTETS, HiddenError, Hop, SALT_OCTETS, USER_PASSWORD_OCTETS_MAX, ascend_secret,
    hide_salted, hide_user_password, rehide_salted, rehide_user_password, reveal_salted,
    reveal_user_password,
};
use crate::packet::{DataType, VALUE_OCTETS_MAX};
use crate::seeded::{self, Bug};

/// With what the values of one packet are hidden.
#[derive(Debug, Clone)]
pub struct Sealing<'s> {
    /// The hop for which they are hidden.
    pub hop: Hop<'s>,
    /// The next value's salt; each further one has the next (RFC 2868 §3.5: all of a packet's differ).
    pub salt: u16,
}

impl Sealing<'_> {
    /// Hides the packet's next value as `encryption` says, into `out`; gives `plain` itself if it is not hidden.
    ///
    /// # Errors
    /// [`HiddenError::TooLong`].
    pub fn hide<'o>(
        &mut self,
        encryption: Encryption,
        plain: &'o [u8],
        out: &'o mut [u8; VALUE_OCTETS_MAX],
    ) -> Result<&'o [u8], HiddenError> {
        let salt = self.salt_for(encryption);
        hide(encryption, plain, salt, self.hop, out)
    }

    /// Hides what the hop `from` has hidden as `encryption` says anew, as the packet's next value, into `out`; it stays as
    /// long as it is, and nobody looks into it. Gives `value` itself if it is not hidden.
    ///
    /// # Errors
    /// [`HiddenError::BadLength`] if nothing hidden so has so many octets.
    pub fn rehide<'o>(
        &mut self,
        encryption: Encryption,
        value: &'o [u8],
        from: Hop<'_>,
        out: &'o mut [u8; VALUE_OCTETS_MAX],
    ) -> Result<&'o [u8], HiddenError> {
        if seeded::is(Bug::HiddenPassedOnAsItIs) {
            return Ok(value);
        }
        let to = self.hop;
        match encryption {
            Encryption::None => Ok(value),
            Encryption::UserPassword => {
                let out = out.first_chunk_mut().expect("it is the shorter of the two");
                rehide_user_password(value, from, to, out)
            }
            Encryption::TunnelPassword => rehide_salted(value, from, self.salt_for(encryption), to, out),
            Encryption::AscendSecret => {
                let bad = HiddenError::BadLength { octets: value.len() };
                let block = value.try_into().map_err(|_| bad)?;
                let plain = ascend_secret(block, from.secret, from.request_authenticator);
                let hidden = &mut out[..ASCEND_SECRET_OCTETS];
                hidden.copy_from_slice(&ascend_secret(&plain, to.secret, to.request_authenticator));
                Ok(hidden)
            }
        }
    }

    /// The salt of the next value, if it is hidden with one.
    fn salt_for(&mut self, encryption: Encryption) -> [u8; SALT_OCTETS] {
        let salt = self.salt.to_be_bytes();
        if encryption == Encryption::TunnelPassword {
            // Its first bit is always set: 32 768 differ, more than fit into a packet.
            self.salt = self.salt.wrapping_add(1);
        }
        salt
    }
}

/// What stands behind a value: itself, unless it is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain<'o> {
    /// It was hidden, and this is what was found; under another secret it is noise.
    Revealed(&'o [u8]),
    /// It is not hidden.
    Open(&'o [u8]),
}

impl Item<'_> {
    /// What stands behind the value, revealed into `out` if it is hidden.
    ///
    /// # Errors
    /// [`HiddenError`] when the octets cannot be those of a hidden value of its kind.
    pub fn plain<'o>(
        &'o self,
        hop: Hop<'_>,
        out: &'o mut [u8; VALUE_OCTETS_MAX],
    ) -> Result<Plain<'o>, HiddenError> {
        let Some(attribute) = self.attribute.filter(|_| self.shape == Shape::Known) else {
            return Ok(Plain::Open(self.value));
        };
        let bad = HiddenError::BadLength { octets: self.value.len() };
        let revealed = match attribute.encryption() {
            Encryption::None => return Ok(Plain::Open(self.value)),
            Encryption::UserPassword => {
                let out =
                    out.first_chunk_mut::<USER_PASSWORD_OCTETS_MAX>().expect("it is the shorter of the two");
                out.fill(0);
                reveal_user_password(self.value, hop.secret, hop.request_authenticator, out)?.len()
            }
            Encryption::TunnelPassword => {
                // The length stands before the value.
                let revealed = reveal_salted(self.value, hop, out)?;
                return Ok(Plain::Revealed(revealed));
            }
            Encryption::AscendSecret => {
                let block = self.value.try_into().map_err(|_| bad)?;
                let plain = ascend_secret(block, hop.secret, hop.request_authenticator);
                out[..ASCEND_SECRET_OCTETS].copy_from_slice(&plain);
                plain.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1)
            }
        };
        // Padding is zeros, which of a value with a length of its own are part of it (RFC 2548 §2.4.1).
        let octets = fixed_octets(attribute.data_type()).filter(|octets| *octets <= self.value.len());
        Ok(Plain::Revealed(&out[..octets.unwrap_or(revealed)]))
    }
}

impl<'o> Plain<'o> {
    /// The octets, however they were found.
    pub fn octets(self) -> &'o [u8] {
        match self {
            Plain::Revealed(octets) | Plain::Open(octets) => octets,
        }
    }
}

/// Hides `plain` as `encryption` says, into `out`; gives `plain` itself if it is not hidden. `salt` is unlike that
/// of every other salted value of the packet (RFC 2868 §3.5).
///
/// # Errors
/// [`HiddenError::TooLong`].
pub fn hide<'o>(
    encryption: Encryption,
    plain: &'o [u8],
    salt: [u8; SALT_OCTETS],
    hop: Hop<'_>,
    out: &'o mut [u8; VALUE_OCTETS_MAX],
) -> Result<&'o [u8], HiddenError> {
    match encryption {
        Encryption::None => Ok(plain),
        Encryption::UserPassword => {
            let out = out.first_chunk_mut().expect("it is the shorter of the two");
            hide_user_password(plain, hop.secret, hop.request_authenticator, out)
        }
        Encryption::TunnelPassword => hide_salted(plain, salt, hop, out),
        Encryption::AscendSecret => {
            let mut block = [0; ASCEND_SECRET_OCTETS];
            let padded = block.get_mut(..plain.len());
            let padded =
                padded.ok_or(HiddenError::TooLong { octets: plain.len(), max: ASCEND_SECRET_OCTETS })?;
            padded.copy_from_slice(plain);
            let hidden = &mut out[..ASCEND_SECRET_OCTETS];
            hidden.copy_from_slice(&ascend_secret(&block, hop.secret, hop.request_authenticator));
            Ok(hidden)
        }
    }
}

/// The one length that values of this type have.
fn fixed_octets(data_type: DataType) -> Option<usize> {
    match data_type {
        DataType::Octets { length } => length.map(usize::from),
        DataType::Byte => Some(1),
        DataType::Short => Some(2),
        DataType::Integer | DataType::Signed | DataType::Date | DataType::Ipv4Address => Some(4),
        DataType::Ether | DataType::Ipv4Prefix => Some(6),
        DataType::Integer64 | DataType::InterfaceId => Some(8),
        DataType::Ipv6Address => Some(16),
        DataType::Text
        | DataType::Ipv6Prefix
        | DataType::EitherAddress
        | DataType::AscendFilter
        | DataType::Tlv
        | DataType::VendorSpecific
        | DataType::Extended
        | DataType::LongExtended
        | DataType::ExtendedVendorSpecific => None,
    }
}
