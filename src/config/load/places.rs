//! Where each config path stands in the file, for problems that later stages find.

use std::path::PathBuf;
use std::sync::Arc;

use super::build::Flaw;
use super::tree::{Mark, Node};
use crate::config::{Location, Problem};

/// Where each config path stands in the file, so that later stages can place their problems too.
///
/// Holds the file's values, secrets in clear among them; its `Debug` shows none.
#[derive(Clone, Default)]
pub struct Places {
    file: PathBuf,
    root: Option<Arc<Node>>,
}

// === impl Places ===

impl Places {
    pub(crate) fn new(file: PathBuf, root: Option<Node>) -> Self {
        Self { file, root: root.map(Arc::new) }
    }

    /// Fills in `at` of problems that have none: the place of their path, or of the nearest
    /// enclosing one.
    ///
    /// Where parts of the file could not be read and were left out, paths are turned back into
    /// those of the file, and problems that may only follow from what was left out are dropped.
    pub fn place(&self, problems: Vec<Problem>) -> Vec<Problem> {
        let Some(root) = &self.root else { return problems };
        let place = |mut problem: Problem| {
            if problem.at.is_some() {
                return Some(problem);
            }
            let found = root.find(&problem.path);
            if found.follows {
                return None;
            }
            problem.at = Some(self.location(found.at));
            problem.path = found.path;
            Some(problem)
        };
        problems.into_iter().filter_map(place).collect()
    }

    /// The place of a config path: its own, else that of the nearest enclosing one.
    pub fn find(&self, path: &str) -> Option<Location> {
        let root = self.root.as_ref()?;
        Some(self.location(root.find(path).at))
    }

    /// A flaw of the loader as a problem.
    pub(crate) fn told(&self, (at, mut problem): Flaw) -> Problem {
        if at.line != u32::MAX {
            problem.at = Some(self.location(at));
        }
        problem
    }

    fn location(&self, at: Mark) -> Location {
        Location { file: self.file.clone(), line: at.line, column: at.column }
    }
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Places").field("file", &self.file).finish_non_exhaustive()
    }
}
