//! Where a request that is to be forwarded goes on to, by what is configured. Which servers live is no file's to know.

use std::fmt;

use ulna_core::ServerId;
use ulna_core::configuration::Configuration;
use ulna_core::conversation::realm::realm_of;
use ulna_core::forward::{Balance, OnDead, Pool, Realm};
use ulna_core::packet::{Framed, Landmark};
use ulna_core::policy::Onward;

/// The way of one request.
pub struct Route<'c> {
    configuration: &'c Configuration,
    onward: Onward,
    /// What the grammar finds in the User-Name.
    realm: Option<String>,
    /// Which of the configuration's that is.
    configured: Option<&'c Realm>,
    /// Whose rules its conversation meets from its second request on; accounting has none.
    server: Option<ServerId>,
}

impl<'c> Route<'c> {
    /// That of an Access-Request to this virtual server.
    pub fn of_access(
        configuration: &'c Configuration,
        onward: Onward,
        request: Framed<'_>,
        server: ServerId,
    ) -> Route<'c> {
        Route { server: Some(server), ..Route::of_accounting(configuration, onward, request) }
    }

    /// That of accounting.
    pub fn of_accounting(configuration: &'c Configuration, onward: Onward, request: Framed<'_>) -> Route<'c> {
        // As it was received: what a rule makes of the name leads nowhere else.
        let realm = request.value(Landmark::UserName).and_then(realm_of);
        let configured = configuration.realms.find(realm).map(|realm| configuration.realms.realm(realm));
        Route { configuration, onward, realm: realm.map(Into::into), configured, server: None }
    }

    /// The pool that it goes to; `None`: nowhere.
    pub fn pool(&self) -> Option<&'c Pool> {
        let pool = match self.onward {
            Onward::Pool(pool) => Some(pool),
            Onward::ByRealm => self.configured.and_then(|realm| match self.server {
                Some(_) => realm.pool,
                None => realm.accounting_pool,
            }),
        };
        pool.map(|pool| self.configuration.pool(pool))
    }

    fn write_realm(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.realm {
            Some(realm) => write!(f, "realm: \"{}\"", realm.escape_debug())?,
            None => write!(f, "realm: the User-Name has none")?,
        }
        match self.configured {
            Some(realm) => writeln!(f, ", by [[realm]] \"{}\"", realm.name.escape_debug()),
            None => writeln!(f, ", and no [[realm]] is for that"),
        }
    }

    fn write_pool(&self, pool: &Pool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let balance = match pool.balance {
            Balance::Failover => "to the first of these that lives",
            Balance::RoundRobin => "to one of these after the other",
            Balance::LeastOutstanding => "to that of these with the fewest requests waiting",
            Balance::Hash => "to one of these by a hash",
        };
        writeln!(f, "pool: \"{}\", {balance}", pool.name.escape_debug())?;
        for member in &pool.members {
            let server = self.configuration.remote_server(member.server);
            write!(f, "    \"{}\" at {}", server.name.escape_debug(), server.address)?;
            match member.weight {
                1 => writeln!(f)?,
                weight => writeln!(f, ", weight {weight}")?,
            }
        }
        Ok(())
    }

    fn write_ongoing(&self, server: ServerId, pool: &Pool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.configuration.server(server);
        let asked = server.ongoing_server.map_or(server, |other| self.configuration.server(other));
        write!(f, "ongoing: further requests of its conversation ")?;
        if !asked.ongoing.is_empty() {
            let rules = rules(asked.ongoing.len());
            let name = asked.name.escape_debug();
            write!(f, "meet {rules} of [[server.ongoing]] of \"{name}\", and those that continue ")?;
        }
        match pool.on_dead {
            OnDead::Fail => writeln!(f, "go to the same server, and fail if that has died (`on_dead`)")?,
            OnDead::Repick => writeln!(f, "go to the same server, or another if that has died (`on_dead`)")?,
        }
        if !server.reply.is_empty() {
            let rules = rules(server.reply.len());
            writeln!(f, "reply: the server's, which meets {rules} of [[server.reply]]")?;
        }
        Ok(())
    }
}

fn rules(count: usize) -> String {
    if count == 1 { "the rule".into() } else { format!("the {count} rules") }
}

impl fmt::Display for Route<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_realm(f)?;
        let Some(pool) = self.pool() else {
            let key = if self.server.is_some() { "pool" } else { "accounting_pool" };
            return match self.configured {
                Some(_) => writeln!(f, "pool: none, as its [[realm]] has no `{key}`"),
                None => writeln!(f, "pool: none, as it has no [[realm]]"),
            };
        };
        self.write_pool(pool, f)?;
        match self.server {
            Some(server) => self.write_ongoing(server, pool, f),
            None => Ok(()),
        }
    }
}
