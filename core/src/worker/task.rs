//! What readers of control connections ask of this worker: tasks begun, woken and polled, and the rows of its tables.

use super::Worker;
use super::onward::Decides;
use crate::client::Client;
use crate::control::tables::{ClientRow, ConversationRow, Cursor, Names, RemoteServerRow, RowBatch, Rows};
use crate::control::{Act, Answered, ROWS_MAX, RowsAsked, Table, TaskName, ToTask, Wants};
use crate::conversation::{Shown, Tree};
use crate::effect::Ticket;
use crate::event::Event;
use crate::forward::{RemoteServerId, Role, Standing};
use crate::path::NetworkId;
use crate::queue::message::Message;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Tasks polled in one turn, each of which writes no more than some rows: packets come first.
const TASKS_EACH_TURN: usize = 1;
/// Places from here on are of clients that rules have admitted, however many are configured after a reload.
const ADMITTED: u32 = 1 << 31;

impl Worker {
    /// What a network core says to a task.
    pub(super) fn handle_task(&mut self, from: NetworkId, name: TaskName, told: ToTask) {
        match told {
            ToTask::Begin(part) => self.tasks.begin(name, part),
            ToTask::Mark(written) => self.tasks.handle_mark(name, written),
            ToTask::Cancel => self.tasks.cancel(name),
            ToTask::Rows(asked, rows) => self.tasks.handle_rows(from, name, asked, rows),
        }
        self.send_of_tasks();
    }

    /// An errand is done.
    pub(super) fn handle_errand(&mut self, ticket: Ticket, answered: Answered) {
        if !self.tasks.handle_errand(ticket, answered) {
            self.counters.effects_late.up();
        }
    }

    /// Tasks go on, as far as the turn has time for them.
    pub fn run_tasks(&mut self, now: Instant) {
        for _ in 0..TASKS_EACH_TURN {
            match self.tasks.poll() {
                None => break,
                Some(Wants::Nothing) => {}
                Some(Wants::Act(home, act)) => {
                    let (done, next) = self.act(act, now);
                    self.tasks.answer(home, Answered::Acted(done, next));
                }
                Some(Wants::Rows(home, asked)) => {
                    let rows = self.rows(asked, now);
                    self.tasks.answer(home, Answered::Rows(rows));
                }
            }
        }
        self.send_of_tasks();
    }

    /// What tasks have to say goes on its way.
    pub(super) fn send_of_tasks(&mut self) {
        while let Some((network, name, said)) = self.tasks.poll_message() {
            self.complete(network, Message::FromTask(name, Box::new(said)));
        }
        self.counters.tasks.set(self.tasks.len() as u64);
        self.counters.tasks_woken.set(self.tasks.woken());
    }

    fn act(&mut self, act: Act, now: Instant) -> (u64, Option<Cursor>) {
        match act {
            Act::Flush(name, Cursor(begin)) => {
                let places = self.strangers.places();
                let end = (begin + ROWS_MAX as u32).min(places);
                let flushed = (begin..end).filter(|place| self.strangers.flush_at(*place, &name)).count();
                (flushed as u64, (end < places).then_some(Cursor(end)))
            }
            Act::Hold(name, is_held) => (u64::from(self.hold_server(&name, is_held, now)), None),
        }
    }

    /// Takes a remote server of the newest configuration out of use, for all workers, or gives it back. Whether there is one.
    fn hold_server(&mut self, name: &str, is_held: bool, now: Instant) -> bool {
        let (generation, configuration) = self.generations.newest();
        let mut numbered = (0..=u16::MAX).zip(&configuration.remote_servers);
        let Some((number, server)) = numbered.find(|(_, server)| *server.name == *name) else { return false };
        if server.health.hold(is_held) {
            let standing =
                if is_held { Standing::Dead } else { server.health.standing(&server.judgement(), now) };
            let remote_server = RemoteServerId(number);
            self.tell(Event::RemoteServer { at: now, generation, remote_server, standing });
        }
        true
    }

    /// Some rows of this worker's tables.
    fn rows(&mut self, asked: RowsAsked, now: Instant) -> RowBatch {
        let RowsAsked { table, cursor } = asked;
        match table {
            Table::Clients => self.client_rows(cursor, now),
            Table::Conversations => self.conversation_rows(cursor, now),
            Table::RemoteServers => self.remote_server_rows(cursor),
            Table::Connections | Table::Threads | Table::Queues | Table::Statistics | Table::Config => {
                unreachable!("{table:?} are not a worker's")
            }
        }
    }

    /// Clients of the configuration, from the first worker alone; behind them those that rules have admitted here.
    fn client_rows(&self, cursor: Cursor, now: Instant) -> RowBatch {
        let clients = &self.generations.newest().1.clients;
        let configured = if self.is_first() { clients.len() as u32 } else { 0 };
        let Cursor(begin) = cursor;
        if begin < ADMITTED {
            let rows = clients
                .iter()
                .skip(begin as usize)
                .take(ROWS_MAX.min((configured - begin.min(configured)) as usize));
            let row = |client: &Client| ClientRow {
                client: client.name.clone(),
                admitted: None,
                connections: None,
            };
            let rows: Vec<_> = rows.map(|(_, client)| row(client)).collect();
            let end = begin + rows.len() as u32;
            let next = Cursor(if end < configured { end } else { ADMITTED });
            return RowBatch { rows: Rows::Clients(rows), next: Some(next) };
        }
        let (first, places) = (begin - ADMITTED, self.strangers.places());
        let end = (first + ROWS_MAX as u32).min(places);
        let found = (first..end).filter_map(|place| self.strangers.admitted_at(place, now));
        let rows = found.map(|client| ClientRow {
            client: client.client().name.clone(),
            admitted: Some((Arc::from(client.origin().0), client.expires().saturating_since(now).as_secs())),
            connections: Some(client.connections().into()),
        });
        let rows = Rows::Clients(rows.collect());
        RowBatch { rows, next: (end < places).then_some(Cursor(ADMITTED + end)) }
    }

    fn is_first(&self) -> bool {
        self.id.0 == 0
    }

    fn conversation_rows(&self, cursor: Cursor, now: Instant) -> RowBatch {
        let (Cursor(begin), places) = (cursor, self.conversations.places());
        let end = (begin + ROWS_MAX as u32).min(places);
        let shown = (begin..end).filter_map(|place| self.conversations.shown(place, now));
        let rows = Rows::Conversations(shown.map(|shown| self.conversation_row(shown, now)).collect());
        RowBatch { rows, next: (end < places).then_some(Cursor(end)) }
    }

    fn conversation_row(&self, shown: Shown<'_, super::Kept>, now: Instant) -> ConversationRow {
        let Shown { number, kept, tree, standing, names, expires } = shown;
        let server = match kept.decides {
            Decides::Server(server) => self.forwarding.kept(server).map(|remote| remote.server.name.clone()),
            Decides::OneTimeCode => None,
        };
        let names = names.map(|(user_name, calling_station_id)| Names {
            user_name: user_name.into(),
            calling_station_id: calling_station_id.into(),
        });
        ConversationRow {
            worker: self.id.0,
            number,
            names,
            realm: match tree {
                Tree::Realm(_) => self.realm_names.get(&tree).cloned(),
                Tree::Own | Tree::NoRealm => None,
            },
            server,
            remote: kept.remote,
            standing,
            expires: expires.saturating_since(now).as_secs(),
        }
    }

    fn remote_server_rows(&self, cursor: Cursor) -> RowBatch {
        let Cursor(begin) = cursor;
        let shown = self.forwarding.shown(begin as usize, ROWS_MAX);
        let rows = shown.map(|(remote, standing)| RemoteServerRow {
            server: remote.server.name.clone(),
            role: match remote.server.role {
                Role::Server => "server",
                Role::Nas => "nas",
            },
            worker: self.id.0,
            address: remote.address(),
            standing: if remote.server.health.is_held() { "held" } else { standing.name() },
            outstanding: remote.waiting() as u64,
            sockets: remote.sockets() as u64,
        });
        let rows = Rows::RemoteServers(rows.collect());
        let end = begin + ROWS_MAX as u32;
        RowBatch { rows, next: ((end as usize) < self.forwarding.places()).then_some(Cursor(end)) }
    }
}
