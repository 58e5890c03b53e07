//! FreeRADIUS's server with a small configuration of the test's own: a child in the foreground on loopback, never the
//! service of the machine.

use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use super::{PATIENCE, SECRET, file, without_peer};

/// Debian calls it `freeradius`, and keeps it where not everybody looks.
const NAMES: [&str; 3] = ["freeradius", "/usr/sbin/freeradius", "radiusd"];

/// A running radiusd.
pub struct Radiusd {
    child: Child,
    pub authentication: SocketAddr,
    pub accounting: SocketAddr,
    /// Where it is a NAS.
    pub coa: SocketAddr,
    /// What it prints, line by line.
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
}

impl Radiusd {
    /// Starts one that accepts every request with these attributes, each a line of unlang. `None` where it is to be
    /// done without.
    pub fn start(reply: &[String]) -> Option<Radiusd> {
        let authorize =
            format!("update control {{\nAuth-Type := Accept\n}}\nupdate reply {{\n{}\n}}", reply.join("\n"));
        Radiusd::start_with("", &authorize, "")
    }

    /// Starts one that checks MS-CHAP, with the passwords that this unlang sets.
    pub fn start_mschap(passwords: &str) -> Option<Radiusd> {
        let module = "mschap {\nuse_mppe = yes\nrequire_strong = yes\nwith_ntdomain_hack = yes\n}";
        Radiusd::start_with(module, &format!("{passwords}\nmschap"), "authenticate {\nmschap\n}")
    }

    /// Starts one that takes CoA and Disconnect, by this unlang: `ok` is ACK, `reject` NAK.
    pub fn start_nas(recv_coa: &str) -> Option<Radiusd> {
        let sections = format!("recv-coa {{\n{recv_coa}\n}}\nsend-coa {{\nok\n}}");
        Radiusd::start_with("always reject {\nrcode = reject\n}", "", &sections)
    }

    /// Starts one with this module, this section `authorize` and these sections more.
    fn start_with(module: &str, authorize: &str, sections: &str) -> Option<Radiusd> {
        // Free ports, given back a moment before they are taken again; it cannot choose them itself.
        let sockets = [(); 3].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
        let [authentication, accounting, coa] =
            sockets.map(|socket| socket.local_addr().expect("it is bound"));
        let ports = [authentication, accounting, coa].map(|address| address.port());
        let text = configuration(ports, [module, authorize, sections]);
        let path = file("radiusd.conf", &text);
        let folder = path.parent().expect("it stands in a folder");
        // `-X`: in the foreground, one thread, and all that it reads and writes on standard output.
        let mut child = spawn(folder, &["-X"])?;
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (tell, lines) = channel();
        let reader = std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // Nobody waits for it where a test has panicked.
                let _ = tell.send(line);
            }
        });
        let radiusd = Radiusd { child, authentication, accounting, coa, lines, reader: Some(reader) };
        radiusd.lines_until("Ready to process requests");
        Some(radiusd)
    }

    /// The lines that it prints up to the one that ends so.
    pub fn lines_until(&self, end: &str) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        while !lines.last().is_some_and(|line| line.ends_with(end)) {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line),
                Err(error) => panic!("radiusd never says {end:?} ({error}):\n{}", lines.join("\n")),
            }
        }
        lines
    }

    /// The attributes of the next request as it reads them.
    pub fn attributes(&self) -> Vec<String> {
        let lines = self.lines_until(") Finished request");
        let begin = lines.iter().position(|line| line.contains(") Received "));
        let begin = begin.unwrap_or_else(|| panic!("no request:\n{}", lines.join("\n")));
        let attributes = lines[begin + 1..].iter().take_while(|line| !line.contains(") # Executing"));
        let behind_number =
            |line: &String| line.split_once(')').map_or("", |(_, rest)| rest.trim()).to_string();
        attributes.map(behind_number).collect()
    }
}

/// Runs one with the configuration of this folder, its standard output piped. `None` where it is to be done without.
pub fn spawn(folder: &Path, mode: &[&str]) -> Option<Child> {
    let command = |name: &str| {
        let mut command = Command::new(name);
        command.args(mode).arg("-d").arg(folder).args(["-D", "/usr/share/freeradius"]).env("TZ", "UTC");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
    };
    let found = NAMES
        .into_iter()
        .map(command)
        .find(|child| !child.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound));
    if found.is_none() {
        without_peer("radiusd (Debian: freeradius) cannot be found");
    }
    found.map(|child| child.expect("what is installed can be run"))
}

impl Drop for Radiusd {
    /// It ends with the test, however that ends.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn configuration(
    [authentication, accounting, coa]: [u16; 3],
    [module, authorize, sections]: [&str; 3],
) -> String {
    format!(
        r#"
logdir = ${{confdir}}
run_dir = ${{confdir}}
libdir = /usr/lib/freeradius
hostname_lookups = no
proxy_requests = no
log {{
    destination = stdout
}}
security {{
    max_attributes = 0
    reject_delay = 0
}}
modules {{
    always ok {{
        rcode = ok
    }}
    {module}
}}
client localhost {{
    ipaddr = 127.0.0.1
    secret = "{SECRET}"
}}
server default {{
    listen {{
        type = auth
        ipaddr = 127.0.0.1
        port = {authentication}
    }}
    listen {{
        type = acct
        ipaddr = 127.0.0.1
        port = {accounting}
    }}
    listen {{
        type = coa
        ipaddr = 127.0.0.1
        port = {coa}
    }}
    authorize {{
{authorize}
    }}
    {sections}
    accounting {{
        ok
    }}
}}
"#
    )
}
