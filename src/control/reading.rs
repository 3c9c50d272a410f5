//! The config file, read and compiled beside the writer's loop.
//!
//! A large file takes milliseconds of one core, and a file on a network that hangs takes for ever;
//! members must wait for neither. One reading runs at a time. Who asks while it runs may have
//! changed the file after it was read, so the file is read once more afterwards, for all of those
//! together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::config::{Boot, Config, Live, Problem, load};
use crate::consul;
use crate::control::{Applied, Rejected};
use crate::observe::access::AccessLog;
use crate::snapshot::compile::{Plan, Surroundings};
use crate::snapshot::{Cell, Snapshot};

/// How long a file may take to be read and compiled before the reload is refused. The reading
/// itself cannot be stopped.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who asked for a reload and wants to know how it went.
pub(super) type Reply = oneshot::Sender<Result<Applied, Rejected>>;

/// One or more wishes for a reload.
#[derive(Debug)]
pub(super) struct Request {
    /// What the first of them gave as its reason.
    pub(super) cause: &'static str,
    pub(super) replies: Vec<Reply>,
}

/// A config that holds together.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) boot: Boot,
    pub(super) plan: Plan,
    /// The running one where the config does not move it.
    pub(super) access_log: Arc<AccessLog>,
}

type Outcome = Result<Candidate, Vec<Problem>>;

/// Reads when asked.
#[derive(Debug)]
pub(super) struct Reader {
    /// None: the config is built in.
    file: Option<PathBuf>,
    around: Arc<Surroundings>,
    cell: Arc<Cell>,
    running: Option<Running>,
    next: Option<Request>,
}

#[derive(Debug)]
struct Running {
    request: Request,
    task: JoinHandle<Outcome>,
    deadline: Instant,
}

// === impl Reader ===

impl Reader {
    pub(super) fn new(file: Option<PathBuf>, around: Arc<Surroundings>, cell: Arc<Cell>) -> Self {
        Self { file, around, cell, running: None, next: None }
    }

    /// Reads the file, now or after the reading that runs.
    pub(super) fn ask(&mut self, cause: &'static str, reply: Option<Reply>) {
        let request = Request { cause, replies: reply.into_iter().collect() };
        match (&self.running, &mut self.next) {
            (None, _) => self.start(request),
            (Some(_), Some(next)) => next.replies.extend(request.replies),
            (Some(_), next) => *next = Some(request),
        }
    }

    /// Whether somebody has asked and knows nothing yet.
    pub(super) fn busy(&self) -> bool {
        self.running.is_some()
    }

    /// Waits for the reading that runs, and starts the next. Never returns where nothing was asked.
    /// May be dropped and called again.
    pub(super) async fn done(&mut self) -> (Request, Outcome) {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let failed = |what: String| Err(vec![Problem::new("", what)]);
        let outcome = match timeout_at(running.deadline, &mut running.task).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => failed(format!("the config could not be compiled: {error}")),
            Err(_) => failed(format!("the config file could not be read within {PATIENCE:?}")),
        };
        let request = self.running.take().map(|running| running.request);
        if let Some(next) = self.next.take() {
            self.start(next);
        }
        // Always there: it was looked at above.
        (request.unwrap_or(Request { cause: "", replies: Vec::new() }), outcome)
    }

    fn start(&mut self, request: Request) {
        let (around, snapshot) = (self.around.clone(), self.cell.load());
        let task = match self.file.clone() {
            Some(file) => tokio::task::spawn_blocking(move || read(&file, &around, &snapshot)),
            None => tokio::spawn(async {
                let what = "this process runs a built-in config; there is no file to reload";
                Err(vec![Problem::new("", what)])
            }),
        };
        self.running = Some(Running { request, task, deadline: Instant::now() + PATIENCE });
    }
}

/// Reads and compiles. `running`: what serves now. Blocks.
fn read(file: &Path, around: &Surroundings, running: &Snapshot) -> Outcome {
    let compiled =
        |config: &Config| compile(None, Arc::new(config.live.clone()), around).err().unwrap_or_default();
    let (Config { boot, live }, places) = load::file_and(file, compiled)?;
    if live.routes.is_empty() && !running.live.routes.is_empty() {
        let what = "the file has no route any more, so every request would be answered 404";
        let hint = "a file that was cut off looks like this; to serve nothing, stop the process";
        return Err(places.place(vec![Problem::new("routes", what).hint(hint)]));
    }
    let access_log = match running.access_log_of(&live) {
        Some(log) => log,
        None => open_log(&live, around).map_err(|problems| places.place(problems))?,
    };
    let plan = compile(Some(running), Arc::new(live), around).map_err(|problems| places.place(problems))?;
    Ok(Candidate { boot, plan, access_log })
}

/// Compiles, and looks whether Consul can be asked at all where it is used: a config that can never
/// learn its members is refused like one that does not compile. `running`: what may be taken over from.
/// Reads files.
pub(super) fn compile(
    running: Option<&Snapshot>,
    live: Arc<Live>,
    around: &Surroundings,
) -> Result<Plan, Vec<Problem>> {
    let of_consul = consul::problems(&live, &consul::from_environment);
    match Plan::after(running, live, around) {
        Ok(plan) if of_consul.is_empty() => Ok(plan),
        Ok(_) => Err(of_consul),
        Err(problems) => Err(problems.into_iter().chain(of_consul).collect()),
    }
}

/// Opens the access log that a config names.
pub(super) fn open_log(live: &Live, around: &Surroundings) -> Result<Arc<AccessLog>, Vec<Problem>> {
    let dropped = around.metrics.access_log_dropped();
    AccessLog::new(&live.access_log, dropped).map(Arc::new).map_err(|why| {
        vec![Problem::new("access_log.path", format!("cannot open `{}`: {why}", live.access_log.path))]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Registry;
    use crate::observe::Metrics;
    use crate::snapshot::Table;

    fn reader(file: &Path) -> Reader {
        let metrics = Arc::new(Metrics::new().unwrap());
        let mirrors = Arc::default();
        let (listeners, tcp) = (Vec::new(), Vec::new());
        let around = Surroundings { metrics, filters: Registry::default(), listeners, tcp, mirrors };
        let nothing = Snapshot::empty(Table::empty(&around), Arc::default());
        Reader::new(Some(file.to_owned()), Arc::new(around), Arc::new(Cell::new(nothing)))
    }

    fn config(status: u16) -> String {
        let listener = "listeners: [ { name: a, address: 127.0.0.1:1 } ]";
        format!(
            "{listener}\naccess_log: {{ path: none }}\nroutes: [ {{ name: a, respond: {{ status: {status} }} }} ]\n"
        )
    }

    fn status(candidate: &Candidate) -> u16 {
        candidate.plan.live.routes[0].respond.as_ref().unwrap().status
    }

    #[tokio::test]
    async fn who_asks_while_it_reads_gets_one_more_reading_together() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.yaml");
        std::fs::write(&file, config(200)).unwrap();
        let mut reader = reader(&file);
        reader.ask("SIGHUP", None);
        let replies = [(); 2].map(|()| oneshot::channel());
        std::fs::write(&file, config(201)).unwrap();
        for (reply, _) in replies {
            reader.ask("api", Some(reply));
        }
        // What this one saw, the old file, the new one or half of it, is chance.
        let (first, _) = reader.done().await;
        assert_eq!((first.cause, first.replies.len()), ("SIGHUP", 0));
        let (second, outcome) = reader.done().await;
        assert_eq!((second.cause, second.replies.len()), ("api", 2));
        assert_eq!(status(&outcome.unwrap()), 201, "what was written before they asked");
        let nothing = tokio::time::timeout(Duration::from_millis(20), reader.done()).await;
        assert!(nothing.is_err(), "nobody asked for a third");
    }

    #[tokio::test]
    async fn a_consul_that_cannot_be_asked_is_refused_where_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.yaml");
        let consul = "consul: { address: '127.0.0.1:99999', token_file: nothing }\n";
        let refused = async |clusters: &str| {
            std::fs::write(&file, config(200) + consul + clusters).unwrap();
            let mut reader = reader(&file);
            reader.ask("api", None);
            let problems = reader.done().await.1.err().unwrap_or_default();
            assert!(problems.iter().all(|problem| problem.at.is_some()), "{problems:#?}");
            problems.into_iter().map(|problem| problem.path).collect::<Vec<_>>()
        };
        assert!(refused("").await.is_empty());
        let found = refused("clusters: { web: { consul: { service: web } } }\n").await;
        assert_eq!(found, ["consul.address"]);
    }

    #[tokio::test]
    async fn problems_of_every_stage_come_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.yaml");
        let bad =
            config(200).replace("name: a, respond", "name: a, match: { path: { regex: '/(' } }, respnod");
        std::fs::write(&file, bad).unwrap();
        let mut reader = reader(&file);
        reader.ask("SIGHUP", None);
        let problems = reader.done().await.1.unwrap_err();
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["routes[0].match.path.regex", "routes[0].respnod"], "{problems:#?}");
        assert!(problems.iter().all(|problem| problem.at.is_some()));
    }
}
