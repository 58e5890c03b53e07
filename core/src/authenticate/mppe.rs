//! The keys that MS-CHAPv2 leaves behind for MPPE, 128 bits each. RFC 3079 §3.

use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

/// Octets of a key.
pub const KEY_OCTETS: usize = 16;

/// From the NAS's point of view. Wiped when dropped.
pub struct Keys {
    /// MS-MPPE-Send-Key: for what the NAS sends (RFC 2548 §2.4.2).
    pub send: Zeroizing<[u8; KEY_OCTETS]>,
    /// MS-MPPE-Recv-Key: for what it receives (RFC 2548 §2.4.3).
    pub receive: Zeroizing<[u8; KEY_OCTETS]>,
}

impl Keys {
    /// Of an exchange that has succeeded: from the hash of the password's NT hash, and the peer's response.
    pub fn of(hash_hash: &[u8; 16], nt_response: &[u8; 24]) -> Keys {
        let master = Sha1::new()
            .chain_update(hash_hash)
            .chain_update(nt_response)
            .chain_update(b"This is the MPPE Master Key")
            .finalize();
        let master = key(master.into());
        // RFC 3079 §3.4: both sides name the direction as the peer sees it.
        Keys { send: start_key(&master, CLIENT_RECEIVES), receive: start_key(&master, CLIENT_SENDS) }
    }
}

/// GetAsymmetricStartKey (RFC 3079 §3.4).
fn start_key(master: &[u8; KEY_OCTETS], direction: &[u8; 84]) -> Zeroizing<[u8; KEY_OCTETS]> {
    let digest = Sha1::new()
        .chain_update(master)
        .chain_update([0; 40])
        .chain_update(direction)
        .chain_update([0xf2; 40])
        .finalize();
    key(digest.into())
}

/// The beginning of a digest.
fn key(digest: [u8; 20]) -> Zeroizing<[u8; KEY_OCTETS]> {
    let digest = Zeroizing::new(digest);
    Zeroizing::new(*digest.first_chunk().expect("20 octets are more than 16"))
}

/// Magic3 (RFC 3079 §3.4).
const CLIENT_RECEIVES: &[u8; 84] =
    b"On the client side, this is the receive key; on the server side, it is the send key.";
/// Magic2 (RFC 3079 §3.4).
const CLIENT_SENDS: &[u8; 84] =
    b"On the client side, this is the send key; on the server side, it is the receive key.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_rfc_3079_section_3_5_3_are_derived() {
        let hash_hash = 0x41c0_0c58_4bd2_d91c_4017_a2a1_2fa5_9f3f_u128.to_be_bytes();
        let nt_response = [
            0x82, 0x30, 0x9e, 0xcd, 0x8d, 0x70, 0x8b, 0x5e, 0xa0, 0x8f, 0xaa, 0x39, 0x81, 0xcd, 0x83, 0x54,
            0x42, 0x33, 0x11, 0x4a, 0x3d, 0x85, 0xd6, 0xdf,
        ];
        let keys = Keys::of(&hash_hash, &nt_response);
        assert_eq!(u128::from_be_bytes(*keys.send), 0x8b7c_dc14_9b99_3a1b_a118_cb15_3f56_dccb);
        // The RFC has no example of the other direction: that one is compared with FreeRADIUS's.
        assert_ne!(*keys.receive, *keys.send);
    }
}
