//! What rules make of a request, as docs/rules.md says it: which decides, and what its reply carries.

use super::codec::{Packet, kind};
use crate::plan::User;
use crate::site::{Action, NewRule, Site, When};

/// What is asked about beside the packet.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// Whose request it is.
    pub client: &'a str,
    /// Seconds since 1970 on the wall.
    pub wall: u64,
}

/// What decides about a request: nothing but the last resort, or one of the rules before it.
pub fn decides<'s>(site: &'s Site, packet: Packet<'_>, around: Around<'_>) -> Option<&'s NewRule> {
    site.rules.new.iter().find(|rule| holds(&rule.when, packet, around))
}

/// The attributes of a reply, without its Message-Authenticator and Proxy-States, in no order that counts. `user` is whose
/// password the request has proven.
pub fn reply(
    site: &Site,
    packet: Packet<'_>,
    around: Around<'_>,
    accept: bool,
    user: Option<&User>,
) -> Vec<(u8, Vec<u8>)> {
    let mut attributes = user.map(|user| user.reply.clone()).unwrap_or_default();
    if let Some(rule) = decides(site, packet, around) {
        // A wrong password is a reject without what that rule sets.
        if accept || rule.action == Action::Reject {
            edit(&mut attributes, &rule.remove_reply, &rule.set_reply);
        }
    }
    let of_reply = site.rules.reply.iter();
    if let Some(rule) =
        of_reply.filter(|rule| rule.accept == accept).find(|rule| holds(&rule.when, packet, around))
    {
        edit(&mut attributes, &rule.remove_reply, &rule.set_reply);
    }
    attributes.sort_unstable();
    attributes
}

fn edit(attributes: &mut Vec<(u8, Vec<u8>)>, remove: &[u8], set: &[(u8, Vec<u8>)]) {
    attributes.retain(|(kind, _)| !remove.contains(kind) && set.iter().all(|(other, _)| other != kind));
    attributes.extend_from_slice(set);
}

fn holds(when: &When, packet: Packet<'_>, around: Around<'_>) -> bool {
    let When { realm, client, nas_port, minutes } = when;
    let port_is = |port: &u32| packet.all(kind::NAS_PORT).any(|value| value == port.to_be_bytes());
    let name = packet.all(kind::USER_NAME).next();
    realm.as_ref().is_none_or(|realm| name.is_some_and(|name| is_in_realm(name, realm)))
        && client.as_ref().is_none_or(|client| client == around.client)
        && (nas_port.is_empty() || nas_port.iter().any(port_is))
        && minutes.is_none_or(|(from, to)| {
            let minute = (around.wall / 60 % 1_440) as u32;
            if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to }
        })
}

/// RFC 7542 §2.2, of a realm that is known to be well-formed. What stands before it may be nothing.
fn is_in_realm(name: &[u8], realm: &str) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return false };
    let Some((user, behind)) = name.split_once('@') else { return false };
    let is_text = |letter: char| {
        !letter.is_ascii() || letter.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(letter)
    };
    let is_username = user.split('.').all(|part| !part.is_empty() && part.chars().all(is_text));
    behind.eq_ignore_ascii_case(realm) && (user.is_empty() || is_username)
}

#[cfg(test)]
mod tests {
    use super::super::codec::{Writer, code};
    use super::*;
    use crate::plan::Plan;
    use crate::site::{ReplyRule, Rules};
    use crate::swarm::Profile;

    fn request(name: &str, port: u32) -> Vec<u8> {
        Writer::new(code::ACCESS_REQUEST, 1, [7; 16])
            .attribute(kind::USER_NAME, name.as_bytes())
            .attribute(kind::NAS_PORT, &port.to_be_bytes())
            .request(b"s")
    }

    fn rule(when: When, action: Action, set_reply: Vec<(u8, Vec<u8>)>) -> NewRule {
        NewRule { when, action, user_name: None, set_reply, remove_reply: vec![27] }
    }

    fn site() -> Site {
        let mut site = Site::first(&Plan::drawn(0, Profile::Calm));
        site.rules = Rules {
            new: vec![
                rule(
                    When { realm: Some("one.example".into()), ..When::default() },
                    Action::Reject,
                    vec![(18, b"no".to_vec())],
                ),
                rule(
                    When { nas_port: vec![3, 4], minutes: Some((1_320, 360)), ..When::default() },
                    Action::Users,
                    vec![(25, vec![9])],
                ),
            ],
            reply: vec![ReplyRule {
                when: When { client: Some("c".into()), ..When::default() },
                accept: true,
                set_reply: vec![(18, b"hello".to_vec())],
                remove_reply: vec![],
            }],
        };
        site
    }

    #[test]
    fn the_first_rule_that_matches_decides_and_all_of_its_conditions_count() {
        let site = site();
        let decided = |name: &str, port, hour: u64| {
            let octets = request(name, port);
            let packet = Packet::read(&octets).expect("it was written well");
            let around = Around { client: "c", wall: hour * 3_600 };
            decides(&site, packet, around).and_then(|rule| site.rules.new.iter().position(|r| r == rule))
        };
        assert_eq!(decided("bob@One.Example", 3, 23), Some(0));
        assert_eq!(decided("@one.example", 3, 12), Some(0));
        assert_eq!(decided("bob@two.example", 3, 23), Some(1));
        assert_eq!(decided("b b@one.example", 4, 5), Some(1), "no username has a space");
        assert_eq!(decided("bob", 5, 23), None);
        assert_eq!(
            (decided("bob", 3, 12), decided("bob", 3, 6), decided("bob", 3, 22)),
            (None, None, Some(1))
        );
    }

    #[test]
    fn a_wrong_password_gets_nothing_of_the_rule_and_a_right_one_all() {
        let site = site();
        let octets = request("bob", 3);
        let packet = Packet::read(&octets).expect("it was written well");
        let user = User {
            name: "bob".into(),
            password: "x".into(),
            hashed: false,
            reply: vec![(25, vec![1]), (27, vec![0, 0, 0, 9])],
        };
        let carried = |client, accept| {
            let around = Around { client, wall: 0 };
            reply(&site, packet, around, accept, accept.then_some(&user))
        };
        assert_eq!(carried("c", true), [(18, b"hello".to_vec()), (25, vec![9])]);
        assert_eq!(carried("d", true), [(25, vec![9])]);
        assert_eq!(carried("c", false), []);
    }
}
