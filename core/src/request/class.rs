//! Kinds of requests, by what is lost with one: who goes first when there is too much to do. RFC 5080 §2.2.3.

use crate::packet::{Code, Framed, Landmark};

/// Kinds of requests in the order in which they are shed when a worker has little room left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A request without State: its NAS will try again. So does who asks for CoA or Disconnect.
    New,
    /// Accounting: its NAS will try again, too, but what is lost in the end is money.
    Accounting,
    /// A request with State: others before it were in vain if it is lost. An eighth is kept for these. Whether the State is
    /// one of ours is known only later.
    Ongoing,
}

impl Class {
    /// The class of a request.
    pub fn of(framed: &Framed<'_>) -> Class {
        match framed.code() {
            Some(Code::AccountingRequest) => Class::Accounting,
            Some(Code::AccessRequest) if framed.layout().has(Landmark::State) => Class::Ongoing,
            _ => Class::New,
        }
    }
}
