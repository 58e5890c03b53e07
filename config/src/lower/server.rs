//! `[[server]]` and its rules.

use super::{Names, attributes};
use crate::document::Report;
use crate::keys;
use crate::section::Section;
use std::collections::BTreeMap;
use toml::de::DeValue;
use ulna_core::ServerId;
use ulna_core::dictionary::Dictionary;
use ulna_core::policy::{Action, Rule, VirtualServer};

/// Actions that a rule will have; the keys themselves are refused where the table is opened.
const ACTIONS_LATER: &[&str] = &["proxy", "store", "continue"];

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
    for section in &file.tables("server", &keys::SERVER, report) {
        let name = section.name("name", report);
        let new = rules(section, dictionary, report);
        let Some(name) = name else { continue };
        let Ok(number) = u16::try_from(servers.len()) else {
            report.error(section.span(), "more than 65536 servers".into());
            break;
        };
        if names.add("server", &name, report) {
            numbers.insert(*name.get_ref(), ServerId(number));
            servers.push(VirtualServer { name: (*name.get_ref()).into(), new });
        }
    }
    (servers, numbers)
}

fn rules(server: &Section<'_>, dictionary: &Dictionary, report: &mut Report) -> Vec<Rule> {
    let mut rules = Vec::new();
    // The number, from 1, of the first rule that always matches.
    let mut always = None;
    for (place, section) in server.tables("new", &keys::RULE, report).iter().enumerate() {
        if let Some(always) = always {
            let message = format!(
                "rule {} is never reached: rule {always} of this server has no `when` and always matches",
                place + 1
            );
            report.error(section.span(), message);
        } else if section.value("when").is_none() {
            always = Some(place + 1);
        }
        let action = action(section, report);
        let set_reply = attributes::reply(section, "set_reply", dictionary, report);
        if let Some(action) = action {
            rules.push(Rule { action, set_reply });
        }
    }
    rules
}

fn action(section: &Section<'_>, report: &mut Report) -> Option<Action> {
    let actions =
        [("accept", Action::Accept), ("reject", Action::Reject), ("authenticate", Action::AuthenticateUsers)];
    let mut there = actions.into_iter().filter(|(key, _)| section.value(key).is_some());
    let Some((key, action)) = there.next() else {
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
    match action {
        Action::AuthenticateUsers => {
            section.word(key, &["users"], &["mac"], report)?;
        }
        Action::Accept | Action::Reject => {
            let value = section.value(key)?;
            if !matches!(value.get_ref(), DeValue::Boolean(true)) {
                section.refuse(key, "true", value, report);
                return None;
            }
        }
    }
    Some(action)
}
