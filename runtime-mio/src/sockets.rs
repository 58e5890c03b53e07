//! Makes sockets as ulna needs them; reading and writing those of UDP is `mmsg`'s, of TCP `tcp`'s.
//!
//! Every one is non-blocking, tells to which address a datagram came, may send fragments (an answer has up to 4 096
//! octets, RFC 2865 §3, and there is no smaller unit to split it into), and asks for a large receive buffer. Those of
//! IPv6 are IPv6 only. UDP_GRO stays off: it would hand us several datagrams as one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use libc::c_int;
use mio::net::{TcpListener, UdpSocket};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::kernel_drops::inode_of;
use crate::mmsg::set_option;

/// A UDP socket that is ready for use, and what the kernel made of our wishes.
#[derive(Debug)]
pub struct BoundUdp {
    /// The socket, not yet registered with any poll.
    pub socket: UdpSocket,
    /// Where it is bound: the port is the kernel's choice if 0 was asked for, the address may be the wildcard.
    pub local: SocketAddr,
    /// The receive buffer that was granted, in the unit in which it is asked for. The kernel reserves twice as much
    /// and counts against that what a datagram costs *it*: 832 octets for a small one here, so that 4 MiB hold
    /// about 10 000 of them. Less than asked for means that `net.core.rmem_max` is lower and we may not pass it.
    pub granted_receive_octets: usize,
    /// Its number in the kernel's tables, for [`crate::kernel_drops::drops`].
    pub inode: u64,
}

/// Binds a socket to this address for this process alone: if anyone else has it, it fails.
///
/// With `share`, further sockets may join it by [`join_udp`], and the kernel then spreads peers over them
/// (SO_REUSEPORT). That option alone would let a second server of the same user slip in and take half of the
/// peers unnoticed. So the socket is bound *without* it, which the kernel refuses while any other socket has the
/// address, and marked as shared only then: there is no moment in which two servers both succeed. (A program that
/// joins without asking first can still do so, if it runs as the same user.)
///
/// # Errors
/// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied` and whatever else the kernel has against it.
pub fn bind_udp(address: SocketAddr, share: bool, receive_buffer_octets: usize) -> io::Result<BoundUdp> {
    let socket = new_udp(address, receive_buffer_octets)?;
    tell_destinations(&socket, address)?;
    socket.bind(&SockAddr::from(address))?;
    socket.set_reuse_port(share)?;
    finish(socket)
}

/// Binds one more socket to the address of one that [`bind_udp`] shares. The kernel numbers the sockets of an address
/// in the order of binding, from 0 for the one that was bound first; that is what a steering program selects by. It
/// can be attached once a second socket has joined.
///
/// # Errors
/// `AddrInUse` if the other one is not shared; otherwise as [`bind_udp`].
pub fn join_udp(address: SocketAddr, receive_buffer_octets: usize) -> io::Result<BoundUdp> {
    finish(new_sharing(address, receive_buffer_octets)?)
}

/// The same of which nothing is told. If it fails nothing was bound, and so nothing has come.
///
/// # Errors
/// As [`join_udp`].
pub(crate) fn share_udp(address: SocketAddr, receive_buffer_octets: usize) -> io::Result<UdpSocket> {
    new_sharing(address, receive_buffer_octets).map(|socket| UdpSocket::from_std(socket.into()))
}

fn new_sharing(address: SocketAddr, receive_buffer_octets: usize) -> io::Result<Socket> {
    let socket = new_udp(address, receive_buffer_octets)?;
    tell_destinations(&socket, address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

/// Makes a socket connected to this peer, from a port of the kernel's choice: it receives nothing from anyone else.
/// For remote servers. Send through it as [`crate::mmsg::Outlet::Connected`].
///
/// # Errors
/// `AddrNotAvailable` if `source` is not ours, `NetworkUnreachable`, and whatever else the kernel has against it.
pub fn connect_udp(
    source: Option<IpAddr>,
    remote: SocketAddr,
    receive_buffer_octets: usize,
) -> io::Result<BoundUdp> {
    let socket = new_udp(remote, receive_buffer_octets)?;
    if let Some(source) = source {
        socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
    }
    socket.connect(&SockAddr::from(remote))?;
    finish(socket)
}

/// Listens for streams on this address, alone or with others that [join](join_tcp), as [`bind_udp`] has it. What it accepts has
/// keep-alives (RFC 6613 §2.6) and sends each reply at once. A server that starts again takes the address although streams of the
/// one before linger.
///
/// # Errors
/// As [`bind_udp`].
pub fn listen_tcp(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
    let socket = new_tcp(address)?;
    socket.bind(&SockAddr::from(address))?;
    socket.set_reuse_port(share)?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// One more on the address of one that [`listen_tcp`] shares: the kernel spreads streams over them.
///
/// # Errors
/// As [`join_udp`].
pub fn join_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = new_tcp(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn new_tcp(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    // What is accepted inherits both.
    socket.set_keepalive(true)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

/// A socket of this address's family with the options that all have.
fn new_udp(address: SocketAddr, receive_buffer_octets: usize) -> io::Result<Socket> {
    let kind = Type::DGRAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))?;
    match address {
        SocketAddr::V4(_) => {
            set_option(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT)?;
        }
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT)?;
        }
    }
    let octets = c_int::try_from(receive_buffer_octets).unwrap_or(c_int::MAX);
    // Whoever may administer the network passes the system's bound; others get what it leaves them.
    if set_option(&socket, libc::SOL_SOCKET, SO_RCVBUFFORCE, octets).is_err() {
        socket.set_recv_buffer_size(receive_buffer_octets)?;
    }
    Ok(socket)
}

/// Has each datagram bring the address that it came to. Needless for a connected socket, which has but one.
fn tell_destinations(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
        SocketAddr::V6(_) => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

fn finish(socket: Socket) -> io::Result<BoundUdp> {
    let granted_receive_octets = socket.recv_buffer_size()? / KERNEL_DOUBLES;
    let socket = UdpSocket::from_std(socket.into());
    let local = socket.local_addr()?;
    let inode = inode_of(socket.as_fd())?;
    Ok(BoundUdp { socket, local, granted_receive_octets, inode })
}

/// Streams that wait to be accepted; the kernel may have a lower bound (`net.core.somaxconn`).
const BACKLOG: c_int = 1024;

/// By how much the kernel multiplies a buffer size that is set, before it stores and tells it (socket(7)).
const KERNEL_DOUBLES: usize = 2;

/// Absent from libc for this system; the value is the same on all architectures that we build for but SPARC and
/// PA-RISC.
const SO_RCVBUFFORCE: c_int = 33;
