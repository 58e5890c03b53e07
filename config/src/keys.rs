//! The names of the configuration: the contract with operators. Names are added here, never renamed.

use crate::shown;
use std::borrow::Cow;
use toml::Spanned;
use ulna_core::dictionary::nearest;

/// The keys of one kind of table.
pub struct Keys {
    /// How the table is written, for messages.
    pub label: &'static str,
    /// Those that do something.
    pub built: &'static [&'static str],
    /// Those that are promised; refused until they do something, so that nobody relies on them in vain.
    pub later: &'static [&'static str],
}

pub const ROOT: Keys = Keys {
    label: "the file",
    built: &[
        "include",
        "runtime",
        "protocol",
        "listen",
        "client",
        "client_rule",
        "limits",
        "user",
        "remote_server",
        "pool",
        "realm",
        "server",
        "accounting",
        "log",
        "control",
    ],
    later: &["metrics"],
};

pub const RUNTIME: Keys = Keys {
    label: "[runtime]",
    built: &[
        "network_threads",
        "workers",
        "dictionaries",
        "signal",
        "linger_max",
        "linger_cpu",
        "ring_slots",
        "requests_max",
        "receive_buffer_octets",
        "dedup_entries_max",
        "replies_octets_max",
        "streams_octets_max",
        "hash_threads",
        "hash_line_max",
        "state_directory",
    ],
    later: &[],
};

pub const CONTROL: Keys = Keys {
    label: "[control]",
    built: &["socket", "mode", "group", "connections_max", "buffer_octets", "mark", "patience"],
    later: &[],
};

pub const PROTOCOL: Keys = Keys {
    label: "[protocol]",
    built: &[
        "reject_delay",
        "delayed_rejects_max",
        "request_timeout",
        "new_request_wait_max",
        "dedup_lifetime",
        "failures_max",
        "failure_window",
        "state_lifetime",
        "state_max",
        "unroutable",
        "event_timestamp_window",
        "require_event_timestamp",
    ],
    later: &[],
};

pub const LISTEN: Keys = Keys {
    label: "[[listen]]",
    built: &[
        "name",
        "transport",
        "address",
        "packets",
        "server",
        "connected",
        "connections_max",
        "connections_per_address_max",
        "idle_timeout",
        "read_timeout",
        "write_timeout",
        "packets_per_second",
    ],
    later: &[],
};

pub const CLIENT: Keys = Keys {
    label: "[[client]]",
    built: &[
        "name",
        "network",
        "secret",
        "require_message_authenticator",
        "limit_proxy_state",
        "coa_address",
        "nas_identifier",
    ],
    later: &[],
};

pub const CLIENT_RULE: Keys = Keys {
    label: "[[client_rule]]",
    built: &[
        "name",
        "network",
        "nat",
        "connected",
        "prefer",
        "when",
        "secret",
        "require_message_authenticator",
        "limit_proxy_state",
        "lifetime",
        "idle_timeout",
        "negative_lifetime",
        "limits",
    ],
    later: &[],
};

/// `secret = { table = …, key = … }`.
pub const TABLE_SECRET: Keys =
    Keys { label: "the `secret` of a client rule", built: &["table", "key"], later: &[] };

/// `"site-7" = { … }` in a table of secrets.
pub const SECRET_TABLE: Keys = Keys { label: "a table of secrets", built: &["secret", "name"], later: &[] };

pub const LIMITS: Keys = Keys {
    label: "[limits]",
    built: &[
        "clients",
        "connections",
        "pending",
        "new_per_second",
        "held_octets",
        "unverified_per_second",
        "connected_sockets_max",
    ],
    later: &[],
};

/// `limits = { … }` of a client rule.
pub const RULE_LIMITS: Keys = Keys {
    label: "the `limits` of a client rule",
    built: &[
        "clients",
        "connections",
        "connections_per_client",
        "pending",
        "new_per_second",
        "packets_per_second",
        "held_packets",
        "per_address",
    ],
    later: &[],
};

/// `per_address = { … }` in those.
pub const ADDRESS_LIMITS: Keys = Keys {
    label: "the `per_address` of `limits`",
    built: &["connections", "pending", "new_per_second"],
    later: &[],
};

pub const USER: Keys =
    Keys { label: "[[user]]", built: &["name", "password", "one_time_code", "mac", "reply"], later: &[] };

/// What `one_time_code` is made of. A key that nobody knows may be the seed.
pub const ONE_TIME_CODE: Keys =
    Keys { label: "{ totp = \"…\" }", built: &["totp", "algorithm", "digits", "period"], later: &[] };

pub const REMOTE_SERVER: Keys = Keys {
    label: "[[remote_server]]",
    built: &[
        "name",
        "address",
        "transport",
        "secret",
        "require_message_authenticator",
        "status_check",
        "response_window",
        "zombie_period",
        "revive_interval",
        "status_interval",
        "outstanding_max",
        "source_address",
        "resolve_interval",
    ],
    later: &["coa_address"],
};

pub const POOL: Keys = Keys {
    label: "[[pool]]",
    built: &["name", "balance", "on_dead", "hash_by", "remote_servers"],
    later: &[],
};

/// `{ name = "b", weight = 2 }` among those.
pub const POOL_MEMBER: Keys =
    Keys { label: "the `remote_servers` of a pool", built: &["name", "weight"], later: &[] };

pub const REALM: Keys = Keys {
    label: "[[realm]]",
    built: &["name", "pool", "accounting_pool", "subrealms", "state_lifetime", "state_max"],
    later: &[],
};

pub const SERVER: Keys = Keys {
    label: "[[server]]",
    built: &["name", "new", "ongoing", "reply", "accounting", "coa"],
    later: &[],
};

pub const RULE: Keys = Keys {
    label: "[[server.new]]",
    built: &[
        "when",
        "accept",
        "reject",
        "authenticate",
        "proxy",
        "set_reply",
        "remove_reply",
        "allow_reply",
        "set_request",
        "remove_request",
        "allow_request",
        "set_session",
    ],
    later: &["remove_session"],
};

pub const ONGOING_RULE: Keys = Keys {
    label: "[[server.ongoing]]",
    built: &[
        "when",
        "continue",
        "reject",
        "set_reply",
        "remove_reply",
        "allow_reply",
        "set_request",
        "remove_request",
        "allow_request",
        "set_session",
    ],
    later: &["remove_session"],
};

/// `proxy = { by = "realm" }`.
pub const PROXY: Keys = Keys { label: "`proxy`", built: &["by"], later: &[] };

pub const REPLY_RULE: Keys = Keys {
    label: "[[server.reply]]",
    built: &["when", "set_reply", "remove_reply", "allow_reply"],
    later: &["set_session", "remove_session"],
};

pub const ACCOUNTING_RULE: Keys = Keys {
    label: "[[server.accounting]]",
    built: &[
        "when",
        "store",
        "proxy",
        "spool",
        "set_request",
        "remove_request",
        "allow_request",
        "set_session",
    ],
    later: &["remove_session"],
};

pub const COA_RULE: Keys = Keys {
    label: "[[server.coa]]",
    built: &["when", "proxy", "reject", "set_request", "remove_request", "allow_request"],
    later: &[],
};

/// The forms of a condition's value, `{ regex = "…" }`.
pub const FORMS: &[&str] = &["regex", "glob", "present", "one_of", "not"];

pub const ACCOUNTING: Keys = Keys { label: "[accounting]", built: &["file", "spool"], later: &[] };

pub const ACCOUNTING_FILE: Keys = Keys {
    label: "[accounting.file]",
    built: &["path", "rotate_octets", "rotate_every", "line_octets_max"],
    later: &[],
};

pub const ACCOUNTING_SPOOL: Keys = Keys {
    label: "[accounting.spool]",
    built: &["octets_max", "outstanding_max", "line_octets_max"],
    later: &[],
};

pub const LOG: Keys = Keys { label: "[log]", built: &["format", "requests"], later: &[] };

/// Keys whose values are secret wherever they stand.
pub const SECRETS: &[&str] = &["secret", "password", "one_time_code"];

/// `secret = { … }`, `password = { … }`: where they may come from other than the text itself. `table` and `key` are of
/// client rules.
pub const SECRET: &[&str] = &["file", "env", "table", "key"];

const ALL: &[&Keys] = &[
    &ROOT,
    &RUNTIME,
    &PROTOCOL,
    &LISTEN,
    &CLIENT,
    &CLIENT_RULE,
    &LIMITS,
    &USER,
    &REMOTE_SERVER,
    &POOL,
    &REALM,
    &SERVER,
    &RULE,
    &ONGOING_RULE,
    &REPLY_RULE,
    &ACCOUNTING_RULE,
    &COA_RULE,
    &ACCOUNTING,
    &ACCOUNTING_FILE,
    &ACCOUNTING_SPOOL,
    &LOG,
];

impl Keys {
    /// What to say of a key that is in neither list.
    pub fn unknown(&self, key: &Spanned<Cow<'_, str>>) -> String {
        let quoted =
            |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let expected = quoted(self.built);
        let meant = match nearest(key.get_ref(), self.built.iter().chain(self.later).copied()) {
            Some(name) => format!("; did you mean `{name}`?"),
            None => String::new(),
        };
        format!("unknown key `{}` in {}, expected one of {expected}{meant}", shown::key(key), self.label)
    }
}

/// Whether the values of this key are secret wherever it stands.
pub fn is_secret(key: &str) -> bool {
    SECRETS.contains(&key)
}

/// Whether any table has this key.
pub fn is_known(key: &str) -> bool {
    ALL.iter().any(|keys| keys.built.contains(&key) || keys.later.contains(&key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cores, parse};
    use std::collections::BTreeSet;

    /// A file in which this table holds nothing but `line`.
    fn file_with(keys: &Keys, line: &str) -> String {
        let within_server = keys.label.starts_with("[[server.");
        let before = if within_server { "[[server]]\nname = \"s\"\n" } else { "" };
        let header = if keys.label.starts_with('[') { keys.label } else { "" };
        format!("{before}{header}\n{line}\n")
    }

    fn errors(text: &str) -> String {
        parse(text, "ulna.toml", Cores(2)).err().map_or(String::new(), |errors| errors.to_string())
    }

    /// As fingers and editors misspell it.
    fn misspelt(key: &str) -> Vec<String> {
        let (most, last) = key.split_at(key.len() - 1);
        let capital = key[..1].to_uppercase() + &key[1..];
        let mut all =
            vec![most.into(), format!("{key}{last}"), format!("x{key}"), capital, key.to_uppercase()];
        all.extend((1..key.len()).map(|place| format!("{}{}", &key[..place - 1], &key[place..])));
        all.extend([key.replace('_', "-"), key.replace('_', "")]);
        all.retain(|text| text != key && !text.is_empty());
        all
    }

    #[test]
    fn no_misspelt_key_of_any_table_is_taken() {
        let mut tried = 0;
        for keys in ALL {
            let names: Vec<&str> = keys.built.iter().chain(keys.later).copied().collect();
            let wrong: BTreeSet<String> = names.iter().flat_map(|key| misspelt(key)).collect();
            let wrong: Vec<_> = wrong.iter().filter(|wrong| !names.contains(&&***wrong)).collect();
            let lines: String = wrong.iter().map(|wrong| format!("{wrong} = \"hunter2\"\n")).collect();
            let found = errors(&file_with(keys, &lines));
            for wrong in &wrong {
                let expected = format!("unknown key `{wrong}` in {}, expected one of ", keys.label);
                assert!(found.contains(&expected), "{} {wrong}: {found}", keys.label);
            }
            assert!(!found.contains("hunter2"), "{found}");
            tried += wrong.len();
            // The keys themselves are known.
            let lines: String = names.iter().map(|name| format!("{name} = []\n")).collect();
            let found = errors(&file_with(keys, &lines));
            assert!(!found.contains("unknown key"), "{}: {found}", keys.label);
        }
        assert!(tried > 500, "{tried}");
    }

    #[test]
    fn no_misspelt_form_of_a_secret_or_password_is_taken() {
        for (table, key, forms) in [
            ("[[client]]", "secret", SECRET.to_vec()),
            ("[[user]]", "password", [&SECRET[..2], &["argon2", "nt_hash"]].concat()),
        ] {
            let wrong: Vec<_> = forms.iter().flat_map(|form| misspelt(form)).collect();
            let tables = wrong.iter().map(|wrong| format!("{table}\n{key} = {{ {wrong} = \"hunter2\" }}\n"));
            let found = errors(&tables.collect::<String>());
            for line in 1..=wrong.len() {
                assert!(found.contains(&format!("ulna.toml:{}:1: `{key}` must be ", 2 * line)), "{found}");
            }
            assert!(!found.contains("hunter2"), "{found}");
        }
    }
}
