//! A service manager's end of `NOTIFY_SOCKET`: hears, and does nothing.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::support::eventually;

/// Everything that was heard, with the time.
pub(crate) struct Ear {
    dir: TempDir,
    heard: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Ear {
    pub(crate) fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let all = heard.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 8192];
            while let Ok(length) = socket.recv(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                all.lock().unwrap().push((Instant::now(), text));
            }
        });
        Self { dir, heard }
    }

    pub(crate) fn path(&self) -> String {
        PathBuf::from(self.dir.path()).join("notify").display().to_string()
    }

    /// What was heard but WATCHDOG=1, in its order, a message each.
    pub(crate) fn said(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        heard.iter().map(|(_, text)| text.clone()).filter(|text| text != "WATCHDOG=1\n").collect()
    }

    /// The times of WATCHDOG=1.
    pub(crate) fn beats(&self) -> Vec<Instant> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|(_, text)| text == "WATCHDOG=1\n").map(|(at, _)| *at).collect()
    }

    /// How long ago the last beat was; nothing before the first.
    pub(crate) fn silence(&self) -> Duration {
        self.beats().last().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// Waits for a message that holds all of these, among those from place `from` on, and returns
    /// the place after it.
    pub(crate) async fn hears(&self, from: usize, parts: &[&str]) -> usize {
        eventually(super::SOON, async || {
            let said = self.said();
            let holds = |text: &String| parts.iter().all(|part| text.contains(part));
            let found = said.iter().skip(from).position(holds).map(|place| from + place + 1);
            found.ok_or_else(|| format!("no {parts:?} from {from} on in {said:#?}"))
        })
        .await
    }
}
