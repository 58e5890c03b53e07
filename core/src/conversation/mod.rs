//! Requests that belong together: which worker has them, and what was decided for them.
//!
//! First each request is asked whose it could be: its [realm](realm) and the [slot](slot) of its worker.

pub mod own_state;
pub mod realm;
pub mod slot;
