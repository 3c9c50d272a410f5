//! A client of Consul's HTTP API that does not mistake a failure for an answer.
//!
//! What the crates of the field get wrong is the reason for an own one: a time-out shorter than the
//! blocking query's wait, a 500 parsed as an empty list, an index read off an error, a token file
//! that became empty and turned the catalog into `[]` with status 200. Here a request ends in an
//! [`Answer`] (status 200, JSON by its content type, an index that parses, the whole body) or in an
//! [`Error`] with a short [`Error::kind`] for metrics; there is no third way.
//!
//! [`Settings`] is what the config and the `CONSUL_*` variables say together, compared by value so
//! that a reload keeps connections that did not change. [`Client`] sends; [`Index`] is the pure
//! rule for blocking queries; [`health`] reads the answers of `/v1/health/service`; [`kv`] is a folder
//! of the key-value store; [`agent`] speaks of services with the agent itself. [`check`] tells what cannot work before it is used.

pub mod address;
pub mod agent;
pub mod check;
pub mod client;
pub mod error;
pub mod health;
pub mod index;
pub mod kv;
pub mod settings;
pub mod tls;
pub mod token;

pub use self::address::Address;
pub use self::agent::Agent;
pub use self::check::{from_environment, problems};
pub use self::client::{Answer, Client, Found, Query};
pub use self::error::{Error, Pause};
pub use self::index::{Index, Step};
pub use self::settings::Settings;
