//! The filters that a binary knows. A plain one knows none: they are what a user's own binary adds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::config::Problem;
use crate::filter::{Chain, Filter};

/// Makes a filter from the `config` of a route. The text of an error is shown to the operator.
pub type FilterFactory = Arc<dyn Fn(&serde_json::Value) -> Result<Box<dyn Filter>, String> + Send + Sync>;

/// The filters that a binary knows, by name.
#[derive(Clone, Default)]
pub struct Registry {
    factories: BTreeMap<String, FilterFactory>,
}

// === impl Registry ===

impl Registry {
    /// Adds a factory. A later one takes the place of an earlier one of the same name.
    pub fn register<F>(&mut self, name: impl Into<String>, factory: F)
    where
        F: Fn(&serde_json::Value) -> Result<Box<dyn Filter>, String> + Send + Sync + 'static,
    {
        self.factories.insert(name.into(), Arc::new(factory));
    }

    /// The names it knows, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.factories.keys().map(String::as_str)
    }

    /// Makes the filters that a route names, in order; `at` is the config path of its list, as
    /// `routes[2].filters`.
    ///
    /// # Errors
    ///
    /// A problem for each name that is unknown and each config that its factory refuses.
    pub fn chain<'c>(
        &self,
        filters: impl IntoIterator<Item = (&'c str, &'c serde_json::Value)>,
        at: &str,
    ) -> Result<Chain, Vec<Problem>> {
        let mut chain = Chain::default();
        let mut problems = Vec::new();
        for (i, (name, config)) in filters.into_iter().enumerate() {
            match self.build(name, config, &format!("{at}[{i}]")) {
                Ok(filter) => chain.push(name, filter),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(chain) } else { Err(problems) }
    }

    fn build(&self, name: &str, config: &serde_json::Value, at: &str) -> Result<Box<dyn Filter>, Problem> {
        let Some(factory) = self.factories.get(name) else {
            let known = match self.names().collect::<Vec<_>>() {
                names if names.is_empty() => "this binary has none; see app::Builder::filter".to_owned(),
                names => format!("this binary knows {}", names.join(", ")),
            };
            return Err(Problem::new(format!("{at}.name"), format!("unknown filter `{name}`"))
                .hint(known)
                .did_you_mean(name, self.names()));
        };
        factory(config).map_err(|why| Problem::new(format!("{at}.config"), format!("filter `{name}`: {why}")))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
