//! What the kernel threw away before we could read it, for each socket, from its own tables.
//!
//! A receive buffer that runs over loses packets without a word to us; NASes retransmit, and the operator sees only
//! a long p99.9. The kernel counts them in `/proc/net/udp` and `/proc/net/udp6`. Reading these walks all UDP
//! sockets of the network namespace, so it is for counters that someone asks for, not for the way of a packet.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;

/// For each of these sockets, given by inode ([`crate::BoundUdp::inode`]), how many datagrams the kernel dropped
/// since it was made; None for one that is in no table (closed, or of another namespace). The kernel counts in
/// 32 bits and begins again at 0 after them.
///
/// # Errors
/// Of reading `/proc`; a kernel without IPv6, whose table is missing, is none.
pub fn drops(inodes: &[u64]) -> io::Result<Vec<Option<u32>>> {
    let mut found = vec![None; inodes.len()];
    for table in TABLES {
        match File::open(table) {
            Ok(file) => read_table(BufReader::new(file), inodes, &mut found)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The number by which the kernel's tables name a socket.
///
/// # Errors
/// When no further descriptor can be had, for a moment.
pub(crate) fn inode_of(socket: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(File::from(socket.try_clone_to_owned()?).metadata()?.ino())
}

fn read_table(mut table: impl BufRead, inodes: &[u64], found: &mut [Option<u32>]) -> io::Result<()> {
    let mut line = String::new();
    while {
        line.clear();
        table.read_line(&mut line)? > 0
    } {
        let Some((inode, drops)) = row(&line) else { continue };
        for (place, _) in inodes.iter().enumerate().filter(|&(_, wanted)| *wanted == inode) {
            found[place] = Some(drops);
        }
    }
    Ok(())
}

/// The inode and the drops of one line; None for the heading. The drops are the last column.
fn row(line: &str) -> Option<(u64, u32)> {
    let inode = line.split_ascii_whitespace().nth(INODE_COLUMN)?.parse().ok()?;
    let drops = line.split_ascii_whitespace().next_back()?.parse().ok()?;
    Some((inode, drops))
}

/// Both families' sockets. They are those of this *thread's* network namespace: the process's one may be another.
const TABLES: [&str; 2] = ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"];

/// Counted from 0: slot, local, remote, state, queues, timer, retransmits, user, time-out, inode.
const INODE_COLUMN: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  461: 0100007F:0714 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 21307 2 0000000000000000 0
 1462: 00000000000000000000000001000000:0715 00000000000000000000000000000000:0000 07 00000000:0003C000 00:00000000 00000000  1000        0 21308 2 ffff8881034a1100 4294967295
";

    #[test]
    fn rows_are_found_by_inode_whatever_the_order() {
        let mut found = [None; 3];
        read_table(TABLE.as_bytes(), &[21_308, 5, 21_307], &mut found).expect("memory is read");
        assert_eq!(found, [Some(u32::MAX), None, Some(0)]);
    }

    #[test]
    fn the_heading_and_broken_lines_are_no_rows() {
        assert_eq!(row(TABLE.lines().next().expect("a heading")), None);
        assert_eq!(row(""), None);
        assert_eq!(row("1: 2 3"), None);
    }
}
