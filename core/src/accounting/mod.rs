//! What an Accounting-Request says. RFC 2866 §5, RFC 2869 §5.
//!
//! Reads attributes and gives plain values; stores nothing and answers nothing.

mod octet_counts;

pub use octet_counts::OctetCounts;
