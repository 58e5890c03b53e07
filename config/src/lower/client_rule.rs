//! `[[client_rule]]` and `[limits]`.

use super::attributes;
use super::client::{prefixes, secrets};
use super::rule::RuleList;
use super::server::Asking;
use super::{Names, Placed, condition};
use crate::document::Report;
use crate::error::{ConfigErrors, Warnings};
use crate::keys;
use crate::secret_table::load_secret_table;
use crate::section::Section;
use crate::shown;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;
use ulna_core::Seed;
use ulna_core::client::{ClientRule, ClientRules, Limits, Prefix, RuleSecret, SecretTable};
use ulna_core::dictionary::Dictionary;
use ulna_core::policy::Selector;

/// Client rules, not yet made ready.
pub struct Lowered<'d> {
    rules: Vec<ClientRule>,
    /// The names of those whose clients need not sign.
    pub unsigned: Vec<Spanned<&'d str>>,
    limits: Limits,
    unverified_per_second: u32,
    connected_sockets_max: Option<u32>,
    /// The tables that they name, each once.
    pub tables: Vec<Arc<SecretTable>>,
}

impl Lowered<'_> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Of all rules together.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Of a server whose network cores know so many requests together.
    pub fn build(self, requests: usize, seed: &Seed) -> (ClientRules, Vec<Arc<SecretTable>>) {
        let Lowered { rules, limits, unverified_per_second, connected_sockets_max, tables, .. } = self;
        let mut rules = ClientRules::new(rules, limits, unverified_per_second, requests, seed);
        if let Some(number) = connected_sockets_max {
            rules.connected_sockets_max = number;
        }
        (rules, tables)
    }
}

pub fn client_rules<'d>(file: &Section<'d>, dictionary: &Dictionary, report: &mut Report) -> Lowered<'d> {
    let mut lowered = Lowered {
        rules: Vec::new(),
        unsigned: Vec::new(),
        limits: Limits::of_all(),
        unverified_per_second: UNVERIFIED_PER_SECOND,
        connected_sockets_max: None,
        tables: Vec::new(),
    };
    if let Some(section) = file.table("limits", &keys::LIMITS, report) {
        limits(&section, &mut lowered.limits, report);
        if let Some(octets) = section.integer("held_octets", 4_096..=1 << 30, report) {
            lowered.limits.held_octets = octets as u32;
        }
        if let Some(number) = section.integer("unverified_per_second", 1..=NUMBER_MAX, report) {
            lowered.unverified_per_second = number as u32;
        }
        let sockets = section.integer("connected_sockets_max", 0..=CONNECTED_SOCKETS_MAX, report);
        lowered.connected_sockets_max = sockets.map(|number| number as u32);
    }
    let mut names = Names::default();
    let mut asking = Asking::new(dictionary);
    let mut taken = BTreeMap::new();
    for section in &file.tables("client_rule", &keys::CLIENT_RULE, report) {
        let name = section.name("name", report);
        if let Some(name) = &name {
            names.add("client rule", name, report);
        }
        let networks = prefixes(section, report);
        if let Some(name) = &name {
            warn_of_shadowed(section, name.get_ref(), &networks, &mut taken, report);
        }
        let networks = networks.into_iter().map(|network| network.value).collect();
        let rule = client_rule(section, name.clone(), networks, &mut asking, &mut lowered.tables, report);
        if rule.as_ref().is_some_and(|rule| !rule.nat && !rule.require_message_authenticator) {
            lowered.unsigned.extend(name);
        }
        lowered.rules.extend(rule);
    }
    asking.check(file, report);
    lowered
}

/// Of rules with the same network the first decides that matches, and one without `when` always does: what stands behind it is
/// never asked there. A longer network goes first wherever it stands, and takes only its part of a wider one.
fn warn_of_shadowed<'d>(
    section: &Section<'d>,
    name: &'d str,
    networks: &[Placed<Prefix>],
    taken: &mut BTreeMap<Prefix, &'d str>,
    report: &mut Report,
) {
    for network in networks {
        if let Some(first) = taken.get(&network.value) {
            let message = format!(
                "client rule \"{}\" is never asked for {}: \"{}\" stands before it there and has no `when`",
                shown::text(name),
                network.value,
                shown::text(first)
            );
            report.warning(network.span.clone(), message);
        }
    }
    if section.value("when").is_none() {
        for network in networks {
            taken.entry(network.value).or_insert(name);
        }
    }
}

fn client_rule<'d>(
    section: &Section<'d>,
    name: Option<Spanned<&'d str>>,
    networks: Box<[Prefix]>,
    asking: &mut Asking<'d, '_>,
    tables: &mut Vec<Arc<SecretTable>>,
    report: &mut Report,
) -> Option<ClientRule> {
    let when = condition::conditions(section, RuleList::Client, asking, report);
    let secret = rule_secret(section, asking.dictionary, tables, report);
    let nat = section.boolean("nat", report).unwrap_or(false);
    let prefer = section.word("prefer", &["dynamic", "static"], &[], report);
    let require = section.boolean("require_message_authenticator", report);
    if let (true, Some(false)) = (nat, require) {
        let message = "with `nat = true` each request must be signed: any neighbour behind the same address could \
                       have sent one that is not";
        let place = section.key_span("require_message_authenticator").unwrap_or(section.span());
        report.error(place, message.into());
    }
    let connected = section.boolean("connected", report);
    if connected == Some(true) && !nat {
        let place = section.key_span("connected").unwrap_or(section.span());
        report.error(place, "`connected` needs `nat = true`: a client of one address has many ports".into());
    }
    let day = Duration::from_secs(86_400);
    let mut span = |key: &str, least: Duration, default: Duration| {
        section.duration(key, least..=366 * day, report).unwrap_or(default)
    };
    let second = Duration::from_secs(1);
    let lifetime = span("lifetime", second, Duration::from_secs(3_600));
    let idle_timeout = span("idle_timeout", second, Duration::from_secs(120));
    let negative_lifetime = span("negative_lifetime", Duration::from_millis(100), Duration::from_secs(30));
    let limit_proxy_state = section.boolean("limit_proxy_state", report).unwrap_or(true);
    let mut own_limits = Limits::default();
    if let Some(section) = section.table("limits", &keys::RULE_LIMITS, report) {
        limits(&section, &mut own_limits, report);
        if let Some(number) = section.integer("packets_per_second", 0..=NUMBER_MAX, report) {
            own_limits.packets_per_second = number as u32;
        }
        number(&section, "held_packets", 1, &mut own_limits.held_packets, report);
        number(&section, "connections_per_client", 1, &mut own_limits.connections_per_client, report);
        if let Some(section) = section.table("per_address", &keys::ADDRESS_LIMITS, report) {
            let per_address = &mut own_limits.per_address;
            number(&section, "connections", 1, &mut per_address.connections, report);
            number(&section, "pending", 1, &mut per_address.pending, report);
            number(&section, "new_per_second", 1, &mut per_address.new_per_second, report);
        }
    }
    Some(ClientRule {
        name: Arc::from(*name?.get_ref()),
        networks,
        when,
        secret: secret?,
        nat,
        connected,
        prefer_dynamic: prefer == Some("dynamic"),
        require_message_authenticator: require.unwrap_or(true),
        limit_proxy_state,
        lifetime,
        idle_timeout,
        negative_lifetime,
        limits: own_limits,
        counts: Arc::default(),
    })
}

/// A secret for all, or a table and the attribute that is looked up there.
fn rule_secret(
    section: &Section<'_>,
    dictionary: &Dictionary,
    tables: &mut Vec<Arc<SecretTable>>,
    report: &mut Report,
) -> Option<RuleSecret> {
    let table = section.value("secret").and_then(|value| value.get_ref().as_table());
    let Some(table) = table.filter(|table| table.contains_key("table") || table.contains_key("key")) else {
        return secrets(section, report).map(Box::new).map(RuleSecret::Own);
    };
    let place = section.key_span("secret").unwrap_or(section.span());
    let section = Section::open(&keys::TABLE_SECRET, table, place.clone(), report);
    let path = text(&section, "table", &place, report);
    let key = text(&section, "key", &place, report);
    let source = path.and_then(|path| {
        let path = report.path(&place, path.get_ref());
        secret_table(&path, tables, report)
    });
    let key = key.and_then(|key| selector(&key, dictionary, report));
    Some(RuleSecret::Table { source: source?, key: key?, is_in_memory: true })
}

fn text<'d>(
    section: &Section<'d>,
    key: &str,
    place: &std::ops::Range<usize>,
    report: &mut Report,
) -> Option<Spanned<Cow<'d, str>>> {
    let Some(value) = section.value(key) else {
        report.error(place.clone(), format!("missing `{key}` in {}", keys::TABLE_SECRET.label));
        return None;
    };
    match value.get_ref().as_str().filter(|text| !text.is_empty() && !text.contains('\0')) {
        Some(text) => Some(Spanned::new(value.span(), text.into())),
        None => {
            section.refuse(key, "a text", value, report);
            None
        }
    }
}

/// The attribute of this name.
fn selector(name: &Spanned<Cow<'_, str>>, dictionary: &Dictionary, report: &mut Report) -> Option<Selector> {
    // Where a name is asked for alone, what is wrong with it stands at itself.
    let value = Spanned::new(name.span(), DeValue::Boolean(true));
    let named = attributes::named(name, &shown::text(name.get_ref()), &value, dictionary, report)?;
    let attribute = dictionary.at(&named.oid);
    if attribute.is_some_and(|attribute| attribute.encrypted()) {
        let shown = shown::text(name.get_ref());
        report.error(name.span(), format!("`{shown}` is hidden by the secret that it should lead to"));
        return None;
    }
    Some(Selector { oid: named.oid, tag: named.tag, any_shape: attribute.is_none() })
}

fn secret_table(path: &Path, tables: &mut Vec<Arc<SecretTable>>, report: &mut Report) -> Option<Arc<str>> {
    let source = path.display().to_string();
    if let Some(known) = tables.iter().find(|table| *table.source == *source) {
        return Some(Arc::clone(&known.source));
    }
    match load_secret_table(path) {
        Ok((table, warnings)) => {
            report.elsewhere(ConfigErrors::default(), warnings);
            let table = Arc::new(table);
            let source = Arc::clone(&table.source);
            tables.push(table);
            Some(source)
        }
        Err(errors) => {
            report.elsewhere(errors, Warnings::default());
            None
        }
    }
}

/// The keys that a rule's limits share with those of all.
fn limits(section: &Section<'_>, limits: &mut Limits, report: &mut Report) {
    number(section, "clients", 1, &mut limits.clients, report);
    number(section, "connections", 1, &mut limits.connections, report);
    number(section, "pending", 1, &mut limits.pending, report);
    number(section, "new_per_second", 1, &mut limits.new_per_second, report);
}

fn number(section: &Section<'_>, key: &str, least: usize, into: &mut u32, report: &mut Report) {
    if let Some(number) = section.integer(key, least..=NUMBER_MAX, report) {
        *into = number as u32;
    }
}

/// The kernel has no more sockets of one address share a port, the listening ones among them.
const CONNECTED_SOCKETS_MAX: usize = 60_000;
/// More of anything has no use in one server.
const NUMBER_MAX: usize = 1_000_000;
/// Packets that nobody has verified, of one source address: what a thread can look at and do its other work.
const UNVERIFIED_PER_SECOND: u32 = 100_000;
