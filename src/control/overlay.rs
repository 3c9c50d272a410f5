//! The [`state_file`] `overlay.json` in `state_dir`: the weights that were set at run time, and
//! what was drained.
//!
//! It is read before the first snapshot, so that a restart never serves the file's weights even for
//! a moment, nor sends a request to what is drained. A file that can't be read is said loudly and set aside, and the process starts with the
//! file's weights: one damaged sector must not keep a proxy down. The bad side: a half-done rollout
//! is then back at its start on this node; the log line is the alarm.

use std::path::{Path, PathBuf};

use tracing::{error, info};

use crate::control::ledger::Stored;
use crate::state_file;

/// The name of the file in `state_dir`.
pub const FILE: &str = "overlay.json";

/// Reads what an earlier process stored. Blocks.
pub fn load(dir: &Path) -> Stored {
    match state_file::load::<Stored>(dir, FILE) {
        Ok(Some(stored)) => {
            let fleet = stored.fleet.as_ref().map_or(0, |fleet| fleet.splits.len());
            let (own, drains) = (stored.splits.len(), stored.drains.len());
            info!(own, fleet, drains, "the weights and drains that were set earlier are read");
            stored
        }
        Ok(None) => Stored::default(),
        Err(why) => {
            let aside = set_aside(dir);
            let path = dir.join(FILE);
            error!(
                path = %path.display(), %why, aside,
                "the weights and drains that were set earlier cannot be read; the config file's serve"
            );
            Stored::default()
        }
    }
}

/// Reads it and touches nothing, where the file is another process's. Blocks.
pub fn peek(dir: &Path) -> Stored {
    match state_file::load::<Stored>(dir, FILE) {
        Ok(stored) => stored.unwrap_or_default(),
        Err(why) => {
            error!(path = %path(dir).display(), %why, "the weights and drains that were set cannot be read");
            Stored::default()
        }
    }
}

/// Writes it. Blocks.
///
/// # Errors
///
/// What the operating system says; the old file is then still there.
pub fn save(dir: &Path, stored: &Stored) -> std::io::Result<()> {
    state_file::save(dir, FILE, stored)
}

/// The path in a state directory, for messages.
pub fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// Moves the file out of the way, for whoever wants to look at it. Says where it is now.
fn set_aside(dir: &Path) -> String {
    let aside = dir.join(format!("{FILE}.damaged"));
    match std::fs::rename(dir.join(FILE), &aside) {
        Ok(()) => format!("it is now {}", aside.display()),
        Err(why) => format!("it cannot be renamed either: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::Amendment;

    #[test]
    fn a_damaged_file_is_set_aside_and_the_next_one_is_good() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()), Stored::default());
        std::fs::write(path(dir.path()), "{}\n{\"splits\": {}}").unwrap();
        assert_eq!(load(dir.path()), Stored::default());
        assert!(dir.path().join("overlay.json.damaged").exists() && !path(dir.path()).exists());
        let amendment = Amendment { epoch: 3, ..Amendment::default() };
        let splits = [("shop".parse().unwrap(), amendment)].into();
        let stored = Stored { splits, ..Stored::default() };
        save(dir.path(), &stored).unwrap();
        assert_eq!(load(dir.path()), stored);
    }
}
