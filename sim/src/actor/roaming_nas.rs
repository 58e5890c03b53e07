//! A NAS whose users are at home elsewhere: it sends their requests round by round, again if need be, also from another port, and
//! takes the answers. RFC 2865 §2.1, RFC 3579 §2.1, RFC 5080 §2.2.1.

use super::retransmission::{Next, Retransmission};
use super::visit::{ACCESS_CHALLENGE, Errand, Token, Visitor};
use crate::draw::{Class, Draw, Draws};
use crate::fault::{FaultClass, Injector};
use crate::oracle::codec::{Packet, code, kind};
use crate::plan::proxy::{ProxyPlan, RoamingNasPlan};
use crate::plan::{ListenerKind, Plan};

/// What wakes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// The next burst of visits.
    Burst,
    /// The next burst after the faults.
    HealBurst,
    /// A request of this visit was not answered in time; the second number says which sending.
    Again(usize, u64),
    /// The user has thought about the challenge.
    GoOn(usize),
}

/// A datagram that it sends.
#[derive(Debug)]
pub struct Sent {
    /// From which of its ports.
    pub port: usize,
    /// To which listener.
    pub to: ListenerKind,
    /// The datagram.
    pub octets: Vec<u8>,
    /// What is asked, where it was not sent before.
    pub asked: Option<Asks>,
}

/// A request, to whoever judges.
#[derive(Debug, Clone)]
pub struct Asks {
    /// Which it is.
    pub token: Token,
    /// Whether it ought to have a State, and has lost it, or has another.
    pub state_is_lost: bool,
    /// The octets of the challenge that it goes on with.
    pub challenge: Option<Vec<u8>>,
}

/// How a visit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By Access-Accept.
    Accepted,
    /// By Access-Reject.
    Rejected,
    /// No answer came.
    GaveUp,
    /// It was given up for another.
    Abandoned,
}

/// What it gives out.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Datagrams.
    pub sent: Vec<Sent>,
    /// Timers, with their times.
    pub timers: Vec<(u64, Timer)>,
    /// Visits that have ended.
    pub ends: Vec<(usize, End)>,
}

/// What is around it.
pub struct Around<'a> {
    /// The scenario.
    pub plan: &'a Plan,
    /// All draws.
    pub draws: Draws,
    /// Who decides what goes wrong.
    pub faults: &'a mut Injector,
    /// Virtual nanoseconds.
    pub now: u64,
    /// Where it puts what it gives out.
    pub out: &'a mut Outbox,
}

impl Around<'_> {
    fn proxy(&self) -> &ProxyPlan {
        self.plan.topology.proxy.as_ref().expect("a plan with such a NAS has it")
    }
}

/// One visit.
#[derive(Debug)]
pub struct Visit {
    /// What it is.
    pub errand: Errand,
    /// Its realm, by its place in the plan.
    pub realm: usize,
    /// When it began.
    pub begun: u64,
    /// Whether it has to end well.
    pub must_end_well: bool,
    /// The round under way.
    pub round: u64,
    visitor: Visitor,
    /// What the last challenge gave.
    challenge: Option<Vec<u8>>,
    waiting: Option<Waiting>,
    port: usize,
    sendings: u64,
}

impl Visit {
    fn listener(&self) -> ListenerKind {
        if self.errand == Errand::Accounting { ListenerKind::Accounting } else { ListenerKind::Access }
    }
}

#[derive(Debug)]
struct Waiting {
    identifier: u8,
    octets: Vec<u8>,
    retransmission: Retransmission,
    sending: u64,
}

/// Such a NAS.
pub struct RoamingNas {
    place: usize,
    visits: Vec<Visit>,
    /// By Identifier: the visit that waits.
    waiting: Vec<Option<usize>>,
    next_identifier: u8,
    requests: u64,
    left: u32,
    heal_left: u32,
}

const SECOND: u64 = 1_000_000_000;
/// So long after the faults servers that were dead are asked again.
pub const HEALED_AFTER: u64 = 45 * SECOND;

impl RoamingNas {
    /// At this place of the plan.
    pub fn new(place: usize, plan: &RoamingNasPlan) -> Self {
        RoamingNas {
            place,
            visits: Vec::new(),
            waiting: vec![None; 256],
            next_identifier: 0,
            requests: 0,
            left: plan.visits,
            heal_left: plan.heal_visits,
        }
    }

    /// All visits so far.
    pub fn visits(&self) -> &[Visit] {
        &self.visits
    }

    /// Everything begins.
    pub fn begin(&mut self, around: &mut Around<'_>) {
        let first = self.pace(0, around);
        around.out.timers.push((first, Timer::Burst));
        // One after the other: a server that was dead is tried with few requests at once.
        let healed = around.plan.faulty_until() + HEALED_AFTER + self.entity() * (SECOND * 7 / 10);
        around.out.timers.push((healed, Timer::HealBurst));
    }

    /// A timer has run out.
    pub fn handle_timer(&mut self, timer: Timer, around: &mut Around<'_>) {
        match timer {
            Timer::Burst => {
                let burst = self.plan(around).burst;
                let draw = around.draws.at(Class::Visit, self.entity(), self.visits.len() as u64).fork(1);
                let count = draw.range(1..=burst.into()).min(self.left.into()) as u32;
                self.left -= count;
                (0..count).for_each(|_| self.begin_visit(false, around));
                let next = self.pace(self.visits.len() as u64, around);
                if self.left > 0 && next < around.plan.faulty_until() {
                    around.out.timers.push((next, Timer::Burst));
                }
            }
            Timer::HealBurst => {
                if self.heal_left > 0 {
                    self.heal_left -= 1;
                    self.begin_visit(true, around);
                    around.out.timers.push((around.now + SECOND, Timer::HealBurst));
                }
            }
            Timer::GoOn(visit) => self.send_round(visit, around),
            Timer::Again(visit, sending) => self.send_again(visit, sending, around),
        }
    }

    /// A datagram comes from the server.
    pub fn handle_datagram(&mut self, octets: &[u8], around: &mut Around<'_>) {
        let Ok(packet) = Packet::read(octets) else { return };
        let Some(number) = self.waiting[usize::from(packet.identifier())] else { return };
        let secret = self.plan(around).secret.clone();
        let visit = &mut self.visits[number];
        let Some(waiting) = &visit.waiting else { return };
        let asked: [u8; 16] = waiting.octets[4..20].try_into().expect("it has a header");
        let is_signed = packet.signature_holds(&asked, secret.as_bytes());
        let holds = packet.authenticator_holds(&asked, secret.as_bytes())
            && is_signed.unwrap_or(packet.code() == code::ACCOUNTING_RESPONSE);
        if !holds {
            return;
        }
        visit.waiting = None;
        self.waiting[usize::from(packet.identifier())] = None;
        match packet.code() {
            ACCESS_CHALLENGE => {
                visit.challenge = Some(packet.octets().to_vec());
                visit.round += 1;
                let draw = around.draws.at(Class::Visit, self.place as u64 | 1 << 32, self.requests);
                // Some look for their token first, and their server may be dead by then.
                let is_slow = !visit.must_end_well && draw.fork(3).one_in(8);
                let thinks = draw.magnitude(1_000..=if is_slow { 15 * SECOND } else { SECOND });
                around.out.timers.push((around.now + thinks, Timer::GoOn(number)));
            }
            code::ACCESS_ACCEPT | code::ACCOUNTING_RESPONSE => around.out.ends.push((number, End::Accepted)),
            _ => around.out.ends.push((number, End::Rejected)),
        }
    }

    fn entity(&self) -> u64 {
        self.place as u64
    }

    fn plan<'a>(&self, around: &'a Around<'_>) -> &'a RoamingNasPlan {
        &around.proxy().nases[self.place]
    }

    fn pace(&self, ordinal: u64, around: &Around<'_>) -> u64 {
        let pause = self.plan(around).pause_us.max(1) * 1_000;
        around.now + around.draws.at(Class::Visit, self.entity() | 2 << 32, ordinal).range(1..=pause * 2)
    }

    fn begin_visit(&mut self, must_end_well: bool, around: &mut Around<'_>) {
        let number = self.visits.len();
        let draw = around.draws.at(Class::Visit, self.entity() | 3 << 32, number as u64);
        let plan = self.plan(around);
        let realms = &around.proxy().realms;
        let realm = draw.fork(1).below(realms.len() as u64) as usize;
        let visitor = Visitor::drawn(plan, (self.place, number), &realms[realm].name);
        self.visits.push(Visit {
            errand: Errand::drawn(plan, draw.fork(2)),
            realm,
            begun: around.now,
            must_end_well,
            round: 0,
            visitor,
            challenge: None,
            waiting: None,
            port: draw.fork(3).below(plan.ports.len() as u64) as usize,
            sendings: 0,
        });
        self.send_round(number, around);
    }

    fn send_round(&mut self, number: usize, around: &mut Around<'_>) {
        let request = self.requests;
        self.requests += 1;
        let now = around.now;
        let draw = around.draws.at(Class::Visit, self.entity() | 4 << 32, request);
        let abandoned = self.abandon(request, around);
        let identifier = abandoned.map(|(identifier, _)| identifier).or_else(|| self.free_identifier());
        let Some(identifier) = identifier else {
            return around.out.ends.push((number, End::Abandoned));
        };
        self.change_port(number, around);
        if let Some((_, port)) = abandoned {
            // The same Identifier from the same port is what takes the other's place.
            self.visits[number].port = port;
        }
        let plan = self.plan(around);
        let states = draw.fork(1).range(0..=plan.proxy_states_max);
        let proxy_states: Vec<_> = (0..states).map(|place| octets(draw.fork(2).fork(place), 40)).collect();
        let visit = &self.visits[number];
        let token = Token { nas: self.place, visit: number, round: visit.round };
        let challenge = visit.challenge.clone();
        let state = challenge.as_deref().and_then(|octets| {
            let packet = Packet::read(octets).expect("it was read before");
            packet.all(kind::STATE).next()
        });
        let secret = plan.secret.clone();
        let class = FaultClass::StateLost;
        let is_lost =
            state.is_some() && around.faults.strike(class, self.entity(), request, now, |_| [0, 0]).is_some();
        let class = FaultClass::StateRewritten;
        let other = |draw: Draw| [draw.bits(), draw.fork(1).bits()];
        let rewritten = state.and_then(|_| around.faults.strike(class, self.entity(), request, now, other));
        let rewritten = rewritten.map(|words| words.map(u64::to_be_bytes).concat());
        let state = rewritten.as_deref().or(state);
        let state_is_lost = is_lost || rewritten.is_some() || challenge.is_some() && state.is_none();
        let octets = visit.visitor.request(
            visit.errand,
            token,
            state.filter(|_| !is_lost),
            &proxy_states,
            identifier,
            draw.fork(3).octets(),
            secret.as_bytes(),
        );
        let visit = &mut self.visits[number];
        visit.sendings += 1;
        let (retransmission, at) = Retransmission::begin(now, true, draw.fork(4));
        let sending = visit.sendings;
        visit.waiting = Some(Waiting { identifier, octets: octets.clone(), retransmission, sending });
        self.waiting[usize::from(identifier)] = Some(number);
        around.out.timers.push((at, Timer::Again(number, sending)));
        let asked = Some(Asks { token, state_is_lost, challenge });
        around.out.sent.push(Sent { port: visit.port, to: visit.listener(), octets, asked });
    }

    fn send_again(&mut self, number: usize, sending: u64, around: &mut Around<'_>) {
        let draw = around.draws.at(Class::Visit, self.entity() | 5 << 32, (number as u64) << 20 | sending);
        let visit = &mut self.visits[number];
        let Some(waiting) = visit.waiting.as_mut().filter(|waiting| waiting.sending == sending) else {
            return;
        };
        match waiting.retransmission.handle_timeout(around.now, draw) {
            Next::SendAgain(at) => {
                let octets = waiting.octets.clone();
                self.change_port(number, around);
                let visit = &mut self.visits[number];
                visit.sendings += 1;
                visit.waiting.as_mut().expect("it was just seen").sending = visit.sendings;
                around.out.timers.push((at, Timer::Again(number, visit.sendings)));
                around.out.sent.push(Sent { port: visit.port, to: visit.listener(), octets, asked: None });
            }
            Next::GiveUp => {
                let identifier = waiting.identifier;
                visit.waiting = None;
                self.waiting[usize::from(identifier)] = None;
                around.out.ends.push((number, End::GaveUp));
            }
        }
    }

    /// The next packet of a visit may come from another port: it is known by how many were sent before.
    fn change_port(&mut self, number: usize, around: &mut Around<'_>) {
        let ports = self.plan(around).ports.len() as u64;
        let visit = &mut self.visits[number];
        let ordinal = (number as u64) << 20 | visit.sendings;
        let other = |draw: Draw| [draw.below(ports), 0];
        let class = FaultClass::PortChanged;
        if let Some([port, _]) = around.faults.strike(class, self.place as u64, ordinal, around.now, other) {
            visit.port = port as usize;
        }
    }

    /// Gives up a visit that waits: its Identifier and its port.
    fn abandon(&mut self, request: u64, around: &mut Around<'_>) -> Option<(u8, usize)> {
        let class = FaultClass::VisitAbandoned;
        let which = |draw: Draw| [draw.bits(), 0];
        let [which, _] = around.faults.strike(class, self.place as u64, request, around.now, which)?;
        let busy: Vec<_> = self.waiting.iter().enumerate().filter(|(_, waits)| waits.is_some()).collect();
        let (identifier, waits) = busy.get(which as usize % busy.len().max(1))?;
        let (identifier, visit) = (*identifier as u8, waits.expect("it was just seen"));
        // Only what it began: what has to end well is not given up, and faults have ended by then.
        if self.visits[visit].must_end_well {
            return None;
        }
        self.visits[visit].waiting = None;
        around.out.ends.push((visit, End::Abandoned));
        Some((identifier, self.visits[visit].port))
    }

    fn free_identifier(&mut self) -> Option<u8> {
        let first = self.next_identifier;
        let free = (0..=u8::MAX).map(|step| first.wrapping_add(step));
        let identifier =
            free.into_iter().find(|identifier| self.waiting[usize::from(*identifier)].is_none())?;
        self.next_identifier = identifier.wrapping_add(1);
        Some(identifier)
    }
}

fn octets(draw: Draw, most: u64) -> Vec<u8> {
    let mut octets = vec![0; draw.range(1..=most) as usize];
    draw.fork(1).fill(&mut octets);
    octets
}
