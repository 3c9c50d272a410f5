//! The test kit: what end-to-end tests are written with. `tests/README.md` says which test is
//! written how.
//!
//! Every piece listens on 127.0.0.1 on a port of its own, ends with the test, and fails with what
//! was seen instead of what was hoped for. Nothing sleeps for a while and hopes: [`eventually`]
//! waits for a condition, with a deadline.
//!
//! A `mod.rs`, against the house rule, because Cargo takes `tests/support.rs` for a test of its
//! own.
#![allow(dead_code, unused_imports, reason = "each test binary compiles the kit and uses a part of it")]
#![allow(unreachable_pub, reason = "a test binary has no outside; `pub` says what tests may use")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken kit is a failed test")]
#![allow(clippy::disallowed_types, reason = "locks of test servers, never held over an await")]

pub mod backend;
pub mod certs;
pub mod consul;
pub mod container;
pub mod curl;
pub mod dns;
pub mod fake_consul;
pub mod http;
pub mod load;
pub mod observed;
pub mod peers;
pub mod ports;
pub mod probe;
pub mod raw;
pub mod scripted;
pub mod tidegate;
pub mod wait;
pub mod wire;

pub use self::backend::{Backend, Fault};
pub use self::certs::{Authority, Issued};
pub(crate) use self::consul::Agent;
pub use self::container::{Container, Network, Ran};
pub use self::curl::{Curl, curl, curl_with};
pub use self::fake_consul::{FakeConsul, Play};
pub use self::load::{Load, Report};
pub use self::peers::{consul_binary, require_peer};
pub use self::ports::free_port;
pub use self::raw::{RawClient, RawResponse};
pub use self::scripted::{Scripted, Step, send};
pub use self::tidegate::{Tidegate, TidegateProcess};
pub use self::wait::{eventually, until};
pub use self::wire::Wire;
