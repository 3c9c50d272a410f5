//! Which route a request takes. (Interface; the body is under construction.)

pub mod explain;

use http::{HeaderMap, Method};

use crate::config::live::Match;
use crate::config::{Name, Problem};

/// What routing may see of a request. `host` is lower-cased, without port; `path` starts with `/`.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    pub host: &'a str,
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
}

/// A route as the router needs it: `(name, priority, conditions)`, in the order of the file.
pub struct Rule<'a> {
    pub name: &'a Name,
    pub priority: i32,
    pub conditions: &'a Match,
}

/// All routes, compiled for look-up.
#[derive(Debug)]
pub struct Router {}

// === impl Router ===

impl Router {
    /// Compiles the rules. Problems carry paths like `routes[3].match.path.regex`.
    pub fn compile(_rules: &[Rule<'_>]) -> Result<Self, Vec<Problem>> {
        Ok(Self {})
    }

    /// The index (in the order given to `compile`) of the route that wins, if any matches.
    pub fn find(&self, _request: &RequestView<'_>) -> Option<usize> {
        None
    }
}
