//! `[[server]]` and its rules.

use super::{Names, condition, edits};
use crate::document::Report;
use crate::keys::{self, Keys};
use crate::section::Section;
use crate::shown;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use toml::de::DeValue;
use ulna_core::ServerId;
use ulna_core::dictionary::{Dictionary, nearest};
use ulna_core::policy::{
    Accounting, AccountingRule, Condition, Decision, Edits, NewRule, QUESTIONS_MAX, Rules, VirtualServer,
};

/// Actions that a rule will have; the keys themselves are refused where the table is opened.
const ACTIONS_LATER: &[&str] = &["proxy", "store", "continue"];

/// Which list of a server rules stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleList {
    /// `[[server.new]]`.
    New,
    /// `[[server.reply]]`.
    Reply,
    /// `[[server.accounting]]`.
    Accounting,
    /// `[[client_rule]]`.
    Client,
}

/// What all rules are read with, and what they name that stands elsewhere.
pub struct Asking<'d, 'c> {
    pub dictionary: &'c Dictionary,
    /// Whether there is a file that rules may store in.
    pub has_accounting_file: bool,
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
    report: &mut Report,
) -> (Vec<VirtualServer>, BTreeMap<&'d str, ServerId>) {
    let mut servers = Vec::new();
    let mut numbers = BTreeMap::new();
    let mut names = Names::default();
    let mut asking = Asking { has_accounting_file: has_accounting_file(file), ..Asking::new(dictionary) };
    for section in &file.tables("server", &keys::SERVER, report) {
        let name = section.name("name", report);
        report.source.begin_server();
        let new = rules(section, "new", &keys::RULE, RuleList::New, &mut asking, report, new_rule);
        let reply = rules(
            section,
            "reply",
            &keys::REPLY_RULE,
            RuleList::Reply,
            &mut asking,
            report,
            |rule, asking, report| Some(edits::reply(rule, asking, report)),
        );
        let accounting = rules(
            section,
            "accounting",
            &keys::ACCOUNTING_RULE,
            RuleList::Accounting,
            &mut asking,
            report,
            accounting_rule,
        );
        let Some(name) = name else { continue };
        let Ok(number) = u16::try_from(servers.len()) else {
            report.error(section.span(), "more than 65536 servers".into());
            break;
        };
        if names.add("server", &name, report) {
            numbers.insert(*name.get_ref(), ServerId(number));
            let (ongoing, ongoing_server) = (Rules::default(), None);
            let name = (*name.get_ref()).into();
            servers.push(VirtualServer { name, new, ongoing, ongoing_server, reply, accounting });
        }
    }
    asking.check(file, report);
    (servers, numbers)
}

fn has_accounting_file(file: &Section<'_>) -> bool {
    let accounting = file.value("accounting").and_then(|value| value.get_ref().as_table());
    accounting.is_some_and(|accounting| accounting.contains_key("file"))
}

impl<'c> Asking<'_, 'c> {
    pub fn new(dictionary: &'c Dictionary) -> Self {
        Asking {
            dictionary,
            has_accounting_file: false,
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

fn new_rule<'d>(section: &Section<'d>, asking: &mut Asking<'d, '_>, report: &mut Report) -> Option<NewRule> {
    let decision = decision(section, report);
    let edits = Edits {
        request: edits::request(section, asking, report),
        reply: edits::reply(section, asking, report),
        session: edits::session(section, asking, report),
    };
    decision.map(|decision| NewRule { decision, edits: Arc::new(edits) })
}

fn accounting_rule<'d>(
    section: &Section<'d>,
    asking: &mut Asking<'d, '_>,
    report: &mut Report,
) -> Option<AccountingRule> {
    let edits = Edits {
        request: edits::request(section, asking, report),
        session: edits::session(section, asking, report),
        ..Edits::default()
    };
    if section.value("store").is_none() {
        if ACTIONS_LATER.iter().all(|key| section.value(key).is_none()) {
            // RFC 2866 §4.1: what is not recorded is not acknowledged, so there is no rule that only accepts.
            report.error(section.span(), "the rule needs an action: `store`".into());
        }
        return None;
    }
    section.word("store", &["file"], &[], report)?;
    if !asking.has_accounting_file {
        let place = section.value("store").map_or(section.span(), toml::Spanned::span);
        report.error(place, "`store = \"file\"` needs an [accounting.file] with a `path`".into());
        return None;
    }
    Some(AccountingRule { accounting: Accounting::Store, edits: Arc::new(edits) })
}

fn decision(section: &Section<'_>, report: &mut Report) -> Option<Decision> {
    let decisions = [
        ("accept", Decision::Accept),
        ("reject", Decision::Reject),
        ("authenticate", Decision::AuthenticateUsers),
    ];
    let mut there = decisions.into_iter().filter(|(key, _)| section.value(key).is_some());
    let Some((key, decision)) = there.next() else {
        if ACTIONS_LATER.iter().all(|key| section.value(key).is_none()) {
            let message = "the rule needs an action: `accept`, `reject` or `authenticate`";
            report.error(section.span(), message.into());
        }
        return None;
    };
    if let Some((second, _)) = there.next() {
        let place = section.key_span(second).unwrap_or(section.span());
        report.error(place, format!("a rule has one action, found `{key}` and `{second}`"));
        return None;
    }
    match decision {
        Decision::AuthenticateUsers | Decision::AuthenticateMac => {
            let word = section.word(key, &["users", "mac"], &[], report)?;
            return Some(if word == "mac" { Decision::AuthenticateMac } else { decision });
        }
        Decision::Accept | Decision::Reject | Decision::Proxy(_) => {
            let value = section.value(key)?;
            if !matches!(value.get_ref(), DeValue::Boolean(true)) {
                section.refuse(key, "true", value, report);
                return None;
            }
        }
    }
    Some(decision)
}
