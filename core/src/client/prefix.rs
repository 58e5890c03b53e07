//! Network prefixes.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// A network: an address whose bits after the first `length` are zero. IPv4-mapped IPv6 networks are kept as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Why something is not a network prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrefixError {
    /// What stands before the `/` is not an address.
    Address,
    /// What stands after the `/` is not a whole number up to this one.
    Length {
        /// 32 or 128.
        max: u8,
    },
    /// Bits after the length are set: probably a host was meant, or this network.
    HostBits {
        /// The same with those bits cleared.
        network: Prefix,
    },
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrefixError::Address => {
                f.write_str("not a network such as \"192.0.2.0/24\" or \"2001:db8::/32\", nor an address")
            }
            PrefixError::Length { max } => write!(f, "the prefix length must be 0 to {max}"),
            PrefixError::HostBits { network } => write!(f, "host bits are set; the network is \"{network}\""),
        }
    }
}

impl core::error::Error for PrefixError {}

impl Prefix {
    /// The network of `address` with `length` bits.
    ///
    /// # Errors
    /// `Length` when the address has fewer bits, `HostBits` when bits after the first `length` are set.
    pub fn new(address: IpAddr, length: u8) -> Result<Prefix, PrefixError> {
        let (address, length) = match address {
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                // ::ffff:0:0/96 holds the IPv4 addresses; a shorter prefix holds more than those and stays as it is.
                Some(v4) if (96..=128).contains(&length) => (IpAddr::V4(v4), length - 96),
                Some(_) | None => (address, length),
            },
            IpAddr::V4(_) => (address, length),
        };
        let max = bits(address);
        if length > max {
            return Err(PrefixError::Length { max });
        }
        let network = Prefix { address: masked(address, length), length };
        if network.address == address { Ok(network) } else { Err(PrefixError::HostBits { network }) }
    }

    /// The network of this length that holds an address; `length` is at most that of a host.
    pub(super) fn around(address: IpAddr, length: u8) -> Prefix {
        Prefix { address: masked(address, length), length }
    }

    /// The network of this one address.
    pub fn host(address: IpAddr) -> Prefix {
        let address = address.to_canonical();
        Prefix { address, length: bits(address) }
    }

    /// Its first address.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits count: 0 to 32, or to 128.
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether `address` is in it; an IPv4-mapped IPv6 address is taken for IPv4.
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        bits(address) == bits(self.address) && masked(address, self.length) == self.address
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// `192.0.2.0/24`, `2001:db8::/32`, or an address alone for the host.
    fn from_str(text: &str) -> Result<Prefix, PrefixError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| PrefixError::Address)?;
        let Some(length) = length else { return Ok(Prefix::host(address)) };
        // The language would read a sign and any number of leading zeros.
        let digits = (1..=3).contains(&length.len()) && length.bytes().all(|digit| digit.is_ascii_digit());
        let length = digits.then(|| length.parse().ok()).flatten();
        Prefix::new(address, length.ok_or(PrefixError::Length { max: bits(address) })?)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address with all bits after the first `length` cleared.
fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & mask_v4(length)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & mask_v6(length)).into(),
    }
}

/// `length` ones, then zeros; `length` is at most 32.
pub(super) fn mask_v4(length: u8) -> u32 {
    // A shift by all 32 bits overflows: there is no such shift on most machines.
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

/// `length` ones, then zeros; `length` is at most 128.
pub(super) fn mask_v6(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn parsed(text: &str) -> Result<alloc::string::String, PrefixError> {
        text.parse::<Prefix>().map(|prefix| prefix.to_string())
    }

    #[test]
    fn networks_and_hosts_parse() {
        assert_eq!(parsed("192.0.2.0/24"), Ok("192.0.2.0/24".into()));
        assert_eq!(parsed("192.0.2.9"), Ok("192.0.2.9/32".into()));
        assert_eq!(parsed("0.0.0.0/0"), Ok("0.0.0.0/0".into()));
        assert_eq!(parsed("2001:db8::/32"), Ok("2001:db8::/32".into()));
        assert_eq!(parsed("::1"), Ok("::1/128".into()));
        assert_eq!(parsed("::/0"), Ok("::/0".into()));
    }

    #[test]
    fn mapped_networks_are_ipv4() {
        assert_eq!(parsed("::ffff:192.0.2.0/120"), Ok("192.0.2.0/24".into()));
        assert_eq!(parsed("::ffff:192.0.2.9"), Ok("192.0.2.9/32".into()));
        assert_eq!(parsed("::ffff:0.0.0.0/96"), Ok("0.0.0.0/0".into()));
        assert_eq!(parsed("::/64"), Ok("::/64".into()));
    }

    #[test]
    fn what_is_no_network_is_refused_and_the_reason_given() {
        assert_eq!(parsed("switch"), Err(PrefixError::Address));
        assert_eq!(parsed("192.0.2.0/33"), Err(PrefixError::Length { max: 32 }));
        assert_eq!(parsed("192.0.2.0/"), Err(PrefixError::Length { max: 32 }));
        assert_eq!(parsed("192.0.2.0/+8"), Err(PrefixError::Length { max: 32 }));
        assert_eq!(parsed("192.0.2.0/999"), Err(PrefixError::Length { max: 32 }));
        assert_eq!(parsed("::/129"), Err(PrefixError::Length { max: 128 }));
        let error = "192.0.2.1/24".parse::<Prefix>().expect_err("host bits");
        assert_eq!(error.to_string(), "host bits are set; the network is \"192.0.2.0/24\"");
    }

    #[test]
    fn contains_its_addresses_only() {
        let prefix: Prefix = "192.0.2.128/25".parse().expect("a network");
        assert!(prefix.contains([192, 0, 2, 128].into()));
        assert!(prefix.contains("::ffff:192.0.2.255".parse().expect("an address")));
        assert!(!prefix.contains([192, 0, 2, 127].into()));
        assert!(!"::/0".parse::<Prefix>().expect("a network").contains([192, 0, 2, 1].into()));
    }
}
