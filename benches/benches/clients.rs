//! What it costs to find the client of a source address among few and among many.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ulna_benches::workload::secret;
use ulna_core::Seed;
use ulna_core::client::{Client, Clients, ClientsBuilder};

/// Coprime to all sizes.
const STRIDE: usize = 611_953;

fn address(n: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + n as u32)
}

/// One host each, and a network of another length, as most configurations have.
fn clients(count: usize) -> Clients {
    let mut builder = ClientsBuilder::default();
    for n in 0..count {
        let client = builder.add(Client {
            name: format!("client-{n}").into(),
            secrets: secret().into(),
            require_message_authenticator: true,
            limit_proxy_state: true,
        });
        let host = address(n).to_string().parse().expect("an address is a network of one");
        builder.network(host, client).expect("each is another");
        if n == 0 {
            let network = "198.51.100.0/24".parse().expect("a network");
            builder.network(network, client).expect("it is the only one");
        }
    }
    builder.build(&Seed::new([7; 32]))
}

fn look_up(c: &mut Criterion) {
    let mut group = c.benchmark_group("clients");
    group.throughput(Throughput::Elements(1));
    for count in [1, 1_000, 100_000] {
        let clients = clients(count);
        let mut n = 0;
        group.bench_function(format!("host among {count}"), |b| {
            b.iter(|| {
                n = (n + STRIDE) % count;
                let client = clients.look_up(black_box(IpAddr::V4(address(n))));
                client.map(|client| clients.client(client).limit_proxy_state).expect("it is there")
            });
        });
        let stranger = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
        group.bench_function(format!("stranger among {count}"), |b| {
            b.iter(|| assert!(clients.look_up(black_box(stranger)).is_none()));
        });
    }
    group.finish();
}

criterion_group!(benches, look_up);
criterion_main!(benches);
