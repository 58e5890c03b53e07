//! `[[client]]`.

use super::listen::is_public;
use super::{Names, Placed, nas};
use crate::document::Report;
use crate::keys;
use crate::secret_source;
use crate::section::{Section, found};
use crate::shown;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use ulna_core::client::{Client, ClientsBuilder, Prefix, PrefixError};
use ulna_core::configuration::{Listener, Packets};
use ulna_core::forward::NasesBuilder;
use ulna_core::packet::{Secret, Secrets};

/// Up to here a secret is warned of: the RADIUS working group's draft on deprecating insecure practices asks for
/// that, and for much longer ones than RFC 2865 §3's 16.
const SHORT_SECRET_OCTETS: usize = 12;

/// All clients, and the same as NASes that CoA goes on to.
pub fn clients(
    file: &Section<'_>,
    listeners: &[Placed<Listener>],
    hops_max: usize,
    report: &mut Report,
) -> (ClientsBuilder, NasesBuilder) {
    let mut builder = ClientsBuilder::default();
    let mut nases = nas::Lowered::new(hops_max);
    let mut names = Names::default();
    let mut unsigned = Vec::new();
    let sections = file.tables("client", &keys::CLIENT, report);
    if sections.is_empty() && file.value("client").is_none() && file.value("client_rule").is_none() {
        report.warning(
            file.span(),
            "there is no [[client]] and no [[client_rule]]: every packet will be discarded".into(),
        );
    }
    for section in &sections {
        let name = section.name("name", report);
        if let Some(name) = &name {
            names.add("client", name, report);
        }
        let secrets = secrets(section, report);
        let require = section.boolean("require_message_authenticator", report).unwrap_or(false);
        let limit = section.boolean("limit_proxy_state", report).unwrap_or(true);
        let prefixes = prefixes(section, report);
        let nas = nases.nas(section, report);
        let (Some(name), Some(secrets)) = (name, secrets) else { continue };
        nases.add(name.get_ref(), &secrets, nas, report);
        if !require {
            unsigned.push(Spanned::new(section.span(), *name.get_ref()));
        }
        let client = builder.add(Client {
            name: (*name.get_ref()).into(),
            secrets,
            require_message_authenticator: require,
            limit_proxy_state: limit,
        });
        for prefix in prefixes {
            report.source.network(name.get_ref(), prefix.value);
            if let Err(duplicate) = builder.network(prefix.value, client) {
                let owner = shown::text(&builder.client(duplicate.owner).name);
                let message = format!(
                    "network {} of client \"{}\" already belongs to client \"{owner}\"",
                    duplicate.prefix,
                    shown::text(name.get_ref())
                );
                report.error(prefix.span, message);
            }
        }
    }
    warn_of_unsigned("client", &unsigned, listeners, report);
    (builder, nases.finish())
}

pub fn prefixes(section: &Section<'_>, report: &mut Report) -> Vec<Placed<Prefix>> {
    let expected = "a network such as \"192.0.2.0/24\", or an array of them";
    let mut prefixes = Vec::new();
    for value in section.items("network", expected, report) {
        match value.get_ref().as_str().map(str::parse::<Prefix>) {
            Some(Ok(prefix)) => prefixes.push(Placed { value: prefix, span: value.span() }),
            Some(Err(error @ (PrefixError::HostBits { .. } | PrefixError::Length { .. }))) => {
                report.error(value.span(), format!("`network` {}: {error}", found(value.get_ref())));
            }
            Some(Err(PrefixError::Address)) | None => {
                let expected = "a network such as \"192.0.2.0/24\" or \"2001:db8::/32\", or an address";
                section.refuse("network", expected, value, report);
            }
        }
    }
    prefixes
}

/// One, or `[NEW, OLD]` while rotating.
pub fn secrets(section: &Section<'_>, report: &mut Report) -> Option<Secrets> {
    let expected = format!("{}, or [NEW, OLD] while rotating", secret_source::EXPECTED);
    let Some(value) = section.value("secret") else {
        section.missing("secret", report);
        return None;
    };
    // Errors stand at the key: at the value, what is shown would end with it.
    let place = section.key_span("secret").unwrap_or(value.span());
    let Some(values) = value.get_ref().as_array() else {
        return secret(value, &expected, place, report).map(Secrets::one);
    };
    if values.len() != 2 {
        let found = values.len();
        report.error(place, format!("`secret` must be {expected}, found an array of {found}"));
        return None;
    }
    let expected = format!("{} in [NEW, OLD]", secret_source::EXPECTED);
    let [newest, old] = [0, 1].map(|number| secret(&values[number], &expected, place.clone(), report));
    Some(Secrets::rotating(newest?, old?))
}

/// One secret, shared with a peer.
pub fn secret(
    value: &Spanned<DeValue<'_>>,
    expected: &str,
    place: Range<usize>,
    report: &mut Report,
) -> Option<Secret> {
    let of_a_table = |table: &DeTable<'_>| table.contains_key("table") || table.contains_key("key");
    if value.get_ref().as_table().is_some_and(of_a_table) {
        let message = "a `secret` from a table with keys is for a [[client_rule]]";
        report.error(place, message.into());
        return None;
    }
    let octets = secret_source::read("secret", expected, value, &place, &[], report)?;
    match Secret::new(&octets) {
        Ok(secret) => {
            if octets.len() <= SHORT_SECRET_OCTETS {
                let message = format!(
                    "a `secret` of {SHORT_SECRET_OCTETS} octets or fewer can be guessed; use 16 or more"
                );
                report.warning(place, message);
            }
            Some(secret)
        }
        // RFC 2865 §3: the secret must not be empty, or packets could be forged by everybody.
        Err(_) => {
            report.error(place, "`secret` must not be empty".into());
            None
        }
    }
}

/// One warning for all: a file of 10 000 clients would else bury every other.
pub fn warn_of_unsigned(
    what: &str,
    unsigned: &[Spanned<&str>],
    listeners: &[Placed<Listener>],
    report: &mut Report,
) {
    let public = listeners
        .iter()
        .map(|listener| &listener.value)
        .find(|listener| listener.packets.contains(Packets::ACCESS) && is_public(listener.address.ip()));
    if let (Some(first), Some(listener)) = (unsigned.first(), public) {
        let others = match unsigned.len() - 1 {
            0 => String::new(),
            1 => " and 1 other".into(),
            others => format!(" and {others} others"),
        };
        let message = format!(
            "{what} \"{}\"{others} may send unsigned Access-Requests, and \"{}\" listens on {}: set \
             `require_message_authenticator = true` where the client signs",
            shown::text(first.get_ref()),
            shown::text(&listener.name),
            listener.address
        );
        report.warning(first.span(), message);
    }
}
