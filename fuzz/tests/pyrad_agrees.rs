//! pyrad and we read each other's packets: what one writes of a description, the other reads as the same description,
//! and each believes the other's authenticators.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;
use support::differences::Differences;
use support::pyrad::{self, Line, Value};
use support::random::Random;
use support::{packets, peer, secret};
use ulna_core::attributes::{Item, Scratch, Shape, Walk};
use ulna_core::dictionary::{Dictionary, Encryption};
use ulna_core::packet::hidden::Hop;
use ulna_core::packet::{Framed, Requirements, Secrets};

/// The built-in dictionary, and types that it has not.
fn dictionary() -> Dictionary {
    let mut dictionary = Dictionary::built_in();
    dictionary.extend(MORE).expect("it is well-formed");
    dictionary
}

const MORE: &str = "
ATTRIBUTE Agreement-Signed 200 signed
ATTRIBUTE Agreement-Ether 201 ether
ATTRIBUTE Agreement-Tree 202 tlv
ATTRIBUTE Agreement-Tree-Text 202.1 string
ATTRIBUTE Agreement-Tree-Number 202.2 integer
ATTRIBUTE Agreement-Tree-Address 202.3 ipv6addr
ATTRIBUTE Agreement-Tagged-Octets 203 octets has_tag
VENDOR Agreement 32473
BEGIN-VENDOR Agreement
ATTRIBUTE Agreement-Vendor-Tree 11 tlv
ATTRIBUTE Agreement-Vendor-Tree-Text 11.1 string
ATTRIBUTE Agreement-Vendor-Tree-Short 11.2 short
ATTRIBUTE Agreement-Vendor-Key 12 octets encrypt=2
ATTRIBUTE Agreement-Vendor-Signed 13 signed
ATTRIBUTE Agreement-Vendor-Tagged-Key 14 string has_tag,encrypt=2
ATTRIBUTE Agreement-Vendor-Group 15 string has_tag
END-VENDOR Agreement
";

#[derive(Default)]
struct Comparison {
    differences: Differences,
    packets: usize,
    values: usize,
    authenticators: usize,
    met: BTreeSet<String>,
}

/// Items by number, each in its order: pyrad keeps no order among different attributes.
type ByNumber<'i, 'a> = BTreeMap<String, Vec<&'i Item<'a>>>;

fn by_number<'i, 'a>(items: &'i [Item<'a>]) -> ByNumber<'i, 'a> {
    let mut numbered = ByNumber::new();
    for item in items.iter().filter(|item| item.oid.parts() != [80]) {
        numbered.entry(item.oid.to_string()).or_default().push(item);
    }
    numbered
}

impl Comparison {
    /// A packet of theirs, with what they put into it.
    fn theirs(&mut self, dictionary: &Dictionary, line: &Line) {
        let framed =
            Framed::parse(&line.octets).unwrap_or_else(|error| panic!("{error:?}: {}", origin(line)));
        let secret = secret();
        let refused = if line.kind.ends_with("reply") {
            let verified = framed.verify_reply(&secret, &line.authenticator, false);
            verified.err().map(|why| format!("{why:?}"))
        } else {
            let verified = framed.verify_request(&Secrets::one(secret.clone()), Requirements::default());
            verified.err().map(|why| format!("{why:?}"))
        };
        match refused {
            None => self.authenticators += 1,
            Some(why) => self.differences.add("not-valid-to-us", why, || origin(line)),
        }
        let hop = Hop { secret: &secret, request_authenticator: &line.authenticator };
        let mut scratch = Scratch::default();
        let items: Vec<Item<'_>> = Walk::new(dictionary, framed.attributes(), &mut scratch).collect();
        let mut ours = by_number(&items);
        for value in &line.values {
            let items = ours.get_mut(&value.numbers).filter(|items| !items.is_empty());
            let items = items.unwrap_or_else(|| panic!("we do not find {value:?}: {}", origin(line)));
            let item = items.remove(0);
            self.value(item, value, hop, true, &origin(line));
        }
        let left: Vec<_> = ours.values().flatten().collect();
        assert!(left.is_empty(), "only we find {left:?}: {}", origin(line));
        self.packets += 1;
    }

    /// One value. `they_reveal` if theirs is plain whichever way it is hidden.
    fn value(&mut self, item: &Item<'_>, value: &Value, hop: Hop<'_>, they_reveal: bool, origin: &str) {
        let detail = || format!("ours {item:?}, theirs {value:?}: {origin}");
        let attribute = item.attribute.unwrap_or_else(|| panic!("of our own dictionary: {}", detail()));
        self.met.insert(attribute.name().to_owned());
        self.values += 1;
        if item.shape != Shape::Known {
            if value.text != "invalid" {
                let tagged = if attribute.tagged() { ", tagged" } else { "" };
                self.differences.add("invalid-read", format!("{}{tagged}", attribute.data_type()), detail);
            }
            return;
        }
        // A tag of 0 says as much as none (RFC 2868 §3.1).
        assert_eq!(item.tag.unwrap_or(0), value.tag.unwrap_or(0), "tags: {}", detail());
        let mut out = [0; 253];
        let plain = pyrad::plain(item, hop, they_reveal, &mut out);
        let plain = plain.unwrap_or_else(|| panic!("it cannot be revealed: {}", detail()));
        assert!(pyrad::agrees(attribute, plain, &value.text), "values: {}", detail());
    }

    /// A packet of ours, and what they say of it.
    fn ours(
        &mut self,
        dictionary: &Dictionary,
        kind: &str,
        authenticator: &[u8; 16],
        octets: &[u8],
        answer: &str,
    ) {
        let origin = format!("{kind} {}: {answer}", pyrad::hexadecimal(octets));
        let mut fields = answer.split('\t').skip(1);
        match fields.next() {
            Some("valid") => self.authenticators += 1,
            Some("malformed") => {
                let why = fields.next().unwrap_or_default();
                self.differences.add("malformed-to-pyrad", why, || origin.clone());
                return;
            }
            Some(other) => self.differences.add(other, kind, || origin.clone()),
            None => panic!("no answer: {origin}"),
        }
        let framed = Framed::parse(octets).expect("ours is well-formed");
        let secret = secret();
        let hop = Hop { secret: &secret, request_authenticator: authenticator };
        let mut scratch = Scratch::default();
        let items: Vec<Item<'_>> = Walk::new(dictionary, framed.attributes(), &mut scratch).collect();
        let mut ours = by_number(&items);
        let mut raw: BTreeMap<String, Vec<&[u8]>> = BTreeMap::new();
        for attribute in framed.attributes().filter(|attribute| attribute.number != 80) {
            raw.entry(attribute.number.to_string()).or_default().push(attribute.value);
        }
        let mut theirs: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for value in fields.map(Value::parse).filter(|value| value.numbers != "80") {
            theirs.entry(value.numbers.clone()).or_default().push(value);
        }
        for (numbers, values) in &theirs {
            let items = ours.remove(numbers).unwrap_or_default();
            let joined = items.iter().any(|item| item.attribute.is_some_and(|known| known.concatenated()));
            let hidden = |value: &&Value| value.text.strip_prefix("s:").map(str::to_owned);
            if joined {
                // They leave the pieces apart.
                let whole: String = values.iter().filter_map(|value| hidden(&value)).collect();
                let own: String = items.iter().map(|item| pyrad::hexadecimal(item.value)).collect();
                assert_eq!(own, whole, "pieces of {numbers}: {origin}");
                self.differences.add(
                    "not-joined",
                    items[0].attribute.map_or("", |known| known.name()),
                    || origin.clone(),
                );
                self.met.extend(items.iter().filter_map(|item| Some(item.attribute?.name().to_owned())));
                continue;
            }
            if values.iter().all(|value| value.tag.is_none()) {
                // Octets without a name to them: ours are all that stand behind the same numbers.
                let own: Vec<String> = match raw.get(numbers) {
                    Some(raw) => raw.iter().map(|octets| pyrad::hexadecimal(octets)).collect(),
                    None => items.iter().map(|item| whole(item)).collect(),
                };
                let whole: Vec<String> = values.iter().filter_map(|value| hidden(&value)).collect();
                assert_eq!(own, whole, "octets of {numbers}: {origin}");
                let within =
                    |inner: &str| inner.split('.').next() == Some(numbers) && raw.contains_key(numbers);
                let (apart, rest): (ByNumber<'_, '_>, _) =
                    ours.into_iter().partition(|(inner, _)| within(inner));
                ours = rest;
                for items in apart.values() {
                    self.nameless(items, &origin);
                }
                self.nameless(&items, &origin);
                self.values += values.len();
                continue;
            }
            assert_eq!(items.len(), values.len(), "how many {numbers}: {origin}");
            for (item, value) in items.iter().zip(values) {
                let encryption = item.attribute.map_or(Encryption::None, |known| known.encryption());
                let text = item.attribute.is_some_and(|known| known.data_type() == TEXT);
                let they_reveal = match encryption {
                    Encryption::None | Encryption::TunnelPassword => true,
                    Encryption::UserPassword => text,
                    Encryption::AscendSecret => false,
                };
                self.value(item, value, hop, they_reveal, &origin);
            }
        }
        assert!(ours.is_empty(), "only we find {ours:?}: {origin}");
        self.packets += 1;
    }

    fn nameless(&mut self, items: &[&Item<'_>], origin: &str) {
        for attribute in items.iter().filter_map(|item| item.attribute) {
            self.met.insert(attribute.name().to_owned());
            self.differences.add("nameless", attribute.name(), || origin.to_owned());
        }
    }
}

const TEXT: ulna_core::packet::DataType = ulna_core::packet::DataType::Text;

fn whole(item: &Item<'_>) -> String {
    let tag: Vec<u8> = item.tag.into_iter().collect();
    pyrad::hexadecimal(&[&tag, item.value].concat())
}

fn origin(line: &Line) -> String {
    format!("{} {} {:?}", line.kind, pyrad::hexadecimal(&line.octets), line.values)
}

fn kind(octets: &[u8]) -> &'static str {
    match octets[0] {
        1 | 12 => "access-request",
        4 => "accounting-request",
        5 => "accounting-reply",
        40 | 43 => "coa-request",
        41 | 42 | 44 | 45 => "coa-reply",
        _ => "access-reply",
    }
}

/// The dictionary as a file that pyrad reads.
fn told(dictionary: &Dictionary) -> PathBuf {
    let file = support::folder("pyrad").join("dictionary");
    std::fs::write(&file, pyrad::print_dictionary(dictionary)).expect("the target directory can be written");
    file
}

#[test]
fn both_ways() {
    let (python, version) = match pyrad::python() {
        Ok(found) => found,
        Err(why) => return peer::without_peer(&why),
    };
    let began = Instant::now();
    let dictionary = dictionary();
    let file = told(&dictionary);
    let count: usize = match std::env::var("ULNA_PYRAD_PACKETS") {
        Ok(count) => count.parse().expect("ULNA_PYRAD_PACKETS is a number"),
        Err(_) => PACKETS,
    };

    // Theirs, read by us: two of them write at once.
    let mut theirs: Vec<Comparison> = std::thread::scope(|scope| {
        let (python, file, dictionary) = (&python, &file, &dictionary);
        let writer = |seed| {
            scope.spawn(move || {
                let mut comparison = Comparison::default();
                pyrad::write(python, file, seed, count / 2, |line| comparison.theirs(dictionary, &line));
                comparison
            })
        };
        let writers: Vec<_> = (0..2).map(writer).collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap_or_else(|why| std::panic::resume_unwind(why)))
            .collect()
    });
    let mut comparison = theirs.pop().expect("two of them");
    comparison.absorb(theirs.pop().expect("two of them"));
    let read = comparison.packets;
    assert_eq!(read, count / 2 * 2, "packets that pyrad wrote");
    let read_seconds = began.elapsed().as_secs_f32();

    // Ours, read by them.
    let mut random = Random::new(0x70_7972_6164);
    let mut samples = packets::written(&dictionary, &[], &mut random);
    samples.extend(packets::random_exchanges(&dictionary, count / 20, &mut random));
    let prepared = samples.chunks(2).flat_map(|pair| {
        let authenticator: [u8; 16] = *pair[0].octets[4..].first_chunk().expect("a packet has one");
        pair.iter().map(move |sample| (kind(&sample.octets), authenticator, sample.octets.clone()))
    });
    let prepared: Vec<_> = prepared.collect();
    let answers = pyrad::read(&python, &file, prepared.clone());
    assert_eq!(answers.len(), prepared.len(), "an answer for each packet");
    for ((kind, authenticator, octets), answer) in prepared.iter().zip(&answers) {
        comparison.ours(&dictionary, kind, authenticator, octets, answer);
    }
    println!("{version}");
    println!(
        "{read} packets of theirs in {read_seconds:.1} s, {} of ours, {} values, {} authenticators, {} of the \
         dictionary's attributes, {} differences; {:.1} s",
        comparison.packets - read,
        comparison.values,
        comparison.authenticators,
        comparison.met.len(),
        comparison.differences.count(),
        began.elapsed().as_secs_f32()
    );
    let values = dictionary.attributes().filter(|attribute| {
        // pyrad sees to the Message-Authenticator itself; it was checked with the authenticators.
        let own = attribute.oid().parts() == [80];
        !attribute.internal() && !attribute.data_type().is_container() && !own
    });
    let missed: Vec<_> =
        values.map(|value| value.name()).filter(|name| !comparison.met.contains(*name)).collect();
    assert!(missed.is_empty(), "attributes that were never compared: {missed:?}");
    comparison.differences.assert_listed("pyrad.txt");
    let _ = std::fs::remove_dir_all(file.parent().expect("it stands in a folder"));
}

impl Comparison {
    fn absorb(&mut self, other: Comparison) {
        self.differences.absorb(other.differences);
        self.packets += other.packets;
        self.values += other.values;
        self.authenticators += other.authenticators;
        self.met.extend(other.met);
    }
}

/// Packets of theirs that are read; `ULNA_PYRAD_PACKETS` says otherwise.
const PACKETS: usize = 100_000;
