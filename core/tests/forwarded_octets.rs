//! The octets of a request on its way on, as the remote server reads them, and of its reply, as the NAS does. RFC 2865 §2.3,
//! §5.2, §5.33 and §5.40, RFC 2868 §3.5, RFC 3579 §3.2.

#[path = "support/forwarding.rs"]
mod forwarding;

use forwarding::{
    CLIENT, DICTIONARY, Node, SERVER, proxy_states, read, reply, reply_of, request, request_of,
};
use std::sync::LazyLock;
use ulna_core::Discard;
use ulna_core::attributes::{NOTHING, Preset, Scratch, Sealing, text};
use ulna_core::dictionary::{DataType, Encryption};
use ulna_core::forward::Inbound;
use ulna_core::packet::chap::{chap_matches, chap_password};
use ulna_core::packet::hidden::Hop;
use ulna_core::packet::{
    Attribute, Attributes, Code, Framed, HEADER_OCTETS, Landmark, MessageAuthenticator, PACKET_OCTETS_MAX,
    Requirements, Secret, Secrets, number,
};
use ulna_core::policy::{Edit, Selector};

const FIRST: MessageAuthenticator = MessageAuthenticator::First;
const ABSENT: MessageAuthenticator = MessageAuthenticator::Absent;
const SIGNED: Requirements = Requirements { require_message_authenticator: true, limit_proxy_state: true };

static SERVERS: LazyLock<Secrets> = LazyLock::new(|| Secrets::one(SERVER.clone()));

fn framed(octets: &[u8]) -> Framed<'_> {
    Framed::parse(octets).expect("it is a packet")
}

/// Attributes of a packet but its Message-Authenticator, as octets.
fn unsigned(octets: &[u8]) -> Vec<Attribute<'_>> {
    framed(octets)
        .attributes()
        .filter(|attribute| attribute.number != number::MESSAGE_AUTHENTICATOR)
        .collect()
}

#[test]
fn an_access_request_goes_on_signed_first_with_all_that_it_has() {
    // checklist 89, 90
    let text = "User-Name = bob, NAS-Port = 7, User-Password = hello, Calling-Station-Id = \"00-11\", \
                Attr-250 = 0x0102, Cisco-AVPair = \"a=b\", Attr-26.99999.3 = 0x03";
    for sign in [FIRST, ABSENT] {
        let received = request(Code::AccessRequest, sign, text);
        let node = Node::new(1);
        let (sent, authenticator) = node.forward(&received, &NOTHING).expect("it fits");
        let there = framed(&sent);
        assert_eq!((there.code_octet(), there.identifier()), (1, 77));
        assert_eq!((there.authenticator(), authenticator), (&node.authenticator, node.authenticator));
        assert_eq!(sent[HEADER_OCTETS..][..2], [80, 18], "the Message-Authenticator is the first attribute");
        assert!(there.verify_request(&SERVERS, SIGNED).is_ok_and(|verified| verified.signed()));
        let ours = "Proxy-State = 0x";
        let found = read(&sent, &SERVER, there.authenticator());
        let (found, last) = found.rsplit_once(", ").expect("ours is behind them");
        assert!(last.starts_with(ours), "{last}");
        let (_, found) = found.split_once(", ").expect("the signature stands before");
        assert_eq!(found, read_unsigned(&received));
    }
}

/// What a request says under the client's secret, without the signature.
fn read_unsigned(received: &[u8]) -> String {
    let text = read(received, &CLIENT, framed(received).authenticator());
    match text.strip_prefix("Message-Authenticator") {
        Some(signed) => signed.split_once(", ").expect("something follows").1.into(),
        None => text,
    }
}

#[test]
fn a_password_is_hidden_as_rfc_2865_section_5_2_says() {
    // checklist 9
    use md5::{Digest, Md5};
    let received = request(Code::AccessRequest, FIRST, "User-Password = arctangent");
    let node = Node::new(1);
    let (sent, _) = node.forward(&received, &NOTHING).expect("it fits");
    let mask: [u8; 16] = Md5::digest([&b"a secret of the server"[..], &node.authenticator].concat()).into();
    let padded = *b"arctangent\0\0\0\0\0\0";
    let expected: Vec<u8> = padded.iter().zip(mask).map(|(octet, mask)| octet ^ mask).collect();
    assert_eq!(framed(&sent).value(Landmark::UserPassword), Some(&expected[..]));
}

#[test]
fn all_proxy_states_go_on_in_order_and_ours_is_the_last_attribute() {
    // checklist 45
    let received = request(
        Code::AccessRequest,
        FIRST,
        "Proxy-State = 0x02, User-Name = bob, Proxy-State = 0x01, Proxy-State = 0x02",
    );
    let node = Node::new(1);
    let (sent, _) = node.forward(&received, &NOTHING).expect("it fits");
    assert_eq!(proxy_states(&sent), [&[2][..], &[1], &[2], node.own().value()]);
    assert!(sent.ends_with(&node.own().attribute()));
}

#[test]
fn a_chap_password_goes_on_with_the_challenge_that_it_answers() {
    // checklist 10
    let challenge = *framed(&request(Code::AccessRequest, FIRST, "")).authenticator();
    let answer = chap_password(7, &challenge, b"hello");
    let text = format!("User-Name = bob, CHAP-Password = 0x{}", hex(&answer));
    let received = request(Code::AccessRequest, FIRST, &text);
    let (sent, _) = Node::new(1).forward(&received, &NOTHING).expect("it fits");
    let there = framed(&sent);
    assert_eq!(there.attributes().of(number::CHAP_CHALLENGE).collect::<Vec<_>>(), [&challenge]);
    let found = there.value(Landmark::ChapPassword).expect("it went on");
    assert!(chap_matches(found, there.chap_challenge(), b"hello"));
    // One that is there is the only one.
    let received = request(Code::AccessRequest, FIRST, &format!("{text}, CHAP-Challenge = 0x0506"));
    let (sent, _) = Node::new(1).forward(&received, &NOTHING).expect("it fits");
    assert_eq!(framed(&sent).attributes().of(number::CHAP_CHALLENGE).collect::<Vec<_>>(), [&[5, 6]]);
    // Where there is no CHAP there is nothing to add.
    let received = request(Code::AccessRequest, FIRST, "User-Name = bob, User-Password = hello");
    let (sent, _) = Node::new(1).forward(&received, &NOTHING).expect("it fits");
    assert_eq!(framed(&sent).attributes().of(number::CHAP_CHALLENGE).count(), 0);
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn state_class_and_pieces_of_eap_are_the_same_octets_both_ways() {
    // checklist 22, 29, 33
    // Pieces that nobody should cut so, one of them empty.
    let pieces = [79, 4, 2, 1, 79, 2, 79, 3, 9, 24, 3, 0xff, 25, 3, 1, 25, 2, 25, 3, 0, 79, 5, 1, 2, 3];
    let received = request_of(Code::AccessRequest, FIRST, &pieces);
    let node = Node::new(1);
    let (sent, authenticator) = node.forward(&received, &NOTHING).expect("it fits");
    let there = framed(&sent);
    let octets = there.attributes().octets();
    assert_eq!(octets[18..octets.len() - 18], pieces);
    let answered = reply_of(Code::AccessChallenge, &sent, &SERVER, FIRST, &pieces);
    let back = node.back(&received, &answered, &authenticator).expect("it fits");
    assert_eq!(framed(&back).attributes().octets()[18..], pieces);
}

/// Attributes that have so many octets, headers included.
fn filling(octets: usize) -> Vec<u8> {
    let mut attributes = Vec::new();
    while attributes.len() < octets {
        let left = octets - attributes.len();
        let length = if left == 256 { 253 } else { left.min(255) };
        attributes.extend_from_slice(&[number::CLASS, length as u8]);
        attributes.resize(attributes.len() + length - 2, b'x');
    }
    attributes
}

#[test]
fn what_would_pass_4096_octets_is_refused() {
    // A Message-Authenticator is added, and on the way on our Proxy-State: 18 octets each.
    let room = PACKET_OCTETS_MAX - HEADER_OCTETS - 18;
    let node = Node::new(1);
    let forward = |octets| {
        let received = request_of(Code::AccessRequest, ABSENT, &filling(octets));
        node.forward(&received, &NOTHING).map(|(sent, _)| sent.len())
    };
    assert_eq!(forward(room - 18), Ok(PACKET_OCTETS_MAX));
    assert_eq!(forward(room - 18 + 1), Err(Discard::ForwardTooLong));
    // On the way back the Proxy-State of the NAS needs its room.
    let asked = request(Code::AccessRequest, FIRST, "Proxy-State = 0x00");
    let (sent, authenticator) = node.forward(&asked, &NOTHING).expect("it fits");
    let back = |octets| {
        let answered = reply_of(Code::AccessAccept, &sent, &SERVER, ABSENT, &filling(octets));
        node.back(&asked, &answered, &authenticator).map(|back| back.len())
    };
    assert_eq!(back(room - 3), Ok(PACKET_OCTETS_MAX));
    assert_eq!(back(room - 2), Err(Discard::ReplyTooLong));
}

#[test]
fn what_cannot_be_hidden_anew_is_refused_both_ways() {
    let node = Node::new(1);
    let asked = request(Code::AccessRequest, FIRST, "User-Name = bob");
    let (sent, authenticator) = node.forward(&asked, &NOTHING).expect("it fits");
    for bad in [
        &[2, 17, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15][..],
        &[2, 2],
        &[69, 5, 1, 0x80, 0],
        &[26, 12, 0, 0, 1, 55, 16, 6, 0x80, 0, 1, 2],
    ] {
        let received = request_of(Code::AccessRequest, FIRST, bad);
        assert_eq!(
            node.forward(&received, &NOTHING).map(|_| ()),
            Err(Discard::BadHiddenAttribute),
            "{bad:?}"
        );
        let answered = reply_of(Code::AccessAccept, &sent, &SERVER, FIRST, bad);
        let back = node.back(&asked, &answered, &authenticator);
        assert_eq!(back, Err(Discard::BadHiddenAttribute), "{bad:?}");
    }
}

#[test]
fn accounting_goes_on_under_an_authenticator_of_its_own_and_unsigned() {
    // checklist 11, 13
    let text = "Acct-Status-Type = Start, Acct-Delay-Time = 5, Tunnel-Password:1 = key, Proxy-State = 0x01";
    let received = request(Code::AccountingRequest, ABSENT, text);
    let node = Node::new(1);
    let (sent, authenticator) = node.forward(&received, &NOTHING).expect("it fits");
    let there = framed(&sent);
    assert_eq!(*there.authenticator(), authenticator);
    assert_ne!(authenticator, node.authenticator, "it is computed");
    assert!(there.verify_request(&SERVERS, SIGNED).is_ok());
    assert!(!there.layout().has(Landmark::MessageAuthenticator));
    assert!(read(&sent, &SERVER, &[0; 16]).starts_with(
        "Acct-Status-Type = Start, Acct-Delay-Time = 5, Tunnel-Password:1 = \"key\", Proxy-State = 0x01, Proxy-State"
    ));
    let answered = reply(Code::AccountingResponse, &sent, &SERVER, ABSENT, "");
    let back = node.back(&received, &answered, &authenticator).expect("it fits");
    assert_eq!(unsigned(&back), [Attribute { number: 33, value: &[1] }]);
    assert!(!framed(&back).layout().has(Landmark::MessageAuthenticator));
    assert!(framed(&back).verify_reply(&CLIENT, framed(&received).authenticator(), true).is_ok());
    // A signature that is there is made anew.
    let received = request(Code::AccountingRequest, FIRST, text);
    let (sent, _) = node.forward(&received, &NOTHING).expect("it fits");
    assert!(framed(&sent).layout().has(Landmark::MessageAuthenticator));
    assert!(framed(&sent).verify_request(&SERVERS, SIGNED).is_ok());
}

#[test]
fn only_requests_go_on_and_status_server_does_not() {
    // checklist 66
    let of = |code| request(code, FIRST, "User-Name = bob");
    let sent = |code| Node::new(1).forward(&of(code), &NOTHING).map(|_| ());
    assert_eq!(sent(Code::StatusServer), Err(Discard::UnexpectedCode));
    assert_eq!(sent(Code::AccessAccept), Err(Discard::UnexpectedCode));
    for code in [Code::AccessRequest, Code::AccountingRequest, Code::CoaRequest, Code::DisconnectRequest] {
        assert_eq!(sent(code), Ok(()), "{code}");
    }
}

/// Every attribute of the built-in dictionary that is hidden, with a value.
fn every_hidden() -> String {
    let hidden = DICTIONARY.attributes().filter(|attribute| attribute.encrypted());
    let assigned = hidden.map(|attribute| {
        let value = match (attribute.data_type(), attribute.encryption()) {
            (DataType::Octets { length }, _) => {
                format!("0x{}", "a7".repeat(length.map_or(21, usize::from)))
            }
            (DataType::Ipv4Address, _) => "192.0.2.1".into(),
            (DataType::Integer, _) => "3".into(),
            (_, Encryption::AscendSecret) => "ascend".into(),
            _ => "\"more than sixteen octets\"".into(),
        };
        let tag = if attribute.tagged() { ":1" } else { "" };
        format!("{}{tag} = {value}", attribute.name())
    });
    assigned.collect::<Vec<_>>().join(", ")
}

#[test]
fn every_hidden_attribute_of_the_built_in_dictionary_is_read_behind_the_hop() {
    // checklist 48
    let text = every_hidden();
    assert!(text.matches(" = ").count() >= 12, "{text}");
    let received = request(Code::AccessRequest, FIRST, &text);
    let node = Node::new(1);
    let (sent, authenticator) = node.forward(&received, &NOTHING).expect("it fits");
    let said = read_unsigned(&received);
    assert!(read(&sent, &SERVER, &node.authenticator).contains(&said));
    assert!(!read(&sent, &CLIENT, framed(&received).authenticator()).contains(&said));
    let answered = reply(Code::AccessAccept, &sent, &SERVER, FIRST, &text);
    let back = node.back(&received, &answered, &authenticator).expect("it fits");
    let found = read(&back, &CLIENT, framed(&received).authenticator());
    assert!(found.ends_with(&said), "{found}");
}

#[test]
fn what_rules_set_goes_along_with_salts_of_its_own() {
    // checklist 48
    let text = "Tunnel-Password:1 = one, Tunnel-Password:1 = two, Proxy-State = 0x01";
    let received = request(Code::AccessRequest, FIRST, text);
    let assignments = text::parse(
        &DICTIONARY,
        "Operator-Name = \"1example.org\", MS-MPPE-Send-Key = 0x0102, MS-MPPE-Recv-Key = 0x03",
    );
    let set = Preset::new(&DICTIONARY, assignments.expect("well-formed")).expect("it fits");
    let node = Node::new(1);
    // As rules leave them: what stays, then what they set and is not hidden.
    let edited = [framed(&received).attributes().octets(), set.plain()].concat();
    let (sent, _) = node.forward_edited(&received, &edited, &set).expect("it fits");
    let found = read(&sent, &SERVER, &node.authenticator);
    let behind = "Tunnel-Password:1 = \"one\", Tunnel-Password:1 = \"two\", Proxy-State = 0x01, Operator-Name = \
                  \"1example.org\", MS-MPPE-Send-Key = 0x0102, MS-MPPE-Recv-Key = 0x03, Proxy-State = 0x";
    assert!(found.contains(behind), "{found}");
    assert!(sent.ends_with(&node.own().attribute()));
    let salts: std::collections::BTreeSet<Vec<u8>> = unsigned(&sent)
        .iter()
        .filter_map(|attribute| match (attribute.number, attribute.value) {
            (69, [_, salt @ ..]) | (26, [0, 0, 1, 55, _, _, salt @ ..]) => Some(salt[..2].to_vec()),
            _ => None,
        })
        .collect();
    assert_eq!(salts.len(), 4, "{salts:?}");
    assert!(salts.iter().all(|salt| salt[0] & 0x80 != 0));
}

#[test]
fn the_reply_has_exactly_the_proxy_states_of_its_request_and_is_signed_first() {
    // checklist 46, 47, 90
    let node = Node::new(1);
    for states in ["", "Proxy-State = 0x07", "Proxy-State = 0x07, Proxy-State = 0x06, Proxy-State = 0x07"] {
        let received = request(Code::AccessRequest, FIRST, states);
        let (sent, authenticator) = node.forward(&received, &NOTHING).expect("it fits");
        let ours = hex(node.own().value());
        // As it should, or it forgets them, or turns them around, or makes some up.
        for returned in [
            &format!("{states}, Proxy-State = 0x{ours}"),
            "",
            &format!("Proxy-State = 0x{ours}, {states}"),
            "Proxy-State = 0x99",
        ] {
            for (code, sign) in
                [(Code::AccessAccept, FIRST), (Code::AccessReject, ABSENT), (Code::AccessChallenge, FIRST)]
            {
                let text = format!("Class = 0x01, {returned}, Reply-Message = hello");
                let answered = reply(code, &sent, &SERVER, sign, text.trim_matches([',', ' ']));
                let back = node.back(&received, &answered, &authenticator).expect("it fits");
                let there = framed(&back);
                let verified = there.verify_reply(&CLIENT, framed(&received).authenticator(), true);
                assert_eq!(verified.map(|reply| reply.code()), Ok(code));
                assert_eq!(there.identifier(), framed(&received).identifier());
                assert_eq!(back[HEADER_OCTETS..][..2], [80, 18]);
                let mut expected = vec![
                    Attribute { number: number::CLASS, value: &[1] },
                    Attribute { number: number::REPLY_MESSAGE, value: b"hello" },
                ];
                expected
                    .extend(framed(&received).proxy_states().map(|value| Attribute { number: 33, value }));
                assert_eq!(unsigned(&back), expected, "{returned}");
            }
        }
    }
}

#[test]
fn a_reply_can_be_edited_between() {
    // checklist 48
    let node = Node::new(1);
    let received = request(Code::AccessRequest, FIRST, "User-Name = bob, Proxy-State = 0x07");
    let (sent, authenticator) = node.forward(&received, &NOTHING).expect("it fits");
    let text = "Tunnel-Type:1 = VLAN, Tunnel-Password:1 = key, Class = 0x01, MS-MPPE-Send-Key = 0x0102";
    let answered = reply(Code::AccessAccept, &sent, &SERVER, FIRST, text);
    let verified = framed(&answered).verify_reply(&SERVER, &authenticator, true).expect("it is the server's");
    let inbound = Inbound {
        dictionary: &DICTIONARY,
        request: framed(&received),
        reply: verified,
        from: Hop { secret: &SERVER, request_authenticator: &authenticator },
    };
    let hop = Hop { secret: &CLIENT, request_authenticator: framed(&received).authenticator() };
    let (mut draft, mut edited, mut out) = (vec![1, 2, 3], vec![], vec![]);
    let mut scratch = Scratch::default();
    inbound.draft(&mut Sealing { hop, salt: 9 }, &mut scratch, &mut draft).expect("it can be hidden");
    let named = text::named(&DICTIONARY, "Tunnel-Type").expect("it is known");
    let remove = vec![Selector { oid: named.oid, tag: named.tag, any_shape: true }];
    let edit = Edit { remove, ..Edit::default() };
    let attributes = Attributes::parse(&draft).expect("a draft is attributes");
    edit.retain(&DICTIONARY, attributes, &mut scratch, &mut edited);
    inbound.write(&edited, &CLIENT, &mut out).expect("it fits");
    let found = read(&out, &CLIENT, hop.request_authenticator);
    assert!(
        found.ends_with(
            "Tunnel-Password:1 = \"key\", Class = 0x01, MS-MPPE-Send-Key = 0x0102, Proxy-State = 0x07"
        ),
        "{found}"
    );
}

#[test]
fn a_round_over_two_proxies_says_the_same_at_both_ends() {
    // checklist 45, 48
    let between = Secret::new(b"a secret between two proxies").expect("it has octets");
    let (first, second) = (Node::between(1, &CLIENT, &between), Node::between(2, &between, &SERVER));
    let text = format!("User-Name = bob, {}, Proxy-State = 0x07", every_hidden());
    let received = request(Code::AccessRequest, FIRST, &text);
    let (middle, middle_authenticator) = first.forward(&received, &NOTHING).expect("it fits");
    let (sent, authenticator) = second.forward(&middle, &NOTHING).expect("it fits");
    assert_eq!(proxy_states(&sent), [&[7][..], first.own().value(), second.own().value()]);
    assert!(read(&sent, &SERVER, &authenticator).contains(&read_unsigned(&received)));
    // Each sees that it has been there, and none that the other has.
    assert!(second.key().is_loop(&framed(&sent)) && first.key().is_loop(&framed(&sent)));
    assert!(first.key().is_loop(&framed(&middle)) && !second.key().is_loop(&framed(&middle)));
    assert!(!first.key().is_loop(&framed(&received)));

    let states: Vec<String> =
        proxy_states(&sent).iter().map(|state| format!("Proxy-State = 0x{}", hex(state))).collect();
    let text = format!("Class = 0x01, {}, {}", every_hidden(), states.join(", "));
    let answered = reply(Code::AccessAccept, &sent, &SERVER, FIRST, &text);
    let middle_back = second.back(&middle, &answered, &authenticator).expect("it fits");
    assert_eq!(proxy_states(&middle_back), [&[7][..], first.own().value()]);
    let back = first.back(&received, &middle_back, &middle_authenticator).expect("it fits");
    assert_eq!(proxy_states(&back), [[7]]);
    let verified = framed(&back).verify_reply(&CLIENT, framed(&received).authenticator(), true);
    assert!(verified.is_ok());
    let found = read(&back, &CLIENT, framed(&received).authenticator());
    let said = read(&answered, &SERVER, &authenticator);
    let said = said.split_once(", ").expect("the signature stands before").1;
    let said = said.split(", Proxy-State").next().expect("there is something before");
    assert!(found.ends_with(&format!("{said}, Proxy-State = 0x07")), "{found}\n{said}");
}

#[test]
fn nothing_is_allocated_from_the_second_packet_on() {
    let received =
        request(Code::AccessRequest, FIRST, "User-Name = bob, User-Password = hello, Proxy-State = 0x07");
    let node = Node::new(1);
    let (mut out, mut draft, mut scratch) =
        (Vec::with_capacity(4096), Vec::with_capacity(4096), Scratch::default());
    let places = (out.as_ptr(), draft.as_ptr());
    for _ in 0..3 {
        let authenticator = node.outbound(&received, framed(&received).attributes(), &NOTHING);
        let authenticator = authenticator.write(&mut scratch, &mut out).expect("it fits");
        let answered = reply(Code::AccessAccept, &out, &SERVER, FIRST, "Tunnel-Password:1 = key");
        let verified = framed(&answered).verify_reply(&SERVER, &authenticator, true).expect("the server's");
        let from = Hop { secret: &SERVER, request_authenticator: &authenticator };
        let inbound = Inbound { dictionary: &DICTIONARY, request: framed(&received), reply: verified, from };
        let hop = Hop { secret: &CLIENT, request_authenticator: framed(&received).authenticator() };
        inbound.draft(&mut Sealing { hop, salt: 0 }, &mut scratch, &mut draft).expect("it can be hidden");
        inbound.write(&draft, &CLIENT, &mut out).expect("it fits");
    }
    assert_eq!((out.as_ptr(), draft.as_ptr()), places);
}

mod any_packets {
    use super::*;
    use proptest::prelude::*;

    fn any_attributes() -> impl Strategy<Value = Vec<u8>> {
        let numbers = prop_oneof![Just(33u8), Just(1), Just(25), Just(79), 1u8..=255];
        let one = (numbers, proptest::collection::vec(any::<u8>(), 0..=253));
        proptest::collection::vec(one, 0..14).prop_map(|all| {
            let mut states = 0;
            let mut octets = Vec::new();
            for (number, value) in all {
                states += u32::from(number == number::STATE);
                // Those that are hidden, and containers, have laws of their own.
                let known = DICTIONARY.numbered(number);
                let hides =
                    known.is_some_and(|known| known.encrypted() || known.data_type() == DataType::Tlv);
                if number == 80 || number == 2 || hides || (number == 24 && states > 1) {
                    continue;
                }
                octets.extend_from_slice(&[number, 2 + value.len() as u8]);
                octets.extend_from_slice(&value);
            }
            octets
        })
    }

    proptest! {
        #[test]
        fn what_is_not_hidden_is_the_same_octets_both_ways(asked in any_attributes(), said in any_attributes()) {
            // checklist 5, 29, 45, 63
            let node = Node::new(1);
            let received = request_of(Code::AccessRequest, FIRST, &asked);
            let chap = framed(&received).layout().has(Landmark::ChapPassword)
                && !framed(&received).layout().has(Landmark::ChapChallenge);
            let (sent, authenticator) = node.forward(&received, &NOTHING).expect("3 600 octets at most");
            let octets = framed(&sent).attributes().octets();
            let added = 18 + if chap { 18 } else { 0 };
            prop_assert_eq!(&octets[18..octets.len() - added], &asked[..]);
            prop_assert!(framed(&sent).verify_request(&SERVERS, SIGNED).is_ok());

            let answered = reply_of(Code::AccessAccept, &sent, &SERVER, FIRST, &said);
            match node.back(&received, &answered, &authenticator) {
                Ok(back) => {
                    let mut expected: Vec<Attribute<'_>> = Attributes::parse(&said).expect("we made them")
                        .filter(|attribute| attribute.number != number::PROXY_STATE).collect();
                    expected.extend(framed(&received).proxy_states().map(|value| Attribute { number: 33, value }));
                    prop_assert_eq!(unsigned(&back), expected);
                    let nas = framed(&received).authenticator();
                    prop_assert!(framed(&back).verify_reply(&CLIENT, nas, true).is_ok());
                }
                Err(discard) => prop_assert_eq!(discard, Discard::ReplyTooLong),
            }
        }

        #[test]
        fn passwords_and_keys_are_read_behind_the_hop_whatever_they_are(
            password in "[a-zA-Z0-9 ]{1,128}",
            key in proptest::collection::vec(any::<u8>(), 1..=100),
            authenticator: [u8; 16],
            salt: u16,
        ) {
            // checklist 9, 48
            let mut node = Node::new(1);
            (node.authenticator, node.salt) = (authenticator, salt);
            let text = format!(
                "User-Password = \"{password}\", MS-MPPE-Send-Key = 0x{}, Tunnel-Password:3 = \"{password}\"",
                hex(&key)
            );
            let received = request(Code::AccessRequest, FIRST, &text);
            let (sent, _) = node.forward(&received, &NOTHING).expect("it fits");
            let found = read(&sent, &SERVER, &node.authenticator);
            prop_assert!(found.contains(&read_unsigned(&received)), "{}", found);
            prop_assert_eq!(unsigned(&sent).len(), 4);
        }
    }
}
