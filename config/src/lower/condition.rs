//! `when`: a table of names, each with a value that is compared or with a form such as `{ regex = "…" }`.

use super::attributes;
use super::rule::RuleList;
use super::server::Asking;
use crate::document::Report;
use crate::keys;
use crate::section::{Section, found, integer, kind};
use crate::shown;
use std::borrow::Cow;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use ulna_core::attributes::text::Named;
use ulna_core::client::Prefix;
use ulna_core::dictionary::nearest;
use ulna_core::packet::DataType;
use ulna_core::policy::{
    Case, Comparison, Condition, Hours, Pattern, Question, ReplyKind, SESSION_VALUE_OCTETS_MAX, Selector,
};

type Value<'d> = Spanned<DeValue<'d>>;
type Name<'d> = Spanned<Cow<'d, str>>;

/// What the patterns of all rules may take together.
const PATTERNS_OCTETS_MAX: usize = 16 << 20;

/// Names in lower case, which are ours; `session.` has any name behind it.
const OWN_NAMES: &[&str] = &["realm", "client", "listener", "network", "time", "reply", "session.NAME"];

/// A condition's value, of which each form that it may have is known.
enum Form<'d> {
    /// One of these, as they stand there.
    Literals(Vec<&'d Value<'d>>),
    /// `regex` or `glob`.
    Pattern { key: &'static str, text: &'d str, value: &'d Value<'d> },
    /// It is there.
    Present,
}

/// The conditions of a rule, in the order of the text; none if it has no `when`. What is wrong has been reported and is
/// left out.
pub fn conditions<'d>(
    section: &Section<'d>,
    list: RuleList,
    asking: &mut Asking<'d, '_>,
    report: &mut Report,
) -> Vec<Condition> {
    let Some(value) = section.value("when") else { return Vec::new() };
    let DeValue::Table(table) = value.get_ref() else {
        let expected = "a table such as { realm = \"example.org\", NAS-Port-Type = \"Virtual\" }";
        section.refuse("when", expected, value, report);
        return Vec::new();
    };
    if table.is_empty() {
        report.error(value.span(), "`when` has no condition: a rule without `when` always matches".into());
    }
    let names = attributes::in_order(table);
    names.into_iter().filter_map(|(name, value)| condition(name, value, list, asking, report)).collect()
}

/// Where each of them stands, with its name.
pub fn places(section: &Section<'_>) -> Vec<std::ops::Range<usize>> {
    let table = section.value("when").and_then(|value| value.get_ref().as_table());
    let conditions = table.into_iter().flat_map(attributes::in_order);
    conditions.map(|(name, value)| name.span().start..value.span().end).collect()
}

fn condition<'d>(
    name: &'d Name<'d>,
    value: &'d Value<'d>,
    list: RuleList,
    asking: &mut Asking<'d, '_>,
    report: &mut Report,
) -> Option<Condition> {
    if name.get_ref() == "session" {
        let message = "`session` expects a name behind it, all in quotes: \"session.NAME\" = …";
        report.error(name.span(), message.into());
        return None;
    }
    let own = name.get_ref().starts_with(|letter: char| letter.is_ascii_lowercase());
    let named = if own {
        None
    } else {
        Some(attributes::named(name, &shown::key(name), value, asking.dictionary, report)?)
    };
    let listed = matches!(&**name.get_ref(), "network" | "time");
    let (form, negated) = form(name.get_ref(), value, listed, report)?;
    let question = match named {
        Some(named) => {
            let comparison = attribute(name.get_ref(), &named, &form, value, asking, report)?;
            let container = named.attribute.is_some_and(|attribute| attribute.data_type().is_container());
            let any_shape = named.attribute.is_none() || container;
            Question::Attribute(Selector { oid: named.oid, tag: named.tag, any_shape }, comparison)
        }
        None => own_question(name, &form, value, list, asking, report)?,
    };
    Some(Condition { question, negated })
}

/// What form a value has, and whether the answer must be no.
fn form<'d>(name: &str, value: &'d Value<'d>, listed: bool, report: &mut Report) -> Option<(Form<'d>, bool)> {
    let shown = shown::text(name);
    match value.get_ref() {
        DeValue::Table(table) => return table_form(name, table, value, listed, report),
        DeValue::Array(values) if listed => return literals(name, values, value, report),
        DeValue::Array(_) => {
            let message = format!(
                "`{shown}` is compared with one value or a form, found an array: write {{ one_of = […] }}"
            );
            report.error(value.span(), message);
            return None;
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {}
    }
    Some((Form::Literals(vec![value]), false))
}

fn table_form<'d>(
    name: &str,
    table: &'d DeTable<'d>,
    value: &'d Value<'d>,
    listed: bool,
    report: &mut Report,
) -> Option<(Form<'d>, bool)> {
    let shown = shown::text(name);
    let expected = "one of `regex`, `glob`, `present`, `one_of` and `not`";
    let mut entries = table.iter();
    let (Some((key, inner)), None) = (entries.next(), entries.next()) else {
        let message =
            format!("`{shown}` expects a table with {expected}, found one with {} keys", table.len());
        report.error(value.span(), message);
        return None;
    };
    let refuse = |expected: &str, report: &mut Report| {
        let key = shown::key(key);
        let found = found(inner.get_ref());
        report.error(inner.span(), format!("`{key}` of `{shown}` must be {expected}, found {found}"));
        None
    };
    let pattern = |key: &'static str, report: &mut Report| match inner.get_ref() {
        DeValue::String(text) => Some((Form::Pattern { key, text, value: inner }, false)),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => refuse("a text", report),
    };
    match &**key.get_ref() {
        "regex" => pattern("regex", report),
        "glob" => pattern("glob", report),
        "present" => match inner.get_ref() {
            DeValue::Boolean(present) => Some((Form::Present, !present)),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => refuse("true or false", report),
        },
        "one_of" => match inner.get_ref() {
            DeValue::Array(values) => literals(name, values, inner, report),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => refuse("an array of values", report),
        },
        "not" => form(name, inner, listed, report).map(|(form, negated)| (form, !negated)),
        unknown => {
            let meant = nearest(unknown, keys::FORMS.iter().copied());
            let meant = meant.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
            let message = format!("`{shown}` expects {expected}, found `{}`{meant}", shown::key(key));
            report.error(key.span(), message);
            None
        }
    }
}

/// Literals of an array, which hold no forms.
fn literals<'d>(
    name: &str,
    values: &'d [Value<'d>],
    array: &Value<'_>,
    report: &mut Report,
) -> Option<(Form<'d>, bool)> {
    let shown = shown::text(name);
    if values.is_empty() {
        report.error(array.span(), format!("`{shown}` is compared with nothing: the array is empty"));
        return None;
    }
    let nested = values.iter().find(|value| matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_)));
    if let Some(nested) = nested {
        let message = format!(
            "`{shown}` expects values in an array, found {}: forms hold it, not it them",
            kind(nested.get_ref())
        );
        report.error(nested.span(), message);
        return None;
    }
    Some((Form::Literals(values.iter().collect()), false))
}

/// What an attribute is compared with: literals of its type, or patterns where it is text or octets.
fn attribute(
    name: &str,
    named: &Named<'_>,
    form: &Form<'_>,
    value: &Value<'_>,
    asking: &mut Asking<'_, '_>,
    report: &mut Report,
) -> Option<Comparison> {
    let shown = shown::text(name);
    let known = asking.dictionary.at(&named.oid);
    let hidden = known.is_some_and(|attribute| attribute.encrypted());
    let data_type = known.map(|attribute| attribute.data_type());
    let container = data_type.is_some_and(DataType::is_container);
    if !matches!(form, Form::Present) && (hidden || container) {
        let why = if hidden { "it is hidden under a secret" } else { "it holds attributes and no value" };
        report.mask(value);
        report.error(value.span(), format!("of `{shown}` only `present` can be asked: {why}"));
        return None;
    }
    let values = match form {
        Form::Present => return Some(Comparison::Present),
        Form::Pattern { key, text, value } => {
            let octets = named.attribute.is_none()
                || matches!(data_type, Some(DataType::Text | DataType::Octets { .. }));
            if !octets {
                let data_type = data_type.map_or(String::new(), |data_type| data_type.to_string());
                let message = format!(
                    "`{key}` needs text or octets, and `{shown}` is {data_type}: compare it with values, \
                     several in {{ one_of = […] }}"
                );
                report.error(value.span(), message);
                return None;
            }
            return pattern(key, text, Case::Exact, value, asking, report);
        }
        Form::Literals(values) => values,
    };
    let by_name = named.attribute.and(data_type);
    let is_address =
        matches!(by_name, Some(DataType::Ipv4Address | DataType::Ipv6Address | DataType::EitherAddress));
    if is_address {
        let networks: Option<Box<[Prefix]>> = all(values, |value| address(name, named, value, report));
        return networks.map(Comparison::Within);
    }
    let octets: Vec<Box<[u8]>> =
        all(values, |value| attributes::octets_of(name, named, value, report).map(Into::into))?;
    Some(match by_name {
        Some(DataType::Ipv4Prefix | DataType::Ipv6Prefix) => Comparison::one_of_prefixes(octets),
        Some(_) | None => Comparison::one_of(octets),
    })
}

/// All of them, or `None` if one is wrong; each that is has been reported.
fn all<'v, 'd: 'v, T, C: FromIterator<T>>(
    values: &[&'v Value<'d>],
    mut lower: impl FnMut(&'v Value<'d>) -> Option<T>,
) -> Option<C> {
    let lowered: Vec<Option<T>> = values.iter().map(|value| lower(value)).collect();
    lowered.into_iter().collect()
}

/// An address, or a network in which an address may be.
fn address(name: &str, named: &Named<'_>, value: &Value<'_>, report: &mut Report) -> Option<Prefix> {
    let text = value.get_ref().as_str().filter(|text| text.contains('/'));
    let Some(text) = text else {
        let octets = attributes::octets_of(name, named, value, report)?;
        let host = match <[u8; 4]>::try_from(&*octets) {
            Ok(octets) => std::net::IpAddr::from(octets),
            Err(_) => <[u8; 16]>::try_from(&*octets).expect("an address has 4 or 16 octets").into(),
        };
        return Some(Prefix::host(host));
    };
    let data_type = named.attribute.map(|attribute| attribute.data_type());
    let fits = |prefix: &Prefix| match data_type {
        Some(DataType::Ipv4Address) => prefix.address().is_ipv4(),
        Some(DataType::Ipv6Address) => prefix.address().is_ipv6(),
        Some(_) | None => true,
    };
    let shown = shown::text(name);
    match text.parse::<Prefix>() {
        Ok(prefix) if fits(&prefix) => return Some(prefix),
        Ok(_) => {
            let message =
                format!("`{shown}` holds no address of this network, found {}", found(value.get_ref()));
            report.error(value.span(), message);
        }
        Err(error) => {
            report.error(value.span(), format!("`{shown}` expects an address or a network: {error}"));
        }
    }
    None
}

/// A question about something that is no attribute.
fn own_question<'d>(
    name: &'d Name<'d>,
    form: &Form<'d>,
    value: &'d Value<'d>,
    list: RuleList,
    asking: &mut Asking<'d, '_>,
    report: &mut Report,
) -> Option<Question> {
    let text: &'d str = name.get_ref();
    if list == RuleList::Client && (matches!(text, "client" | "reply") || text.starts_with("session.")) {
        let shown = shown::key(name);
        let message = format!("`{shown}` is not known yet where a client rule decides who a client is");
        report.error(name.span(), message);
        return None;
    }
    if list == RuleList::Coa && text.starts_with("session.") {
        let message = format!(
            "`{}` is not there for rules of [[server.coa]]: nothing is remembered of NASes",
            shown::key(name)
        );
        report.error(name.span(), message);
        return None;
    }
    match text {
        "realm" => Some(Question::Realm(words(text, form, Case::Folded, asking, report)?)),
        "client" | "listener" => {
            let comparison = words(text, form, Case::Exact, asking, report)?;
            if let Form::Literals(values) = form {
                let names = values.iter().filter_map(|value| Some((value.get_ref().as_str()?, value.span())));
                let table = if text == "client" { &mut asking.clients } else { &mut asking.listeners };
                table.extend(names);
            }
            let question = if text == "client" { Question::Client } else { Question::Listener };
            Some(question(comparison))
        }
        "network" => {
            let expected = "a network such as \"192.0.2.0/24\" or \"2001:db8::/32\", or an array of them";
            listed(text, form, value, expected, report).map(|networks| Question::Network(networks.into()))
        }
        "time" => {
            let expected =
                "days and hours such as \"Mo-Fr 08:00-18:00\" or \"22:00-06:00 +01:00\", or an array of them";
            listed::<Hours>(text, form, value, expected, report).map(|hours| Question::Time(hours.into()))
        }
        "reply" if list != RuleList::Reply => {
            report.error(name.span(), "`reply` is only there for rules of [[server.reply]]".into());
            None
        }
        "reply" => {
            let kind = match form {
                Form::Literals(values) => match values[..] {
                    [only] => only.get_ref().as_str().and_then(|word| match word {
                        "accept" => Some(ReplyKind::Accept),
                        "reject" => Some(ReplyKind::Reject),
                        "challenge" => Some(ReplyKind::Challenge),
                        _ => None,
                    }),
                    _ => None,
                },
                Form::Pattern { .. } | Form::Present => None,
            };
            if kind.is_none() {
                let found = found(value.get_ref());
                let message =
                    format!("`reply` must be \"accept\", \"reject\" or \"challenge\", found {found}");
                report.error(value.span(), message);
            }
            kind.map(Question::Reply)
        }
        _ => match text.strip_prefix("session.") {
            Some(session) => {
                asking.sessions_asked.push((session, name.span()));
                let comparison = words(text, form, Case::Exact, asking, report)?;
                Some(Question::Session(session.into(), comparison))
            }
            None => {
                let expected =
                    OWN_NAMES.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                let meant = nearest(text, OWN_NAMES.iter().copied());
                let meant = meant.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
                let shown = shown::key(name);
                let message = format!(
                    "unknown name `{shown}`, expected one of {expected}; attributes begin with a capital letter{meant}"
                );
                report.error(name.span(), message);
                None
            }
        },
    }
}

/// What a name of ours is compared with that stands for a text.
fn words(
    name: &str,
    form: &Form<'_>,
    case: Case,
    asking: &mut Asking<'_, '_>,
    report: &mut Report,
) -> Option<Comparison> {
    match form {
        Form::Present => Some(Comparison::Present),
        Form::Pattern { key, text, value } => pattern(key, text, case, value, asking, report),
        Form::Literals(values) => {
            let octets: Vec<Box<[u8]>> = all(values, |value| {
                let text = session_value(value.get_ref());
                if text.is_none() {
                    let found = found(value.get_ref());
                    let message = format!(
                        "`{}` expects a text of at most {SESSION_VALUE_OCTETS_MAX} octets or a form, found {found}",
                        shown::text(name)
                    );
                    report.error(value.span(), message);
                }
                text.map(|text| match case {
                    Case::Exact => text.into_bytes().into(),
                    Case::Folded => text.to_ascii_lowercase().into_bytes().into(),
                })
            })?;
            Some(Comparison::one_of(octets))
        }
    }
}

/// A value as a session keeps it: a text, or a number in decimal.
pub fn session_value(value: &DeValue<'_>) -> Option<String> {
    let text = match value {
        DeValue::String(text) => text.to_string(),
        number @ DeValue::Integer(_) => integer(number)?.to_string(),
        DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => return None,
    };
    (text.len() <= SESSION_VALUE_OCTETS_MAX).then_some(text)
}

/// Literals that are written as texts of their own kind, one or several.
fn listed<T: std::str::FromStr>(
    name: &str,
    form: &Form<'_>,
    value: &Value<'_>,
    expected: &str,
    report: &mut Report,
) -> Option<Vec<T>> {
    let Form::Literals(values) = form else {
        report.error(value.span(), format!("`{name}` must be {expected}, found another form"));
        return None;
    };
    all(values, |value| {
        let parsed = value.get_ref().as_str().and_then(|text| text.parse().ok());
        if parsed.is_none() {
            let found = found(value.get_ref());
            report.error(value.span(), format!("`{name}` must be {expected}, found {found}"));
        }
        parsed
    })
}

fn pattern(
    key: &str,
    text: &str,
    case: Case,
    value: &Value<'_>,
    asking: &mut Asking<'_, '_>,
    report: &mut Report,
) -> Option<Comparison> {
    let compiled = if key == "regex" { Pattern::regex(text, case) } else { Pattern::glob(text, case) };
    match compiled {
        Ok(pattern) => {
            let before = asking.patterns_octets;
            asking.patterns_octets += pattern.octets();
            if before <= PATTERNS_OCTETS_MAX && asking.patterns_octets > PATTERNS_OCTETS_MAX {
                let message = format!(
                    "from this `{key}` on the patterns of all rules take more than {PATTERNS_OCTETS_MAX} octets"
                );
                report.error(value.span(), message);
            }
            Some(Comparison::Pattern(pattern))
        }
        Err(error) => {
            report.error(value.span(), format!("`{key}` is {error}"));
            None
        }
    }
}
