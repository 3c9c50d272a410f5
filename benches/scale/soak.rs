//! Half an hour at 70 % of what it can do, with all features on and endpoints that come and go: memory
//! must not grow, and answers must not become slower.
//!
//! First the most that it can do is measured, in bursts of ten seconds, with the same config. Then the
//! load runs at seven tenths of the slowest. Each second an instance leaves or joins, by Consul; every
//! ten seconds there is a sample, and metrics are scraped. The access log is moved away and read when it is large, then
//! SIGHUP, as logrotate does; its lines are counted, and every request must have one.
//!
//! The first five minutes (a fifth of shorter runs) are a warm-up. A line is fitted to the rest (`fit`).

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::chart::{self, Curve};
use crate::config::{endpoint, service};
use crate::fit::Fit;
use crate::pace::{Plan, get};
use crate::registry::{Instance, Registry};
use crate::tidegate::{How, Tidegate};
use crate::{INSTANCES, Result, World, config};

const CONNECTIONS: usize = 32;
const SHARE: f64 = 0.7;
const WARM_UP: Duration = Duration::from_secs(300);
/// What is shorter is a look: sampled every two seconds, at 70 % of one burst.
const LONG: Duration = Duration::from_secs(300);
const BURSTS: usize = 6;
/// From here the log is moved.
const LARGE: u64 = 32 << 20;

/// What is seen every ten seconds.
struct Sample {
    at: f64,
    resident: f64,
    anonymous: f64,
    files: f64,
    threads: f64,
    cpu: f64,
    per_second: f64,
    failed: f64,
    p50: f64,
    p99: f64,
    p999: f64,
}

/// How a column of the report is read: name, unit, and its value.
type Column = (&'static str, &'static str, fn(&Sample) -> f64);

const COLUMNS: [Column; 10] = [
    ("resident", "MB", |s| s.resident),
    ("anonymous", "MB", |s| s.anonymous),
    ("open files", "", |s| s.files),
    ("threads", "", |s| s.threads),
    ("CPU", "% of a core", |s| s.cpu),
    ("requests", "a second", |s| s.per_second),
    ("failed", "", |s| s.failed),
    ("p50", "ms", |s| s.p50),
    ("p99", "ms", |s| s.p99),
    ("p99.9", "ms", |s| s.p999),
];

/// Those that must not grow.
const JUDGED: [&str; 2] = ["anonymous", "p99"];

pub(crate) fn run(world: &World, time: Duration, about: &str) -> Result<()> {
    let consul = world.consul(2)?;
    let tidegate = world.tidegate(How { logs: true, ..How::default() }, &config::full(consul.address))?;
    let mut log = Log::new(&tidegate);
    thread::sleep(Duration::from_secs(3));
    let (sustained, rate) = saturate(&tidegate, &mut log, time)?;
    let stop = Arc::new(AtomicBool::new(false));
    let churn = {
        let (registry, stop, port) = (consul.registry, stop.clone(), world.port);
        thread::spawn(move || churn(&registry, &stop, port))
    };
    let load = Plan { rate: Some(rate), ..plan(&tidegate) }.start()?;
    let samples = watch(&tidegate, &load.tally, &mut log, time);
    stop.store(true, Relaxed);
    let rest = load.end();
    let changes = churn.join().map_err(|_| "the churn ended early")?;
    let samples = samples?;
    let sum = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>();
    log.drain()?;
    let lost = log.requests + rest.done as f64 - log.lines as f64;
    let report =
        Report { samples: &samples, time, sustained, rate, changes, lost, rotations: log.rotations, about };
    report.write(world.out(), sum(|s| s.failed) + rest.failed as f64)
}

fn plan(tidegate: &Tidegate) -> Plan {
    let path = |i: usize| get("shop.example.com", &format!("/api/v1/service-{i}/users/12345?page=2"));
    let requests = (0..100).map(path).collect();
    Plan { address: tidegate.address, connections: CONNECTIONS, rate: None, requests }
}

/// The most requests a second that can be counted on, and the part of it that is the load.
///
/// A shared machine runs faster for some seconds than for half an hour, and an open loop at 70 % of its
/// best queues without end in its worst. So it is the slowest of some bursts.
fn saturate(tidegate: &Tidegate, log: &mut Log<'_>, time: Duration) -> Result<(f64, f64)> {
    plan(tidegate).run(Duration::from_secs(2))?;
    let bursts = if time < LONG { 1 } else { BURSTS };
    let seen = (0..bursts).map(|_| burst(tidegate, log)).collect::<Result<Vec<_>>>()?;
    let (least, most) = seen.iter().fold((f64::MAX, 0_f64), |(least, most), &s| (least.min(s), most.max(s)));
    eprintln!(
        "scale: soak: at most {least:.0} requests a second, in the fastest of {bursts} bursts {most:.0}"
    );
    Ok((least, least * SHARE))
}

fn burst(tidegate: &Tidegate, log: &mut Log<'_>) -> Result<f64> {
    let (began, cpu) = (Instant::now(), tidegate.process.cpu()?);
    let counted = plan(tidegate).run(Duration::from_secs(10))?;
    let passed = began.elapsed().as_secs_f64();
    let busy = tidegate.process.cpu()?.since(cpu).total.as_secs_f64() / passed;
    if counted.failed > 0 {
        return Err(format!("the saturation failed: {}", counted.reasons()).into());
    }
    if busy < 0.9 {
        eprintln!(
            "scale: soak: {:.0} % BUSY: THE LOAD OR THE SERVERS WERE AT THEIR END FIRST, so it is less than 70 % of Tidegate's",
            busy * 100.0
        );
    }
    log.forget()?;
    Ok(counted.done as f64 / passed)
}

/// An instance leaves or joins each second, in both services in turn; six to twelve are there.
fn churn(registry: &Registry, stop: &AtomicBool, port: u16) -> u32 {
    let mut random = fastrand::Rng::with_seed(7);
    for turn in 0u32.. {
        let s = usize::from(turn % 2 == 1);
        let there = registry.set(&service(s));
        let joins = there.len() <= INSTANCES - 4 || (there.len() < INSTANCES + 2 && random.bool());
        if joins {
            let free = (0..30).map(|i| endpoint(s, i, port)).filter(|address| !there.contains_key(address));
            if let Some(new) = random.choice(free.collect::<Vec<_>>()) {
                registry.change(&service(s), true, |set| {
                    set.insert(new, Instance::PLAIN);
                });
            }
        } else if let Some(old) = random.choice(there.into_keys().collect::<Vec<_>>()) {
            registry.change(&service(s), true, |set| {
                set.remove(&old);
            });
        }
        thread::sleep(Duration::from_secs(1));
        if stop.load(Relaxed) {
            return turn + 1;
        }
    }
    0
}

fn watch(
    tidegate: &Tidegate,
    tally: &crate::tally::Tally,
    log: &mut Log<'_>,
    time: Duration,
) -> Result<Vec<Sample>> {
    let every = if time < LONG { 2 } else { 10 };
    let (began, mut samples) = (Instant::now(), Vec::new());
    let (mut cpu, mut last) = (tidegate.process.cpu()?, began);
    while began.elapsed() < time {
        thread::sleep(Duration::from_secs(every));
        tidegate.page("/metrics")?;
        let counted = tally.take();
        let (now, spent) = (Instant::now(), tidegate.process.cpu()?);
        let passed = (now - last).as_secs_f64();
        let (files, threads) = tidegate.handles()?;
        let sample = Sample {
            at: began.elapsed().as_secs_f64(),
            resident: tidegate.process.resident()? as f64 / 1e6,
            anonymous: tidegate.process.anonymous()? as f64 / 1e6,
            files: files as f64,
            threads: threads as f64,
            cpu: spent.since(cpu).total.as_secs_f64() / passed * 100.0,
            per_second: counted.done as f64 / passed,
            failed: counted.failed as f64,
            p50: counted.at(0.5) / 1e3,
            p99: counted.at(0.99) / 1e3,
            p999: counted.at(0.999) / 1e3,
        };
        if counted.failed > 0 {
            eprintln!("scale: soak: at {:.0} s {}", sample.at, counted.reasons());
        }
        (cpu, last) = (spent, now);
        log.requests += counted.done as f64;
        samples.push(sample);
        log.rotate()?;
    }
    Ok(samples)
}

/// The access log, moved away while it is written.
struct Log<'a> {
    tidegate: &'a Tidegate,
    /// Moved, and perhaps still written to.
    moved: VecDeque<std::path::PathBuf>,
    rotations: u32,
    lines: u64,
    requests: f64,
}

// === impl Log ===

impl<'a> Log<'a> {
    fn new(tidegate: &'a Tidegate) -> Self {
        Self { tidegate, moved: VecDeque::new(), rotations: 0, lines: 0, requests: 0.0 }
    }

    /// Counts and removes what was moved the last time, and moves what is large by now.
    fn rotate(&mut self) -> Result<()> {
        self.count()?;
        if fs::metadata(self.tidegate.log())?.len() > LARGE { self.rename() } else { Ok(()) }
    }

    fn rename(&mut self) -> Result<()> {
        let to = self.tidegate.log().with_extension(format!("log.{}", self.rotations));
        fs::rename(self.tidegate.log(), &to)?;
        self.tidegate.reload()?;
        self.moved.push_back(to);
        self.rotations += 1;
        Ok(())
    }

    fn count(&mut self) -> Result<()> {
        while let Some(path) = self.moved.pop_front() {
            self.lines += lines(&path)?;
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// All of it, once the load has ended.
    fn drain(&mut self) -> Result<()> {
        thread::sleep(Duration::from_secs(2));
        self.count()?;
        self.lines += lines(&self.tidegate.log())?;
        Ok(())
    }

    /// What was written until now does not count.
    fn forget(&mut self) -> Result<()> {
        thread::sleep(Duration::from_secs(2));
        self.rename()?;
        thread::sleep(Duration::from_secs(2));
        self.count()?;
        (self.lines, self.rotations) = (0, 0);
        Ok(())
    }
}

fn lines(path: &Path) -> Result<u64> {
    let (mut file, mut buffer, mut lines) = (File::open(path)?, vec![0; 1 << 20], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(lines),
            read => lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64,
        }
    }
}

/// What is said at the end.
struct Report<'a> {
    samples: &'a [Sample],
    time: Duration,
    /// Requests a second in the slowest burst.
    sustained: f64,
    rate: f64,
    changes: u32,
    /// Requests without a line in the log.
    lost: f64,
    rotations: u32,
    about: &'a str,
}

// === impl Report ===

impl Report<'_> {
    fn warm(&self) -> f64 {
        WARM_UP.min(self.time / 5).as_secs_f64()
    }

    fn column(&self, of: fn(&Sample) -> f64) -> Vec<(f64, f64)> {
        self.samples.iter().map(|sample| (sample.at, of(sample))).collect()
    }

    fn fit(&self, of: fn(&Sample) -> f64) -> Option<Fit> {
        let warm: Vec<_> = self.column(of).into_iter().filter(|(at, _)| *at > self.warm()).collect();
        Fit::of(&warm)
    }

    fn write(&self, folder: &Path, failed: f64) -> Result<()> {
        println!("\n{}\n{}\n", self.about, self.words(failed));
        println!(
            "| {:<10} | {:>10} | {:>10} | {:>22} | {:>9} | {:<7} |",
            "", "mean", "at the end", "slope an hour", "change", ""
        );
        println!("|------------|-----------:|-----------:|-----------------------:|----------:|---------|");
        let (mut fits, mut bad) = (serde_json::Map::new(), Vec::new());
        for (name, unit, of) in COLUMNS {
            let Some(fit) = self.fit(of) else { continue };
            let last = self.samples.last().map_or(0.0, of);
            let slope = format!("{:.2} +- {:.2}", fit.slope * 3600.0, fit.error * 3600.0);
            let verdict = if JUDGED.contains(&name) { fit.verdict() } else { "" };
            println!(
                "| {name:<10} | {:>10.2} | {last:>10.2} | {slope:>22} | {:>7.2} % | {verdict:<7} | {unit}",
                fit.mean,
                fit.change() * 100.0
            );
            if JUDGED.contains(&name) && !fit.is_fine() {
                bad.push(format!("{name} grows"));
            }
            fits.insert(name.into(), fit.json());
        }
        fs::create_dir_all(folder)?;
        fs::write(folder.join("soak.json"), serde_json::to_string_pretty(&self.json(failed, fits))? + "\n")?;
        fs::write(folder.join("soak.svg"), self.chart(failed))?;
        println!("\nalso in {}: soak.json, soak.svg", folder.display());
        if failed > 0.0 {
            bad.push(format!("{failed} requests failed"));
        }
        if self.lost > 0.0 {
            bad.push(format!("{} requests are not in the log", self.lost));
        }
        if bad.is_empty() { Ok(()) } else { Err(bad.join("; ").into()) }
    }

    fn words(&self, failed: f64) -> String {
        format!(
            "{} s at {:.0} requests a second, {:.0} % of {:.0}; {failed} failed; {} changes of endpoints; the log \
             moved {} times, {} requests not in it.",
            self.time.as_secs(),
            self.rate,
            SHARE * 100.0,
            self.sustained,
            self.changes,
            self.rotations,
            self.lost
        )
    }

    fn json(&self, failed: f64, fits: serde_json::Map<String, Value>) -> Value {
        let columns = COLUMNS.map(|(name, _, of)| (name.to_owned(), json!(self.column(of))));
        json!({
            "about": self.about, "seconds": self.time.as_secs(), "warm_up": self.warm(), "sustained": self.sustained,
            "rate": self.rate, "failed": failed, "changes": self.changes, "rotations": self.rotations,
            "not_in_the_log": self.lost, "fits": fits, "samples": columns.into_iter().collect::<serde_json::Map<_, _>>(),
        })
    }

    fn chart(&self, failed: f64) -> String {
        let curves: Vec<_> = COLUMNS
            .iter()
            .filter(|(name, _, _)| ["anonymous", "p50", "p99", "p99.9", "requests"].contains(name))
            .map(|(name, unit, of)| (format!("{name}, {unit}"), self.column(*of)))
            .collect();
        let curves: Vec<_> =
            curves.iter().map(|(title, samples)| Curve { title: title.clone(), samples }).collect();
        chart::text(&self.words(failed), &curves, self.warm())
    }
}
