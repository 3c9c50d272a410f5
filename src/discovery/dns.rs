//! Clusters from DNS: A and AAAA with a port from the file, or SRV, which brings port and weight.
//!
//! Why not ask through a resolver library: it hides what decides here. Over UDP Consul (seen with
//! 1.8.7) cuts its answer to 3 addresses, or with EDNS to what fits in the client's payload (74 A
//! or 19 SRV records in 1232 bytes), drawn at random, *without* the truncation bit; over TCP it
//! gives all; its TTL is 0. A cache, or a library that prefers UDP, makes of that a set that
//! changes every second. So only the codec is hickory's; the questions are our own:
//!
//! - **TCP first**, for named resolvers and the system's alike, so that moving a line from the file
//!   to `resolv.conf` changes nothing (dnsmasq forwards over the transport it was asked with, so
//!   the rule helps behind it too). UDP, with EDNS, only where TCP does not answer and has not for
//!   ten minutes ([`habit`]). The bad side: one short connection a question, at most one question
//!   of each type per `min_ttl`; and where TCP never works, Consul's subset is taken for the whole,
//!   as nothing tells them apart.
//! - **No cache**. The next question comes after the answer's TTL, within a floor and a cap
//!   ([`schedule`]).
//! - **A failure is never an empty answer**: time-outs, SERVFAIL, REFUSED, a truncated or malformed
//!   reply are told as such, and the next try comes after a back-off. This holds in part too: if
//!   only one address family or one SRV target fails, its last known addresses stand in for it
//!   ([`lookup`]).
//! - **NXDOMAIN and "no data" are an empty answer**, for they are what an authority says. Consul
//!   says NXDOMAIN both for "no healthy instance" and for "no such service", so a typo looks like
//!   an outage. The empty-set rule of `discovery::keep` holds the last set for a while in either
//!   case.
//!
//! Of SRV records only the group with the lowest priority number is used: the others are for when
//! that one fails, which DNS cannot see. DNS has no health detail, no tags and no push: a `consul`
//! cluster is the better choice where it can be had.

mod habit;
mod lookup;
mod reply;
mod resolvers;
mod schedule;
mod srv;
mod system;
mod wire;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hickory_resolver::proto::rr::Name;

use self::lookup::{Memory, Question, Round};
use self::reply::Failure;
use self::resolvers::{Ask, Resolvers};
use crate::config::live;
use crate::discovery::{Answers, Quality, Source, Stop};
use crate::endpoint::Members;

/// Watches one name.
#[derive(Debug)]
pub struct DnsSource {
    question: Question,
    floor: Duration,
    resolvers: Resolvers,
}

/// What a round of questions came to. (Between the watching and [`Answers`], so that tests can
/// listen.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A whole set, other than the one before.
    Members(Members),
    /// The same set as before.
    Unchanged,
    /// No answer, or not a whole one. After a [`Heard::Members`] of the same instant: that set
    /// leans on earlier answers.
    Failed { kind: &'static str, why: String },
}

/// One watch's state from round to round.
struct Watch {
    floor: Duration,
    memory: Memory,
    told: Option<Members>,
    /// Rounds in a row that were not whole.
    failures: u32,
}

// === impl DnsSource ===

impl DnsSource {
    /// Checks what the file says. No question is asked yet.
    ///
    /// # Errors
    ///
    /// The name is no domain name, or `port` and `srv` do not fit together. The text is for the
    /// operator.
    pub fn new(spec: &live::Dns) -> Result<Self, String> {
        let text = spec.name.trim();
        if text.parse::<IpAddr>().is_ok() {
            return Err(format!("`{text}` is an address, not a name; use `static` for it"));
        }
        let mut name =
            Name::from_str_relaxed(text).map_err(|e| format!("`{text}` is not a domain name: {e}"))?;
        if name.num_labels() == 0 {
            return Err("`name` is empty; give the domain name to ask for".into());
        }
        // The search list belongs to the system's resolvers; a named one is asked for exactly this
        // name.
        if !spec.resolvers.is_empty() {
            name.set_fqdn(true);
        }
        let question = match (spec.srv, spec.port) {
            (true, None) => Question::Srv { name },
            (true, Some(_)) => {
                return Err("with `srv: true` the answer brings the port; leave `port` out".into());
            }
            (false, None | Some(0)) => return Err("give the `port` of the endpoints, or `srv: true`".into()),
            (false, Some(port)) => Question::Addresses { name, port },
        };
        if let Some(bad) = spec.resolvers.iter().find(|r| r.port() == 0 || r.ip().is_unspecified()) {
            return Err(format!("`{bad}` is no resolver's address"));
        }
        let floor = schedule::floor(spec.min_ttl.0);
        Ok(Self { question, floor, resolvers: Resolvers::new(spec.resolvers.clone()) })
    }

    /// Asks round after round and tells `heard`, until `stop` turns true or its sender is gone.
    pub async fn watch(&self, heard: impl FnMut(Heard, Instant) + Send, stop: Stop) {
        let mut rng = fastrand::Rng::new();
        watch(&self.resolvers, &self.question, self.floor, &mut rng, heard, stop).await;
    }
}

#[async_trait]
impl Source for DnsSource {
    fn kind(&self) -> &'static str {
        "dns"
    }

    async fn run(&self, out: Answers, stop: Stop) {
        let tell = |heard, now| match heard {
            Heard::Members(members) => out.members(members, Quality::Good, now),
            Heard::Unchanged => out.unchanged(now),
            Heard::Failed { kind, why } => out.failed(kind, &why, now),
        };
        self.watch(tell, stop).await;
    }
}

/// The loop: ask, tell, sleep. Everything that asks or draws is passed in.
async fn watch(
    ask: &impl Ask,
    question: &Question,
    floor: Duration,
    rng: &mut fastrand::Rng,
    mut heard: impl FnMut(Heard, Instant) + Send,
    mut stop: Stop,
) {
    let mut watch = Watch { floor, memory: Memory::default(), told: None, failures: 0 };
    loop {
        let round = tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            round = lookup::round(ask, question, &mut watch.memory) => round,
        };
        let now = tokio::time::Instant::now().into_std();
        let pause = watch.take(round, rng, |what| heard(what, now));
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Ends when the flag is set; a sender that is gone can set it no more, so that ends it as well.
async fn stopped(stop: &mut Stop) {
    let _ = stop.wait_for(|stop| *stop).await;
}

// === impl Watch ===

impl Watch {
    /// Tells what a round came to, and says how long to wait for the next.
    fn take(
        &mut self,
        round: Result<Round, Failure>,
        rng: &mut fastrand::Rng,
        mut tell: impl FnMut(Heard),
    ) -> Duration {
        let round = match round {
            Ok(round) => round,
            Err(Failure { kind, why }) => {
                tell(Heard::Failed { kind, why });
                return self.back_off(rng);
            }
        };
        let changed = self.told.as_ref() != Some(&round.members);
        if changed {
            self.told = Some(round.members.clone());
            tell(Heard::Members(round.members));
        }
        let usual = schedule::next(round.ttl, self.floor, rng);
        let Some(gap) = round.gap else {
            self.failures = 0;
            if !changed {
                tell(Heard::Unchanged);
            }
            return usual;
        };
        if gap.counts {
            tell(Heard::Failed { kind: gap.failure.kind, why: gap.failure.why });
        } else if !changed {
            tell(Heard::Unchanged);
        }
        usual.min(self.back_off(rng))
    }

    fn back_off(&mut self, rng: &mut fastrand::Rng) -> Duration {
        let pause = schedule::back_off(self.failures, rng);
        self.failures = self.failures.saturating_add(1);
        pause
    }
}
