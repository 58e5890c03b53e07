//! `ulna check`: what is wrong with a configuration, what it would do with a packet, what a reload would change. Touches
//! no socket and no server.

mod client;
mod difference;
mod explain;
mod rehearsal;
mod route;
mod watch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ulna_config::Source;
use ulna_core::configuration::Configuration;
use ulna_core::packet::{Framed, Secret, Secrets};
use ulna_core::{ListenerId, Seed};

use crate::request::Placement;
use crate::request::input::{self, Text};
use crate::request::packet::{Form, Kind};
use crate::standard_error::say;
use crate::{EXIT_CONFIGURATION, cores, print, refuse};
use client::Claimant;
use explain::Explained;
use rehearsal::{Arrival, wall_time};

/// What the arguments say.
#[derive(clap::Args)]
pub struct CheckArguments {
    /// The configuration.
    #[arg(long, value_name = "FILE", required_unless_present = "print_default")]
    config: Option<PathBuf>,
    /// Print the configuration that is served when no file is named.
    #[arg(long, conflicts_with = "config")]
    print_default: bool,
    /// Explain what would become of a packet with the attributes of this file, one `Name = value` a line; - is standard
    /// input. Nothing is sent or stored.
    #[arg(long, value_name = "FILE", requires_all = ["config", "from", "listener"])]
    packet: Option<PathBuf>,
    /// What kind of packet it is: auth, accounting, status, coa, disconnect, or the number of a code.
    #[arg(long, value_name = "KIND", default_value = "auth", requires = "packet")]
    kind: String,
    /// Where it comes from.
    #[arg(long, value_name = "ADDR:PORT", requires = "packet")]
    from: Option<SocketAddr>,
    /// The name of the listener where it comes in, as its `name` says.
    #[arg(long, value_name = "NAME", requires = "packet")]
    listener: Option<String>,
    /// Where its Message-Authenticator stands; first in auth and status, off in all others, unless this is said.
    #[arg(long, value_name = "PLACE", requires = "packet")]
    message_authenticator: Option<Placement>,
    /// Say what a reload would change in a server that runs this configuration.
    #[arg(long, value_name = "OLD", requires = "config", conflicts_with = "packet")]
    against: Option<PathBuf>,
}

/// Checks, and says what was asked for.
pub fn check(arguments: &CheckArguments) -> ExitCode {
    let Some(file) = &arguments.config else { return print(ulna_config::default_text()) };
    let (configuration, warnings, source) = match ulna_config::load_with_source(file, cores()) {
        Ok(loaded) => loaded,
        Err(errors) => return refuse(&errors),
    };
    if !warnings.is_empty() {
        say(&warnings.to_string());
    }
    if let Some(packet) = &arguments.packet {
        return match explained(arguments, packet, configuration, source) {
            Ok(text) => print(&text),
            Err(why) => {
                say(&format!("ulna: {why}"));
                ExitCode::from(EXIT_CONFIGURATION)
            }
        };
    }
    if let Some(old) = &arguments.against {
        return match ulna_config::load_with_source(old, cores()) {
            Ok((running, _, old_source)) => {
                match difference::difference((configuration, &source), (&running, &old_source)) {
                    Ok(text) => print(&text),
                    Err(refusal) => {
                        say(&format!("ulna: a reload would be refused: {refusal}"));
                        ExitCode::from(EXIT_CONFIGURATION)
                    }
                }
            }
            Err(errors) => refuse(&errors),
        };
    }
    print(&format!("{}: no errors\n", file.display()))
}

/// What becomes of the packet that the arguments describe.
fn explained(
    arguments: &CheckArguments,
    packet: &Path,
    configuration: Configuration,
    source: Source,
) -> Result<String, String> {
    let (Some(from), Some(name)) = (arguments.from, &arguments.listener) else {
        return Err("--packet needs --from and --listener".into());
    };
    let listener = listener(&configuration, name, from)?;
    let kind = Kind::parse(&arguments.kind)
        .map_err(|_| "--kind must be auth, accounting, status, coa, disconnect, or the number of a code")?;
    let dictionary = input::lenient(&configuration.dictionary);
    let assignments = input::assignments(&dictionary, &[Text::of_file(packet)?])?;
    let form = Form {
        kind,
        identifier: Some(0),
        authenticator: None,
        placement: arguments.message_authenticator,
        chap: false,
    };
    // Of who is not known no secret is, and none is asked for.
    let stranger = Secret::new(b"of nobody").expect("it has octets");
    let mut chance = [0; 20];
    getrandom::fill(&mut chance).map_err(|error| format!("the system gives no random octets: {error}"))?;
    let octets = form.write(&dictionary, assignments.clone(), &stranger, &chance)?.octets;
    let arrival = Arrival { listener, from, octets: &octets };
    let local = configuration.listeners[usize::from(listener.0)].address;
    // What it is looked up by needs no secret.
    let octets = match Framed::parse(&octets) {
        Ok(framed) => {
            let claimant = Claimant::of(&configuration, arrival.path(local), framed, wall_time());
            let secret = claimant.secrets().map_or(&stranger, Secrets::newest);
            form.write(&dictionary, assignments, secret, &chance)?.octets
        }
        Err(_) => octets,
    };
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| format!("the system gives no random octets: {error}"))?;
    let arrival = Arrival { listener, from, octets: &octets };
    Ok(Explained::new(configuration, source, &Seed::new(seed), &arrival).to_string())
}

/// The listener of that name, at its address that a packet from there can reach.
fn listener(configuration: &Configuration, name: &str, from: SocketAddr) -> Result<ListenerId, String> {
    let named = configuration.listeners.iter().zip(0..).filter(|(listener, _)| *listener.name == *name);
    let mut named = named.peekable();
    if named.peek().is_none() {
        let mut names: Vec<_> = configuration.listeners.iter().map(|listener| &*listener.name).collect();
        names.dedup();
        let names = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        return Err(format!("--listener: no [[listen]] is called \"{}\", only {names}", name.escape_debug()));
    }
    let found = named.find(|(listener, _)| listener.address.is_ipv4() == from.ip().to_canonical().is_ipv4());
    let family = if from.is_ipv4() { "IPv4" } else { "IPv6" };
    found.map(|(_, number)| ListenerId(number)).ok_or_else(|| {
        format!("--listener: \"{}\" has no address of {family}, which --from is of", name.escape_debug())
    })
}
