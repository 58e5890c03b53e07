//! tshark reads our packets, and others', as we do.

mod support;

use std::path::Path;
use std::time::Instant;
use support::packets::{NONSENSE, Sample, foreign, written};
use support::pcap::Capture;
use support::random::Random;
use support::reading::Comparison;
use support::{SECRET, peer, tshark};
use ulna_core::dictionary::Dictionary;

/// Both read all of these; gives the comparison.
fn compare<'d>(dictionary: &'d Dictionary, samples: &[Sample], folder: &Path) -> Comparison<'d> {
    let mut capture = Capture::new();
    for sample in samples {
        capture.packet(sample.exchange, sample.direction, sample.port, &sample.octets);
    }
    let file = folder.join("radius.pcap");
    std::fs::write(&file, capture.octets()).expect("the target directory can be written");
    let mut comparison = Comparison::new(dictionary, tshark::field_types(folder));
    let mut remaining = samples.iter();
    tshark::read(folder, &file, SECRET, |packet| {
        let sample = remaining.next().expect("tshark sees no more packets than there are");
        comparison.packet(&sample.octets, sample.signed, &packet, &sample.origin);
    });
    assert_eq!(remaining.len(), 0, "packets that tshark has not seen");
    comparison
}

#[test]
fn tshark_reads_what_we_read() {
    let version = match tshark::version() {
        Ok(version) => version,
        Err(why) => return peer::without_peer(&why),
    };
    println!("{version}");
    let began = Instant::now();

    // Each reads its own dictionary, and behind it the same one with every data type, flag and format.
    let folder = support::folder("tshark");
    std::fs::create_dir_all(folder.join("wireshark/radius")).expect("the target directory can be written");
    std::fs::write(folder.join("wireshark/radius/dictionary"), EVERY_KIND).expect("as above");
    let mut dictionary = Dictionary::built_in();
    dictionary.extend(EVERY_KIND).expect("it is well-formed");
    let mut random = Random::new(0x7473_6861_726b);
    let mut samples = written(&dictionary, NONSENSE, &mut random);
    let ours = samples.len();
    samples.extend(foreign(&dictionary, &samples, &mut random));
    let packets = samples.len();
    assert!(packets >= 5_000, "only {packets} packets");
    let comparison = compare(&dictionary, &samples, &folder);
    assert_all_met(&dictionary, &comparison);
    println!(
        "{packets} packets ({ours} written by us, {} malformed to both), {} attributes, {} values, {} by their meaning, {} invalid \
         to both, {} authenticators, {} names, {} differences; {:.1} s",
        comparison.malformed,
        comparison.attributes,
        comparison.values,
        comparison.meanings,
        comparison.invalid,
        comparison.authenticators,
        comparison.met.len(),
        comparison.differences.count(),
        began.elapsed().as_secs_f32()
    );
    comparison.differences.assert_listed("tshark.txt");
    let _ = std::fs::remove_dir_all(folder);
}

fn assert_all_met(dictionary: &Dictionary, comparison: &Comparison<'_>) {
    let names = dictionary.attributes().filter(|attribute| !attribute.internal());
    let missed: Vec<_> =
        names.map(|known| known.name()).filter(|name| !comparison.met.contains(*name)).collect();
    assert!(missed.is_empty(), "attributes that were never compared: {missed:?}");
}

const EVERY_KIND: &str = include_str!("support/every_kind.dictionary");
