use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use ulna_core::accounting::{Line, Lines, Operation, SpoolLine as Said, SpoolName, SpoolRecord};
use ulna_core::effect::RecordBatch;
use ulna_core::life::Life;
use ulna_core::time::UnixTime;

/// Long enough that a test which needs it has failed.
const PATIENCE: Duration = Duration::from_secs(20);
const SETTINGS: SpoolSettings =
    SpoolSettings { octets_max: 65_536, outstanding_max: 2, line_octets_max: 10_000 };

/// A disk of one file, which can be held up in a sync and fails on demand.
struct Fixture {
    line: Arc<SpoolLine>,
    counters: Arc<SpoolCounters>,
    fails: Arc<AtomicBool>,
    hold: Arc<Mutex<()>>,
    syncing: Receiver<()>,
    file: Arc<Mutex<Vec<u8>>>,
    answers: Receiver<(Ticket, EffectDone)>,
    news: Receiver<SpoolNews>,
    thread: Option<JoinHandle<()>>,
}

impl Fixture {
    /// With this in the file.
    fn new(octets: Vec<u8>) -> Fixture {
        let key = Arc::new(Secret::new(b"a key").expect("it has octets"));
        let line = Arc::new(SpoolLine::new(SETTINGS.line_octets_max, Arc::clone(&key)));
        let counters = Arc::<SpoolCounters>::default();
        let (fails, hold) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(())));
        let file = Arc::new(Mutex::new(octets));
        let ((tell, news), (sync, syncing), (answer, answers)) = (channel(), channel(), channel());
        let perform: PerformSpool = {
            let (fails, hold, file) = (Arc::clone(&fails), Arc::clone(&hold), Arc::clone(&file));
            let mut opened = false;
            Box::new(move |operation| {
                let mut octets = file.lock().expect("nobody panics");
                match operation {
                    SpoolOperation::File(Operation::Open) => {
                        let is_same = std::mem::replace(&mut opened, true);
                        let octets = octets.len() as u64;
                        return Ok(Performed::Opened { octets, modified: UnixTime(0), is_same });
                    }
                    SpoolOperation::File(Operation::Sync) => {
                        drop(octets);
                        let _ = sync.send(());
                        drop(hold.lock());
                        if fails.load(Ordering::SeqCst) {
                            return Err("full".into());
                        }
                    }
                    SpoolOperation::File(Operation::Append(more)) => octets.extend_from_slice(more),
                    SpoolOperation::File(Operation::Truncate(length)) => octets.truncate(length as usize),
                    SpoolOperation::File(Operation::Read { from })
                    | SpoolOperation::Read { file: ulna_core::accounting::SpoolFile::Newest, from } => {
                        return Ok(Performed::Read(octets[from as usize..].to_vec()));
                    }
                    SpoolOperation::Read { file: ulna_core::accounting::SpoolFile::Old, .. } => {
                        return Ok(Performed::Read(Vec::new()));
                    }
                    SpoolOperation::File(Operation::Keep(_)) => {}
                    SpoolOperation::File(Operation::SetAside(_)) | SpoolOperation::RemoveOld => {
                        panic!("the file is short")
                    }
                }
                Ok(Performed::Done)
            })
        };
        let store = SpoolStore { perform, key, tell: Box::new(move |news| drop(tell.send(news))) };
        let (its_line, its_counters) = (Arc::clone(&line), Arc::clone(&counters));
        let thread = SpoolThread::open(SETTINGS, store, its_line, its_counters, Clock::start());
        let thread = thread.expect("it opens");
        syncing.recv_timeout(PATIENCE).expect("that of the opening");
        let thread = std::thread::spawn(move || {
            thread.run(|_, ticket, done| drop(answer.send((ticket, done))));
        });
        Fixture { line, counters, fails, hold, syncing, file, answers, news, thread: Some(thread) }
    }

    fn ask(&self, place: u32, records: std::ops::Range<u8>) -> Result<(), StoreJob> {
        let batch = RecordBatch { records: records.len(), octets: lines(records) };
        self.line.ask(StoreJob { worker: 3, ticket: ticket(place), batch })
    }

    fn answer(&self) -> (u32, EffectDone) {
        let (ticket, done) = self.answers.recv_timeout(PATIENCE).expect("an answer comes");
        (ticket.place, done)
    }

    /// Of a batch: its place, and what has become of it.
    fn stored(&self) -> (u32, Result<(), NotSpooled>) {
        let (place, EffectDone::Spooled { result, .. }) = self.answer() else {
            panic!("a record is handed out instead")
        };
        (place, result)
    }

    /// The next record that is handed out.
    fn lent(&self) -> SpoolName {
        let (7_000, EffectDone::ToBeSent(spooled)) = self.answer() else {
            panic!("a batch is answered instead")
        };
        spooled.name
    }

    fn begin(&self) {
        self.line.tell(usize::from(SPOOL_SENDER.0), ticket(7_000), Relay::Begin);
    }

    /// It ends. What the file has then: names of records, and of those that were answered.
    fn end(&mut self) -> [Vec<SpoolName>; 2] {
        self.line.end();
        self.thread.take().expect("it runs").join().expect("it ends");
        let octets = self.file.lock().expect("nobody panics");
        let (mut records, mut answered) = (Vec::new(), Vec::new());
        for line in Lines::of(&octets) {
            let Line::Whole(line) = line else { panic!("{line:?}") };
            match Said::parse(line).expect("a line of a spool") {
                Said::Record { spooled, .. } => records.push(spooled.name),
                Said::Answered(name) => answered.push(name),
            }
        }
        [records, answered]
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.line.end();
            let _ = thread.join();
        }
    }
}

fn ticket(place: u32) -> Ticket {
    Ticket { place, generation: 0, life: Life::default() }
}

fn name(number: u8) -> SpoolName {
    SpoolName([number; 16])
}

fn lines(numbers: std::ops::Range<u8>) -> Vec<u8> {
    lines_for("far", numbers)
}

fn lines_for(pool: &str, numbers: std::ops::Range<u8>) -> Vec<u8> {
    let mut lines = Vec::new();
    for number in numbers {
        // Each of a session of its own.
        let packet = [&[4, 0, 0, 24][..], &[number; 16], &[44, 4, number, b'x']].concat();
        let (client, digest) = ("branch", [number; 16]);
        SpoolRecord { received: UnixTime(1), pool, client, digest, packet: &packet }.write(&mut lines);
    }
    lines
}

#[test]
fn a_batch_is_answered_when_it_is_synced_and_its_records_are_handed_to_the_sender() {
    let mut fixture = Fixture::new(Vec::new());
    let held = fixture.hold.lock().expect("nobody panics");
    fixture.ask(0, 0..2).ok().expect("there is room");
    fixture.syncing.recv_timeout(PATIENCE).expect("it is being synced");
    fixture.begin();
    // Another worker sends nothing.
    fixture.line.tell(5, ticket(8_000), Relay::Begin);
    fixture.ask(1, 2..4).ok().expect("there is room");
    assert!(fixture.answers.try_recv().is_err(), "nothing is answered, or sent, before it is synced");
    drop(held);
    assert_eq!([fixture.stored(), fixture.stored()], [(0, Ok(())), (1, Ok(()))]);
    assert_eq!([fixture.lent(), fixture.lent()], [name(0), name(1)]);
    fixture.line.tell(0, ticket(7_000), Relay::Answered(vec![name(0)]));
    assert_eq!(fixture.lent(), name(2), "two of a pool at a time");
    // One that is never answered gives its place to the next.
    let put_back = Relay::Unanswered { name: name(1), may_be_overtaken: true };
    fixture.line.tell(0, ticket(7_000), put_back);
    assert_eq!(fixture.lent(), name(3));
    fixture.line.tell(0, ticket(7_000), Relay::Answered(vec![name(2)]));
    assert_eq!(fixture.lent(), name(1), "in its turn");
    // What was answered just before the end is known after it.
    assert_eq!(fixture.end(), [(0..4).map(name).collect::<Vec<_>>(), vec![name(0), name(2)]]);
    assert_eq!((fixture.counters.records.value(), fixture.counters.groups.value()), (2, 3));
}

#[test]
fn what_lies_in_the_file_is_handed_out_at_the_start_in_order() {
    let mut octets = lines(0..5);
    Said::write_answered(name(1), &mut octets);
    let torn = lines(9..10);
    octets.extend_from_slice(&torn[..torn.len() - 1]);
    let fixture = Fixture::new(octets);
    let news = [fixture.news.recv_timeout(PATIENCE), fixture.news.recv_timeout(PATIENCE)];
    let damaged = SpoolNews::Store(StoreNews::Damaged(torn.len() - 1));
    assert_eq!(news, [Ok(damaged), Ok(SpoolNews::Loaded(Loaded { records: 4, damaged: 0 }))]);
    assert_eq!(fixture.counters.records.value(), 4);
    fixture.begin();
    assert_eq!([fixture.lent(), fixture.lent()], [name(0), name(2)]);
    // Its successor gets the same.
    fixture.begin();
    assert_eq!([fixture.lent(), fixture.lent()], [name(0), name(2)]);
}

#[test]
fn lines_and_the_spool_are_bounded() {
    let fixture = Fixture::new(Vec::new());
    let held = fixture.hold.lock().expect("nobody panics");
    fixture.ask(0, 0..1).ok().expect("there is room");
    fixture.syncing.recv_timeout(PATIENCE).expect("it is being synced");
    fixture.ask(1, 1..41).ok().expect("an empty line takes any");
    assert_eq!(fixture.ask(2, 41..81).expect_err("10 000 octets may wait").ticket.place, 2);
    drop(held);
    assert_eq!([fixture.stored(), fixture.stored()], [(0, Ok(())), (1, Ok(()))]);
    let mut from = 41;
    let refused = loop {
        fixture.ask(u32::from(from), from..from + 40).ok().expect("the line is empty");
        match fixture.stored() {
            (_, Ok(())) => from += 40,
            (_, Err(why)) => break why,
        }
        if from > 200 {
            break NotSpooled::Failed;
        }
    };
    // 65 536 octets are more than 255 such records; so what is refused is refused for being too many at once.
    assert_eq!((refused, fixture.counters.records.value()), (NotSpooled::Failed, u64::from(from)));
    let big: Vec<u8> = (0..8).flat_map(|pool| lines_for(&format!("pool {pool}"), 0..40)).collect();
    assert!(big.len() > SETTINGS.octets_max - fixture.counters.octets.value() as usize);
    let batch = RecordBatch { records: 320, octets: big };
    fixture.line.ask(StoreJob { worker: 3, ticket: ticket(1), batch }).ok().expect("the line is empty");
    assert_eq!(fixture.stored(), (1, Err(NotSpooled::Full)));
    // What is there already needs no room.
    let again = (0..8).flat_map(|_| lines(0..40)).collect();
    let batch = RecordBatch { records: 320, octets: again };
    fixture.line.ask(StoreJob { worker: 3, ticket: ticket(2), batch }).ok().expect("the line is empty");
    assert_eq!(fixture.stored(), (2, Ok(())));
}

#[test]
fn a_disk_that_fails_is_told_of_once_and_answers_no_until_it_is_there_again() {
    let fixture = Fixture::new(Vec::new());
    let loaded = fixture.news.recv_timeout(PATIENCE);
    assert_eq!(loaded, Ok(SpoolNews::Loaded(Loaded { records: 0, damaged: 0 })));
    fixture.fails.store(true, Ordering::SeqCst);
    for place in 0..5 {
        fixture.ask(place, 0..1).ok().expect("there is room");
        assert_eq!(fixture.stored(), (place, Err(NotSpooled::Failed)));
    }
    assert_eq!((fixture.counters.failing.value(), fixture.counters.records.value()), (1, 0));
    fixture.fails.store(false, Ordering::SeqCst);
    let mut place = 5;
    while !{
        fixture.ask(place, 0..1).ok().expect("there is room");
        fixture.stored().1.is_ok()
    } {
        place += 1;
        std::thread::yield_now();
    }
    let news: Vec<_> = [fixture.news.recv_timeout(PATIENCE), fixture.news.recv_timeout(PATIENCE)].into();
    let expected = [StoreNews::Failing("full".into()), StoreNews::Recovered].map(SpoolNews::Store);
    assert_eq!(news, expected.map(Ok));
    assert_eq!((fixture.counters.failing.value(), fixture.counters.records.value()), (0, 1));
}
