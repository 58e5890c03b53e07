//! Requests as a NAS writes them, and replies as it reads them.

use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Secret, number};

/// What the clients of the situations share with the server.
pub const SECRET: &[u8] = b"a secret of the branch";
/// What they do not.
pub const OTHER_SECRET: &[u8] = b"a secret of somebody";

/// [`SECRET`] as a secret.
pub fn secret() -> Secret {
    Secret::new(SECRET).expect("it has octets")
}

/// A request to be written.
#[derive(Debug, Clone)]
pub struct Ask {
    code: Code,
    identifier: u8,
    authenticator: [u8; 16],
    sign: MessageAuthenticator,
    secret: &'static [u8],
    password: Option<Vec<u8>>,
    attributes: Vec<u8>,
}

impl Ask {
    /// A signed request, with Identifier 1 and an authenticator of ones.
    pub fn of(code: Code) -> Ask {
        Ask {
            code,
            identifier: 1,
            authenticator: [1; 16],
            sign: MessageAuthenticator::First,
            secret: SECRET,
            password: None,
            attributes: Vec::new(),
        }
    }

    /// An Access-Request of user `bob` with the right password.
    pub fn bob() -> Ask {
        Ask::user(b"bob", b"hello")
    }

    /// An Access-Request of `bob` with a wrong password.
    pub fn wrong() -> Ask {
        Ask::user(b"bob", b"guess")
    }

    /// An Access-Request with these credentials.
    pub fn user(name: &[u8], password: &[u8]) -> Ask {
        let ask = Ask::of(Code::AccessRequest).with(number::USER_NAME, name);
        Ask { password: Some(password.to_vec()), ..ask }
    }

    /// Status-Server.
    pub fn status() -> Ask {
        Ask::of(Code::StatusServer)
    }

    /// Accounting-Request, without Message-Authenticator as is usual.
    pub fn accounting() -> Ask {
        Ask::of(Code::AccountingRequest).with(number::ACCT_STATUS_TYPE, &[0, 0, 0, 1]).unsigned()
    }

    pub fn identifier(self, identifier: u8) -> Ask {
        Ask { identifier, ..self }
    }

    /// An authenticator of 16 such octets.
    pub fn authenticator(self, octet: u8) -> Ask {
        Ask { authenticator: [octet; 16], ..self }
    }

    /// An authenticator with this number in it.
    pub fn numbered(mut self, number: u32) -> Ask {
        self.authenticator[..4].copy_from_slice(&number.to_be_bytes());
        self
    }

    /// Without Message-Authenticator.
    pub fn unsigned(self) -> Ask {
        Ask { sign: MessageAuthenticator::Absent, ..self }
    }

    /// Signed, and its password hidden, under another secret than the client's.
    pub fn forged(self) -> Ask {
        Ask { secret: OTHER_SECRET, ..self }
    }

    /// Signed, and its password hidden, under this secret.
    pub fn under(self, secret: &'static [u8]) -> Ask {
        Ask { secret, ..self }
    }

    /// One more attribute.
    pub fn with(self, number: u8, value: &[u8]) -> Ask {
        let length = u8::try_from(value.len() + 2).expect("an attribute's value has at most 253 octets");
        self.with_raw(&[&[number, length], value].concat())
    }

    /// These octets of attributes, right or wrong.
    pub fn with_raw(mut self, octets: &[u8]) -> Ask {
        self.attributes.extend_from_slice(octets);
        self
    }

    /// The packet.
    pub fn octets(&self) -> Vec<u8> {
        let secret = Secret::new(self.secret).expect("it has octets");
        let mut out = Vec::new();
        let mut encoder =
            Encoder::request(&mut out, self.code, self.identifier, &self.authenticator, self.sign);
        encoder.raw(&self.attributes).expect("the situation's attributes are whole and fit");
        if let Some(password) = &self.password {
            encoder.user_password(password, &secret).expect("it fits");
        }
        encoder.finish_request(&secret);
        out
    }
}

/// A reply that verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub code: Code,
    pub identifier: u8,
    /// Its attributes but the Message-Authenticator, in order.
    pub attributes: Vec<(u8, Vec<u8>)>,
}

impl Reply {
    /// Reads and verifies the reply to the request of these octets.
    pub fn to(request: &[u8], reply: &[u8]) -> Reply {
        Reply::under(SECRET, request, reply)
    }

    /// The same under another secret.
    pub fn under(secret: &[u8], request: &[u8], reply: &[u8]) -> Reply {
        let secret = Secret::new(secret).expect("it has octets");
        let request = Framed::parse(request).expect("the request is a packet");
        let framed = Framed::parse(reply).expect("the reply is a packet");
        let verified = framed
            .verify_reply(&secret, request.authenticator(), true)
            .expect("a reply verifies, and its Message-Authenticator is there");
        assert_eq!(framed.identifier(), request.identifier(), "a reply has its request's Identifier");
        let first = framed.attributes().next().map(|attribute| attribute.number);
        // checklist 90
        assert_eq!(first, Some(number::MESSAGE_AUTHENTICATOR), "the Message-Authenticator stands first");
        let attributes = framed.attributes().skip(1);
        Reply {
            code: verified.code(),
            identifier: framed.identifier(),
            attributes: attributes.map(|attribute| (attribute.number, attribute.value.to_vec())).collect(),
        }
    }

    /// The values of all attributes of this number, in order.
    pub fn values(&self, number: u8) -> Vec<&[u8]> {
        let of = self.attributes.iter().filter(|(each, _)| *each == number);
        of.map(|(_, value)| &value[..]).collect()
    }
}
