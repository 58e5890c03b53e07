//! What a `[[client]]` is as a NAS: `coa_address` and `nas_identifier`.

use super::remote_server::is_host;
use crate::document::Report;
use crate::section::Section;
use crate::shown;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use toml::Spanned;
use ulna_core::forward::{NasesBuilder, RemoteServer};
use ulna_core::packet::{SecretIndex, Secrets};
use ulna_core::policy::{CoaDecision, VirtualServer};

/// The NASes so far.
pub struct Lowered<'d> {
    builder: NasesBuilder,
    hops_max: usize,
    is_full: bool,
    /// Whose a NAS-Identifier is.
    identifiers: BTreeMap<&'d str, &'d str>,
}

/// What one client says.
pub struct Nas<'d> {
    identifier: Option<Spanned<&'d str>>,
    address: Option<SocketAddr>,
    place: Range<usize>,
}

impl<'d> Lowered<'d> {
    /// At most so many that can be sent to.
    pub fn new(hops_max: usize) -> Self {
        let (builder, identifiers) = (NasesBuilder::default(), BTreeMap::new());
        Lowered { builder, hops_max, is_full: false, identifiers }
    }

    /// What a client says of itself as a NAS.
    pub fn nas(&mut self, section: &Section<'d>, report: &mut Report) -> Nas<'d> {
        let identifier = section.value("nas_identifier").and_then(|_| section.name("nas_identifier", report));
        let address = coa_address(section, report);
        if address.is_some() && self.builder.hops() == self.hops_max && !self.is_full {
            self.is_full = true;
            let place = section.value("coa_address").map_or(section.span(), Spanned::span);
            let message = format!(
                "more than {} remote servers and clients with `coa_address`",
                ulna_core::forward::HOPS_MAX
            );
            report.error(place, message);
        }
        Nas { identifier, address: address.filter(|_| !self.is_full), place: section.span() }
    }

    /// The next client, with what it says. Reports one that is called as another is.
    pub fn add(&mut self, name: &'d str, secrets: &Secrets, nas: Nas<'d>, report: &mut Report) {
        let Nas { identifier, address, place } = nas;
        let (called, place) =
            identifier.as_ref().map_or((name, place), |said| (*said.get_ref(), said.span()));
        let other = *self.identifiers.entry(called).or_insert(name);
        // Of two clients with one name something has been said already.
        if other != name {
            let [called, name, other] = [called, name, other].map(shown::text);
            let message = format!(
                "NAS-Identifier \"{called}\" of client \"{name}\" is that of client \"{other}\": give one of them another \
                 `nas_identifier`"
            );
            report.error(place, message);
        }
        let secret = secrets.get(SecretIndex::NEWEST).expect("there is one");
        let hop = address.map(|address| RemoteServer::nas(name.into(), address, secret.clone()));
        self.builder.add(identifier.map(|identifier| identifier.get_ref().as_bytes().into()), hop);
    }

    /// All of them.
    pub fn finish(self) -> NasesBuilder {
        self.builder
    }
}

/// Where CoA and Disconnect go to.
fn coa_address(section: &Section<'_>, report: &mut Report) -> Option<SocketAddr> {
    let value = section.value("coa_address")?;
    let address = value.get_ref().as_str().and_then(|text| text.parse::<SocketAddr>().ok());
    let address = address.filter(|address| address.port() != 0 && is_host(address.ip()));
    if address.is_none() {
        let expected =
            "the address of one host with port such as \"192.0.2.10:3799\" or \"[2001:db8::10]:3799\"";
        section.refuse("coa_address", expected, value, report);
    }
    address
}

/// Warns of addresses that no rule forwards to, and of rules that have no address to forward to.
pub fn warn_of_unused(file: &Section<'_>, hops: usize, servers: &[VirtualServer], report: &mut Report) {
    let is_used =
        servers.iter().flat_map(|server| server.coa.iter()).any(|rule| rule.decision == CoaDecision::Proxy);
    match (hops, is_used) {
        (1.., false) => {
            let clients = file.value("client").and_then(|clients| clients.get_ref().as_array());
            let tables = clients.into_iter().flatten().filter_map(|client| client.get_ref().as_table());
            let place = tables.filter_map(|client| client.get("coa_address")).map(Spanned::span).next();
            let message = "`coa_address` is not used: no rule of [[server.coa]] has `proxy = \"client\"`";
            report.warning(place.unwrap_or(file.span()), message.into());
        }
        (0, true) => {
            let message = "rules of [[server.coa]] have `proxy = \"client\"`, and no [[client]] has a `coa_address`: \
                           all that they forward is refused";
            report.warning(file.value("server").map_or(file.span(), Spanned::span), message.into());
        }
        (0, false) | (1.., true) => {}
    }
}
