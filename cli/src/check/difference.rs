//! What a reload would change, a line for each difference. Of a secret or password only that it changes. What waits for a
//! restart says core.

mod forwarding;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use ulna_config::{RuleList, Source, durations};
use ulna_core::ServerId;
use ulna_core::attributes::Preset;
use ulna_core::authenticate::mac::Mac;
use ulna_core::authenticate::users::User;
use ulna_core::client::{Client, ClientRule, Prefix, SecretTable};
use ulna_core::configuration::{Configuration, Listener, Packets, Protocol, Unroutable};
use ulna_core::forward::RemoteAddress;
use ulna_core::policy::{Rules, VirtualServer};
use ulna_core::reload::Refusal;

/// A configuration, and what stands in its files.
type Side<'s> = (&'s Configuration, &'s Source);

/// What would change in a server that runs `old`. In the order of the names, so that the same change reads the same.
///
/// # Errors
/// When that server would refuse it.
pub fn difference((mut new, source): (Configuration, &Source), old: Side<'_>) -> Result<String, Refusal> {
    let mut lines = Vec::new();
    // What waits is as it was from here on, and every listener has its place.
    let waits = new.follow(old.0)?;
    clients((&new, source), old, &mut lines);
    client_rules(&new, old.0, &mut lines);
    secret_tables(&new, old.0, &mut lines);
    users((&new, source), old, &mut lines);
    forwarding::forwarding(&new, old.0, &mut lines);
    servers((&new, source), old, &mut lines);
    listeners(&new, old.0, &mut lines);
    settings(&new, old.0, &mut lines);
    lines.extend(waits.iter().map(ToString::to_string));
    if lines.is_empty() {
        lines.push("no difference".into());
    }
    Ok(lines.join("\n") + "\n")
}

/// Tells of all names of both sides what is new, gone or changed.
fn compare<K: Ord + Copy, V: Copy>(
    what: impl Fn(K) -> String,
    new: &BTreeMap<K, V>,
    old: &BTreeMap<K, V>,
    changes: impl Fn(V, V) -> Vec<&'static str>,
    lines: &mut Vec<String>,
) {
    let names: BTreeSet<K> = new.keys().chain(old.keys()).copied().collect();
    for name in names {
        let what = what(name);
        match (new.get(&name), old.get(&name)) {
            (Some(_), None) => lines.push(format!("{what} is new")),
            (None, Some(_)) => lines.push(format!("{what} is gone")),
            (Some(new), Some(old)) => {
                let keys: Vec<_> = changes(*new, *old).iter().map(|key| format!("`{key}`")).collect();
                if !keys.is_empty() {
                    lines.push(format!("{what} changes: {}", keys.join(", ")));
                }
            }
            (None, None) => unreachable!("each name is one of theirs"),
        }
    }
}

/// The names of those keys that differ.
fn changed(keys: &[(&'static str, bool)]) -> Vec<&'static str> {
    keys.iter().filter(|(_, differs)| *differs).map(|(key, _)| *key).collect()
}

fn clients(new: Side<'_>, old: Side<'_>, lines: &mut Vec<String>) {
    let networks = |(_, source): Side<'_>| {
        let mut networks: BTreeMap<String, BTreeSet<Prefix>> = BTreeMap::new();
        for (client, network) in source.networks() {
            networks.entry(client.into()).or_default().insert(network);
        }
        networks
    };
    let (new_networks, old_networks) = (networks(new), networks(old));
    let (new_nases, old_nases) = (nases(new.0), nases(old.0));
    let changes = |new: &Client, old: &Client| {
        let (new_nas, old_nas) = (new_nases.get(&*new.name), old_nases.get(&*old.name));
        changed(&[
            ("network", new_networks.get(&*new.name) != old_networks.get(&*old.name)),
            ("secret", new.secrets != old.secrets),
            (
                "require_message_authenticator",
                new.require_message_authenticator != old.require_message_authenticator,
            ),
            ("limit_proxy_state", new.limit_proxy_state != old.limit_proxy_state),
            ("coa_address", new_nas.map(|nas| nas.0) != old_nas.map(|nas| nas.0)),
            ("nas_identifier", new_nas.map(|nas| nas.1) != old_nas.map(|nas| nas.1)),
        ])
    };
    let what = |name: &str| format!("client \"{}\"", name.escape_debug());
    compare(what, &by_name(new.0), &by_name(old.0), changes, lines);
}

/// Where CoA goes to a client, and what it is called in NAS-Identifier.
type Nas<'s> = (Option<&'s RemoteAddress>, Option<&'s [u8]>);

/// Of each client by its name.
fn nases(configuration: &Configuration) -> BTreeMap<&str, Nas<'_>> {
    let Configuration { clients, nases, .. } = configuration;
    let nas = |client| (nases.hop(client).map(|hop| &hop.address), nases.identifier(client));
    clients.iter().map(|(id, client)| (&*client.name, nas(id))).collect()
}

fn client_rules(new: &Configuration, old: &Configuration, lines: &mut Vec<String>) {
    let changes = |new: &ClientRule, old: &ClientRule| {
        changed(&[
            ("network", new.networks != old.networks),
            ("when", new.when != old.when),
            ("secret", new.secret != old.secret),
            ("nat", new.nat != old.nat),
            ("connected", new.connected != old.connected),
            ("prefer", new.prefer_dynamic != old.prefer_dynamic),
            (
                "require_message_authenticator",
                new.require_message_authenticator != old.require_message_authenticator,
            ),
            ("limit_proxy_state", new.limit_proxy_state != old.limit_proxy_state),
            ("lifetime", new.lifetime != old.lifetime),
            ("idle_timeout", new.idle_timeout != old.idle_timeout),
            ("negative_lifetime", new.negative_lifetime != old.negative_lifetime),
            ("limits", new.limits != old.limits),
        ])
    };
    let what = |name: &str| format!("client rule \"{}\"", name.escape_debug());
    compare(what, &rules_by_name(new), &rules_by_name(old), changes, lines);
}

fn rules_by_name(configuration: &Configuration) -> BTreeMap<&str, &ClientRule> {
    configuration.client_rules.iter().map(|rule| (&*rule.name, rule)).collect()
}

/// Of a table of thousands, how many keys differ; which ones is no operator's line.
fn secret_tables(new: &Configuration, old: &Configuration, lines: &mut Vec<String>) {
    let old = |source: &str| old.secret_tables.iter().find(|table| *table.source == *source);
    for new in &new.secret_tables {
        let Some(old) = old(&new.source) else { continue };
        let changed = new.changed_since(old);
        let is_in = |table: &SecretTable, key: &[u8]| table.entries.contains_key(key);
        let added = changed.iter().filter(|key| !is_in(old, key)).count();
        let gone = changed.iter().filter(|key| !is_in(new, key)).count();
        let others = changed.len() - added - gone;
        let counts = [(added, "new"), (gone, "gone"), (others, "changed")];
        let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| {
            let keys = if *count == 1 { "key is" } else { "keys are" };
            format!("{count} {keys} {what}")
        });
        let counts: Vec<_> = counts.collect();
        if !counts.is_empty() {
            lines.push(format!("table {}: {}", new.source, counts.join(", ")));
        }
    }
}

fn by_name(configuration: &Configuration) -> BTreeMap<&str, &Client> {
    configuration.clients.iter().map(|(_, client)| (&*client.name, client)).collect()
}

fn users(new: Side<'_>, old: Side<'_>, lines: &mut Vec<String>) {
    let changes = |new: &User, old: &User| {
        let password = !new.credential.is_same(&old.credential);
        let code = match (&new.one_time_code, &old.one_time_code) {
            (Some(new), Some(old)) => !new.is_same(old),
            (new, old) => new.is_some() != old.is_some(),
        };
        changed(&[("password", password), ("one_time_code", code), ("reply", new.reply != old.reply)])
    };
    let what = |name: &[u8]| format!("user \"{}\"", String::from_utf8_lossy(name).escape_debug());
    compare(what, &users_by_name(new), &users_by_name(old), changes, lines);
    let changes = |new: &Preset, old: &Preset| changed(&[("reply", new != old)]);
    compare(|mac| format!("device {mac}"), &devices(new), &devices(old), changes, lines);
}

fn users_by_name<'s>((configuration, source): Side<'s>) -> BTreeMap<&'s [u8], &'s User> {
    source.users().filter_map(|name| Some((name, configuration.users.look_up(name)?))).collect()
}

fn devices<'s>((configuration, source): Side<'s>) -> BTreeMap<Mac, &'s Preset> {
    source.devices().filter_map(|mac| Some((mac, configuration.devices.look_up(mac)?))).collect()
}

fn servers(new: Side<'_>, old: Side<'_>, lines: &mut Vec<String>) {
    let by_name = |configuration: &'_ Configuration| -> BTreeMap<String, ServerId> {
        let servers = configuration.servers.iter().zip(0..);
        servers.map(|(server, number)| (server.name.to_string(), ServerId(number))).collect()
    };
    let (new_servers, old_servers) = (by_name(new.0), by_name(old.0));
    let names: BTreeSet<&String> = new_servers.keys().chain(old_servers.keys()).collect();
    for name in names {
        let what = format!("server \"{}\"", name.escape_debug());
        match (new_servers.get(name), old_servers.get(name)) {
            (Some(new_server), Some(old_server)) => {
                let named = |configuration: &'_ Configuration, server: ServerId| {
                    let other = configuration.server(server).ongoing_server;
                    other.map(|other| configuration.server(other).name.clone())
                };
                if named(new.0, *new_server) != named(old.0, *old_server) {
                    lines.push(format!("{what} changes: `ongoing`"));
                }
                let sides = [
                    ServerSide { configuration: new.0, source: new.1, number: *new_server },
                    ServerSide { configuration: old.0, source: old.1, number: *old_server },
                ];
                let list = ("[[server.new]]", RuleList::New);
                rules(&what, list, |server| &server.new, forwarding::is_same_new, sides, lines);
                let list = ("[[server.ongoing]]", RuleList::Ongoing);
                rules(&what, list, |server| &server.ongoing, |new, old| new.1 == old.1, sides, lines);
                let list = ("[[server.reply]]", RuleList::Reply);
                rules(&what, list, |server| &server.reply, |new, old| new.1 == old.1, sides, lines);
                let list = ("[[server.accounting]]", RuleList::Accounting);
                let is_same = forwarding::is_same_accounting;
                rules(&what, list, |server| &server.accounting, is_same, sides, lines);
                let list = ("[[server.coa]]", RuleList::Coa);
                rules(&what, list, |server| &server.coa, |new, old| new.1 == old.1, sides, lines);
            }
            (Some(_), None) => lines.push(format!("{what} is new")),
            (None, _) => lines.push(format!("{what} is gone")),
        }
    }
}

/// Something of one configuration, which knows what its numbers mean.
type Of<'s, T> = (&'s Configuration, &'s T);

/// A virtual server of one configuration.
#[derive(Clone, Copy)]
struct ServerSide<'s> {
    configuration: &'s Configuration,
    source: &'s Source,
    number: ServerId,
}

impl<'s> ServerSide<'s> {
    /// Each rule by its conditions, as they are written, and by what it does.
    fn written<T>(
        self,
        of: impl Fn(&'s VirtualServer) -> &'s Rules<T>,
        list: RuleList,
    ) -> Vec<(&'s [String], Of<'s, T>)> {
        let does = of(self.configuration.server(self.number)).iter();
        let places = self.source.rules(self.number, list);
        places.zip(does).map(|(place, does)| (&*place.conditions, (self.configuration, does))).collect()
    }
}

/// Tells which rules of a list are others: those between what begins and what ends alike.
fn rules<'s, T: 's>(
    what: &str,
    (label, list): (&str, RuleList),
    of: impl Fn(&'s VirtualServer) -> &'s Rules<T>,
    does_same: impl Fn(Of<'s, T>, Of<'s, T>) -> bool,
    sides: [ServerSide<'s>; 2],
    lines: &mut Vec<String>,
) {
    let [new_rules, old_rules] = sides.map(|side| side.written(&of, list));
    let is_same = |new_place: usize, old_place: usize| {
        let ((new, new_does), (old, old_does)) = (new_rules[new_place], old_rules[old_place]);
        new == old && does_same(new_does, old_does)
    };
    let least = new_rules.len().min(old_rules.len());
    let begin = (0..least).take_while(|place| is_same(*place, *place)).count();
    let end = (1..=least - begin)
        .take_while(|back| is_same(new_rules.len() - back, old_rules.len() - back))
        .count();
    let (new_range, old_range) = (begin..new_rules.len() - end, begin..old_rules.len() - end);
    let numbers = |range: &std::ops::Range<usize>| match range.len() {
        1 => format!("rule {}", range.end),
        _ => format!("rules {} to {}", range.start + 1, range.end),
    };
    let is = |range: &std::ops::Range<usize>| if range.len() == 1 { "is" } else { "are" };
    match (new_range.is_empty(), old_range.is_empty()) {
        (true, true) => {}
        (false, true) => {
            lines.push(format!("{what}: {} of {label} {} new", numbers(&new_range), is(&new_range)));
        }
        (true, false) => {
            lines.push(format!("{what}: {} of {label} {} gone", numbers(&old_range), is(&old_range)));
        }
        (false, false) if new_range == old_range => {
            let change = if new_range.len() == 1 { "changes" } else { "change" };
            lines.push(format!("{what}: {} of {label} {change}", numbers(&new_range)));
        }
        (false, false) => lines.push(format!(
            "{what}: {} of {label} {} now {}",
            numbers(&old_range),
            is(&old_range),
            numbers(&new_range)
        )),
    }
}

/// What listeners take and whose rules hold; where they listen waits, and core says so.
fn listeners(new: &Configuration, old: &Configuration, lines: &mut Vec<String>) {
    for (listener, before) in new.listeners.iter().zip(&old.listeners) {
        // Gone: that waits.
        if listener.packets == Packets::NONE {
            continue;
        }
        let server = |configuration: &Configuration, listener: &Listener| {
            configuration.server(listener.server).name.clone()
        };
        let keys = changed(&[
            ("name", listener.name != before.name),
            ("packets", listener.packets != before.packets),
            ("limits of its connections", listener.transport != before.transport),
            ("server", server(new, listener) != server(old, before)),
            ("connected", listener.connected != before.connected),
        ]);
        if !keys.is_empty() {
            let keys: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
            let name = listener.name.escape_debug();
            lines.push(format!("listener \"{name}\" on {} changes: {}", listener.address, keys.join(", ")));
        }
    }
}

/// What else takes effect at once.
fn settings(new: &Configuration, old: &Configuration, lines: &mut Vec<String>) {
    let mut tell = |key: &str, new: &dyn Display, old: &dyn Display| {
        let (new, old) = (new.to_string(), old.to_string());
        if new != old {
            lines.push(format!("`{key}` becomes {new}; it was {old}"));
        }
    };
    let span = durations::display;
    let (new_protocol, old_protocol) = (&new.protocol, &old.protocol);
    tell("reject_delay", &span(new_protocol.reject_delay), &span(old_protocol.reject_delay));
    tell("request_timeout", &span(new_protocol.request_timeout), &span(old_protocol.request_timeout));
    let wait = |protocol: &Protocol| span(protocol.new_request_wait_max);
    tell("new_request_wait_max", &wait(new_protocol), &wait(old_protocol));
    tell("state_lifetime", &span(new_protocol.state_lifetime), &span(old_protocol.state_lifetime));
    let word = |protocol: &Protocol| match protocol.unroutable {
        Unroutable::Reject => "reject",
        Unroutable::Discard => "discard",
    };
    tell("unroutable", &word(new_protocol), &word(old_protocol));
    tell("state_max", &new_protocol.state_max, &old_protocol.state_max);
    let window = |protocol: &Protocol| {
        protocol.event_timestamp_window.map_or("off".into(), |window| span(window).to_string())
    };
    tell("event_timestamp_window", &window(new_protocol), &window(old_protocol));
    let required = |protocol: &Protocol| protocol.require_event_timestamp;
    tell("require_event_timestamp", &required(new_protocol), &required(old_protocol));
    tell("workers", &new.runtime.workers, &old.runtime.workers);
    if new.dictionary != old.dictionary {
        lines.push("the dictionaries change".into());
    }
}
