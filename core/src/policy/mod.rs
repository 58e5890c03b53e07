//! What is to become of a request: virtual servers and their rules, first match wins.
//!
//! Rules are plain data, checked and made ready when the configuration is loaded. Knows no packets, and neither sends nor
//! waits.

mod decision;
mod rule;

pub use decision::Decision;
pub use rule::{Action, Rule};

use crate::attributes::NOTHING;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A virtual server's place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub u16);

/// A set of rules that listeners name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualServer {
    /// The operator's name for it, unique.
    pub name: Box<str>,
    /// What to do with a new request, in order; the first rule that matches decides.
    pub new: Vec<Rule>,
}

impl VirtualServer {
    /// Decides on a new request. Where no rule matches it is rejected: a request never hangs.
    pub fn decide(&self) -> Decision<'_> {
        // Conditions are not built yet: every rule matches, so the first decides.
        match self.new.first() {
            Some(rule) => rule.decision(),
            None => Decision::Reject { set_reply: &NOTHING },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::{Preset, text};
    use crate::dictionary::Dictionary;
    use alloc::vec;

    #[test]
    fn the_first_rule_decides() {
        let dictionary = Dictionary::built_in();
        let message = text::parse(&dictionary, "Reply-Message = x").expect("well-formed");
        let message = Preset::new(&dictionary, message).expect("it fits");
        let server = VirtualServer {
            name: "edge".into(),
            new: vec![
                Rule { action: Action::AuthenticateUsers, set_reply: message.clone() },
                Rule { action: Action::Accept, set_reply: Preset::default() },
            ],
        };
        assert_eq!(server.decide(), Decision::AuthenticateUsers { set_reply: &message });
    }

    #[test]
    fn without_a_rule_the_request_is_rejected() {
        let server = VirtualServer { name: "edge".into(), new: vec![] };
        assert_eq!(server.decide(), Decision::Reject { set_reply: &Preset::default() });
    }
}
