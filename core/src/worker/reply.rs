//! What goes into every reply: attributes of the configuration, hidden where they have to be, answers to what the request holds,
//! and the signature. RFC 2865 §5.33, RFC 3579 §2.6.3.

use super::request::Desk;
use crate::attributes::{NOTHING, Piece, Pieces, Scratch, Sealing, write_hidden};
use crate::configuration::Configuration;
use crate::dictionary::Dictionary;
use crate::discard::Discard;
use crate::packet::hidden::Hop;
use crate::packet::{
    Attributes, Code, EncodeError, Encoder, Framed, Landmark, MessageAuthenticator, PACKET_OCTETS_MAX,
};
use crate::policy::Edit;
use crate::request::Request;
use alloc::vec::Vec;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

/// Writes the signed answer to an Accounting-Request whose record is safe onto the desk (RFC 2866 §4.2).
pub fn acknowledge(configuration: &Configuration, request: &Request, desk: &mut Desk) -> Result<(), Discard> {
    let stamp = request.stamp();
    let framed = request.framed();
    let client = request.whose().client(&configuration.clients);
    let secret = client.secrets.get(stamp.secret_index).expect("the secret that verified is there");
    let code = Code::AccountingResponse;
    let mut encoder =
        Encoder::reply(&mut desk.packet, code, framed.identifier(), MessageAuthenticator::Absent);
    encoder.proxy_states(&framed).map_err(|_| Discard::ReplyTooLong)?;
    encoder.finish_reply(secret, framed.authenticator());
    Ok(())
}

/// With what a reply's attributes are hidden, should it have such.
pub struct Seal<'s> {
    pub dictionary: &'s Dictionary,
    pub hop: Hop<'s>,
    pub random: &'s mut ChaCha12Rng,
    /// One for the whole reply: no two of its salts are equal. Most replies need none, and draw none.
    pub sealing: Option<Sealing<'s>>,
}

impl<'s> Seal<'s> {
    pub fn sealing(&mut self) -> &mut Sealing<'s> {
        let Seal { hop, random, sealing, .. } = self;
        sealing.get_or_insert_with(|| Sealing { hop: *hop, salt: (random.next_u32() >> 16) as u16 })
    }

    /// Writes what the configuration sets behind what `out` holds.
    pub fn write(&mut self, pieces: Pieces<'_>, out: &mut Vec<u8>) -> Result<(), Discard> {
        for piece in pieces {
            match piece {
                Piece::Plain(octets) => out.extend_from_slice(octets),
                // What a conversation keeps may be of a configuration with another dictionary.
                Piece::Hidden(held) => write_hidden(self.dictionary, held, self.sealing(), out)
                    .map_err(|_| Discard::BadHiddenAttribute)?,
            }
            // Longer than a packet is too long already, and the buffers have room for that and one piece more.
            if out.len() > PACKET_OCTETS_MAX {
                return Err(Discard::ReplyTooLong);
            }
        }
        Ok(())
    }

    /// Edits the attributes of `draft`, by way of `next`.
    pub fn edit(
        &mut self,
        edit: &Edit,
        scratch: &mut Scratch,
        draft: &mut Vec<u8>,
        next: &mut Vec<u8>,
    ) -> Result<(), Discard> {
        next.clear();
        edit.retain(self.dictionary, Attributes::framed(draft), scratch, next);
        self.write(NOTHING.over(&edit.set), next)?;
        core::mem::swap(draft, next);
        Ok(())
    }
}

/// What answers something in the request.
pub fn write_answers(
    encoder: &mut Encoder<'_>,
    framed: &Framed<'_>,
    accept: bool,
) -> Result<(), EncodeError> {
    if let Some(eap) = framed.value(Landmark::EapMessage) {
        // RFC 3579 §2.6.3: to EAP, an Access-Accept carries EAP-Success and an Access-Reject EAP-Failure, with the
        // identifier of that EAP packet: the octet after its code.
        let code = if accept { EAP_SUCCESS } else { EAP_FAILURE };
        let identifier = eap.get(1).copied().unwrap_or_default();
        encoder.eap_message(&[code, identifier, 0, 4])?;
    }
    encoder.proxy_states(framed)
}

/// RFC 3748 §4.2.
const EAP_SUCCESS: u8 = 3;
/// RFC 3748 §4.2.
const EAP_FAILURE: u8 = 4;
