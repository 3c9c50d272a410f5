//! A certificate for the benches that speak TLS. The standard library alone, since `benches/train` has no
//! other.

use std::io;
use std::path::Path;
use std::process::Command;

/// Makes a self-signed one for `shop.example.com`, as `site.pem` and `site.key`.
///
/// # Errors
///
/// `NotFound`: there is no `openssl` here.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=shop.example.com", "-addext", "subjectAltName=DNS:shop.example.com"])
        .args(["-out", "site.pem", "-keyout", "site.key"])
        .current_dir(folder)
        .output()?;
    if made.status.success() { Ok(()) } else { Err(io::Error::other(String::from_utf8_lossy(&made.stderr))) }
}
