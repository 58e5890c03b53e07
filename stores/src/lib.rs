//! Where ulna keeps records: files now, databases later, each behind a feature.
//!
//! Blocking, on the threads that the runtime has for effects. Does what core asks for, one operation after the other, and
//! tells how it went; decides nothing about records.

#[cfg(feature = "file")]
pub mod file;
