//! The pid file: says which process serves, to those who have nothing better.
//!
//! At an upgrade the new process writes it over; so the old one removes it only while it is still its
//! own.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::StartError;
use crate::upgrade::front::remove_own;

/// Where it is, if anywhere.
#[derive(Clone, Debug)]
pub(super) struct PidFile(pub(super) Option<PathBuf>);

// === impl PidFile ===

impl PidFile {
    /// Says that this process serves. In one step: a reader must not see half of it.
    pub(super) fn write(&self) -> Result<(), StartError> {
        let Some(path) = &self.0 else { return Ok(()) };
        let write = || -> io::Result<()> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let pid = std::process::id();
            let mut beside = path.clone().into_os_string();
            beside.push(format!(".{pid}"));
            let written = fs::write(&beside, format!("{pid}\n")).and_then(|()| fs::rename(&beside, path));
            if written.is_err() {
                let _ = fs::remove_file(&beside);
            }
            written
        };
        write().map_err(|why| StartError::PidFile(path.clone(), why))
    }

    /// Removes it, if it is this process's.
    pub(super) fn leave(&self) {
        let Some(path) = &self.0 else { return };
        let own = std::process::id().to_string();
        remove_own(path, |path| fs::read_to_string(path).is_ok_and(|text| text.trim() == own));
    }
}
