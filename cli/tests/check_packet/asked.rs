//! How it is asked, of a configuration with rules of all kinds.

use std::process::Output;

use crate::support::{PASSWORD, SECRET, file, run};

/// Rules of all kinds, on ports that the system chooses.
pub fn configuration() -> String {
    format!(
        r#"[protocol]
reject_delay = "20ms"
failures_max = 0
[[listen]]
name = "auth"
transport = "udp"
address = ["127.0.0.1:0", "[::1]:0"]
packets = ["access", "status"]
server = "edge"
[[listen]]
name = "acct"
transport = "udp"
address = "127.0.0.1:0"
packets = ["accounting"]
server = "edge"
[[client]]
name = "net"
network = ["127.0.0.0/8", "2001:db8::/32"]
secret = "another-secret-of-many-octets"
require_message_authenticator = true
[[client]]
name = "switch"
network = ["127.0.0.1", "::1"]
secret = ["{SECRET}", "an-older-secret-of-the-switch"]
[[user]]
name = "bob"
password = "{PASSWORD}"
reply = {{ Session-Timeout = 3600, Reply-Message = "Hello, bob.", "Tunnel-Password:1" = "hidden-in-replies" }}
[[user]]
name = "alice"
password = {{ argon2 = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4" }}
[[user]]
mac = "00-11-22-33-44-55"
reply = {{ Session-Timeout = 600 }}
[accounting.file]
path = "records.json"
[[server]]
name = "edge"
[[server.new]]
when = {{ realm = "example.org", NAS-Port-Type = {{ one_of = ["Virtual", "Async"] }} }}
reject = true
set_reply = {{ Reply-Message = "not here" }}
[[server.new]]
when = {{ User-Name = {{ glob = "??-??-*" }} }}
authenticate = "mac"
[[server.new]]
when = {{ NAS-Port = 7 }}
accept = true
set_session = {{ site = "campus" }}
set_request = {{ Class = "0x00" }}
remove_request = ["NAS-Identifier"]
set_reply = {{ Class = "0x07" }}
[[server.new]]
when = {{ NAS-Port = {{ not = 9 }}, "session.site" = {{ present = false }} }}
authenticate = "users"
set_reply = {{ Class = "0x01ff" }}
remove_reply = ["Session-Timeout"]
[[server.reply]]
when = {{ reply = "accept", "session.site" = "campus" }}
set_reply = {{ Filter-Id = "campus" }}
[[server.reply]]
when = {{ reply = "accept" }}
set_reply = {{ Filter-Id = "elsewhere" }}
[[server.accounting]]
when = {{ Acct-Status-Type = {{ one_of = ["Start", "Stop"] }} }}
store = "file"
"#
    )
}

/// The line of the configuration, from 1, that is this.
pub fn line(nth: usize, text: &str) -> usize {
    let text_of = configuration();
    let mut lines = text_of.lines().zip(1..).filter(|(line, _)| *line == text);
    lines.nth(nth).expect("it is there").1
}

pub struct Asked {
    pub configuration: String,
    pub kind: &'static str,
    pub listener: &'static str,
    pub from: &'static str,
    pub more: &'static [&'static str],
}

impl Default for Asked {
    fn default() -> Asked {
        let configuration = file("ulna.toml", &configuration()).display().to_string();
        Asked { configuration, kind: "auth", listener: "auth", from: "127.0.0.1:50000", more: &[] }
    }
}

impl Asked {
    pub fn run(&self, attributes: &str) -> Output {
        let packet = file("packet.txt", attributes).display().to_string();
        let mut arguments = vec!["check", "--config", &self.configuration, "--packet", &packet];
        arguments.extend(["--from", self.from, "--listener", self.listener, "--kind", self.kind]);
        arguments.extend(self.more);
        run(&arguments)
    }

    /// What it says, without the name of the file's folder.
    pub fn says(&self, attributes: &str) -> String {
        let output = self.run(attributes);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("it is UTF-8");
        assert!(!text.contains("hidden-in-replies"), "{text}");
        text.replace(&self.configuration, "ulna.toml")
    }
}

pub fn says(attributes: &str) -> String {
    Asked::default().says(attributes)
}

/// All these stand in the text, in this order, each a whole line but for blanks before it.
#[track_caller]
pub fn assert_says(text: &str, wanted: &[&str]) {
    let mut lines = text.lines().map(str::trim_start);
    for wanted in wanted {
        assert!(lines.any(|line| line == *wanted), "{wanted:?} does not follow in:\n{text}");
    }
}
