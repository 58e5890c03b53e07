//! The law of configuration files, for any text whatever.

use crate::{Cores, Finding, parse_by};
use std::sync::LazyLock;
use ulna_core::dictionary::Dictionary;

/// The law of configuration files: what is wrong has a place in the text, in order and fit for a terminal; the same text
/// says the same twice; a comment more changes nothing; and no secret is told. The entry point of the fuzzer.
///
/// # Panics
/// If the law does not hold: our bug.
#[doc(hidden)]
pub fn config_law(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // What is read must follow from the text alone, and not from any file that it may name.
    if ELSEWHERE.iter().any(|word| text.contains(word)) {
        return;
    }
    let read = |text: &str| match parse_by(SMALL.clone(), text, FILE, Cores(2)) {
        Ok((_, warnings, _)) => (true, warnings.iter().cloned().collect()),
        Err(errors) => (false, errors.iter().cloned().collect::<Vec<Finding>>()),
    };
    let (right, findings) = read(&text);
    assert!(right || !findings.is_empty(), "what is refused has a reason");

    let mut last = None;
    for finding in &findings {
        assert_eq!(&*finding.file, FILE);
        let place = finding.place.expect("a text has places");
        assert!(last <= Some(place), "findings come in the order of the text: {finding}");
        last = Some(place);
        let line = text.split('\n').nth(place.line - 1).expect("the line is one of the text");
        assert!(
            (1..=line.chars().count() + 1).contains(&place.column),
            "the column is in its line: {finding}"
        );
        assert!(!finding.message.is_empty());
        let printed = finding.to_string();
        assert!(printed.starts_with(&format!("{FILE}:{}:{}: ", place.line, place.column)));
        let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
        assert!(!printed.contains(obeyed), "nothing that a terminal would obey: {printed:?}");
        assert!(!may_tell(&text) || !printed.contains(HIDDEN), "no secret is told: {printed}");
    }

    // Where a text ends that is none, more of it may say something else.
    let again = if right { format!("{text}\n# A comment.") } else { text.into_owned() };
    assert_eq!(read(&again), (right, findings), "the same text says the same, and a comment changes nothing");
}

/// What leads to files or the environment, however a key is written.
const ELSEWHERE: &[&str] = &["dictionaries", "include", "file", "env", "\\u", "\\U", "\\x"];

/// Whether the text has the secret where secrets stand, and nowhere else: in the value of a key of its own line.
fn may_tell(text: &str) -> bool {
    let is_value = |line: &str| {
        let value = line.strip_prefix("secret = ").or_else(|| line.strip_prefix("password = "));
        value == Some(&format!("\"{HIDDEN}\""))
    };
    let mut lines = text.lines().filter(|line| line.contains(HIDDEN));
    // A text of several lines may hold such a line and be none.
    !text.contains("\"\"\"") && !text.contains("'''") && lines.all(is_value)
}

/// What the seeds set: reading the one that is built in takes longer than all else.
static SMALL: LazyLock<Dictionary> = LazyLock::new(|| {
    let mut dictionary = Dictionary::default();
    let read = dictionary.extend(
        "ATTRIBUTE User-Name 1 string
        ATTRIBUTE User-Password 2 string encrypt=1
        ATTRIBUTE Framed-IP-Address 8 ipaddr
        ATTRIBUTE Reply-Message 18 string
        ATTRIBUTE Class 25 octets
        ATTRIBUTE Vendor-Specific 26 vsa
        ATTRIBUTE Session-Timeout 27 integer
        ATTRIBUTE Tunnel-Type 64 integer has_tag
        VALUE Tunnel-Type VLAN 13
        VENDOR Cisco 9
        BEGIN-VENDOR Cisco
        ATTRIBUTE Cisco-AVPair 1 string
        END-VENDOR Cisco",
    );
    read.expect("it is well-formed");
    dictionary
});

const FILE: &str = "fuzzed.toml";
/// What the seeds have for a secret or a password.
const HIDDEN: &str = "hunter2hunter2hunter2";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_law_sees_secrets_only_where_they_stand() {
        assert!(may_tell("[[client]]\nsecret = \"hunter2hunter2hunter2\"\nname = 5"));
        for elsewhere in ["name = \"hunter2hunter2hunter2\"", "secret = \"\"\"\nhunter2hunter2hunter2\"\"\""]
        {
            assert!(!may_tell(elsewhere));
        }
    }

    #[test]
    fn the_law_holds_for_wrong_files() {
        let user = "[[user]]\nname = \"bob\"\npassword = \"hunter2hunter2hunter2\"\n";
        for text in
            ["", "\u{1b}", "[[user]", "[log]\nrequests = 5\n[runtime]\nworkers = 0", "a = \"\t\u{7f}\""]
        {
            config_law(text.as_bytes());
            config_law(format!("{user}{text}").as_bytes());
            config_law(format!("{text}\n{user}reply = {{ No-Such = 1 }}\n{user}").as_bytes());
        }
        config_law(crate::default_text().as_bytes());
    }
}
