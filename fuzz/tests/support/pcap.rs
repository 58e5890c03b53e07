//! A capture file of RADIUS packets: pcap with raw IP, UDP over IPv4 and IPv6 in turn, checksums and all.
//!
//! Each exchange has an address and a port of its own, so that whoever reads the file takes none for another's.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A capture that is being written.
pub struct Capture {
    octets: Vec<u8>,
    packets: u32,
}

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the NAS to this port of the server.
    Request,
    /// Back.
    Reply,
}

impl Capture {
    /// One without packets.
    pub fn new() -> Capture {
        let mut octets = Vec::new();
        for field in [0xa1b2_c3d4, 0x0004_0002, 0, 0, u32::from(u16::MAX), LINKTYPE_RAW] {
            octets.extend_from_slice(&field.to_le_bytes());
        }
        Capture { octets, packets: 0 }
    }

    /// Adds a packet of the exchange of this number with this port of the server.
    pub fn packet(&mut self, exchange: u32, direction: Direction, port: u16, radius: &[u8]) {
        let nas_port = 50_000 + (exchange % 10_000) as u16;
        let (source, destination) = match direction {
            Direction::Request => (nas_port, port),
            Direction::Reply => (port, nas_port),
        };
        let octets = 8 + radius.len() as u16;
        let mut udp = Vec::new();
        for field in [source, destination, octets, 0] {
            udp.extend_from_slice(&field.to_be_bytes());
        }
        udp.extend_from_slice(radius);
        let addresses = |nas: &[u8], server: &[u8]| match direction {
            Direction::Request => [nas, server].concat(),
            Direction::Reply => [server, nas].concat(),
        };
        let mut ip = if exchange.is_multiple_of(2) {
            let nas = Ipv4Addr::from(0x0a00_0000 | exchange).octets();
            let addresses = addresses(&nas, &Ipv4Addr::new(192, 0, 2, 1).octets());
            sign(&mut udp, &addresses);
            let mut ip = vec![0x45, 0];
            ip.extend_from_slice(&(20 + octets).to_be_bytes());
            ip.extend_from_slice(&[0, 0, 0, 0, 64, UDP, 0, 0]);
            ip.extend_from_slice(&addresses);
            let sum = checksum(&ip);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
            ip
        } else {
            let nas = Ipv6Addr::from((0x2001_0db8 << 96) | u128::from(exchange)).octets();
            let addresses = addresses(&nas, &Ipv6Addr::from((0x2001_0db8 << 96) | (1 << 64)).octets());
            sign(&mut udp, &addresses);
            let mut ip = vec![0x60, 0, 0, 0];
            ip.extend_from_slice(&octets.to_be_bytes());
            ip.extend_from_slice(&[UDP, 64]);
            ip.extend_from_slice(&addresses);
            ip
        };
        ip.extend_from_slice(&udp);
        for field in [self.packets, 0, ip.len() as u32, ip.len() as u32] {
            self.octets.extend_from_slice(&field.to_le_bytes());
        }
        self.octets.extend_from_slice(&ip);
        self.packets += 1;
    }

    /// The file.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

/// Fills in the checksum of UDP, which is over the addresses, too (RFC 768, RFC 8200 §8.1).
fn sign(udp: &mut [u8], addresses: &[u8]) {
    let pseudo = [addresses, &[0, UDP], &(udp.len() as u16).to_be_bytes(), udp].concat();
    let sum = match checksum(&pseudo) {
        0 => u16::MAX,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
}

/// RFC 1071.
fn checksum(octets: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let mut sum: u32 = octets.chunks(2).map(word).sum();
    while sum > u32::from(u16::MAX) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

const UDP: u8 = 17;
const LINKTYPE_RAW: u32 = 101;
