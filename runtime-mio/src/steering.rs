//! Tells the kernel which socket of an address a datagram is for: the one of the network thread that owns its connection,
//! and among that thread's two the one for Status-Server if it is such.
//!
//! Without it the kernel spreads connections by a hash of its own, and binding or closing any one socket of the port moves
//! most of them to other threads. The program is of classic BPF, which needs no privilege, and computes what
//! [`Owners`](ulna_core::network::owner::Owners) computes. It is attached to the group of sockets of one address
//! (SO_ATTACH_REUSEPORT_CBPF) and names one by its place in the order of binding: first one for each network thread, then a
//! second one for each, for Status-Server.
//!
//! Status-Server has sockets of its own so that it is answered at any load: what is too much overflows the other ones.
//!
//! The program sees the payload at offset 0 and the IP header at [`NETWORK_HEADER`]. What it gets wrong, such as an IPv6
//! header with extensions, costs one ring more: the core that reads a stray passes it on.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use libc::{
    BPF_A, BPF_ABS, BPF_ADD, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_IMM, BPF_IND, BPF_JEQ, BPF_JMP, BPF_K,
    BPF_LD, BPF_LDX, BPF_MEM, BPF_MISC, BPF_MOD, BPF_MUL, BPF_RET, BPF_RSH, BPF_ST, BPF_TAX, BPF_W, BPF_X,
    BPF_XOR, SKF_NET_OFF, SO_ATTACH_REUSEPORT_CBPF, SOL_SOCKET, sock_filter, sock_fprog, socklen_t,
};
use ulna_core::network::owner::Mixing;
use ulna_core::packet::Code;

/// Which header the datagrams of an address have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// Attaches the program to the group that this socket belongs to; it holds for all of its sockets, also those that join
/// later.
///
/// # Errors
/// The kernel's, such as one that is built without BPF; then the kernel spreads connections as it likes.
pub(crate) fn steer(group: impl AsFd, family: Family, mixing: Mixing) -> io::Result<()> {
    let mut instructions = program(family, mixing);
    let length = u16::try_from(instructions.len()).expect("some fifty instructions");
    let program = sock_fprog { len: length, filter: instructions.as_mut_ptr() };
    // SAFETY: the program and what it points to live through the call, which copies both.
    let result = unsafe {
        libc::setsockopt(
            group.as_fd().as_raw_fd(),
            SOL_SOCKET,
            SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            size_of::<sock_fprog>() as socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives the place of the socket that a datagram is for. `A` and `X` are the machine's two registers.
fn program(family: Family, mixing: Mixing) -> Vec<sock_filter> {
    let Mixing { start, multiplier, slots, networks } = mixing;
    let networks = u32::from(networks);
    let mut program = vec![
        // The first socket of the half that the code chooses.
        step(BPF_LD | BPF_IMM, 0),
        step(BPF_ST, HALF),
        step(BPF_LD | BPF_B | BPF_ABS, CODE),
        // Two further on unless it is Status-Server (RFC 5997 §4).
        sock_filter { jf: 2, ..step(BPF_JMP | BPF_JEQ | BPF_K, u32::from(Code::StatusServer.octet())) },
        step(BPF_LD | BPF_IMM, networks),
        step(BPF_ST, HALF),
    ];
    if networks > 1 {
        program.extend([step(BPF_LD | BPF_IMM, start), step(BPF_ST, HASH)]);
        let mut mix = |load: &[sock_filter]| {
            program.extend_from_slice(load);
            program.extend([
                step(BPF_LDX | BPF_MEM, HASH),
                step(BPF_ALU | BPF_XOR | BPF_X, 0),
                step(BPF_ALU | BPF_MUL | BPF_K, multiplier),
                step(BPF_MISC | BPF_TAX, 0),
                step(BPF_ALU | BPF_RSH | BPF_K, 15),
                step(BPF_ALU | BPF_XOR | BPF_X, 0),
                step(BPF_ST, HASH),
            ]);
        };
        match family {
            Family::V4 => {
                mix(&[step(BPF_LD | BPF_W | BPF_ABS, NETWORK_HEADER + 12)]);
                // The header's length in words of four octets is the low half of its first octet.
                mix(&[
                    step(BPF_LD | BPF_B | BPF_ABS, NETWORK_HEADER),
                    step(BPF_ALU | BPF_AND | BPF_K, 0x0f),
                    step(BPF_ALU | BPF_MUL | BPF_K, 4),
                    step(BPF_MISC | BPF_TAX, 0),
                    step(BPF_LD | BPF_H | BPF_IND, NETWORK_HEADER),
                ]);
            }
            Family::V6 => {
                for word in 0..4 {
                    mix(&[step(BPF_LD | BPF_W | BPF_ABS, NETWORK_HEADER + 8 + 4 * word)]);
                }
                mix(&[step(BPF_LD | BPF_H | BPF_ABS, NETWORK_HEADER + 40)]);
            }
        }
        program.extend([
            step(BPF_LD | BPF_MEM, HASH),
            step(BPF_ALU | BPF_MOD | BPF_K, slots),
            step(BPF_ALU | BPF_MOD | BPF_K, networks),
        ]);
    } else {
        program.push(step(BPF_LD | BPF_IMM, 0));
    }
    program.extend([
        step(BPF_LDX | BPF_MEM, HALF),
        step(BPF_ALU | BPF_ADD | BPF_X, 0),
        step(BPF_RET | BPF_A, 0),
    ]);
    program
}

fn step(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Where the code of a packet is: its first octet (RFC 2865 §3).
const CODE: u32 = 0;
/// Where the IP header begins for the program.
const NETWORK_HEADER: u32 = SKF_NET_OFF as u32;
/// Words of the program's memory.
const HALF: u32 = 0;
const HASH: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mmsg::set_option;
    use crate::sockets::{BoundUdp, bind_udp, join_udp};
    use std::net::{SocketAddr, UdpSocket};
    use ulna_core::Seed;
    use ulna_core::network::owner::Owners;

    const BUFFER_OCTETS: usize = 1 << 16;

    /// Twice as many sockets of one address as there are network cores.
    fn group(address: &str, owners: &Owners) -> Vec<BoundUdp> {
        let address: SocketAddr = address.parse().expect("written here");
        let mut sockets = vec![bind_udp(address, true, BUFFER_OCTETS).expect("a free port")];
        let address = sockets[0].local;
        for _ in 1..2 * owners.mixing().networks {
            sockets.push(join_udp(address, BUFFER_OCTETS).expect("it is shared"));
        }
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        steer(&sockets[0].socket, family, owners.mixing()).expect("every kernel has it");
        sockets
    }

    /// The place of the socket to which these octets come.
    fn place(sockets: &[BoundUdp], sender: &UdpSocket, octets: &[u8]) -> usize {
        let port = sockets[0].local.port();
        let own = sender.local_addr().expect("it is bound").ip();
        sender.send_to(octets, SocketAddr::new(own, port)).expect("loopback takes it");
        let mut buffer = [0; 64];
        // On a busy machine it may lie with the kernel for a moment.
        for _ in 0..1_000_000 {
            let mut places = (0..sockets.len()).filter(|at| sockets[*at].socket.recv(&mut buffer).is_ok());
            if let Some(place) = places.next() {
                assert_eq!(places.next(), None, "a datagram comes to one socket");
                return place;
            }
        }
        panic!("a datagram comes to one socket")
    }

    #[test]
    fn every_datagram_comes_to_the_owner_of_its_connection_and_status_server_to_its_second_socket() {
        for networks in [1, 2, 3, 5] {
            let owners = Owners::new(networks, &Seed::new([networks as u8; 32]));
            for (listening, sending) in [
                ("127.0.0.1:0", "127.0.0.1:0"),
                ("[::1]:0", "[::1]:0"),
                ("0.0.0.0:0", "127.0.0.9:0"),
                ("[::]:0", "[::1]:0"),
            ] {
                let sockets = group(listening, &owners);
                let mut seen = vec![0; sockets.len()];
                for _ in 0..100 {
                    let sender = UdpSocket::bind(sending).expect("a free port");
                    let owner = usize::from(owners.owner(sender.local_addr().expect("it is bound")).0);
                    for (octets, expected) in [
                        (&[1, 0, 0, 20][..], owner),
                        (&[4, 0], owner),
                        (&[12, 9, 0, 38], usize::from(networks) + owner),
                    ] {
                        let place = place(&sockets, &sender, octets);
                        assert_eq!(place, expected, "of {octets:?} to {listening} of {networks}");
                        seen[place] += 1;
                    }
                }
                assert!(seen.iter().all(|count| *count > 0), "all of them get some: {seen:?}");
            }
        }
    }

    #[test]
    fn options_in_the_header_do_not_mislead_it() {
        let owners = Owners::new(4, &Seed::new([4; 32]));
        let sockets = group("127.0.0.1:0", &owners);
        for _ in 0..50 {
            let sender = UdpSocket::bind("127.0.0.1:0").expect("a free port");
            // Four of "no operation" (RFC 791 §3.1).
            set_option(&sender, libc::IPPROTO_IP, libc::IP_OPTIONS, 0x0101_0101).expect("anybody may set it");
            let owner = owners.owner(sender.local_addr().expect("it is bound"));
            assert_eq!(place(&sockets, &sender, &[1, 2, 0, 20]), usize::from(owner.0));
        }
    }

    #[test]
    fn nothing_at_all_comes_to_the_first() {
        let owners = Owners::new(3, &Seed::new([5; 32]));
        let sockets = group("127.0.0.1:0", &owners);
        let sender = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        assert_eq!(place(&sockets, &sender, &[]), 0);
    }
}
