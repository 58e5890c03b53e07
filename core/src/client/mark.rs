//! What tells a client and its secret from all others, so that no reply that one has signed is found for another.

use super::Client;
use crate::packet::SecretIndex;

/// Of one client: of its new secret, of its old one, and of all that it has.
#[derive(Clone, Copy)]
pub(super) struct Marks([[u8; 16]; 3]);

impl Marks {
    pub fn of(client: &Client) -> Marks {
        let mark = |place| {
            let secret = client.secrets.get(SecretIndex(place));
            secret.map_or(0, |secret| u128::from_be_bytes(secret.mark(client.name.as_bytes())))
        };
        let [new, old] = [mark(0), mark(1)];
        // Turned, or two secrets that change places would be the same two.
        Marks([new, old, new ^ old.rotate_left(64)].map(u128::to_be_bytes))
    }

    /// That of one secret, or of all.
    #[inline]
    pub fn of_secret(&self, secret: Option<SecretIndex>) -> &[u8; 16] {
        let [new, old, all] = &self.0;
        match secret {
            Some(SecretIndex::NEWEST) => new,
            Some(_) => old,
            None => all,
        }
    }
}
