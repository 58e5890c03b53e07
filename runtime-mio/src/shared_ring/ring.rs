//! The two ends of one ring in the mapping: the protocol of core's `queue::ring`, with everything checked that the other
//! process writes.
//!
//! It is not core's ring made generic. That one moves values, owns what it holds and believes the other end, which the same
//! compiler made; here nothing is owned, slots are octets that are copied, and each index is an input that may be a lie.
//! Of every line one load is kept, and looked at before it is used; what this process wrote is never read back. Shared with
//! core is the gate, for which each word has a meaning, and the order of the steps.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::mapping::Mapping;
use super::slot::{HEAD_OCTETS, Head, Kind, PeerBroke, SLOT_OCTETS, Slot};
use crate::mmsg::PACKET_OCTETS_MAX;

/// Where a ring lies in the mapping: offsets in octets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Messages below it are written. The writer's.
    pub tail: usize,
    /// Messages below it are taken. The reader's.
    pub head: usize,
    /// The head at which the writer wants to be woken. The writer's.
    pub want_space: usize,
    /// The first slot.
    pub slots: usize,
    /// How many there are, a power of two.
    pub count: u64,
    /// What its messages are.
    pub kind: Kind,
}

impl Place {
    fn slot(&self, sequence: u64) -> usize {
        self.slots + (sequence & (self.count - 1)) as usize * SLOT_OCTETS
    }
}

/// The end that writes.
pub(super) struct Writer {
    shared: Arc<Mapping>,
    place: Place,
    /// Sequence of the next message to be staged. published <= tail <= head + count.
    tail: u64,
    published: u64,
    /// The reader's, when last looked at. Never above `published`.
    head: u64,
    /// The head that `want_space` asks for.
    want: u64,
}

impl Writer {
    pub fn new(shared: Arc<Mapping>, place: Place) -> Writer {
        Writer { shared, place, tail: 0, published: 0, head: 0, want: 0 }
    }

    /// Messages that can be staged now.
    #[inline]
    pub fn room(&mut self) -> Result<usize, PeerBroke> {
        self.look_at_head()?;
        Ok((self.place.count - (self.tail - self.head)) as usize)
    }

    /// Copies a message into the next slot, to be seen after the next publish.
    ///
    /// # Panics
    /// Without room at the last look, or if it is longer than a packet.
    pub fn stage(&mut self, head: &Head, octets: &[u8]) {
        assert!(self.tail - self.head < self.place.count, "a message was staged into a full ring");
        assert!(octets.len() <= PACKET_OCTETS_MAX && octets.len() == head.length, "a packet of that length");
        let slot = self.place.slot(self.tail);
        self.shared.copy_in(slot, &head.encode());
        self.shared.copy_in(slot + HEAD_OCTETS, octets);
        self.tail += 1;
    }

    /// Shows the reader all that was staged; says whether there was anything. A SeqCst fence and a look at the reader's
    /// gate have to follow.
    #[inline]
    pub fn publish(&mut self) -> bool {
        if self.published == self.tail {
            return false;
        }
        self.published = self.tail;
        // Release pairs with the Acquire load in the other process's `Reader::available`.
        self.shared.word(self.place.tail).store(self.tail, Ordering::Release);
        true
    }

    /// Asks the reader to say when half of the ring has been read, or all that was published, if that is less.
    pub fn ask_for_space(&mut self) -> Result<(), PeerBroke> {
        self.look_at_head()?;
        self.want = (self.head + (self.place.count / 2).max(1)).min(self.published);
        // Relaxed: ordered before the second look by the fence in `Gate::announce`. Read in `Reader::space_wanted`.
        self.shared.word(self.place.want_space).store(self.want, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the reader has come as far as was asked.
    pub fn space_came(&mut self) -> Result<bool, PeerBroke> {
        self.look_at_head()?;
        Ok(self.head >= self.want)
    }

    #[inline]
    fn look_at_head(&mut self) -> Result<(), PeerBroke> {
        // Acquire pairs with the Release store in the other process's `Reader::publish_head`: slots below it were copied.
        let head = self.shared.word(self.place.head).load(Ordering::Acquire);
        if head < self.head {
            return Err(PeerBroke::HeadWentBack);
        }
        if head > self.published {
            return Err(PeerBroke::HeadTooFar);
        }
        self.head = head;
        Ok(())
    }
}

/// The end that reads.
pub(super) struct Reader {
    shared: Arc<Mapping>,
    place: Place,
    /// Sequence of the next message to be taken. tested <= published <= head <= tail <= published + count.
    head: u64,
    published: u64,
    /// Up to which head the writer's mark was looked at.
    tested: u64,
    /// The writer's, when last looked at.
    tail: u64,
}

impl Reader {
    pub fn new(shared: Arc<Mapping>, place: Place) -> Reader {
        Reader { shared, place, head: 0, published: 0, tested: 0, tail: 0 }
    }

    /// Messages that can be taken now.
    #[inline]
    pub fn available(&mut self) -> Result<usize, PeerBroke> {
        // Acquire pairs with the Release store in the other process's `Writer::publish`: who sees the tail sees the slots
        // below it; unless that process lies, and then sees whatever octets are there.
        let tail = self.shared.word(self.place.tail).load(Ordering::Acquire);
        if tail < self.tail {
            return Err(PeerBroke::TailWentBack);
        }
        // A slot is free when the head that was *published* has passed it.
        if tail - self.published > self.place.count {
            return Err(PeerBroke::TailTooFar);
        }
        self.tail = tail;
        Ok((tail - self.head) as usize)
    }

    /// Copies the oldest unread message out; the caller has counted how many there are.
    ///
    /// # Panics
    /// If [`available`](Self::available) has not shown one.
    pub fn take(&mut self, out: &mut Slot) -> Result<(), PeerBroke> {
        assert!(self.head < self.tail, "a message is taken that was seen");
        let slot = self.place.slot(self.head);
        let mut head = [0; HEAD_OCTETS];
        self.shared.copy_out(slot, &mut head);
        let Head { length, remote, local, .. } = Head::decode(&head, self.place.kind)?;
        self.shared.copy_out(slot + HEAD_OCTETS, &mut out.octets[..length]);
        (out.length, out.remote, out.local) = (length, remote, local);
        self.head += 1;
        Ok(())
    }

    /// Gives the slots of all that was taken back; says whether there were any. A SeqCst fence and
    /// [`space_wanted`](Self::space_wanted) have to follow.
    #[inline]
    pub fn publish_head(&mut self) -> bool {
        if self.published == self.head {
            return false;
        }
        self.published = self.head;
        // Release pairs with the Acquire load in the other process's `Writer::look_at_head`: what was copied is copied.
        self.shared.word(self.place.head).store(self.head, Ordering::Release);
        true
    }

    /// After [`publish_head`](Self::publish_head) and a SeqCst fence: whether the heads published since the last call have
    /// passed the mark that the writer waits for. Any mark is as good as any other: a lie costs one ring of its bell.
    #[inline]
    pub fn space_wanted(&mut self) -> bool {
        let (old, new) = (self.tested, self.published);
        if old == new {
            return false;
        }
        self.tested = new;
        // Relaxed: the caller's fence orders it after the store of head. It pairs with the fence in `Gate::announce`,
        // which follows the store in `Writer::ask_for_space`.
        let want = self.shared.word(self.place.want_space).load(Ordering::Relaxed);
        old < want && want <= new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, memfd_create};
    use std::fs::File;
    use std::net::SocketAddr;

    const SLOTS: u64 = 4;
    const PLACE: Place =
        Place { tail: 0, head: 128, want_space: 256, slots: 384, count: SLOTS, kind: Kind::Datagram };

    fn ring() -> (Writer, Reader) {
        let octets = 384 + SLOTS as usize * SLOT_OCTETS;
        let file = File::from(memfd_create("ring", MemfdFlags::CLOEXEC).expect("Linux has it"));
        file.set_len(octets as u64).expect("there is memory");
        let shared = Arc::new(Mapping::new(&file, octets).expect("it maps"));
        (Writer::new(Arc::clone(&shared), PLACE), Reader::new(shared, PLACE))
    }

    fn stage(writer: &mut Writer, octets: &[u8]) {
        let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let head = Head {
            kind: Kind::Datagram,
            length: octets.len(),
            remote: address(octets.len() as u16),
            local: address(1812),
        };
        writer.stage(&head, octets);
    }

    #[test]
    fn messages_go_round_once_and_in_order() {
        let (mut writer, mut reader) = ring();
        let mut slot = Slot::new();
        for round in 0..10u8 {
            for message in 0..3 {
                assert_eq!(writer.room(), Ok(SLOTS as usize - usize::from(message)));
                stage(&mut writer, &vec![message; 1 + 100 * usize::from(round)]);
            }
            assert_eq!(reader.available(), Ok(0), "not published");
            assert!(writer.publish());
            assert!(!writer.publish(), "nothing new");
            for message in 0..3 {
                assert_eq!(reader.available(), Ok(3 - usize::from(message)));
                reader.take(&mut slot).expect("it is well formed");
                assert_eq!(slot.octets(), vec![message; 1 + 100 * usize::from(round)]);
                assert_eq!(usize::from(slot.remote.port()), slot.octets().len());
                assert_eq!(writer.room(), Ok(1), "not given back");
            }
            assert!(reader.publish_head());
            assert!(!reader.publish_head(), "nothing new");
        }
    }

    #[test]
    fn space_is_wanted_once_when_the_head_passes_the_mark() {
        let (mut writer, mut reader) = ring();
        let mut slot = Slot::new();
        (0..SLOTS).for_each(|_| stage(&mut writer, b"message"));
        writer.publish();
        writer.ask_for_space().expect("the head is right");
        assert_eq!(reader.available(), Ok(4));
        let mut wanted = Vec::new();
        for _ in 0..SLOTS {
            assert_eq!(writer.space_came(), Ok(wanted.contains(&true)));
            reader.take(&mut slot).expect("it is well formed");
            reader.publish_head();
            wanted.push(reader.space_wanted());
        }
        assert_eq!(wanted, [false, true, false, false]);
    }

    #[test]
    fn indices_that_cannot_be_are_named() {
        let (mut writer, mut reader) = ring();
        (0..SLOTS).for_each(|_| stage(&mut writer, b"message"));
        writer.publish();
        let shared = Arc::clone(&writer.shared);
        assert_eq!(reader.available(), Ok(4));
        let mut slot = Slot::new();
        reader.take(&mut slot).expect("it is well formed");
        for (tail, expected) in [
            (3, PeerBroke::TailWentBack),
            (0, PeerBroke::TailWentBack),
            // One slot is read, but the writer has not been told.
            (5, PeerBroke::TailTooFar),
            (u64::MAX, PeerBroke::TailTooFar),
        ] {
            shared.word(PLACE.tail).store(tail, Ordering::Relaxed);
            assert_eq!(reader.available(), Err(expected), "tail {tail}");
        }
        reader.publish_head();
        shared.word(PLACE.tail).store(5, Ordering::Relaxed);
        assert_eq!(reader.available(), Ok(4));
        assert_eq!(writer.room(), Ok(1));
        for (head, expected) in
            [(0, PeerBroke::HeadWentBack), (5, PeerBroke::HeadTooFar), (u64::MAX, PeerBroke::HeadTooFar)]
        {
            shared.word(PLACE.head).store(head, Ordering::Relaxed);
            assert_eq!(writer.room(), Err(expected), "head {head}");
            assert_eq!(writer.ask_for_space(), Err(expected));
            assert_eq!(writer.space_came(), Err(expected));
        }
    }

    #[test]
    fn a_head_is_not_believed_beyond_what_was_published() {
        let (mut writer, _reader) = ring();
        stage(&mut writer, b"staged only");
        writer.shared.word(PLACE.head).store(1, Ordering::Relaxed);
        assert_eq!(writer.room(), Err(PeerBroke::HeadTooFar));
    }

    #[test]
    fn a_length_is_checked_in_the_copy_and_nothing_is_taken() {
        let (mut writer, mut reader) = ring();
        stage(&mut writer, b"message");
        writer.publish();
        assert_eq!(reader.available(), Ok(1));
        for (word, expected) in [
            (1 | 4097 << 32, PeerBroke::Length(4097)),
            (1 | u64::from(u32::MAX) << 32, PeerBroke::Length(u32::MAX)),
            (7 | 4 << 32, PeerBroke::Kind(7)),
        ] {
            // Kind in the first four octets, length in the next, as a little-endian machine sees them.
            let word = if cfg!(target_endian = "little") { word } else { word.rotate_left(32) };
            writer.shared.word(PLACE.slots).store(word, Ordering::Relaxed);
            assert_eq!(reader.take(&mut Slot::new()), Err(expected));
            assert!(!reader.publish_head());
        }
    }
}
