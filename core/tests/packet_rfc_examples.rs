//! The packets printed in RFC 2865 §7 and RFC 5997 §6, octet for octet: read, verified, and written again.

use ulna_core::packet::chap::chap_matches;
use ulna_core::packet::hidden::reveal_user_password;
use ulna_core::packet::{
    Code, Encoder, FrameError, Framed, Landmark, MessageAuthenticator, ReplyError, Requirements, Secret,
    Secrets, number,
};

fn secret() -> Secret {
    Secret::new(b"xyzzy5461").expect("not empty")
}

/// The octets of a dump as the RFCs print it.
fn octets(dump: &str) -> Vec<u8> {
    dump.split_whitespace().map(|octet| u8::from_str_radix(octet, 16).expect("two hex digits")).collect()
}

fn framed(octets: &[u8]) -> Framed<'_> {
    Framed::parse(octets).expect("an example is a packet")
}

/// Writes a reply without Message-Authenticator, as RFC 2865 does.
fn reply(code: Code, request: &Framed<'_>, attributes: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::reply(&mut out, code, request.identifier(), MessageAuthenticator::Absent);
    for (number, value) in attributes {
        encoder.attribute(*number, value).expect("it fits");
    }
    encoder.finish_reply(&secret(), request.authenticator());
    out
}

fn believed(reply: &[u8], request: &Framed<'_>) -> Result<Code, ReplyError> {
    framed(reply).verify_reply(&secret(), request.authenticator(), false).map(|reply| reply.code())
}

#[test]
fn rfc_2865_section_7_1_user_telnet_to_specified_host() {
    // checklist 8, 9
    let request = octets(
        "01 00 00 38 0f 40 3f 94 73 97 80 57 bd 83 d5 cb
         98 f4 22 7a 01 06 6e 65 6d 6f 02 12 0d be 70 8d
         93 d4 13 ce 31 96 e4 3f 78 2a 0a ee 04 06 c0 a8
         01 10 05 06 00 00 00 03",
    );
    let accept = octets(
        "02 00 00 26 86 fe 22 0e 76 24 ba 2a 10 05 f6 bf
         9b 55 e0 b2 06 06 00 00 00 01 0f 06 00 00 00 00
         0e 06 c0 a8 01 03",
    );
    let read = framed(&request);
    assert_eq!((read.code(), read.identifier()), (Some(Code::AccessRequest), 0));
    assert_eq!(read.value(Landmark::UserName), Some(&b"nemo"[..]));
    let hidden = read.value(Landmark::UserPassword).expect("there is one");
    let mut out = [0; 128];
    let password = reveal_user_password(hidden, &secret(), read.authenticator(), &mut out);
    assert_eq!(password, Ok(&b"arctangent"[..]));
    let verified = read
        .verify_request(&Secrets::one(secret()), Requirements::default())
        .expect("without Message-Authenticator nothing speaks against it");
    assert!(!verified.signed());

    let mut again = Vec::new();
    let sign = MessageAuthenticator::Absent;
    let mut encoder = Encoder::request(&mut again, Code::AccessRequest, 0, read.authenticator(), sign);
    encoder.attribute(number::USER_NAME, b"nemo").expect("it fits");
    encoder.user_password(b"arctangent", &secret()).expect("it fits");
    encoder.attribute(number::NAS_IP_ADDRESS, &[192, 168, 1, 16]).expect("it fits");
    encoder.attribute(number::NAS_PORT, &[0, 0, 0, 3]).expect("it fits");
    encoder.finish_request(&secret());
    assert_eq!(again, request);

    assert_eq!(believed(&accept, &read), Ok(Code::AccessAccept));
    let attributes: [(u8, &[u8]); 3] = [(6, &[0, 0, 0, 1]), (15, &[0, 0, 0, 0]), (14, &[192, 168, 1, 3])];
    assert_eq!(reply(Code::AccessAccept, &read, &attributes), accept);
}

#[test]
fn rfc_2865_section_7_2_framed_user_authenticating_with_chap() {
    // checklist 8, 10
    let request = octets(
        "01 01 00 47 2a ee 86 f0 8d 0d 55 96 9c a5 97 8e
         0d 33 67 a2 01 08 66 6c 6f 70 73 79 03 13 16 e9
         75 57 c3 16 18 58 95 f2 93 ff 63 44 07 72 75 04
         06 c0 a8 01 10 05 06 00 00 00 14 06 06 00 00 00
         02 07 06 00 00 00 01",
    );
    let accept = octets(
        "02 01 00 38 15 ef bc 7d ab 26 cf a3 dc 34 d9 c0
         3c 86 01 a4 06 06 00 00 00 02 07 06 00 00 00 01
         08 06 ff ff ff fe 0a 06 00 00 00 02 0d 06 00 00
         00 01 0c 06 00 00 05 dc",
    );
    let read = framed(&request);
    let response = read.value(Landmark::ChapPassword).expect("there is one");
    assert_eq!(read.chap_challenge(), read.authenticator());
    assert!(chap_matches(response, read.chap_challenge(), b"arctangent"));
    assert_eq!(believed(&accept, &read), Ok(Code::AccessAccept));
    let attributes: [(u8, &[u8]); 6] = [
        (6, &[0, 0, 0, 2]),
        (7, &[0, 0, 0, 1]),
        (8, &[255, 255, 255, 254]),
        (10, &[0, 0, 0, 2]),
        (13, &[0, 0, 0, 1]),
        (12, &[0, 0, 5, 0xdc]),
    ];
    assert_eq!(reply(Code::AccessAccept, &read, &attributes), accept);
}

#[test]
fn rfc_2865_section_7_3_user_with_challenge_response_card() {
    // checklist 3, 8
    let request = octets(
        "01 02 00 39 f3 a4 7a 1f 6a 6d 76 71 0b 94 7a b9
         30 41 a0 39 01 07 6d 6f 70 73 79 02 12 33 65 75
         73 77 82 89 b5 70 88 5e 15 08 48 25 c5 04 06 c0
         a8 01 10 05 06 00 00 00 07",
    );
    let challenge = octets(
        "0b 02 00 4e 36 f3 c8 76 4a e8 c7 11 57 40 3c 0c
         71 ff 9c 45 12 30 43 68 61 6c 6c 65 6e 67 65 20
         33 32 37 36 39 34 33 30 2e 20 20 45 6e 74 65 72
         20 72 65 73 70 6f 6e 73 65 20 61 74 20 70 72 6f
         6d 70 74 2e 18 0a 33 32 37 36 39 34 33 30",
    );
    let mut second = octets(
        "01 03 00 43 b1 22 55 6d 42 8a 13 d0 d6 25 38 07
         c4 57 ec f0 01 07 6d 6f 70 73 79 02 12 69 2c 1f
         20 5f c0 81 b9 19 b9 51 95 f5 61 a5 81 04 06 c0
         a8 01 10 05 06 00 00 00 07 18 10 33 32 37 36 39
         34 33 30",
    );
    let reject = octets("03 03 00 14 a4 2f 4f ca 45 91 6c 4e 09 c8 34 0f 9e 74 6a a0");

    let read = framed(&request);
    let mut out = [0; 128];
    let hidden = read.value(Landmark::UserPassword).expect("there is one");
    let password = reveal_user_password(hidden, &secret(), read.authenticator(), &mut out);
    assert_eq!(password, Ok(&b"challenge"[..]));
    assert_eq!(believed(&challenge, &read), Ok(Code::AccessChallenge));
    let prompt: &[u8] = b"Challenge 32769430.  Enter response at prompt.";
    let attributes = [(number::REPLY_MESSAGE, prompt), (number::STATE, b"32769430")];
    assert_eq!(reply(Code::AccessChallenge, &read, &attributes), challenge);

    // As printed the State of this packet has length 0x10 where 10 octets are left: RFC 2865 §5 has it dropped.
    let error = Framed::parse(&second).expect_err("State passes the end");
    assert_eq!(error, FrameError::AttributeOverrun { attribute: number::STATE, offset: 57 });
    second[58] = 0x0a;
    let read = framed(&second);
    assert_eq!(read.value(Landmark::State), Some(&b"32769430"[..]));
    let hidden = read.value(Landmark::UserPassword).expect("there is one");
    let password = reveal_user_password(hidden, &secret(), read.authenticator(), &mut out);
    assert_eq!(password, Ok(&b"99101462"[..]));
    assert_eq!(believed(&reject, &read), Ok(Code::AccessReject));
    assert_eq!(reply(Code::AccessReject, &read, &[]), reject);
}

/// Status-Server as the RFC prints it: it verifies, and where its Message-Authenticator stands first we write the same.
fn status_server(request: &[u8]) -> Framed<'_> {
    let read = framed(request);
    let verified =
        read.verify_request(&Secrets::one(secret()), Requirements::default()).expect("it is signed");
    assert_eq!((verified.code(), verified.signed()), (Code::StatusServer, true));
    if read.octets()[20] == number::MESSAGE_AUTHENTICATOR {
        let mut again = Vec::new();
        let sign = MessageAuthenticator::First;
        Encoder::request(&mut again, Code::StatusServer, read.identifier(), read.authenticator(), sign)
            .finish_request(&secret());
        assert_eq!(again, request);
    }
    read
}

#[test]
fn rfc_5997_section_6_1_minimal_query_to_authentication_port() {
    // checklist 66, 67
    let request = octets(
        "0c da 00 26 8a 54 f4 68 6f b3 94 c5 28 66 e3 02
         18 5d 06 23 50 12 5a 66 5e 2e 1e 84 11 f3 e2 43
         82 20 97 c8 4f a3",
    );
    let accept = octets("02 da 00 14 ef 0d 55 2a 4b f2 d6 93 ec 2b 6f e8 b5 41 1d 66");
    let read = status_server(&request);
    assert_eq!(believed(&accept, &read), Ok(Code::AccessAccept));
    assert_eq!(reply(Code::AccessAccept, &read, &[]), accept);
}

#[test]
fn rfc_5997_section_6_2_minimal_query_to_accounting_port() {
    // checklist 66, 67
    let request = octets(
        "0c b3 00 26 92 5f 6b 66 dd 5f ed 57 1f cb 1d b7
         ad 38 82 60 50 12 e8 d6 ea bd a9 10 87 5c d9 1f
         da de 26 36 78 58",
    );
    let mut stored = octets("02 b3 00 14 0f 6f 92 14 5f 10 7e 2f 50 4e 86 0a 48 60 66 9c");
    let read = status_server(&request);
    // As printed the code is 2, but the text and the digest say 5: it is not believed until that is put right.
    assert_eq!(believed(&stored, &read), Err(ReplyError::BadResponseAuthenticator));
    stored[0] = 5;
    assert_eq!(believed(&stored, &read), Ok(Code::AccountingResponse));
    assert_eq!(reply(Code::AccountingResponse, &read, &[]), stored);
}

#[test]
fn rfc_5997_section_6_3_verbose_query_and_response() {
    // checklist 66, 93
    let request = octets(
        "0c 47 00 2c bf 58 de 56 ae 40 8a d3 b7 0c 85 13
         f9 b0 3f be 04 06 c0 00 02 10 50 12 85 2d 6f ec
         61 e7 ed 74 b8 e3 2d ac 2f 2a 5f b2",
    );
    let accept = octets(
        "02 47 00 34 46 f4 3e 62 fd 03 54 42 4c bb eb fd
         6d 21 4e 06 12 20 52 41 44 49 55 53 20 53 65 72
         76 65 72 20 75 70 20 32 20 64 61 79 73 2c 20 31
         38 3a 34 30",
    );
    let read = status_server(&request);
    assert_eq!(believed(&accept, &read), Ok(Code::AccessAccept));
    let attributes: [(u8, &[u8]); 1] = [(number::REPLY_MESSAGE, b"RADIUS Server up 2 days, 18:40")];
    assert_eq!(reply(Code::AccessAccept, &read, &attributes), accept);
}
