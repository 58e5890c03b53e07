//! What each command does, step by step: a future that waits wherever it has to.

use super::command::{Format, Refusal, RefusalCode, help};
use super::desk::{Act, Desk, Errand};
use super::filter::Filter;
use super::message::Part;
use super::rows::write_head;
use super::tables::{Cursor, RowBatch, columns};
use super::{Command, Table};
use crate::json::JsonText;
use crate::path::NetworkId;
use alloc::format;
use alloc::string::String;

/// Whose rows a part of a command is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Worker,
    Network(NetworkId),
}

/// Does a part of a command, in a server of so many network cores.
pub async fn run(desk: Desk, part: Part, networks: u16) -> Result<(), Refusal> {
    let Part { command, format, is_first, rows_max, .. } = part;
    match command {
        Command::Help => {
            write_help(&desk, format).await;
            Ok(())
        }
        Command::Show { table, filter, .. } => {
            let show = Show { desk: &desk, table, filter, format, rows_max };
            if is_first && format == Format::Text {
                let mut head = String::new();
                write_head(columns(table), &mut head);
                desk.write(head.as_bytes()).await;
            }
            match table {
                Table::Clients | Table::Conversations | Table::RemoteServers => show.rows(Of::Worker).await,
                Table::Connections => {
                    for network in 0..networks {
                        show.rows(Of::Network(NetworkId(network))).await;
                    }
                }
                Table::Threads | Table::Queues | Table::Statistics | Table::Config => {
                    return show.rows_of_driver().await;
                }
            }
            Ok(())
        }
        Command::Flush { client } => {
            let mut next = Some(Cursor::default());
            while let Some(cursor) = next {
                let (flushed, more) = desk.act(Act::Flush(client.clone(), cursor)).await;
                desk.with(|state| state.rows += flushed);
                next = more;
            }
            Ok(())
        }
        Command::Hold { server, is_held } => match desk.act(Act::Hold(server.clone(), is_held)).await {
            (0, _) => {
                let text = format!("there is no remote server {server:?}");
                Err(Refusal::new(RefusalCode::NotFound, text))
            }
            _ => Ok(()),
        },
        Command::Reload => errand(&desk, Errand::Reload).await,
        Command::Shutdown => errand(&desk, Errand::Shutdown).await,
    }
}

async fn errand(desk: &Desk, errand: Errand) -> Result<(), Refusal> {
    desk.send(errand).await.map_err(|why| Refusal::new(RefusalCode::Failed, why))
}

async fn write_help(desk: &Desk, format: Format) {
    for (command, about) in help() {
        let line = match format {
            Format::Text => format!("{command}\n    {about}\n"),
            Format::Json => {
                format!("{{\"row\":{{\"command\":{},\"about\":{}}}}}\n", JsonText(&command), JsonText(&about))
            }
        };
        desk.write(line.as_bytes()).await;
        desk.with(|state| state.rows += 1);
    }
}

struct Show<'d> {
    desk: &'d Desk,
    table: Table,
    filter: Filter,
    format: Format,
    rows_max: u64,
}

impl Show<'_> {
    /// All rows of whoever has them, a few at a time.
    async fn rows(&self, of: Of) {
        let (mut line, mut next) = (String::new(), Some(Cursor::default()));
        while let Some(cursor) = next
            && !self.is_full()
        {
            let batch = match of {
                Of::Worker => self.desk.own_rows(self.table, cursor).await,
                Of::Network(network) => self.desk.rows_of(network, self.table, cursor).await,
            };
            next = batch.next;
            self.batch(&batch, &mut line).await;
        }
    }

    /// The same of what only the driver has: all at once.
    async fn rows_of_driver(&self) -> Result<(), Refusal> {
        let batch = self.desk.rows_of_driver(self.table).await;
        let batch = batch.map_err(|why| Refusal::new(RefusalCode::Failed, why))?;
        self.batch(&batch, &mut String::new()).await;
        Ok(())
    }

    async fn batch(&self, batch: &RowBatch, line: &mut String) {
        let mut place = 0;
        while let Some(row) = batch.rows.row(place)
            && !self.is_full()
        {
            if place > 0 && place % super::ROWS_MAX == 0 {
                self.desk.turn().await;
            }
            place += 1;
            if self.filter.passes(row, line) {
                self.desk.write_row(self.format, row, line).await;
            }
        }
    }

    fn is_full(&self) -> bool {
        self.desk.with(|state| state.rows) >= self.rows_max
    }
}
