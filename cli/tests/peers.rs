//! A test whose peer is missing must not pass in silence.

mod support;

use std::process::Command;

/// Runs an ignored test of this program where no peer can be found.
fn without_peers(variables: &[(&str, &str)]) -> (bool, String) {
    let this = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(this);
    command.args(["--ignored", "--exact", "one_that_needs_radclient", "--nocapture"]);
    command.env("PATH", "/nowhere").env_remove("CI").env_remove("ULNA_WITHOUT_PEERS");
    let output = command.envs(variables.iter().copied()).output().expect("it is running now");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
#[ignore = "run by the others, where there is no radclient"]
fn one_that_needs_radclient() {
    assert!(support::radclient(&["-v"], "").is_none(), "it was found");
}

#[test]
fn without_its_peer_a_test_fails_and_names_the_remedy() {
    for variables in [&[][..], &[("ULNA_WITHOUT_PEERS", "0")], &[("ULNA_WITHOUT_PEERS", "1"), ("CI", "true")]]
    {
        let (passed, told) = without_peers(variables);
        assert!(!passed, "{variables:?}: {told}");
        assert!(told.contains("freeradius-utils") && told.contains("ULNA_WITHOUT_PEERS=1"), "{told}");
    }
}

#[test]
fn told_to_do_without_it_says_that_it_was_skipped() {
    let (passed, told) = without_peers(&[("ULNA_WITHOUT_PEERS", "1")]);
    assert!(passed && told.contains("skipped: radclient"), "{told}");
}
