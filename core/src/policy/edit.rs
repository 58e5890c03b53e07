//! What rules change: attributes of the request and of the reply, and values of the session.
//!
//! An edit is made once, when the configuration is loaded, and then only read. The order within one edit is fixed: what is
//! not allowed goes, what is to be removed goes, what is set replaces all of its kind.

use super::Selector;
use crate::attributes::{Item, Preset, Scratch, retain};
use crate::dictionary::Dictionary;
use crate::packet::{Attributes, HEADER_OCTETS, PACKET_OCTETS_MAX, number};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// All that one rule changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edits {
    /// Of the request, as later rules, users and accounting see it; the received octets stay as they are.
    pub request: Edit,
    /// Of the reply.
    pub reply: Edit,
    /// Of the session: names with their values.
    pub session: Vec<(Box<str>, Box<[u8]>)>,
}

/// Edited attributes would pass what a packet holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EditTooLong;

/// What is changed in a list of attributes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edit {
    /// Only these stay, if there is such a list.
    pub allow: Option<Vec<Selector>>,
    /// These go.
    pub remove: Vec<Selector>,
    /// These take the place of all of their kind: at the end, in order.
    pub set: Preset,
}

impl Edit {
    /// An edit that only sets.
    pub fn set(set: Preset) -> Edit {
        Edit { set, ..Edit::default() }
    }

    /// Whether it changes nothing.
    pub fn is_nothing(&self) -> bool {
        self.only_sets() && self.set.octets() == 0
    }

    /// Whether nothing goes but what is replaced.
    pub fn only_sets(&self) -> bool {
        self.allow.is_none() && self.remove.is_empty()
    }

    /// Whether an attribute stays where it is.
    pub fn keeps(&self, item: &Item<'_>) -> bool {
        if is_ours(item.oid.first()) {
            return true;
        }
        let any = |selectors: &[Selector]| selectors.iter().any(|selector| selector.selects(item));
        self.allow.as_deref().is_none_or(any) && !any(&self.remove) && !self.set.sets(&item.oid)
    }

    /// Writes those of `attributes` that stay behind what `out` holds. What is set comes behind them, and is written by
    /// whoever knows how to hide it.
    pub fn retain(
        &self,
        dictionary: &Dictionary,
        attributes: Attributes<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        retain(dictionary, attributes, scratch, |item| self.keeps(item), out);
    }

    /// A request's attributes as this edit wants them, in `edited` if it changes any.
    ///
    /// # Errors
    /// When no packet would hold them.
    pub fn of_request<'e>(
        &self,
        dictionary: &Dictionary,
        received: Attributes<'e>,
        scratch: &mut Scratch,
        edited: &'e mut Vec<u8>,
    ) -> Result<Attributes<'e>, EditTooLong> {
        if self.is_nothing() {
            return Ok(received);
        }
        edited.clear();
        self.retain(dictionary, received, scratch, edited);
        edited.extend_from_slice(self.set.plain());
        if edited.len() > PACKET_OCTETS_MAX - HEADER_OCTETS {
            return Err(EditTooLong);
        }
        Ok(Attributes::framed(edited))
    }
}

/// Attributes that no rule sets, removes or has to allow: they answer something in the request, belong to one hop, or sign
/// the packet.
pub const OURS: &[u8] = &[
    number::USER_PASSWORD,
    number::CHAP_PASSWORD,
    number::CHAP_CHALLENGE,
    number::STATE,
    number::PROXY_STATE,
    number::EAP_MESSAGE,
    number::MESSAGE_AUTHENTICATOR,
];

/// Whether attributes of this Type are [`OURS`].
pub fn is_ours(number: u32) -> bool {
    OURS.iter().any(|ours| u32::from(*ours) == number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::text;
    use alloc::string::{String, ToString};

    fn selectors(dictionary: &Dictionary, names: &[&str]) -> Vec<Selector> {
        let named = |name: &&str| text::named(dictionary, name).expect("it is known");
        let selector = |named: text::Named<'_>| Selector { oid: named.oid, tag: named.tag, any_shape: true };
        names.iter().map(named).map(selector).collect()
    }

    /// The attributes of a text after an edit, as text.
    fn edited(attributes: &str, allow: Option<&[&str]>, remove: &[&str], set: &str) -> String {
        let dictionary = Dictionary::built_in();
        let mut octets = Vec::new();
        let assignments = text::parse(&dictionary, attributes).expect("well-formed");
        text::write(&dictionary, &assignments, None, &mut octets).expect("it fits");
        let set = text::parse(&dictionary, set).expect("well-formed");
        let edit = Edit {
            allow: allow.map(|names| selectors(&dictionary, names)),
            remove: selectors(&dictionary, remove),
            set: Preset::new(&dictionary, set).expect("it fits"),
        };
        let mut out = Vec::new();
        let attributes = Attributes::parse(&octets).expect("we wrote them");
        edit.retain(&dictionary, attributes, &mut Scratch::default(), &mut out);
        out.extend_from_slice(edit.set.plain());
        text::print(&dictionary, Attributes::parse(&out).expect("we wrote them")).to_string()
    }

    const TUNNELS: &str = "Tunnel-Type:1 = VLAN, Tunnel-Type:2 = L2TP, Class = 0x01, Cisco-AVPair = \"a=1\"";

    #[test]
    fn what_is_removed_goes_with_its_tag_or_with_all() {
        assert_eq!(
            edited(TUNNELS, None, &["Tunnel-Type:2"], ""),
            "Tunnel-Type:1 = VLAN, Class = 0x01, Cisco-AVPair = \"a=1\""
        );
        assert_eq!(edited(TUNNELS, None, &["Tunnel-Type", "Cisco-AVPair"], ""), "Class = 0x01");
        assert_eq!(
            edited(TUNNELS, None, &["Vendor-Specific", "Class", "Tunnel-Type:1"], ""),
            "Tunnel-Type:2 = L2TP"
        );
    }

    #[test]
    fn only_what_is_allowed_stays_and_what_is_set_comes_on_top() {
        assert_eq!(edited(TUNNELS, Some(&["Class"]), &[], ""), "Class = 0x01");
        assert_eq!(edited(TUNNELS, Some(&[]), &[], "NAS-Port = 7"), "NAS-Port = 7");
        assert_eq!(
            edited(
                TUNNELS,
                Some(&["Class", "Tunnel-Type"]),
                &["Tunnel-Type:1"],
                "Class = 0x02, Class = 0x03"
            ),
            "Tunnel-Type:2 = L2TP, Class = 0x02, Class = 0x03"
        );
    }

    #[test]
    fn what_answers_the_request_stays_whatever_is_allowed() {
        let all = "State = 0x01, Proxy-State = 0x02, EAP-Message = 0x03, Class = 0x04";
        assert_eq!(edited(all, Some(&[]), &[], ""), "State = 0x01, Proxy-State = 0x02, EAP-Message = 0x03");
    }
}
