//! `[accounting.file]` and the rules that store in it.

use std::time::Duration;
use ulna_config::{Cores, default_text, parse};
use ulna_core::accounting::Rotation;
use ulna_core::configuration::AccountingFile;

fn file(keys: &str) -> Result<Option<AccountingFile>, Vec<String>> {
    let text = format!("[accounting.file]\n{keys}\n{}", default_text());
    match parse(&text, "/etc/ulna/ulna.toml", Cores(1)) {
        Ok((configuration, _)) => Ok(configuration.accounting.file),
        Err(errors) => Err(errors
            .iter()
            .map(|finding| {
                let place = finding.place.expect("it has a place");
                format!("{}:{}: {}", place.line, place.column, finding.message)
            })
            .collect()),
    }
}

#[test]
fn a_path_is_enough_and_relative_to_the_file() {
    let (configuration, _) = parse(default_text(), "x", Cores(1)).expect("right");
    assert_eq!(configuration.accounting.file, None, "nobody asked for a file");
    let expected = AccountingFile {
        path: "/etc/ulna/accounting.jsonl".into(),
        rotation: Rotation::default(),
        line_octets_max: 16 * 1024 * 1024,
    };
    assert_eq!(file("path = \"accounting.jsonl\""), Ok(Some(expected)));
    let absolute = file("path = \"/var/log/ulna/a.jsonl\"").expect("right").expect("it is there");
    assert_eq!(&*absolute.path, "/var/log/ulna/a.jsonl");
}

#[test]
fn all_keys_are_read() {
    let keys = "path = \"a\"\nrotate_octets = 1_048_576\nrotate_every = \"1h\"\nline_octets_max = 65_536";
    let found = file(keys).expect("right").expect("it is there");
    let every = Some(Duration::from_secs(3_600));
    assert_eq!(found.rotation, Rotation { octets: Some(1_048_576), every });
    assert_eq!(found.line_octets_max, 65_536);
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let errors = |keys: &str| file(keys).expect_err("wrong");
    assert_eq!(errors("rotate_every = \"1d\""), ["1:1: missing key `path` in [accounting.file]"]);
    assert_eq!(
        errors("path = \"a\"\nrotate_octets = 1\nrotate_every = \"1s\"\nline_octets_max = 1"),
        [
            "3:17: `rotate_octets` must be a whole number from 1048576 to 1099511627776, found 1",
            "4:16: `rotate_every` must be from \"1m\" to \"366d\", found \"1s\"",
            "5:19: `line_octets_max` must be a whole number from 65536 to 1073741824, found 1",
        ]
    );
    assert_eq!(
        errors("path = \"a\"\nrotate_every = \"61500ms\""),
        ["3:16: `rotate_every` must be whole seconds, found \"61500ms\""]
    );
}
