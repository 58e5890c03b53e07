//! `[[remote_server]]`: who decides where we do not.

use super::client::secret;
use super::defined::Defined;
use super::listen::is_public;
use crate::document::Report;
use crate::keys;
use crate::secret_source;
use crate::section::Section;
use crate::shown;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use toml::Spanned;
use ulna_core::configuration::Protocol;
use ulna_core::forward::{RemoteAddress, RemoteServer, RemoteServerId, Role, StatusCheck};
use ulna_core::packet::Secret;

/// As many as `requests_max` lets wait for anything, if nothing is said.
const OUTSTANDING_MAX: usize = 16_384;
/// A whole port's Identifiers, 256 times.
const OUTSTANDING_LIMIT: usize = 65_536;

const RESPONSE_WINDOW: Duration = Duration::from_secs(20);
const ZOMBIE_PERIOD: Duration = Duration::from_secs(40);
const REVIVE_INTERVAL: Duration = Duration::from_secs(120);
const STATUS_INTERVAL: Duration = Duration::from_secs(30);
const RESOLVE_INTERVAL: Duration = Duration::from_secs(60);

pub fn remote_servers<'d>(
    file: &Section<'d>,
    protocol: &Protocol,
    report: &mut Report,
) -> (Vec<RemoteServer>, Defined<'d, RemoteServerId>) {
    let mut servers = Vec::new();
    let mut defined = Defined::new("remote_server");
    let mut unsigned = Vec::new();
    for section in &file.tables("remote_server", &keys::REMOTE_SERVER, report) {
        let name = section.name("name", report);
        let lowered = remote_server(section, protocol, report);
        let Some(name) = name else { continue };
        let Ok(number) = u16::try_from(defined.len()) else {
            report.error(section.span(), "more than 65536 remote servers".into());
            break;
        };
        if !defined.add(&name, RemoteServerId(number), report) {
            continue;
        }
        let Some(server) = lowered else { continue };
        // Where a name leads nobody knows now.
        let may_be_public = match &server.address {
            RemoteAddress::At(address) => is_public(address.ip()),
            RemoteAddress::Named { name, .. } => &**name != "localhost",
        };
        if !server.require_message_authenticator && may_be_public {
            unsigned.push(Spanned::new(section.span(), *name.get_ref()));
        }
        servers.push(RemoteServer { name: (*name.get_ref()).into(), ..server });
    }
    warn_of_unsigned(&unsigned, report);
    (servers, defined)
}

/// One without its name; `None` if something was reported that it cannot be without.
fn remote_server(section: &Section<'_>, protocol: &Protocol, report: &mut Report) -> Option<RemoteServer> {
    section.word("transport", &["udp"], &["tcp", "tls"], report);
    let address = address(section, report);
    let source_address = source_address(section, address.as_ref(), report);
    let secret = shared_secret(section, report);
    let status_check = match section.word("status_check", &["status-server", "none"], &[], report) {
        Some("status-server") => StatusCheck::StatusServer,
        // RFC 5997 §4.1: off by default for each server, as one that does not know it never answers.
        Some(_) | None => StatusCheck::None,
    };
    if status_check == StatusCheck::None
        && let Some(place) = section.key_span("status_interval")
    {
        let message = "`status_interval` needs `status_check = \"status-server\"`: nothing is asked without";
        report.error(place, message.into());
    }
    if let (Some(RemoteAddress::At(_)), Some(place)) = (&address, section.key_span("resolve_interval")) {
        let message = "`resolve_interval` needs an `address` that is a name: nothing is asked without";
        report.error(place, message.into());
    }
    let most = Duration::from_secs(3_600);
    let mut span = |key: &str, least: u64, default: Duration| {
        section.duration(key, Duration::from_millis(least)..=most, report).unwrap_or(default)
    };
    // Where requests are given up sooner, a server is suspected by then.
    let response_window = span("response_window", 10, RESPONSE_WINDOW.min(protocol.request_timeout));
    let zombie_period = span("zombie_period", 10, ZOMBIE_PERIOD);
    let revive_interval = span("revive_interval", 10, REVIVE_INTERVAL);
    let status_interval = span("status_interval", 100, STATUS_INTERVAL);
    let resolve_interval = span("resolve_interval", 1_000, RESOLVE_INTERVAL);
    if response_window > protocol.request_timeout {
        let place = section.value("response_window").map_or(section.span(), Spanned::span);
        let message =
            "`response_window` must not be longer than `request_timeout`: requests are given up by then";
        report.error(place, message.into());
    }
    let outstanding_max = section.integer("outstanding_max", 1..=OUTSTANDING_LIMIT, report);
    let require = section.boolean("require_message_authenticator", report);
    Some(RemoteServer {
        role: Role::Server,
        name: "".into(),
        address: address?,
        source_address,
        secret: secret?,
        require_message_authenticator: require.unwrap_or(true),
        status_check,
        response_window,
        zombie_period,
        revive_interval,
        status_interval,
        outstanding_max: outstanding_max.unwrap_or(OUTSTANDING_MAX) as u32,
        health: std::sync::Arc::default(),
        resolve_interval,
        resolution: std::sync::Arc::default(),
    })
}

/// Where it listens.
fn address(section: &Section<'_>, report: &mut Report) -> Option<RemoteAddress> {
    let expected = "an address or a name with port such as \"192.0.2.1:1812\", \"[2001:db8::1]:1812\" or \
                    \"radius.example.org:1812\"";
    let Some(value) = section.value("address") else {
        section.missing("address", report);
        return None;
    };
    let Some(text) = value.get_ref().as_str() else {
        section.refuse("address", expected, value, report);
        return None;
    };
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => {
            section.refuse("address", "with the port that the server listens on", value, report);
            None
        }
        Ok(address) if is_host(address.ip()) => Some(RemoteAddress::At(address)),
        Ok(_) => {
            section.refuse("address", "the address of one host", value, report);
            None
        }
        Err(_) => {
            let named = named(text);
            if named.is_none() {
                section.refuse("address", expected, value, report);
            }
            named
        }
    }
}

/// Whether it is a host that one can send to, and be answered from.
pub fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()),
        // IPv6 sockets take no IPv4.
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_multicast() || v6.to_ipv4_mapped().is_some()),
    }
}

/// A host's name with a port.
fn named(text: &str) -> Option<RemoteAddress> {
    let (name, port) = text.split_once(':')?;
    let port = Some(port).filter(|port| port.bytes().all(|digit| digit.is_ascii_digit()))?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    is_host_name(name).then(|| RemoteAddress::Named { name: name.to_ascii_lowercase().into(), port })
}

/// RFC 1123 §2.1: letters, digits and hyphens in labels, and a last label that no resolver takes for the end of an IPv4 address. With
/// a dot behind it, or without.
fn is_host_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        let allowed = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // Resolvers read "10", "192.0.2.01" and "0x7f000001" as addresses.
    let is_number = |label: &str| {
        let hexadecimal = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
        label.bytes().all(|octet| octet.is_ascii_digit())
            || hexadecimal.is_some_and(|digits| digits.bytes().all(|octet| octet.is_ascii_hexdigit()))
    };
    name.len() <= 253 && name.split('.').all(is_label) && !name.rsplit('.').next().is_some_and(is_number)
}

/// The address of ours that requests to it leave from.
fn source_address(section: &Section<'_>, to: Option<&RemoteAddress>, report: &mut Report) -> Option<IpAddr> {
    let value = section.value("source_address")?;
    let address = value.get_ref().as_str().and_then(|text| text.parse::<IpAddr>().ok());
    let Some(address) = address.filter(|address| is_host(*address)) else {
        section.refuse("source_address", "an address of this host such as \"192.0.2.1\"", value, report);
        return None;
    };
    if matches!(to, Some(RemoteAddress::At(to)) if to.is_ipv4() != address.is_ipv4()) {
        let message = "`source_address` and `address` must both be IPv4 or both IPv6";
        report.error(value.span(), message.into());
        return None;
    }
    Some(address)
}

/// One: what a server has two of while it changes, it takes both of.
fn shared_secret(section: &Section<'_>, report: &mut Report) -> Option<Secret> {
    let Some(value) = section.value("secret") else {
        section.missing("secret", report);
        return None;
    };
    // Errors stand at the key: at the value, what is shown would end with it.
    let place = section.key_span("secret").unwrap_or(value.span());
    secret(value, secret_source::EXPECTED, place, report)
}

/// One warning for all.
fn warn_of_unsigned(unsigned: &[Spanned<&str>], report: &mut Report) {
    let Some(first) = unsigned.first() else { return };
    let others = match unsigned.len() - 1 {
        0 => String::new(),
        1 => " and 1 other".into(),
        others => format!(" and {others} others"),
    };
    let message = format!(
        "replies of remote server \"{}\"{others} are believed unsigned, and whoever is between may forge them: set \
         `require_message_authenticator = true` where it signs",
        shown::text(first.get_ref())
    );
    report.warning(first.span(), message);
}
