//! One password against one Argon2 digest (RFC 9106), in memory that its thread keeps.

use argon2::{Algorithm, Block, Params};
use subtle::ConstantTimeEq;
use ulna_core::authenticate::{Argon2, Password, Variant, Version};
use zeroize::Zeroize;

/// What one thread hashes with. Its memory grows to what the largest digest needs, which the configuration bounds.
#[derive(Default)]
pub struct Hasher {
    blocks: Vec<Block>,
}

impl Hasher {
    /// Whether the digest was made of this password.
    pub fn matches(&mut self, hash: &Argon2, password: &Password) -> bool {
        let algorithm = match hash.variant {
            Variant::Argon2d => Algorithm::Argon2d,
            Variant::Argon2i => Algorithm::Argon2i,
            Variant::Argon2id => Algorithm::Argon2id,
        };
        let version = match hash.version {
            Version::Old => argon2::Version::V0x10,
            Version::Current => argon2::Version::V0x13,
        };
        let parameters = Params::new(hash.memory_kibibytes, hash.passes, hash.lanes, Some(hash.digest.len()))
            .expect(CHECKED);
        if self.blocks.len() < parameters.block_count() {
            self.blocks.resize(parameters.block_count(), Block::new());
        }
        let blocks = &mut self.blocks[..parameters.block_count()];
        let mut output = [0; DIGEST_OCTETS_MAX];
        let output = &mut output[..hash.digest.len()];
        argon2::Argon2::new(algorithm, version, parameters)
            .hash_password_into_with_memory(password.octets(), &hash.salt, output, blocks)
            .expect(CHECKED);
        let matches = output.ct_eq(&hash.digest).into();
        output.zeroize();
        matches
    }
}

/// As the configuration has it.
const DIGEST_OCTETS_MAX: usize = 64;
const CHECKED: &str = "the configuration takes no digest that cannot be computed";

#[cfg(test)]
mod tests {
    use super::*;
    use ulna_config::{Cores, default_text, parse};
    use ulna_core::authenticate::users::Credential;

    fn hash(text: &str) -> Argon2 {
        let user = format!("[[user]]\nname = \"alice\"\npassword = {{ argon2 = \"{text}\" }}\n");
        let (configuration, _) = parse(&(default_text().to_owned() + &user), "x", Cores(1)).expect("right");
        match &configuration.users.look_up(b"alice").expect("she is there").credential {
            Credential::Argon2(hash) => (**hash).clone(),
            Credential::Clear(_) | Credential::NtHash(_) => unreachable!("a digest of Argon2 stands there"),
        }
    }

    /// Digests that the reference implementation's tests have for these passwords and the salt "somesalt".
    #[test]
    fn digests_of_the_reference_implementation_match_their_password_only() {
        let mut hasher = Hasher::default();
        for digest in [
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
            "$argon2i$v=16$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
            "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
        ] {
            let hash = hash(digest);
            assert!(hasher.matches(&hash, &Password::of(b"password")), "{digest}");
            assert!(!hasher.matches(&hash, &Password::of(b"passwort")), "{digest}");
            assert!(!hasher.matches(&hash, &Password::of(b"")), "{digest}");
        }
        assert_eq!(hasher.blocks.len(), 256, "the memory is kept and does not grow");
    }
}
