//! Why a CoA- or Disconnect-Request is answered with NAK, as far as a proxy says so itself. RFC 5176 §3.5.

/// A value of Error-Cause that we give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ErrorCause {
    /// Nothing in it says which NAS is meant.
    MissingAttribute = 402,
    /// It names a NAS that is none of ours, or more than one.
    NasIdentificationMismatch = 403,
    /// What identifies its NAS, or is hidden, has no length that such may have; or it names two users.
    InvalidRequest = 404,
    /// No rule lets it pass.
    AdministrativelyProhibited = 501,
    /// There is no way to its NAS, or only one in a circle.
    RequestNotRoutable = 502,
    /// It would be too long for the next hop.
    OtherProxyProcessingError = 505,
    /// As many wait as may.
    ResourcesUnavailable = 506,
}

impl ErrorCause {
    /// Its number.
    pub const fn value(self) -> u32 {
        self as u32
    }
}
