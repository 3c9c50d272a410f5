//! One round of questions: from a name to the members of a cluster.
//!
//! A round is many questions (A and AAAA; for SRV, those of each target that brought no address
//! along), and any may fail alone. What failed must not look like what is gone: the addresses that
//! this name and type last had stand in ([`Memory`]). A family that fails and never had an address
//! is passed over as long as the other one has some, for there are servers that answer SERVFAIL to
//! every AAAA. Nothing found and something failed is a failure, not an empty set.
//!
//! Of a target's addresses that came along in the additional section it is believed that they are
//! all: asking for the other family of each would double the questions, and Consul sends every
//! address it has.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use hickory_resolver::proto::rr::{Name, RecordType};

use super::reply::{Failure, MAX_CHAIN, Reply};
use super::resolvers::Ask;
use super::srv::{self, Target};
use crate::endpoint::{Labels, Member, Members, Registry};

/// So many targets of an SRV answer are looked up at a time.
const LOOKUPS_AT_ONCE: usize = 8;

const FAMILIES: [RecordType; 2] = [RecordType::A, RecordType::AAAA];

/// What a source asks.
#[derive(Clone, Debug)]
pub(super) enum Question {
    Addresses { name: Name, port: u16 },
    Srv { name: Name },
}

/// What a round found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) members: Members,
    pub(super) ttl: Duration,
    /// The first part that failed, if one did.
    pub(super) gap: Option<Gap>,
}

/// A part of a round that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) failure: Failure,
    /// Whether members are missing or stand in from earlier. Otherwise a family failed that never
    /// had an address.
    pub(super) counts: bool,
}

/// The last known addresses of each name and family.
#[derive(Debug, Default)]
pub(super) struct Memory(HashMap<(Name, RecordType), Vec<IpAddr>>);

/// The addresses of one name.
#[derive(Debug, Default)]
struct Host {
    addresses: Vec<IpAddr>,
    /// Of the answers that had addresses, else of the others. None: neither family was answered.
    ttl: Option<Duration>,
    gap: Option<Gap>,
}

/// Asks `question` and all that follows from it.
///
/// # Errors
///
/// No question was answered, or nothing was found and one of them failed.
pub(super) async fn round(
    ask: &impl Ask,
    question: &Question,
    memory: &mut Memory,
) -> Result<Round, Failure> {
    match question {
        Question::Addresses { name, port } => {
            let host = settle(name, both_families(ask, name).await, memory);
            let labels = Arc::default();
            let members = host.addresses.iter().map(|ip| member(*ip, *port, 1, &labels)).collect();
            match (host.ttl, host.gap) {
                (None, Some(gap)) => Err(gap.failure),
                (ttl, gap) => finish(members, ttl.unwrap_or_default(), gap),
            }
        }
        Question::Srv { name } => services(ask, name, memory).await,
    }
}

async fn services(ask: &impl Ask, name: &Name, memory: &mut Memory) -> Result<Round, Failure> {
    let reply = chase(ask, name, RecordType::SRV).await?;
    let targets = srv::select(&reply.records);
    let mut hosts = along(&targets, &reply, memory);
    let missing: Vec<Name> =
        targets.iter().map(|t| &t.host).filter(|host| !hosts.contains_key(*host)).cloned().collect();
    let mut answers = futures::stream::iter(missing.into_iter().map(|host| async move {
        let answers = both_families(ask, &host).await;
        (host, answers)
    }))
    .buffer_unordered(LOOKUPS_AT_ONCE);
    while let Some((host, answers)) = answers.next().await {
        let settled = settle(&host, answers, memory);
        hosts.insert(host, settled);
    }
    memory.0.retain(|(host, _), _| hosts.contains_key(host));
    let ttl = hosts.values().filter_map(|h| h.ttl).fold(reply.ttl, Duration::min);
    let members = targets.iter().flat_map(|target| of_target(target, &hosts)).collect();
    // In the order of names, so that the same failure is told each time; one that counts before one
    // that does not.
    let mut gaps: Vec<Gap> = hosts.into_values().filter_map(|h| h.gap).collect();
    gaps.sort_by_key(|gap| !gap.counts);
    finish(members, ttl, gaps.into_iter().next())
}

/// The targets whose addresses came along with the answer.
fn along(targets: &[Target], reply: &Reply, memory: &mut Memory) -> BTreeMap<Name, Host> {
    let mut hosts: BTreeMap<Name, Host> = BTreeMap::new();
    for (name, ip) in &reply.extra {
        if targets.iter().any(|t| t.host == *name) {
            hosts.entry(name.clone()).or_default().addresses.push(*ip);
        }
    }
    for (name, host) in &mut hosts {
        host.addresses.sort_unstable();
        host.addresses.dedup();
        for family in FAMILIES {
            let mine = host.addresses.iter().copied().filter(|ip| family_of(*ip) == family).collect();
            memory.0.insert((name.clone(), family), mine);
        }
    }
    hosts
}

fn of_target(target: &Target, hosts: &BTreeMap<Name, Host>) -> Vec<Member> {
    let node = target.host.to_ascii().trim_end_matches('.').to_owned();
    let labels = Arc::new(Labels { node, ..Labels::default() });
    let addresses = hosts.get(&target.host).map(|h| h.addresses.as_slice()).unwrap_or_default();
    addresses.iter().map(|ip| member(*ip, target.port, target.weight, &labels)).collect()
}

fn finish(members: Vec<Member>, ttl: Duration, gap: Option<Gap>) -> Result<Round, Failure> {
    match gap {
        Some(gap) if members.is_empty() => Err(gap.failure),
        gap => Ok(Round { members: Members::new(members), ttl, gap }),
    }
}

async fn both_families(ask: &impl Ask, name: &Name) -> [Result<Reply, Failure>; 2] {
    let (v4, v6) = tokio::join!(chase(ask, name, FAMILIES[0]), chase(ask, name, FAMILIES[1]));
    [v4, v6]
}

/// Puts together what the two families answered, and remembers it.
fn settle(name: &Name, answers: [Result<Reply, Failure>; 2], memory: &mut Memory) -> Host {
    let mut addresses = Vec::new();
    let (mut found, mut none): (Option<Duration>, Option<Duration>) = (None, None);
    let mut failed: Option<Gap> = None;
    for (family, answer) in FAMILIES.into_iter().zip(answers) {
        let key = (name.to_lowercase(), family);
        match answer {
            Ok(reply) => {
                let mine = reply.addresses();
                let ttl = if mine.is_empty() { &mut none } else { &mut found };
                *ttl = Some(ttl.map_or(reply.ttl, |ttl| ttl.min(reply.ttl)));
                addresses.extend(&mine);
                memory.0.insert(key, mine);
            }
            Err(failure) => {
                let known = memory.0.get(&key).map(Vec::as_slice).unwrap_or_default();
                addresses.extend(known);
                let counts = !known.is_empty();
                if failed.as_ref().is_none_or(|gap| counts && !gap.counts) {
                    failed = Some(Gap { failure, counts });
                }
            }
        }
    }
    let gap = failed.map(|gap| Gap { counts: gap.counts || addresses.is_empty(), ..gap });
    Host { addresses, ttl: found.or(none), gap }
}

/// Asks, and asks on where the chain of names leaves the answer.
async fn chase(ask: &impl Ask, name: &Name, kind: RecordType) -> Result<Reply, Failure> {
    let mut at = name.clone();
    let mut ttl: Option<Duration> = None;
    for _ in 0..MAX_CHAIN {
        let reply = ask.ask(&at, kind).await?;
        let least = ttl.map_or(reply.ttl, |ttl| ttl.min(reply.ttl));
        match reply.next {
            None => return Ok(Reply { ttl: least, ..reply }),
            Some(next) => (at, ttl) = (next, Some(least)),
        }
    }
    Err(Failure::new("malformed", format!("the chain of names from {name} has no end")))
}

fn member(ip: IpAddr, port: u16, weight: u32, labels: &Arc<Labels>) -> Member {
    let address = SocketAddr::new(ip, port);
    Member { address, weight, registry: Registry::Passing, labels: Arc::clone(labels) }
}

fn family_of(ip: IpAddr) -> RecordType {
    if ip.is_ipv4() { RecordType::A } else { RecordType::AAAA }
}

#[cfg(test)]
mod tests;
