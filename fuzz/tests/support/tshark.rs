//! What Wireshark's dissector reads in a capture: attribute by attribute, with number, name, tag, octets and value.
//!
//! Takes everything from what tshark prints, and nothing from the octets: whoever is asked twice answers twice. No RADIUS
//! is known here but what tshark's own lines mean.

use super::pdml::{self, Node};
use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

/// What tshark makes of one packet.
#[derive(Debug, Default)]
pub struct Packet {
    /// Whether it takes it for RADIUS at all.
    pub radius: bool,
    /// Its attributes, as far as it came.
    pub attributes: Vec<Attribute>,
    /// What it says of a list of attributes that it cannot read to the end.
    pub complaint: Option<String>,
    /// Whether it gave up within the last of these attributes.
    pub stopped: bool,
    /// Whether the authenticator is valid, where it can know.
    pub valid_authenticator: Option<bool>,
}

/// One attribute with all that stands in it.
#[derive(Debug)]
pub struct Attribute {
    pub number: u8,
    /// As its length octet says.
    pub length: usize,
    /// Where it begins, counted from the first octet of the packet.
    pub place: usize,
    /// The octets of all of it.
    pub octets: Vec<u8>,
    pub leaves: Vec<Leaf>,
    pub complaint: Option<String>,
}

/// What holds no others.
#[derive(Debug, Clone, Default)]
pub struct Leaf {
    pub oid: Vec<u32>,
    pub name: String,
    pub tag: Option<u8>,
    /// The filter field of the value; empty if there is none, and then `text` says why.
    pub field: String,
    pub octets: Vec<u8>,
    pub show: String,
    /// What stands behind the name in the line that a reader sees.
    pub text: String,
    /// One piece of a value which tshark puts together in a later attribute.
    pub fragment: bool,
    /// How many pieces it has put together here.
    pub pieces: usize,
}

/// The field of a value that tshark shows in parts, each with a field of its own.
pub const SEVERAL: &str = "several fields";

/// The types of tshark's fields, by name.
pub type FieldTypes = BTreeMap<String, String>;

/// `tshark` and its version, or why there is none.
pub fn version() -> Result<String, String> {
    let output = Command::new("tshark").arg("--version").output();
    let output = output.map_err(|error| format!("tshark (Debian: tshark) cannot be run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(str::to_owned).ok_or_else(|| "tshark --version says nothing".into())
}

/// Whichever dictionary tshark reads: its own, or that in the folder `wireshark/radius` of a configuration folder.
fn tshark(configuration: &Path) -> Command {
    let mut command = Command::new("tshark");
    command.env("TZ", "UTC").env("LC_ALL", "C.UTF-8").env("XDG_CONFIG_HOME", configuration);
    command
}

pub fn field_types(configuration: &Path) -> FieldTypes {
    let output =
        tshark(configuration).args(["-G", "fields"]).output().expect("tshark was there a moment ago");
    let text = String::from_utf8_lossy(&output.stdout);
    let field = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let ["F", _, field, data_type, "radius", ..] = *columns else { return None };
        Some((field.to_string(), data_type.to_string()))
    };
    text.lines().filter_map(field).collect()
}

/// Reads a capture, packet after packet.
pub fn read(configuration: &Path, capture: &Path, secret: &str, mut packet: impl FnMut(Packet)) {
    let mut child = tshark(configuration)
        // Twice over the file: whether an Accounting-Request is valid it only says then.
        .args(["-2", "-n", "-T", "pdml", "-J", "radius"])
        .args(["-o", &format!("radius.shared_secret:{secret}"), "-o", "radius.validate_authenticator:TRUE"])
        .arg("-r")
        .arg(capture)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tshark was there a moment ago");
    let mut stderr = child.stderr.take().expect("it is piped");
    let said = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = stderr.read_to_string(&mut text);
        text
    });
    let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    pdml::packets(stdout, |node| packet(read_packet(&node)));
    let status = child.wait().expect("it is our child");
    let said = said.join().expect("it only reads");
    assert!(status.success(), "tshark: {status}\n{said}");
}

fn read_packet(packet: &Node) -> Packet {
    let Some(radius) = packet.child("radius") else { return Packet::default() };
    let list = radius.children.iter().find(|child| child.label == "Attribute Value Pairs");
    let mut read = Packet { radius: true, ..Packet::default() };
    read.valid_authenticator = radius.all().into_iter().find_map(|node| {
        (node.name == "radius.authenticator.valid").then(|| matches!(&*node.show, "1" | "True"))
    });
    for child in list.map_or(&[][..], |list| &list.children) {
        match &*child.name {
            "radius.avp" => read.attributes.push(attribute(child, radius.place)),
            _ => read.complaint = Some(child.label.clone()),
        }
    }
    // A dissector that reads beyond the end of what it has ends all that stand around it.
    read.stopped = packet.children.iter().any(|layer| layer.name == "_ws.malformed");
    read
}

fn attribute(node: &Node, base: usize) -> Attribute {
    let number = |name: &str| node.child(name).map(|child| child.show.parse::<u32>().expect("a number"));
    let [first, ..] = *node.octets else { panic!("an attribute without octets: {node:?}") };
    let mut oid = vec![u32::from(first)];
    oid.extend(number("radius.avp.extended_type"));
    let mut attribute = Attribute {
        number: first,
        length: number("radius.avp.length").map_or(node.length, |length| length as usize),
        place: node.place - base,
        octets: node.octets.clone(),
        leaves: Vec::new(),
        complaint: expert(node),
    };
    match number("radius.avp.vendor_id") {
        Some(vendor) => {
            oid.push(vendor);
            let own = |child: &&Node| child.label.starts_with("VSA: ") || child.label.starts_with("EVS: ");
            for child in node.children.iter().filter(own) {
                let (_, number) = titled(&child.label);
                let from = attribute.leaves.len();
                content(child, &[&oid[..], &[number]].concat(), &mut attribute.leaves);
                let pieces =
                    child.label.split_once("Last VSA fragment[").and_then(|(_, rest)| rest.split_once(']'));
                let pieces = pieces.map_or(0, |(pieces, _)| pieces.parse().expect("a number of pieces"));
                attribute.leaves[from..].iter_mut().for_each(|leaf| leaf.pieces = pieces);
            }
        }
        None => content(node, &oid, &mut attribute.leaves),
    }
    attribute
}

/// What tshark's experts say of a node, if it is bad.
fn expert(node: &Node) -> Option<String> {
    let within = node.children.iter().filter(|child| !child.name.starts_with("eap"));
    let mut all = within.flat_map(Node::all);
    all.find(|node| node.name == "radius.invalid_length" || node.name == "_ws.malformed")
        .map(|node| node.label.clone())
}

fn content(node: &Node, oid: &[u32], leaves: &mut Vec<Leaf>) {
    let (name, _) = titled(&node.label);
    let tlvs: Vec<&Node> = node.children.iter().filter(|child| child.label.starts_with("TLV: ")).collect();
    if !tlvs.is_empty() {
        for tlv in tlvs {
            let (_, number) = titled(&tlv.label);
            content(tlv, &[oid, &[number]].concat(), leaves);
        }
        return;
    }
    let field = |child: &&Node| {
        child.name.starts_with("radius.")
            && !child.name.starts_with("radius.avp.")
            && !child.name.ends_with(".tag")
            && child.name != "radius.vsa_fragment"
    };
    let tag = node.children.iter().find(|child| child.name.ends_with(".tag")).map(|tag| tag.octets[0]);
    let values: Vec<&Node> = node.children.iter().filter(field).collect();
    let fragment = node.child("radius.vsa_fragment").filter(|_| !node.label.contains("Last VSA fragment"));
    let text = node.label.split_once(" val=").or_else(|| node.label.split_once(" : "));
    let mut leaf = Leaf {
        oid: oid.to_vec(),
        name,
        tag,
        text: text.map_or("", |(_, text)| text).into(),
        fragment: fragment.is_some(),
        ..Leaf::default()
    };
    if let Some(first) = values.first().copied().or(fragment) {
        leaf.field.clone_from(&first.name);
        leaf.show.clone_from(&first.show);
        // Bits of the same octets stand beside each other, parts of the value behind each other.
        let mut end = first.place;
        for value in values.iter().copied().chain(fragment) {
            if value.place == end {
                leaf.octets.extend_from_slice(&value.octets);
                end += value.length;
            }
        }
        if values.len() > 1 {
            leaf.field = SEVERAL.into();
        }
    }
    leaves.push(leaf);
}

/// Name and last number of `AVP: t=NAME(N.N) l=…`.
fn titled(label: &str) -> (String, u32) {
    let title = label.split_once("t=").and_then(|(_, title)| title.split_once(") l="));
    let title = title.unwrap_or_else(|| panic!("no title: {label}")).0;
    let (name, numbers) = title.rsplit_once('(').expect("a number in parentheses");
    let number = numbers.rsplit('.').next().unwrap_or_default();
    (name.into(), number.parse().unwrap_or_else(|_| panic!("no number: {label}")))
}
