//! What the world does with accounting: the thread that stores it, the disk that is slow, fails and outlives processes, and
//! what NASes and whoever reads the files may find there.

use super::{Event, World};
use crate::checks::Violation;
use crate::checks::records::{
    ACKNOWLEDGED_IS_SAFE, NO_TORN_LINE, ONE_DIGEST, Record, STORED_BEFORE_IT_GOES_ON, torn_line, twins,
};
use crate::draw::Class;
use crate::fault::disk;
use crate::oracle::codec::{Packet, kind};
use crate::store::Store;
use std::collections::{BTreeMap, BTreeSet};
use ulna_core::accounting::Rotation;
use ulna_core::effect::Ticket;

/// The storing thread, its disk, and what was acknowledged.
pub(super) struct Records {
    pub store: Store<(usize, Ticket)>,
    /// When the thread is to look next, if that is scheduled.
    due: Option<u64>,
    /// Sessions that are safe, as far as each file was read, by the file's number.
    read: BTreeMap<u64, usize>,
    safe: BTreeSet<String>,
    acknowledged: BTreeSet<String>,
    /// Whether the file was whole since this process began.
    has_started: bool,
}

impl Records {
    /// An empty disk.
    pub fn new(rotation: Rotation) -> Self {
        Records {
            store: Store::new(rotation),
            due: None,
            read: BTreeMap::new(),
            safe: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            has_started: false,
        }
    }

    /// All processes end, and what was not synced may be gone.
    pub fn forget_process(&mut self) {
        self.due = None;
        self.read.clear();
        self.safe.clear();
        self.has_started = false;
    }

    /// Whether a session is safe now.
    fn is_safe(&mut self, session: &str) -> bool {
        if self.safe.contains(session) {
            return true;
        }
        for (number, octets) in self.store.disk().safe_files() {
            let read = self.read.entry(number).or_default();
            if *read > octets.len() {
                *read = 0;
            }
            let whole = octets[*read..].iter().rposition(|octet| *octet == b'\n').map_or(0, |last| last + 1);
            self.safe.extend(Record::all(&octets[*read..*read + whole]).map(|record| record.session));
            *read += whole;
        }
        self.safe.contains(session)
    }
}

impl World<'_> {
    /// The storing thread goes on: ends what is due, begins what is next, and answers.
    pub(super) fn store(&mut self) -> Result<(), Violation> {
        let (now, time) = (self.now, self.clock.shows(self.now));
        let Records { store, .. } = &mut self.records;
        if store.is_due(now) {
            let draw = self.draws.at(Class::Disk, 2, store.operations());
            store.end_operation(now, time, draw);
        }
        let faults = &mut self.faults;
        store.go_on(now, time, |operation| disk::course(operation, now, faults));
        let answers = store.take_answers();
        let next = store.next(now);
        if store.is_ready() && !self.records.has_started {
            self.records.has_started = true;
            self.look_at_records()?;
        }
        for ((thread, ticket), done) in answers {
            self.effect_done(thread, ticket, done)?;
        }
        if let Some(next) = next
            && self.records.due.is_none_or(|due| due <= now || due > next)
        {
            self.records.due = Some(next);
            let operator = self.first_threads + self.nases.len();
            self.schedule.add(next, operator, Event::Store);
        }
        Ok(())
    }

    /// An Accounting-Response leaves to this request: from now on its NAS has forgotten the record.
    pub(super) fn acknowledge(&mut self, request: &[u8]) -> Result<(), Violation> {
        let session = Packet::read(request).ok().and_then(|packet| packet.all(kind::ACCT_SESSION_ID).next());
        let Some(session) = session.map(Record::session_of) else { return Ok(()) };
        if !self.records.is_safe(&session) {
            let details = format!("{session} is not on the disk when it is acknowledged");
            return Err(Violation { invariant: &ACKNOWLEDGED_IS_SAFE, at: self.now, details });
        }
        self.records.acknowledged.insert(session);
        Ok(())
    }

    /// A record goes on to a remote server, and is stored here, too.
    pub(super) fn goes_on(&mut self, request: &[u8]) -> Result<(), Violation> {
        let session = Packet::read(request).ok().and_then(|packet| packet.all(kind::ACCT_SESSION_ID).next());
        let Some(session) = session.map(Record::session_of) else { return Ok(()) };
        if !self.records.is_safe(&session) {
            let details = format!("{session} is not on the disk when it goes on");
            return Err(Violation { invariant: &STORED_BEFORE_IT_GOES_ON, at: self.now, details });
        }
        Ok(())
    }

    /// After a start, and at the end: every line whole, nothing acknowledged missing.
    pub(super) fn look_at_records(&self) -> Result<(), Violation> {
        let broken = |invariant, details| Err(Violation { invariant, at: self.now, details });
        let disk = self.records.store.disk();
        if let Some(line) = torn_line(disk.seen()) {
            return broken(&NO_TORN_LINE, line);
        }
        let records: Vec<Record> = disk.safe().flat_map(Record::all).collect();
        if let Some(session) = twins(&records) {
            return broken(&ONE_DIGEST, session);
        }
        let there: BTreeSet<&String> = records.iter().map(|record| &record.session).collect();
        match self.records.acknowledged.iter().find(|session| !there.contains(session)) {
            Some(lost) => broken(&ACKNOWLEDGED_IS_SAFE, format!("{lost} was acknowledged and is gone")),
            None => Ok(()),
        }
    }
}
