//! A server that requests are forwarded to, or a NAS that takes CoA, as it is configured.

use super::{Health, Judgement, RemoteAddress, Resolution};
use crate::packet::Secret;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// A remote server's place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteServerId(pub u16);

/// What requests go on to.
#[derive(Debug, Clone)]
pub struct RemoteServer {
    /// What it is to us.
    pub role: Role,
    /// The operator's name for it, unique among those of its role.
    pub name: Box<str>,
    /// Where it listens.
    pub address: RemoteAddress,
    /// From which of our addresses requests to it go; the system's choice where none is said.
    pub source_address: Option<IpAddr>,
    /// What both share.
    pub secret: Secret,
    /// Believe no reply to an Access-Request or Status-Server that has no Message-Authenticator.
    pub require_message_authenticator: bool,
    /// How it is asked whether it lives.
    pub status_check: StatusCheck,
    /// In which it has to answer a request, or is suspected.
    pub response_window: Duration,
    /// How long it is suspected before it counts as dead.
    pub zombie_period: Duration,
    /// After which one that is dead and cannot be asked is tried again.
    pub revive_interval: Duration,
    /// How often one that is suspected or dead is asked.
    pub status_interval: Duration,
    /// Requests that may wait for its answer, per worker; 1 to 65 536.
    pub outstanding_max: u32,
    /// What is known of it; each configuration begins with nothing, or [follows](RemoteServer::follow) the one before.
    pub health: Arc<Health>,
    /// How often it is asked what its name stands for.
    pub resolve_interval: Duration,
    /// What its name stands for, if it is known by name; from the configuration before as its health is.
    pub resolution: Arc<Resolution>,
}

/// What a hop is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It decides what we do not.
    Server,
    /// A client of ours that takes CoA and Disconnect. There is no other in its place, so it is not judged: what it does not answer
    /// says nothing about the next request.
    Nas,
}

/// How a remote server is asked whether it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusCheck {
    /// Not at all: it is tried again after its revive interval.
    None,
    /// By Status-Server (RFC 5997).
    StatusServer,
}

impl RemoteServer {
    /// A client of this name and secret, as what CoA and Disconnect go on to.
    pub fn nas(name: Box<str>, address: SocketAddr, secret: Secret) -> RemoteServer {
        RemoteServer {
            role: Role::Nas,
            name,
            address: RemoteAddress::At(address),
            source_address: None,
            secret,
            require_message_authenticator: false,
            status_check: StatusCheck::None,
            // So that it is never suspected: whatever waits is given up before.
            response_window: Duration::MAX,
            zombie_period: Duration::MAX,
            revive_interval: Duration::MAX,
            status_interval: Duration::MAX,
            outstanding_max: NAS_OUTSTANDING_MAX,
            health: Arc::default(),
            resolve_interval: Duration::MAX,
            resolution: Arc::default(),
        }
    }

    /// Whether the other is the same server, however it is to be treated: the same address or name, and secret, so that what is known of
    /// one is known of the other.
    pub fn is_same(&self, other: &RemoteServer) -> bool {
        self.role == other.role
            && self.name == other.name
            && self.address == other.address
            && self.source_address == other.source_address
            && self.secret == other.secret
    }

    /// Takes over what is known of the server before a reload, if it is the same.
    pub fn follow(&mut self, before: &RemoteServer) {
        if self.is_same(before) {
            self.health = Arc::clone(&before.health);
            self.resolution = Arc::clone(&before.resolution);
        }
    }

    /// How its health is judged.
    pub fn judgement(&self) -> Judgement {
        Judgement {
            status_check: self.status_check,
            response_window: self.response_window,
            zombie_period: self.zombie_period,
            revive_interval: self.revive_interval,
            status_interval: self.status_interval,
        }
    }
}

/// Requests that may wait for a NAS, for each worker: one port.
const NAS_OUTSTANDING_MAX: u32 = 252;

#[cfg(test)]
mod tests {
    use super::*;

    fn server(secret: &[u8]) -> RemoteServer {
        RemoteServer {
            role: Role::Server,
            name: "radius1".into(),
            address: RemoteAddress::At(SocketAddr::from(([192, 0, 2, 1], 1812))),
            source_address: None,
            secret: Secret::new(secret).expect("it is not empty"),
            require_message_authenticator: true,
            status_check: StatusCheck::None,
            response_window: Duration::from_secs(20),
            zombie_period: Duration::from_secs(40),
            revive_interval: Duration::from_secs(120),
            status_interval: Duration::from_secs(30),
            outstanding_max: 256,
            health: Arc::default(),
            resolve_interval: Duration::from_secs(60),
            resolution: Arc::default(),
        }
    }

    #[test]
    fn what_is_known_of_a_server_survives_a_reload_as_long_as_it_is_the_same() {
        let before = server(b"0123456789abcdef");
        let mut same = RemoteServer { zombie_period: Duration::from_secs(5), ..server(b"0123456789abcdef") };
        same.follow(&before);
        assert!(Arc::ptr_eq(&same.health, &before.health));
        let mut other = server(b"another secret 42");
        other.follow(&before);
        assert!(!Arc::ptr_eq(&other.health, &before.health));
        let elsewhere = RemoteAddress::At(SocketAddr::from(([192, 0, 2, 2], 1812)));
        let mut moved = RemoteServer { address: elsewhere, ..server(b"0123456789abcdef") };
        moved.follow(&before);
        assert!(!Arc::ptr_eq(&moved.health, &before.health));
    }

    #[test]
    fn a_server_known_by_name_is_the_same_as_long_as_its_name_is() {
        let named = |name: &str, port| RemoteServer {
            address: RemoteAddress::Named { name: name.into(), port },
            ..server(b"0123456789abcdef")
        };
        let before = named("radius.example.edu", 1812);
        for (mut after, is_same) in [
            (named("radius.example.edu", 1812), true),
            (named("radius.example.edu", 1813), false),
            (named("radius.example.org", 1812), false),
            (server(b"0123456789abcdef"), false),
        ] {
            after.follow(&before);
            assert_eq!(Arc::ptr_eq(&after.resolution, &before.resolution), is_same, "{}", after.address);
            assert_eq!(Arc::ptr_eq(&after.health, &before.health), is_same, "{}", after.address);
        }
    }
}
