//! What the world does with NATs: packets of NASes go out through them when they are sent, replies come in through them when they
//! arrive, and go to whoever has the port by then.

use super::{Event, Reply, World};
use crate::actor::nas::Sent;
use crate::checks::Violation;
use crate::fault::link::{Carried, Origin};
use crate::fault::nat::{Forged, Refusal, forgery};
use crate::goals::Goal;
use crate::net::{Left, Way};
use crate::sockets::Datagram;
use crate::trace::{Kind, NAS, NAT};
use std::net::SocketAddr;
use ulna_core::ListenerId;

impl World<'_> {
    /// A NAS sends: where the server sees it come from, unless a NAT drops it.
    pub(super) fn leave(&mut self, place: usize, sent: &Sent) -> Option<SocketAddr> {
        let topology = &self.plan.topology;
        let nas = &topology.nases[place];
        let Some(nat) = nas.nat else {
            let address = self.net.lines.leave(place, self.now, &mut self.faults, &mut self.goals);
            return Some(SocketAddr::new(address, nas.ports[sent.port]));
        };
        let to = topology.listeners[usize::from(sent.listener.0)].address;
        let (faults, goals) = (&mut self.faults, &mut self.goals);
        let nats = &mut self.net.nats;
        let left = nats.outbound(topology, (place, sent.port), to, &sent.octets, self.now, faults, goals);
        match left {
            Left::From(remote) => {
                let words = [place as u64, u64::from(remote.port())];
                self.trace.add(self.now, NAT + nat as u32, Kind::NatMaps, words, &[]);
                Some(remote)
            }
            Left::Dropped(nat) => {
                let words = [place as u64, u64::from(sent.listener.0)];
                self.trace.add(self.now, NAT + nat as u32, Kind::NatDrops, words, &sent.octets);
                None
            }
        }
    }

    /// Somebody has seen a packet leave through a NAT, and makes something of it.
    pub(super) fn forge_behind(&mut self, way: Way, remote: SocketAddr, octets: &[u8]) {
        let topology = &self.plan.topology;
        let Some(outermost) = topology.nats_before(way.nas).last() else { return };
        let ordinal = self.net.nats.next_sent(way.nas);
        let plan = &topology.nats[outermost];
        let seen = (octets, remote.port());
        let forged = forgery(plan, way.nas, ordinal, seen, self.now, &mut self.faults);
        let Some(Forged { delay, port, is_recorded, octets }) = forged else { return };
        let remote = SocketAddr::new(remote.ip(), port);
        let network = self.node.steer(way.listener, remote);
        let socket = topology.socket(way.listener, network);
        let sender = is_recorded.then_some(way.nas);
        let event = Event::Arrive { socket, datagram: Datagram { remote, sender, octets } };
        self.schedule.add(self.now + delay, self.first_threads + self.nases.len() + 1 + outermost, event);
    }

    /// The server has sent to a NAS, or to a NAT: what arrives there.
    pub(super) fn send_back(
        &mut self,
        destination: SocketAddr,
        listener: ListenerId,
        requester: Option<usize>,
        octets: &[u8],
    ) {
        // Somebody else's octets are in answer to nothing.
        let reply = |carried: Carried| {
            let requester = requester.filter(|_| carried.origin != Origin::Foreign);
            Reply { listener, requester, octets: carried.octets }
        };
        if let Some(way) = self.net.way_to(destination, listener) {
            let Way { nas, port, .. } = way;
            let mut carried = self.carry(way, octets);
            for carried in carried.drain(..) {
                let at = self.now + carried.delay;
                let event = Event::Deliver { nas, port, reply: reply(carried) };
                self.schedule.add(at, self.first_threads + nas, event);
            }
            self.carried = carried;
        } else if let Some(nat) = self.net.nats.at(destination.ip()) {
            let mut carried = std::mem::take(&mut self.carried);
            let (plan, faults) = (self.plan, &mut self.faults);
            self.net.carry_to_nat(nat, destination, listener, octets, plan, self.now, faults, &mut carried);
            let entity = self.first_threads + self.nases.len() + 1 + nat;
            for carried in carried.drain(..) {
                let at = self.now + carried.delay;
                let event = Event::DeliverToNat { outside: destination, reply: reply(carried) };
                self.schedule.add(at, entity, event);
            }
            self.carried = carried;
        }
    }

    /// A reply comes to an outside endpoint of a NAT.
    pub(super) fn deliver_to_nat(&mut self, outside: SocketAddr, reply: Reply) -> Result<(), Violation> {
        let topology = &self.plan.topology;
        let from = topology.listeners[usize::from(reply.listener.0)].address;
        match self.net.nats.inbound(topology, outside, from, self.now, &mut self.goals) {
            Ok((nas, port)) => self.deliver(nas, port, reply),
            Err((nat, refusal)) => {
                self.goals.reach(match refusal {
                    Refusal::NoMapping => Goal::ReplyWithoutMapping,
                    Refusal::Filtered => Goal::ReplyFiltered,
                });
                let words = [u64::from(outside.port()), refusal as u64];
                self.trace.add(self.now, NAT + nat as u32, Kind::NatRefuses, words, &reply.octets);
                Ok(())
            }
        }
    }

    /// A reply comes to a port of a NAS, which need not be for it.
    pub(super) fn deliver(&mut self, nas: usize, port: usize, reply: Reply) -> Result<(), Violation> {
        let Reply { listener, requester, octets } = reply;
        let words = [port as u64, u64::from(listener.0)];
        self.trace.add(self.now, NAS + nas as u32, Kind::NasReceives, words, &octets);
        if requester.is_some_and(|requester| requester != nas) {
            self.goals.reach(Goal::ReplyReachedAnother);
        }
        self.requester = requester;
        let result = self.with_nas(nas, |nas, around| nas.handle_datagram(port, listener, &octets, around));
        self.requester = None;
        result
    }
}
