//! TLS for clients that have none: `openssl s_client` in between, one process for each connection, whose
//! standard input and output are the socket.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use crate::Result;

/// A self-signed certificate, as `site.pem` and `site.key`. False: there is no `openssl` here.
pub(crate) fn certificate(folder: &Path) -> Result<bool> {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=shop.example.com", "-addext", "subjectAltName=DNS:shop.example.com"])
        .args(["-out", "site.pem", "-keyout", "site.key"])
        .current_dir(folder)
        .output();
    match made {
        Ok(made) if made.status.success() => Ok(true),
        Ok(made) => Err(format!("openssl: {}", String::from_utf8_lossy(&made.stderr)).into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(format!("openssl: {error}").into()),
    }
}

/// An address whose connections go on to `to`, sealed. `protocol` is what is offered by ALPN.
pub(crate) fn tunnel(to: SocketAddr, protocol: &'static str) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().map_while(io::Result::ok) {
            // What fails here is a connection that closes at once, which the client tells.
            let Ok(other) = stream.try_clone() else { return };
            let mut command = Command::new("openssl");
            // Without -no_ign_eof it would outlive its client.
            command.args(["s_client", "-quiet", "-no_ign_eof", "-alpn", protocol]);
            command.args(["-servername", "shop.example.com", "-connect", &to.to_string()]);
            command.stdin(OwnedFd::from(stream)).stdout(OwnedFd::from(other)).stderr(Stdio::null());
            thread::spawn(move || command.status());
        }
    });
    Ok(address)
}
