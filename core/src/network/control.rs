//! Control connections: accepted, read, what they ask handed to workers part by part, and what comes of it written; their end.

use super::Network;
use crate::client::Connection;
use crate::control::tables::{ConnectionRow, Cursor, RowBatch, Rows};
use crate::control::{
    Command, ControlId, ControlView, Format, FromTask, NextRefused, Order, Part, ROWS_MAX, Refusal,
    RefusalCode, RowsAsked, Step, Table, TaskName, ToTask, Told, command,
};
use crate::path::WorkerId;
use crate::queue::message::Message;
use crate::seeded::{self, Bug};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Places from here on are streams'.
const STREAMS: u32 = 1 << 31;

impl Network {
    /// Somebody has connected to the control socket, who may change something, or only look.
    ///
    /// # Errors
    /// What to write to it before it is closed: there are as many as may be.
    pub fn handle_control_accepted(&mut self, may_change: bool, now: Instant) -> Result<ControlId, String> {
        let opened = self.readers.open(may_change, now);
        match opened {
            Some(_) => self.counters.control_accepted.up(),
            None => self.counters.control_refused.up(),
        }
        self.counters.control_connections.set(self.readers.len() as u64);
        opened.ok_or_else(|| {
            let refusal = Refusal::new(
                RefusalCode::TooManyConnections,
                "there are as many control connections as may be",
            );
            let mut line = String::new();
            command::write_refusal(Format::Text, &refusal, &mut line);
            line
        })
    }

    /// Octets of a control connection, in whatever pieces they came.
    pub fn handle_control_octets(&mut self, id: ControlId, octets: &[u8], now: Instant) {
        if let Some(reader) = self.readers.live(id) {
            reader.append(octets);
            self.go_on_control(id, now);
        }
    }

    /// Its peer sends nothing more. What it has sent is done, if it still reads.
    pub fn handle_control_ended(&mut self, id: ControlId, now: Instant) {
        if let Some(reader) = self.readers.live(id) {
            reader.end();
            self.go_on_control(id, now);
        }
    }

    /// It is broken: nothing can be read or written any more.
    pub fn handle_control_broken(&mut self, id: ControlId) {
        if self.readers.live(id).is_some() {
            self.counters.control_broken.up();
            self.end_control(id);
        }
    }

    /// So many octets of its output were written.
    pub fn handle_control_written(&mut self, id: ControlId, octets: usize, now: Instant) {
        self.counters.control_octets.add(octets as u64);
        if let Some(told) = self.readers.note_written(id, octets, now) {
            self.tell_mark(told);
        }
        self.go_on_control(id, now);
    }

    /// The driver has closed one that is over.
    pub fn handle_control_closed(&mut self, id: ControlId) {
        self.readers.release(id);
        self.counters.control_connections.set(self.readers.len() as u64);
    }

    /// One that has something for its driver.
    pub fn poll_control(&mut self) -> Option<ControlId> {
        self.readers.poll_ready()
    }

    /// What its driver is to do with it; `None` if it has told that it has closed it.
    pub fn control(&self, id: ControlId) -> Option<ControlView<'_>> {
        self.readers.view(id)
    }

    /// Most octets that wait for one reader: for the simulator's judges.
    pub(crate) fn control_waiting(&self) -> usize {
        self.readers.most_waiting()
    }

    /// The server ends: whoever reads rows is cut off; whose errand is under way hears what comes of it.
    pub fn drain_control(&mut self, now: Instant) {
        for id in self.readers.drain(now) {
            self.end_control(id);
        }
    }

    /// What is due.
    pub(super) fn look_at_readers(&mut self, now: Instant) {
        while let Some(id) = self.readers.overdue(now) {
            self.counters.control_timed_out.up();
            self.end_control(id);
        }
    }

    /// What a task says, or what a worker asks for one.
    pub(super) fn handle_task(&mut self, worker: WorkerId, name: TaskName, said: FromTask, now: Instant) {
        if let FromTask::Asks(asked) = said {
            let rows = self.rows(asked, now);
            return self.tell_task(worker, name, ToTask::Rows(asked, rows));
        }
        // Of a reader that has gone.
        let Some(id) = self.readers.of_part(name) else { return };
        match said {
            FromTask::Output { octets } => self.readers.write(id, octets, now),
            FromTask::Waits { mark } => {
                let told = self.readers.live(id).and_then(|reader| reader.wait_for(mark));
                if let Some(told) = told {
                    self.tell_mark(told);
                }
            }
            FromTask::Ended { rows, refusal } => self.end_part(id, rows, refusal, now),
            FromTask::Asks(_) => unreachable!("just seen"),
        }
    }

    /// A worker has died, or is about to go: what it does for readers comes to no end.
    pub(super) fn lose_tasks(&mut self, worker: WorkerId, now: Instant) {
        for id in self.readers.of_worker(worker) {
            let refusal = Refusal::new(
                RefusalCode::WorkerGone,
                format!("worker {} has gone, and what it had been asked for with it; ask again", worker.0),
            );
            let part = self.readers.live(id).and_then(|reader| reader.running()?.part.take());
            self.cancel(part);
            self.end_command(id, Some(&refusal), now);
        }
    }

    /// Goes on with what comes next on a connection.
    fn go_on_control(&mut self, id: ControlId, now: Instant) {
        while let Some(reader) = self.readers.live(id) {
            match reader.next() {
                Ok(Step::Nothing) => break,
                Ok(Step::Part) => return self.begin_part(id, now),
                Ok(Step::Line(line)) => match command::parse(&line) {
                    Ok(None) => {}
                    Ok(Some(order)) => self.begin_command(id, order, now),
                    Err((format, refusal)) => self.readers.write_refusal(id, format, &refusal, now),
                },
                Err(NextRefused::NoText) => {
                    let refusal = Refusal::new(RefusalCode::NoText, "a command is text in UTF-8");
                    self.readers.write_refusal(id, Format::Text, &refusal, now);
                }
                Err(NextRefused::TooLong) => {
                    reader.forget_lines();
                    let text = format!("a command has at most {} octets", crate::control::LINE_OCTETS_MAX);
                    let refusal = Refusal::new(RefusalCode::LineTooLong, text);
                    self.readers.write_refusal(id, Format::Text, &refusal, now);
                }
                Err(NextRefused::Over) => return self.end_control(id),
            }
        }
        // It may be read again.
        self.readers.note_ready(id);
    }

    fn begin_command(&mut self, id: ControlId, order: Order, now: Instant) {
        let Some(reader) = self.readers.live(id) else { return };
        self.counters.control_commands.up();
        if !reader.may(&order.command) {
            let refusal = Refusal::new(
                RefusalCode::NotPermitted,
                "only root, the user of the server and the configured group may change anything",
            );
            return self.readers.write_refusal(id, order.format, &refusal, now);
        }
        let all = self.slots.owners().workers();
        let any = self.own_worker.filter(|own| all.contains(own)).unwrap_or(all[0]);
        let workers: VecDeque<_> = match order.command {
            Command::Show { table: Table::Clients | Table::Conversations | Table::RemoteServers, .. }
            | Command::Flush { .. } => all.iter().copied().collect(),
            Command::Show { .. }
            | Command::Help
            | Command::Hold { .. }
            | Command::Reload
            | Command::Shutdown => [any].into(),
        };
        reader.begin(order, workers);
        self.readers.note_busy(id);
    }

    fn begin_part(&mut self, id: ControlId, now: Instant) {
        let size = self.readers.size();
        let Some(running) = self.readers.live(id).and_then(|reader| reader.running()) else { return };
        let Some(worker) = running.workers.pop_front() else { return self.end_command(id, None, now) };
        let Order { format, command } = running.order.clone();
        let most = if let Command::Show { rows_max, .. } = command { rows_max } else { u64::MAX };
        let is_first = core::mem::take(&mut running.is_first);
        let part = Part { command, format, size, is_first, rows_max: most - running.rows };
        if let Some(name) = self.readers.begin_part(id, worker) {
            self.tell_task(worker, name, ToTask::Begin(part));
        }
    }

    /// A part of a command is over.
    fn end_part(&mut self, id: ControlId, rows: u64, refusal: Option<Refusal>, now: Instant) {
        let Some(running) = self.readers.live(id).and_then(|reader| reader.running()) else { return };
        running.rows += rows;
        running.part = None;
        if refusal.is_some() || running.workers.is_empty() {
            self.end_command(id, refusal.as_ref(), now);
        }
        self.go_on_control(id, now);
    }

    fn end_command(&mut self, id: ControlId, refusal: Option<&Refusal>, now: Instant) {
        let ended = self.readers.live(id).and_then(|reader| reader.end_command());
        match (ended, refusal) {
            (Some((format, _)), Some(refusal)) => self.readers.write_refusal(id, format, refusal, now),
            (Some((format, rows)), None) => self.readers.write_end(id, format, rows, now),
            (None, _) => {}
        }
    }

    fn end_control(&mut self, id: ControlId) {
        let part = self.readers.finish(id);
        self.cancel(part);
    }

    fn cancel(&mut self, part: Option<(WorkerId, TaskName)>) {
        if let Some((worker, name)) = part
            && !seeded::is(Bug::TaskOutlivesItsReader)
        {
            self.tell_task(worker, name, ToTask::Cancel);
        }
    }

    fn tell_mark(&mut self, told: Told) {
        let Told { worker, name, written } = told;
        self.counters.control_marks.up();
        if seeded::is(Bug::MarkToldNever) {
            return;
        }
        self.tell_task(worker, name, ToTask::Mark(written));
    }

    /// Tells a task, as soon as there is room for what is no packet.
    fn tell_task(&mut self, worker: WorkerId, name: TaskName, told: ToTask) {
        self.lanes[worker].put_notice(Message::ToTask(name, Box::new(told)));
        self.send_notices(worker);
    }

    /// As many notices go to a worker as there is room for.
    pub(super) fn send_notices(&mut self, worker: WorkerId) {
        while let Some(notice) = self.lanes[worker].next_notice() {
            self.send(worker, notice);
        }
    }

    /// Some rows of this core's tables.
    fn rows(&mut self, asked: RowsAsked, now: Instant) -> RowBatch {
        match asked.table {
            Table::Connections => self.connection_rows(asked.cursor, now),
            Table::Clients
            | Table::Conversations
            | Table::RemoteServers
            | Table::Threads
            | Table::Queues
            | Table::Statistics
            | Table::Config => unreachable!("{:?} are not a network core's", asked.table),
        }
    }

    /// Rows of connections of dynamic clients, and behind them of streams. So many places are looked at as there may be rows.
    fn connection_rows(&mut self, cursor: Cursor, now: Instant) -> RowBatch {
        let mut rows = Vec::new();
        let network = self.id.0;
        let Cursor(place) = cursor;
        let next = if place < STREAMS {
            let end = (place + ROWS_MAX as u32).min(self.connections.places());
            for place in place..end {
                rows.extend(self.connections.get(place).map(|it| connection_row(network, it, now)));
            }
            if end == self.connections.places() { STREAMS } else { end }
        } else {
            let (begin, places) = (place - STREAMS, self.streams.places());
            let end = (begin + ROWS_MAX as u32).min(places);
            let seconds = |since: Instant| now.saturating_since(since).as_secs();
            for place in begin..end {
                let Some(stream) = self.streams.at(place) else { continue };
                let (local, remote) = (stream.path.local, stream.path.remote);
                let client = match &stream.client {
                    Some(spoken) => {
                        let (rule, _) = spoken.client.origin();
                        Some((spoken.client.client().name.clone(), Some(Arc::from(rule))))
                    }
                    None => {
                        let clients = &self.configuration.clients;
                        let client = clients.look_up(remote.ip()).map(|client| clients.client(client));
                        client.map(|client| (client.name.clone(), None))
                    }
                };
                rows.push(ConnectionRow {
                    network,
                    transport: "tcp",
                    remote,
                    local: Some(local),
                    client,
                    idle: seconds(stream.heard),
                    expires: None,
                });
            }
            if end == places {
                return RowBatch { rows: Rows::Connections(rows), next: None };
            }
            STREAMS + end
        };
        RowBatch { rows: Rows::Connections(rows), next: Some(Cursor(next)) }
    }
}

fn connection_row(network: u16, connection: &Connection, now: Instant) -> ConnectionRow {
    let client = connection.client();
    let (rule, _) = client.origin();
    let (remote, local) = connection.ends();
    ConnectionRow {
        network,
        transport: "udp",
        remote,
        local,
        client: Some((client.client().name.clone(), Some(Arc::from(rule)))),
        idle: now.saturating_since(connection.heard()).as_secs(),
        expires: Some(client.expires().saturating_since(now).as_secs()),
    }
}
