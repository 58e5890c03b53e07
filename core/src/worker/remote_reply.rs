//! A remote server's verified reply, made into ours: hidden attributes hidden anew, as rules have edited it, signed for the NAS.
//! RFC 2865 §2.3.

use super::onward::GoesOn;
use super::reply::Seal;
use super::request::{Desk, asked, edit_request, edit_session};
use crate::attributes::Scratch;
use crate::configuration::Configuration;
use crate::discard::Discard;
use crate::forward::Inbound;
use crate::packet::hidden::Hop;
use crate::packet::{Attributes, VerifiedReply};
use crate::policy::{Policy, ReplyKind, Session};
use crate::request::Request;
use alloc::vec::Vec;

/// Writes the signed reply to a forwarded request onto the desk.
pub fn pass_on(
    configuration: &Configuration,
    policy: &mut dyn Policy,
    request: &Request,
    goes_on: &GoesOn,
    reply: VerifiedReply<'_>,
    from: Hop<'_>,
    desk: &mut Desk,
) -> Result<(), Discard> {
    let stamp = request.stamp();
    let framed = request.framed();
    let client = request.whose().client(&configuration.clients);
    let secret = client.secrets.get(stamp.secret_index).expect("the secret that verified is there");
    let to = Hop { secret, request_authenticator: framed.authenticator() };
    let dictionary = &configuration.dictionary;
    let Desk { packet: out, edited, session, draft, next_draft, scratch, random, .. } = desk;

    let inbound = Inbound { dictionary, request: framed, reply, from };
    let mut seal = Seal { dictionary, hop: to, random, sealing: None };
    inbound.draft(seal.sealing(), scratch, draft)?;
    let kind = ReplyKind::of(reply.code());
    if let Some(kind) = kind {
        if kind == ReplyKind::Accept {
            for edits in goes_on.edits.iter().flatten().filter(|edits| !edits.reply.is_nothing()) {
                seal.edit(&edits.reply, scratch, draft, next_draft)?;
            }
        }
        let mut asked = asked(configuration, request, goes_on.time);
        asked.attributes = edited_again(configuration, request, goes_on, edited, session, scratch)?;
        asked.session = session;
        if let Some(edit) = policy.edit_reply(&asked, kind) {
            seal.edit(edit, scratch, draft, next_draft)?;
        }
    }

    inbound.write(draft, secret, out)
}

/// The attributes of a request that goes on, as rules have edited them. The session is that of earlier rounds, and afterwards that
/// of this one.
pub fn edited_again<'e>(
    configuration: &Configuration,
    request: &'e Request,
    goes_on: &GoesOn,
    [first, second]: &'e mut [Vec<u8>; 2],
    session: &mut Session,
    scratch: &mut Scratch,
) -> Result<Attributes<'e>, Discard> {
    let dictionary = &configuration.dictionary;
    let received = request.framed().attributes();
    let [began, goes] = goes_on.edits.each_ref().map(Option::as_deref);
    // What began it stands in the session already, unless this is what begins it, or that has been forgotten meanwhile.
    if session.is_empty() {
        edit_session(began, session)?;
    }
    edit_session(goes, session)?;
    let attributes = edit_request(dictionary, began, received, scratch, first)?;
    edit_request(dictionary, goes, attributes, scratch, second)
}
