//! The spool on a disk that fails and a machine that dies at any operation: what was acknowledged is sent until it has been
//! answered, and what has been answered is not sent again after a clean stop. RFC 2866 §4.1.

mod support {
    pub mod spool_disk;
}

use proptest::prelude::*;
use std::collections::BTreeSet;
use support::spool_disk::SpoolDisk;
use ulna_core::Instant;
use ulna_core::accounting::{
    Loaded, NotAdded, Spool, SpoolName, SpoolOperation, SpoolRecord, Stored, Troubled,
};
use ulna_core::configuration::SpoolSettings;
use ulna_core::time::UnixTime;

const SETTINGS: SpoolSettings =
    SpoolSettings { octets_max: 65_536, outstanding_max: 4, line_octets_max: 65_536 };

/// A record of this number, in one of a few sessions, for one of two pools.
fn record(number: u32) -> (SpoolName, Vec<u8>) {
    let mut name = [0; 16];
    name[..4].copy_from_slice(&number.to_be_bytes());
    let mut packet = vec![4, 0, 0, 0];
    packet.extend_from_slice(&name);
    packet.extend_from_slice(&[44, 3, b'a' + (number % 5) as u8]);
    packet.extend((0..number % 3).flat_map(|_| [&[25, 252][..], &[7; 250]].concat()));
    let length = (packet.len() as u16).to_be_bytes();
    packet[2..4].copy_from_slice(&length);
    let mut digest = [0; 16];
    digest[..4].copy_from_slice(&number.to_be_bytes());
    let pool = if number.is_multiple_of(2) { "even" } else { "odd" };
    let mut line = Vec::new();
    // The clock on the wall goes back: the order is not its to say.
    let received = UnixTime(10_000 - u64::from(number) / 7);
    SpoolRecord { received, pool, client: "branch", digest, packet: &packet }.write(&mut line);
    (SpoolName(name), line)
}

fn number(name: SpoolName) -> u32 {
    u32::from_be_bytes(*name.0.first_chunk().expect("it has four octets"))
}

/// A machine with a spool, and what is known outside of it.
struct Machine {
    disk: SpoolDisk,
    spool: Spool,
    now: Instant,
    next: u32,
    /// Acknowledged and not answered.
    acknowledged: BTreeSet<SpoolName>,
    /// Written, or perhaps not: nobody knows until the files are read again.
    doubtful: BTreeSet<SpoolName>,
    /// Answered, and nobody has heard that this is written.
    answered: BTreeSet<SpoolName>,
    /// The same, written.
    over: BTreeSet<SpoolName>,
    lent: Vec<SpoolName>,
    /// After so many operations the machine dies: before the next, or after it and before anybody hears of it.
    dies: Option<(usize, bool)>,
}

/// It has died.
struct Died;

impl Machine {
    fn new() -> Machine {
        let mut machine = Machine {
            disk: SpoolDisk::default(),
            spool: Spool::new(SETTINGS),
            now: Instant::ORIGIN,
            next: 0,
            acknowledged: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            answered: BTreeSet::new(),
            over: BTreeSet::new(),
            lent: Vec::new(),
            dies: None,
        };
        // Shorter than many a line.
        machine.disk.piece_octets = 700;
        machine.open();
        machine
    }

    fn time(&self) -> UnixTime {
        UnixTime(2_000)
    }

    fn open(&mut self) {
        self.spool = Spool::new(SETTINGS);
        let mut found = None;
        while let Some(operation) = self.spool.poll_operation(UnixTime(2_000)) {
            let performed = self.disk.perform(&operation);
            let loaded = self.spool.handle_performed(performed, self.now, UnixTime(2_000));
            found = found.or(loaded);
        }
        assert_eq!(found.map(|Loaded { damaged, .. }| damaged), Some(0), "the torn line is cut off before");
        self.spool.begin_sending();
        self.lent.clear();
    }

    fn drive(&mut self) -> Result<(), Died> {
        while let Some(operation) = self.spool.poll_operation(self.time()) {
            let last = self.dies.map(|(left, after)| (left == 0, after));
            if let Some((true, false)) = last {
                return Err(Died);
            }
            let performed = self.disk.perform(&operation);
            if let Some((true, true)) = last {
                return Err(Died);
            }
            if let Some((left, _)) = &mut self.dies {
                *left -= 1;
            }
            let is_removal = operation == SpoolOperation::RemoveOld;
            self.spool.handle_performed(performed, self.now, self.time());
            assert!(!is_removal || !self.disk.has_old());
        }
        Ok(())
    }

    fn add(&mut self, records: u32) -> Result<(), Died> {
        let mut names = Vec::new();
        let mut batch = Vec::new();
        for _ in 0..records {
            let (name, line) = record(self.next);
            self.next += 1;
            names.push(name);
            batch.extend_from_slice(&line);
        }
        if self.spool.add(&batch) == Err(NotAdded::Full) {
            return Ok(());
        }
        self.doubtful.extend(&names);
        if self.store()? == Some(Stored::Safe) {
            self.acknowledged.extend(&names);
        }
        for name in names {
            self.doubtful.remove(&name);
        }
        Ok(())
    }

    fn store(&mut self) -> Result<Option<Stored>, Died> {
        self.spool.store(self.now, self.time());
        self.spool.handle_timeout(self.now, self.time());
        self.drive()?;
        let stored = self.spool.poll_stored(self.now);
        self.drive()?;
        if !self.spool.has_unwritten() {
            self.over.append(&mut self.answered);
        }
        Ok(stored)
    }

    /// Takes what is handed out, and has some of it answered.
    fn send(&mut self, answers: usize) {
        while let Some(spooled) = self.spool.poll_record() {
            assert!(!self.over.contains(&spooled.name), "{:?} was answered, and is sent again", spooled.name);
            // One of five sessions, of one of two pools.
            let this = number(spooled.name);
            let is_before = |other: &&SpoolName| number(**other) < this && number(**other) % 10 == this % 10;
            let before = self.acknowledged.iter().find(is_before);
            assert_eq!(before, None, "it came before {this} of its session, and is sent later");
            self.lent.push(spooled.name);
        }
        assert!(self.lent.len() <= 8, "four of each pool");
        for _ in 0..answers.min(self.lent.len()) {
            let name = self.lent.remove(0);
            self.spool.note_answered(&[name], self.now);
            self.acknowledged.remove(&name);
            self.answered.insert(name);
        }
    }

    /// What is under way was sent often and not answered: it gets its turn again.
    fn put_back(&mut self) {
        for name in std::mem::take(&mut self.lent) {
            self.spool.put_back(name, false);
        }
    }

    fn die(&mut self, torn_at: usize) {
        self.dies = None;
        self.disk.crash(torn_at);
        self.open();
        // What was not known to be written may be sent again: it is neither lost nor forbidden.
        self.answered.clear();
    }

    fn check(&self) {
        assert!(self.spool.records() >= self.acknowledged.len());
        assert!(self.disk.octets() <= 6 * 65_536, "{} octets on disk", self.disk.octets());
    }

    /// Everything is sent and answered: all that was acknowledged comes, and nothing that was over.
    fn finish(&mut self) {
        self.disk.fails = false;
        self.now += std::time::Duration::from_secs(60);
        let mut rounds = 0;
        while self.spool.records() > 0 || self.spool.has_unwritten() {
            self.send(usize::MAX);
            assert!(self.store().is_ok());
            rounds += 1;
            assert!(rounds < 10_000, "{} are never handed out", self.spool.records());
        }
        assert!(self.acknowledged.is_empty(), "lost: {:?}", self.acknowledged);
        self.disk.crash(0);
        self.open();
        assert_eq!(self.spool.records(), 0, "after a clean stop nothing is sent again");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Add(u32),
    Store,
    Send(usize),
    PutBack,
    Fail(bool),
    Die { torn_at: usize },
    DieLater { operations: usize, after: bool, torn_at: usize },
    Pass,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1u32..12).prop_map(Step::Add),
        3 => Just(Step::Store),
        6 => (0usize..12).prop_map(Step::Send),
        1 => Just(Step::PutBack),
        1 => any::<bool>().prop_map(Step::Fail),
        1 => (0usize..2_000).prop_map(|torn_at| Step::Die { torn_at }),
        2 => (0usize..8, any::<bool>(), 0usize..2_000)
            .prop_map(|(operations, after, torn_at)| Step::DieLater { operations, after, torn_at }),
        1 => Just(Step::Pass),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    // checklist 12
    #[test]
    fn what_was_acknowledged_is_sent_until_it_is_answered(steps in steps()) {
        let mut machine = Machine::new();
        let mut torn_later = 0;
        for step in steps {
            let lives = match step {
                Step::Add(records) => machine.add(records),
                Step::Store => machine.store().map(drop),
                Step::Send(answers) => {
                    machine.send(answers);
                    Ok(())
                }
                Step::PutBack => {
                    machine.put_back();
                    Ok(())
                }
                Step::Fail(fails) => {
                    machine.disk.fails = fails;
                    Ok(())
                }
                Step::Die { torn_at } => {
                    machine.disk.fails = false;
                    machine.die(torn_at);
                    Ok(())
                }
                Step::DieLater { operations, after, torn_at } => {
                    machine.dies = Some((operations, after));
                    torn_later = torn_at;
                    Ok(())
                }
                Step::Pass => {
                    machine.now += std::time::Duration::from_secs(10);
                    Ok(())
                }
            };
            if let Err(Died) = lives {
                machine.disk.fails = false;
                machine.die(torn_later);
            }
            machine.check();
        }
        machine.dies = None;
        machine.finish();
    }
}

#[test]
fn files_are_begun_anew_however_much_comes_and_goes() {
    let mut machine = Machine::new();
    for _ in 0..2_000 {
        assert!(machine.add(3).is_ok());
        machine.send(4);
        machine.check();
    }
    assert!(machine.disk.set_aside > 20, "{}", machine.disk.set_aside);
    machine.finish();
}

#[test]
fn a_record_that_waits_for_ever_is_copied_from_file_to_file() {
    let mut machine = Machine::new();
    assert!(machine.add(1).is_ok());
    while machine.spool.poll_record().is_some() {}
    let stays = *machine.acknowledged.first().expect("it was acknowledged");
    for _ in 0..3_000 {
        assert!(machine.add(1).is_ok());
        while let Some(spooled) = machine.spool.poll_record() {
            machine.spool.note_answered(&[spooled.name], machine.now);
            machine.acknowledged.remove(&spooled.name);
        }
    }
    // Those of its session wait behind it.
    machine.die(0);
    assert!(machine.acknowledged.contains(&stays));
    machine.check();
    machine.finish();
}

#[test]
fn it_takes_no_more_than_it_may_and_again_when_there_is_room() {
    let mut spool = Machine::new();
    while spool.spool.add(&record(spool.next).1) == Ok(()) {
        assert!(spool.add(0).is_ok());
        spool.next += 1;
    }
    assert_eq!(spool.spool.add(&record(spool.next).1), Err(NotAdded::Full));
    assert!(spool.spool.octets() <= 65_536);
    let before = spool.spool.records();
    while let Some(spooled) = spool.spool.poll_record() {
        spool.spool.note_answered(&[spooled.name], spool.now);
    }
    assert!(spool.spool.records() < before);
    assert_eq!(spool.spool.add(&record(spool.next).1), Ok(()));
}

#[test]
fn a_second_record_of_an_event_is_not_written_while_the_first_is_there() {
    let mut machine = Machine::new();
    assert!(machine.add(1).is_ok());
    let (_, line) = record(0);
    // The same event under another name: its NAS has sent it again.
    let again = SpoolRecord {
        received: UnixTime(10_001),
        pool: "even",
        client: "branch",
        digest: [0; 16],
        packet: &[&[4, 0, 0, 23][..], &[9; 16], &[44, 3, b'a']].concat(),
    };
    let mut octets = Vec::new();
    again.write(&mut octets);
    assert_ne!(octets, line);
    assert_eq!(machine.spool.add(&octets), Ok(()));
    assert_eq!((machine.spool.records(), machine.spool.repeated()), (1, 1));
    machine.send(1);
    assert_eq!(machine.spool.add(&octets), Ok(()));
    assert_eq!((machine.spool.records(), machine.spool.repeated()), (1, 1), "the first has been answered");
}

#[test]
fn an_old_file_that_cannot_be_removed_is_no_reason_to_stop() {
    let mut spool = Spool::new(SETTINGS);
    let mut disk = SpoolDisk::default();
    let (now, time) = (Instant::ORIGIN, UnixTime(2_000));
    let mut refused = 0;
    let mut number = 0;
    let mut drive = |spool: &mut Spool, refused: &mut u32| {
        while let Some(operation) = spool.poll_operation(time) {
            let performed = if operation == SpoolOperation::RemoveOld {
                *refused += 1;
                Err(Troubled)
            } else {
                disk.perform(&operation)
            };
            spool.handle_performed(performed, now, time);
        }
    };
    drive(&mut spool, &mut refused);
    spool.begin_sending();
    for _ in 0..500 {
        assert_eq!(spool.add(&record(number).1), Ok(()));
        number += 1;
        spool.store(now, time);
        drive(&mut spool, &mut refused);
        assert_eq!(spool.poll_stored(now), Some(Stored::Safe));
        drive(&mut spool, &mut refused);
        while let Some(spooled) = spool.poll_record() {
            spool.note_answered(&[spooled.name], now);
        }
    }
    assert_eq!(refused, 1, "not again before some time has passed");
}

/// Fills the disk with what the spool may hold, and has all of it answered.
fn fill(machine: &mut Machine) {
    let mut answered = 0;
    while machine.add(3).is_ok() && !machine.spool.is_failing() {
        machine.send(usize::MAX);
        answered += 1;
        assert!(answered < 10_000, "it is soon full");
    }
    while machine.spool.records() > 0 {
        machine.send(usize::MAX);
    }
}

#[test]
fn a_disk_that_the_spool_has_filled_is_empty_when_all_has_been_answered() {
    for restarts in [false, true] {
        let mut machine = Machine::new();
        // Less than what makes it begin a file anew.
        machine.disk.room_octets = 12_000;
        fill(&mut machine);
        if restarts {
            machine.die(0);
        }
        let mut taken = 0;
        for _ in 0..20 {
            machine.send(usize::MAX);
            machine.now += std::time::Duration::from_secs(6);
            assert!(machine.add(3).is_ok());
            taken += usize::from(machine.spool.records() > 0);
        }
        assert!(taken >= 10, "it takes something {taken} times of 20");
        machine.disk.room_octets = 0;
        machine.finish();
    }
}

#[test]
fn what_is_there_already_is_taken_however_full_it_is() {
    let mut machine = Machine::new();
    while machine.spool.octets() + record(machine.next).1.len() <= 65_536 {
        assert!(machine.add(1).is_ok());
    }
    // One of the longest that there are.
    let records = machine.spool.records();
    assert_eq!(machine.spool.add(&record(2).1), Ok(()));
    assert_eq!((machine.spool.records(), machine.spool.repeated()), (records, 1));
}
