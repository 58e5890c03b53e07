//! Cores that are told to panic, for a drill: each as often as it is told, and soon.

mod support;

use support::{Server, USERS};
use ulna_core::path::{NetworkId, Peer, WorkerId};

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\n";
const JOINED: &str = "[runtime]\nnetwork_threads = 0\nworkers = 1\n";

#[test]
fn each_drill_is_one_death_and_none_waits_while_its_thread_sleeps() {
    let [network, worker] = [Peer::Network(NetworkId(0)), Peer::Worker(WorkerId(0))];
    let mut server = Server::new(JOINED, USERS);
    for told in [&[worker, worker][..], &[network, worker], &[worker]] {
        told.iter().for_each(|core| server.drill(*core));
        server.threads[0].begin();
        for core in told {
            assert!(!server.threads[0].may_park(), "it has something to do");
            assert_eq!(server.threads[0].take_drill(), Some(*core));
        }
        assert_eq!(server.threads[0].take_drill(), None);
        assert!(server.threads[0].may_park());
    }
    // Read at the end of a turn, with the links of those who now own slots.
    let mut server = Server::new(SEPARATE, USERS);
    server.drill(network);
    server.begin_change(2);
    assert!(!server.threads[0].may_park(), "nobody will ring for it again");
    server.threads[0].begin();
    assert_eq!(server.threads[0].take_drill(), Some(network));
    server.end_change();
}
