//! Where the listeners that pass bytes on send their connections.
//!
//! The listener is fixed for the life of the process, the clusters are not. So this is compiled into
//! each table anew: a cluster that a listener names and a new config does not have is a problem of
//! that config.
//!
//! A split is the one of routes with the client's address as its key, by the same code; its weights
//! are those of the file, as nothing stands over them at run time yet.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, Method};

use crate::config::live::{self, Live};
use crate::config::value::HostPattern;
use crate::config::{Name, Problem, boot};
use crate::observe::metrics::{Counter, Metrics};
use crate::route::RequestView;
use crate::split::{Assignment, Excluded, Reason, Split, Weights};

/// How long no byte may pass, where the listener says nothing.
const IDLE: Duration = Duration::from_secs(3600);

/// What one listener does with its connections.
#[derive(Debug)]
pub struct Tcp {
    pub target: Target,
    pub idle_timeout: Duration,
}

/// Where they go. Numbers are indexes into the snapshot's clusters.
#[derive(Debug)]
pub enum Target {
    Cluster(usize),
    Sni(Names),
    Split(Box<Shares>),
}

/// By the name that a TLS client asks for.
#[derive(Debug)]
pub struct Names {
    exact: HashMap<Box<str>, usize>,
    /// As `.example.com`; the longest first.
    suffixes: Box<[(Box<str>, usize)]>,
    /// Where no name fits, or none is asked for.
    pub other: Option<usize>,
}

/// By the client's address.
#[derive(Debug)]
pub struct Shares {
    split: Split,
    weights: Weights,
    /// By variant, in the order of [`Reason::ALL`].
    assigned: Box<[[Counter; Reason::ALL.len()]]>,
}

/// The variant of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Of the variant.
    pub index: usize,
    pub cluster: usize,
    reason: Reason,
}

// === impl Tcp ===

impl Tcp {
    /// Compiles what the listener at `at` of the boot config does.
    ///
    /// # Errors
    ///
    /// Every cluster that is not there, or is not one for bytes.
    pub fn compile(
        listener: &str,
        config: &boot::Tcp,
        at: &str,
        indexes: &HashMap<&Name, usize>,
        live: &Live,
        metrics: &Metrics,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let at = format!("{at}.tcp");
        let mut find = |at: String, name: &Name| {
            let index = indexes.get(name).copied();
            match (index, live.clusters.get(name)) {
                (Some(_), Some(cluster)) => problems.extend(speaks_tls(&at, name, cluster, live)),
                _ => problems.push(
                    Problem::new(at, format!("unknown cluster `{name}`, which the running listener names"))
                        .did_you_mean(name.as_str(), indexes.keys().map(|name| name.as_str())),
                ),
            }
            index.unwrap_or_default()
        };
        let cluster = config.cluster.as_ref().map(|name| find(format!("{at}.cluster"), name));
        let target = if let Some(split) = &config.split {
            for (index, variant) in split.variants.iter().enumerate() {
                find(format!("{at}.split.variants[{index}].cluster"), &variant.cluster);
            }
            Shares::compile(listener, split, indexes, &at, metrics)
                .map(|shares| Some(Target::Split(Box::new(shares))))
        } else if config.sni.is_empty() {
            Ok(cluster.map(Target::Cluster))
        } else {
            let mut names = Names::new(cluster);
            for (index, route) in config.sni.iter().enumerate() {
                let cluster = find(format!("{at}.sni[{index}].cluster"), &route.cluster);
                route.names.iter().for_each(|name| names.add(name, cluster));
            }
            names.suffixes.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
            Ok(Some(Target::Sni(names)))
        };
        let idle_timeout = config.idle_timeout.map_or(IDLE, |span| span.0);
        match target {
            Ok(Some(target)) if problems.is_empty() => Ok(Self { target, idle_timeout }),
            Ok(None) if problems.is_empty() => Err(vec![Problem::new(at, "connections go nowhere")]),
            // What the split says of its clusters has been said.
            Err(more) if problems.is_empty() => Err(more),
            _ => Err(problems),
        }
    }
}

/// A cluster that is spoken to over TLS takes no bytes as they come.
fn speaks_tls(at: &str, name: &Name, cluster: &live::Cluster, live: &Live) -> Option<Problem> {
    let others = cluster.failover.iter().filter_map(|name| Some((name, live.clusters.get(name)?)));
    let mut all = std::iter::once((name, cluster)).chain(others);
    let (name, _) = all.find(|(_, cluster)| cluster.tls.is_some())?;
    let what = format!("the cluster `{name}` has `tls`, and a `tcp` listener passes bytes on as they are");
    Some(Problem::new(at, what).hint("name a cluster without `tls`; a client's own TLS is passed through"))
}

// === impl Names ===

impl Names {
    fn new(other: Option<usize>) -> Self {
        Self { exact: HashMap::new(), suffixes: Box::default(), other }
    }

    fn add(&mut self, name: &HostPattern, cluster: usize) {
        match name {
            HostPattern::Exact(name) => {
                self.exact.entry(name.clone()).or_insert(cluster);
            }
            HostPattern::Suffix(suffix) => {
                let mut all = std::mem::take(&mut self.suffixes).into_vec();
                all.push((suffix.clone(), cluster));
                self.suffixes = all.into();
            }
        }
    }

    /// The cluster of a name in lower case: exact before the longest wildcard, which stands for one
    /// label or more, as in the hosts of a route. Without the default.
    pub fn find(&self, name: &str) -> Option<usize> {
        let wildcard = || self.suffixes.iter().find(|(suffix, _)| name.ends_with(&**suffix));
        self.exact.get(name).copied().or_else(|| wildcard().map(|(_, cluster)| *cluster))
    }
}

// === impl Shares ===

impl Shares {
    fn compile(
        listener: &str,
        config: &boot::TcpSplit,
        indexes: &HashMap<&Name, usize>,
        at: &str,
        metrics: &Metrics,
    ) -> Result<Self, Vec<Problem>> {
        let config = live::Split {
            seed: Some(config.seed.clone().unwrap_or_else(|| listener.to_owned())),
            key: vec![live::SplitKey::SourceIp],
            variants: config.variants.clone(),
            overrides: Vec::new(),
            on_unhealthy: live::OnUnhealthy::Shift,
            tell_client: false,
        };
        let Ok(name) = listener.parse::<Name>() else { return Err(Vec::new()) };
        let split = Split::compile(&config, &|name| indexes.get(name).copied(), &format!("{at}.split"))?;
        let reasons = Reason::ALL.map(Reason::as_str);
        let assigned = split.variants.iter();
        let assigned = assigned.map(|v| metrics.tcp_split(listener, v.name.as_str(), reasons));
        Ok(Self { weights: Weights::of_file(&name, &config), assigned: assigned.collect(), split })
    }

    /// The variant of a client, leaving out those that are `excluded`.
    pub fn assign(
        &self,
        client: Option<IpAddr>,
        excluded: Excluded,
        rng: &mut fastrand::Rng,
    ) -> Option<Share> {
        let nothing = HeaderMap::new();
        let request =
            RequestView { host: "", path: "", query: None, method: &Method::GET, headers: &nothing };
        match self.split.assign(&self.weights, &request, client, excluded, rng) {
            Assignment::Variant { index, reason, unit: _ } => {
                Some(Share { index, cluster: self.split.variants[index].cluster, reason })
            }
            Assignment::Drained | Assignment::Exhausted => None,
        }
    }

    /// Counts a connection that was given a variant.
    pub fn count(&self, share: Share) {
        self.assigned[share.index][share.reason as usize].inc();
    }

    /// The name of a variant.
    pub fn name(&self, share: Share) -> &Name {
        &self.split.variants[share.index].name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_names_win_then_the_longest_wildcard() {
        let mut names = Names::new(Some(9));
        for (index, name) in ["*.example.com", "a.example.com", "*.b.example.com"].iter().enumerate() {
            names.add(&name.parse().unwrap(), index);
        }
        names.suffixes.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        for (name, cluster) in [
            ("a.example.com", Some(1)),
            ("x.example.com", Some(0)),
            ("x.b.example.com", Some(2)),
            ("y.x.b.example.com", Some(2)),
            ("b.example.com", Some(0)),
            ("example.com", None),
            ("badexample.com", None),
            ("", None),
        ] {
            assert_eq!(names.find(name), cluster, "{name}");
        }
    }
}
