//! Which files a configuration is made of: the one that was named, and those that `include` leads to.
//!
//! Patterns are relative to the folder of the file that has them; what they match comes in the order of the names, each
//! file followed by what it includes itself. Depth, count and size are bounded, and no file comes twice.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::shown;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

/// Deeper than anybody nests files on purpose.
const DEPTH_MAX: usize = 8;
/// Files in all.
const FILES_MAX: usize = 1_024;
/// Octets in all files: some million clients.
const OCTETS_MAX: usize = 256 << 20;

/// One file.
pub struct TextFile {
    /// For messages: as it was named, or found.
    pub name: String,
    /// Holds secrets.
    pub text: Zeroizing<String>,
    /// What stands in this file begins here among all that stands in any.
    pub base: usize,
}

/// All files, and what is wrong with how they include each other. Places count through all files.
#[derive(Default)]
pub struct Included {
    pub files: Vec<TextFile>,
    pub errors: Vec<(Range<usize>, String)>,
    pub warnings: Vec<(Range<usize>, String)>,
    /// Those of the files that exist.
    seen: Vec<PathBuf>,
    octets: usize,
}

/// Reads what this text of a file includes.
pub fn gather(name: &str, text: &str) -> Included {
    let mut included = Included::default();
    let path = fs::canonicalize(name).ok();
    included.seen.extend(path.clone());
    included.add(name.into(), Zeroizing::new(text.into()));
    included.follow(0, &mut Vec::from_iter(path));
    included
}

impl Included {
    fn add(&mut self, name: String, text: Zeroizing<String>) -> usize {
        // One more than it has, so that the end of a file is no place of the next.
        let base = self.octets;
        self.octets += text.len() + 1;
        self.files.push(TextFile { name, text, base });
        self.files.len() - 1
    }

    /// Reads what the file at this place includes. `way` leads from the first file to it.
    fn follow(&mut self, place: usize, way: &mut Vec<PathBuf>) {
        let file = &self.files[place];
        let folder = Path::new(&file.name).parent().unwrap_or(Path::new("")).to_path_buf();
        for (span, pattern) in patterns(file) {
            let found = match pattern.ok_or_else(|| PATTERNS.into()).and_then(|text| matching(&folder, &text))
            {
                Ok(found) => found,
                Err(why) => {
                    self.errors.push((span, why));
                    continue;
                }
            };
            if found.is_empty() {
                self.warnings.push((span.clone(), "`include` matches no file here".into()));
            }
            for path in found {
                let Err(why) = self.include(&path, way) else { continue };
                self.errors.push((span.clone(), format!("`{}` {why}", shown::path(&path))));
                // All that follow would be told the same.
                if self.files.len() >= FILES_MAX {
                    return;
                }
            }
        }
    }

    fn include(&mut self, path: &Path, way: &mut Vec<PathBuf>) -> Result<(), String> {
        let real = fs::canonicalize(path).map_err(|error| format!("cannot be read: {error}"))?;
        if way.contains(&real) {
            return Err("includes itself".into());
        }
        if self.seen.contains(&real) {
            return Err("is included twice".into());
        }
        if way.len() > DEPTH_MAX {
            return Err(format!("is included too deep: at most {DEPTH_MAX} files lead to it"));
        }
        if self.files.len() >= FILES_MAX {
            return Err(format!("is one too many: a configuration has at most {FILES_MAX} files"));
        }
        let text = read(&real, OCTETS_MAX - self.octets.min(OCTETS_MAX))?;
        self.seen.push(real.clone());
        let place = self.add(path.display().to_string(), text);
        way.push(real);
        self.follow(place, way);
        way.pop();
        Ok(())
    }
}

/// What `include` has in this file, each with its place among all files; `None` for what is no pattern. A file that is
/// not TOML includes nothing: that is reported where it is read for good.
fn patterns(file: &TextFile) -> Vec<(Range<usize>, Option<String>)> {
    // Most files include nothing, and are not read twice for it. A backslash may write the key in another way.
    if !file.text.contains("include") && !file.text.contains('\\') {
        return Vec::new();
    }
    let (root, _) = DeTable::parse_recoverable(&file.text);
    let Some((key, value)) = root.get_ref().iter().find(|(key, _)| *key.get_ref() == "include") else {
        return Vec::new();
    };
    let place = |span: Range<usize>| file.base + span.start..file.base + span.end;
    let pattern = |value: &Spanned<DeValue<'_>>| {
        let text = value.get_ref().as_str().filter(|text| !text.is_empty());
        (place(value.span()), text.map(Into::into))
    };
    match value.get_ref().as_array() {
        Some(values) => values.iter().map(pattern).collect(),
        None => vec![(place(key.span()), None)],
    }
}

const PATTERNS: &str = "`include` must be an array of files such as [\"conf.d/*.toml\"]";

/// The files that a pattern names, in order. `*` and `?` stand in the last part only, and match no name that begins with
/// a dot: editors and package managers leave such files behind.
fn matching(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let path = folder.join(pattern);
    let (Some(parent), Some(last)) =
        (path.parent(), pattern.rsplit('/').next().filter(|last| !last.is_empty()))
    else {
        return Err(PATTERNS.into());
    };
    let before = &pattern[..pattern.len() - last.len()];
    if before.contains(['*', '?']) {
        return Err("`include` has `*` and `?` in the last part of a path only".into());
    }
    if !last.contains(['*', '?']) {
        return Ok(vec![path]);
    }
    let read = fs::read_dir(if parent == Path::new("") { Path::new(".") } else { parent });
    let entries = read.and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let entries = entries.map_err(|error| format!("`{}` cannot be read: {error}", shown::path(parent)))?;
    let mut names: Vec<_> = entries.iter().map(fs::DirEntry::file_name).collect();
    names.retain(|name| name.to_str().is_some_and(|name| matches(last, name)));
    names.sort_unstable();
    Ok(names.iter().map(|name| parent.join(name)).collect())
}

/// Whether a name is one of those that a pattern means: `*` any run of characters, `?` any one.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut in_name) = (0, 0);
    // Where the last `*` stands, and how far its run reaches.
    let mut star = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            Some(_) | None => {
                let Some((place, reach)) = star else { return false };
                star = Some((place, reach + 1));
                at = place + 1;
                in_name = reach + 1;
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

fn read(path: &Path, octets_max: usize) -> Result<Zeroizing<String>, String> {
    let failed = |error: std::io::Error| format!("cannot be read: {error}");
    let metadata = fs::metadata(path).map_err(failed)?;
    // Nobody knows when a pipe ends.
    if !metadata.is_file() {
        return Err("is no file".into());
    }
    if metadata.len() > octets_max as u64 {
        return Err(format!("is too large: all files together have at most {OCTETS_MAX} octets"));
    }
    let octets = fs::read(path).map_err(failed)?;
    String::from_utf8(octets).map(Zeroizing::new).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        drop(Zeroizing::new(error.into_bytes()));
        format!("is not UTF-8: the octet at offset {place} begins no character")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        for (pattern, name) in [
            ("*.toml", "a.toml"),
            ("*.toml", "a.b.toml"),
            ("a*b*c", "abbbc"),
            ("a*b*c", "a-b-b-c"),
            ("?.toml", "ä.toml"),
            ("*", "a"),
            (".*", ".a"),
            ("a**", "a"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.toml", "a.toml~"),
            ("*.toml", ".a.toml"),
            ("?.toml", "ab.toml"),
            ("?", ""),
            ("a*b", "ac"),
            ("a", "ab"),
            ("[a]", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
