//! The configuration's rules, and notes of what they say. They decide themselves; watched is only why.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ulna_config::RuleList;
use ulna_core::ClientId;
use ulna_core::attributes::Scratch;
use ulna_core::configuration::Configuration;
use ulna_core::packet::{ErrorCause, number};
use ulna_core::policy::{
    Accounting, AccountingVerdict, Asked, CoaDecision, CoaVerdict, ConfiguredRules, Decision, Edit,
    EditTooLong, Edits, OngoingVerdict, Policy, ReplyKind, Rules, Sheet, Verdict,
};

/// What one list of rules said.
pub struct Noted {
    pub list: RuleList,
    /// Of each rule up to the one that matched: which of its conditions held.
    pub rules: Vec<Box<[bool]>>,
    /// What the one that matched says.
    pub says: Option<Says>,
}

/// What a rule says.
pub enum Says {
    Access(Decision, Arc<Edits>),
    Accounting(Accounting, Arc<Edits>),
    /// With the client that is named as NAS, after edits.
    Coa(CoaDecision, Arc<Edits>, Result<ClientId, ErrorCause>),
    Reply(Edit),
}

/// All notes about one packet.
#[derive(Default)]
pub struct Notes {
    pub lists: Vec<Noted>,
    /// Who the user is after all edits of the request, where it came to a reply.
    pub user_name: Option<Vec<u8>>,
}

/// Decides by the rules of a configuration, and notes.
pub struct Watched {
    configuration: Arc<Configuration>,
    rules: ConfiguredRules,
    notes: Arc<Mutex<Notes>>,
}

impl Watched {
    pub fn new(configuration: &Arc<Configuration>, notes: &Arc<Mutex<Notes>>) -> Watched {
        let rules = ConfiguredRules::new(Arc::clone(configuration));
        Watched { configuration: Arc::clone(configuration), rules, notes: Arc::clone(notes) }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, list: RuleList, rules: Vec<Box<[bool]>>, says: Option<Says>) {
        self.notes().lists.push(Noted { list, rules, says });
    }
}

/// Which conditions held.
fn explain<T>(rules: &Rules<T>, asked: &Asked<'_>, reply: Option<ReplyKind>) -> Vec<Box<[bool]>> {
    rules.explain(asked, reply, &mut Sheet::new(rules.questions()))
}

impl Policy for Watched {
    fn decide<'p>(&'p mut self, asked: &Asked<'_>) -> Verdict<'p> {
        let rules = explain(&self.configuration.server(asked.server()).new, asked, None);
        let Verdict { decision, rule, edits } = self.rules.decide(asked);
        assert!(
            rule.is_none_or(|rule| usize::from(rule) == rules.len()),
            "what decides is what is explained"
        );
        let says = edits.map(|edits| Says::Access(decision, Arc::clone(edits)));
        self.note(RuleList::New, rules, says);
        self.rules.decide(asked)
    }

    /// Never for a packet that is the first, and then as the server does.
    fn continue_with<'p>(&'p mut self, asked: &Asked<'_>) -> OngoingVerdict<'p> {
        self.rules.continue_with(asked)
    }

    fn edit_reply<'p>(&'p mut self, asked: &Asked<'_>, reply: ReplyKind) -> Option<&'p Edit> {
        let rules = explain(&self.configuration.server(asked.server()).reply, asked, Some(reply));
        let says = self.rules.edit_reply(asked, reply).cloned().map(Says::Reply);
        self.note(RuleList::Reply, rules, says);
        self.notes().user_name = asked.attributes.of(number::USER_NAME).next().map(<[u8]>::to_vec);
        self.rules.edit_reply(asked, reply)
    }

    fn account<'p>(&'p mut self, asked: &Asked<'_>) -> Option<AccountingVerdict<'p>> {
        let rules = explain(&self.configuration.server(asked.server()).accounting, asked, None);
        let says = self.rules.account(asked).and_then(|AccountingVerdict { accounting, edits, .. }| {
            Some(Says::Accounting(accounting, Arc::clone(edits?)))
        });
        self.note(RuleList::Accounting, rules, says);
        self.rules.account(asked)
    }

    fn coa<'p>(&'p mut self, asked: &Asked<'_>) -> Option<CoaVerdict<'p>> {
        let rules = explain(&self.configuration.server(asked.server()).coa, asked, None);
        let configuration = &self.configuration;
        let says = self.rules.coa(asked).and_then(|CoaVerdict { decision, edits, .. }| {
            let edits = Arc::clone(edits?);
            let (mut scratch, mut edited) = (Scratch::default(), Vec::new());
            let Configuration { dictionary, clients, client_rules, nases, .. } = &**configuration;
            let attributes =
                edits.request.of_request(dictionary, asked.attributes, &mut scratch, &mut edited);
            let named = match attributes {
                Ok(attributes) => nases.named(clients, client_rules, attributes),
                Err(EditTooLong) => Err(ErrorCause::OtherProxyProcessingError),
            };
            Some(Says::Coa(decision, edits, named))
        });
        self.note(RuleList::Coa, rules, says);
        self.rules.coa(asked)
    }
}
