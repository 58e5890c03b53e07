//! What a configuration says besides sizes, who may speak, who may log in, by which rules, and how reloads change it.
//!
//! Sites are numbered in the order of the plan, 0 from the start. Decides nothing: what a server owes under a site is the
//! oracle's.

use crate::plan::{Client, Plan, User};
use serde::{Deserialize, Serialize};

/// One configuration, as far as reloads change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Who may speak.
    pub clients: Vec<Client>,
    /// Who may log in.
    pub users: Vec<User>,
    /// By which rules.
    pub rules: Rules,
    /// Whether a rule answers accounting; without one it is discarded.
    pub answers_accounting: bool,
    /// How many workers there are.
    pub workers: u16,
}

/// Rules of the one virtual server. Without any, everybody who has a user's password is let in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// The first that matches decides; behind them stands one that lets users in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new: Vec<NewRule>,
    /// The first that matches edits the reply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reply: Vec<ReplyRule>,
}

/// A `[[server.new]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRule {
    /// For which requests.
    pub when: When,
    /// What becomes of them.
    pub action: Action,
    /// `set_request`: the User-Name that users are looked for by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// `set_reply`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_reply: Vec<(u8, Vec<u8>)>,
    /// `remove_reply`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_reply: Vec<u8>,
}

/// A `[[server.reply]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplyRule {
    /// For which requests.
    pub when: When,
    /// For which of both replies.
    pub accept: bool,
    /// `set_reply`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_reply: Vec<(u8, Vec<u8>)>,
    /// `remove_reply`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_reply: Vec<u8>,
}

/// What a rule does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Look for its user's password.
    Users,
    /// Access-Accept.
    Accept,
    /// Access-Reject.
    Reject,
}

/// Conditions, all of which must hold; those that are absent do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// The realm of the User-Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// The client's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// One of these is the NAS-Port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nas_port: Vec<u32>,
    /// Minutes of the day, UTC: from the first to the one before the last, over midnight if need be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<(u32, u32)>,
}

/// A new configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reload {
    /// When its operator asks for it, in virtual milliseconds.
    pub at_ms: u64,
    /// What differs from the one before.
    pub changes: Vec<Change>,
    /// How many workers there are to be from then on, if it says so. Nothing where threads are joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<u16>,
    /// Only files of tables of secrets change, which are watched: no configuration is read anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tables: bool,
}

/// One thing that differs. Clients and users go by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Change {
    /// A client has other secrets.
    Secrets {
        /// Whose.
        client: String,
        /// The new one.
        secret: String,
        /// The one before it, where it still holds.
        old_secret: Option<String>,
    },
    /// A client is gone.
    Remove(String),
    /// A client comes, at this place of the file.
    Add(usize, Client),
    /// A user has another password.
    Password(String, String),
    /// A user's Access-Accept carries something else.
    Reply(String, Vec<(u8, Vec<u8>)>),
    /// Other rules.
    Rules(Rules),
}

impl Client {
    /// Whether it is known by a client rule, and not by its network.
    pub fn is_ruled(&self) -> bool {
        self.rule.is_some()
    }

    /// Its secrets, the newest first.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.secret).chain(&self.old_secret).map(String::as_str)
    }

    /// One of its secrets by its place.
    ///
    /// # Panics
    /// If it has no such.
    pub fn secret(&self, place: usize) -> &[u8] {
        self.secrets().nth(place).expect("a place that this client's secrets were found at").as_bytes()
    }
}

impl Site {
    /// The site that a plan begins with.
    pub fn first(plan: &Plan) -> Site {
        let topology = &plan.topology;
        Site {
            clients: topology.clients.clone(),
            users: topology.users.clone(),
            rules: topology.rules.clone(),
            answers_accounting: topology.answers_accounting,
            workers: topology.workers,
        }
    }

    /// All sites of a plan, in order.
    pub fn all(plan: &Plan) -> Vec<Site> {
        let mut sites = vec![Site::first(plan)];
        for reload in &plan.reloads {
            let mut site = sites[sites.len() - 1].clone();
            reload.changes.iter().for_each(|change| site.change(change));
            if plan.topology.network_threads > 0 {
                site.workers = reload.workers.unwrap_or(site.workers);
            }
            sites.push(site);
        }
        sites
    }

    /// Does one change. One of something that is not there, as in a plan that was shrunk by hand, does nothing.
    pub fn change(&mut self, change: &Change) {
        let Site { clients, users, rules, .. } = self;
        let user = |users: &mut Vec<User>, name: &str| users.iter().position(|user| user.name == name);
        match change {
            Change::Secrets { client, secret, old_secret } => {
                for client in clients.iter_mut().filter(|other| other.name == *client) {
                    (client.secret, client.old_secret) = (secret.clone(), old_secret.clone());
                }
            }
            Change::Remove(name) => {
                clients.retain(|client| client.name != *name);
                // A rule that asks for a client that there is not is refused.
                rules.new.retain(|rule| rule.when.client.as_ref() != Some(name));
                rules.reply.retain(|rule| rule.when.client.as_ref() != Some(name));
            }
            Change::Add(place, client) => clients.insert((*place).min(clients.len()), client.clone()),
            Change::Password(name, password) => {
                if let Some(place) = user(users, name) {
                    users[place].password.clone_from(password);
                }
            }
            Change::Reply(name, reply) => {
                if let Some(place) = user(users, name) {
                    users[place].reply.clone_from(reply);
                }
            }
            Change::Rules(other) => rules.clone_from(other),
        }
    }

    /// Whether what is owed may depend on the time on the wall.
    pub fn asks_for_the_time(&self) -> bool {
        let new = self.rules.new.iter().map(|rule| &rule.when);
        new.chain(self.rules.reply.iter().map(|rule| &rule.when)).any(|when| when.minutes.is_some())
    }
}

impl Rules {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.reply.is_empty()
    }
}
