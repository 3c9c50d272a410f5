//! A booted Debian with a systemd of its own: `.ci/container` in a test's hands.
//!
//! Commands run in it by `nsenter`, as root; files go in and out under `/proc/PID/root`. It is
//! powered off when dropped, and whenever this process ends without that: the script that boots it
//! watches the pipe that this process holds. What the service said is printed when the test fails.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::peers::{require_peer, skipped};

/// The tree is made once, from a mirror; booting itself takes a second.
const BOOT: Duration = Duration::from_secs(240);

/// A hand-over may take its 60 s before it is given up.
const COMMAND: Duration = Duration::from_secs(120);

/// Whose ports the container sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Those of the machine: a client of the test reaches it on 127.0.0.1.
    Shared,
    /// Its own loopback and nothing else: ports that a package has fixed collide with nothing.
    Own,
}

/// A booted container.
pub struct Container {
    script: Child,
    leader: u32,
}

/// What a command came to.
#[derive(Clone, Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

// === impl Container ===

impl Container {
    /// Boots it. None, after saying so, where that cannot be: then the test returns at once.
    pub async fn boot(network: Network) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skipped("it boots a container, and that takes root");
            return None;
        }
        for tool in ["debootstrap", "systemd-nspawn", "nsenter", "dpkg-deb", "dpkg-shlibdeps"] {
            require_peer(tool)?;
        }
        let namespaces = Command::new("unshare").args(["--mount", "--pid", "--fork", "true"]).output().await;
        if !namespaces.is_ok_and(|out| out.status.success()) {
            skipped("this machine does not let root make namespaces; it may be a container itself");
            return None;
        }
        let mut command = Command::new(root().join(".ci/container"));
        command.arg("boot");
        if network == Network::Own {
            command.arg("--private-network");
        }
        // A group of its own: a runner that kills the test's group must not kill who cleans up.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = command.spawn().expect("start .ci/container");
        let said = script.stdout.take().expect("its standard output is a pipe");
        let said = timeout(BOOT, BufReader::new(said).lines().next_line()).await;
        let said = said.expect("a container boots in time").expect("read what the script says");
        let leader = said.as_deref().and_then(|line| line.strip_prefix("leader ")?.parse().ok());
        let Some(leader) = leader else {
            skipped(&format!("no container boots here; it said {said:?} and why above"));
            return None;
        };
        Some(Self { script, leader })
    }

    /// Runs a program in it.
    pub async fn run(&self, args: &[&str]) -> Ran {
        let mut command = Command::new("nsenter");
        command.args(["--all", "--target", &self.leader.to_string(), "--"]).args(["/usr/bin/env", "-i"]);
        command.args([
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL=C.UTF-8",
            "DEBIAN_FRONTEND=noninteractive",
        ]);
        command.args(args).stdin(Stdio::null()).kill_on_drop(true);
        let out = timeout(COMMAND, command.output()).await.unwrap_or_else(|_| panic!("{args:?}: no end"));
        let out = out.unwrap_or_else(|e| panic!("{args:?}: {e}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { status: out.status, stdout: text(&out.stdout), stderr: text(&out.stderr) }
    }

    /// Runs it and wants it to succeed. Gives what it said on standard output.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> impl Future<Output = String> {
        let caller = std::panic::Location::caller();
        async move {
            let ran = self.run(args).await;
            assert!(ran.status.success(), "{caller}: {args:?}: {ran:?}");
            ran.stdout
        }
    }

    /// A property of `tidegate.service`, as `MainPID`.
    pub async fn property(&self, name: &str) -> String {
        let said = self.ok(&["systemctl", "show", "--property", name, "--value", "tidegate.service"]).await;
        said.trim().to_owned()
    }

    /// The processes of `tidegate.service`, by their numbers in the container.
    pub async fn processes(&self) -> Vec<u32> {
        // Which of the two hierarchies of groups systemd keeps processes in depends on the machine.
        let script = "for root in /sys/fs/cgroup/systemd /sys/fs/cgroup; do \
             cat $root/system.slice/tidegate.service/cgroup.procs 2>/dev/null && break; done; true";
        let said = self.ok(&["sh", "-c", script]).await;
        said.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// What the service, and systemd about it, wrote to the journal.
    pub async fn journal(&self) -> String {
        self.run(&["journalctl", "--no-pager", "--output", "cat", "--unit", "tidegate.service"]).await.stdout
    }

    /// Where a path of it is on this machine.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.leader))
    }

    /// Puts a file there, all at once: its reader may be watching.
    pub fn write(&self, inside: &str, text: &str) {
        let next = self.path(&format!("{inside}.next"));
        std::fs::create_dir_all(next.parent().unwrap()).unwrap();
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, self.path(inside)).unwrap();
    }

    fn print_journal(&self) {
        let out = std::process::Command::new("nsenter")
            .args(["--all", "--target", &self.leader.to_string(), "--"])
            .args(["journalctl", "--no-pager", "--lines", "150", "--unit", "tidegate.service"])
            .output();
        let text = out.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
        eprintln!("--- the journal of tidegate.service\n{}\n---", text.unwrap_or_else(|e| e.to_string()));
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_journal();
        }
        drop(self.script.stdin.take());
        // The script has its own deadlines, 20 s in all, and nothing is left when it ends.
        for _ in 0..250 {
            if !matches!(self.script.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        eprintln!("*** .ci/container does not end");
    }
}

// === impl Ran ===

impl Ran {
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// Both outputs, as a terminal would show them, one after the other.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
