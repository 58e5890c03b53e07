//! A server with a spool on a disk that the situation holds in its hand.

use crate::spool_disk::SpoolDisk;
use crate::support::{Forwarded, Sent, Server, nas};
use std::sync::Arc;
use std::time::Duration;
use ulna_core::accounting::{Loaded, NotAdded, Spool, Stored};
use ulna_core::effect::{Effect, EffectDone, NotSpooled, RecordBatch, Relay, Ticket};
use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Secret, number};
use ulna_core::time::UnixTime;

/// What ulna shares with the remote servers.
pub const REMOTE_SECRET: &[u8] = b"a secret of the remote servers";
/// The time on the wall at the start.
pub const BEGAN: u64 = 1_795_440_802;

pub fn remote_secret() -> Secret {
    Secret::new(REMOTE_SECRET).expect("it has octets")
}

/// A server, its spool and the disk of that.
pub struct Spooled {
    pub server: Server,
    pub spool: Spool,
    pub disk: SpoolDisk,
    /// The time on the wall when the server's clock began.
    pub wall_began: u64,
    sender: Option<(usize, Ticket)>,
}

impl Spooled {
    pub fn new(text: &str) -> Spooled {
        Spooled::on(text, SpoolDisk::default())
    }

    /// With what is on this disk.
    pub fn on(text: &str, disk: SpoolDisk) -> Spooled {
        let mut server = Server::of(text);
        server.wall_time(UnixTime(BEGAN));
        let settings = server.configuration.accounting.spool.expect("it has a spool");
        let mut spooled =
            Spooled { server, spool: Spool::new(settings), disk, wall_began: BEGAN, sender: None };
        spooled.drive();
        spooled.server.settle();
        spooled.serve();
        spooled
    }

    /// Does all that the spool asks of its disk.
    fn drive(&mut self) -> Loaded {
        let mut found = Loaded::default();
        let time = UnixTime(BEGAN);
        while let Some(operation) = self.spool.poll_operation(time) {
            let performed = self.disk.perform(&operation);
            if let Some(loaded) = self.spool.handle_performed(performed, self.server.now, time) {
                found = loaded;
            }
        }
        found
    }

    /// Does all that workers ask of the spool, as its thread does, until nothing is left. Gives what left for NASes.
    pub fn serve(&mut self) -> Vec<Sent> {
        let before = self.server.sent.len();
        loop {
            let effects = std::mem::take(&mut self.server.effects);
            let asked = effects.len();
            let mut batches = Vec::new();
            for (thread, ticket, effect) in effects {
                match effect {
                    Effect::Relay(Relay::Begin) => {
                        let is_sender = self.server.threads[thread].worker().expect("it asks").id().0 == 0;
                        let key = Secret::new(b"a key of this server's").expect("it has octets");
                        self.server.done(thread, ticket, EffectDone::SpoolKey(Arc::new(key)));
                        if is_sender {
                            self.sender = Some((thread, ticket));
                            self.spool.begin_sending();
                        }
                    }
                    Effect::Relay(Relay::Answered(names)) => {
                        self.spool.note_answered(&names, self.server.now);
                    }
                    Effect::Relay(Relay::Unanswered { name, may_be_overtaken }) => {
                        self.spool.put_back(name, may_be_overtaken);
                    }
                    Effect::Spool(RecordBatch { octets, .. }) => match self.spool.add(&octets) {
                        Ok(()) => batches.push((thread, ticket, octets)),
                        Err(NotAdded::Full) => {
                            let result = Err(NotSpooled::Full);
                            self.server.done(thread, ticket, EffectDone::Spooled { buffer: octets, result });
                        }
                        Err(NotAdded::Busy) => panic!("situations are small"),
                    },
                    Effect::Store(RecordBatch { octets: buffer, .. }) => {
                        self.server.done(thread, ticket, EffectDone::Stored { buffer, result: Ok(()) });
                    }
                    Effect::CheckPassword { .. }
                    | Effect::LookUp(_)
                    | Effect::Resolve(_)
                    | Effect::Errand(_) => {
                        panic!("nobody asks for that here")
                    }
                }
            }
            self.spool.store(self.server.now, UnixTime(BEGAN));
            self.drive();
            let result = match self.spool.poll_stored(self.server.now) {
                Some(Stored::Safe) | None => Ok(()),
                Some(Stored::Not) => Err(NotSpooled::Failed),
            };
            self.drive();
            for (thread, ticket, buffer) in batches {
                self.server.done(thread, ticket, EffectDone::Spooled { buffer, result });
            }
            let mut handed = 0;
            while let Some((thread, ticket)) = self.sender
                && let Some(record) = self.spool.poll_record()
            {
                self.server.done(thread, ticket, EffectDone::ToBeSent(Box::new(record)));
                handed += 1;
            }
            if asked + handed == 0 {
                return self.server.sent[before..].to_vec();
            }
        }
    }

    /// Time passes, on the wall as well. Gives what left for remote servers, and after how long.
    pub fn run(&mut self, span: Duration) -> Vec<(Duration, Forwarded)> {
        const STEP: Duration = Duration::from_millis(100);
        let (mut passed, mut all) = (Duration::ZERO, Vec::new());
        while passed < span {
            self.server.run(STEP);
            passed += STEP;
            let wall = self.server.now.saturating_since(ulna_core::Instant::ORIGIN).as_secs();
            self.server.wall_time(UnixTime(self.wall_began + wall));
            self.serve();
            all.extend(self.server.take_forwarded().into_iter().map(|forwarded| (passed, forwarded)));
        }
        all
    }

    /// An Accounting-Request, all that follows at once, and what left for NASes.
    pub fn ask(&mut self, port: u16, octets: &[u8]) -> Vec<Sent> {
        let before = self.server.sent.len();
        self.server.ask_accounting(nas(port), octets);
        self.serve();
        self.server.sent[before..].to_vec()
    }

    /// A remote server acknowledges what it got.
    pub fn acknowledge(&mut self, to: &Forwarded) {
        let sent = self.server.remote_reply(to, &acknowledgement(to));
        assert!(sent.is_empty(), "its NAS has had its answer");
        self.serve();
    }

    /// The process is killed, and another begins with what is on the disk.
    pub fn restart(self, text: &str) -> Spooled {
        let Spooled { mut disk, .. } = self;
        disk.crash(0);
        Spooled::on(text, disk)
    }
}

/// A remote server's acknowledgement, with the Proxy-States of the request.
pub fn acknowledgement(to: &Forwarded) -> Vec<u8> {
    let request = Framed::parse(&to.octets).expect("what leaves is a packet");
    let mut out = Vec::new();
    let (code, sign) = (Code::AccountingResponse, MessageAuthenticator::Absent);
    let mut encoder = Encoder::reply(&mut out, code, request.identifier(), sign);
    for state in request.proxy_states() {
        encoder.attribute(number::PROXY_STATE, state).expect("it fits");
    }
    encoder.finish_reply(&remote_secret(), request.authenticator());
    out
}
