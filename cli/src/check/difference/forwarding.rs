//! What changes of realms, pools and remote servers, and whether rules of two configurations forward alike. Tables are known by
//! their names: their numbers are each configuration's own.

use std::collections::BTreeMap;

use ulna_core::configuration::Configuration;
use ulna_core::forward::{Pool, PoolId, Realm, RemoteServer};
use ulna_core::policy::{Accounting, AccountingRule, Decision, NewRule, Onward};

use super::{Of, changed, compare};

/// Tells of all of them.
pub fn forwarding(new: &Configuration, old: &Configuration, lines: &mut Vec<String>) {
    let of = |configuration| Forwarding::of(configuration);
    let (new_tables, old_tables) = (of(new), of(old));
    let what = |name: &str| format!("remote server \"{}\"", name.escape_debug());
    compare(what, &new_tables.servers, &old_tables.servers, server_changes, lines);
    let what = |name: &str| format!("pool \"{}\"", name.escape_debug());
    let changes = |one: &Pool, other: &Pool| pool_changes((new, one), (old, other));
    compare(what, &new_tables.pools, &old_tables.pools, changes, lines);
    let what = |name: &str| format!("realm \"{}\"", name.escape_debug());
    let changes = |one: &Realm, other: &Realm| realm_changes((new, one), (old, other));
    compare(what, &new_tables.realms, &old_tables.realms, changes, lines);
}

/// All tables by their names.
struct Forwarding<'c> {
    servers: BTreeMap<&'c str, &'c RemoteServer>,
    pools: BTreeMap<&'c str, &'c Pool>,
    realms: BTreeMap<&'c str, &'c Realm>,
}

impl<'c> Forwarding<'c> {
    fn of(configuration: &'c Configuration) -> Forwarding<'c> {
        Forwarding {
            servers: configuration.remote_servers.iter().map(|server| (&*server.name, server)).collect(),
            pools: configuration.pools.iter().map(|pool| (&*pool.name, pool)).collect(),
            realms: configuration.realms.iter().map(|realm| (&*realm.name, realm)).collect(),
        }
    }
}

fn server_changes(new: &RemoteServer, old: &RemoteServer) -> Vec<&'static str> {
    changed(&[
        ("address", new.address != old.address),
        ("resolve_interval", new.resolve_interval != old.resolve_interval),
        ("source_address", new.source_address != old.source_address),
        ("secret", new.secret != old.secret),
        (
            "require_message_authenticator",
            new.require_message_authenticator != old.require_message_authenticator,
        ),
        ("status_check", new.status_check != old.status_check),
        ("response_window", new.response_window != old.response_window),
        ("zombie_period", new.zombie_period != old.zombie_period),
        ("revive_interval", new.revive_interval != old.revive_interval),
        ("status_interval", new.status_interval != old.status_interval),
        ("outstanding_max", new.outstanding_max != old.outstanding_max),
    ])
}

fn pool_changes(new: Of<'_, Pool>, old: Of<'_, Pool>) -> Vec<&'static str> {
    let (one, other) = (new.1, old.1);
    changed(&[
        ("balance", one.balance != other.balance),
        ("on_dead", one.on_dead != other.on_dead),
        ("hash_by", one.hash_by != other.hash_by),
        ("remote_servers", !members(new).eq(members(old))),
    ])
}

/// By their names, each with its weight.
fn members<'c>((configuration, pool): Of<'c, Pool>) -> impl Iterator<Item = (&'c str, u32)> {
    pool.members.iter().map(move |member| (&*configuration.remote_server(member.server).name, member.weight))
}

fn realm_changes(new: Of<'_, Realm>, old: Of<'_, Realm>) -> Vec<&'static str> {
    let (one, other) = (new.1, old.1);
    let differs = |of: fn(&Realm) -> Option<PoolId>| pool_name(new.0, of(one)) != pool_name(old.0, of(other));
    changed(&[
        ("pool", differs(|realm| realm.pool)),
        ("accounting_pool", differs(|realm| realm.accounting_pool)),
        ("subrealms", one.subrealms != other.subrealms),
        ("state_lifetime", one.state_lifetime != other.state_lifetime),
        ("state_max", one.state_max != other.state_max),
    ])
}

fn pool_name(configuration: &Configuration, pool: Option<PoolId>) -> Option<&str> {
    pool.map(|pool| &*configuration.pool(pool).name)
}

/// Whether rules for new requests do the same.
pub fn is_same_new(new: Of<'_, NewRule>, old: Of<'_, NewRule>) -> bool {
    let decision = match (new.1.decision, old.1.decision) {
        (Decision::Proxy(one), Decision::Proxy(other)) => is_same_way((new.0, one), (old.0, other)),
        (one, other) => one == other,
    };
    decision && new.1.edits == old.1.edits
}

/// Whether rules for accounting do.
pub fn is_same_accounting(new: Of<'_, AccountingRule>, old: Of<'_, AccountingRule>) -> bool {
    let accounting = match (new.1.accounting, old.1.accounting) {
        (Accounting::Proxy(one), Accounting::Proxy(other))
        | (Accounting::StoreAndProxy(one), Accounting::StoreAndProxy(other))
        | (Accounting::Spool(one), Accounting::Spool(other))
        | (Accounting::StoreAndSpool(one), Accounting::StoreAndSpool(other)) => {
            is_same_way((new.0, one), (old.0, other))
        }
        (one, other) => one == other,
    };
    accounting && new.1.edits == old.1.edits
}

fn is_same_way((new, one): (&Configuration, Onward), (old, other): (&Configuration, Onward)) -> bool {
    match (one, other) {
        (Onward::Pool(one), Onward::Pool(other)) => new.pool(one).name == old.pool(other).name,
        (Onward::ByRealm, Onward::ByRealm) => true,
        (Onward::Pool(_), Onward::ByRealm) | (Onward::ByRealm, Onward::Pool(_)) => false,
    }
}
