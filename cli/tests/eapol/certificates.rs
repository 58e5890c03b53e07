//! A certification authority that lives as long as the test, a server's certificate and a user's, made by openssl.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::support::{file, without_peer};

/// The folder with `ca.pem`, `server.pem`, `server.key`, `user.pem` and `user.key`; `None` where openssl is to be done
/// without.
pub fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER.get_or_init(make).as_deref()
}

fn make() -> Option<PathBuf> {
    let folder = file("server.ext", "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:radius.example.edu\n");
    let folder = folder.parent().expect("it stands in a folder").to_path_buf();
    std::fs::write(folder.join("user.ext"), "extendedKeyUsage=clientAuth\n").expect("it can be written");
    // Elliptic curves: two hundred handshakes at once are to be a matter of seconds on two cores.
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&folder, &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 30 -subj /CN=test"))?;
    for name in ["server", "user"] {
        openssl(&folder, &format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"))?;
        let authority = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 30";
        let files = format!("-in {name}.csr -extfile {name}.ext -out {name}.pem");
        openssl(&folder, &format!("x509 -req {authority} {files}"))?;
    }
    Some(folder)
}

fn openssl(folder: &Path, arguments: &str) -> Option<()> {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(folder).stdin(Stdio::null());
    match command.output() {
        Ok(output) => {
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "openssl {arguments}: {told}");
            Some(())
        }
        Err(error) => {
            without_peer(&format!("openssl cannot be run: {error}"));
            None
        }
    }
}
