use super::super::{Member, OnDead};
use super::*;
use crate::attributes::text;
use crate::seed::Seed;
use alloc::format;
use alloc::string::String;
use core::cell::Cell;
use proptest::prelude::*;

/// Remote servers of a test, by number.
struct Scene {
    names: Vec<String>,
    standings: Vec<Standing>,
    outstanding: Vec<u32>,
    /// How many requests may try one that is half-open, and how often was asked.
    trials: Cell<u32>,
    asked: Cell<u32>,
}

impl Servers for Scene {
    fn standing(&self, server: RemoteServerId) -> Standing {
        self.standings[usize::from(server.0)]
    }

    fn claim_trial(&self, _server: RemoteServerId) -> bool {
        self.asked.set(self.asked.get() + 1);
        let left = self.trials.get();
        self.trials.set(left.saturating_sub(1));
        left > 0
    }

    fn outstanding(&self, server: RemoteServerId) -> u32 {
        self.outstanding[usize::from(server.0)]
    }

    fn name(&self, server: RemoteServerId) -> &str {
        &self.names[usize::from(server.0)]
    }
}

fn scene(members: usize) -> Scene {
    Scene {
        names: (0..members).map(|number| format!("radius{number}")).collect(),
        standings: vec![Standing::Alive; members],
        outstanding: vec![0; members],
        trials: Cell::new(0),
        asked: Cell::new(0),
    }
}

fn pool(balance: Balance, weights: &[u32]) -> Pool {
    let member =
        |(number, weight): (usize, &u32)| Member { server: RemoteServerId(number as u16), weight: *weight };
    Pool {
        name: "pool".into(),
        balance,
        on_dead: OnDead::Fail,
        hash_by: Vec::new(),
        members: weights.iter().enumerate().map(member).collect(),
    }
}

fn balancer(pool: &Pool) -> Balancer {
    Balancer::new(pool, Seed::new([3; 32]).fork("pools").hasher())
}

/// The number of the one chosen for each of these keys in turn, none excluded.
fn choices(pool: &Pool, scene: &Scene, keys: impl Iterator<Item = u64>) -> Vec<Option<u16>> {
    let mut balancer = balancer(pool);
    keys.map(|key| balancer.choose(pool, |_| Key(key), &[], scene).map(|server| server.0)).collect()
}

fn count(choices: &[Option<u16>], server: u16) -> usize {
    choices.iter().filter(|choice| **choice == Some(server)).count()
}

const BALANCES: [Balance; 4] =
    [Balance::Failover, Balance::RoundRobin, Balance::LeastOutstanding, Balance::Hash];

#[test]
fn nothing_new_goes_to_a_dead_server_or_to_a_suspected_one_beside_one_alive() {
    for balance in BALANCES {
        let pool = pool(balance, &[1, 1, 1]);
        let mut scene = scene(3);
        for (standings, may) in [
            ([Standing::Dead, Standing::Zombie, Standing::Alive], Some(2)),
            ([Standing::Dead, Standing::Zombie, Standing::Dead], Some(1)),
            ([Standing::Dead; 3], None),
        ] {
            scene.standings = standings.into();
            let all = choices(&pool, &scene, 0..100);
            assert!(all.iter().all(|choice| *choice == may), "{balance:?} {standings:?}");
        }
    }
}

#[test]
fn failover_takes_the_first_alive() {
    let pool = pool(Balance::Failover, &[1, 1000, 1]);
    let mut scene = scene(3);
    assert_eq!(choices(&pool, &scene, 0..3), [Some(0); 3]);
    scene.standings[0] = Standing::Zombie;
    assert_eq!(choices(&pool, &scene, 0..3), [Some(1); 3]);
    scene.standings = vec![Standing::Zombie, Standing::Dead, Standing::Zombie];
    assert_eq!(choices(&pool, &scene, 0..3), [Some(0); 3]);
}

// checklist 51: one that the request came from is excluded, however healthy
#[test]
fn an_excluded_server_is_not_chosen_though_it_is_the_only_one() {
    for balance in BALANCES {
        let pool = pool(balance, &[1, 1]);
        let mut balancer = balancer(&pool);
        let mut choose =
            |excluded: &[RemoteServerId]| balancer.choose(&pool, |_| Key(7), excluded, &scene(2));
        assert_eq!(choose(&[RemoteServerId(0)]), Some(RemoteServerId(1)));
        assert_eq!(choose(&[RemoteServerId(1)]), Some(RemoteServerId(0)));
        assert_eq!(choose(&[RemoteServerId(1), RemoteServerId(0)]), None);
    }
}

#[test]
fn one_that_is_half_open_gets_the_requests_that_may_try_it() {
    let pool = pool(Balance::Failover, &[1, 1]);
    let mut scene = scene(2);
    scene.standings[0] = Standing::HalfOpen;
    scene.trials = Cell::new(2);
    assert_eq!(choices(&pool, &scene, 0..4), [Some(0), Some(0), Some(1), Some(1)]);
    // Nobody else may try it, and there is no other.
    scene.standings[1] = Standing::Dead;
    assert_eq!(choices(&pool, &scene, 0..1), [None]);
    // Suspected ones are better than none.
    scene.standings[1] = Standing::Zombie;
    assert_eq!(choices(&pool, &scene, 0..1), [Some(1)]);
}

#[test]
fn a_trial_is_not_used_up_by_a_request_that_goes_elsewhere() {
    let pool = pool(Balance::Failover, &[1, 1]);
    let mut scene = scene(2);
    scene.standings[1] = Standing::HalfOpen;
    assert_eq!(choices(&pool, &scene, 0..4), [Some(0); 4]);
    assert_eq!(scene.asked.get(), 0);
}

#[test]
fn a_heavy_server_is_not_chosen_many_times_in_a_row() {
    let pool = pool(Balance::RoundRobin, &[5, 1, 1]);
    let numbers: Vec<_> = choices(&pool, &scene(3), 0..7).into_iter().flatten().collect();
    assert_eq!(numbers, [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn idle_servers_take_turns_by_weight() {
    let pool = pool(Balance::LeastOutstanding, &[2, 1]);
    let all = choices(&pool, &scene(2), 0..300);
    assert_eq!((count(&all, 0), count(&all, 1)), (200, 100));
}

#[test]
fn one_that_was_loaded_for_long_is_not_flooded_when_it_is_idle() {
    let pool = pool(Balance::LeastOutstanding, &[1, 1]);
    let mut balancer = balancer(&pool);
    let mut scene = scene(2);
    scene.outstanding = vec![100, 0];
    for _ in 0..10_000 {
        assert_eq!(balancer.choose(&pool, |_| Key(0), &[], &scene), Some(RemoteServerId(1)));
    }
    scene.outstanding = vec![0, 0];
    let first =
        (0..10).filter(|_| balancer.choose(&pool, |_| Key(0), &[], &scene) == Some(RemoteServerId(0)));
    assert!(first.count() <= 7);
}

#[test]
fn a_hash_shares_keys_by_weight() {
    let pool = pool(Balance::Hash, &[1, 2, 5, 1000]);
    let mut scene = scene(4);
    scene.standings[3] = Standing::Dead;
    let all = choices(&pool, &scene, 0..40_000);
    for (server, expected) in [(0, 5_000), (1, 10_000), (2, 25_000)] {
        // Five standard deviations are 330, 430 and 480.
        let difference = count(&all, server).abs_diff(expected);
        assert!(difference < 500, "{server}: {difference}");
    }
    scene.standings[3] = Standing::Alive;
    let others = choices(&pool, &scene, 0..40_000).iter().filter(|choice| **choice != Some(3)).count();
    assert!(others.abs_diff(40_000 * 8 / 1008) < 100, "{others}");
}

#[test]
fn a_key_is_over_the_first_values_and_tells_them_apart() {
    let dictionary = Dictionary::built_in();
    let selector = |name| {
        let named = text::named(&dictionary, name).expect("it is known");
        Selector { oid: named.oid, tag: None, any_shape: true }
    };
    let hash_by = ["User-Name", "Calling-Station-Id"].map(selector);
    let balancer = balancer(&pool(Balance::Hash, &[1]));
    let key = |attributes: &str| {
        let mut octets = Vec::new();
        let assignments = text::parse(&dictionary, attributes).expect("well-formed");
        text::write(&dictionary, &assignments, None, &mut octets).expect("it fits");
        let attributes = Attributes::parse(&octets).expect("well-formed");
        balancer.key(&dictionary, &hash_by, attributes, &mut Scratch::default())
    };
    let keys = [
        r#"User-Name = "ab", Calling-Station-Id = "c""#,
        r#"User-Name = "a", Calling-Station-Id = "bc""#,
        r#"User-Name = "abc""#,
        r#"Calling-Station-Id = "abc""#,
        r#"NAS-Identifier = "abc""#,
    ]
    .map(key);
    for (place, key) in keys.iter().enumerate() {
        assert!(keys[place + 1..].iter().all(|other| other != key), "{place}");
    }
    let more = r#"Calling-Station-Id = "c", NAS-Port = 7, User-Name = "ab", User-Name = "z""#;
    assert_eq!(key(more), keys[0]);
    assert_eq!(key("NAS-Port = 7"), keys[4], "all that have none have one");
}

proptest! {
    #[test]
    fn round_robin_keeps_the_shares_exactly(
        weights in proptest::collection::vec(1u32..30, 1..7),
        is_dead in proptest::collection::vec(any::<bool>(), 7),
        start in 0u64..60,
    ) {
        let pool = pool(Balance::RoundRobin, &weights);
        let mut scene = scene(weights.len());
        let total = |scene: &Scene| -> u32 {
            weights.iter().zip(&scene.standings).filter(|(_, standing)| **standing == Standing::Alive).map(|(weight, _)| weight).sum()
        };
        for (standing, _) in scene.standings.iter_mut().zip(is_dead).filter(|(_, is_dead)| *is_dead) {
            *standing = Standing::Dead;
        }
        let round = u64::from(total(&scene));
        let all = choices(&pool, &scene, 0..start + round);
        // In any stretch of one round.
        for (server, weight) in weights.iter().enumerate() {
            let expected = if scene.standings[server] == Standing::Alive { *weight as usize } else { 0 };
            prop_assert_eq!(count(&all[start as usize..], server as u16), expected);
        }
    }

    #[test]
    fn the_least_outstanding_for_its_weight_is_chosen(
        members in proptest::collection::vec((1u32..1000, 0u32..70_000), 1..7),
    ) {
        let weights: Vec<_> = members.iter().map(|(weight, _)| *weight).collect();
        let pool = pool(Balance::LeastOutstanding, &weights);
        let mut scene = scene(members.len());
        scene.outstanding = members.iter().map(|(_, outstanding)| *outstanding).collect();
        let chosen = choices(&pool, &scene, 0..1)[0].expect("all are alive");
        let load = |(weight, outstanding): (u32, u32)| f64::from(outstanding) / f64::from(weight);
        let chosen = load(members[usize::from(chosen)]);
        prop_assert!(members.iter().all(|member| chosen <= load(*member)));
    }

    #[test]
    fn of_a_hash_only_the_keys_of_a_dead_server_move_and_they_come_back(
        weights in proptest::collection::vec(1u32..1000, 2..7),
        dead in any::<proptest::sample::Index>(),
        first in any::<u64>(),
    ) {
        let pool = pool(Balance::Hash, &weights);
        let mut scene = scene(weights.len());
        let keys = || (0..200).map(|number| first.wrapping_add(number));
        let before = choices(&pool, &scene, keys());
        let dead = dead.index(weights.len());
        for standing in [Standing::Dead, Standing::Zombie] {
            scene.standings[dead] = standing;
            for (before, after) in before.iter().zip(choices(&pool, &scene, keys())) {
                prop_assert_ne!(after, Some(dead as u16));
                prop_assert!(*before == after || *before == Some(dead as u16));
            }
        }
        scene.standings[dead] = Standing::Alive;
        prop_assert_eq!(choices(&pool, &scene, keys()), before);
    }

    #[test]
    fn a_greater_weight_moves_keys_to_its_server_alone(
        weights in proptest::collection::vec(1u32..500, 2..7),
        greater in any::<proptest::sample::Index>(),
        more in 1u32..500,
    ) {
        let before = choices(&pool(Balance::Hash, &weights), &scene(weights.len()), 0..200);
        let greater = greater.index(weights.len());
        let mut weights = weights;
        weights[greater] += more;
        for (before, after) in before.iter().zip(choices(&pool(Balance::Hash, &weights), &scene(weights.len()), 0..200)) {
            prop_assert!(*before == after || after == Some(greater as u16));
        }
    }

    #[test]
    fn the_order_of_members_moves_no_key(weights in proptest::collection::vec(1u32..1000, 1..7), key in any::<u64>()) {
        let straight = pool(Balance::Hash, &weights);
        let mut reverse = straight.clone();
        reverse.members.reverse();
        let scene = scene(weights.len());
        prop_assert_eq!(choices(&straight, &scene, key..=key), choices(&reverse, &scene, key..=key));
    }

    #[test]
    fn the_logarithm_is_one(number in 1u64.., zeros in 0u32..63) {
        let number = (number >> zeros).max(1);
        let exact = 64.0 - (number as f64).log2();
        prop_assert!((minus_log(number) as f64 / f64::from(2u32.pow(31)) / 2.0 - exact).abs() < 1e-6);
    }
}
