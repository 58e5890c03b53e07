//! The octets of a packet on its way on, and of its reply on the way back. RFC 2865 §2.3, §5.2, §5.33 and §5.40, RFC 2868
//! §3.5, RFC 3579 §3.2.
//!
//! All attributes stay in their order, octet for octet, State, Class and EAP-Message like those that nobody knows. What
//! belongs to one hop is made anew for the next: authenticators, the Message-Authenticator, what is hidden under the secret,
//! and the Proxy-State that is ours. Pure functions over buffers of the caller; which way a packet goes is not known here.

use super::proxy_state::OwnProxyState;
use crate::attributes::{NOTHING, Piece, Preset, Scratch, Sealing, rehide, write_hidden};
use crate::dictionary::Dictionary;
use crate::discard::Discard;
use crate::packet::hidden::Hop;
use crate::packet::{
    AUTHENTICATOR_OCTETS, Attributes, AuthenticatorKind, Code, Encoder, Framed, Landmark,
    MessageAuthenticator, Secret, VerifiedReply, number,
};
use crate::seeded::{self, Bug};
use alloc::vec::Vec;

/// A request on its way to a remote server.
#[derive(Debug, Clone, Copy)]
pub struct Outbound<'a> {
    /// Says what is hidden.
    pub dictionary: &'a Dictionary,
    /// The request as it came.
    pub received: Framed<'a>,
    /// With what it goes on: the attributes that came, or what rules have made of them. Hidden ones as they came.
    pub attributes: Attributes<'a>,
    /// What rules set. Only those that are hidden are taken from here, the others stand among `attributes`.
    pub set: &'a Preset,
    /// The secret under which it came.
    pub client_secret: &'a Secret,
    /// The remote server's.
    pub secret: &'a Secret,
    /// Under which it is outstanding there.
    pub identifier: u8,
    /// Random and never used before under that secret (RFC 2865 §3); accounting, CoA and Disconnect compute theirs.
    pub authenticator: [u8; AUTHENTICATOR_OCTETS],
    /// Where its salts begin, random as well.
    pub salt: u16,
    /// Ours; `None`: it is kept for later, and gets one whenever it is sent.
    pub proxy_state: Option<OwnProxyState>,
}

impl Outbound<'_> {
    /// Writes the packet, signed, into `out`, which is cleared. Gives the authenticator against which its reply verifies.
    ///
    /// # Errors
    /// [`Discard::ForwardTooLong`], [`Discard::BadHiddenAttribute`], and [`Discard::UnexpectedCode`] of what is no request
    /// that may be passed on; the buffer holds no packet then.
    pub fn write(
        &self,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<[u8; AUTHENTICATOR_OCTETS], Discard> {
        // RFC 5997 §4.4: Status-Server asks who stands next, and goes no further.
        let goes_on = |code: &Code| {
            let kind = code.authenticator_kind();
            matches!(kind, AuthenticatorKind::Random | AuthenticatorKind::Computed)
                && *code != Code::StatusServer
        };
        let code = self.received.code().filter(goes_on).ok_or(Discard::UnexpectedCode)?;
        let from = Hop::of_request(self.client_secret, &self.received);
        let to = Hop {
            secret: self.secret,
            request_authenticator: Hop::authenticator_of_request(code, &self.authenticator),
        };
        let mut sealing = Sealing { hop: to, salt: self.salt };
        let sign = sign(code == Code::AccessRequest, &self.received);
        let mut encoder = Encoder::request(out, code, self.identifier, &self.authenticator, sign);
        let too_long = |_| Discard::ForwardTooLong;
        let own = self.proxy_state.map(|own| own.attribute());
        if let Some(own) = own.filter(|_| seeded::is(Bug::OwnProxyStateFirst)) {
            encoder.raw(&own).map_err(too_long)?;
        }
        let keeps = |number| {
            number != number::MESSAGE_AUTHENTICATOR
                && !(number == number::PROXY_STATE && seeded::is(Bug::ProxyStatesNotPassedOn))
        };
        let mut rehidden = Ok(());
        encoder
            .append(|out| {
                rehidden = rehide(self.dictionary, self.attributes, keeps, from, &mut sealing, scratch, out);
            })
            .map_err(too_long)?;
        rehidden.map_err(|_| Discard::BadHiddenAttribute)?;
        for piece in NOTHING.over(self.set) {
            let Piece::Hidden(held) = piece else { continue };
            let mut written = Ok(());
            encoder
                .append(|out| {
                    let begin = out.len();
                    written = write_hidden(self.dictionary, held, &mut sealing, out);
                    if written.is_err() {
                        out.truncate(begin);
                    }
                })
                .map_err(too_long)?;
            written.map_err(|_| Discard::BadHiddenAttribute)?;
        }
        if let Some(challenge) = self.chap_challenge() {
            encoder.attribute(number::CHAP_CHALLENGE, challenge).map_err(too_long)?;
        }
        // RFC 2865 §5.33: behind all that are there.
        if let Some(own) = own.filter(|_| !seeded::is(Bug::OwnProxyStateFirst)) {
            encoder.raw(&own).map_err(too_long)?;
        }
        Ok(encoder.finish_request(self.secret))
    }

    /// RFC 2865 §5.40: the challenge of a CHAP-Password may be the Request Authenticator, which does not go on.
    fn chap_challenge(&self) -> Option<&[u8; AUTHENTICATOR_OCTETS]> {
        let layout = self.received.layout();
        let lost = self.received.code() == Some(Code::AccessRequest)
            && layout.has(Landmark::ChapPassword)
            && !layout.has(Landmark::ChapChallenge);
        (lost && !seeded::is(Bug::ChapChallengeLeftBehind)).then(|| self.received.authenticator())
    }
}

/// A reply on its way back: first a draft of its attributes, which rules may edit, then the packet.
#[derive(Debug, Clone, Copy)]
pub struct Inbound<'a> {
    /// Says what is hidden.
    pub dictionary: &'a Dictionary,
    /// The NAS's request.
    pub request: Framed<'a>,
    /// What the remote server has answered.
    pub reply: VerifiedReply<'a>,
    /// Between us and the remote server: its secret, and the authenticator of what we sent, as [`Outbound::write`] gave it.
    pub from: Hop<'a>,
}

impl Inbound<'_> {
    /// Writes the reply's attributes into `draft`, which is cleared: in order and without Message-Authenticator and
    /// Proxy-States, which are not the server's to give. What is hidden is so for the hop of `sealing`: that of the NAS's
    /// request.
    ///
    /// # Errors
    /// [`Discard::BadHiddenAttribute`].
    pub fn draft(
        &self,
        sealing: &mut Sealing<'_>,
        scratch: &mut Scratch,
        draft: &mut Vec<u8>,
    ) -> Result<(), Discard> {
        draft.clear();
        let keeps = |number| match number {
            number::MESSAGE_AUTHENTICATOR => false,
            // RFC 2865 §5.33: a proxy takes its own away. Whatever came back instead of the others is none of the NAS's.
            number::PROXY_STATE => seeded::is(Bug::OwnProxyStateReturned),
            number::STATE => !seeded::is(Bug::StateNotReturned),
            _ => true,
        };
        let attributes = self.reply.framed().attributes();
        rehide(self.dictionary, attributes, keeps, self.from, sealing, scratch, draft)
            .map_err(|_| Discard::BadHiddenAttribute)
    }

    /// Writes the reply with the attributes of `draft`, behind them the Proxy-States of the NAS's request, signed under the
    /// secret that verified that into `out`, which is cleared.
    ///
    /// # Errors
    /// [`Discard::ReplyTooLong`].
    pub fn write(&self, draft: &[u8], client_secret: &Secret, out: &mut Vec<u8>) -> Result<(), Discard> {
        let to_access_request = self.request.code() == Some(Code::AccessRequest);
        let sign = sign(to_access_request, self.reply.framed());
        let mut encoder = Encoder::reply(out, self.reply.code(), self.request.identifier(), sign);
        encoder
            .raw(draft)
            .and_then(|()| encoder.proxy_states(&self.request))
            .map_err(|_| Discard::ReplyTooLong)?;
        encoder.finish_reply(client_secret, self.request.authenticator());
        Ok(())
    }
}

/// Whether a packet that is passed on is signed: an Access-Request and a reply to one always, against forged replies.
///
/// Others have a Request Authenticator that proves the secret, and RFC 2869 §5.19 and RFC 3579 §3.3 leave no
/// Message-Authenticator to accounting, so none is added. Where there was one it is not taken away, but made anew: RFC 5176
/// §3.4 allows it, RFC 3579 §3.3 asks for it beside EAP-Message whatever the code, and later tables of accounting
/// (RFC 6930 §4.2) have it.
fn sign(access: bool, received: &Framed<'_>) -> MessageAuthenticator {
    if access || received.layout().has(Landmark::MessageAuthenticator) {
        MessageAuthenticator::First
    } else {
        MessageAuthenticator::Absent
    }
}
