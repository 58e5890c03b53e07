//! FreeRADIUS as an EAP server: EAP-TTLS with PAP or MS-CHAP-V2 within, PEAP with MS-CHAP-V2, EAP-TLS. It writes each
//! round that it gets and each answer that it gives into a journal of its own.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::certificates;
use crate::journal::Journal;
use crate::support::radiusd::spawn;
use crate::support::{PASSWORD, PATIENCE, SECRET, file};

/// A running server.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    folder: PathBuf,
    /// What it says of itself.
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// `None` where it is to be done without.
    pub fn start() -> Option<Server> {
        let certificates = certificates::folder()?;
        // A free port, given back a moment before it is taken again; it cannot choose one itself.
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        drop(socket);
        let path = file("radiusd.conf", &configuration(address.port(), certificates));
        let folder = path.parent().expect("it stands in a folder").to_path_buf();
        // In the foreground, in one thread: what it writes down has the order in which it happened.
        let mut child = spawn(&folder, &["-sf", "-l", "stdout"])?;
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let said = Arc::new(Mutex::new(String::new()));
        let (tell, told) = channel();
        let reader = std::thread::spawn({
            let said = Arc::clone(&said);
            move || {
                for line in stdout.lines().map_while(Result::ok) {
                    if line.ends_with("Ready to process requests") {
                        // Nobody waits for it where a test has panicked.
                        let _ = tell.send(());
                    }
                    let mut said = said.lock().expect("no reader panics");
                    said.push_str(&line);
                    said.push('\n');
                }
            }
        });
        let server = Server { child, address, folder, said, reader: Some(reader) };
        let ready = told.recv_timeout(PATIENCE);
        assert!(ready.is_ok(), "it is never ready:\n{}", server.said());
        Some(server)
    }

    /// So many of them; `None` where they are to be done without.
    pub fn start_all<const COUNT: usize>() -> Option<[Server; COUNT]> {
        let servers: Option<Vec<Server>> = (0..COUNT).map(|_| Server::start()).collect();
        servers?.try_into().ok()
    }

    /// What it has written down so far.
    pub fn journal(&self) -> Journal {
        let text = std::fs::read_to_string(self.folder.join("journal")).unwrap_or_default();
        Journal::read(&text, &self.said())
    }

    /// The same once it has complained so often: what it says comes by a pipe, and may be later than its answer. As it is
    /// when that takes too long.
    pub fn journal_with(&self, complaints: usize) -> Journal {
        let began = std::time::Instant::now();
        loop {
            let journal = self.journal();
            if journal.complaints >= complaints || began.elapsed() > std::time::Duration::from_secs(10) {
                return journal;
            }
            std::thread::yield_now();
        }
    }

    fn said(&self) -> String {
        self.said.lock().expect("no reader panics").clone()
    }

    /// Ends it at once, in the midst of whatever it does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    /// It ends with the test, however that ends.
    fn drop(&mut self) {
        self.kill();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn configuration(port: u16, certificates: &Path) -> String {
    let certificates = certificates.display();
    format!(
        r#"
logdir = ${{confdir}}
run_dir = ${{confdir}}
libdir = /usr/lib/freeradius
hostname_lookups = no
proxy_requests = no
max_requests = 16384
log {{
    destination = stdout
}}
security {{
    max_attributes = 0
    reject_delay = 0
    status_server = yes
}}
modules {{
    always ok {{
        rcode = ok
    }}
    linelog round {{
        filename = ${{confdir}}/journal
        format = "round|%{{Calling-Station-Id}}|%{{State}}|%{{EAP-Message[0]}}|%{{User-Name}}|"
    }}
    linelog answer {{
        filename = ${{confdir}}/journal
        format = "%{{reply:Packet-Type}}|%{{Calling-Station-Id}}|%{{reply:State}}|||%{{Module-Failure-Message}}"
    }}
    pap {{
    }}
    mschap {{
        use_mppe = yes
        with_ntdomain_hack = yes
    }}
    eap {{
        default_eap_type = ttls
        timer_expire = 60
        max_sessions = 16384
        tls-config tls-common {{
            private_key_file = {certificates}/server.key
            certificate_file = {certificates}/server.pem
            ca_file = {certificates}/ca.pem
            ecdh_curve = "prime256v1"
            tls_min_version = "1.2"
            tls_max_version = "1.2"
            fragment_size = 1024
            cache {{
                enable = no
            }}
        }}
        tls {{
            tls = tls-common
        }}
        ttls {{
            tls = tls-common
            default_eap_type = mschapv2
            copy_request_to_tunnel = no
            use_tunneled_reply = no
            virtual_server = "within"
        }}
        peap {{
            tls = tls-common
            default_eap_type = mschapv2
            copy_request_to_tunnel = no
            use_tunneled_reply = no
            virtual_server = "within"
        }}
        mschapv2 {{
        }}
    }}
    eap eap-within {{
        default_eap_type = mschapv2
        timer_expire = 60
        max_sessions = 16384
        mschapv2 {{
        }}
    }}
}}
client localhost {{
    ipaddr = 127.0.0.1
    secret = "{SECRET}"
}}
server default {{
    listen {{
        type = auth
        ipaddr = 127.0.0.1
        port = {port}
    }}
    authorize {{
        round
        eap {{
            ok = return
        }}
        Autz-Type Status-Server {{
            ok
        }}
    }}
    authenticate {{
        eap
    }}
    post-auth {{
        answer
        Post-Auth-Type Challenge {{
            answer
        }}
        Post-Auth-Type REJECT {{
            answer
        }}
    }}
}}
server within {{
    authorize {{
        update control {{
            Cleartext-Password := "{PASSWORD}"
        }}
        mschap
        eap-within {{
            ok = return
        }}
        pap
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
        Auth-Type MS-CHAP {{
            mschap
        }}
        eap-within
    }}
}}
"#
    )
}
