//! What a DNS message says about the question it answers. Pure.
//!
//! Follows the CNAME chain inside the message; where the chain leaves the message (Consul does that
//! for an instance whose address is a name), `next` says what to ask for. Response codes other than
//! NOERROR and NXDOMAIN are failures.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// Longer chains, in one message or over several, are loops.
pub(super) const MAX_CHAIN: usize = 16;

/// A question without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// A short word for the metric label:
    /// `timeout network servfail refused rcode truncated malformed system`.
    pub(super) kind: &'static str,
    pub(super) why: String,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// The records of the type that was asked for. Empty: there are none, says the authority.
    pub(super) records: Vec<RData>,
    /// How long it holds; for an empty one what the SOA says (RFC 2308), else 0.
    pub(super) ttl: Duration,
    /// Where to ask on: the chain of names ends outside the message.
    pub(super) next: Option<Name>,
    /// Addresses of other names that came along, in lower case.
    pub(super) extra: Vec<(Name, IpAddr)>,
}

// === impl Failure ===

impl Failure {
    pub(super) fn new(kind: &'static str, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }
}

// === impl Reply ===

impl Reply {
    /// Reads the answer to the question for `name` and `kind`.
    ///
    /// # Errors
    ///
    /// The server failed, refused, or answered with a loop of names.
    pub(super) fn read(message: &Message, name: &Name, kind: RecordType) -> Result<Self, Failure> {
        let code = message.metadata.response_code;
        match code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            ResponseCode::ServFail => return Err(Failure::new("servfail", "the resolver says SERVFAIL")),
            ResponseCode::Refused => return Err(Failure::new("refused", "the resolver says REFUSED")),
            other => return Err(Failure::new("rcode", format!("the resolver says {}", other.to_str()))),
        }
        let (last, chain_ttl) = follow(&message.answers, name)?;
        let mine: Vec<&Record> =
            message.answers.iter().filter(|r| r.record_type() == kind && r.name == last).collect();
        if mine.is_empty() {
            // A negative answer carries the zone's SOA. A chain without one just ends here, and
            // goes on elsewhere.
            let negative = soa_ttl(&message.authorities);
            let ends_here = last == *name || code == ResponseCode::NXDomain || negative.is_some();
            let ttl = negative.into_iter().chain(chain_ttl).min().unwrap_or_default();
            return Ok(Self { ttl, next: (!ends_here).then_some(last), ..Self::default() });
        }
        let ttl = mine.iter().map(|r| seconds(r.ttl)).chain(chain_ttl).min().unwrap_or_default();
        let records = mine.into_iter().map(|r| r.data.clone()).collect();
        Ok(Self { records, ttl, next: None, extra: extra(message) })
    }

    /// The addresses among the records.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        self.records.iter().filter_map(RData::ip_addr).collect()
    }
}

/// The end of the chain of CNAMEs that starts at `name`, and the smallest TTL on the way.
fn follow(answers: &[Record], name: &Name) -> Result<(Name, Option<Duration>), Failure> {
    let mut at = name.clone();
    let mut ttl: Option<Duration> = None;
    for _ in 0..=MAX_CHAIN {
        let hop = answers.iter().find_map(|r| match &r.data {
            RData::CNAME(to) if r.name == at => Some((to.0.clone(), seconds(r.ttl))),
            _ => None,
        });
        let Some((to, hop_ttl)) = hop else { return Ok((at, ttl)) };
        ttl = Some(ttl.map_or(hop_ttl, |ttl| ttl.min(hop_ttl)));
        at = to;
    }
    Err(Failure::new("malformed", format!("the chain of names from {name} has no end")))
}

fn soa_ttl(authorities: &[Record]) -> Option<Duration> {
    authorities.iter().find_map(|r| match &r.data {
        RData::SOA(soa) => Some(seconds(r.ttl.min(soa.minimum))),
        _ => None,
    })
}

fn extra(message: &Message) -> Vec<(Name, IpAddr)> {
    message.additionals.iter().filter_map(|r| Some((r.name.to_lowercase(), r.data.ip_addr()?))).collect()
}

/// A TTL with its top bit set counts as 0 (RFC 2181, 8).
fn seconds(ttl: u32) -> Duration {
    Duration::from_secs(if ttl > i32::MAX as u32 { 0 } else { ttl.into() })
}

#[cfg(test)]
mod tests;
