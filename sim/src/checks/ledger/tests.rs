use super::*;
use crate::checks::scene::{IDENTIFIER, Scene};

/// A copy comes from this port, and a worker is asked about it or not, under one configuration and perhaps another one.
fn comes(ledger: &mut Ledger, scene: &Scene, port: u16, asked: bool, sites: (usize, Option<usize>)) {
    let path = scene.path(port);
    ledger.received(&scene.case(), &scene.handed(&path, asked, sites), 5);
}

/// Under which configurations something is owed to the copies from this port, and how many there are.
fn owed(ledger: &Ledger, scene: &Scene, port: u16) -> (Vec<usize>, u64) {
    let Path { remote, listener, .. } = scene.path(port);
    let [record] = &ledger.slots[&(remote, listener, IDENTIFIER)].records[..] else {
        panic!("there is one of each")
    };
    let mut sites: Vec<usize> = record.owed.iter().map(|(site, _)| *site).collect();
    sites.sort_unstable();
    (sites, record.copies)
}

#[test]
fn while_tables_change_a_new_line_holds_also_where_its_client_is_known_by_it() {
    let (mut ledger, scene) = (Ledger::new(1), Scene::new(true, "new"));
    comes(&mut ledger, &scene, 1_000, false, (0, None));
    assert_eq!(owed(&ledger, &scene, 1_000), (vec![], 0), "nobody has the new table");
    comes(&mut ledger, &scene, 2_000, false, (0, Some(1)));
    assert_eq!(owed(&ledger, &scene, 2_000), (vec![1], 1));
    comes(&mut ledger, &scene, 2_000, false, (0, Some(1)));
    assert_eq!(owed(&ledger, &scene, 2_000), (vec![1], 2), "each copy counts once");
}

#[test]
fn while_tables_change_a_line_that_goes_holds_till_all_have_heard_of_it() {
    let (mut ledger, scene) = (Ledger::new(1), Scene::new(true, "old"));
    comes(&mut ledger, &scene, 1_000, false, (2, None));
    assert_eq!(owed(&ledger, &scene, 1_000), (vec![], 0), "all have heard of it");
    comes(&mut ledger, &scene, 2_000, false, (1, Some(2)));
    comes(&mut ledger, &scene, 2_000, false, (1, Some(2)));
    assert_eq!(owed(&ledger, &scene, 2_000), (vec![1], 2));
}

#[test]
fn a_later_copy_may_get_what_the_first_got_under_a_table_that_was_just_changing() {
    let (mut ledger, scene) = (Ledger::new(1), Scene::new(true, "new"));
    comes(&mut ledger, &scene, 1_000, true, (0, Some(1)));
    assert_eq!(owed(&ledger, &scene, 1_000), (vec![1], 1));
    comes(&mut ledger, &scene, 2_000, false, (2, None));
    assert_eq!(owed(&ledger, &scene, 2_000), (vec![1, 2], 1));
}

#[test]
fn copies_that_were_asked_about_before_their_table_changed_count_each() {
    let (mut ledger, scene) = (Ledger::new(1), Scene::new(true, "new"));
    comes(&mut ledger, &scene, 1_000, true, (0, None));
    comes(&mut ledger, &scene, 1_000, true, (0, None));
    assert_eq!(owed(&ledger, &scene, 1_000), (vec![], 0));
    for site in [1, 2] {
        ledger.came_into_force(&scene.case(), 0, site, 6);
        assert_eq!(owed(&ledger, &scene, 1_000), ((1..=site).collect(), 2));
    }
}
