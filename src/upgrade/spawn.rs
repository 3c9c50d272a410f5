//! The new process: which binary it is, how it is started, and how its end is seen.
//!
//! # Which binary
//!
//! The one that a shell would start by the words that started this process: `argv[0]`, made absolute
//! *when this process starts* (by its folder, or through `PATH`). It is not resolved further, so a
//! file that was replaced and a link that was set to another version are both followed. What the
//! kernel says of our own file (`/proc/self/exe`) follows no link, and reads `... (deleted)` once the
//! file is replaced; it is used, without that word, only when `argv[0]` names something else, as
//! after `exec -a`. The bad side: a wrapper script that starts the binary is not run again, unless it
//! is itself what `argv[0]` names, and then it must `exec`.
//!
//! # Whose child it is
//!
//! Ours, so that its exit status can be told; but not where a service manager listens. systemd takes
//! over a main process that is no child of its own, and yet never counts on it: with
//! `KillMode=mixed` a stop sends SIGTERM and, in the same moment, SIGKILL to all (seen with 252). So
//! there a shell starts it and ends, which leaves it to whoever adopts orphans: systemd itself. The
//! bad side: how such a process ended is not known to us, only that it did.
//!
//! # How it is seen
//!
//! By a pidfd, whoever its parent is: one that was started here, or by hand (`run --upgrade`). A
//! pidfd never means another process of the same number. A thread waits for its end, and reaps it if
//! it is our child, whether or not somebody still asks. (Tokio can wait for a pidfd too, but has no
//! safe way to say so that is not deprecated.)

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::watch;
use tracing::warn;

use crate::upgrade::notify;

/// Set for a process that was started to take over; its stdin is the channel.
pub const HEIR: &str = "TIDEGATE_HEIR";

/// What this process was told and its heir must not believe: sockets that systemd opened for this
/// one, and whom its watchdog watches.
const OURS: [&str; 4] = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/// Starts what it is told, with the channel as stdin, and leaves it alone. Says its number over the
/// channel before anything else can be said there. A shell gives `/dev/null` to what it leaves
/// behind, hence the other descriptor.
const LEFT_ALONE: &str = r#"exec 3<&0; (/bin/sh -c 'echo "$PPID"' >&3; exec "$0" "$@" <&3 3<&-) &"#;

const SHELL: &str = "/bin/sh";

/// How long it may take to say that number.
const NUMBER: Duration = Duration::from_secs(5);

/// How a process ended that was stopped in good order.
pub const ENDED_WELL: &str = "it exited with status 0";

/// How a process ended that is no child of this one.
pub const GONE: &str = "it is gone";

/// What to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    argv: Vec<OsString>,
}

/// A process that is to become main.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    handle: Arc<OwnedFd>,
    ours: bool,
    /// How it ended, once it has.
    ended: watch::Receiver<Option<String>>,
}

// === impl Program ===

impl Program {
    /// The program that this process is. To be called at its start.
    ///
    /// # Errors
    ///
    /// Nobody says where it is.
    pub fn at_start() -> io::Result<Self> {
        let argv: Vec<_> = env::args_os().collect();
        let own = fs::metadata("/proc/self/exe").ok();
        let named = argv.first().and_then(|name| {
            let folder = env::current_dir().unwrap_or_default();
            named(name, env::var_os("PATH").as_deref(), &folder)
        });
        let path = match named.filter(|path| own.as_ref().is_none_or(|own| same(path, own))) {
            Some(path) => path,
            None => undeleted(env::current_exe()?),
        };
        Ok(Self { path, argv })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts it as an heir. The stream is the other end of its stdin.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn start(&self) -> io::Result<(Process, UnixStream)> {
        if notify::wanted() { self.orphan() } else { self.child() }
    }

    fn child(&self) -> io::Result<(Process, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(&self.path);
        if let [name, args @ ..] = self.argv.as_slice() {
            command.arg0(name).args(args);
        }
        let child = as_heir(&mut command, theirs).spawn()?;
        Ok((Process::child(child)?, ours))
    }

    fn orphan(&self) -> io::Result<(Process, UnixStream)> {
        // The shell would say it on its stderr, and nobody would know here.
        if !runs(&self.path) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it is no program that can be run"));
        }
        let (mut ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(SHELL);
        command.arg("-c").arg(LEFT_ALONE).arg(&self.path).args(self.argv.iter().skip(1));
        let status = as_heir(&mut command, theirs).status()?;
        drop(command);
        if !status.success() {
            return Err(io::Error::other(format!("{SHELL}, which is to start it: {}", how(status))));
        }
        let pid = number(&mut ours)?;
        Ok((Process { ours: true, ..Process::other(pid)? }, ours))
    }
}

/// What an heir is told by its surroundings.
fn as_heir(command: &mut Command, channel: UnixStream) -> &mut Command {
    for key in OURS {
        command.env_remove(key);
    }
    command.env(HEIR, "1").stdin(Stdio::from(OwnedFd::from(channel)))
}

/// Reads the number that [`LEFT_ALONE`] says first, and nothing beyond.
fn number(channel: &mut UnixStream) -> io::Result<u32> {
    channel.set_read_timeout(Some(NUMBER))?;
    let mut digits = String::new();
    loop {
        let mut byte = [0];
        channel.read_exact(&mut byte)?;
        match byte {
            [b'\n'] => break,
            [digit] if digits.len() < 10 => digits.push(digit.into()),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    channel.set_read_timeout(None)?;
    digits.parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Whether it is a file that may be run.
fn runs(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// The file that a shell would start by this name.
fn named(name: &OsStr, path: Option<&OsStr>, folder: &Path) -> Option<PathBuf> {
    if name.as_encoded_bytes().contains(&b'/') {
        return Some(folder.join(name));
    }
    env::split_paths(path?).map(|dir| folder.join(dir).join(name)).find(|path| runs(path))
}

fn same(path: &Path, own: &Metadata) -> bool {
    fs::metadata(path).is_ok_and(|file| (file.dev(), file.ino()) == (own.dev(), own.ino()))
}

/// What the kernel appends to the name of a file that is gone is no part of it.
fn undeleted(path: PathBuf) -> PathBuf {
    let text = path.as_os_str().as_encoded_bytes();
    match text.strip_suffix(b" (deleted)").map(<[u8]>::to_vec) {
        Some(name) => PathBuf::from(<OsString as std::os::unix::ffi::OsStringExt>::from_vec(name)),
        None => path,
    }
}

// === impl Process ===

impl Process {
    fn child(mut child: Child) -> io::Result<Self> {
        let pid = child.id();
        let watched = handle(pid).and_then(|handle| {
            let waits = move || child.wait().map_or_else(|error| error.to_string(), how);
            Self::watched(pid, handle, true, waits)
        });
        if watched.is_err() {
            // Without a descriptor or a thread nobody looks after it. It has no sockets, and ends
            // when the channel closes; whoever reaps orphans reaps it.
            warn!(pid, "the new process cannot be watched");
        }
        watched
    }

    /// A process that somebody else started.
    ///
    /// # Errors
    ///
    /// It is gone.
    pub fn other(pid: u32) -> io::Result<Self> {
        let handle = handle(pid)?;
        let waited = handle.clone();
        let waits = move || {
            let mut ends = [PollFd::new(&waited, PollFlags::IN)];
            while poll(&mut ends, None) == Err(rustix::io::Errno::INTR) {}
            GONE.to_owned()
        };
        Self::watched(pid, handle, false, waits)
    }

    fn watched(
        pid: u32,
        handle: Arc<OwnedFd>,
        ours: bool,
        waits: impl FnOnce() -> String + Send + 'static,
    ) -> io::Result<Self> {
        let (tell, ended) = watch::channel(None);
        let thread = thread::Builder::new().name("heir".into());
        thread.spawn(move || tell.send_replace(Some(waits())))?;
        Ok(Self { pid, handle, ours, ended })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether this process started it.
    pub fn ours(&self) -> bool {
        self.ours
    }

    /// Waits for its end, and says how it ended. May be cancelled.
    pub async fn ended(&mut self) -> String {
        let ended = self.ended.wait_for(Option::is_some).await;
        // The thread says something before it ends.
        ended.ok().and_then(|how| how.clone()).unwrap_or_else(|| GONE.into())
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        let _ = pidfd_send_signal(&self.handle, Signal::TERM);
    }

    /// Kills it, and waits until it holds nothing more.
    pub async fn kill(&mut self) {
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
        self.ended().await;
    }
}

fn handle(pid: u32) -> io::Result<Arc<OwnedFd>> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(Arc::new(pidfd_open(pid, PidfdFlags::empty())?))
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => ENDED_WELL.into(),
        (Some(code), _) => format!("it exited with status {code}"),
        (None, Some(signal)) => format!("it was killed by signal {signal}"),
        (None, None) => "it ended".into(),
    }
}

#[cfg(test)]
mod tests;
