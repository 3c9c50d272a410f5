//! What the config wants to listen on, and why it can't.

use std::io;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The name that systemd's socket for the admin API has.
const ADMIN: &str = "admin";

/// A socket that the config wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Who wants it, for people.
    pub name: String,
    pub address: SocketAddr,
}

/// Claims that can't be had, all of them.
#[derive(Debug)]
pub struct BindError(pub Vec<Refused>);

/// A claim that can't be had.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot listen on {}: {why}{}", .claim.name, .claim.address, hint(.why))]
pub struct Refused {
    pub claim: Claim,
    #[source]
    why: io::Error,
}

// === impl Claim ===

impl Claim {
    /// Of a listener.
    pub fn listener(name: &str, address: SocketAddr) -> Self {
        Self { name: format!("listener `{name}`"), address }
    }

    /// Of the admin API.
    pub fn admin(address: SocketAddr) -> Self {
        Self { name: "the admin API".into(), address }
    }

    /// Whether systemd's name of a socket means this. A listener that is named `admin` comes before
    /// the admin API.
    pub(crate) fn is_named(&self, name: &str, others: &[Self]) -> bool {
        let of_listener = Self::listener(name, self.address).name;
        let admin = |claim: &Self| claim.name == Self::admin(claim.address).name;
        self.name == of_listener
            || admin(self) && name == ADMIN && !others.iter().any(|other| other.name == of_listener)
    }
}

// === impl Refused ===

impl Refused {
    pub(super) fn new(claim: Claim, why: io::Error) -> Self {
        Self { claim, why }
    }
}

fn hint(why: &io::Error) -> &'static str {
    match why.kind() {
        // Of our own making: it says all.
        _ if why.raw_os_error().is_none() => "",
        io::ErrorKind::AddrInUse => "; another process has it, see `ss -ltnp`",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need root or CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        _ => "",
    }
}

// === impl BindError ===

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        match lines.as_slice() {
            [one] => f.write_str(one),
            many => write!(f, "{} sockets cannot be had\n{}", many.len(), many.join("\n")),
        }
    }
}

impl std::error::Error for BindError {}
