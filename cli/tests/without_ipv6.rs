//! On a host without IPv6 a first try works, and a file that asks for it is told what to do.

mod support;

use std::process::Stdio;

use support::{Ulna, file, in_a_namespace, on_free_ports};

/// As on a host that has it switched off; where the kernel has none at all there is nothing to switch.
const SWITCH_IPV6_OFF: &str = "for all in /proc/sys/net/ipv6/conf/*/disable_ipv6; do \
                               if [ -e $all ]; then echo 1 > $all || exit 3; fi; done";

#[test]
fn a_first_try_serves_what_there_is_and_says_what_is_left_out() {
    let Some(mut command) = in_a_namespace(SWITCH_IPV6_OFF, &["serve"]) else { return };
    let ulna = Ulna::begin(&mut command, Stdio::piped());
    let addresses: Vec<_> = ulna.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["127.0.0.1:1812", "127.0.0.1:1813"]);
    let ended = ulna.stop();
    for address in ["[::1]:1812", "[::1]:1813"] {
        let line = ended.stderr.lines().find(|line| line.contains(address));
        let line = line.unwrap_or_else(|| panic!("no word about {address}:\n{}", ended.stderr));
        assert!(line.contains("WARN") && line.contains("left out"), "{line}");
    }
}

#[test]
fn a_first_try_with_ipv6_serves_both() {
    let Some(mut command) = in_a_namespace("true", &["serve"]) else { return };
    let ulna = Ulna::begin(&mut command, Stdio::piped());
    assert_eq!(ulna.addresses.len(), 4);
    assert!(!ulna.stop().stderr.contains("left out"));
}

#[test]
fn a_file_must_be_served_whole() {
    let path = file("ulna.toml", &on_free_ports(""));
    let arguments = ["serve", "--config", path.to_str().expect("the path is UTF-8")];
    let Some(mut command) = in_a_namespace(SWITCH_IPV6_OFF, &arguments) else { return };
    let output = command.output().expect("it ran a moment ago");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("[::1]:0") && stderr.contains("take it out of"), "{stderr}");
}
