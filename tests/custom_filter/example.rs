//! A Tidegate of your own: the whole program, with one more filter.
//!
//! `cargo run --example custom_filter -- tidegate.yaml`, where a route of the file says
//!
//! ```yaml
//! filters: [ { name: api-key, config: { consumers: { alice: key-of-alice, bob: key-of-bob } } } ]
//! ```
//!
//! Requests without a known key in `x-api-key` are answered 401. The others go on without the key
//! and with the name of its owner, which routes can hash by and endpoints can log.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use serde_json::Value;
use tidegate::app::Builder;
use tidegate::filter::{Answer, Exchange, Filter, Verdict};

/// Lets those pass who have a key.
struct ApiKey {
    /// Owners by key.
    owners: HashMap<String, String>,
}

/// What is remembered for the response. A type of its own, so that no other filter finds it by
/// accident.
#[derive(Clone)]
struct Owner(String);

const KEY: &str = "x-api-key";
const CONSUMER: &str = "x-consumer";

#[allow(dead_code, reason = "the test of this example includes it as a module")]
fn main() -> ExitCode {
    let Some(file) = std::env::args().nth(1) else {
        eprintln!("usage: custom_filter FILE");
        return ExitCode::FAILURE;
    };
    run(file.into())
}

/// Runs the config of a file, with the filter.
pub(crate) fn run(file: PathBuf) -> ExitCode {
    Builder::file(file).filter("api-key", api_key).run()
}

/// Makes a filter for each route that names it. What it cannot work with is shown as a problem of
/// the config.
fn api_key(config: &Value) -> Result<Box<dyn Filter>, String> {
    let consumers = config["consumers"].as_object().ok_or("needs `consumers: { NAME: KEY }`")?;
    let owner = |(name, key): (&String, &Value)| {
        let key = key.as_str().filter(|key| !key.is_empty());
        key.map(|key| (key.to_owned(), name.clone())).ok_or_else(|| format!("the key of `{name}` is no text"))
    };
    let owners = consumers.iter().map(owner).collect::<Result<_, _>>()?;
    Ok(Box::new(ApiKey { owners }))
}

impl Filter for ApiKey {
    fn on_request(&self, request: &mut RequestHeader, exchange: &mut Exchange<'_>) -> Verdict {
        let key = request.headers.get(KEY).and_then(|key| key.to_str().ok());
        let Some(owner) = key.and_then(|key| self.owners.get(key)) else {
            return Verdict::Answer(Box::new(refusal()));
        };
        request.remove_header(KEY);
        // What a client says of itself here is replaced. It fails only for a name that is no header
        // value.
        if request.insert_header(CONSUMER, owner.as_str()).is_err() {
            request.remove_header(CONSUMER);
        }
        exchange.memory.values.insert(Owner(owner.clone()));
        Verdict::Continue
    }

    fn on_response(&self, response: &mut ResponseHeader, exchange: &mut Exchange<'_>) {
        if let Some(Owner(owner)) = exchange.memory.values.get() {
            let _ = response.insert_header(CONSUMER, owner.as_str());
        }
    }
}

fn refusal() -> Answer {
    let mut head = ResponseHeader::from(http::Response::new(()).into_parts().0);
    let _ = head.set_status(401);
    let _ = head.insert_header("www-authenticate", "ApiKey");
    let _ = head.insert_header("content-type", "text/plain; charset=utf-8");
    Answer { head, body: Bytes::from_static(b"a key is needed in x-api-key\n") }
}
