//! Where remote servers are that are known by name: who asks when, and what becomes of sockets to where one was before.
//!
//! The first packet after a change goes to the new address by a port of its own. What waits for a reply from the old one waits on, and
//! the ports there are closed when nothing does. Health is of the server where it is now: it begins anew with each address.

use super::{Forwarding, News, Remote};
use crate::effect::{Family, Resolve, Resolved};
use crate::forward::{Pool, RemoteAddress, RemoteOrder, Slot};
use crate::generation::Generation;
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// What was said about where a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Where it is.
    Where,
    /// Nothing that can be used.
    Nothing,
    /// It is about one that is not among them any more.
    OfAnother,
}

impl Remote {
    /// How many had its place before.
    pub fn turn(&self) -> u32 {
        self.turn
    }

    /// When it has to be asked where it is.
    pub(super) fn next_resolution(&self) -> Option<Instant> {
        match self.server.address {
            RemoteAddress::At(_) => None,
            RemoteAddress::Named { .. } => {
                Some(self.server.resolution.next_deadline(self.server.resolve_interval))
            }
        }
    }
}

impl Forwarding {
    /// Hears where the servers of a pool are.
    pub(super) fn hear_of(&mut self, generation: Generation, pool: &Pool) {
        let routes = self.routes.iter().position(|routes| routes.generation == generation);
        let routes = routes.expect("it is alive");
        for member in &pool.members {
            self.hear(self.routes[routes].places[usize::from(member.server.0)]);
        }
    }

    /// Hears where a server is, should another worker have been told.
    #[inline]
    pub(super) fn hear(&mut self, place: u16) {
        let remote = &self.remotes[usize::from(place)];
        if let RemoteAddress::Named { port, .. } = remote.server.address
            && remote.server.resolution.version() != remote.version
        {
            self.follow(place, port);
        }
    }

    fn follow(&mut self, place: u16, port: u16) {
        let remote = &mut self.remotes[usize::from(place)];
        if remote.retired.len() >= RETIRED_MAX {
            return;
        }
        // Where it is just being written: with a later packet.
        let Some((version, address)) = remote.server.resolution.address() else { return };
        remote.version = version;
        let address = SocketAddr::new(address, port);
        if remote.address.replace(address) == Some(address) {
            return;
        }
        self.retire_ports(place);
        let Forwarding { remotes, now, .. } = self;
        let remote = &mut remotes[usize::from(place)];
        remote.retired_due = (!remote.retired.is_empty()).then(|| *now + RETIRED_SWEEP);
        self.note_due(place);
    }

    /// Nothing new leaves by the ports that are open.
    pub(super) fn retire_ports(&mut self, place: u16) {
        let Forwarding { remotes, sockets, .. } = self;
        let remote = &mut remotes[usize::from(place)];
        for socket in remote.sockets.iter().flatten() {
            let (_, port) = sockets[usize::from(socket.place)].port.expect("it is open");
            if !remote.retired.contains(&port) {
                remote.outstanding.retire_port(port);
                remote.retired.push(port);
            }
        }
    }

    /// Whether what was sent under this Identifier went to where the server is now, as far as this worker has heard.
    pub fn is_there(&self, place: u16, slot: Slot) -> bool {
        !self.remote(place).retired.contains(&slot.port)
    }

    /// Closes the sockets of retired ports at which nothing waits any more.
    pub(super) fn close_retired(&mut self, place: u16) {
        let now = self.now;
        if self.remote(place).retired_due.is_none_or(|due| now < due) {
            return;
        }
        let mut retired = core::mem::take(&mut self.remotes[usize::from(place)].retired);
        retired.retain(|port| {
            let remote = &mut self.remotes[usize::from(place)];
            if !remote.outstanding.is_port_unused(*port, now) {
                return true;
            }
            let socket = remote.sockets[usize::from(port.0)].take().expect("what is retired is open");
            self.remove_port(place, *port, |_| unreachable!("nothing waits there"));
            self.orders.push_back(RemoteOrder::Close { socket });
            self.free(socket);
            false
        });
        let remote = &mut self.remotes[usize::from(place)];
        remote.retired_due = (!retired.is_empty()).then(|| now + RETIRED_SWEEP);
        remote.retired = retired;
    }

    /// Whether this worker is the one that has to ask now where a server is.
    pub(super) fn claim_resolution(&self, place: u16) -> bool {
        let Remote { server, .. } = self.remote(place);
        match server.address {
            RemoteAddress::At(_) => false,
            RemoteAddress::Named { .. } => server.resolution.claim(server.resolve_interval, self.now),
        }
    }

    /// What is to be asked about a server; nothing about one that is known by its address.
    pub fn question(&self, place: u16) -> Option<Resolve> {
        let Remote { server, .. } = self.remote(place);
        let RemoteAddress::Named { name, .. } = &server.address else { return None };
        Some(Resolve { name: Arc::clone(name), family: server.source_address.map(family) })
    }

    /// What has been said about the server that had this place at that turn.
    pub fn note_resolved(&mut self, place: u32, turn: u32, answer: &Resolved, now: Instant) -> Said {
        self.now = now;
        let remote = self.remotes.get(place as usize).filter(|remote| remote.turn == turn);
        let Some(Remote { server, .. }) = remote.filter(|remote| remote.is_in_any()) else {
            return Said::OfAnother;
        };
        let RemoteAddress::Named { port, .. } = server.address else { return Said::OfAnother };
        let place = place as u16;
        let wanted = server.source_address.map(family);
        let is_usable =
            |address: &IpAddr| is_host(*address) && wanted.is_none_or(|wanted| family(*address) == wanted);
        let usable: Vec<IpAddr> = match answer {
            Resolved::Addresses(all) => all.iter().copied().filter(is_usable).take(ADDRESSES_MAX).collect(),
            Resolved::Failed => Vec::new(),
        };
        if usable.is_empty() {
            if server.resolution.note_failure(now) {
                self.changes.push_back((place, News::Unresolved));
            }
        } else if let Some(address) = server.resolution.note_addresses(&usable, now) {
            let changed = server.health.note_move(&server.judgement(), now);
            self.changes.push_back((place, News::Address(SocketAddr::new(address, port))));
            self.changes.extend(News::of(place, changed));
        }
        self.hear(place);
        self.note_due(place);
        if usable.is_empty() { Said::Nothing } else { Said::Where }
    }
}

fn family(address: IpAddr) -> Family {
    match address {
        IpAddr::V4(_) => Family::Ipv4,
        IpAddr::V6(_) => Family::Ipv6,
    }
}

/// Whether it is a host that one can send to, and be answered from. One on a link is not: nobody has said on which.
fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()),
        IpAddr::V6(v6) => {
            let is_any = v6.is_unspecified() || v6.is_multicast();
            !(is_any || v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some())
        }
    }
}

/// Of many addresses the first ones.
const ADDRESSES_MAX: usize = 64;
/// How often it is looked whether retired ports can be closed.
const RETIRED_SWEEP: Duration = Duration::from_secs(1);
/// While so many are still in use a server that moves again is followed later: a name that stands for something else each second
/// must not take ever more sockets.
const RETIRED_MAX: usize = 256;
