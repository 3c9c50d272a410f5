//! Config and members to a snapshot, in two steps: a [`Plan`], which can fail, and snapshots from
//! it, which cannot.
//!
//! A plan is made once per config: routes, filters, hash policies. It reports every problem, not
//! the first, and shares with the snapshot that serves every route that is the same ([`before`]). Each
//! later change of members makes a new snapshot from the same plan, and shares with the previous one
//! every cluster whose members did not change.

mod before;
mod route;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use xxhash_rust::xxh3::Xxh3;

use crate::balance::hash::HashPolicy;
use crate::cluster::{Cluster, Transport};
use crate::config::boot;
use crate::config::live::{self, Live};
use crate::config::{Name, Problem};
use crate::endpoint::{Members, Roster};
use crate::filter::Registry;
use crate::observe::Metrics;
use crate::observe::access::AccessLog;
use crate::route::{Router, Rule};
use crate::snapshot::compile::before::{Before, Known};
use crate::snapshot::compile::route::Draft;
use crate::snapshot::mirror::Connections;
use crate::snapshot::tcp::Tcp;
use crate::snapshot::{Serving, Snapshot, Table};
use crate::split::Standing;

/// What every compilation of a process shares.
#[derive(Debug)]
pub struct Surroundings {
    pub metrics: Arc<Metrics>,
    /// The filters that routes may name.
    pub filters: Registry,
    /// The names of the listeners, in the order of their indexes.
    pub listeners: Vec<String>,
    /// What each of them does with connections, if it passes them on as bytes; none: none does.
    pub tcp: Vec<Option<boot::Tcp>>,
    /// The connections to mirrors, which outlive snapshots.
    pub mirrors: Arc<Connections>,
}

/// A config that holds together, compiled as far as it goes without members.
#[derive(Clone, Debug)]
pub struct Plan {
    pub live: Arc<Live>,
    table: Arc<Table>,
    clusters: Box<[PlannedCluster]>,
    /// The indexes of the routes that have a split.
    splits: Box<[usize]>,
    /// Whether any route has a mirror.
    mirrors: bool,
}

#[derive(Clone, Debug)]
struct PlannedCluster {
    name: Name,
    config: Arc<live::Cluster>,
    /// Whether its members come from a source and not from the file.
    discovered: bool,
    fingerprint: u64,
    hash: HashPolicy,
    transport: Transport,
}

/// What makes one snapshot differ from the one before it.
pub struct Step<'a> {
    pub previous: &'a Snapshot,
    /// The newest members of a cluster and fingerprint, if its source has answered.
    pub members: &'a dyn Fn(&Name, u64) -> Option<Members>,
    /// What stands over the file's weights of a route.
    pub standing: &'a dyn Fn(&Name) -> Standing,
    pub access_log: Arc<AccessLog>,
    pub cause: String,
    pub now: SystemTime,
}

// === impl Plan ===

impl Plan {
    /// Compiles a config. Nothing is touched when it fails.
    ///
    /// # Errors
    ///
    /// Every problem, with its config path.
    pub fn new(live: Arc<Live>, around: &Surroundings) -> Result<Self, Vec<Problem>> {
        Self::after(None, live, around)
    }

    /// As [`new`](Self::new), and takes over what is the same in a snapshot that was compiled in the same
    /// surroundings. What comes out serves alike.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn after(
        previous: Option<&Snapshot>,
        live: Arc<Live>,
        around: &Surroundings,
    ) -> Result<Self, Vec<Problem>> {
        // Destructured in full, so that a new key can't be forgotten here.
        let Live { access_log: _, consul: _, clusters, routes, splits: _, forwarding: _, register: _ } =
            &*live;
        let mut problems = Vec::new();
        let mut planned = Vec::with_capacity(clusters.len());
        for (index, (name, cluster)) in clusters.iter().enumerate() {
            let old = previous.and_then(|before| before.cluster_near(index, name));
            match PlannedCluster::new(name, cluster, old) {
                Ok(cluster) => planned.push(cluster),
                Err(more) => problems.extend(more),
            }
        }
        let mut before = previous.map(|snapshot| Before::new(snapshot, &live));
        let known = |(position, route)| before.as_mut()?.known(position, route);
        let known: Vec<_> = routes.iter().enumerate().map(known).collect();
        let router = router(routes, &known, previous).map_err(|more| problems.extend(more));
        let indexes: HashMap<_, _> = clusters.keys().enumerate().map(|(index, name)| (name, index)).collect();
        let mut drafts = Vec::with_capacity(routes.len());
        let mut splits = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            let kept = || previous?.table.routes.get(known[index]?.whole()?).cloned();
            let kept = kept().filter(|kept| kept.split().is_none_or(|place| place == splits.len()));
            let draft = match kept {
                Some(route) => Ok(Draft::Kept(route)),
                None => route::draft(&format!("routes[{index}]"), route, splits.len(), &indexes, around),
            };
            match draft {
                Ok(draft) => drafts.push(draft),
                Err(more) => problems.extend(more),
            }
            splits.extend(route.split.is_some().then_some(index));
        }
        let passed = tcp(&indexes, &live, around).map_err(|more| problems.extend(more));
        let Ok(router) = router else { return Err(problems) };
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut table = route::finish(router, drafts, &live, &indexes, around);
        table.tcp = passed.unwrap_or_default();
        let table = Arc::new(table);
        let mirrors = live.routes.iter().any(|route| route.mirror.is_some());
        Ok(Self { table, clusters: planned.into(), splits: splits.into(), mirrors, live })
    }

    /// Whether this is the same config, and the files that it names hold the same.
    pub fn same(&self, other: &Self) -> bool {
        let keys = |plan: &Self| plan.clusters.iter().map(|c| c.transport.key()).collect::<Vec<_>>();
        self.live == other.live && keys(self) == keys(other)
    }

    /// Whether a cluster of this config asks this question.
    pub fn asks(&self, cluster: &Name, fingerprint: u64) -> bool {
        let found = self.clusters.binary_search_by(|planned| planned.name.cmp(cluster));
        found.is_ok_and(|index| self.clusters[index].fingerprint == fingerprint)
    }

    /// Whether ejections are followed in a cluster of this config.
    pub fn judges(&self, cluster: &Name) -> bool {
        self.live.clusters.get(cluster).is_some_and(|config| config.outlier_detection.is_some())
    }

    /// What this config asks of sources: clusters by name, with the fingerprints of their
    /// questions.
    pub fn questions(&self) -> impl Iterator<Item = (&Name, u64)> {
        self.clusters.iter().filter(|c| c.discovered).map(|c| (&c.name, c.fingerprint))
    }

    /// The next snapshot.
    pub fn snapshot(&self, step: Step<'_>, roster: &mut Roster, around: &Surroundings) -> Snapshot {
        let Step { previous, members, standing, access_log, cause, now } = step;
        if self.mirrors {
            around.mirrors.get();
        }
        let mut hasher = Xxh3::new();
        hasher.update(&self.table.digest.to_le_bytes());
        let compile = |planned: (usize, &PlannedCluster)| {
            let (index, PlannedCluster { name, config, fingerprint, hash, transport, .. }) = planned;
            let members = members(name, *fingerprint);
            let kept = previous.cluster_near(index, name).filter(|old| {
                let same = match (&old.members, &members) {
                    (Some(a), Some(b)) => a.same(b),
                    (None, None) => true,
                    _ => false,
                };
                let way = old.transport.key() == transport.key();
                let config = Arc::ptr_eq(&old.config, config) || old.config == *config;
                same && way && old.fingerprint == *fingerprint && config
            });
            let cluster = match kept {
                Some(old) => old.clone(),
                None => {
                    let (how, metrics) = ((hash.clone(), transport.clone()), &around.metrics);
                    Arc::new(Cluster::compile(name, config, *fingerprint, how, members, roster, metrics))
                }
            };
            hasher.update(&cluster.digest.to_le_bytes());
            cluster
        };
        let clusters = self.clusters.iter().enumerate().map(compile).collect();
        let splits = self.splits(previous, standing);
        splits.iter().for_each(|serving| hasher.update(&serving.digest.to_le_bytes()));
        Snapshot {
            generation: previous.generation + 1,
            digest: format!("{:032x}", hasher.digest128()),
            published_at: now,
            cause,
            live: self.live.clone(),
            table: self.table.clone(),
            clusters,
            splits,
            access_log,
        }
    }

    fn splits(&self, previous: &Snapshot, standing: &dyn Fn(&Name) -> Standing) -> Arc<[Arc<Serving>]> {
        // The config itself is the same but for reloads: then only what stands over it can differ.
        let unchanged = Arc::ptr_eq(&previous.live, &self.live);
        // Mostly the same splits as before, in the same places.
        let mut by_name: Option<HashMap<&Name, &Arc<Serving>>> = None;
        let mut before = |position: usize, name: &Name| {
            let here = previous.splits.get(position).filter(|serving| serving.route == *name);
            here.or_else(|| {
                let all = || previous.splits.iter().map(|serving| (&serving.route, serving)).collect();
                by_name.get_or_insert_with(all).get(name).copied()
            })
        };
        let next = |(position, index): (usize, &usize)| {
            let live::Route { name, split, .. } = &self.live.routes[*index];
            let (old, standing) = (before(position, name), standing(name));
            match old {
                Some(old) if unchanged && old.standing == standing => Some(old.clone()),
                _ => Some(Serving::next(name, split.as_ref()?, standing, old)),
            }
        };
        self.splits.iter().enumerate().filter_map(next).collect()
    }
}

// === impl PlannedCluster ===

impl PlannedCluster {
    /// `old`: the cluster of this name that serves. What reads files is made anew all the same.
    fn new(name: &Name, config: &live::Cluster, old: Option<&Arc<Cluster>>) -> Result<Self, Vec<Problem>> {
        let at = format!("clusters.{name}");
        let hash = HashPolicy::new(&config.load_balancing.hash)
            .map_err(|why| vec![Problem::new(format!("{at}.load_balancing.hash"), why)]);
        match (hash, Transport::compile(config, &at)) {
            (Ok(hash), Ok(transport)) => Ok(Self {
                name: name.clone(),
                config: match old.filter(|old| *old.config == *config) {
                    Some(old) => old.config.clone(),
                    None => Arc::new(config.clone()),
                },
                discovered: config.r#static.is_none(),
                fingerprint: config.fingerprint(),
                hash,
                transport,
            }),
            (hash, transport) => Err(hash.err().into_iter().chain(transport.err()).flatten().collect()),
        }
    }
}

/// The router of a config's routes. If all their conditions are those of the previous one, it is that.
fn router(
    routes: &[live::Route],
    known: &[Option<Known>],
    previous: Option<&Snapshot>,
) -> Result<Arc<Router>, Vec<Problem>> {
    if let Some(before) = previous
        && before.live.routes.len() == routes.len()
        && (0..).zip(known).all(|(index, known)| known.is_some_and(|known| known.index() == index))
        && before.live.routes.iter().zip(routes).all(|(old, new)| old.priority == new.priority)
    {
        return Ok(before.table.router.clone());
    }
    let rules = routes.iter().map(|r| Rule { name: &r.name, priority: r.priority, conditions: &r.r#match });
    let rules: Vec<_> = rules.collect();
    let kept = |index: usize| previous?.table.router.keep(known[index]?.index());
    Router::compile_from(&rules, kept).map(Arc::new)
}

/// What the listeners do that pass bytes on.
fn tcp(
    indexes: &HashMap<&Name, usize>,
    live: &Live,
    around: &Surroundings,
) -> Result<Box<[Option<Tcp>]>, Vec<Problem>> {
    let mut problems = Vec::new();
    let compile = |(index, tcp): (usize, &Option<boot::Tcp>)| {
        let listener = around.listeners.get(index)?;
        let at = format!("listeners[{index}]");
        let compiled = Tcp::compile(listener, tcp.as_ref()?, &at, indexes, live, &around.metrics);
        compiled.map_err(|more| problems.extend(more)).ok()
    };
    let all = around.tcp.iter().enumerate().map(compile).collect();
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

impl std::fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step").field("cause", &self.cause).finish_non_exhaustive()
    }
}
