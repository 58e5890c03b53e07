//! `[[server]]` and its rules.

use super::defined::Defined;
use super::realm::Routes;
use super::rule::{self, RuleList, Ways};
use super::{condition, edits};
use crate::document::Report;
use crate::keys::{self, Keys};
use crate::section::Section;
use crate::shown;
use std::collections::BTreeSet;
use std::ops::Range;
use toml::Spanned;
use toml::de::DeValue;
use ulna_core::ServerId;
use ulna_core::dictionary::{Dictionary, nearest};
use ulna_core::forward::PoolId;
use ulna_core::policy::{Condition, QUESTIONS_MAX, Rules, VirtualServer};

/// What all rules are read with, and what they name that stands elsewhere.
pub struct Asking<'d, 'c> {
    pub dictionary: &'c Dictionary,
    /// Whether there is a file that rules may store in.
    pub has_accounting_file: bool,
    /// Whether there is a directory for what survives a restart.
    pub has_state_directory: bool,
    /// What all patterns so far take.
    pub patterns_octets: usize,
    /// Names of sessions that some rule sets.
    pub sessions_set: BTreeSet<&'d str>,
    /// Those that are asked for, with places.
    pub sessions_asked: Vec<(&'d str, Range<usize>)>,
    /// Clients that are named.
    pub clients: Vec<(&'d str, Range<usize>)>,
    /// Listeners that are named.
    pub listeners: Vec<(&'d str, Range<usize>)>,
}

/// The servers, and each one's number by its name. A server with errors keeps its name, so that a listener that
/// names it is not wrong as well.
pub fn servers<'d>(
    file: &Section<'d>,
    dictionary: &Dictionary,
    pools: &Defined<'d, PoolId>,
    of_realms: &Routes,
    report: &mut Report,
) -> (Vec<VirtualServer>, Defined<'d, ServerId>) {
    let mut servers = Vec::new();
    let mut defined = Defined::new("server");
    // Servers that name another for ongoing conversations.
    let mut others = Vec::new();
    let mut ways = Ways::new(pools, of_realms);
    let mut asking = Asking {
        has_accounting_file: has(file, "accounting", "file"),
        has_state_directory: has(file, "runtime", "state_directory"),
        ..Asking::new(dictionary)
    };
    for section in &file.tables("server", &keys::SERVER, report) {
        let name = section.name("name", report);
        report.source.begin_server();
        let new = |rule: &Section<'d>, asking: &mut Asking<'d, '_>, report: &mut Report| {
            rule::new_rule(rule, &mut ways, asking, report)
        };
        let new = rules(section, "new", &keys::RULE, RuleList::New, &mut asking, report, new);
        let other = section.value("ongoing").filter(|value| value.get_ref().is_str());
        let ongoing = match other {
            Some(_) => Rules::default(),
            None => {
                let (list, lower) = (RuleList::Ongoing, rule::ongoing_rule);
                rules(section, "ongoing", &keys::ONGOING_RULE, list, &mut asking, report, lower)
            }
        };
        let reply = |rule: &Section<'d>, asking: &mut Asking<'d, '_>, report: &mut Report| {
            Some(edits::reply(rule, asking, report))
        };
        let reply = rules(section, "reply", &keys::REPLY_RULE, RuleList::Reply, &mut asking, report, reply);
        let accounting = |rule: &Section<'d>, asking: &mut Asking<'d, '_>, report: &mut Report| {
            rule::accounting_rule(rule, &mut ways, asking, report)
        };
        let (list, keys) = (RuleList::Accounting, &keys::ACCOUNTING_RULE);
        let accounting = rules(section, "accounting", keys, list, &mut asking, report, accounting);
        let (list, lower) = (RuleList::Coa, rule::coa_rule);
        let coa = rules(section, "coa", &keys::COA_RULE, list, &mut asking, report, lower);
        let Some(name) = name else { continue };
        let Ok(number) = u16::try_from(servers.len()) else {
            report.error(section.span(), "more than 65536 servers".into());
            break;
        };
        if defined.add(&name, ServerId(number), report) {
            others.extend(other.map(|other| (ServerId(number), other)));
            let (name, ongoing_server) = ((*name.get_ref()).into(), None);
            servers.push(VirtualServer { name, new, ongoing, ongoing_server, reply, accounting, coa });
        }
    }
    ongoing_servers(&others, &defined, &mut servers, report);
    ways.check(report);
    asking.check(file, report);
    (servers, defined)
}

/// `ongoing = "NAME"`: the rules of that server are asked, and no further one's.
fn ongoing_servers(
    others: &[(ServerId, &Spanned<DeValue<'_>>)],
    defined: &Defined<'_, ServerId>,
    servers: &mut [VirtualServer],
    report: &mut Report,
) {
    for (server, value) in others {
        let Some(other) = defined.look_up("ongoing", value, report) else { continue };
        if other == *server {
            let message = "`ongoing` names the server itself: write its rules as [[server.ongoing]]";
            report.error(value.span(), message.into());
        } else if others.iter().any(|(from, _)| *from == other) {
            let name = shown::text(&servers[usize::from(other.0)].name);
            let message =
                format!("server \"{name}\" has no rules of its own for `ongoing`: it names another");
            report.error(value.span(), message);
        } else {
            servers[usize::from(server.0)].ongoing_server = Some(other);
        }
    }
}

/// Whether this table has that key.
pub fn has(file: &Section<'_>, table: &str, key: &str) -> bool {
    let table = file.value(table).and_then(|value| value.get_ref().as_table());
    table.is_some_and(|table| table.contains_key(key))
}

impl<'c> Asking<'_, 'c> {
    pub fn new(dictionary: &'c Dictionary) -> Self {
        Asking {
            dictionary,
            has_accounting_file: false,
            has_state_directory: false,
            patterns_octets: 0,
            sessions_set: BTreeSet::new(),
            sessions_asked: Vec::new(),
            clients: Vec::new(),
            listeners: Vec::new(),
        }
    }

    /// Reports names of what is nowhere: such conditions would never hold, whatever comes.
    pub fn check(&self, file: &Section<'_>, report: &mut Report) {
        for (name, place) in &self.sessions_asked {
            if !self.sessions_set.contains(name) {
                let meant = nearest(name, self.sessions_set.iter().copied());
                let meant = meant.map_or(String::new(), |meant| format!("; did you mean `session.{meant}`?"));
                let message = format!("no rule sets `{}` with `set_session`{meant}", shown::text(name));
                report.error(place.clone(), message);
            }
        }
        for (kind, asked) in [("client", &self.clients), ("listen", &self.listeners)] {
            let names = names(file, kind);
            for (name, place) in asked {
                if !names.contains(name) {
                    let meant = nearest(name, names.iter().copied());
                    let meant = meant.map_or(String::new(), |meant| format!("; did you mean \"{meant}\"?"));
                    let message = format!("no [[{kind}]] is called \"{}\"{meant}", shown::text(name));
                    report.error(place.clone(), message);
                }
            }
        }
    }
}

/// The names of all tables `[[kind]]`.
fn names<'d>(file: &Section<'d>, kind: &str) -> Vec<&'d str> {
    let tables = file.value(kind).and_then(|value| value.get_ref().as_array());
    let tables = tables.into_iter().flatten().filter_map(|table| table.get_ref().as_table());
    tables.filter_map(|table| table.get("name")?.get_ref().as_str()).collect()
}

fn rules<'d, 'c, T>(
    server: &Section<'d>,
    key: &str,
    keys: &'static Keys,
    list: RuleList,
    asking: &mut Asking<'d, 'c>,
    report: &mut Report,
    mut lower: impl FnMut(&Section<'d>, &mut Asking<'d, 'c>, &mut Report) -> Option<T>,
) -> Rules<T> {
    let mut rules: Vec<(Vec<Condition>, T)> = Vec::new();
    // The number, from 1, of the first rule that always matches.
    let mut always = None;
    let mut conditions_so_far = 0;
    for (place, section) in server.tables(key, keys, report).iter().enumerate() {
        if let Some(always) = always {
            let message = format!(
                "rule {} is never reached: rule {always} of this server has no `when` and always matches",
                place + 1
            );
            report.error(section.span(), message);
        } else if section.value("when").is_none() {
            always = Some(place + 1);
        }
        let conditions = condition::conditions(section, list, asking, report);
        report.source.rule(list, section.span(), condition::places(section));
        conditions_so_far += conditions.len();
        if conditions_so_far > QUESTIONS_MAX {
            let message = format!("the rules of one list have more than {QUESTIONS_MAX} conditions");
            report.error(section.span(), message);
            break;
        }
        if let Some(does) = lower(section, asking, report) {
            rules.push((conditions, does));
        }
    }
    Rules::new(rules)
}
