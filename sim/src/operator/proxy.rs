//! Remote servers, pools, realms, and the clients whose users they decide about, in the language of the configuration.

use crate::plan::proxy::{ProxyPlan, RemoteServerPlan};
use std::fmt::{Result, Write};

/// All that stands before `[[server]]`.
pub(super) fn write_remote_servers(out: &mut String, proxy: &ProxyPlan) -> Result {
    for (place, nas) in proxy.nases.iter().enumerate() {
        writeln!(out, "[[client]]\nname = {:?}", ProxyPlan::client_name(place))?;
        writeln!(out, "network = \"{}\"\nsecret = {:?}", nas.address, nas.secret)?;
        writeln!(out, "require_message_authenticator = true")?;
    }
    for neighbour in &proxy.neighbours {
        writeln!(out, "[[client]]\nname = {:?}", neighbour.name)?;
        writeln!(out, "network = \"{}\"\nsecret = {:?}", neighbour.address, neighbour.secret)?;
        writeln!(out, "require_message_authenticator = true")?;
    }
    for server in &proxy.remote_servers {
        let RemoteServerPlan { name, address, secret, .. } = server;
        writeln!(out, "[[remote_server]]\nname = {name:?}\naddress = \"{address}\"\nsecret = {secret:?}")?;
        for (key, milliseconds) in [
            ("response_window", server.response_window_ms),
            ("zombie_period", server.zombie_period_ms),
            ("revive_interval", server.revive_interval_ms),
        ] {
            writeln!(out, "{key} = \"{milliseconds}ms\"")?;
        }
        if server.answers_status {
            writeln!(out, "status_check = \"status-server\"")?;
            writeln!(out, "status_interval = \"{}ms\"", server.status_interval_ms)?;
        }
        writeln!(out, "outstanding_max = {}", server.outstanding_max)?;
    }
    for pool in &proxy.pools {
        let names =
            pool.remote_servers.iter().map(|server| format!("{:?}", proxy.remote_servers[*server].name));
        writeln!(out, "[[pool]]\nname = {:?}\nbalance = {:?}", pool.name, pool.balance)?;
        if pool.balance == "hash" {
            writeln!(out, "hash_by = [\"User-Name\", \"Calling-Station-Id\"]")?;
        }
        writeln!(out, "remote_servers = [{}]", names.collect::<Vec<_>>().join(", "))?;
        writeln!(out, "on_dead = {:?}", if pool.repick { "repick" } else { "fail" })?;
    }
    for realm in &proxy.realms {
        let pool = &proxy.pools[realm.pool].name;
        writeln!(out, "[[realm]]\nname = {:?}\npool = {pool:?}\naccounting_pool = {pool:?}", realm.name)?;
    }
    Ok(())
}

/// The rules by which records go on, stored before or not.
pub(super) fn write_rules_of_records(out: &mut String, proxy: &ProxyPlan, are_stored: bool) -> Result {
    for client in (0..proxy.nases.len()).map(ProxyPlan::client_name) {
        writeln!(
            out,
            "[[server.accounting]]\nwhen = {{ client = {client:?} }}\nproxy = {{ by = \"realm\" }}"
        )?;
        if are_stored {
            writeln!(out, "store = \"file\"")?;
        }
    }
    Ok(())
}

/// The rules by which requests go on, before all others.
pub(super) fn write_rules_of_realms(out: &mut String, proxy: &ProxyPlan) -> Result {
    let neighbours = proxy.neighbours.iter().map(|neighbour| neighbour.name.clone());
    for client in (0..proxy.nases.len()).map(ProxyPlan::client_name).chain(neighbours) {
        writeln!(out, "[[server.new]]\nwhen = {{ client = {client:?} }}\nproxy = {{ by = \"realm\" }}")?;
    }
    Ok(())
}
