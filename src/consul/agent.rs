//! What an agent is told of the services on its machine.
//!
//! An agent answers for itself, without a leader, within milliseconds; so every request here has one
//! short limit, and none of them may hang as a blocking query does. A registration at the agent
//! (never in the catalog, which the agent would correct) is kept up by the agent.
//!
//! Consul 1.8.7 is the oldest that is spoken to. It refuses a body with a field that it does not
//! know, so only its fields are sent; and where later versions answer 404 to an unknown ID, it says
//! so in the text of a 500, or takes a removal of nothing for a success. Both are read.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use serde::{Deserialize, Deserializer, Serialize};

use crate::consul::client::Told;
use crate::consul::{Client, Error};

/// All that a request may take.
const LIMIT: Duration = Duration::from_secs(3);

/// An agent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Agent(Client);

/// A service as it is registered: the body of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Service {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
    /// Empty: that of the agent's node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    pub port: u16,
    pub check: Check,
}

/// Its check. `ttl`, or else `http` with `interval` and `timeout`. Durations are as Consul reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Check {
    #[serde(rename = "CheckID")]
    pub id: String,
    pub name: String,
    /// Says in words all that the agent does not show of a check, so that it can be compared.
    pub notes: String,
    #[serde(rename = "TTL", skip_serializing_if = "String::is_empty")]
    pub ttl: String,
    #[serde(rename = "HTTP", skip_serializing_if = "String::is_empty")]
    pub http: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub interval: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub timeout: String,
    /// Where there is no such check yet. One that is there keeps its status.
    pub status: String,
    pub deregister_critical_service_after: String,
}

/// A service as the agent has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub name: String,
    pub tags: Vec<String>,
    pub meta: BTreeMap<String, String>,
    pub address: String,
    pub port: u32,
    /// Those of the node and of maintenance among them.
    pub checks: Vec<SeenCheck>,
}

/// A check as the agent has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SeenCheck {
    #[serde(rename = "CheckID")]
    pub id: String,
    #[serde(default)]
    pub notes: String,
}

/// What a TTL check is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Pass,
    Fail,
}

/// Whether the agent knew what it was spoken to about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Yes,
    No,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    #[serde(default)]
    service: Option<RawService>,
    #[serde(default, deserialize_with = "or_default")]
    checks: Vec<SeenCheck>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawService {
    service: String,
    #[serde(default, deserialize_with = "or_default")]
    tags: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    meta: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    address: String,
    #[serde(default)]
    port: u32,
}

// === impl Agent ===

impl Agent {
    /// `client` should not be shared with blocking queries, so that their number never matters here.
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// The service with its checks. None: there is none of this ID.
    ///
    /// # Errors
    ///
    /// Everything that is not a clear word. The statuses of this path say how healthy the service is
    /// (429: warning, 503: critical), so a 429 that only refuses is told from one that answers by its
    /// body.
    pub async fn look(&self, id: &str) -> Result<Option<Seen>, Error> {
        let path = ["agent", "health", "service", "id", id];
        let told = self.0.tell(Method::GET, &path, &[], Vec::new(), LIMIT).await?;
        read(&told)
    }

    /// Registers, or changes what is registered under the ID. Checks and maintenance that are there
    /// keep their status.
    ///
    /// # Errors
    ///
    /// Everything but a 200.
    pub async fn register(&self, service: &Service) -> Result<(), Error> {
        let body = serde_json::to_vec(service).map_err(|e| Error::Config(e.to_string()))?;
        let told = self.0.tell(Method::PUT, &["agent", "service", "register"], &[], body, LIMIT).await?;
        done(&told).map(drop)
    }

    /// Removes a service, if it is there.
    ///
    /// # Errors
    ///
    /// Everything but a 200 or the word that there is none.
    pub async fn deregister(&self, id: &str) -> Result<Known, Error> {
        self.say(&["agent", "service", "deregister", id], &[]).await
    }

    /// Removes a check, if it is there.
    ///
    /// # Errors
    ///
    /// As [`Agent::deregister`].
    pub async fn deregister_check(&self, id: &str) -> Result<Known, Error> {
        self.say(&["agent", "check", "deregister", id], &[]).await
    }

    /// Says of a TTL check how it is. An empty note beside `Pass` costs watchers nothing: a note that
    /// changes wakes them, some minutes later.
    ///
    /// # Errors
    ///
    /// Everything but a 200 or the word that there is no such check.
    pub async fn report(&self, check: &str, word: Word, note: &str) -> Result<Known, Error> {
        let word = match word {
            Word::Pass => "pass",
            Word::Fail => "fail",
        };
        let note = [("note", note)];
        let params = if note[0].1.is_empty() { &[][..] } else { &note };
        self.say(&["agent", "check", word, check], params).await
    }

    async fn say(&self, path: &[&str], params: &[(&str, &str)]) -> Result<Known, Error> {
        let told = self.0.tell(Method::PUT, path, params, Vec::new(), LIMIT).await?;
        done(&told)
    }
}

/// Success, or that there is no such thing.
fn done(told: &Told) -> Result<Known, Error> {
    let text = String::from_utf8_lossy(&told.body);
    let unknown = ["does not have associated TTL", "Unknown check", "Unknown service"];
    let nothing = |text: &str| unknown.iter().any(|words| text.contains(words));
    match told.status {
        200 => Ok(Known::Yes),
        404 | 500 if nothing(&text) => Ok(Known::No),
        status => Err(Error::status(status, &text, told.retry_after)),
    }
}

fn read(told: &Told) -> Result<Option<Seen>, Error> {
    let refused = || Err(Error::status(told.status, &String::from_utf8_lossy(&told.body), told.retry_after));
    if !matches!(told.status, 200 | 404 | 429 | 503) {
        return refused();
    }
    let Some(raw) = told.json.then(|| serde_json::from_slice::<Raw>(&told.body)).and_then(Result::ok) else {
        let odd = || Err(Error::NotJson("the agent's answer about a service cannot be read".to_owned()));
        return if told.status == 200 { odd() } else { refused() };
    };
    let Raw { service, checks } = raw;
    match service {
        None if told.status == 404 => Ok(None),
        None => refused(),
        Some(RawService { service: name, tags, meta, address, port }) => {
            Ok(Some(Seen { name, tags, meta, address, port, checks }))
        }
    }
}

/// Consul writes null for what is empty.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(value: D) -> Result<T, D::Error> {
    Option::deserialize(value).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, json: bool, body: &str) -> Told {
        Told { status, json, retry_after: None, body: body.into() }
    }

    #[test]
    fn an_unknown_check_is_told_from_a_failure_in_each_version() {
        let old = r#"CheckID "x" does not have associated TTL"#;
        let new = r#"Unknown check ID "x". Ensure that the check ID is passed, not the check name."#;
        let service =
            r#"Unknown service ID "x". Ensure that the service ID is passed, not the service name."#;
        for (status, text) in [(500, old), (404, new), (404, service)] {
            assert_eq!(done(&told(status, false, text)), Ok(Known::No), "{text}");
        }
        assert_eq!(done(&told(200, false, "")), Ok(Known::Yes));
        assert_eq!(done(&told(500, false, "No cluster leader")).unwrap_err().kind(), "status_500");
        assert_eq!(done(&told(403, false, "Permission denied")).unwrap_err().kind(), "forbidden");
        // From a proxy in front, or an agent that has no such path.
        assert_eq!(done(&told(404, false, "404 page not found")).unwrap_err().kind(), "status_404");
    }

    #[test]
    fn every_status_of_a_service_is_an_answer() {
        let body = r#"{"AggregatedStatus":"critical","Service":{"ID":"e","Service":"edge","Tags":null,
            "Meta":null,"Port":80,"Address":""},"Checks":[{"CheckID":"e-ttl","Notes":"n","Status":"critical"}]}"#;
        for status in [200, 429, 503] {
            let seen = read(&told(status, true, body)).unwrap().unwrap();
            assert_eq!((seen.name.as_str(), seen.port, seen.checks[0].id.as_str()), ("edge", 80, "e-ttl"));
        }
        let nothing = r#"{"AggregatedStatus":"critical","Service":null,"Checks":null}"#;
        assert_eq!(read(&told(404, true, nothing)), Ok(None));
        for (status, json, body, kind) in [
            (429, false, "", "status_429"),
            (503, false, "busy", "status_503"),
            (200, true, "{", "not_json"),
            (200, true, nothing, "status_other"),
            (404, false, "404 page not found", "status_404"),
            (403, false, "Permission denied", "forbidden"),
        ] {
            assert_eq!(read(&told(status, json, body)).unwrap_err().kind(), kind, "{status} {body}");
        }
    }
}
