//! What `tshark -T pdml` prints: one element a line, which is all of XML that is needed here. Only line feeds in values
//! stand as they are, so a line goes on until its quotes are closed.

use std::io::BufRead;

/// One `<field>` or `<proto>`, with all that is in it.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// What it is in tshark's filters; empty for lines of text.
    pub name: String,
    /// Its value as a filter would have it.
    pub show: String,
    /// The line that a reader of Wireshark sees.
    pub label: String,
    /// The octets that it was read from.
    pub octets: Vec<u8>,
    /// Where they begin, and how many there are.
    pub place: usize,
    pub length: usize,
    pub children: Vec<Node>,
}

impl Node {
    /// This node and all within, outermost first.
    pub fn all(&self) -> Vec<&Node> {
        let within = self.children.iter().flat_map(Node::all);
        std::iter::once(self).chain(within).collect()
    }

    /// The first node of this name among the children.
    pub fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name == name)
    }
}

/// Reads packet after packet, each as a node whose children are its layers.
pub fn packets(mut reader: impl BufRead, mut packet: impl FnMut(Node)) {
    let mut open: Vec<Node> = Vec::new();
    let mut octets = Vec::new();
    while reader.read_until(b'\n', &mut octets).expect("it is a pipe") > 0 {
        let in_quotes = !octets.iter().filter(|octet| **octet == b'"').count().is_multiple_of(2);
        if in_quotes && octets.trim_ascii_start().starts_with(b"<") {
            continue;
        }
        let line = String::from_utf8_lossy(&octets).into_owned();
        octets.clear();
        let line = line.trim();
        if line.starts_with("<packet>") {
            assert!(open.is_empty(), "a packet within a packet");
            open.push(Node::default());
        } else if line.starts_with("<field ") || line.starts_with("<proto ") {
            let node = node(line);
            if line.ends_with("/>") {
                open.last_mut().expect("it stands within a packet").children.push(node);
            } else {
                open.push(node);
            }
        } else if line.starts_with("</field>")
            || line.starts_with("</proto>")
            || line.starts_with("</packet>")
        {
            let node = open.pop().expect("what ends has begun");
            match open.last_mut() {
                Some(outer) => outer.children.push(node),
                None => packet(node),
            }
        }
    }
    assert!(open.is_empty(), "tshark ended in the middle of a packet");
}

fn node(line: &str) -> Node {
    let mut node = Node::default();
    let mut rest = line.split_once(' ').expect("an element has attributes").1;
    let mut unmasked = None;
    while let Some((key, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"').expect("quotes are closed");
        rest = after;
        match key.trim() {
            "name" => node.name = unescaped(value),
            "show" => node.show = unescaped(value),
            "showname" => node.label = unescaped(value),
            "value" => node.octets = hexadecimal(value),
            "unmaskedvalue" => unmasked = Some(hexadecimal(value)),
            "pos" => node.place = value.parse().expect("a number"),
            "size" => node.length = value.parse().expect("a number"),
            "hide" => {}
            other => panic!("PDML has a new attribute, {other}: {line}"),
        }
    }
    if let Some(unmasked) = unmasked {
        node.octets = unmasked;
    }
    if node.label.is_empty() {
        node.label.clone_from(&node.show);
    }
    node
}

fn unescaped(text: &str) -> String {
    let named = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    named.replace("&#x27;", "'").replace("&amp;", "&")
}

/// Pairs of digits; empty where tshark gives something else, as it does of layers that it does not know.
fn hexadecimal(digits: &str) -> Vec<u8> {
    let digit = |octet: u8| char::from(octet).to_digit(16);
    let pair = |pair: &[u8]| Some((digit(pair[0])? * 16 + digit(*pair.get(1)?)?) as u8);
    digits.as_bytes().chunks(2).map(pair).collect::<Option<_>>().unwrap_or_default()
}
