//! A NAS: starts transactions, retransmits, counts Identifiers, and knows what it waits for.
//!
//! Judges nothing but replies to its own requests; what a reply must be is checked where the server sends it.

use super::exchange::{Errand, Exchange, Known, MALFORMED_KINDS, Standstill, Wish, malformed};
use super::identifiers::Identifiers;
use super::owed::Configured;
use super::retransmission::{Next, Retransmission};
use crate::draw::{Class, Draws};
use crate::fault::{FaultClass, Injector};
use crate::oracle::codec::{Packet, code};
use crate::plan::{NasPlan, Plan, Standing};
use ulna_core::ListenerId;

/// A timer of a NAS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// The next burst of transactions.
    Burst,
    /// The next transaction of the time after the faults.
    Heal,
    /// The time-out of this exchange.
    Timeout(usize),
    /// This exchange is sent again before its time.
    Impatient(usize),
}

/// A datagram that a NAS sends.
#[derive(Debug)]
pub struct Sent {
    /// The source port, by its place in the NAS's plan.
    pub port: usize,
    /// Whom it goes to.
    pub listener: ListenerId,
    /// The datagram.
    pub octets: Vec<u8>,
}

/// Something worth a line in the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// This exchange was answered with this code.
    Answered(usize, u8),
    /// This exchange ended without answer.
    GaveUp(usize, Standstill),
    /// The NAS rebooted.
    Rebooted,
}

/// What a call gives back to the world.
#[derive(Debug, Default)]
pub struct Outbox {
    /// To be sent, in order.
    pub sent: Vec<Sent>,
    /// Timers to be set: virtual nanoseconds.
    pub timers: Vec<(u64, Timer)>,
    /// For the trace.
    pub notes: Vec<Note>,
}

/// What a NAS is given with each call.
pub struct Surroundings<'a> {
    /// The scenario.
    pub plan: &'a Plan,
    /// The draws of the run.
    pub draws: Draws,
    /// Who decides about faults.
    pub faults: &'a mut Injector,
    /// What the server is told.
    pub configured: Configured<'a>,
    /// Virtual nanoseconds.
    pub now: u64,
    /// Where what it does goes.
    pub out: &'a mut Outbox,
}

/// One NAS.
#[derive(Debug)]
pub struct Nas {
    place: usize,
    exchanges: Vec<Exchange>,
    wishes: Vec<Wish>,
    identifiers: Identifiers,
    started: u32,
    healed: u32,
    bursts: u64,
    authenticators: u64,
    jitters: u64,
}

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

impl Nas {
    /// The NAS at this place of the plan.
    pub fn new(place: usize) -> Self {
        Nas {
            place,
            exchanges: Vec::new(),
            wishes: Vec::new(),
            identifiers: Identifiers::default(),
            started: 0,
            healed: 0,
            bursts: 0,
            authenticators: 0,
            jitters: 0,
        }
    }

    /// Sets the first timers.
    pub fn begin(&mut self, around: &mut Surroundings<'_>) {
        let draw = around.draws.at(Class::Pace, self.entity(), 0);
        let plan = self.plan(around.plan);
        around.out.timers.push((draw.range(0..=plan.pause_us * 1_000), Timer::Burst));
        // An attacker behind a NAT goes on.
        if (plan.standing == Standing::Known || plan.nat.is_some()) && plan.heal_transactions > 0 {
            // The latest copies of faulty times have come by then.
            let from = around.plan.faulty_until() + 31 * SECOND;
            around.out.timers.push((from + draw.fork(1).range(0..=5 * SECOND), Timer::Heal));
        }
    }

    /// A timer went off.
    pub fn handle_timer(&mut self, timer: Timer, around: &mut Surroundings<'_>) {
        match timer {
            Timer::Burst => self.burst(around),
            Timer::Heal => {
                self.healed += 1;
                self.transact(true, around);
                if self.healed < self.plan(around.plan).heal_transactions {
                    let draw = around.draws.at(Class::Pace, self.entity(), 1 << 32 | u64::from(self.healed));
                    around.out.timers.push((around.now + draw.range(MILLISECOND..=7 * SECOND), Timer::Heal));
                }
            }
            Timer::Timeout(exchange) => self.handle_timeout(exchange, around),
            Timer::Impatient(exchange) => {
                if self.exchanges[exchange].standstill == Standstill::Waiting {
                    self.send(exchange, around);
                }
            }
        }
    }

    /// A datagram came to one of its ports, from a listener.
    pub fn handle_datagram(
        &mut self,
        port: usize,
        listener: ListenerId,
        octets: &[u8],
        around: &mut Surroundings<'_>,
    ) {
        // RFC 2865 §3: a reply that does not verify is silently discarded; so is one that nothing waits for.
        let Ok(packet) = Packet::read(octets) else { return };
        let Some(number) = self.identifiers.waiting((port, listener), packet.identifier()) else { return };
        let exchange = &mut self.exchanges[number];
        let secret = exchange.secret.as_bytes();
        let authenticator = exchange.authenticator();
        let expected = match exchange.errand {
            Errand::Pap | Errand::Chap => matches!(packet.code(), code::ACCESS_ACCEPT | code::ACCESS_REJECT),
            Errand::Accounting => packet.code() == code::ACCOUNTING_RESPONSE,
            Errand::Status => matches!(packet.code(), code::ACCESS_ACCEPT | code::ACCOUNTING_RESPONSE),
        };
        if expected
            && packet.authenticator_holds(&authenticator, secret)
            && packet.signature_holds(&authenticator, secret) != Some(false)
        {
            exchange.standstill = Standstill::Answered;
            self.identifiers.give_back((port, listener), packet.identifier());
            around.out.notes.push(Note::Answered(number, packet.code()));
        }
    }

    /// All exchanges so far.
    pub fn exchanges(&self) -> &[Exchange] {
        &self.exchanges
    }

    /// Its name in draws and fault logs.
    pub fn entity(&self) -> u64 {
        self.place as u64
    }

    fn plan<'p>(&self, plan: &'p Plan) -> &'p NasPlan {
        &plan.topology.nases[self.place]
    }

    fn burst(&mut self, around: &mut Surroundings<'_>) {
        let plan = self.plan(around.plan);
        let ordinal = self.bursts;
        self.bursts += 1;
        let entity = self.entity();
        if around.faults.strike(FaultClass::Reboot, entity, ordinal, around.now, |_| [0, 0]).is_some() {
            self.reboot(around);
        }
        let draw = around.draws.at(Class::Pace, entity, 1 + ordinal);
        let count = draw.range(1..=u64::from(plan.burst)).min(u64::from(plan.transactions - self.started));
        for _ in 0..count {
            self.started += 1;
            self.transact(false, around);
        }
        if self.started < plan.transactions {
            let pause = draw.fork(1).range(plan.pause_us * 500..=plan.pause_us * 1_500);
            if around.now + pause < around.plan.faulty_until() {
                around.out.timers.push((around.now + pause, Timer::Burst));
            }
        }
    }

    fn reboot(&mut self, around: &mut Surroundings<'_>) {
        for number in self.identifiers.forget() {
            self.end(number, Standstill::Rebooted, around);
        }
        around.out.notes.push(Note::Rebooted);
    }

    fn transact(&mut self, must_be_answered: bool, around: &mut Surroundings<'_>) {
        let plan = self.plan(around.plan);
        let ordinal = self.wishes.len() as u64;
        let draw = around.draws.at(Class::Transaction, self.entity(), ordinal);
        let wish = Wish::drawn(plan, draw);
        let port = draw.fork(50).below(plan.ports.len() as u64) as usize;
        let listener = around.plan.topology.listener_for(wish.listener(), plan.address);
        let Some(listener) = listener else { return };
        let Some(identifier) = self.free_identifier(port, listener, ordinal, around) else { return };
        let known = Known { secret: plan.secret_at(around.now), users: &around.configured.newest().users };
        let octets = wish.packet(plan, &known, identifier, self.fresh_authenticator(around.draws), 0);
        let number = self.begin_exchange(wish, port, listener, octets, must_be_answered, 0, around);
        let kind = |draw: crate::draw::Draw| [draw.below(MALFORMED_KINDS), 0];
        if let Some([kind, _]) =
            around.faults.strike(FaultClass::Malformed, self.entity(), ordinal, around.now, kind)
        {
            let octets =
                malformed(&self.exchanges[number].octets, kind, plan.secret_at(around.now).as_bytes());
            around.out.sent.push(Sent { port, listener, octets });
        }
        let soon = |draw: crate::draw::Draw| [draw.magnitude(1_000..=50 * MILLISECOND), 0];
        if let Some([after, _]) =
            around.faults.strike(FaultClass::Impatience, self.entity(), ordinal, around.now, soon)
        {
            around.out.timers.push((around.now + after, Timer::Impatient(number)));
        }
    }

    /// The next Identifier that nothing waits under; where reuse strikes, one that something does wait under.
    fn free_identifier(
        &mut self,
        port: usize,
        listener: ListenerId,
        ordinal: u64,
        around: &mut Surroundings<'_>,
    ) -> Option<u8> {
        let flow = (port, listener);
        let in_use = self.identifiers.in_use(flow);
        let reuse = |draw: crate::draw::Draw| [draw.bits(), 0];
        if !in_use.is_empty()
            && let Some([which, _]) =
                around.faults.strike(FaultClass::IdentifierReuse, self.entity(), ordinal, around.now, reuse)
        {
            let identifier = in_use[(which % in_use.len() as u64) as usize];
            if let Some(number) = self.identifiers.give_back(flow, identifier) {
                self.end(number, Standstill::Superseded, around);
            }
            return Some(identifier);
        }
        let count = self.plan(around.plan).identifiers;
        self.identifiers.next_free(flow, count, &in_use)
    }

    fn fresh_authenticator(&mut self, draws: Draws) -> [u8; 16] {
        self.authenticators += 1;
        draws.at(Class::Authenticator, self.entity(), self.authenticators).octets()
    }

    #[expect(clippy::too_many_arguments, reason = "an exchange is all of these")]
    fn begin_exchange(
        &mut self,
        wish: Wish,
        port: usize,
        listener: ListenerId,
        octets: Vec<u8>,
        must_be_answered: bool,
        delay_seconds: u32,
        around: &mut Surroundings<'_>,
    ) -> usize {
        let bounded = wish.errand != Errand::Accounting;
        let (retransmission, timeout) = Retransmission::begin(around.now, bounded, self.jitter(around.draws));
        let number = self.exchanges.len();
        let begun = around.now;
        let address = around.plan.topology.seen(self.place);
        let secret = self.plan(around.plan).secret_at(begun).to_owned();
        let kind = around.plan.topology.listeners[usize::from(listener.0)].kind;
        let owed =
            must_be_answered && around.configured.owe_answer(wish.errand, kind, address, &octets, &secret);
        self.identifiers.take((port, listener), octets[1], number);
        self.wishes.push(wish);
        self.exchanges.push(Exchange {
            port,
            listener,
            errand: wish.errand,
            octets,
            secret,
            begun,
            must_be_answered: owed,
            standstill: Standstill::Waiting,
            retransmission,
            delay_seconds,
        });
        around.out.timers.push((timeout, Timer::Timeout(number)));
        self.send(number, around);
        number
    }

    fn jitter(&mut self, draws: Draws) -> crate::draw::Draw {
        self.jitters += 1;
        draws.at(Class::Retransmission, self.entity(), self.jitters)
    }

    fn handle_timeout(&mut self, number: usize, around: &mut Surroundings<'_>) {
        if self.exchanges[number].standstill != Standstill::Waiting {
            return;
        }
        let draw = self.jitter(around.draws);
        let errand = self.exchanges[number].errand;
        let next = if errand == Errand::Status || around.now >= around.plan.idle_from() {
            // RFC 5997 §4: a Status-Server is not retransmitted. And at the end of the plan everybody goes home.
            Next::GiveUp
        } else {
            self.exchanges[number].retransmission.handle_timeout(around.now, draw)
        };
        match next {
            Next::GiveUp => {
                self.forget(number);
                self.end(number, Standstill::GivenUp, around);
            }
            Next::SendAgain(_) if errand == Errand::Accounting => self.renew_accounting(number, around),
            Next::SendAgain(timeout) => {
                around.out.timers.push((timeout, Timer::Timeout(number)));
                self.send(number, around);
            }
        }
    }

    /// RFC 2866 §5.2: a changed Acct-Delay-Time makes a new packet, with a new Identifier and authenticator. A few
    /// times, then the record goes to the NAS's own store, which is not modelled.
    fn renew_accounting(&mut self, number: usize, around: &mut Surroundings<'_>) {
        self.forget(number);
        self.end(number, Standstill::GivenUp, around);
        let old = &self.exchanges[number];
        let (port, listener, delay_seconds) = (old.port, old.listener, old.delay_seconds + 2);
        if delay_seconds > 10 {
            return;
        }
        let (wish, owed) = (self.wishes[number], old.must_be_answered);
        let ordinal = self.wishes.len() as u64;
        let Some(identifier) = self.free_identifier(port, listener, ordinal, around) else { return };
        let plan = self.plan(around.plan);
        let known = Known { secret: plan.secret_at(around.now), users: &around.configured.newest().users };
        let octets = wish.packet(plan, &known, identifier, [0; 16], delay_seconds);
        self.begin_exchange(wish, port, listener, octets, owed, delay_seconds, around);
    }

    fn forget(&mut self, number: usize) {
        let exchange = &self.exchanges[number];
        self.identifiers.give_back((exchange.port, exchange.listener), exchange.identifier());
    }

    fn end(&mut self, number: usize, standstill: Standstill, around: &mut Surroundings<'_>) {
        self.exchanges[number].standstill = standstill;
        around.out.notes.push(Note::GaveUp(number, standstill));
    }

    fn send(&mut self, number: usize, around: &mut Surroundings<'_>) {
        let exchange = &self.exchanges[number];
        around.out.sent.push(Sent {
            port: exchange.port,
            listener: exchange.listener,
            octets: exchange.octets.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::codec::Writer;
    use crate::site::Site;
    use crate::swarm::Profile;

    struct Bench {
        plan: Plan,
        sites: Vec<Site>,
        faults: Injector,
        nas: Nas,
        out: Outbox,
    }

    impl Bench {
        fn new(class: Option<FaultClass>) -> Self {
            let mut plan = Plan::drawn(9, Profile::Calm);
            plan.topology.nases.truncate(1);
            let nas = &mut plan.topology.nases[0];
            (nas.standing, nas.transactions, nas.burst) = (Standing::Known, 200, 1);
            (nas.accounting_per_mille, nas.status_per_mille) = (0, 0);
            nas.secret = "s".into();
            nas.ports.truncate(1);
            let mut intensities = [0; FaultClass::COUNT];
            if let Some(class) = class {
                intensities[class as usize] = 10_000;
            }
            let faults = Injector::drawn(Draws::new(plan.seed), intensities, u64::MAX);
            let sites = Site::all(&plan);
            Bench { plan, sites, faults, nas: Nas::new(0), out: Outbox::default() }
        }

        fn around(&mut self, now: u64) -> (&mut Nas, Surroundings<'_>) {
            let Bench { plan, sites, faults, nas, out } = self;
            let configured = Configured { sites, ahead: 0..1, newest: 0 };
            (nas, Surroundings { plan, draws: Draws::new(plan.seed), faults, configured, now, out })
        }

        fn timer(&mut self, timer: Timer, now: u64) {
            let (nas, mut around) = self.around(now);
            nas.handle_timer(timer, &mut around);
        }

        fn reply(&mut self, number: usize, secret: &[u8]) {
            let exchange = &self.nas.exchanges[number];
            let (port, listener) = (exchange.port, exchange.listener);
            let reply = Writer::new(code::ACCESS_ACCEPT, exchange.identifier(), [0; 16])
                .signed()
                .reply(&exchange.authenticator(), secret);
            let (nas, mut around) = self.around(5);
            nas.handle_datagram(port, listener, &reply, &mut around);
        }
    }

    #[test]
    fn sends_the_same_octets_until_a_reply_verifies() {
        let mut bench = Bench::new(None);
        bench.timer(Timer::Burst, 0);
        bench.timer(Timer::Timeout(0), 2 * SECOND);
        assert_eq!(bench.out.sent[0].octets, bench.out.sent[1].octets);
        bench.reply(0, b"another");
        assert_eq!(bench.nas.exchanges[0].standstill, Standstill::Waiting);
        bench.reply(0, b"s");
        assert_eq!(bench.nas.exchanges[0].standstill, Standstill::Answered);
        bench.timer(Timer::Timeout(0), 6 * SECOND);
        assert_eq!(bench.out.sent.len(), 2);
    }

    #[test]
    fn reuse_takes_an_identifier_that_waits_and_a_fresh_authenticator() {
        let mut bench = Bench::new(Some(FaultClass::IdentifierReuse));
        bench.timer(Timer::Burst, 0);
        bench.timer(Timer::Burst, 1);
        let [first, second] = &bench.nas.exchanges[..] else { panic!("two were begun") };
        assert_eq!(first.identifier(), second.identifier());
        assert_ne!(first.authenticator(), second.authenticator());
        assert_eq!(first.standstill, Standstill::Superseded);
    }

    #[test]
    fn a_reboot_forgets_all_and_counts_from_0() {
        let mut bench = Bench::new(None);
        (0..3).for_each(|now| bench.timer(Timer::Burst, now));
        assert_eq!(bench.nas.exchanges[2].identifier(), 2);
        bench.faults = Bench::new(Some(FaultClass::Reboot)).faults;
        bench.timer(Timer::Burst, 3);
        assert_eq!(bench.nas.exchanges[3].identifier(), 0);
        assert!(bench.nas.exchanges[..3].iter().all(|e| e.standstill == Standstill::Rebooted));
    }

    #[test]
    fn every_malformed_packet_is_one_to_be_met_by_silence() {
        use crate::oracle::judge::{Asked, Verdict, judge};
        let mut bench = Bench::new(Some(FaultClass::Malformed));
        bench.plan.topology.clients[0].secret = "s".into();
        let address = bench.plan.topology.nases[0].address;
        for now in 0..200 {
            bench.timer(Timer::Burst, now);
        }
        let malformed: Vec<_> = bench.out.sent.iter().skip(1).step_by(2).collect();
        assert!(malformed.len() > 2);
        for sent in malformed {
            let kind = bench.plan.topology.listeners[usize::from(sent.listener.0)].kind;
            let asked = Asked { listener: kind, source: address, wall: 0, datagram: &sent.octets };
            let verdict = judge(&Site::first(&bench.plan), &asked);
            assert!(matches!(verdict, Verdict::Silence(_)), "{:?}", sent.octets);
        }
    }
}
