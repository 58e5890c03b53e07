//! Sends one packet, over UDP perhaps several times, and waits for the reply that is to be believed.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use ulna_core::packet::{Code, Framed, Landmark, Secret};

use super::packet::Request;
use super::stream;

/// One request to one server.
pub struct Exchange<'r> {
    pub request: &'r Request,
    pub secret: &'r Secret,
    pub server: SocketAddr,
    pub transport: Transport,
    pub source: Option<Source>,
    /// For the reply to each try.
    pub timeout: Duration,
    pub tries: u8,
    pub require_message_authenticator: bool,
}

/// What carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    Udp,
    /// RFC 6613.
    Tcp,
}

/// Where a request is sent from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    address: Option<IpAddr>,
    port: u16,
}

/// How it ended.
pub enum Outcome {
    Reply(Reply),
    /// Nothing came that is to be believed.
    Silence {
        tries: u8,
        not_believed: u32,
    },
    /// The connection ended before anything came that is to be believed.
    Ended {
        how: Ended,
        not_believed: u32,
    },
    /// The host says that nobody listens there.
    Refused,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The server has closed it.
    Closed,
    /// The server, or the network, has broken it off.
    Reset,
    /// Something came whose Length no packet has: where the next begins nobody knows.
    BadLength,
}

/// A reply that verifies.
pub struct Reply {
    pub octets: Vec<u8>,
    pub code: Code,
    pub is_signed: bool,
    /// Since the first try.
    pub after: Duration,
    pub tries: u8,
}

/// What one try brought.
enum Heard {
    Reply(Vec<u8>, Code, bool),
    Nothing,
    Refused,
}

impl Source {
    /// `ADDRESS`, `ADDRESS:PORT`, `[IPv6]:PORT` or `PORT`.
    pub fn parse(text: &str) -> Result<Source, String> {
        if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
            return Ok(Source { address: None, port });
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Source { address: Some(address.ip()), port: address.port() });
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let address = bare.parse();
        let address = address
            .map_err(|_| format!("--source {text}: expected ADDRESS, ADDRESS:PORT, [IPv6]:PORT or PORT"))?;
        Ok(Source { address: Some(address), port: 0 })
    }

    /// Whether this server can be reached from there.
    pub fn fits(self, server: &SocketAddr) -> bool {
        self.address.is_none_or(|address| address.is_ipv4() == server.is_ipv4())
    }
}

impl Exchange<'_> {
    /// Runs it to its end; `notice` is told of what is not believed as it comes.
    pub fn run(&self, notice: &mut dyn FnMut(String)) -> Result<Outcome, String> {
        match self.transport {
            Transport::Udp => self.run_over_udp(notice),
            Transport::Tcp => stream::run(self, notice),
        }
    }

    fn run_over_udp(&self, notice: &mut dyn FnMut(String)) -> Result<Outcome, String> {
        let socket = self.socket()?;
        let begin = Instant::now();
        let mut not_believed = 0;
        for tries in 1..=self.tries {
            match socket.send(&self.request.octets) {
                Ok(_) => {}
                // The answer to an earlier try.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(Outcome::Refused),
                Err(error) => return Err(format!("cannot send to {}: {error}", self.server)),
            }
            let until = Instant::now() + self.timeout;
            match self.listen(&socket, until, &mut not_believed, notice)? {
                Heard::Reply(octets, code, is_signed) => {
                    let after = begin.elapsed();
                    return Ok(Outcome::Reply(Reply { octets, code, is_signed, after, tries }));
                }
                Heard::Refused => return Ok(Outcome::Refused),
                Heard::Nothing => {}
            }
        }
        Ok(Outcome::Silence { tries: self.tries, not_believed })
    }

    /// Connected, so that only the server's datagrams come, and the word that nobody listens there.
    fn socket(&self) -> Result<UdpSocket, String> {
        let local = self.local();
        let socket = UdpSocket::bind(local).map_err(|error| format!("cannot send from {local}: {error}"))?;
        socket.connect(self.server).map_err(|error| format!("cannot reach {}: {error}", self.server))?;
        Ok(socket)
    }

    /// Where it is sent from; zeros are the system's choice.
    pub fn local(&self) -> SocketAddr {
        let any: IpAddr =
            if self.server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let (address, port) =
            self.source.map_or((any, 0), |source| (source.address.unwrap_or(any), source.port));
        SocketAddr::new(address, port)
    }

    fn listen(
        &self,
        socket: &UdpSocket,
        until: Instant,
        not_believed: &mut u32,
        notice: &mut dyn FnMut(String),
    ) -> Result<Heard, String> {
        let mut octets = vec![0; usize::from(u16::MAX)];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Heard::Nothing);
            }
            let length = match socket.set_read_timeout(Some(left)).and_then(|()| socket.recv(&mut octets)) {
                Ok(length) => length,
                Err(error) if is_nothing(&error) => continue,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(Heard::Refused),
                Err(error) => return Err(format!("cannot receive from {}: {error}", self.server)),
            };
            match self.judge(&octets[..length]) {
                Ok((code, is_signed)) => return Ok(Heard::Reply(octets[..length].to_vec(), code, is_signed)),
                Err(why) => {
                    *not_believed += 1;
                    notice(format!("not believed: {length} octets from {}: {why}", self.server));
                }
            }
        }
    }

    /// Whether this is the reply; the error is why not.
    pub fn judge(&self, octets: &[u8]) -> Result<(Code, bool), String> {
        let framed = Framed::parse(octets).map_err(|error| format!("no packet: {error}"))?;
        let Some(expected) = self.request.identifier() else {
            return Err("what was sent has no Identifier, so nothing answers it".into());
        };
        if framed.identifier() != expected {
            return Err(format!("Identifier {} is not that of the request, {expected}", framed.identifier()));
        }
        let is_signed = framed.layout().has(Landmark::MessageAuthenticator);
        let verified = framed.verify_reply(
            self.secret,
            self.request.authenticator(),
            self.require_message_authenticator,
        );
        let verified = verified.map_err(|error| format!("it does not verify: {error}"))?;
        let code = verified.code();
        if !self.request.is_answered_by(code) {
            return Err(format!("it verifies, but {code} answers no {}", self.request.name()));
        }
        Ok((code, is_signed))
    }
}

/// Nothing came yet, and that is no error.
pub fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_address_a_port_or_both() {
        let source = |text: &str| Source::parse(text).map(|source| (source.address, source.port)).ok();
        let ip = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        assert_eq!(source("192.0.2.1"), Some((ip("192.0.2.1"), 0)));
        assert_eq!(source("192.0.2.1:7"), Some((ip("192.0.2.1"), 7)));
        assert_eq!(source("::1"), Some((ip("::1"), 0)));
        assert_eq!(source("[::1]"), Some((ip("::1"), 0)));
        assert_eq!(source("[::1]:7"), Some((ip("::1"), 7)));
        assert_eq!(source("7"), Some((None, 7)));
        assert_eq!(source(":7"), Some((None, 7)));
        assert_eq!(source("65536"), None);
        assert_eq!(source("localhost"), None);
    }
}
