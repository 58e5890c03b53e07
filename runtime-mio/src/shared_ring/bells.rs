//! The two FIFOs: one octet in them ends the other process's wait, and their ends tell when that process has gone.
//!
//! Sticky, as a bell has to be: an octet stays until it is taken, and each write to a FIFO that a poll watches is an edge
//! of its own, whether or not older octets lie there. It is taken after a wait and before the next announcement.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;

use super::End;

/// One side's ends of the two FIFOs.
pub(super) struct Bells {
    /// Rung by the other process.
    own: File,
    /// Rings the other process; `None` until that has come.
    other: Option<File>,
    registry: Option<(Registry, Token)>,
}

impl Bells {
    pub fn new(own: File, other: Option<File>) -> Bells {
        Bells { own, other, registry: None }
    }

    /// Has a poll watch all ends that there are, and those that come.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.own.as_raw_fd()), token, Interest::READABLE)?;
        self.registry = Some((registry.try_clone()?, token));
        match &self.other {
            Some(other) => self.watch_end(other.as_raw_fd()),
            None => Ok(()),
        }
    }

    /// Whether the other process has come.
    pub fn is_attached(&self) -> bool {
        self.other.is_some()
    }

    /// The other process has come: this rings it.
    pub fn attach(&mut self, other: File) -> io::Result<()> {
        self.watch_end(other.as_raw_fd())?;
        self.other = Some(other);
        Ok(())
    }

    /// Of the end that is written to only its being closed at the other side is wanted. That is told unasked (epoll_ctl(2),
    /// EPOLLERR); what is asked for here no FIFO ever has.
    fn watch_end(&self, other: RawFd) -> io::Result<()> {
        match &self.registry {
            Some((registry, token)) => registry.register(&mut SourceFd(&other), *token, Interest::PRIORITY),
            None => Ok(()),
        }
    }

    /// Rings the other process.
    ///
    /// # Panics
    /// Before it has come: that ring would be lost.
    pub fn ring(&self) -> Result<(), End> {
        let other = self.other.as_ref().expect("only who has come is rung");
        loop {
            match rustix::io::write(other, &[1]) {
                Ok(_) => return Ok(()),
                // As many octets lie there as it holds: it is rung.
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                // A Rust program ignores SIGPIPE, so that this is but an error.
                Err(Errno::PIPE) => return Err(End::Gone),
                Err(errno) => return Err(End::Bell(errno.kind())),
            }
        }
    }

    /// Takes what was rung, and counts the system calls. One that rings without a pause is not waited for: what it leaves
    /// there is taken next time.
    pub fn take(&mut self, calls: &mut u64) -> Result<(), End> {
        let mut octets = [0; 512];
        for _ in 0..READS_MAX {
            *calls += 1;
            match rustix::io::read(&self.own, &mut octets) {
                Ok(count) if count == octets.len() => {}
                Ok(_) | Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(End::Bell(errno.kind())),
            }
        }
        Ok(())
    }
}

/// Of 512 octets: half of what a FIFO holds (pipe(7)), and far more than one ring for each park ever comes to.
const READS_MAX: usize = 64;
