//! A child process with all that it starts: pinned to cores, with its CPU time and memory, ended when
//! it is dropped.
//!
//! A proxy may be a family: nginx is a master and its workers. Whatever is counted here is counted over
//! the family, and all of it is ended. Who belongs to it is read from the parents in `/proc`, so a
//! process that leaves its parent is lost; none of ours does.

use std::ffi::OsStr;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::Result;

/// A running child.
pub(crate) struct Process(Child);

/// CPU time of a process so far.
#[derive(Clone, Copy)]
pub(crate) struct Cpu {
    /// The scheduler's account of all threads.
    pub(crate) total: Duration,
    /// The part in the kernel, by the finest account there is: the clock tick's share of the total.
    pub(crate) kernel: Duration,
}

/// An address that nobody listens on. Somebody may take it before the caller does; then the run
/// ends with an error.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A program that will run on those cores (`0` or `0-1`) only, and ends if we end without a word. What
/// it prints is not shown, but for its errors.
pub(crate) fn pinned(cores: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "taskset", "-c", cores]).arg(program);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

// === impl Process ===

impl Process {
    /// Starts a program on those cores.
    pub(crate) fn start(cores: &str, program: &Path, arguments: &[String]) -> Result<Self> {
        let mut command = pinned(cores, program);
        command.args(arguments);
        Self::spawn(command)
    }

    /// Starts what [`pinned`] made.
    pub(crate) fn spawn(mut command: Command) -> Result<Self> {
        Ok(Self(command.spawn().map_err(|e| format!("setpriv: {e}"))?))
    }

    /// Waits until it takes connections.
    pub(crate) fn wait_for(&self, address: SocketAddr) -> Result<()> {
        for _ in 0..500 {
            if TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(format!("process {} does not listen on {address}", self.0.id()).into())
    }

    /// CPU time so far. Threads that ended do not count; the proxies' threads stay.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        let (mut nanoseconds, mut user, mut kernel) = (0, 0.0, 0.0);
        for id in self.family()? {
            for thread in fs::read_dir(format!("/proc/{id}/task"))? {
                let account = fs::read_to_string(thread?.path().join("schedstat"))?;
                let on_cpu = account.split_whitespace().next().ok_or("an empty schedstat")?;
                nanoseconds += on_cpu.parse::<u64>()?;
            }
            let line = stat(id).ok_or("no stat")?;
            let ticks = |index: usize| line.get(index).and_then(|t| t.parse::<f64>().ok());
            user += ticks(11).ok_or("no utime")?;
            kernel += ticks(12).ok_or("no stime")?;
        }
        let total = Duration::from_nanos(nanoseconds);
        let share = if user + kernel > 0.0 { kernel / (user + kernel) } else { 0.0 };
        Ok(Cpu { total, kernel: total.mul_f64(share) })
    }

    /// Resident memory in bytes. What two of the family share counts twice.
    pub(crate) fn resident(&self) -> Result<u64> {
        self.memory(&["VmRSS:"])
    }

    /// Of it, what is not the program's own text and data on disk.
    pub(crate) fn anonymous(&self) -> Result<u64> {
        self.memory(&["RssAnon:", "RssShmem:"])
    }

    fn memory(&self, names: &[&str]) -> Result<u64> {
        let mut kilobytes = 0;
        for id in self.family()? {
            let status = fs::read_to_string(format!("/proc/{id}/status"))?;
            for line in status.lines() {
                let Some(value) = names.iter().find_map(|name| line.strip_prefix(name)) else { continue };
                kilobytes += value.split_whitespace().next().ok_or("no memory")?.parse::<u64>()?;
            }
        }
        Ok(kilobytes * 1024)
    }

    /// The child and all below it, parents first.
    pub(crate) fn family(&self) -> Result<Vec<u32>> {
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            // It may be gone by now, and then it is none of ours.
            let Some(line) = stat(id) else { continue };
            if let Some(parent) = line.get(1).and_then(|parent| parent.parse::<u32>().ok()) {
                parents.push((id, parent));
            }
        }
        let mut family = vec![self.0.id()];
        let mut next = 0;
        while let Some(&parent) = family.get(next) {
            family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
            next += 1;
        }
        Ok(family)
    }
}

/// The fields of `/proc/<pid>/stat` after the name, which ends with the last `)`: the state, then the
/// parent; utime and stime are the fields 14 and 15 of the whole line, 11 and 12 here.
fn stat(id: u32) -> Option<Vec<String>> {
    let line = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let after = line.rsplit(')').next()?;
    Some(after.split_whitespace().map(str::to_owned).collect())
}

impl Drop for Process {
    fn drop(&mut self) {
        // None can fail in a way that matters: all are ours, and the child is not yet waited for.
        for id in self.family().unwrap_or_default() {
            let id = i32::try_from(id).ok().and_then(Pid::from_raw);
            let _ = id.map(|id| kill_process(id, Signal::KILL));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// === impl Cpu ===

impl Cpu {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            total: self.total.saturating_sub(before.total),
            kernel: self.kernel.saturating_sub(before.kernel),
        }
    }
}
