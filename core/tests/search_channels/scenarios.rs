//! Who talks to whom.

use crate::queue::gate::Urgency::{self, Lazy, Urgent};
use crate::search::Scenario;
use crate::thread::Role;

const READER: Role = Role {
    name: "reader",
    sends: &[],
    answers: None,
    limit: None,
    wants: false,
    batch: 0,
    budget: 64,
    closes: false,
    reads_letters: false,
    posts: &[],
};

const fn writer(sends: &'static [Urgency]) -> Role {
    Role { name: "writer", sends, batch: 1, ..READER }
}

/// One writer, one message at a time, more than the ring holds.
pub const ONE_WRITER: Scenario = Scenario {
    name: "one writer, 3 urgent",
    roles: &[READER, writer(&[Urgent, Urgent, Urgent])],
    links: &[(0, 1)],
    later: &[],
    slots: 2,
    unrest: 1,
};

/// The same two at a time, and a reader that takes one at a time: the head passes the mark in small moves.
pub const SLOW_READER: Scenario = Scenario {
    name: "one writer, 4 urgent in pairs, slow reader",
    roles: &[Role { budget: 1, ..READER }, Role { batch: 2, ..writer(&[Urgent, Urgent, Urgent, Urgent]) }],
    ..ONE_WRITER
};

/// Two writers: who rings, and is every ring looked at?
pub const TWO_WRITERS: Scenario = Scenario {
    name: "two writers, 2 urgent each",
    roles: &[READER, writer(&[Urgent, Urgent]), writer(&[Urgent, Urgent])],
    links: &[(0, 1), (0, 2)],
    later: &[],
    slots: 2,
    unrest: 0,
};

/// Two writers, three messages each.
pub const TWO_WRITERS_THREE: Scenario = Scenario {
    name: "two writers, 3 urgent each in pairs",
    roles: &[
        READER,
        Role { batch: 2, ..writer(&[Urgent, Urgent, Urgent]) },
        Role { batch: 2, ..writer(&[Urgent, Urgent, Urgent]) },
    ],
    ..TWO_WRITERS
};

/// Lazy messages before urgent ones, to a reader that waits for neither.
pub const LAZY_AND_URGENT: Scenario = Scenario {
    name: "one writer, lazy and urgent",
    roles: &[READER, writer(&[Lazy, Urgent, Lazy, Lazy])],
    ..ONE_WRITER
};

/// Lazy messages alone: half a ring of them ends a sleep.
pub const LAZY: Scenario =
    Scenario { name: "one writer, 3 lazy", roles: &[READER, writer(&[Lazy, Lazy, Lazy])], ..ONE_WRITER };

/// Lazy messages to a reader that waits for them.
pub const LAZY_WANTED: Scenario = Scenario {
    name: "one writer, 3 lazy, wanted",
    roles: &[Role { wants: true, ..READER }, writer(&[Lazy, Lazy, Lazy])],
    ..ONE_WRITER
};

const fn network(limit: u8) -> Role {
    Role { name: "network", sends: &[Urgent, Urgent, Urgent], limit: Some(limit), batch: 2, ..READER }
}

const fn worker(answers: Urgency) -> Role {
    Role { name: "worker", answers: Some(answers), batch: 2, ..READER }
}

/// A network thread that may have one request unanswered, and a worker that answers lazily: WANT.
pub const LIMIT: Scenario = Scenario {
    name: "network and worker, limit 1, lazy answers",
    roles: &[network(1), worker(Lazy)],
    links: &[(0, 1)],
    later: &[],
    slots: 2,
    unrest: 1,
};

/// Limit and ring are of one size, and the worker takes one request at a time.
pub const LIMIT_OF_A_RING: Scenario = Scenario {
    name: "network and slow worker, limit 2",
    roles: &[network(2), Role { budget: 1, ..worker(Lazy) }],
    ..LIMIT
};

/// Both write, both may be blocked on room, both read one at a time.
pub const BOTH_BLOCKED: Scenario = Scenario {
    name: "both ways, 3 urgent each, no limit",
    roles: &[
        Role { name: "network", budget: 1, ..writer(&[Urgent, Urgent, Urgent]) },
        Role { name: "worker", budget: 1, ..writer(&[Urgent, Urgent, Urgent]) },
    ],
    unrest: 0,
    ..LIMIT
};

/// The same, and something else than a bell wakes one of them.
pub const BOTH_BLOCKED_UNREST: Scenario =
    Scenario { name: "both ways, 3 urgent each, unrest", unrest: 1, ..BOTH_BLOCKED };

/// Two network threads write to one worker, urgent and lazy, one of them in pairs.
pub const THREE_THREADS: Scenario = Scenario {
    name: "two network threads, one worker",
    roles: &[
        Role { name: "worker", sends: &[], ..READER },
        Role { name: "network", batch: 2, ..writer(&[Urgent, Lazy, Urgent]) },
        Role { name: "network", ..writer(&[Lazy, Urgent]) },
    ],
    links: &[(0, 1), (0, 2)],
    later: &[],
    slots: 2,
    unrest: 0,
};

const SUPERVISOR: Role = Role { name: "supervisor", posts: &[(0, 1), (1, 1)], ..READER };

/// A supervisor brings a link to two threads that sleep and wake; one of them has it first, and writes at once.
pub const NEW_LINK: Scenario = Scenario {
    name: "a new link, 2 urgent on it",
    roles: &[
        Role { name: "worker", reads_letters: true, ..READER },
        Role { name: "network", reads_letters: true, ..writer(&[Urgent, Urgent]) },
        SUPERVISOR,
    ],
    links: &[],
    later: &[(0, 1)],
    slots: 2,
    unrest: 0,
};

/// The same link closed after one message: it comes, is used, and goes.
pub const NEW_LINK_CLOSED: Scenario = Scenario {
    name: "a new link, closed after 1 urgent",
    roles: &[
        Role { name: "worker", reads_letters: true, ..READER },
        Role { name: "network", reads_letters: true, closes: true, batch: 2, ..writer(&[Urgent]) },
        SUPERVISOR,
    ],
    ..NEW_LINK
};

/// A link on which all is said, and both give it up; who has answered last waits until that is read.
pub const CLOSE: Scenario = Scenario {
    name: "a link closed after 2 urgent",
    roles: &[READER, Role { closes: true, ..writer(&[Urgent, Urgent]) }],
    ..ONE_WRITER
};

/// The same with answers, of which the last is the worker's own last message.
pub const CLOSE_WITH_ANSWERS: Scenario = Scenario {
    name: "a link closed after 2 answered lazily",
    roles: &[worker(Lazy), Role { closes: true, wants: true, batch: 2, ..writer(&[Urgent, Urgent]) }],
    ..ONE_WRITER
};

/// A link comes, is used, closed and given up, while another is in use.
pub const COME_AND_GO: Scenario = Scenario {
    name: "a link comes and goes beside another",
    roles: &[
        Role { name: "worker", reads_letters: true, ..READER },
        Role { name: "network", reads_letters: true, closes: true, batch: 2, ..writer(&[Urgent]) },
        SUPERVISOR,
        writer(&[Urgent]),
    ],
    links: &[(0, 3)],
    later: &[(0, 1)],
    slots: 2,
    unrest: 0,
};

/// Those that are searched each time.
pub const ALL: &[Scenario] = &[
    ONE_WRITER,
    SLOW_READER,
    TWO_WRITERS,
    LAZY_AND_URGENT,
    LAZY,
    LAZY_WANTED,
    LIMIT,
    LIMIT_OF_A_RING,
    BOTH_BLOCKED,
    THREE_THREADS,
    NEW_LINK,
    CLOSE,
    CLOSE_WITH_ANSWERS,
    NEW_LINK_CLOSED,
];

/// Those that take minutes.
pub const LARGE: &[Scenario] = &[BOTH_BLOCKED_UNREST, TWO_WRITERS_THREE, COME_AND_GO];
