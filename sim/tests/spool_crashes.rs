//! Crashes at some hundred points, at night at more (`ULNA_SIM_CRASHES`), of a server that spools: what it has answered arrives.

use ulna_sim::spool_crash::{Outcome, configuration, run};

// checklist 12, 14, 40
#[test]
fn no_answered_record_is_lost_on_its_way_whenever_all_stops() {
    let configuration = configuration();
    let mut sum = Outcome::default();
    let mut seed = 0;
    let crashes = std::env::var("ULNA_SIM_CRASHES").map_or(400, |text| text.parse().expect("a number"));
    while sum.crashes < crashes {
        let outcome =
            run(seed, &configuration, None).unwrap_or_else(|violation| panic!("seed {seed}: {violation:?}"));
        assert!(outcome.arrived >= outcome.answered);
        sum.add(&outcome);
        seed += 1;
    }
    eprintln!("{seed} seeds: {sum:?}");
    // None of what is to be tested may have stayed away.
    assert!(
        sum.failed > crashes && sum.removed > crashes / 10 && sum.sent > sum.arrived + sum.arrived / 20,
        "{sum:?}"
    );
}

#[test]
fn a_seed_is_one_run() {
    let configuration = configuration();
    for seed in 0..10 {
        assert_eq!(run(seed, &configuration, None), run(seed, &configuration, None));
    }
}
