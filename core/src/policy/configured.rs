//! The virtual servers of a configuration, as policy.

use super::{
    Accounting, AccountingVerdict, Asked, CoaDecision, CoaVerdict, Decision, Edit, Edits, OngoingDecision,
    OngoingVerdict, Policy, ReplyKind, Rules, ServerId, Sheet, Verdict,
};
use crate::configuration::Configuration;
use crate::generation::{Generation, Generations};
use alloc::boxed::Box;
use alloc::sync::Arc;

/// A set of rules that listeners name.
#[derive(Debug, Clone)]
pub struct VirtualServer {
    /// The operator's name for it, unique.
    pub name: Box<str>,
    /// What to do with a new request.
    pub new: Rules<NewRule>,
    /// What to do with a request of a conversation that has been decided about.
    pub ongoing: Rules<OngoingRule>,
    /// Whose `ongoing` rules are asked instead.
    pub ongoing_server: Option<ServerId>,
    /// What to change in a reply.
    pub reply: Rules<Edit>,
    /// What to do with accounting.
    pub accounting: Rules<AccountingRule>,
    /// What to do with CoA and Disconnect.
    pub coa: Rules<CoaRule>,
}

/// What a rule does with an Access-Request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRule {
    /// What is to become of it.
    pub decision: Decision,
    /// What is changed.
    pub edits: Arc<Edits>,
}

/// What a rule does with a request of a conversation that has been decided about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OngoingRule {
    /// What is to become of it.
    pub decision: OngoingDecision,
    /// What is changed.
    pub edits: Arc<Edits>,
}

/// What a rule does with an Accounting-Request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountingRule {
    /// What is to become of it.
    pub accounting: Accounting,
    /// What is changed.
    pub edits: Arc<Edits>,
}

/// What a rule does with a CoA- or Disconnect-Request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoaRule {
    /// What is to become of it.
    pub decision: CoaDecision,
    /// What is changed.
    pub edits: Arc<Edits>,
}

/// Decides by the rules of the virtual server that the request's listener names. Where none matches, an Access-Request is
/// rejected, so that it never hangs, CoA and Disconnect are refused; accounting is discarded by name.
pub struct ConfiguredRules {
    generations: Generations,
    sheet: Sheet,
    /// How many questions the sheet has room for.
    questions: usize,
}

impl VirtualServer {
    /// Questions about attributes that its longest list asks.
    fn questions(&self) -> usize {
        let VirtualServer { new, ongoing, reply, accounting, coa, .. } = self;
        let all = [
            new.questions(),
            ongoing.questions(),
            reply.questions(),
            accounting.questions(),
            coa.questions(),
        ];
        all.into_iter().max().unwrap_or_default()
    }
}

impl ConfiguredRules {
    /// One worker's, with all the memory that they will ever need.
    pub fn new(configuration: Arc<Configuration>) -> ConfiguredRules {
        ConfiguredRules::from(Generation::default(), configuration)
    }

    /// The same in a worker that begins when the server has had other configurations before this one.
    pub fn from(generation: Generation, configuration: Arc<Configuration>) -> ConfiguredRules {
        let questions = questions(&configuration);
        ConfiguredRules {
            generations: Generations::from(generation, configuration),
            sheet: Sheet::new(questions),
            questions,
        }
    }
}

fn questions(configuration: &Configuration) -> usize {
    configuration.servers.iter().map(VirtualServer::questions).max().unwrap_or_default()
}

/// A rule's number as an operator counts.
fn numbered(place: usize) -> Option<u16> {
    u16::try_from(place + 1).ok()
}

impl Policy for ConfiguredRules {
    fn decide<'p>(&'p mut self, asked: &Asked<'_>) -> Verdict<'p> {
        let ConfiguredRules { generations, sheet, .. } = self;
        let configuration = generations.of(asked.generation);
        match configuration.server(asked.server()).new.first_match(asked, None, sheet) {
            Some((place, NewRule { decision, edits })) => {
                Verdict { decision: *decision, rule: numbered(place), edits: Some(edits) }
            }
            None => Verdict::plain(Decision::Reject),
        }
    }

    fn continue_with<'p>(&'p mut self, asked: &Asked<'_>) -> OngoingVerdict<'p> {
        let ConfiguredRules { generations, sheet, .. } = self;
        let configuration = generations.of(asked.generation);
        let server = configuration.server(asked.server());
        let server = server.ongoing_server.map_or(server, |other| configuration.server(other));
        match server.ongoing.first_match(asked, None, sheet) {
            Some((place, OngoingRule { decision, edits })) => {
                OngoingVerdict { decision: *decision, rule: numbered(place), edits: Some(edits) }
            }
            None => OngoingVerdict::CONTINUE,
        }
    }

    fn edit_reply<'p>(&'p mut self, asked: &Asked<'_>, reply: ReplyKind) -> Option<&'p Edit> {
        let ConfiguredRules { generations, sheet, .. } = self;
        let configuration = generations.of(asked.generation);
        let rules = &configuration.server(asked.server()).reply;
        rules.first_match(asked, Some(reply), sheet).map(|(_, edit)| edit)
    }

    fn account<'p>(&'p mut self, asked: &Asked<'_>) -> Option<AccountingVerdict<'p>> {
        let ConfiguredRules { generations, sheet, .. } = self;
        let configuration = generations.of(asked.generation);
        let rules = &configuration.server(asked.server()).accounting;
        let (place, AccountingRule { accounting, edits }) = rules.first_match(asked, None, sheet)?;
        Some(AccountingVerdict { accounting: *accounting, rule: numbered(place), edits: Some(edits) })
    }

    fn coa<'p>(&'p mut self, asked: &Asked<'_>) -> Option<CoaVerdict<'p>> {
        let ConfiguredRules { generations, sheet, .. } = self;
        let configuration = generations.of(asked.generation);
        let rules = &configuration.server(asked.server()).coa;
        let (place, CoaRule { decision, edits }) = rules.first_match(asked, None, sheet)?;
        Some(CoaVerdict { decision: *decision, rule: numbered(place), edits: Some(edits) })
    }

    fn handle_configuration(&mut self, generation: Generation, configuration: &Arc<Configuration>) {
        // The sheet serves the rules of both, and is never made smaller.
        let questions = questions(configuration);
        if questions > self.questions {
            self.questions = questions;
            self.sheet = Sheet::new(questions);
        }
        self.generations.learn(generation, Arc::clone(configuration));
    }

    fn forget_older(&mut self) {
        self.generations.forget_older();
    }
}
