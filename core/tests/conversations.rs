//! Whose conversation a request is: never another's, whatever the States look like, and by which connection it came.
//! checklist 26, 28-31

use core::time::Duration;
use proptest::prelude::*;
use std::collections::BTreeMap;
use ulna_core::conversation::{
    Answer, Begun, Bounds, ConversationId, Conversations, Found, Identity, RequestKey, StateUse, Tree,
    TreeBounds, Who,
};
use ulna_core::{Instant, Seed};

const LIFETIME: Duration = Duration::from_secs(60);
const DEDUP: Duration = Duration::from_secs(5);

struct Bench {
    table: Conversations<u32>,
    fingerprints: u8,
    now: Instant,
}

#[derive(Clone, Copy)]
struct Asks {
    who: Who,
    request: RequestKey,
}

impl Bench {
    fn new(conversations_max: usize, state_max: usize) -> Bench {
        let bounds = Bounds {
            conversations_max,
            replies_octets_max: 1 << 20,
            sessions_octets_max: 1 << 20,
            names_octets_max: 1 << 20,
            dedup_lifetime: DEDUP,
        };
        let mut table = Conversations::new(bounds, &Seed::new([1; 32]));
        let each = TreeBounds { state_lifetime: LIFETIME, state_max };
        let trees = [Tree::Own, Tree::NoRealm, table.digests().tree("a.b"), table.digests().tree("c.d")];
        table.set_trees(trees.map(|tree| (tree, each)));
        Bench { table, fingerprints: 0, now: Instant::ORIGIN }
    }

    fn tree(&self, realm: &str) -> Tree {
        self.table.digests().tree(realm)
    }

    /// A new request.
    fn asks(&mut self, client: u8, user: &str, device: Option<&str>, state: Option<&[u8]>) -> Asks {
        self.fingerprints += 1;
        let calling_station_id = device.map(str::as_bytes);
        let who = self.table.who(&Identity {
            client_mark: &[client; 16],
            user_name: user.as_bytes(),
            calling_station_id,
        });
        let request = self.table.digests().request(&who, state, &[self.fingerprints; 16]);
        Asks { who, request }
    }

    fn find(&mut self, asks: Asks, tree: Tree, state: &[u8]) -> Found {
        self.table.find(&asks.who, &[Tree::Own, tree], Some(state), asks.request, self.now)
    }

    fn begin(&mut self, asks: Asks, tree: Tree, state: &[u8], kept: u32) -> ConversationId {
        let Asks { who, request } = asks;
        let begun = Begun { tree, who, request, taken_up: self.now, session: b"", names: [b"bob", b""] };
        let id = self.table.begin(&begun, kept, Answer::Challenge(Some(state)), b"first", self.now);
        id.expect("there is room")
    }

    fn later(&mut self, span: Duration) {
        self.now += span;
        while self.table.next_deadline().is_some_and(|due| due <= self.now) {
            self.table.handle_timeout(self.now);
        }
    }
}

fn ongoing(id: ConversationId) -> Found {
    Found::Ongoing(id, StateUse::Unused)
}

#[test]
fn each_challenge_moves_a_conversation_to_its_state() {
    let mut bench = Bench::new(10, 10);
    let tree = bench.tree("a.b");
    let first = bench.asks(1, "u@a.b", None, None);
    assert_eq!(bench.table.find(&first.who, &[tree], None, first.request, bench.now), Found::Unknown);
    let id = bench.begin(first, tree, b"s1", 7);
    assert_eq!(bench.table.find(&first.who, &[tree], None, first.request, bench.now), Found::Answered(id));
    assert_eq!((bench.table.last_reply(id), bench.table.kept(id)), (Some(&b"first"[..]), Some(&7)));

    let second = bench.asks(1, "u@a.b", None, Some(b"s1"));
    assert_eq!(bench.find(second, tree, b"s1"), ongoing(id));
    assert!(bench.table.take_up(id, second.request, StateUse::Unused, Instant::ORIGIN));
    // From another connection it is the same request; another with this State is not.
    assert_eq!(bench.find(second, tree, b"s1"), Found::InProgress(id));
    let another = bench.asks(1, "u@a.b", None, Some(b"s1"));
    assert_eq!(bench.find(another, tree, b"s1"), Found::Ongoing(id, StateUse::UnderWay));

    assert!(bench.table.answer(id, second.request, Answer::Challenge(Some(b"s2")), b"second", bench.now));
    assert_eq!(bench.find(second, tree, b"s1"), Found::Answered(id));
    assert_eq!(bench.table.last_reply(id), Some(&b"second"[..]));
    assert_eq!(bench.find(another, tree, b"s1"), Found::Ongoing(id, StateUse::Used));
    let third = bench.asks(1, "u@a.b", None, Some(b"s2"));
    assert_eq!(bench.find(third, tree, b"s2"), ongoing(id));

    bench.later(DEDUP);
    assert_eq!(bench.find(another, tree, b"s1"), Found::Unknown);
    assert_eq!(bench.table.last_reply(id), None);
    bench.later(LIFETIME - DEDUP);
    assert_eq!(bench.find(third, tree, b"s2"), Found::Unknown);
    assert_eq!((bench.table.counts().expired, bench.table.len()), (1, 0));
}

#[test]
fn equal_states_of_others_lead_to_nobody_elses_conversation() {
    let mut bench = Bench::new(20, 20);
    let (ab, cd) = (bench.tree("a.b"), bench.tree("c.d"));
    let mut ids = Vec::new();
    for (client, user, device, tree) in [
        (1, "u", Some("d1"), ab),
        (1, "u", Some("d2"), ab),
        (1, "v", Some("d1"), ab),
        (2, "u", Some("d1"), ab),
        (1, "u", Some("d1"), cd),
    ] {
        let asks = bench.asks(client, user, device, None);
        ids.push((bench.begin(asks, tree, b"same", 0), client, user, device, tree));
    }
    for (id, client, user, device, tree) in ids {
        let asks = bench.asks(client, user, device, Some(b"same"));
        assert_eq!(bench.find(asks, tree, b"same"), ongoing(id));
    }
    let elsewhere = bench.asks(1, "u", Some("d1"), Some(b"same"));
    assert_eq!(bench.find(elsewhere, Tree::NoRealm, b"same"), Found::Unknown);
    for (client, user, device) in [(3, "u", Some("d1")), (1, "w", Some("d1")), (1, "u", Some("d3"))] {
        let asks = bench.asks(client, user, device, Some(b"same"));
        assert_eq!(bench.find(asks, ab, b"same"), Found::Unknown, "{client} {user} {device:?}");
    }
    assert_eq!(bench.table.counts().ambiguous, 0);
    // Without device it could be either's.
    let either = bench.asks(1, "u", None, Some(b"same"));
    assert_eq!(bench.find(either, ab, b"same"), Found::Unknown);
    assert_eq!(bench.table.counts().ambiguous, 1);
    let only = bench.asks(1, "v", None, Some(b"same"));
    assert!(matches!(bench.find(only, ab, b"same"), Found::Ongoing(..)));
}

#[test]
fn one_that_has_ended_answers_its_duplicates_and_gives_way_to_one_that_goes_on() {
    let mut bench = Bench::new(10, 10);
    let tree = bench.tree("a.b");
    let first = bench.asks(1, "u", Some("d"), None);
    let id = bench.begin(first, tree, b"x", 0);
    let last = bench.asks(1, "u", Some("d"), Some(b"x"));
    assert_eq!(bench.find(last, tree, b"x"), ongoing(id));
    bench.table.take_up(id, last.request, StateUse::Unused, Instant::ORIGIN);
    assert!(bench.table.answer(id, last.request, Answer::End, b"accept", bench.now));
    assert_eq!((bench.find(last, tree, b"x"), bench.table.live()), (Found::Answered(id), 0));
    assert_eq!(bench.table.last_reply(id), Some(&b"accept"[..]));
    assert_eq!(bench.table.find_live(&last.who, bench.now), None);

    // A server whose States are all the same.
    let again = bench.asks(1, "u", Some("d"), None);
    let next = bench.begin(again, tree, b"x", 1);
    let asks = bench.asks(1, "u", Some("d"), Some(b"x"));
    assert_eq!(bench.find(asks, tree, b"x"), ongoing(next));
    assert_eq!(bench.find(last, tree, b"x"), Found::Answered(id));
    bench.later(DEDUP);
    assert_eq!(bench.find(last, tree, b"x"), ongoing(next), "it is no duplicate any more");
    assert_eq!(bench.table.len(), 1);
}

#[test]
fn a_state_that_never_changes_is_still_one_conversation() {
    let mut bench = Bench::new(10, 10);
    let tree = bench.tree("a.b");
    let first = bench.asks(1, "u", None, None);
    let id = bench.begin(first, tree, b"x", 0);
    for _ in 0..5 {
        let asks = bench.asks(1, "u", None, Some(b"x"));
        assert_eq!(bench.find(asks, tree, b"x"), ongoing(id));
        bench.table.take_up(id, asks.request, StateUse::Unused, Instant::ORIGIN);
        bench.table.answer(id, asks.request, Answer::Challenge(Some(b"x")), b"r", bench.now);
        assert_eq!(bench.find(asks, tree, b"x"), Found::Answered(id));
    }
    assert_eq!(bench.table.counts().ambiguous, 0);
}

#[test]
fn what_is_given_up_or_answered_late_leaves_the_state_usable() {
    let mut bench = Bench::new(10, 10);
    let tree = bench.tree("a.b");
    let first = bench.asks(1, "u", None, None);
    let id = bench.begin(first, tree, b"s1", 0);
    let lost = bench.asks(1, "u", None, Some(b"s1"));
    bench.table.take_up(id, lost.request, StateUse::Unused, Instant::ORIGIN);
    bench.table.give_up(id, lost.request);
    assert_eq!(bench.find(lost, tree, b"s1"), ongoing(id));
    // Two requests with one State, both answered with a challenge: the later counts.
    let (one, two) = (bench.asks(1, "u", None, Some(b"s1")), bench.asks(1, "u", None, Some(b"s1")));
    bench.table.take_up(id, one.request, StateUse::Unused, Instant::ORIGIN);
    bench.table.take_up(id, two.request, StateUse::UnderWay, Instant::ORIGIN);
    bench.table.answer(id, one.request, Answer::Challenge(Some(b"s2")), b"r1", bench.now);
    assert_eq!(bench.find(two, tree, b"s1"), Found::InProgress(id));
    bench.table.answer(id, two.request, Answer::Challenge(Some(b"s3")), b"r2", bench.now);
    assert_eq!(bench.find(two, tree, b"s1"), Found::Answered(id));
    let next = bench.asks(1, "u", None, Some(b"s3"));
    assert_eq!(bench.find(next, tree, b"s3"), ongoing(id));
    let old = bench.asks(1, "u", None, Some(b"s1"));
    assert_eq!(bench.find(old, tree, b"s1"), Found::Ongoing(id, StateUse::Used));
    let dropped = bench.asks(1, "u", None, Some(b"s2"));
    assert_eq!(bench.find(dropped, tree, b"s2"), Found::Unknown);
}

#[test]
fn an_accept_with_state_is_found_until_the_session_and_a_minute_are_over() {
    let mut bench = Bench::new(10, 10);
    let tree = bench.tree("a.b");
    let first = bench.asks(1, "u", None, None);
    let id = bench.begin(first, tree, b"s1", 0);
    let hour = Duration::from_secs(3600);
    let last = bench.asks(1, "u", None, Some(b"s1"));
    bench.table.take_up(id, last.request, StateUse::Unused, Instant::ORIGIN);
    bench.table.answer(id, last.request, Answer::AcceptWithState(b"t", Some(hour)), b"r", bench.now);
    assert_eq!(bench.table.find_live(&last.who, bench.now), None);
    let asks = bench.asks(1, "u", None, Some(b"t"));
    bench.later(hour + Duration::from_secs(59));
    assert_eq!(bench.find(asks, tree, b"t"), ongoing(id));
    bench.later(Duration::from_secs(1));
    assert_eq!(bench.find(asks, tree, b"t"), Found::Unknown);
}

#[test]
fn without_state_only_a_single_live_one_is_found() {
    let mut bench = Bench::new(10, 10);
    let tree = bench.tree("a.b");
    let one = bench.asks(1, "u", Some("d"), None);
    let id = bench.begin(one, tree, b"s", 0);
    assert_eq!(bench.table.find_live(&one.who, bench.now), Some(id));
    let other_device = bench.asks(1, "u", Some("e"), None);
    assert_eq!(bench.table.find_live(&other_device.who, bench.now), None);
    let again = bench.asks(1, "u", Some("d"), None);
    bench.begin(again, tree, b"t", 0);
    assert_eq!(bench.table.find_live(&one.who, bench.now), None);
}

#[test]
fn a_full_tree_forgets_what_has_ended_and_then_what_was_silent_longest() {
    let mut bench = Bench::new(100, 3);
    let (ab, cd) = (bench.tree("a.b"), bench.tree("c.d"));
    let other = bench.asks(1, "o", None, None);
    let untouched = bench.begin(other, cd, b"o", 0);
    let mut ids = Vec::new();
    for user in ["u", "v", "w"] {
        let asks = bench.asks(1, user, None, None);
        ids.push((bench.begin(asks, ab, b"s", 0), asks));
    }
    bench.table.answer(ids[1].0, ids[1].1.request, Answer::End, b"r", bench.now);
    for (user, forgotten) in [("x", ids[1].0), ("y", ids[0].0), ("z", ids[2].0)] {
        let asks = bench.asks(1, user, None, None);
        assert!(bench.table.kept(forgotten).is_some());
        bench.begin(asks, ab, b"s", 0);
        assert!(bench.table.kept(forgotten).is_none(), "{user}");
    }
    assert_eq!((bench.table.counts().forgotten, bench.table.len()), (2, 4));
    assert!(bench.table.kept(untouched).is_some());
    assert!(!bench.table.answer(ids[0].0, ids[0].1.request, Answer::End, b"r", bench.now));
}

#[test]
fn trees_that_a_reload_removed_run_out() {
    let mut bench = Bench::new(10, 10);
    let (ab, each) = (bench.tree("a.b"), TreeBounds { state_lifetime: LIFETIME, state_max: 10 });
    let first = bench.asks(1, "u", None, None);
    let id = bench.begin(first, ab, b"s", 0);
    bench.table.set_trees([(Tree::NoRealm, each)]);
    assert_eq!(bench.table.trees().count(), 2);
    let asks = bench.asks(1, "u", None, Some(b"s"));
    assert_eq!(bench.find(asks, ab, b"s"), ongoing(id));
    bench.later(LIFETIME);
    assert_eq!(bench.table.trees().collect::<Vec<_>>(), [(Tree::NoRealm, 0)]);
    let begun = Begun {
        tree: ab,
        who: asks.who,
        request: asks.request,
        taken_up: bench.now,
        session: b"",
        names: [b"bob", b""],
    };
    assert_eq!(bench.table.begin(&begun, 0, Answer::Challenge(Some(b"s")), b"r", bench.now), None);
}

#[test]
fn those_that_were_there_at_a_change_are_waited_for() {
    let mut bench = Bench::new(10, 10);
    let tree = bench.tree("a.b");
    let first = bench.asks(1, "u", None, None);
    let id = bench.begin(first, tree, b"s", 0);
    let was = bench.now;
    bench.later(Duration::from_secs(1));
    bench.table.mark(bench.now);
    // The request came before, the challenge after.
    let late = bench.asks(1, "v", None, None);
    let begun = Begun {
        tree,
        who: late.who,
        request: late.request,
        taken_up: was,
        session: b"kept",
        names: [b"bob", b""],
    };
    bench.later(Duration::from_secs(1));
    let late_id = bench.table.begin(&begun, 0, Answer::Challenge(Some(b"s")), b"r", bench.now).unwrap();
    assert_eq!(bench.table.session(late_id), b"kept");
    let new = bench.asks(1, "w", None, None);
    bench.begin(new, tree, b"s", 0);
    bench.table.answer(id, first.request, Answer::Challenge(Some(b"t")), b"r", bench.now);
    assert!(bench.table.has_marked());
    bench.table.answer(id, first.request, Answer::End, b"r", bench.now);
    assert!(bench.table.has_marked());
    bench.table.forget(late_id);
    assert!(!bench.table.has_marked());
}

#[derive(Debug, Clone)]
enum Step {
    Begin(u8, u8, Option<u8>, u8, u8),
    Ask(u8, u8, Option<u8>, u8, u8, u8),
    Later(u8),
}

/// What a conversation is found by: tree, newest State, State before, whether it has ended, and until when.
#[derive(Clone, Copy)]
struct Model {
    who: (u8, u8, Option<u8>),
    tree: u8,
    newest: Option<u8>,
    before: Option<(u8, Instant)>,
    has_ended: bool,
    until: Instant,
}

fn step() -> impl Strategy<Value = Step> {
    let device = || proptest::option::of(0u8..2);
    prop_oneof![
        3 => (0u8..2, 0u8..2, device(), 0u8..2, 0u8..3).prop_map(|(c, u, d, t, s)| Step::Begin(c, u, d, t, s)),
        8 => (0u8..2, 0u8..2, device(), 0u8..2, 0u8..3, 0u8..5)
            .prop_map(|(c, u, d, t, s, a)| Step::Ask(c, u, d, t, s, a)),
        1 => (0u8..40).prop_map(Step::Later),
    ]
}

proptest! {
    #[test]
    fn finds_what_a_list_of_all_conversations_says(steps in proptest::collection::vec(step(), 0..200)) {
        let mut bench = Bench::new(1000, 1000);
        let trees = [bench.tree("a.b"), bench.tree("c.d")];
        let users = ["u", "v"];
        let devices = ["d", "e"];
        let mut models: BTreeMap<u64, (ConversationId, Model)> = BTreeMap::new();
        let mut fingerprint = 0u64;
        let mut begun_count = 0;
        for step in steps {
            fingerprint += 1;
            let mut mark = [0; 16];
            mark[..8].copy_from_slice(&fingerprint.to_le_bytes());
            let now = bench.now;
            models.retain(|_, (_, model)| model.until > now);
            let who_of = |bench: &Bench, client: u8, user: u8, device: Option<u8>| {
                bench.table.who(&Identity {
                    client_mark: &[client; 16],
                    user_name: users[usize::from(user)].as_bytes(),
                    calling_station_id: device.map(|device| devices[usize::from(device)].as_bytes()),
                })
            };
            match step {
                Step::Later(seconds) => bench.later(Duration::from_secs(seconds.into())),
                Step::Begin(client, user, device, tree, state) => {
                    let who = who_of(&bench, client, user, device);
                    let request = bench.table.digests().request(&who, None, &mark);
                    let id = bench.begin(Asks { who, request }, trees[usize::from(tree)], &[state], 0);
                    begun_count += 1;
                    models.insert(begun_count, (id, Model {
                        who: (client, user, device), tree, newest: Some(state), before: None,
                        has_ended: false, until: now + LIFETIME,
                    }));
                }
                Step::Ask(client, user, device, tree, state, answer) => {
                    let who = who_of(&bench, client, user, device);
                    let request = bench.table.digests().request(&who, Some(&[state]), &mark);
                    let found = bench.find(Asks { who, request }, trees[usize::from(tree)], &[state]);
                    let has = |model: &Model| {
                        model.newest == Some(state)
                            || model.before.is_some_and(|(before, until)| before == state && until > now)
                    };
                    let counts: Vec<(u64, ConversationId, Model)> = models
                        .iter()
                        .map(|(number, (id, model))| (*number, *id, *model))
                        .filter(|(_, _, model)| {
                            (model.who.0, model.who.1, model.tree) == (client, user, tree) && has(model)
                        })
                        .collect();
                    let mut expected = None;
                    'sought: for ended in [false, true] {
                        let of = |want: &dyn Fn(Option<u8>) -> bool| -> Vec<_> {
                            let fits = |(_, _, model): &&(u64, ConversationId, Model)| {
                                model.has_ended == ended && want(model.who.2)
                            };
                            counts.iter().filter(fits).copied().collect()
                        };
                        let sought = match device {
                            None => vec![of(&|_| true)],
                            Some(_) => vec![of(&|of| of == device), of(&|of| of.is_none())],
                        };
                        for several in sought {
                            match several[..] {
                                [] => {}
                                [one] => { expected = Some(one); break 'sought; }
                                _ => break 'sought,
                            }
                        }
                    }
                    let Some((number, id, model)) = expected else {
                        prop_assert_eq!(found, Found::Unknown);
                        continue;
                    };
                    let state_use = if model.newest == Some(state) { StateUse::Unused } else { StateUse::Used };
                    prop_assert_eq!(found, Found::Ongoing(id, state_use));
                    prop_assert!(bench.table.take_up(id, request, state_use, Instant::ORIGIN));
                    let next = (state + answer) % 3;
                    let (answer, newest, until) = match answer {
                        0 => (Answer::End, None, now + DEDUP),
                        _ => (Answer::Challenge(Some(&[next][..])), Some(next), now + LIFETIME),
                    };
                    prop_assert!(bench.table.answer(id, request, answer, b"reply", now));
                    let repeated = bench.find(Asks { who, request }, trees[usize::from(tree)], &[state]);
                    prop_assert_eq!(repeated, Found::Answered(id));
                    let has_ended = newest.is_none();
                    let before = Some((state, now + DEDUP));
                    models.insert(number, (id, Model { newest, before, has_ended, until, ..model }));
                }
            }
            let now = bench.now;
            let there = models.values().filter(|(_, model)| model.until > now);
            let live = there.clone().filter(|(_, model)| !model.has_ended).count();
            prop_assert_eq!((bench.table.len(), bench.table.live()), (there.count(), live));
        }
        bench.later(LIFETIME);
        prop_assert!(bench.table.is_empty());
        prop_assert_eq!(bench.table.next_deadline(), None);
    }
}
