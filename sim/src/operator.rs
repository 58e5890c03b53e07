//! The operator: writes each configuration of a plan in the language of `ulna.toml`, so that the simulator tests how that is
//! read, too.

mod proxy;

use self::proxy::{write_remote_servers, write_rules_of_realms, write_rules_of_records};
use crate::oracle::digest::md5;
use crate::plan::{Client, ClientRule, ListenerKind, Plan};
use crate::site::{Action, Site, When};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use ulna_config::Cores as MachineCores;
use ulna_core::Configuration;
use ulna_core::dictionary::{Attribute, DataType, Dictionary};

/// The plan's server with one of its sites, and with so many workers in the file.
pub fn configuration(plan: &Plan, site: &Site, workers: u16) -> Configuration {
    let tables = Tables::written(plan, site);
    let text = configuration_text(plan, site, workers, &tables);
    match ulna_config::parse(&text, "plan", MachineCores(2)) {
        Ok((configuration, _)) => configuration,
        Err(errors) => panic!("a plan gives a configuration that can be read:\n{errors}\n{text}"),
    }
}

/// Tables of secrets, which are files of their own: there until the configuration that names them has been read. A server finds
/// them under the same names each time.
struct Tables(Vec<PathBuf>);

impl Tables {
    fn written(plan: &Plan, site: &Site) -> Tables {
        /// Servers of several threads of the operating system are not in each other's way.
        static THREADS: AtomicU64 = AtomicU64::new(0);
        thread_local! {
            // Relaxed: a number that nobody else has is all that is asked for.
            static THREAD: u64 = THREADS.fetch_add(1, Ordering::Relaxed);
        }
        let name = |rule: &str| {
            format!("ulna-sim-{}-{}-{rule}.toml", std::process::id(), THREAD.with(|thread| *thread))
        };
        let table = |rule: &ClientRule| {
            let path = std::env::temp_dir().join(name(&rule.name));
            let is_its = |client: &&Client| client.rule.as_ref() == Some(&rule.name);
            let mut text = String::new();
            for client in site.clients.iter().filter(is_its) {
                writeln!(text, "{:?} = {{ secret = {} }}", client.name, secret_text(client))
                    .expect("text grows as it needs to");
            }
            std::fs::write(&path, text).expect("there is a place for temporary files");
            path
        };
        Tables(plan.topology.client_rules.iter().map(table).collect())
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        for path in &self.0 {
            // Left behind it does no harm.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn configuration_text(plan: &Plan, site: &Site, workers: u16, tables: &Tables) -> String {
    let (topology, limits) = (&plan.topology, &plan.limits);
    let mut text = String::new();
    let out = &mut text;
    let written = (|| -> std::fmt::Result {
        writeln!(out, "[runtime]")?;
        writeln!(out, "network_threads = {}", topology.network_threads)?;
        writeln!(out, "workers = {workers}")?;
        writeln!(out, "ring_slots = {}", limits.ring_slots)?;
        writeln!(out, "requests_max = {}", limits.requests_max)?;
        writeln!(out, "dedup_entries_max = {}", limits.dedup_entries)?;
        writeln!(out, "replies_octets_max = {}", limits.replies_octets)?;
        writeln!(out, "[protocol]")?;
        writeln!(out, "reject_delay = \"{}ms\"", limits.reject_delay_ms)?;
        writeln!(out, "delayed_rejects_max = {}", limits.delayed_rejects_max)?;
        writeln!(out, "request_timeout = \"{}ms\"", limits.request_timeout_ms)?;
        writeln!(out, "dedup_lifetime = \"{}ms\"", limits.dedup_lifetime_ms)?;
        if let Some(proxy) = &topology.proxy {
            writeln!(out, "state_lifetime = \"{}ms\"", proxy.state_lifetime_ms)?;
        }
        // The oracle knows no such rule: whether a password is right is all that it asks.
        writeln!(out, "failures_max = 0")?;
        if let Some(control) = &topology.control {
            writeln!(out, "[control]\nsocket = \"/run/ulna.sock\"")?;
            writeln!(out, "buffer_octets = {}\nmark = {}", control.buffer_octets, control.mark)?;
            writeln!(out, "patience = \"{}s\"", control.patience_s)?;
            writeln!(out, "connections_max = {}", control.connections_max)?;
        }
        if site.answers_accounting {
            writeln!(out, "[accounting.file]\npath = \"records\"")?;
        }
        for (place, listener) in topology.listeners.iter().enumerate() {
            let packets = match listener.kind {
                ListenerKind::Access => "access",
                ListenerKind::Accounting => "accounting",
            };
            writeln!(out, "[[listen]]\nname = \"{place}\"\ntransport = \"udp\"")?;
            writeln!(out, "address = [\"{}\"]\npackets = [\"{packets}\", \"status\"]", listener.address)?;
            writeln!(out, "server = \"all\"")?;
        }
        for (rule, table) in topology.client_rules.iter().zip(&tables.0) {
            writeln!(out, "[[client_rule]]\nname = {:?}\nnat = {}", rule.name, !rule.by_address)?;
            writeln!(out, "require_message_authenticator = true")?;
            writeln!(out, "limits = {{ pending = {} }}", rule.pending)?;
            writeln!(out, "network = [\"{}/{}\"]", rule.network, rule.prefix)?;
            writeln!(out, "secret = {{ table = {table:?}, key = \"NAS-Identifier\" }}")?;
            writeln!(out, "lifetime = \"{}s\"", rule.lifetime_s)?;
            writeln!(out, "idle_timeout = \"{}s\"", rule.idle_timeout_s)?;
            writeln!(out, "negative_lifetime = \"{}ms\"", rule.negative_lifetime_ms)?;
        }
        for client in site.clients.iter().filter(|client| !client.is_ruled()) {
            writeln!(out, "[[client]]\nname = {:?}", client.name)?;
            writeln!(out, "network = [\"{}/{}\"]", client.network, client.prefix)?;
            writeln!(out, "secret = {}", secret_text(client))?;
            writeln!(out, "require_message_authenticator = {}", client.require_message_authenticator)?;
            writeln!(out, "limit_proxy_state = {}", client.limit_proxy_state)?;
        }
        for user in &site.users {
            writeln!(out, "[[user]]\nname = {:?}", user.name)?;
            if user.hashed {
                let digest = base64(&digest_of(user.password.as_bytes()));
                writeln!(
                    out,
                    "password = {{ argon2 = \"$argon2id$v=19$m=8,t=1,p=1${}${digest}\" }}",
                    base64(SALT)
                )?;
            } else {
                writeln!(out, "password = {:?}", user.password)?;
            }
            writeln!(out, "reply = {}", attributes_text(&user.reply))?;
        }
        if let Some(proxy) = &topology.proxy {
            write_remote_servers(out, proxy)?;
        }
        writeln!(out, "[[server]]\nname = \"all\"")?;
        if let Some(proxy) = &topology.proxy {
            write_rules_of_realms(out, proxy)?;
        }
        for rule in &site.rules.new {
            writeln!(out, "[[server.new]]\nwhen = {{ {} }}", when_text(&rule.when))?;
            writeln!(
                out,
                "{}",
                match rule.action {
                    Action::Users => "authenticate = \"users\"",
                    Action::Accept => "accept = true",
                    Action::Reject => "reject = true",
                }
            )?;
            if let Some(name) = &rule.user_name {
                writeln!(out, "set_request = {{ User-Name = {name:?} }}")?;
            }
            write_edits(out, &rule.remove_reply, &rule.set_reply)?;
        }
        writeln!(out, "[[server.new]]\nauthenticate = \"users\"")?;
        if let Some(proxy) = &topology.proxy {
            write_rules_of_records(out, proxy, site.answers_accounting)?;
        }
        if site.answers_accounting {
            writeln!(out, "[[server.accounting]]\nstore = \"file\"")?;
        }
        for rule in &site.rules.reply {
            let reply = if rule.accept { "accept" } else { "reject" };
            let when = when_text(&rule.when);
            let and = if when.is_empty() { "" } else { ", " };
            writeln!(out, "[[server.reply]]\nwhen = {{ reply = {reply:?}{and}{when} }}")?;
            write_edits(out, &rule.remove_reply, &rule.set_reply)?;
        }
        Ok(())
    })();
    written.expect("text grows as it needs to");
    text
}

/// One secret, or both while rotating.
fn secret_text(client: &Client) -> String {
    match &client.old_secret {
        Some(old) => format!("[{:?}, {old:?}]", client.secret),
        None => format!("{:?}", client.secret),
    }
}

/// What stands for an Argon2 digest here: nothing is to be learnt from computing that.
pub fn digest_of(password: &[u8]) -> [u8; 16] {
    md5(&[SALT, password])
}

const SALT: &[u8] = b"no salt at all";

/// Without padding, as PHC strings have it.
fn base64(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in octets.chunks(3) {
        let mut bits = [0; 4];
        bits[1..1 + three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(bits);
        for place in 0..=three.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

fn write_edits(out: &mut String, remove: &[u8], set: &[(u8, Vec<u8>)]) -> std::fmt::Result {
    if !remove.is_empty() {
        let named = |kind: &u8| format!("{:?}", attribute(*kind).name());
        writeln!(out, "remove_reply = [{}]", listed(remove.iter().map(named)))?;
    }
    if !set.is_empty() {
        writeln!(out, "set_reply = {}", attributes_text(set))?;
    }
    Ok(())
}

fn when_text(when: &When) -> String {
    let When { realm, client, nas_port, minutes } = when;
    let mut conditions = Vec::new();
    conditions.extend(realm.as_ref().map(|realm| format!("realm = {realm:?}")));
    conditions.extend(client.as_ref().map(|client| format!("client = {client:?}")));
    if !nas_port.is_empty() {
        conditions.push(format!("NAS-Port = {{ one_of = {nas_port:?} }}"));
    }
    conditions.extend(minutes.map(|(from, to)| {
        format!("time = \"{:02}:{:02}-{:02}:{:02}\"", from / 60, from % 60, to / 60, to % 60)
    }));
    conditions.join(", ")
}

/// Attributes of a reply, those of one kind side by side. Plans name them by number; those drawn so far are Session-Timeout,
/// Reply-Message and Class.
fn attributes_text(attributes: &[(u8, Vec<u8>)]) -> String {
    let attributes = attributes.chunk_by(|(one, _), (next, _)| one == next).map(|copies| {
        let attribute = attribute(copies[0].0);
        let value =
            |(_, value): &(u8, Vec<u8>)| match (attribute.data_type(), <[u8; 4]>::try_from(&value[..])) {
                (DataType::Integer, Ok(octets)) => u32::from_be_bytes(octets).to_string(),
                (DataType::Text, _) => format!("{:?}", String::from_utf8_lossy(value)),
                _ => {
                    let hex: String = value.iter().map(|octet| format!("{octet:02x}")).collect();
                    format!("\"0x{hex}\"")
                }
            };
        format!("{} = [{}]", attribute.name(), listed(copies.iter().map(value)))
    });
    format!("{{ {} }}", listed(attributes))
}

fn listed(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}

fn attribute(kind: u8) -> &'static Attribute {
    static DICTIONARY: LazyLock<Dictionary> = LazyLock::new(Dictionary::built_in);
    DICTIONARY.numbered(kind).expect("plans use attributes of the built-in dictionary")
}
