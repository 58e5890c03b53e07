//! Status-Server, answered by the network core itself at any load, without policy. RFC 5997.

use super::Network;
use crate::client::Whose;
use crate::configuration::Packets;
use crate::packet::{Code, Encoder, MessageAuthenticator};
use crate::request::Stamp;
use alloc::vec::Vec;

impl Network {
    /// The answer to a verified Status-Server: Access-Accept, or on a listener for accounting alone
    /// Accounting-Response (RFC 5997 §4.2). Signed like the answer to an Access-Request.
    pub(super) fn encode_status(
        &self,
        stamp: &Stamp,
        whose: &Whose,
        identifier: u8,
        request_authenticator: &[u8; 16],
        out: &mut Vec<u8>,
    ) {
        let configuration = self.generations.of(stamp.generation);
        let packets = configuration.listeners[usize::from(stamp.path.listener.0)].packets;
        let code = if packets.contains(Packets::ACCESS) || !packets.contains(Packets::ACCOUNTING) {
            Code::AccessAccept
        } else {
            Code::AccountingResponse
        };
        let secret = whose.client(&configuration.clients).secrets.get(stamp.secret_index);
        let secret = secret.expect("the secret that verified is there");
        Encoder::reply(out, code, identifier, MessageAuthenticator::First)
            .finish_reply(secret, request_authenticator);
    }
}
