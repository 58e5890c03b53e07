//! The kernel's side of a datagram: header, address and control messages in its own layout, and memory that it may
//! write to from one call to the next. No system call that moves a datagram, no rule about when to make one.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::{self, NonNull};

use libc::{c_int, c_uint};

/// A fixed number of `T`s on the heap, reached by pointers only: the kernel is handed pointers that must stay valid
/// from call to call, which a reference to the whole (and a `Box` is one) would end.
#[derive(Debug)]
pub(super) struct Fixed<T: Copy> {
    start: NonNull<T>,
    pub(super) length: usize,
}

impl<T: Copy> Fixed<T> {
    pub(super) fn new(length: usize, value: impl FnMut(usize) -> T) -> Self {
        let values: Box<[T]> = (0..length).map(value).collect();
        let start = NonNull::new(Box::into_raw(values).cast::<T>()).expect("a box is somewhere");
        Fixed { start, length }
    }

    /// A pointer to the value of this place. To read or write through it is the caller's care.
    pub(super) fn at(&self, place: usize) -> *mut T {
        assert!(place < self.length, "a batch is not left");
        // SAFETY: within the allocation, as just asserted.
        unsafe { self.start.as_ptr().add(place) }
    }
}

impl<T: Copy> Drop for Fixed<T> {
    fn drop(&mut self) {
        let values = ptr::slice_from_raw_parts_mut(self.start.as_ptr(), self.length);
        // SAFETY: this is the pointer and the length of the box that `new` took apart.
        drop(unsafe { Box::from_raw(values) });
    }
}

pub(super) fn empty_header() -> libc::mmsghdr {
    // SAFETY: null pointers and zero lengths are a valid, empty header.
    unsafe { mem::zeroed() }
}

/// Offers a header's whole name and control memory to the kernel, which shrinks both to what it wrote.
pub(super) fn offer_room(header: &mut libc::msghdr) {
    header.msg_namelen = size_of::<Name>() as libc::socklen_t;
    header.msg_controllen = CONTROL_OCTETS as _;
}

/// A socket's address in the kernel's form, of either family.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) union Name {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Name")
    }
}

impl Name {
    pub(super) fn unset() -> Self {
        // SAFETY: all octets zero is a value of both families' structures.
        unsafe { mem::zeroed() }
    }

    /// Writes the address; returns its length.
    pub(super) fn set(&mut self, address: SocketAddr) -> libc::socklen_t {
        *self = Name::unset();
        match address {
            SocketAddr::V4(address) => {
                let mut v4 = Name::unset_v4();
                v4.sin_port = address.port().to_be();
                v4.sin_addr = in_addr(*address.ip());
                self.v4 = v4;
                size_of::<libc::sockaddr_in>() as libc::socklen_t
            }
            SocketAddr::V6(address) => {
                let mut v6 = Name::unset_v6();
                v6.sin6_port = address.port().to_be();
                v6.sin6_flowinfo = address.flowinfo();
                v6.sin6_addr = in6_addr(*address.ip());
                v6.sin6_scope_id = address.scope_id();
                self.v6 = v6;
                size_of::<libc::sockaddr_in6>() as libc::socklen_t
            }
        }
    }

    fn unset_v4() -> libc::sockaddr_in {
        // SAFETY: all octets zero is a value of this structure.
        let mut v4: libc::sockaddr_in = unsafe { mem::zeroed() };
        v4.sin_family = libc::AF_INET as libc::sa_family_t;
        v4
    }

    fn unset_v6() -> libc::sockaddr_in6 {
        // SAFETY: all octets zero is a value of this structure.
        let mut v6: libc::sockaddr_in6 = unsafe { mem::zeroed() };
        v6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
        v6
    }

    /// Reads the address that the kernel wrote.
    pub(super) fn address(&self) -> SocketAddr {
        // SAFETY: the family says which structure the kernel wrote; all octets were initialised by `unset`.
        unsafe {
            match c_int::from(self.family) {
                libc::AF_INET => SocketAddr::V4(SocketAddrV4::new(
                    Ipv4Addr::from(self.v4.sin_addr.s_addr.to_ne_bytes()),
                    u16::from_be(self.v4.sin_port),
                )),
                libc::AF_INET6 => SocketAddr::V6(SocketAddrV6::new(
                    Ipv6Addr::from(self.v6.sin6_addr.s6_addr),
                    u16::from_be(self.v6.sin6_port),
                    self.v6.sin6_flowinfo,
                    self.v6.sin6_scope_id,
                )),
                family => panic!("a UDP socket's peer is of an IP family, not of family {family}"),
            }
        }
    }
}

fn in_addr(address: Ipv4Addr) -> libc::in_addr {
    libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) }
}

fn in6_addr(address: Ipv6Addr) -> libc::in6_addr {
    libc::in6_addr { s6_addr: address.octets() }
}

/// Room for the control messages of one datagram, aligned as their headers need.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy)]
pub(super) struct Control([u8; CONTROL_OCTETS]);

impl Control {
    pub(super) const fn empty() -> Self {
        Control([0; CONTROL_OCTETS])
    }

    /// Writes, first of all, which of our addresses to send from (RFC 3542 §6.2 for IPv6); returns the octets filled.
    pub(super) fn put_source(&mut self, source: IpAddr) -> usize {
        match source {
            IpAddr::V4(address) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: in_addr(address),
                    ipi_addr: in_addr(Ipv4Addr::UNSPECIFIED),
                };
                self.put(0, libc::IPPROTO_IP, libc::IP_PKTINFO, info)
            }
            IpAddr::V6(address) => {
                // Interface 0: routing decides, or for a link-local address the destination's scope.
                let info = libc::in6_pktinfo { ipi6_addr: in6_addr(address), ipi6_ifindex: 0 };
                self.put(0, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
            }
        }
    }

    /// Appends a control message behind the first `filled` octets; returns how many are filled then.
    pub(super) fn put<T: Copy>(&mut self, filled: usize, level: c_int, kind: c_int, payload: T) -> usize {
        let payload_octets = size_of::<T>() as c_uint;
        // SAFETY: arithmetic only.
        let (length, space) = unsafe { (libc::CMSG_LEN(payload_octets), libc::CMSG_SPACE(payload_octets)) };
        let after = filled + space as usize;
        assert!(after <= CONTROL_OCTETS, "a source and a segment length fit into the control messages");
        // SAFETY: all zero is a value of cmsghdr (some systems pad it). The message is within the buffer, as just
        // asserted; `filled` is a sum of aligned spaces, so its header is aligned; the payload may not be.
        unsafe {
            let mut header: libc::cmsghdr = mem::zeroed();
            header.cmsg_level = level;
            header.cmsg_type = kind;
            header.cmsg_len = length as _;
            let start = self.0.as_mut_ptr().add(filled);
            start.cast::<libc::cmsghdr>().write(header);
            libc::CMSG_DATA(start.cast()).cast::<T>().write_unaligned(payload);
        }
        after
    }
}

/// Which of our addresses a datagram came to.
///
/// # Safety
/// The kernel has filled this header, and its control memory is still there.
pub(super) unsafe fn local_address(header: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: the caller's promise. The kernel lays out whole control messages within msg_controllen; one with cut
    // off data would have said so by a shorter length, which is checked before the payload is read.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            let found = match ((*message).cmsg_level, (*message).cmsg_type) {
                // ipi_spec_dst is the local address even of a broadcast, which no reply could leave from.
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => payload::<libc::in_pktinfo>(message)
                    .map(|info| IpAddr::V4(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()))),
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => payload::<libc::in6_pktinfo>(message)
                    .map(|info| IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr))),
                _ => None,
            };
            if let Some(address) = found {
                return (!address.is_multicast()).then_some(address);
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    None
}

/// The payload of a control message, if it is whole.
///
/// # Safety
/// The message lies whole within its buffer; `T` is one of the kernel's plain structures.
unsafe fn payload<T: Copy>(message: *const libc::cmsghdr) -> Option<T> {
    // SAFETY: the caller's promise; the length was checked, and nothing is assumed about alignment.
    unsafe {
        let whole = (*message).cmsg_len >= libc::CMSG_LEN(size_of::<T>() as c_uint) as _;
        whole.then(|| libc::CMSG_DATA(message).cast::<T>().read_unaligned())
    }
}

/// Whether this is how the kernel passes on an ICMP message to a connected socket.
pub(super) fn tells_unreachable(errno: c_int) -> bool {
    [
        libc::ECONNREFUSED,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
        libc::EHOSTDOWN,
        libc::ENONET,
        libc::ENOPROTOOPT,
        libc::EPROTO,
        libc::EACCES,
        libc::EMSGSIZE,
    ]
    .contains(&errno)
}

/// Sets an option of the socket that is an int.
///
/// # Errors
/// The kernel's: no such option for this kind of socket, or no permission.
pub(crate) fn set_option(socket: impl AsFd, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the value is an int and lives through the call, which copies it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Control memory of one datagram: the larger packet information and one more small message, either way.
const CONTROL_OCTETS: usize = 64;

/// What the segment length takes of it.
// SAFETY: arithmetic only.
pub(super) const SEGMENT_SPACE: usize = unsafe { libc::CMSG_SPACE(size_of::<u16>() as c_uint) } as usize;
