//! The realm of a User-Name, by the grammar of RFC 7542 §2.2.
//!
//! Octet for octet, in one pass, without allocation: the network core asks this of every Access-Request. A name that the
//! grammar refuses is still a name that a user may have; it only has no realm that could be tracked.
//!
//! RFC 7542 §3.4 lists `\(user\)@example.net` as valid, which its own grammar refuses: so do we (backslash and
//! parentheses are in no rule of §2.2).

use core::fmt;
use core::str::from_utf8;

/// A User-Name that is a Network Access Identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nai<'a> {
    /// What stands before `@`; `None` where a realm stands alone.
    pub username: Option<&'a str>,
    /// What stands behind it: at least two labels.
    pub realm: Option<&'a str>,
}

/// Why a User-Name is no Network Access Identifier. Offsets count octets from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NaiError {
    /// It has no octets.
    Empty,
    /// It is not UTF-8 from this octet on.
    NotUtf8 {
        /// Where.
        offset: usize,
    },
    /// A character that may not stand in a username.
    Username {
        /// Where.
        offset: usize,
    },
    /// A dot at the beginning or end of the username, or two in a row.
    UsernameDot {
        /// Where.
        offset: usize,
    },
    /// A character that may not stand in a realm: a second `@` is one.
    Realm {
        /// Where.
        offset: usize,
    },
    /// A label of the realm that is empty, or begins or ends with `-`.
    Label {
        /// Where the label begins.
        offset: usize,
    },
    /// A realm of a single label.
    SingleLabel {
        /// Where the realm begins.
        offset: usize,
    },
}

impl fmt::Display for NaiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NaiError::Empty => write!(f, "User-Name is empty"),
            NaiError::NotUtf8 { offset } => write!(f, "User-Name is not UTF-8 from octet {offset} on"),
            NaiError::Username { offset } => {
                write!(f, "User-Name has a character at octet {offset} that no username has")
            }
            NaiError::UsernameDot { offset } => {
                write!(f, "User-Name has a dot at octet {offset} that joins nothing")
            }
            NaiError::Realm { offset } => {
                write!(f, "User-Name has a character at octet {offset} that no realm has")
            }
            NaiError::Label { offset } => {
                write!(
                    f,
                    "User-Name has a realm whose label at octet {offset} is empty or begins or ends with '-'"
                )
            }
            NaiError::SingleLabel { offset } => {
                write!(f, "User-Name has a realm at octet {offset} of a single label")
            }
        }
    }
}

impl core::error::Error for NaiError {}

impl<'a> Nai<'a> {
    /// Reads a User-Name, 1 to 253 octets (RFC 7542 §2.3); longer ones are read as well.
    ///
    /// # Errors
    /// The first thing that the grammar refuses, from the left.
    pub fn parse(user_name: &'a [u8]) -> Result<Nai<'a>, NaiError> {
        let text = match from_utf8(user_name) {
            Ok("") => return Err(NaiError::Empty),
            Ok(text) => text,
            Err(error) => return Err(NaiError::NotUtf8 { offset: error.valid_up_to() }),
        };
        let (username, realm) = match text.find('@') {
            None => (Some(text), None),
            Some(0) => (None, Some(&text[1..])),
            Some(at) => (Some(&text[..at]), Some(&text[at + 1..])),
        };
        if let Some(username) = username {
            check_username(username)?;
        }
        if let Some(realm) = realm {
            check_realm(realm, text.len() - realm.len())?;
        }
        Ok(Nai { username, realm })
    }
}

/// The realm of a User-Name, if it is a Network Access Identifier that has one.
pub fn realm_of(user_name: &[u8]) -> Option<&str> {
    Nai::parse(user_name).ok()?.realm
}

/// Whether `realm` is `configured` or, where `subrealms` count, below it. The letter case of ASCII does not count; other
/// characters are compared as they are (RFC 7542 §2.6 leaves normalising to the edge; that we do not try it ourselves
/// where a realm is unknown, as §2.6.1 and §3 ask for, costs such a name its realm).
pub fn is_within(realm: &str, configured: &str, subrealms: bool) -> bool {
    let Some(split) = realm.len().checked_sub(configured.len()) else { return false };
    let (below, suffix) = realm.as_bytes().split_at(split);
    suffix.eq_ignore_ascii_case(configured.as_bytes())
        && (below.is_empty() || (subrealms && below.last() == Some(&b'.')))
}

/// `dot-string`: runs of `utf8-atext` joined by single dots.
fn check_username(username: &str) -> Result<(), NaiError> {
    let mut after_dot = true;
    for (offset, character) in username.char_indices() {
        match character {
            '.' if after_dot => return Err(NaiError::UsernameDot { offset }),
            '.' => after_dot = true,
            _ if is_atext(character) => after_dot = false,
            _ => return Err(NaiError::Username { offset }),
        }
    }
    if after_dot { Err(NaiError::UsernameDot { offset: username.len() - 1 }) } else { Ok(()) }
}

/// `utf8-realm`: two labels or more, joined by dots. `start` is where it begins in the User-Name.
fn check_realm(realm: &str, start: usize) -> Result<(), NaiError> {
    let mut offset = start;
    for label in realm.split('.') {
        if let Some((at, _)) =
            label.char_indices().find(|(_, character)| !is_rtext(*character) && *character != '-')
        {
            return Err(NaiError::Realm { offset: offset + at });
        }
        if label.is_empty() || label.starts_with('-') || label.ends_with('-') {
            return Err(NaiError::Label { offset });
        }
        offset += label.len() + 1;
    }
    if realm.contains('.') { Ok(()) } else { Err(NaiError::SingleLabel { offset: start }) }
}

/// `utf8-atext`.
fn is_atext(character: char) -> bool {
    is_rtext(character) || "!#$%&'*+-/=?^_`{|}~".contains(character)
}

/// `utf8-rtext`: letters, digits and everything beyond ASCII.
fn is_rtext(character: char) -> bool {
    character.is_ascii_alphanumeric() || !character.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;

    // checklist 54, 57
    #[test]
    fn takes_the_valid_examples_of_the_rfc() {
        let greek =
            [0x62, 0x6f, 0x62, 0x40, 0xce, 0xb4, 0xce, 0xbf, 0xce, 0xba, 0xce, 0xb9, 0xce, 0xbc, 0xce, 0xae];
        let greek = [&greek[..], b".com"].concat();
        for (name, realm) in [
            (&b"bob"[..], None),
            (b"joe@example.com", Some("example.com")),
            (b"fred@foo-9.example.com", Some("foo-9.example.com")),
            (b"jack@3rd.depts.example.com", Some("3rd.depts.example.com")),
            (b"fred.smith@example.com", Some("example.com")),
            (b"fred_smith@example.com", Some("example.com")),
            (b"fred$@example.com", Some("example.com")),
            (b"fred=?#$&*+-/^smith@example.com", Some("example.com")),
            (b"nancy@eng.example.net", Some("eng.example.net")),
            (b"eng.example.net!nancy@example.net", Some("example.net")),
            (b"eng%nancy@example.net", Some("example.net")),
            (b"@privatecorp.example.net", Some("privatecorp.example.net")),
            (&greek, Some("δοκιμή.com")),
            // Not recommended, and valid.
            (b"alice@xn--tmonesimerkki-bfbb.example.net", Some("xn--tmonesimerkki-bfbb.example.net")),
        ] {
            let nai = Nai::parse(name).unwrap_or_else(|error| panic!("{}: {error}", name.escape_ascii()));
            assert_eq!(nai.realm, realm);
        }
        assert_eq!(Nai::parse(b"@a.b").unwrap().username, None);
    }

    // checklist 58
    #[test]
    fn refuses_the_invalid_examples_of_the_rfc_and_says_where() {
        for (name, error) in [
            (&b"fred@example"[..], NaiError::SingleLabel { offset: 5 }),
            (b"fred@example_9.com", NaiError::Realm { offset: 12 }),
            (b"fred@example.net@example.net", NaiError::Realm { offset: 16 }),
            (b"fred.@example.net", NaiError::UsernameDot { offset: 4 }),
            (b"eng:nancy@example.net", NaiError::Username { offset: 3 }),
            (b"eng;nancy@example.net", NaiError::Username { offset: 3 }),
            (b"(user)@example.net", NaiError::Username { offset: 0 }),
            (b"<nancy>@example.net", NaiError::Username { offset: 0 }),
        ] {
            assert_eq!(Nai::parse(name), Err(error), "{}", name.escape_ascii());
        }
    }

    // checklist 59
    #[test]
    fn refuses_what_the_rfc_lists_against_its_own_grammar() {
        assert_eq!(Nai::parse(br"\(user\)@example.net"), Err(NaiError::Username { offset: 0 }));
        assert_eq!(realm_of(br"DOMAIN\user"), None);
    }

    // checklist 54
    #[test]
    fn refuses_what_only_looks_like_a_realm() {
        for (name, error) in [
            (&b""[..], NaiError::Empty),
            (b"@", NaiError::Label { offset: 1 }),
            (b"bob@", NaiError::Label { offset: 4 }),
            (b"bob@.example.com", NaiError::Label { offset: 4 }),
            (b"bob@example.com.", NaiError::Label { offset: 16 }),
            (b"bob@-a.example", NaiError::Label { offset: 4 }),
            (b"bob@a-.example", NaiError::Label { offset: 4 }),
            (b".bob@a.b", NaiError::UsernameDot { offset: 0 }),
            (b"b..ob@a.b", NaiError::UsernameDot { offset: 2 }),
            (b"bob smith@a.b", NaiError::Username { offset: 3 }),
            (b"bob@a.b\0", NaiError::Realm { offset: 7 }),
            (b"bob\xff@a.b", NaiError::NotUtf8 { offset: 3 }),
        ] {
            assert_eq!(Nai::parse(name), Err(error), "{}", name.escape_ascii());
        }
    }

    // checklist 55
    #[test]
    fn takes_names_of_253_octets() {
        for octets in [72, 253] {
            let username = "u".repeat(octets - "@example.com".len());
            let name = alloc::format!("{username}@example.com");
            assert_eq!((name.len(), realm_of(name.as_bytes())), (octets, Some("example.com")));
        }
    }

    // checklist 56, 60
    #[test]
    fn realms_match_without_ascii_case_and_below_a_parent_only_where_told() {
        assert!(is_within("Example.COM", "example.com", false));
        assert!(!is_within("sales.example.com", "example.com", false));
        assert!(is_within("sales.example.com", "example.com", true));
        assert!(!is_within("bigexample.com", "example.com", true));
        assert!(!is_within("com", "example.com", true));
        // No case beyond ASCII.
        assert!(!is_within("ΔΟΚΙΜΉ.com", "δοκιμή.com", false));
        // Nor are octets that are not composed the same as those that are: ή as one character, and as η with an accent.
        assert!(is_within("δοκιμ\u{3ae}.com", "δοκιμή.com", false));
        assert!(!is_within("δοκιμ\u{3b7}\u{301}.com", "δοκιμή.com", false));
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused_at_one_of_them(name in proptest::collection::vec(any::<u8>(), 0..64)) {
            match Nai::parse(&name) {
                Ok(nai) => {
                    let mut again = String::from(nai.username.unwrap_or_default());
                    if let Some(realm) = nai.realm {
                        again.push('@');
                        again.push_str(realm);
                    }
                    prop_assert_eq!(again.as_bytes(), &name[..]);
                }
                Err(NaiError::Empty) => prop_assert!(name.is_empty()),
                Err(
                    NaiError::NotUtf8 { offset }
                    | NaiError::Username { offset }
                    | NaiError::UsernameDot { offset }
                    | NaiError::Realm { offset }
                    | NaiError::Label { offset }
                    | NaiError::SingleLabel { offset },
                ) => prop_assert!(offset <= name.len()),
            }
        }

        #[test]
        fn what_the_grammar_makes_is_taken(name in "[a-zA-Z0-9!#$_é]{1,9}(\\.[a-z0-9~λ]{1,5}){0,3}@([a-z0-9é]([a-z0-9-]{0,5}[a-z0-9])?\\.){1,3}[a-zß]{1,6}") {
            prop_assert!(Nai::parse(name.as_bytes()).is_ok(), "{}", name);
        }
    }
}
