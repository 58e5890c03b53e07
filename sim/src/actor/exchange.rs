//! One exchange of a NAS: the request as it was made, what is expected of it, how far it is.

use super::retransmission::Retransmission;
use crate::draw::Draw;
use crate::oracle::codec::{Writer, code, kind};
use crate::oracle::digest;
use crate::plan::{ListenerKind, NasPlan, User};
use ulna_core::ListenerId;

/// What a NAS asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// An Access-Request by PAP.
    Pap,
    /// An Access-Request by CHAP.
    Chap,
    /// An Accounting-Request.
    Accounting,
    /// A Status-Server.
    Status,
}

/// How far an exchange is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standstill {
    /// It waits for its answer.
    Waiting,
    /// The first valid reply came.
    Answered,
    /// No answer within MRC and MRD.
    GivenUp,
    /// Its Identifier was given to another request.
    Superseded,
    /// The NAS has forgotten it.
    Rebooted,
}

/// One request and its fate at the NAS.
#[derive(Debug)]
pub struct Exchange {
    /// The source port, by its place in the NAS's plan.
    pub port: usize,
    /// Whom it goes to.
    pub listener: ListenerId,
    /// What it asks for.
    pub errand: Errand,
    /// The packet.
    pub octets: Vec<u8>,
    /// The secret that it was made with, and that its reply must verify under.
    pub secret: String,
    /// When it was sent first, virtual nanoseconds.
    pub begun: u64,
    /// Whether it was begun after the faults had ended, and an answer is owed to it.
    pub must_be_answered: bool,
    /// How far it is.
    pub standstill: Standstill,
    /// When it is sent again.
    pub retransmission: Retransmission,
    /// Seconds that Acct-Delay-Time says.
    pub delay_seconds: u32,
}

impl Exchange {
    /// Its Identifier.
    pub fn identifier(&self) -> u8 {
        self.octets[1]
    }

    /// Its Request Authenticator.
    pub fn authenticator(&self) -> [u8; 16] {
        self.octets[4..20].try_into().expect("4..20 are sixteen octets")
    }
}

/// What a NAS and its users know, as it changes with time.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The secret that the NAS shares with the server, as far as it knows.
    pub secret: &'a str,
    /// Users with their passwords.
    pub users: &'a [User],
}

/// What one transaction is, all drawn.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// What it asks for.
    pub errand: Errand,
    /// Whether an Access-Request carries a Message-Authenticator.
    pub signed: bool,
    draw: Draw,
}

impl Wish {
    /// Draws a transaction of this NAS.
    pub fn drawn(plan: &NasPlan, draw: Draw) -> Self {
        let errand = match draw.fork(1).below(1_000) {
            share if share < plan.status_per_mille => Errand::Status,
            share if share < plan.status_per_mille + plan.accounting_per_mille => Errand::Accounting,
            _ if draw.fork(2).per_mille(plan.chap_per_mille) => Errand::Chap,
            _ => Errand::Pap,
        };
        Wish { errand, signed: draw.fork(3).per_mille(plan.signed_per_mille), draw }
    }

    /// Which kind of listener it goes to. A Status-Server asks either.
    pub fn listener(&self) -> ListenerKind {
        match self.errand {
            Errand::Accounting => ListenerKind::Accounting,
            Errand::Status if self.draw.fork(4).one_in(3) => ListenerKind::Accounting,
            Errand::Pap | Errand::Chap | Errand::Status => ListenerKind::Access,
        }
    }

    /// The packet under this Identifier and (but for accounting) with this authenticator.
    pub fn packet(
        &self,
        plan: &NasPlan,
        known: &Known<'_>,
        identifier: u8,
        authenticator: [u8; 16],
        delay_seconds: u32,
    ) -> Vec<u8> {
        let secret = known.secret.as_bytes();
        let draw = self.draw;
        match self.errand {
            Errand::Status => {
                let name = self.nas_identifier(plan).unwrap_or("model").as_bytes();
                let packet = Writer::new(code::STATUS_SERVER, identifier, authenticator);
                packet.signed().attribute(kind::NAS_IDENTIFIER, name).request(secret)
            }
            Errand::Accounting => {
                let mut packet = Writer::new(code::ACCOUNTING_REQUEST, identifier, [0; 16])
                    .attribute(kind::ACCT_STATUS_TYPE, &(draw.fork(5).range(1..=3) as u32).to_be_bytes())
                    .attribute(kind::ACCT_SESSION_ID, &draw.fork(6).octets::<12>())
                    .attribute(kind::ACCT_DELAY_TIME, &delay_seconds.to_be_bytes());
                if let Some(name) = self.nas_identifier(plan) {
                    packet = packet.attribute(kind::NAS_IDENTIFIER, name.as_bytes());
                }
                for state in self.proxy_states(plan) {
                    packet = packet.attribute(kind::PROXY_STATE, &state);
                }
                packet.accounting(secret)
            }
            Errand::Pap | Errand::Chap => self.access(plan, known, identifier, authenticator),
        }
    }

    fn access(&self, plan: &NasPlan, known: &Known<'_>, identifier: u8, authenticator: [u8; 16]) -> Vec<u8> {
        let &Known { secret, users } = known;
        let secret = secret.as_bytes();
        let draw = self.draw;
        let user = &users[draw.fork(7).below(users.len() as u64) as usize];
        let mut password = user.password.clone().into_bytes();
        if draw.fork(8).per_mille(plan.wrong_password_per_mille) {
            password.push(b'!');
        }
        // The Message-Authenticator comes first, last or somewhere between: its place is no reason to drop it.
        let place = if self.signed { draw.fork(9).range(1..=3) } else { 0 };
        let mut packet = Writer::new(code::ACCESS_REQUEST, identifier, authenticator);
        if place == 1 {
            packet = packet.signed();
        }
        packet = packet.attribute(kind::USER_NAME, user.name.as_bytes());
        if self.errand == Errand::Pap {
            let hidden = digest::hide_password(&password, &authenticator, secret);
            packet = packet.attribute(kind::USER_PASSWORD, &hidden);
        } else {
            let own_challenge = draw.fork(10).one_in(2);
            let challenge = if own_challenge { draw.fork(11).octets() } else { authenticator };
            let chap = digest::chap_password(draw.fork(12).below(256) as u8, &password, &challenge);
            packet = packet.attribute(kind::CHAP_PASSWORD, &chap);
            if own_challenge {
                packet = packet.attribute(kind::CHAP_CHALLENGE, &challenge);
            }
        }
        if place == 2 {
            packet = packet.signed();
        }
        packet = packet.attribute(kind::NAS_PORT, &(draw.fork(13).below(64) as u32).to_be_bytes());
        if let Some(name) = self.nas_identifier(plan) {
            packet = packet.attribute(kind::NAS_IDENTIFIER, name.as_bytes());
        }
        if draw.fork(15).per_mille(plan.state_per_mille) {
            packet = packet.attribute(kind::STATE, &state(draw.fork(16)));
        }
        for state in self.proxy_states(plan) {
            packet = packet.attribute(kind::PROXY_STATE, &state);
        }
        if place == 3 {
            packet = packet.signed();
        }
        packet.request(secret)
    }

    /// What it says to be: one of its names.
    fn nas_identifier<'p>(&self, plan: &'p NasPlan) -> Option<&'p str> {
        let names = &plan.nas_identifiers;
        let place = self.draw.fork(17).below(names.len() as u64) as usize;
        names.get(place).map(String::as_str)
    }

    fn proxy_states(&self, plan: &NasPlan) -> impl Iterator<Item = Vec<u8>> {
        let draw = self.draw.fork(14);
        (0..draw.below(plan.proxy_states_max + 1)).map(move |place| {
            let mut value = vec![0; draw.fork(place).range(1..=plan.proxy_state_octets_max) as usize];
            draw.fork(100 + place).fill(&mut value);
            value
        })
    }
}

/// A State (RFC 2865 §5.24) that no server has given out: octets of no meaning, or the number of a worker, by which the policy
/// of the simulator's server knows it.
fn state(draw: Draw) -> Vec<u8> {
    if draw.fork(1).one_in(3) {
        return draw.fork(2).octets::<8>()[..draw.fork(3).range(1..=8) as usize].to_vec();
    }
    draw.fork(4).below(6).to_string().into_bytes()
}

/// What breaks a rule about octets, made from a good packet. Each of the kinds is to be met by silence.
pub fn malformed(packet: &[u8], kind_drawn: u64, secret: &[u8]) -> Vec<u8> {
    let mut octets = packet.to_vec();
    let set_length = |octets: &mut [u8], length: usize| {
        octets[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    };
    match kind_drawn % MALFORMED_KINDS {
        0 => set_length(&mut octets, packet.len() + 1),
        1 => set_length(&mut octets, 19),
        2 => set_length(&mut octets, 4_097),
        // The first attribute's length: none, too short for itself, past the packet.
        3 => octets[21] = 0,
        4 => octets[21] = 1,
        5 => octets[21] = 255,
        6 => {
            let authenticator = octets[4..20].try_into().expect("4..20 are sixteen octets");
            octets = Writer::new(code::ACCESS_REQUEST, octets[1], authenticator)
                .signed()
                .attribute(kind::USER_NAME, b"user0")
                .signed()
                .request(secret);
        }
        7 => {
            octets.extend_from_slice(&[kind::MESSAGE_AUTHENTICATOR, 5, 1, 2, 3]);
            let length = octets.len();
            set_length(&mut octets, length);
        }
        8 => octets[0] = 99,
        _ => octets.truncate(19),
    }
    octets
}

/// How many kinds [`malformed`] knows.
pub const MALFORMED_KINDS: u64 = 10;
