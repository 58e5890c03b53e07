//! What a connected socket knows beside datagrams: what the network said about what was sent, and what the kernel dropped.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use libc::c_int;

use super::kernel::set_option;
use crate::system_calls::SystemCalls;

/// Has the socket keep each ICMP message about what was sent to this peer, whoever sent it from this address and port. Without
/// this the kernel passes on only that a port is unreachable, and of several only the last.
///
/// # Errors
/// The kernel's.
pub(crate) fn report_errors(socket: impl AsFd, remote: SocketAddr) -> io::Result<()> {
    match remote {
        SocketAddr::V4(_) => set_option(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1),
        SocketAddr::V6(_) => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1),
    }
}

/// Takes the oldest of these messages; false if there is none.
pub(crate) fn take_error(socket: impl AsFd, calls: &mut SystemCalls) -> bool {
    calls.receive += 1;
    let mut octets = [0_u8; 1];
    // SAFETY: one octet may be written to where one is. What does not fit, the rest of the packet that did not arrive, is cut off.
    let received = unsafe {
        libc::recv(
            socket.as_fd().as_raw_fd(),
            octets.as_mut_ptr().cast(),
            octets.len(),
            libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
        )
    };
    received >= 0
}

/// How many datagrams the kernel dropped at this socket; `None` if it does not tell.
pub(crate) fn socket_drops(socket: impl AsFd) -> Option<u32> {
    let mut values = [0_u32; MEMINFO_VALUES];
    let mut octets = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the kernel writes at most `octets` octets, which are there, and how many it has written.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut octets,
        )
    };
    let is_told = result == 0 && octets as usize > MEMINFO_DROPS * size_of::<u32>();
    is_told.then_some(values[MEMINFO_DROPS])
}

/// linux/sock_diag.h: SK_MEMINFO_DROPS, and how many values there are up to it.
const MEMINFO_DROPS: usize = 8;
const MEMINFO_VALUES: usize = MEMINFO_DROPS + 1;
/// Of all architectures that we build for but SPARC and PA-RISC.
const SO_MEMINFO: c_int = 55;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn what_does_not_fit_is_counted_as_dropped() {
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        assert_eq!(socket_drops(&receiver), Some(0));
        set_option(&receiver, libc::SOL_SOCKET, libc::SO_RCVBUF, 4_096).expect("anybody may");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        for _ in 0..100 {
            sender
                .send_to(&[1; 100], receiver.local_addr().expect("it is bound"))
                .expect("loopback takes it");
        }
        receiver.set_nonblocking(true).expect("it is a socket");
        let read = std::iter::from_fn(|| receiver.recv(&mut [0; 100]).ok()).count();
        assert_eq!(socket_drops(&receiver), Some(100 - read as u32));
    }

    #[test]
    fn each_unreachable_port_is_told_of() {
        let gone =
            UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        report_errors(&sender, gone).expect("every kernel has it");
        sender.connect(gone).expect("it is on this machine");
        let mut calls = SystemCalls::default();
        assert!(!take_error(&sender, &mut calls));
        let mut told = 0;
        for _ in 0..3 {
            // Each tells of the one before, and then nothing was sent.
            while sender.send(&[1]).is_err() {}
            while take_error(&sender, &mut calls) {
                told += 1;
            }
        }
        assert_eq!(told, 3);
    }
}
