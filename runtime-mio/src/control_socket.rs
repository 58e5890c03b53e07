//! The control socket: bound with its permissions, accepted, read and written by the thread of the first network core, within its share of
//! each turn.
//!
//! Decides nothing: what is read, written and closed core says. Readiness is reported at its edges, as of [streams](crate::tcp).

use std::collections::VecDeque;
use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use mio::event::Event;
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::Group;
use socket2::{Domain, SockAddr, Socket, Type};
use ulna_core::Instant;
use ulna_core::configuration::ControlSocket;
use ulna_core::control::ControlId;
use ulna_core::cores::Cores;

use crate::counters::ThreadCounters;
use crate::system_calls::SystemCalls;

/// Connections accepted in one turn, at most.
const ACCEPTS_MAX: usize = 16;
/// Connections read in one turn, at most, each once.
const READS_MAX: usize = 4;
/// Connections written to in one turn, at most, each a piece.
const WRITES_MAX: usize = 16;
/// Octets thrown away of a connection that is closed, at most, in reads: what is unread then would cost the peer its last line.
const LAST_READS_MAX: usize = 4;
/// Those that wait to be accepted.
const BACKLOG: i32 = 128;
/// Octets read at once.
const READ_OCTETS_MAX: usize = 4096;
/// Octets written in one turn, at most, to all connections together: packets come first.
const WRITE_OCTETS_MAX: usize = 64 * 1024;
/// Octets written at once, at most, so that one who reads slowly has the kernel give its memory back piece by piece.
const WRITE_PIECE_MAX: usize = 16 * 1024;
/// The token of the listening socket; those of connections follow.
const FIRST_TOKEN: usize = 1 << 34;

/// A socket that is bound, and has its permissions.
#[derive(Debug)]
pub(crate) struct BoundControl {
    socket: UnixListener,
    path: PathBuf,
    /// Tells the file from another of its name.
    inode: (u64, u64),
    /// Who may connect may change what can be changed.
    is_for_few: bool,
    group: Option<u32>,
}

impl BoundControl {
    /// Binds it under another name first, so that nobody connects before its permissions are right; what a server has left there that
    /// is no more goes with that.
    ///
    /// # Errors
    /// When somebody listens there, something else is there, or it cannot be had.
    pub fn bind(settings: &ControlSocket) -> io::Result<BoundControl> {
        let path = PathBuf::from(&*settings.path);
        let with_path =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let group = settings.group.as_deref().map(group_of).transpose()?;
        clear(&path).map_err(with_path)?;
        let beside = beside(&path);
        clear(&beside).map_err(with_path)?;
        // What a server that died has left.
        let _ = fs::remove_file(&beside);
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(&beside)?).map_err(with_path)?;
        let placed = place(&socket, &beside, &path, settings.mode, group);
        if placed.is_err() {
            let _ = fs::remove_file(&beside);
        }
        let inode = placed.map_err(with_path)?;
        let socket = UnixListener::from_std(OwnedFd::from(socket).into());
        Ok(BoundControl { socket, path, inode, is_for_few: settings.mode & 0o002 == 0, group })
    }

    /// Has a thread look at it.
    pub fn register(&mut self, registry: &Registry) -> io::Result<()> {
        registry.register(&mut self.socket, Token(FIRST_TOKEN), Interest::READABLE)
    }

    /// Whether who is at the other end, as the kernel says, may change anything.
    fn lets_change(&self, socket: &UnixStream) -> io::Result<bool> {
        let credentials = getsockopt(socket, PeerCredentials)?;
        let (uid, gid) = (credentials.uid(), credentials.gid());
        let own = rustix::process::geteuid().as_raw();
        Ok(self.is_for_few || uid == 0 || uid == own || self.group == Some(gid))
    }
}

impl Drop for BoundControl {
    /// The name goes with the socket, unless somebody else has it now.
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn group_of(name: &str) -> io::Result<u32> {
    match Group::from_name(name).map_err(io::Error::from)? {
        Some(group) => Ok(group.gid.as_raw()),
        None => Err(io::Error::new(io::ErrorKind::NotFound, format!("this machine has no group {name:?}"))),
    }
}

/// Nobody listens under this name, and nothing but a socket is there.
fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "is there, and no socket"));
        }
        Ok(_) => {}
    }
    // One whose line of those who wait to be accepted is full has somebody, too.
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        Ok(()) | Err(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another server listens there")),
    }
}

/// Gives it permissions and group, listens, and only then gives it its name: which file it is.
fn place(
    socket: &Socket,
    beside: &Path,
    path: &Path,
    mode: u32,
    group: Option<u32>,
) -> io::Result<(u64, u64)> {
    if group.is_some() {
        lchown(beside, None, group)?;
    }
    fs::set_permissions(beside, Permissions::from_mode(mode))?;
    let metadata = fs::symlink_metadata(beside)?;
    // Until now nobody could connect.
    socket.listen(BACKLOG)?;
    fs::rename(beside, path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// The control connections of a thread.
pub(crate) struct Control {
    bound: BoundControl,
    may_accept: bool,
    /// By place.
    connections: Vec<Option<Held>>,
    /// In the order in which they are read next.
    to_read: VecDeque<ControlId>,
    /// Those that can be written, in the order in which it is their turn.
    to_write: VecDeque<ControlId>,
    octets: Box<[u8]>,
    is_draining: bool,
}

struct Held {
    id: ControlId,
    socket: UnixStream,
    is_readable: bool,
    is_writable: bool,
    has_ended: bool,
    /// Nothing can be read or written any more, which core has not been told.
    is_broken: bool,
    is_in_read_line: bool,
    is_in_write_line: bool,
}

impl Control {
    /// Of this socket, which this thread looks at.
    pub fn new(bound: BoundControl) -> Control {
        Control {
            bound,
            may_accept: true,
            connections: Vec::new(),
            to_read: VecDeque::new(),
            to_write: VecDeque::new(),
            octets: vec![0; READ_OCTETS_MAX].into(),
            is_draining: false,
        }
    }

    /// Accepts what waits, up to a bound, and reads what has something.
    pub fn read(
        &mut self,
        cores: &mut Cores,
        registry: &Registry,
        counters: &ThreadCounters,
        now: Instant,
        calls: &mut SystemCalls,
    ) {
        self.accept(cores, registry, counters, now);
        for _ in 0..self.to_read.len().min(READS_MAX) {
            let Some(id) = self.to_read.pop_front() else { return };
            let Some(held) = held(&mut self.connections, id) else { continue };
            held.is_in_read_line = false;
            if held.is_broken {
                cores.handle_control_broken(id);
                continue;
            }
            if !held.is_readable || !cores.control(id).is_some_and(|control| control.may_read) {
                continue;
            }
            calls.receive += 1;
            match held.socket.read(&mut self.octets) {
                Ok(0) => {
                    held.is_readable = false;
                    cores.handle_control_ended(id, now);
                }
                Ok(octets) => {
                    held.line_up_to_read(&mut self.to_read);
                    cores.handle_control_octets(id, &self.octets[..octets], now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => held.is_readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    held.line_up_to_read(&mut self.to_read);
                }
                Err(_) => cores.handle_control_broken(id),
            }
        }
    }

    fn accept(&mut self, cores: &mut Cores, registry: &Registry, counters: &ThreadCounters, now: Instant) {
        for _ in 0..ACCEPTS_MAX {
            if !self.may_accept {
                return;
            }
            match self.bound.socket.accept() {
                Ok((socket, _)) => {
                    if self.take(socket, cores, registry, now).is_err() {
                        counters.accept_failed.up();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.may_accept = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    // No descriptor may be left. One that is closed here has it tried again, as does whoever comes next.
                    counters.accept_failed.up();
                    self.may_accept = false;
                }
            }
        }
    }

    fn take(
        &mut self,
        mut socket: UnixStream,
        cores: &mut Cores,
        registry: &Registry,
        now: Instant,
    ) -> io::Result<()> {
        let may_change = self.bound.lets_change(&socket)?;
        let id = match cores.handle_control_accepted(may_change, now) {
            Ok(id) => id,
            Err(said) => {
                // Its buffer is empty and takes it.
                let _ = socket.write(said.as_bytes());
                return Ok(());
            }
        };
        let place = id.place as usize;
        let token = Token(FIRST_TOKEN + 1 + place);
        let registered = registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE);
        if self.connections.len() <= place {
            self.connections.resize_with(place + 1, || None);
        }
        self.connections[place] = Some(Held {
            id,
            socket,
            is_readable: true,
            is_writable: true,
            has_ended: false,
            is_broken: false,
            is_in_read_line: true,
            is_in_write_line: false,
        });
        self.to_read.push_back(id);
        registered.inspect_err(|_| cores.handle_control_broken(id))
    }

    /// The server ends: nobody is accepted any more, and whoever reads is cut off.
    pub fn drain(&mut self, cores: &mut Cores, now: Instant) {
        if !self.is_draining {
            self.is_draining = true;
            cores.drain_control(now);
        }
    }

    /// Writes what there is to be written, a share of it, and closes what is over.
    pub fn write(&mut self, cores: &mut Cores, now: Instant, calls: &mut SystemCalls) {
        while let Some(id) = cores.poll_control() {
            self.line_up(id, cores);
        }
        let mut left = WRITE_OCTETS_MAX;
        for _ in 0..self.to_write.len().min(WRITES_MAX) {
            if left == 0 {
                return;
            }
            let Some(id) = self.to_write.pop_front() else { return };
            left -= self.write_to(id, left, cores, now, calls);
        }
    }

    /// A connection has something for us.
    fn line_up(&mut self, id: ControlId, cores: &mut Cores) {
        let Some(held) = held(&mut self.connections, id) else { return cores.handle_control_closed(id) };
        if !std::mem::replace(&mut held.is_in_write_line, true) {
            self.to_write.push_back(id);
        }
    }

    /// One piece to one connection: how many octets it took.
    fn write_to(
        &mut self,
        id: ControlId,
        most: usize,
        cores: &mut Cores,
        now: Instant,
        calls: &mut SystemCalls,
    ) -> usize {
        let Some(held) = held(&mut self.connections, id) else { return 0 };
        held.is_in_write_line = false;
        let mut written = 0;
        if held.is_writable
            && let Some(control) = cores.control(id)
            && !control.output.is_empty()
        {
            let piece = &control.output[..control.output.len().min(most).min(WRITE_PIECE_MAX)];
            calls.send += 1;
            match held.socket.write(piece) {
                Ok(octets) => {
                    written = octets;
                    cores.handle_control_written(id, octets, now);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => held.is_writable = false,
                Err(_) => cores.handle_control_broken(id),
            }
        }
        let Some(control) = cores.control(id) else { return written };
        if control.is_over {
            self.close(id);
            cores.handle_control_closed(id);
            return written;
        }
        if !control.output.is_empty() && held.is_writable {
            held.is_in_write_line = true;
            self.to_write.push_back(id);
        }
        if control.may_read && held.is_readable {
            held.line_up_to_read(&mut self.to_read);
        }
        written
    }

    fn close(&mut self, id: ControlId) {
        let Some(mut held) = self.connections.get_mut(id.place as usize).and_then(Option::take) else {
            return;
        };
        // The peer reads our end behind all answers. It may be gone already.
        let _ = held.socket.shutdown(Shutdown::Write);
        for _ in 0..LAST_READS_MAX {
            if !matches!(held.socket.read(&mut self.octets), Ok(octets) if octets > 0) {
                break;
            }
        }
        // A descriptor is free, for whom it was wanting.
        self.may_accept = true;
    }

    /// Closes all of them: the core is gone that had them.
    pub fn close_all(&mut self) {
        self.connections.iter_mut().for_each(|held| *held = None);
        self.to_read.clear();
        self.to_write.clear();
    }

    /// Whether anything waits to be accepted or read.
    pub fn has_unread(&self) -> bool {
        self.may_accept || !self.to_read.is_empty()
    }

    /// Whether anything can be written.
    pub fn has_unwritten(&self) -> bool {
        !self.to_write.is_empty()
    }

    /// Notes what has become ready. Whether it is one of ours.
    pub fn note_ready(&mut self, event: &Event) -> bool {
        let Some(number) = event.token().0.checked_sub(FIRST_TOKEN) else { return false };
        let Some(place) = number.checked_sub(1) else {
            self.may_accept = true;
            return true;
        };
        let Some(Some(held)) = self.connections.get_mut(place) else { return number < FIRST_TOKEN };
        // Who has gone altogether reads nothing any more, whatever it had sent.
        held.is_broken |= event.is_error() || event.is_write_closed();
        held.has_ended |= event.is_read_closed();
        if event.is_readable() || held.has_ended || held.is_broken {
            held.is_readable = true;
            held.line_up_to_read(&mut self.to_read);
        }
        if event.is_writable() {
            held.is_writable = true;
            if !std::mem::replace(&mut held.is_in_write_line, true) {
                self.to_write.push_back(held.id);
            }
        }
        true
    }
}

impl Held {
    fn line_up_to_read(&mut self, to_read: &mut VecDeque<ControlId>) {
        if !std::mem::replace(&mut self.is_in_read_line, true) {
            to_read.push_back(self.id);
        }
    }
}

/// The connection of this name, if it was not closed.
fn held(connections: &mut [Option<Held>], id: ControlId) -> Option<&mut Held> {
    connections.get_mut(id.place as usize)?.as_mut().filter(|held| held.id == id)
}
