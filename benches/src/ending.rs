//! How a benchmark ends: with the exit code of a program that could be used so, did what it measures, and did it well.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Why a benchmark has nothing to show.
#[derive(Debug)]
pub enum Failure {
    /// It was told what it does not understand.
    Usage(String),
    /// The machine refused something.
    Io(io::Error),
}

impl From<String> for Failure {
    fn from(sentence: String) -> Failure {
        Failure::Usage(sentence)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

/// The exit code of this benchmark: 0 if all was well, 1 if a reply was wrong, none came or it could not run, 2 for wrong usage.
pub fn end(benchmark: &str, ran: Result<bool, Failure>) -> ExitCode {
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("{benchmark}: not all was answered as it should be");
            ExitCode::FAILURE
        }
        Err(Failure::Usage(sentence)) => {
            eprintln!("{benchmark}: {sentence}");
            ExitCode::from(2)
        }
        Err(Failure::Io(error)) => {
            eprintln!("{benchmark}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A folder of a benchmark's own, which goes when it ends.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new one in here.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make(within: &Path, name: &str) -> io::Result<Folder> {
        let folder = within.join(format!("ulna-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Folder(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}
