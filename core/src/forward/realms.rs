//! Which pool the users of a realm belong to. RFC 7542 §3.

use super::PoolId;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// A realm's place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RealmId(pub u16);

/// Users whose names end alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realm {
    /// In lower case of ASCII; `*`: any that is not configured; empty: names without one.
    pub name: Box<str>,
    /// Where their Access-Requests go; `None`: they are ours.
    pub pool: Option<PoolId>,
    /// Where their Accounting-Requests go.
    pub accounting_pool: Option<PoolId>,
    /// Whether realms below it belong to it.
    pub subrealms: bool,
    /// How long a conversation may be silent.
    pub state_lifetime: Duration,
    /// Conversations that are kept, per worker.
    pub state_max: usize,
}

/// All realms of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Realms {
    realms: Vec<Realm>,
    /// Their places in the order of their names.
    by_name: Vec<u16>,
}

/// A realm is configured twice, under this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateRealm(pub Box<str>);

impl Realms {
    /// These realms, at most 65 536, whose names are in lower case of ASCII.
    ///
    /// # Errors
    /// [`DuplicateRealm`] if two have the same name.
    pub fn new(realms: Vec<Realm>) -> Result<Realms, DuplicateRealm> {
        let mut by_name: Vec<u16> = (0..=u16::MAX).take(realms.len()).collect();
        by_name.sort_by(|one, other| realms[usize::from(*one)].name.cmp(&realms[usize::from(*other)].name));
        let name = |place: &u16| &realms[usize::from(*place)].name;
        if let Some(pair) = by_name.windows(2).find(|pair| name(&pair[0]) == name(&pair[1])) {
            return Err(DuplicateRealm(name(&pair[0]).clone()));
        }
        Ok(Realms { realms, by_name })
    }

    /// The realm that a User-Name's realm belongs to, as RFC 7542 §2.2 finds it in the name: the longest configured suffix in
    /// whole labels, without regard to the case of ASCII; else the one for all others. `None` for a name without realm: the one
    /// for such.
    pub fn find(&self, realm: Option<&str>) -> Option<RealmId> {
        if self.realms.is_empty() {
            return None;
        }
        let Some(realm) = realm else { return self.named(b"") };
        let mut folded = [0; REALM_OCTETS_MAX];
        let folded = folded.get_mut(..realm.len())?;
        folded.copy_from_slice(realm.as_bytes());
        folded.make_ascii_lowercase();
        let mut suffix = &*folded;
        let mut is_whole = true;
        loop {
            if let Some(found) = self.named(suffix)
                && (is_whole || self.realm(found).subrealms)
            {
                return Some(found);
            }
            let Some(dot) = suffix.iter().position(|octet| *octet == b'.') else { break };
            suffix = &suffix[dot + 1..];
            is_whole = false;
        }
        self.named(b"*")
    }

    /// A realm by its number.
    ///
    /// # Panics
    /// If the number is of another configuration.
    pub fn realm(&self, realm: RealmId) -> &Realm {
        &self.realms[usize::from(realm.0)]
    }

    /// All of them, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Realm> {
        self.realms.iter()
    }

    fn named(&self, name: &[u8]) -> Option<RealmId> {
        let at = |place: &u16| self.realms[usize::from(*place)].name.as_bytes();
        let found = self.by_name.binary_search_by(|place| at(place).cmp(name)).ok()?;
        Some(RealmId(self.by_name[found]))
    }
}

/// A User-Name has no more (RFC 2865 §5).
const REALM_OCTETS_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    fn realms(names: &[(&str, bool)]) -> Realms {
        let realm = |(name, subrealms): &(&str, bool)| Realm {
            name: (*name).into(),
            pool: Some(PoolId(0)),
            accounting_pool: None,
            subrealms: *subrealms,
            state_lifetime: Duration::from_secs(60),
            state_max: 10,
        };
        Realms::new(names.iter().map(realm).collect()).expect("no name twice")
    }

    // checklist 56, 60
    #[test]
    fn the_longest_configured_suffix_wins() {
        let realms = realms(&[
            ("example.edu", true),
            ("cs.example.edu", false),
            ("*", false),
            ("", false),
            ("xy.example.org", true),
        ]);
        for (realm, found) in [
            (Some("example.edu"), Some(0)),
            (Some("EXAMPLE.edu"), Some(0)),
            (Some("physics.example.edu"), Some(0)),
            (Some("cs.Example.Edu"), Some(1)),
            // That one has no realms below it, the next longer suffix has.
            (Some("lab.cs.example.edu"), Some(0)),
            (Some("bigexample.edu"), Some(2)),
            (Some("edu"), Some(2)),
            (Some("example.org"), Some(2)),
            (Some("a.b.xy.example.org"), Some(4)),
            (None, Some(3)),
        ] {
            assert_eq!(realms.find(realm), found.map(RealmId), "{realm:?}");
        }
    }

    #[test]
    fn without_one_for_the_others_they_have_none() {
        let realms = realms(&[("example.edu", false)]);
        assert_eq!(realms.find(Some("cs.example.edu")), None);
        assert_eq!(realms.find(Some("example.org")), None);
        assert_eq!(realms.find(None), None);
        assert_eq!(Realms::default().find(Some("example.edu")), None);
    }

    #[test]
    fn no_name_twice() {
        let twice = realms(&[("a.b", false)]).realm(RealmId(0)).clone();
        assert_eq!(Realms::new([twice.clone(), twice].into()).err(), Some(DuplicateRealm("a.b".into())));
    }
}
