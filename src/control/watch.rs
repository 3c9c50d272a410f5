//! Sees that the config file changed, and asks for a reload.
//!
//! The folder is watched, not the file: editors and config management replace a file by renaming
//! another over it, and a watch on the old inode would hear nothing more. A burst of events
//! (truncate, write, write) is one reload, [`QUIET`] after the last of them, so that a half-written
//! file is rarely read; if it is, it is refused and the next event brings the whole one.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::control::Inbox;
use crate::discovery::Stop;

/// How long a file must be left alone before it is read.
pub const QUIET: Duration = Duration::from_millis(200);

/// What tells one state of a file from another: device, inode, length, and the time of the last
/// change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(Option<[u64; 5]>);

// === impl Stamp ===

impl Stamp {
    /// Of a file as it is now. Take it before the file is read.
    pub fn of(file: &Path) -> Self {
        let of = |m: std::fs::Metadata| {
            [m.dev(), m.ino(), m.len(), m.mtime().cast_unsigned(), m.mtime_nsec().cast_unsigned()]
        };
        Self(std::fs::metadata(file).ok().map(of))
    }
}

/// Watches `file` until `stop` turns true. Where watching is not possible, says so and ends: SIGHUP
/// and the API still reload.
///
/// `read`: the file as it was when the running config was read. A change between then and now is
/// found by it.
pub async fn file(file: PathBuf, read: Stamp, inbox: Inbox, mut stop: Stop) {
    let (send, mut events) = mpsc::unbounded_channel();
    let mut _watching = match watcher(&file, send.clone()) {
        Ok(watching) => watching,
        Err(error) => {
            warn!(%error, file = %file.display(), "cannot watch the config file; reload it by SIGHUP");
            return;
        }
    };
    let mut seen = read;
    loop {
        if Stamp::of(&file) != seen {
            seen = settled(&file).await;
            debug!(file = %file.display(), "the config file changed");
            inbox.reload_soon("file");
            // A link may point to another folder now.
            if let Ok(anew) = watcher(&file, send.clone()) {
                _watching = anew;
            }
            // What changed while the new watch was set up has no event.
            continue;
        }
        tokio::select! {
            event = events.recv() => if event.is_none() { return },
            changed = stop.changed() => if changed.is_err() || *stop.borrow() { return },
        }
    }
}

/// Waits until the file has been left alone for [`QUIET`].
async fn settled(file: &Path) -> Stamp {
    let mut last = Stamp::of(file);
    loop {
        sleep(QUIET).await;
        let now = Stamp::of(file);
        if now == last {
            return now;
        }
        last = now;
    }
}

/// Hears of anything in the folders that could change the file: its own, and where it is a link
/// that of its target. Whether the file did change is seen by its [`Stamp`], which follows links;
/// names in the events do not tell, since a link somewhere on the way may be what is replaced, as
/// Kubernetes does with its config maps. But what is written into another file there replaces
/// nothing: an access log beside the config would wake us with each batch of lines. (The bad side: a
/// write through another hard link to the file is not heard.)
fn watcher(file: &Path, send: mpsc::UnboundedSender<()>) -> notify::Result<RecommendedWatcher> {
    let target = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let names = [file, &target].map(|file| file.file_name().map(ToOwned::to_owned));
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| concerns(&event, &names)) {
            let _ = send.send(());
        }
    })?;
    let folder = |file: &Path| match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let own = folder(file);
    watcher.watch(&own, RecursiveMode::NonRecursive)?;
    let target = file.canonicalize().map(|target| folder(&target)).ok();
    if let Some(target) = target.filter(|target| own.canonicalize().is_ok_and(|own| own != *target)) {
        watcher.watch(&target, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Whether an event may mean that a file of one of these names is another now.
fn concerns(event: &notify::Event, names: &[Option<OsString>]) -> bool {
    match event.kind {
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Data(_)) => {
            let named = |path: &PathBuf| names.iter().flatten().any(|name| path.ends_with(name));
            event.need_rescan() || event.paths.iter().any(named)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::control::Change;

    #[tokio::test]
    async fn a_change_before_the_watch_began_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        std::fs::write(&path, "one").unwrap();
        let read = Stamp::of(&path);
        std::fs::write(&path, "other").unwrap();
        for (read, reloads) in [(read, true), (Stamp::of(&path), false)] {
            let (inbox, mut changes) = Inbox::new();
            let (stop, stopped) = tokio::sync::watch::channel(false);
            let watching = tokio::spawn(file(path.clone(), read, inbox, stopped));
            if reloads {
                let change = timeout(Duration::from_secs(10), changes.recv()).await.unwrap();
                assert!(matches!(change, Some(Change::Reload { cause: "file", .. })));
            }
            stop.send_replace(true);
            watching.await.unwrap();
            assert!(changes.recv().await.is_none(), "nothing else was asked for");
        }
    }

    #[test]
    fn what_is_written_into_another_file_is_no_concern() {
        use notify::event::{CreateKind, DataChange, Event, RenameMode};
        let names = [Some("a.yaml".into()), Some("real.yaml".into())];
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        let created = EventKind::Create(CreateKind::File);
        for (kind, path, expected) in [
            (written, "/etc/a.yaml", true),
            (written, "/etc/real.yaml", true),
            (written, "/etc/access.log", false),
            (renamed, "/etc/..data", true),
            (created, "/etc/access.log", true),
        ] {
            let event = Event::new(kind).add_path(path.into());
            assert_eq!(concerns(&event, &names), expected, "{kind:?} {path}");
        }
    }

    /// As Kubernetes does with a config map: the file is a link into a folder that is a link
    /// itself.
    #[tokio::test]
    async fn a_link_on_the_way_that_is_replaced_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (folder, text) in [("one", "1"), ("two", "22")] {
            std::fs::create_dir(at(folder)).unwrap();
            std::fs::write(at(folder).join("a.yaml"), text).unwrap();
        }
        std::os::unix::fs::symlink("one", at("data")).unwrap();
        std::os::unix::fs::symlink("data/a.yaml", at("a.yaml")).unwrap();
        let (inbox, mut changes) = Inbox::new();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let watching = tokio::spawn(file(at("a.yaml"), Stamp::of(&at("a.yaml")), inbox, stopped));
        let mut reloaded =
            async || timeout(Duration::from_secs(10), changes.recv()).await.is_ok_and(|c| c.is_some());
        // The watch may begin a moment after the first change; its stamp finds that too.
        std::os::unix::fs::symlink("two", at("new")).unwrap();
        std::fs::rename(at("new"), at("data")).unwrap();
        assert!(reloaded().await, "the link was replaced");
        std::fs::write(at("two").join("a.yaml"), "333").unwrap();
        assert!(reloaded().await, "the target was written");
        stop.send_replace(true);
        watching.await.unwrap();
    }
}
