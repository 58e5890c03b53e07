//! All sockets that the server listens on, of all threads, and what each is for.
//!
//! Every network thread has two sockets on every address, the second one for Status-Server (a reload may have a listener
//! take it that did not at start); the kernel is told which datagram is for which (`steering`). The table is made before the
//! threads start and never changes: a [`SocketId`] is a place in it, so that a descriptor's number need not cross threads.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::{TcpListener, UdpSocket};
use mio::{Interest, Poll, Token};
use ulna_core::configuration::{Configuration, Listener, Transport};
use ulna_core::network::owner::Mixing;
use ulna_core::path::{ListenerId, Path, SocketId, Via};

use crate::mmsg::Received;
use crate::sockets::{BoundUdp, bind_udp, join_tcp, join_udp, listen_tcp};
use crate::steering::{Family, steer};

/// The table.
#[derive(Debug)]
pub struct Listening {
    sockets: Vec<Bound>,
    streams: Vec<BoundTcp>,
    network_cores: usize,
    /// Why the kernel would not be told which datagram is for which socket, if it would not.
    pub(crate) steering_refused: Option<io::Error>,
}

/// One socket of one network thread.
#[derive(Debug)]
pub struct Bound {
    /// The socket; any thread sends through it, one reads.
    pub socket: UdpSocket,
    /// The address of the configuration that it belongs to.
    pub listener: ListenerId,
    /// Whether it is for Status-Server alone, if the kernel takes the program that tells it so.
    pub is_for_status: bool,
    /// Where it is bound; the address may be a wildcard.
    pub local: SocketAddr,
    /// The receive buffer that was granted, in octets.
    pub granted_receive_octets: usize,
    /// Its number in the kernel's tables of sockets.
    pub inode: u64,
}

/// What the paths of all datagrams of one socket have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadFrom {
    /// Through which listening socket replies leave.
    pub via: SocketId,
    /// The address of the configuration that it belongs to.
    pub listener: ListenerId,
    /// Where it is bound; the address may be a wildcard.
    pub local: SocketAddr,
    /// The peer of a connection whose own socket it is.
    pub connected_to: Option<SocketAddr>,
}

impl ReadFrom {
    /// The way that this datagram came.
    #[inline]
    pub fn path(&self, datagram: &Received<'_>) -> Path {
        let ReadFrom { via, listener, mut local, .. } = *self;
        if let Some(address) = datagram.local_address {
            local.set_ip(address);
        }
        Path { via: Via::Socket(via), listener, local, remote: datagram.remote }
    }
}

/// A listening socket for streams, of one network thread, which accepts them and has them to their end.
#[derive(Debug)]
pub(crate) struct BoundTcp {
    pub socket: TcpListener,
    pub listener: ListenerId,
    pub local: SocketAddr,
    thread: usize,
}

/// An address that could not be listened on.
#[derive(Debug)]
pub struct ListenError {
    /// By which transport.
    pub transport: &'static str,
    /// Which.
    pub address: SocketAddr,
    /// What the kernel said.
    pub source: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {} {}: {}", self.transport, self.address, self.source)?;
        if is_of_no_interface(&self.source) {
            write!(f, "; give this address to an interface, or take it out of the configuration")?;
        }
        if lacks_family(&self.source) {
            write!(f, "; switch IPv6 on, or take it out of the configuration")?;
        }
        Ok(())
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Whether this host has the address, so that a socket could be bound there. What else may be against one, a port in
/// use for instance, is not asked.
pub fn is_on_this_host(address: IpAddr) -> bool {
    match std::net::UdpSocket::bind(SocketAddr::new(address, 0)) {
        Ok(_) => true,
        Err(error) => !is_of_no_interface(&error) && !lacks_family(&error),
    }
}

fn is_of_no_interface(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
}

/// IPv6 is not compiled in, or switched off at boot.
fn lacks_family(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

impl Listening {
    /// Binds every address of the configuration for each network thread, has each thread's poll watch its own, and tells
    /// the kernel which datagrams are for which.
    pub(crate) fn bind(
        configuration: &Configuration,
        mixing: Mixing,
        polls: &[Poll],
    ) -> Result<Self, ListenError> {
        let mut listening = Listening {
            sockets: Vec::new(),
            streams: Vec::new(),
            network_cores: configuration.network_cores(),
            steering_refused: None,
        };
        let octets = configuration.runtime.receive_buffer_octets;
        for (listener, number) in configuration.listeners.iter().zip(0..) {
            match listener.transport {
                Transport::Udp => {
                    listening.bind_one(ListenerId(number), listener, octets, mixing, polls)?;
                }
                Transport::Tcp(_) => listening.listen_one(ListenerId(number), listener, polls)?,
            }
        }
        Ok(listening)
    }

    /// All sockets of one address, in the order that the steering program counts by.
    fn bind_one(
        &mut self,
        number: ListenerId,
        listener: &Listener,
        octets: usize,
        mixing: Mixing,
        polls: &[Poll],
    ) -> Result<(), ListenError> {
        let mut address = listener.address;
        let count = 2 * self.network_cores;
        for place in 0..count {
            let failed = |source| ListenError { transport: "udp", address, source };
            let bound = if place == 0 { bind_udp(address, true, octets) } else { join_udp(address, octets) };
            let BoundUdp { mut socket, local, granted_receive_octets, inode } = bound.map_err(failed)?;
            let via = SocketId(self.sockets.len() as u16);
            let registry = polls[place % self.network_cores].registry();
            registry.register(&mut socket, Self::token(via), Interest::READABLE).map_err(failed)?;
            // Where port 0 left the choice to the kernel, the other threads take the same.
            address = local;
            let is_for_status = place >= self.network_cores;
            let listener = number;
            self.sockets.push(Bound {
                socket,
                listener,
                is_for_status,
                local,
                granted_receive_octets,
                inode,
            });
        }
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        let group = &self.sockets[self.sockets.len() - 1].socket;
        // All works without it: what a thread reads that is not its own crosses a ring.
        self.steering_refused = steer(group, family, mixing).err().or(self.steering_refused.take());
        Ok(())
    }

    /// One listening socket for streams for each network thread.
    fn listen_one(
        &mut self,
        number: ListenerId,
        listener: &Listener,
        polls: &[Poll],
    ) -> Result<(), ListenError> {
        let mut address = listener.address;
        for (thread, poll) in polls.iter().enumerate().take(self.network_cores) {
            let failed = |source| ListenError { transport: "tcp", address, source };
            let shared = self.network_cores > 1;
            let socket = if thread == 0 { listen_tcp(address, shared) } else { join_tcp(address) };
            let mut socket = socket.map_err(failed)?;
            let token = Token(ACCEPTORS + self.streams.len());
            poll.registry().register(&mut socket, token, Interest::READABLE).map_err(failed)?;
            address = socket.local_addr().map_err(failed)?;
            self.streams.push(BoundTcp { socket, listener: number, local: address, thread });
        }
        Ok(())
    }

    /// The listening sockets for streams of this network thread, by their numbers.
    pub(crate) fn acceptors_of_thread(&self, thread: usize) -> Vec<usize> {
        let own = self.streams.iter().enumerate().filter(|(_, bound)| bound.thread == thread);
        own.map(|(number, _)| number).collect()
    }

    /// One of them.
    pub(crate) fn acceptor(&self, number: usize) -> &BoundTcp {
        &self.streams[number]
    }

    /// The number of the one whose readiness is reported under this token.
    pub(crate) fn acceptor_of(token: Token) -> Option<usize> {
        (ACCEPTORS..STREAMS).contains(&token.0).then(|| token.0 - ACCEPTORS)
    }

    /// The socket of this number.
    pub(crate) fn socket(&self, via: SocketId) -> &Bound {
        &self.sockets[usize::from(via.0)]
    }

    /// What all that is read from this socket has in common.
    pub(crate) fn read_from(&self, via: SocketId) -> ReadFrom {
        let Bound { listener, local, .. } = *self.socket(via);
        ReadFrom { via, listener, local, connected_to: None }
    }

    /// The token under which readiness of this socket is reported.
    pub(crate) fn token(via: SocketId) -> Token {
        Token(usize::from(via.0))
    }

    /// The sockets that this network thread reads, in that order: those for Status-Server first.
    pub(crate) fn of_thread(&self, thread: usize) -> Vec<SocketId> {
        let own = (thread..self.sockets.len()).step_by(self.network_cores);
        let own = own.filter(|_| thread < self.network_cores).map(|place| SocketId(place as u16));
        let mut own: Vec<_> = own.collect();
        own.sort_by_key(|via| !self.socket(*via).is_for_status);
        own
    }

    /// One address for each `address` of the configuration, with its transport and the port that it really has.
    pub fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> + '_ {
        let datagrams = self.sockets.iter().map(|bound| (bound.listener, ("udp", bound.local)));
        let streams = self.streams.iter().map(|bound| (bound.listener, ("tcp", bound.local)));
        let by_listener: BTreeMap<_, _> = datagrams.chain(streams).collect();
        by_listener.into_values()
    }

    /// All sockets.
    pub fn sockets(&self) -> &[Bound] {
        &self.sockets
    }
}

/// The first token of listening sockets for streams: those of datagrams are numbered with 16 bits.
const ACCEPTORS: usize = 1 << 17;
/// The first token of streams, which are numbered by their places.
pub(crate) const STREAMS: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use ulna_config::Cores;
    use ulna_core::Seed;
    use ulna_core::network::owner::Owners;

    /// All that a socket has to read.
    fn drain(bound: &Bound) -> Vec<Vec<u8>> {
        let mut octets = [0; 64];
        std::iter::from_fn(|| bound.socket.recv(&mut octets).ok().map(|length| octets[..length].to_vec()))
            .collect()
    }

    #[test]
    fn requests_that_overflow_their_buffer_leave_status_server_its_own_which_is_read_first() {
        let text = "[runtime]\nnetwork_threads = 2\nreceive_buffer_octets = 4096\n\
                    [[listen]]\nname = \"a\"\ntransport = \"udp\"\naddress = [\"127.0.0.1:0\", \"[::1]:0\"]\n\
                    packets = [\"access\", \"status\"]\nserver = \"s\"\n\
                    [[client]]\nname = \"c\"\nnetwork = \"127.0.0.0/8\"\nsecret = \"0123456789abcdef\"\n\
                    [[server]]\nname = \"s\"\n[[server.new]]\nreject = true\n";
        let (configuration, _) = ulna_config::parse(text, "x", Cores(2)).expect("it is right");
        let polls = [Poll::new().expect("a poll"), Poll::new().expect("a poll")];
        let owners = Owners::new(2, &Seed::new([9; 32]));
        let listening = Listening::bind(&configuration, owners.mixing(), &polls).expect("free ports");
        assert!(listening.steering_refused.is_none());
        assert_eq!((listening.sockets().len(), listening.addresses().count()), (8, 2));
        let (_, address) = listening.addresses().next().expect("there are two");
        for thread in 0..2 {
            let own = listening.of_thread(thread);
            let is_for_status: Vec<_> = own.iter().map(|via| listening.socket(*via).is_for_status).collect();
            assert_eq!(is_for_status, [true, true, false, false], "thread {thread}");
            let of_thread = |socket: &std::net::UdpSocket| {
                usize::from(owners.owner(socket.local_addr().expect("it is bound")).0) == thread
            };
            let sender =
                std::iter::repeat_with(|| std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port"));
            let sender = sender.take(100).find(of_thread).expect("half of all ports");
            for _ in 0..100 {
                sender.send_to(&[1, 0, 0, 20], address).expect("loopback takes it");
            }
            sender.send_to(&[12, 0, 0, 38], address).expect("loopback takes it");
            let read: Vec<_> = own.iter().map(|via| drain(listening.socket(*via))).collect();
            let read: Vec<_> = read.iter().filter(|datagrams| !datagrams.is_empty()).collect();
            assert_eq!(read.len(), 2, "no other socket of this thread has any");
            assert_eq!(*read[0], [[12, 0, 0, 38]]);
            assert!(read[1].len() < 100 && read[1].iter().all(|octets| octets[0] == 1), "{}", read[1].len());
        }
        let inodes: Vec<_> = listening.sockets().iter().map(|bound| bound.inode).collect();
        let drops: Vec<_> = crate::kernel_drops::drops(&inodes).expect("Linux has the tables");
        let of_status = listening.sockets().iter().zip(&drops).filter(|(bound, _)| bound.is_for_status);
        assert!(of_status.map(|(_, drops)| *drops).all(|drops| drops == Some(0)), "{drops:?}");
        assert!(drops.iter().flatten().sum::<u32>() > 0, "what overflows is counted");
    }

    #[test]
    fn errors_about_addresses_that_the_host_lacks_name_the_remedy() {
        let told = |errno| {
            let address = "[::1]:1812".parse().expect("an address");
            ListenError { transport: "udp", address, source: io::Error::from_raw_os_error(errno) }.to_string()
        };
        assert!(told(libc::EADDRNOTAVAIL).contains("give this address to an interface"));
        assert!(told(libc::EAFNOSUPPORT).contains("switch IPv6 on"));
        assert!(told(libc::EADDRINUSE).ends_with("(os error 98)"), "nothing to add");
    }

    #[test]
    fn a_host_has_its_loopback_and_no_documentation_address() {
        assert!(is_on_this_host("127.0.0.1".parse().expect("an address")));
        assert!(!is_on_this_host("192.0.2.77".parse().expect("an address")));
    }
}
