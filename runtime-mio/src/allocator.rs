//! What the system's allocator is told, once: that large tables are mapped one by one, for as long as the process lives.
//!
//! glibc begins so, from 128 KiB on, but learns: after the first that is given back, all up to its size come from heaps that it
//! keeps. There a table that is asked for zeroed is written over from end to end, so that all of it is resident, and the tables
//! of a core that died leave holes, into which those of its successor fit or do not. Seen with a worker killed each second:
//! what the program had taken stayed the same to the octet, what the kernel had given grew for ten minutes.
//!
//! With tables mapped one by one, memory of the dead goes back at once, and what takes its place takes none where it is not
//! used, as core counts on. Nothing here is per packet: no packet, and nothing that is kept for one, is so large.
//!
//! Other allocators, and other C libraries, map what is large and know nothing of this.

/// What large is: what glibc takes for it in the beginning. Kept replies come in pages of half of that.
#[cfg(target_env = "gnu")]
const MAPPED_FROM_OCTETS: libc::c_int = 128 << 10;

/// How an operator says it, which holds.
#[cfg(target_env = "gnu")]
const OPERATORS_WORDS: [(&str, &str); 2] =
    [("MALLOC_MMAP_THRESHOLD_", ""), ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold")];

/// Has large tables be mapped one by one, unless the environment says otherwise. It only fails for numbers that glibc does
/// not take; then all is as it was.
#[cfg(target_env = "gnu")]
pub(crate) fn map_large_tables() {
    let is_said = OPERATORS_WORDS.iter().any(|(variable, word)| {
        std::env::var_os(variable).is_some_and(|value| value.to_string_lossy().contains(word))
    });
    if !is_said {
        // SAFETY: it takes two numbers, and the allocator's lock; no memory that is in use changes.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM_OCTETS) };
    }
}

#[cfg(not(target_env = "gnu"))]
pub(crate) fn map_large_tables() {}
