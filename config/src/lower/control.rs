//! `[control]`: the socket by which a server that runs is asked, and told what to do.

use crate::document::Report;
use crate::keys;
use crate::section::Section;
use std::time::Duration;
use ulna_core::configuration::{ControlSettings, ControlSocket};

/// A path in a socket's address has no more, with the octet that ends it (unix(7)); and it is bound beside itself first.
const PATH_OCTETS_MAX: usize = 108 - 1 - ".new".len();
const PATIENCE_MIN: Duration = Duration::from_secs(1);
const PATIENCE_MAX: Duration = Duration::from_secs(86_400);

/// The path of the socket is relative to the file that names it.
pub fn control(file: &Section<'_>, report: &mut Report) -> ControlSettings {
    let mut control = ControlSettings::default();
    let Some(section) = file.table("control", &keys::CONTROL, report) else { return control };
    let mode = mode(&section, report);
    let group = if section.value("group").is_some() { section.name("group", report) } else { None };
    if let Some(path) = section.name("socket", report) {
        let span = path.span();
        let path = report.path(&span, path.get_ref()).display().to_string();
        if path.len() > PATH_OCTETS_MAX {
            let octets = path.len();
            report
                .error(span, format!("a path of {octets} octets: a socket's has at most {PATH_OCTETS_MAX}"));
        }
        let group = group.map(|group| (*group.get_ref()).into());
        control.socket = Some(ControlSocket { path: path.into(), mode, group });
    }
    if let Some(connections) = section.integer("connections_max", 1..=4_096, report) {
        control.connections_max = connections;
    }
    if let Some(octets) = section.integer("buffer_octets", 10 * 1024..=16 * 1024 * 1024, report) {
        control.size.octets_max = octets;
    }
    if let Some(mark) = section.integer("mark", 1..=100, report) {
        control.size.mark = mark as u8;
    }
    if let Some(patience) = section.duration("patience", PATIENCE_MIN..=PATIENCE_MAX, report) {
        control.patience = patience;
    }
    control
}

/// As chmod(1) takes it, in octal digits.
fn mode(section: &Section<'_>, report: &mut Report) -> u32 {
    const DEFAULT: u32 = 0o660;
    let Some(value) = section.value("mode") else { return DEFAULT };
    let digits = value.get_ref().as_str().filter(|text| (3..=4).contains(&text.len()));
    let mode = digits.and_then(|digits| u32::from_str_radix(digits, 8).ok()).filter(|mode| *mode <= 0o777);
    mode.unwrap_or_else(|| {
        section.refuse("mode", "permissions in octal digits such as \"0660\"", value, report);
        DEFAULT
    })
}
