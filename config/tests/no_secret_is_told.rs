//! Whatever happens to a file, no message shows a secret that stands in it: not in the line that is shown, not in what the
//! message says of a name or a value; nor do the lines of a file that is right.

mod support;

use proptest::prelude::*;
use support::{FRAME, Folder};
use ulna_config::{Cores, default_text, parse_with_source};

/// All that is said of a text.
fn said(text: &str) -> String {
    match parse_with_source(text, "ulna.toml", Cores(2)) {
        Ok((_, warnings, _)) => warnings.to_string(),
        Err(errors) => errors.to_string(),
    }
}

/// What is shown of it where it is in force, by itself or with something to serve: each line behind its number. The error is why it
/// cannot be.
fn shown(text: &str) -> Result<String, String> {
    let parsed =
        [text.into(), format!("{text}\n{FRAME}")].map(|text| parse_with_source(&text, "ulna.toml", Cores(2)));
    let [alone, framed] = parsed;
    let (_, _, source) = alone.or(framed).map_err(|errors| errors.to_string())?;
    Ok(source.into_lines().iter().map(|line| format!("{} {}\n", line.number, line.text)).collect())
}

/// The same where another file includes it, behind a line of its own.
fn said_of_included(text: &str) -> String {
    let folder = Folder::new();
    folder
        .write("part.toml", text)
        .write("ulna.toml", "include = [\"part.toml\"] # QSECRETQ\n[log]\nrequests = 5 # QSECRETQ\n");
    match folder.load() {
        Ok((_, warnings)) => warnings.to_string(),
        Err(errors) => errors,
    }
}

fn assert_tells_no_secret(text: &str) {
    let said = said(text);
    assert!(!said.is_empty(), "something is wrong with {text}");
    assert!(!said.contains("SECR"), "{text}\n{said}");
    let said = said_of_included(text);
    assert!(!said.contains("SECR"), "{text}\n{said}");
}

#[test]
fn a_key_that_has_swallowed_a_password_is_not_shown() {
    for quotes in ["\"\"\"", "\"", "'"] {
        let swallowed = format!(
            "{quotes}, password = {}QSECRETQ{}, reply = {{ Reply-Message = {quotes} = 5",
            if quotes == "'" { '"' } else { '\'' },
            if quotes == "'" { '"' } else { '\'' }
        );
        assert_tells_no_secret(&format!("user = [{{ name = \"b\", {swallowed} }}]"));
        assert_tells_no_secret(&format!("user = [{{ name = \"b\", reply = {{ {swallowed} }} }}]"));
        assert_tells_no_secret(&format!("[[user]]\n{swallowed}\n"));
        assert_tells_no_secret(&format!("[runtime]\n{swallowed}\n"));
        assert_tells_no_secret(&format!("[{quotes}, password = QSECRETQ {quotes}]\n"));
    }
    // As the property below found it.
    assert_tells_no_secret(
        "user = [{ name = \"b\", \"\"\"password = \"QSECRETQ\", reply = { Reply-Message\"\"\" = \"x\" }]",
    );
}

#[test]
fn a_value_that_has_swallowed_a_password_is_not_shown() {
    let swallowed = "'b, password = \"QSECRETQ\"'";
    let server = "[[server]]\nname = \"s\"\n[[server.new]]\naccept = true\n";
    for text in [
        format!("user = [{{ name = {swallowed}, password = 5 }}]"),
        format!(
            "user = [{{ name = {swallowed}, password = \"x\" }}, {{ name = {swallowed}, password = \"x\" }}]"
        ),
        format!("user = [{{ mac = {swallowed} }}]"),
        format!("user = [{{ name = \"b\", password = \"x\", reply = {{ Session-Timeout = {swallowed} }} }}]"),
        format!("client = [{{ name = {swallowed}, network = {swallowed}, secret = \"0123456789abcdef\" }}]"),
        format!("{FRAME}[[client]]\nname = {swallowed}\nnetwork = \"::1\"\nsecret = \"short\"\n")
            .replace("127.0.0.1", "0.0.0.0"),
        format!(
            "[[listen]]\nname = {swallowed}\ntransport = {swallowed}\naddress = {swallowed}\npackets = [{swallowed}]\nserver = {swallowed}\n"
        ),
        format!("[log]\nformat = {swallowed}\nrequests = {swallowed}\n"),
        format!("[runtime]\nworkers = {swallowed}\ndictionaries = [{swallowed}]\n"),
        format!("include = [{swallowed}]"),
        format!("include = [{swallowed}, '''x/*/ password = \"QSECRETQ\"''']"),
        format!("[protocol]\nreject_delay = {swallowed}\n"),
        format!("[[server]]\nname = {swallowed}\n[[server]]\nname = {swallowed}\n"),
        format!("{server}when = {{ realm = {{ regex = '[b, password = \"QSECRETQ\"' }} }}\n"),
        format!("{server}when = {{ client = {swallowed}, listener = {swallowed}, time = {swallowed} }}\n"),
        format!(
            "{server}when = {{ network = {swallowed}, NAS-IP-Address = {swallowed}, reply = {swallowed} }}\n"
        ),
        format!(
            "{server}when = {{ Framed-IP-Address = 'x/y password = \"QSECRETQ\"', NAS-Port = {{ {swallowed} = 1 }} }}\n"
        ),
        format!("{server}when = {{ {swallowed} = 1, 'session.password = \"QSECRETQ\"' = \"x\" }}\n"),
        format!("{server}set_session = {{ {swallowed} = 1, site = [{swallowed}] }}\n"),
        format!("{server}remove_reply = [{swallowed}]\nallow_reply = {swallowed}\n"),
        format!("{server}set_request = {{ 'Tunnel-Password:1 = \"QSECRETQ\"' = 1 }}\n"),
        format!("user = [{{ name = \"b\", password = {{ file = {swallowed} }} }}]"),
        format!("user = [{{ name = \"b\", password = {{ env = {swallowed} }} }}]"),
        format!("[[user]]\nname = \"b\"\npassword = {{ file = {swallowed} }}\n[a]\n{swallowed} = 1\n"),
        format!(
            "[[remote_server]]\nname = {swallowed}\naddress = {swallowed}\nsource_address = {swallowed}\nsecret = [\"QSECRETQ\", \"QSECRETQ\"]\n"
        ),
        format!(
            "[[remote_server]]\nname = {swallowed}\naddress = \"192.0.2.1\"\nsecret = {{ {swallowed} = \"QSECRETQ\" }}\n"
        ),
        format!(
            "[[pool]]\nname = {swallowed}\nbalance = {swallowed}\nhash_by = [{swallowed}]\nremote_servers = [{swallowed}, {{ name = {swallowed} }}]\n"
        ),
        format!("[[realm]]\nname = {swallowed}\npool = {swallowed}\nstate_lifetime = {swallowed}\n"),
        format!("{FRAME}[[pool]]\nname = {swallowed}\nremote_servers = [{swallowed}]\n"),
        format!(
            "[[server]]\nname = \"s\"\nongoing = {swallowed}\n[[server.new]]\nproxy = {swallowed}\n[[server.new]]\nproxy = {{ by = {swallowed} }}\n"
        ),
        "client = [{ name = \"b, secret = QSECRETQ\", network = 5 }]".into(),
        "client = [{ name = \"b secret QSECRETQ\", network = 5 }]".into(),
        "client = [{ name = \"bsecretQSECRETQ\", network = 5 }]".into(),
    ] {
        assert_tells_no_secret(&text);
    }
}

#[test]
fn nor_is_what_stands_behind_a_bracket_or_in_the_keys_of_a_secret() {
    for text in [
        // A comment.
        "[[user]]\nname = [ # QSECRETQ\n]\npassword = \"x\"\n",
        "[[user]]\nname = \"b\"\npassword = \"x\"\nreply = { # QSECRETQ\nSession-Timeout = \"soon\" }\n",
        "[log]\nrequests = [ 1, # QSECRETQ\n 2 ]\n",
        // Keys.
        "client = [{ secret = { QSECRETQ = 5 }, name = 5 }]",
        "client = [{ secret = { \"QSECRETQ\" = \"x\", file = \"y\" }, name = 5 }]",
        "client = [{ secret.QSECRETQ = 5, name = 5 }]",
        "client = [{ \"QSECRETQ\" = 5, name = 5 }]",
        "[[user]]\n\"QSECRETQ\" = 5\n",
        "[[user]]\nname = \"b\"\n[user.password]\nQSECRETQ = 5\nx = 6\n",
        "[client.\"QSECRETQ\"]\nname = \"b\"\n[client.\"QSECRETQ\".x]\n",
        "user = [{ name = \"b\", password = \"x\", reply = { \"QSECRETQ\" = 5, Session-Timeout = \"soon\" } }]",
        "user = [{ secrt = { QSECRETQ = 5 }, name = 5 }]",
    ] {
        assert_tells_no_secret(text);
    }
}

#[test]
fn a_file_with_a_secret_that_is_read_as_another_kind_of_file_is_not_quoted() {
    let folder = Folder::new();
    folder.write("secret", "QSECRETQ\n").write("several", "QSECRETQ = QSECRETQ\nVALUE QSECRETQ QSECRETQ x\n");
    for file in ["secret", "several"] {
        for line in [format!("[runtime]\ndictionaries = [\"{file}\"]\n"), format!("include = [\"{file}\"]\n")]
        {
            folder.write("ulna.toml", format!("{line}{FRAME}"));
            let errors = folder.load().err().unwrap_or_else(|| panic!("{line} is wrong"));
            assert!(!errors.contains("SECR"), "{errors}");
        }
    }
}

#[test]
fn what_is_no_secret_is_still_shown() {
    let found = said("listen = [{ name = \"auth\", address = \"127.0.0.1\", transport = \"udp\" }]");
    assert!(
        found.contains("found \"127.0.0.1\"\n    listen = [{ name = \"auth\", address = \"127.0.0.1\" …"),
        "{found}"
    );
    let found = said("user = [{ name = \"b\", reply = { Tunel-Type = 5, \"Tunnel-Typ:1\" = 5 } }]");
    assert!(found.contains("unknown attribute `Tunel-Type`; did you mean `Tunnel-Type`?"), "{found}");
    assert!(found.contains("unknown attribute `Tunnel-Typ:1`; did you mean"), "{found}");
    assert!(found.contains("reply = { Tunel-Type = ***, \"Tunnel-Typ:1\" …"), "{found}");
}

#[test]
fn of_a_file_that_is_right_each_line_is_shown_without_secrets_and_comments() {
    let lines = shown(&Base::Lines.text()).expect("it is right");
    let own: Vec<_> = lines.lines().take(2).collect();
    assert_eq!(
        own.join("\n"),
        "1 client = [{ secret = [***, ***], name = \"a\", network = \"::1\" }]\n\
         2                 user = [{ name = \"b\", password = ***, reply = { Reply-Message = \"x\" } }]"
    );
    // Digests that are such.
    let text = Base::Forms
        .text()
        .replace("5ECR", "5EC2")
        .replace("$QSECRETQ$QSECRETQ", "$U0VDUlNFQ1I$U0VDUlNFQ1JTRUNSU0VDUg");
    let shown = shown(&text).expect("it is right");
    assert!(["ECR", "5EC2", "U0V"].iter().all(|secret| !shown.contains(secret)), "{shown}");
    let expected = [
        "set_reply = { Tunnel-Password = ***, Class = \"0x00\" }",
        "set_reply = { \"Tunnel-Password:1\" = [***, ***], Reply-Message = \"x\", MS-MPPE-Send-Key = *** }",
        "network = [",
        "    \"::1\",",
        "password = { *** = *** }",
        "reply = { Session-Timeout = 5 }",
    ];
    for expected in expected {
        let found = shown.lines().filter_map(|line| line.split_once(' ')).find(|(_, line)| *line == expected);
        let (number, _) = found.unwrap_or_else(|| panic!("{expected}:\n{shown}"));
        let number: usize = number.parse().expect("a number");
        let there = text.lines().nth(number - 1).expect("a line");
        assert!(there.starts_with(expected.split(['*', '\n']).next().expect("the first part")), "{there}");
    }
    // A comment makes no line.
    assert!(shown.lines().all(|line| line.split_once(' ').is_some_and(|(_, line)| !line.trim().is_empty())));
}

#[test]
fn a_long_line_ends_early_and_nothing_steers_a_terminal() {
    let networks: Vec<_> = (0..250).map(|network| format!("\"10.0.{network}.0/24\"")).collect();
    let text = format!(
        "[[client]]\nname = \"\u{202e}a\"\nsecret = \"QSECRETQSECRETQ\"\nnetwork = [{}]\n{FRAME}",
        networks.join(", ")
    );
    let shown = shown(&text).expect("it is right");
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines[1], "2 name = \"\u{fffd}a\"");
    assert_eq!(lines[3].len(), "4 ".len() + 1_000 + " …".len(), "{}", lines[3]);
    assert!(
        lines[3].starts_with("4 network = [\"10.0.0.0/24\", ") && lines[3].ends_with(" …"),
        "{}",
        lines[3]
    );
}

/// One change to a text.
#[derive(Debug, Clone)]
enum Change {
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, &'static str),
    /// The same at two places: what stands between them becomes a text, more often than by chance.
    Enclose(prop::sample::Index, prop::sample::Index, &'static str),
}

fn change() -> impl Strategy<Value = Change> {
    let piece = prop::sample::select(vec![
        "\"",
        "'",
        "\"\"\"",
        "'''",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "=",
        ".",
        ",",
        "\n",
        "#",
        "\\",
        "x",
        "5",
        " ",
        "\t",
        "é",
        "\u{feff}",
        "\r",
        "[[client]]\n",
        "secret = ",
        "x = ",
        "true",
        "-",
    ]);
    let quotes = prop::sample::select(vec!["\"", "'", "\"\"\"", ", "]);
    let place = any::<prop::sample::Index>;
    prop_oneof![
        (place(), 1..4usize).prop_map(|(place, count)| Change::Remove(place, count)),
        (place(), piece).prop_map(|(place, piece)| Change::Insert(place, piece)),
        (place(), place(), quotes).prop_map(|(one, other, quotes)| Change::Enclose(one, other, quotes)),
    ]
}

/// Where a word ends or begins: quotes elsewhere seldom leave anything that can be read.
fn edges(text: &[char]) -> Vec<usize> {
    let is_word = |place: usize| text.get(place).is_some_and(|letter| letter.is_alphanumeric());
    (0..=text.len()).filter(|place| !is_word(*place) || *place == 0 || !is_word(place - 1)).collect()
}

/// A file with secrets that stand out: the default one; one with all on two lines; one with every way to write them.
#[derive(Debug, Clone, Copy)]
enum Base {
    Default,
    Lines,
    Forms,
}

impl Base {
    fn text(self) -> String {
        match self {
            Base::Default => {
                default_text().replace("testing123", "QSECRETQSECRETQ").replace("hello", "QSECRETQ")
            }
            Base::Lines => r#"client = [{ secret = ["QSECRETQ", "QSECRETQ"], name = "a", network = "::1" }]
                user = [{ name = "b", password = "QSECRETQ", reply = { Reply-Message = "x" } }] # QSECRETQ"#
                .into(),
            Base::Forms => format!(
                r#"{FRAME}set_reply = {{ Tunnel-Password = "QSECRETQ", Class = "0x00" }} # QSECRETQ
when = {{ realm = {{ one_of = ["a.example", "b.example"] }}, User-Name = {{ regex = "^[a-z]+$" }} }}
[[server.reply]] # QSECRETQ
set_reply = {{ "Tunnel-Password:1" = ["QSECRETQ", "QSECRETQ"], Reply-Message = "x", MS-MPPE-Send-Key = "QSECRETQ" }}
[[client]]
name = "a" # QSECRETQ
network = [ # QSECRETQ
    "::1", # QSECRETQ
    "192.0.2.1/32",
]
secret = [
    'QSECRETQ', # QSECRETQ
    """QSECRETQ
QSECRETQ = QSECRETQ
""",
]
[[user]]
name = "b"
password = '''QSECRETQ'''
reply = {{ Session-Timeout = 5 }}
[[user]]
name = "c"
password = {{ nt_hash = "5ECR5ECR5ECR5ECR5ECR5ECR5ECR5ECR" }}
[[user]]
name = "d"
password = {{ argon2 = "$argon2id$v=19$m=256,t=2,p=1$QSECRETQ$QSECRETQ" }}
one_time_code = {{ totp = "QSECRETQQSECRETQQSECRETQQSECRETQ", digits = 8, period = "60s", algorithm = "sha256" }}
[user.reply]
Reply-Message = "x"
"#
            ),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(2_000), ..ProptestConfig::default() })]

    #[test]
    fn no_damage_to_a_file_makes_it_tell_a_secret(
        base in prop::sample::select(vec![Base::Default, Base::Lines, Base::Lines, Base::Forms]),
        is_included in prop::bool::weighted(0.2),
        changes in prop::collection::vec(change(), 1..4),
    ) {
        let mut text: Vec<char> = base.text().chars().collect();
        for change in changes {
            match change {
                Change::Remove(place, count) => {
                    let place = place.index(text.len());
                    text.drain(place..(place + count).min(text.len()));
                }
                Change::Insert(place, piece) => {
                    let place = place.index(text.len());
                    text.splice(place..place, piece.chars());
                }
                Change::Enclose(one, other, quotes) => {
                    for place in [one, other] {
                        let edges = edges(&text);
                        let place = edges[place.index(edges.len())];
                        text.splice(place..place, quotes.chars());
                    }
                }
            }
        }
        let text: String = text.into_iter().collect();
        let said = if is_included { said_of_included(&text) } else { said(&text) };
        prop_assert!(!said.contains("ECR"), "{}", said);
        let shown = shown(&text).unwrap_or_default();
        prop_assert!(!shown.contains("ECR"), "{}", shown);
    }
}
