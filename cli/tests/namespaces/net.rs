//! Network namespaces of this process, links between them, and the masquerade. Knows nothing of RADIUS.
//!
//! ```text
//!  inside ── 10.77.0.0/16 ── nat ══ masquerade ══╗
//!                                                ╠══ bridge `outside`, in the namespace of the server
//!                       neighbours ══════════════╝   198.51.100.0/24
//! ```
//!
//! Names carry a prefix and the process's number. They are removed at the end and by a panic; those of a process that
//! was killed are removed by the next one, and only if they carry the prefix and that process is gone.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Of IP, for a whole topology: whoever is asked for an address gives one of this family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    fn pick(self, v4: [u8; 4], v6: [u16; 8]) -> IpAddr {
        match self {
            Family::V4 => IpAddr::V4(Ipv4Addr::from(v4)),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(v6)),
        }
    }

    pub fn server(self) -> IpAddr {
        self.pick([198, 51, 100, 1], [0x2001, 0xdb8, 0x51, 0, 0, 0, 0, 1])
    }

    /// The one address that all behind the NAT are seen from.
    pub fn nat(self) -> IpAddr {
        self.pick([198, 51, 100, 2], [0x2001, 0xdb8, 0x51, 0, 0, 0, 0, 2])
    }

    pub fn neighbour(self, number: u16) -> IpAddr {
        let octet = u8::try_from(10 + number).expect("few neighbours");
        self.pick([198, 51, 100, octet], [0x2001, 0xdb8, 0x51, 0, 0, 0, 1, number])
    }

    fn nat_inside(self) -> IpAddr {
        self.pick([10, 77, 0, 1], [0xfd77, 0, 0, 0, 0, 0, 0, 1])
    }

    pub fn inside(self, number: u16) -> IpAddr {
        let [high, low] = number.to_be_bytes();
        self.pick([10, 77, 1 + high, low], [0xfd77, 0, 0, 0, 0, 0, 1, number])
    }

    /// As `network` of a client wants it: that one address.
    pub fn host_length(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Family::V4 => "ip",
            Family::V6 => "ip6",
        }
    }
}

/// The four namespaces. Dropped, they are gone.
pub struct Topology {
    pub family: Family,
    pub server: String,
    pub nat: String,
    pub inside: String,
    pub neighbours: String,
}

impl Topology {
    /// With so many addresses inside and so many neighbours, numbered from 1, and a masquerade.
    pub fn build(family: Family, inside: u16, neighbours: u16) -> Topology {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        remove_leftovers();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |room: &str| format!("{PREFIX}{}-{number}-{room}", std::process::id());
        let topology = Topology {
            family,
            server: name("server"),
            nat: name("nat"),
            inside: name("inside"),
            neighbours: name("neighbours"),
        };
        for namespace in topology.namespaces() {
            run("ip", &["netns", "add", namespace], "");
            in_namespace(namespace, || {
                let without = "/proc/sys/net/ipv6/conf/default/accept_dad";
                std::fs::write(without, "0").expect("root may write it");
            });
            ip(namespace, "link set lo up\n");
        }
        topology.link();
        topology.address(inside, neighbours);
        in_namespace(&topology.nat, || {
            for switch in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                std::fs::write(Path::new("/proc/sys/net").join(switch), "1").expect("root may write it");
            }
        });
        nft(&topology.nat, TABLES);
        topology.masquerade();
        topology
    }

    fn namespaces(&self) -> [&String; 4] {
        [&self.server, &self.nat, &self.inside, &self.neighbours]
    }

    fn link(&self) {
        let Topology { server, nat, inside, neighbours, .. } = self;
        // Neighbours of IPv6 are asked for by multicast, at once. And several replies in one send are several frames, as
        // on a wire, or a capture would have them as one.
        ip(server, "link add outside type bridge mcast_snooping 0\nlink set outside gso_max_segs 1 up\n");
        for (namespace, port) in [(nat, "nat"), (neighbours, "neighbours")] {
            ip(server, &format!("link add {port} type veth peer name outside netns {namespace}\n"));
            ip(server, &format!("link set {port} master outside\nlink set {port} up\n"));
        }
        ip(nat, &format!("link add inside type veth peer name nat netns {inside}\n"));
    }

    fn address(&self, inside: u16, neighbours: u16) {
        let Topology { family, .. } = self;
        let (wide, outside) = match family {
            Family::V4 => (16, 24),
            Family::V6 => (64, 64),
        };
        // Without duplicate address detection, which takes a second or two in which an address cannot be used.
        let nodad = match family {
            Family::V4 => "",
            Family::V6 => " nodad",
        };
        ip(&self.server, &format!("address add {}/{outside} dev outside{nodad}\n", family.server()));
        ip(
            &self.nat,
            &format!(
                "address add {}/{outside} dev outside{nodad}\nlink set outside up\n\
                 address add {}/{wide} dev inside{nodad}\nlink set inside up\n",
                family.nat(),
                family.nat_inside()
            ),
        );
        let own = (1..=inside)
            .map(|number| format!("address add {}/{wide} dev nat{nodad}\n", family.inside(number)));
        let own = own.collect::<String>();
        let default = family.nat_inside();
        ip(&self.inside, &format!("{own}link set nat up\nroute add default via {default}\n"));
        let own = (1..=neighbours)
            .map(|number| format!("address add {}/{outside} dev outside{nodad}\n", family.neighbour(number)));
        let own = own.collect::<String>();
        ip(&self.neighbours, &format!("{own}link set outside up\n"));
    }

    /// From now on, new connections from inside get an outside port of the kernel's choice.
    pub fn masquerade(&self) {
        self.replace("oifname outside masquerade");
    }

    /// From now on, new connections of these inside addresses and ports get this outside port each. Those that are
    /// tracked keep what they have.
    pub fn fix_ports(&self, ports: &[(IpAddr, u16, u16)]) {
        let (family, nat) = (self.family.name(), self.family.nat());
        let to = match nat {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let rules = ports.iter().map(|(address, inside, outside)| {
            format!(
                "oifname outside {family} saddr {address} udp sport {inside} snat {family} to {to}:{outside}"
            )
        });
        self.replace(&rules.collect::<Vec<_>>().join("\n"));
    }

    /// All in one transaction: there is no moment without a rule.
    fn replace(&self, rules: &str) {
        let rules = rules.lines().map(|rule| format!("add rule inet nat source {rule}\n"));
        nft(&self.nat, &format!("flush chain inet nat source\n{}", rules.collect::<String>()));
    }

    /// The NAT forgets all connections.
    pub fn flush(&self) {
        run("ip", &["netns", "exec", &self.nat, "conntrack", "-F"], "");
    }

    /// UDP sockets in the namespace of the server that are connected to somebody.
    pub fn connected_sockets(&self) -> usize {
        let listed = run("ip", &["netns", "exec", &self.server, "ss", "-Huan", "state", "connected"], "");
        listed.lines().count()
    }

    /// Inside address and outside port of the UDP connections that the NAT tracks now.
    pub fn outside_ports(&self) -> Vec<(IpAddr, u16)> {
        let family = match self.family {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        };
        let listed =
            run("ip", &["netns", "exec", &self.nat, "conntrack", "-L", "-f", family, "-p", "udp"], "");
        // Each line has the original direction and then that of replies, whose destination is outside.
        let row = |line: &str| {
            let mut sources = line.split_whitespace().filter_map(|word| word.strip_prefix("src="));
            let source: IpAddr = sources.next()?.parse().ok()?;
            let port = line.rsplit_once(" dport=")?.1.split_whitespace().next()?.parse().ok()?;
            Some((source, port))
        };
        listed.lines().filter_map(row).collect()
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        for namespace in self.namespaces() {
            // A panic in here while another unwinds would end the process without removing the others.
            let removed =
                Command::new("ip").args(["netns", "delete", namespace]).stderr(Stdio::null()).status();
            if !removed.is_ok_and(|status| status.success()) {
                eprintln!("the namespace {namespace} could not be removed");
            }
        }
    }
}

/// Does something on a thread of its own that lives in that namespace. A socket stays where it was made.
pub fn in_namespace<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let there = scope.spawn(|| {
            let file = std::fs::File::open(Path::new("/run/netns").join(namespace)).expect("it was made");
            use std::os::fd::AsFd;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("root may enter it");
            work()
        });
        there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A program there, which takes the place of `ip`: its process is the child.
pub fn command_in(namespace: &str, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, program]);
    command
}

/// What the tests need, or why they cannot run.
pub fn is_possible() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("network namespaces with a NAT need root: run the tests as root".into());
    }
    let needed = [
        ("ip", "-Version", "iproute2"),
        ("nft", "--version", "nftables"),
        ("conntrack", "--version", "conntrack"),
        ("tcpdump", "--version", "tcpdump"),
        ("/usr/bin/python3", "--version", "python3"),
    ];
    for (program, version, package) in needed {
        let output = Command::new(program).arg(version).stdin(Stdio::null()).output();
        if let Err(error) = output {
            return Err(format!("{program} (Debian: {package}) cannot be run: {error}"));
        }
    }
    let probe = format!("{PREFIX}{}-probe", std::process::id());
    let made =
        Command::new("ip").args(["netns", "add", &probe]).output().map_err(|error| error.to_string())?;
    if !made.status.success() {
        return Err(format!("no network namespaces here: {}", String::from_utf8_lossy(&made.stderr)));
    }
    remove(&probe);
    Ok(())
}

/// A namespace named as if that process had made it, for the test of what is left over.
pub fn leftover(process: u32) -> String {
    let name = format!("{PREFIX}{process}-left-over");
    run("ip", &["netns", "add", &name], "");
    name
}

pub fn exists(namespace: &str) -> bool {
    Path::new("/run/netns").join(namespace).exists()
}

pub fn remove_leftovers() {
    for line in run("ip", &["netns", "list"], "").lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let Some(Ok(process)) = process.map(str::parse::<u32>) else { continue };
        if Path::new("/proc").join(process.to_string()).exists() {
            continue;
        }
        // Its server may have outlived it; only what lives in the leftover namespace is ended.
        for orphan in run("ip", &["netns", "pids", name], "").split_whitespace() {
            run("kill", &["-KILL", orphan], "");
        }
        remove(name);
        eprintln!("removed {name}, which process {process} had left");
    }
}

pub fn remove(namespace: &str) {
    run("ip", &["netns", "delete", namespace], "");
}

fn ip(namespace: &str, commands: &str) {
    run("ip", &["-netns", namespace, "-batch", "-"], commands);
}

fn nft(namespace: &str, rules: &str) {
    run("ip", &["netns", "exec", namespace, "nft", "-f", "-"], rules);
}

/// Runs a program to its good end with this on its standard input.
fn run(program: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    // One that reads nothing may have ended.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it is our child");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}\n{input}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const PREFIX: &str = "ulna-test-";

/// A flood's datagrams, which carry class selector 1, are not tracked. A reply to a port that nobody inside has any more is
/// refused as by any host, but by a rule: then it is never tracked, and cannot hold that port against who gets it next.
const TABLES: &str = "
table inet nat {
    chain source { type nat hook postrouting priority srcnat; }
}
table inet beside {
    chain output {
        type filter hook output priority raw;
        ip dscp cs1 notrack;
    }
    chain input {
        type filter hook input priority filter;
        iifname outside udp sport 1812 reject;
    }
}
";
