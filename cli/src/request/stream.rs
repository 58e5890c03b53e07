//! An exchange over TCP: a connection for the one request, and packets told apart by their Length alone. RFC 6613 §2.6.
//!
//! Nothing is sent again: TCP does that (RFC 6613 §2.6.1).

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use socket2::{Domain, Protocol, Socket, Type};
use ulna_core::stream::framing::{self, Next};

use super::exchange::{Ended, Exchange, Outcome, Reply, is_nothing};

/// Runs it to its end; `notice` is told of what is not believed as it comes.
pub fn run(exchange: &Exchange<'_>, notice: &mut dyn FnMut(String)) -> Result<Outcome, String> {
    let server = exchange.server;
    let until = Instant::now() + exchange.timeout;
    let mut stream = match connect(exchange)? {
        Connected::Stream(stream) => stream,
        Connected::Refused => return Ok(Outcome::Refused),
        Connected::Silent => return Ok(Outcome::Silence { tries: 1, not_believed: 0 }),
    };
    let begin = Instant::now();
    match stream.write_all(&exchange.request.octets) {
        Ok(()) => {}
        Err(error) if is_reset(error.kind()) => {
            return Ok(Outcome::Ended { how: Ended::Reset, not_believed: 0 });
        }
        Err(error) if is_nothing(&error) => return Ok(Outcome::Silence { tries: 1, not_believed: 0 }),
        Err(error) => return Err(format!("cannot send to {server}: {error}")),
    }
    let mut not_believed = 0;
    let mut octets = Vec::new();
    let mut segment = [0; READ_OCTETS];
    loop {
        match framing::next(&octets) {
            Next::Packet(length) => {
                let packet: Vec<u8> = octets.drain(..length).collect();
                match exchange.judge(&packet) {
                    Ok((code, is_signed)) => {
                        let after = begin.elapsed();
                        return Ok(Outcome::Reply(Reply {
                            octets: packet,
                            code,
                            is_signed,
                            after,
                            tries: 1,
                        }));
                    }
                    Err(why) => {
                        not_believed += 1;
                        notice(format!("not believed: {length} octets from {server}: {why}"));
                    }
                }
                continue;
            }
            Next::BadLength => {
                return Ok(Outcome::Ended { how: Ended::BadLength, not_believed: not_believed + 1 });
            }
            Next::Partial => {}
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Outcome::Silence { tries: 1, not_believed });
        }
        match stream.set_read_timeout(Some(left)).and_then(|()| stream.read(&mut segment)) {
            Ok(0) => return Ok(Outcome::Ended { how: Ended::Closed, not_believed }),
            Ok(length) => octets.extend_from_slice(&segment[..length]),
            Err(error) if is_nothing(&error) => {}
            Err(error) if is_reset(error.kind()) => {
                return Ok(Outcome::Ended { how: Ended::Reset, not_believed });
            }
            Err(error) => return Err(format!("cannot receive from {server}: {error}")),
        }
    }
}

enum Connected {
    Stream(TcpStream),
    /// The host says that nobody listens there.
    Refused,
    /// It says nothing.
    Silent,
}

fn connect(exchange: &Exchange<'_>) -> Result<Connected, String> {
    let Exchange { server, timeout, .. } = exchange;
    let local = exchange.local();
    let socket = Socket::new(Domain::for_address(*server), Type::STREAM, Some(Protocol::TCP));
    let socket = socket.map_err(|error| format!("cannot send from {local}: {error}"))?;
    // A port that was just used stays in TIME-WAIT for a minute, which keeps nobody from a connection to another server.
    let bound = socket.set_reuse_address(true).and_then(|()| socket.bind(&local.into()));
    bound.map_err(|error| format!("cannot send from {local}: {error}"))?;
    match socket.connect_timeout(&(*server).into(), *timeout) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(Connected::Refused),
        Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(Connected::Silent),
        Err(error) => return Err(format!("cannot reach {server}: {error}")),
    }
    let stream = TcpStream::from(socket);
    let set = stream.set_nodelay(true).and_then(|()| stream.set_write_timeout(Some(*timeout)));
    set.map_err(|error| format!("cannot send to {server}: {error}"))?;
    Ok(Connected::Stream(stream))
}

/// The peer, or the network, has broken it off.
fn is_reset(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe)
}

const READ_OCTETS: usize = 4096;
