//! The built binary, run as in production: `tidegate run -c FILE`, with its files in a directory of
//! its own.
//!
//! A test writes the live half (`clusters`, `routes`, ...); the kit puts `server`, `admin` and
//! `listeners` before it, with free ports and paths inside the directory. What the process said is
//! printed when the test fails.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::wait::eventually;
use super::{http, ports};

/// Compiling a debug build's regexes and starting threads on a busy machine takes its time.
const START: Duration = Duration::from_secs(20);

/// What to start.
#[derive(Debug)]
pub struct Tidegate {
    live: String,
    listeners: Vec<(String, SocketAddr)>,
    /// More keys of listeners, by their names.
    keys: Vec<(String, String)>,
    server: Vec<String>,
    env: Vec<(String, String)>,
    args: Vec<String>,
    state_dir: Option<PathBuf>,
    program: Option<(PathBuf, Vec<String>)>,
    binary: Option<PathBuf>,
    admin: Option<(String, PathBuf)>,
}

/// A running process. Killed when dropped, together with what it started for an upgrade.
pub struct TidegateProcess {
    dir: TempDir,
    child: Child,
    admin: SocketAddr,
    listeners: Vec<(String, SocketAddr)>,
    head: String,
    client: reqwest::Client,
}

/// A process that ended before it was ready.
#[derive(Debug)]
pub struct NotStarted {
    pub status: Option<ExitStatus>,
    pub stdout: String,
    pub stderr: String,
}

impl Tidegate {
    /// With the live half of a config, and one listener `http`.
    pub fn new(live: &str) -> Self {
        Self {
            live: live.into(),
            listeners: vec![("http".into(), ports::free_addr())],
            keys: Vec::new(),
            server: vec!["threads: 2".into(), "grace_period: 5s".into()],
            env: Vec::new(),
            args: Vec::new(),
            state_dir: None,
            program: None,
            binary: None,
            admin: None,
        }
    }

    /// One more listener.
    pub fn listener(self, name: &str) -> Self {
        self.listener_on(name, "127.0.0.1")
    }

    /// One more listener, on another address of this machine.
    pub fn listener_on(mut self, name: &str, ip: &str) -> Self {
        self.listeners.push((name.into(), SocketAddr::new(ip.parse().unwrap(), ports::free_port())));
        self
    }

    /// One more key of a listener, as `tls: { certificates: [ ... ] }`, on one line.
    pub fn listener_key(mut self, name: &str, line: &str) -> Self {
        self.keys.push((name.into(), line.into()));
        self
    }

    /// A line under `server:`, as `grace_period: 1s`. It replaces the kit's own of that key.
    pub fn server(mut self, line: &str) -> Self {
        let key = line.split(':').next().unwrap_or_default();
        self.server.retain(|own| own.split(':').next() != Some(key));
        self.server.push(line.into());
        self
    }

    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// One more argument after `run -c FILE`.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.into());
        self
    }

    /// The admin API on another address of this machine, guarded by the token in a file.
    pub fn admin_on(mut self, ip: &str, token_file: &Path) -> Self {
        self.admin = Some((ip.into(), token_file.into()));
        self
    }

    /// A program of its own instead of `tidegate run -c FILE`; it finds the file's path in
    /// `TIDEGATE_CONFIG`.
    pub fn program(mut self, path: PathBuf, args: &[&str]) -> Self {
        self.program = Some((path, args.iter().map(|arg| (*arg).to_owned()).collect()));
        self
    }

    /// Another path to the binary, which runs `run -c FILE` as ever: what an upgrade then starts is
    /// what is there by then.
    pub fn binary(mut self, path: &Path) -> Self {
        self.binary = Some(path.to_owned());
        self
    }

    /// A state directory that outlives the process. Default: one inside the process's own.
    pub fn state_dir(mut self, dir: &Path) -> Self {
        self.state_dir = Some(dir.to_owned());
        self
    }

    /// Starts it and waits until `/ready` says 200. Panics, with its output, if it does not.
    pub async fn start(self) -> TidegateProcess {
        match self.try_start().await {
            Ok(process) => process,
            Err(failed) => panic!("tidegate did not start: {failed:#?}"),
        }
    }

    /// Starts it and waits until it is ready, ends, or 20 s have passed.
    pub async fn try_start(self) -> Result<TidegateProcess, NotStarted> {
        let mut process = self.spawn();
        let ready = eventually(START + Duration::from_secs(5), async || {
            if let Ok(Some(status)) = process.child.try_wait() {
                return Ok(Err(Some(status)));
            }
            match process.admin_get("/ready").await {
                Ok((200, _)) => Ok(Ok(())),
                other => Err(format!("/ready: {other:?}")),
            }
        });
        match tokio::time::timeout(START, ready).await {
            Ok(Ok(())) => Ok(process),
            Ok(Err(status)) => Err(process.not_started(status)),
            Err(_) => Err(process.not_started(None)),
        }
    }

    /// Starts it and does not wait.
    pub fn spawn(self) -> TidegateProcess {
        let dir = tempfile::Builder::new().prefix("tidegate-test-").tempdir().unwrap();
        let admin = ports::free_addr();
        let listeners = self.listeners.clone();
        let head = self.head(dir.path(), admin, &listeners);
        let config = dir.path().join("tidegate.yaml");
        fs::write(&config, format!("{head}{}", self.live)).unwrap();
        let mut command = match &self.program {
            None => {
                let built = || Path::new(env!("CARGO_BIN_EXE_tidegate"));
                Command::new(self.binary.as_deref().unwrap_or_else(built))
            }
            Some((path, _)) => Command::new(path),
        };
        match &self.program {
            None => command.arg("run").arg("-c").arg(&config),
            Some((_, args)) => command.args(args).env("TIDEGATE_CONFIG", &config),
        };
        for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("CONSUL_")) {
            command.env_remove(key);
        }
        let out = |name| File::create(dir.path().join(name)).unwrap();
        let child = command
            .args(&self.args)
            .env("RUST_BACKTRACE", "1")
            .env_remove("NOTIFY_SOCKET")
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(out("stdout"))
            .stderr(out("stderr"))
            .spawn()
            .expect("start the built binary");
        TidegateProcess { dir, child, admin, listeners, head, client: http::client() }
    }

    fn head(&self, dir: &Path, admin: SocketAddr, listeners: &[(String, SocketAddr)]) -> String {
        let state = self.state_dir.clone().unwrap_or_else(|| dir.join("state"));
        fs::create_dir_all(&state).unwrap();
        let mut text = String::from("server:\n");
        let mut set = |key: &str, path: PathBuf| {
            if !self.server.iter().any(|line| line.starts_with(&format!("{key}:"))) {
                text.push_str(&format!("  {key}: {}\n", path.display()));
            }
        };
        set("pid_file", dir.join("pid"));
        set("upgrade_socket", dir.join("upgrade.sock"));
        set("state_dir", state);
        for line in &self.server {
            text.push_str(&format!("  {line}\n"));
        }
        match &self.admin {
            None => text.push_str(&format!("admin:\n  address: {admin}\n")),
            Some((ip, token)) => text.push_str(&format!(
                "admin:\n  address: '{}'\n  token_file: {}\n",
                SocketAddr::new(ip.parse().unwrap(), admin.port()),
                token.display()
            )),
        }
        text.push_str("listeners:\n");
        for (name, addr) in listeners {
            text.push_str(&format!("  - name: {name}\n    address: '{addr}'\n"));
            for (_, line) in self.keys.iter().filter(|(of, _)| of == name) {
                text.push_str(&format!("    {line}\n"));
            }
        }
        text
    }
}

impl TidegateProcess {
    /// The address of a listener. The first one is `http`.
    #[track_caller]
    pub fn addr(&self, listener: &str) -> SocketAddr {
        let found = self.listeners.iter().find(|(name, _)| name == listener);
        found.unwrap_or_else(|| panic!("no listener `{listener}`")).1
    }

    /// A URL on the listener `http`. `path` begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr("http"))
    }

    pub fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn config_path(&self) -> PathBuf {
        self.dir.path().join("tidegate.yaml")
    }

    /// The process that was started. After an upgrade another one serves: [`Self::serving_pid`].
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the pid file says.
    pub fn serving_pid(&self) -> Option<u32> {
        fs::read_to_string(self.dir.path().join("pid")).ok()?.trim().parse().ok()
    }

    pub fn stdout(&self) -> String {
        self.output("stdout")
    }

    pub fn stderr(&self) -> String {
        self.output("stderr")
    }

    fn output(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.path().join(name)).unwrap_or_default()).into_owned()
    }

    /// Status and body of a GET of the admin API.
    pub async fn admin_get(&self, path: &str) -> Result<(u16, String), String> {
        self.admin_send(self.client.get(self.admin_url(path))).await
    }

    pub async fn admin_post(&self, path: &str, body: &Value) -> Result<(u16, String), String> {
        self.admin_send(self.client.post(self.admin_url(path)).json(body)).await
    }

    pub async fn admin_put(&self, path: &str, body: &Value) -> Result<(u16, String), String> {
        self.admin_send(self.client.put(self.admin_url(path)).json(body)).await
    }

    async fn admin_send(&self, request: reqwest::RequestBuilder) -> Result<(u16, String), String> {
        let response = request.send().await.map_err(|e| format!("{e:?}"))?;
        let status = response.status().as_u16();
        Ok((status, response.text().await.map_err(|e| format!("{e:?}"))?))
    }

    /// The JSON of a GET that must say 200.
    pub async fn admin_json(&self, path: &str) -> Value {
        match self.admin_get(path).await {
            Ok((200, body)) => serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}")),
            other => panic!("{path}: {other:?}"),
        }
    }

    /// `generation` of `/v1/snapshot`.
    pub async fn generation(&self) -> u64 {
        let snapshot = self.admin_json("/v1/snapshot").await;
        snapshot["generation"].as_u64().unwrap_or_else(|| panic!("no generation: {snapshot}"))
    }

    /// Writes another live half, all at once: the file is watched, and must never be seen half
    /// written.
    pub fn write_live(&self, live: &str) {
        self.write_config(&format!("{}{live}", self.head));
    }

    /// Writes the whole file.
    pub fn write_config(&self, text: &str) {
        let next = self.dir.path().join("next.yaml");
        fs::write(&next, text).unwrap();
        fs::rename(next, self.config_path()).unwrap();
    }

    /// Writes another live half, sends SIGHUP, and waits until a later generation serves.
    pub async fn reload(&self, live: &str) -> u64 {
        let before = self.generation().await;
        self.write_live(live);
        self.hup();
        eventually(Duration::from_secs(10), async || match self.generation().await {
            now if now > before => Ok(now),
            now => Err(format!("still generation {now}; stderr: {}", tail(&self.stderr()))),
        })
        .await
    }

    pub fn hup(&self) {
        self.signal("HUP");
    }

    /// Drain and stop.
    pub fn term(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by its name without `SIG`, to the process that was started.
    pub fn signal(&self, name: &str) {
        signal(name, self.pid());
    }

    /// The same, to another process: one that took over.
    pub fn signal_to(&self, name: &str, pid: u32) {
        signal(name, pid);
    }

    /// Every process that runs our file: after an upgrade the new one, and those that drain.
    pub fn processes(&self) -> Vec<u32> {
        let ours = self.config_path();
        let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let cmdline = fs::read(entry.path().join("cmdline")).ok()?;
            let mut words = cmdline.split(|byte| *byte == 0);
            words.any(|word| word == ours.as_os_str().as_encoded_bytes()).then_some(pid)
        });
        pids.collect()
    }

    /// SIGKILL, and reaped.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end. Panics at the deadline.
    pub async fn exited(&mut self, deadline: Duration) -> ExitStatus {
        let child = &mut self.child;
        eventually(deadline, async || child.try_wait().unwrap().ok_or("it still runs")).await
    }

    fn not_started(mut self, status: Option<ExitStatus>) -> NotStarted {
        self.kill();
        NotStarted { status, stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for TidegateProcess {
    fn drop(&mut self) {
        for pid in self.processes().into_iter().filter(|pid| *pid != self.child.id()) {
            signal("KILL", pid);
        }
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- config\n{}", fs::read_to_string(self.config_path()).unwrap_or_default());
            eprintln!("--- stdout\n{}\n--- stderr\n{}\n---", tail(&self.stdout()), tail(&self.stderr()));
        }
    }
}

/// Through the shell's own `kill`: a call of libc would need unsafe code.
pub fn signal(name: &str, pid: u32) {
    let _ = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).stderr(Stdio::null()).status();
}

/// The last 100 lines.
fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(100)..].join("\n")
}
