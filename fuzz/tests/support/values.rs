//! Values of every data type as an operator writes them: the shortest, the longest, those at the edges, and random ones.

use super::random::Random;
use ulna_core::attributes::text;
use ulna_core::dictionary::{Attribute, DataType, Dictionary, Encryption, escape_into};

/// Assignments to this attribute, `Name = value` or `Name:tag = value`.
pub fn assignments(dictionary: &Dictionary, attribute: &Attribute, random: &mut Random) -> Vec<String> {
    let mut values = edges(attribute);
    values.extend((0..RANDOM_VALUES).filter_map(|_| any(attribute, random)));
    let mut written: Vec<String> = values
        .iter()
        .map(|value| format!("{}{} = {value}", attribute.name(), tag(attribute, random)))
        .collect();
    // The longest that the format of its vendor has room for.
    let max = attribute.value_octets_max();
    let longest = (0..=8).filter_map(|less| {
        let value = of_length(attribute, max.checked_sub(less)?, random)?;
        Some(format!("{} = {value}", attribute.name()))
    });
    written.extend({ longest }.find(|line| fits(dictionary, line)));
    written
}

/// One assignment with a random value; `None` of containers.
pub fn any_assignment(attribute: &Attribute, random: &mut Random) -> Option<String> {
    let value = any(attribute, random)?;
    Some(format!("{}{} = {value}", attribute.name(), tag(attribute, random)))
}

fn tag(attribute: &Attribute, random: &mut Random) -> String {
    match random.below(4) {
        0 => String::new(),
        _ if !attribute.tagged() => String::new(),
        1 => ":31".into(),
        _ => format!(":{}", random.below(32)),
    }
}

fn edges(attribute: &Attribute) -> Vec<String> {
    let words: &[&str] = match attribute.data_type() {
        DataType::Text => &[r#""a""#, r#""001010123456789""#, r#""\"s \\ \t\r\n é €""#, r#""=,;' <&>""#],
        DataType::Octets { length: Some(length) } => {
            let octets = usize::from(length);
            return vec![format!("0x{}", "00".repeat(octets)), format!("0x{}", "ff".repeat(octets))];
        }
        DataType::Octets { length: None } => &["0x00", "0xff80", "0x1f01"],
        // A whole filter, the shorter one: others are no filters.
        DataType::AscendFilter => &["0x010101000a000001c0000201182006000050ffff01020000"],
        DataType::Byte => &["0", "1", "127", "128", "255"],
        DataType::Short => &["0", "1", "32767", "32768", "65535"],
        DataType::Integer if attribute.tagged() => &["0", "1", "8388608", "16777215"],
        DataType::Integer => &["0", "1", "2147483647", "2147483648", "4294967295"],
        DataType::Integer64 => {
            &["0", "1", "9223372036854775807", "9223372036854775808", "18446744073709551615"]
        }
        DataType::Signed => &["0", "1", "-1", "-2147483648", "2147483647"],
        DataType::Date => &["0", "2147483647", "2147483648", "4294967295", "1709164800"],
        DataType::Ipv4Address => &["0.0.0.0", "255.255.255.255", "255.255.255.254", "192.0.2.1"],
        DataType::Ipv6Address => &["::", "2001:db8::1", "::ffff:192.0.2.1", "ffff:ffff:ffff:ffff::ffff"],
        DataType::EitherAddress => &["192.0.2.1", "2001:db8::1"],
        DataType::Ipv4Prefix => &["0.0.0.0/0", "192.0.2.0/24", "192.0.2.1/32", "128.0.0.0/1"],
        DataType::Ipv6Prefix => &["::/0", "2001:db8::/32", "2001:db8::1/128", "2001:db8:0:8000::/49"],
        DataType::InterfaceId => &["0:0:0:0", "ffff:ffff:ffff:ffff", "0:0:a:1"],
        DataType::Ether => &["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "00:00:5e:00:53:01"],
        DataType::Tlv
        | DataType::VendorSpecific
        | DataType::Extended
        | DataType::LongExtended
        | DataType::ExtendedVendorSpecific => &[],
    };
    words.iter().map(|word| word.to_string()).collect()
}

fn any(attribute: &Attribute, random: &mut Random) -> Option<String> {
    let number = random.number() >> random.below(64);
    let data_type = attribute.data_type();
    Some(match data_type {
        DataType::Text | DataType::Octets { length: None } => {
            let length = 1 + random.below(attribute.value_octets_max().min(60));
            return of_length(attribute, length, random);
        }
        DataType::Octets { length: Some(length) } => {
            return of_length(attribute, usize::from(length), random);
        }
        DataType::Byte | DataType::Short | DataType::Integer | DataType::Integer64 => {
            let max = data_type.integer_max().expect("it is a number");
            let max = if attribute.tagged() { max >> 8 } else { max };
            (number & max).to_string()
        }
        DataType::Signed => (number as i32).to_string(),
        DataType::Date => (number as u32).to_string(),
        DataType::Ipv4Address | DataType::EitherAddress => {
            std::net::Ipv4Addr::from(random.number() as u32).to_string()
        }
        DataType::Ipv6Address => ipv6(random, 128).to_string(),
        DataType::Ipv4Prefix => {
            let bits = random.below(33) as u32;
            let address = (random.number() as u32).checked_shr(32 - bits).unwrap_or(0);
            format!("{}/{bits}", std::net::Ipv4Addr::from(address.checked_shl(32 - bits).unwrap_or(0)))
        }
        DataType::Ipv6Prefix => {
            let bits = random.below(129) as u32;
            format!("{}/{bits}", ipv6(random, bits))
        }
        DataType::InterfaceId => {
            let [a, b, c, d] = [48, 32, 16, 0].map(|bits| number.rotate_left(7) >> bits & 0xffff);
            format!("{a:x}:{b:x}:{c:x}:{d:x}")
        }
        DataType::Ether => {
            let octets: Vec<String> = random.octets(6).iter().map(|octet| format!("{octet:02x}")).collect();
            octets.join(":")
        }
        DataType::AscendFilter
        | DataType::Tlv
        | DataType::VendorSpecific
        | DataType::Extended
        | DataType::LongExtended
        | DataType::ExtendedVendorSpecific => return None,
    })
}

fn ipv6(random: &mut Random, bits: u32) -> std::net::Ipv6Addr {
    let octets: [u8; 16] = random.octets(16).try_into().expect("sixteen");
    let kept = u128::from_be_bytes(octets).checked_shr(128 - bits).unwrap_or(0);
    kept.checked_shl(128 - bits).unwrap_or(0).into()
}

/// Text or octets of exactly this length.
fn of_length(attribute: &Attribute, octets: usize, random: &mut Random) -> Option<String> {
    let data_type = attribute.data_type();
    if let DataType::Octets { length } = data_type {
        let digits: String = random.octets(octets).iter().map(|octet| format!("{octet:02x}")).collect();
        let fits = length.is_none_or(|length| usize::from(length) == octets);
        return fits.then(|| format!("0x{digits}"));
    }
    if data_type != DataType::Text {
        return None;
    }
    let mut value: Vec<u8> = (0..octets).map(|_| b' ' + random.below(95) as u8).collect();
    // Revealed passwords are compared in ASCII.
    if attribute.encryption() == Encryption::None && octets > 8 && random.below(4) == 0 {
        let place = random.below(octets - 4);
        value[place..place + 4].copy_from_slice("\u{1F511}".as_bytes());
    }
    let mut literal = String::from("\"");
    escape_into(&mut literal, &value).expect("a string takes all");
    Some(literal + "\"")
}

fn fits(dictionary: &Dictionary, line: &str) -> bool {
    let Ok(assignments) = text::parse(dictionary, line) else { return false };
    let secret = super::secret();
    let hop = ulna_core::packet::hidden::Hop { secret: &secret, request_authenticator: &[0; 16] };
    let sealing = Some(text::Sealing { hop, salt: 0 });
    let room = ulna_core::packet::PACKET_OCTETS_MAX - ulna_core::packet::HEADER_OCTETS;
    let mut out = Vec::new();
    text::write(dictionary, &assignments, sealing, &mut out).is_ok() && out.len() <= room - 18
}

const RANDOM_VALUES: usize = 3;
