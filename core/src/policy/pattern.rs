//! Patterns over octets: regular expressions and globs, compiled when the configuration is loaded.
//!
//! Both become a table of states that is walked once, one step an octet: no search runs back, allocates, or needs memory
//! of its own, whatever a peer sends. What a table may take is bounded; an expression that needs more is refused at load.
//! Values are octets and need not be UTF-8, so classes and letter case are those of ASCII.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::{Input, MatchKind};

/// What one pattern's table may take.
pub const PATTERN_OCTETS_MAX: usize = 256 * 1024;
/// Octets of an expression as it is written.
pub const EXPRESSION_OCTETS_MAX: usize = 1024;

/// Whether upper and lower case of ASCII are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// They differ.
    Exact,
    /// They are one.
    Folded,
}

/// A compiled pattern. Two are equal if they were written equally.
#[derive(Clone)]
pub struct Pattern {
    written: Box<str>,
    table: Box<dense::DFA<Vec<u32>>>,
}

/// Why a pattern was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternError {
    /// It is no expression.
    Syntax {
        /// Which of its characters is wrong, counted from 1; `None` where it is wrong as a whole.
        character: Option<usize>,
        /// What is wrong with it.
        why: Box<str>,
    },
    /// Its table would take more than [`PATTERN_OCTETS_MAX`], or it has more than [`EXPRESSION_OCTETS_MAX`].
    TooLarge,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PatternError::Syntax { character: Some(character), why } => {
                write!(f, "not a regular expression: at its character {character}: {why}")
            }
            PatternError::Syntax { character: None, why } => write!(f, "not a regular expression: {why}"),
            PatternError::TooLarge => write!(
                f,
                "too large: more than {EXPRESSION_OCTETS_MAX} octets as it is written or {PATTERN_OCTETS_MAX} when \
                 compiled; fewer or shorter repetitions, or ^ at its beginning, make it smaller"
            ),
        }
    }
}

impl core::error::Error for PatternError {}

impl Pattern {
    /// A regular expression, which matches wherever it is found: `^` and `$` bind it to beginning and end.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn regex(expression: &str, case: Case) -> Result<Pattern, PatternError> {
        Pattern::compile(expression, format!("regex {case:?} {expression}"), case)
    }

    /// A glob, which matches the whole value: `*` is any octets, `?` any one, `\` takes what follows as it is.
    ///
    /// # Errors
    /// [`PatternError::TooLarge`], or [`PatternError::Syntax`] for a `\` at its end.
    pub fn glob(glob: &str, case: Case) -> Result<Pattern, PatternError> {
        let mut expression = String::from("(?s)^");
        let mut characters = glob.chars().enumerate();
        while let Some((place, character)) = characters.next() {
            match character {
                '*' if expression.ends_with(".*") => {}
                '*' => expression.push_str(".*"),
                '?' => expression.push('.'),
                '\\' => {
                    let Some((_, literal)) = characters.next() else {
                        let why = "`\\` with nothing behind it".into();
                        return Err(PatternError::Syntax { character: Some(place + 1), why });
                    };
                    regex_syntax::escape_into(literal.encode_utf8(&mut [0; 4]), &mut expression);
                }
                literal => regex_syntax::escape_into(literal.encode_utf8(&mut [0; 4]), &mut expression),
            }
        }
        expression.push('$');
        Pattern::compile(&expression, format!("glob {case:?} {glob}"), case)
    }

    fn compile(expression: &str, written: String, case: Case) -> Result<Pattern, PatternError> {
        if expression.len() > EXPRESSION_OCTETS_MAX {
            return Err(PatternError::TooLarge);
        }
        let parsed = regex_syntax::ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .case_insensitive(case == Case::Folded)
            .nest_limit(NEST_MAX)
            .build()
            .parse(expression)
            .map_err(|error| syntax_error(&error))?;
        let states = thompson::Compiler::new()
            .configure(thompson::Config::new().utf8(false).nfa_size_limit(Some(PATTERN_OCTETS_MAX)))
            .build_from_hir(&parsed)
            .map_err(|error| refused(error.size_limit().is_some(), &error))?;
        let table = dense::Builder::new()
            .configure(
                dense::Config::new()
                    // Whether it matches is all that is asked; the shortest match tells.
                    .match_kind(MatchKind::All)
                    .start_kind(StartKind::Unanchored)
                    .dfa_size_limit(Some(PATTERN_OCTETS_MAX))
                    .determinize_size_limit(Some(4 * PATTERN_OCTETS_MAX)),
            )
            .build_from_nfa(&states)
            .map_err(|error| refused(error.is_size_limit_exceeded(), &error))?;
        Ok(Pattern { written: written.into(), table: Box::new(table) })
    }

    /// Whether the pattern is found in these octets.
    pub fn matches(&self, octets: &[u8]) -> bool {
        let found = self.table.try_search_fwd(&Input::new(octets).earliest(true));
        found.expect("a table without octets at which it gives up never does").is_some()
    }

    /// What its table takes.
    pub fn octets(&self) -> usize {
        self.table.memory_usage()
    }
}

fn syntax_error(error: &regex_syntax::Error) -> PatternError {
    let (character, why) = match error {
        regex_syntax::Error::Parse(error) => (Some(error.span().start.column), error.kind().to_string()),
        regex_syntax::Error::Translate(error) => (Some(error.span().start.column), error.kind().to_string()),
        // The enum is open: what it gets later is shown as it shows itself.
        other => (None, other.to_string()),
    };
    PatternError::Syntax { character, why: why.into() }
}

fn refused(too_large: bool, error: &dyn fmt::Display) -> PatternError {
    if too_large {
        PatternError::TooLarge
    } else {
        PatternError::Syntax { character: None, why: error.to_string().into() }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.written == other.written
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// Groups within groups.
const NEST_MAX: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn regex(expression: &str) -> Pattern {
        Pattern::regex(expression, Case::Exact).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    fn glob(glob: &str) -> Pattern {
        Pattern::glob(glob, Case::Exact).unwrap_or_else(|error| panic!("{glob}: {error}"))
    }

    #[test]
    fn a_regular_expression_is_found_anywhere_unless_it_is_bound() {
        assert!(regex("site-[0-9]+").matches(b"the site-7 here"));
        let bound = regex("^site-[0-9]+$");
        assert!(bound.matches(b"site-7") && !bound.matches(b"site-7\n") && !bound.matches(b" site-7"));
        assert!(regex("").matches(b"") && regex("^$").matches(b"") && !regex("^$").matches(b"x"));
        assert!(regex("a|^b").matches(b"xxa") && !regex("a|^b").matches(b"xxb"));
        assert!(regex(r"\bcat\b").matches(b"a cat, black") && !regex(r"\bcat\b").matches(b"concat"));
    }

    #[test]
    fn values_are_octets() {
        assert!(regex(r"^\xff\x00.$").matches(&[0xff, 0, 0x80]));
        assert!(!regex("^.$").matches("é".as_bytes()) && regex("^é$").matches("é".as_bytes()));
        assert!(regex(r"^\w+$").matches(b"abc_9") && !regex(r"^\w+$").matches("é".as_bytes()));
        let folded = Pattern::regex("^example\\.org$", Case::Folded).expect("well-formed");
        assert!(folded.matches(b"EXAMPLE.org") && !regex("^example\\.org$").matches(b"EXAMPLE.org"));
        assert!(regex("(?i)^a$").matches(b"A"));
    }

    #[test]
    fn a_glob_matches_the_whole_value() {
        assert!(glob("site-*").matches(b"site-") && glob("site-*").matches(b"site-\n\xff"));
        assert!(!glob("site-*").matches(b"a site-1") && !glob("a").matches(b"ab"));
        assert!(glob("a?c").matches(b"a\xffc") && !glob("a?c").matches(b"ac"));
        assert!(glob("**a**").matches(b"xxaxx"));
        // What is special in an expression is not in a glob, and `\` takes from `*` and `?` what is special in a glob.
        assert!(glob("a.b+[c]|$").matches(b"a.b+[c]|$") && !glob("a.b").matches(b"axb"));
        assert!(glob(r"\*\?\\").matches(br"*?\") && !glob(r"\*").matches(b"x"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = |expression| Pattern::regex(expression, Case::Exact).unwrap_err().to_string();
        assert_eq!(error("ab("), "not a regular expression: at its character 3: unclosed group");
        assert_eq!(
            error("a**{2"),
            "not a regular expression: at its character 4: unclosed counted repetition"
        );
        assert_eq!(
            error(r"(a)\1"),
            "not a regular expression: at its character 4: backreferences are not supported"
        );
        assert!(matches!(Pattern::regex(r"(?u)\bx", Case::Exact), Err(PatternError::Syntax { .. })));
        assert!(matches!(Pattern::regex(r"\p{Greek}", Case::Exact), Err(PatternError::Syntax { .. })));
        let error = Pattern::glob("ab\\", Case::Exact).unwrap_err();
        assert_eq!(
            error,
            PatternError::Syntax { character: Some(3), why: "`\\` with nothing behind it".into() }
        );
    }

    #[test]
    fn what_would_take_too_much_is_refused() {
        for expression in
            ["a.{30}$", "[ab]*a[ab]{40}", "(a{1000}){1000}", &"a".repeat(EXPRESSION_OCTETS_MAX + 1)]
        {
            assert_eq!(Pattern::regex(expression, Case::Exact), Err(PatternError::TooLarge));
        }
        assert_eq!(Pattern::glob("*a??????????????????????", Case::Exact), Err(PatternError::TooLarge));
        assert!(regex("^[0-9A-F]{2}(-[0-9A-F]{2}){5}$").octets() < 16 * 1024);
    }

    /// By definition, with all the time in the world.
    fn globbed(glob: &[u8], octets: &[u8]) -> bool {
        match (glob, octets) {
            ([], _) => octets.is_empty(),
            ([b'*', rest @ ..], _) => (0..=octets.len()).any(|taken| globbed(rest, &octets[taken..])),
            ([b'?', rest @ ..], [_, octets @ ..]) => globbed(rest, octets),
            ([first, rest @ ..], [octet, octets @ ..]) => first == octet && globbed(rest, octets),
            (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn a_glob_matches_what_its_definition_says(pattern in "[ab*?.]{0,8}", octets in "[ab.]{0,10}") {
            prop_assert_eq!(glob(&pattern).matches(octets.as_bytes()), globbed(pattern.as_bytes(), octets.as_bytes()));
        }
    }
}
