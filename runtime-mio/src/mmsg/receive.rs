//! Reads datagrams in batches, with both of their addresses.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use libc::c_uint;

use super::kernel::{Control, Fixed, Name, empty_header, local_address, offer_room, tells_unreachable};
use crate::system_calls::SystemCalls;

/// One datagram of a [`ReceiveBatch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received<'a> {
    /// Its octets, as many as the buffer holds.
    pub octets: &'a [u8],
    /// How long it was on the wire: more than `octets` has if its end was cut off. What was cut off is padding
    /// to a valid packet, whose Length is at most the 4 096 octets that are here (RFC 2865 §3).
    pub datagram_octets: usize,
    /// Who sent it.
    pub remote: SocketAddr,
    /// Which of our addresses it came to, as one that a reply can leave from. None if the socket does not tell (it
    /// is connected: its own address), or if it came to a multicast group.
    pub local_address: Option<IpAddr>,
}

impl Received<'_> {
    /// Whether its end was cut off.
    pub fn is_truncated(&self) -> bool {
        self.datagram_octets > self.octets.len()
    }
}

/// Memory for the datagrams of one read, used again for the next one.
#[derive(Debug)]
pub struct ReceiveBatch {
    /// One for each datagram, with pointers into the four fields below that stay as they were set by `new`.
    headers: Fixed<libc::mmsghdr>,
    names: Fixed<Name>,
    /// These two are not looked at by their own names again, but the headers point to them.
    _controls: Fixed<Control>,
    _pieces: Fixed<libc::iovec>,
    octets: Fixed<u8>,
    octets_each: usize,
    /// How many datagrams the last read gave; so many headers the kernel has written to.
    received: usize,
    /// Of these, how many `next_datagram` has given.
    given: usize,
    unreachable_reports: u64,
}

// SAFETY: the pointers inside lead only to memory that the batch itself owns and that moves with it (it is on the
// heap); nothing in it belongs to a thread.
unsafe impl Send for ReceiveBatch {}

impl ReceiveBatch {
    /// Memory for `messages` datagrams (1 to 1 024) of `octets_each` octets. A datagram that is longer is cut off,
    /// and [`Received::is_truncated`].
    pub fn new(messages: usize, octets_each: usize) -> Self {
        assert!((1..=READ_MAX).contains(&messages), "one read takes 1 to 1024 datagrams");
        assert!(octets_each > 0, "a datagram needs room");
        let headers = Fixed::new(messages, |_| empty_header());
        let names = Fixed::new(messages, |_| Name::unset());
        let controls = Fixed::new(messages, |_| Control::empty());
        let octets = Fixed::new(messages * octets_each, |_| 0_u8);
        let pieces = Fixed::new(messages, |message| libc::iovec {
            iov_base: octets.at(message * octets_each).cast(),
            iov_len: octets_each,
        });
        for message in 0..messages {
            // SAFETY: `message` is within all of them, and nobody else refers to this header.
            let header = unsafe { &mut (*headers.at(message)).msg_hdr };
            header.msg_name = names.at(message).cast();
            header.msg_control = controls.at(message).cast();
            header.msg_iov = pieces.at(message);
            header.msg_iovlen = 1;
            offer_room(header);
        }
        ReceiveBatch {
            headers,
            names,
            _controls: controls,
            _pieces: pieces,
            octets,
            octets_each,
            received: 0,
            given: 0,
            unreachable_reports: 0,
        }
    }

    /// How many datagrams one read gives at most. Fewer than that: the socket was empty, and readiness, which mio
    /// reports once for each time that it begins, will be reported again.
    pub fn capacity(&self) -> usize {
        self.headers.length
    }

    /// Reads what waits in the socket, never blocks; 0: nothing. What the previous read gave is gone.
    ///
    /// A report that some earlier send of a connected socket was unreachable (ICMP) is counted and read over: it
    /// takes no datagram away, and anybody can forge one.
    ///
    /// # Errors
    /// The kernel's, as they were, when this is not a datagram socket that can be read.
    pub fn receive(&mut self, socket: impl AsFd, calls: &mut SystemCalls) -> io::Result<usize> {
        for message in 0..self.received {
            // SAFETY: `message` is within the batch, and we hold it alone.
            offer_room(unsafe { &mut (*self.headers.at(message)).msg_hdr });
        }
        (self.received, self.given) = (0, 0);
        let socket = socket.as_fd().as_raw_fd();
        let mut reports = 0;
        loop {
            calls.receive += 1;
            // SAFETY: the headers, as many as said, point to memory of the stated sizes that this batch owns, and
            // nothing refers into it while we hold the batch alone. MSG_TRUNC asks for the datagram's own length.
            let result = unsafe {
                libc::recvmmsg(
                    socket,
                    self.headers.at(0),
                    self.headers.length as c_uint,
                    (libc::MSG_DONTWAIT | libc::MSG_TRUNC) as _,
                    ptr::null_mut(),
                )
            };
            if let Ok(received) = usize::try_from(result) {
                self.received = received;
                return Ok(received);
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error().unwrap_or_default() {
                libc::EAGAIN => return Ok(0),
                libc::EINTR => {}
                errno if tells_unreachable(errno) && reports < REPORTS_MAX => {
                    reports += 1;
                    self.unreachable_reports += 1;
                }
                _ => return Err(error),
            }
        }
    }

    /// How many datagrams the last read gave.
    pub fn received(&self) -> usize {
        self.received
    }

    /// The datagram of this place, counted from 0, of the last read.
    pub fn datagram(&self, message: usize) -> Received<'_> {
        assert!(message < self.received, "the last read gave no such datagram");
        // SAFETY: `message` is within the batch; the kernel has finished writing, and nothing is written while the
        // result borrows the batch. The first `length` octets are within this message's part of the buffer.
        unsafe {
            let header = &*self.headers.at(message);
            let datagram_octets = header.msg_len as usize;
            let length = datagram_octets.min(self.octets_each);
            Received {
                octets: std::slice::from_raw_parts(self.octets.at(message * self.octets_each), length),
                datagram_octets,
                remote: (*self.names.at(message)).address(),
                local_address: local_address(&header.msg_hdr),
            }
        }
    }

    /// The datagrams of the last read, in order.
    pub fn datagrams(&self) -> impl ExactSizeIterator<Item = Received<'_>> {
        (0..self.received).map(|message| self.datagram(message))
    }

    /// The first datagram of the last read that this has not given yet.
    pub fn next_datagram(&mut self) -> Option<Received<'_>> {
        let next = self.given;
        (next < self.received).then(|| {
            self.given += 1;
            self.datagram(next)
        })
    }

    /// How many reports of unreachable peers were read over so far.
    pub fn unreachable_reports(&self) -> u64 {
        self.unreachable_reports
    }
}

/// What Linux takes at once in one call (UIO_MAXIOV).
const READ_MAX: usize = 1_024;

/// So many reports of unreachable peers one read passes over before it gives up.
const REPORTS_MAX: u32 = 16;
