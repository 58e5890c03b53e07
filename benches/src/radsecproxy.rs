//! radsecproxy as a plain proxy over UDP, with a configuration of the benchmark's own: it takes requests of one client and forwards all
//! of them to one home server.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::machine::pin_to;
use crate::workload::{HOME_SECRET, SECRET};

/// Debian keeps it where not everybody looks.
const NAMES: [&str; 2] = ["radsecproxy", "/usr/sbin/radsecproxy"];

/// A running radsecproxy.
#[derive(Debug)]
pub struct Radsecproxy {
    child: Child,
    address: SocketAddr,
}

impl Radsecproxy {
    /// Starts one in this folder on this core, in front of the home server at this address. The calling thread ends up on `own_core`.
    /// It does not say when it is ready: who asks it has to ask again. `None` if none is installed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        folder: &Path,
        home: SocketAddr,
        core: usize,
        own_core: usize,
    ) -> io::Result<Option<Radsecproxy>> {
        // A free port, given back a moment before it is taken again; it cannot choose one itself.
        let address = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let file = folder.join("radsecproxy.conf");
        fs::write(&file, configuration(address, home))?;
        let command = |name: &str| {
            let mut command = Command::new(name);
            // In the foreground.
            command.arg("-f").arg("-c").arg(&file);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
        };
        // A child stays on the core of the thread that starts it.
        pin_to(core)?;
        let found = NAMES
            .into_iter()
            .map(command)
            .find(|child| !child.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound));
        pin_to(own_core)?;
        found.map(|child| Ok(Radsecproxy { child: child?, address })).transpose()
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

impl Drop for Radsecproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Warnings and errors are all that it writes.
fn configuration(address: SocketAddr, home: SocketAddr) -> String {
    let [secret, home_secret] =
        [SECRET, HOME_SECRET].map(|secret| std::str::from_utf8(secret).expect("it is text"));
    format!(
        "ListenUDP {address}\nIPv4Only on\nLogLevel 4\n\
         client load {{\nhost 127.0.0.1\ntype udp\nsecret \"{secret}\"\n}}\n\
         server home {{\nhost {}\nport {}\ntype udp\nsecret \"{home_secret}\"\n}}\n\
         realm * {{\nserver home\n}}\n",
        home.ip(),
        home.port(),
    )
}
