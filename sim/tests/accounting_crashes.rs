//! Crashes at two thousand points, at night at ten thousand (`ULNA_SIM_CRASHES`), with the disk as it then is: nothing acknowledged is missing, nothing torn stays.

use ulna_sim::crash::{Outcome, configuration, run};

// checklist 12
#[test]
fn no_acknowledged_record_is_lost_whenever_all_stops() {
    let configuration = configuration();
    let mut sum = Outcome::default();
    let mut seed = 0;
    let crashes = std::env::var("ULNA_SIM_CRASHES").map_or(2_000, |text| text.parse().expect("a number"));
    while sum.crashes < crashes {
        let outcome =
            run(seed, &configuration, None).unwrap_or_else(|violation| panic!("seed {seed}: {violation:?}"));
        assert!(outcome.records >= outcome.acknowledged);
        sum.add(&outcome);
        seed += 1;
    }
    eprintln!("{seed} seeds: {sum:?}");
    // None of what is to be tested may have stayed away.
    assert!(sum.failed > crashes / 2 && sum.aside > crashes / 2 && sum.records > sum.acknowledged, "{sum:?}");
}

#[test]
fn a_seed_is_one_run() {
    let configuration = configuration();
    for seed in 0..20 {
        assert_eq!(run(seed, &configuration, None), run(seed, &configuration, None));
    }
}
