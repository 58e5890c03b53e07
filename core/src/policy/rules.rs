//! A list of rules of which the first that matches counts.
//!
//! What all rules of a list ask about attributes is answered in one walk over these, when the first rule asks for it;
//! equal questions are one. Rules that ask nothing about attributes never walk. Evaluating allocates nothing: answers go
//! to a [`Sheet`] that whoever evaluates keeps.

use super::condition::{Comparison, Condition, Question, ReplyKind, Selector};
use super::{Asked, Session};
use crate::attributes::{Scratch, Walk};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

/// Rules in order; `T` is what one of them does.
#[derive(Debug, Clone)]
pub struct Rules<T> {
    rules: Vec<Rule<T>>,
    attributes: AttributeQuestions,
}

#[derive(Debug, Clone)]
struct Rule<T> {
    conditions: Box<[Compiled]>,
    /// Of each condition, its place among them as they were written.
    written: Box<[u16]>,
    does: T,
}

#[derive(Debug, Clone)]
enum Compiled {
    /// The answer to this question about attributes must be that.
    Attribute { question: usize, answer: bool },
    /// Of something else than an attribute.
    Own(Condition),
}

/// What is asked about attributes, by the first number of these.
#[derive(Debug, Clone)]
struct AttributeQuestions {
    groups: Vec<Group>,
    /// Where the groups of each Type begin, and where those of the last end.
    begins: Box<[u16; 257]>,
    questions: usize,
}

/// All questions about the same attributes.
#[derive(Debug, Clone)]
struct Group {
    selector: Selector,
    /// Each with its number.
    comparisons: Vec<(usize, Comparison)>,
}

/// Where the answers to one request's questions are noted.
pub struct Sheet {
    /// One bit a question: whether some attribute has met it.
    met: Vec<u64>,
    scratch: Scratch,
}

/// Questions about attributes that the rules of one list may ask, each counted once.
pub const QUESTIONS_MAX: usize = 16_384;

impl Sheet {
    /// For lists of up to this many questions about attributes.
    pub fn new(questions: usize) -> Sheet {
        Sheet { met: vec![0; questions.div_ceil(64)], scratch: Scratch::default() }
    }
}

impl<T> Default for Rules<T> {
    /// None: no request matches.
    fn default() -> Rules<T> {
        Rules::new([])
    }
}

impl<T> Rules<T> {
    /// Makes a list of rules, each with its conditions and with what it does.
    ///
    /// # Panics
    /// If there are more than [`QUESTIONS_MAX`] questions about attributes: a configuration is checked where it is read.
    pub fn new(list: impl IntoIterator<Item = (Vec<Condition>, T)>) -> Rules<T> {
        let mut attributes =
            AttributeQuestions { groups: Vec::new(), begins: Box::new([0; 257]), questions: 0 };
        let rules = list
            .into_iter()
            .map(|(conditions, does)| {
                let compiled = conditions.into_iter().map(|condition| attributes.compile(condition));
                let mut compiled: Vec<_> = (0..).zip(compiled).collect();
                // What asks for no walk decides first.
                compiled.sort_by_key(|(_, condition)| matches!(condition, Compiled::Attribute { .. }));
                let (written, conditions): (Vec<u16>, Vec<_>) = compiled.into_iter().unzip();
                Rule { conditions: conditions.into(), written: written.into(), does }
            })
            .collect();
        attributes.order();
        Rules { rules, attributes }
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What the rules do, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.rules.iter().map(|rule| &rule.does)
    }

    /// How many questions about attributes they ask: what a [`Sheet`] must have room for.
    pub fn questions(&self) -> usize {
        self.attributes.questions
    }

    /// The first rule that matches, by its place, and what it does. `reply` is the reply's kind where one is edited.
    ///
    /// # Panics
    /// If the sheet was made for fewer questions.
    #[inline]
    pub fn first_match(
        &self,
        asked: &Asked<'_>,
        reply: Option<ReplyKind>,
        sheet: &mut Sheet,
    ) -> Option<(usize, &T)> {
        // Most lists are empty, or of one rule that always matches.
        let first = self.rules.first()?;
        if first.conditions.is_empty() {
            return Some((0, &first.does));
        }
        self.search(asked, reply, sheet)
    }

    fn search(&self, asked: &Asked<'_>, reply: Option<ReplyKind>, sheet: &mut Sheet) -> Option<(usize, &T)> {
        let mut answers = Answers { asked, reply, realm: None, walked: false };
        let mut rules = self.rules.iter().enumerate();
        let (place, rule) = rules.find(|(_, rule)| {
            rule.conditions.iter().all(|condition| self.holds(condition, &mut answers, sheet))
        })?;
        Some((place, &rule.does))
    }

    #[inline]
    fn holds(&self, condition: &Compiled, answers: &mut Answers<'_, '_>, sheet: &mut Sheet) -> bool {
        match condition {
            Compiled::Own(Condition { question, negated }) => answers.answer(question) != *negated,
            Compiled::Attribute { question, answer } => {
                if !answers.walked {
                    answers.walked = true;
                    self.attributes.walk(answers.asked, sheet);
                }
                (sheet.met[question / 64] >> (question % 64) & 1 == 1) == *answer
            }
        }
    }

    /// Of each rule up to the first that matches, or of all where none does: which of its conditions hold, as they were
    /// written. For whoever wants to know why; [`first_match`](Rules::first_match) decides.
    ///
    /// # Panics
    /// If the sheet was made for fewer questions.
    pub fn explain(
        &self,
        asked: &Asked<'_>,
        reply: Option<ReplyKind>,
        sheet: &mut Sheet,
    ) -> Vec<Box<[bool]>> {
        let mut answers = Answers { asked, reply, realm: None, walked: false };
        let mut explained: Vec<Box<[bool]>> = Vec::new();
        for rule in &self.rules {
            let mut held = vec![false; rule.conditions.len()];
            for (condition, written) in rule.conditions.iter().zip(&rule.written) {
                held[usize::from(*written)] = self.holds(condition, &mut answers, sheet);
            }
            let matches = held.iter().all(|held| *held);
            explained.push(held.into());
            if matches {
                break;
            }
        }
        explained
    }
}

impl AttributeQuestions {
    fn compile(&mut self, condition: Condition) -> Compiled {
        let negated = condition.negated;
        let (selector, comparison) = match condition {
            Condition { question: Question::Attribute(selector, comparison), .. } => (selector, comparison),
            own => return Compiled::Own(own),
        };
        let group = self.groups.iter().position(|group| group.selector == selector).unwrap_or_else(|| {
            self.groups.push(Group { selector, comparisons: Vec::new() });
            self.groups.len() - 1
        });
        let known = &mut self.groups[group].comparisons;
        let question = match known.iter().find(|(_, other)| *other == comparison) {
            Some((question, _)) => *question,
            None => {
                assert!(self.questions < QUESTIONS_MAX, "more questions than a list of rules may ask");
                known.push((self.questions, comparison));
                self.questions += 1;
                self.questions - 1
            }
        };
        Compiled::Attribute { question, answer: !negated }
    }

    /// Sorts the groups by Type, and notes where each one's begin.
    fn order(&mut self) {
        self.groups.sort_by_key(|group| group.selector.oid.first());
        for number in 0..=256 {
            let before = |group: &Group| group.selector.oid.first() < number;
            // Each group has a question, of which there are fewer than fit.
            self.begins[number as usize] = self.groups.partition_point(before) as u16;
        }
    }

    /// Notes which questions the request's attributes meet.
    fn walk(&self, asked: &Asked<'_>, sheet: &mut Sheet) {
        let Sheet { met, scratch } = sheet;
        met[..self.questions.div_ceil(64)].fill(0);
        for item in Walk::new(asked.dictionary, asked.attributes, scratch) {
            let number = item.oid.first() as usize;
            let groups = usize::from(self.begins[number])..usize::from(self.begins[number + 1]);
            for group in &self.groups[groups] {
                if !group.selector.selects(&item) {
                    continue;
                }
                for (question, comparison) in &group.comparisons {
                    let (word, bit) = (question / 64, 1 << (question % 64));
                    if met[word] & bit == 0 && comparison.matches(item.value) {
                        met[word] |= bit;
                    }
                }
            }
        }
    }
}

/// Answers to what is asked about else than attributes.
struct Answers<'a, 'r> {
    asked: &'r Asked<'a>,
    reply: Option<ReplyKind>,
    /// Found when it is asked for first.
    realm: Option<Option<Realm>>,
    walked: bool,
}

/// A realm in lower case of ASCII.
#[derive(Clone, Copy)]
struct Realm {
    octets: [u8; REALM_OCTETS_MAX],
    length: usize,
}

impl Answers<'_, '_> {
    fn answer(&mut self, question: &Question) -> bool {
        let asked = self.asked;
        let session = |name: &str, comparison: &Comparison| {
            Session::value(asked.session, name).is_some_and(|value| comparison.matches(value))
        };
        match question {
            Question::Attribute(..) => panic!("questions about attributes are compiled apart"),
            Question::Realm(comparison) => {
                let realm = self.realm.get_or_insert_with(|| asked.realm().map(Realm::folded));
                realm.as_ref().is_some_and(|realm| comparison.matches(&realm.octets[..realm.length]))
            }
            Question::Client(comparison) => comparison.matches(asked.client.as_bytes()),
            Question::Listener(comparison) => comparison.matches(asked.listener.name.as_bytes()),
            Question::Session(name, comparison) => session(name, comparison),
            Question::Network(networks) => {
                networks.iter().any(|network| network.contains(asked.source().ip()))
            }
            Question::Time(hours) => hours.iter().any(|hours| hours.contain(asked.time)),
            Question::Reply(kind) => self.reply == Some(*kind),
        }
    }
}

impl Realm {
    fn folded(realm: &str) -> Realm {
        let length = realm.len().min(REALM_OCTETS_MAX);
        let mut octets = [0; REALM_OCTETS_MAX];
        octets[..length].copy_from_slice(&realm.as_bytes()[..length]);
        octets[..length].make_ascii_lowercase();
        Realm { octets, length }
    }
}

/// A User-Name has no more.
const REALM_OCTETS_MAX: usize = 253;
