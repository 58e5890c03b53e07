//! The differences that are known: a file in the repository that names each, and a count of those that are met.
//!
//! A line `[class] sentence` begins a class and says who is right and by which RFC; below it stand, indented, the
//! attributes or cases that differ so, and behind ` -- ` what is to be said of one alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

/// What differed: how often, and the first time.
#[derive(Default)]
pub struct Differences {
    found: BTreeMap<(String, String), (usize, String)>,
}

impl Differences {
    /// A difference of this class, met at this.
    pub fn add(&mut self, class: &str, subject: impl Into<String>, detail: impl FnOnce() -> String) {
        let entry = self.found.entry((class.into(), subject.into()));
        entry.or_insert_with(|| (0, detail())).0 += 1;
    }

    /// Those of another count, too.
    pub fn absorb(&mut self, other: Differences) {
        for (key, (count, example)) in other.found {
            self.found.entry(key).or_insert((0, example)).0 += count;
        }
    }

    /// How many different ones.
    pub fn count(&self) -> usize {
        self.found.len()
    }

    /// Fails unless exactly those have been met that the file lists.
    pub fn assert_listed(&self, file: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("differences").join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let listed = listed(&text);
        let found: BTreeSet<_> = self.found.keys().cloned().collect();
        let mut said = String::new();
        let mut class = "";
        for key in found.difference(&listed) {
            if key.0 != class {
                class = &key.0;
                let _ = writeln!(said, "not listed: [{class}]");
            }
            let (count, example) = &self.found[key];
            let example: String = example.chars().filter(|c| !c.is_control()).take(EXAMPLE_MAX).collect();
            let _ = writeln!(said, "  {}\n# {count} times, first: {example}", key.1);
        }
        for (class, subject) in listed.difference(&found) {
            let _ = writeln!(said, "listed, but no longer met: [{class}] {subject}");
        }
        assert!(said.is_empty(), "{}:\n{said}", path.display());
    }
}

/// Characters of what is shown of the first of its kind.
const EXAMPLE_MAX: usize = 600;

fn listed(text: &str) -> BTreeSet<(String, String)> {
    let mut listed = BTreeSet::new();
    let mut class = None;
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        if let Some((name, sentence)) = line.strip_prefix('[').and_then(|line| line.split_once("] ")) {
            assert!(sentence.contains("RFC "), "a class says which RFC decides: {line}");
            class = Some(name);
        } else {
            let class = class.unwrap_or_else(|| panic!("no class before: {line}"));
            let subject = line.strip_prefix("  ").unwrap_or_else(|| panic!("neither class nor case: {line}"));
            let subject = subject.split(" -- ").next().unwrap_or_default();
            assert!(listed.insert((class.into(), subject.into())), "listed twice: {line}");
        }
    }
    listed
}
