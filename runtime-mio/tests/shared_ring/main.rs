//! A ring between two processes: this test and itself, started again with a role.
//!
//! Nobody here waits with a time-out: a wake-up that is lost is a test that does not end, and that is noticed from outside.

mod exchange;
mod hostile;
mod refusals;
mod serving;

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use mio::{Events, Poll, Token};
use ulna_runtime_mio::shared_ring::Link;

/// What the other process is to do, and with which link.
const ROLE: &str = "ULNA_SHARED_RING_ROLE";
const LINK: &str = "ULNA_SHARED_RING_LINK";
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
#[ignore = "the other process of the tests here, which start it"]
fn other_process() {
    let (Ok(role), Some(link)) = (std::env::var(ROLE), std::env::var_os(LINK)) else { return };
    let link = PathBuf::from(link);
    within(move || match role.as_str() {
        "exchange" => exchange::other(&link),
        "answer" => exchange::answer(&link),
        "scribble" => hostile::scribble(),
        "ask" => serving::ask(&link),
        "ask for ever" => serving::ask_for_ever(&link),
        "break" => serving::break_it(&link),
        role => panic!("no such role: {role}"),
    });
}

/// Does it in a thread of its own, and panics if that does not end.
fn within<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = channel();
    let thread = std::thread::spawn(move || {
        let _ = done.send(f());
    });
    match result.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("it has not ended: a wake-up was lost"),
        Err(RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().expect_err("it panicked"))
        }
    }
}

/// A process of its own. Killed, if the test ends before it does.
struct Other {
    child: Child,
    input: Option<ChildStdin>,
}

impl Other {
    fn start(role: &str, link: &Path) -> Other {
        let mut child = Command::new(std::env::current_exe().expect("it runs"))
            .args(["--ignored", "--exact", "other_process", "--nocapture"])
            .env(ROLE, role)
            .env(LINK, link)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("what runs can be started");
        let input = child.stdin.take();
        Other { child, input }
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it has ended");
    }

    fn end_well(mut self) {
        drop(self.input.take());
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "the other process: {status}");
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A link with a poll for it alone.
struct Side {
    link: Link,
    poll: Poll,
    events: Events,
}

impl Side {
    fn of(mut link: Link) -> Side {
        let poll = Poll::new().expect("a poll");
        link.register(poll.registry(), Token(0)).expect("it is watched");
        Side { link, poll, events: Events::with_capacity(4) }
    }

    /// Sleeps, without a time-out.
    fn wait(&mut self) {
        self.link.wait(&mut self.poll, &mut self.events, None).expect("it waits");
    }
}

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("ulna-shared-{name}-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("there is a temporary folder");
        Folder(folder)
    }

    fn ring(&self) -> PathBuf {
        self.0.join("ring")
    }

    fn entries(&self) -> usize {
        std::fs::read_dir(&self.0).expect("it is there").count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Numbers that look drawn and are the same every time (splitmix64).
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
