//! `eapol_test`: a supplicant and its NAS in one process, for one conversation. Many of them at once.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::certificates;
use crate::support::{PASSWORD, SECRET, file, without_peer};

/// What is spoken, and what within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    TtlsPap,
    TtlsMschap,
    Peap,
    Tls,
}

pub const METHODS: [Method; 4] = [Method::TtlsPap, Method::TtlsMschap, Method::Peap, Method::Tls];

/// How users are called.
#[derive(Debug, Clone, Copy)]
pub enum Names {
    /// RFC 7542: `user7@example.edu`, outside of a tunnel of EAP-TTLS `anonymous@example.edu`.
    Realm,
    /// `EXAMPLE\user7`, which has no realm.
    Domain,
}

impl Names {
    fn of(self, user: &str) -> String {
        match self {
            Names::Realm => format!("{user}@example.edu"),
            Names::Domain => format!("EXAMPLE\\{user}"),
        }
    }
}

/// One that is to be authenticated.
#[derive(Debug, Clone)]
pub struct Supplicant {
    pub method: Method,
    /// What it says first, for all to read.
    outer: String,
    /// What it says in the tunnel.
    inner: String,
    number: u16,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An Access-Accept whose MPPE keys are those of the supplicant.
    Success,
    /// An answer that ended it otherwise.
    Failure,
    /// No answer any more.
    TimedOut,
}

impl Supplicant {
    pub fn new(number: u16, names: Names) -> Supplicant {
        let method = METHODS[usize::from(number) % METHODS.len()];
        let inner = names.of(&format!("user{number}"));
        let is_hidden = matches!(method, Method::TtlsPap | Method::TtlsMschap);
        let outer = if is_hidden { names.of("anonymous") } else { inner.clone() };
        Supplicant { method, outer, inner, number }
    }

    /// Its Calling-Station-Id, as the servers print it.
    pub fn station(&self) -> String {
        self.address().replace(':', "-").to_uppercase()
    }

    fn address(&self) -> String {
        let [high, low] = self.number.to_be_bytes();
        format!("02:00:00:00:{high:02x}:{low:02x}")
    }

    fn configuration(&self, certificates: &Path) -> String {
        let (eap, phase2) = match self.method {
            Method::TtlsPap => ("TTLS", Some("auth=PAP")),
            Method::TtlsMschap => ("TTLS", Some("auth=MSCHAPV2")),
            Method::Peap => ("PEAP", Some("auth=MSCHAPV2")),
            Method::Tls => ("TLS", None),
        };
        let certificates = certificates.display();
        let mut text =
            format!("network={{\nkey_mgmt=IEEE8021X\neap={eap}\nca_cert=\"{certificates}/ca.pem\"\n");
        let rest = match phase2 {
            Some(phase2) => write!(
                text,
                "anonymous_identity=\"{}\"\nidentity=\"{}\"\npassword=\"{PASSWORD}\"\nphase2=\"{phase2}\"\n}}\n",
                self.outer, self.inner
            ),
            None => write!(
                text,
                "identity=\"{}\"\nclient_cert=\"{certificates}/user.pem\"\nprivate_key=\"{certificates}/user.key\"\n}}\n",
                self.outer
            ),
        };
        rest.expect("memory takes it");
        text
    }

    /// Runs it to its end, which comes in so many seconds at most, and gives what it printed, too.
    fn run(&self, server: SocketAddr, seconds: u32, certificates: &Path) -> (Outcome, String) {
        let configuration = file("supplicant.conf", &self.configuration(certificates));
        let mut command = Command::new("eapol_test");
        command.arg("-c").arg(configuration).args(["-s", SECRET, "-M", &self.address()]);
        command.args(["-a", &server.ip().to_string(), "-p", &server.port().to_string()]);
        command.args(["-t", &seconds.to_string()]).stdin(Stdio::null());
        match command.output() {
            Ok(output) => {
                let told = String::from_utf8_lossy(&output.stdout).into_owned();
                let outcome = if output.status.success() && told.trim_end().ends_with("SUCCESS") {
                    Outcome::Success
                } else if told.contains("EAPOL test timed out") {
                    Outcome::TimedOut
                } else {
                    assert!(told.trim_end().ends_with("FAILURE"), "{self:?}: {told}");
                    Outcome::Failure
                };
                (outcome, told)
            }
            Err(error) => panic!("eapol_test cannot be run: {error}"),
        }
    }
}

fn is_there() -> Option<()> {
    match Command::new("eapol_test").arg("-v").stdin(Stdio::null()).output() {
        Ok(_) => Some(()),
        Err(error) => {
            without_peer(&format!("eapol_test (Debian: eapoltest) cannot be run: {error}"));
            None
        }
    }
}

/// So many, of all methods.
pub fn supplicants(count: u16, names: Names) -> Vec<Supplicant> {
    (0..count).map(|number| Supplicant::new(number, names)).collect()
}

/// Runs all of them at once, each for so many seconds at most, and does something meanwhile; gives how they ended, in
/// their order. `None` where eapol_test is to be done without.
pub fn run_all(
    supplicants: &[Supplicant],
    server: SocketAddr,
    seconds: u32,
    meanwhile: impl FnOnce(),
) -> Option<Vec<Outcome>> {
    // What happens meanwhile may wait for supplicants.
    is_there()?;
    let certificates = certificates::folder()?;
    std::thread::scope(|scope| {
        let run = |each| move || Supplicant::run(each, server, seconds, certificates);
        let threads = supplicants.iter().map(|each| scope.spawn(run(each)));
        let threads: Vec<_> = threads.collect();
        meanwhile();
        let ends: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("it only waits")).collect();
        let failed = supplicants.iter().zip(&ends).find(|(_, (outcome, _))| *outcome != Outcome::Success);
        if let Some((supplicant, (outcome, told))) = failed {
            let lines: Vec<&str> = told.lines().collect();
            let last = lines[lines.len().saturating_sub(12)..].join("\n");
            eprintln!("the first that did not succeed, {supplicant:?}: {outcome:?}\n{last}");
        }
        Some(ends.into_iter().map(|(outcome, _)| outcome).collect())
    })
}
