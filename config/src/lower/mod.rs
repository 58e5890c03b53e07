//! From tables to core's plain types. Each table has its file here; what concerns several is at the end of [`lower`].

mod accounting;
mod argon2;
mod attributes;
mod client;
mod client_rule;
mod condition;
mod control;
mod defined;
mod edits;
mod listen;
mod nas;
mod one_time_code;
mod pool;
mod realm;
mod remote_server;
mod rule;
mod runtime;
mod server;
mod user;

pub use client::secrets;
pub use rule::RuleList;

use crate::document::Report;
use crate::keys;
use crate::section::Section;
use crate::shown;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;
use toml::de::DeTable;
use ulna_core::authenticate::mac::Devices;
use ulna_core::authenticate::users::Users;
use ulna_core::configuration::{Configuration, Cores, LogFormat, LogSettings};
use ulna_core::dictionary::Dictionary;
use ulna_core::forward::HOPS_MAX;

/// The whole file, whose own dictionaries go on top of `dictionary`. What was reported as wrong has its default in it or is
/// left out, so with errors it is worth nothing; `None` where not even that can be made.
pub fn lower<'t>(
    root: &Spanned<DeTable<'_>>,
    texts: impl Iterator<Item = &'t str>,
    cores: Cores,
    mut dictionary: Dictionary,
    report: &mut Report,
) -> Option<Configuration> {
    report.mask_secrets(root.get_ref());
    // Where nothing better is known, the beginning of the file.
    let file = Section::open(&keys::ROOT, root.get_ref(), 0..0, report);
    let mut runtime = runtime::runtime(&file, cores, &mut dictionary, report);
    let protocol = runtime::protocol(&file, report);
    let client_rules = client_rule::client_rules(&file, &dictionary, report);
    let mut accounting = accounting::accounting(&file, report);
    let (remote_servers, remote_server_names) = remote_server::remote_servers(&file, &protocol, report);
    let (pools, pool_names) = pool::pools(&file, &remote_server_names, &dictionary, report);
    let (realms, routes) = realm::realms(&file, &pool_names, &protocol, report);
    let (servers, server_names) = server::servers(&file, &dictionary, &pool_names, &routes, report);
    if accounting::is_spooled(&servers) {
        accounting.spool.get_or_insert_default();
    }
    remote_server_names.warn_of_unused("[[pool]]", report);
    pool_names.warn_of_unused("[[realm]] and no rule", report);
    let listeners = listen::listeners(&file, &server_names, report);
    runtime::keep_within_reserve(&file, &mut runtime, &protocol, &client_rules, &listeners, report);
    listen::keep_countable(&listeners, &runtime, report);
    let hops_max = HOPS_MAX.saturating_sub(remote_servers.len());
    let (clients, nases) = client::clients(&file, &listeners, hops_max, report);
    nas::warn_of_unused(&file, nases.hops(), &servers, report);
    client::warn_of_unsigned("client rule", &client_rules.unsigned, &listeners, report);
    let (users, devices) = user::users(&file, &dictionary, report);
    let log = log(&file, report);
    let control = control::control(&file, report);
    // The tables' hashes are keyed from all that was read: whoever does not know the secrets does not know the key, and
    // the same texts make the same configuration.
    let seed = texts.fold(report.secrets_seed(), |seed, text| seed.fork(text));

    let requests = runtime.network_cores() * runtime.dedup_entries_max;
    let (client_rules, secret_tables) = client_rules.build(requests, &seed);
    let clients = clients.build(&seed);
    let nases = nases.build(&clients, remote_servers.len(), &seed);
    Some(Configuration {
        runtime,
        protocol,
        listeners: listeners.into_iter().map(|listener| listener.value).collect(),
        clients,
        client_rules,
        secret_tables,
        users: Users::new(users, &seed).ok()?,
        devices: Devices::new(devices, &seed).ok()?,
        servers,
        remote_servers,
        nases,
        pools,
        realms,
        dictionary: Arc::new(dictionary),
        accounting,
        log,
        control,
    })
}

/// Something and where it stands.
struct Placed<T> {
    value: T,
    span: Range<usize>,
}

/// Names that must be unique, with where each stands.
#[derive(Default)]
struct Names<'d>(BTreeMap<&'d str, Range<usize>>);

impl<'d> Names<'d> {
    /// Reports a name that stands there already.
    fn add(&mut self, what: &str, name: &Spanned<&'d str>, report: &mut Report) -> bool {
        if self.0.contains_key(name.get_ref()) {
            report.error(name.span(), format!("{what} \"{}\" is defined twice", shown::text(name.get_ref())));
            return false;
        }
        self.0.insert(name.get_ref(), name.span());
        true
    }
}

fn log(file: &Section<'_>, report: &mut Report) -> LogSettings {
    let mut log = LogSettings::default();
    let Some(section) = file.table("log", &keys::LOG, report) else { return log };
    if section.word("format", &["text", "json"], &[], report) == Some("json") {
        log.format = LogFormat::Json;
    }
    log.requests = section.boolean("requests", report).unwrap_or(log.requests);
    log
}
