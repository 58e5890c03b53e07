//! Tables of secrets by key, `"site-7" = { secret = "…", name = "…" }`: files of their own, read with the configuration and again
//! whenever they change.

use crate::document::Report;
use crate::documents::Documents;
use crate::error::{ConfigErrors, Warnings};
use crate::include::TextFile;
use crate::keys;
use crate::lower::secrets;
use crate::section::{Section, kind};
use crate::shown;
use std::path::Path;
use std::sync::Arc;
use toml::Spanned;
use toml::de::DeValue;
use ulna_core::client::{SecretEntry, SecretTable};
use zeroize::Zeroizing;

/// Far more than a million clients need.
const FILE_OCTETS_MAX: u64 = 1 << 30;

/// Reads a table.
///
/// # Errors
/// That the file cannot be read or is not UTF-8, or everything that is wrong with it.
pub fn load_secret_table(path: &Path) -> Result<(SecretTable, Warnings), ConfigErrors> {
    let name = path.display().to_string();
    let unreadable = |message: String| ConfigErrors::unreadable(&name, message);
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    if !metadata.is_file() {
        return Err(unreadable("is no file".into()));
    }
    if metadata.len() > FILE_OCTETS_MAX {
        return Err(unreadable(format!("has more than {FILE_OCTETS_MAX} octets")));
    }
    let octets = std::fs::read(path).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    let text = String::from_utf8(octets).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        drop(Zeroizing::new(error.into_bytes()));
        unreadable(format!("is not UTF-8: the octet at offset {place} begins no character"))
    })?;
    parse(&name, Zeroizing::new(text))
}

fn parse(name: &str, text: Zeroizing<String>) -> Result<(SecretTable, Warnings), ConfigErrors> {
    let files = [TextFile { name: name.into(), text, base: 0 }];
    let documents = Documents::new(&files);
    let mut report = Report::default();
    report.begin_file(0, name);
    let root = documents.parse(&mut report)?;
    // Whatever stands here may be a secret.
    root.get_ref().values().for_each(|value| report.mask(value));
    let mut entries = std::collections::BTreeMap::new();
    for (key, value) in root.get_ref() {
        if let Some(entry) = entry(key, value, &mut report) {
            entries.insert(key.get_ref().as_bytes().into(), entry);
        }
    }
    let (errors, warnings, _) = report.finish(&documents);
    if errors.is_empty() {
        Ok((SecretTable { source: Arc::from(name), entries }, warnings))
    } else {
        Err(errors)
    }
}

fn entry(
    key: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
    report: &mut Report,
) -> Option<SecretEntry> {
    let shown = shown::key(key);
    if key.get_ref().is_empty() || key.get_ref().len() > KEY_OCTETS_MAX {
        report.error(key.span(), format!("`{shown}`: a key has 1 to {KEY_OCTETS_MAX} octets"));
        return None;
    }
    let DeValue::Table(table) = value.get_ref() else {
        let found = kind(value.get_ref());
        report.error(key.span(), format!("`{shown}` must be {{ secret = …, name = … }}, found {found}"));
        return None;
    };
    // What is unknown in it is masked where the table is opened.
    let section = Section::open(&keys::SECRET_TABLE, table, key.span(), report);
    let secrets = secrets(&section, report)?;
    let name = match section.value("name") {
        Some(_) => section.name("name", report)?.into_inner().into(),
        None => (**key.get_ref()).into(),
    };
    Some(SecretEntry { name, secrets })
}

/// What an attribute holds.
const KEY_OCTETS_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use ulna_core::effect::LookedUp;

    fn parsed(text: &str) -> Result<SecretTable, String> {
        let parsed = parse("sites.toml", Zeroizing::new(text.into()));
        parsed.map(|(table, _)| table).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_key_has_a_secret_and_is_its_name_if_there_is_no_other() {
        let table = parsed(
            "\"site-7\" = { secret = \"xyzzy5461xyzzy5461\", name = \"Main Street\" }\n\
             site-8 = { secret = [\"a new one of 16 octets\", \"an old one of 16 octets\"] }\n",
        )
        .expect("a table");
        let LookedUp::Found { name, .. } = table.look_up(b"site-7") else { panic!("it is there") };
        assert_eq!(&*name, "Main Street");
        let LookedUp::Found { name, secrets } = table.look_up(b"site-8") else { panic!("it is there") };
        assert_eq!((&*name, secrets.iter().count()), ("site-8", 2));
        assert!(matches!(table.look_up(b"site-9"), LookedUp::NotFound));
    }

    #[test]
    fn what_is_wrong_is_reported_and_no_secret_shown() {
        for (text, expected) in [
            (
                "site-7 = \"hunter2\"\n",
                "sites.toml:1:1: `site-7` must be { secret = …, name = … }, found a text",
            ),
            ("site-7 = { }\n", "sites.toml:1:1: missing key `secret` in a table of secrets"),
            ("site-7 = { secret = \"\" }\n", "sites.toml:1:12: `secret` must not be empty"),
            ("site-7 = { sceret = \"hunter2\" }\n", "unknown key `sceret` in a table of secrets"),
            ("site-7 = { secret = { table = \"hunter2\" } }\n", "a `secret` from a table with keys is for"),
            ("site-7 = { secret = 5 }\nsite-7 = { secret = 6 }\n", "sites.toml:2:1: not TOML: "),
            ("\"\" = { secret = \"hunter2\" }\n", "a key has 1 to 1024 octets"),
        ] {
            let errors = parsed(text).expect_err(text);
            assert!(errors.contains(expected) && !errors.contains("hunter2"), "{text}: {errors}");
        }
    }

    #[test]
    fn changes_are_told_by_key() {
        let [before, after] = [
            "a = { secret = \"1\" }\nb = { secret = \"2\" }\nc = { secret = \"3\" }\n",
            "a = { secret = \"1\" }\nb = { secret = \"4\" }\nd = { secret = \"3\" }\n",
        ]
        .map(|text| parsed(text).expect("a table"));
        let changed = after.changed_since(&before);
        assert_eq!(changed.iter().map(|key| &**key).collect::<Vec<_>>(), [b"b", b"c", b"d"]);
        assert!(after.changed_since(&after).is_empty());
    }
}
