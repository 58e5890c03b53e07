//! Whose a packet would be, in words: a configured client's, or of whom a client rule would admit.

use std::fmt;

use ulna_core::attributes::Scratch;
use ulna_core::client::{Client, ClientRule, RuleSecret, Whom, look_up_key};
use ulna_core::configuration::Configuration;
use ulna_core::effect::LookedUp;
use ulna_core::generation::Generation;
use ulna_core::packet::{Framed, Secrets};
use ulna_core::path::Path;
use ulna_core::policy::{Asked, EMPTY_SESSION};
use ulna_core::time::UnixTime;

/// Who a packet claims to be.
pub enum Claimant<'c> {
    /// A configured client.
    Configured(&'c Client),
    /// Of whom this rule would admit.
    Ruled { rule: &'c ClientRule, key: Option<Vec<u8>>, found: Option<(Box<str>, Box<Secrets>)> },
    /// There are client rules for its address, none of which it matches.
    Unmatched,
    /// Nobody.
    Nobody,
}

impl<'c> Claimant<'c> {
    /// Of this packet, which comes that way at that time.
    pub fn of(configuration: &'c Configuration, path: Path, framed: Framed<'_>, time: UnixTime) -> Self {
        let rules = &configuration.client_rules;
        match rules.decide(&configuration.clients, path.remote.ip()) {
            Whom::Nobody => return Claimant::Nobody,
            Whom::Configured(client) => return Claimant::Configured(configuration.clients.client(client)),
            Whom::Rules => {}
        }
        let asked = Asked {
            generation: Generation::default(),
            dictionary: &configuration.dictionary,
            framed,
            attributes: framed.attributes(),
            session: &EMPTY_SESSION,
            client: "",
            listener: &configuration.listeners[usize::from(path.listener.0)],
            path,
            time,
        };
        let Some(place) = rules.first_match(&asked, &mut rules.sheet()) else { return Claimant::Unmatched };
        let rule = rules.rule(place);
        let (key, found) = match &rule.secret {
            RuleSecret::Own(secrets) => (None, Some(((*rule.name).into(), secrets.clone()))),
            RuleSecret::Table { source, key, .. } => {
                let key = look_up_key(&framed, key, &configuration.dictionary, &mut Scratch::default());
                let table = configuration.secret_tables.iter().find(|table| table.source == *source);
                let found = key.as_ref().zip(table).and_then(|(key, table)| match table.look_up(key) {
                    LookedUp::Found { name, secrets } => Some((name, secrets)),
                    LookedUp::NotFound | LookedUp::Failed => None,
                });
                (key, found)
            }
        };
        Claimant::Ruled { rule, key, found }
    }

    /// The secrets that it would be verified under.
    pub fn secrets(&self) -> Option<&Secrets> {
        match self {
            Claimant::Configured(client) => Some(&client.secrets),
            Claimant::Ruled { found, .. } => found.as_ref().map(|(_, secrets)| &**secrets),
            Claimant::Unmatched | Claimant::Nobody => None,
        }
    }
}

impl fmt::Display for Claimant<'_> {
    /// One line for a rule and what it finds; of a configured client its name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Claimant::Configured(client) => write!(f, "\"{}\"", client.name),
            Claimant::Unmatched => f.write_str("none: no [[client_rule]] for its address matches"),
            Claimant::Nobody => f.write_str("none"),
            Claimant::Ruled { rule, key, found } => {
                let shown = |key: &[u8]| String::from_utf8_lossy(key).escape_debug().to_string();
                let rule_name = &rule.name;
                match (&rule.secret, key, found) {
                    (RuleSecret::Own(_), _, _) => {
                        write!(f, "by rule \"{rule_name}\", which has the secret itself")
                    }
                    (RuleSecret::Table { .. }, Some(key), Some((name, _))) => {
                        write!(f, "\"{name}\", by rule \"{rule_name}\" with key \"{}\"", shown(key))
                    }
                    (RuleSecret::Table { source, .. }, Some(key), None) => {
                        write!(f, "none: rule \"{rule_name}\" finds no key \"{}\" in {source}", shown(key))
                    }
                    (RuleSecret::Table { .. }, None, _) => write!(
                        f,
                        "none: rule \"{rule_name}\" matches, but the packet has not the attribute that it looks up by; it \
                         would be tried under the clients that were admitted from there last"
                    ),
                }
            }
        }
    }
}
