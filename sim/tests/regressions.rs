//! Scenarios that once broke a law, replayed from their plans and fault logs: they hold now, and always the same way.
//!
//! A file is what `ulna-sim run` left behind when it failed. It keeps its meaning when the drawing of plans changes.

use std::path::Path;
use ulna_sim::node::build;
use ulna_sim::plan::FailureFile;
use ulna_sim::run::{check_determinism, run};

#[test]
fn what_once_failed_holds_now() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut replayed = 0;
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a scenario can be read");
        let file =
            FailureFile::from_json(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let outcome = run(&file.plan, Some(&file.faults), build, 0);
        assert_eq!(outcome.violation, None, "{}", path.display());
        assert!(outcome.replies > 0, "{} still does something", path.display());
        let digest = check_determinism(&file.plan, Some(&file.faults), build);
        assert_eq!(digest, Ok(outcome.digest), "{}", path.display());
        replayed += 1;
    }
    assert!(replayed > 0, "there are scenarios");
}
