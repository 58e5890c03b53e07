//! What a rule of a `[[server]]` does: its one action, and what it changes.

use super::defined::Defined;
use super::edits;
use super::realm::Routes;
use super::server::Asking;
use crate::document::Report;
use crate::keys;
use crate::section::Section;
use std::ops::Range;
use std::sync::Arc;
use toml::de::DeValue;
use ulna_core::forward::PoolId;
use ulna_core::policy::{
    Accounting, AccountingRule, CoaDecision, CoaRule, Decision, Edits, NewRule, OngoingDecision, OngoingRule,
    Onward,
};

/// Which list of a server rules stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleList {
    /// `[[server.new]]`.
    New,
    /// `[[server.ongoing]]`.
    Ongoing,
    /// `[[server.reply]]`.
    Reply,
    /// `[[server.accounting]]`.
    Accounting,
    /// `[[server.coa]]`.
    Coa,
    /// `[[client_rule]]`.
    Client,
}

/// Where rules may forward to.
pub struct Ways<'d, 'c> {
    pools: &'c Defined<'d, PoolId>,
    /// Which realms' pools there are.
    of_realms: &'c Routes,
    /// Which of these some rule forwards to.
    by_realm: Routes,
}

impl<'d, 'c> Ways<'d, 'c> {
    pub fn new(pools: &'c Defined<'d, PoolId>, of_realms: &'c Routes) -> Self {
        Ways { pools, of_realms, by_realm: Routes::default() }
    }

    /// `proxy`: a pool, or that of the realm, which is then noted.
    fn onward(
        &mut self,
        section: &Section<'_>,
        noted: impl FnOnce(&mut Routes) -> &mut Option<Range<usize>>,
        report: &mut Report,
    ) -> Option<Onward> {
        let value = section.value("proxy")?;
        match value.get_ref() {
            DeValue::String(_) => self.pools.look_up("proxy", value, report).map(Onward::Pool),
            DeValue::Table(table) => {
                let inner = Section::open(&keys::PROXY, table, value.span(), report);
                if inner.value("by").is_none() {
                    inner.missing("by", report);
                }
                inner.word("by", &["realm"], &[], report)?;
                noted(&mut self.by_realm).get_or_insert(value.span());
                Some(Onward::ByRealm)
            }
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => {
                let expected = "the name of a [[pool]] or { by = \"realm\" }";
                section.refuse("proxy", expected, value, report);
                None
            }
        }
    }

    /// Reports what is forwarded by realm where no realm says where to, and warns of realms' pools that nothing leads to.
    pub fn check(&self, report: &mut Report) {
        for (rule, realm, key, list) in [
            (&self.by_realm.access, &self.of_realms.access, "pool", "[[server.new]]"),
            (
                &self.by_realm.accounting,
                &self.of_realms.accounting,
                "accounting_pool",
                "[[server.accounting]]",
            ),
        ] {
            match (rule, realm) {
                (Some(place), None) => {
                    let message = format!("`proxy = {{ by = \"realm\" }}` needs a [[realm]] with `{key}`");
                    report.error(place.clone(), message);
                }
                (None, Some(place)) => {
                    let message =
                        format!("`{key}` is not used: no rule of {list} has `proxy = {{ by = \"realm\" }}`");
                    report.warning(place.clone(), message);
                }
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
    }
}

pub fn new_rule<'d>(
    section: &Section<'d>,
    ways: &mut Ways<'_, '_>,
    asking: &mut Asking<'d, '_>,
    report: &mut Report,
) -> Option<NewRule> {
    let decision = decision(section, ways, report);
    let edits = all_edits(section, asking, report);
    decision.map(|decision| NewRule { decision, edits })
}

pub fn ongoing_rule<'d>(
    section: &Section<'d>,
    asking: &mut Asking<'d, '_>,
    report: &mut Report,
) -> Option<OngoingRule> {
    let action = action(section, &["continue", "reject"], report);
    let decision = action.and_then(|key| {
        is_true(section, key, report)?;
        Some(if key == "reject" { OngoingDecision::Reject } else { OngoingDecision::Continue })
    });
    let edits = all_edits(section, asking, report);
    decision.map(|decision| OngoingRule { decision, edits })
}

pub fn accounting_rule<'d>(
    section: &Section<'d>,
    ways: &mut Ways<'_, '_>,
    asking: &mut Asking<'d, '_>,
    report: &mut Report,
) -> Option<AccountingRule> {
    let edits = Edits {
        request: edits::request(section, asking, report),
        session: edits::session(section, asking, report),
        ..Edits::default()
    };
    let onward = ways.onward(section, |routes| &mut routes.accounting, report);
    let spools = spools(section, asking, report);
    let Some(store) = section.value("store") else {
        if section.value("proxy").is_none() {
            // RFC 2866 §4.1: what is not recorded is not acknowledged, so there is no rule that only accepts.
            report.error(section.span(), "the rule needs an action: `store`, `proxy` or both".into());
        }
        let edits = Arc::new(edits);
        let accounting = if spools? { Accounting::Spool } else { Accounting::Proxy };
        return onward.map(|onward| AccountingRule { accounting: accounting(onward), edits });
    };
    section.word("store", &["file"], &[], report)?;
    if !asking.has_accounting_file {
        let message = "`store = \"file\"` needs an [accounting.file] with a `path`";
        report.error(store.span(), message.into());
        return None;
    }
    let accounting = match (section.value("proxy"), onward) {
        (None, _) => Accounting::Store,
        (Some(_), onward) if spools? => Accounting::StoreAndSpool(onward?),
        (Some(_), onward) => Accounting::StoreAndProxy(onward?),
    };
    Some(AccountingRule { accounting, edits: Arc::new(edits) })
}

pub fn coa_rule<'d>(
    section: &Section<'d>,
    asking: &mut Asking<'d, '_>,
    report: &mut Report,
) -> Option<CoaRule> {
    let action = action(section, &["proxy", "reject"], report);
    let decision = action.and_then(|key| {
        if key == "reject" {
            is_true(section, key, report)?;
            return Some(CoaDecision::Reject);
        }
        section.word("proxy", &["client"], &[], report)?;
        Some(CoaDecision::Proxy)
    });
    let names_who = |when: &toml::Spanned<DeValue<'_>>| {
        let when = when.get_ref().as_table();
        when.is_some_and(|when| ["client", "network", "listener"].iter().any(|key| when.contains_key(*key)))
    };
    if decision == Some(CoaDecision::Proxy) && !section.value("when").is_some_and(names_who) {
        let message = "whoever may ask here, each NAS too, may change the sessions of all NASes: say who may with `client` or \
                       `network` in `when`";
        report.warning(section.span(), message.into());
    }
    let request = edits::request(section, asking, report);
    decision.map(|decision| CoaRule { decision, edits: Arc::new(Edits { request, ..Edits::default() }) })
}

/// `spool`; `None` if it is wrong.
fn spools(section: &Section<'_>, asking: &Asking<'_, '_>, report: &mut Report) -> Option<bool> {
    let Some(value) = section.value("spool") else { return Some(false) };
    let spools = section.boolean("spool", report)?;
    let needs = match (section.value("proxy"), asking.has_state_directory) {
        _ if !spools => return Some(false),
        (None, _) => "`spool = true` needs a `proxy`: where its records are sent on to",
        (Some(_), false) => "`spool = true` needs a `state_directory` in [runtime]: the spool is there",
        (Some(_), true) => return Some(true),
    };
    report.error(value.span(), needs.into());
    None
}

fn all_edits<'d>(section: &Section<'d>, asking: &mut Asking<'d, '_>, report: &mut Report) -> Arc<Edits> {
    Arc::new(Edits {
        request: edits::request(section, asking, report),
        reply: edits::reply(section, asking, report),
        session: edits::session(section, asking, report),
    })
}

fn decision(section: &Section<'_>, ways: &mut Ways<'_, '_>, report: &mut Report) -> Option<Decision> {
    match action(section, &["accept", "reject", "authenticate", "proxy"], report)? {
        "authenticate" => match section.word("authenticate", &["users", "mac"], &[], report)? {
            "mac" => Some(Decision::AuthenticateMac),
            _ => Some(Decision::AuthenticateUsers),
        },
        "proxy" => ways.onward(section, |routes| &mut routes.access, report).map(Decision::Proxy),
        key => {
            is_true(section, key, report)?;
            Some(if key == "accept" { Decision::Accept } else { Decision::Reject })
        }
    }
}

/// The one of these that is there; reports none, and several.
fn action<'k>(section: &Section<'_>, actions: &[&'k str], report: &mut Report) -> Option<&'k str> {
    let mut there = actions.iter().copied().filter(|key| section.value(key).is_some());
    match (there.next(), there.next()) {
        (Some(key), None) => Some(key),
        (Some(key), Some(second)) => {
            let place = section.key_span(second).unwrap_or(section.span());
            report.error(place, format!("a rule has one action, found `{key}` and `{second}`"));
            None
        }
        (None, _) => {
            let quoted: Vec<_> = actions.iter().map(|key| format!("`{key}`")).collect();
            let (last, others) = quoted.split_last().expect("there are actions");
            let message = format!("the rule needs an action: {} or {last}", others.join(", "));
            report.error(section.span(), message);
            None
        }
    }
}

fn is_true(section: &Section<'_>, key: &str, report: &mut Report) -> Option<()> {
    let value = section.value(key)?;
    if !matches!(value.get_ref(), DeValue::Boolean(true)) {
        section.refuse(key, "true", value, report);
        return None;
    }
    Some(())
}
