//! TLS for clients that have none: `openssl s_client` in between, one process for each connection, whose
//! standard input and output are the socket.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use crate::{Result, certificate};

/// Makes a certificate. False: there is no `openssl` here.
pub(crate) fn certificate(folder: &Path) -> Result<bool> {
    match certificate::make(folder) {
        Ok(()) => Ok(true),
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
