//! Everybody behind the NAT gets its own answers, whatever the NAT does to its ports.

use super::alone;
use super::bench::{Bench, Clients, EVERY, SITES, move_ports, of_server, outside_port};
use super::capture::Evidence;
use super::net::Family;
use super::support::file;

/// First each from a port of the NAT's choice; then ports are fixed, swapped between pairs while nobody asks, and
/// forgotten; then the same under requests in progress.
pub fn each_gets_its_own(clients: Clients, family: Family) {
    let Some(_alone) = alone() else { return };
    println!("{clients:?}, {family:?}");
    let mut bench = Bench::new(clients, family);
    bench.ask(10, EVERY).assert_all("masquerade");
    let masqueraded = bench.topology.outside_ports();
    assert_eq!(masqueraded.len(), usize::from(SITES), "all are behind it: {masqueraded:?}");

    for (what, swapped) in [("ports fixed", false), ("ports swapped", true), ("and back", false)] {
        move_ports(&bench.topology, swapped);
        bench.ask(3, EVERY).assert_all(what);
    }
    let mut swapped = false;
    for what in ["swapped under requests", "and back", "and again"] {
        swapped = !swapped;
        let answers = bench.ask_during(10, EVERY, |topology| move_ports(topology, swapped));
        answers.assert_all(what);
    }
    bench.topology.flush();
    bench.ask(3, EVERY).assert_all("forgotten");

    let evidence = bench.evidence(Vec::new()).expect("few packets pass");
    let account = bench.verify(&evidence);
    the_judge_finds_faults(&evidence);
    evidence.discard();
    for number in 1..=SITES {
        let ports = account["ports"][format!("site-{number}")].as_array().expect("it asked");
        let [own, other] = [false, true].map(|swapped| outside_port(number, swapped));
        let moved: Vec<_> = ports[1..].iter().map(|port| port.as_u64().expect("a port")).collect();
        let expected = [own, other, own, other, own, other].map(u64::from);
        assert_eq!(moved, expected, "site-{number} was seen from the ports that it was given");
    }
    let counters = bench.ulna.counters();
    println!("  {}", of_server(&counters));
    assert_eq!(counters["deaths"], 0);
    if let Clients::Rule { connected } = clients {
        // Each was seen from the port that the NAT had chosen and from one of those that were fixed; there are two for
        // each two, which changed hands five times.
        let sites = u64::from(SITES);
        assert_eq!(counters["connections"], 2 * sites);
        assert!(counters["connections_taken_over"] >= 5 * sites, "{counters:?}");
        // A socket of its own for each, or none.
        let sockets = if connected { counters["connections"] } else { 0 };
        assert_eq!(bench.topology.connected_sockets() as u64, sockets);
        assert_eq!(counters["look_ups"], sites, "one for each, whatever its ports");
    }
    bench.ulna.stop();
}

/// The same captures with something wrong in each: a judge that finds nothing would prove nothing.
fn the_judge_finds_faults(evidence: &Evidence) {
    let find = |altered: &Evidence, fault: &str| {
        let faults = altered.judge().expect_err(fault);
        assert!(faults.contains(fault), "{fault:?} is not among\n{faults}");
    };
    let mut altered = evidence.clone();
    let neighbour = altered.witnesses.len() - 1;
    let (behind, beside) = altered.witnesses.split_at_mut(neighbour);
    std::mem::swap(&mut behind[6].secret, &mut beside[0].secret);
    find(&altered, "not a request that its NAS signed");
    find(&altered, "its request's answer under another's secret");
    find(&altered, "but not under its secret alone");

    // From the end, where no ports are moved any more: a reply of other octets, and none at all.
    let octets = std::fs::read(&evidence.inside).expect("it is still there");
    let accept = session_timeout_of_last_reply(&octets);
    let mut other = octets.clone();
    other[accept] ^= 1;
    altered = evidence.clone();
    altered.inside = file("altered.pcap", "");
    std::fs::write(&altered.inside, other).expect("it was just made");
    find(&altered, "verifies for no request of its receiver");
    find(&altered, "no answer");
}

/// Where the capture has its last octet.
fn session_timeout_of_last_reply(octets: &[u8]) -> usize {
    let attribute = [27, 6, 0, 0];
    let found = octets.windows(4).rposition(|window| window == attribute);
    found.expect("somebody was answered") + 5
}
