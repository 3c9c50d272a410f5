//! The half of the config that is fixed while a process lives: sockets, threads, files.
//!
//! A reload compares the new boot half with the running one and names the fields that differ; they
//! take effect at the next binary upgrade or restart. They are never silently ignored.

mod limits;
mod listener;

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::value::Span;

pub use self::limits::{Bounds, Limits};
pub use self::listener::{
    Certificate, ClientAuth, ClientAuthMode, Listener, ProxyProtocol, SniRoute, Tcp, TcpSplit, Tls,
    TlsVersion,
};

/// `server`, `admin`, `limits` and `listeners`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Boot {
    pub server: Server,
    pub admin: Admin,
    /// Of each listener that says nothing else.
    pub limits: Limits,
    pub listeners: Vec<Listener>,
}

/// How the process itself runs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Worker threads for requests. 0: one per core.
    pub threads: usize,
    /// How long in-flight requests may finish on stop or upgrade.
    pub grace_period: Span,
    /// Where to write the process id. None: nowhere.
    pub pid_file: Option<PathBuf>,
    /// The Unix socket at which a running process is asked to hand over to a new binary.
    pub upgrade_socket: PathBuf,
    /// How long a new binary may take, at an upgrade, until it could serve. Then the old one serves
    /// on.
    pub upgrade_timeout: Span,
    /// Where the last known good endpoints are kept, and the weights and drains that were set at run
    /// time. None: nowhere; a cold start needs its registry, and a restart goes back to the file's
    /// weights and drains nobody.
    pub state_dir: Option<PathBuf>,
}

/// The admin API.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address and port. Anything but a loopback address needs `token_file`.
    pub address: SocketAddr,
    /// A file with the bearer token that every request but `/live` and `/ready` must then carry.
    pub token_file: Option<PathBuf>,
}

// === impl Boot ===

impl Boot {
    /// What a listener takes at most, and how long it waits.
    pub fn bounds_of(&self, listener: &Listener) -> Bounds {
        listener.limits.over(self.limits).bounds()
    }

    /// The config paths whose values differ between two boot halves, for "needs an upgrade or
    /// restart".
    pub fn changed(&self, new: &Self) -> Vec<String> {
        let mut fields = Vec::new();
        let mut compare = |path: &str, same: bool| {
            if !same {
                fields.push(path.to_owned());
            }
        };
        let (a, b) = (&self.server, &new.server);
        compare("server.threads", a.threads == b.threads);
        compare("server.grace_period", a.grace_period == b.grace_period);
        compare("server.pid_file", a.pid_file == b.pid_file);
        compare("server.upgrade_socket", a.upgrade_socket == b.upgrade_socket);
        compare("server.upgrade_timeout", a.upgrade_timeout == b.upgrade_timeout);
        compare("server.state_dir", a.state_dir == b.state_dir);
        compare("admin.address", self.admin.address == new.admin.address);
        compare("admin.token_file", self.admin.token_file == new.admin.token_file);
        compare("limits", self.limits == new.limits);
        compare("listeners", self.listeners == new.listeners);
        fields
    }
}

// === impl Server ===

impl Default for Server {
    fn default() -> Self {
        Self {
            threads: 0,
            grace_period: Span::secs(30),
            pid_file: None,
            upgrade_socket: "/run/tidegate/upgrade.sock".into(),
            upgrade_timeout: Span::secs(60),
            state_dir: None,
        }
    }
}

// === impl Admin ===

impl Default for Admin {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 9901)), token_file: None }
    }
}
