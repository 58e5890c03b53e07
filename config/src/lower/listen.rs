//! `[[listen]]`: one listener for each address.

use super::defined::Defined;
use super::{Names, Placed};
use crate::document::Report;
use crate::keys;
use crate::section::Section;
use crate::shown;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;
use ulna_core::ServerId;
use ulna_core::configuration::{Listener, Packets, RuntimeSettings, StreamSettings, Transport};

/// Far more than anybody has; each is a socket in every network thread.
const LISTENERS_MAX: usize = 1_024;

/// A socket's number has 16 bits.
const SOCKETS_MAX: usize = 65_536;

pub fn listeners(
    file: &Section<'_>,
    servers: &Defined<'_, ServerId>,
    report: &mut Report,
) -> Vec<Placed<Listener>> {
    let mut listeners: Vec<Placed<Listener>> = Vec::new();
    let mut names = Names::default();
    let sections = file.tables("listen", &keys::LISTEN, report);
    if sections.is_empty() && file.value("listen").is_none() {
        report.error(file.span(), "there is no [[listen]]: nothing to serve".into());
    }
    for section in &sections {
        let name = section.name("name", report);
        if let Some(name) = &name {
            names.add("listener", name, report);
        }
        let transport = transport(section, report);
        let packets = packets(section, report);
        let server = server(section, servers, report);
        let connected = section.boolean("connected", report).unwrap_or(false);
        let expected = "an address with port such as \"0.0.0.0:1812\", or an array of them";
        for value in section.items("address", expected, report) {
            let Some(address) = address(section, value, report) else { continue };
            // RFC 6613 §2.6: the same port of another transport is another service.
            let is_same = |there: &&Placed<Listener>| there.value.transport.name() == transport.name();
            let there = listeners
                .iter()
                .filter(is_same)
                .find(|there| there.value.address == address && address.port() != 0);
            if let Some(there) = there {
                let message =
                    format!("{address} is already listened on by \"{}\"", shown::text(&there.value.name));
                report.error(value.span(), message);
                continue;
            }
            // Whichever of them is bound second would find its address in use.
            let others = listeners.iter().filter(is_same);
            if let Some(there) = others.into_iter().find(|there| overlap(there.value.address, address)) {
                let Listener { name, address: other, .. } = &there.value;
                let name = shown::text(name);
                let message = format!("{address} and {other} of \"{name}\" overlap: only one can be bound");
                report.error(value.span(), message);
                continue;
            }
            let (Some(name), Some(packets), Some(server)) = (&name, packets, server) else { continue };
            let name = (*name.get_ref()).into();
            let value_of = Listener { name, address, transport, packets, server, connected };
            listeners.push(Placed { value: value_of, span: value.span() });
        }
    }
    if let Some(beyond) = listeners.get(LISTENERS_MAX) {
        report.error(beyond.span.clone(), format!("more than {LISTENERS_MAX} listening addresses"));
    }
    let mut connections = 0;
    for Placed { value, span } in &listeners {
        if let Transport::Tcp(settings) = value.transport {
            connections += settings.connections_max as usize;
            if connections > CONNECTIONS_MAX {
                report
                    .error(span.clone(), format!("more than {CONNECTIONS_MAX} connections of all listeners"));
                break;
            }
        }
    }
    listeners
}

/// UDP where nothing is said. What streams alone have is refused there.
fn transport(section: &Section<'_>, report: &mut Report) -> Transport {
    let word = section.word("transport", &["udp", "tcp"], &["tls"], report);
    let mut settings = StreamSettings::default();
    let mut number = |key: &str, into: &mut u32| {
        if let Some(number) = section.integer(key, 1..=CONNECTIONS_MAX, report) {
            *into = number as u32;
        }
    };
    number("connections_max", &mut settings.connections_max);
    number("connections_per_address_max", &mut settings.per_address_max);
    let mut span = |key: &str, into: &mut Duration| {
        let range = Duration::from_millis(100)..=Duration::from_secs(86_400);
        if let Some(span) = section.duration(key, range, report) {
            *into = span;
        }
    };
    span("idle_timeout", &mut settings.idle_timeout);
    span("read_timeout", &mut settings.read_timeout);
    span("write_timeout", &mut settings.write_timeout);
    if let Some(number) = section.integer("packets_per_second", 0..=PACKETS_PER_SECOND_MAX, report) {
        settings.packets_per_second = number as u32;
    }
    if word == Some("tcp") {
        return Transport::Tcp(settings);
    }
    for key in STREAM_KEYS {
        if let Some(place) = section.key_span(key) {
            report.error(place, format!("`{key}` needs `transport = \"tcp\"`: datagrams have no connection"));
        }
    }
    Transport::Udp
}

/// What streams alone have.
const STREAM_KEYS: [&str; 6] = [
    "connections_max",
    "connections_per_address_max",
    "idle_timeout",
    "read_timeout",
    "write_timeout",
    "packets_per_second",
];

const PACKETS_PER_SECOND_MAX: usize = 1_000_000;

/// Memory for all of them is taken at start.
const CONNECTIONS_MAX: usize = 1_048_576;

/// Whether one of them is all addresses of the other's family, on the same port.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one.is_ipv4() == other.is_ipv4()
        && one.port() == other.port()
        && one.port() != 0
        && (one.ip().is_unspecified() || other.ip().is_unspecified())
}

/// Refuses more sockets than can be numbered: every network core has one on every address.
pub fn keep_countable(listeners: &[Placed<Listener>], runtime: &RuntimeSettings, report: &mut Report) {
    let cores = if runtime.network_threads == 0 { runtime.workers } else { runtime.network_threads };
    if let Some(beyond) = listeners.get(SOCKETS_MAX / cores) {
        let message = format!(
            "{} addresses in {cores} network cores are more than {SOCKETS_MAX} sockets",
            listeners.len()
        );
        report.error(beyond.span.clone(), message);
    }
}

fn address(section: &Section<'_>, value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<SocketAddr> {
    match value.get_ref().as_str().and_then(|text| text.parse::<SocketAddr>().ok()) {
        // Our IPv6 sockets take no IPv4, so such an address would hear nothing.
        Some(SocketAddr::V6(v6)) if v6.ip().to_ipv4_mapped().is_some() => {
            let v4 = SocketAddr::new(v6.ip().to_canonical(), v6.port());
            section.refuse("address", &format!("written as IPv4, \"{v4}\""), value, report);
            None
        }
        Some(address) => Some(address),
        None => {
            let expected = "an address with port such as \"0.0.0.0:1812\" or \"[::]:1812\"";
            section.refuse("address", expected, value, report);
            None
        }
    }
}

fn packets(section: &Section<'_>, report: &mut Report) -> Option<Packets> {
    let mut packets = Packets::NONE;
    let mut whole = true;
    let expected = "an array of \"access\", \"accounting\", \"status\", \"coa\"";
    for value in &section.items("packets", expected, report) {
        let word =
            section.one_word("packets", value, &["access", "accounting", "status", "coa"], &[], report);
        packets = packets.with(match word {
            Some("access") => Packets::ACCESS,
            Some("accounting") => Packets::ACCOUNTING,
            Some("status") => Packets::STATUS,
            Some("coa") => Packets::COA,
            Some(_) | None => {
                whole = false;
                Packets::NONE
            }
        });
    }
    (whole && packets != Packets::NONE).then_some(packets)
}

fn server(section: &Section<'_>, servers: &Defined<'_, ServerId>, report: &mut Report) -> Option<ServerId> {
    if section.value("server").is_none() {
        section.missing("server", report);
    }
    servers.look_up_at("server", section, report)
}

/// Whether hosts other than our own network's may reach this address. An unspecified address may be any.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_private() || v4.is_link_local()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_public_unless_only_our_own_network_reaches_it() {
        let public = |text: &str| is_public(text.parse().expect("an address"));
        for text in ["0.0.0.0", "::", "192.0.2.1", "172.32.0.1", "2001:db8::1"] {
            assert!(public(text), "{text}");
        }
        for text in
            ["127.0.0.1", "::1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.0.1", "fd00::1", "fe80::1"]
        {
            assert!(!public(text), "{text}");
        }
    }
}
