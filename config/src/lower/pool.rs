//! `[[pool]]`: remote servers that stand in for each other.

use super::attributes;
use super::defined::Defined;
use crate::document::Report;
use crate::keys;
use crate::section::{Section, kind};
use crate::shown;
use std::borrow::Cow;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use ulna_core::dictionary::Dictionary;
use ulna_core::forward::{Balance, Member, OnDead, Pool, PoolId, RemoteServerId};
use ulna_core::policy::{Selector, is_ours};

/// Far more than anybody has, and as many as are looked through for one request.
const MEMBERS_MAX: usize = 1_024;
const WEIGHT_MAX: usize = 1_000;
const HASH_BY_MAX: usize = 16;

const MEMBER: &str = "the name of a [[remote_server]] or { name = \"…\", weight = 1 }";

pub fn pools<'d>(
    file: &Section<'d>,
    servers: &Defined<'d, RemoteServerId>,
    dictionary: &Dictionary,
    report: &mut Report,
) -> (Vec<Pool>, Defined<'d, PoolId>) {
    let mut pools = Vec::new();
    let mut defined = Defined::new("pool");
    for section in &file.tables("pool", &keys::POOL, report) {
        let name = section.name("name", report);
        let balance = balance(section, report);
        let on_dead = match section.word("on_dead", &["fail", "repick"], &[], report) {
            Some("repick") => OnDead::Repick,
            Some(_) | None => OnDead::Fail,
        };
        let hash_by = hash_by(section, balance, dictionary, report);
        let members = members(section, balance, servers, report);
        let Some(name) = name else { continue };
        let Ok(number) = u16::try_from(pools.len()) else {
            report.error(section.span(), "more than 65536 pools".into());
            break;
        };
        if defined.add(&name, PoolId(number), report) {
            pools.push(Pool { name: (*name.get_ref()).into(), balance, on_dead, hash_by, members });
        }
    }
    (pools, defined)
}

/// Failover where nothing is said: it alone gives the order of the list a meaning that nobody has to look up.
fn balance(section: &Section<'_>, report: &mut Report) -> Balance {
    let balances = [
        ("failover", Balance::Failover),
        ("round-robin", Balance::RoundRobin),
        ("least-outstanding", Balance::LeastOutstanding),
        ("hash", Balance::Hash),
    ];
    let word = section.word("balance", &balances.map(|(word, _)| word), &[], report);
    balances
        .into_iter()
        .find(|(each, _)| Some(*each) == word)
        .map_or(Balance::Failover, |(_, balance)| balance)
}

/// The attributes that a hash is over.
fn hash_by(
    section: &Section<'_>,
    balance: Balance,
    dictionary: &Dictionary,
    report: &mut Report,
) -> Vec<Selector> {
    let expected = "an array of names of attributes such as [\"Calling-Station-Id\"]";
    let Some(value) = section.value("hash_by") else {
        if balance == Balance::Hash {
            report.error(section.span(), "`balance = \"hash\"` needs `hash_by`: what is hashed".into());
        }
        return Vec::new();
    };
    if balance != Balance::Hash {
        let place = section.key_span("hash_by").unwrap_or(value.span());
        report.warning(place, "`hash_by` does nothing without `balance = \"hash\"`".into());
    }
    let values = value.get_ref().as_array().filter(|values| (1..=HASH_BY_MAX).contains(&values.len()));
    let Some(values) = values else {
        section.refuse("hash_by", &format!("{expected}, 1 to {HASH_BY_MAX}"), value, report);
        return Vec::new();
    };
    let mut selectors: Vec<Selector> = Vec::with_capacity(values.len());
    for value in values {
        let DeValue::String(text) = value.get_ref() else {
            section.refuse("hash_by", expected, value, report);
            continue;
        };
        let name: Spanned<Cow<'_, str>> = Spanned::new(value.span(), Cow::Borrowed(&**text));
        let shown = shown::text(text);
        let Some(named) = attributes::named(&name, &shown, value, dictionary, report) else { continue };
        let attribute = dictionary.at(&named.oid);
        let why = if attribute.is_some_and(|attribute| attribute.encrypted()) {
            "it is hidden under a secret"
        } else if named.oid.depth() == 1 && is_ours(named.oid.first()) {
            "the rounds of a conversation differ in it"
        } else if attribute.is_some_and(|attribute| attribute.data_type().is_container()) {
            "it holds attributes and no value"
        } else {
            selectors.push(Selector { oid: named.oid, tag: named.tag, any_shape: true });
            continue;
        };
        report.error(value.span(), format!("`{shown}` cannot be hashed: {why}"));
    }
    selectors
}

/// Its servers in the order of the text.
fn members<'d>(
    section: &Section<'d>,
    balance: Balance,
    servers: &Defined<'d, RemoteServerId>,
    report: &mut Report,
) -> Vec<Member> {
    let expected = format!("an array of 1 to {MEMBERS_MAX}, each {MEMBER}");
    let Some(value) = section.value("remote_servers") else {
        section.missing("remote_servers", report);
        return Vec::new();
    };
    let values = value.get_ref().as_array().filter(|values| (1..=MEMBERS_MAX).contains(&values.len()));
    let Some(values) = values else {
        section.refuse("remote_servers", &expected, value, report);
        return Vec::new();
    };
    let mut members: Vec<Member> = Vec::with_capacity(values.len());
    for value in values {
        let member = match value.get_ref() {
            DeValue::String(_) => {
                let server = servers.look_up("remote_servers", value, report);
                server.map(|server| Member { server, weight: 1 })
            }
            DeValue::Table(table) => member(table, value.span(), balance, servers, report),
            other @ (DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)) => {
                let found = kind(other);
                report.error(value.span(), format!("`remote_servers` must hold {MEMBER}, found {found}"));
                None
            }
        };
        let Some(member) = member else { continue };
        if members.iter().any(|there| there.server == member.server) {
            let message = "this server is in `remote_servers` already: `weight` gives it a larger share";
            report.error(value.span(), message.into());
            continue;
        }
        members.push(member);
    }
    members
}

fn member<'d>(
    table: &'d DeTable<'d>,
    span: Range<usize>,
    balance: Balance,
    servers: &Defined<'d, RemoteServerId>,
    report: &mut Report,
) -> Option<Member> {
    let section = Section::open(&keys::POOL_MEMBER, table, span, report);
    if section.value("name").is_none() {
        section.missing("name", report);
    }
    let server = servers.look_up_at("name", &section, report);
    let weight = section.integer("weight", 1..=WEIGHT_MAX, report).unwrap_or(1);
    if balance == Balance::Failover
        && let Some(place) = section.key_span("weight")
    {
        report.warning(place, "`weight` does nothing with `balance = \"failover\"`".into());
    }
    Some(Member { server: server?, weight: weight as u32 })
}
