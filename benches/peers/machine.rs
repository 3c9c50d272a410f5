//! What this machine has: cores, programs, open files. What it lacks is said, loudly, and left out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, thread};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Result;

/// Who runs where, as `taskset` writes it.
pub(crate) struct Cores {
    pub(crate) proxy: String,
    pub(crate) backend: String,
    pub(crate) load: String,
}

/// Where Debian puts what only root is thought to run.
const SBIN: &str = "/usr/sbin";

/// A program, by the path or beside it. What `benches/peers/install` made comes first.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/venv/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [ours].into_iter().chain(env::split_paths(&path)).chain([SBIN.into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The first thing that looks like a version in what a program says of itself.
pub(crate) fn version(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    let text =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    let number = |c: char| c.is_ascii_digit() || c == '.';
    let words = text.split(|c| !number(c)).map(|word| word.trim_matches('.'));
    words.into_iter().find(|word| word.contains('.')).map(str::to_owned)
}

/// The name of its processor.
pub(crate) fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim().to_owned()))
}

/// How many others wanted a core in the last minute.
pub(crate) fn wanted() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// As many open files as we may have; what we start has as many.
pub(crate) fn raise_open_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}

// === impl Cores ===

impl Cores {
    /// The proxy has as many cores as threads, alone, as long as one is left for the others. With two
    /// cores and two threads all share all: CPU time stays right, requests a second are then what the
    /// three make together.
    pub(crate) fn of(threads: usize) -> Result<Self> {
        let all = thread::available_parallelism()?.get();
        if all < 2 {
            return Err("two cores are needed: one for the proxy, one for the load".into());
        }
        let range =
            |from: usize, to: usize| if from == to { from.to_string() } else { format!("{from}-{to}") };
        if threads >= all {
            let everywhere = range(0, all - 1);
            return Ok(Self { proxy: everywhere.clone(), backend: everywhere.clone(), load: everywhere });
        }
        let load = (threads + 1).min(all - 1);
        Ok(Self { proxy: range(0, threads - 1), backend: threads.to_string(), load: load.to_string() })
    }
}
