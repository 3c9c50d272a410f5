//! Whether the sockets can be had, asked before anything starts.
//!
//! Pingora tries a taken port for half a minute and then panics in a thread. A start should end at
//! once with one clear line instead. The check binds and lets go, so another process could still
//! come between; then Pingora's way is what happens.
//!
//! Pingora does not say either when the sockets are open, and the admin API may be up before them.
//! So that "ready" holds what it says, [`wait_open`] connects to each listener once; the connection
//! is closed without a byte. One that passes bytes on would pass that on too, so for those the kernel's
//! list of sockets is read.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::config::Boot;
use crate::control::ready::Ready;

/// Between two looks at a socket that is not open yet.
const STEP: Duration = Duration::from_millis(5);

/// As long as Pingora tries to bind; then its way is what happens.
const LOOKS: usize = 6_000;

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

/// Keeps `ready` closed until every listener takes connections. Looks from a thread of its own.
pub(super) fn wait_open(boot: &Boot, ready: &Arc<Ready>) -> io::Result<()> {
    let addresses: Vec<_> =
        boot.listeners.iter().flat_map(|l| Some((reachable(l.address)?, l.tcp.is_some()))).collect();
    ready.close();
    let opened = ready.clone();
    let thread = thread::Builder::new().name("listeners".into());
    let spawned = thread.spawn(move || {
        for (address, quietly) in addresses {
            let connects = || TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
            let is_open = || if quietly { listed(address).unwrap_or_else(connects) } else { connects() };
            for _ in 0..LOOKS {
                if is_open() {
                    break;
                }
                thread::sleep(STEP);
            }
        }
        opened.open();
    });
    spawned.map(drop)
}

/// Whether the kernel lists a socket that listens on this port. (Nobody else has it: see [`check`].)
/// None: there is no list.
fn listed(address: SocketAddr) -> Option<bool> {
    let lists = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    let mut lines = lists.iter().flatten().flat_map(|list| list.lines()).peekable();
    lines.peek()?;
    // `sl local_address rem_address st`, in hex; 0A is LISTEN.
    let port = format!(":{:04X}", address.port());
    Some(lines.any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&port)) && fields.nth(1) == Some("0A")
    }))
}

/// Where a socket with this address can be connected to. `[::]` may be without IPv4 or without
/// IPv6, so it is not asked.
fn reachable(address: SocketAddr) -> Option<SocketAddr> {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => return None,
        ip => ip,
    };
    Some(SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_lists_who_listens() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert_eq!(listed(address), Some(true));
        drop(taken);
        assert_eq!(listed(address), Some(false));
    }

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
