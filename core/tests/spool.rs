//! Accounting by way of the spool: answered when it is safe, and sent on until a remote server has answered. RFC 2866 §2, §4.1 and
//! §5.2, RFC 5080 §2.2.1.

#[path = "support/spool_disk.rs"]
mod spool_disk;
#[path = "support/spooled.rs"]
mod spooled;
mod support;

use spooled::{BEGAN, Spooled, acknowledgement, remote_secret};
use std::collections::BTreeSet;
use std::time::Duration;
use support::{Ask, Forwarded, configuration, nas, secret};
use ulna_core::WorkerId;
use ulna_core::discard::Discard;
use ulna_core::effect::{Effect, EffectDone};
use ulna_core::event::Event;
use ulna_core::packet::hidden::{Hop, hide_salted, reveal_salted};
use ulna_core::packet::{Code, Framed, Requirements, number};
use ulna_core::path::Peer;
use ulna_core::time::UnixTime;

/// Two pools, and rules that spool for them by the realm of who is recorded. Nothing is suspected before an hour has passed.
const FARM: &str = r#"
[[server.accounting]]
when = { User-Name = "carol" }
proxy = "other"
spool = true
[[server.accounting]]
proxy = "farm"
spool = true
[[remote_server]]
name = "one"
address = "203.0.113.5:1813"
secret = "a secret of the remote servers"
zombie_period = "1h"
[[remote_server]]
name = "two"
address = "203.0.113.6:1813"
secret = "a secret of the remote servers"
[[remote_server]]
name = "three"
address = "203.0.113.7:1813"
secret = "a secret of the remote servers"
[[pool]]
name = "farm"
remote_servers = ["one", "two"]
[[pool]]
name = "other"
remote_servers = ["three"]
"#;

const SEPARATE: &str = "[runtime]\nnetwork_threads = 1\nworkers = 1\nstate_directory = \"state\"\n";
const JOINED: &str = "[runtime]\nnetwork_threads = 0\nworkers = 1\nstate_directory = \"state\"\n";
const TWO: &str = "[runtime]\nnetwork_threads = 1\nworkers = 2\nstate_directory = \"state\"\n";

fn farm(settings: &str) -> String {
    configuration(settings, FARM)
}

fn record(session: &str) -> Ask {
    Ask::accounting().with(number::ACCT_SESSION_ID, session.as_bytes()).with(number::USER_NAME, b"bob")
}

fn only<T>(all: Vec<T>) -> T {
    let [one] = <[T; 1]>::try_from(all).unwrap_or_else(|all| panic!("{} instead of one", all.len()));
    one
}

/// What a remote server reads, which has verified it.
fn read(forwarded: &Forwarded) -> Framed<'_> {
    let framed = Framed::parse(&forwarded.octets).expect("what leaves is a packet");
    let requirements = Requirements { require_message_authenticator: false, limit_proxy_state: false };
    framed.verify_request(&remote_secret().into(), requirements).expect("under the secret of this hop");
    framed
}

fn value<'f>(framed: &Framed<'f>, number: u8) -> Option<&'f [u8]> {
    framed.attributes().find(|attribute| attribute.number == number).map(|attribute| attribute.value)
}

fn delay(forwarded: &Forwarded) -> u32 {
    let framed = read(forwarded);
    let delay = value(&framed, number::ACCT_DELAY_TIME).expect("each transmission has one");
    u32::from_be_bytes(delay.try_into().expect("four octets"))
}

fn session(forwarded: &Forwarded) -> String {
    let framed = read(forwarded);
    let session = value(&framed, number::ACCT_SESSION_ID).expect("it has one");
    String::from_utf8(session.to_vec()).expect("it is text")
}

// checklist 12
#[test]
fn it_is_answered_when_it_is_safe_and_then_sent_on() {
    for layout in [SEPARATE, JOINED] {
        let mut spooled = Spooled::new(&farm(layout));
        let request = record("1").with(number::PROXY_STATE, b"theirs").octets();
        for _ in 0..2 {
            assert!(spooled.server.ask_accounting(nas(1000), &request).is_empty(), "not before it is safe");
        }
        assert!(spooled.server.take_forwarded().is_empty(), "nor is it sent before");
        let sent = only(spooled.serve());
        let reply = Framed::parse(&sent.octets).expect("a packet");
        let authenticator = Framed::parse(&request).expect("a packet").authenticator();
        assert_eq!(reply.code(), Some(Code::AccountingResponse));
        reply.verify_reply(&secret(), authenticator, false).expect("it verifies");
        assert_eq!(reply.proxy_states().collect::<Vec<_>>(), [b"theirs"]);
        assert_eq!((spooled.server.count("spooled"), spooled.spool.records()), (1, 1));

        let forwarded = only(spooled.server.take_forwarded());
        assert_eq!(forwarded.remote.to_string(), "203.0.113.5:1813");
        let framed = read(&forwarded);
        assert_eq!(framed.code(), Some(Code::AccountingRequest));
        assert_eq!(value(&framed, number::USER_NAME), Some(&b"bob"[..]));
        assert_eq!(delay(&forwarded), 0);
        let states: Vec<_> = framed.proxy_states().collect();
        assert_eq!((states.len(), states[0]), (2, &b"theirs"[..]), "theirs goes on, ours is the last");
        assert_eq!(spooled.server.count("spool_under_way"), 1);
        spooled.acknowledge(&forwarded);
        assert_eq!((spooled.spool.records(), spooled.server.count("spool_under_way")), (0, 0));
        assert!(!spooled.spool.has_unwritten());
        assert!(spooled.run(Duration::from_secs(60)).is_empty(), "it is not sent again");
        spooled.server.assert_nothing_is_left();
    }
}

// checklist 14, 40, 41
#[test]
fn it_is_sent_again_in_the_times_of_rfc_5080_each_time_as_a_new_packet() {
    let mut spooled = Spooled::new(
        &farm(SEPARATE).replace("remote_servers = [\"one\", \"two\"]", "remote_servers = [\"one\"]"),
    );
    let request = record("1").with(number::ACCT_DELAY_TIME, &[0, 0, 0, 7]).octets();
    assert_eq!(spooled.ask(1000, &request).len(), 1);
    let first = only(spooled.server.take_forwarded());
    let mut all = vec![(Duration::ZERO, first)];
    all.extend(spooled.run(Duration::from_secs(200)));
    let waits: Vec<_> = all.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs_f64()).collect();
    // A transmission is seen within 0.1 s.
    let within = |wait: f64, from: f64, to: f64| assert!(from - 0.1 <= wait && wait <= to + 0.1, "{waits:?}");
    within(waits[0], 1.8, 2.2);
    within(waits[1], 1.9 * waits[0] - 0.2, 2.1 * waits[0] + 0.2);
    within(waits[2], 1.9 * waits[1] - 0.2, 2.1 * waits[1] + 0.2);
    waits[4..].iter().for_each(|wait| within(*wait, 14.4, 17.6));
    assert!(waits[4..].windows(2).any(|pair| (pair[0] - pair[1]).abs() > 0.05), "they differ: {waits:?}");
    assert!(waits.len() >= 12, "without an end: {waits:?}");

    let authenticators: BTreeSet<_> = all.iter().map(|(_, each)| *read(each).authenticator()).collect();
    assert_eq!(authenticators.len(), all.len());
    for pair in all.windows(2) {
        assert_ne!(read(&pair[0].1).identifier(), read(&pair[1].1).identifier());
    }
    // None is used again within its quarantine: all these were sent through one port.
    let sockets: BTreeSet<_> = all.iter().map(|(_, each)| each.socket).collect();
    let identifiers: BTreeSet<_> = all.iter().map(|(_, each)| read(each).identifier()).collect();
    assert_eq!((sockets.len(), identifiers.len()), (1, all.len()));
    let states: BTreeSet<_> =
        all.iter().map(|(_, each)| read(each).proxy_states().last().unwrap().to_vec()).collect();
    assert_eq!(states.len(), all.len(), "a Proxy-State of ours each time");
    for (passed, each) in &all {
        let waited = u32::try_from(passed.as_secs()).expect("it is short");
        assert!((waited + 6..=waited + 8).contains(&delay(each)), "{} after {passed:?}", delay(each));
        assert_eq!(value(&read(each), number::ACCT_SESSION_ID), Some(&b"1"[..]));
    }
    spooled.acknowledge(&all.last().expect("there are some").1);
    assert_eq!(spooled.spool.records(), 0);
}

// checklist 42
#[test]
fn the_first_answer_counts_to_whichever_transmission_and_others_are_late() {
    let mut spooled = Spooled::new(&farm(SEPARATE));
    spooled.ask(1000, &record("1").octets());
    let mut all = vec![only(spooled.server.take_forwarded())];
    all.extend(spooled.run(Duration::from_secs(8)).into_iter().map(|(_, each)| each));
    assert_eq!(all.len(), 3);
    let forged = {
        let mut octets = acknowledgement(&all[0]);
        octets[4] ^= 1;
        octets
    };
    spooled.server.remote_reply(&all[0], &forged);
    assert_eq!((spooled.spool.records(), spooled.server.count("remote_replies_bad")), (1, 1));
    spooled.acknowledge(&all[0]);
    assert_eq!((spooled.spool.records(), spooled.server.count("spool_answered")), (0, 1));
    spooled.acknowledge(&all[2]);
    spooled.acknowledge(&all[0]);
    assert_eq!((spooled.server.count("spool_answered"), spooled.server.count("remote_replies_late")), (1, 2));
    assert!(spooled.run(Duration::from_secs(60)).is_empty());
}

#[test]
fn a_server_that_says_nothing_is_suspected_and_another_of_the_pool_gets_the_record() {
    let text = farm(SEPARATE).replace("zombie_period = \"1h\"", "zombie_period = \"40s\"");
    let mut spooled = Spooled::new(&text);
    spooled.ask(1000, &record("1").octets());
    let sent = spooled.run(Duration::from_secs(70));
    let is_elsewhere = |each: &&(Duration, Forwarded)| each.1.remote.to_string() == "203.0.113.6:1813";
    let elsewhere: Vec<_> = sent.iter().filter(is_elsewhere).collect();
    let (after, _) = elsewhere.first().expect("health is learnt from records");
    assert!(*after > Duration::from_secs(20), "not before the response window is over: {after:?}");
    spooled.acknowledge(&elsewhere.last().expect("there is one").1);
    assert_eq!(spooled.spool.records(), 0);
}

// checklist 12
#[test]
fn what_is_not_safe_is_not_answered_and_taken_when_it_comes_again() {
    let settings = format!("{SEPARATE}[accounting.spool]\noctets_max = 1_048_576\n");
    let mut spooled = Spooled::new(&farm(&settings));
    let request = record("1").octets();
    spooled.disk.fails = true;
    assert!(spooled.ask(1000, &request).is_empty());
    assert_eq!(spooled.server.discarded(Discard::NotSpooled), 1);
    assert!(spooled.server.take_forwarded().is_empty());
    spooled.disk.fails = false;
    spooled.server.ask_accounting(nas(1000), &request);
    assert!(spooled.server.shed_effect().is_empty());
    assert_eq!(spooled.server.discarded(Discard::SpoolLineFull), 1);
    // After a failure the file is opened again, in its time.
    spooled.run(Duration::from_secs(1));
    spooled.spool.handle_timeout(spooled.server.now, UnixTime(BEGAN));
    assert_eq!(spooled.ask(1000, &request).len(), 1);
    let long = vec![b'x'; 250];
    let mut answered = 1;
    for number in 2..=255 {
        let ask = (0..10).fold(record(&format!("{number}")), |ask, _| ask.with(number::CLASS, &long));
        answered += spooled.ask(1000, &ask.identifier(number).octets()).len() as u64;
    }
    assert!(spooled.spool.octets() <= 1_048_576);
    assert_eq!(spooled.server.discarded(Discard::SpoolFull), 255 - answered);
    assert!(answered > 8, "{answered}");
    spooled.server.assert_sums();
}

#[test]
fn before_the_spool_is_there_nothing_is_answered() {
    let mut server = support::Server::of(&farm(SEPARATE));
    server.settle();
    let begin = server.effects.remove(0);
    assert!(server.ask_accounting(nas(1000), &record("1").octets()).is_empty());
    assert_eq!(server.discarded(Discard::NotSpooled), 1);
    // Nor where there is none at all.
    let (thread, ticket, effect) = begin;
    server.done(thread, ticket, EffectDone::Shed(effect));
    assert!(server.ask_accounting(nas(1000), &record("1").identifier(2).octets()).is_empty());
    assert_eq!(server.discarded(Discard::NotSpooled), 2);
    server.assert_nothing_is_left();
}

#[test]
fn a_pool_that_is_dead_holds_up_no_other_and_so_many_of_it_are_under_way() {
    let settings = format!("{SEPARATE}[accounting.spool]\noutstanding_max = 3\n");
    let mut spooled = Spooled::new(&farm(&settings));
    for number in 0..20 {
        let request = record(&format!("{number}")).identifier(number).octets();
        assert_eq!(spooled.ask(1000, &request).len(), 1, "all are answered");
    }
    assert_eq!(spooled.server.count("spool_under_way"), 3);
    let first = spooled.server.take_forwarded();
    assert_eq!(first.iter().map(session).collect::<Vec<_>>(), ["0", "1", "2"]);
    let carols = Ask::accounting().with(number::ACCT_SESSION_ID, b"c").with(number::USER_NAME, b"carol");
    assert_eq!(spooled.ask(1001, &carols.octets()).len(), 1);
    let carols = only(spooled.server.take_forwarded());
    assert_eq!((carols.remote.to_string(), session(&carols)), ("203.0.113.7:1813".into(), "c".into()));
    spooled.acknowledge(&carols);
    // As one is answered the next one goes, in the order in which they came.
    for (number, answered) in first.iter().enumerate() {
        spooled.acknowledge(answered);
        assert_eq!(session(&only(spooled.server.take_forwarded())), (number + 3).to_string());
    }
    assert_eq!((spooled.spool.records(), spooled.server.count("spool_under_way")), (17, 3));
}

#[test]
fn of_a_session_one_record_is_under_way_and_the_next_follows_it() {
    let mut spooled = Spooled::new(&farm(SEPARATE));
    for (number, class) in [(1, b"start"), (2, b"inter"), (3, b"stop!")] {
        let request = record("7").identifier(number).with(number::CLASS, class).octets();
        assert_eq!(spooled.ask(1000, &request).len(), 1);
    }
    assert_eq!(spooled.ask(1000, &record("8").identifier(4).octets()).len(), 1);
    let mut under_way = spooled.server.take_forwarded();
    assert_eq!(under_way.iter().map(session).collect::<Vec<_>>(), ["7", "8"]);
    let mut of_session = under_way.remove(0);
    for class in [b"start", b"inter", b"stop!"] {
        assert_eq!(value(&read(&of_session), number::CLASS), Some(&class[..]));
        let answered = of_session.clone();
        spooled.acknowledge(&answered);
        if let Some(next) = spooled.server.take_forwarded().pop() {
            of_session = next;
        }
    }
    assert_eq!(spooled.spool.records(), 1);
}

/// Lets the remote server answer all but what it does not like, for so long. Gives how often each session was sent, and when last.
fn answer_all_but(spooled: &mut Spooled, disliked: &[u8], span: u64) -> Vec<(u64, String)> {
    let mut seen = Vec::new();
    for tenth in 0..span * 10 {
        for (_, each) in spooled.run(Duration::from_millis(100)) {
            seen.push((tenth / 10, session(&each)));
            if value(&read(&each), number::CLASS) != Some(disliked) {
                spooled.acknowledge(&each);
            }
        }
    }
    seen
}

#[test]
fn records_that_are_never_answered_do_not_keep_others_from_their_turn() {
    let settings = format!("{SEPARATE}[accounting.spool]\noutstanding_max = 2\n");
    let mut spooled = Spooled::new(&farm(&settings));
    for number in 0..20 {
        let class = if number < 2 { b"bad" } else { b"any" };
        let request = record(&format!("{number}")).identifier(number).with(number::CLASS, class).octets();
        assert_eq!(spooled.ask(1000, &request).len(), 1);
    }
    let seen = answer_all_but(&mut spooled, b"bad", 70);
    assert_eq!(spooled.spool.records(), 2, "{seen:?}");
    assert!(spooled.server.count("spool_put_back") >= 2);
    // They are not forgotten, and no more of a burden than RFC 5080 allows.
    let seen = answer_all_but(&mut spooled, b"bad", 160);
    let times = |session: &str| seen.iter().filter(|(_, each)| each == session).count();
    assert!((8..=12).contains(&times("0")) && (8..=12).contains(&times("1")), "{seen:?}");
    let seen = answer_all_but(&mut spooled, b"", 20);
    assert_eq!((spooled.spool.records(), seen.len()), (0, 2));
}

#[test]
fn a_record_that_is_never_answered_is_overtaken_by_its_session_if_the_server_lives() {
    let with = |number, session: &str, class: &[u8]| {
        record(session).identifier(number).with(number::CLASS, class).octets()
    };
    let mut spooled = Spooled::new(&farm(SEPARATE));
    spooled.ask(1000, &with(1, "7", b"bad"));
    spooled.ask(1000, &with(2, "7", b"stop"));
    spooled.server.take_forwarded();
    for number in 3..20 {
        // What answers these is alive.
        spooled.ask(1000, &with(number, &format!("other {number}"), b"any"));
        answer_all_but(&mut spooled, b"bad", 5);
    }
    assert_eq!(spooled.spool.records(), 1);
    let seen = answer_all_but(&mut spooled, b"", 20);
    assert_eq!((spooled.spool.records(), seen.len()), (0, 1));

    // One that answers nothing may be dead: the order is kept.
    let mut spooled = Spooled::new(&farm(SEPARATE));
    spooled.ask(1000, &with(1, "7", b"start"));
    spooled.ask(1000, &with(2, "7", b"stop"));
    spooled.server.take_forwarded();
    let sent = spooled.run(Duration::from_secs(200));
    let classes: BTreeSet<_> = sent
        .iter()
        .map(|(_, each)| value(&read(each), number::CLASS).expect("it has one").to_vec())
        .collect();
    assert_eq!(classes, [b"start".to_vec()].into());
    assert_eq!(spooled.spool.records(), 2);
}

#[test]
fn records_leave_room_for_requests() {
    let rule = "[[server.accounting]]\nwhen = { User-Name = \"dave\" }\nproxy = \"farm\"\n";
    let text = configuration(SEPARATE, &format!("{rule}{FARM}"))
        .replace("zombie_period = \"1h\"", "zombie_period = \"1h\"\noutstanding_max = 8");
    let mut spooled = Spooled::new(&text);
    for number in 0..10 {
        spooled.ask(1000, &record(&format!("{number}")).identifier(number).octets());
    }
    let records = spooled.server.take_forwarded();
    assert_eq!(records.iter().map(session).collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    let daves = Ask::accounting().with(number::ACCT_SESSION_ID, b"d").with(number::USER_NAME, b"dave");
    for number in 20..23 {
        assert!(spooled.ask(1001, &daves.clone().identifier(number).octets()).is_empty());
        assert_eq!(session(&only(spooled.server.take_forwarded())), "d");
    }
    // What had no room is sent when there is some.
    for each in records {
        spooled.acknowledge(&each);
    }
    let sent = spooled.run(Duration::from_secs(5));
    assert!(sent.iter().any(|(_, each)| session(each) != "d"), "{}", sent.len());
}

#[test]
fn what_is_hidden_is_hidden_on_the_disk_and_for_the_hop_and_read_behind_it() {
    let text = farm(SEPARATE);
    let mut spooled = Spooled::new(&text);
    let zeros = [0; 16];
    let client = secret();
    let from = Hop { secret: &client, request_authenticator: &zeros };
    let mut room = [0; 253];
    let hidden = hide_salted(b"nobody may read it", [0x91, 7], from, &mut room).expect("it fits").to_vec();
    let tunnel = [&[0][..], &hidden].concat();
    let mut room = [0; 253];
    let key = hide_salted(b"a vendor's", [0x92, 8], from, &mut room).expect("it fits");
    let vendors = [&[0, 0, 1, 55, 16, (2 + key.len()) as u8], key].concat();
    let ask = record("1").with(number::TUNNEL_PASSWORD, &tunnel).with(26, &vendors);
    assert_eq!(spooled.ask(1000, &ask.octets()).len(), 1);
    let hexadecimal = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    for secret in [&b"nobody may read it"[..], b"a vendor's", &hidden[2..], b"a secret of"] {
        assert!(!spooled.disk.holds(secret) && !spooled.disk.holds(hexadecimal(secret).as_bytes()));
    }
    assert!(spooled.disk.holds(hexadecimal(b"bob").as_bytes()), "that is how it would look");
    // A second transmission, and one after a restart, are read as well.
    let mut all = vec![only(spooled.server.take_forwarded())];
    all.extend(spooled.run(Duration::from_secs(3)).into_iter().map(|(_, each)| each));
    assert_eq!(all.len(), 2);
    let mut spooled = spooled.restart(&text);
    all.extend(spooled.server.take_forwarded());
    assert_eq!(all.len(), 3);
    let remote = remote_secret();
    for forwarded in &all {
        let framed = read(forwarded);
        let hop = Hop { secret: &remote, request_authenticator: &zeros };
        let value_of = value(&framed, number::TUNNEL_PASSWORD).expect("it goes on");
        assert_eq!(reveal_salted(&value_of[1..], hop, &mut room), Ok(&b"nobody may read it"[..]));
        let vendor = framed
            .attributes()
            .find(|attribute| attribute.number == 26 && attribute.value.starts_with(&[0, 0, 1, 55, 16]))
            .expect("it goes on");
        assert_eq!(reveal_salted(&vendor.value[6..], hop, &mut room), Ok(&b"a vendor's"[..]));
    }
}

#[test]
fn a_restart_sends_what_was_not_answered_with_the_time_that_it_has_waited() {
    let text = farm(SEPARATE);
    let mut spooled = Spooled::new(&text);
    for number in 0..5 {
        spooled.ask(1000, &record(&format!("{number}")).identifier(number).octets());
    }
    let sent = spooled.server.take_forwarded();
    spooled.acknowledge(&sent[1]);
    spooled.acknowledge(&sent[3]);
    let disk = {
        let Spooled { mut disk, .. } = spooled;
        disk.crash(0);
        disk
    };
    let mut spooled = Spooled::on(&text, disk);
    assert_eq!(spooled.spool.records(), 3);
    let again = spooled.server.take_forwarded();
    assert_eq!(again.iter().map(session).collect::<Vec<_>>(), ["0", "2", "4"]);
    spooled.wall_began += 1_000;
    let later: Vec<_> = spooled.run(Duration::from_secs(3)).into_iter().map(|(_, each)| each).collect();
    assert!(!later.is_empty() && later.iter().all(|each| (1_000..1_010).contains(&delay(each))));
    for each in &again {
        spooled.acknowledge(each);
    }
    assert_eq!(spooled.spool.records(), 0);
    assert_eq!(spooled.restart(&text).spool.records(), 0);
}

#[test]
fn a_pool_that_a_reload_takes_away_is_told_of_once_and_waited_for() {
    let text = farm(SEPARATE);
    let mut spooled = Spooled::new(&text);
    spooled.ask(1000, &record("1").octets());
    let before = only(spooled.server.take_forwarded());
    let without = configuration(
        SEPARATE,
        "[[server.accounting]]\nproxy = \"other\"\nspool = true\n\
         [[remote_server]]\nname = \"three\"\naddress = \"203.0.113.7:1813\"\nsecret = \"a secret of the remote servers\"\n\
         [[pool]]\nname = \"other\"\nremote_servers = [\"three\"]\n",
    );
    spooled.server.reload(&without);
    spooled.server.forget_older();
    assert!(spooled.run(Duration::from_secs(60)).is_empty());
    let told = |spooled: &Spooled| {
        let events = spooled.server.events.iter();
        events
            .filter(|event| matches!(event, Event::SpoolPoolUnknown { pool, .. } if pool.octets() == b"farm"))
            .count()
    };
    assert_eq!((told(&spooled), spooled.spool.records()), (1, 1));
    // Its server is gone: what it says now is nobody's.
    spooled.server.remote_reply(&before, &acknowledgement(&before));
    assert_eq!(spooled.spool.records(), 1);
    spooled.server.reload(&text);
    let after = spooled.run(Duration::from_secs(5));
    assert_eq!(told(&spooled), 1);
    spooled.acknowledge(&after[0].1);
    assert_eq!(spooled.spool.records(), 0);
}

#[test]
fn a_rule_that_a_reload_takes_away_leaves_what_was_spooled_on_its_way() {
    let text = farm(SEPARATE);
    let mut spooled = Spooled::new(&text);
    spooled.ask(1000, &record("1").octets());
    let waits = spooled.server.reload(&text.replace("spool = true\n", ""));
    assert_eq!(waits.len(), 1, "the spool goes on until a restart: {waits:?}");
    // What comes now waits for the remote server's own answer.
    spooled.server.take_forwarded();
    assert!(spooled.ask(1000, &record("2").identifier(2).octets()).is_empty());
    assert_eq!(session(&only(spooled.server.take_forwarded())), "2");
    let sent = spooled.run(Duration::from_secs(5));
    let (_, spooled_one) = sent.iter().find(|(_, each)| session(each) == "1").expect("it goes on");
    spooled.acknowledge(spooled_one);
    assert_eq!(spooled.spool.records(), 0);
}

#[test]
fn if_the_sender_dies_its_successor_sends() {
    let mut spooled = Spooled::new(&farm(SEPARATE));
    spooled.ask(1000, &record("1").octets());
    let before = only(spooled.server.take_forwarded());
    spooled.server.die(1, Peer::Worker(WorkerId(0)));
    spooled.server.settle();
    assert_eq!(spooled.server.count("spool_under_way"), 0);
    spooled.serve();
    let after = only(spooled.server.take_forwarded());
    assert_eq!(spooled.server.count("spool_under_way"), 1);
    // The sockets of the one before are gone.
    assert_ne!(read(&before).authenticator(), read(&after).authenticator());
    spooled.acknowledge(&after);
    assert_eq!(spooled.spool.records(), 0);
    // And what comes from now on is taken as ever.
    assert_eq!(spooled.ask(1000, &record("2").identifier(2).octets()).len(), 1);
}

#[test]
fn what_any_worker_has_taken_one_sends_and_workers_come_and_go() {
    let mut spooled = Spooled::new(&farm(TWO));
    for number in 0..40 {
        spooled.server.datagram_at(
            0,
            1,
            nas(1000),
            &record(&format!("{number}")).identifier(number).octets(),
        );
    }
    spooled.server.settle();
    let takers: BTreeSet<_> = spooled.server.effects.iter().map(|(thread, _, _)| *thread).collect();
    assert_eq!(takers.len(), 2, "both have some");
    assert_eq!(spooled.serve().len(), 40);
    let sent = spooled.server.take_forwarded();
    assert_eq!(
        sent.iter().map(|each| each.thread).collect::<BTreeSet<_>>(),
        [1].into(),
        "the first worker's"
    );
    for each in sent.iter().take(20) {
        spooled.acknowledge(each);
    }
    for workers in [1, 3] {
        spooled.server.begin_change(workers);
        spooled.server.settle();
        spooled.serve();
        spooled.server.end_change();
        spooled.serve();
        let request = record(&format!("with {workers}")).identifier(100 + workers as u8).octets();
        assert_eq!(spooled.ask(1000, &request).len(), 1);
    }
    for (_, each) in spooled.run(Duration::from_secs(20)) {
        let sent = spooled.server.remote_reply(&each, &acknowledgement(&each));
        assert!(sent.is_empty());
        spooled.serve();
    }
    assert_eq!(spooled.spool.records(), 0);
}

#[test]
fn it_is_stored_first_where_a_rule_says_so() {
    let settings = format!("{SEPARATE}[accounting.file]\npath = \"a.jsonl\"\n");
    let rules = FARM.replace("proxy = \"farm\"\n", "store = \"file\"\nproxy = \"farm\"\n");
    let mut spooled = Spooled::new(&configuration(&settings, &rules));
    let request = record("1").octets();
    assert!(spooled.server.ask_accounting(nas(1000), &request).is_empty());
    let (_, _, first) = &spooled.server.effects[0];
    assert!(matches!(first, Effect::Store(_)));
    let (_, sent) = spooled.server.store(Ok(()));
    assert!(sent.is_empty(), "it is not in the spool");
    assert_eq!(spooled.serve().len(), 1);
    let forwarded = only(spooled.server.take_forwarded());
    spooled.acknowledge(&forwarded);
    assert_eq!(spooled.spool.records(), 0);
    spooled.server.assert_nothing_is_left();
}

#[test]
fn a_record_that_has_been_here_is_a_loop_and_is_not_taken() {
    let mut spooled = Spooled::new(&farm(SEPARATE));
    spooled.ask(1000, &record("1").octets());
    let forwarded = only(spooled.server.take_forwarded());
    let ours = read(&forwarded).proxy_states().last().expect("ours is there").to_vec();
    let back = record("1").identifier(9).with(number::PROXY_STATE, &ours).octets();
    assert!(spooled.ask(1000, &back).is_empty());
    assert_eq!((spooled.server.discarded(Discard::ForwardLoop), spooled.spool.records()), (1, 1));
}

#[test]
fn what_its_nas_sends_again_is_acknowledged_and_not_written_twice() {
    let mut spooled = Spooled::new(&farm(SEPARATE));
    assert_eq!(spooled.ask(1000, &record("1").octets()).len(), 1);
    let octets = spooled.disk.octets();
    // Our answer was lost, and it has waited since: RFC 2866 §5.2.
    let again = record("1").identifier(2).with(number::ACCT_DELAY_TIME, &[0, 0, 0, 5]).octets();
    assert_eq!(spooled.ask(1000, &again).len(), 1);
    assert_eq!((spooled.spool.records(), spooled.disk.octets()), (1, octets));
    assert_eq!(spooled.spool.repeated(), 1);
    // Another pool has not been told of it: a rule of a reload sends it there.
    let elsewhere = farm(SEPARATE).replace("{ User-Name = \"carol\" }", "{ User-Name = \"bob\" }");
    spooled.server.reload(&elsewhere);
    assert_eq!(spooled.ask(1000, &record("1").identifier(9).octets()).len(), 1);
    assert_eq!((spooled.spool.records(), spooled.spool.repeated()), (2, 1));
    let forwarded = spooled.server.take_forwarded();
    assert!(forwarded.iter().any(|each| each.remote.to_string() == "203.0.113.7:1813"));
    // What says neither to which session it belongs nor when it happened may be another event.
    for number in 3..5 {
        let on = Ask::accounting().identifier(number).octets();
        assert_eq!(spooled.ask(1000, &on).len(), 1);
    }
    assert_eq!(spooled.spool.records(), 4);
}

#[test]
fn equal_records_of_two_events_are_both_written() {
    let mut spooled = Spooled::new(&farm(SEPARATE));
    let ask = |spooled: &mut Spooled, number, ask: &Ask| {
        assert_eq!(spooled.ask(1000, &ask.clone().identifier(number).octets()).len(), 1);
        (spooled.spool.records(), spooled.spool.repeated())
    };
    // A NAS that is started again may count its sessions from one: what it sends again it sends soon.
    assert_eq!(ask(&mut spooled, 1, &record("1")), (1, 0));
    spooled.run(Duration::from_secs(100));
    assert_eq!(ask(&mut spooled, 2, &record("1")), (1, 1));
    spooled.run(Duration::from_secs(250));
    assert_eq!(ask(&mut spooled, 3, &record("1")), (2, 1));
    // The one that came last is the one that is sent again.
    spooled.run(Duration::from_secs(100));
    assert_eq!(ask(&mut spooled, 4, &record("1")), (2, 2));
    // When it happened tells events apart, however long it takes.
    let timed = record("2").with(number::EVENT_TIMESTAMP, &[0x69, 0, 0, 1]);
    assert_eq!(ask(&mut spooled, 5, &timed), (3, 2));
    spooled.run(Duration::from_secs(600));
    assert_eq!(ask(&mut spooled, 6, &timed), (3, 3));
    // Accounting-On and -Off of any time have the same session, or one of another's.
    for status in [7, 8] {
        let on = Ask::of(Code::AccountingRequest)
            .unsigned()
            .with(number::ACCT_STATUS_TYPE, &[0, 0, 0, status])
            .with(number::ACCT_SESSION_ID, b"0");
        let (before, repeated) = ask(&mut spooled, 10 * status, &on);
        assert_eq!(ask(&mut spooled, 10 * status + 1, &on), (before + 1, repeated));
        let timed = on.with(number::EVENT_TIMESTAMP, &[0x69, 0, 0, 1]);
        assert_eq!(ask(&mut spooled, 10 * status + 2, &timed), (before + 2, repeated));
        assert_eq!(ask(&mut spooled, 10 * status + 3, &timed), (before + 2, repeated + 1));
    }
    assert_eq!(spooled.restart(&farm(SEPARATE)).spool.records(), 9);
}

#[test]
fn a_record_that_cannot_be_written_is_told_of_once_and_overtaken_by_its_session() {
    let dictionary = |name: &str, encrypted: &str| {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("spool-{name}-{}.dictionary", std::process::id()));
        let text = format!(
            "VENDOR Own 65432\nBEGIN-VENDOR Own\nATTRIBUTE Own-Key 1 octets {encrypted}\nEND-VENDOR Own\n"
        );
        std::fs::write(&path, text).expect("the target directory can be written");
        farm(&format!("{SEPARATE}dictionaries = [\"{}\"]\n", path.display()))
    };
    let (plain, encrypted) = (dictionary("plain", ""), dictionary("encrypted", "encrypt=2"));
    let own = [&[0, 0, 0xff, 0x98, 1, 6][..], b"open"].concat();
    let mut spooled = Spooled::new(&plain);
    spooled.ask(1000, &record("7").with(26, &own).octets());
    spooled.ask(1000, &record("7").identifier(2).with(number::CLASS, b"stop").octets());
    spooled.server.take_forwarded();
    spooled.server.reload(&encrypted);
    spooled.server.forget_older();
    let sent = answer_all_but(&mut spooled, b"", 60);
    assert_eq!((spooled.spool.records(), sent.len()), (1, 1), "the second is sent and answered");
    let told = |spooled: &Spooled| {
        let events = spooled.server.events.iter();
        events.filter(|event| matches!(event, Event::SpoolRecordUnwritable { .. })).count()
    };
    assert_eq!(told(&spooled), 1);
    // It waits for a dictionary that reads it.
    spooled.server.reload(&plain);
    answer_all_but(&mut spooled, b"", 30);
    assert_eq!((spooled.spool.records(), told(&spooled)), (0, 1));
}

#[test]
fn what_would_not_fit_with_what_each_transmission_adds_is_not_taken() {
    let mut spooled = Spooled::new(&farm(SEPARATE));
    // 20 of the header, 12 of status and session, 15 of 255; the last of what is left.
    let of_length = |length: usize| {
        let base = record("1");
        let mut ask = base;
        let mut left = length - Ask::accounting().octets().len() - 3 - 5;
        while left > 0 {
            let take = if left > 255 { left.min(255).min(left - 3) } else { left };
            ask = ask.with(number::CLASS, &vec![b'x'; take - 2]);
            left -= take;
        }
        let octets = ask.octets();
        assert_eq!(octets.len(), length);
        octets
    };
    let mut octets = of_length(4_096 - 24);
    octets[1] = 1;
    assert_eq!(spooled.ask(1000, &octets).len(), 1);
    assert_eq!(only(spooled.server.take_forwarded()).octets.len(), 4_096);
    assert!(spooled.ask(1001, &of_length(4_096 - 23)).is_empty());
    assert_eq!(spooled.server.discarded(Discard::ForwardTooLong), 1);
}
