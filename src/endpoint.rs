//! One address that can serve requests: what the registry says of it, and what we know of it
//! ourselves.
//!
//! [`Member`] is what a discovery source answers: plain data, compared by value. [`Endpoint`] is a
//! member compiled into a snapshot, joined to its [`State`], the facts that outlive snapshots
//! (in-flight requests, drained or not, later health and ejection). The [`roster`] keeps states by
//! (cluster, address), so that no change of weight, tag or route loses them.

pub mod faults;
pub mod lease;
pub mod memory;
pub mod pool;
pub mod roster;
mod sentence;
pub mod state;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::faults::{Failure, Faults, Reason};
pub use self::lease::Lease;
pub use self::memory::{ClusterMemory, Memory};
pub use self::pool::{Permit, Pool};
pub use self::roster::Roster;
pub use self::sentence::Sentence;
pub use self::state::{Checked, Standing, State};

/// What the registry says of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registry {
    #[default]
    Passing,
    /// Usable, with its own (usually smaller) weight.
    Warning,
    /// Not usable, unless too few others are (panic mode).
    Critical,
    /// Taken out by an operator: never usable, not even in panic mode.
    Maintenance,
}

/// One instance as a source answers it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    pub address: SocketAddr,
    /// The share against the others in the state `registry` says. 0: no requests.
    pub weight: u32,
    pub registry: Registry,
    #[serde(default)]
    pub labels: Arc<Labels>,
}

/// What is known of an instance beside its address: for people, logs and, later, locality.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Labels {
    /// The registry's own identity of it, as `node/service-id`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub datacenter: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
}

/// A whole answer of a source: sorted by address, each address once. Built by [`Members::new`]
/// only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Member>")]
pub struct Members(Arc<[Member]>);

/// A member in a snapshot.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub member: Member,
    pub state: Arc<State>,
    /// Whether the cluster has an active check, so that only those that passed it are available.
    pub probed: bool,
}

// === impl Members ===

impl Members {
    /// Sorts by address. Where an address comes twice, the better registry state wins, then the
    /// larger weight: two registrations of one process must not double its share, nor one failing
    /// check take both out.
    pub fn new(members: impl IntoIterator<Item = Member>) -> Self {
        let mut list: Vec<_> = members.into_iter().collect();
        list.sort_by(|a, b| {
            let key = |m: &Member| (m.address, m.registry, std::cmp::Reverse(m.weight));
            key(a).cmp(&key(b)).then_with(|| a.labels.id.cmp(&b.labels.id))
        });
        list.dedup_by_key(|m| m.address);
        Self(list.into())
    }
}

impl Members {
    /// Whether two sets are equal; at once where they are one and the same.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self == other
    }
}

impl From<Vec<Member>> for Members {
    fn from(members: Vec<Member>) -> Self {
        Self::new(members)
    }
}

impl std::ops::Deref for Members {
    type Target = [Member];

    fn deref(&self) -> &[Member] {
        &self.0
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// Whether an operator took it out (registry maintenance, or drained here). Such an endpoint is
    /// used in no mode.
    pub fn withdrawn(&self) -> bool {
        self.member.registry == Registry::Maintenance || self.state.draining() || self.member.weight == 0
    }

    /// Whether it should get new requests: the registry says passing or warning, the active check
    /// passes, real requests do not fail, and it is not withdrawn.
    pub fn available(&self) -> bool {
        self.member.registry <= Registry::Warning
            && !self.withdrawn()
            && (!self.probed || self.state.checked() == Checked::Up)
            && matches!(self.state.standing(), Standing::In | Standing::Returning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(port: u16, weight: u32, registry: Registry) -> Member {
        Member { address: ([127, 0, 0, 1], port).into(), weight, registry, labels: Arc::default() }
    }

    #[test]
    fn members_are_sorted_and_each_address_comes_once() {
        let members = Members::new([
            member(2, 1, Registry::Critical),
            member(1, 1, Registry::Passing),
            member(2, 3, Registry::Passing),
            member(2, 7, Registry::Passing),
        ]);
        let seen: Vec<_> = members.iter().map(|m| (m.address.port(), m.weight)).collect();
        assert_eq!(seen, [(1, 1), (2, 7)]);
    }
}
