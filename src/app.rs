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

mod handover;
mod lifecycle;
mod listening;
mod pid_file;
mod service;
mod signals;
mod systemd;
mod wiring;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use pingora::services::ServiceWithDependents;
use pingora::services::background::background_service;
use tokio::signal::unix::Signal;
use tracing::{error, info};

use crate::admin;
use crate::config::{Boot, Config, Problem, load};
use crate::consul::{self, Settings};
use crate::control::Writer;
use crate::control::members::Book;
use crate::control::watch::Stamp;
use crate::endpoint::Roster;
use crate::filter::{Filter, Registry};
use crate::observe::Metrics;
use crate::observe::access::AccessLog;
use crate::register;
use crate::snapshot::compile::{Plan, Step, Surroundings};
use crate::snapshot::{Snapshot, Table};
use crate::split::Standing;
use crate::tls::{self, Terminator};
use crate::upgrade::heir::{self, Heir, HeirError};
use crate::upgrade::sockets::BindError;
use crate::upgrade::spawn::Program;

use self::handover::{Parts, Upgrades};
use self::signals::{Ends, Signals};
use self::wiring::Core;

/// A Tidegate that is about to run.
pub struct Builder {
    source: Source,
    filters: Registry,
    services: Vec<Box<dyn ServiceWithDependents>>,
    upgrade: bool,
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
    #[error("{0}")]
    Heir(#[from] HeirError),
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

    /// Takes over from the process that runs at the config's `server.upgrade_socket`.
    #[must_use]
    pub fn upgrade(self) -> Self {
        Self { upgrade: true, ..self }
    }

    /// Runs another Pingora service in the same process. Such a process cannot be upgraded in place:
    /// nobody hands the service's sockets on.
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
        let settings = Settings::resolve(&config.live.consul, &consul::from_environment).ok();
        let agent = settings.as_ref().map(|settings| &settings.address);
        warnings.extend(register::warnings(&config.live, &config.boot, agent));
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
        let program = self.program();
        let (ends, hangups) = signals::listen();
        let mut heir = self.heir()?;
        match self.build(program, ends, hangups, &mut heir) {
            Ok((server, signals)) => {
                info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "starting");
                server.run(RunArgs { shutdown_signal: Box::new(signals) });
                Ok(())
            }
            Err(error) => {
                if let Some(heir) = heir {
                    heir.failed(error.to_string());
                }
                Err(error)
            }
        }
    }

    /// What an upgrade starts, or why there can be none.
    fn program(&self) -> Result<Program, String> {
        if !self.services.is_empty() {
            let why = "this process runs services beside the proxy (as `tidegate demo` does), whose ports \
                       a new one could not have; stop it and start anew";
            return Err(why.into());
        }
        if std::process::id() == 1 {
            let why = "this is process 1, with which a container ends; replace the container";
            return Err(why.into());
        }
        Program::at_start().map_err(|error| format!("nothing says which binary this is: {error}"))
    }

    /// The process that we are to take over from, if any: it started us, or we were told to.
    fn heir(&self) -> Result<Option<Heir>, StartError> {
        let stream = match heir::born()? {
            Some(stream) => stream,
            None if self.upgrade => {
                let (config, ..) = self.load().map_err(StartError::Config)?;
                heir::connect(&config.boot.server.upgrade_socket)?
            }
            None => return Ok(None),
        };
        let heir = Heir::meet(stream)?;
        info!(elder = heir.elder.pid, version = heir.elder.version, "is to take over");
        Ok(Some(heir))
    }

    /// Wires all up. `heir` is taken when nothing can fail any more.
    fn build(
        self,
        program: Result<Program, String>,
        ends: Ends,
        hangups: Option<Signal>,
        heir: &mut Option<Heir>,
    ) -> Result<(Server, Signals), StartError> {
        let read = match &self.source {
            Source::File(path) => Some((path.clone(), Stamp::of(path))),
            Source::BuiltIn(_) => None,
        };
        let (config, file, places) = self.checked()?;
        let mut core = Core::new(&config.boot, Arc::new(self.surroundings(&config.boot)?), heir.is_some())?;
        let placed = |problems| StartError::Config(places.place(problems));
        core.terminators = Terminator::all(&core.boot, &core.around.metrics).map_err(placed)?;
        let heritage = heir.as_mut().map(|heir| std::mem::take(&mut heir.heritage));
        let (around, cell, ready, owner) = core.shared();
        let writer = Writer::new(config, file, around, cell, ready, heritage, owner).map_err(placed)?;
        // It holds the text of the file, and this function lasts as long as the process.
        drop(places);
        let mut server = Server::new_with_opt_and_conf(None, server_conf(&core.boot));
        let lifecycle = core.lifecycle(&server);
        let asks = handover::asks();
        let signals = lifecycle.signals(ends, asks.0.clone(), core.register.clone());
        let reins = lifecycle.reins();
        if heir.is_none() {
            reins.pid_file.write()?;
        }
        let front = self.services.is_empty().then(|| core.boot.server.upgrade_socket.clone());
        let health = core.background(&mut server, &lifecycle, writer, (read, hangups));
        let house = core.house(reins);
        let proxy = core.edges(&mut server, &health);
        let patience = core.boot.server.upgrade_timeout.0;
        let upgrades = Upgrades::new(Parts { house, heir: heir.take(), program, front, patience, asks });
        server.add_service(background_service("upgrade", upgrades)).add_dependency(&health);
        for service in self.services {
            server.add_boxed_service(service);
        }
        let systemd = core.systemd(proxy.clone());
        lifecycle.watch(proxy, core.gates.proxy);
        if let Some(systemd) = systemd {
            systemd.start();
        }
        Ok((server, signals))
    }

    /// The config, if there is nothing wrong with it. Before the sockets: what `check` says is what
    /// a start says.
    fn checked(&self) -> Result<(Config, Option<PathBuf>, load::Places), StartError> {
        let (config, file, places) = self.load().map_err(StartError::Config)?;
        let problems = self.compile_problems(&config);
        if !problems.is_empty() {
            return Err(StartError::Config(places.place(problems)));
        }
        Ok((config, file, places))
    }

    fn from(source: Source) -> Self {
        Self { source, filters: Registry::default(), services: Vec::new(), upgrade: false }
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
