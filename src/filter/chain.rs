//! The filters of one route, as the layers of an onion.
//!
//! Requests pass the filters in the order of the file, responses in reverse. A filter that answers
//! a request itself ends the way down: its answer passes those before it on the way back, not
//! itself and none behind it. So a filter sees a response only if it let the request pass, and may
//! rely on what it remembered then.

use std::fmt;

use pingora::http::{RequestHeader, ResponseHeader};

use crate::filter::{Exchange, Filter, Verdict};

/// The filters of one route, in order.
#[derive(Default)]
pub struct Chain {
    filters: Vec<(String, Box<dyn Filter>)>,
}

// === impl Chain ===

impl Chain {
    pub(super) fn push(&mut self, name: &str, filter: Box<dyn Filter>) {
        self.filters.push((name.to_owned(), filter));
    }

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

    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::filter::{Answer, Memory, Registry};

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
