//! What the octets of one request and its reply cost: framing, verifying, reading, writing and signing.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ulna_benches::workload::{request, secret};
use ulna_core::packet::hidden::reveal_user_password;
use ulna_core::packet::{
    Code, Encoder, Framed, Landmark, MessageAuthenticator, Requirements, Secrets, number,
};

fn packet(c: &mut Criterion) {
    let mut octets = Vec::new();
    request(500, 7, 1, &mut octets);
    let secret = secret();
    let secrets = Secrets::one(secret.clone());
    let requirements = Requirements { require_message_authenticator: true, limit_proxy_state: true };
    let framed = Framed::parse(&octets).expect("we made it");

    let mut group = c.benchmark_group("packet");
    group.throughput(Throughput::Elements(1));
    group.bench_function("frame", |b| b.iter(|| Framed::parse(black_box(&octets)).is_ok()));
    group.bench_function("verify signed", |b| {
        b.iter(|| black_box(framed).verify_request(&secrets, requirements).is_ok());
    });
    group.bench_function("read attributes", |b| {
        b.iter(|| black_box(framed).attributes().map(|attribute| attribute.value.len()).sum::<usize>());
    });
    group.bench_function("reveal User-Password", |b| {
        let hidden = framed.value(Landmark::UserPassword).expect("PAP");
        let mut out = [0; 128];
        b.iter(|| {
            reveal_user_password(black_box(hidden), &secret, framed.authenticator(), &mut out)
                .map(<[u8]>::len)
        });
    });
    let mut out = Vec::with_capacity(4096);
    group.bench_function("encode and sign reply", |b| {
        b.iter(|| {
            let first = MessageAuthenticator::First;
            let mut encoder = Encoder::reply(&mut out, Code::AccessAccept, 7, first);
            encoder.attribute(number::REPLY_MESSAGE, black_box(b"Hello, bob.")).expect("it fits");
            encoder.finish_reply(&secret, framed.authenticator());
            out.len()
        });
    });
    group.finish();
}

criterion_group!(benches, packet);
criterion_main!(benches);
