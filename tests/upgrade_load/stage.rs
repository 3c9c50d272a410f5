//! What the tests play on: a Tidegate whose binary can be exchanged, endpoints behind it, and the
//! crowd before it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::SOON;
use crate::support::load::{self, BACKEND, Crowd, Echo, Tally};
use crate::support::{Backend, Tidegate, TidegateProcess, eventually};

/// A running Tidegate and what is behind it.
pub(crate) struct Stage {
    pub(crate) backend: Backend,
    echo: Echo,
    pub(crate) tidegate: TidegateProcess,
    bin: TempDir,
}

/// How an upgrade went, as `tidegate upgrade --format json` says it.
#[derive(Debug)]
pub(crate) struct Went {
    pub(crate) ok: bool,
    pub(crate) told: Value,
}

/// What an elder says of a hand-over, as it happens.
pub(crate) struct Reports(Lines<BufReader<UnixStream>>);

impl Stage {
    /// With these lines under `server:`.
    pub(crate) async fn start(server: &[&str]) -> Self {
        let (backend, echo) = (Backend::start(BACKEND).await, Echo::start().await);
        let bin = tempfile::Builder::new().prefix("tidegate-bin-").tempdir().unwrap();
        symlink(env!("CARGO_BIN_EXE_tidegate"), bin.path().join("tidegate")).unwrap();
        let kit = Tidegate::new(&live(backend.addr(), echo.addr, ""))
            .binary(&bin.path().join("tidegate"))
            .listener("bytes")
            .listener_key("bytes", "tcp: { cluster: bytes }");
        let kit = server.iter().fold(kit, |kit, line| kit.server(line));
        Self { tidegate: kit.start().await, backend, echo, bin }
    }

    /// The live half of the config; another `mark` makes it another one.
    pub(crate) fn live(&self, mark: &str) -> String {
        live(self.backend.addr(), self.echo.addr, mark)
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.tidegate.addr("http")
    }

    /// Clients of every kind, at work.
    pub(crate) fn crowd(&self) -> Crowd {
        let (http, bytes, ms) = (self.http(), self.tidegate.addr("bytes"), Duration::from_millis);
        let mut crowd = Crowd::new();
        crowd
            .add("keep-alive", 4, |shift| load::keep_alive(http, ms(3), shift))
            .add("patient", 2, |shift| load::keep_alive(http, ms(400), shift))
            .add("new", 2, |shift| load::fresh(http, ms(10), shift))
            .add("posts", 2, |shift| load::posts(http, ms(10), 1, shift))
            .add("h2c", 2, |shift| load::streams(http, ms(20), 2, shift))
            .add("download", 2, |shift| load::download(http, ms(4000), shift))
            .add("websocket", 2, |shift| load::chats(http, ms(3000), shift))
            .add("tcp", 2, |shift| load::bytes(bytes, ms(3000), shift));
        crowd
    }

    /// Asks for an upgrade with the command, and waits for its end.
    pub(crate) async fn upgrade(&self) -> Went {
        self.ask(&[]).await
    }

    /// The same with more arguments.
    pub(crate) async fn ask(&self, args: &[&str]) -> Went {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["upgrade", "--format", "json", "--socket"]).arg(self.socket()).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let output = command.spawn().unwrap().wait_with_output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let told: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        assert_eq!(told["ok"], output.status.success(), "{told:#}");
        Went { ok: output.status.success(), told }
    }

    /// An upgrade that must succeed; gives the PIDs of the old and the new process.
    pub(crate) async fn must_upgrade(&self) -> (u32, u32) {
        let before = self.main();
        let went = self.upgrade().await;
        assert!(went.ok, "{:#}\n{}", went.told, self.log());
        let pid = |who: &str| u32::try_from(went.told[who]["pid"].as_u64().unwrap()).unwrap();
        let (old, new) = (pid("old"), pid("new"));
        assert_eq!(old, before, "{:#}", went.told);
        assert_eq!(self.follows(old).await, new, "the pid file names the one in charge");
        (old, new)
    }

    /// Asks for an upgrade and gives the connection, on which its reports come.
    pub(crate) async fn watch(&self) -> Reports {
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        stream.write_all(b"{\"upgrade\":{}}\n").await.unwrap();
        Reports(BufReader::new(stream).lines())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.tidegate.dir().join("upgrade.sock")
    }

    /// The process that is in charge, by the pid file.
    #[track_caller]
    pub(crate) fn main(&self) -> u32 {
        self.tidegate.serving_pid().expect("a pid file")
    }

    /// Puts another program in the binary's place, all at once.
    pub(crate) fn put(&self, script: &str) {
        let next = self.bin.path().join("next");
        fs::write(&next, script).unwrap();
        fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(next, self.binary()).unwrap();
    }

    /// Puts the binary back.
    pub(crate) fn put_back(&self) {
        let next = self.bin.path().join("next");
        symlink(env!("CARGO_BIN_EXE_tidegate"), &next).unwrap();
        fs::rename(next, self.binary()).unwrap();
    }

    pub(crate) fn binary(&self) -> PathBuf {
        self.bin.path().join("tidegate")
    }

    /// Waits until only this process is left.
    #[track_caller]
    pub(crate) fn alone(&self, pid: u32, deadline: Duration) -> impl Future<Output = ()> {
        eventually(deadline, async move || match self.tidegate.processes().as_slice() {
            [one] if *one == pid => Ok(()),
            others => Err(format!("{others:?}, not {pid} alone\n{}", self.log())),
        })
    }

    /// Waits until another process than this is in charge.
    #[track_caller]
    pub(crate) fn follows(&self, pid: u32) -> impl Future<Output = u32> {
        eventually(SOON, async move || match self.tidegate.serving_pid() {
            Some(other) if other != pid => Ok(other),
            same => Err(format!("{same:?} is in charge\n{}", self.log())),
        })
    }

    /// Waits until the access log has as many lines as the crowd asked; it names itself in `host`.
    pub(crate) async fn lines_are(&self, tallies: &[Tally]) {
        let asked = |tally: &Tally| match tally.who {
            "tcp" => 0,
            "websocket" => tally.opened,
            _ => tally.asked(),
        };
        let asked: u64 = tallies.iter().map(asked).sum();
        eventually(SOON, async || {
            let lines = self.tidegate.access_log();
            let ours = lines.iter().filter(|line| line["host"] == "load").count() as u64;
            if ours == asked { Ok(()) } else { Err(format!("{ours} lines, {asked} requests")) }
        })
        .await;
        eprintln!("{asked} requests, as many lines in the access log");
    }

    /// The last lines that the processes logged.
    pub(crate) fn log(&self) -> String {
        let text = self.tidegate.stderr();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Reports {
    /// The next one. None: the process is gone.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let line = timeout(SOON, self.0.next_line()).await.expect("a report in time").ok().flatten()?;
        Some(serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}")))
    }
}

impl Went {
    /// Why it failed.
    pub(crate) fn why(&self) -> &str {
        self.told["why"].as_str().unwrap_or_default()
    }
}

/// Waits until a process is no more. A zombie is none.
#[track_caller]
pub(crate) fn gone(pid: u32, deadline: Duration) -> impl Future<Output = ()> {
    eventually(deadline, async move || if runs(pid) { Err(format!("{pid} still runs")) } else { Ok(()) })
}

pub(crate) fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|text| !text.rsplit(") ").next().unwrap_or("Z").starts_with('Z'))
}

fn live(backend: SocketAddr, echo: SocketAddr, mark: &str) -> String {
    let cluster = |name: &str, at: SocketAddr| {
        format!("  {name}: {{ static: {{ endpoints: [ {{ address: '{at}' }} ] }} }}\n")
    };
    format!(
        "clusters:\n{}{}{}routes:\n\
         \x20 - {{ name: chat{mark}, match: {{ path: {{ exact: /chat }} }}, cluster: chat }}\n\
         \x20 - {{ name: all{mark}, cluster: load }}\n",
        cluster("load", backend),
        cluster("chat", echo),
        cluster("bytes", echo),
    )
}

/// So many in the short run, and in the long one.
pub(crate) fn rounds(short: usize, long: usize) -> usize {
    if crate::support::probe::long() { long } else { short }
}

/// Waits a moment on purpose: load must meet a state for some time.
pub(crate) async fn linger(ms: u64) {
    assert!(Duration::from_millis(ms) < SOON);
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
