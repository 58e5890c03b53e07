//! A server whose policy is code: devices get in by the Calling-Station-Id, into the VLAN that a table says.
//!
//! `cargo run -p ulna-runtime-mio --example policy` serves until its standard input ends. The configuration says where to
//! listen and who may ask; its rules are not asked.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use ulna_config::Cores;
use ulna_core::attributes::{Preset, text};
use ulna_core::packet::number;
use ulna_core::policy::{Asked, Decision, Edit, Edits, Policy, PolicyFactory, Verdict};
use ulna_core::{Configuration, Seed};
use ulna_runtime_mio::Server;

const CONFIGURATION: &str = r#"
[[listen]]
name = "ports"
transport = "udp"
address = "127.0.0.1:0"
packets = ["access", "status"]
server = "doors"

[[client]]
name = "switches"
network = "127.0.0.0/8"
secret = "shared by all switches"
require_message_authenticator = true

[[server]]
name = "doors"
"#;

const DEVICES: [(&str, u16); 2] = [("00-00-5E-00-53-01", 20), ("00-00-5E-00-53-02", 30)];

/// Each worker has one of its own. All that it answers with is made at start.
struct Doors {
    devices: BTreeMap<&'static str, Arc<Edits>>,
}

impl Doors {
    fn new(configuration: &Configuration) -> Doors {
        let vlan = |vlan: u16| {
            let dictionary = &configuration.dictionary;
            let attributes = format!(
                "Tunnel-Type = VLAN, Tunnel-Medium-Type = IEEE-802, Tunnel-Private-Group-Id = \"{vlan}\""
            );
            let attributes = text::parse(dictionary, &attributes).expect("the dictionary has them");
            let set = Preset::new(dictionary, attributes).expect("they fit into a packet");
            Arc::new(Edits { reply: Edit::set(set), ..Edits::default() })
        };
        Doors { devices: DEVICES.map(|(device, number)| (device, vlan(number))).into() }
    }
}

impl Policy for Doors {
    fn decide<'p>(&'p mut self, asked: &Asked<'_>) -> Verdict<'p> {
        let device = asked.attributes.of(number::CALLING_STATION_ID).next();
        let device = device.and_then(|octets| std::str::from_utf8(octets).ok());
        match device.and_then(|device| self.devices.get(device)) {
            Some(edits) => Verdict { decision: Decision::Accept, rule: None, edits: Some(edits) },
            None => Verdict::plain(Decision::Reject),
        }
    }
}

fn start() -> Result<Server, Box<dyn Error>> {
    let (configuration, _) = ulna_config::parse(CONFIGURATION, "policy.rs", Cores(2))?;
    let configuration = Arc::new(configuration);
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let policies: Arc<PolicyFactory> = Arc::new(|_, _, configuration| Box::new(Doors::new(configuration)));
    Ok(Server::start_with(&configuration, &Seed::new(seed), &policies, Box::new(std::io::stderr()))?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let server = start()?;
    for address in server.addresses() {
        println!("ready udp {address}");
    }
    std::io::stdin().read_to_end(&mut Vec::new())?;
    server.drain(Duration::from_secs(5));
    server.exit();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Secret};

    #[test]
    fn a_device_that_is_known_gets_its_vlan_and_others_get_none() {
        let server = start().expect("a port is free");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        socket.connect(server.addresses().next().expect("it listens")).expect("it is on this machine");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("not zero");
        let secret = Secret::new(b"shared by all switches").expect("it has octets");
        for (identifier, device, vlan) in [
            (1, "00-00-5E-00-53-02", Some("30")),
            (2, "00-00-5E-00-53-03", None),
            (3, DEVICES[0].0, Some("20")),
        ] {
            let mut request = Vec::new();
            let first = MessageAuthenticator::First;
            let mut encoder =
                Encoder::request(&mut request, Code::AccessRequest, identifier, &[9; 16], first);
            encoder.attribute(number::CALLING_STATION_ID, device.as_bytes()).expect("it fits");
            encoder.finish_request(&secret);
            socket.send(&request).expect("it listens");
            let mut reply = [0; 4096];
            let length = socket.recv(&mut reply).expect("it answers");
            let framed = Framed::parse(&reply[..length]).expect("a reply is a packet");
            let verified = framed.verify_reply(&secret, &[9; 16], true).expect("it verifies");
            let code = if vlan.is_some() { Code::AccessAccept } else { Code::AccessReject };
            let group = framed.attributes().of(81).next().map(<[u8]>::to_vec);
            assert_eq!((verified.code(), group), (code, vlan.map(|vlan| vlan.as_bytes().to_vec())));
        }
        assert!(server.drain(Duration::from_secs(5)));
        server.exit();
    }
}
