//! `[accounting]`: where records are stored.

use crate::document::Report;
use crate::keys;
use crate::section::Section;
use std::time::Duration;
use ulna_core::accounting::Rotation;
use ulna_core::configuration::{AccountingFile, AccountingSettings};

/// Octets of records that may wait, if nothing is said: some twenty thousand records.
const LINE_OCTETS_MAX: usize = 16 * 1024 * 1024;
const GIBIBYTE: usize = 1 << 30;
const MEBIBYTE: usize = 1 << 20;

/// The path of the records is relative to the file that names it.
pub fn accounting(file: &Section<'_>, report: &mut Report) -> AccountingSettings {
    let section = file.table("accounting", &keys::ACCOUNTING, report);
    let section = section.and_then(|section| section.table("file", &keys::ACCOUNTING_FILE, report));
    AccountingSettings { file: section.and_then(|section| accounting_file(&section, report)) }
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
