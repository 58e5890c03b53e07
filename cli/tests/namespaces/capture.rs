//! What passed a device, by tcpdump, and a judge that shares nothing with ulna: `verify.py`, which reads the captures.

use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::nas::Nas;
use super::net::{command_in, in_namespace};
use super::support::{PATIENCE, file};

/// A tcpdump that writes a file.
pub struct Capture {
    tcpdump: Child,
    stderr: BufReader<std::process::ChildStderr>,
    path: PathBuf,
    namespace: String,
    marker_to: SocketAddr,
}

impl Capture {
    /// Captures RADIUS on that device, but for what a flood sent, which marks it. `peer` is an address beyond the
    /// device.
    pub fn begin(namespace: &str, device: &str, peer: IpAddr) -> Capture {
        let path = file(&format!("{device}.pcap"), "");
        let marker_to = SocketAddr::new(peer, DISCARD_PORT);
        let filter =
            format!("udp and ((port 1812 and not (ip and ip[1] = {FLOOD_MARK})) or port {DISCARD_PORT})");
        let mut command = command_in(namespace, "tcpdump");
        command.args(["-i", device, "-Z", "root", "-n", "-s", "0", "-U", "-B", "65536", "--immediate-mode"]);
        command.arg("-w").arg(&path).arg(filter);
        let mut tcpdump = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tcpdump was there");
        let mut stderr = BufReader::new(tcpdump.stderr.take().expect("it is piped"));
        let mut said = String::new();
        while !said.contains("listening on") {
            let read = stderr.read_line(&mut said).expect("it is a pipe");
            assert!(read > 0, "tcpdump ended: {said}");
        }
        Capture { tcpdump, stderr, path, namespace: namespace.to_string(), marker_to }
    }

    /// The process that captures.
    pub fn process(&self) -> u32 {
        self.tcpdump.id()
    }

    /// Ends it when all that passed until now is in the file. The error is what tcpdump says where the kernel has dropped something,
    /// as that could not be written in time.
    pub fn finish(mut self) -> Result<PathBuf, String> {
        let until = Instant::now() + PATIENCE;
        let to = self.marker_to;
        in_namespace(&self.namespace, || {
            let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).expect("a free port");
            socket.send_to(MARKER, to).expect("there is a route");
        });
        loop {
            let octets = std::fs::read(&self.path).expect("tcpdump writes it");
            if octets.windows(MARKER.len()).rev().any(|window| window == MARKER) {
                break;
            }
            assert!(Instant::now() < until, "the end of the capture never came");
            // A file cannot be waited for.
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let interrupt = ["-INT", &self.tcpdump.id().to_string()];
        assert!(Command::new("kill").args(interrupt).status().expect("there is kill").success());
        assert!(self.tcpdump.wait().expect("it is our child").success());
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).expect("it is a pipe");
        let dropped = said.lines().find_map(|line| line.strip_suffix(" packets dropped by kernel"));
        if dropped == Some("0") { Ok(self.path.clone()) } else { Err(said) }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.tcpdump.kill();
        let _ = self.tcpdump.wait();
    }
}

/// What `verify.py` judges, and what it is told beside.
#[derive(Clone)]
pub struct Evidence {
    pub inside: PathBuf,
    pub outside: PathBuf,
    pub server: SocketAddr,
    pub nat: IpAddr,
    pub witnesses: Vec<Witness>,
    /// While ports were moved under requests in progress: a reply may have gone to whoever has the port now.
    pub moves: Vec<[SystemTime; 2]>,
    /// How often a request may have been sent before its answer.
    pub transmissions_max: u32,
}

/// A NAS as the judge knows it.
#[derive(Clone)]
pub struct Witness {
    pub name: String,
    pub secret: String,
    pub local: SocketAddr,
    /// The NAT.
    pub is_behind: bool,
}

impl Witness {
    pub fn new(nas: &Nas, is_behind: bool) -> Witness {
        Witness { name: nas.site.name.clone(), secret: nas.site.secret.clone(), local: nas.local, is_behind }
    }
}

impl Evidence {
    /// Removes the captures. Those of a test that fails stay for whoever looks into it.
    pub fn discard(self) {
        for path in [self.inside, self.outside] {
            std::fs::remove_file(path).expect("it is ours");
        }
    }

    /// The script's account, or the faults that it found.
    pub fn judge(&self) -> Result<Value, String> {
        let nases = self.witnesses.iter().map(|Witness { name, secret, local, is_behind }| {
            json!({
                "name": name, "secret": secret, "behind": is_behind,
                "address": local.ip(), "port": local.port(),
            })
        });
        let seconds = |time: &SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH).expect("it is past 1970").as_secs_f64()
        };
        let case = json!({
            "inside": self.inside, "outside": self.outside, "nat": self.nat,
            "server": { "address": self.server.ip(), "port": self.server.port() },
            "nases": nases.collect::<Vec<_>>(), "transmissions_max": self.transmissions_max,
            "moves": self.moves.iter().map(|moved| moved.each_ref().map(seconds)).collect::<Vec<_>>(),
        });
        let path = file("case.json", &case.to_string());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/namespaces/verify.py");
        let output = Command::new("/usr/bin/python3").arg("-I").arg(script).arg(&path).output();
        let output = output.expect("python3 was there");
        let told = String::from_utf8_lossy(&output.stdout).trim().to_string();
        match output.status.code() {
            Some(0) => Ok(serde_json::from_str(&told).expect("it prints JSON")),
            // It has judged; anything else is its own failure.
            Some(FAULTS_FOUND) => Err(told),
            _ => panic!("{told}\n{}", String::from_utf8_lossy(&output.stderr)),
        }
    }
}

/// The script's exit code.
const FAULTS_FOUND: i32 = 3;
/// The whole traffic class octet of what a flood sends: class selector 1.
pub const FLOOD_MARK: u8 = 0x20;
const DISCARD_PORT: u16 = 9;
const MARKER: &[u8] = b"nothing behind this belongs to the capture";
