//! FreeRADIUS's radclient writes and reads what we do: the same attributes as text on both sides, octets between.
//!
//! Both sides read Debian's dictionaries (packages freeradius-common and freeradius-utils: `scripts/install-peers`).

use std::io::Write;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;
use ulna_config::FileSystem;
use ulna_core::attributes::text::{self, Sealing};
use ulna_core::dictionary::Dictionary;
use ulna_core::packet::hidden::Hop;
use ulna_core::packet::{Attributes, Code, Encoder, Framed, MessageAuthenticator, Secret};

/// As radclient prints them.
const ATTRIBUTES: &[&str] = &[
    "User-Name = \"bob\\\"s \\\\ \u{e9}\"",
    "Service-Type = Framed-User",
    "Framed-IP-Address = 192.0.2.7",
    "Framed-IPv6-Prefix = 2001:db8::/32",
    "Framed-Interface-Id = 0:0:a:1",
    "Login-IPv6-Host = 2001:db8::1",
    "Class = 0x00ff10",
    "Event-Timestamp = \"Nov 23 2026 13:33:22 UTC\"",
    "Tunnel-Type:1 = VLAN",
    "Tunnel-Medium-Type:1 = IEEE-802",
    "Tunnel-Private-Group-Id:1 = \"12\"",
    "Cisco-AVPair = \"shell:priv-lvl=15\"",
    "Ascend-Send-Secret = \"ascend\"",
    "USR-Channel = 7",
    "Lucent-Max-Shared-Users = 3",
    "SN-VPN-Name = \"vpn\"",
    "WiMAX-Release = \"1.0\"",
    "WiMAX-Accounting-Capabilities = IP-Session-Based",
    "FreeRADIUS-802.1X-Anonce = 0x0102",
    "Acct-Input-Octets = 4294967295",
    "Attr-26.32473.1 = 0x6162",
    "Attr-250 = 0x01",
];

/// Hidden with a salt, which radclient refuses to write into a request, and reads in a reply.
const SALTED: &[&str] = &[
    "Tunnel-Password:3 = \"a secret of more than sixteen octets\"",
    "MS-MPPE-Send-Key = 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    "MS-MPPE-Recv-Key = 0x00",
];

fn secret() -> Secret {
    Secret::new(b"testing123").expect("not empty")
}

fn dictionary() -> Dictionary {
    let mut dictionary = Dictionary::default();
    dictionary
        .load("/usr/share/freeradius/dictionary", &mut FileSystem)
        .expect("freeradius-common is installed");
    dictionary
}

/// Has radclient send these lines, gives the packet, and what it prints of the attributes that it gets in reply.
fn exchange(lines: &[&str], reply: impl FnOnce(&Framed<'_>) -> Vec<u8>) -> (Vec<u8>, Vec<String>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket takes a time-out");
    let server = socket.local_addr().expect("it is bound").to_string();
    let mut radclient = Command::new("radclient")
        .args(["-d", "/usr/share/freeradius", "-D", "/usr/share/freeradius", "-x", "-r", "1", "-t", "10"])
        .args([&server, "auth", "testing123"])
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("freeradius-utils is installed");
    let mut stdin = radclient.stdin.take().expect("it is piped");
    writeln!(stdin, "{}", lines.join(",\n")).expect("radclient reads");
    drop(stdin);
    let mut datagram = [0; 4096];
    let Ok((octets, peer)) = socket.recv_from(&mut datagram) else {
        let output = radclient.wait_with_output().expect("it ends");
        panic!("radclient sent nothing: {}", String::from_utf8_lossy(&output.stderr));
    };
    let request = Framed::parse(&datagram[..octets]).expect("radclient sends packets");
    let attributes = reply(&request);
    assert!(Attributes::parse(&attributes).is_ok());
    let mut reply = Vec::new();
    let sign = MessageAuthenticator::Absent;
    let mut encoder = Encoder::reply(&mut reply, Code::AccessAccept, request.identifier(), sign);
    encoder.raw(&attributes).expect("it fits");
    encoder.finish_reply(&secret(), request.authenticator());
    socket.send_to(&reply, peer).expect("loopback takes it");
    let output = radclient.wait_with_output().expect("it ends");
    let printed = String::from_utf8_lossy(&output.stdout);
    let received = printed.split("Received Access-Accept").nth(1).unwrap_or_else(|| panic!("{printed}"));
    let received = received.lines().skip(1).map(|line| line.trim().to_string());
    (datagram[..octets].to_vec(), received.filter(|line| !line.is_empty()).collect())
}

#[test]
fn radclient_and_we_read_each_others_attributes() {
    let dictionary = dictionary();
    let secret = secret();
    let ours = [ATTRIBUTES, SALTED].concat();
    let sent = [ATTRIBUTES, &["User-Password = \"hello\""]].concat();
    let (request, received) = exchange(&sent, |request| {
        let hop = Hop { secret: &secret, request_authenticator: request.authenticator() };
        let assignments = text::parse(&dictionary, &ours.join("\n")).expect("well-formed");
        let mut attributes = Vec::new();
        text::write(&dictionary, &assignments, Some(Sealing { hop, salt: 0x8123 }), &mut attributes)
            .expect("it fits");
        attributes
    });
    let request = Framed::parse(&request).expect("radclient sends packets");
    let hop = Hop { secret: &secret, request_authenticator: request.authenticator() };
    let read = text::print(&dictionary, request.attributes()).revealed(hop).in_lines().to_string();
    assert_eq!(read.lines().collect::<Vec<_>>(), sent, "what radclient wrote");
    assert_eq!(received, ours, "what radclient read");
}

#[test]
fn several_attributes_of_a_vendor_are_one_vendor_specific_each_and_tlvs_share_one() {
    let dictionary = dictionary();
    let lines = [
        "Cisco-AVPair = \"a=1\"",
        "Cisco-AVPair = \"b=2\"",
        "Cisco-Idle-Limit = 7",
        "WiMAX-Release = \"1.0\"",
        "WiMAX-Accounting-Capabilities = IP-Session-Based",
        "WiMAX-AAA-Session-Id = 0x01",
        "User-Name = \"bob\"",
    ];
    // Three of Cisco's in one Vendor-Specific, which RFC 2865 §5.26 allows.
    let packed = b"\x1a\x16\0\0\0\x09\x01\x05a=1\x01\x05b=2\xf4\x06\0\0\0\x07";
    let (request, received) = exchange(&lines, |_| packed.to_vec());
    let assignments = text::parse(&dictionary, &lines.join(", ")).expect("well-formed");
    let mut ours = Vec::new();
    text::write(&dictionary, &assignments, None, &mut ours).expect("it fits");
    let theirs = Framed::parse(&request).expect("radclient sends packets").attributes();
    assert_eq!(theirs.octets(), ours, "one each; of WiMAX the two in one container together");
    assert_eq!(theirs.filter(|attribute| attribute.number == 26).count(), 5);
    // Packed ones are printed one by one, here and there: how they were packed is not said.
    assert_eq!(received, lines[..3]);
    let packed = Attributes::parse(packed).expect("the boundaries hold");
    assert_eq!(text::print(&dictionary, packed).to_string(), lines[..3].join(", "));
}
