//! A peer behind the same address who knows no secret: raw IPv4 from the NAT's own namespace, past connection tracking,
//! so that ulna is tested and not the NAT. What it sends is marked, and left out of captures.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::capture::FLOOD_MARK;
use super::nas::{Signature, Site, access_request};
use super::net::in_namespace;

/// One sort of what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    what: What,
    from: Port,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A request with a sibling's NAS-Identifier, signed under a wrong secret.
    Forged,
    /// The same without Message-Authenticator.
    Unsigned,
    /// A captured request of a sibling.
    Replayed,
    /// Forged in a name that nobody has, another one each time.
    Invented,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    /// The outside port of the sibling that the packet names.
    Its,
    /// That of another sibling.
    Anothers,
    /// Of no sibling.
    Any,
}

impl Kind {
    pub const FORGED: [Kind; 5] = [
        Kind { what: What::Forged, from: Port::Its },
        Kind { what: What::Forged, from: Port::Anothers },
        Kind { what: What::Forged, from: Port::Any },
        Kind { what: What::Unsigned, from: Port::Its },
        Kind { what: What::Unsigned, from: Port::Any },
    ];
    /// With names that a rule matches and no table has.
    pub const INVENTED: [Kind; 2] =
        [Kind { what: What::Invented, from: Port::Its }, Kind { what: What::Invented, from: Port::Any }];
    pub const REPLAYED: [Kind; 2] =
        [Kind { what: What::Replayed, from: Port::Its }, Kind { what: What::Replayed, from: Port::Any }];
}

/// Whom it imitates.
pub struct Sibling {
    pub site: Site,
    pub outside_port: u16,
    /// Whole RADIUS packets of its, as they passed.
    pub captured: Vec<Vec<u8>>,
}

pub struct Flood {
    socket: Socket,
    server: SocketAddrV4,
    from: Ipv4Addr,
    siblings: Vec<Prepared>,
    random: u64,
}

/// Datagrams but for the source port.
struct Prepared {
    outside_port: u16,
    forged: Vec<Vec<u8>>,
    invented: Vec<Vec<u8>>,
    unsigned: Vec<Vec<u8>>,
    captured: Vec<Vec<u8>>,
}

/// What it managed to send.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub datagrams: u64,
    /// Those that the kernel did not take.
    pub refused: u64,
    pub elapsed: Duration,
}

impl Sent {
    pub fn per_second(&self) -> f64 {
        self.datagrams as f64 / self.elapsed.as_secs_f64()
    }
}

impl Flood {
    pub fn new(namespace: &str, from: Ipv4Addr, server: SocketAddrV4, siblings: &[Sibling]) -> Flood {
        let socket = in_namespace(namespace, || {
            // This protocol's sockets give the IP header themselves.
            Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(IPPROTO_RAW)))
                .expect("root may have one")
        });
        assert!(siblings.iter().all(|one| !(ANY_PORTS[0]..=ANY_PORTS[1]).contains(&one.outside_port)));
        let mut flood = Flood { socket, server, from, siblings: Vec::new(), random: 0x9e37_79b9_7f4a_7c15 };
        let prepared = siblings.iter().map(|sibling| {
            let forge = |flood: &mut Flood, site: &Site, signature| -> Vec<Vec<u8>> {
                let one = |_| {
                    let [identifier, ..] = next_random(&mut flood.random).to_be_bytes();
                    let mut authenticator = [0; 16];
                    authenticator[..8].copy_from_slice(&next_random(&mut flood.random).to_be_bytes());
                    authenticator[8..].copy_from_slice(&next_random(&mut flood.random).to_be_bytes());
                    let packet = access_request(site, identifier, authenticator, signature);
                    flood.datagram(&packet)
                };
                (0..VARIANTS).map(one).collect()
            };
            let invented = Site { name: INVENTED.into(), ..sibling.site.clone() };
            Prepared {
                outside_port: sibling.outside_port,
                forged: forge(&mut flood, &sibling.site, Signature::Wrong),
                invented: forge(&mut flood, &invented, Signature::Wrong),
                unsigned: forge(&mut flood, &sibling.site, Signature::Missing),
                captured: sibling.captured.iter().map(|packet| flood.datagram(packet)).collect(),
            }
        });
        let prepared = prepared.collect();
        flood.siblings = prepared;
        flood
    }

    /// Sends these kinds in turn, in the names of so many siblings in turn, at that rate until told to stop.
    pub fn run(&mut self, kinds: &[Kind], victims: usize, per_second: u64, stop: &AtomicBool) -> Sent {
        let server = SockAddr::from(self.server);
        let began = Instant::now();
        let mut sent = Sent { datagrams: 0, refused: 0, elapsed: Duration::ZERO };
        // What could not be sent in time is left out: no burst makes up for a pause.
        let mut skipped = 0;
        let burst_max = per_second / 50;
        let mut turn = 0;
        while !stop.load(Ordering::Relaxed) {
            let due = u64::try_from(began.elapsed().as_nanos() * u128::from(per_second) / 1_000_000_000)
                .expect("it is a test");
            let behind = due - skipped - sent.datagrams - sent.refused;
            skipped += behind.saturating_sub(burst_max);
            for _ in 0..behind.min(burst_max) {
                let datagram = next(&mut self.siblings, victims, &mut self.random, kinds, turn);
                turn += 1;
                match self.socket.send_to(datagram, &server) {
                    Ok(_) => sent.datagrams += 1,
                    Err(_) => sent.refused += 1,
                }
            }
            std::thread::park_timeout(Duration::from_micros(300));
        }
        sent.elapsed = began.elapsed();
        sent
    }

    /// IP and UDP around a packet. The kernel fills in Identification, total length and the checksum of the header;
    /// that of UDP may be left out over IPv4.
    fn datagram(&self, packet: &[u8]) -> Vec<u8> {
        let udp_octets = u16::try_from(8 + packet.len()).expect("it is short");
        let mut out = vec![0x45, FLOOD_MARK, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
        out.extend_from_slice(&self.from.octets());
        out.extend_from_slice(&self.server.ip().octets());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.server.port().to_be_bytes());
        out.extend_from_slice(&udp_octets.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(packet);
        out
    }
}

fn next<'a>(
    siblings: &'a mut [Prepared],
    victims: usize,
    random: &mut u64,
    kinds: &[Kind],
    turn: usize,
) -> &'a [u8] {
    let Kind { what, from } = kinds[turn % kinds.len()];
    let whose = turn / kinds.len() % victims;
    let further = 1 + turn / kinds.len() / victims % (siblings.len() - 1);
    let random = next_random(random);
    let port = match from {
        Port::Its => siblings[whose].outside_port,
        Port::Anothers => siblings[(whose + further) % siblings.len()].outside_port,
        Port::Any => ANY_PORTS[0] + u16::try_from(random % ANY_PORTS_COUNT).expect("there are as many ports"),
    };
    let pool = match what {
        What::Forged => &mut siblings[whose].forged,
        What::Invented => &mut siblings[whose].invented,
        What::Unsigned => &mut siblings[whose].unsigned,
        // Of one who has not come yet nothing could be captured.
        What::Replayed if siblings[whose].captured.is_empty() => &mut siblings[whose].forged,
        What::Replayed => &mut siblings[whose].captured,
    };
    let which = usize::try_from(random >> 40).expect("24 bits") % pool.len();
    let datagram = &mut pool[which];
    datagram[IP_OCTETS..IP_OCTETS + 2].copy_from_slice(&port.to_be_bytes());
    if what == What::Invented {
        // NAS-Identifier is the last attribute.
        let digits = datagram.len() - INVENTED_DIGITS..;
        let mut number = random;
        for digit in &mut datagram[digits] {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
    datagram
}

/// xorshift64*.
fn next_random(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// First and last of the ports that no sibling has.
pub const ANY_PORTS: [u16; 2] = [40_000, 59_999];
const ANY_PORTS_COUNT: u64 = 20_000;
/// Different forged packets of each sort for each sibling.
const VARIANTS: usize = 16;
/// Its digits are different each time.
const INVENTED: &str = "site-900000000";
const INVENTED_DIGITS: usize = 8;
const IP_OCTETS: usize = 20;
const IPPROTO_RAW: i32 = 255;
