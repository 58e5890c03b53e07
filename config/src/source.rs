//! What stands in the files of a configuration and is not to be had from the configuration itself: where its rules are and
//! how their conditions are written, the names under which its tables find something, and its lines without secrets. For
//! whoever explains, compares or shows.

use crate::document::printable;
use crate::documents::Documents;
use crate::lower::RuleList;
use std::ops::Range;
use std::sync::Arc;
use ulna_core::ServerId;
use ulna_core::authenticate::mac::Mac;
use ulna_core::client::Prefix;
use ulna_core::control::ConfigLine;

/// What stands in the files.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// Each with its server's number, from 1.
    rules: Vec<(usize, RuleList, RulePlace)>,
    names: Names,
    lines: Vec<ConfigLine>,
}

/// Where one rule stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulePlace {
    /// The file's name, as it was given.
    pub file: Box<str>,
    /// The line, from 1.
    pub line: usize,
    /// Its conditions in order, each as it is written.
    pub conditions: Vec<String>,
}

/// Names under which tables find something.
#[derive(Debug, Clone, Default)]
struct Names {
    users: Vec<Box<[u8]>>,
    devices: Vec<Mac>,
    networks: Vec<(Box<str>, Prefix)>,
}

/// The same while files are read: places count through all of them.
#[derive(Default)]
pub struct Found {
    servers: usize,
    rules: Vec<RuleSpan>,
    names: Names,
}

struct RuleSpan {
    /// The server's number, from 1.
    server: usize,
    list: RuleList,
    place: Range<usize>,
    conditions: Vec<Range<usize>>,
}

impl Found {
    /// Rules from here on are of the next server.
    pub fn begin_server(&mut self) {
        self.servers += 1;
    }

    pub fn rule(&mut self, list: RuleList, place: Range<usize>, conditions: Vec<Range<usize>>) {
        self.rules.push(RuleSpan { server: self.servers, list, place, conditions });
    }

    pub fn user(&mut self, name: &[u8]) {
        self.names.users.push(name.into());
    }

    pub fn device(&mut self, mac: Mac) {
        self.names.devices.push(mac);
    }

    pub fn network(&mut self, client: &str, network: Prefix) {
        self.names.networks.push((client.into(), network));
    }

    /// `masked` are parts of the files that nobody is shown, in order.
    pub fn finish(self, documents: &Documents<'_>, masked: &[Range<usize>]) -> Source {
        let rules = self.rules.into_iter().map(|RuleSpan { server, list, place, conditions }| {
            let document = documents.at(place.start);
            let conditions = conditions.into_iter().map(|span| document.shown(&span)).collect();
            let line = document.place_at(place.start).line;
            (server, list, RulePlace { file: document.file().into(), line, conditions })
        });
        let rules = rules.collect();
        let lines = documents.all().flat_map(|document| {
            let file: Arc<str> = cut(document.file().chars().map(printable).collect()).into();
            let lines = document.lines_shown(masked).into_iter();
            lines.map(move |(number, text)| ConfigLine {
                file: Arc::clone(&file),
                number: number as u64,
                text: cut(text).into(),
            })
        });
        Source { rules, names: self.names, lines: lines.collect() }
    }
}

/// A text that no row is too short for.
fn cut(mut text: String) -> String {
    if text.len() > LINE_OCTETS_MAX {
        let end = (0..=LINE_OCTETS_MAX).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push_str(" …");
    }
    text
}

/// Octets of a line that is shown, and of a file's name.
const LINE_OCTETS_MAX: usize = 1_000;

impl Source {
    /// The rules of one list of a server, in order.
    pub fn rules(&self, server: ServerId, list: RuleList) -> impl Iterator<Item = &RulePlace> {
        let number = usize::from(server.0) + 1;
        let of = move |rule: &&(usize, RuleList, RulePlace)| (rule.0, rule.1) == (number, list);
        self.rules.iter().filter(of).map(|(_, _, place)| place)
    }

    /// All lines of all files in which something stands besides comments, in the order in which the files are read. `***` is in place of
    /// secrets, and of whatever may have swallowed one; what is longer than 1 000 octets ends with an ellipsis.
    pub fn into_lines(self) -> Vec<ConfigLine> {
        self.lines
    }

    /// The names of all users.
    pub fn users(&self) -> impl Iterator<Item = &[u8]> {
        self.names.users.iter().map(|name| &**name)
    }

    /// The addresses of all devices.
    pub fn devices(&self) -> impl Iterator<Item = Mac> {
        self.names.devices.iter().copied()
    }

    /// All networks, each with the name of its client.
    pub fn networks(&self) -> impl Iterator<Item = (&str, Prefix)> {
        self.names.networks.iter().map(|(client, network)| (&**client, *network))
    }
}
