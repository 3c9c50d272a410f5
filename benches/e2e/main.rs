//! CPU time per request, beside a bare Pingora proxy, in one run: `make bench-e2e`.
//!
//! The figure is a ratio. CPU time of one proxy differs by tens of percent between two hours of a
//! shared machine; two proxies that take turns every few seconds meet the same hour. So the
//! subjects are all started first, then loaded one after the other, round after round, and each
//! round's CPU time is divided by that of the bare proxy in the same round.
//!
//! Core 0 belongs to the proxy under load (one worker thread; its log and control threads are there
//! too, and count). Core 1 belongs to the load (`wrk`) and to the server behind the proxy. CPU time
//! is the scheduler's own account of all threads of the process, in nanoseconds, so it does not
//! matter which side is the bottleneck.
//!
//! | file | what |
//! |---|---|
//! | [`subject`] | who is measured, and with what config |
//! | [`bare`] | the floor: the least code that makes Pingora proxy |
//! | [`backend`], [`kept`] | the server behind all of them |
//! | [`load`] | `wrk` or `h2load`, and what it says |
//! | [`process`] | a child process: pinned, accounted, ended with us |
//! | [`report`], [`spread`] | the table, and its medians |

mod backend;
mod bare;
mod certificate;
mod kept;
mod load;
#[expect(dead_code, reason = "serves benches/peers too")]
mod process;
mod report;
mod spread;
mod subject;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::load::{Load, Seen};
use crate::process::Process;
use crate::subject::Subject;

/// The same as in `src/main.rs`, so that the floor has it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whatever goes wrong ends the run.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The core of the proxy under load, and that of everything else.
const PROXY_CORE: &str = "0";
const LOAD_CORE: &str = "1";

/// What was asked for on the command line.
struct Options {
    rounds: usize,
    seconds: u64,
    /// More binaries to measure, by the name that the table shows: another build, or one of last
    /// week.
    also: Vec<(String, PathBuf)>,
}

/// What one subject did in one round.
struct Sample {
    /// Microseconds of CPU time a request, all threads.
    cpu: f64,
    /// The part of it in the kernel.
    kernel: f64,
    seen: Seen,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("bare") => addresses(&arguments[1..]).and_then(|a| bare::serve(&a, 1)),
        Some("backend") => addresses(&arguments[1..]).and_then(|a| backend::serve(&a)),
        _ => Options::parse(&arguments).and_then(|options| run(&options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("e2e: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    if std::thread::available_parallelism()?.get() < 2 {
        return Err("two cores are needed: one for the proxy, one for the load".into());
    }
    let folder = tempfile::tempdir()?;
    let behind = [process::free_address()?, process::free_address()?, process::free_address()?];
    let this = std::env::current_exe()?;
    let backend =
        Process::start(LOAD_CORE, &this, &[&["backend".to_owned()][..], &behind.map(text)].concat())?;
    backend.wait_for(behind[2])?;
    let load = Load::new(folder.path(), LOAD_CORE)?;
    let subjects = subject::all(folder.path(), behind, &options.also)?;
    for subject in &subjects {
        load.run(subject, Duration::from_secs(1))?;
    }
    let mut samples: Vec<Vec<Sample>> = subjects.iter().map(|_| Vec::new()).collect();
    for round in 1..=options.rounds {
        eprintln!("e2e: round {round} of {}", options.rounds);
        for (subject, samples) in subjects.iter().zip(&mut samples) {
            samples.push(measure(subject, &load, Duration::from_secs(options.seconds))?);
        }
    }
    report::print(&subjects, &samples)
}

/// Loads one subject for a while.
fn measure(subject: &Subject, load: &Load, time: Duration) -> Result<Sample> {
    subject.empty_log()?;
    let before = subject.process.cpu()?;
    let seen = load.run(subject, time)?;
    let spent = subject.process.cpu()?.since(before);
    let each = |time: Duration| time.as_secs_f64() * 1e6 / seen.requests as f64;
    Ok(Sample { cpu: each(spent.total), kernel: each(spent.total).min(each(spent.kernel)), seen })
}

fn addresses(texts: &[String]) -> Result<Vec<SocketAddr>> {
    texts.iter().map(|text| text.parse().map_err(|e| format!("{text}: {e}").into())).collect()
}

fn text(address: SocketAddr) -> String {
    address.to_string()
}

// === impl Options ===

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { rounds: 5, seconds: 5, also: Vec::new() };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => {} // cargo says so
                "--rounds" => options.rounds = value()?.parse()?,
                "--seconds" => options.seconds = value()?.parse()?,
                "--also" => {
                    let (name, binary) = value()?.split_once('=').ok_or("--also is NAME=BINARY")?;
                    options.also.push((name.into(), binary.into()));
                }
                other => {
                    return Err(format!("{other}? [--rounds N] [--seconds N] [--also NAME=BINARY]...").into());
                }
            }
        }
        Ok(options)
    }
}
