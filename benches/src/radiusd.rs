//! FreeRADIUS's server, version 3, with a configuration of the benchmark's own: storing accounting in its detail file, which it
//! does not sync, with clients that it is told of by a virtual server when they first speak, or as a proxy.

use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use crate::machine::pin_to;
use crate::newcomers::{Place, secret};
use crate::workload::{HOME_SECRET, SECRET};

/// Debian calls it `freeradius`, and keeps it where not everybody looks.
const NAMES: [&str; 3] = ["freeradius", "/usr/sbin/freeradius", "radiusd"];
/// Its file of records.
pub const DETAIL: &str = "detail";
/// The table of secrets, by source address.
pub const SECRETS: &str = "secrets";

/// A running radiusd.
#[derive(Debug)]
pub struct Radiusd {
    child: Child,
    address: SocketAddr,
    reader: Option<JoinHandle<()>>,
}

impl Radiusd {
    /// Starts one in this folder on this core, with so many threads beside the one that reads, or one thread for all, and with
    /// the configuration that `configured` makes for a port and so many threads. The calling thread ends up on `own_core`. `None` if none is installed.
    ///
    /// # Errors
    /// When it cannot be started, or ends at once.
    pub fn start(
        folder: &Path,
        configured: impl Fn(u16, usize) -> String,
        threads: usize,
        core: usize,
        own_core: usize,
    ) -> io::Result<Option<Radiusd>> {
        // A free port, given back a moment before it is taken again; it cannot choose one itself.
        let address = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        fs::write(folder.join("radiusd.conf"), configured(address.port(), threads.max(1)))?;
        let command = |name: &str| {
            let mut command = Command::new(name);
            // In the foreground, without debugging.
            command.args(["-f", "-l", "stdout", "-D", "/usr/share/freeradius", "-d"]).arg(folder);
            if threads == 0 {
                command.arg("-s");
            }
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
        };
        // A child stays on the core of the thread that starts it.
        pin_to(core)?;
        let found = NAMES
            .into_iter()
            .map(command)
            .find(|child| !child.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound));
        pin_to(own_core)?;
        let Some(child) = found else { return Ok(None) };
        let mut child = child?;
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut radiusd = Radiusd { child, address, reader: None };
        let mut said = String::new();
        loop {
            match lines.next() {
                Some(line) if line.as_ref().is_ok_and(|line| line.ends_with("Ready to process requests")) => {
                    break;
                }
                Some(line) => said = said + &line? + "\n",
                None => return Err(io::Error::other(format!("radiusd does not start:\n{said}"))),
            }
        }
        // What it says later is nobody's, but it has to be taken from it.
        radiusd.reader = Some(std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop)));
        Ok(Some(radiusd))
    }

    /// Where it takes requests.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Radiusd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// As Debian has it for accounting, without all that a detail file does not need.
pub fn accounting(port: u16, threads: usize) -> String {
    let secret = std::str::from_utf8(SECRET).expect("it is text");
    let modules =
        format!("detail {{\nfilename = ${{confdir}}/{DETAIL}\npermissions = 0600\nheader = \"%t\"\n}}");
    let clients = format!("client localhost {{\nipaddr = 127.0.0.1\nsecret = \"{secret}\"\n}}");
    configuration(port, threads, [&modules, &clients, "acct", "accounting {\ndetail\n}"])
}

/// Accepts everything of a client. Clients are those whose source address is in [`SECRETS`], asked about when they first speak
/// (`sites-available/dynamic-clients` of its own examples, with module `files` in the place of a database).
pub fn dynamic_clients(port: u16, threads: usize) -> String {
    let modules = format!(
        "files secrets {{\nfilename = ${{confdir}}/{SECRETS}\nkey = \"%{{Packet-Src-IP-Address}}\"\n}}\n\
         always ok {{\nrcode = ok\n}}"
    );
    let clients = format!(
        r#"
client dynamic {{
    ipaddr = {}
    dynamic_clients = dynamic_clients
    lifetime = 3600
}}
server dynamic_clients {{
    authorize {{
        secrets
        update control {{
            &FreeRADIUS-Client-IP-Address = "%{{Packet-Src-IP-Address}}"
            &FreeRADIUS-Client-Require-MA = yes
            &FreeRADIUS-Client-Shortname = "%{{Packet-Src-IP-Address}}"
        }}
        ok
    }}
}}
"#,
        Place::Addresses.network()
    );
    let accept = "authorize {\nupdate control {\nAuth-Type := Accept\n}\n}";
    configuration(port, threads, [&modules, &clients, "auth", accept])
}

/// The table that its look-ups read.
pub fn secrets(count: usize) -> String {
    let line =
        |n: usize| format!("{} FreeRADIUS-Client-Secret := \"{}\"\n", Place::Addresses.address(n), secret(n));
    (0..count).map(line).collect()
}

/// A proxy that forwards everything to the home server at this port.
pub fn forwarding(home: u16, port: u16, threads: usize) -> String {
    let [secret, home_secret] =
        [SECRET, HOME_SECRET].map(|secret| std::str::from_utf8(secret).expect("it is text"));
    let servers = format!(
        "client localhost {{\nipaddr = 127.0.0.1\nsecret = \"{secret}\"\nrequire_message_authenticator = yes\n}}\n\
         proxy server {{\ndefault_fallback = no\n}}\n\
         home_server home {{\ntype = auth\nipaddr = 127.0.0.1\nport = {home}\nsecret = \"{home_secret}\"\n\
         status_check = none\nmax_outstanding = 65536\n}}\n\
         home_server_pool homes {{\ntype = fail-over\nhome_server = home\n}}\n\
         realm home {{\nauth_pool = homes\nnostrip\n}}"
    );
    let forward = "authorize {\nupdate control {\nProxy-To-Realm := \"home\"\n}\n}";
    let text = configuration(port, threads, ["", &servers, "auth", forward]);
    text.replace("proxy_requests = no", "proxy_requests = yes")
}

fn configuration(port: u16, threads: usize, [modules, clients, kind, section]: [&str; 4]) -> String {
    format!(
        r#"
logdir = ${{confdir}}
run_dir = ${{confdir}}
libdir = /usr/lib/freeradius
hostname_lookups = no
proxy_requests = no
max_requests = 65536
cleanup_delay = 0
log {{
    destination = stdout
}}
security {{
    max_attributes = 0
}}
thread pool {{
    start_servers = {threads}
    max_servers = {threads}
    min_spare_servers = 1
    max_spare_servers = {threads}
    max_requests_per_server = 0
}}
modules {{
{modules}
}}
{clients}
server default {{
    listen {{
        type = {kind}
        ipaddr = 127.0.0.1
        port = {port}
        recv_buff = 4194304
    }}
    {section}
}}
"#
    )
}
