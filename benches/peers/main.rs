//! Tidegate beside nginx, HAProxy, Envoy, Traefik, Caddy and a bare Pingora, in one run:
//! `make bench-peers`.
//!
//! The method is that of `benches/e2e`, and the floor too. All are started first, then loaded one after
//! the other, round after round; the ratio to Tidegate is taken within a round, since CPU time of one
//! proxy differs by tens of percent between two hours of a shared machine. The proxy under load has a
//! core (one worker thread) for itself; the load and the servers behind share another, or have one each
//! where there are more.
//!
//! CPU time is the scheduler's account of all threads of all processes of a peer, divided by the
//! requests. It does not depend on who is the bottleneck; requests a second and latencies do, and the
//! column `busy` tells who it was: a proxy far under 100 % waited for the load or for the servers.
//!
//! What is fair is argued in the configs themselves (`conf/`), line by line. Two rules: without the full
//! features each does the least that it can be told to do (Tidegate's metrics and headers cannot be
//! turned off, so it does more); with them each does all of it that it can, and the table says what it
//! cannot.
//!
//! | file | what |
//! |---|---|
//! | [`scenario`] | what is measured |
//! | [`peer`], `conf/` | who, with what config, and in what it differs |
//! | [`subject`], [`template`] | a proxy that runs, its config filled in |
//! | [`backend`], [`bare`] | the servers behind, and the floor |
//! | [`load`], [`idle`] | `wrk`, `h2load`, and connections that do nothing |
//! | [`check`], [`client`] | nobody wins by failing |
//! | [`run`], [`outcome`], [`spread`], [`report`] | rounds, figures, tables |
//! | [`options`], [`machine`], [`process`] | the command line, the cores, a child process |

mod backend;
#[path = "../e2e/bare.rs"]
mod bare;
mod check;
mod client;
mod idle;
mod load;
mod machine;
mod options;
mod outcome;
mod peer;
#[path = "../e2e/process.rs"]
mod process;
mod report;
mod run;
mod scenario;
#[path = "../e2e/spread.rs"]
mod spread;
mod subject;
mod template;

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

use crate::options::Options;
use crate::peer::Peer;

/// The same as in `src/main.rs`, so that the floor has it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whatever goes wrong ends the run, or the part of it that it belongs to.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("bare") => serve_bare(&arguments[1..]),
        Some("backend") => addresses(&arguments[1..]).and_then(|a| backend::serve(&a)),
        _ => Options::parse(&arguments).and_then(|options| compare(&options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve_bare(arguments: &[String]) -> Result<()> {
    let (threads, rest) = arguments.split_first().ok_or("bare THREADS ADDRESS ENDPOINT...")?;
    bare::serve(&addresses(rest)?, threads.parse()?)
}

fn compare(options: &Options) -> Result<()> {
    for tool in ["wrk", "h2load", "curl", "taskset", "setpriv", "timeout"] {
        machine::find(tool).ok_or_else(|| format!("{tool} is not here; .ci/packages peers installs it"))?;
    }
    machine::raise_open_files()?;
    let (peers, missing) = options.found()?;
    let about = about(options, &peers, &missing);
    let folder = tempfile::tempdir()?;
    let mut outcomes = Vec::new();
    for scenario in &options.scenarios {
        eprintln!("peers: {}: {}", scenario.name(), scenario.title());
        outcomes.push(run::scenario(*scenario, &peers, options, folder.path())?);
    }
    report::write(&options.out, &about, &outcomes)?;
    let failed = outcomes.iter().flat_map(|outcome| &outcome.rows).any(|row| row.failed);
    if failed { Err("some were out; see above".into()) } else { Ok(()) }
}

/// What the figures are of.
fn about(options: &Options, peers: &[Peer], missing: &[&str]) -> String {
    let version = |peer: &Peer| {
        let version = machine::version(&peer.program, peer.kind.version()?)?;
        Some(format!("{} {version}", peer.name))
    };
    let versions: Vec<_> = peers.iter().filter_map(version).collect();
    let missing =
        if missing.is_empty() { String::new() } else { format!(" NOT HERE: {}.", missing.join(", ")) };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let busy = match machine::wanted() {
        Some(wanted) if wanted > 0.5 => {
            format!(
                " THE MACHINE WAS BUSY: a load of {wanted:.1} before the run, so take ratios for guesses."
            )
        }
        _ => String::new(),
    };
    format!(
        "{}.{missing}{busy} {cores} cores, {}. {} rounds of {} s; medians (min-max); ratios within a round.",
        versions.join(", "),
        machine::processor().unwrap_or_else(|| "an unknown processor".into()),
        options.rounds,
        options.seconds,
    )
}

fn addresses(texts: &[String]) -> Result<Vec<SocketAddr>> {
    texts.iter().map(|text| text.parse().map_err(|e| format!("{text}: {e}").into())).collect()
}
