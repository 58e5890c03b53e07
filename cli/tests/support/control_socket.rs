//! The control socket of a server that a test starts, and what came of asking it.

use std::path::PathBuf;
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};

/// A short path, as a socket's has to be, which goes with this.
pub struct Socket(pub PathBuf);

impl Socket {
    pub fn new() -> Socket {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Socket(std::env::temp_dir().join(format!("ulna-{}-{number}.sock", std::process::id())))
    }

    pub fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }

    pub fn settings(&self, layout: &str, more: &str) -> String {
        format!("[runtime]\n{layout}\n[control]\nsocket = \"{}\"\n{more}\n", self.path())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The exit code, and what was printed on standard output and standard error.
pub fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}
