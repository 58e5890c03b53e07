//! What a user who is at home elsewhere sends through the server: one request, or a conversation of several rounds. Each request
//! says in clear which visit and round it is, and so does each answer, so that nothing can be taken for another's unseen.

use crate::draw::Draw;
use crate::oracle::codec::{Writer, code, kind};
use crate::oracle::digest::{chap_password, hide_password};
use crate::plan::proxy::RoamingNasPlan;
use std::fmt;

/// Which request of which visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token {
    /// The NAS, by its place in the plan.
    pub nas: usize,
    /// Its visit.
    pub visit: usize,
    /// The round, from 0.
    pub round: u64,
}

/// What a visit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// One request with User-Password.
    Pap,
    /// One request with CHAP-Password; with a CHAP-Challenge of its own, or not.
    Chap {
        /// Whether it has one.
        has_challenge: bool,
    },
    /// So many rounds of EAP.
    Conversation {
        /// The last is answered by Access-Accept.
        rounds: u64,
    },
    /// One Accounting-Request.
    Accounting,
}

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// User-Name.
    pub name: String,
    /// Calling-Station-Id.
    pub station: Option<String>,
}

/// What answers say in Reply-Message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// The request that it answers.
    pub token: Token,
    /// The remote server.
    pub server: usize,
    /// Its code.
    pub code: u8,
}

/// What somebody without the secret says instead.
pub const FORGED: &[u8] = b"forged";
/// Connect-Info (RFC 2869 §5.11): where requests carry their token.
pub const CONNECT_INFO: u8 = 77;
/// Reply-Message (RFC 2865 §5.18).
pub const REPLY_MESSAGE: u8 = 18;
/// Calling-Station-Id (RFC 2865 §5.31).
pub const CALLING_STATION_ID: u8 = 31;
/// Access-Challenge (RFC 2865 §4.4).
pub const ACCESS_CHALLENGE: u8 = 11;
const CHAP_IDENTIFIER: u8 = 7;

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.nas, self.visit, self.round)
    }
}

impl Token {
    /// As it was printed.
    pub fn read(text: &[u8]) -> Option<Token> {
        let mut numbers = std::str::from_utf8(text).ok()?.split('.').map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        let (nas, visit, round) = (next()?, next()?, next()?);
        numbers.next().is_none().then_some(Token { nas: nas as usize, visit: visit as usize, round })
    }

    /// The password of a user who has one.
    pub fn password(self) -> String {
        format!("password of {self}")
    }
}

impl Told {
    /// The text.
    pub fn text(self) -> String {
        format!("{}@{}/{}", self.token, self.server, self.code)
    }

    /// As [`Told::text`] wrote it.
    pub fn read(text: &[u8]) -> Option<Told> {
        let text = std::str::from_utf8(text).ok()?;
        let (token, rest) = text.split_once('@')?;
        let (server, code) = rest.split_once('/')?;
        Some(Told {
            token: Token::read(token.as_bytes())?,
            server: server.parse().ok()?,
            code: code.parse().ok()?,
        })
    }
}

impl Errand {
    /// Of a visit.
    pub fn drawn(plan: &RoamingNasPlan, draw: Draw) -> Self {
        if draw.fork(3).per_mille(plan.accounting_per_mille) {
            return Errand::Accounting;
        }
        match draw.below(1_000) {
            below if below < plan.pap_per_mille => Errand::Pap,
            below if below < plan.pap_per_mille + plan.chap_per_mille => {
                Errand::Chap { has_challenge: draw.fork(1).one_in(2) }
            }
            _ => Errand::Conversation { rounds: draw.fork(2).range(2..=plan.rounds_max.max(2)) },
        }
    }

    /// How many requests it takes.
    pub fn rounds(self) -> u64 {
        match self {
            Errand::Pap | Errand::Chap { .. } | Errand::Accounting => 1,
            Errand::Conversation { rounds } => rounds,
        }
    }
}

impl Visitor {
    /// Of a visit to one of these realms.
    pub fn drawn(plan: &RoamingNasPlan, (nas, visit): (usize, usize), realm: &str) -> Self {
        let name = if plan.anonymous { "anonymous".into() } else { format!("user{nas}-{visit}") };
        let station = plan.calling_station_id.then(|| format!("02-00-{nas:02X}-{visit:06X}"));
        Visitor { name: format!("{name}@{realm}"), station }
    }

    /// Writes a request of this visitor.
    #[expect(clippy::too_many_arguments, reason = "a request is all of these")]
    pub fn request(
        &self,
        errand: Errand,
        token: Token,
        state: Option<&[u8]>,
        proxy_states: &[Vec<u8>],
        identifier: u8,
        authenticator: [u8; 16],
        secret: &[u8],
    ) -> Vec<u8> {
        if errand == Errand::Accounting {
            return self.record(token, proxy_states, identifier, secret);
        }
        let writer = Writer::new(code::ACCESS_REQUEST, identifier, authenticator).signed();
        let mut writer = writer.attribute(kind::USER_NAME, self.name.as_bytes());
        let password = token.password();
        writer = match errand {
            Errand::Pap => {
                let hidden = hide_password(password.as_bytes(), &authenticator, secret);
                writer.attribute(kind::USER_PASSWORD, &hidden)
            }
            Errand::Chap { has_challenge: true } => {
                let challenge = [CHAP_IDENTIFIER; 16];
                let digest = chap_password(CHAP_IDENTIFIER, password.as_bytes(), &challenge);
                writer.attribute(kind::CHAP_PASSWORD, &digest).attribute(kind::CHAP_CHALLENGE, &challenge)
            }
            Errand::Chap { has_challenge: false } => {
                let digest = chap_password(CHAP_IDENTIFIER, password.as_bytes(), &authenticator);
                writer.attribute(kind::CHAP_PASSWORD, &digest)
            }
            Errand::Conversation { .. } => {
                // A response: an identity at first (RFC 3748 §5.1), then of a method.
                let (method, data) = match token.round {
                    0 => (1, self.name.clone()),
                    _ => (21, token.to_string()),
                };
                writer.attribute(kind::EAP_MESSAGE, &eap(2, token.round as u8, Some(method), data.as_bytes()))
            }
            Errand::Accounting => unreachable!("that is no Access-Request"),
        };
        writer = writer.attribute(CONNECT_INFO, token.to_string().as_bytes());
        if let Some(station) = &self.station {
            writer = writer.attribute(CALLING_STATION_ID, station.as_bytes());
        }
        if let Some(state) = state {
            writer = writer.attribute(kind::STATE, state);
        }
        for state in proxy_states {
            writer = writer.attribute(kind::PROXY_STATE, state);
        }
        writer.request(secret)
    }

    /// Writes a record of this visitor's session, which its token names.
    fn record(&self, token: Token, proxy_states: &[Vec<u8>], identifier: u8, secret: &[u8]) -> Vec<u8> {
        let mut writer = Writer::new(code::ACCOUNTING_REQUEST, identifier, [0; 16])
            .attribute(kind::USER_NAME, self.name.as_bytes())
            // Start (RFC 2866 §5.1).
            .attribute(kind::ACCT_STATUS_TYPE, &[0, 0, 0, 1])
            .attribute(kind::ACCT_SESSION_ID, format!("visit {token}").as_bytes())
            .attribute(CONNECT_INFO, token.to_string().as_bytes());
        for state in proxy_states {
            writer = writer.attribute(kind::PROXY_STATE, state);
        }
        writer.accounting(secret)
    }
}

/// An EAP packet (RFC 3748 §4).
pub fn eap(code: u8, identifier: u8, method: Option<u8>, data: &[u8]) -> Vec<u8> {
    let length = 4 + method.iter().len() + data.len();
    let mut octets = vec![code, identifier, 0, length as u8];
    octets.extend(method);
    octets.extend_from_slice(data);
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_reads_back_and_nothing_else_does() {
        let told = Told { token: Token { nas: 1, visit: 20, round: 3 }, server: 4, code: 11 };
        assert_eq!(Told::read(told.text().as_bytes()), Some(told));
        assert_eq!(Token::read(b"1.20.3"), Some(told.token));
        for text in [&b"1.20"[..], b"1.20.3.4", b"1.x.3", b"", b"\xff"] {
            assert_eq!(Token::read(text), None);
        }
        assert_eq!((Told::read(FORGED), Told::read(b"1.2.3@4")), (None, None));
    }
}
