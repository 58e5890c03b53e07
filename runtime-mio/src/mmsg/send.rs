//! Sends packets in batches: one system call for each socket, equal lengths to one destination as one send.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

use libc::{c_int, c_uint};
use ulna_core::path::{SocketId, Transmit};

use super::PACKET_OCTETS_MAX;
use super::kernel::{Control, Fixed, Name, SEGMENT_SPACE, empty_header, tells_unreachable};
use crate::segments::{Chain, Groups, MESSAGES_MAX, NONE};
use crate::system_calls::SystemCalls;

/// What a [`SocketId`] stands for when a batch is sent.
#[derive(Debug, Clone, Copy)]
pub enum Outlet<'a> {
    /// A socket that sends to anyone: each message carries its source and destination.
    Open(BorrowedFd<'a>),
    /// A socket connected to one peer: messages go there from the address it is bound to, whatever they say.
    /// Spares the kernel the route look-up.
    Connected(BorrowedFd<'a>),
}

/// What became of the messages of one [`SendBatch::flush`]; `sent + dropped_would_block + failed` is all of them.
#[derive(Debug, Default)]
pub struct SendOutcome {
    /// Messages that the kernel took.
    pub sent: usize,
    /// Of these, how many left as segments of a send that they shared.
    pub sent_together: usize,
    /// Messages dropped because their socket's send buffer was full. A reply is cached, its retransmission is
    /// answered; a forwarded request is sent again by its NAS.
    pub dropped_would_block: usize,
    /// Messages that the kernel refused, each for itself: no route, too long, forbidden; or the socket is gone.
    pub failed: usize,
    /// The last of the refusals, for the log.
    pub failure: Option<io::Error>,
}

/// Packets that wait to be sent together, each through a socket of its own choice, in memory used again and again.
///
/// One for each thread, whatever the number of its sockets: a flush makes one system call for each *socket* that has
/// something to send.
#[derive(Debug)]
pub struct SendBatch {
    buffers: Vec<Vec<u8>>,
    groups: Groups,
    wire: Wire,
    /// Whether the next buffer was emptied: otherwise it still holds an old packet, meant for someone else.
    emptied: bool,
    together: Together,
}

/// Whether equal lengths leave together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Together {
    Yes,
    /// The owner does not wish it.
    No,
    /// The kernel turned out not to know how. It is asked again after so many messages: the reason may have been a path,
    /// a device or a policy that has changed.
    NotFor(u32),
}

/// Messages that are sent one by one after a refusal: the next try is a five-thousandth of what they cost.
const APART_FOR: u32 = 4_096;

/// From longer segments nothing follows for others: kernels before 6.14 refuse those that pass the path's MTU with the
/// same EINVAL as segments that they cannot make. So many octets with their headers every path takes (RFC 791 §3.2: 576).
const TELLING_OCTETS_MAX: usize = 500;

impl SendBatch {
    /// Room for `messages` packets (1 to 64) of 4 096 octets.
    pub fn new(messages: usize) -> Self {
        assert!((1..=MESSAGES_MAX).contains(&messages), "a batch has 1 to 64 messages");
        SendBatch {
            buffers: (0..messages).map(|_| Vec::with_capacity(PACKET_OCTETS_MAX)).collect(),
            groups: Groups::new(),
            wire: Wire::new(messages),
            emptied: false,
            together: Together::Yes,
        }
    }

    /// Lets equal lengths leave together (as from the start) or not, for comparison. Not while messages wait.
    pub fn set_together(&mut self, together: bool) {
        assert!(self.is_empty(), "messages that wait are grouped already");
        self.together = if together { Together::Yes } else { Together::No };
    }

    /// Whether equal lengths leave together: false for a while when the kernel has refused to.
    pub fn is_together(&self) -> bool {
        self.together == Together::Yes
    }

    /// The empty buffer for the next packet. It is not part of the batch before [`SendBatch::push`]; asked again
    /// before that, it is emptied again. The batch must not be full.
    pub fn slot(&mut self) -> &mut Vec<u8> {
        let next = self.groups.messages();
        let buffer = self.buffers.get_mut(next).expect("a full batch is flushed before the next packet");
        buffer.clear();
        self.emptied = true;
        buffer
    }

    /// Adds the packet that was written into the [`SendBatch::slot`], to be sent this way.
    pub fn push(&mut self, transmit: Transmit) {
        assert!(self.emptied, "each packet is written into a slot of its own");
        self.emptied = false;
        let next = self.groups.messages();
        let buffer = self.buffers.get(next).expect("a full batch is flushed before the next packet");
        self.groups.add(transmit, buffer.len(), self.together == Together::Yes);
    }

    /// Packets that wait to be sent.
    pub fn len(&self) -> usize {
        self.groups.messages()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it must be flushed before the next [`SendBatch::slot`].
    pub fn is_full(&self) -> bool {
        self.len() == self.buffers.len()
    }

    /// Sends all that waits, and is empty afterwards. `outlet` tells which socket a number stands for; None counts
    /// its messages as failed.
    ///
    /// Never blocks: what does not fit into a socket's send buffer is dropped and counted, as is a message that the
    /// kernel refuses; neither stops the others.
    pub fn flush<'s>(
        &mut self,
        outlet: impl Fn(SocketId) -> Option<Outlet<'s>>,
        calls: &mut SystemCalls,
    ) -> SendOutcome {
        let mut outcome = SendOutcome::default();
        if let Together::NotFor(messages) = self.together {
            let left = messages.saturating_sub(self.groups.messages() as u32);
            self.together = if left == 0 { Together::Yes } else { Together::NotFor(left) };
        }
        for &chain in self.groups.chains() {
            match outlet(chain.via) {
                Some(outlet) => {
                    let sends = self.wire.lay_out(&self.groups, chain, &self.buffers, outlet);
                    let mut sending = Sending {
                        outlet,
                        calls: &mut *calls,
                        outcome: &mut outcome,
                        refused_together: false,
                    };
                    self.wire.send(sends, &mut sending);
                    if sending.refused_together {
                        self.together = Together::NotFor(APART_FOR);
                    }
                }
                None => {
                    let mut group = chain.first;
                    while group != NONE {
                        outcome.failed += usize::from(self.groups.group(group).messages);
                        group = self.groups.group(group).next;
                    }
                    outcome.failure = Some(io::ErrorKind::NotConnected.into());
                }
            }
        }
        self.groups.clear();
        outcome
    }

    /// [`SendBatch::flush`] for whoever has but one socket: all messages leave through it.
    pub fn flush_through(&mut self, socket: impl AsFd, calls: &mut SystemCalls) -> SendOutcome {
        self.flush(|_| Some(Outlet::Open(socket.as_fd())), calls)
    }
}

/// The kernel's view of the messages of one socket. Written anew before each call: no pointer in it outlives that.
#[derive(Debug)]
struct Wire {
    /// One for each group, in the order of sending.
    headers: Fixed<libc::mmsghdr>,
    /// The messages of one group, each with a header of its own: for when they may not leave together.
    apart: Fixed<libc::mmsghdr>,
    pieces: Fixed<libc::iovec>,
    names: Fixed<Name>,
    controls: Fixed<Control>,
}

// SAFETY: the pointers inside lead to the batch's own memory, are written before each call and not used after it.
unsafe impl Send for Wire {}

/// One flush through one socket.
struct Sending<'a, 's> {
    outlet: Outlet<'s>,
    calls: &'a mut SystemCalls,
    outcome: &'a mut SendOutcome,
    /// The kernel refused messages together that it took one by one.
    refused_together: bool,
}

impl Wire {
    fn new(messages: usize) -> Self {
        Wire {
            headers: Fixed::new(messages, |_| empty_header()),
            apart: Fixed::new(messages, |_| empty_header()),
            pieces: Fixed::new(messages, |_| libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }),
            names: Fixed::new(messages, |_| Name::unset()),
            controls: Fixed::new(messages, |_| Control::empty()),
        }
    }

    /// Writes headers, names, control messages and pieces for one socket's groups; returns how many headers.
    fn lay_out(&mut self, groups: &Groups, chain: Chain, buffers: &[Vec<u8>], outlet: Outlet<'_>) -> usize {
        let (mut sends, mut pieces) = (0, 0);
        let mut number = chain.first;
        while number != NONE {
            let group = groups.group(number);
            // SAFETY: a batch has no more groups, nor pieces, than messages, for which these were made; and we hold
            // them alone.
            let (header, name, control) = unsafe {
                (&mut *self.headers.at(sends), &mut *self.names.at(sends), &mut *self.controls.at(sends))
            };
            let header = &mut header.msg_hdr;
            let mut filled = 0;
            match outlet {
                Outlet::Connected(_) => {
                    header.msg_name = ptr::null_mut();
                    header.msg_namelen = 0;
                }
                Outlet::Open(_) => {
                    header.msg_namelen = name.set(group.transmit.destination);
                    header.msg_name = self.names.at(sends).cast();
                    if let Some(source) = group.transmit.source {
                        filled = control.put_source(source);
                    }
                }
            }
            if group.messages > 1 {
                // Last, so that the same control messages without it serve each message apart.
                filled = control.put(filled, libc::SOL_UDP, libc::UDP_SEGMENT, group.segment_octets);
            }
            header.msg_control = if filled > 0 { self.controls.at(sends).cast() } else { ptr::null_mut() };
            header.msg_controllen = filled as _;
            header.msg_iov = self.pieces.at(pieces);
            header.msg_iovlen = usize::from(group.messages) as _;
            let mut message = group.first;
            while message != NONE {
                let octets = &buffers[usize::from(message)];
                // SAFETY: as above. The kernel only reads through this pointer, and the buffers stay as they are
                // until the flush is over.
                unsafe {
                    *self.pieces.at(pieces) =
                        libc::iovec { iov_base: octets.as_ptr().cast_mut().cast(), iov_len: octets.len() };
                }
                pieces += 1;
                message = groups.after(message);
            }
            sends += 1;
            number = group.next;
        }
        sends
    }

    /// Sends the first `sends` headers.
    fn send(&mut self, sends: usize, sending: &mut Sending<'_, '_>) {
        let mut next = 0;
        let mut told_of = None;
        while next < sends {
            match call(&self.headers, next..sends, sending) {
                Ok(taken) => {
                    for header in next..next + taken {
                        sending.count_sent(self.messages_of(header));
                    }
                    next += taken;
                }
                Err(libc::EAGAIN) => {
                    sending.outcome.dropped_would_block +=
                        (next..sends).map(|header| self.messages_of(header)).sum::<usize>();
                    return;
                }
                Err(errno) if sending.is_report(errno) && told_of != Some(next) => told_of = Some(next),
                Err(errno) if self.messages_of(next) > 1 && refuses_segments(errno) => {
                    if !self.send_apart(next, errno, sending) {
                        sending.outcome.dropped_would_block +=
                            (next + 1..sends).map(|header| self.messages_of(header)).sum::<usize>();
                        return;
                    }
                    next += 1;
                }
                Err(errno) => {
                    sending.count_failed(self.messages_of(next), errno);
                    next += 1;
                }
            }
        }
    }

    /// Sends the messages of one group one by one, after the kernel has refused them together. Returns whether the
    /// socket takes more.
    // The length is a u32 where the C library is musl.
    #[allow(clippy::unnecessary_cast)]
    fn send_apart(&mut self, group: usize, refusal: c_int, sending: &mut Sending<'_, '_>) -> bool {
        let messages = self.messages_of(group);
        // SAFETY: `group` is laid out, its pieces are as many as its messages, and no group has more messages than
        // the batch, for which `apart` was made.
        unsafe {
            let together = &(*self.headers.at(group)).msg_hdr;
            for message in 0..messages {
                let header = &mut (*self.apart.at(message)).msg_hdr;
                *header = *together;
                header.msg_iov = together.msg_iov.add(message);
                header.msg_iovlen = 1;
                header.msg_controllen = (together.msg_controllen as usize - SEGMENT_SPACE) as _;
            }
        }
        let sent_before = sending.outcome.sent;
        let mut next = 0;
        let mut told_of = None;
        let mut open = true;
        while next < messages {
            match call(&self.apart, next..messages, sending) {
                Ok(taken) => {
                    sending.outcome.sent += taken;
                    next += taken;
                }
                Err(libc::EAGAIN) => {
                    sending.outcome.dropped_would_block += messages - next;
                    open = false;
                    break;
                }
                Err(errno) if sending.is_report(errno) && told_of != Some(next) => told_of = Some(next),
                Err(errno) => {
                    sending.count_failed(1, errno);
                    next += 1;
                }
            }
        }
        // SAFETY: as above; a group has a first message.
        let segment_octets = unsafe { (*(*self.headers.at(group)).msg_hdr.msg_iov).iov_len };
        // EMSGSIZE is about this path's MTU. Any other refusal of what is fine one by one is about segments.
        let is_telling = refusal != libc::EMSGSIZE && segment_octets <= TELLING_OCTETS_MAX;
        if is_telling && sending.outcome.sent > sent_before {
            sending.refused_together = true;
        }
        open
    }

    /// How many messages this header sends.
    fn messages_of(&self, header: usize) -> usize {
        // SAFETY: only headers that are laid out are asked about.
        unsafe { (*self.headers.at(header)).msg_hdr.msg_iovlen as _ }
    }
}

impl Sending<'_, '_> {
    /// Whether this error may be left over from an earlier send (ICMP), so that the same message is to be tried again.
    fn is_report(&self, errno: c_int) -> bool {
        matches!(self.outlet, Outlet::Connected(_)) && tells_unreachable(errno)
    }

    fn count_sent(&mut self, messages: usize) {
        self.outcome.sent += messages;
        if messages > 1 {
            self.outcome.sent_together += messages;
        }
    }

    fn count_failed(&mut self, messages: usize, errno: c_int) {
        self.outcome.failed += messages;
        self.outcome.failure = Some(io::Error::from_raw_os_error(errno));
    }
}

/// One system call for these headers: how many of them the kernel took, or why not even the first one.
fn call(
    headers: &Fixed<libc::mmsghdr>,
    range: std::ops::Range<usize>,
    sending: &mut Sending<'_, '_>,
) -> Result<usize, c_int> {
    let (Outlet::Open(socket) | Outlet::Connected(socket)) = sending.outlet;
    loop {
        sending.calls.send += 1;
        // SAFETY: the headers of the range are laid out: they point to names, control messages, pieces and through
        // these to buffers, all owned by the batch that is being flushed and untouched meanwhile.
        let result = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers.at(range.start),
                range.len() as c_uint,
                libc::MSG_DONTWAIT as _,
            )
        };
        match usize::try_from(result) {
            Ok(taken) if taken > 0 => return Ok(taken),
            // The kernel never takes none of some without an error; an endless loop would be the worse answer.
            Ok(_) => return Err(libc::EIO),
            Err(_) => match io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) {
                libc::EINTR => {}
                errno => return Err(errno),
            },
        }
    }
}

/// Whether a send of several segments may have failed for being one: no such option, no checksum offload, an
/// IPsec route, checksums switched off, segments longer than the path's MTU. Tried apart, they tell.
fn refuses_segments(errno: c_int) -> bool {
    [libc::EINVAL, libc::EIO, libc::EOPNOTSUPP, libc::ENOPROTOOPT, libc::EMSGSIZE].contains(&errno)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mmsg::set_option;
    use crate::sockets::bind_udp;

    #[test]
    fn batches_can_be_made_in_one_thread_and_used_in_another() {
        fn movable<T: Send>(_: T) {}
        movable(SendBatch::new(1));
        movable(crate::mmsg::ReceiveBatch::new(1, 1));
    }

    #[test]
    #[should_panic(expected = "a slot of its own")]
    fn an_old_packet_is_never_sent_again_to_someone_else() {
        let destination = "127.0.0.1:9".parse().expect("an address");
        let mut batch = SendBatch::new(2);
        batch.slot().extend_from_slice(b"for one");
        batch.push(Transmit { via: SocketId(0), source: None, destination });
        batch.push(Transmit { via: SocketId(0), source: None, destination });
    }

    const TO_ONESELF: &str = "127.0.0.1:0";

    /// A kernel or device that makes no segments is hard to come by; a socket told not to compute checksums gives
    /// the same answer.
    fn refuse_segments(sender: &impl AsFd, refuse: bool) {
        set_option(sender, libc::SOL_SOCKET, libc::SO_NO_CHECK, c_int::from(refuse)).expect("an old option");
    }

    fn fill(batch: &mut SendBatch, destination: std::net::SocketAddr, lengths: &[usize]) {
        for octets in lengths {
            batch.slot().resize(*octets, 1);
            batch.push(Transmit { via: SocketId(0), source: Some(destination.ip()), destination });
        }
    }

    #[test]
    fn a_kernel_without_segments_gets_messages_one_by_one_and_is_asked_again_after_a_while() {
        let address = TO_ONESELF.parse().expect("an address");
        let receiver = bind_udp(address, false, 1 << 20).expect("loopback is there");
        let sender = bind_udp(address, false, 1 << 20).expect("loopback is there");
        refuse_segments(&sender.socket, true);
        let mut batch = SendBatch::new(MESSAGES_MAX);
        let mut calls = SystemCalls::default();
        let lengths = [100, 100, 90, 110, 110, 110];

        fill(&mut batch, receiver.local, &lengths);
        let outcome = batch.flush_through(&sender.socket, &mut calls);
        assert_eq!((outcome.sent, outcome.sent_together, outcome.failed), (6, 0, 0), "{outcome:?}");
        assert!(!batch.is_together());

        let before = calls.send;
        fill(&mut batch, receiver.local, &lengths);
        assert_eq!(batch.flush_through(&sender.socket, &mut calls).sent, 6);
        assert_eq!(calls.send, before + 1, "not even tried together");

        refuse_segments(&sender.socket, false);
        let mut sent_apart = 6;
        while !batch.is_together() {
            fill(&mut batch, receiver.local, &lengths);
            sent_apart += batch.flush_through(&sender.socket, &mut calls).sent;
        }
        assert!((4_096..4_096 + 6).contains(&sent_apart), "{sent_apart}");
        fill(&mut batch, receiver.local, &lengths);
        assert_eq!(batch.flush_through(&sender.socket, &mut calls).sent_together, 6);
    }

    #[test]
    fn that_long_segments_are_refused_says_nothing_about_short_ones() {
        let address = TO_ONESELF.parse().expect("an address");
        let receiver = bind_udp(address, false, 1 << 20).expect("loopback is there");
        let sender = bind_udp(address, false, 1 << 20).expect("loopback is there");
        refuse_segments(&sender.socket, true);
        let mut batch = SendBatch::new(MESSAGES_MAX);
        let mut calls = SystemCalls::default();
        fill(&mut batch, receiver.local, &[501, 501, 501]);
        let outcome = batch.flush_through(&sender.socket, &mut calls);
        assert_eq!((outcome.sent, outcome.sent_together, outcome.failed), (3, 0, 0), "{outcome:?}");
        assert!(batch.is_together());
    }
}
