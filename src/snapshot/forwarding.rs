//! What endpoints and clients are told of the way between them, as requests use it.

use std::net::IpAddr;

use crate::config::live::{self, RequestId, Traceparent};
use crate::config::value::Network;

/// The key `forwarding`, compiled.
#[derive(Clone, Debug)]
pub struct Forwarding {
    trusted: Box<[Network]>,
    /// Sends `x-forwarded-*`.
    pub x_forwarded: bool,
    /// Sends `forwarded`.
    pub forwarded: bool,
    /// Sends `via`.
    pub via: bool,
    /// Makes a `traceparent` where there is none that is valid.
    pub traces: bool,
    /// Whether a client's `x-request-id` stays.
    pub keeps_id: bool,
}

// === impl Forwarding ===

impl Forwarding {
    /// Whether what a proxy at this address says of its client is believed.
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(ip))
    }

    /// Whether anybody is.
    pub fn trusts_nobody(&self) -> bool {
        self.trusted.is_empty()
    }
}

impl Default for Forwarding {
    fn default() -> Self {
        Self::from(&live::Forwarding::default())
    }
}

impl From<&live::Forwarding> for Forwarding {
    fn from(config: &live::Forwarding) -> Self {
        // Destructured in full, so that a new key can't be forgotten here.
        let live::Forwarding { trusted, x_forwarded, forwarded, via, traceparent, request_id } = config;
        Self {
            trusted: trusted.clone().into(),
            x_forwarded: *x_forwarded,
            forwarded: *forwarded,
            via: *via,
            traces: *traceparent == Traceparent::Make,
            keeps_id: *request_id == RequestId::Keep,
        }
    }
}
