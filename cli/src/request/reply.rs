//! What came back, for people and for programs. Hidden attributes are revealed: whoever asks has the secret.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};
use ulna_config::durations;
use ulna_core::attributes::{Scratch, Shape, Walk, text};
use ulna_core::dictionary::{Dictionary, print_value};
use ulna_core::packet::hidden::Hop;
use ulna_core::packet::{Framed, VALUE_OCTETS_MAX};

use super::exchange::{Ended, Reply};

/// A reply that verifies, and what it takes to show it.
pub struct Shown<'r> {
    pub reply: &'r Reply,
    pub framed: Framed<'r>,
    pub dictionary: &'r Dictionary,
    pub hop: Hop<'r>,
    pub server: SocketAddr,
    /// The request's octets, if they are to be shown.
    pub sent: Option<&'r [u8]>,
}

impl Shown<'_> {
    /// A line of what it is, then an attribute a line, indented, in a form that `--attributes` reads.
    pub fn text(&self) -> String {
        let Reply { code, after, tries, .. } = self.reply;
        let mut text = sent_line(self.sent);
        if self.sent.is_some() {
            text += &format!("received {}\n", hexadecimal(self.framed.octets()));
        }
        let octets = self.framed.octets().len();
        let milliseconds = milliseconds(*after);
        text += &format!(
            "{code} identifier {} from {}, {octets} octets, after {milliseconds} ms",
            self.framed.identifier(),
            self.server
        );
        if *tries > 1 {
            text += &format!(" and {tries} tries");
        }
        text += if self.reply.is_signed { ", verified\n" } else { ", verified, no Message-Authenticator\n" };
        let attributes = text::print(self.dictionary, self.framed.attributes()).in_lines().revealed(self.hop);
        for line in attributes.to_string().lines() {
            text += &format!("    {line}\n");
        }
        text
    }

    pub fn json(&self) -> String {
        let Reply { code, after, tries, is_signed, .. } = self.reply;
        let mut object = object(json!({
            "outcome": "reply",
            "code": code.name(),
            "code_number": code.octet(),
            "identifier": self.framed.identifier(),
            "from": self.server.to_string(),
            "octets": self.framed.octets().len(),
            "milliseconds": after.as_micros() as f64 / 1000.0,
            "tries": tries,
            "message_authenticator": is_signed,
            "attributes": self.attributes(),
        }));
        if self.sent.is_some() {
            object.insert("received".into(), hexadecimal(self.framed.octets()).into());
        }
        line(object, self.sent)
    }

    fn attributes(&self) -> Vec<Value> {
        let mut scratch = Scratch::default();
        Walk::new(self.dictionary, self.framed.attributes(), &mut scratch)
            .map(|item| {
                let mut revealed = [0; VALUE_OCTETS_MAX];
                let octets = item.plain(self.hop, &mut revealed).map_or(item.value, |plain| plain.octets());
                let known = item.attribute.filter(|_| item.shape == Shape::Known);
                let name = known.map_or(format!("Attr-{}", item.oid), |attribute| attribute.name().into());
                let value = known.and_then(|attribute| print_value(attribute, octets));
                let mut object = object(json!({
                    "name": name,
                    "number": item.oid.to_string(),
                    "value": value.map(|value| value.to_string()),
                    "octets": hexadecimal(octets),
                }));
                if let Some(tag) = item.tag {
                    object.insert("tag".into(), tag.into());
                }
                Value::Object(object)
            })
            .collect()
    }
}

/// No reply that is to be believed came.
pub struct Silence {
    pub server: SocketAddr,
    pub tries: u8,
    pub timeout: Duration,
    pub not_believed: u32,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Silence { server, tries, timeout, not_believed } = self;
        let span = durations::display(*timeout);
        let tries = match tries {
            1 => format!("in {span}"),
            tries => format!("to {tries} tries of {span}"),
        };
        match not_believed {
            0 => write!(
                f,
                "no reply from {server} {tries}; a server does not answer a client that it does not know or a packet that \
                 does not verify: address and secret may be wrong"
            ),
            1 => write!(f, "no valid reply from {server} {tries}; one was not believed"),
            several => write!(f, "no valid reply from {server} {tries}; {several} were not believed"),
        }
    }
}

impl Silence {
    pub fn json(&self, sent: Option<&[u8]>) -> String {
        let outcome = if self.not_believed > 0 { "invalid" } else { "none" };
        line(
            object(json!({ "outcome": outcome, "tries": self.tries, "not_believed": self.not_believed })),
            sent,
        )
    }
}

/// A connection ended before a reply came that is to be believed.
pub struct End {
    pub server: SocketAddr,
    pub how: Ended,
    pub not_believed: u32,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let End { server, how, not_believed } = self;
        match how {
            Ended::Closed => write!(f, "{server} closed the connection without a valid reply")?,
            Ended::Reset => write!(f, "the connection to {server} was broken off without a valid reply")?,
            Ended::BadLength => {
                return write!(f, "no valid reply from {server}: something came whose Length no packet has");
            }
        }
        match not_believed {
            0 => f.write_str(
                "; a server closes that of a client that it does not know or of a packet that does not verify: address and \
                 secret may be wrong",
            ),
            1 => f.write_str("; one was not believed"),
            several => write!(f, "; {several} were not believed"),
        }
    }
}

impl End {
    pub fn json(&self, sent: Option<&[u8]>) -> String {
        let outcome = if self.not_believed > 0 { "invalid" } else { "closed" };
        line(object(json!({ "outcome": outcome, "tries": 1, "not_believed": self.not_believed })), sent)
    }
}

pub fn refused_json(sent: Option<&[u8]>) -> String {
    line(object(json!({ "outcome": "refused" })), sent)
}

/// The request's octets on a line of their own, in the form that `--raw` reads.
pub fn sent_line(sent: Option<&[u8]>) -> String {
    sent.map_or(String::new(), |sent| format!("sent {}\n", hexadecimal(sent)))
}

fn line(mut object: Map<String, Value>, sent: Option<&[u8]>) -> String {
    if let Some(sent) = sent {
        object.insert("sent".into(), hexadecimal(sent).into());
    }
    format!("{}\n", Value::Object(object))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().fold("0x".into(), |text, octet| format!("{text}{octet:02x}"))
}

fn milliseconds(span: Duration) -> String {
    format!("{:.1}", span.as_secs_f64() * 1000.0)
}
