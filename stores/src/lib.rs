//! Where ulna keeps records, and what it wants to know after a restart: files now, databases later, each behind a feature.
//!
//! Blocking, on the threads that the runtime has for effects. Does what core asks for, one operation after the other, and
//! tells how it went; decides nothing about records.

#[cfg(feature = "file")]
pub mod client_keys;
#[cfg(feature = "file")]
pub mod file;
#[cfg(feature = "file")]
pub mod spool;
