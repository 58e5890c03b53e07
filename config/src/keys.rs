//! The names of the configuration: the contract with operators. Names are added here, never renamed.

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
    built: &["runtime", "protocol", "listen", "client", "user", "server", "accounting", "log"],
    later: &["include", "client_rule", "remote_server", "pool", "realm", "limits", "control", "metrics"],
};

pub const RUNTIME: Keys = Keys {
    label: "[runtime]",
    built: &[
        "network_threads",
        "workers",
        "dictionaries",
        "signal",
        "ring_slots",
        "requests_max",
        "receive_buffer_octets",
        "dedup_entries_max",
        "replies_octets_max",
        "hash_threads",
        "hash_line_max",
    ],
    later: &["linger_max", "linger_cpu", "state_directory"],
};

pub const PROTOCOL: Keys = Keys {
    label: "[protocol]",
    built: &[
        "reject_delay",
        "delayed_rejects_max",
        "request_timeout",
        "dedup_lifetime",
        "failures_max",
        "failure_window",
    ],
    later: &["state_lifetime", "state_max"],
};

pub const LISTEN: Keys = Keys {
    label: "[[listen]]",
    built: &["name", "transport", "address", "packets", "server"],
    later: &["connected"],
};

pub const CLIENT: Keys = Keys {
    label: "[[client]]",
    built: &["name", "network", "secret", "require_message_authenticator", "limit_proxy_state"],
    later: &["coa_address"],
};

pub const USER: Keys =
    Keys { label: "[[user]]", built: &["name", "password", "mac", "reply"], later: &["one_time_code"] };

pub const SERVER: Keys =
    Keys { label: "[[server]]", built: &["name", "new", "reply", "accounting"], later: &["ongoing", "coa"] };

pub const RULE: Keys = Keys {
    label: "[[server.new]]",
    built: &[
        "when",
        "accept",
        "reject",
        "authenticate",
        "set_reply",
        "remove_reply",
        "allow_reply",
        "set_request",
        "remove_request",
        "set_session",
    ],
    later: &["proxy", "store", "spool", "continue", "allow_request", "remove_session"],
};

pub const REPLY_RULE: Keys = Keys {
    label: "[[server.reply]]",
    built: &["when", "set_reply", "remove_reply", "allow_reply"],
    later: &["set_session", "remove_session"],
};

pub const ACCOUNTING_RULE: Keys = Keys {
    label: "[[server.accounting]]",
    built: &["when", "store", "set_request", "remove_request", "set_session"],
    later: &["proxy", "spool", "continue", "allow_request", "remove_session"],
};

/// The forms of a condition's value, `{ regex = "…" }`.
pub const FORMS: &[&str] = &["regex", "glob", "present", "one_of", "not"];

pub const ACCOUNTING: Keys = Keys { label: "[accounting]", built: &["file"], later: &[] };

pub const ACCOUNTING_FILE: Keys = Keys {
    label: "[accounting.file]",
    built: &["path", "rotate_octets", "rotate_every", "line_octets_max"],
    later: &[],
};

pub const LOG: Keys = Keys { label: "[log]", built: &["format", "requests"], later: &[] };

/// `secret = { … }`: where a secret may come from other than the file itself. All promised.
pub const SECRET: &[&str] = &["file", "env", "table", "key"];

const ALL: &[&Keys] = &[
    &ROOT,
    &RUNTIME,
    &PROTOCOL,
    &LISTEN,
    &CLIENT,
    &USER,
    &SERVER,
    &RULE,
    &REPLY_RULE,
    &ACCOUNTING_RULE,
    &ACCOUNTING,
    &ACCOUNTING_FILE,
    &LOG,
];

impl Keys {
    /// What to say of a key that is in neither list.
    pub fn unknown(&self, key: &str) -> String {
        let quoted =
            |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let expected = quoted(self.built);
        let meant = match nearest(key, self.built.iter().chain(self.later).copied()) {
            Some(name) => format!("; did you mean `{name}`?"),
            None => String::new(),
        };
        format!("unknown key `{}` in {}, expected one of {expected}{meant}", key.escape_debug(), self.label)
    }
}

/// Whether the values of this key are secret wherever it stands.
pub fn is_secret(key: &str) -> bool {
    matches!(key, "secret" | "password" | "one_time_code")
}

/// Whether any table has this key.
pub fn is_known(key: &str) -> bool {
    ALL.iter().any(|keys| keys.built.contains(&key) || keys.later.contains(&key))
}
