//! `one_time_code` of a `[[user]]`: the seed of the codes, and how the device makes them.
//!
//! What stands in it by mistake may be the seed: no message shows what was found.

use crate::document::Report;
use crate::durations;
use crate::keys;
use crate::secret_source;
use crate::section::{Section, integer};
use std::ops::Range;
use std::time::Duration;
use toml::de::DeValue;
use ulna_core::authenticate::one_time_code::{Algorithm, DIGITS, Device, OneTimeCode, PERIOD_SECONDS};

/// The codes of a user who has some.
pub fn one_time_code(user: &Section<'_>, report: &mut Report) -> Option<OneTimeCode> {
    let key = "one_time_code";
    if let DeValue::Table(table) = user.value(key)?.get_ref() {
        let names = table.keys().map(|name| &**name.get_ref());
        let unknown: Vec<&str> = names.filter(|name| !keys::ONE_TIME_CODE.built.contains(name)).collect();
        if !unknown.is_empty() {
            let nearest =
                |name| ulna_core::dictionary::nearest(name, keys::ONE_TIME_CODE.built.iter().copied());
            let meant = unknown.into_iter().find_map(nearest);
            let meant = meant.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
            let place = user.key_span(key).unwrap_or(user.span());
            let message =
                format!("`{key}` has `totp`, `algorithm`, `digits` and `period`, found another key{meant}");
            report.error(place, message);
            return None;
        }
    }
    let section = user.table(key, &keys::ONE_TIME_CODE, report)?;
    let device = device(&section, report);
    let Some(value) = section.value("totp") else {
        report.error(section.span(), format!("missing key `totp` in `{key}`"));
        return None;
    };
    let place = section.key_span("totp").unwrap_or(value.span());
    let expected = format!("a seed in base32: {}", secret_source::EXPECTED);
    let seed = secret_source::read("totp", &expected, value, &place, &[], report)?;
    // What is no UTF-8 is no base32 either.
    let code = OneTimeCode::new(str::from_utf8(&seed).unwrap_or("?"), device?);
    code.map_err(|error| report.error(place, format!("the seed {error}"))).ok()
}

/// How its device makes codes; `None` if that was reported.
fn device(section: &Section<'_>, report: &mut Report) -> Option<Device> {
    let mut refuse = |key: &str, place: Range<usize>, expected: String| {
        report.error(place, format!("`{key}` must be {expected}"));
    };
    let (mut device, mut is_right) = (Device::default(), true);
    if let Some(value) = section.value("algorithm") {
        match value.get_ref().as_str() {
            Some("sha1") => device.algorithm = Algorithm::Sha1,
            Some("sha256") => device.algorithm = Algorithm::Sha256,
            Some("sha512") => device.algorithm = Algorithm::Sha512,
            Some(_) | None => {
                is_right = false;
                refuse("algorithm", value.span(), "\"sha1\", \"sha256\" or \"sha512\"".into());
            }
        }
    }
    if let Some(value) = section.value("digits") {
        let digits = integer(value.get_ref()).and_then(|digits| u8::try_from(digits).ok());
        match digits.filter(|digits| DIGITS.contains(&usize::from(*digits))) {
            Some(digits) => device.digits = digits,
            None => {
                is_right = false;
                refuse("digits", value.span(), format!("from {} to {}", DIGITS.start(), DIGITS.end()));
            }
        }
    }
    if let Some(value) = section.value("period") {
        let period = value.get_ref().as_str().and_then(durations::parse);
        let whole = period.filter(|period| period.subsec_nanos() == 0).map(|period| period.as_secs());
        match whole.filter(|seconds| PERIOD_SECONDS.contains(seconds)) {
            Some(seconds) => device.period_seconds = seconds,
            None => {
                is_right = false;
                let [least, most] = [PERIOD_SECONDS.start(), PERIOD_SECONDS.end()]
                    .map(|seconds| durations::display(Duration::from_secs(*seconds)));
                refuse("period", value.span(), format!("whole seconds from \"{least}\" to \"{most}\""));
            }
        }
    }
    is_right.then_some(device)
}
