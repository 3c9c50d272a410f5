//! What is wrong with a config file, said so that the reader can mend it: where, what, and a hint.
//!
//! Loading and compiling never stop at the first problem; they return all of them.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The place in the config, as `routes[2].split.variants[0].cluster`.
    pub path: String,
    /// What is wrong, in one sentence without a full stop.
    pub what: String,
    /// What to do about it, if that can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The place in the file, filled in by the loader.
    #[serde(flatten)]
    pub at: Option<Location>,
}

/// A place in a file. Line and column count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Location {
    pub file: PathBuf,
    pub line: u32,
    pub column: u32,
}

// === impl Problem ===

impl Problem {
    /// A problem at a config path.
    pub fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into(), hint: None, at: None }
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds "did you mean `x`?" where one of `known` is close to `wrong`.
    pub fn did_you_mean<'a>(mut self, wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        self.hint = closest(wrong, known).map(|name| format!("did you mean `{name}`?")).or(self.hint);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

// === impl Location ===

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// The one of `known` that `wrong` was probably meant to be.
///
/// Damerau-Levenshtein distance, at most a third of the longer word: `web-v3` finds `web-v2`, `xyz`
/// finds nothing.
pub fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .filter(|(distance, name)| *distance <= (wrong.len().max(name.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Names in back quotes, with commas.
pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for name in names {
        if !out.is_empty() {
            out.push_str(", ");
        }
        out.push('`');
        out.push_str(name);
        out.push('`');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_is_found() {
        assert_eq!(closest("web-v3", ["legacy", "web-v2"]), Some("web-v2"));
        assert_eq!(closest("xyz", ["legacy", "web-v2"]), None);
        assert_eq!(closest("cluter", ["cluster"]), Some("cluster"));
    }

    #[test]
    fn a_problem_prints_place_what_and_hint() {
        let mut problem =
            Problem::new("routes[0].cluster", "unknown cluster `web-v3`").hint("did you mean `web-v2`?");
        problem.at = Some(Location { file: "a.yaml".into(), line: 3, column: 7 });
        assert_eq!(
            problem.to_string(),
            "a.yaml:3:7: routes[0].cluster: unknown cluster `web-v3`; did you mean `web-v2`?"
        );
    }
}
