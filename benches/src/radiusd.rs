//! FreeRADIUS's server, version 3, storing accounting in its detail file: what ours is compared with. It does not sync.

use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use crate::machine::pin_to;
use crate::workload::SECRET;

/// Debian calls it `freeradius`, and keeps it where not everybody looks.
const NAMES: [&str; 3] = ["freeradius", "/usr/sbin/freeradius", "radiusd"];
/// Its file of records.
pub const DETAIL: &str = "detail";

/// A running radiusd.
#[derive(Debug)]
pub struct Radiusd {
    child: Child,
    address: SocketAddr,
    reader: Option<JoinHandle<()>>,
}

impl Radiusd {
    /// Starts one in this folder on this core, with so many threads beside the one that reads, or one thread for all.
    /// The calling thread ends up on `own_core`. `None` if none is installed.
    ///
    /// # Errors
    /// When it cannot be started, or ends at once.
    pub fn start(folder: &Path, threads: usize, core: usize, own_core: usize) -> io::Result<Option<Radiusd>> {
        // A free port, given back a moment before it is taken again; it cannot choose one itself.
        let address = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        fs::write(folder.join("radiusd.conf"), configuration(address.port(), threads.max(1)))?;
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

    /// Where it takes accounting.
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
fn configuration(port: u16, threads: usize) -> String {
    let secret = std::str::from_utf8(SECRET).expect("it is text");
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
    detail {{
        filename = ${{confdir}}/{DETAIL}
        permissions = 0600
        header = "%t"
    }}
}}
client localhost {{
    ipaddr = 127.0.0.1
    secret = "{secret}"
}}
server default {{
    listen {{
        type = acct
        ipaddr = 127.0.0.1
        port = {port}
        recv_buff = 4194304
    }}
    accounting {{
        detail
    }}
}}
"#
    )
}
