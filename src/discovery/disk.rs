//! The last known good members on disk, so that a cold start works while the registry is away: the
//! [`state_file`] `members.json` in `state_dir`. It holds no token.
//!
//! What cannot be trusted is not used: a file that is damaged, a cluster that now asks for something
//! else, members older than the limit. A start without them is slower, never wrong.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::Name;
use crate::endpoint::Members;
use crate::state_file;
pub use crate::state_file::LoadError;

/// The name of the file in `state_dir`.
pub const FILE: &str = "members.json";

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

/// Writes `state` into `dir`, which is made if it is missing. Blocks.
///
/// # Errors
///
/// What the operating system says; the old file is then still there.
pub fn save(dir: &Path, state: &State) -> io::Result<()> {
    state_file::save(dir, FILE, state)
}

/// Reads the file in `dir`. None: there is none. Blocks.
///
/// # Errors
///
/// [`LoadError`]; the caller starts without it and says so.
pub fn load(dir: &Path) -> Result<Option<State>, LoadError> {
    state_file::load(dir, FILE)
}

/// Whether members last heard of at `heard_at` may still be used at `now`, both in seconds since
/// 1970. A time in the future is a clock that was set back; it counts as fresh for the length of
/// the limit.
pub fn fresh(heard_at: u64, now: u64, max_age: u64) -> bool {
    heard_at.abs_diff(now) <= max_age
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let members =
            r#"[{"address":"10.0.0.7:80","weight":3,"registry":"critical","labels":{"tags":["v1"]}}]"#;
        let stored =
            Stored { spec: "web".into(), heard_at: 9, members: serde_json::from_str(members).unwrap() };
        let state = BTreeMap::from([("web".parse().unwrap(), stored)]);
        save(dir.path(), &state).unwrap();
        assert_eq!(load(dir.path()).unwrap(), Some(state));
    }

    #[test]
    fn age_has_a_limit_both_ways() {
        assert!(fresh(100, 200, 100) && !fresh(100, 201, 100));
        assert!(fresh(200, 100, 100) && !fresh(u64::MAX, 0, 100));
    }
}
