//! Packets as the models write and read them. RFC 2865 §3 and §5, RFC 2866 §3, RFC 5997 §3.

use super::digest;

/// Codes that occur here (RFC 2865 §4, RFC 2866 §4, RFC 5997 §3).
pub mod code {
    /// Access-Request.
    pub const ACCESS_REQUEST: u8 = 1;
    /// Access-Accept.
    pub const ACCESS_ACCEPT: u8 = 2;
    /// Access-Reject.
    pub const ACCESS_REJECT: u8 = 3;
    /// Accounting-Request.
    pub const ACCOUNTING_REQUEST: u8 = 4;
    /// Accounting-Response.
    pub const ACCOUNTING_RESPONSE: u8 = 5;
    /// Status-Server.
    pub const STATUS_SERVER: u8 = 12;
}

/// Attribute types that occur here.
pub mod kind {
    /// User-Name (RFC 2865 §5.1).
    pub const USER_NAME: u8 = 1;
    /// User-Password (RFC 2865 §5.2).
    pub const USER_PASSWORD: u8 = 2;
    /// CHAP-Password (RFC 2865 §5.3).
    pub const CHAP_PASSWORD: u8 = 3;
    /// NAS-IP-Address (RFC 2865 §5.4).
    pub const NAS_IP_ADDRESS: u8 = 4;
    /// NAS-Port (RFC 2865 §5.5).
    pub const NAS_PORT: u8 = 5;
    /// State (RFC 2865 §5.24).
    pub const STATE: u8 = 24;
    /// NAS-Identifier (RFC 2865 §5.32).
    pub const NAS_IDENTIFIER: u8 = 32;
    /// Proxy-State (RFC 2865 §5.33).
    pub const PROXY_STATE: u8 = 33;
    /// Acct-Status-Type (RFC 2866 §5.1).
    pub const ACCT_STATUS_TYPE: u8 = 40;
    /// Acct-Delay-Time (RFC 2866 §5.2).
    pub const ACCT_DELAY_TIME: u8 = 41;
    /// Acct-Session-Id (RFC 2866 §5.5).
    pub const ACCT_SESSION_ID: u8 = 44;
    /// CHAP-Challenge (RFC 2865 §5.40).
    pub const CHAP_CHALLENGE: u8 = 60;
    /// EAP-Message (RFC 3579 §3.1).
    pub const EAP_MESSAGE: u8 = 79;
    /// Message-Authenticator (RFC 3579 §3.2).
    pub const MESSAGE_AUTHENTICATOR: u8 = 80;
}

/// A packet that is being written.
pub struct Writer {
    octets: Vec<u8>,
    signature: Option<usize>,
}

impl Writer {
    /// Begins a packet; `authenticator` stands in its place unless one of the endings computes it.
    pub fn new(code: u8, identifier: u8, authenticator: [u8; 16]) -> Self {
        let mut octets = Vec::with_capacity(128);
        octets.extend_from_slice(&[code, identifier, 0, 20]);
        octets.extend_from_slice(&authenticator);
        Writer { octets, signature: None }
    }

    /// Adds one attribute with a value of 0 to 253 octets.
    pub fn attribute(mut self, kind: u8, value: &[u8]) -> Self {
        let length = u8::try_from(value.len() + 2).expect("a value has at most 253 octets");
        self.octets.extend_from_slice(&[kind, length]);
        self.octets.extend_from_slice(value);
        self
    }

    /// Leaves room for a Message-Authenticator here. The last such place is the one that is signed.
    pub fn signed(mut self) -> Self {
        self.signature = Some(self.octets.len() + 2);
        self.attribute(kind::MESSAGE_AUTHENTICATOR, &[0; 16])
    }

    /// Ends an Access-Request or a Status-Server, whose Request Authenticator is random.
    pub fn request(mut self, secret: &[u8]) -> Vec<u8> {
        self.set_length();
        let authenticator = authenticator_of(&self.octets);
        self.sign(&authenticator, secret);
        self.octets
    }

    /// Ends an Accounting-Request, whose Request Authenticator is computed (RFC 2866 §3).
    pub fn accounting(mut self, secret: &[u8]) -> Vec<u8> {
        self.set_length();
        self.sign(&[0; 16], secret);
        self.seal(&[0; 16], secret)
    }

    /// Ends a reply to the request with this authenticator.
    pub fn reply(mut self, request_authenticator: &[u8; 16], secret: &[u8]) -> Vec<u8> {
        self.set_length();
        self.sign(request_authenticator, secret);
        self.seal(request_authenticator, secret)
    }

    fn set_length(&mut self) {
        let length = u16::try_from(self.octets.len()).expect("the models write small packets");
        self.octets[2..4].copy_from_slice(&length.to_be_bytes());
    }

    fn sign(&mut self, request_authenticator: &[u8; 16], secret: &[u8]) {
        if let Some(value) = self.signature {
            let signature = digest::message_authenticator(&self.octets, value, request_authenticator, secret);
            self.octets[value..value + 16].copy_from_slice(&signature);
        }
    }

    fn seal(mut self, request_authenticator: &[u8; 16], secret: &[u8]) -> Vec<u8> {
        let authenticator = digest::authenticator(&self.octets, request_authenticator, secret);
        self.octets[4..20].copy_from_slice(&authenticator);
        self.octets
    }
}

/// A packet whose lengths hold: `Length` octets, attributes that fill it.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    octets: &'a [u8],
}

/// Which length does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// Fewer than 20 octets.
    TooShort,
    /// Length below 20 or above 4 096.
    BadLength,
    /// Fewer octets than Length says.
    Truncated,
    /// An attribute's length is below 2 or reaches past the packet.
    BadAttribute,
}

impl<'a> Packet<'a> {
    /// Reads a datagram; octets beyond its Length are padding (RFC 2865 §3).
    ///
    /// # Errors
    /// The first length that does not hold.
    pub fn read(datagram: &'a [u8]) -> Result<Self, Malformed> {
        if datagram.len() < 20 {
            return Err(Malformed::TooShort);
        }
        let length = usize::from(u16::from_be_bytes([datagram[2], datagram[3]]));
        if !(20..=4096).contains(&length) {
            return Err(Malformed::BadLength);
        }
        let octets = datagram.get(..length).ok_or(Malformed::Truncated)?;
        let mut place = 20;
        while place < length {
            let attribute = octets.get(place + 1).copied().map_or(0, usize::from);
            if attribute < 2 || place + attribute > length {
                return Err(Malformed::BadAttribute);
            }
            place += attribute;
        }
        Ok(Packet { octets })
    }

    /// All octets, without padding.
    pub fn octets(self) -> &'a [u8] {
        self.octets
    }

    /// The code.
    pub fn code(self) -> u8 {
        self.octets[0]
    }

    /// The Identifier.
    pub fn identifier(self) -> u8 {
        self.octets[1]
    }

    /// The Request or Response Authenticator.
    pub fn authenticator(self) -> [u8; 16] {
        authenticator_of(self.octets)
    }

    /// Each attribute: where its value begins, its type, its value.
    pub fn attributes(self) -> impl Iterator<Item = (usize, u8, &'a [u8])> {
        let mut place = 20;
        std::iter::from_fn(move || {
            let kind = *self.octets.get(place)?;
            let (from, to) = (place + 2, place + usize::from(self.octets[place + 1]));
            place = to;
            Some((from, kind, &self.octets[from..to]))
        })
    }

    /// The values of all attributes of this type, in order.
    pub fn all(self, wanted: u8) -> impl Iterator<Item = &'a [u8]> {
        self.attributes().filter(move |&(_, kind, _)| kind == wanted).map(|(_, _, value)| value)
    }

    /// Whether the packet's Message-Authenticator is right; `None` if it has none. Of several the first counts, and
    /// one whose value is not 16 octets is wrong.
    pub fn signature_holds(self, request_authenticator: &[u8; 16], secret: &[u8]) -> Option<bool> {
        let (place, _, value) =
            self.attributes().find(|&(_, kind, _)| kind == kind::MESSAGE_AUTHENTICATOR)?;
        let right = value.len() == 16
            && value == digest::message_authenticator(self.octets, place, request_authenticator, secret);
        Some(right)
    }

    /// Whether the authenticator is the one of RFC 2865 §3 over the request's; with sixteen zeros, RFC 2866 §3.
    pub fn authenticator_holds(self, request_authenticator: &[u8; 16], secret: &[u8]) -> bool {
        digest::authenticator(self.octets, request_authenticator, secret) == self.authenticator()
    }
}

fn authenticator_of(octets: &[u8]) -> [u8; 16] {
    octets[4..20].try_into().expect("4..20 are sixteen octets")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_verifies_under_its_secret_only() {
        let packet = Writer::new(code::ACCESS_REQUEST, 7, [9; 16])
            .attribute(kind::USER_NAME, b"bob")
            .signed()
            .attribute(kind::PROXY_STATE, b"p")
            .request(b"right");
        let mut padded = packet.clone();
        padded.extend_from_slice(&[0; 5]);
        let read = Packet::read(&padded).expect("it was written well");
        assert_eq!((read.code(), read.identifier(), read.authenticator()), (1, 7, [9; 16]));
        assert_eq!(read.octets(), packet);
        assert_eq!(read.attributes().map(|(_, kind, _)| kind).collect::<Vec<_>>(), [1, 80, 33]);
        assert_eq!(read.signature_holds(&[9; 16], b"right"), Some(true));
        assert_eq!(read.signature_holds(&[9; 16], b"wrong"), Some(false));

        let accounting = Writer::new(code::ACCOUNTING_REQUEST, 8, [0; 16]).attribute(40, &[0, 0, 0, 1]);
        let accounting = accounting.accounting(b"right");
        let read = Packet::read(&accounting).expect("it was written well");
        assert!(
            read.authenticator_holds(&[0; 16], b"right") && !read.authenticator_holds(&[0; 16], b"wrong")
        );

        let reply = Writer::new(code::ACCESS_ACCEPT, 7, [0; 16]).signed().reply(&[9; 16], b"right");
        let read = Packet::read(&reply).expect("it was written well");
        assert!(
            read.authenticator_holds(&[9; 16], b"right") && !read.authenticator_holds(&[8; 16], b"right")
        );
        assert_eq!(read.signature_holds(&[9; 16], b"right"), Some(true));
    }

    #[test]
    fn lengths_that_do_not_hold_are_told_apart() {
        let packet = Writer::new(1, 7, [9; 16]).attribute(1, b"bob").request(b"s");
        let read = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut octets = packet.clone();
            change(&mut octets);
            Packet::read(&octets).err()
        };
        assert_eq!(read(&|_| ()), None);
        assert_eq!(read(&|octets| octets.truncate(19)), Some(Malformed::TooShort));
        assert_eq!(read(&|octets| octets[3] = 19), Some(Malformed::BadLength));
        assert_eq!(read(&|octets| octets[2] = 0x11), Some(Malformed::BadLength));
        assert_eq!(read(&|octets| octets.truncate(24)), Some(Malformed::Truncated));
        assert_eq!(read(&|octets| octets[21] = 1), Some(Malformed::BadAttribute));
        assert_eq!(read(&|octets| octets[21] = 6), Some(Malformed::BadAttribute));
        assert_eq!(read(&|octets| octets[3] = 21), Some(Malformed::BadAttribute));
    }
}
