//! `[[realm]]`: users whose names end alike. RFC 7542 §3.

use super::defined::Defined;
use crate::document::Report;
use crate::keys;
use crate::section::Section;
use crate::shown;
use std::collections::BTreeSet;
use std::time::Duration;
use toml::Spanned;
use ulna_core::configuration::Protocol;
use ulna_core::conversation::realm::realm_of;
use ulna_core::forward::{PoolId, Realm, Realms};

/// A place in the table has 16 bits.
const REALMS_MAX: usize = 65_536;

/// Realms, and which of their keys say that something is to be forwarded by realm: where the first stands.
#[derive(Default)]
pub struct Routes {
    /// `pool`.
    pub access: Option<std::ops::Range<usize>>,
    /// `accounting_pool`.
    pub accounting: Option<std::ops::Range<usize>>,
}

pub fn realms(
    file: &Section<'_>,
    pools: &Defined<'_, PoolId>,
    protocol: &Protocol,
    report: &mut Report,
) -> (Realms, Routes) {
    let mut realms: Vec<Realm> = Vec::new();
    let mut names = BTreeSet::new();
    let mut routes = Routes::default();
    for section in &file.tables("realm", &keys::REALM, report) {
        let name = name(section, report);
        let subrealms = section.boolean("subrealms", report).unwrap_or(false);
        if let Some(name) = &name
            && subrealms
            && matches!(&**name.get_ref(), "*" | "")
        {
            let place = section.key_span("subrealms").unwrap_or(section.span());
            let message =
                format!("realm \"{}\" has no `subrealms`: only a realm with a name can", name.get_ref());
            report.error(place, message);
        }
        let pool = pools.look_up_at("pool", section, report);
        let accounting_pool = pools.look_up_at("accounting_pool", section, report);
        for (key, route) in [("pool", &mut routes.access), ("accounting_pool", &mut routes.accounting)] {
            *route = route.take().or_else(|| section.key_span(key));
        }
        let lifetimes = Duration::from_millis(10)..=STATE_LIFETIME_MAX;
        let state_lifetime = section.duration("state_lifetime", lifetimes, report);
        let state_max = section.integer("state_max", 1..=STATE_MAX, report);
        let Some(name) = name else { continue };
        if realms.len() == REALMS_MAX {
            report.error(section.span(), format!("more than {REALMS_MAX} realms"));
            break;
        }
        if !names.insert(name.get_ref().clone()) {
            let shown = shown::text(name.get_ref());
            report.error(name.span(), format!("realm \"{shown}\" is defined twice"));
            continue;
        }
        realms.push(Realm {
            name: name.get_ref().as_str().into(),
            pool,
            accounting_pool,
            subrealms,
            state_lifetime: state_lifetime.unwrap_or(protocol.state_lifetime),
            state_max: state_max.unwrap_or(protocol.state_max),
        });
    }
    (Realms::new(realms).expect("no name is there twice"), routes)
}

/// In lower case of ASCII, as realms are compared.
fn name(section: &Section<'_>, report: &mut Report) -> Option<Spanned<String>> {
    let Some(value) = section.value("name") else {
        section.missing("name", report);
        return None;
    };
    let name = value.get_ref().as_str().filter(|name| matches!(*name, "*" | "") || is_realm(name));
    if name.is_none() {
        let expected = "a realm such as \"example.org\" (RFC 7542: two labels or more), \"*\" for any other, or \"\" \
                        for names without one";
        section.refuse("name", expected, value, report);
    }
    name.map(|name| Spanned::new(value.span(), name.to_ascii_lowercase()))
}

/// Whether a name may end so, and still have room for who it is (RFC 7542 §2.3).
fn is_realm(name: &str) -> bool {
    let user_name = format!("@{name}");
    user_name.len() <= USER_NAME_OCTETS_MAX && realm_of(user_name.as_bytes()) == Some(name)
}

/// RFC 2865 §5.
const USER_NAME_OCTETS_MAX: usize = 253;
/// A conversation that is silent for longer is none.
pub const STATE_LIFETIME_MAX: Duration = Duration::from_secs(86_400);
pub const STATE_MAX: usize = 16_777_216;
