//! Devices that are known by their hardware address: `authenticate = "mac"`. RFC 2865 §5.6 (Call-Check), §5.31;
//! RFC 3580 §3.21.
//!
//! A hardware address is no secret, and whoever hears one can pretend to have it: what is checked beside it only shows that
//! the NAS asks about a device, not about somebody who typed an address as a name. Devices are no users: neither is ever
//! looked for among the others.

use super::Checked;
use crate::attributes::Preset;
use crate::packet::hidden::{USER_PASSWORD_OCTETS_MAX, reveal_user_password};
use crate::packet::{Attributes, Framed, Landmark, Secret, chap, number};
use crate::seed::Seed;
use crate::table::Table;
use alloc::vec::Vec;
use core::fmt;
use zeroize::Zeroizing;

/// A hardware address of 48 bits (IEEE 802).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac([u8; MAC_OCTETS]);

/// Devices by their hardware address. Made once, then only read.
pub struct Devices(Table<Mac, Preset>);

/// Two devices have this address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DuplicateDevice(pub Mac);

impl Mac {
    /// Reads what NASes write: hexadecimal digits of either case, in groups of 2, 4, 6 or all 12, between them always the
    /// same of `-`, `:` and `.`.
    pub fn parse(text: &[u8]) -> Option<Mac> {
        let mut octets = [0; MAC_OCTETS];
        let separator = text.iter().position(|octet| !octet.is_ascii_hexdigit());
        let group = separator.unwrap_or(DIGITS);
        if !GROUPS.contains(&group) || text.len() != DIGITS + DIGITS / group - 1 {
            return None;
        }
        let separator = separator.map(|place| text[place]);
        if separator.is_some_and(|separator| !SEPARATORS.contains(&separator)) {
            return None;
        }
        let mut digits = 0;
        for (place, octet) in text.iter().enumerate() {
            if place % (group + 1) == group {
                if Some(*octet) != separator {
                    return None;
                }
                continue;
            }
            let digit = char::from(*octet).to_digit(16)? as u8;
            octets[digits / 2] = octets[digits / 2] << 4 | digit;
            digits += 1;
        }
        Some(Mac(octets))
    }

    /// Reads the address that a Calling-Station-Id begins with; some write the SSID behind it, after a colon, as
    /// RFC 3580 §3.20 has it in Called-Station-Id.
    pub fn parse_station(text: &[u8]) -> Option<Mac> {
        let lengths = GROUPS.map(|group| DIGITS + DIGITS / group - 1);
        let beginnings = lengths.iter().filter_map(|length| text.split_at_checked(*length));
        let whole = beginnings.filter(|(_, rest)| matches!(rest.first(), None | Some(b':')));
        whole.filter_map(|(address, _)| Mac::parse(address)).next()
    }

    /// Each way in which [`parse`](Mac::parse) reads it, letters all of one case; true as soon as `matches` says so.
    fn is_written_so(self, mut matches: impl FnMut(&[u8]) -> bool) -> bool {
        let mut digits = [0; DIGITS];
        for alphabet in [b"0123456789abcdef", b"0123456789ABCDEF"] {
            for (octet, pair) in self.0.iter().zip(digits.as_chunks_mut::<2>().0) {
                *pair = [octet >> 4, octet & 0xf].map(|digit| alphabet[usize::from(digit)]);
            }
            for group in GROUPS {
                for separator in SEPARATORS {
                    let mut text = [separator; TEXT_OCTETS_MAX];
                    for (place, chunk) in digits.chunks(group).enumerate() {
                        text[place * (group + 1)..][..group].copy_from_slice(chunk);
                    }
                    if matches(&text[..DIGITS + DIGITS / group - 1]) {
                        return true;
                    }
                    if group == DIGITS {
                        break;
                    }
                }
            }
        }
        false
    }
}

impl Devices {
    /// A table of these devices with what an Access-Accept gets; its hash is keyed from `seed`.
    ///
    /// # Errors
    /// When an address stands there twice.
    pub fn new(devices: Vec<(Mac, Preset)>, seed: &Seed) -> Result<Devices, DuplicateDevice> {
        let mut table = Table::new(devices.len(), &seed.fork("devices"));
        for (mac, reply) in devices {
            if table.get(&mac).is_some() {
                return Err(DuplicateDevice(mac));
            }
            assert!(table.insert(mac, reply).is_ok(), "the table was made for all of them");
        }
        Ok(Devices(table))
    }

    /// What an Access-Accept of this device gets, if it is there.
    pub fn look_up(&self, mac: Mac) -> Option<&Preset> {
        self.0.get(&mac)
    }

    /// How many devices there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Checks an Access-Request whose User-Name is a hardware address; `attributes` are the request's after edits, `secret` is
/// the one that hides its User-Password.
///
/// Calling-Station-Id, where there is one, has to begin with the same address. The password is what NASes send who have none:
/// the address once more, however written, the shared secret, or with Service-Type Call-Check nothing.
pub fn check<'d>(
    devices: &'d Devices,
    attributes: Attributes<'_>,
    framed: &Framed<'_>,
    secret: &Secret,
) -> Checked<'d> {
    let user_name = attributes.of(number::USER_NAME).next().unwrap_or_default();
    let device = Mac::parse(user_name).and_then(|mac| Some((mac, devices.look_up(mac)?)));
    let Some((mac, reply)) = device else { return Checked::Fails };
    if asks_for_more(framed) {
        return Checked::Fails;
    }
    let mut stations = attributes.of(number::CALLING_STATION_ID);
    if stations.any(|station| Mac::parse_station(station) != Some(mac)) {
        return Checked::Wrong;
    }
    let is_right = if let Some(chap_password) = framed.value(Landmark::ChapPassword) {
        let answers = |text: &[u8]| chap::chap_matches(chap_password, framed.chap_challenge(), text);
        answers(user_name) || mac.is_written_so(answers)
    } else if let Some(hidden) = framed.value(Landmark::UserPassword) {
        let mut clear = Zeroizing::new([0; USER_PASSWORD_OCTETS_MAX]);
        let password = reveal_user_password(hidden, secret, framed.authenticator(), &mut clear);
        password.is_ok_and(|password| match password {
            [] => is_call_check(attributes),
            _ => Mac::parse(password) == Some(mac) || secret.is(password),
        })
    } else {
        is_call_check(attributes)
    };
    if is_right { Checked::Matches(reply) } else { Checked::Wrong }
}

/// EAP and MS-CHAP ask to be answered as such, and a device that speaks them is no longer known by its address alone.
fn asks_for_more(framed: &Framed<'_>) -> bool {
    framed.value(Landmark::EapMessage).is_some()
        || super::mschap::Found::in_request(framed) != super::mschap::Found::Nothing
}

/// RFC 2865 §5.6: the NAS asks about an address, there is no password.
fn is_call_check(attributes: Attributes<'_>) -> bool {
    attributes.of(number::SERVICE_TYPE).any(|service_type| *service_type == CALL_CHECK)
}

impl fmt::Display for Mac {
    /// As RFC 3580 §3.21 has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02X}-{b:02X}-{c:02X}-{d:02X}-{e:02X}-{g:02X}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for DuplicateDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device {} is defined twice", self.0)
    }
}

impl core::error::Error for DuplicateDevice {}

const MAC_OCTETS: usize = 6;
const DIGITS: usize = 2 * MAC_OCTETS;
/// Digits between two separators.
const GROUPS: [usize; 4] = [2, 4, 6, DIGITS];
const SEPARATORS: [u8; 3] = *b"-:.";
/// With a separator behind each octet, of which the last is not used.
const TEXT_OCTETS_MAX: usize = DIGITS + MAC_OCTETS;
/// RFC 2865 §5.6.
const CALL_CHECK: [u8; 4] = [0, 0, 0, 10];

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    const MAC: Mac = Mac([0x00, 0x11, 0x22, 0xaa, 0xbb, 0xcc]);

    #[test]
    fn each_way_to_write_an_address_is_read() {
        for text in [
            "001122aabbcc",
            "00-11-22-aa-bb-cc",
            "00:11:22:AA:BB:CC",
            "00.11.22.aa.BB.cc",
            "0011.22aa.bbcc",
            "0011-22AA-BBCC",
            "0011:22aa:bbcc",
            "001122-aabbcc",
            "001122:AABBCC",
            "001122.aabbcc",
        ] {
            assert_eq!(Mac::parse(text.as_bytes()), Some(MAC), "{text}");
        }
        assert_eq!(MAC.to_string(), "00-11-22-AA-BB-CC");
    }

    #[test]
    fn nothing_else_is_an_address() {
        for text in [
            "",
            "-",
            "00",
            "001122aabbc",
            "001122aabbccd",
            "00-11-22-aa-bb",
            "00-11-22-aa-bb-c",
            "00-11-22-aa-bb-cc-",
            "00-11-22-aa-bb-cc-dd",
            "00-11:22-aa-bb-cc",
            "00_11_22_aa_bb_cc",
            "0-01122aabbcc",
            "001-122-aab-bcc",
            "00112-2aabbcc",
            "-001122aabbcc",
            "g01122aabbcc",
            "00-11-22-aa-bb-+c",
            " 01122aabbcc",
            "00--1122aabbc",
        ] {
            assert_eq!(Mac::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_station_may_name_its_network_behind_its_address() {
        for text in [
            "00-11-22-AA-BB-CC",
            "00-11-22-AA-BB-CC:campus",
            "0011.22aa.bbcc:a:b",
            "001122aabbcc:",
            "00:11:22:aa:bb:cc:x",
        ] {
            assert_eq!(Mac::parse_station(text.as_bytes()), Some(MAC), "{text}");
        }
        for text in
            ["", ":", "00-11-22-AA-BB-CC-campus", "00-11-22-AA-BB:campus", "192.0.2.1", "001122aabbccdd"]
        {
            assert_eq!(Mac::parse_station(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn an_address_is_there_once() {
        let entries = alloc::vec![(MAC, Preset::default()), (MAC, Preset::default())];
        let error = Devices::new(entries, &Seed::new([1; 32])).err();
        assert_eq!(
            error.map(|error| error.to_string()).as_deref(),
            Some("device 00-11-22-AA-BB-CC is defined twice")
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_no_text_panics(octets: [u8; 6], text in "[0-9a-fA-F:.g-]{0,20}") {
            let mac = Mac(octets);
            let mut count = 0;
            mac.is_written_so(|text| {
                assert_eq!(Mac::parse(text), Some(mac));
                assert_eq!(Mac::parse_station(text), Some(mac));
                count += 1;
                false
            });
            prop_assert_eq!(count, 20);
            if let Some(mac) = Mac::parse(text.as_bytes()) {
                let lower = text.to_ascii_lowercase();
                prop_assert!(mac.is_written_so(|written| written == lower.as_bytes()));
            }
            if let Some(mac) = Mac::parse_station(text.as_bytes()) {
                prop_assert!(mac.is_written_so(|written| text.to_ascii_lowercase().as_bytes().starts_with(written)));
            }
        }
    }
}
