//! Which rows of a table are asked for.

use super::rows::{Cell, Column, Row, write_cell};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// All that stands in it has to hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    tests: Vec<(usize, Test)>,
}

/// What is asked of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Is(Box<str>),
    Begins(Box<str>),
    Ends(Box<str>),
    Contains(Box<str>),
}

impl Filter {
    /// One more test: the column of this name is as `written`, where `*` at the begin or the end stands for anything.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn add(&mut self, columns: &[Column], name: &str, written: &str) -> Result<(), NoSuchColumn> {
        let place = columns.iter().position(|column| column.name == name).ok_or(NoSuchColumn)?;
        let test = match (written.strip_prefix('*'), written.strip_suffix('*')) {
            (Some(rest), Some(_)) => Test::Contains(rest.strip_suffix('*').unwrap_or(rest).into()),
            (Some(rest), None) => Test::Ends(rest.into()),
            (None, Some(rest)) => Test::Begins(rest.into()),
            (None, None) => Test::Is(written.into()),
        };
        self.tests.push((place, test));
        Ok(())
    }

    /// Whether a row is asked for. `text` is for the cells, one after the other.
    pub fn passes(&self, row: &dyn Row, text: &mut String) -> bool {
        self.tests.iter().all(|(place, test)| {
            let cell = row.cell(*place);
            text.clear();
            write_cell(text, &cell).expect("memory takes it");
            let is_there = cell != Cell::Nothing;
            match test {
                Test::Is(value) => **value == **text,
                Test::Begins(value) => is_there && text.starts_with(&**value),
                Test::Ends(value) => is_there && text.ends_with(&**value),
                Test::Contains(value) => is_there && text.contains(&**value),
            }
        })
    }
}

/// A table has no column of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSuchColumn;

#[cfg(test)]
mod tests {
    use super::*;

    struct One(Option<&'static str>);

    const COLUMNS: &[Column] = &[Column { name: "user", width: 4 }];

    impl Row for One {
        fn columns(&self) -> &'static [Column] {
            COLUMNS
        }

        fn cell(&self, _: usize) -> Cell<'_> {
            self.0.map_or(Cell::Nothing, Cell::Word)
        }
    }

    #[test]
    fn stars_stand_for_anything_at_either_end() {
        let cases = [
            ("bob@a", &["bob@a"][..]),
            ("bob*", &["bob", "bob@a"]),
            ("*@a", &["@a", "bob@a"]),
            ("*b@*", &["b@", "bob@a"]),
            ("*", &["", "bob"]),
        ];
        let mut text = String::new();
        for (written, passing) in cases {
            let mut filter = Filter::default();
            filter.add(COLUMNS, "user", written).expect("a column");
            for value in passing {
                assert!(filter.passes(&One(Some(value)), &mut text), "{written}: {value}");
            }
            assert!(!filter.passes(&One(None), &mut text), "{written}");
            assert!(written == "*" || !filter.passes(&One(Some("alice")), &mut text), "{written}");
        }
        let mut none = Filter::default();
        none.add(COLUMNS, "user", "").expect("a column");
        assert!(none.passes(&One(None), &mut text) && !none.passes(&One(Some("a")), &mut text));
        assert_eq!(none.add(COLUMNS, "name", "a"), Err(NoSuchColumn));
    }
}
