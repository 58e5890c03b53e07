//! Secrets and passwords that stand elsewhere than in the file.

mod support;

use support::{FRAME, FRAME_LINES, Folder};
use ulna_config::Configuration;
use ulna_core::authenticate::users::Credential;
use ulna_core::packet::{Secret, Secrets};

/// A client with this secret, from line `FRAME_LINES` on.
fn with_secret(secret: &str) -> String {
    format!("{FRAME}[[client]]\nname = \"a\"\nnetwork = \"192.0.2.1\"\nsecret = {secret}\n")
}

fn with_password(password: &str) -> String {
    format!("{}[[user]]\nname = \"bob\"\npassword = {password}\n", with_secret("\"0123456789abcdef\""))
}

fn secrets(configuration: &Configuration) -> &Secrets {
    let id = configuration.clients.look_up("192.0.2.1".parse().expect("an address")).expect("it is one");
    &configuration.clients.client(id).secrets
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes()).expect("not empty")
}

/// Set by cargo for every test.
const SET: &str = "CARGO_PKG_NAME";

#[test]
fn a_file_has_the_secret_without_its_last_line_break() {
    let folder = Folder::new();
    for (content, expected) in [
        ("0123456789abcdef\n", "0123456789abcdef"),
        ("0123456789abcdef\r\n", "0123456789abcdef"),
        ("0123456789abcdef", "0123456789abcdef"),
        ("0123456789abcdef\n\n", "0123456789abcdef\n"),
        (" 0123456789abcdef ", " 0123456789abcdef "),
    ] {
        folder.write("ulna.toml", with_secret("{ file = \"secrets/a\" }")).write("secrets/a", content);
        let (configuration, warnings) = folder.load().unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(secrets(&configuration), &Secrets::one(secret(expected)));
        assert!(warnings.is_empty(), "{warnings}");
    }
    // Absolute paths stay what they are.
    let path = folder.path().join("secrets/a");
    folder.write("sub/ulna.toml", "").write("ulna.toml", with_secret(&format!("{{ file = {path:?} }}")));
    assert_eq!(folder.errors(), ["no error"]);
}

#[test]
fn secrets_of_32_and_64_octets_are_taken_and_those_of_12_are_warned_of() {
    // checklist 6
    let folder = Folder::new();
    for (octets, warns) in [(1, true), (12, true), (13, false), (32, false), (64, false), (4_095, false)] {
        let text = "s".repeat(octets);
        folder.write("a", format!("{text}\n"));
        for source in [
            "{ file = \"a\" }".to_string(),
            format!("\"{text}\""),
            format!("[\"{text}\", {{ file = \"a\" }}]"),
        ] {
            folder.write("ulna.toml", with_secret(&source));
            let (configuration, warnings) = folder.load().unwrap_or_else(|errors| panic!("{errors}"));
            assert_eq!(secrets(&configuration).newest(), &secret(&text));
            let messages: Vec<_> = warnings.iter().map(|warning| &*warning.message).collect();
            let count = if !warns {
                0
            } else if source.starts_with('[') {
                2
            } else {
                1
            };
            let expected = "a `secret` of 12 octets or fewer can be guessed; use 16 or more";
            assert_eq!(messages, vec![expected; count]);
        }
    }
}

#[test]
fn the_environment_has_secrets_and_passwords() {
    let folder = Folder::new();
    let source = format!("{{ env = \"{SET}\" }}");
    folder.write(
        "ulna.toml",
        with_secret(&source) + &format!("[[user]]\nname = \"bob\"\npassword = {source}\n"),
    );
    let (configuration, _) = folder.load().unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(secrets(&configuration), &Secrets::one(secret("ulna-config")));
    let bob = configuration.users.look_up(b"bob").expect("he is one");
    let Credential::Clear(password) = &bob.credential else { panic!("it is in clear") };
    assert_eq!(&***password, b"ulna-config");
}

#[test]
fn while_rotating_each_secret_has_a_place_of_its_own() {
    let folder = Folder::new();
    folder.write("new", "new-0123456789abcdef\n");
    folder.write("ulna.toml", with_secret(&format!("[{{ file = \"new\" }}, {{ env = \"{SET}\" }}]")));
    let (configuration, _) = folder.load().unwrap_or_else(|errors| panic!("{errors}"));
    let expected = Secrets::rotating(secret("new-0123456789abcdef"), secret("ulna-config"));
    assert_eq!(secrets(&configuration), &expected);
}

#[test]
fn what_cannot_be_had_is_told_with_its_place_and_never_shown() {
    let folder = Folder::new();
    folder.write("empty", "\n").write("none", "").write("large", vec![b'x'; 4097]).write("folder/x", "");
    let line = FRAME_LINES + 4;
    let missing = "No such file or directory (os error 2)";
    for (source, why) in [
        ("{ file = \"nowhere\" }", format!("the file `nowhere` of this `secret` cannot be read: {missing}")),
        ("{ file = \"empty\" }", "the file `empty` of this `secret` is empty".into()),
        ("{ file = \"none\" }", "the file `none` of this `secret` is empty".into()),
        ("{ file = \"large\" }", "the file `large` of this `secret` has more than 4096 octets".into()),
        ("{ file = \"folder\" }", "`folder`, where this `secret` should be, is no file".into()),
        ("{ env = \"ULNA_NOT_SET\" }", "the environment has no variable `ULNA_NOT_SET` for this `secret`".into()),
        ("{ file = \"\" }", format!("`secret` must be {ONE}, found another table")),
        ("{ file = 5 }", format!("`secret` must be {ONE}, found another table")),
        ("{ file = \"empty\", env = \"HOME\" }", format!("`secret` must be {ONE}, found another table")),
        ("{ fiel = \"hunter2\" }", format!("`secret` must be {ONE}, found another table; did you mean `file`?")),
        ("{ hunter2 = \"hunter2\" }", format!("`secret` must be {ONE}, found another table")),
        ("{}", format!("`secret` must be {ONE}, found another table")),
        ("{ table = \"x\", key = \"y\" }", "a `secret` from a table with keys is for a [[client_rule]]".into()),
        ("[{ file = \"nowhere\" }, \"0123456789abcdef\"]", format!("the file `nowhere` of this `secret` cannot be read: {missing}")),
        ("[5, \"0123456789abcdef\"]", "`secret` must be a text, { file = \"…\" } or { env = \"…\" } in [NEW, OLD], found a whole number".into()),
    ] {
        folder.write("ulna.toml", with_secret(source));
        let text = folder.load().err().unwrap_or_else(|| panic!("{source} is taken"));
        assert_eq!(text, format!("ulna.toml:{line}:1: {why}\n    secret …\n    ^"), "{source}");
    }
}

const ONE: &str = "a text, { file = \"…\" } or { env = \"…\" }, or [NEW, OLD] while rotating";

#[test]
fn passwords_have_1_to_128_octets_wherever_they_stand() {
    let folder = Folder::new();
    folder.write("right", "x".repeat(128) + "\n").write("long", "x".repeat(129)).write("empty", "");
    folder.write("ulna.toml", with_password("{ file = \"right\" }"));
    assert_eq!(folder.errors(), ["no error"]);
    let place = format!("ulna.toml:{}:1", FRAME_LINES + 7);
    let expected = "a text, { file = \"…\" } or { env = \"…\" } of 1 to 128 octets, { nt_hash = \"…\" } or { argon2 = \"$argon2id$…\" }";
    for (source, why) in [
        ("{ file = \"long\" }", format!("`password` must be {expected}, found more")),
        ("{ file = \"empty\" }", "the file `empty` of this `password` is empty".into()),
        ("\"\"", format!("`password` must be {expected}, found none")),
        ("5", format!("`password` must be {expected}, found a whole number")),
        ("{ totp = \"x\" }", format!("`password` must be {expected}, found another table")),
        (
            "{ env = \"ULNA_NOT_SET\" }",
            "the environment has no variable `ULNA_NOT_SET` for this `password`".into(),
        ),
    ] {
        folder.write("ulna.toml", with_password(source));
        assert_eq!(folder.errors(), [format!("{place}: {why}")], "{source}");
    }
}

#[test]
fn files_that_everybody_may_read_are_warned_of_once() {
    let folder = Folder::new();
    folder.write("a", "0123456789abcdef").write("b", "0123456789abcdef").write("c", "0123456789abcdef");
    folder.allow("a", 0o640).allow("b", 0o644).allow("c", 0o604);
    folder.write("ulna.toml", with_secret("[{ file = \"a\" }, { file = \"b\" }]"));
    let (_, warnings) = folder.load().expect("it is right");
    let expected = format!(
        "ulna.toml:{}:1: `b` with secrets can be read by every user of this machine: chmod o-r\n    secret …\n    ^",
        FRAME_LINES + 4
    );
    assert_eq!(folder.without_name(&warnings.to_string()), expected);
    folder.write("ulna.toml", with_secret("[{ file = \"b\" }, { file = \"c\" }]"));
    let (_, warnings) = folder.load().expect("it is right");
    let messages: Vec<_> = warnings.iter().map(|warning| folder.without_name(&warning.message)).collect();
    assert_eq!(
        messages,
        ["`b` and 1 other file with secrets can be read by every user of this machine: chmod o-r"]
    );
}
