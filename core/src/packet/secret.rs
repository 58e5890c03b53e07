//! Shared secrets (RFC 2865 §3).

use alloc::boxed::Box;
use core::fmt;
use subtle::ConstantTimeEq;
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

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// One secret, or two while rotating.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    /// The one that is not on its way out.
    pub fn newest(&self) -> &Secret {
        &self.newest
    }
}
