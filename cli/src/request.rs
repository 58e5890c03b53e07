//! `ulna request`: one exact packet to a server, and what comes back.
//!
//! A client for people and scripts, so it may block. It believes a reply as every client must: matched by socket and
//! Identifier, the Response Authenticator verified, and the Message-Authenticator where there is one; all else is said
//! and waited past. Exit codes: 0 Accept, Response or ACK; 1 Reject or NAK; 3 Challenge; 2 no valid reply, or usage.

mod exchange;
pub mod input;
pub mod packet;
mod reply;
mod stream;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use ulna_config::{FileSystem, durations};
use ulna_core::dictionary::Dictionary;
use ulna_core::packet::hidden::Hop;
use ulna_core::packet::{Code, Framed, Secret};
use zeroize::Zeroizing;

use crate::print;
use crate::standard_error::say;
use exchange::{Exchange, Outcome, Transport};
use packet::{Form, Kind, Request};
use reply::{End, Shown, Silence};

/// Where the secret is found if no argument says.
const SECRET_VARIABLE: &str = "ULNA_SECRET";

const EXIT_POSITIVE: u8 = 0;
const EXIT_NEGATIVE: u8 = 1;
const EXIT_NOTHING: u8 = 2;
const EXIT_CHALLENGE: u8 = 3;

/// What the arguments say.
#[derive(clap::Args)]
pub struct RequestArguments {
    /// The server: ADDRESS, ADDRESS:PORT (IPv6 in brackets) or a name; without a port that of KIND, 1812, 1813 or 3799.
    #[arg(long, value_name = "ADDR")]
    server: String,
    /// The shared secret. Others on this machine see it; see --secret-file.
    #[arg(long, value_name = "SECRET", conflicts_with = "secret_file")]
    secret: Option<String>,
    /// A file with the shared secret, without its last line break. Else the environment's ULNA_SECRET is taken.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// auth, accounting, status, coa, disconnect, or the number of a code.
    #[arg(required_unless_present_any = ["raw", "raw_file"])]
    kind: Option<String>,
    /// Attributes as radclient reads them: 'User-Name = bob', 'Tunnel-Type:1 = VLAN', 'Attr-26.9.1 = 0x00ff'.
    #[arg(value_name = "ATTR=VALUE")]
    assignments: Vec<String>,
    /// A file with attributes, one a line or between commas, before those of the arguments; - is standard input.
    #[arg(long, value_name = "FILE")]
    attributes: Option<PathBuf>,
    /// Dictionaries in FreeRADIUS 3's format, on top of the built-in one.
    #[arg(long, value_name = "FILE", num_args = 1)]
    dictionary: Vec<PathBuf>,
    /// The Identifier; else one by chance.
    #[arg(long, value_name = "0..255")]
    identifier: Option<u8>,
    /// Where to send from: ADDRESS, ADDRESS:PORT or PORT.
    #[arg(long, value_name = "ADDR")]
    source: Option<String>,
    /// What carries it: udp, or tcp as of RFC 6613, where nothing is sent again.
    #[arg(long, value_name = "TRANSPORT", default_value = "udp")]
    transport: Transport,
    /// The Request Authenticator, 32 hexadecimal digits, even where it should be computed; else by chance, or computed.
    #[arg(long, value_name = "HEX")]
    authenticator: Option<String>,
    /// Where the Message-Authenticator stands; first in auth and status, off in all others, unless this is said or
    /// 'Message-Authenticator = 0x00' stands among the attributes.
    #[arg(long, value_name = "PLACE")]
    message_authenticator: Option<Placement>,
    /// Turn User-Password into CHAP-Password.
    #[arg(long)]
    chap: bool,
    /// Send these octets as they are, pairs of hexadecimal digits; replaces KIND and attributes.
    #[arg(long, value_name = "HEX", conflicts_with_all = ["raw_file", "kind", "assignments", "attributes", "identifier",
          "authenticator", "message_authenticator", "chap"])]
    raw: Option<String>,
    /// The same from a file; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kind", "assignments", "attributes", "identifier",
          "authenticator", "message_authenticator", "chap"])]
    raw_file: Option<PathBuf>,
    /// How long to wait for a reply to each try.
    #[arg(long, value_name = "SPAN", default_value = "3s", value_parser = span)]
    timeout: Duration,
    /// How often to send the same octets again; 2, but 0 for status (RFC 5997), raw octets and over TCP.
    #[arg(long, value_name = "TIMES", value_parser = clap::value_parser!(u8).range(0..=100))]
    retries: Option<u8>,
    /// Do not believe an answer to an Access-Request without Message-Authenticator.
    #[arg(long)]
    require_message_authenticator: bool,
    /// Print both packets in hexadecimal, too.
    #[arg(long)]
    octets: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Where a Message-Authenticator stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Placement {
    Off,
    First,
    Last,
}

fn span(text: &str) -> Result<Duration, String> {
    let span = durations::parse(text).filter(|span| (MILLISECOND..=HOUR).contains(span));
    span.ok_or_else(|| "expected a span of time from \"1ms\" to \"1h\", such as \"500ms\" or \"3s\"".into())
}

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Sends it and says what came.
pub fn request(arguments: &RequestArguments) -> ExitCode {
    match run(arguments) {
        Ok(code) => code,
        Err(why) => {
            say(&format!("ulna: {why}"));
            ExitCode::from(EXIT_NOTHING)
        }
    }
}

/// The error is why nothing was sent, or nothing could be received.
fn run(arguments: &RequestArguments) -> Result<ExitCode, String> {
    let secret = secret(arguments)?;
    let dictionary = dictionary(&arguments.dictionary)?;
    let request = match raw(arguments)? {
        Some(octets) => Request::raw(octets)?,
        None => written(arguments, &dictionary, &secret)?,
    };
    let source = arguments.source.as_deref().map(exchange::Source::parse).transpose()?;
    let server = server(&arguments.server, request.default_port(), source)?;
    let is_over_tcp = arguments.transport == Transport::Tcp;
    if is_over_tcp && arguments.retries.is_some_and(|retries| retries > 0) {
        return Err("--retries: over TCP nothing is sent again, TCP does that (RFC 6613 §2.6.1)".into());
    }
    let retries = if is_over_tcp { 0 } else { request.default_retries() };
    let exchange = Exchange {
        request: &request,
        secret: &secret,
        server,
        transport: arguments.transport,
        source,
        timeout: arguments.timeout,
        tries: 1 + arguments.retries.unwrap_or(retries),
        require_message_authenticator: arguments.require_message_authenticator,
    };
    let outcome = exchange.run(&mut |notice| say(&format!("ulna: {notice}")))?;
    let sent = arguments.octets.then_some(&*request.octets);
    let (text, code) = match &outcome {
        Outcome::Reply(reply) => {
            let framed = Framed::parse(&reply.octets).expect("it was framed when it was verified");
            let hop = Hop { secret: &secret, request_authenticator: request.authenticator() };
            let shown = Shown { reply, framed, dictionary: &dictionary, hop, server, sent };
            (if arguments.json { shown.json() } else { shown.text() }, exit_code(reply.code))
        }
        Outcome::Silence { tries, not_believed } => {
            let silence =
                Silence { server, tries: *tries, timeout: arguments.timeout, not_believed: *not_believed };
            say(&format!("ulna: {silence}"));
            (if arguments.json { silence.json(sent) } else { reply::sent_line(sent) }, EXIT_NOTHING)
        }
        Outcome::Ended { how, not_believed } => {
            let end = End { server, how: *how, not_believed: *not_believed };
            say(&format!("ulna: {end}"));
            (if arguments.json { end.json(sent) } else { reply::sent_line(sent) }, EXIT_NOTHING)
        }
        Outcome::Refused => {
            let by = match arguments.transport {
                Transport::Udp => "ICMP port unreachable",
                Transport::Tcp => "connection refused",
            };
            say(&format!("ulna: nobody listens on {server}: the host refused it ({by})"));
            (if arguments.json { reply::refused_json(sent) } else { reply::sent_line(sent) }, EXIT_NOTHING)
        }
    };
    if text.is_empty() {
        return Ok(ExitCode::from(code));
    }
    let printed = print(&text);
    // Whoever lost the reply must not take it for read; 1 would say Reject.
    Ok(ExitCode::from(if printed == ExitCode::SUCCESS { code } else { EXIT_NOTHING }))
}

fn exit_code(code: Code) -> u8 {
    match code {
        Code::AccessAccept | Code::AccountingResponse | Code::DisconnectAck | Code::CoaAck => EXIT_POSITIVE,
        Code::AccessReject | Code::DisconnectNak | Code::CoaNak | Code::ProtocolError => EXIT_NEGATIVE,
        Code::AccessChallenge => EXIT_CHALLENGE,
        Code::AccessRequest
        | Code::AccountingRequest
        | Code::StatusServer
        | Code::StatusClient
        | Code::DisconnectRequest
        | Code::CoaRequest => EXIT_NOTHING,
    }
}

/// The packet that KIND, attributes and switches describe.
fn written(
    arguments: &RequestArguments,
    dictionary: &Dictionary,
    secret: &Secret,
) -> Result<Request, String> {
    let kind = Kind::parse(arguments.kind.as_deref().unwrap_or_default())?;
    let mut texts = Vec::new();
    if let Some(path) = &arguments.attributes {
        texts.push(input::Text::of_file(path)?);
    }
    texts.extend(input::Text::of_arguments(&arguments.assignments));
    let lenient = input::lenient(dictionary);
    let assignments = input::assignments(&lenient, &texts)?;
    let authenticator = match &arguments.authenticator {
        None => None,
        Some(text) => {
            let octets = input::hexadecimal(text).and_then(|octets| octets.try_into().ok());
            Some(octets.ok_or("--authenticator must be 32 hexadecimal digits")?)
        }
    };
    let form = Form {
        kind,
        identifier: arguments.identifier,
        authenticator,
        placement: arguments.message_authenticator,
        chap: arguments.chap,
    };
    let mut chance = [0; 20];
    getrandom::fill(&mut chance).map_err(|error| format!("the system gives no random octets: {error}"))?;
    form.write(&lenient, assignments, secret, &chance)
}

fn raw(arguments: &RequestArguments) -> Result<Option<Vec<u8>>, String> {
    let (name, text) = match (&arguments.raw, &arguments.raw_file) {
        (Some(text), _) => ("--raw".into(), Zeroizing::new(text.clone())),
        (None, Some(path)) => (path.display().to_string(), input::read(path)?),
        (None, None) => return Ok(None),
    };
    let octets = input::hexadecimal(&text).filter(|octets| !octets.is_empty());
    octets
        .map(Some)
        .ok_or_else(|| format!("{name}: expected pairs of hexadecimal digits, blanks between them"))
}

fn secret(arguments: &RequestArguments) -> Result<Secret, String> {
    let (from, octets) = match (&arguments.secret, &arguments.secret_file) {
        (Some(secret), _) => ("--secret".to_string(), Zeroizing::new(secret.clone().into_bytes())),
        (None, Some(path)) => {
            let octets = std::fs::read(path);
            let octets = octets.map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
            let mut octets = Zeroizing::new(octets);
            let end = [b"\r\n".as_slice(), b"\n"].into_iter().find(|end| octets.ends_with(end));
            let octet_count = octets.len() - end.map_or(0, <[u8]>::len);
            octets.truncate(octet_count);
            (path.display().to_string(), octets)
        }
        (None, None) => {
            let secret = std::env::var_os(SECRET_VARIABLE);
            let secret = secret.ok_or_else(|| {
                format!("a secret is needed: --secret-file FILE, --secret SECRET or {SECRET_VARIABLE} in the environment")
            })?;
            (SECRET_VARIABLE.to_string(), Zeroizing::new(secret.into_encoded_bytes()))
        }
    };
    Secret::new(&octets).map_err(|_| format!("{from}: the secret is empty"))
}

fn dictionary(files: &[PathBuf]) -> Result<Dictionary, String> {
    let mut dictionary = Dictionary::built_in();
    for file in files {
        let name: &Path = file;
        let loaded = dictionary.load(&name.display().to_string(), &mut FileSystem);
        loaded.map_err(|error| error.to_string())?;
    }
    Ok(dictionary)
}

/// The server's address, of the source's family if there is one.
fn server(text: &str, port: u16, source: Option<exchange::Source>) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let found: Vec<SocketAddr> = if let Ok(address) = text.parse() {
        vec![address]
    } else if let Ok(address) = bare.parse() {
        vec![SocketAddr::new(address, port)]
    } else {
        let (host, port) = match text.rsplit_once(':') {
            // More than one colon: an IPv6 address with a zone.
            Some((host, port)) if !host.contains(':') => {
                let port =
                    port.parse().map_err(|_| format!("--server {text}: the port must be 1 to 65535"))?;
                (host, port)
            }
            Some(_) | None => (bare, port),
        };
        let found = (host, port).to_socket_addrs();
        found.map_err(|error| format!("--server {text}: no address found: {error}"))?.collect()
    };
    let fits = |address: &&SocketAddr| source.is_none_or(|source| source.fits(address));
    let server = *found
        .iter()
        .find(fits)
        .ok_or_else(|| format!("--server {text}: no address of the same family as --source"))?;
    if server.port() == 0 {
        return Err(format!("--server {text}: the port must be 1 to 65535"));
    }
    Ok(server)
}
