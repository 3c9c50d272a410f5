//! Who stands in for a cluster: others, that are there, each once.
//!
//! Two clusters may name each other. Nobody goes round in circles: only the list of the cluster that
//! a route names counts.
//!
//! And who is near: known by something, under a policy that is free to prefer.

use crate::config::live::{Cluster, Live, Locality, MAX_FAILOVER as MOST};
use crate::config::{Name, Problem};

use super::route::known_cluster;

pub(super) fn check(path: &str, name: &Name, cluster: &Cluster, live: &Live, problems: &mut Vec<Problem>) {
    for (index, other) in cluster.failover.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if other == name {
            let problem = Problem::new(path, format!("`{name}` cannot stand in for itself"));
            problems.push(problem.hint("name other clusters, or leave it out"));
        } else if cluster.failover[..index].contains(other) {
            let problem = Problem::new(path, format!("`{other}` is named twice"));
            problems.push(problem.hint("the first place counts; take the second out"));
        } else {
            known_cluster(&path, other, live, problems);
        }
    }
    if cluster.failover.len() > MOST {
        let what = format!("{} clusters are too many", cluster.failover.len());
        problems.push(Problem::new(path, what).hint(format!("name {MOST} at most")));
    }
}

pub(super) fn locality(path: &str, locality: &Locality, hashes: bool, problems: &mut Vec<Problem>) {
    if hashes {
        let problem = Problem::new(path, "`locality` has no effect under this policy: the key decides");
        let hint = "use `policy: round_robin`, `random` or `least_request`, or leave it out";
        return problems.push(problem.hint(hint));
    }
    let Locality { datacenter, zone } = locality;
    if datacenter.is_none() && zone.is_none() {
        let problem = Problem::new(path, "nothing says who is near");
        problems.push(
            problem.hint("give this node's `zone`, as in the `meta` of endpoints, or its `datacenter`"),
        );
    }
    for (key, value) in [("datacenter", datacenter), ("zone", zone)] {
        if value.as_ref().is_some_and(|value| value.trim().is_empty()) {
            problems.push(Problem::new(format!("{path}.{key}"), format!("`{key}` is empty")));
        }
    }
}
