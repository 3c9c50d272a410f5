//! Who stands in for a cluster: others, that are there, each once.
//!
//! Two clusters may name each other. Nobody goes round in circles: only the list of the cluster that
//! a route names counts.

use crate::config::live::{Cluster, Live, MAX_FAILOVER as MOST};
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
