//! The last known good members on disk, so that a cold start works while the registry is away.
//!
//! One file, `members.json` in `state_dir`: a header line with the format and the SHA-256 of the
//! rest, then the body. It is written beside its place, synced and renamed, so that a crash leaves
//! the old file or the new one; the hash catches what a disk does. Only the owner may read it: it
//! names the inside of a network. It holds no token.
//!
//! What cannot be trusted is not used: another format, a wrong hash, a cluster that now asks for
//! something else, members older than the limit. A start without them is slower, never wrong.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::Name;
use crate::endpoint::Members;

/// The name of the file in `state_dir`.
pub const FILE: &str = "members.json";

const FORMAT: u32 = 1;

/// A file larger than this is not ours.
const MAX_BYTES: u64 = 256 << 20;

/// What the file says, by cluster.
pub type State = BTreeMap<Name, Stored>;

/// The members of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// What the cluster asked for. Members of another question are not its members.
    pub spec: String,
    /// When the source was last heard, in seconds since 1970.
    pub heard_at: u64,
    pub members: Members,
}

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

/// Writes `state` into `dir`, which is made if it is missing. Blocks.
///
/// # Errors
///
/// What the operating system says; the old file is then still there.
pub fn save(dir: &Path, state: &State) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let body = serde_json::to_vec(state)?;
    let header = serde_json::to_vec(&Header { format: FORMAT, sha256: hash(&body) })?;
    let temporary = dir.join(format!(".{FILE}.{}", std::process::id()));
    let written = write(&temporary, &[&header, b"\n", &body]);
    let renamed = written.and_then(|()| fs::rename(&temporary, dir.join(FILE)));
    if renamed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    renamed?;
    // The rename itself lasts only once the directory is on disk.
    File::open(dir)?.sync_all()
}

/// Reads the file in `dir`. None: there is none. Blocks.
///
/// # Errors
///
/// [`LoadError`]; the caller starts without it and says so.
pub fn load(dir: &Path) -> Result<Option<State>, LoadError> {
    let file = match File::open(dir.join(FILE)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    parse(&bytes).map(Some)
}

/// Whether members last heard of at `heard_at` may still be used at `now`, both in seconds since
/// 1970. A time in the future is a clock that was set back; it counts as fresh for the length of
/// the limit.
pub fn fresh(heard_at: u64, now: u64, max_age: u64) -> bool {
    heard_at.abs_diff(now) <= max_age
}

fn write(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}

fn parse(bytes: &[u8]) -> Result<State, LoadError> {
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

    fn state() -> State {
        let members =
            r#"[{"address":"10.0.0.7:80","weight":3,"registry":"critical","labels":{"tags":["v1"]}}]"#;
        let stored =
            Stored { spec: "web".into(), heard_at: 9, members: serde_json::from_str(members).unwrap() };
        BTreeMap::from([("web".parse().unwrap(), stored)])
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        assert!(load(&inner).unwrap().is_none());
        for _ in 0..2 {
            save(&inner, &state()).unwrap();
            assert_eq!(load(&inner).unwrap(), Some(state()));
        }
        let mode = fs::metadata(inner.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), &state()).unwrap();
        let good = fs::read(dir.path().join(FILE)).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(parse(&bad).is_err(), "byte {at}");
        }
        assert!(parse(&good[..good.len() - 1]).is_err());
    }

    #[test]
    fn age_has_a_limit_both_ways() {
        assert!(fresh(100, 200, 100) && !fresh(100, 201, 100));
        assert!(fresh(200, 100, 100) && !fresh(u64::MAX, 0, 100));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), json in ".{0,80}") {
            let _ = parse(&bytes);
            let _ = parse(format!("{{\"format\":1,\"sha256\":\"{}\"}}\n{json}", hash(json.as_bytes())).as_bytes());
        }
    }
}
