use super::*;
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;
use proptest::prelude::*;

const PROBED: Judgement = Judgement {
    status_check: StatusCheck::StatusServer,
    response_window: Duration::from_secs(20),
    zombie_period: Duration::from_secs(40),
    revive_interval: Duration::from_secs(120),
    status_interval: Duration::from_secs(30),
};
const NOT_PROBED: Judgement = Judgement { status_check: StatusCheck::None, ..PROBED };

fn at(seconds: u64) -> Instant {
    Instant::ORIGIN + Duration::from_secs(seconds)
}

/// One that had no answer at 20 s to what was sent at 0 s.
fn suspected(judgement: &Judgement) -> Health {
    let health = Health::new();
    assert_eq!(health.note_no_answer(judgement, at(0), at(20)), Some(Standing::Zombie));
    health
}

/// One that has been dead since 60 s.
fn dead(judgement: &Judgement) -> Health {
    let health = suspected(judgement);
    assert_eq!(health.handle_timeout(judgement, at(60)), Some(Standing::Dead));
    health
}

#[test]
fn one_that_answers_nothing_is_suspected_and_then_dead() {
    let health = Health::new();
    assert_eq!(health.standing(&PROBED, at(0)), Standing::Alive);
    assert_eq!(health.next_deadline(&PROBED, at(0)), None);
    assert_eq!(health.note_no_answer(&PROBED, at(0), at(20)), Some(Standing::Zombie));
    assert_eq!(health.note_no_answer(&PROBED, at(1), at(21)), None, "it is told once");
    assert_eq!(health.standing(&PROBED, at(59)), Standing::Zombie);
    assert_eq!(health.standing(&PROBED, at(60)), Standing::Dead, "whether or not that was noted");
    assert_eq!(health.handle_timeout(&PROBED, at(59)), None);
    assert_eq!(health.handle_timeout(&PROBED, at(61)), Some(Standing::Dead));
    assert_eq!(health.handle_timeout(&PROBED, at(61)), None);
}

// checklist 69: any reply that verifies counts
#[test]
fn one_that_answers_anything_since_is_not_suspected() {
    let health = Health::new();
    health.note_reply(&PROBED, at(19));
    // A realm behind it is dead, another is not.
    for second in 0..1000 {
        assert_eq!(health.note_no_answer(&PROBED, at(second), at(second + 20)), None);
        assert_eq!(health.note_reply(&PROBED, at(second + 20)), None);
    }
    assert_eq!(health.standing(&PROBED, at(1020)), Standing::Alive);
}

#[test]
fn a_reply_in_the_very_instant_in_which_the_request_was_sent_counts() {
    let health = Health::new();
    health.note_reply(&PROBED, at(0));
    assert_eq!(health.note_no_answer(&PROBED, at(0), at(20)), None);
    assert_eq!(health.note_no_answer(&PROBED, at(1), at(21)), Some(Standing::Zombie));
}

#[test]
fn one_reply_ends_a_suspicion() {
    let health = suspected(&PROBED);
    assert_eq!(health.note_reply(&PROBED, at(30)), Some(Standing::Alive));
    assert_eq!(health.note_no_answer(&PROBED, at(15), at(35)), None);
    assert_eq!(health.standing(&PROBED, at(1000)), Standing::Alive);
}

#[test]
fn a_suspected_server_is_asked_at_once_and_then_in_each_interval() {
    let health = suspected(&PROBED);
    assert!(health.next_deadline(&PROBED, at(20)) <= Some(at(20)));
    let claims: Vec<_> = (20..150).filter(|second| health.claim_probe(&PROBED, at(*second))).collect();
    assert_eq!(claims, [20, 50, 80, 110, 140]);
    assert_eq!(health.handle_timeout(&PROBED, at(150)), None, "the claim at 80 s has noted that it is dead");
    assert_eq!(health.next_deadline(&PROBED, at(150)), Some(at(170)));
    assert!(!suspected(&NOT_PROBED).claim_probe(&NOT_PROBED, at(20)));
    assert!(!Health::new().claim_probe(&PROBED, at(20)));
}

#[test]
fn a_dead_server_lives_after_three_probes_in_a_row_were_answered() {
    let health = dead(&PROBED);
    let answered = |second| {
        assert!(health.claim_probe(&PROBED, at(second)));
        health.note_reply(&PROBED, at(second + 1))
    };
    assert_eq!([answered(100), answered(130)], [None, None]);
    // The third is lost: counting begins anew.
    assert!(health.claim_probe(&PROBED, at(160)));
    assert_eq!([answered(190), answered(220)], [None, None]);
    assert_eq!(health.standing(&PROBED, at(222)), Standing::Dead);
    assert_eq!(answered(250), Some(Standing::Alive));
    assert!(!health.claim_probe(&PROBED, at(280)));
}

#[test]
fn a_burst_of_late_replies_revives_no_dead_server() {
    let health = dead(&PROBED);
    assert!((0..100).all(|_| health.note_reply(&PROBED, at(70)).is_none()));
    assert!(health.claim_probe(&PROBED, at(71)));
    assert!((0..100).all(|_| health.note_reply(&PROBED, at(72)).is_none()));
    assert_eq!(health.standing(&PROBED, at(73)), Standing::Dead);
}

#[test]
fn one_that_cannot_be_asked_is_tried_again_by_a_few_requests() {
    let health = dead(&NOT_PROBED);
    assert_eq!(health.next_deadline(&NOT_PROBED, at(60)), Some(at(180)));
    assert_eq!(health.standing(&NOT_PROBED, at(179)), Standing::Dead);
    assert!(!health.claim_trial(&NOT_PROBED, at(179)));
    assert_eq!(health.standing(&NOT_PROBED, at(180)), Standing::HalfOpen);
    let trials: Vec<_> = (180..200).filter(|second| health.claim_trial(&NOT_PROBED, at(*second))).collect();
    assert_eq!(trials, [180, 185, 190, 195]);
    // One from before says nothing about it, one that tried it does.
    assert_eq!(health.note_no_answer(&NOT_PROBED, at(179), at(199)), Some(Standing::HalfOpen));
    assert_eq!(health.note_no_answer(&NOT_PROBED, at(180), at(200)), Some(Standing::Dead));
    assert_eq!(health.standing(&NOT_PROBED, at(319)), Standing::Dead);
    assert_eq!(health.handle_timeout(&NOT_PROBED, at(320)), Some(Standing::HalfOpen));
    assert!(health.claim_trial(&NOT_PROBED, at(320)));
    assert_eq!(health.note_reply(&NOT_PROBED, at(321)), Some(Standing::Alive));
    assert_eq!(health.note_no_answer(&NOT_PROBED, at(320), at(340)), None);
}

#[test]
fn a_late_reply_of_one_that_cannot_be_asked_has_it_tried_at_once() {
    let health = dead(&NOT_PROBED);
    assert_eq!(health.note_reply(&NOT_PROBED, at(70)), Some(Standing::HalfOpen));
    assert!(health.claim_trial(&NOT_PROBED, at(70)));
}

#[test]
fn threads_that_race_claim_one_probe_and_are_told_once() {
    let health = Arc::new(Health::new());
    for round in 0..200 {
        let start = at(1000 * round + 100);
        let barrier = Arc::new(std::sync::Barrier::new(4));
        let worker = || {
            let (health, barrier) = (Arc::clone(&health), Arc::clone(&barrier));
            std::thread::spawn(move || {
                barrier.wait();
                let died = health.note_no_answer(&PROBED, start, start + PROBED.response_window);
                let is_claimed = health.claim_probe(&PROBED, start + PROBED.response_window);
                barrier.wait();
                let revived = health.note_reply(&PROBED, start + Duration::from_secs(30));
                [died.is_some(), is_claimed, revived.is_some()].map(u32::from)
            })
        };
        let workers: Vec<_> = (0..4).map(|_| worker()).collect();
        let told = workers.into_iter().map(|worker| worker.join().expect("no worker panics"));
        assert_eq!(told.fold([0; 3], |sum, one| core::array::from_fn(|i| sum[i] + one[i])), [1, 1, 1]);
    }
}

/// The same in one thread, as a log of what has happened that is searched anew each time.
struct Log {
    judgement: Judgement,
    now: u64,
    replies: Vec<u64>,
    standing: Standing,
    since: u64,
    /// Probes since it died, or the last before: when claimed, and whether a reply came before the next.
    probes: Vec<(u64, bool)>,
    claimed: Option<u64>,
}

impl Log {
    fn pass(&mut self, to: u64) {
        self.now = to;
        if self.standing == Standing::Zombie && self.now - self.since >= 40 {
            (self.standing, self.since) = (Standing::Dead, self.since + 40);
            self.probes.iter_mut().for_each(|(_, is_answered)| *is_answered = false);
        }
        let is_probed = self.judgement.status_check == StatusCheck::StatusServer;
        if self.standing == Standing::Dead && !is_probed && self.now - self.since >= 120 {
            (self.standing, self.since) = (Standing::HalfOpen, self.since + 120);
        }
    }

    fn turn(&mut self, standing: Standing) {
        (self.standing, self.since) = (standing, self.now);
        self.probes.clear();
    }

    fn reply(&mut self) {
        self.replies.push(self.now);
        match (self.standing, self.judgement.status_check) {
            (Standing::Alive, _) => {}
            (Standing::Zombie | Standing::HalfOpen, _) => self.turn(Standing::Alive),
            (Standing::Dead, StatusCheck::None) => self.turn(Standing::HalfOpen),
            (Standing::Dead, StatusCheck::StatusServer) => {
                if let Some((_, is_answered)) = self.probes.last_mut() {
                    *is_answered = true;
                }
                if self.probes.len() >= 3
                    && self.probes.iter().rev().take(3).all(|(_, is_answered)| *is_answered)
                {
                    self.turn(Standing::Alive);
                }
            }
        }
    }

    fn no_answer(&mut self, sent_at: u64) {
        let is_refuted = self.replies.iter().any(|reply| *reply >= sent_at);
        match self.standing {
            Standing::Alive if !is_refuted => self.turn(Standing::Zombie),
            Standing::HalfOpen if sent_at >= self.since => self.turn(Standing::Dead),
            Standing::Alive | Standing::HalfOpen | Standing::Zombie | Standing::Dead => {}
        }
    }

    fn claim(&mut self, standing: &[Standing], interval: u64) -> bool {
        let is_due = self.claimed.is_none_or(|claimed| self.now >= claimed + interval);
        let is_claimed = standing.contains(&self.standing) && is_due;
        if is_claimed {
            self.claimed = Some(self.now);
            self.probes.push((self.now, false));
        }
        is_claimed
    }
}

proptest! {
    #[test]
    fn behaves_like_a_log_that_is_searched(
        is_probed in any::<bool>(),
        steps in proptest::collection::vec((0u8..4, 0u64..50, 0u64..60), 0..300),
    ) {
        let judgement = if is_probed { PROBED } else { NOT_PROBED };
        let health = Health::new();
        let mut log = Log {
            judgement, now: 0, replies: Vec::new(), standing: Standing::Alive, since: 0, probes: Vec::new(), claimed: None,
        };
        for (step, passed, ago) in steps {
            log.pass(log.now + passed);
            let now = at(log.now);
            let was = health.load().standing();
            let told = match step {
                0 => { log.reply(); health.note_reply(&judgement, now) }
                1 => {
                    let sent_at = log.now.saturating_sub(ago);
                    log.no_answer(sent_at);
                    health.note_no_answer(&judgement, at(sent_at), now)
                }
                2 if is_probed => {
                    prop_assert_eq!(health.claim_probe(&judgement, now), log.claim(&[Standing::Zombie, Standing::Dead], 30));
                    None
                }
                2 => {
                    prop_assert_eq!(health.claim_trial(&judgement, now), log.claim(&[Standing::HalfOpen], 5));
                    None
                }
                _ => health.handle_timeout(&judgement, now),
            };
            prop_assert_eq!(health.standing(&judgement, now), log.standing);
            if step != 2 {
                prop_assert_eq!(told, (was != log.standing).then_some(log.standing));
            }
        }
    }

    #[test]
    fn a_state_is_what_its_word_says(time in 0u64..1 << 59, answers in 0u8..4, is_asked in any::<bool>()) {
        for state in [
            State::Alive { heard: time },
            State::Zombie { since: time, is_asked },
            State::Dead { since: time, answers, is_asked },
            State::HalfOpen { since: time },
        ] {
            prop_assert_eq!(State::of(state.word()), state);
        }
    }
}
