//! Consul as a source: one object for all Consul clusters of a config.
//!
//! It is not one [`Source`](crate::discovery::Source) a cluster because clusters share what costs:
//! two that name the same service in the same datacenter, and differ in tags or meta, share one
//! watcher, and all share the connections, of which an agent allows 200 to all programs of a
//! machine together. The first `max_watchers` services are watched by a blocking query each; those
//! beyond are read by a sweep when the catalog says that anything changed.
//!
//! A change of config reconciles: a watcher whose service is still named goes on with its query in
//! flight and only learns whom to tell. An abandoned blocking query keeps its connection slot at
//! the agent until its wait ends, so cancelling and asking anew on every reload would lock out this
//! program, and others of the machine.

pub(crate) mod backoff;
mod bucket;
mod poll;
mod select;
pub mod splits;
mod sweep;
mod tasks;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch as cell};

use crate::config::live;
use crate::consul::health::Instances;
use crate::consul::{Answer, Client, Error, Query, Settings};
use crate::discovery::consul::poll::Ask;
use crate::discovery::consul::select::{Selection, select};
use crate::discovery::consul::tasks::Tasks;
use crate::discovery::{Answers, Quality, Stop, stopped};

pub use self::poll::Timing;

/// The `source` label.
pub const KIND: &str = "consul";

/// How many first reads, which answer at once, may be under way together.
const FIRST_READS: usize = 20;

/// The most watchers whatever the config says, in clear (a connection each, of the 200 that an
/// agent grants to one address, resetting the others) and over TLS (streams of one connection, of
/// 250).
const MOST: (usize, usize) = (160, 220);

/// After a client could not be built (a CA file that is missing), how long until the next try.
const REBUILD: Duration = Duration::from_secs(30);

/// A cluster that wants to know the instances of a service.
#[derive(Clone, Debug)]
pub struct Subscriber {
    pub spec: live::ConsulService,
    pub answers: Answers,
}

/// What the source is built from. A change of any of it needs new queries.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    pub settings: Result<Settings, Error>,
    pub timing: Timing,
    pub max_watchers: usize,
}

/// The running source.
#[derive(Debug)]
pub struct Consul {
    setup: Setup,
    wanted: cell::Receiver<Arc<[Subscriber]>>,
}

/// A service in a datacenter, spelled as the config does: Consul finds it in any case, its ACL
/// rules may not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    datacenter: Option<String>,
    service: String,
}

type Wanted = BTreeMap<Key, Arc<[Subscriber]>>;

/// What all tasks of the source share.
#[derive(Clone, Debug)]
struct Shared {
    client: Client,
    timing: Timing,
    first_reads: Arc<Semaphore>,
}

// === impl Setup ===

impl Setup {
    /// Reads the `consul` section together with the environment.
    pub fn new(consul: &live::Consul, env: &dyn Fn(&str) -> Option<String>) -> Self {
        let timing =
            Timing { wait: consul.wait.0, max_stale: consul.max_stale.0, consistency: consul.consistency };
        let settings = Settings::resolve(consul, env);
        let tls = settings.as_ref().is_ok_and(|settings| settings.address.tls());
        let most = if tls { MOST.1 } else { MOST.0 };
        Self { settings, timing, max_watchers: consul.max_watchers.clamp(1, most) }
    }
}

// === impl Consul ===

impl Consul {
    /// A source that serves whoever is in `wanted`, which may change while it runs.
    pub fn new(setup: Setup, wanted: cell::Receiver<Arc<[Subscriber]>>) -> Self {
        Self { setup, wanted }
    }

    /// Watches until `stop`.
    pub async fn run(mut self, mut stop: Stop) {
        let mut tasks = None;
        loop {
            if tasks.is_none() {
                tasks = self.start();
            }
            let wanted = by_key(&self.wanted.borrow_and_update());
            let retry = match &mut tasks {
                Some(tasks) => {
                    tasks.reconcile(wanted);
                    Duration::MAX
                }
                None => REBUILD,
            };
            tokio::select! {
                changed = self.wanted.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(retry) => {}
                () = stopped(&mut stop) => break,
            }
        }
        if let Some(tasks) = tasks {
            tasks.end().await;
        }
    }

    /// None: the client cannot be built, and everybody was told why.
    fn start(&self) -> Option<Tasks> {
        match self.setup.settings.as_ref().map_err(Error::clone).and_then(Client::new) {
            Ok(client) => {
                let first_reads = Arc::new(Semaphore::new(FIRST_READS));
                let shared = Shared { client, timing: self.setup.timing, first_reads };
                Some(Tasks::new(shared, self.setup.max_watchers))
            }
            Err(error) => {
                failed(&self.wanted.borrow(), &error);
                None
            }
        }
    }
}

fn by_key(subscribers: &[Subscriber]) -> Wanted {
    let mut wanted: BTreeMap<Key, Vec<Subscriber>> = BTreeMap::new();
    for subscriber in subscribers {
        let spec = &subscriber.spec;
        let key = Key { datacenter: spec.datacenter.clone(), service: spec.service.clone() };
        wanted.entry(key).or_default().push(subscriber.clone());
    }
    wanted.into_iter().map(|(key, list)| (key, list.into())).collect()
}

// === impl Subscriber ===

impl Subscriber {
    /// Whether `other` is told and asks for the same.
    fn same(&self, other: &Self) -> bool {
        self.answers.same(&other.answers) && self.spec == other.spec
    }
}

// === impl Shared ===

impl Shared {
    /// Asks for a path. Reads that answer at once take turns, so that a start with many services is
    /// no stampede.
    async fn ask(&self, path: &[&str], key: (&Key, &[(&str, &str)]), ask: Ask) -> Result<Answer, Error> {
        let (key, params) = key;
        let mut all = params.to_vec();
        if let Some(datacenter) = &key.datacenter {
            all.push(("dc", datacenter));
        }
        let _turn = if ask.index == 0 { self.first_reads.acquire().await.ok() } else { None };
        let query =
            Query { path, params: &all, index: ask.index, wait: ask.wait, consistency: ask.consistency };
        self.client.get(&query).await
    }

    /// Asks for the instances of a service.
    async fn instances(&self, key: &Key, ask: Ask) -> Result<Answer, Error> {
        self.ask(&["health", "service", &key.service], (key, &[]), ask).await
    }
}

/// What a good answer said, with what is needed to say it again to a later subscriber.
#[derive(Clone, Debug)]
struct Known {
    instances: Instances,
    index: u64,
    quality: Quality,
}

// === impl Known ===

impl Known {
    /// Tells the members to each subscriber. Returns how many members they have together.
    fn tell<'a>(&self, subscribers: impl IntoIterator<Item = &'a Subscriber>, now: Instant) -> usize {
        let mut total = 0;
        for subscriber in subscribers {
            let selection = select(&self.instances, &subscriber.spec);
            total += selection.members.len();
            let Selection { members, elsewhere, dropped } = selection;
            subscriber.answers.detail(self.index, dropped.into());
            subscriber.answers.members_except(members, elsewhere.into(), self.quality, now);
        }
        total
    }
}

fn failed(subscribers: &[Subscriber], error: &Error) {
    let (now, why) = (now(), error.to_string());
    for subscriber in subscribers {
        subscriber.answers.failed(error.kind(), &why, now);
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
