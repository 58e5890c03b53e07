//! A request as policy sees it.

use super::{ServerId, Session};
use crate::attributes::{Item, Scratch, Walk};
use crate::configuration::Listener;
use crate::conversation::realm::realm_of;
use crate::dictionary::Dictionary;
use crate::generation::Generation;
use crate::packet::{Attributes, Code, Framed, Landmark, number};
use crate::path::Path;
use crate::time::UnixTime;
use core::fmt;
use core::net::SocketAddr;

/// What policy is asked about: a verified request, where it came from, and what rules have made of it so far.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The configuration under which it came, which decides about it whatever has been in force since.
    pub generation: Generation,
    /// What attributes are called.
    pub dictionary: &'a Dictionary,
    /// The packet as it was received.
    pub framed: Framed<'a>,
    /// Its attributes after all edits of the request so far.
    pub attributes: Attributes<'a>,
    /// What rules remember of the session.
    pub session: &'a Session,
    /// The name of whose request it is; empty where that is not known yet, as client rules are asked.
    pub client: &'a str,
    /// Where it came in.
    pub listener: &'a Listener,
    /// The way it came.
    pub path: Path,
    /// The time on the wall, at the beginning of the turn.
    pub time: UnixTime,
}

impl<'a> Asked<'a> {
    /// What kind of request it is.
    pub fn code(&self) -> Option<Code> {
        self.framed.code()
    }

    /// The virtual server that is to decide.
    pub fn server(&self) -> ServerId {
        self.listener.server
    }

    /// Where it came from.
    pub fn source(&self) -> SocketAddr {
        self.path.remote
    }

    /// The first User-Name after all edits.
    pub fn user_name(&self) -> Option<&'a [u8]> {
        self.attributes.of(number::USER_NAME).next()
    }

    /// The realm of the User-Name as it was received, by the grammar of RFC 7542: what a rule makes of the name does not
    /// change where its user is at home.
    pub fn realm(&self) -> Option<&'a str> {
        realm_of(self.framed.value(Landmark::UserName)?)
    }

    /// All attributes after all edits, those in others by themselves. Values that were sent in pieces are put together in
    /// `scratch`, which is large: kept by whoever calls.
    pub fn items<'s>(&self, scratch: &'s mut Scratch) -> impl Iterator<Item = Item<'s>>
    where
        'a: 's,
    {
        Walk::new(self.dictionary, self.attributes, scratch)
    }
}

impl fmt::Debug for Asked<'_> {
    /// Where it came from and whose it is; attributes hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("path", &self.path)
            .field("client", &self.client)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}
