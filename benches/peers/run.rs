//! One scenario, from its start to its figures: all proxies are started, then checked and loaded one
//! after the other, round after round, so that each meets the same hours of a shared machine.
//!
//! A proxy that does not do what is asked of it is out for the scenario, with a note in the table, and
//! the run ends as failed; the others go on.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::Client;
use crate::load::{Loader, Seen};
use crate::machine::Cores;
use crate::options::Options;
use crate::outcome::{Figure, Outcome, Row};
use crate::peer::{Kind, Peer};
use crate::process::{Process, free_address};
use crate::scenario::{Ask, Load, Scenario};
use crate::subject::Subject;
use crate::{Result, check, idle};

/// What goes before the first round, so that caches, pools and heaps are as they will be.
const WARM_UP: Duration = Duration::from_secs(1);

/// All that a scenario needs.
struct Run<'a> {
    options: &'a Options,
    scenario: Scenario,
    cores: Cores,
    folder: &'a Path,
    behind: [std::net::SocketAddr; 3],
    loader: Loader,
    /// Requests a second, where a scenario has a steady rate.
    rate: f64,
    _backend: Process,
}

/// Measures all peers in one scenario.
pub(crate) fn scenario(
    scenario: Scenario,
    peers: &[Peer],
    options: &Options,
    folder: &Path,
) -> Result<Outcome> {
    let mut run = Run::new(scenario, options, folder)?;
    let rows = match scenario.load() {
        Load::Idle(connections) => run.idle(peers, connections),
        _ => run.loaded(peers)?,
    };
    Ok(Outcome { scenario, rows })
}

/// A row without figures yet.
fn row(peer: &Peer, scenario: Scenario) -> Row {
    let note = peer.kind.differs(scenario).map(str::to_owned);
    Row { peer: peer.name.clone(), rounds: Vec::new(), note, failed: false }
}

/// Notes that a peer is out.
fn fail(row: &mut Row, why: &dyn std::fmt::Display) {
    eprintln!("peers: {} IS OUT: {why}", row.peer);
    row.rounds.clear();
    row.note = Some(format!("OUT: {}", why.to_string().lines().next().unwrap_or_default()));
    row.failed = true;
}

// === impl Run ===

impl<'a> Run<'a> {
    fn new(scenario: Scenario, options: &'a Options, folder: &'a Path) -> Result<Self> {
        let cores = Cores::of(scenario.threads())?;
        let behind = [free_address()?, free_address()?, free_address()?];
        let arguments = [&["backend".to_owned()][..], &behind.map(|a| a.to_string())].concat();
        let backend = Process::start(&cores.backend, &std::env::current_exe()?, &arguments)?;
        backend.wait_for(behind[2])?;
        let loader = Loader::new(folder, &cores.load)?;
        Ok(Self { options, scenario, cores, folder, behind, loader, rate: 0.0, _backend: backend })
    }

    fn start(&self, peer: &Peer) -> Result<Subject> {
        let subject = Subject::start(peer, self.scenario, &self.cores, self.folder, &self.behind)?;
        let checked = check::before(&subject, self.scenario);
        checked.map_err(|e| format!("{e}\n{}", subject.complaints()))?;
        Ok(subject)
    }

    fn loaded(&mut self, peers: &[Peer]) -> Result<Vec<Row>> {
        let mut running = Vec::new();
        for peer in peers {
            let mut row = row(peer, self.scenario);
            let started = self.start(peer).and_then(|subject| {
                self.find_rate(&subject)?;
                self.load(&subject, WARM_UP)?;
                Ok(subject)
            });
            let subject = started.map_err(|why| fail(&mut row, &why)).ok();
            running.push((row, subject));
        }
        for round in 1..=self.options.rounds {
            eprintln!("peers: {}: round {round} of {}", self.scenario.name(), self.options.rounds);
            for (row, subject) in &mut running {
                let Some(measured) = subject.as_ref().map(|subject| self.measure(subject)) else { continue };
                match measured {
                    Ok(figures) => row.rounds.push(figures),
                    Err(why) => {
                        fail(row, &why);
                        *subject = None;
                    }
                }
            }
        }
        Ok(running.into_iter().map(|(row, _)| row).collect())
    }

    /// Checks one, loads it for a while, and counts.
    fn measure(&self, subject: &Subject) -> Result<Vec<(Figure, f64)>> {
        subject.empty_log()?;
        check::before(subject, self.scenario)?;
        subject.empty_log()?;
        let accepted = self.accepted()?;
        let (before, began) = (subject.process.cpu()?, Instant::now());
        let seen = self.load(subject, Duration::from_secs(self.options.seconds))?;
        let (spent, time) = (subject.process.cpu()?.since(before), began.elapsed());
        // But for the one that asks.
        let opened = self.accepted()? - accepted - 1.0;
        check::after(subject, seen.requests)?;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / seen.requests as f64;
        let busy = spent.total.as_secs_f64() / time.as_secs_f64() / self.scenario.threads() as f64;
        Ok(vec![
            (Figure::Cpu, each(spent.total)),
            (Figure::Kernel, each(spent.total).min(each(spent.kernel))),
            (Figure::PerSecond, seen.per_second),
            (Figure::P50, seen.p50),
            (Figure::P99, seen.p99),
            (Figure::P999, seen.p999),
            (Figure::Resident, subject.process.resident()? as f64 / 1e6),
            (Figure::Busy, busy * 100.0),
            (Figure::Opened, opened),
        ])
    }

    /// How many connections the servers behind have had.
    fn accepted(&self) -> Result<f64> {
        let answer = Client::connect(self.behind[0])?.ask("GET", "/accepted", &[], &[])?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        Ok(text.split_whitespace().last().ok_or("an empty body")?.parse()?)
    }

    fn load(&self, subject: &Subject, time: Duration) -> Result<Seen> {
        match self.scenario.load() {
            Load::Wrk { connections, ask } => self.loader.wrk(subject.address, time, connections, ask),
            Load::Streams(streams) => self.loader.streams(subject.address, time, streams),
            Load::Paced { connections } => self.loader.paced(subject.address, time, connections, self.rate),
            Load::Idle(_) => Err("nothing to load with".into()),
        }
    }

    /// Half of what Tidegate, which comes first, can do; once a run, so that all have the same.
    fn find_rate(&mut self, subject: &Subject) -> Result<()> {
        let Load::Paced { connections } = self.scenario.load() else { return Ok(()) };
        if self.rate > 0.0 {
            return Ok(());
        }
        if subject.peer.kind != Kind::Tidegate {
            return Err("the rate is half of Tidegate's most, and Tidegate is out".into());
        }
        let time = Duration::from_secs(self.options.seconds);
        self.loader.wrk(subject.address, WARM_UP, connections, Ask::Get)?;
        self.rate = self.loader.wrk(subject.address, time, connections, Ask::Get)?.per_second / 2.0;
        eprintln!("peers: half: {:.0} requests a second", self.rate);
        Ok(())
    }

    /// A fresh process each time.
    fn idle(&self, peers: &[Peer], connections: usize) -> Vec<Row> {
        let mut rows: Vec<_> = peers.iter().map(|peer| row(peer, self.scenario)).collect();
        for round in 1..=self.options.rounds {
            eprintln!("peers: {}: round {round} of {}", self.scenario.name(), self.options.rounds);
            for (peer, row) in peers.iter().zip(&mut rows).filter(|(_, row)| !row.failed) {
                let one = |subject: Subject| -> Result<_> {
                    let each = idle::memory_each(&subject, connections)?;
                    let resident = subject.process.resident()? as f64 / 1e6;
                    Ok(vec![(Figure::MemoryEach, each), (Figure::Resident, resident)])
                };
                match self.start(peer).and_then(one) {
                    Ok(figures) => row.rounds.push(figures),
                    Err(why) => fail(row, &why),
                }
            }
        }
        rows
    }
}
