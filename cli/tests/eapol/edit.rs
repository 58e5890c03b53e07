//! What a relay that knows the secret does to a packet on its way. RFC 2865 §5.24, RFC 3579 §3.2.

use ulna_core::packet::{Code, Encoder, Framed, number};

use crate::support::secret;

/// The packet's State.
pub fn state<'a>(packet: &Framed<'a>) -> Option<&'a [u8]> {
    packet.attributes().of(number::STATE).next()
}

/// Whose request it is.
pub fn station(request: &Framed) -> String {
    let station = request.attributes().of(number::CALLING_STATION_ID).next().unwrap_or_default();
    String::from_utf8_lossy(station).into_owned()
}

/// Whether it begins a conversation: an EAP-Response/Identity (RFC 3748 §5.1).
pub fn is_first(request: &Framed) -> bool {
    let eap = request.attributes().of(number::EAP_MESSAGE).next().unwrap_or_default();
    matches!(eap, [2, _, _, _, 1, ..])
}

/// The request with this State or none, signed anew. Its authenticator stays, and with it all that is hidden under it.
pub fn request(request: &Framed, state: Option<&[u8]>) -> Vec<u8> {
    let mut octets = Vec::new();
    write(&mut octets, request, state).finish_request_as_is(&secret());
    octets
}

/// The reply with this State or none, signed anew for the request of this authenticator.
pub fn reply(reply: &Framed, state: Option<&[u8]>, request_authenticator: &[u8; 16]) -> Vec<u8> {
    let mut octets = Vec::new();
    write(&mut octets, reply, state).finish_reply(&secret(), request_authenticator);
    octets
}

/// All as it was and where it was, but for the State; one where none was stands last.
fn write<'b>(octets: &'b mut Vec<u8>, packet: &Framed, state: Option<&[u8]>) -> Encoder<'b> {
    let mut encoder =
        Encoder::as_is(octets, packet.code_octet(), packet.identifier(), packet.authenticator());
    let mut state = state;
    for attribute in packet.attributes() {
        let done = match attribute.number {
            number::MESSAGE_AUTHENTICATOR => encoder.message_authenticator(),
            number::STATE => match state.take() {
                Some(state) => encoder.attribute(number::STATE, state),
                None => Ok(()),
            },
            number => encoder.attribute(number, attribute.value),
        };
        done.expect("it fitted before, or nearly");
    }
    if let Some(state) = state {
        encoder.attribute(number::STATE, state).expect("there is room for it");
    }
    encoder
}

/// Whether a reply goes on.
pub fn is_challenge(reply: &Framed) -> bool {
    reply.code() == Some(Code::AccessChallenge)
}
