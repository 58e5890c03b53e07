//! Control connections: commands answered whole and in order however slowly they are read, in bounded memory, with no lost wake-up;
//! readers, workers and network cores that go in the middle.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;
use support::{Ask, Server, nas};
use ulna_core::control::{Answered, ControlId, Errand, Fact, RowBatch, Rows, Table};
use ulna_core::effect::{Effect, EffectDone};
use ulna_core::event::Event;
use ulna_core::packet::number;
use ulna_core::path::{NetworkId, Peer, WorkerId};
use ulna_core::time::UnixTime;

const JOINED: &str = "network_threads = 0\nworkers = 3\n";
const SPLIT: &str = "network_threads = 2\nworkers = 3\n";
const LAYOUTS: [&str; 2] = [JOINED, SPLIT];
/// The least there may be, so that much has to wait.
const BUFFER: u64 = 10 * 1024;

/// Each right password begins a conversation: a code is asked for.
const RULES: &str = r#"
[[server.new]]
authenticate = "users"
[[user]]
name = "ann"
password = "hello"
one_time_code = { totp = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" }
"#;

fn server(layout: &str, mark: u8) -> Server {
    let settings = format!(
        "[runtime]\n{layout}[control]\nsocket = \"ulna.sock\"\nbuffer_octets = {BUFFER}\nmark = {mark}\nconnections_max = 4\npatience = \"60s\"\n"
    );
    let mut server = Server::new(&settings, RULES);
    server.wall_time(UnixTime(75));
    server
}

/// So many conversations, each of another device.
fn converse(server: &mut Server, conversations: u32) {
    const CALLING_STATION_ID: u8 = 31;
    for number in 0..conversations {
        let device = format!("device-{number:05}");
        let ask = Ask::user(b"ann", b"hello").numbered(number).with(CALLING_STATION_ID, device.as_bytes());
        let sent = server.ask(nas(2000 + (number % 500) as u16), &ask.octets());
        assert_eq!(sent[0].octets[0], 11, "an Access-Challenge");
    }
}

/// Whoever has connected.
struct Reader {
    id: ControlId,
    said: String,
    is_closed: bool,
}

fn connect(server: &mut Server) -> Reader {
    connect_as(server, true)
}

fn connect_as(server: &mut Server, may_change: bool) -> Reader {
    let now = server.now;
    let id = server.threads[0].handle_control_accepted(may_change, now).expect("there is room");
    Reader { id, said: String::new(), is_closed: false }
}

impl Reader {
    /// Sends octets, and all that can happen without anything being read happens.
    fn send(&self, server: &mut Server, octets: &str) {
        let now = server.now;
        server.threads[0].handle_control_octets(self.id, octets.as_bytes(), now);
        server.settle();
    }

    /// Takes at most so many octets: how many there were.
    fn read(&mut self, server: &mut Server, most: usize) -> usize {
        let Some(view) = server.threads[0].control(self.id) else { return 0 };
        let piece = &view.output[..view.output.len().min(most)];
        let octets = piece.len();
        self.said.push_str(core::str::from_utf8(piece).expect("text"));
        let is_over = view.is_over;
        let now = server.now;
        if octets > 0 {
            server.threads[0].handle_control_written(self.id, octets, now);
        } else if is_over {
            server.threads[0].handle_control_closed(self.id);
            self.is_closed = true;
        }
        server.settle();
        octets
    }

    /// Reads on, so many octets at once, until nothing comes any more.
    fn read_all(&mut self, server: &mut Server, at_once: usize) {
        while self.read(server, at_once) > 0 {}
    }

    /// A whole answer.
    fn ask(&mut self, server: &mut Server, command: &str) -> String {
        self.said.clear();
        self.send(server, &format!("{command}\n"));
        self.read_all(server, usize::MAX);
        std::mem::take(&mut self.said)
    }
}

fn assert_nothing_is_left(server: &mut Server) {
    server.settle();
    assert_eq!((server.count("tasks"), server.count("completions_waiting")), (0, 0));
}

#[test]
fn each_table_of_cores_is_shown_whole() {
    for layout in LAYOUTS {
        let mut server = server(layout, 50);
        converse(&mut server, 500);
        let mut reader = connect(&mut server);
        let conversations = reader.ask(&mut server, "show conversations");
        assert!(conversations.ends_with("\n. ok 500 rows\n"), "{conversations}");
        assert!(conversations.starts_with("worker  number "), "{conversations}");
        let devices: BTreeSet<_> =
            conversations.lines().filter_map(|line| line.split_whitespace().nth(3)).collect();
        assert_eq!((0..500).filter(|n| devices.contains(&*format!("device-{n:05}"))).count(), 500);
        for (table, rows) in [("clients", 2), ("connections", 0), ("remote-servers", 0)] {
            let said = reader.ask(&mut server, &format!("show {table}"));
            assert!(said.ends_with(&format!(". ok {rows} rows\n")), "{layout} {table}: {said}");
            assert_eq!(said.lines().count(), rows + 2);
        }
        let one = reader.ask(&mut server, "json 1 show conversations calling_station=*-00077");
        let (row, end) = one.split_once('\n').expect("two lines");
        let row: serde_json::Value = serde_json::from_str(row).expect("JSON");
        let row = &row["row"];
        assert_eq!((&row["user"], &row["calling_station"]), (&"ann".into(), &"device-00077".into()));
        assert_eq!((&row["standing"], &row["realm"]), (&"live".into(), &serde_json::Value::Null));
        assert_eq!(end, "{\"end\":{\"rows\":1}}\n");
        let some = reader.ask(&mut server, "show conversations limit=7");
        assert_eq!(some.lines().count(), 1 + 7 + 1, "{some}");
        assert_nothing_is_left(&mut server);
    }
}

#[test]
fn however_slowly_it_is_read_every_octet_is_right_and_no_more_waits_than_may() {
    for (layout, mark) in [(JOINED, 10), (JOINED, 100), (SPLIT, 1), (SPLIT, 50)] {
        let mut server = server(layout, mark);
        converse(&mut server, 600);
        let whole = connect(&mut server).ask(&mut server, "json 1 show conversations");
        assert!(whole.len() as u64 > 8 * BUFFER, "{}", whole.len());
        for at_once in [1, 17, 1_000, 4_096] {
            let mut reader = connect(&mut server);
            reader.send(&mut server, "json 1 show conversations\n");
            if at_once == 1 {
                // It takes long enough as it is.
                (0..3_000).for_each(|_| assert_eq!(reader.read(&mut server, 1), 1));
            }
            loop {
                let made: u64 = server.count("control_octets");
                if reader.read(&mut server, at_once.max(17)) == 0 {
                    break;
                }
                assert!(server.count("control_octets") > made);
            }
            assert!(reader.said == whole, "{layout} {mark} {at_once}");
            let now = server.now;
            server.threads[0].handle_control_ended(reader.id, now);
            reader.read_all(&mut server, 1);
            assert!(reader.is_closed);
        }
        assert_eq!(server.count("control_marks"), server.count("tasks_woken"), "once for each mark");
        assert!(server.count("control_marks") > 0);
        assert_nothing_is_left(&mut server);
    }
}

#[test]
fn who_reads_nothing_holds_no_more_than_its_buffer_and_is_given_up_in_the_end() {
    for layout in LAYOUTS {
        let mut server = server(layout, 50);
        converse(&mut server, 600);
        let mut reader = connect(&mut server);
        reader.send(&mut server, "json 1 show conversations\n");
        // All that was ever made for it.
        let mut waiting = 0;
        loop {
            let view = server.threads[0].control(reader.id).expect("open");
            assert!(view.output.len() as u64 <= BUFFER && !view.may_read && !view.is_over);
            if waiting == view.output.len() {
                break;
            }
            waiting = view.output.len();
            server.settle();
        }
        server.run(Duration::from_secs(59));
        assert_eq!((server.count("tasks"), server.count("control_timed_out")), (1, 0));
        // One octet is something.
        assert_eq!(reader.read(&mut server, 1), 1);
        server.run(Duration::from_secs(59));
        assert_eq!(server.count("control_timed_out"), 0);
        server.run(Duration::from_secs(2));
        assert_eq!(server.count("control_timed_out"), 1);
        reader.read_all(&mut server, 1);
        assert!(reader.is_closed);
        assert_nothing_is_left(&mut server);
    }
}

#[test]
fn a_reader_that_goes_at_any_point_leaves_nothing_behind() {
    for layout in LAYOUTS {
        let mut server = server(layout, 50);
        converse(&mut server, 300);
        for reads in 0..40 {
            let mut reader = connect(&mut server);
            let now = server.now;
            server.threads[0].handle_control_octets(reader.id, b"show conversations\n", now);
            // Also before anything has come to the worker.
            for turn in 0..reads {
                server.turn(turn % server.threads.len());
                reader.read(&mut server, 700);
            }
            server.threads[0].handle_control_broken(reader.id);
            reader.read_all(&mut server, 1);
            assert!(reader.is_closed, "{layout} {reads}");
            assert_nothing_is_left(&mut server);
        }
        assert_eq!((server.count("control_broken"), server.count("control_connections")), (40, 0));
        let said = connect(&mut server).ask(&mut server, "show conversations");
        assert!(said.ends_with(". ok 300 rows\n"));
    }
}

#[test]
fn commands_that_come_together_are_answered_one_after_the_other() {
    let mut server = server(SPLIT, 50);
    let mut reader = connect(&mut server);
    reader.send(&mut server, "show clients\nshw\n\n  \nshow clients limit=1\r\njson 1 show remote-servers");
    let now = server.now;
    server.threads[0].handle_control_ended(reader.id, now);
    reader.read_all(&mut server, 10);
    let ends: Vec<_> =
        reader.said.lines().filter(|line| line.starts_with(". ") || line.starts_with('{')).collect();
    assert_eq!(
        ends,
        [
            ". ok 2 rows",
            ". error unknown-command: there is no command \"shw\"; `help` names those that there are",
            ". ok 1 row",
            "{\"end\":{\"rows\":0}}",
        ]
    );
    assert!(reader.is_closed, "all is answered, and nothing more can come");
}

#[test]
fn what_is_no_command_is_refused_and_does_no_harm() {
    let mut server = server(JOINED, 50);
    let mut reader = connect(&mut server);
    let now = server.now;
    server.threads[0].handle_control_octets(reader.id, b"\xff\x00\n", now);
    reader.read_all(&mut server, 1);
    assert_eq!(reader.said, ". error no-text: a command is text in UTF-8\n");
    for _ in 0..3 {
        server.threads[0].handle_control_octets(reader.id, &[b'a'; 4096], now);
    }
    reader.read_all(&mut server, 1);
    assert!(
        reader.said.ends_with(". error line-too-long: a command has at most 4096 octets\n"),
        "{}",
        reader.said
    );
    assert!(reader.is_closed);

    let readers: Vec<_> = (0..4).map(|_| connect(&mut server)).collect();
    let refused = server.threads[0].handle_control_accepted(true, now).expect_err("there are four");
    assert_eq!(refused, ". error too-many-connections: there are as many control connections as may be\n");
    for mut reader in readers {
        server.threads[0].handle_control_broken(reader.id);
        reader.read_all(&mut server, 1);
    }
    connect(&mut server);
    assert_eq!((server.count("control_refused"), server.count("control_connections")), (1, 1));
}

#[test]
fn who_may_only_look_changes_nothing() {
    let mut server = server(JOINED, 50);
    let mut reader = connect_as(&mut server, false);
    for command in ["reload", "shutdown", "client flush a", "remote-server down a"] {
        let said = reader.ask(&mut server, command);
        assert!(said.starts_with(". error not-permitted: "), "{said}");
    }
    assert!(server.effects.is_empty());
    assert!(reader.ask(&mut server, "show clients").ends_with(". ok 2 rows\n"));
}

#[test]
fn an_errand_is_answered_when_it_is_done() {
    for layout in LAYOUTS {
        let mut server = server(layout, 50);
        let mut reader = connect(&mut server);
        assert_eq!(reader.ask(&mut server, "reload"), "", "it takes time");
        let (thread, ticket, effect) = server.effects.remove(0);
        assert!(matches!(effect, Effect::Errand(Errand::Reload)), "{effect:?}");
        let done = Answered::Done(Err("line 3 is wrong".into()));
        server.done(thread, ticket, EffectDone::ErrandDone(done));
        reader.read_all(&mut server, 100);
        assert_eq!(reader.said, ". error failed: line 3 is wrong\n");
        let head = reader.ask(&mut server, "show statistics value=7");
        assert_eq!(head, "name                              value\n");
        let (thread, ticket, effect) = server.effects.remove(0);
        assert!(matches!(effect, Effect::Errand(Errand::Rows(Table::Statistics))), "{effect:?}");
        let fact = |name: &str, value| Fact { thread: None, name: name.into(), value };
        let rows = Rows::Facts(vec![fact("received", 7), fact("answered", 6)]);
        let facts = Answered::Rows(RowBatch { rows, next: None });
        server.done(thread, ticket, EffectDone::ErrandDone(facts));
        reader.read_all(&mut server, 100);
        assert!(
            reader.said.ends_with("received                          7\n. ok 1 row\n"),
            "{}",
            reader.said
        );
        // Nobody has room for it.
        for (command, errand) in
            [("reload", Errand::Reload), ("json 1 show queues", Errand::Rows(Table::Queues))]
        {
            reader.ask(&mut server, command);
            let (thread, ticket, effect) = server.effects.remove(0);
            assert!(matches!(&effect, Effect::Errand(asked) if *asked == errand), "{effect:?}");
            server.done(thread, ticket, EffectDone::Shed(effect));
            reader.read_all(&mut server, 100);
            assert!(reader.said.contains("failed") && reader.said.ends_with('\n'), "{}", reader.said);
        }
        // Nobody waits for what is answered late.
        reader.ask(&mut server, "reload");
        server.threads[0].handle_control_broken(reader.id);
        server.settle();
        let (thread, ticket, _) = server.effects.remove(0);
        server.done(thread, ticket, EffectDone::ErrandDone(Answered::Done(Ok(()))));
        assert_eq!(server.count("effects_late"), 1);
        assert_nothing_is_left(&mut server);
    }
}

#[test]
fn a_worker_that_dies_or_goes_ends_what_it_was_asked_for() {
    let mut server = server(SPLIT, 50);
    converse(&mut server, 600);
    let mut reader = connect(&mut server);
    reader.send(&mut server, "show conversations\n");
    let thread_of = |server: &Server, worker: u16| {
        let is_it =
            |cores: &ulna_core::cores::Cores| cores.worker().is_some_and(|it| it.id() == WorkerId(worker));
        server.threads.iter().position(is_it).expect("it is there")
    };
    let first = thread_of(&server, 0);
    server.die(first, Peer::Worker(WorkerId(0)));
    server.settle();
    reader.read_all(&mut server, 500);
    let end = reader.said.lines().last().expect("a line");
    assert_eq!(
        end,
        ". error worker-gone: worker 0 has gone, and what it had been asked for with it; ask again"
    );
    assert_nothing_is_left(&mut server);

    // Nobody who reads slowly keeps a worker from going.
    let mut slow = connect(&mut server);
    slow.send(&mut server, "show conversations\n");
    // What there is at the first is read, then it waits at the second.
    while server.count("tasks") == 0 {
        assert!(slow.read(&mut server, 100) > 0);
    }
    server.begin_change(1);
    server.settle();
    slow.read_all(&mut server, 500);
    let end = slow.said.lines().last().expect("a line");
    assert!(end.starts_with(". error worker-gone: worker 1 has gone"), "{end}");
    // Conversations are waited for.
    server.run(Duration::from_secs(61));
    server.end_change();
    let said = connect(&mut server).ask(&mut server, "show clients");
    assert!(said.ends_with(". ok 2 rows\n"), "{said}");
    assert_nothing_is_left(&mut server);
}

/// Its patience counts from when the line is there.
#[test]
fn who_is_told_that_a_worker_goes_has_time_to_read_it_however_long_nobody_was_told_anything() {
    let mut server = server(SPLIT, 50);
    let mut reader = connect(&mut server);
    server.run(Duration::from_secs(59));
    let now = server.now;
    server.threads[0].handle_control_octets(reader.id, b"show conversations\n", now);
    server.begin_change(1);
    server.run(Duration::from_secs(59));
    reader.read_all(&mut server, 500);
    assert!(reader.said.starts_with(". error worker-gone: worker "), "{:?}", reader.said);
    assert_eq!(server.count("control_timed_out"), 0);
}

#[test]
fn a_network_core_that_dies_takes_its_readers_and_no_rows_of_others() {
    for layout in LAYOUTS {
        let mut server = server(layout, 50);
        converse(&mut server, 300);
        let mut reader = connect(&mut server);
        // A task that waits for rows of the second network core, which dies before it answers.
        let now = server.now;
        server.threads[0].handle_control_octets(reader.id, b"show connections\n", now);
        for turn in 0..3 {
            server.turn(0);
            server.turn(if layout == JOINED { 0 } else { 2 + turn });
        }
        server.die(1, Peer::Network(NetworkId(1)));
        server.settle();
        reader.read_all(&mut server, 100);
        assert!(reader.said.ends_with(". ok 0 rows\n"), "{layout}: {}", reader.said);

        reader.send(&mut server, "show conversations\n");
        server.die(0, Peer::Network(NetworkId(0)));
        assert_nothing_is_left(&mut server);
        assert!(server.threads[0].control(reader.id).is_none(), "its driver has closed it");
        let said = connect(&mut server).ask(&mut server, "show clients");
        assert!(said.ends_with(". ok 2 rows\n"), "{said}");
    }
}

#[test]
fn a_client_that_is_flushed_has_its_secret_looked_up_anew() {
    const SITE: &[u8] = b"the secret of site one";
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/sites.toml");
    for layout in LAYOUTS {
        let rules = format!(
            "[[server.new]]\nauthenticate = \"users\"\n[[client_rule]]\nname = \"branches\"\n\
             network = [\"100.64.0.0/10\"]\nnat = true\n\
             secret = {{ table = \"{table}\", key = \"NAS-Identifier\" }}\n"
        );
        let mut server = Server::new(&format!("[runtime]\n{layout}[control]\nsocket = \"s\"\n"), &rules);
        let remote = "100.64.0.1:1001".parse().expect("an address");
        let ask = |server: &mut Server, identifier: u8| {
            let ask = Ask::bob().with(number::NAS_IDENTIFIER, b"site-1").under(SITE).identifier(identifier);
            let mut sent = server.ask(remote, &ask.authenticator(identifier).octets());
            while !server.effects.is_empty() {
                sent.extend(server.look_up().1);
            }
            assert_eq!(sent.len(), 1, "{}", server.table());
        };
        ask(&mut server, 1);
        ask(&mut server, 2);
        assert_eq!((server.count("look_ups"), server.count("connections")), (1, 1));
        let mut reader = connect(&mut server);
        let rows = reader.ask(&mut server, "show clients kind=dynamic");
        assert!(rows.lines().nth(1).expect("one").contains(" dynamic     branches "), "{rows}");
        let rows = reader.ask(&mut server, "show connections transport=udp");
        assert!(rows.lines().nth(1).expect("one").starts_with("100.64.0.1:1001 "), "{rows}");
        let name =
            rows.lines().nth(1).and_then(|row| row.split_whitespace().nth(3)).expect("a name").to_string();
        assert_eq!(reader.ask(&mut server, "client flush nobody"), ". ok 0 rows\n");
        assert_eq!(reader.ask(&mut server, &format!("client flush {name}")), ". ok 1 row\n");
        assert!(reader.ask(&mut server, "show clients kind=dynamic").ends_with(". ok 0 rows\n"));
        ask(&mut server, 3);
        assert_eq!((server.count("look_ups"), server.count("connections")), (2, 1));
    }
}

#[test]
fn a_remote_server_that_is_taken_out_of_use_gets_nothing_until_it_is_given_back() {
    const FARM: &str = r#"
        [[server.new]]
        proxy = "farm"
        [[remote_server]]
        name = "one"
        address = "203.0.113.5:1812"
        secret = "a secret of the remote servers"
        [[remote_server]]
        name = "two"
        address = "203.0.113.6:1812"
        secret = "a secret of the remote servers"
        [[pool]]
        name = "farm"
        balance = "failover"
        remote_servers = ["one", "two"]
    "#;
    for layout in LAYOUTS {
        let mut server = Server::new(&format!("[runtime]\n{layout}[control]\nsocket = \"s\"\n"), FARM);
        let mut reader = connect(&mut server);
        let goes_to = |server: &mut Server, number: u16| {
            server.ask(nas(1000 + number), &Ask::bob().numbered(number.into()).octets());
            let forwarded = server.take_forwarded();
            assert_eq!(forwarded.len(), 1);
            forwarded[0].remote.to_string()
        };
        assert_eq!(goes_to(&mut server, 0), "203.0.113.5:1812");
        assert_eq!(reader.ask(&mut server, "remote-server down one"), ". ok 0 rows\n");
        for number in 1..6 {
            assert_eq!(goes_to(&mut server, number), "203.0.113.6:1812", "by each worker");
        }
        let rows = reader.ask(&mut server, "show remote-servers server=one standing=held");
        assert!(rows.ends_with(". ok 3 rows\n"), "{rows}");
        assert_eq!(
            reader.ask(&mut server, "remote-server down three"),
            ". error not-found: there is no remote server \"three\"\n"
        );
        assert_eq!(reader.ask(&mut server, "remote-server up one"), ". ok 0 rows\n");
        assert_eq!(goes_to(&mut server, 6), "203.0.113.5:1812");
        let events = server.events.iter().filter(|event| matches!(event, Event::RemoteServer { .. })).count();
        assert_eq!(events, 2, "the log tells of both");
    }
}

#[test]
fn what_is_said_between_two_turns_has_used_up_its_room() {
    let settings = "[runtime]\nnetwork_threads = 1\nworkers = 1\nring_slots = 8\n[control]\nsocket = \"s\"\nbuffer_octets = 10240\n";
    let mut server = Server::new(settings, RULES);
    server.wall_time(UnixTime(75));
    converse(&mut server, 200);
    let mut readers: Vec<_> = (0..6).map(|_| connect(&mut server)).collect();
    for reader in &mut readers {
        reader.send(&mut server, "show conversations\n");
        reader.read(&mut server, 100);
    }
    assert_eq!(server.count("tasks"), 6);
    for reader in &readers {
        server.threads[0].handle_control_broken(reader.id);
    }
    server.threads[0].begin();
    for number in 1_000..1_020u32 {
        // Of conversations that go on: they may fill the ring.
        let ask = Ask::bob().numbered(number).with(number::STATE, b"somebody's");
        server.datagram(nas(3_000 + number as u16), &ask.octets());
    }
    server.finish_turn(0);
    for reader in &mut readers {
        reader.read_all(&mut server, 1);
    }
    assert_nothing_is_left(&mut server);
}

#[test]
fn who_says_nothing_is_given_up_and_some_places_are_kept_for_who_may_change_something() {
    let settings =
        "[runtime]\nworkers = 1\n[control]\nsocket = \"s\"\nconnections_max = 16\npatience = \"60s\"\n";
    let mut server = Server::new(settings, RULES);
    let now = server.now;
    let mut idle: Vec<_> = (0..14).map(|_| connect_as(&mut server, false)).collect();
    server.threads[0].handle_control_accepted(false, now).expect_err("an eighth is kept");
    assert!(connect(&mut server).ask(&mut server, "show clients").ends_with(". ok 2 rows\n"));
    server.run(Duration::from_secs(59));
    assert_eq!(server.count("control_connections"), 15);
    server.run(Duration::from_secs(2));
    idle.iter_mut().for_each(|reader| reader.read_all(&mut server, 1));
    assert_eq!((server.count("control_connections"), server.count("control_timed_out")), (1, 15));
}

#[test]
fn rows_that_are_there_all_the_while_are_shown_once_across_a_reload() {
    let settings = |clients: u32| {
        let more = (0..clients).map(|n| {
            format!(
                "[[client]]\nname = \"c{n:03}\"\nnetwork = \"10.{}.{}.1/32\"\nsecret = \"a secret of some octets\"\n",
                n / 256,
                n % 256
            )
        });
        let table = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/sites.toml");
        let rules = format!(
            "[[server.new]]\nauthenticate = \"users\"\n[[client_rule]]\nname = \"branches\"\n\
             network = [\"100.64.0.0/10\"]\nnat = true\nsecret = {{ table = \"{table}\", key = \"NAS-Identifier\" }}\n"
        );
        let runtime =
            "[runtime]\nnetwork_threads = 0\nworkers = 1\n[control]\nsocket = \"s\"\nbuffer_octets = 10240\n";
        support::configuration(runtime, &(rules + &more.collect::<String>()))
    };
    let mut server = Server::of(&settings(400));
    let ask = Ask::bob().with(number::NAS_IDENTIFIER, b"site-1").under(b"the secret of site one");
    server.ask("100.64.0.1:1001".parse().expect("an address"), &ask.octets());
    while !server.effects.is_empty() {
        server.look_up();
    }
    let mut reader = connect(&mut server);
    reader.send(&mut server, "show clients\n");
    server.reload(&settings(20));
    reader.read_all(&mut server, 1_000);
    assert_eq!(reader.said.lines().filter(|line| line.contains(" dynamic ")).count(), 1, "{}", reader.said);
}
