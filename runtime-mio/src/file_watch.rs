//! Tells when files have changed, as the kernel does (inotify), without looking every so often.
//!
//! Watches the folders that files lie in, not the files: whoever writes a file anew beside it and gives it its name, as editors
//! do, or lets a link point elsewhere, leaves a watch of the old one in the dark. What happens in a folder is let settle for a
//! moment, and a file counts as changed when it is another or its time or size is. Decides nothing: what is in a file is for
//! whoever is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};

use crate::server::{EndsProcessOnPanic, locked};

/// Watches files until it is dropped.
pub struct FileWatch {
    shared: Arc<Shared>,
}

struct Shared {
    waker: Waker,
    orders: Mutex<Orders>,
}

#[derive(Default)]
struct Orders {
    /// Other files, from now on.
    files: Option<Vec<PathBuf>>,
    is_over: bool,
}

/// What tells a file from what it was.
type Look = Option<(u64, u64, u64, i64, i64)>;

impl FileWatch {
    /// Starts the thread that watches, no files so far. `tell` is called there with each file that has changed, appeared or gone.
    ///
    /// # Errors
    /// When a thread, or what it waits on, cannot be had.
    pub fn start(tell: impl FnMut(&Path) + Send + 'static) -> io::Result<FileWatch> {
        let poll = Poll::new()?;
        let shared =
            Arc::new(Shared { waker: Waker::new(poll.registry(), ORDERS)?, orders: Mutex::default() });
        let watching =
            Watching { poll, shared: Arc::clone(&shared), files: BTreeMap::new(), inotify: None, tell };
        thread::Builder::new().name("file-watch".into()).spawn(move || {
            let _end_with_the_process = EndsProcessOnPanic;
            watching.run();
        })?;
        Ok(FileWatch { shared })
    }

    /// Watches these files and no others from now on. One that was not watched before is told of at once: nobody knows what has
    /// become of it since it was read.
    pub fn watch(&self, files: Vec<PathBuf>) {
        locked(&self.shared.orders).files = Some(files);
        self.wake();
    }

    fn wake(&self) {
        // It fails only where the counter of the descriptor is full, and then the thread is about to wake.
        let _ = self.shared.waker.wake();
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        locked(&self.shared.orders).is_over = true;
        self.wake();
    }
}

struct Watching<T> {
    poll: Poll,
    shared: Arc<Shared>,
    /// With what each looked like when it was told of last.
    files: BTreeMap<PathBuf, Look>,
    /// `None` as long as there is nothing to watch; or where a folder cannot be watched, until that is tried again.
    inotify: Option<OwnedFd>,
    tell: T,
}

impl<T: FnMut(&Path)> Watching<T> {
    fn run(mut self) {
        let mut events = Events::with_capacity(8);
        let mut stirred: Option<Instant> = None;
        loop {
            let patience = if stirred.is_some() {
                Some(SETTLING)
            } else if self.inotify.is_none() && !self.files.is_empty() {
                Some(UNWATCHED_LOOK)
            } else {
                None
            };
            match self.poll.poll(&mut events, patience) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => panic!("the kernel refused to wait: {error}"),
            }
            let orders = std::mem::take(&mut *locked(&self.shared.orders));
            if orders.is_over {
                return;
            }
            if let Some(files) = orders.files {
                self.take(files);
            }
            let stirs = events.iter().any(|event| event.token() == INOTIFY) && self.drain();
            // However much goes on in a folder, its files are looked at now and then.
            if stirs && stirred.get_or_insert_with(Instant::now).elapsed() < SETTLING_MAX {
                continue;
            }
            if stirred.is_some() || self.inotify.is_none() {
                stirred = None;
                // A folder, or where a link points, may be another now.
                self.set_up();
                self.look();
            }
        }
    }

    /// Other files.
    fn take(&mut self, files: Vec<PathBuf>) {
        let mut before = std::mem::take(&mut self.files);
        for file in files {
            let look = before.remove(&file).unwrap_or_default();
            self.files.insert(file, look);
        }
        self.set_up();
        self.look();
    }

    /// Tells of those that are not what they were.
    fn look(&mut self) {
        let Watching { files, tell, .. } = self;
        for (file, known) in files {
            let now = look(file);
            if now != *known {
                *known = now;
                tell(file);
            }
        }
    }

    /// Watches the folders of all files, and those of what they point to.
    fn set_up(&mut self) {
        if let Some(old) = self.inotify.take() {
            let _ = self.poll.registry().deregister(&mut SourceFd(&old.as_raw_fd()));
        }
        if self.files.is_empty() {
            return;
        }
        let watched = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).and_then(|inotify| {
            for file in self.files.keys() {
                for folder in folders(file) {
                    add_watch(&inotify, folder, changes())?;
                }
            }
            Ok(inotify)
        });
        let Ok(inotify) = watched else { return };
        let descriptor = inotify.as_raw_fd();
        if self.poll.registry().register(&mut SourceFd(&descriptor), INOTIFY, Interest::READABLE).is_ok() {
            self.inotify = Some(inotify);
        }
    }

    /// Reads what has happened; whether anything has.
    fn drain(&mut self) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(inotify, &mut buffer);
        let mut any = false;
        while reader.next().is_ok() {
            any = true;
        }
        any
    }
}

/// The folders in which something may make this path another file: its own, and those of all links that it leads through.
fn folders(file: &Path) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    let mut path = file.to_owned();
    for _ in 0..LINKS_MAX {
        let link = path.ancestors().collect::<Vec<_>>().into_iter().rev().find_map(|ancestor| {
            let target = fs::read_link(ancestor).ok()?;
            Some((ancestor.to_owned(), target))
        });
        let Some((link, target)) = link else { break };
        let folder = folder_of(&link);
        let rest = path.strip_prefix(&link).expect("it is one of its ancestors").to_owned();
        path = folder.join(target);
        if !rest.as_os_str().is_empty() {
            path.push(rest);
        }
        folders.insert(folder);
    }
    folders.insert(folder_of(&path));
    folders
}

fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}

fn look(file: &Path) -> Look {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec()))
}

/// What may make a file another.
fn changes() -> WatchFlags {
    WatchFlags::CLOSE_WRITE
        | WatchFlags::CREATE
        | WatchFlags::MOVED_TO
        | WatchFlags::MOVED_FROM
        | WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::ATTRIB
        | WatchFlags::MOVE_SELF
}

const ORDERS: Token = Token(0);
const INOTIFY: Token = Token(1);
/// Nothing must happen for so long before files are looked at: who writes one writes more.
const SETTLING: Duration = Duration::from_millis(50);
/// For so long it may go on.
const SETTLING_MAX: Duration = Duration::from_secs(1);
/// Links that a path may lead through.
const LINKS_MAX: usize = 16;
/// A folder that is not there cannot be watched: then it is looked for.
const UNWATCHED_LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::sync::mpsc::{Receiver, channel};

    struct Watched {
        folder: PathBuf,
        watch: FileWatch,
        told: Receiver<PathBuf>,
    }

    impl Watched {
        fn new(name: &str) -> Watched {
            let folder = std::env::temp_dir().join(format!("ulna-watch-{}-{name}", std::process::id()));
            fs::create_dir_all(&folder).expect("a folder");
            let (tell, told) = channel();
            let watch = FileWatch::start(move |path| {
                let _ = tell.send(path.to_owned());
            });
            Watched { folder, watch: watch.expect("a thread"), told }
        }

        fn file(&self, name: &str) -> PathBuf {
            self.folder.join(name)
        }

        fn told(&self) -> PathBuf {
            self.told.recv_timeout(Duration::from_secs(10)).expect("told in time")
        }
    }

    impl Drop for Watched {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    #[test]
    fn tells_of_a_file_that_is_written_replaced_or_gone_and_of_no_other() {
        let watched = Watched::new("files");
        let [one, other] = ["one", "other"].map(|name| watched.file(name));
        fs::write(&one, "1").expect("written");
        watched.watch.watch(vec![one.clone()]);
        assert_eq!(watched.told(), one);
        fs::write(&other, "1").expect("written");
        fs::write(&one, "22").expect("written");
        assert_eq!(watched.told(), one);
        fs::write(watched.file("new"), "333").expect("written");
        fs::rename(watched.file("new"), &one).expect("renamed");
        assert_eq!(watched.told(), one);
        fs::remove_file(&one).expect("removed");
        assert_eq!(watched.told(), one);
        assert!(watched.told.try_recv().is_err());
    }

    #[test]
    fn tells_of_a_link_that_points_elsewhere_and_of_what_it_points_to() {
        let watched = Watched::new("links");
        let [first, second] = ["first", "second"].map(|name| watched.file(name));
        for folder in [&first, &second] {
            fs::create_dir(folder).expect("a folder");
            fs::write(folder.join("table"), folder.display().to_string()).expect("written");
        }
        symlink(&first, watched.file("data")).expect("a link");
        let table = watched.file("table");
        symlink("data/table", watched.file("between")).expect("a link");
        symlink("between", &table).expect("a link");
        watched.watch.watch(vec![table.clone()]);
        assert_eq!(watched.told(), table);
        fs::write(first.join("table"), "another").expect("written");
        assert_eq!(watched.told(), table);
        symlink(&second, watched.file("next")).expect("a link");
        fs::rename(watched.file("next"), watched.file("data")).expect("renamed");
        assert_eq!(watched.told(), table);
    }
}
