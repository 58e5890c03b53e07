use super::Worker;
use super::onward::GoesOn;
use crate::discard::Discard;
use crate::forward::{RemoteOrder, RemoteSocket};
use crate::path::{NetworkId, Transmit};
use crate::request::Request;
use crate::time::Instant;
use alloc::vec::Vec;
impl Worker {
    pub(super) fn go_on(&mut self, network: NetworkId, request: Request, _goes_on: GoesOn, _taken_up: Instant, now: Instant) {
        self.discard(network, request, Discard::NoRoute, now);
    }
    pub fn poll_remote_order(&mut self) -> Option<RemoteOrder> { None }
    pub fn handle_remote_refused(&mut self, _socket: RemoteSocket, _now: Instant) {}
    pub fn handle_remote_datagram(&mut self, _socket: RemoteSocket, _octets: &[u8], _now: Instant) {}
    pub fn poll_forward(&mut self, _out: &mut Vec<u8>) -> Option<Transmit> { None }
}
