//! Why a route won, and why each nearer one lost. (Interface; the body is under construction.)

use serde::Serialize;

use crate::route::{RequestView, Router};

/// One route's fate for a request, in order of precedence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Index of the route in the file.
    #[serde(skip)]
    pub index: usize,
    pub route: String,
    /// The first condition that failed, as `header x-beta: expected exactly "1", the request has none`. None: it matched.
    pub lost: Option<String>,
}

impl Router {
    /// The routes in order of precedence down to the winner (all, if none wins), each with why it lost.
    pub fn explain(&self, _request: &RequestView<'_>) -> Vec<Candidate> {
        Vec::new()
    }
}
