//! pyrad in processes of its own: our dictionary in its form, the lines that pass between us, and what they mean.

use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use ulna_core::attributes::Item;
use ulna_core::dictionary::{Attribute, DataType, Dictionary, Encryption, Literal, encode_value};
use ulna_core::packet::hidden::Hop;

/// The python that has pyrad, as scripts/install-peers makes it, and the version; or why there is none.
pub fn python() -> Result<(PathBuf, String), String> {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/bin/python");
    let python = std::env::var_os("ULNA_PYRAD_PYTHON").map_or(made, PathBuf::from);
    let version = "import importlib.metadata as m; print('pyrad', m.version('pyrad'))";
    let output = Command::new(&python).args(["-c", version]).output();
    let output = output.map_err(|error| format!("{}, which has pyrad: {error}", python.display()))?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match said.starts_with("pyrad ") {
        true => Ok((python, said)),
        false => Err(format!("{} has no pyrad", python.display())),
    }
}

/// All attributes that a packet can have, as dictionaries of FreeRADIUS are written; pyrad leaves out what it does not
/// know.
pub fn print_dictionary(dictionary: &Dictionary) -> String {
    let mut text = String::new();
    for vendor in dictionary.vendors() {
        let format = vendor.format();
        let continued = if format.continuation() { ",c" } else { "" };
        let format = format!("{},{}{continued}", format.type_octets(), format.length_octets());
        text.push_str(&format!("VENDOR {} {} format={format}\n", vendor.name(), vendor.number()));
    }
    for attribute in dictionary.attributes() {
        if attribute.internal() || dictionary.at(&attribute.oid()) != Some(attribute) {
            continue;
        }
        let numbers = |parts: &[u32]| parts.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
        let mut flags = Vec::new();
        flags.extend(attribute.tagged().then_some("has_tag"));
        flags.extend(match attribute.encryption() {
            Encryption::None => None,
            Encryption::UserPassword => Some("encrypt=1"),
            Encryption::TunnelPassword => Some("encrypt=2"),
            Encryption::AscendSecret => Some("encrypt=3"),
        });
        flags.extend(attribute.concatenated().then_some("concat"));
        let oid = attribute.oid();
        let (name, data_type, flags) = (attribute.name(), attribute.data_type(), flags.join(","));
        match oid.parts() {
            [26, vendor, own @ ..] if !own.is_empty() => {
                let vendor = dictionary.vendor(*vendor).expect("its attributes stand in its block").name();
                let line = format!("ATTRIBUTE {name} {} {data_type} {flags}\n", numbers(own));
                text.push_str(&format!("BEGIN-VENDOR {vendor}\n{line}END-VENDOR {vendor}\n"));
            }
            parts => text.push_str(&format!("ATTRIBUTE {name} {} {data_type} {flags}\n", numbers(parts))),
        }
    }
    text
}

fn start(python: &Path, arguments: &[&str]) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/pyrad_peer.py");
    Command::new(python)
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python was there a moment ago")
}

/// Has it write so many packets, a line each.
pub fn write(python: &Path, dictionary: &Path, seed: u64, count: usize, mut line: impl FnMut(Line)) {
    let dictionary = dictionary.to_str().expect("the path is UTF-8");
    let mut child = start(python, &["write", dictionary, &seed.to_string(), &count.to_string()]);
    let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    for text in stdout.lines() {
        line(Line::parse(&text.expect("its output is UTF-8")));
    }
    assert!(child.wait().expect("it is our child").success(), "pyrad's writer ended badly");
}

/// Has it read packets: kind, authenticator of the request and octets of each. Its answers come in the same order.
pub fn read(python: &Path, dictionary: &Path, packets: Vec<(&str, [u8; 16], Vec<u8>)>) -> Vec<String> {
    let mut child = start(python, &["read", dictionary.to_str().expect("the path is UTF-8")]);
    let mut stdin = child.stdin.take().expect("it is piped");
    let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let answers = std::thread::scope(|scope| {
        scope.spawn(move || {
            for (kind, authenticator, octets) in packets {
                let line = format!("{kind}\t{}\t{}\n", hexadecimal(&authenticator), hexadecimal(&octets));
                stdin.write_all(line.as_bytes()).expect("it reads to the end");
            }
        });
        stdout.lines().map(|line| line.expect("its output is UTF-8")).collect()
    });
    assert!(child.wait().expect("it is our child").success(), "pyrad's reader ended badly");
    answers
}

/// One packet of theirs, and what they say is in it.
pub struct Line {
    pub kind: String,
    pub authenticator: [u8; 16],
    pub octets: Vec<u8>,
    pub values: Vec<Value>,
}

/// What they say of one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    pub numbers: String,
    /// `None` where they have octets without further meaning.
    pub tag: Option<u8>,
    pub text: String,
}

impl Line {
    fn parse(text: &str) -> Line {
        let mut fields = text.split('\t');
        let mut next = || fields.next().unwrap_or_else(|| panic!("a field is missing: {text}"));
        let kind = next().to_owned();
        let authenticator = octets(next()).try_into().expect("an authenticator has 16 octets");
        let octets = octets(next());
        let values = fields.map(Value::parse).collect();
        Line { kind, authenticator, octets, values }
    }
}

impl Value {
    pub fn parse(text: &str) -> Value {
        let mut parts = text.splitn(3, '|');
        let mut next = || parts.next().unwrap_or_else(|| panic!("a part is missing: {text}")).to_owned();
        let (numbers, tag) = (next(), next());
        Value { numbers, tag: tag.parse().ok(), text: next() }
    }
}

/// Whether what they say means what we read.
pub fn agrees(attribute: &Attribute, plain: &[u8], said: &str) -> bool {
    let Some((kind, text)) = said.split_once(':') else { return false };
    let printed = ulna_core::dictionary::print_value(attribute, plain).map(|value| value.to_string());
    let word = printed.as_deref().unwrap_or_default().trim_matches('"');
    match kind {
        "s" => hexadecimal(plain) == text,
        "n" if attribute.data_type() == DataType::Date => {
            // We print a time, which read again is a number.
            let read = encode_value(attribute, Literal::Quoted(word.as_bytes()));
            text.parse::<u32>().is_ok_and(|seconds| read.is_ok_and(|read| read == seconds.to_be_bytes()))
        }
        "n" => {
            let named = attribute.value(word).map(i128::from);
            let is_signed = attribute.data_type() == DataType::Signed;
            let signed = |bits: i128| if is_signed { i128::from((bits as u32).cast_signed()) } else { bits };
            let number = named.map(signed).or_else(|| word.parse().ok());
            number.is_some() && text.parse().ok() == number
        }
        "a" => word.parse::<IpAddr>().is_ok_and(|address| text.parse() == Ok(address)),
        "p" => {
            let prefix = |text: &str| {
                let (address, bits) = text.split_once('/')?;
                Some((address.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?))
            };
            prefix(word).is_some() && prefix(word) == prefix(text)
        }
        "i" | "e" => word == text,
        _ => false,
    }
}

/// The value as they should have it: revealed, unless they leave it hidden.
pub fn plain<'o>(
    item: &'o Item<'_>,
    hop: Hop<'_>,
    they_reveal: bool,
    out: &'o mut [u8; 253],
) -> Option<&'o [u8]> {
    if !they_reveal {
        return Some(item.value);
    }
    item.plain(hop, out).ok().map(|plain| plain.octets())
}

pub fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn octets(digits: &str) -> Vec<u8> {
    ulna_core::dictionary::hexadecimal(&format!("0x{digits}"))
        .unwrap_or_else(|| panic!("no octets: {digits}"))
}
