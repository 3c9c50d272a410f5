//! The only wiring: what runs in the process, and what waits for what.
//!
//! ```text
//! control (hub, writer, file watch, SIGHUP) --first snapshot--> health --first probes-->
//!     proxy, admin accept
//! ```
//!
//! The order is the point: nothing listens before there is something to serve, so a new process
//! never answers 503 for want of endpoints that it was about to learn, nor sends its first requests
//! to those that a probe would have found dead. Everything up to
//! [`Builder::run`]'s last line is plain synchronous code; runtimes belong to Pingora's services.
//!
//! A binary of your own adds filters:
//!
//! ```no_run
//! # fn shout(_: &serde_json::Value) -> Result<Box<dyn tidegate::filter::Filter>, String> { Err(String::new()) }
//! # fn main() -> std::process::ExitCode {
//! tidegate::app::Builder::file("tidegate.yaml").filter("shout", shout).run()
//! # }
//! ```

mod lifecycle;
mod listening;
mod service;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use pingora::services::ServiceWithDependents;
use pingora::services::background::background_service;
use tracing::{error, info};

use crate::admin;
use crate::config::{Boot, Config, Problem, load};
use crate::consul;
use crate::control::fleet::Heard;
use crate::control::members::Book;
use crate::control::ready::Ready;
use crate::control::watch::Stamp;
use crate::control::{Inbox, Writer};
use crate::discovery::Statuses;
use crate::endpoint::Roster;
use crate::filter::{Filter, Registry};
use crate::health;
use crate::health::service::board::Board;
use crate::observe::Metrics;
use crate::observe::access::AccessLog;
use crate::proxy::{Listener, Proxy};
use crate::snapshot::compile::{Plan, Step, Surroundings};
use crate::snapshot::{Cell, Snapshot, Table};
use crate::split::Standing;
use crate::state_file::Owner;
use crate::tls::{self, Terminator};
use crate::upgrade::activation;
use crate::upgrade::gate::Gate;
use crate::upgrade::sockets::{BindError, Claim, Sockets};

use self::lifecycle::Lifecycle;
use self::service::Control;

/// A Tidegate that is about to run.
pub struct Builder {
    source: Source,
    filters: Registry,
    services: Vec<Box<dyn ServiceWithDependents>>,
}

enum Source {
    File(PathBuf),
    BuiltIn(Box<Config>),
}

/// Why a process could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{}", list(.0))]
    Config(Vec<Problem>),
    #[error("{0}")]
    Bind(#[from] BindError),
    #[error("cannot write the pid file {path}: {why}", path = .0.display(), why = .1)]
    PidFile(PathBuf, std::io::Error),
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

// === impl Builder ===

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("filters", &self.filters).finish_non_exhaustive()
    }
}

impl Builder {
    /// Runs the config of a file, and follows its changes.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::from(Source::File(path.into()))
    }

    /// Runs a config that was built in code. There is nothing to reload.
    pub fn new(config: Config) -> Self {
        Self::from(Source::BuiltIn(Box::new(config)))
    }

    /// Lets routes name a filter of your own. `factory` gets the route's `config` for it.
    pub fn filter<F>(mut self, name: &str, factory: F) -> Self
    where
        F: Fn(&serde_json::Value) -> Result<Box<dyn Filter>, String> + Send + Sync + 'static,
    {
        self.filters.register(name, factory);
        self
    }

    /// Runs another Pingora service in the same process.
    pub fn service(mut self, service: impl ServiceWithDependents + 'static) -> Self {
        self.services.push(Box::new(service));
        self
    }

    /// Everything that is wrong with the config, without running it.
    pub fn problems(&self) -> Vec<Problem> {
        let (config, _, places) = match self.load() {
            Ok(loaded) => loaded,
            Err(problems) => return problems,
        };
        places.place(self.compile_problems(&config))
    }

    /// What is valid and odd: routes that can never win.
    pub fn warnings(&self) -> Vec<Problem> {
        let Ok((config, ..)) = self.load() else { return Vec::new() };
        let Ok(snapshot) = self.snapshot() else { return Vec::new() };
        let takes_http = config.boot.listeners.iter().any(|listener| listener.tcp.is_none());
        let mut warnings = tls::warnings(&config.boot);
        let name = |index: usize| &snapshot.table.routes[index].name;
        if snapshot.table.routes.is_empty() && takes_http {
            let none = Problem::new("routes", "there is no route, so every request is answered 404");
            warnings.push(none);
            return warnings;
        }
        let told = |(hidden, by): (usize, usize)| {
            let what =
                format!("`{}` can never win: `{}` takes all of its requests first", name(hidden), name(by));
            Problem::new(format!("routes[{hidden}]"), what)
                .hint("see \"which route wins\" in the README, or set `priority`")
        };
        warnings.extend(snapshot.table.router.shadowed().into_iter().map(told));
        for (name, cluster) in &snapshot.live.clusters {
            let key = cluster.consul.as_ref().map_or("service", |consul| consul.address.as_str());
            if !matches!(key, "service" | "lan" | "wan") {
                let what = format!("`{key}` is neither `service`, `lan` nor `wan`");
                let hint =
                    "instances without a tagged address of that name are reached by their service address";
                warnings.push(Problem::new(format!("clusters.{name}.consul.address"), what).hint(hint));
            }
        }
        warnings
    }

    /// The snapshot that the config gives while no source has answered: static clusters have
    /// members, others none.
    ///
    /// # Errors
    ///
    /// Every problem of the config.
    pub fn snapshot(&self) -> Result<Snapshot, Vec<Problem>> {
        let (config, _, places) = self.load()?;
        let (plan, around) = self.compile(&config).map_err(|problems| places.place(problems))?;
        let mut book = Book::default();
        book.enter_static(&plan.live);
        let nothing = Snapshot::empty(Table::empty(&around), Arc::new(AccessLog::default()));
        Ok(plan.snapshot(
            Step {
                previous: &nothing,
                members: &|name, fingerprint| book.find(name, fingerprint).cloned(),
                standing: &|_| Standing::default(),
                access_log: nothing.access_log.clone(),
                cause: "file".into(),
                now: std::time::SystemTime::UNIX_EPOCH,
            },
            &mut Roster::default(),
            &around,
        ))
    }

    /// Runs until the process is told to stop. Says on stderr why it could not start.
    pub fn run(self) -> ExitCode {
        match self.start() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("tidegate: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn start(self) -> Result<(), StartError> {
        let (signals, hangups) = lifecycle::listen();
        let read = match &self.source {
            Source::File(path) => Some((path.clone(), Stamp::of(path))),
            Source::BuiltIn(_) => None,
        };
        let (config, file, places) = self.load().map_err(StartError::Config)?;
        let boot = config.boot.clone();
        // Before the sockets: what `check` says is what a start says.
        let problems = self.compile_problems(&config);
        if !problems.is_empty() {
            return Err(StartError::Config(places.place(problems)));
        }
        let claims = claims(&boot);
        let sockets = Sockets::bind(&claims, activation::take(&claims))?;
        let around = Arc::new(self.surroundings(&boot)?);
        let terminators = Terminator::all(&boot, &around.metrics)
            .map_err(|problems| StartError::Config(places.place(problems)))?;
        let ready = Arc::new(Ready::new());
        let cell =
            Arc::new(Cell::new(Snapshot::empty(Table::empty(&around), Arc::new(AccessLog::default()))));
        let (heritage, owner) = (None, Owner::default());
        let writer = Writer::new(config, file, around.clone(), cell.clone(), ready.clone(), heritage, owner)
            .map_err(|problems| StartError::Config(places.place(problems)))?;
        // It holds the text of the file, and this function lasts as long as the process.
        drop(places);
        let drains = writer.drains();
        let (inbox, changes) = Inbox::new();
        let statuses = Statuses::default();
        let heard = Heard::default();

        let conf = server_conf(&boot);
        let mut server = Server::new_with_opt_and_conf(None, conf);
        let lifecycle = Lifecycle::new(&boot, ready.clone(), cell.clone(), server.watch_execution_phase());

        let control = Control::new(service::Parts {
            writer,
            changes,
            inbox: inbox.clone(),
            file: read,
            hangups,
            statuses: statuses.clone(),
            heard: heard.clone(),
            state_dir: boot.server.state_dir.clone(),
            cell: cell.clone(),
            stop: lifecycle.stop(),
            stopped: lifecycle.stopped(),
            terminators: terminators.iter().flatten().cloned().collect(),
        });
        let control = server.add_service(background_service("control", control));
        let board = Arc::new(Board::default());
        let checks = health::service::Service::new(
            cell.clone(),
            around.metrics.clone(),
            board.clone(),
            fastrand::Rng::new(),
        );
        let health = service::Health::new(checks, lifecycle.stop());
        let health = server.add_service(background_service("health", health));
        health.add_dependency(&control);

        let listeners = boot.listeners.iter().zip(terminators);
        let listeners = listeners.map(|(l, tls)| Listener::new(&boot, l, tls, &around.metrics)).collect();
        let proxy = Proxy::new(cell.clone(), ready.clone(), listeners);
        let gate = Gate::new(true);
        // Until it accepts, whatever else holds.
        ready.close();
        let (listening, conf) = (ready.clone(), server.configuration.clone());
        let door = service::proxy(&boot, (gate.clone(), sockets.clone()), conf, proxy.clone());
        server.add_service(door.opened(move || listening.open())).add_dependency(&health);

        let world =
            world::Process { cell, ready, inbox, statuses, heard, board, drains, around, boot: boot.clone() };
        let admin = service::admin(&boot.admin, (Gate::new(true), sockets), Arc::new(world));
        server.add_service(admin).add_dependency(&health);

        for service in self.services {
            server.add_boxed_service(service);
        }
        lifecycle.write_pid_file()?;
        let shutdown_signal = Box::new(lifecycle.signals(signals));
        lifecycle.watch(proxy, gate);
        info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "starting");
        server.run(RunArgs { shutdown_signal });
        Ok(())
    }

    fn from(source: Source) -> Self {
        Self { source, filters: Registry::default(), services: Vec::new() }
    }

    fn load(&self) -> Result<(Config, Option<PathBuf>, load::Places), Vec<Problem>> {
        match &self.source {
            Source::File(path) => load::file_and(path, |config| self.compile_problems(config))
                .map(|(config, places)| (config, Some(path.clone()), places)),
            Source::BuiltIn(config) => Ok(((**config).clone(), None, load::Places::default())),
        }
    }

    /// What shows when it is compiled, and whether Consul can be asked. Not for
    /// [`Builder::snapshot`]: to look at routes needs no token.
    fn compile_problems(&self, config: &Config) -> Vec<Problem> {
        let mut problems = self.compile(config).err().unwrap_or_default();
        problems.extend(consul::problems(&config.live, &consul::from_environment));
        problems.extend(admin::token_problem(&config.boot.admin));
        problems.extend(tls::problems(&config.boot));
        problems
    }

    /// Compiles what needs no members.
    fn compile(&self, config: &Config) -> Result<(Plan, Surroundings), Vec<Problem>> {
        let around = self.surroundings(&config.boot).map_err(|e| vec![Problem::new("", e.to_string())])?;
        Ok((Plan::new(Arc::new(config.live.clone()), &around)?, around))
    }

    fn surroundings(&self, boot: &Boot) -> Result<Surroundings, StartError> {
        let listeners = boot.listeners.iter().map(|l| l.name.to_string()).collect();
        let tcp = boot.listeners.iter().map(|l| l.tcp.clone()).collect();
        let (metrics, filters) = (Arc::new(Metrics::new()?), self.filters.clone());
        Ok(Surroundings { metrics, filters, listeners, tcp, mirrors: Arc::default() })
    }
}

/// What the process listens on.
fn claims(boot: &Boot) -> Vec<Claim> {
    let listeners = boot.listeners.iter().map(|l| Claim::listener(l.name.as_str(), l.address));
    listeners.chain([Claim::admin(boot.admin.address)]).collect()
}

/// What Pingora is told of the boot config. Its own retry loop is bounded by ours; see
/// `proxy::connect`.
fn server_conf(boot: &Boot) -> ServerConf {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if boot.server.threads == 0 { cores } else { boot.server.threads };
    ServerConf {
        threads,
        // `lifecycle` ends the process in time. Pingora's own end, which would cut its last words,
        // is only for the case that it can't.
        grace_period_seconds: Some(boot.server.grace_period.0.as_secs() + lifecycle::MARGIN),
        graceful_shutdown_timeout_seconds: Some(1),
        upstream_keepalive_pool_size: 1024,
        max_retries: 10,
        ..ServerConf::default()
    }
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    match lines.as_slice() {
        [one] => one.clone(),
        many => format!("{} problems in the config\n{}", many.len(), many.join("\n")),
    }
}

/// Says on the log that a task ended that should not.
fn ended(task: &'static str) {
    error!(task, "ended; restart the process");
}
