//! From figures to a frame: what is where, how numbers are written, and what is left out when there is no room. Touches no terminal.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Row, Table, Widget};
use ulna_config::durations;

use super::model::{Figure, Figures, ThreadFigures};

/// In which order threads and remote servers stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As the server has them.
    Given,
    /// Those with the most packets and requests, or that most waits for, first.
    BusiestFirst,
}

/// All that a frame shows.
pub struct View<'v> {
    pub socket: &'v str,
    pub interval: Duration,
    pub figures: &'v Figures,
    /// Why the server has not answered when it was asked last.
    pub silence: Option<&'v str>,
    pub is_paused: bool,
    pub order: Order,
    /// Whether there are keys to tell of.
    pub has_keys: bool,
}

/// Draws a frame. Tables that do not fit share what room there is.
pub fn draw(view: &View<'_>, area: Rect, buffer: &mut Buffer) {
    let (lists, tables) = (lists(view), tables(view, area.width));
    let gap = u16::from(area.height >= height_of_all(view, &lists, &tables));
    let head = 1 + u16::from(view.silence.is_some());
    let foot = u16::from(view.has_keys);
    let fixed = head + foot + lists.iter().map(|them| height_of_lists(them) + gap).sum::<u16>();
    let wanted: Vec<u16> = tables.iter().map(|table| table.height() + gap).collect();
    let granted = shares(area.height.saturating_sub(fixed), &wanted);

    let mut rest = area;
    let mut next = |height: u16| {
        let [part, below] = Layout::vertical([Constraint::Length(height), Constraint::Fill(1)]).areas(rest);
        rest = below;
        part
    };
    draw_head(view, next(head), buffer);
    for them in lists {
        next(gap);
        let part = next(height_of_lists(&them));
        draw_lists(them, part, buffer);
    }
    for (table, granted) in tables.into_iter().zip(granted) {
        next(gap.min(granted));
        table.draw(next(granted.saturating_sub(gap)), buffer);
    }
    if view.has_keys {
        draw_keys(
            view,
            Rect { y: area.bottom().saturating_sub(1), height: 1, ..area }.intersection(area),
            buffer,
        );
    }
    if view.silence.is_some() {
        // What it said last is still worth reading, and must not look like news.
        buffer.set_style(
            Rect { y: area.y + head.min(area.height), ..area }.intersection(area),
            Style::new().dim(),
        );
    }
}

/// How high a frame of this width has to be that leaves nothing out.
pub fn height(view: &View<'_>, width: u16) -> u16 {
    height_of_all(view, &lists(view), &tables(view, width))
}

fn height_of_all(view: &View<'_>, lists: &[Lists], tables: &[LongTable]) -> u16 {
    let lists = lists.iter().map(|them| height_of_lists(them) + 1).sum::<u16>();
    let tables = tables.iter().map(|table| table.height() + 1).sum::<u16>();
    1 + u16::from(view.silence.is_some()) + u16::from(view.has_keys) + lists + tables
}

/// A frame as lines of text, as wide and as high as it is.
pub fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let lines = buffer.content().chunks(width).map(|cells| {
        let line: String = cells.iter().map(|cell| cell.symbol()).collect();
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}

fn draw_head(view: &View<'_>, area: Rect, buffer: &mut Buffer) {
    let over = match view.figures.over {
        Some(over) => format!("rates over {:.2} s", over.as_secs_f64()),
        None => "rates with the next answer".into(),
    };
    let interval = durations::display(view.interval);
    let paused = if view.is_paused { "  PAUSED" } else { "" };
    let about = format!("  {}  each {interval}, {over}{paused}", view.socket);
    let mut lines = vec![Line::from_iter(["ulna top".bold(), about.into()])];
    lines.extend(
        view.silence.map(|why| Line::from(format!("no answer: {why}; asked again each second")).bold().red()),
    );
    Text::from(lines).render(area, buffer);
}

fn draw_keys(view: &View<'_>, area: Rect, buffer: &mut Buffer) {
    let order = match view.order {
        Order::Given => "order: as the server has them",
        Order::BusiestFirst => "order: busiest first",
    };
    let pause = if view.is_paused { "goes on" } else { "pauses" };
    Line::from(format!("q ends   p {pause}   o {order}")).dim().render(area, buffer);
}

/// A list of counters under a title.
struct List {
    title: &'static str,
    /// Whether they say how many there are now: such have no rates.
    are_gauges: bool,
    rows: Vec<(&'static str, Shown)>,
}

enum Shown {
    Counter(Figure),
    /// A number for each packet.
    Quotient(Option<f64>),
}

type Lists = [List; 3];

fn lists(view: &View<'_>) -> [Lists; 2] {
    [lists_of_packets(view.figures), lists_of_clients(view.figures)]
}

fn lists_of_packets(figures: &Figures) -> Lists {
    let counters = &figures.counters;
    let of = |name: &str| Shown::Counter(counters.of(name));
    [
        List {
            title: "packets",
            are_gauges: false,
            rows: vec![
                ("received", Shown::Counter(counters.packets())),
                ("sent", of("packets_sent")),
                (
                    "duplicates",
                    Shown::Counter(counters.sum(&["duplicates_resent", "duplicates_in_progress"])),
                ),
                ("Status-Server", of("status_answered")),
                ("discarded", Shown::Counter(counters.discarded())),
                ("bells rung", of("ring_calls")),
                ("  a packet", Shown::Quotient(figures.signals_per_packet)),
            ],
        },
        List {
            title: "requests",
            are_gauges: false,
            rows: vec![
                ("taken up", of("accepted")),
                ("accepts", of("accepts")),
                ("rejects", of("rejects")),
                ("challenges", of("challenges")),
                ("accounting", of("records")),
                ("CoA ACKs", of("acks")),
                ("CoA NAKs", of("naks")),
            ],
        },
        List {
            title: "lost",
            are_gauges: false,
            rows: vec![
                ("kernel drops", of("kernel_drops")),
                ("send blocked", of("send_would_block")),
                ("send failed", of("send_failed")),
                ("log lines", of("events_lost")),
                ("orphaned", of("orphaned")),
                ("panics", of("deaths")),
                ("lost wake-ups", of("lost_wakeups")),
            ],
        },
    ]
}

fn lists_of_clients(figures: &Figures) -> Lists {
    let of = |name: &str| Shown::Counter(figures.counters.of(name));
    [
        List {
            title: "clients",
            are_gauges: false,
            rows: vec![
                ("admitted", of("admitted")),
                ("look-ups", of("look_ups")),
                ("  found", of("look_ups_found")),
                ("connections", of("connections_admitted")),
                ("  taken over", of("connections_taken_over")),
                ("streams", of("streams_accepted")),
            ],
        },
        List {
            title: "conversations",
            are_gauges: false,
            rows: vec![
                ("begun", of("conversations_begun")),
                ("gone on", of("ongoing")),
                ("expired", of("conversations_expired")),
                ("forgotten", of("conversations_forgotten")),
                ("forwarded", of("forwarded")),
                ("  replies", of("remote_replies")),
            ],
        },
        List {
            title: "now",
            are_gauges: true,
            rows: vec![
                ("in progress", of("in_progress")),
                ("rejects wait", of("delayed_rejects")),
                ("outstanding", of("outstanding")),
                ("conversations", of("conversations")),
                ("connections", of("connections")),
                ("streams", of("streams")),
            ],
        },
    ]
}

fn height_of_lists(lists: &Lists) -> u16 {
    1 + lists.iter().map(|list| list.rows.len()).max().unwrap_or_default() as u16
}

/// Side by side. Where the frame is narrow what matters more stays: the rates.
fn draw_lists(lists: Lists, area: Rect, buffer: &mut Buffer) {
    let areas: [Rect; 3] = Layout::horizontal([Constraint::Fill(1); 3]).spacing(2).areas(area);
    for (list, area) in lists.into_iter().zip(areas) {
        let has_total = area.width >= LIST_WIDTH_WITH_TOTAL;
        let rows = list.rows.iter().map(|(name, shown)| {
            let [rate, total] = match shown {
                Shown::Counter(figure) if list.are_gauges => [String::new(), total(figure.value)],
                Shown::Counter(figure) => [rate(figure.per_second), total(figure.value)],
                Shown::Quotient(number) => {
                    [number.map_or("-".into(), |it| format!("{it:.2}")), String::new()]
                }
            };
            // A gauge has one number, which stands where there is room for one.
            let rate = if list.are_gauges && !has_total { total.clone() } else { rate };
            Row::new([Text::from(*name), right(rate), right(total)])
        });
        let [rate, total] = if list.are_gauges { ["", "number"] } else { ["a second", "in all"] };
        let rate = if list.are_gauges && !has_total { total } else { rate };
        let head = Row::new([list.title.into(), right(rate), right(total)]).bold();
        let widths = [Constraint::Fill(1), Constraint::Length(8), Constraint::Length(9)];
        let widths = if has_total { &widths[..] } else { &widths[..2] };
        Widget::render(Table::new(rows, widths).header(head), area, buffer);
    }
}

/// Something with as many rows as there are of it.
struct LongTable {
    head: Vec<Text<'static>>,
    rows: Vec<Vec<Text<'static>>>,
    widths: Vec<Constraint>,
}

impl LongTable {
    fn height(&self) -> u16 {
        u16::try_from(self.rows.len() + 1).unwrap_or(u16::MAX)
    }

    /// What has no room is counted in the last line.
    fn draw(mut self, area: Rect, buffer: &mut Buffer) {
        if area.height < self.height() {
            let shown = usize::from(area.height.saturating_sub(2));
            let left = self.rows.len() - shown;
            self.rows.truncate(shown);
            self.rows.push(vec![Text::from(format!("… {left} more"))]);
        }
        let rows = self.rows.into_iter().map(Row::new);
        let table = Table::new(rows, self.widths).header(Row::new(self.head).bold());
        Widget::render(table, area, buffer);
    }
}

fn tables(view: &View<'_>, width: u16) -> Vec<LongTable> {
    let mut tables = vec![discards(view.figures, width), threads(view, width)];
    if !view.figures.remote_servers.is_empty() {
        tables.push(remote_servers(view));
    }
    tables
}

/// Reasons in two columns, row by row, where there is room for the names of both.
fn discards(figures: &Figures, width: u16) -> LongTable {
    let columns = if width >= WIDTH_OF_TWO_REASONS { 2 } else { 1 };
    let mut cells: Vec<_> = figures
        .discards
        .iter()
        .map(|(reason, figure)| {
            [Text::from(reason.clone()), right(rate(figure.per_second)), right(total(figure.value))]
        })
        .collect();
    if cells.is_empty() {
        cells.push(["none".into(), Text::default(), Text::default()]);
    }
    let rows = cells.chunks(columns).map(|row| row.concat()).collect();
    let head = [Text::from("discarded"), right("a second"), right("in all")];
    let head = std::iter::repeat_n(head, columns.min(cells.len())).flatten().collect();
    let widths = [Constraint::Fill(1), Constraint::Length(8), Constraint::Length(9)];
    LongTable { head, rows, widths: std::iter::repeat_n(widths, columns).flatten().collect() }
}

fn threads(view: &View<'_>, width: u16) -> LongTable {
    let mut threads: Vec<&ThreadFigures> = view.figures.threads.iter().collect();
    let work = |thread: &ThreadFigures| {
        let rates = [thread.counters.packets(), thread.counters.of("requests")];
        rates.iter().filter_map(|figure| figure.per_second).sum::<f64>()
    };
    if view.order == Order::BusiestFirst {
        threads.sort_by(|a, b| work(b).total_cmp(&work(a)));
    }
    let columns: Vec<_> = THREAD_COLUMNS.iter().filter(|column| width >= column.from_width).collect();
    let rows = threads.into_iter().map(|thread| {
        let cells = columns.iter().map(|column| {
            right(match column.shows {
                ThreadColumn::PACKETS => rate(thread.counters.packets().per_second),
                name if column.is_rate => rate(thread.counters.of(name).per_second),
                name => total(thread.counters.of(name).value),
            })
        });
        std::iter::once(Text::from(thread.name.clone())).chain(cells).collect()
    });
    let widths = columns.iter().map(|column| Constraint::Length(column.title.chars().count().max(8) as u16));
    LongTable {
        head: std::iter::once("thread".into())
            .chain(columns.iter().map(|column| right(column.title)))
            .collect(),
        rows: rows.collect(),
        widths: std::iter::once(Constraint::Fill(1)).chain(widths).collect(),
    }
}

fn remote_servers(view: &View<'_>) -> LongTable {
    let mut servers: Vec<_> = view.figures.remote_servers.iter().collect();
    if view.order == Order::BusiestFirst {
        servers.sort_by_key(|server| std::cmp::Reverse(server.outstanding));
    }
    let rows = servers.into_iter().map(|server| {
        let standing = Text::from(server.standing.clone());
        vec![
            Text::from(server.name.clone()),
            Text::from(server.address.clone().unwrap_or("-".into())),
            if server.standing == ALIVE { standing } else { standing.bold().red() },
            right(server.outstanding.to_string()),
            right(server.sockets.to_string()),
        ]
    });
    let mut rows: Vec<_> = rows.collect();
    if view.figures.are_remote_servers_cut {
        rows.insert(0, vec!["(not all: there are too many)".into()]);
    }
    LongTable {
        head: vec![
            "remote server".into(),
            "address".into(),
            "standing".into(),
            right("outstanding"),
            right("sockets"),
        ],
        rows,
        widths: vec![
            Constraint::Fill(1),
            Constraint::Fill(1),
            Constraint::Length(16),
            Constraint::Length(11),
            Constraint::Length(7),
        ],
    }
}

/// Grants each what it wants, if there is so much for all; those that want more than their part share what is left.
fn shares(mut available: u16, wanted: &[u16]) -> Vec<u16> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|place| wanted[*place]);
    let mut granted = vec![0; wanted.len()];
    for (done, place) in order.into_iter().enumerate() {
        let part = available / (wanted.len() - done) as u16;
        granted[place] = part.min(wanted[place]);
        available -= granted[place];
    }
    granted
}

fn rate(per_second: Option<f64>) -> String {
    match per_second {
        None => "-".into(),
        Some(rate) if rate < 999.95 => format!("{rate:.1}"),
        Some(rate) if rate < 99_999_999.0 => format!("{rate:.0}"),
        Some(rate) => format!("{:.0}M", rate / 1e6),
    }
}

fn total(value: Option<u64>) -> String {
    match value {
        None => "-".into(),
        Some(value @ 0..=999_999_999) => value.to_string(),
        Some(value @ 1_000_000_000..=9_999_999_999_999) => format!("{}M", value / 1_000_000),
        Some(value) => format!("{}T", value / 1_000_000_000_000),
    }
}

fn right(text: impl Into<String>) -> Text<'static> {
    Text::from(text.into()).right_aligned()
}

/// What is shown of a thread.
struct ThreadColumn {
    title: &'static str,
    /// The counter, or [`ThreadColumn::PACKETS`].
    shows: &'static str,
    is_rate: bool,
    /// How wide the frame has to be.
    from_width: u16,
}

impl ThreadColumn {
    /// What is no counter by itself.
    const PACKETS: &'static str = "packets";

    const fn rate(title: &'static str, shows: &'static str, from_width: u16) -> ThreadColumn {
        ThreadColumn { title, shows, is_rate: true, from_width }
    }

    const fn most(title: &'static str, shows: &'static str, from_width: u16) -> ThreadColumn {
        ThreadColumn { title, shows, is_rate: false, from_width }
    }
}

const THREAD_COLUMNS: [ThreadColumn; 8] = [
    ThreadColumn::rate("packets/s", ThreadColumn::PACKETS, 0),
    ThreadColumn::rate("requests/s", "requests", 0),
    ThreadColumn::rate("sleeps/s", "parks", 0),
    ThreadColumn::rate("bells/s", "ring_calls", 0),
    ThreadColumn::rate("in vain/s", "rings_spurious", WIDE),
    ThreadColumn::rate("full/s", "full", 60),
    ThreadColumn::most("lazy most", "lazy_backlog_max", WIDE),
    ThreadColumn::most("turn µs", "turn_us_max", 70),
];
/// Of a frame that holds all columns, and the names of threads.
const WIDE: u16 = 92;
/// Names of discards have up to 30 letters.
const WIDTH_OF_TWO_REASONS: u16 = 2 * (30 + 1 + 8 + 1 + 9) + 1;
/// Names of counters have up to 13.
const LIST_WIDTH_WITH_TOTAL: u16 = 13 + 1 + 8 + 1 + 9;
/// The standing of a remote server of which nothing bad is known.
const ALIVE: &str = "alive";

#[cfg(test)]
mod tests {
    use super::super::model::tests::counters;
    use super::super::model::{Model, RemoteServer, Round, Thread};
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use std::time::Instant;

    fn server(name: &str, standing: &str, outstanding: u64) -> RemoteServer {
        let address = Some("192.0.2.1:1812".into());
        RemoteServer { name: name.into(), address, standing: standing.into(), outstanding, sockets: 2 }
    }

    /// Of a server that has done something within two seconds.
    fn figures(servers: &[RemoteServer]) -> Figures {
        let (first, second) = (Instant::now(), Instant::now() + Duration::from_secs(2));
        let round = |at, times: u64| {
            let worker = |name: &str, requests| Thread {
                name: name.into(),
                counters: counters(at, &[("requests", requests), ("parks", 7 * times), ("turn_us_max", 61)]),
            };
            Round {
                statistics: counters(
                    at,
                    &[
                        ("received", 1_000 * times),
                        ("strays_taken", 0),
                        ("ring_calls", 500 * times),
                        ("accepts", 5_000_000_000 * times),
                        ("conversations", 42),
                        ("discarded unknown-client", 30 * times),
                        ("discarded several-message-authenticators", 2 * times),
                        ("discarded replayed", 9),
                    ],
                ),
                threads: vec![worker("worker-0", 3 * times), worker("worker-1", 800 * times)],
                remote_servers: servers.to_vec(),
                are_remote_servers_cut: false,
            }
        };
        let mut model = Model::default();
        model.handle_round(round(first, 1));
        model.handle_round(round(second, 2));
        let mut figures = model.figures();
        figures.over = Some(second - first);
        figures
    }

    fn view(figures: &Figures) -> View<'_> {
        View {
            socket: "ulna.sock",
            interval: Duration::from_secs(2),
            figures,
            silence: None,
            is_paused: false,
            order: Order::Given,
            has_keys: true,
        }
    }

    /// What stands on a terminal of this size.
    fn drawn(view: &View<'_>, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("memory takes it");
        terminal.draw(|frame| draw(view, frame.area(), frame.buffer_mut())).expect("memory takes it");
        text(terminal.backend().buffer())
    }

    /// The words of the first line that has this one, from there on.
    fn words<'f>(frame: &'f str, begin: &str) -> Vec<&'f str> {
        let line = frame.lines().find_map(|line| line.find(begin).map(|place| &line[place..]));
        line.unwrap_or_else(|| panic!("no {begin:?} in\n{frame}")).split_whitespace().collect()
    }

    #[test]
    fn a_frame_has_each_figure_beside_its_name() {
        let figures = figures(&[server("uni-1", "alive", 3), server("uni-2", "dead", 0)]);
        let frame = drawn(&view(&figures), 100, 40);
        assert_eq!(words(&frame, "ulna top").join(" "), "ulna top ulna.sock each 2s, rates over 2.00 s");
        assert_eq!(words(&frame, "received")[..3], ["received", "500.0", "2000"]);
        assert_eq!(words(&frame, "accepts")[..3], ["accepts", "2500M", "10000M"]);
        assert_eq!(words(&frame, "a packet")[..3], ["a", "packet", "0.50"]);
        assert_eq!(words(&frame, "conversations  "), ["conversations", "42"]);
        assert_eq!(words(&frame, "discarded  ")[..3], ["discarded", "16.0", "73"]);
        assert_eq!(words(&frame, "unknown-client")[..3], ["unknown-client", "15.0", "60"]);
        assert_eq!(words(&frame, "several-message")[1..], ["1.0", "4"]);
        let idle = ["-", "1.5", "3.5", "-", "-", "-", "-", "61"];
        assert_eq!(words(&frame, "worker-0")[1..], idle);
        assert_eq!(words(&frame, "worker-1")[1..3], ["-", "400.0"]);
        assert_eq!(words(&frame, "uni-1"), ["uni-1", "192.0.2.1:1812", "alive", "3", "2"]);
        assert_eq!(words(&frame, "uni-2"), ["uni-2", "192.0.2.1:1812", "dead", "0", "2"]);
        assert_eq!(words(&frame, "q ends").len(), 11);
    }

    #[test]
    fn the_height_that_is_asked_for_holds_all_and_not_a_line_more() {
        let figures = figures(&[server("uni-1", "alive", 3)]);
        let view = View { has_keys: false, ..view(&figures) };
        let height = height(&view, 100);
        let frame = drawn(&view, 100, height);
        assert!(!frame.contains("more"), "{frame}");
        assert!(frame.lines().last().expect("lines").starts_with("uni-1"), "{frame}");
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let servers: Vec<_> = (0..30).map(|number| server(&format!("uni-{number}"), "alive", 0)).collect();
        let figures = figures(&servers);
        let frame = drawn(&view(&figures), 100, 30);
        let shown = servers.iter().filter(|server| frame.contains(&format!("{} ", server.name))).count();
        assert!(shown > 0, "{frame}");
        assert_eq!(words(&frame, "… "), ["…", &(30 - shown).to_string(), "more"], "{frame}");
        // Tables that want little have it.
        assert!(
            frame.contains("worker-1") && frame.contains("replayed") && frame.contains("q ends"),
            "{frame}"
        );
    }

    #[test]
    fn any_size_can_be_drawn() {
        let servers: Vec<_> = (0..9).map(|number| server(&format!("uni-{number}"), "alive", 0)).collect();
        let figures = figures(&servers);
        for width in [1, 2, 20, 39, 80, 96, 97, 100, 300] {
            for height in (1..45).chain([200]) {
                let silence = (height % 2 == 0).then_some("nobody is there");
                let frame = drawn(&View { silence, ..view(&figures) }, width, height);
                assert_eq!(frame.lines().count(), usize::from(height));
            }
        }
        let narrow = drawn(&view(&figures), 80, 40);
        assert_eq!(words(&narrow, "received")[..2], ["received", "500.0"]);
        assert_eq!(words(&narrow, "outstanding")[..2], ["outstanding", "-"]);
        assert_eq!(words(&narrow, "worker-1"), ["worker-1", "-", "400.0", "3.5", "-", "-", "61"]);
    }

    #[test]
    fn the_busiest_come_first_if_that_is_asked_for() {
        let figures = figures(&[server("uni-1", "alive", 0), server("uni-2", "alive", 5)]);
        let frame = drawn(&View { order: Order::BusiestFirst, ..view(&figures) }, 100, 40);
        let place = |name: &str| frame.find(name).expect("it is there");
        assert!(place("worker-1") < place("worker-0") && place("uni-2") < place("uni-1"), "{frame}");
    }

    #[test]
    fn silence_is_told_beside_what_was_said_last() {
        let figures = figures(&[]);
        let view = View { silence: Some("nobody is there"), is_paused: true, ..view(&figures) };
        let frame = drawn(&view, 100, 40);
        assert!(frame.contains("no answer: nobody is there; asked again each second"), "{frame}");
        assert!(frame.contains("PAUSED") && frame.contains("received"), "{frame}");
    }

    #[test]
    fn of_too_many_remote_servers_it_is_said_that_they_are_not_all() {
        let figures = Figures { are_remote_servers_cut: true, ..figures(&[server("uni-1", "alive", 0)]) };
        assert!(drawn(&view(&figures), 100, 40).contains("(not all"));
    }

    /// The answers are read by a parser that lets nothing through; a frame does not rely on it.
    #[test]
    fn no_name_steers_the_terminal() {
        let hostile = "a\x1b[2J\u{9b}1m\r\n\x07b";
        let figures = figures(&[server(hostile, hostile, 0)]);
        let view = View { socket: hostile, silence: Some(hostile), ..view(&figures) };
        let frame = drawn(&view, 100, 40);
        assert!(!frame.contains(|it: char| it.is_control() && it != '\n'), "{frame:?}");
        assert_eq!(frame.lines().count(), 40);
        assert!(frame.contains("a[2J1mb"), "{frame}");
    }

    #[test]
    fn room_is_shared_by_those_that_want_more_than_their_part() {
        assert_eq!(shares(10, &[2, 9, 3]), [2, 5, 3]);
        assert_eq!(shares(10, &[2, 3, 4]), [2, 3, 4]);
        assert_eq!(shares(7, &[9, 9, 9]), [2, 2, 3]);
        assert_eq!(shares(0, &[9, 1]), [0, 0]);
    }

    #[test]
    fn numbers_fit_their_columns() {
        let rates = [0.0, 0.04, 999.94, 999.96, 99_999_998.4, 1e9, 4e12].map(|it| rate(Some(it)));
        assert_eq!(rates, ["0.0", "0.0", "999.9", "1000", "99999998", "1000M", "4000000M"]);
        let totals = [0, 999_999_999, 1_000_000_000, 9_999_999_999_999, u64::MAX].map(|it| total(Some(it)));
        assert_eq!(totals, ["0", "999999999", "1000M", "9999999M", "18446744T"]);
        assert_eq!((rate(None), total(None)), ("-".into(), "-".into()));
    }
}
