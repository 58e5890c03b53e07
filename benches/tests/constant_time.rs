//! A forger learns nothing from how long a refusal takes: whichever octet of a Message-Authenticator is wrong, the same
//! instructions run. Counted under callgrind, which counts the same in every run; no clock could show it so exactly.

use std::process::Command;

/// Instructions of so many refusals, the start of the program included; `None` where valgrind is to be done without.
fn total(what: &str, place: usize, times: usize) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", env!("CARGO_BIN_EXE_count")])
        // Of one width: the length of an argument is part of a program's start.
        .args(["refuse", what, &format!("{place:02}"), &format!("{times:04}")])
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            let variable = |name| std::env::var_os(name);
            let is_done_without = variable("ULNA_WITHOUT_PEERS").is_some_and(|value| value == "1");
            assert!(
                is_done_without && variable("CI").is_none(),
                "valgrind cannot be run: {error}; scripts/install-peers installs what is needed, ULNA_WITHOUT_PEERS=1 \
                 does without"
            );
            eprintln!("skipped: valgrind cannot be run: {error}");
            return None;
        }
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let collected =
        told.lines().find_map(|line| line.split_once("Collected :")).expect("callgrind says it").1;
    Some(collected.trim().parse().expect("a number"))
}

/// Instructions of one refusal, for each octet that may be the wrong one, and for all of them at once.
fn each(what: &str) -> Option<Vec<u64>> {
    (0..=ALL_OCTETS)
        .map(|place| Some((total(what, place, 1200)? - total(what, place, 200)?) / 1000))
        .collect()
}

/// As `count refuse` takes it: all sixteen are wrong.
const ALL_OCTETS: usize = 16;

// checklist 25
#[test]
fn the_place_of_a_wrong_octet_costs_the_same_in_requests_and_replies() {
    for what in ["request", "answer"] {
        let Some(counts) = each(what) else { return };
        assert!(counts[0] > 1000, "an HMAC-MD5 is computed before the comparison: {counts:?}");
        assert!(counts.iter().all(|count| *count == counts[0]), "{what}: {counts:?}");
    }
}
