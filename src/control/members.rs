//! The newest members of every cluster, by the question that they answer.

use std::collections::{HashMap, HashSet};

use crate::config::{Live, Name};
use crate::discovery::Update;
use crate::endpoint::{Labels, Member, Members, Registry};

/// Members by cluster and fingerprint of its source; see `config::live::Cluster::fingerprint`.
#[derive(Debug, Default)]
pub struct Book(HashMap<(Name, u64), Members>);

// === impl Book ===

impl Book {
    /// Enters an answer.
    pub fn enter(&mut self, update: Update) {
        self.0.insert((update.cluster, update.fingerprint), update.members);
    }

    /// Enters the members of static clusters.
    pub fn enter_static(&mut self, live: &Live) {
        for (name, cluster) in &live.clusters {
            let Some(fixed) = &cluster.r#static else { continue };
            let members = fixed.endpoints.iter().map(|e| Member {
                address: e.address,
                weight: e.weight,
                registry: Registry::Passing,
                labels: Labels { meta: e.meta.clone(), ..Labels::default() }.into(),
            });
            self.0.insert((name.clone(), cluster.fingerprint()), Members::new(members));
        }
    }

    /// The members of a cluster, if its source has answered.
    pub fn find(&self, cluster: &Name, fingerprint: u64) -> Option<&Members> {
        self.0.get(&(cluster.clone(), fingerprint))
    }

    /// The clusters of a config that have no answer yet.
    pub fn missing(&self, live: &Live) -> HashSet<(Name, u64)> {
        let asked = live.clusters.iter().map(|(name, c)| (name.clone(), c.fingerprint()));
        asked.filter(|key| !self.0.contains_key(key)).collect()
    }

    /// Forgets answers that none of these configs asks for.
    pub fn retain(&mut self, configs: &[&Live]) {
        self.0.retain(|(name, fingerprint), _| {
            let asks =
                |live: &&Live| live.clusters.get(name).is_some_and(|c| c.fingerprint() == *fingerprint);
            configs.iter().any(asks)
        });
    }
}
