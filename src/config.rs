//! What the operator wrote: one YAML file in two halves.
//!
//! [`boot`] is fixed while a process lives; [`live`] is replaced by every reload. [`load`] reads
//! the file and gives a [`Config`] or every [`Problem`] with its line and column; [`value`] holds
//! the parse-only newtypes. No type of this module reaches the request path: `snapshot::compile`
//! turns them into what requests use.

pub mod boot;
pub mod digest;
pub mod live;
pub mod load;
pub mod planned;
pub mod problem;
pub mod schema;
pub mod validate;
pub mod value;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::boot::Boot;
pub use self::live::Live;
pub use self::problem::{Location, Problem};
pub use self::value::Name;

/// A whole config file.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(from = "File", into = "File")]
pub struct Config {
    pub boot: Boot,
    pub live: Live,
}

/// The keys of the file, as written. Split into its halves at once.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Tidegate configuration", description = "The config file of the Tidegate proxy.")]
pub struct File {
    /// How the process itself runs.
    server: boot::Server,
    /// The admin API.
    admin: boot::Admin,
    /// What each listener takes at most, unless it says so itself. Fixed while the process lives, as
    /// the listeners are.
    limits: boot::Limits,
    /// The sockets that take requests.
    #[schemars(length(min = 1))]
    listeners: Vec<boot::Listener>,
    /// Where the access log goes.
    access_log: live::AccessLog,
    /// The Consul agent that `consul` clusters ask, and at which `register` registers.
    consul: live::Consul,
    /// Sets of endpoints, by name.
    clusters: BTreeMap<Name, live::Cluster>,
    /// What happens to requests. Their order does not matter.
    routes: Vec<live::Route>,
    /// Where weights come from that the whole fleet serves.
    splits: live::Splits,
    /// What endpoints and clients are told of the way between them.
    forwarding: live::Forwarding,
    /// Registers the proxy itself in Consul. Default: it is not registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    register: Option<live::Register>,
}

// === impl Config ===

impl From<File> for Config {
    fn from(file: File) -> Self {
        let File {
            server,
            admin,
            limits,
            listeners,
            access_log,
            consul,
            clusters,
            routes,
            splits,
            forwarding,
            register,
        } = file;
        Self {
            boot: Boot { server, admin, limits, listeners },
            live: Live { access_log, consul, clusters, routes, splits, forwarding, register },
        }
    }
}

impl From<Config> for File {
    fn from(config: Config) -> Self {
        let Config {
            boot: Boot { server, admin, limits, listeners },
            live: Live { access_log, consul, clusters, routes, splits, forwarding, register },
        } = config;
        Self {
            server,
            admin,
            limits,
            listeners,
            access_log,
            consul,
            clusters,
            routes,
            splits,
            forwarding,
            register,
        }
    }
}
