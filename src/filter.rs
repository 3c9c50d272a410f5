//! The programmable part: code that sees each request of a route before it is forwarded, and each response on its way
//! back. A user ships filters of their own by giving the [`Registry`] a factory; a route names them with their config.
//!
//! Filters are synchronous and see heads, not bodies. They run on the request path of every worker thread, so one that
//! must ask another server, or must see a body, does not belong here; that is the bad side, and what keeps a chain of
//! ten filters as cheap as ten calls. What a filter needs at run time it makes in its factory, once a snapshot.
//!
//! Order: requests pass the filters in the order of the file, responses in reverse, like the layers of an onion. A
//! filter that answers a request itself ends the way down: its answer passes those before it on the way back, not
//! itself and none behind it.
//!
//! Beside this trait stand the built-in edits, one a file, which routes name by keys of their own: [`headers`],
//! [`rewrite`], [`redirect`], [`respond`].

pub mod headers;
pub mod redirect;
pub mod respond;
pub mod rewrite;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Extensions;
use pingora::http::{RequestHeader, ResponseHeader};

use crate::config::Problem;

/// Code that looks at, and may change, the requests and responses of a route. Both methods default to doing nothing.
///
/// One instance serves all requests of its route at once, so what it counts must be atomic. A panic in it ends the
/// client's connection.
pub trait Filter: Send + Sync {
    /// Sees the client's request before the split and the rewrite, once, however often it is tried.
    fn on_request(&self, request: &mut RequestHeader, exchange: &mut Exchange<'_>) -> Verdict {
        let _ = (request, exchange);
        Verdict::Continue
    }

    /// Sees the response before the client does, wherever it was made.
    fn on_response(&self, response: &mut ResponseHeader, exchange: &mut Exchange<'_>) {
        let _ = (response, exchange);
    }
}

/// Whether a request goes on.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    Continue,
    /// The request ends here, with this answer.
    Answer(Box<Answer>),
}

/// A response made here. On `HEAD` the body is not sent, but its length is told.
#[derive(Clone, Debug)]
pub struct Answer {
    pub head: ResponseHeader,
    pub body: Bytes,
}

/// What a filter may know of the request beside its head.
#[derive(Debug)]
#[non_exhaustive]
pub struct Exchange<'a> {
    /// The name of the route.
    pub route: &'a str,
    /// The client, as far as it is trusted: after PROXY protocol and trusted forwarding headers.
    pub client: IpAddr,
    /// `http` or `https`, as the client connected.
    pub scheme: &'a str,
    /// What filters leave for their `on_response`, or for each other.
    pub memory: &'a mut Memory,
}

/// What the filters of one request remember until its end. The proxy keeps one a request; an empty one costs nothing.
#[derive(Debug, Default)]
pub struct Memory {
    /// Values by type: give each filter a private type.
    pub values: Extensions,
    /// How many filters of the chain let the request pass.
    passed: usize,
}

/// Makes a filter from the `config` of a route. The text of an error is shown to the operator.
pub type FilterFactory = Arc<dyn Fn(&serde_json::Value) -> Result<Box<dyn Filter>, String> + Send + Sync>;

/// The filters that a binary knows, by name.
#[derive(Clone, Default)]
pub struct Registry {
    factories: BTreeMap<String, FilterFactory>,
}

/// The filters of one route, in order.
#[derive(Default)]
pub struct Chain {
    filters: Vec<(String, Box<dyn Filter>)>,
}

// === impl Exchange ===

impl<'a> Exchange<'a> {
    /// What the proxy knows when the route is chosen.
    pub fn new(route: &'a str, client: IpAddr, scheme: &'a str, memory: &'a mut Memory) -> Self {
        Self { route, client, scheme, memory }
    }
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

    /// Makes the filters that a route names, in order; `at` is the config path of its list, as `routes[2].filters`.
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
                Ok(filter) => chain.filters.push((name.to_owned(), filter)),
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

// === impl Chain ===

impl Chain {
    /// Whether there is no filter, so that the proxy need not make an [`Exchange`].
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Takes a request down the chain, until a filter answers it.
    pub fn on_request(&self, request: &mut RequestHeader, exchange: &mut Exchange<'_>) -> Verdict {
        exchange.memory.passed = 0;
        for (_, filter) in &self.filters {
            if let Verdict::Answer(answer) = filter.on_request(request, exchange) {
                return Verdict::Answer(answer);
            }
            exchange.memory.passed += 1;
        }
        Verdict::Continue
    }

    /// Takes a response back up through the filters that let its request pass.
    pub fn on_response(&self, response: &mut ResponseHeader, exchange: &mut Exchange<'_>) {
        let passed = exchange.memory.passed;
        for (_, filter) in self.filters.iter().take(passed).rev() {
            filter.on_response(response, exchange);
        }
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.filters.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use serde_json::json;

    use super::*;

    /// Leaves its mark on both heads; answers requests for a path.
    struct Mark {
        mark: String,
        answers: Option<String>,
    }

    impl Filter for Mark {
        fn on_request(&self, request: &mut RequestHeader, exchange: &mut Exchange<'_>) -> Verdict {
            if self.answers.as_deref() == Some(request.uri.path()) {
                let head = ResponseHeader::build(403, None).unwrap();
                return Verdict::Answer(Box::new(Answer { head, body: Bytes::new() }));
            }
            request.append_header("x-mark", self.mark.as_str()).unwrap();
            exchange.memory.values.get_or_insert_default::<Vec<String>>().push(self.mark.clone());
            Verdict::Continue
        }

        fn on_response(&self, response: &mut ResponseHeader, exchange: &mut Exchange<'_>) {
            let seen = exchange.memory.values.get::<Vec<String>>().map_or(0, Vec::len);
            response.append_header("x-mark", format!("{}{seen}", self.mark)).unwrap();
        }
    }

    fn registry() -> Registry {
        let mut registry = Registry::default();
        registry.register("mark", |config| {
            let mark = config["mark"].as_str().ok_or("needs a `mark`")?.to_owned();
            let answers = config["answers"].as_str().map(str::to_owned);
            Ok(Box::new(Mark { mark, answers }))
        });
        registry
    }

    /// The marks on the request and on its response, and whether a filter answered.
    fn run(chain: &Chain, path: &str) -> (Vec<String>, Vec<String>, bool) {
        let mut memory = Memory::default();
        let mut exchange = Exchange::new("r", Ipv4Addr::LOCALHOST.into(), "http", &mut memory);
        let mut request = RequestHeader::build("GET", path.as_bytes(), None).unwrap();
        let (mut response, answered) = match chain.on_request(&mut request, &mut exchange) {
            Verdict::Continue => (ResponseHeader::build(200, None).unwrap(), false),
            Verdict::Answer(answer) => (answer.head, true),
        };
        chain.on_response(&mut response, &mut exchange);
        let marks = |map: &http::HeaderMap| {
            map.get_all("x-mark").iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        (marks(&request.headers), marks(&response.headers), answered)
    }

    #[test]
    fn requests_go_down_and_responses_come_back_up() {
        let configs = [json!({"mark": "a"}), json!({"mark": "b", "answers": "/no"}), json!({"mark": "c"})];
        let chain = registry().chain(configs.iter().map(|c| ("mark", c)), "f").unwrap();
        let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        assert_eq!(run(&chain, "/"), (texts(&["a", "b", "c"]), texts(&["c3", "b3", "a3"]), false));
        assert_eq!(run(&chain, "/no"), (texts(&["a"]), texts(&["a1"]), true));
        assert_eq!(run(&Chain::default(), "/"), (vec![], vec![], false));
    }

    #[test]
    fn every_wrong_filter_is_told() {
        let (good, bad) = (json!({"mark": "a"}), json!({}));
        let problems = registry()
            .chain([("mark", &good), ("mork", &good), ("mark", &bad), ("jwt", &good)], "routes[1].filters")
            .unwrap_err();
        let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "routes[1].filters[1].name: unknown filter `mork`; did you mean `mark`?",
                "routes[1].filters[2].config: filter `mark`: needs a `mark`",
                "routes[1].filters[3].name: unknown filter `jwt`; this binary knows mark",
            ]
        );
    }
}
