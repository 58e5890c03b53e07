//! Under overload: what a worker has no room for is shed before it is verified.
//!
//! Verifying is most of what a packet costs here, and a server that is asked ten times what it can do must not spend its
//! time on what it will not answer. Nothing unverified is believed: a packet that is shed changes nothing, whoever sent it.
//! What may be a duplicate goes on, for its answer costs no worker anything. RFC 5080 §2.2.3.

use super::Network;
use super::fingerprint;
use crate::client::Whose;
use crate::dedup::Seen;
use crate::discard::Discard;
use crate::packet::{Code, Framed, Landmark};
use crate::path::Path;
use crate::request::class::Class;
use crate::seeded::{self, Bug};

impl Network {
    /// Refuses what would not be accepted if it verified.
    pub(super) fn check_room_unverified(
        &self,
        path: &Path,
        framed: &Framed<'_>,
        whose: &Whose,
    ) -> Result<(), Discard> {
        if self.lanes.iter().all(|(_, lane)| lane.check(Class::New).is_ok())
            || seeded::is(Bug::RequestLeakedWhenDropped)
        {
            return Ok(());
        }
        let worker = self.worker_for(self.route(framed, whose, &self.configuration.clients));
        match self.lanes[worker].check(Class::of(framed)) {
            Err(_) if self.may_be_duplicate(path, framed, whose) => Ok(()),
            checked => checked,
        }
    }

    /// Whether the same octets were accepted before, under whichever secret of this client.
    fn may_be_duplicate(&self, path: &Path, framed: &Framed<'_>, whose: &Whose) -> bool {
        let clients = &self.configuration.clients;
        // An Accounting-Request is signed by its Request Authenticator.
        let signed =
            framed.code() != Some(Code::AccessRequest) || framed.layout().has(Landmark::MessageAuthenticator);
        let key = self.dedup.key(path, framed.code_octet(), framed.identifier(), signed, whose.definition());
        let is_known = |mark| match self.dedup.look_up(&key, &fingerprint(framed, mark)) {
            Seen::InProgress(..) | Seen::Delayed | Seen::Answered(_) => true,
            Seen::Fresh | Seen::Superseding(..) => false,
        };
        if !signed {
            return is_known(whose.mark(clients, None));
        }
        let secrets = &whose.client(clients).secrets;
        secrets.iter().any(|(index, _)| is_known(whose.mark(clients, Some(index))))
    }
}
