//! Folders with the files of a configuration.
#![allow(dead_code, reason = "each file uses its own part of this")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use ulna_config::{Configuration, Cores, Warnings, load};

/// What every configuration needs, without a client.
pub const FRAME: &str = "[[listen]]\nname = \"auth\"\naddress = \"127.0.0.1:1812\"\ntransport = \"udp\"\n\
                         packets = [\"access\"]\nserver = \"edge\"\n\
                         [[server]]\nname = \"edge\"\n[[server.new]]\naccept = true\n";

/// How many lines that has.
pub const FRAME_LINES: usize = 10;

/// A folder of its own, gone when it is dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("the target directory can be written");
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file that only its owner may read.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Folder {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("it stands in the folder")).expect("it can be written");
        fs::write(&path, content).expect("it can be written");
        self.allow(name, 0o600)
    }

    /// Says who may read a file.
    pub fn allow(&self, name: &str, mode: u32) -> &Folder {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(self.0.join(name), fs::Permissions::from_mode(mode)).expect("it is ours");
        self
    }

    /// Reads `ulna.toml`; what is wrong with it, the folder's own name left out.
    pub fn load(&self) -> Result<(Configuration, Warnings), String> {
        load(&self.0.join("ulna.toml"), Cores(2)).map_err(|errors| self.without_name(&errors.to_string()))
    }

    /// The first lines of what is wrong, without what they show of the file.
    pub fn errors(&self) -> Vec<String> {
        match self.load() {
            Ok(_) => vec!["no error".into()],
            Err(text) => text.lines().filter(|line| !line.starts_with("    ")).map(Into::into).collect(),
        }
    }

    pub fn without_name(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
