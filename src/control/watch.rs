//! Sees that the config file changed, and asks for a reload.
//!
//! The folder is watched, not the file: editors and config management replace a file by renaming another over it, and
//! a watch on the old inode would hear nothing more. A burst of events (truncate, write, write) is one reload, [`QUIET`]
//! after the last of them, so that a half-written file is rarely read; if it is, it is refused and the next event
//! brings the whole one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::control::Inbox;
use crate::discovery::Stop;

/// How long a file must be left alone before it is read.
pub const QUIET: Duration = Duration::from_millis(200);

/// Watches `file` until `stop` turns true. Where watching is not possible, says so and ends: SIGHUP and the API still reload.
pub async fn file(file: PathBuf, inbox: Inbox, mut stop: Stop) {
    let (send, mut events) = mpsc::unbounded_channel();
    let _watcher = match watcher(&file, send) {
        Ok(watcher) => watcher,
        Err(error) => {
            warn!(%error, file = %file.display(), "cannot watch the config file; reload it by SIGHUP");
            return;
        }
    };
    loop {
        tokio::select! {
            event = events.recv() => if event.is_none() { return },
            changed = stop.changed() => if changed.is_err() || *stop.borrow() { return } else { continue },
        }
        while let Ok(Some(())) = timeout(QUIET, events.recv()).await {}
        debug!(file = %file.display(), "the config file changed");
        inbox.reload_soon("file");
    }
}

fn watcher(file: &Path, send: mpsc::UnboundedSender<()>) -> notify::Result<RecommendedWatcher> {
    let name = file.file_name().map(std::ffi::OsStr::to_owned);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let ours = event.paths.iter().any(|path| path.file_name() == name.as_deref());
        if ours && !event.kind.is_access() {
            let _ = send.send(());
        }
    })?;
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
