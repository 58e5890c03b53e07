//! docs/conformance.md names a test for what the RFCs ask, and the tests are there: neither can go without the other.
//!
//! A test says which numbers it is for by `// checklist 1, 2` above or in it, or by `checklist_1_` in its name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../docs/conformance.md");
const LAST: usize = 95;

/// What has to have a test by now.
const REQUIRED: &[std::ops::RangeInclusive<usize>] =
    &[1..=23, 25..=25, 27..=70, 72..=74, 76..=76, 82..=84, 86..=87, 89..=95];

/// A line of the page.
struct Row<'p> {
    number: usize,
    tests: BTreeSet<&'p str>,
    remark: &'p str,
}

fn rows() -> Vec<Row<'static>> {
    let cells = PAGE.lines().filter_map(|line| {
        let [_, number, _, tests, remark, _] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            return None;
        };
        Some((number.parse().ok()?, tests, remark))
    });
    let tests = |cell: &'static str| cell.split('`').skip(1).step_by(2).collect();
    cells.map(|(number, cell, remark)| Row { number, tests: tests(cell), remark }).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// All sources, as paths from the root; what cargo and git keep is none.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in
        fs::read_dir(folder).expect("a folder of the workspace").map(|entry| entry.expect("an entry"))
    {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The tests of a file, each with the numbers that it names.
fn tests_of(text: &str) -> BTreeMap<&str, BTreeSet<usize>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut tests = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        let indent = &line[..line.len() - line.trim_start().len()];
        let Some((name, _)) = line.trim_start().strip_prefix("fn ").and_then(|rest| rest.split_once('('))
        else {
            continue;
        };
        let above = |line: &&&str| line.trim_start().starts_with("//") || line.trim_start().starts_with("#[");
        let begin = at - lines[..at].iter().rev().take_while(above).count();
        if !lines[begin..at].iter().any(|line| line.trim() == "#[test]") {
            continue;
        }
        let end = lines[at..].iter().position(|line| line.strip_prefix(indent) == Some("}"));
        let body = &lines[begin..at + end.expect("a function ends where it began")];
        let comments = body.iter().filter_map(|line| line.split_once("// checklist ")).map(|(_, rest)| rest);
        let is_list = |character: char| character.is_ascii_digit() || ", ".contains(character);
        let lists = comments.map(|rest| &rest[..rest.find(|each| !is_list(each)).unwrap_or(rest.len())]);
        let mut numbers: BTreeSet<usize> =
            lists.flat_map(|list| list.split(", ")).filter_map(|number| number.trim().parse().ok()).collect();
        let of_name = name.strip_prefix("checklist_").and_then(|rest| rest.split('_').next());
        numbers.extend(of_name.and_then(|number| number.parse::<usize>().ok()));
        tests.insert(name, numbers);
    }
    tests
}

#[test]
fn every_number_stands_on_the_page_once_with_a_test_or_a_reason() {
    let rows = rows();
    assert!(rows.iter().map(|row| row.number).eq(1..=LAST), "each number once, in order");
    for Row { number, tests, remark } in &rows {
        let reason = remark.starts_with("not yet") || remark.starts_with("no: ");
        assert!(reason || !tests.is_empty(), "{number} has neither test nor reason");
        let required = REQUIRED.iter().any(|range| range.contains(number));
        assert!(!required || !tests.is_empty(), "{number} has to have a test");
    }
}

#[test]
fn every_test_on_the_page_is_there_and_names_its_number() {
    for Row { number, tests, .. } in rows() {
        for test in tests {
            let (file, name) = test.split_once("::").unwrap_or_else(|| panic!("{test} is no file::name"));
            let text =
                fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            let numbers = tests_of(&text).remove(name);
            let numbers = numbers.unwrap_or_else(|| panic!("{file} has no test {name}"));
            assert!(numbers.contains(&number), "{test} says that it is for {numbers:?}, not for {number}");
        }
    }
    // Those in the text below the tables.
    for (file, name) in PAGE.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.split_once("::")) {
        let text = fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(tests_of(&text).contains_key(name), "{file} has no test {name}");
    }
}

#[test]
fn every_number_that_a_test_names_has_a_test_on_the_page() {
    let tested: BTreeSet<usize> =
        rows().iter().filter(|row| !row.tests.is_empty()).map(|row| row.number).collect();
    let mut files = Vec::new();
    sources(&root(), &mut files);
    let mut named = 0;
    for file in files {
        let text = fs::read_to_string(&file).expect("a source is text");
        for (test, numbers) in tests_of(&text) {
            let missing: Vec<_> = numbers.difference(&tested).collect();
            assert!(
                missing.is_empty(),
                "{}::{test} is for {missing:?}, which the page leaves open",
                file.display()
            );
            named += numbers.len();
        }
    }
    assert!(named > 100, "the sources were searched: {named}");
}
