//! A small file that holds what a process must remember: the members of clusters, the weights that
//! operators set.
//!
//! A header line with the format and the SHA-256 of the rest, then JSON. It is written beside its
//! place, synced and renamed, so that a crash leaves the old file or the new one; the hash catches
//! what a disk does, and a hand that edits it. Only the owner may read it: it names the inside of a
//! network. The bad side: it can't be mended with an editor; what it holds is changed where it came
//! from.

pub mod lenient;
mod owner;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::owner::Owner;

const FORMAT: u32 = 1;

/// A file larger than this is not ours.
const MAX_BYTES: u64 = 256 << 20;

/// Why a file was not used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is damaged or of another format: {0}")]
    Damaged(String),
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    sha256: String,
}

/// Writes `state` as the file `name` in `dir`, which is made if it is missing. Blocks.
///
/// # Errors
///
/// What the operating system says; the old file is then still there.
pub fn save(dir: &Path, name: &str, state: &impl Serialize) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let body = serde_json::to_vec(state)?;
    let header = serde_json::to_vec(&Header { format: FORMAT, sha256: hash(&body) })?;
    let temporary = dir.join(format!(".{name}.{}", std::process::id()));
    let written = write(&temporary, &[&header, b"\n", &body]);
    let renamed = written.and_then(|()| fs::rename(&temporary, dir.join(name)));
    if renamed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    renamed?;
    // The rename itself lasts only once the directory is on disk.
    File::open(dir)?.sync_all()
}

/// Reads the file `name` in `dir`. None: there is none. Blocks.
///
/// # Errors
///
/// [`LoadError`]; the caller starts without it and says so.
pub fn load<T: DeserializeOwned>(dir: &Path, name: &str) -> Result<Option<T>, LoadError> {
    let file = match File::open(dir.join(name)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    parse(&bytes).map(Some)
}

fn write(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, LoadError> {
    let damaged = |why: &dyn std::fmt::Display| LoadError::Damaged(why.to_string());
    let split = bytes.iter().position(|b| *b == b'\n').ok_or_else(|| damaged(&"no header"))?;
    let (header, body) = (&bytes[..split], &bytes[split + 1..]);
    let header: Header = serde_json::from_slice(header).map_err(|e| damaged(&e))?;
    if header.format != FORMAT {
        return Err(damaged(&format_args!("format {}", header.format)));
    }
    if header.sha256 != hash(body) {
        return Err(damaged(&"the hash does not fit"));
    }
    serde_json::from_slice(body).map_err(|e| damaged(&e))
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "a.json";

    fn state() -> Vec<(String, u64)> {
        vec![("web".into(), 9)]
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        assert!(load::<Vec<(String, u64)>>(&inner, FILE).unwrap().is_none());
        for _ in 0..2 {
            save(&inner, FILE, &state()).unwrap();
            assert_eq!(load(&inner, FILE).unwrap(), Some(state()));
        }
        let mode = fs::metadata(inner.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), FILE, &state()).unwrap();
        let good = fs::read(dir.path().join(FILE)).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(parse::<Vec<(String, u64)>>(&bad).is_err(), "byte {at}");
        }
        assert!(parse::<Vec<(String, u64)>>(&good[..good.len() - 1]).is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), json in ".{0,80}") {
            let _ = parse::<serde_json::Value>(&bytes);
            let body = hash(json.as_bytes());
            let file = format!("{{\"format\":1,\"sha256\":\"{body}\"}}\n{json}");
            let _ = parse::<serde_json::Value>(file.as_bytes());
        }
    }
}
