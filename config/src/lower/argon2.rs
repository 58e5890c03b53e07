//! Argon2 digests as password files write them: `$argon2id$v=19$m=19456,t=2,p=1$SALT$DIGEST`, the PHC string format.
//!
//! Says what is wrong without quoting any of it. What one check may cost is bounded here: whoever may edit this file could
//! otherwise stop a server by one character.

use ulna_core::authenticate::{Argon2, Variant, Version};

/// A digest's memory may be at most 256 MiB: each hash thread keeps as much as the largest needs.
const KIBIBYTES_MAX: u32 = 256 * 1024;
/// Memory times passes: about a second of a core.
const KIBIBYTE_PASSES_MAX: u64 = 1024 * 1024;
/// More lanes make no digest stronger here: they are computed one after the other.
const LANES_MAX: u32 = 64;

/// Reads one.
///
/// # Errors
/// What is wrong, in a form that follows "the digest".
pub fn parse(text: &str) -> Result<Argon2, String> {
    let mut fields = text.split('$');
    if fields.next() != Some("") {
        return Err("begins with no \"$\"".into());
    }
    let variant = match fields.next() {
        Some("argon2id") => Variant::Argon2id,
        Some("argon2i") => Variant::Argon2i,
        Some("argon2d") => Variant::Argon2d,
        Some(_) | None => return Err("is of no kind that is known: argon2id, argon2i, argon2d".into()),
    };
    let mut field = fields.next();
    // RFC 9106 §3.1: 0x13; digests from before 2016 name none, or 0x10.
    let version = match field.and_then(|field| field.strip_prefix("v=")) {
        Some("19") => Version::Current,
        Some("16") => Version::Old,
        Some(_) => return Err("has a version that is not known: 16 and 19 are".into()),
        None => Version::Old,
    };
    if field.is_some_and(|field| field.starts_with("v=")) {
        field = fields.next();
    }
    let [memory_kibibytes, passes, lanes] = parameters(field.unwrap_or_default())?;
    let salt = octets(fields.next().unwrap_or_default())
        .filter(|salt| (8..=64).contains(&salt.len()))
        .ok_or("has no salt of 8 to 64 octets in base64")?;
    let digest = octets(fields.next().unwrap_or_default())
        .filter(|digest| (16..=64).contains(&digest.len()))
        .ok_or("has no output of 16 to 64 octets in base64")?;
    if fields.next().is_some() {
        return Err("goes on behind its output".into());
    }
    Ok(Argon2 { variant, version, memory_kibibytes, passes, lanes, salt: salt.into(), digest: digest.into() })
}

/// Memory, passes and lanes, in this order.
fn parameters(field: &str) -> Result<[u32; 3], String> {
    let mut values = field.split(',');
    let mut value = |name: &str| {
        let value = values.next().and_then(|value| value.strip_prefix(name)?.strip_prefix('='));
        let number = value.filter(|value| value.bytes().all(|octet| octet.is_ascii_digit()));
        number.and_then(|number| number.parse::<u32>().ok())
    };
    let (Some(memory), Some(passes), Some(lanes), None) = (value("m"), value("t"), value("p"), values.next())
    else {
        return Err("has no parameters such as m=19456,t=2,p=1".into());
    };
    if !(1..=LANES_MAX).contains(&lanes) {
        return Err(format!("has p={lanes}; from 1 to {LANES_MAX} is allowed"));
    }
    // RFC 9106 §3.1: eight blocks for each lane.
    if !(8 * lanes..=KIBIBYTES_MAX).contains(&memory) {
        return Err(format!("has m={memory}; from {} (8 times p) to {KIBIBYTES_MAX} is allowed", 8 * lanes));
    }
    if passes == 0 || u64::from(memory) * u64::from(passes) > KIBIBYTE_PASSES_MAX {
        let most = KIBIBYTE_PASSES_MAX / u64::from(memory);
        return Err(format!("has t={passes}; with m={memory} from 1 to {most} is allowed"));
    }
    Ok([memory, passes, lanes])
}

/// Base64 of the ordinary alphabet without padding, as PHC strings have it.
fn octets(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for character in text.bytes() {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            octets.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    // What is left over of the last character is nothing: a text has one meaning, and a meaning one text.
    (count < 6 && bits == 0).then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: &str = "c29tZXNhbHQ";
    const DIGEST: &str = "IMit9qkFULCMA/ViizL57cnTLOa5DiVM9eMwpAvPwr4";

    #[test]
    fn every_field_is_read() {
        let hash = parse(&format!("$argon2id$v=19$m=256,t=2,p=1${SALT}${DIGEST}")).expect("it is right");
        assert_eq!((hash.variant, hash.version), (Variant::Argon2id, Version::Current));
        assert_eq!((hash.memory_kibibytes, hash.passes, hash.lanes), (256, 2, 1));
        assert_eq!(&*hash.salt, b"somesalt");
        assert_eq!((hash.digest[..2].to_vec(), hash.digest.len()), (vec![0x20, 0xc8], 32));
        let old = parse(&format!("$argon2i$m=256,t=2,p=4${SALT}${DIGEST}")).expect("it is right");
        assert_eq!((old.variant, old.version, old.lanes), (Variant::Argon2i, Version::Old, 4));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_digest() {
        let good = format!("$argon2id$v=19$m=256,t=2,p=1${SALT}${DIGEST}");
        let changed = |from: &str, to: &str| parse(&good.replace(from, to)).expect_err("it is wrong");
        for (from, to, error) in [
            ("$argon2id", "argon2id", "begins with no \"$\""),
            ("argon2id", "scrypt", "is of no kind that is known: argon2id, argon2i, argon2d"),
            ("v=19", "v=20", "has a version that is not known: 16 and 19 are"),
            ("m=256,t=2", "t=2,m=256", "has no parameters such as m=19456,t=2,p=1"),
            ("p=1", "p=1,x=2", "has no parameters such as m=19456,t=2,p=1"),
            ("t=2", "t=+2", "has no parameters such as m=19456,t=2,p=1"),
            ("p=1", "p=65", "has p=65; from 1 to 64 is allowed"),
            ("m=256", "m=7", "has m=7; from 8 (8 times p) to 262144 is allowed"),
            ("m=256", "m=262145", "has m=262145; from 8 (8 times p) to 262144 is allowed"),
            ("t=2", "t=0", "has t=0; with m=256 from 1 to 4096 is allowed"),
            ("t=2", "t=4097", "has t=4097; with m=256 from 1 to 4096 is allowed"),
            (SALT, "c29tZQ", "has no salt of 8 to 64 octets in base64"),
            (SALT, "c29tZXNhbHQ=", "has no salt of 8 to 64 octets in base64"),
            (SALT, "c29tZXNhbHR", "has no salt of 8 to 64 octets in base64"),
            (DIGEST, "IMit9qkFULCM", "has no output of 16 to 64 octets in base64"),
            (DIGEST, "", "has no output of 16 to 64 octets in base64"),
            (DIGEST, "IMit9qkFULCMA/ViizL57cnTLOa5DiVM9eMwpAvPwr4$", "goes on behind its output"),
        ] {
            assert_eq!(changed(from, to), error, "{from} as {to}");
        }
        assert!(parse(&good.replace("m=256,t=2", "m=262144,t=4")).is_ok());
        assert!(parse("").is_err() && parse("$").is_err() && parse("$argon2id").is_err());
    }
}
