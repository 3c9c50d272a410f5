//! Tidegate: a programmable L7 reverse proxy on Cloudflare's Pingora, for services registered in
//! Consul.
//!
//! This page is the tour: what the program is made of, the two ways through it, and the laws that
//! keep it simple. Read it with the source beside you; each module begins with the policy it holds
//! and why.
//!
//! # What it is
//!
//! One process takes requests on its listeners, finds the route of each, picks an endpoint of the
//! route's cluster, and passes the request on. Meanwhile it hears from Consul, DNS, the config file
//! and its operators what has changed. The two halves meet in one place: the
//! [`Snapshot`](snapshot::Snapshot), an immutable picture of everything that requests need.
//!
//! ```text
//!            a request ------------------------------------------------------------------>
//!  client -> door -> accept -> connect -> forward -> (endpoint) -> respond -> finish -> log, metrics
//!                      |          |                                             |
//!                  reads once     | picks, counts                               | counts
//!                      v          v                                             v
//!                 +----------+  +--------------------------------------------------+
//!                 | snapshot |  | endpoint states (atomics), kept by the roster    |
//!                 +----------+  +--------------------------------------------------+
//!                      ^ publishes            ^ keeps across snapshots
//!                 +---------------------------------+
//!                 | control: the one writer         | <--- Change <--- SIGHUP, file, admin API
//!                 +---------------------------------+ <--- Update <--- keeper <--- Consul, DNS
//! ```
//!
//! # A request
//!
//! 1. [`proxy::door`] takes a connection through a PROXY header and TLS, if its listener has them, and
//!    tells HTTP/1.1 from HTTP/2. Both are framed by us: what is no valid request, or too slow, ends
//!    there (`proxy::http1`, `proxy::http2`). Connections of a `tcp` listener are passed on here.
//! 2. [`proxy::accept`] loads the snapshot, once. The [`route::Router`] finds the route; a redirect
//!    or a fixed answer ends here. A [`split`] decides which variant, and so which cluster.
//! 3. [`proxy::connect`] asks the cluster's [`balance::Balancer`] for an endpoint and takes a
//!    [`Lease`](endpoint::Lease) on it. When the try fails, the rules of [`retry`] say whether
//!    another endpoint is asked, or another variant, by the same snapshot.
//! 4. [`proxy::forward`] makes the endpoint's request of the client's: path, Host, headers.
//! 5. [`proxy::respond`] edits the answer and ends it when the request's time is up.
//! 6. [`proxy::finish`] counts and logs, whatever happened; [`proxy::error`] has said with which
//!    status and flag.
//!
//! # A change
//!
//! 1. Something is heard: a blocking query of [`discovery::consul`] returns, a TTL of
//!    [`discovery::dns`] is over, the file changes, an operator posts.
//! 2. Members go through [`discovery::keep`], which doubts removals that look like an outage and
//!    keeps the last good set, in memory and on disk. What is left is an
//!    [`Update`](discovery::Update). The rest is a [`Change`](control::Change).
//! 3. Weights of splits that were set at run time stand over the file's; the writer keeps them on disk.
//!    [`control::Writer`] compiles: config to a [`Plan`](snapshot::compile::Plan), which reports
//!    every problem or none, and plan and members to the next snapshot, which cannot fail.
//! 4. A new config waits, at most [`control::WARM`], until its sources have answered; then it is
//!    published by one atomic store. "Applied" means "serves".
//! 5. The change is told: one log line, metrics, the answer to whoever asked.
//!
//! Start-up is the same flow with nothing before it; the listeners open after the first snapshot
//! ([`app`]).
//!
//! # A failure
//!
//! [`health::service`] probes every endpoint of a cluster with a check and writes what
//! [`health::verdict`] makes of it into the endpoint's [`State`](endpoint::State). Nothing is
//! published: the balancer reads the state at the next pick. At a start the listeners wait for the
//! first round of probes.
//!
//! # An upgrade
//!
//! The process starts the binary that is installed now and tells it what it knows; when that one could
//! serve, it gets the listening sockets, and the old one finishes what it has. Until then, and
//! whatever goes wrong, the old one serves on ([`upgrade`]).
//!
//! # The map
//!
//! Arrows go down only; `tests/layers.rs` holds the code to it.
//!
//! | layer | modules | what |
//! |---|---|---|
//! | command | [`cli`] | one file a command |
//! | wiring | [`app`] | the only place that knows everybody |
//! | edges | [`proxy`], [`admin`] | requests; operators |
//! | change | [`control`], [`consul`], [`tls`], the sources in [`discovery`], [`outlier::service`], [`register`], the probes in [`health`], [`upgrade`] | what moves the world |
//! | compiled | [`snapshot`], [`cluster`] | what requests read |
//! | decisions | [`route`], [`split`], [`balance`], [`filter`], [`endpoint`], [`grpc`], [`retry`], [`outlier`], [`priority`], [`proxy_protocol`], [`client_hello`], the rules in [`discovery`] and [`health`] | pure |
//! | ground | [`config`], [`observe`], [`state_file`], `stream` | what operators write; what they see; what lasts; what streams of ours have in common |
//!
//! # The laws
//!
//! 1. A request reads one snapshot, loaded in one place, kept for its whole life, retries too.
//! 2. One task publishes. Publishing cannot fail: all that can was done before.
//! 3. Facts that outlive a snapshot (in-flight requests, draining, health) belong to
//!    (cluster, address) and to nothing else; no change of weight, tag or route touches them.
//! 4. Decisions take the time and the dice as arguments: no clock, no global random, no async.
//! 5. A config key is served or refused, never accepted and ignored. A config that has one problem
//!    changes nothing.
//! 6. An outage is not an answer: nothing that fails takes an endpoint away.
//! 7. Nothing on the request path looks a name up twice, takes a lock, or waits for anything but
//!    the network.
//!
//! # Your own filters
//!
//! The library is for those who want a binary of their own; see [`app::Builder`] and
//! [`filter::Filter`].
#![forbid(unsafe_code)]

pub mod admin;
pub mod app;
pub mod balance;
pub mod cli;
pub mod client_hello;
pub mod cluster;
pub mod config;
pub mod consul;
pub mod control;
pub mod discovery;
pub mod endpoint;
pub mod filter;
pub mod grpc;
pub mod health;
pub mod observe;
pub mod outlier;
pub mod priority;
pub mod proxy;
pub mod proxy_protocol;
pub mod register;
pub mod retry;
pub mod route;
pub mod snapshot;
pub mod split;
pub mod state_file;
mod stream;
pub mod tls;
pub mod upgrade;
