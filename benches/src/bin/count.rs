//! Does one thing so many times and nothing else, so that callgrind can count what it costs: `count NAME TIMES`.
//!
//! `count refuse WHAT PLACE TIMES` is for `tests/constant_time.rs`: whether a refusal tells which octet was wrong.
//!
//! `.ci/instructions` runs each twice with different numbers of times; the difference is the operation itself. Seeds are
//! fixed and nothing here reads a clock, so that the count is the same in every run.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use md5::{Digest, Md5};
use ulna_benches::exchange::{self, Reply};
use ulna_benches::home::{self, Proxy};
use ulna_benches::workload::{self, IDENTIFIERS, Requests, Setup, configuration, secret};
use ulna_core::accounting::{Recorded, Recorder};
use ulna_core::attributes::{Scratch, Walk};
use ulna_core::cores::{Cores, assemble};
use ulna_core::dictionary::Dictionary;
use ulna_core::packet::hidden::USER_PASSWORD_OCTETS_MAX;
use ulna_core::packet::{
    Code, Encoder, Framed, MessageAuthenticator, ReplyError, Requirements, Secrets, VerifyError,
};
use ulna_core::path::{ListenerId, Path, SocketId, Via};
use ulna_core::time::UnixTime;
use ulna_core::{Instant, Seed};

/// Does it so many times.
type Operation = fn(usize);

/// What can be counted, by name.
const OPERATIONS: [(&str, Operation); 17] = [
    ("frame", frame),
    ("verify", verify),
    ("read-attributes", read_attributes),
    ("walk-attributes", walk_attributes),
    ("read-typed-by-dictionary", read_typed_by_dictionary),
    ("frame-verify-read", frame_verify_read),
    ("encode-reply", encode_reply),
    ("encode-reply-of-all-kinds", encode_reply_of_all_kinds),
    ("write-record", write_record),
    ("request-in-turns-of-64", |times| serve(times, 64, false)),
    ("request-in-turns-of-1", |times| serve(times, 1, false)),
    ("request-twice-in-turns-of-64", |times| serve(times, 64, true)),
    ("answer-of-home", answer_of_home),
    ("forward-in-turns-of-64", |times| forward(times, 64, 1)),
    ("forward-in-turns-of-1", |times| forward(times, 1, 1)),
    ("forward-first-of-conversation-by-last-of-1000-rules", |times| begin_conversations(times, 1000)),
    ("forward-ongoing-beside-1000-rules", |times| go_on(times, 1000)),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => OPERATIONS.iter().for_each(|(name, _)| println!("{name}")),
        [name, times] => {
            let operation = OPERATIONS.iter().find(|(each, _)| each == name);
            let (Some((_, operation)), Ok(times)) = (operation, times.parse()) else {
                eprintln!("count: {name} {times} is not among what can be counted");
                return ExitCode::from(2);
            };
            operation(times);
        }
        [refuse, what, place, times] if refuse == "refuse" => {
            let (Ok(place), Ok(times)) = (place.parse(), times.parse()) else {
                eprintln!("count: {place} and {times} are to be numbers");
                return ExitCode::from(2);
            };
            refuse_forged(what == "answer", place, times);
        }
        _ => {
            eprintln!(
                "count: no arguments (lists what can be counted), NAME TIMES, or refuse request|answer PLACE TIMES"
            );
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn frame(times: usize) {
    let requests = Requests::prepare();
    for n in 0..times {
        black_box(Framed::parse(black_box(requests.of(n))).is_ok());
    }
}

fn verify(times: usize) {
    let requests = Requests::prepare();
    let secrets = Secrets::one(secret());
    let requirements = Requirements { require_message_authenticator: true, limit_proxy_state: true };
    let framed = Framed::parse(requests.of(0)).expect("we made it");
    for _ in 0..times {
        assert!(black_box(framed).verify_request(&secrets, requirements).is_ok());
    }
}

/// Refuses a request, or an answer to one, whose Message-Authenticator is wrong in this octet, or from 16 on in all. The
/// answer's Response Authenticator is right, so that it is the Message-Authenticator that is refused.
fn refuse_forged(answer: bool, place: usize, times: usize) {
    let (secret, request_authenticator) = (secret(), [7; 16]);
    let mut octets = Vec::new();
    if answer {
        let first = MessageAuthenticator::First;
        Encoder::reply(&mut octets, Code::AccessAccept, 1, first)
            .finish_reply(&secret, &request_authenticator);
    } else {
        workload::request(500, 7, 1, &mut octets);
    }
    // It stands first: header, type and length before it.
    let wrong = if place < 16 { 22 + place..23 + place } else { 22..38 };
    octets[wrong].iter_mut().for_each(|octet| *octet ^= 0x40);
    if answer {
        let covered = [&octets[..4], &request_authenticator, &octets[20..], workload::SECRET].concat();
        octets[4..20].copy_from_slice(&Md5::digest(covered));
    }
    let framed = Framed::parse(&octets).expect("its lengths hold");
    let secrets = Secrets::one(secret.clone());
    for _ in 0..times {
        let framed = black_box(framed);
        if answer {
            let error = framed.verify_reply(&secret, &request_authenticator, true).expect_err("it is forged");
            assert!(matches!(error, ReplyError::BadMessageAuthenticator));
        } else {
            let error = framed.verify_request(&secrets, Requirements::default()).expect_err("it is forged");
            assert!(matches!(error, VerifyError::BadMessageAuthenticator));
        }
    }
}

fn read_attributes(times: usize) {
    let requests = Requests::prepare();
    let framed = Framed::parse(requests.of(0)).expect("we made it");
    for _ in 0..times {
        black_box(black_box(framed).attributes().map(|attribute| attribute.value.len()).sum::<usize>());
    }
}

/// Each attribute found in the dictionary and held against its type; nothing made of the values.
fn walk_attributes(times: usize) {
    let requests = Requests::prepare();
    let dictionary = Dictionary::built_in();
    let framed = Framed::parse(requests.of(0)).expect("we made it");
    let mut scratch = Scratch::default();
    for _ in 0..times {
        let items = Walk::new(&dictionary, black_box(framed).attributes(), &mut scratch);
        assert_eq!(black_box(items.count()), 7);
    }
}

/// The same with framing, and each value read as its type.
fn read_typed_by_dictionary(times: usize) {
    let requests = Requests::prepare();
    let dictionary = Dictionary::built_in();
    let mut scratch = Scratch::default();
    for n in 0..times {
        let sum = exchange::read_typed(black_box(requests.of(n)), &dictionary, &mut scratch);
        assert!(black_box(sum).is_some());
    }
}

/// From octets to all that a server wants to know of them: framed, verified, the password revealed.
fn frame_verify_read(times: usize) {
    let requests = Requests::prepare();
    let secrets = Secrets::one(secret());
    let mut out = [0; USER_PASSWORD_OCTETS_MAX];
    for n in 0..times {
        assert!(black_box(exchange::read(black_box(requests.of(n)), &secrets, &mut out)).is_some());
    }
}

fn encode_reply(times: usize) {
    let secret = secret();
    let mut out = Vec::with_capacity(4096);
    for n in 0..times {
        let first = MessageAuthenticator::First;
        let encoder = Encoder::reply(&mut out, Code::AccessAccept, n as u8, first);
        encoder.finish_reply(&secret, black_box(&[7; 16]));
        black_box(&out);
    }
}

/// Plain, a vendor's, tagged and hidden attributes, and the packet around them, signed.
fn encode_reply_of_all_kinds(times: usize) {
    let secret = secret();
    let dictionary = Dictionary::built_in();
    let reply = Reply::prepare(&dictionary);
    let (mut room, mut out) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    for _ in 0..times {
        reply.write(&secret, black_box(&[7; 16]), &mut room, &mut out);
        black_box(&out);
    }
}

/// One line of JSON for each Accounting-Request, with its digest and its check.
fn write_record(times: usize) {
    let requests = Requests::prepare_accounting(IDENTIFIERS);
    let dictionary = Dictionary::built_in();
    let (mut recorder, mut scratch) = (Recorder::default(), Scratch::default());
    let mut out = Vec::with_capacity(4096);
    for n in 0..times {
        let received = Framed::parse(black_box(requests.of(n))).expect("we made it");
        let recorded = Recorded {
            dictionary: &dictionary,
            received,
            attributes: received.attributes(),
            client: "load",
            listener: "acct",
            remote: ([127, 0, 0, 1], 40_000).into(),
            time: UnixTime(1_800_000_000),
        };
        out.clear();
        recorder.write(&recorded, &mut scratch, &mut out).expect("it is short");
        black_box(&out);
    }
}

/// So many requests through a joined thread's cores, all phases of each turn, `each_turn` at a time; with `twice` each is
/// followed by a duplicate of itself in a turn of its own.
fn serve(times: usize, each_turn: usize, twice: bool) {
    let requests = Requests::prepare();
    let setup = Setup { network_threads: 0, workers: 1, log: false };
    let mut cores = assemble(&Arc::new(configuration(setup)), &Seed::new([7; 32]));
    let mut cores = cores.pop().expect("one joined thread");
    let mut out = Vec::with_capacity(4096);
    let mut now = Instant::ORIGIN;
    let mut replies = 0;
    for begin in (0..times).step_by(each_turn) {
        let batch = begin..(begin + each_turn).min(times);
        for _ in 0..=usize::from(twice) {
            now += std::time::Duration::from_micros(200);
            replies += turn(&mut cores, batch.clone().map(|n| (n, requests.of(n))), now, &mut out);
        }
    }
    assert_eq!(replies, times * (1 + usize::from(twice)), "each request has its reply");
}

/// What a home server does in the counts below.
fn answer_of_home(times: usize) {
    let requests = Requests::prepare();
    let secret = secret();
    let mut out = Vec::with_capacity(4096);
    for n in 0..times {
        home::answer(black_box(requests.of(n)), Code::AccessAccept, None, &secret, &mut out);
        black_box(&out);
    }
}

/// So many requests through a proxy to a home server that accepts all, and its replies back.
fn forward(times: usize, each_turn: usize, rules: usize) {
    let requests = Requests::prepare();
    let mut proxy = Proxy::new(rules);
    let mut replies = 0;
    for begin in (0..times).step_by(each_turn) {
        let batch = (begin..(begin + each_turn).min(times)).map(|n| (port(n), requests.of(n)));
        replies += proxy.turn(batch, Code::AccessAccept, |_| None);
    }
    assert_eq!(replies, times, "each request has its reply");
}

/// Conversations that go on at once.
const CONVERSATIONS: usize = 64;

/// The same, and each is challenged: so many conversations begin, each with a State of its own.
fn begin_conversations(times: usize, rules: usize) {
    let requests = Requests::prepare();
    let mut proxy = Proxy::new(rules);
    let mut replies = 0;
    for begin in (0..times).step_by(CONVERSATIONS) {
        let batch = (begin..(begin + CONVERSATIONS).min(times)).map(|n| (port(n), requests.of(n)));
        let state = |place| Some(((begin + place) as u64).to_be_bytes());
        replies += proxy.turn(batch, Code::AccessChallenge, state);
    }
    assert_eq!((replies, proxy.count("ongoing")), (times, 0), "each request has its reply");
}

/// So many rounds after the first, of conversations that were begun before.
fn go_on(times: usize, rules: usize) {
    assert!(times.is_multiple_of(CONVERSATIONS), "all go on in step");
    let mut proxy = Proxy::new(rules);
    let state = |conversation: usize| (conversation as u64).to_be_bytes();
    // As many are made as the most that are counted, so that making them is in no count.
    assert!(times <= ROUNDS_MADE * CONVERSATIONS, "no more rounds are made");
    let round = |number: usize, conversation: usize| {
        let mut octets = Vec::with_capacity(256);
        let draw = (number * CONVERSATIONS + conversation) as u64;
        let state = state(conversation);
        let state = (number > 0).then_some(&state[..]);
        workload::round(conversation, number as u8, draw, state, &mut octets);
        octets
    };
    let rounds: Vec<Vec<_>> = (0..=ROUNDS_MADE)
        .map(|number| (0..CONVERSATIONS).map(|conversation| round(number, conversation)).collect())
        .collect();
    let mut replies = 0;
    for round in &rounds[..=times / CONVERSATIONS] {
        let batch = (40_000..).zip(round).map(|(port, octets)| (port, &octets[..]));
        replies += proxy.turn(batch, Code::AccessChallenge, |place| Some(state(place)));
    }
    assert_eq!((replies, proxy.count("ongoing")), (times + CONVERSATIONS, times as u64), "all go on");
}

/// Rounds after the first that are made, whether they are counted or not.
const ROUNDS_MADE: usize = 64;

/// Eight source ports, as under load.
fn port(n: usize) -> u16 {
    40_000 + (n / IDENTIFIERS % 8) as u16
}

/// One turn; says how many packets were to be sent.
fn turn<'r>(
    cores: &mut Cores,
    requests: impl Iterator<Item = (usize, &'r [u8])>,
    now: Instant,
    out: &mut Vec<u8>,
) -> usize {
    cores.begin();
    cores.sweep(now);
    for (n, octets) in requests {
        let path = Path {
            via: Via::Socket(SocketId(0)),
            listener: ListenerId(0),
            local: ([127, 0, 0, 1], 1812).into(),
            remote: ([127, 0, 0, 1], port(n)).into(),
        };
        cores.handle_datagram(path, black_box(octets), now);
    }
    cores.handle_timeout(now);
    cores.work(usize::MAX, now);
    let mut sent = 0;
    loop {
        out.clear();
        if cores.poll_transmit(out).is_none() {
            break;
        }
        black_box(&out);
        sent += 1;
    }
    cores.finish(now);
    cores.publish();
    assert!(cores.check_gate().is_none(), "there is no other thread");
    sent
}
