//! Tidegate as it is installed: under a name that leads to a version, and can be set to another.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use tempfile::TempDir;

use super::SOON;
use super::support::{Tidegate, TidegateProcess, eventually, until};

/// A heir that speaks the protocol up to a step, and then does something else.
const SCRIPT: &str = r#"#!/usr/bin/python3
import json, os, signal, socket, sys, time
STEP, ACT = '@STEP@', '@ACT@'
s = socket.socket(fileno=os.dup(0))
buf, fds = b'', []
def say(o): s.sendall((json.dumps(o) + '\n').encode())
def hear():
    global buf
    while True:
        while b'\n' in buf:
            line, buf = buf.split(b'\n', 1)
            if line: return json.loads(line)
        data, got, _, _ = socket.recv_fds(s, 65536, 256)
        if not data: sys.exit(0)
        fds.extend(got)
        buf += data
def now(step):
    if step != STEP: return
    print('the script acts at', step, file=sys.stderr, flush=True)
    if ACT == 'kill': os.kill(os.getpid(), signal.SIGKILL)
    if ACT == 'exit': os._exit(7)
    if ACT == 'close': s.shutdown(socket.SHUT_RDWR); time.sleep(1000)
    if ACT == 'fail': say({'failed': {'why': 'it does not want to'}}); time.sleep(1000)
    if ACT == 'babble': s.sendall(b'\x16\x03\x01 no message\n'); time.sleep(1000)
    if ACT == 'hang': time.sleep(1000)
now('start')
say({'hello': {'protocol': 1, 'version': '9.9.9', 'pid': os.getpid()}})
now('hello')
welcome = hear()['welcome']
now('welcome')
say({'ready': {'claims': []}})
now('ready')
sockets = hear()['sockets']
assert len(fds) == len(sockets['held']), (fds, sockets)
now('sockets')
say({'serving': {}})
now('serving')
hear()
time.sleep(1000)
"#;

/// What is installed.
pub(super) struct Installed {
    dir: TempDir,
}

impl Installed {
    /// The built binary.
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        symlink(env!("CARGO_BIN_EXE_tidegate"), dir.path().join("tidegate")).unwrap();
        Self { dir }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("tidegate")
    }

    /// Runs it, with this live half of a config.
    pub(super) fn run(&self, live: &str) -> Tidegate {
        Tidegate::new(live)
            .program("/bin/sh".into(), &["-c", r#"exec "$BIN" run -c "$TIDEGATE_CONFIG""#])
            .env("BIN", self.path().to_str().unwrap())
    }

    /// Installs a script in its place.
    pub(super) fn replace(&self, script: &str) {
        let next = self.dir.path().join("next");
        let _ = fs::remove_file(&next);
        fs::write(&next, script).unwrap();
        fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(next, self.path()).unwrap();
    }

    /// Installs an heir that does something wrong at a step.
    pub(super) fn scripted(&self, step: &str, act: &str) {
        self.replace(&SCRIPT.replace("@STEP@", step).replace("@ACT@", act));
    }

    /// Installs the built binary again.
    pub(super) fn restore(&self) {
        let next = self.dir.path().join("next");
        let _ = fs::remove_file(&next);
        symlink(env!("CARGO_BIN_EXE_tidegate"), &next).unwrap();
        fs::rename(next, self.path()).unwrap();
    }
}

/// Waits until another process than `before` is main, and has said so everywhere.
pub(super) async fn upgraded(process: &TidegateProcess, before: u32) -> u32 {
    eventually(SOON, async || match process.serving_pid() {
        Some(pid) if pid != before => Ok(pid),
        other => Err(format!("the pid file says {other:?}; {}", process.stderr())),
    })
    .await
}

/// Waits until so many upgrades have failed, by the log. The last reason.
pub(super) async fn failed(process: &TidegateProcess, times: usize) -> String {
    let line = |text: String| -> Vec<String> {
        text.lines().filter(|line| line.contains("the upgrade failed")).map(str::to_owned).collect()
    };
    until(SOON, "the upgrade has failed", || line(process.stderr()).len() >= times).await;
    line(process.stderr()).pop().unwrap()
}

/// Whether a process runs; one that nobody has reaped counts.
pub(super) fn runs(pid: u32) -> bool {
    fs::metadata(format!("/proc/{pid}")).is_ok()
}

/// The children of a process.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let all = threads.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    all.chain([text])
        .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|pid| pid.parse().ok())
        .collect()
}
