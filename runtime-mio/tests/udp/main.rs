//! UDP sockets and batches against the real kernel, over loopback.

mod addresses;
mod batches;
mod loopback;
mod refusals;
mod sharing;
mod small_path;
