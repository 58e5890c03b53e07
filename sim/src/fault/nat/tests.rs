//! What a NAT does, packet by packet.

use super::*;
use crate::draw::Draws;
use crate::plan::nat::PortOrder;

struct Bench {
    plan: NatPlan,
    nat: Nat,
    faults: Injector,
}

fn endpoint(text: &str) -> SocketAddr {
    text.parse().expect("written here")
}

fn injector(class: Option<FaultClass>) -> Injector {
    let mut intensities = [0; FaultClass::COUNT];
    if let Some(class) = class {
        intensities[class as usize] = 10_000;
    }
    Injector::drawn(Draws::new(7), intensities, u64::MAX)
}

/// Inside endpoints of two hosts.
fn a() -> SocketAddr {
    endpoint("192.168.1.1:1812")
}

fn b() -> SocketAddr {
    endpoint("192.168.1.2:1812")
}

/// The server: two addresses, two ports on the first.
fn access() -> SocketAddr {
    endpoint("192.0.2.1:1812")
}

fn accounting() -> SocketAddr {
    endpoint("192.0.2.1:1813")
}

fn elsewhere() -> SocketAddr {
    endpoint("192.0.2.2:1812")
}

impl Bench {
    fn new(change: impl FnOnce(&mut NatPlan)) -> Self {
        let mut plan = NatPlan {
            outside: vec![IpAddr::from([198, 51, 100, 1])],
            behind: None,
            mapping: Dependence::None,
            filtering: Dependence::None,
            pooling: Pooling::Single,
            first_port: 40_000,
            ports: 4,
            chunk: 0,
            preserves_ports: false,
            overloads_ports: false,
            order: PortOrder::Fifo,
            reuse_after_ms: 0,
            when_full: WhenFull::Drop,
            timeout_s: 30,
            inbound_refreshes: false,
            latency_us: 1,
        };
        change(&mut plan);
        Bench { plan, nat: Nat::new(0), faults: injector(None) }
    }

    /// The outside port.
    fn out(&mut self, inside: SocketAddr, to: SocketAddr, second: u64) -> Option<u16> {
        let outside = self.nat.outbound(&self.plan, inside, to, second * SECOND, &mut self.faults);
        outside.map(|outside| outside.port())
    }

    fn come(&mut self, port: u16, from: SocketAddr, second: u64) -> Result<SocketAddr, Refusal> {
        let outside = SocketAddr::new(self.plan.outside[0], port);
        self.nat.inbound(&self.plan, outside, from, second * SECOND)
    }

    fn incidents(&mut self) -> Vec<Incident> {
        self.nat.take_incidents().collect()
    }
}

#[test]
fn a_mapping_depends_on_what_of_the_other_end_its_kind_says() {
    for (mapping, address, port) in [
        (Dependence::None, true, true),
        (Dependence::Address, false, true),
        (Dependence::AddressAndPort, false, false),
    ] {
        let mut bench = Bench::new(|plan| plan.mapping = mapping);
        let first = bench.out(a(), access(), 0);
        assert_eq!(bench.out(a(), access(), 1), first, "{mapping:?}");
        assert_eq!(bench.out(a(), accounting(), 1) == first, port, "{mapping:?}");
        assert_eq!(bench.out(a(), elsewhere(), 1) == first, address, "{mapping:?}");
        assert_ne!(bench.out(b(), access(), 1), first, "{mapping:?}");
    }
}

#[test]
fn a_filter_lets_in_whom_its_kind_says() {
    for (filtering, address, port) in [
        (Dependence::None, true, true),
        (Dependence::Address, false, true),
        (Dependence::AddressAndPort, false, false),
    ] {
        let mut bench = Bench::new(|plan| plan.filtering = filtering);
        let outside = bench.out(a(), access(), 0).expect("a port is free");
        let expected = |lets: bool| if lets { Ok(a()) } else { Err(Refusal::Filtered) };
        assert_eq!(bench.come(outside, access(), 1), Ok(a()));
        assert_eq!(bench.come(outside, accounting(), 1), expected(port), "{filtering:?}");
        assert_eq!(bench.come(outside, elsewhere(), 1), expected(address), "{filtering:?}");
        assert_eq!(bench.come(outside + 1, access(), 1), Err(Refusal::NoMapping));
    }
}

#[test]
fn what_goes_out_refreshes_and_what_comes_in_where_the_plan_says_so() {
    for inbound_refreshes in [false, true] {
        let mut bench = Bench::new(|plan| plan.inbound_refreshes = inbound_refreshes);
        let outside = bench.out(a(), access(), 0).expect("a port is free");
        assert_eq!(bench.out(a(), access(), 29), Some(outside));
        assert_eq!(bench.come(outside, access(), 58), Ok(a()), "29 s after the last");
        let later = if inbound_refreshes { Ok(a()) } else { Err(Refusal::NoMapping) };
        assert_eq!(bench.come(outside, access(), 60), later);
    }
    let mut bench = Bench::new(|_| {});
    let outside = bench.out(a(), access(), 0).expect("a port is free");
    assert_eq!(bench.come(outside, access(), 30), Err(Refusal::NoMapping), "the time-out itself is too late");
    assert_eq!(bench.incidents(), [Incident::Expired]);
}

#[test]
fn a_freed_port_is_next_or_last_and_rests_before() {
    let after = |order: PortOrder, reuse_after_ms: u64| {
        let mut bench = Bench::new(|plan| {
            (plan.order, plan.reuse_after_ms) = (order, reuse_after_ms);
        });
        let first = bench.out(a(), access(), 0);
        (first == bench.out(b(), access(), 31), bench)
    };
    assert!(after(PortOrder::Lifo, 0).0 && !after(PortOrder::Fifo, 0).0);
    let (is_same, mut bench) = after(PortOrder::Lifo, 10_000);
    assert!(!is_same, "it was freed a second ago");
    let third = endpoint("192.168.1.3:1812");
    let fresh = Bench::new(|plan| plan.order = PortOrder::Lifo).out(a(), access(), 0);
    assert_eq!(bench.out(third, access(), 41), fresh, "10 s after the time-out of the first");
}

#[test]
fn a_port_is_preserved_or_shared_by_destination() {
    let mut bench = Bench::new(|plan| (plan.preserves_ports, plan.first_port) = (true, 1_810));
    assert_eq!(bench.out(a(), access(), 0), Some(1_812));
    assert_ne!(bench.out(b(), access(), 0), Some(1_812), "it is taken");

    let mut bench = Bench::new(|plan| {
        (plan.mapping, plan.overloads_ports, plan.ports) = (Dependence::AddressAndPort, true, 1);
    });
    assert_eq!(bench.out(a(), access(), 0), Some(40_000));
    assert_eq!(bench.out(b(), accounting(), 0), Some(40_000));
    assert_eq!(bench.out(b(), access(), 0), None, "toward one destination it is one mapping's");
    assert_eq!(bench.come(40_000, access(), 1), Ok(a()));
    assert_eq!(bench.come(40_000, accounting(), 1), Ok(b()));
}

#[test]
fn chunks_are_one_hosts_until_its_last_mapping_there_ends() {
    let mut bench = Bench::new(|plan| plan.chunk = 2);
    let port = |host: u8, port: u16| SocketAddr::new(IpAddr::from([192, 168, 1, host]), port);
    assert_eq!(bench.out(port(1, 1), access(), 0), Some(40_000));
    assert_eq!(bench.out(port(2, 1), access(), 0), Some(40_002));
    assert_eq!(bench.out(port(1, 2), access(), 20), Some(40_001));
    assert_eq!(bench.out(port(3, 1), access(), 20), None, "both chunks are others'");
    assert_eq!(bench.out(port(1, 3), access(), 20), None);
    assert_eq!(
        bench.out(port(3, 1), access(), 31),
        Some(40_003),
        "who had it is gone, and this one freed longest ago"
    );
}

#[test]
fn where_no_port_is_free_a_flow_is_dropped_or_the_oldest_goes() {
    let mut bench = Bench::new(|plan| plan.ports = 1);
    assert!(bench.out(a(), access(), 0).is_some());
    assert_eq!(bench.out(b(), access(), 1), None);
    assert_eq!(bench.incidents(), [Incident::Full]);

    let mut bench = Bench::new(|plan| (plan.ports, plan.when_full) = (1, WhenFull::Evict));
    let outside = bench.out(a(), access(), 0).expect("a port is free");
    assert_eq!(bench.out(b(), access(), 1), Some(outside));
    assert_eq!(bench.incidents(), [Incident::Full, Incident::Evicted(a())]);
    assert_eq!((bench.come(outside, access(), 1), bench.nat.mappings()), (Ok(b()), 1));
}

#[test]
fn a_reboot_loses_all_and_gives_the_same_ports_again() {
    let mut bench = Bench::new(|plan| plan.reuse_after_ms = 120_000);
    let outside = bench.out(a(), access(), 0).expect("a port is free");
    bench.faults = injector(Some(FaultClass::NatReboot));
    assert_eq!(bench.out(b(), access(), 1), Some(outside));
    assert_eq!((bench.come(outside, access(), 1), bench.incidents()), (Ok(b()), vec![Incident::LostAll]));
}

#[test]
fn a_rebinding_takes_another_port_and_frees_the_first() {
    let mut bench = Bench::new(|_| {});
    let outside = bench.out(a(), access(), 0).expect("a port is free");
    bench.faults = injector(Some(FaultClass::NatRebinding));
    let other = bench.out(a(), access(), 1).expect("others are free");
    assert_ne!(other, outside);
    assert_eq!(bench.come(outside, access(), 1), Err(Refusal::NoMapping));
    assert_eq!((bench.come(other, access(), 1), bench.nat.mappings()), (Ok(a()), 1));
    // The only port is kept.
    let mut bench = Bench::new(|plan| plan.ports = 1);
    bench.faults = injector(Some(FaultClass::NatRebinding));
    assert_eq!(bench.out(a(), access(), 0), bench.out(a(), access(), 1));
}

#[test]
fn a_port_is_given_to_another_at_once_or_with_its_first_packet_after_a_time() {
    let (mut at_once, mut late) = (0, 0);
    for seed in 0..40 {
        let mut bench = Bench::new(|plan| plan.timeout_s = 300);
        let outside = bench.out(a(), access(), 0).expect("a port is free");
        let mut intensities = [0; FaultClass::COUNT];
        intensities[FaultClass::PortGivenToAnother as usize] = 10_000;
        bench.faults = Injector::drawn(Draws::new(seed), intensities, u64::MAX);
        let first = bench.out(b(), access(), 1).expect("a port is free");
        let [_, delay] = bench.faults.log()[0].parameters;
        bench.faults = injector(None);
        if delay == 0 {
            at_once += 1;
            assert_eq!((first, bench.come(outside, access(), 1)), (outside, Ok(b())));
            continue;
        }
        late += 1;
        assert_ne!(first, outside);
        assert_eq!(bench.come(outside, access(), 1), Err(Refusal::NoMapping), "it is nobody's meanwhile");
        assert_ne!(bench.out(a(), access(), 1), Some(outside), "and not to be had");
        assert_eq!(bench.out(b(), access(), 2 + delay / SECOND), Some(outside));
        assert_eq!(bench.come(first, access(), 2 + delay / SECOND), Err(Refusal::NoMapping));
    }
    assert!(at_once > 5 && late > 15, "{at_once} {late}");
}

#[test]
fn a_change_of_address_loses_all_and_strangers_take_all_ports_for_a_time() {
    let mut bench = Bench::new(|plan| plan.outside.push(IpAddr::from([198, 51, 100, 2])));
    let outside = bench.out(a(), access(), 0).expect("a port is free");
    bench.faults = injector(Some(FaultClass::NatAddressChange));
    let other = bench.nat.outbound(&bench.plan, a(), access(), SECOND, &mut bench.faults);
    assert_eq!(other.map(|other| other.ip()), Some(bench.plan.outside[1]));
    assert_eq!(bench.come(outside, access(), 1), Err(Refusal::NoMapping));

    let mut bench = Bench::new(|_| {});
    assert!(bench.out(a(), access(), 0).is_some());
    bench.faults = injector(Some(FaultClass::NatPoolExhausted));
    assert!(bench.out(a(), access(), 1).is_some(), "a mapping that there is stays");
    assert_eq!(bench.out(b(), access(), 1), None);
    bench.faults = injector(None);
    assert!(bench.out(b(), access(), 12).is_some(), "10 s at most");
}

#[test]
fn addresses_are_pooled_as_the_plan_says() {
    let addresses = |pooling: Pooling| {
        let mut bench = Bench::new(|plan| {
            plan.outside = (1..=4).map(|host| IpAddr::from([198, 51, 100, host])).collect();
            (plan.pooling, plan.ports) = (pooling, 64);
        });
        let mut of_host = |host: u8| -> BTreeSet<IpAddr> {
            let inside = |port| SocketAddr::new(IpAddr::from([192, 168, 1, host]), port);
            let out = |port| bench.nat.outbound(&bench.plan, inside(port), access(), 0, &mut bench.faults);
            (0..16).filter_map(out).map(|outside| outside.ip()).collect()
        };
        let hosts: Vec<_> = (1..=4).map(&mut of_host).collect();
        (hosts.iter().map(BTreeSet::len).max(), hosts.iter().flatten().collect::<BTreeSet<_>>().len())
    };
    assert_eq!(addresses(Pooling::Single), (Some(1), 1));
    assert_eq!(addresses(Pooling::Paired), (Some(1), 4));
    assert_eq!(addresses(Pooling::Arbitrary), (Some(4), 4));
}
