//! Keeps the running sources equal to the config: starts what is new, stops what is gone, leaves
//! alone what did not change.
//!
//! A cluster is *the same* while its question is (service, tags, datacenter, ...; name, port, ...):
//! then its members, holds and status go on, whatever else a reload changes. A cluster with another
//! question starts anew, since the members of the old one would be wrong, not old. A change of how
//! the agent is reached makes new queries but keeps the members.
//!
//! At the start, each cluster's members on disk are sent at once, marked as such; the first live
//! answer replaces them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::config::Name;
use crate::config::live::{self, Live};
use crate::discovery::consul::{Consul, Setup, Subscriber};
use crate::discovery::dns::DnsSource;
use crate::discovery::keep::estate::Line;
use crate::discovery::keep::guard::Rules;
use crate::discovery::keep::{Begin, Keeper, Message};
use crate::discovery::{Answers, Source, Statuses, Stop, Update, consul, stopped};
use crate::state_file::Owner;

/// Looks up an environment variable.
pub type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Owns the sources.
pub struct Hub {
    env: Env,
    state_dir: Option<PathBuf>,
    statuses: Statuses,
    updates: mpsc::UnboundedSender<Update>,
    owner: Owner,
    /// The keeper's, both ends.
    inbox: mpsc::UnboundedSender<Message>,
    messages: mpsc::UnboundedReceiver<Message>,
}

/// What runs now.
struct Running {
    env: Env,
    inbox: mpsc::UnboundedSender<Message>,
    clusters: BTreeMap<Name, Cluster>,
    /// All Consul clusters.
    consul: Option<ConsulTask>,
    rules: Rules,
    next_id: u64,
}

struct Cluster {
    spec: Spec,
    answers: Answers,
    /// The task of a source that serves this cluster alone.
    task: Option<Task>,
}

struct ConsulTask {
    setup: Setup,
    wanted: watch::Sender<Arc<[Subscriber]>>,
    task: Task,
}

struct Task {
    stop: watch::Sender<bool>,
    join: JoinHandle<()>,
}

/// What a cluster asks for.
#[derive(Clone, Debug, PartialEq)]
enum Spec {
    Consul(live::ConsulService),
    Dns(live::Dns),
}

// === impl Hub ===

impl Hub {
    /// A hub that sends updates to `updates`, keeps its state in `state_dir` and reports to
    /// `statuses`. Reads `CONSUL_*` from the process environment.
    pub fn new(
        updates: mpsc::UnboundedSender<Update>,
        state_dir: Option<PathBuf>,
        statuses: Statuses,
    ) -> Self {
        let (inbox, messages) = mpsc::unbounded_channel();
        let env: Env = Arc::new(|name| std::env::var(name).ok());
        Self { env, state_dir, statuses, updates, owner: Owner::default(), inbox, messages }
    }

    /// One that writes to `state_dir` only while it is this process's.
    pub fn owned(self, owner: Owner) -> Self {
        Self { owner, ..self }
    }

    /// A line to the keeper, for those who hand members on.
    pub fn line(&self) -> Line {
        Line::new(self.inbox.clone())
    }

    /// Another environment.
    pub fn with_env(self, env: Env) -> Self {
        Self { env, ..self }
    }

    /// Runs the sources that `live` names until `stop`, or until its sender is gone. Returns when
    /// the members are on disk.
    pub async fn run(self, mut live: watch::Receiver<Arc<Live>>, mut stop: Stop) {
        let keeper = Keeper::new(self.updates, self.statuses, self.state_dir, self.owner);
        let keeper = Task::start(|stop| keeper.run(self.messages, stop));
        let mut running = Running {
            env: self.env,
            inbox: self.inbox,
            clusters: BTreeMap::new(),
            consul: None,
            rules: Rules::default(),
            next_id: 0,
        };
        loop {
            let now = live.borrow_and_update().clone();
            running.reconcile(&now).await;
            tokio::select! {
                changed = live.changed() => if changed.is_err() { break },
                () = stopped(&mut stop) => break,
            }
        }
        running.end().await;
        keeper.end().await;
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("state_dir", &self.state_dir).finish_non_exhaustive()
    }
}

// === impl Running ===

impl Running {
    async fn reconcile(&mut self, live: &Live) {
        let wanted: BTreeMap<&Name, Spec> =
            live.clusters.iter().filter_map(|(name, c)| Some((name, Spec::of(c)?))).collect();
        let gone: Vec<_> = self.clusters.iter().filter(|(n, c)| wanted.get(n) != Some(&c.spec)).collect();
        let gone: Vec<Name> = gone.into_iter().map(|(name, _)| name.clone()).collect();
        for name in gone {
            if let Some(task) = self.clusters.remove(&name).and_then(|cluster| cluster.task) {
                task.stop.send_replace(true);
            }
            if !wanted.contains_key(&name) {
                self.tell(Message::Forget(name));
            }
        }
        self.set_rules(Rules::from(&live.consul));
        for (name, spec) in wanted {
            if !self.clusters.contains_key(name) {
                self.begin(name, spec, live);
            }
        }
        self.consul(Setup::new(&live.consul, &*self.env)).await;
    }

    fn set_rules(&mut self, rules: Rules) {
        if self.rules == rules {
            return;
        }
        self.rules = rules;
        let of_consul = self.clusters.iter().filter(|(_, c)| matches!(c.spec, Spec::Consul(_)));
        for (name, _) in of_consul {
            self.tell(Message::Rules { cluster: name.clone(), rules });
        }
    }

    /// Makes a cluster known to the keeper and starts its source, unless that is shared.
    fn begin(&mut self, name: &Name, spec: Spec, live: &Live) {
        self.next_id += 1;
        let answers = Answers::new(name.clone(), self.next_id, self.inbox.clone());
        let (source, rules) = match spec {
            Spec::Consul(_) => (consul::KIND, self.rules),
            Spec::Dns(_) => ("dns", Rules::default()),
        };
        self.tell(Message::Begin(Box::new(Begin {
            answers: answers.clone(),
            source,
            subject: spec.subject().to_owned(),
            spec: spec.text(),
            fingerprint: live.clusters.get(name).map_or(0, live::Cluster::fingerprint),
            rules,
            max_age: live.consul.snapshot_max_age.0,
        })));
        let task = match spec.source() {
            None => None,
            Some(Ok(source)) => {
                let answers = answers.clone();
                Some(Task::start(|stop| async move { source.run(answers, stop).await }))
            }
            Some(Err(why)) => {
                answers.failed("config", &why, tokio::time::Instant::now().into_std());
                None
            }
        };
        self.clusters.insert(name.clone(), Cluster { spec, answers, task });
    }

    /// Tells the Consul source its clusters; starts it, or starts it anew if the agent is reached
    /// otherwise now.
    async fn consul(&mut self, setup: Setup) {
        let subscriber = |cluster: &Cluster| match &cluster.spec {
            Spec::Consul(spec) => Some(Subscriber { spec: spec.clone(), answers: cluster.answers.clone() }),
            Spec::Dns(_) => None,
        };
        let subscribers: Arc<[Subscriber]> = self.clusters.values().filter_map(subscriber).collect();
        let same = self.consul.as_ref().is_some_and(|running| running.setup == setup);
        // With nobody to serve it idles: ending it would give up its queries, see `consul`.
        if let Some(old) = self.consul.take_if(|_| !same) {
            old.task.end().await;
        }
        match &self.consul {
            Some(running) => {
                running.wanted.send_replace(subscribers);
            }
            None if subscribers.is_empty() => {}
            None => {
                let (wanted, told) = watch::channel(subscribers);
                let source = Consul::new(setup.clone(), told);
                let task = Task::start(|stop| source.run(stop));
                self.consul = Some(ConsulTask { setup, wanted, task });
            }
        }
    }

    fn tell(&self, message: Message) {
        // The keeper outlives this struct; see `Hub::run`.
        let _ = self.inbox.send(message);
    }

    async fn end(self) {
        if let Some(consul) = self.consul {
            consul.task.end().await;
        }
        let tasks: Vec<_> = self.clusters.into_values().filter_map(|cluster| cluster.task).collect();
        tasks.iter().for_each(|task| {
            task.stop.send_replace(true);
        });
        for task in tasks {
            task.end().await;
        }
    }
}

// === impl Task ===

impl Task {
    fn start<F: Future<Output = ()> + Send + 'static>(run: impl FnOnce(Stop) -> F) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, join: tokio::spawn(run(stopped)) }
    }

    async fn end(self) {
        self.stop.send_replace(true);
        let _ = self.join.await;
    }
}

// === impl Spec ===

impl Spec {
    /// None: the endpoints are written in the file.
    fn of(cluster: &live::Cluster) -> Option<Self> {
        let consul = cluster.consul.clone().map(Self::Consul);
        consul.or_else(|| cluster.dns.clone().map(Self::Dns))
    }

    /// The source of a cluster that has one of its own, or why its spec cannot be used.
    fn source(&self) -> Option<Result<Box<dyn Source>, String>> {
        match self {
            Self::Consul(_) => None,
            Self::Dns(spec) => {
                let source = DnsSource::new(spec);
                Some(source.map(|source| Box::new(source) as Box<dyn Source>))
            }
        }
    }

    fn subject(&self) -> &str {
        match self {
            Self::Consul(spec) => &spec.service,
            Self::Dns(spec) => &spec.name,
        }
    }

    /// The whole question as text, to know it again on disk.
    fn text(&self) -> String {
        let text = match self {
            Self::Consul(spec) => serde_json::to_string(spec).map(|json| format!("consul {json}")),
            Self::Dns(spec) => serde_json::to_string(spec).map(|json| format!("dns {json}")),
        };
        text.unwrap_or_default()
    }
}
