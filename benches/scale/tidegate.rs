//! A Tidegate that runs, and what its admin address says.

use std::fs::{self, File};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::Instant;

use crate::client::{Answer, Client};
use crate::config::Head;
use crate::process::{Process, free_address, pinned};
use crate::{PROXY_CORE, Result, certificate};

/// How it is started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct How {
    pub(crate) logs: bool,
    pub(crate) tls: bool,
}

/// It ends when it is dropped.
pub(crate) struct Tidegate {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) process: Process,
    /// From the start of the program until it was ready.
    pub(crate) started: Duration,
    folder: PathBuf,
    how: How,
}

// === impl Tidegate ===

impl Tidegate {
    /// Starts one in a new folder below `folder` and waits until it is ready. `live` is the config but
    /// for what [`Head`] says.
    pub(crate) fn start(binary: &Path, folder: &Path, how: How, live: &str) -> Result<Self> {
        let (address, admin) = (free_address()?, free_address()?);
        let folder = folder.join(format!("port-{}", address.port()));
        fs::create_dir(&folder)?;
        if how.tls {
            certificate::make(&folder)?;
        }
        let mut command = pinned(PROXY_CORE, binary);
        command.args(["run", "-c", "tidegate.yaml"]).current_dir(&folder);
        command.stderr(File::create(folder.join("stderr"))?);
        write(&folder, (address, admin), how, live)?;
        let began = Instant::now();
        let process = Process::spawn(command)?;
        let mut this = Self { address, admin, process, started: Duration::ZERO, folder, how };
        while !this.is_ready() {
            if began.elapsed() > Duration::from_secs(60) {
                return Err(format!("not ready within a minute: {}", this.complaints()).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        this.started = began.elapsed();
        Ok(this)
    }

    fn is_ready(&self) -> bool {
        let ready = || Client::admin(self.admin)?.ask("GET", "/ready", &[], &[]);
        TcpStream::connect(self.admin).is_ok() && ready().is_ok_and(|answer| answer.status == 200)
    }

    /// The end of what it said on its standard error.
    pub(crate) fn complaints(&self) -> String {
        let mut text = String::new();
        let _ = File::open(self.folder.join("stderr")).and_then(|mut file| file.read_to_string(&mut text));
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// Writes another config in the place of the first; nothing is told to the program.
    pub(crate) fn rewrite(&self, live: &str) -> Result<()> {
        write(&self.folder, (self.address, self.admin), self.how, live)
    }

    /// SIGHUP: reads the config, and opens the log anew.
    pub(crate) fn reload(&self) -> Result<()> {
        let id = i32::try_from(self.id()?).ok().and_then(Pid::from_raw).ok_or("no pid")?;
        Ok(kill_process(id, Signal::HUP)?)
    }

    pub(crate) fn id(&self) -> Result<u32> {
        Ok(*self.process.family()?.first().ok_or("no process")?)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("access.log")
    }

    /// What a page of the admin address says.
    pub(crate) fn page(&self, path: &str) -> Result<Answer> {
        let answer = Client::admin(self.admin)?.ask("GET", path, &[], &[])?;
        if answer.status == 200 { Ok(answer) } else { Err(format!("{path}: {}", answer.status).into()) }
    }

    pub(crate) fn json(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_slice(&self.page(path)?.body)?)
    }

    pub(crate) fn generation(&self) -> Result<u64> {
        self.json("/v1/snapshot")?["generation"].as_u64().ok_or_else(|| "no generation".into())
    }

    /// How often a thread of it went to sleep so far: as many times it woke.
    pub(crate) fn sleeps(&self) -> Result<u64> {
        let mut sum = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.id()?))? {
            let status = fs::read_to_string(thread?.path().join("status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            sum += line.ok_or("no count of switches")?.trim().parse::<u64>()?;
        }
        Ok(sum)
    }

    /// Its open files and its threads.
    pub(crate) fn handles(&self) -> Result<(usize, usize)> {
        let id = self.id()?;
        let count = |what| Ok::<_, std::io::Error>(fs::read_dir(format!("/proc/{id}/{what}"))?.count());
        Ok((count("fd")?, count("task")?))
    }
}

fn write(folder: &Path, addresses: (SocketAddr, SocketAddr), how: How, live: &str) -> Result<()> {
    let (listen, admin) = addresses;
    let head = Head { listen, admin, folder, logs: how.logs, tls: how.tls };
    // As an editor does: a reader never sees half of it.
    fs::write(folder.join("new.yaml"), head.text() + live)?;
    Ok(fs::rename(folder.join("new.yaml"), folder.join("tidegate.yaml"))?)
}
