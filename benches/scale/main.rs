//! What Tidegate does when there is much of everything: `make bench-scale`. And whether it still does
//! so after half an hour: `make soak`.
//!
//! Two cores: the proxy alone on the first, with one worker; on the second all the rest, which is this
//! program (the fake Consul, the load, the probes) and the server behind. CPU time is the scheduler's
//! account of all the proxy's threads, so it does not matter how busy the second core is; latencies do
//! depend on it, and are worse here than on two machines.
//!
//! | file | what |
//! |---|---|
//! | [`idle`] | CPU time with a thousand watched services and nothing to do; what a scrape costs |
//! | [`propagation`] | from a change in Consul to a request that it serves, at 100 changes a second |
//! | [`flap`] | 1,000 requests a second while all endpoints come and go |
//! | [`memory`], [`hold`] | bytes for each route, endpoint and idle connection |
//! | [`reload`] | from SIGHUP to serving, from a new weight to serving |
//! | [`start`] | from nothing to ready |
//! | [`soak`], [`fit`], [`chart`] | half an hour at 70 % of what it can do |
//! | [`consul`], [`registry`] | a Consul agent for load |
//! | [`config`], [`tidegate`], [`backend`] | what is measured, and the server behind |
//! | [`pace`], [`tally`] | a steady load and its counts |
//! | [`figure`], [`options`] | tables, targets, the command line |

mod backend;
#[path = "../e2e/certificate.rs"]
mod certificate;
mod chart;
#[expect(dead_code, reason = "serves benches/peers too")]
#[path = "../peers/client.rs"]
mod client;
mod config;
mod consul;
mod figure;
mod fit;
mod flap;
mod hold;
mod idle;
#[path = "../e2e/kept.rs"]
mod kept;
#[expect(dead_code, reason = "serves benches/peers too")]
#[path = "../peers/machine.rs"]
mod machine;
mod memory;
mod options;
mod pace;
#[path = "../e2e/process.rs"]
mod process;
mod propagation;
mod registry;
mod reload;
mod soak;
#[expect(dead_code, reason = "serves benches/peers too")]
#[path = "../e2e/spread.rs"]
mod spread;
mod start;
mod tally;
mod tidegate;

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use tempfile::TempDir;

use crate::consul::Consul;
use crate::figure::Figures;
use crate::options::Options;
use crate::process::{Process, free_address};
use crate::registry::Registry;
use crate::tidegate::{How, Tidegate};

/// The core of the proxy, and that of everything else.
const PROXY_CORE: &str = "0";
const OTHER_CORE: &str = "1";

/// How many instances a service has.
const INSTANCES: usize = 10;

/// Whatever goes wrong ends the run.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Start,
    Idle,
    Propagation,
    Flap,
    Memory,
    Reload,
}

/// What all parts need.
struct World {
    options: Options,
    folder: TempDir,
    /// Where the server behind listens, on every loopback address.
    port: u16,
    _backend: Process,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, rest)) if first == "backend" => serve(rest),
        _ => Options::parse(&arguments).and_then(measure),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &[String]) -> Result<()> {
    machine::raise_open_files()?;
    backend::serve(arguments.first().ok_or("backend PORT")?.parse()?)
}

fn measure(options: Options) -> Result<()> {
    if std::thread::available_parallelism()?.get() < 2 {
        return Err("two cores are needed: one for the proxy, one for the load".into());
    }
    for tool in ["taskset", "setpriv", "openssl"] {
        machine::find(tool).ok_or_else(|| format!("{tool} is not here"))?;
    }
    machine::raise_open_files()?;
    let about = about();
    let world = World::new(options)?;
    if let Some(time) = world.options.soak {
        return soak::run(&world, time, &about);
    }
    let mut figures = Figures::default();
    for part in &world.options.parts {
        part.measure(&world, &mut figures).map_err(|e| format!("{}: {e}", part.name()))?;
    }
    figures.write(&world.options.out, &about)?;
    let missed = figures.missed();
    if missed.is_empty() { Ok(()) } else { Err(format!("missed: {}", missed.join("; ")).into()) }
}

fn about() -> String {
    let busy = match machine::wanted() {
        Some(wanted) if wanted > 0.5 => {
            format!(" THE MACHINE WAS BUSY: a load of {wanted:.1} before the run.")
        }
        _ => String::new(),
    };
    format!(
        "{}, one for the proxy.{busy} Latencies share a core with the load and the servers.",
        machine::processor().unwrap_or_else(|| "An unknown processor".into())
    )
}

// === impl Part ===

impl Part {
    const ALL: [Self; 6] =
        [Self::Start, Self::Idle, Self::Propagation, Self::Flap, Self::Memory, Self::Reload];

    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Idle => "idle",
            Self::Propagation => "propagation",
            Self::Flap => "flap",
            Self::Memory => "memory",
            Self::Reload => "reload",
        }
    }

    fn measure(self, world: &World, figures: &mut Figures) -> Result<()> {
        match self {
            Self::Start => start::measure(world, figures),
            Self::Idle => idle::measure(world, figures),
            Self::Propagation => propagation::measure(world, figures),
            Self::Flap => flap::measure(world, figures),
            Self::Memory => memory::measure(world, figures),
            Self::Reload => reload::measure(world, figures),
        }
    }
}

// === impl World ===

impl World {
    fn new(options: Options) -> Result<Self> {
        // All threads that this one starts from now on stay there too.
        let id = std::process::id().to_string();
        Command::new("taskset").args(["-cp", OTHER_CORE, &id]).stdout(Stdio::null()).status()?;
        let address = free_address()?;
        let port = address.port();
        let arguments = ["backend".to_owned(), port.to_string()];
        let backend = Process::start(OTHER_CORE, &std::env::current_exe()?, &arguments)?;
        backend.wait_for(address)?;
        Ok(Self { options, folder: tempfile::tempdir()?, port, _backend: backend })
    }

    /// A Consul with so many services of ten instances.
    fn consul(&self, services: usize) -> Result<Consul> {
        Consul::start(Registry::new(config::sets(services, INSTANCES, self.port))?)
    }

    /// A Tidegate, ready.
    fn tidegate(&self, how: How, live: &str) -> Result<Tidegate> {
        Tidegate::start(&self.options.tidegate, self.folder.path(), how, live)
    }

    /// Where reports go.
    fn out(&self) -> &PathBuf {
        &self.options.out
    }
}
