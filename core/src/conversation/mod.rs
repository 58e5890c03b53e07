//! Requests that belong together: which worker has them.
//!
//! Later also the trees of States, one for each realm; for now the first question of each request, whose it could be.

pub mod realm;
pub mod slot;
