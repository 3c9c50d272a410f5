//! The socket at which a running process is asked for an upgrade: `server.upgrade_socket`.
//!
//! Who can connect can have the listening sockets, so only our own user and root are heard; the
//! kernel says who it is (SO_PEERCRED). The file is 0600, in a folder that should be ours.
//!
//! The path always leads to a process that serves: a new one makes its socket beside it and renames
//! it there, so that between two processes there is no moment without. At the end a process removes
//! it only if it is still its own. A file that is left by a process that was killed is replaced; one
//! behind which somebody answers is not, unless we took over from there.
//!
//! A process that cannot have the socket serves without: SIGUSR2 needs none.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::upgrade::HELLO;
use crate::upgrade::channel::Channel;
use crate::upgrade::elder::Ask;
use crate::upgrade::message::{Asked, MAX_ASKED, Told};
use crate::upgrade::progress::{Progress, Report};
use crate::upgrade::spawn::Process;

/// After an error of accept: there may be no descriptor left.
const PAUSE: Duration = Duration::from_millis(500);

/// The socket, listening.
#[derive(Debug)]
pub struct Front {
    listener: StdListener,
    place: Place,
}

/// A file that is removed at the end, if it is still the one that was made.
#[derive(Clone, Debug)]
pub struct Place {
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
}

// === impl Front ===

impl Front {
    /// Makes the socket. `over`: also where another process, which we took over from, still answers.
    ///
    /// # Errors
    ///
    /// What the system says, or that somebody answers there.
    pub fn bind(path: &Path, over: bool) -> io::Result<Self> {
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        if !over && StdStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process answers there"));
        }
        // Short, as the kernel takes no more than 107 bytes.
        let beside = folder.join(format!(".{}", std::process::id()));
        let _ = fs::remove_file(&beside);
        let listener = StdListener::bind(&beside)?;
        let made = fs::set_permissions(&beside, Permissions::from_mode(0o600))
            .and_then(|()| fs::symlink_metadata(&beside))
            .and_then(|file| fs::rename(&beside, path).map(|()| (file.dev(), file.ino())));
        if made.is_err() {
            let _ = fs::remove_file(&beside);
        }
        Ok(Self { listener, place: Place { path: path.into(), file: made? } })
    }

    /// What is to be removed at the end.
    pub fn place(&self) -> Place {
        self.place.clone()
    }

    /// Takes connections, for ever. In a runtime.
    pub async fn serve(self, asks: mpsc::Sender<Ask>, progress: Progress) {
        let listener =
            self.listener.set_nonblocking(true).and_then(|()| UnixListener::from_std(self.listener));
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => return warn!(%error, "the upgrade socket cannot be used"),
        };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (asks, progress) = (asks.clone(), progress.clone());
                    tokio::spawn(async move {
                        if let Err(error) = hear(stream, &asks, &progress).await {
                            debug!(error, "the upgrade socket");
                        }
                    });
                }
                Err(error) => {
                    warn!(%error, "the upgrade socket");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// One conversation. An error is for the log; the peer has been told what it can be told.
async fn hear(stream: UnixStream, asks: &mpsc::Sender<Ask>, progress: &Progress) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let peer = socket_peercred(&stream).map_err(|e| e.to_string())?;
    if peer.uid != rustix::process::geteuid() && !peer.uid.is_root() {
        return Err(format!("a process of user {} is not heard", peer.uid.as_raw()));
    }
    let mut channel = Channel::new(stream.into_std().map_err(text)?, MAX_ASKED, false).map_err(text)?;
    let first = timeout(HELLO, channel.receive::<Asked>()).await.map_err(|_| "it says nothing")?;
    match first.map_err(|e| e.to_string())? {
        Asked::Upgrade {} => upgrade(channel, asks, progress).await,
        Asked::Hello(hello) => {
            let pid = u32::try_from(peer.pid.as_raw_nonzero().get()).unwrap_or_default();
            let process = Process::other(pid).map_err(text)?;
            let ask = Ask::Heir { process, channel: Box::new(channel), hello };
            asks.send(ask).await.map_err(|_| "the process is ending".into())
        }
        other => {
            let why = format!("`{}` is no first word", other.name());
            let _ = channel.send(&Told::Refused { why: why.clone() }).await;
            Err(why)
        }
    }
}

/// Starts an upgrade and reports until its end, or until nobody reads.
async fn upgrade(mut channel: Channel, asks: &mpsc::Sender<Ask>, progress: &Progress) -> Result<(), String> {
    let mut reports = progress.listen();
    let (reply, answer) = oneshot::channel();
    let _ = asks.send(Ask::Spawn { by: "command", reply }).await;
    let refused = match answer.await {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(why),
        Err(_) => Some("the process is ending".into()),
    };
    if let Some(why) = refused {
        return channel.send(&Report::failed(why)).await.map_err(|e| e.to_string());
    }
    loop {
        let report = match reports.recv().await {
            Ok(report) => report,
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        };
        channel.send(&report).await.map_err(|e| e.to_string())?;
        if report.step.last() {
            return Ok(());
        }
    }
}

// === impl Place ===

impl Place {
    /// Removes the socket, unless another process has its own there by now.
    pub fn leave(&self) {
        remove_own(&self.path, |path| {
            fs::symlink_metadata(path).is_ok_and(|file| (file.dev(), file.ino()) == self.file)
        });
    }
}

/// Removes a file that is this process's. One that another process puts there in this very moment
/// stays: it is looked at again when nobody can replace it any more.
pub fn remove_own(path: &Path, own: impl Fn(&Path) -> bool) {
    if !own(path) {
        return;
    }
    let mut aside = path.to_path_buf().into_os_string();
    aside.push(format!(".{}", std::process::id()));
    let aside = PathBuf::from(aside);
    if fs::rename(path, &aside).is_err() {
        return;
    }
    if !own(&aside) {
        // An error: there is one by now.
        let _ = fs::hard_link(&aside, path);
    }
    let _ = fs::remove_file(&aside);
}

#[cfg(test)]
mod tests;
