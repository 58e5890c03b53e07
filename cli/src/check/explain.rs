//! What becomes of one packet, in words for an operator. No secret, password, key or State is among them.

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use ulna_config::{RuleList, Source, durations};
use ulna_core::attributes::{Preset, text};
use ulna_core::authenticate::mac::Mac;
use ulna_core::authenticate::may_be_asked;
use ulna_core::authenticate::mschap::Found;
use ulna_core::authenticate::users::Credential;
use ulna_core::client::Prefix;
use ulna_core::configuration::{Configuration, Packets};
use ulna_core::forward::Pool;
use ulna_core::packet::{Attributes, Code, ErrorCause, Framed, Landmark, Oid};
use ulna_core::policy::{Accounting, CoaDecision, Decision, Edit, Edits, Onward, PolicyFactory, Selector};
use ulna_core::{ClientId, Discard, Seed, ServerId};

use super::client::Claimant;
use super::rehearsal::{Arrival, Rehearsed, rehearse, small, wall_time};
use super::route::Route;
use super::watch::{Noted, Notes, Says, Watched};

/// All that there is to say about one packet.
pub struct Explained<'a> {
    configuration: Arc<Configuration>,
    source: Source,
    arrival: &'a Arrival<'a>,
    notes: Notes,
    rehearsed: Rehearsed,
}

impl<'a> Explained<'a> {
    /// Has the packet decided about.
    pub fn new(configuration: Configuration, source: Source, seed: &Seed, arrival: &'a Arrival<'a>) -> Self {
        let configuration = Arc::new(small(configuration));
        let notes = Arc::new(Mutex::new(Notes::default()));
        let policies: Arc<PolicyFactory> = {
            let notes = Arc::clone(&notes);
            Arc::new(move |_, _, configuration| Box::new(Watched::new(configuration, &notes)))
        };
        let rehearsed = rehearse(&configuration, &policies, seed, arrival);
        let notes = std::mem::take(&mut *notes.lock().unwrap_or_else(PoisonError::into_inner));
        Explained { configuration, source, arrival, notes, rehearsed }
    }

    fn framed(&self) -> Framed<'_> {
        Framed::parse(self.arrival.octets).expect("we wrote it")
    }

    fn server(&self) -> ServerId {
        self.configuration.listeners[usize::from(self.arrival.listener.0)].server
    }

    fn write_arrival(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let framed = self.framed();
        let listener = &self.configuration.listeners[usize::from(self.arrival.listener.0)];
        let kind =
            framed.code().map_or(format!("packet of code {}", framed.code_octet()), |code| code.to_string());
        writeln!(f, "{kind} from {} to {}", self.arrival.from, listener.address)?;
        let names = [
            (Packets::ACCESS, "access"),
            (Packets::ACCOUNTING, "accounting"),
            (Packets::STATUS, "status"),
            (Packets::COA, "coa"),
        ];
        let taken: Vec<_> = names
            .iter()
            .filter(|(kind, _)| listener.packets.contains(*kind))
            .map(|(_, name)| *name)
            .collect();
        writeln!(f, "listener: \"{}\", which takes {}", listener.name, taken.join(", "))?;
        let from = self.arrival.from.ip().to_canonical();
        let path = self.arrival.path(listener.address);
        let claimant = Claimant::of(&self.configuration, path, framed, wall_time());
        let (secrets, require, limit) = match &claimant {
            Claimant::Nobody => {
                return writeln!(
                    f,
                    "client: none, as no network of a [[client]] or [[client_rule]] holds {from}"
                );
            }
            Claimant::Configured(client) => {
                let found = self.configuration.clients.look_up_network(from);
                let (_, length) = found.expect("its network holds that address");
                write!(f, "client: {claimant}, by its network {}", network(from, length))?;
                (&client.secrets, client.require_message_authenticator, client.limit_proxy_state)
            }
            Claimant::Ruled { rule, found: Some((_, secrets)), .. } => {
                write!(f, "client: {claimant}")?;
                (&**secrets, rule.nat || rule.require_message_authenticator, rule.limit_proxy_state)
            }
            Claimant::Ruled { found: None, .. } | Claimant::Unmatched => {
                return writeln!(f, "client: {claimant}");
            }
        };
        let newer = if secrets.iter().count() > 1 { "; under the newer of its two secrets" } else { "" };
        writeln!(f, "{newer}")?;
        let signed =
            if framed.layout().has(Landmark::MessageAuthenticator) { "signed" } else { "not signed" };
        let must = match framed.code() {
            Some(Code::AccessRequest) if require => {
                "Access-Requests of this client must be (`require_message_authenticator`)"
            }
            Some(Code::AccessRequest) if framed.layout().has(Landmark::EapMessage) => {
                "with EAP-Message it must be"
            }
            Some(Code::AccessRequest) if limit && framed.proxy_states().next().is_some() => {
                "with Proxy-State it must be (`limit_proxy_state`)"
            }
            Some(Code::AccessRequest) => "this client need not sign",
            Some(Code::StatusServer) => "Status-Server must be",
            _ => "its Request Authenticator proves the secret",
        };
        writeln!(f, "signature: {signed}; {must}")
    }

    fn write_rules(&self, noted: &Noted, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match noted.list {
            RuleList::New => "rule",
            RuleList::Reply => "reply rule",
            RuleList::Accounting => "accounting rule",
            RuleList::Coa => "coa rule",
            RuleList::Ongoing => "ongoing rule",
            RuleList::Client => "client rule",
        };
        for (number, (held, place)) in
            (1..).zip(noted.rules.iter().zip(self.source.rules(self.server(), noted.list)))
        {
            write!(f, "{name} {number} ({}:{}): ", place.file, place.line)?;
            let failing: Vec<_> = held
                .iter()
                .zip(&place.conditions)
                .filter(|(held, _)| !**held)
                .map(|(_, condition)| format!("`{condition}`"))
                .collect();
            match (&failing[..], &noted.says) {
                ([], Some(says)) => self.write_says(says, place.conditions.is_empty(), f)?,
                ([], None) => writeln!(f, "matches")?,
                ([failing], _) => writeln!(f, "does not match: {failing} does not hold")?,
                (failing, _) => writeln!(f, "does not match: {} do not hold", failing.join(", "))?,
            }
        }
        let matched = noted.says.is_some();
        match noted.list {
            RuleList::New if !matched => writeln!(f, "no rule matches: the request is rejected"),
            RuleList::Accounting if !matched => writeln!(f, "no accounting rule matches"),
            RuleList::Coa if !matched => writeln!(f, "no coa rule matches: the request is refused"),
            RuleList::Reply if !matched && !noted.rules.is_empty() => writeln!(f, "no reply rule matches"),
            RuleList::New
            | RuleList::Ongoing
            | RuleList::Accounting
            | RuleList::Coa
            | RuleList::Reply
            | RuleList::Client => Ok(()),
        }
    }

    fn write_says(&self, says: &Says, always: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matches = if always { "matches, as it has no condition" } else { "matches" };
        match says {
            Says::Access(decision, edits) => {
                let decision = match decision {
                    Decision::Accept => "accept".into(),
                    Decision::Reject => "reject".into(),
                    Decision::AuthenticateUsers => "authenticate by the users".into(),
                    Decision::AuthenticateMac => "authenticate by the devices".into(),
                    Decision::Proxy(onward) => self.forward(*onward),
                };
                writeln!(f, "{matches}: {decision}")?;
                self.write_edits(edits, f)
            }
            Says::Accounting(accounting, edits) => {
                let accounting = match accounting {
                    Accounting::Store => "store".into(),
                    Accounting::Proxy(onward) => self.forward(*onward),
                    Accounting::StoreAndProxy(onward) => format!("store, then {}", self.forward(*onward)),
                    Accounting::Spool(onward) => format!("spool, then {}", self.forward(*onward)),
                    Accounting::StoreAndSpool(onward) => {
                        format!("store, spool, then {}", self.forward(*onward))
                    }
                };
                writeln!(f, "{matches}: {accounting}")?;
                self.write_edits(edits, f)
            }
            Says::Coa(decision, edits, named) => {
                let does = match decision {
                    CoaDecision::Proxy => "forward to the NAS that it names",
                    CoaDecision::Reject => "reject",
                };
                writeln!(f, "{matches}: {does}")?;
                self.write_edits(edits, f)?;
                match decision {
                    CoaDecision::Proxy => self.write_nas(*named, f),
                    CoaDecision::Reject => Ok(()),
                }
            }
            Says::Reply(edit) => {
                writeln!(f, "{matches}")?;
                self.write_edit("reply", edit, f)
            }
        }
    }

    /// Which NAS is named, and where that is.
    fn write_nas(&self, named: Result<ClientId, ErrorCause>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = match named {
            Ok(client) => client,
            Err(ErrorCause::MissingAttribute) => {
                return writeln!(
                    f,
                    "nas: none, as it has no NAS-Identifier, NAS-IP-Address or NAS-IPv6-Address"
                );
            }
            Err(ErrorCause::InvalidRequest) => {
                return writeln!(f, "nas: none, as what should name it has no length that such may have");
            }
            Err(ErrorCause::RequestNotRoutable) => {
                return writeln!(
                    f,
                    "nas: one that a [[client_rule]] admits, and those have no `coa_address`"
                );
            }
            Err(ErrorCause::OtherProxyProcessingError) => {
                return writeln!(f, "nas: none, as no packet would hold what the edits leave");
            }
            Err(_) => {
                return writeln!(
                    f,
                    "nas: none, as it names no [[client]], or more than one, or one by a NAS-Identifier that is not its own"
                );
            }
        };
        let name = self.configuration.clients.client(client).name.escape_debug();
        match self.configuration.nases.hop(client) {
            Some(hop) => writeln!(f, "nas: client \"{name}\" at {}", hop.address),
            None => writeln!(f, "nas: client \"{name}\", which has no `coa_address`"),
        }
    }

    fn forward(&self, onward: Onward) -> String {
        match onward {
            Onward::Pool(pool) => {
                format!("forward to pool \"{}\"", self.configuration.pool(pool).name.escape_debug())
            }
            Onward::ByRealm => "forward by realm".into(),
        }
    }

    /// Where it goes on to, if what a list of rules says is that it does.
    fn route(&self, noted: &Noted) -> Option<Route<'_>> {
        let (configuration, framed) = (&*self.configuration, self.framed());
        match noted.says {
            Some(Says::Access(Decision::Proxy(onward), _)) => {
                Some(Route::of_access(configuration, onward, framed, self.server()))
            }
            Some(Says::Accounting(
                Accounting::Proxy(onward)
                | Accounting::StoreAndProxy(onward)
                | Accounting::Spool(onward)
                | Accounting::StoreAndSpool(onward),
                _,
            )) => Some(Route::of_accounting(configuration, onward, framed)),
            Some(
                Says::Access(
                    Decision::Accept
                    | Decision::Reject
                    | Decision::AuthenticateUsers
                    | Decision::AuthenticateMac,
                    _,
                )
                | Says::Accounting(Accounting::Store, _)
                | Says::Coa(..)
                | Says::Reply(_),
            )
            | None => None,
        }
    }

    /// The pool that it would go on to, whose servers are not there to be asked.
    fn forwarded_to(&self) -> Option<&Pool> {
        let pool = self.notes.lists.iter().find_map(|noted| self.route(noted)?.pool());
        pool.filter(|_| self.rehearsed.forwarded)
    }

    fn write_edits(&self, edits: &Edits, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_edit("request", &edits.request, f)?;
        for (name, value) in &edits.session {
            writeln!(f, "    session: {name} = \"{}\"", value.escape_ascii())?;
        }
        let is_rejected = self.code() == Some(Code::AccessReject);
        let is_authenticated =
            self.notes.lists.iter().any(
                |noted| matches!(&noted.says, Some(Says::Access(decision, _)) if decision.authenticates()),
            );
        if !edits.reply.is_nothing() && is_rejected && is_authenticated {
            return writeln!(f, "    reply: what it sets goes into no reject for wrong credentials");
        }
        self.write_edit("reply", &edits.reply, f)
    }

    fn write_edit(&self, of: &str, edit: &Edit, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |selectors: &[Selector]| -> String {
            let names = selectors.iter().map(|selector| self.name(&selector.oid, selector.tag));
            names.collect::<Vec<_>>().join(", ")
        };
        match &edit.allow {
            Some(allowed) if allowed.is_empty() => writeln!(f, "    {of}: allows nothing")?,
            Some(allowed) => writeln!(f, "    {of}: allows only {}", names(allowed))?,
            None => {}
        }
        if !edit.remove.is_empty() {
            writeln!(f, "    {of}: removes {}", names(&edit.remove))?;
        }
        self.preset(&edit.set).iter().try_for_each(|set| writeln!(f, "    {of}: sets {set}"))
    }

    fn name(&self, oid: &Oid, tag: Option<u8>) -> String {
        let attribute = self.configuration.dictionary.at(oid);
        let name = attribute.map_or(format!("Attr-{oid}"), |attribute| attribute.name().into());
        tag.map_or(name.clone(), |tag| format!("{name}:{tag}"))
    }

    /// Each attribute on its own; of those that are hidden in packets the names.
    fn preset(&self, preset: &Preset) -> Vec<String> {
        let attributes = Attributes::parse(preset.plain()).expect("a configuration writes them whole");
        let plain = text::print(&self.configuration.dictionary, attributes).in_lines().discreet().to_string();
        let hidden = preset.hidden().map(|oid| format!("{}, hidden under the secret", self.name(oid, None)));
        plain.lines().map(Into::into).chain(hidden).collect()
    }

    fn write_credentials(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decision = self.notes.lists.iter().find_map(|noted| match &noted.says {
            Some(Says::Access(decision, _)) => Some(*decision),
            Some(Says::Accounting(..) | Says::Coa(..) | Says::Reply(_)) | None => None,
        });
        let Some(decision) = decision.filter(|decision| decision.authenticates()) else { return Ok(()) };
        let Some(name) = &self.notes.user_name else {
            return writeln!(f, "user: the request names none");
        };
        let fits = self.code() == Some(Code::AccessAccept);
        let shown = name.escape_ascii();
        match decision {
            Decision::AuthenticateMac => {
                let is_known =
                    Mac::parse(name).is_some_and(|mac| self.configuration.devices.look_up(mac).is_some());
                match (is_known, fits) {
                    (false, _) => writeln!(f, "device: \"{shown}\" is not the `mac` of any [[user]]"),
                    (true, true) => {
                        writeln!(f, "device: \"{shown}\" is known, and the request has what devices send")
                    }
                    (true, false) => {
                        writeln!(
                            f,
                            "device: \"{shown}\" is known, but the request has more or else than devices send"
                        )
                    }
                }
            }
            Decision::AuthenticateUsers | Decision::Accept | Decision::Reject | Decision::Proxy(_) => {
                let Some(user) = self.configuration.users.look_up(name) else {
                    return writeln!(f, "user: \"{shown}\" is no [[user]]");
                };
                let known = match &user.credential {
                    Credential::Clear(_) => "a password in clear",
                    Credential::NtHash(_) => "an NT hash",
                    Credential::Argon2(_) => "an Argon2 digest",
                };
                let (with_code, asks) =
                    (user.one_time_code.is_some(), self.code() == Some(Code::AccessChallenge));
                let and_code = if with_code { " and a one-time code" } else { "" };
                let offered = if with_code && !may_be_asked(&self.framed()) {
                    "no User-Password, or not that alone: for a code nobody can be asked but by PAP".into()
                } else {
                    self.offered(&user.credential, fits || asks)
                };
                writeln!(f, "user: \"{shown}\", known by {known}{and_code}; the request has {offered}")?;
                if asks {
                    writeln!(
                        f,
                        "    the code is asked for: as User-Password of a request with the challenge's State"
                    )?;
                }
                let set = if fits { self.preset(&user.reply) } else { Vec::new() };
                set.iter().try_for_each(|set| writeln!(f, "    reply: the user's {set}"))
            }
        }
    }

    /// What the request has to show that it is the user, and whether it does.
    fn offered(&self, credential: &Credential, fits: bool) -> String {
        let framed = self.framed();
        let is_clear = matches!(credential, Credential::Clear(_));
        let is_digest = matches!(credential, Credential::Argon2(_));
        let (offered, is_checked) = match Found::in_request(&framed) {
            Found::Exchange(_) => ("MS-CHAP2-Response", !is_digest),
            Found::Malformed => return "MS-CHAP of a kind that is refused".into(),
            Found::Nothing if framed.value(Landmark::ChapPassword).is_some() => ("CHAP-Password", is_clear),
            Found::Nothing if framed.value(Landmark::UserPassword).is_some() => ("User-Password", true),
            Found::Nothing => return "no password".into(),
        };
        let verdict = match (fits, is_checked) {
            (true, _) => "is right",
            (false, true) => "is wrong",
            (false, false) => "cannot be checked against that",
        };
        format!("{offered}, which {verdict}")
    }

    fn code(&self) -> Option<Code> {
        let (octets, _) = self.rehearsed.reply.as_ref()?;
        Framed::parse(octets).ok()?.code()
    }

    fn write_result(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = self.configuration.accounting.file.as_ref().map(|file| &file.path)
            && !self.rehearsed.records.is_empty()
        {
            write!(f, "would be stored in {path}, one record:\n    {}", self.rehearsed.records)?;
        }
        if self.rehearsed.is_spooled {
            writeln!(f, "would be written into the spool, and sent on from there until it is answered")?;
        }
        if let Some(pool) = self.forwarded_to() {
            let name = pool.name.escape_debug();
            return writeln!(f, "result: forwarded to a server of pool \"{name}\", whose reply is awaited");
        }
        if self.rehearsed.forwarded {
            return writeln!(f, "result: forwarded to that NAS, whose answer is awaited");
        }
        let Some((octets, after)) = &self.rehearsed.reply else {
            let reason = self.rehearsed.discard.expect("what is not answered is discarded by name");
            return writeln!(f, "result: no reply, discarded as `{}`: {}", reason.name(), why(reason));
        };
        let framed = Framed::parse(octets).expect("a reply of ours is well-formed");
        let code = framed.code().expect("a reply of ours has a code");
        write!(f, "result: {code}")?;
        if !after.is_zero() {
            write!(f, ", {} later (`reject_delay`)", durations::display(*after))?;
        }
        f.write_char('\n')?;
        let attributes =
            text::print(&self.configuration.dictionary, framed.attributes()).in_lines().discreet();
        attributes.to_string().lines().try_for_each(|line| writeln!(f, "    {line}"))
    }
}

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_arrival(f)?;
        if !self.notes.lists.is_empty() {
            writeln!(f, "server: \"{}\"", self.configuration.server(self.server()).name)?;
        }
        for noted in &self.notes.lists {
            // The user is looked for between the rules for requests and those for replies.
            if noted.list == RuleList::Reply {
                self.write_credentials(f)?;
            }
            self.write_rules(noted, f)?;
            if let Some(route) = self.route(noted) {
                write!(f, "{route}")?;
            }
        }
        self.write_result(f)
    }
}

/// The network of this many bits that holds an address.
fn network(address: IpAddr, length: u8) -> Prefix {
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let mask = u128::MAX.checked_shl(u32::from(bits - length)).unwrap_or(0);
    let address = match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & mask as u32).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & mask).into(),
    };
    Prefix::new(address, length).expect("no bit is set behind them")
}

/// What an operator can do about it, for those that one packet of ours can meet.
fn why(reason: Discard) -> &'static str {
    match reason {
        Discard::UnknownClient => "there is no [[client]] and no [[client_rule]] for this address",
        Discard::NoClientRule => "no [[client_rule]] for this address matches it",
        Discard::NoLookUpKey => "it has not the attribute that its client rule looks up by",
        Discard::ClientDenied => "the table has no such key",
        Discard::LookUpFailed => "the table could not be asked",
        Discard::UnsignedStranger | Discard::UnsignedBehindNat => {
            "it is not signed, and who is known by a rule, or by the connection alone, must sign"
        }
        Discard::UnknownCode => "no server takes packets of this code",
        Discard::UnexpectedCode => "the listener does not take such packets (`packets`)",
        Discard::MessageAuthenticatorRequired => "it is not signed, and this client must sign",
        Discard::UnsignedStatusServer => "it is not signed, and Status-Server must be",
        Discard::UnsignedEap => "it is not signed, and with EAP-Message it must be",
        Discard::UnsignedProxyState => "it is not signed, and with Proxy-State it must be",
        Discard::NoAccountingRule => "no [[server.accounting]] rule stores or forwards it",
        Discard::NoRoute => "it is to be forwarded, and no pool is known where to",
        Discard::ForwardTooLong => "on its way on it would pass 4096 octets",
        Discard::ForwardLoop => "it has been here before",
        Discard::NoCoaClient => "CoA and Disconnect are taken from a [[client]] only",
        Discard::EventTimestampOutside => "its Event-Timestamp is outside `event_timestamp_window`",
        Discard::NoEventTimestamp => "it has no Event-Timestamp (`require_event_timestamp`)",
        Discard::AnsweredElsewhere => "it came by another connection, too",
        Discard::BadHiddenAttribute => "an attribute that is hidden has no length that such may have",
        Discard::ReplyTooLong => "its reply would pass 4096 octets",
        Discard::EditTooLong => "what the rule makes of the request or session finds no room",
        Discard::RecordTooLong => "its record would be too long",
        Discard::ConnectionClosed => "its connection was closed before it was answered",
        Discard::StrangerGone => "its connection was closed before it was known whose it is",
        Discard::DelayedRejectsFull => "`delayed_rejects_max` allows no reject to wait",
        Discard::BadAttribute
        | Discard::SeveralMessageAuthenticators
        | Discard::BadMessageAuthenticatorLength
        | Discard::SeveralStates => "its attributes are not well-formed",
        Discard::BadMessageAuthenticator | Discard::BadRequestAuthenticator => "it does not verify",
        Discard::TooShort
        | Discard::BadLength
        | Discard::Truncated
        | Discard::WorkerFull
        | Discard::WorkerFullAccounting
        | Discard::WorkerFullOngoing
        | Discard::NoBuffer
        | Discard::DedupFull
        | Discard::TransmitQueueFull
        | Discard::StrayRingFull
        | Discard::TooOld
        | Discard::WaitedTooLong
        | Discard::ClientTooFast
        | Discard::StrangersTooFast
        | Discard::StrangersFull
        | Discard::StrangerWaited
        | Discard::LookUpLimit
        | Discard::LookUpLineFull
        | Discard::LookUpTimedOut
        | Discard::HeldDuplicate
        | Discard::HeldFull
        | Discard::ClientsFull
        | Discard::ConnectionsFull
        | Discard::AddressesFull
        | Discard::Replayed
        | Discard::ReplyNotKept
        | Discard::EffectTimedOut
        | Discard::HashLineFull
        | Discard::StoreLineFull
        | Discard::NotStored
        | Discard::SpoolLineFull
        | Discard::SpoolFull
        | Discard::NotSpooled
        | Discard::NoAnswer
        | Discard::NoServerAlive
        | Discard::OutstandingFull
        | Discard::NoSocket => "docs/configuration.md has what that means",
    }
}
