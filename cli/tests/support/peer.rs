//! Programs of others that a test needs. Tests of other packages read this file, too.

/// For a test that another program takes part in, and that cannot be had: fails, so that nobody takes silence for
/// success, unless `ULNA_WITHOUT_PEERS=1` says that it is to be done without. Not in CI, where it has to be there.
pub fn without_peer(why: &str) {
    let is_done_without = std::env::var_os("ULNA_WITHOUT_PEERS").is_some_and(|value| value == "1");
    let is_ci = std::env::var_os("CI").is_some();
    assert!(
        is_done_without && !is_ci,
        "{why}; scripts/install-peers installs what is needed, ULNA_WITHOUT_PEERS=1 does without"
    );
    eprintln!("skipped: {why}");
}
