//! The programmable part: code that sees each request of a route before it is forwarded, and each
//! response on its way back. A user ships filters of their own by giving the [`Registry`] a
//! factory; a route names them with their config.
//!
//! Filters are synchronous and see heads, not bodies. They run on the request path of every worker
//! thread, so one that must ask another server, or must see a body, does not belong here; that is
//! the bad side, and what keeps a chain of ten filters as cheap as ten calls. What a filter needs
//! at run time it makes in its factory, once a snapshot.
//!
//! Beside this trait stand the built-in edits, one a file, which routes name by keys of their own:
//! [`headers`], [`rewrite`], [`redirect`], [`respond`].

pub mod chain;
pub mod headers;
pub mod redirect;
pub mod registry;
pub mod respond;
pub mod rewrite;

use std::net::IpAddr;

use bytes::Bytes;
use http::Extensions;
use pingora::http::{RequestHeader, ResponseHeader};

pub use self::chain::Chain;
pub use self::registry::{FilterFactory, Registry};

/// Code that looks at, and may change, the requests and responses of a route. Both methods default
/// to doing nothing.
///
/// One instance serves all requests of its route at once, so what it counts must be atomic. A panic
/// in it ends the client's connection.
pub trait Filter: Send + Sync {
    /// Sees the client's request before the split and the rewrite, once, however often it is tried.
    fn on_request(&self, request: &mut RequestHeader, exchange: &mut Exchange<'_>) -> Verdict {
        let _ = (request, exchange);
        Verdict::Continue
    }

    /// Sees the response before the client does, wherever it was made.
    fn on_response(&self, response: &mut ResponseHeader, exchange: &mut Exchange<'_>) {
        let _ = (response, exchange);
    }
}

/// Whether a request goes on.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    Continue,
    /// The request ends here, with this answer.
    Answer(Box<Answer>),
}

/// A response made here. On `HEAD` the body is not sent, but its length is told.
#[derive(Clone, Debug)]
pub struct Answer {
    pub head: ResponseHeader,
    pub body: Bytes,
}

/// What a filter may know of the request beside its head.
#[derive(Debug)]
#[non_exhaustive]
pub struct Exchange<'a> {
    /// The name of the route.
    pub route: &'a str,
    /// The client, as far as it is trusted: after PROXY protocol and trusted forwarding headers.
    pub client: IpAddr,
    /// `http` or `https`, as the client connected.
    pub scheme: &'a str,
    /// What filters leave for their `on_response`, or for each other.
    pub memory: &'a mut Memory,
}

/// What the filters of one request remember until its end. The proxy keeps one a request; an empty
/// one costs nothing.
#[derive(Debug, Default)]
pub struct Memory {
    /// Values by type: give each filter a private type.
    pub values: Extensions,
    /// How many filters of the chain let the request pass.
    passed: usize,
}

// === impl Exchange ===

impl<'a> Exchange<'a> {
    /// What the proxy knows when the route is chosen.
    pub fn new(route: &'a str, client: IpAddr, scheme: &'a str, memory: &'a mut Memory) -> Self {
        Self { route, client, scheme, memory }
    }
}
