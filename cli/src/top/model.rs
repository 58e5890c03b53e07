//! From answers of a server to figures: rates are differences between two answers, divided by the time between them. Touches
//! neither socket nor screen.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The counters of one answer.
#[derive(Debug, Clone)]
pub struct Counters {
    at: Instant,
    values: BTreeMap<String, u64>,
}

/// What a thread has counted.
#[derive(Debug, Clone)]
pub struct Thread {
    pub name: String,
    pub counters: Counters,
}

/// A remote server: as one worker has it, or, among the figures, as all of them do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteServer {
    pub name: String,
    /// Where it is, if that is known.
    pub address: Option<String>,
    pub standing: String,
    /// Requests that wait for it.
    pub outstanding: u64,
    pub sockets: u64,
}

/// All answers of one moment.
#[derive(Debug, Clone)]
pub struct Round {
    pub statistics: Counters,
    /// In the server's order.
    pub threads: Vec<Thread>,
    /// By worker.
    pub remote_servers: Vec<RemoteServer>,
    /// There were more than are asked for.
    pub are_remote_servers_cut: bool,
}

/// A counter, and how fast it goes up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figure {
    /// `None`: this server has no such counter.
    pub value: Option<u64>,
    /// `None`: there is nothing to compare with, or it has gone down, and starts anew.
    pub per_second: Option<f64>,
}

/// The counters of two answers, compared.
#[derive(Debug, Clone, Default)]
pub struct Compared {
    figures: BTreeMap<String, Figure>,
}

/// A thread, and what it has counted.
#[derive(Debug, Clone)]
pub struct ThreadFigures {
    pub name: String,
    pub counters: Compared,
}

/// All that is shown.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// The time that the rates are over; `None`: there are none yet.
    pub over: Option<Duration>,
    pub counters: Compared,
    /// Bells rung for each packet that came; `None`: none has come, or nothing is known.
    pub signals_per_packet: Option<f64>,
    /// By reason: what moves fastest first, then what has happened most.
    pub discards: Vec<(String, Figure)>,
    /// In the server's order.
    pub threads: Vec<ThreadFigures>,
    /// Each once, in the server's order.
    pub remote_servers: Vec<RemoteServer>,
    /// There are more rows than were asked for: sums and list lack some.
    pub are_remote_servers_cut: bool,
}

/// The last two rounds.
#[derive(Debug, Default)]
pub struct Model {
    before: Option<Round>,
    now: Option<Round>,
}

impl Model {
    /// Takes the next answers of a server.
    pub fn handle_round(&mut self, round: Round) {
        self.before = self.now.replace(round);
    }

    /// Whoever answers next may be another server: its counters have nothing to do with these.
    pub fn handle_end(&mut self) {
        *self = Model::default();
    }

    /// What the answers come to.
    pub fn figures(&self) -> Figures {
        let Some(now) = &self.now else { return Figures::default() };
        let counters = compare(self.before.as_ref().map(|round| &round.statistics), &now.statistics);
        let threads = now.threads.iter().map(|thread| ThreadFigures {
            name: thread.name.clone(),
            counters: compare(self.thread_before(&thread.name).as_ref(), &thread.counters),
        });
        Figures {
            over: self.before.as_ref().map(|before| now.statistics.at - before.statistics.at),
            signals_per_packet: signals_per_packet(&counters),
            discards: counters.discards(),
            threads: threads.collect(),
            remote_servers: merged(&now.remote_servers),
            are_remote_servers_cut: now.are_remote_servers_cut,
            counters,
        }
    }

    /// A thread that was not there had counted nothing.
    fn thread_before(&self, name: &str) -> Option<Counters> {
        let threads = &self.before.as_ref()?.threads;
        let same = threads.iter().find(|thread| thread.name == name).map(|thread| thread.counters.clone());
        same.or_else(|| threads.first().map(|any| Counters::new(any.counters.at)))
    }
}

impl Counters {
    /// None yet, of an answer that was there at this moment.
    pub fn new(at: Instant) -> Counters {
        Counters { at, values: BTreeMap::new() }
    }

    /// One more.
    pub fn set(&mut self, name: String, value: u64) {
        self.values.insert(name, value);
    }

    /// What it is at.
    pub fn value(&self, name: &str) -> Option<u64> {
        self.values.get(name).copied()
    }
}

impl Compared {
    /// The figure of this name.
    pub fn of(&self, name: &str) -> Figure {
        self.figures.get(name).copied().unwrap_or_default()
    }

    /// Several that count the same kind of thing.
    pub fn sum(&self, names: &[&str]) -> Figure {
        sum(names.iter().map(|name| self.of(name)))
    }

    /// Packets that came: those that another thread has taken are not counted twice.
    pub fn packets(&self) -> Figure {
        let (received, taken) = (self.of("received"), self.of("strays_taken"));
        Figure {
            value: received.value.zip(taken.value).map(|(all, twice)| all.saturating_sub(twice)),
            per_second: received.per_second.zip(taken.per_second).map(|(all, twice)| (all - twice).max(0.0)),
        }
    }

    /// All that was discarded, whatever the reason.
    pub fn discarded(&self) -> Figure {
        let none = self.of("received").per_second.map(|_| 0.0);
        let all = self.figures.iter().filter(|(name, _)| name.starts_with(DISCARDED));
        // A server tells of a reason when there is one.
        sum(std::iter::once(Figure { value: Some(0), per_second: none })
            .chain(all.map(|(_, figure)| *figure)))
    }

    fn discards(&self) -> Vec<(String, Figure)> {
        let reasons = self.figures.iter().filter_map(|(name, figure)| {
            name.strip_prefix(DISCARDED).map(|reason| (reason.to_string(), *figure))
        });
        let mut reasons: Vec<_> = reasons.collect();
        let rate = |figure: &Figure| figure.per_second.unwrap_or_default();
        reasons.sort_by(|(_, a), (_, b)| rate(b).total_cmp(&rate(a)).then(b.value.cmp(&a.value)));
        reasons
    }
}

fn sum(figures: impl Iterator<Item = Figure>) -> Figure {
    let nothing = Figure { value: Some(0), per_second: Some(0.0) };
    figures.fold(nothing, |sum, figure| Figure {
        value: sum.value.zip(figure.value).map(|(a, b)| a.saturating_add(b)),
        per_second: sum.per_second.zip(figure.per_second).map(|(a, b)| a + b),
    })
}

fn compare(before: Option<&Counters>, now: &Counters) -> Compared {
    let figure = |(name, value): (&String, &u64)| {
        // What was not told of before had not happened.
        let per_second = before.and_then(|before| {
            let increase = value.checked_sub(before.value(name).unwrap_or_default())?;
            let span = now.at.checked_duration_since(before.at).filter(|span| !span.is_zero())?;
            Some(increase as f64 / span.as_secs_f64())
        });
        (name.clone(), Figure { value: Some(*value), per_second })
    };
    Compared { figures: now.values.iter().map(figure).collect() }
}

fn signals_per_packet(counters: &Compared) -> Option<f64> {
    let (bells, packets) = counters.of("ring_calls").per_second.zip(counters.packets().per_second)?;
    (packets > 0.0).then(|| bells / packets)
}

/// One row for each server out of those of its workers: what waits for it is summed up, what they do not agree about is all named.
fn merged(rows: &[RemoteServer]) -> Vec<RemoteServer> {
    let (mut merged, mut places) = (Vec::<RemoteServer>::new(), BTreeMap::new());
    for row in rows {
        let Some(&place) = places.get(&row.name) else {
            places.insert(&row.name, merged.len());
            merged.push(row.clone());
            continue;
        };
        let server = &mut merged[place];
        server.outstanding = server.outstanding.saturating_add(row.outstanding);
        server.sockets = server.sockets.saturating_add(row.sockets);
        add_word(&mut server.standing, &row.standing);
        match (&mut server.address, &row.address) {
            (Some(known), Some(address)) => add_word(known, address),
            (unknown @ None, address) => unknown.clone_from(address),
            (Some(_), None) => {}
        }
    }
    merged
}

fn add_word(words: &mut String, word: &str) {
    if !words.split(' ').any(|known| known == word) {
        words.push(' ');
        words.push_str(word);
    }
}

/// What stands before the reason, in a counter's name.
const DISCARDED: &str = "discarded ";

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn counters(at: Instant, values: &[(&str, u64)]) -> Counters {
        let mut counters = Counters::new(at);
        values.iter().for_each(|(name, value)| counters.set((*name).into(), *value));
        counters
    }

    fn round(at: Instant, values: &[(&str, u64)]) -> Round {
        Round {
            statistics: counters(at, values),
            threads: Vec::new(),
            remote_servers: Vec::new(),
            are_remote_servers_cut: false,
        }
    }

    fn model(rounds: impl IntoIterator<Item = Round>) -> Model {
        let mut model = Model::default();
        rounds.into_iter().for_each(|round| model.handle_round(round));
        model
    }

    fn after(seconds: f64) -> Instant {
        // Any origin will do, if it is always the same.
        static ORIGIN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        *ORIGIN + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_rate_is_the_difference_divided_by_the_time_that_has_really_gone_by() {
        let model = model([
            round(after(0.0), &[("answered", 90)]),
            round(after(1.0), &[("answered", 100)]),
            round(after(3.0), &[("answered", 200)]),
        ]);
        let figures = model.figures();
        assert_eq!(figures.over, Some(Duration::from_secs(2)));
        assert_eq!(figures.counters.of("answered"), Figure { value: Some(200), per_second: Some(50.0) });
    }

    #[test]
    fn the_first_answer_has_no_rates_and_what_a_server_does_not_count_has_none() {
        let figures = model([round(after(0.0), &[("answered", 90)])]).figures();
        assert_eq!(figures.counters.of("answered"), Figure { value: Some(90), per_second: None });
        assert_eq!(figures.counters.of("latency"), Figure { value: None, per_second: None });
        assert_eq!((figures.over, figures.signals_per_packet), (None, None));
    }

    #[test]
    fn a_counter_that_has_gone_down_starts_anew() {
        let mut model = model([
            round(after(0.0), &[("answered", 100), ("accepts", 1)]),
            round(after(1.0), &[("answered", 40), ("accepts", 2)]),
        ]);
        let figures = model.figures();
        assert_eq!(figures.counters.of("answered"), Figure { value: Some(40), per_second: None });
        assert_eq!(figures.counters.of("accepts").per_second, Some(1.0));
        model.handle_round(round(after(2.0), &[("answered", 45), ("accepts", 2)]));
        assert_eq!(model.figures().counters.of("answered").per_second, Some(5.0));
    }

    #[test]
    fn another_server_is_not_compared_with_the_one_that_is_gone() {
        let mut model = model([round(after(0.0), &[("answered", 100)])]);
        model.handle_end();
        model.handle_round(round(after(1.0), &[("answered", 500)]));
        assert_eq!(model.figures().counters.of("answered").per_second, None);
    }

    #[test]
    fn discards_that_move_fastest_come_first_then_those_that_are_most() {
        let model = model([
            round(
                after(0.0),
                &[
                    ("received", 0),
                    ("discarded too-old", 900),
                    ("discarded replayed", 1),
                    ("discarded no-route", 5),
                ],
            ),
            round(
                after(2.0),
                &[
                    ("received", 100),
                    ("discarded too-old", 900),
                    ("discarded replayed", 3),
                    ("discarded no-route", 5),
                    ("discarded unknown-client", 40),
                ],
            ),
        ]);
        let figures = model.figures();
        let reasons: Vec<_> =
            figures.discards.iter().map(|(reason, figure)| (&**reason, figure.per_second)).collect();
        // The first was not told of before, as there was none.
        assert_eq!(
            reasons,
            [
                ("unknown-client", Some(20.0)),
                ("replayed", Some(1.0)),
                ("too-old", Some(0.0)),
                ("no-route", Some(0.0))
            ]
        );
        assert_eq!(figures.counters.discarded(), Figure { value: Some(948), per_second: Some(21.0) });
    }

    #[test]
    fn a_packet_that_another_thread_has_taken_is_one() {
        let model = model([
            round(after(0.0), &[("received", 100), ("strays_taken", 10), ("ring_calls", 50)]),
            round(after(1.0), &[("received", 160), ("strays_taken", 30), ("ring_calls", 60)]),
        ]);
        let figures = model.figures();
        assert_eq!(figures.counters.packets(), Figure { value: Some(130), per_second: Some(40.0) });
        assert_eq!(figures.signals_per_packet, Some(0.25));
    }

    #[test]
    fn without_packets_there_are_no_signals_for_each() {
        let model = model([
            round(after(0.0), &[("received", 5), ("strays_taken", 0), ("ring_calls", 50)]),
            round(after(1.0), &[("received", 5), ("strays_taken", 0), ("ring_calls", 60)]),
        ]);
        assert_eq!(model.figures().signals_per_packet, None);
    }

    #[test]
    fn a_thread_that_was_hired_meanwhile_had_counted_nothing() {
        let thread =
            |name: &str, at, parks| Thread { name: name.into(), counters: counters(at, &[("parks", parks)]) };
        let with = |at, threads| Round { threads, ..round(at, &[]) };
        let model = model([
            with(after(0.0), vec![thread("worker-0", after(0.5), 10)]),
            with(after(1.0), vec![thread("worker-0", after(1.5), 12), thread("worker-1", after(1.5), 7)]),
        ]);
        let figures = model.figures();
        let parks = |place: usize| figures.threads[place].counters.of("parks").per_second;
        assert_eq!((parks(0), parks(1)), (Some(2.0), Some(7.0)));
    }

    #[test]
    fn a_remote_server_is_shown_once_with_all_that_its_workers_say() {
        let row = |name: &str, address: Option<&str>, standing: &str, outstanding| RemoteServer {
            name: name.into(),
            address: address.map(Into::into),
            standing: standing.into(),
            outstanding,
            sockets: 1,
        };
        let rows = [
            row("one", None, "alive", 2),
            row("two", Some("192.0.2.1:1812"), "alive", 0),
            row("one", Some("192.0.2.9:1812"), "dead", 3),
            row("two", Some("192.0.2.1:1812"), "alive", 1),
        ];
        let servers = Round { remote_servers: rows.to_vec(), ..round(after(0.0), &[]) };
        let mut expected = [
            row("one", Some("192.0.2.9:1812"), "alive dead", 5),
            row("two", Some("192.0.2.1:1812"), "alive", 1),
        ];
        expected.iter_mut().for_each(|server| server.sockets = 2);
        assert_eq!(model([servers]).figures().remote_servers, expected);
    }
}
