//! What a server with the plan's configuration owes to a datagram: silence with a reason, or an answer.
//!
//! Judges octets as they were handed to the server, not as they were sent: a damaged Access-Request without
//! Message-Authenticator is a request like any other to a server.

use super::codec::{Malformed, Packet, code, kind};
use super::digest;
use super::rules::{self, Around};
use crate::plan::{Client, ListenerKind, User};
use crate::site::{Action, Site};
use std::net::IpAddr;

/// A datagram as it comes to a server.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What its listener takes.
    pub listener: ListenerKind,
    /// From where.
    pub source: IpAddr,
    /// Seconds since 1970 on the wall, when it is decided about.
    pub wall: u64,
    /// All its octets.
    pub datagram: &'a [u8],
}

/// What is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No reply of any kind, for this reason.
    Silence(&'static str),
    /// At most one reply per copy.
    Answer(Answer),
}

/// The answer that is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The reply's code.
    pub code: u8,
    /// The place of the client in the site.
    pub client: usize,
    /// Which of its secrets the reply is under: 0 is the newest.
    pub secret: usize,
    /// The user whose reply attributes an Access-Accept carries.
    pub user: Option<usize>,
    /// The Proxy-States to be returned, in order.
    pub proxy_states: Vec<Vec<u8>>,
    /// Whether the request carried a Message-Authenticator (and it was right).
    pub signed: bool,
    /// Whether a Message-Authenticator comes first in the reply: in all replies on an access listener.
    pub signs_reply: bool,
}

/// Judges one datagram under this configuration.
pub fn judge(site: &Site, asked: &Asked<'_>) -> Verdict {
    match weigh(site, asked) {
        Ok(answer) => Verdict::Answer(answer),
        Err(reason) => Verdict::Silence(reason),
    }
}

/// The client with the longest prefix that contains `source`.
pub fn client_of(clients: &[Client], source: IpAddr) -> Option<usize> {
    clients
        .iter()
        .enumerate()
        .filter(|(_, client)| !client.is_ruled() && client.contains(source))
        .max_by_key(|(_, client)| client.prefix)
        .map(|(place, _)| place)
}

/// The clients that a packet from `source` may be of: one by its network, or else all of a rule's.
pub fn clients_of(clients: &[Client], source: IpAddr) -> impl Iterator<Item = usize> {
    let by_network = client_of(clients, source);
    let is_ruled =
        move |client: &Client| by_network.is_none() && client.is_ruled() && client.contains(source);
    let ruled =
        clients.iter().enumerate().filter(move |(_, client)| is_ruled(client)).map(|(place, _)| place);
    by_network.into_iter().chain(ruled)
}

/// Which of these clients a packet is of whose Message-Authenticator, or Request Authenticator, is right under a secret that it
/// has, and which of its secrets that is. Who has a connection, and by which name the packet calls itself, is not asked: in a
/// table each secret is one client's.
fn prove(
    site: &Site,
    source: IpAddr,
    packet: Packet<'_>,
    holds: impl Fn(&str) -> bool,
) -> Option<(usize, usize)> {
    let by_secret = |client: usize| Some((client, site.clients[client].secrets().position(&holds)?));
    // Mostly it is who it says to be, and no two have one secret.
    let named = packet.all(kind::NAS_IDENTIFIER).next().and_then(|name| {
        let is_it = |client: &usize| site.clients[*client].name.as_bytes() == name;
        clients_of(&site.clients, source).find(is_it)
    });
    named.and_then(by_secret).or_else(|| clients_of(&site.clients, source).find_map(by_secret))
}

/// The client under one of whose secrets a packet verifies that its listener takes and that proves who has made it: signed, or an
/// Accounting-Request.
pub fn verified_by(site: &Site, asked: &Asked<'_>) -> Option<usize> {
    let &Asked { listener, source, datagram, .. } = asked;
    let packet = Packet::read(datagram).ok()?;
    let signatures: Vec<_> = packet.all(kind::MESSAGE_AUTHENTICATOR).collect();
    let authenticator = match (packet.code(), listener) {
        (code::ACCESS_REQUEST, ListenerKind::Access) | (code::STATUS_SERVER, _) => packet.authenticator(),
        (code::ACCOUNTING_REQUEST, ListenerKind::Accounting) => [0; 16],
        _ => return None,
    };
    let is_whole = signatures.iter().all(|value| value.len() == 16) && packet.all(kind::STATE).count() <= 1;
    let is_accounting = packet.code() == code::ACCOUNTING_REQUEST;
    if !is_whole || signatures.len() > 1 || (signatures.is_empty() && !is_accounting) {
        return None;
    }
    let holds = |secret: &str| {
        let signed = packet.signature_holds(&authenticator, secret.as_bytes());
        signed != Some(false)
            && (!is_accounting || packet.authenticator_holds(&authenticator, secret.as_bytes()))
    };
    prove(site, source, packet, holds).map(|(client, _)| client)
}

fn weigh(site: &Site, asked: &Asked<'_>) -> Result<Answer, &'static str> {
    let &Asked { listener, source, wall, datagram } = asked;
    let packet = Packet::read(datagram).map_err(|malformed| match malformed {
        Malformed::TooShort => "too short",
        Malformed::BadLength => "bad Length",
        Malformed::Truncated => "truncated",
        Malformed::BadAttribute => "bad attribute",
    })?;
    let place = clients_of(&site.clients, source).next().ok_or("unknown client")?;
    if packet.all(kind::MESSAGE_AUTHENTICATOR).count() > 1 {
        return Err("several Message-Authenticators");
    }
    if packet.all(kind::MESSAGE_AUTHENTICATOR).any(|value| value.len() != 16) {
        return Err("a Message-Authenticator of another length than 16");
    }
    if packet.all(kind::STATE).count() > 1 {
        return Err("several States");
    }
    let mut answer = Answer {
        code: 0,
        client: place,
        secret: 0,
        user: None,
        proxy_states: packet.all(kind::PROXY_STATE).map(<[u8]>::to_vec).collect(),
        signed: false,
        signs_reply: listener == ListenerKind::Access,
    };
    // The newest secret under which a Message-Authenticator over a random authenticator is right.
    let signing = || {
        let holds = |secret: &str| packet.signature_holds(&packet.authenticator(), secret.as_bytes());
        prove(site, source, packet, |secret| holds(secret) == Some(true))
    };
    // Where nothing is signed, only a client that is known by its network can be meant.
    let client = &site.clients[place];
    let is_signed = packet.all(kind::MESSAGE_AUTHENTICATOR).next().is_some();
    match (packet.code(), listener) {
        (code::ACCESS_REQUEST, ListenerKind::Access) => {
            if is_signed {
                answer.signed = true;
                (answer.client, answer.secret) = signing().ok_or("wrong Message-Authenticator")?;
            } else if client.is_ruled() {
                return Err("not signed, and nobody is known by his address");
            } else if packet.all(kind::EAP_MESSAGE).next().is_some() {
                return Err("unsigned EAP-Message");
            } else if client.require_message_authenticator {
                return Err("not signed, but it must be");
            } else if client.limit_proxy_state && !answer.proxy_states.is_empty() {
                return Err("unsigned Proxy-State");
            }
            let client = &site.clients[answer.client];
            let rule = rules::decides(site, packet, Around { client: &client.name, wall });
            let accepted = match rule.map_or(Action::Users, |rule| rule.action) {
                Action::Accept => true,
                Action::Reject => false,
                Action::Users => {
                    let name = rule.and_then(|rule| rule.user_name.as_deref()).map(str::as_bytes);
                    let name = name.or_else(|| packet.all(kind::USER_NAME).next());
                    // An unsigned request is under whichever secret its password fits.
                    let tried = client.secrets().enumerate();
                    let tried = tried.filter(|(secret, _)| !answer.signed || *secret == answer.secret);
                    let proven = tried
                        .filter_map(|(secret, text)| {
                            Some((secret, authenticated(&site.users, name?, packet, text.as_bytes())?))
                        })
                        .next();
                    if let Some((secret, user)) = proven {
                        (answer.secret, answer.user) = (secret, Some(user));
                    }
                    proven.is_some()
                }
            };
            answer.code = if accepted { code::ACCESS_ACCEPT } else { code::ACCESS_REJECT };
        }
        (code::STATUS_SERVER, _) => {
            if !is_signed {
                return Err("unsigned Status-Server");
            }
            answer.signed = true;
            (answer.client, answer.secret) = signing().ok_or("wrong Message-Authenticator")?;
            // RFC 5997 §3: by the port that it came to.
            answer.code = match listener {
                ListenerKind::Access => code::ACCESS_ACCEPT,
                ListenerKind::Accounting => code::ACCOUNTING_RESPONSE,
            };
        }
        (code::ACCOUNTING_REQUEST, ListenerKind::Accounting) => {
            let holds = |secret: &str| packet.authenticator_holds(&[0; 16], secret.as_bytes());
            answer.signed = true;
            (answer.client, answer.secret) =
                prove(site, source, packet, holds).ok_or("wrong Request Authenticator")?;
            let client = &site.clients[answer.client];
            if packet.signature_holds(&[0; 16], client.secret(answer.secret)) == Some(false) {
                return Err("wrong Message-Authenticator");
            }
            if !site.answers_accounting {
                return Err("no accounting rule");
            }
            answer.code = code::ACCOUNTING_RESPONSE;
        }
        _ => return Err("a code that this listener does not take"),
    }
    Ok(answer)
}

/// The user of this name whose password the request proves. The first attribute of a type counts.
fn authenticated(users: &[User], name: &[u8], packet: Packet<'_>, secret: &[u8]) -> Option<usize> {
    let place = users.iter().position(|user| user.name.as_bytes() == name)?;
    let password = users[place].password.as_bytes();
    let authenticator = packet.authenticator();
    // RFC 2865 §4.1: not both. A bit that is flipped makes one of another attribute; then the CHAP-Password counts.
    let proven = if let Some(chap) = packet.all(kind::CHAP_PASSWORD).next() {
        // RFC 2865 §5.40: without CHAP-Challenge, the challenge is the Request Authenticator.
        let challenge = packet.all(kind::CHAP_CHALLENGE).next().unwrap_or(&authenticator);
        let answers = |&identifier: &u8| digest::chap_password(identifier, password, challenge) == chap;
        // CHAP needs the password itself (RFC 1994 §2.1).
        !users[place].hashed && chap.first().is_some_and(answers)
    } else if let Some(hidden) = packet.all(kind::USER_PASSWORD).next() {
        digest::reveal_password(hidden, &authenticator, secret).is_some_and(|revealed| revealed == password)
    } else {
        false
    };
    proven.then_some(place)
}

#[cfg(test)]
mod tests {
    use super::super::codec::Writer;
    use super::*;
    use crate::plan::{Client, User};
    use crate::site::Rules;

    fn site() -> Site {
        let client = |network: &str, prefix, secret: &str| Client {
            name: network.into(),
            network: network.parse().expect("an address"),
            prefix,
            secret: secret.into(),
            require_message_authenticator: false,
            limit_proxy_state: true,
            old_secret: None,
            rule: None,
        };
        Site {
            clients: vec![client("10.0.0.0", 8, "wide"), client("10.1.2.3", 32, "narrow")],
            users: vec![User { name: "bob".into(), password: "hello".into(), hashed: false, reply: vec![] }],
            rules: Rules::default(),
            answers_accounting: true,
            workers: 1,
        }
    }

    fn access(password: &[u8], secret: &[u8]) -> Writer {
        Writer::new(code::ACCESS_REQUEST, 1, [7; 16])
            .attribute(kind::USER_NAME, b"bob")
            .attribute(kind::USER_PASSWORD, &digest::hide_password(password, &[7; 16], secret))
    }

    fn verdict(
        source: &str,
        listener: ListenerKind,
        octets: &[u8],
    ) -> Result<(u8, usize, bool), &'static str> {
        verdict_of(&site(), source, listener, octets)
    }

    fn verdict_of(
        site: &Site,
        source: &str,
        listener: ListenerKind,
        octets: &[u8],
    ) -> Result<(u8, usize, bool), &'static str> {
        let source = source.parse().expect("an address");
        match judge(site, &Asked { listener, source, wall: 0, datagram: octets }) {
            Verdict::Answer(answer) => Ok((answer.code, answer.client, answer.signed)),
            Verdict::Silence(reason) => Err(reason),
        }
    }

    #[test]
    fn the_longest_prefix_says_whose_secret_counts() {
        let right = access(b"hello", b"narrow").signed().request(b"narrow");
        assert_eq!(verdict("10.1.2.3", ListenerKind::Access, &right), Ok((2, 1, true)));
        assert_eq!(verdict("10.1.2.4", ListenerKind::Access, &right), Err("wrong Message-Authenticator"));
        assert_eq!(verdict("11.1.2.4", ListenerKind::Access, &right), Err("unknown client"));
        assert_eq!(
            verdict("10.1.2.3", ListenerKind::Accounting, &right),
            Err("a code that this listener does not take")
        );
    }

    #[test]
    fn passwords_decide_between_accept_and_reject() {
        let unsigned = access(b"hello", b"wide").request(b"wide");
        assert_eq!(verdict("10.0.0.1", ListenerKind::Access, &unsigned), Ok((2, 0, false)));
        let wrong = access(b"hullo", b"wide").request(b"wide");
        assert_eq!(verdict("10.0.0.1", ListenerKind::Access, &wrong), Ok((3, 0, false)));
        let chap = digest::chap_password(3, b"hello", &[7; 16]);
        let chap = Writer::new(1, 1, [7; 16]).attribute(1, b"bob").attribute(3, &chap).request(b"wide");
        assert_eq!(verdict("10.0.0.1", ListenerKind::Access, &chap), Ok((2, 0, false)));
    }

    #[test]
    fn rules_about_signatures_hold() {
        let two = access(b"hello", b"wide").signed().signed().request(b"wide");
        assert_eq!(verdict("10.0.0.1", ListenerKind::Access, &two), Err("several Message-Authenticators"));
        let state = access(b"hello", b"wide").attribute(kind::PROXY_STATE, b"x").request(b"wide");
        assert_eq!(verdict("10.0.0.1", ListenerKind::Access, &state), Err("unsigned Proxy-State"));
        let status = Writer::new(code::STATUS_SERVER, 1, [7; 16]);
        assert_eq!(
            verdict("10.0.0.1", ListenerKind::Access, &status.request(b"wide")),
            Err("unsigned Status-Server")
        );
        let status = Writer::new(code::STATUS_SERVER, 1, [7; 16]).signed().request(b"wide");
        assert_eq!(verdict("10.0.0.1", ListenerKind::Accounting, &status), Ok((5, 0, true)));
        let accounting = Writer::new(code::ACCOUNTING_REQUEST, 1, [0; 16]).accounting(b"wrong");
        assert_eq!(
            verdict("10.0.0.1", ListenerKind::Accounting, &accounting),
            Err("wrong Request Authenticator")
        );
    }

    #[test]
    fn of_a_user_password_and_a_chap_password_in_one_request_the_latter_counts() {
        let site = site();
        let source = "10.0.0.1".parse().expect("an address");
        let octets = access(b"hello", b"wide").attribute(kind::CHAP_PASSWORD, b"6 octs").request(b"wide");
        let asked = Asked { listener: ListenerKind::Access, source, wall: 0, datagram: &octets };
        let Verdict::Answer(answer) = judge(&site, &asked) else { panic!("it is answered") };
        assert_eq!(answer.code, code::ACCESS_REJECT);
    }

    #[test]
    fn of_two_secrets_the_one_that_verifies_or_whose_password_fits_is_the_replys() {
        let mut site = site();
        (site.clients[0].secret, site.clients[0].old_secret) = ("new".into(), Some("wide".into()));
        let source = "10.0.0.1".parse().expect("an address");
        let secret = |octets: &[u8]| {
            let asked = Asked { listener: ListenerKind::Access, source, wall: 0, datagram: octets };
            match judge(&site, &asked) {
                Verdict::Answer(answer) => Ok((answer.code, answer.secret)),
                Verdict::Silence(reason) => Err(reason),
            }
        };
        assert_eq!(secret(&access(b"hello", b"wide").signed().request(b"wide")), Ok((2, 1)));
        assert_eq!(secret(&access(b"hello", b"new").signed().request(b"new")), Ok((2, 0)));
        assert_eq!(secret(&access(b"hello", b"wide").request(b"wide")), Ok((2, 1)));
        assert_eq!(secret(&access(b"hullo", b"wide").request(b"wide")), Ok((3, 0)));
        assert_eq!(
            secret(&access(b"hello", b"narrow").signed().request(b"narrow")),
            Err("wrong Message-Authenticator")
        );
    }
}
