//! Whether the sockets can be had, asked before anything starts.
//!
//! Pingora tries a taken port for half a minute and then panics in a thread. A start should end at once with one
//! clear line instead. The check binds and lets go, so another process could still come between; then Pingora's way
//! is what happens.

use std::io;
use std::net::{SocketAddr, TcpListener};

use crate::config::Boot;

/// A socket that can't be had.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot listen on {address}: {why}{hint}")]
pub struct BindError {
    what: String,
    address: SocketAddr,
    why: io::Error,
    hint: &'static str,
}

/// Binds every address once and lets go of it.
///
/// # Errors
///
/// The first that can't be bound.
pub(super) fn check(boot: &Boot) -> Result<(), BindError> {
    let listeners = boot.listeners.iter().map(|l| (format!("listener `{}`", l.name), l.address));
    for (what, address) in listeners.chain([("the admin API".to_owned(), boot.admin.address)]) {
        if let Err(why) = TcpListener::bind(address) {
            let hint = match why.kind() {
                io::ErrorKind::AddrInUse => "; another process has it, see `ss -ltnp`",
                io::ErrorKind::PermissionDenied => "; ports below 1024 need root or CAP_NET_BIND_SERVICE",
                io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
                _ => "",
            };
            return Err(BindError { what, address, why, hint });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = crate::config::Config::from(crate::config::File::default());
        config.boot.admin.address = taken.local_addr().unwrap();
        let error = check(&config.boot).unwrap_err().to_string();
        assert!(error.starts_with("the admin API cannot listen on 127.0.0.1:"), "{error}");
        assert!(error.ends_with("another process has it, see `ss -ltnp`"), "{error}");
    }
}
