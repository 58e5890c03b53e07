//! Configurations of several files: what is read, in which order, and where errors are said to be.

mod support;

use support::{FRAME, FRAME_LINES, Folder};

fn client(name: &str, address: &str) -> String {
    format!("[[client]]\nname = \"{name}\"\nnetwork = \"{address}\"\nsecret = \"0123456789abcdef\"\n")
}

#[test]
fn files_are_read_in_the_order_of_their_names_and_tables_are_merged() {
    let folder = Folder::new();
    let user = |name: &str| format!("[[user]]\nname = \"{name}\"\npassword = \"x\"\n");
    folder
        .write(
            "ulna.toml",
            format!(
                "include = [\"conf.d/*.toml\", \"last.toml\"]\n[protocol]\nreject_delay = \"2s\"\n{FRAME}"
            ),
        )
        .write(
            "conf.d/20-b.toml",
            client("b", "192.0.2.2") + &user("bob") + "[protocol]\ndedup_lifetime = \"7s\"\n",
        )
        .write("conf.d/10-a.toml", "include = [\"more/a?.toml\"]\n".to_string() + &client("a", "192.0.2.1"))
        .write("conf.d/more/ab.toml", client("ab", "192.0.2.3"))
        .write("conf.d/.hidden.toml", "no TOML")
        .write("conf.d/30-c.toml~", "no TOML")
        .write("last.toml", user("eve"));
    let (configuration, warnings) = folder.load().unwrap_or_else(|errors| panic!("{errors}"));
    assert!(warnings.is_empty(), "{warnings}");
    let names: Vec<_> = ["192.0.2.1", "192.0.2.3", "192.0.2.2"]
        .map(|address| {
            let id = configuration.clients.look_up(address.parse().expect("an address")).expect("it is one");
            configuration.clients.client(id).name.to_string()
        })
        .into();
    assert_eq!(names, ["a", "ab", "b"]);
    assert!(configuration.users.look_up(b"bob").is_some() && configuration.users.look_up(b"eve").is_some());
    assert_eq!(configuration.protocol.reject_delay.as_secs(), 2);
    assert_eq!(configuration.protocol.dedup_lifetime.as_secs(), 7);
}

#[test]
fn errors_name_the_file_in_which_they_stand_in_order() {
    let folder = Folder::new();
    folder
        .write("ulna.toml", format!("include = [\"b.toml\", \"a.toml\"]\n{FRAME}[runtime]\nworkers = 0\n"))
        .write("a.toml", "[log]\n\nrequests = 5\n")
        .write("b.toml", "include = []\n# é\n[[client]]\nname = \"a\"\nnetwork = \"x\"\nsecret = \"hunter2\" # hunter2\nnam = 1\n");
    let text = folder.load().err().expect("much is wrong");
    assert_eq!(
        text,
        format!(
            "ulna.toml:{}:11: `workers` must be a whole number from 1 to 256 or \"auto\", found 0\n    workers = 0\n    \
             \u{20}         ^\n\
             b.toml:5:11: `network` must be a network such as \"192.0.2.0/24\" or \"2001:db8::/32\", or an address, found \
             \"x\"\n    network = \"x\"\n              ^\n\
             b.toml:7:1: unknown key `nam` in [[client]], expected one of `name`, `network`, `secret`, \
             `require_message_authenticator`, `limit_proxy_state`, `coa_address`, `nas_identifier`; did you mean `name`?\n    nam …\n    ^\n\
             a.toml:3:12: `requests` must be true or false, found 5\n    requests = 5\n               ^",
            FRAME_LINES + 3
        )
    );
}

#[test]
fn paths_are_relative_to_the_file_in_which_they_stand() {
    let folder = Folder::new();
    folder
        .write("ulna.toml", format!("include = [\"sub/a.toml\"]\n{FRAME}"))
        .write("sub/a.toml", "[runtime]\ndictionaries = [\"own\"]\n[[client]]\nname = \"a\"\nnetwork = \"192.0.2.1\"\nsecret = { file = \"s\" }\n")
        .write("sub/own", "ATTRIBUTE Own 200 string\n")
        .write("sub/s", "0123456789abcdef");
    assert_eq!(folder.errors(), ["no error"]);
    std::fs::remove_file(folder.path().join("sub/own")).expect("it is there");
    std::fs::remove_file(folder.path().join("sub/s")).expect("it is there");
    assert_eq!(
        folder.errors(),
        [
            "sub/a.toml:2:17: there is no file `sub/own`",
            "sub/a.toml:6:1: the file `sub/s` of this `secret` cannot be read: No such file or directory (os error 2)",
        ]
    );
}

#[test]
fn a_key_or_a_name_that_two_files_have_is_told_with_both_places() {
    let folder = Folder::new();
    folder
        .write("ulna.toml", format!("include = [\"a.toml\"]\n[protocol]\nreject_delay = \"2s\"\n[log]\n{FRAME}[[client]]\nname = \"a\"\nnetwork = \"192.0.2.1\"\nsecret = \"0123456789abcdef\"\n"))
        .write("a.toml", format!("[protocol]\n  reject_delay = \"3s\"\n[[log]]\n[user]\n{}", client("a", "192.0.2.1")));
    assert_eq!(
        folder.errors(),
        [
            "a.toml:2:3: `reject_delay` is set already, at ulna.toml:3:1",
            "a.toml:3:3: `log` is set already, at ulna.toml:4:2, as a table; this is an array",
            "a.toml:4:2: `user` must be written as [[user]], found a table",
            "a.toml:6:8: client \"a\" is defined twice",
            "a.toml:7:11: network 192.0.2.1/32 of client \"a\" already belongs to client \"a\"",
        ]
    );
}

#[test]
fn what_is_not_toml_is_told_of_every_file_and_nothing_else() {
    let folder = Folder::new();
    folder
        .write("ulna.toml", format!("include = [\"a.toml\", \"b.toml\"]\nwrong = 5\n{FRAME}"))
        .write("a.toml", "[log\n")
        .write("b.toml", "\n[[client]]\nsecret = hunter2\n");
    let errors = folder.errors();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].starts_with("a.toml:1:5: not TOML: "), "{errors:?}");
    assert!(errors[1].starts_with("b.toml:3:10: not TOML: ") && !errors[1].contains("hunter2"), "{errors:?}");
}

#[test]
fn files_that_are_missing_no_files_or_not_text() {
    let folder = Folder::new();
    folder
        .write("ulna.toml", format!("include = [\n\"missing.toml\",\n\"nowhere/*.toml\",\n\"folder\",\n\"latin1.toml\",\n\"a*/b.toml\",\n\"\",\n5,\n\"folder/\"]\n{FRAME}"))
        .write("folder/x", "")
        .write("latin1.toml", b"# caf\xe9\n");
    let missing = "No such file or directory (os error 2)";
    assert_eq!(
        folder.errors(),
        [
            format!("ulna.toml:2:1: `missing.toml` cannot be read: {missing}"),
            format!("ulna.toml:3:1: `nowhere` cannot be read: {missing}"),
            "ulna.toml:4:1: `folder` is no file".into(),
            "ulna.toml:5:1: `latin1.toml` is not UTF-8: the octet at offset 5 begins no character".into(),
            "ulna.toml:6:1: `include` has `*` and `?` in the last part of a path only".into(),
            "ulna.toml:7:1: `include` must be an array of files such as [\"conf.d/*.toml\"]".into(),
            "ulna.toml:8:1: `include` must be an array of files such as [\"conf.d/*.toml\"]".into(),
            "ulna.toml:9:1: `include` must be an array of files such as [\"conf.d/*.toml\"]".into(),
        ]
    );
    folder.write("ulna.toml", format!("include = \"a.toml\"\n{FRAME}"));
    assert_eq!(
        folder.errors(),
        ["ulna.toml:1:1: `include` must be an array of files such as [\"conf.d/*.toml\"]"]
    );
}

#[test]
fn a_pattern_that_matches_nothing_is_warned_of() {
    let folder = Folder::new();
    folder
        .write("ulna.toml", format!("include = [\"conf.d/*.toml\"]\n{FRAME}{}", client("a", "192.0.2.1")))
        .write("conf.d/x", "");
    let (_, warnings) = folder.load().expect("it is right");
    let expected =
        "ulna.toml:1:12: `include` matches no file here\n    include = [\"conf.d/*.toml\"]\n               ^";
    assert_eq!(folder.without_name(&warnings.to_string()), expected);
}

#[test]
fn cycles_and_files_that_come_twice_are_refused() {
    let folder = Folder::new();
    folder
        .write("ulna.toml", format!("include = [\"a.toml\", \"./a.toml\", \"c.toml\"]\n{FRAME}"))
        .write("a.toml", "include = [\"b.toml\"]\n")
        .write("b.toml", "include = [\"a.toml\", \"ulna.toml\", \"b.toml\"]\n");
    std::os::unix::fs::symlink("b.toml", folder.path().join("c.toml")).expect("it can be written");
    assert_eq!(
        folder.errors(),
        [
            "ulna.toml:1:22: `./a.toml` is included twice",
            "ulna.toml:1:34: `c.toml` is included twice",
            "b.toml:1:12: `a.toml` includes itself",
            "b.toml:1:22: `ulna.toml` includes itself",
            "b.toml:1:35: `b.toml` includes itself",
        ]
    );
}

#[test]
fn depth_and_count_are_bounded() {
    let folder = Folder::new();
    folder.write("ulna.toml", format!("include = [\"1.toml\"]\n{FRAME}{}", client("a", "192.0.2.1")));
    for depth in 1..=9 {
        folder.write(&format!("{depth}.toml"), format!("include = [\"{}.toml\"]\n", depth + 1));
    }
    assert_eq!(folder.errors(), ["8.toml:1:12: `9.toml` is included too deep: at most 8 files lead to it"]);
    folder.write("8.toml", "");
    assert_eq!(folder.errors(), ["no error"]);

    let folder = Folder::new();
    folder.write("ulna.toml", format!("include = [\"conf.d/*\"]\n{FRAME}{}", client("a", "192.0.2.1")));
    for number in 1..1024 {
        folder.write(&format!("conf.d/{number:04}"), "");
    }
    assert_eq!(folder.errors(), ["no error"]);
    folder.write("conf.d/1024", "").write("conf.d/1025", "");
    let message = "ulna.toml:1:12: `conf.d/1024` is one too many: a configuration has at most 1024 files";
    assert_eq!(folder.errors(), [message]);
}
