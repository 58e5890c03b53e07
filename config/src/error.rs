//! What is wrong, or odd, in a configuration file, and how that is shown.

use std::fmt;

/// A place in a text. Both count from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its line.
    pub line: usize,
    /// Its character in the line.
    pub column: usize,
}

/// One thing that is wrong or odd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file's name, as it was given.
    pub file: Box<str>,
    /// Where in the file; `None` when it could not be read.
    pub place: Option<Place>,
    /// What was found and what was expected. Holds no secret.
    pub message: String,
    /// The line, without what is secret, and how many characters of it stand before the place.
    pub(crate) excerpt: Option<(String, usize)>,
}

impl fmt::Display for Finding {
    /// `FILE:LINE:COLUMN: message`, then the line with a caret under the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(Place { line, column }) => write!(f, "{}:{line}:{column}: {}", self.file, self.message)?,
            None => write!(f, "{}: {}", self.file, self.message)?,
        }
        if let Some((line, before)) = &self.excerpt {
            // A tab is as wide in this line as in that above.
            let indent: String =
                line.chars().take(*before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            write!(f, "\n    {line}\n    {indent}^")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a file, in the order of its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigErrors(pub(crate) Vec<Finding>);

/// What is allowed but should not stay so, in the order of the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Warnings(pub(crate) Vec<Finding>);

impl ConfigErrors {
    pub(crate) fn unreadable(file: &str, message: String) -> ConfigErrors {
        ConfigErrors(vec![Finding { file: file.into(), place: None, message, excerpt: None }])
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        lines(&self.0, f)
    }
}

impl std::error::Error for ConfigErrors {}

impl Warnings {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// Whether there is nothing to warn of.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        lines(&self.0, f)
    }
}

fn lines(findings: &[Finding], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (place, finding) in findings.iter().enumerate() {
        if place > 0 {
            f.write_str("\n")?;
        }
        fmt::Display::fmt(finding, f)?;
    }
    Ok(())
}
