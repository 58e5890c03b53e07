//! Random rules and random requests: the server, from the text of its rules to its reply, decides as a naive reading of
//! the rules does, which knows neither octets nor walks.

mod support;

use proptest::prelude::*;
use std::sync::Arc;
use support::{Ask, Reply, Server, configuration, nas};
use ulna_core::Configuration;
use ulna_core::attributes::text;
use ulna_core::packet::{Code, number};
use ulna_core::policy::{Asked, ConfiguredRules, Edit, Policy, ReplyKind, Rules, Sheet, Verdict};

/// An attribute of requests: how rules name it, and the values that it may have.
struct Kind {
    name: &'static str,
    /// As they are written, both in a request and in a rule.
    values: &'static [&'static str],
    /// Whether the values are texts, so that patterns may be asked of them.
    text: bool,
    tagged: bool,
}

const KINDS: &[Kind] = &[
    Kind { name: "User-Name", values: NAMES, text: true, tagged: false },
    Kind { name: "NAS-Port", values: &["0", "7", "4294967295"], text: false, tagged: false },
    Kind { name: "Service-Type", values: &["Framed-User", "Login-User"], text: false, tagged: false },
    Kind { name: "NAS-IP-Address", values: &["192.0.2.1", "192.0.2.2"], text: false, tagged: false },
    Kind { name: "Tunnel-Type", values: &["VLAN", "L2TP"], text: false, tagged: true },
    Kind { name: "Tunnel-Private-Group-Id", values: NAMES, text: true, tagged: true },
    Kind { name: "Cisco-AVPair", values: NAMES, text: true, tagged: false },
    Kind { name: "Cisco-NAS-Port", values: NAMES, text: true, tagged: false },
    Kind {
        name: "Framed-IPv6-Prefix",
        values: &["2001:db8::/32", "2001:db8::/48"],
        text: false,
        tagged: false,
    },
];

const NAMES: &[&str] = &["bob", "alice", "bob@example.org", "Bob@EXAMPLE.org", "al@b.example.org", "o"];

/// A pattern as it is written, and what it means.
type Meaning = (&'static str, &'static str, fn(&str) -> bool);

const PATTERNS: &[Meaning] = &[
    ("regex", "^bob", |text| text.starts_with("bob")),
    ("regex", "o", |text| text.contains('o')),
    ("regex", "(?i)^b.*G$", |text| {
        let text = text.to_lowercase();
        text.starts_with('b') && text.ends_with('g')
    }),
    ("regex", "^(bob|alice)$", |text| text == "bob" || text == "alice"),
    ("glob", "*@example.org", |text| text.ends_with("@example.org")),
    ("glob", "?ob", |text| text.len() == 3 && text.ends_with("ob")),
    ("glob", "*", |_| true),
];

#[derive(Debug, Clone)]
enum Form {
    Value(usize),
    OneOf(Vec<usize>),
    Pattern(usize),
    Present(bool),
    Not(Box<Form>),
}

#[derive(Debug, Clone)]
enum Subject {
    Attribute { kind: usize, tag: Option<u8> },
    Realm,
    Session,
}

#[derive(Debug, Clone)]
struct Rule {
    when: Vec<(Subject, Form)>,
    /// The place among its values that NAS-Port gets.
    set_port: Option<usize>,
    remove: Option<usize>,
}

#[derive(Debug, Clone)]
struct Instance {
    kind: usize,
    tag: u8,
    value: usize,
}

const REALMS: &[&str] = &["example.org", "EXAMPLE.ORG", "b.example.org", "org"];

impl Subject {
    fn values(&self) -> &'static [&'static str] {
        match self {
            Subject::Attribute { kind, .. } => KINDS[*kind].values,
            Subject::Realm => REALMS,
            Subject::Session => &["0", "1", "2"],
        }
    }

    fn written(&self) -> String {
        match self {
            Subject::Attribute { kind, tag: None } => KINDS[*kind].name.into(),
            Subject::Attribute { kind, tag: Some(tag) } => format!("\"{}:{tag}\"", KINDS[*kind].name),
            Subject::Realm => "realm".into(),
            Subject::Session => "\"session.number\"".into(),
        }
    }

    fn is_text(&self) -> bool {
        match self {
            Subject::Attribute { kind, .. } => KINDS[*kind].text,
            Subject::Realm | Subject::Session => true,
        }
    }
}

impl Form {
    fn written(&self, subject: &Subject) -> String {
        let quoted = |value: &usize| match subject {
            Subject::Attribute { kind, .. } if KINDS[*kind].name == "NAS-Port" => {
                subject.values()[*value].into()
            }
            Subject::Attribute { .. } | Subject::Realm | Subject::Session => {
                format!("\"{}\"", subject.values()[*value])
            }
        };
        match self {
            Form::Value(value) => quoted(value),
            Form::OneOf(values) => {
                format!("{{ one_of = [{}] }}", values.iter().map(quoted).collect::<Vec<_>>().join(", "))
            }
            Form::Pattern(pattern) => format!("{{ {} = '{}' }}", PATTERNS[*pattern].0, PATTERNS[*pattern].1),
            Form::Present(present) => format!("{{ present = {present} }}"),
            Form::Not(form) => format!("{{ not = {} }}", form.written(subject)),
        }
    }

    /// Whether it holds of something with these values.
    fn holds(&self, subject: &Subject, values: &[&str]) -> bool {
        // Case does not count in realms, neither in values nor in patterns.
        let folded = |text: &str| match subject {
            Subject::Realm => text.to_lowercase(),
            Subject::Attribute { .. } | Subject::Session => text.to_string(),
        };
        let is =
            |wanted: &usize| values.iter().any(|value| folded(value) == folded(subject.values()[*wanted]));
        match self {
            Form::Value(wanted) => is(wanted),
            Form::OneOf(wanted) => wanted.iter().any(is),
            Form::Pattern(pattern) => values.iter().any(|value| {
                let meaning = PATTERNS[*pattern].2;
                meaning(&folded(value))
            }),
            Form::Present(present) => *present != values.is_empty(),
            Form::Not(form) => !form.holds(subject, values),
        }
    }
}

fn holds(rule: &Rule, request: &[Instance], realm: Option<&str>, session: Option<&str>) -> bool {
    rule.when.iter().all(|(subject, form)| {
        let values: Vec<&str> = match subject {
            Subject::Attribute { kind, tag } => request
                .iter()
                .filter(|instance| instance.kind == *kind && tag.is_none_or(|tag| tag == instance.tag))
                .map(|instance| KINDS[*kind].values[instance.value])
                .collect(),
            Subject::Realm => realm.into_iter().collect(),
            Subject::Session => session.into_iter().collect(),
        };
        form.holds(subject, &values)
    })
}

/// Which rule decides, and which rule for replies edits.
fn oracle(new: &[Rule], reply: &[Rule], request: &[Instance]) -> (Option<usize>, Option<usize>) {
    let realm = request.iter().find(|instance| instance.kind == 0);
    let realm = realm.and_then(|name| NAMES[name.value].split_once('@')).map(|(_, realm)| realm);
    let decides = new.iter().position(|rule| holds(rule, request, realm, None));
    let mut request = request.to_vec();
    if let Some(rule) = decides.map(|place| &new[place]) {
        request.retain(|instance| rule.remove != Some(instance.kind));
        if let Some(value) = rule.set_port {
            request.retain(|instance| instance.kind != 1);
            request.push(Instance { kind: 1, tag: 0, value });
        }
    }
    let session = decides.map(|place| (place % 3).to_string());
    let edits = reply.iter().position(|rule| holds(rule, &request, realm, session.as_deref()));
    (decides, edits)
}

fn when(rule: &Rule) -> String {
    let mut conditions = std::collections::BTreeMap::new();
    for (subject, form) in &rule.when {
        conditions.insert(subject.written(), form.written(subject));
    }
    let conditions: Vec<_> =
        conditions.into_iter().map(|(name, value)| format!("{name} = {value}")).collect();
    format!("when = {{ {} }}\n", conditions.join(", "))
}

fn written(new: &[Rule], reply: &[Rule]) -> String {
    let mut text = String::new();
    for (place, rule) in new.iter().enumerate() {
        text += &format!("[[server.new]]\n{}accept = true\n", when(rule));
        text += &format!(
            "set_reply = {{ Reply-Message = \"{place}\" }}\nset_session = {{ number = {} }}\n",
            place % 3
        );
        if let Some(value) = rule.set_port {
            text += &format!("set_request = {{ NAS-Port = {} }}\n", KINDS[1].values[value]);
        }
        if let Some(kind) = rule.remove {
            text += &format!("remove_request = [\"{}\"]\n", KINDS[kind].name);
        }
    }
    for (place, rule) in reply.iter().enumerate() {
        text += &format!("[[server.reply]]\n{}set_reply = {{ Class = \"{place}\" }}\n", when(rule));
    }
    text
}

fn form(values: usize, text: bool) -> impl Strategy<Value = Form> {
    let leaf = prop_oneof![
        3 => (0..values).prop_map(Form::Value),
        2 => prop::collection::vec(0..values, 1..4).prop_map(Form::OneOf),
        1 => any::<bool>().prop_map(Form::Present),
        3 => (0..PATTERNS.len()).prop_map(move |pattern| {
            if text { Form::Pattern(pattern) } else { Form::Value(pattern % values) }
        }),
    ];
    (leaf, 0..4usize).prop_map(|(leaf, nots)| match nots {
        1 => Form::Not(Box::new(leaf)),
        2 => Form::Not(Box::new(Form::Not(Box::new(leaf)))),
        _ => leaf,
    })
}

/// Rather NAS-Port than another: it is what edits of the request set.
fn kind() -> impl Strategy<Value = usize> {
    prop_oneof![1 => Just(1), 3 => 0..KINDS.len()]
}

fn condition(session: bool) -> impl Strategy<Value = (Subject, Form)> {
    let attribute = (kind(), 0..4u8).prop_map(|(kind, tag)| {
        let tag = Some(tag).filter(|tag| KINDS[kind].tagged && *tag < 3);
        Subject::Attribute { kind, tag }
    });
    let own = Just(if session { Subject::Session } else { Subject::Realm });
    prop_oneof![6 => attribute, 1 => Just(Subject::Realm), 1 => own].prop_flat_map(|subject| {
        let form = form(subject.values().len(), subject.is_text());
        (Just(subject), form)
    })
}

fn rules(session: bool) -> impl Strategy<Value = Vec<Rule>> {
    let rule = (
        prop::collection::vec(condition(session), 1..3),
        prop::option::weighted(0.3, 0..3usize),
        prop::option::weighted(0.3, 0..KINDS.len()),
    );
    let rule = rule.prop_map(|(mut when, set_port, remove)| {
        // A name stands once in a table: the last of them, as it is written.
        let mut seen = std::collections::BTreeSet::new();
        when.reverse();
        when.retain(|(subject, _)| seen.insert(subject.written()));
        Rule { when, set_port, remove }
    });
    prop::collection::vec(rule, 0..6)
}

fn request() -> impl Strategy<Value = Vec<Instance>> {
    let instance = (kind(), 0..3u8, any::<prop::sample::Index>()).prop_map(|(kind, tag, value)| {
        let Kind { values, tagged, .. } = &KINDS[kind];
        Instance { kind, tag: if *tagged { tag } else { 0 }, value: value.index(values.len()) }
    });
    prop::collection::vec(instance, 0..8)
}

/// As radclient writes it.
fn attributes(request: &[Instance]) -> String {
    let assignments = request.iter().map(|instance| {
        let Kind { name, values, tagged, .. } = &KINDS[instance.kind];
        let tag = if *tagged && instance.tag > 0 { format!(":{}", instance.tag) } else { String::new() };
        format!("{name}{tag} = {}", values[instance.value])
    });
    assignments.collect::<Vec<_>>().join(", ")
}

/// The rules of a configuration, each of whose decisions has to be as it is explained.
struct Explaining {
    configuration: Arc<Configuration>,
    rules: ConfiguredRules,
}

impl Explaining {
    fn new(configuration: Arc<Configuration>) -> Explaining {
        Explaining { rules: ConfiguredRules::new(Arc::clone(&configuration)), configuration }
    }
}

/// The place of the rule that matches, as the explanation has it: the last, if all its conditions hold.
fn explained<T>(rules: &Rules<T>, asked: &Asked<'_>, reply: Option<ReplyKind>) -> Option<usize> {
    let explained = rules.explain(asked, reply, &mut Sheet::new(rules.questions()));
    let matches = |held: &[bool]| held.iter().all(|held| *held);
    let place = explained.iter().position(|held| matches(held));
    assert!(place.is_none_or(|place| place + 1 == explained.len()), "it ends with the rule that matches");
    assert!(place.is_some() || explained.len() == rules.len(), "where none does it has all");
    place
}

impl Policy for Explaining {
    fn decide<'p>(&'p mut self, asked: &Asked<'_>) -> Verdict<'p> {
        let place = explained(&self.configuration.server(asked.server()).new, asked, None);
        let verdict = self.rules.decide(asked);
        assert_eq!(verdict.rule.map(usize::from), place.map(|place| place + 1));
        verdict
    }

    fn edit_reply<'p>(&'p mut self, asked: &Asked<'_>, reply: ReplyKind) -> Option<&'p Edit> {
        let rules = &self.configuration.server(asked.server()).reply;
        let place = explained(rules, asked, Some(reply));
        let edit = self.rules.edit_reply(asked, reply);
        assert_eq!(edit, place.and_then(|place| rules.iter().nth(place)));
        edit
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn rules_decide_as_a_naive_reading_of_them(
        new in rules(false),
        reply in rules(true),
        requests in prop::collection::vec(request(), 1..12),
    ) {
        // Without a rule nobody sets the session that replies ask for.
        let reply = if new.is_empty() { Vec::new() } else { reply };
        let settings = "[runtime]\nnetwork_threads = 0\nworkers = 1\nrequests_max = 64\ndedup_entries_max = 64\n\
                        [protocol]\nreject_delay = \"0s\"\n";
        let text = configuration(settings, &written(&new, &reply));
        let mut server = Server::with(&text, |configuration| Box::new(Explaining::new(configuration)));
        for (place, request) in requests.iter().enumerate() {
            let assignments = text::parse(&server.configuration.dictionary, &attributes(request))
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            let mut octets = Vec::new();
            text::write(&server.configuration.dictionary, &assignments, None, &mut octets)
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            let ask = Ask::of(Code::AccessRequest).with_raw(&octets).octets();
            let sent = server.ask(nas(place as u16 + 1), &ask);
            prop_assert_eq!(sent.len(), 1);
            let answer = Reply::to(&ask, &sent[0].octets);
            let value = |number| {
                let values = answer.values(number);
                values.first().map(|value| String::from_utf8_lossy(value).parse::<usize>().expect("a place"))
            };
            let (decides, edits) = oracle(&new, &reply, request);
            prop_assert_eq!(answer.code == Code::AccessAccept, decides.is_some(), "{:?}", request);
            prop_assert_eq!(value(number::REPLY_MESSAGE), decides, "{:?}", request);
            prop_assert_eq!(value(number::CLASS), edits, "{:?}", request);
        }
    }
}
