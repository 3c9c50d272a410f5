//! A child process: pinned to a core, with its CPU time and memory, ended when it is dropped.

use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

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

// === impl Process ===

impl Process {
    /// Starts a program on a core. What it prints is not shown, but for its errors.
    pub(crate) fn start(core: usize, program: &Path, arguments: &[String]) -> Result<Self> {
        let mut line = vec![OsString::from("-c"), core.to_string().into(), program.into()];
        line.extend(arguments.iter().map(OsString::from));
        let child = Command::new("taskset").args(line).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        Ok(Self(child.map_err(|e| format!("taskset: {e}"))?))
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
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            let account = fs::read_to_string(thread?.path().join("schedstat"))?;
            let on_cpu = account.split_whitespace().next().ok_or("an empty schedstat")?;
            nanoseconds += on_cpu.parse::<u64>()?;
        }
        // After the name, which ends with the last `)`: utime and stime are the fields 14 and 15 of
        // the whole line.
        let line = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let after = line.rsplit(')').next().ok_or("an empty stat")?;
        let ticks = |index| after.split_whitespace().nth(index).and_then(|t| t.parse::<f64>().ok());
        let (user, kernel) = (ticks(11).ok_or("no utime")?, ticks(12).ok_or("no stime")?);
        let total = Duration::from_nanos(nanoseconds);
        let share = if user + kernel > 0.0 { kernel / (user + kernel) } else { 0.0 };
        Ok(Cpu { total, kernel: total.mul_f64(share) })
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kilobytes = line.split_whitespace().next().ok_or("an empty VmRSS")?;
        Ok(kilobytes.parse::<u64>()? * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Neither can fail in a way that matters: the child is ours, and not yet waited for.
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
