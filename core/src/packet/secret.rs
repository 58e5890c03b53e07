//! Shared secrets (RFC 2865 §3).

use alloc::boxed::Box;
use core::fmt;
use zeroize::Zeroizing;

/// A secret of one or more octets. Prints nothing.
#[derive(Clone)]
pub struct Secret(Zeroizing<Box<[u8]>>);

/// A secret must not be empty (RFC 2865 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmptySecret;

impl Secret {
    /// A secret of these octets.
    ///
    /// # Errors
    /// When there are none.
    pub fn new(octets: &[u8]) -> Result<Self, EmptySecret> {
        if octets.is_empty() { Err(EmptySecret) } else { Ok(Secret(Zeroizing::new(octets.into()))) }
    }

    /// How many octets it has.
    pub fn octet_count(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// One secret, or two while rotating.
#[derive(Debug, Clone)]
pub struct Secrets {
    newest: Secret,
    old: Option<Secret>,
}

impl Secrets {
    /// The only one.
    pub fn one(secret: Secret) -> Self {
        Secrets { newest: secret, old: None }
    }

    /// The new one and the one that it replaces.
    pub fn rotating(newest: Secret, old: Secret) -> Self {
        Secrets { newest, old: Some(old) }
    }

    /// How many octets the old one has, if there is one.
    pub fn old_octet_count(&self) -> Option<usize> {
        self.old.as_ref().map(Secret::octet_count)
    }

    /// The one that is not on its way out.
    pub fn newest(&self) -> &Secret {
        &self.newest
    }
}
