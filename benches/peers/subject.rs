//! A proxy that runs, with its config made for one scenario.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::machine::Cores;
use crate::peer::{Peer, Place};
use crate::process::{Process, free_address, pinned};
use crate::scenario::{GUARDED, ROUTES, Scenario};
use crate::template::Values;

/// It ends when it is dropped.
pub(crate) struct Subject {
    pub(crate) peer: Peer,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) process: Process,
    /// Its access log, if it writes one in this scenario.
    pub(crate) log: Option<PathBuf>,
    /// Where the log begins; see [`Subject::empty_log`].
    begins: Cell<u64>,
    folder: PathBuf,
}

// === impl Subject ===

impl Subject {
    pub(crate) fn start(
        peer: &Peer,
        scenario: Scenario,
        cores: &Cores,
        folder: &Path,
        behind: &[SocketAddr; 3],
    ) -> Result<Self> {
        let (address, admin) = (free_address()?, free_address()?);
        let folder = folder.join(format!("port-{}", address.port()));
        fs::create_dir(&folder)?;
        // Not beside the config: whoever watches a file is told of all that is written in its folder.
        let logs = folder.join("log");
        fs::create_dir(&logs)?;
        let log = logs.join("access.log");
        let values = values(&folder, &log, address, admin, behind, scenario);
        for (name, template) in peer.kind.files() {
            let filled = values.fill(template).map_err(|e| format!("conf/{name}: {e}"))?;
            fs::write(folder.join(name), filled)?;
        }
        let mut command = pinned(&cores.proxy, &peer.program);
        let place = Place { folder: &folder, listen: address, behind, threads: scenario.threads() };
        peer.kind.arguments(&mut command, &place);
        command.current_dir(&folder).stderr(File::create(folder.join("stderr"))?);
        if peer.kind.logs_to_stdout() && scenario.is_full() {
            command.stdout(OpenOptions::new().create(true).append(true).open(&log)?);
        }
        let process = Process::spawn(command)?;
        let logs = scenario.is_full() && !peer.kind.files().is_empty();
        let log = logs.then_some(log);
        let subject = Self { peer: peer.clone(), address, admin, process, log, begins: Cell::new(0), folder };
        subject.process.wait_for(address).map_err(|e| format!("{e}\n{}", subject.complaints()))?;
        Ok(subject)
    }

    /// What it said on its standard error, the end of it.
    pub(crate) fn complaints(&self) -> String {
        let text = fs::read_to_string(self.folder.join("stderr")).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    /// Empties its log, so that a long run does not fill the disk.
    ///
    /// A file that is open for appending goes on at 0. HAProxy takes that from its standard output (it
    /// sets the descriptor's flags anew) and goes on where it was, after a hole that takes no room.
    pub(crate) fn empty_log(&self) -> Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(log)?;
        if self.peer.kind.logs_to_stdout() {
            self.begins.set(file.metadata()?.len().max(self.begins.get()));
        }
        Ok(file.set_len(0)?)
    }

    /// Its log, to be read from its beginning. None: it has none.
    pub(crate) fn read_log(&self) -> Result<Option<File>> {
        let Some(log) = &self.log else { return Ok(None) };
        let mut file = File::open(log)?;
        file.seek(SeekFrom::Start(self.begins.get()))?;
        Ok(Some(file))
    }

    /// How many lines its log has.
    pub(crate) fn logged(&self) -> Result<u64> {
        let Some(mut file) = self.read_log()? else { return Ok(0) };
        let (mut buffer, mut lines) = (vec![0; 1 << 20], 0);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(lines),
                read => lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count() as u64,
            }
        }
    }
}

/// What the marks of the templates mean.
fn values(
    folder: &Path,
    log: &Path,
    address: SocketAddr,
    admin: SocketAddr,
    behind: &[SocketAddr; 3],
    scenario: Scenario,
) -> Values {
    let [a, b, c] = behind;
    let mut values: HashMap<&'static str, String> = [("listen", &address), ("admin", &admin)]
        .into_iter()
        .chain([("a", a), ("b", b), ("c", c)])
        .map(|(name, address)| (name, address.to_string()))
        .collect();
    let ports = [("listen_port", &address), ("admin_port", &admin)].into_iter();
    let ports = ports.chain([("a_port", a), ("b_port", b), ("c_port", c)]);
    values.extend(ports.map(|(name, address)| (name, address.port().to_string())));
    values.insert("folder", folder.display().to_string());
    values.insert("log", log.display().to_string());
    values.insert("threads", scenario.threads().to_string());
    // nginx speaks one of the two on a port; and its workers share a socket unevenly unless each has one.
    let http2 = if scenario.is_h2c() { " http2" } else { "" };
    let reuse = if scenario.threads() > 1 { " reuseport" } else { "" };
    values.insert("nginx_listen", format!("{http2}{reuse}"));
    let flags = HashMap::from([("full", scenario.is_full())]);
    let (guarded, plain) = (0..ROUTES).partition(|i| i % GUARDED == 0);
    let lists = HashMap::from([("all", (0..ROUTES).collect()), ("guarded", guarded), ("plain", plain)]);
    Values { values, flags, lists }
}
