//! `[accounting]`: where records are stored, and from where they are sent on.

use crate::document::Report;
use crate::keys;
use crate::lower::server::has;
use crate::section::Section;
use std::time::Duration;
use ulna_core::accounting::Rotation;
use ulna_core::configuration::{AccountingFile, AccountingSettings, SpoolSettings};
use ulna_core::policy::{Accounting, VirtualServer};

/// Octets of records that may wait, if nothing is said: some twenty thousand records.
const LINE_OCTETS_MAX: usize = 16 * 1024 * 1024;
const GIBIBYTE: usize = 1 << 30;
const MEBIBYTE: usize = 1 << 20;

/// The path of the records is relative to the file that names it.
pub fn accounting(file: &Section<'_>, report: &mut Report) -> AccountingSettings {
    let Some(section) = file.table("accounting", &keys::ACCOUNTING, report) else {
        return AccountingSettings::default();
    };
    let spool = section.table("spool", &keys::ACCOUNTING_SPOOL, report);
    if let Some(spool) = &spool
        && !has(file, "runtime", "state_directory")
    {
        let message = "[accounting.spool] needs a `state_directory` in [runtime]: the spool is there";
        report.error(spool.span(), message.into());
    }
    let section = section.table("file", &keys::ACCOUNTING_FILE, report);
    AccountingSettings {
        file: section.and_then(|section| accounting_file(&section, report)),
        spool: spool.map(|spool| accounting_spool(&spool, report)),
    }
}

/// Whether some rule spools. Then there is a spool, also where nothing more is said of it.
pub fn is_spooled(servers: &[VirtualServer]) -> bool {
    let mut rules = servers.iter().flat_map(|server| server.accounting.iter());
    rules.any(|rule| match rule.accounting {
        Accounting::Spool(_) | Accounting::StoreAndSpool(_) => true,
        Accounting::Store | Accounting::Proxy(_) | Accounting::StoreAndProxy(_) => false,
    })
}

fn accounting_spool(section: &Section<'_>, report: &mut Report) -> SpoolSettings {
    let mut spool = SpoolSettings::default();
    for (key, bounds, octets) in [
        // A batch is taken whole or not at all: the least is several of them.
        ("octets_max", MEBIBYTE..=GIBIBYTE.saturating_mul(16), &mut spool.octets_max),
        ("line_octets_max", 65_536..=GIBIBYTE, &mut spool.line_octets_max),
    ] {
        if let Some(said) = section.integer(key, bounds, report) {
            *octets = said;
        }
    }
    if let Some(records) = section.integer("outstanding_max", 1..=4_096, report) {
        spool.outstanding_max = records as u32;
    }
    spool
}

fn accounting_file(section: &Section<'_>, report: &mut Report) -> Option<AccountingFile> {
    let rotation = Rotation {
        octets: section
            .integer("rotate_octets", MEBIBYTE..=GIBIBYTE.saturating_mul(1024), report)
            .map(|octets| octets as u64),
        every: rotate_every(section, report),
    };
    let line_octets_max =
        section.integer("line_octets_max", 65_536..=GIBIBYTE, report).unwrap_or(LINE_OCTETS_MAX);
    let path = section.name("path", report)?;
    let path = report.path(&path.span(), path.get_ref()).display().to_string().into();
    Some(AccountingFile { path, rotation, line_octets_max })
}

/// Whole seconds: files are cut at multiples of it, by the clock on the wall.
fn rotate_every(section: &Section<'_>, report: &mut Report) -> Option<Duration> {
    const RANGE: std::ops::RangeInclusive<Duration> =
        Duration::from_secs(60)..=Duration::from_secs(366 * 86_400);
    let every = section.duration("rotate_every", RANGE, report)?;
    if every.subsec_nanos() != 0 {
        let value = section.value("rotate_every")?;
        section.refuse("rotate_every", "whole seconds", value, report);
        return None;
    }
    Some(every)
}
