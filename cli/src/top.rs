//! `ulna top`: what a server does, second by second, as its control socket tells it. One thread asks, one reads keys, and the one
//! that began draws; they talk through a channel. The terminal is as it was before when this ends, whatever ends it.

mod connection;
mod model;
mod screen;

use std::io::{self, IsTerminal, Write};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, KeyCode, KeyModifiers};
use ratatui::layout::Rect;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use ulna_config::durations;

use crate::control::{Failed, exit_code, plain};
use connection::Connection;
use model::{Figures, Model, Round};
use screen::{Order, View};

/// How long to wait before a server that does not answer is asked again.
const RETRY: Duration = Duration::from_secs(1);
/// What has happened and is not drawn: where the terminal takes nothing, the server is not asked any more either.
const EVENTS_MAX: usize = 4;
/// How wide what `--once` prints is, if the environment's COLUMNS does not say.
const WIDTH: u16 = 100;
/// Of what COLUMNS may say: less holds no list, more no line needs.
const WIDTHS: std::ops::RangeInclusive<u16> = 40..=400;
const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub struct TopArguments {
    /// The server's control socket, as `socket` in `[control]` names it.
    #[arg(long, value_name = "PATH", default_value = "ulna.sock")]
    socket: PathBuf,
    /// How often it is asked.
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// Print one frame as text after one interval, as wide as COLUMNS says, or 100, and end.
    #[arg(long)]
    once: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let span = durations::parse(text).filter(|span| (INTERVAL_MIN..=INTERVAL_MAX).contains(span));
    span.ok_or_else(|| "expected a span of time from \"100ms\" to \"1m\", such as \"500ms\" or \"3s\"".into())
}

/// What the thread that draws is told.
enum Event {
    /// The server has answered.
    Round(Box<Round>),
    /// It has not, or no: why.
    Silence(String),
    /// A key or a new size of the terminal.
    Terminal(event::Event),
    /// There is nobody there any more to read keys from.
    NoKeys(io::Error),
    /// The process was told to end.
    Ended,
    /// The thread that asks has panicked.
    NobodyAsks,
}

/// Shows what a server does, and says how it went: 0 ended by a key or a signal, 1 refused, 2 no answer.
pub fn top(arguments: &TopArguments) -> ExitCode {
    let TopArguments { socket, interval, once } = arguments;
    exit_code(socket, if *once { print_frame(socket, *interval) } else { show(socket, *interval) })
}

/// Prints one frame, over one interval.
fn print_frame(socket: &Path, interval: Duration) -> Result<(), Failed> {
    let (mut connection, mut model) = (Connection::open(socket)?, Model::default());
    model.handle_round(connection.ask()?);
    thread::sleep(interval);
    model.handle_round(connection.ask()?);
    let (name, figures) = (shown_name(socket), model.figures());
    let view = View {
        socket: &name,
        interval,
        figures: &figures,
        silence: None,
        is_paused: false,
        order: Order::Given,
        has_keys: false,
    };
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let width = columns.filter(|columns| WIDTHS.contains(columns)).unwrap_or(WIDTH);
    let area = Rect::new(0, 0, width, screen::height(&view, width));
    let mut frame = Buffer::empty(area);
    screen::draw(&view, area, &mut frame);
    let mut out = io::stdout().lock();
    out.write_all(screen::text(&frame).as_bytes()).and_then(|()| out.flush()).map_err(Failed::NotRead)
}

/// Shows frame after frame until a key or a signal ends it.
fn show(socket: &Path, interval: Duration) -> Result<(), Failed> {
    if !io::stdout().is_terminal() {
        return Err(Failed::Here("standard output is no terminal; `--once` prints one frame as text".into()));
    }
    // Whoever has mistyped the path is told so on the terminal that he sees.
    let connection = Connection::open(socket)?;
    let (events, happened) = sync_channel(EVENTS_MAX);
    let is_ending = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        // A terminal that takes nothing keeps the view from its end: a second signal does not wait for it.
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&is_ending)).map_err(here)?;
        flag::register(signal, Arc::clone(&is_ending)).map_err(here)?;
    }
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(here)?;
    // Before anything is drawn: a signal that comes now ends no process behind the screen's back.
    start("ulna-signals", &events, move |events| {
        if signals.forever().next().is_some() {
            let _ = events.send(Event::Ended);
        }
    })?;
    start("ulna-asks", &events, {
        let socket = socket.to_path_buf();
        move |events| ask_on(&socket, connection, interval, events)
    })?;
    let mut terminal = Restored::new().map_err(here)?;
    start("ulna-keys", &events, read_keys)?;
    let name = shown_name(socket);
    let ended = draw_on(&mut terminal.terminal, &happened, &name, interval);
    drop(terminal);
    ended.map_err(here)
}

fn here(error: io::Error) -> Failed {
    Failed::Here(format!("the view cannot go on: {error}"))
}

/// The name of the socket, as it can be shown.
fn shown_name(socket: &Path) -> String {
    plain(&socket.to_string_lossy())
}

fn start(
    name: &str,
    events: &SyncSender<Event>,
    run: impl FnOnce(&SyncSender<Event>) + Send + 'static,
) -> Result<(), Failed> {
    let events = events.clone();
    let started = thread::Builder::new().name(name.into()).spawn(move || run(&events));
    started.map(drop).map_err(here)
}

/// A terminal that is given back as it was.
struct Restored {
    /// Never dropped: where the terminal is gone that would say so on standard error, which is gone with it, and panic.
    terminal: ManuallyDrop<DefaultTerminal>,
}

impl Restored {
    fn new() -> io::Result<Restored> {
        // Where it panics, in whichever thread, the terminal is restored before the message is printed.
        match ratatui::try_init() {
            Ok(terminal) => Ok(Restored { terminal: ManuallyDrop::new(terminal) }),
            Err(error) => {
                let _ = ratatui::try_restore();
                Err(error)
            }
        }
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = self.terminal.show_cursor();
        let _ = ratatui::try_restore();
    }
}

/// Asks each interval, and each second where there is no answer, as long as anybody listens.
fn ask_on(socket: &Path, connection: Connection, interval: Duration, events: &SyncSender<Event>) {
    let _last_word = LastWord(events);
    let (mut connection, mut due) = (Some(connection), Instant::now());
    loop {
        // One that has failed goes: what comes by it may be the end of an old answer.
        let mut round = || {
            let mut asked = connection.take().map_or_else(|| Connection::open(socket), Ok)?;
            let round = asked.ask()?;
            connection = Some(asked);
            Ok::<_, Failed>(round)
        };
        let (event, wait) = match round() {
            Ok(round) => (Event::Round(Box::new(round)), interval),
            Err(why) => (Event::Silence(plain(&why.to_string())), RETRY),
        };
        if events.send(event).is_err() {
            return;
        }
        // Of a server that takes longer than an interval nothing is asked the sooner.
        let now = Instant::now();
        due = (due + wait).max(now);
        thread::sleep(due - now);
    }
}

/// Tells of the end of the thread that asks, which comes only by a panic.
struct LastWord<'e>(&'e SyncSender<Event>);

impl Drop for LastWord<'_> {
    fn drop(&mut self) {
        let _ = self.0.send(Event::NobodyAsks);
    }
}

fn read_keys(events: &SyncSender<Event>) {
    loop {
        let read = event::read();
        let is_over = read.is_err();
        let sent = events.send(read.map_or_else(Event::NoKeys, Event::Terminal));
        if is_over || sent.is_err() {
            return;
        }
    }
}

/// Draws whenever something has happened.
fn draw_on(
    terminal: &mut DefaultTerminal,
    happened: &Receiver<Event>,
    socket: &str,
    interval: Duration,
) -> io::Result<()> {
    let (mut model, mut figures, mut silence) = (Model::default(), Figures::default(), None::<String>);
    let (mut is_paused, mut order) = (false, Order::Given);
    loop {
        let view = View {
            socket,
            interval,
            figures: &figures,
            silence: silence.as_deref(),
            is_paused,
            order,
            has_keys: true,
        };
        terminal.draw(|frame| screen::draw(&view, frame.area(), frame.buffer_mut()))?;
        match happened.recv().expect("this thread has a sender itself") {
            Event::Round(round) => {
                model.handle_round(*round);
                silence = None;
            }
            Event::Silence(why) => {
                model.handle_end();
                silence = Some(why);
            }
            Event::Terminal(event) => match asked(&event) {
                Some(Asked::End) => return Ok(()),
                Some(Asked::Pause) => is_paused = !is_paused,
                Some(Asked::Order) => {
                    order = match order {
                        Order::Given => Order::BusiestFirst,
                        Order::BusiestFirst => Order::Given,
                    };
                }
                None => {}
            },
            Event::NoKeys(error) => return Err(error),
            Event::Ended => return Ok(()),
            Event::NobodyAsks => return Err(io::Error::other("the thread that asks has panicked")),
        }
        // A server that is gone leaves what it said last; one that is paused goes on to be asked, so that its rates are right.
        if !is_paused && silence.is_none() {
            figures = model.figures();
        }
    }
}

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    End,
    Pause,
    Order,
}

fn asked(event: &event::Event) -> Option<Asked> {
    let key = event.as_key_press_event()?;
    let is_control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    if is_control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
        return Some(Asked::End);
    }
    let is = |letter| key.code == KeyCode::Char(letter);
    if is('p') { Some(Asked::Pause) } else { is('o').then_some(Asked::Order) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::crossterm::event::{Event as TerminalEvent, KeyEvent};

    #[test]
    fn keys_ask_for_what_the_last_line_says() {
        let press = |code, modifiers| asked(&TerminalEvent::Key(KeyEvent::new(code, modifiers)));
        let plain = |key| press(KeyCode::Char(key), KeyModifiers::NONE);
        assert_eq!(plain('q'), Some(Asked::End));
        assert_eq!(press(KeyCode::Esc, KeyModifiers::NONE), Some(Asked::End));
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Asked::End));
        assert_eq!((plain('p'), plain('o')), (Some(Asked::Pause), Some(Asked::Order)));
        assert_eq!((plain('c'), plain('x')), (None, None));
        assert_eq!(asked(&TerminalEvent::Resize(80, 24)), None);
    }

    #[test]
    fn an_interval_has_bounds() {
        assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["99ms", "61s", "1", "soon"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}
