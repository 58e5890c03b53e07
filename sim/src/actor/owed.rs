//! Whether a request must be answered, whatever reload comes until then.

use super::exchange::Errand;
use crate::oracle::judge::{Asked, Verdict, judge};
use crate::plan::ListenerKind;
use crate::site::Site;
use std::net::IpAddr;
use std::ops::Range;

/// The configurations of the server, as far as a NAS has to do with them.
#[derive(Debug, Clone)]
pub struct Configured<'a> {
    /// All that the plan has.
    pub sites: &'a [Site],
    /// Those that may be in force in some thread before a request of now is given up.
    pub ahead: Range<usize>,
    /// The newest that is in force in some thread.
    pub newest: usize,
}

impl Configured<'_> {
    /// The newest that is in force in some thread: what people have been told to use.
    pub fn newest(&self) -> &Site {
        &self.sites[self.newest]
    }

    /// Whether each of these configurations owes an answer to this packet, under the secret that it was made with.
    pub fn owe_answer(
        &self,
        errand: Errand,
        listener: ListenerKind,
        source: IpAddr,
        octets: &[u8],
        secret: &str,
    ) -> bool {
        // A Status-Server is sent once only; there is no second try that would make its answer certain.
        if matches!(errand, Errand::Status | Errand::Accounting) {
            return false;
        }
        self.sites[self.ahead.clone()].iter().all(|site| {
            // What depends on the time on the wall is the code, and where an unsigned request has two secrets the secret.
            match judge(site, &Asked { listener, source, wall: 0, datagram: octets }) {
                Verdict::Answer(answer) => {
                    let client = &site.clients[answer.client];
                    let is_certain = answer.signed || client.old_secret.is_none();
                    is_certain && client.secret(answer.secret) == secret.as_bytes()
                }
                Verdict::Silence(_) => false,
            }
        })
    }
}
