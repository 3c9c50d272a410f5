//! The admin API as the commands ask it: one small client, and errors that say what to do.
//!
//! A command asks a few times and ends, so there is no pool to tune and no retry here; who repeats
//! (`split shift`) knows why it may. The policy is about what a person reads: an answer other than
//! 2xx shows all that the API said (`error`, each of `problems`, `hint`), and no answer shows the
//! whole chain of causes, since reqwest's own text leaves the reason out. The bad side: the JSON is
//! passed on as it is, so a key that the API renames shows only where a command reads it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde::Serialize;
use serde_json::Value;

/// So long may one answer take. A change answers once it serves, which waits for nothing slow.
const PATIENCE: Duration = Duration::from_secs(10);

/// One admin API.
#[derive(Debug)]
pub(super) struct Admin {
    /// Without a slash at its end.
    base: String,
    token: Option<String>,
    client: Client,
}

/// Why there is no answer to work with.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing came back: a later try may do better.
    Unreachable(String),
    /// Something other than 2xx came back.
    Refused(Box<Refusal>),
    /// What came back can't be read.
    Odd(String),
}

/// An answer other than 2xx.
#[derive(Debug)]
pub(super) struct Refusal {
    from: String,
    pub(super) status: StatusCode,
    /// As it came; null where it was not JSON.
    pub(super) body: Value,
    text: String,
}

/// Runs a command's questions on a runtime of its own.
pub(super) fn block_on<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Failure::Odd(format!("cannot start: {e}")))?.block_on(task)
}

/// An error with all that led to it.
fn causes(error: &dyn std::error::Error) -> String {
    let rest = std::iter::successors(error.source(), |error| error.source());
    rest.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

// === impl Admin ===

impl Admin {
    /// `url` may lack its `http://`. `token_file`: what the API wants as a bearer token.
    pub(super) fn new(url: &str, token_file: Option<&Path>) -> Result<Self, Failure> {
        let base = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let base = base.trim_end_matches('/').to_owned();
        let usable = reqwest::Url::parse(&base).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none()
        });
        if !usable {
            let text =
                format!("`{url}` is not the address of an admin API; write it as http://127.0.0.1:9901");
            return Err(Failure::Odd(text));
        }
        let token = token_file.map(|file| {
            let text = std::fs::read_to_string(file);
            text.map_err(|e| Failure::Odd(format!("the token file {}: {e}", file.display())))
        });
        let client = Client::builder().no_proxy().timeout(PATIENCE).build();
        Ok(Self {
            base,
            token: token.transpose()?.map(|text| text.trim().to_owned()),
            client: client.map_err(|e| Failure::Odd(causes(&e)))?,
        })
    }

    pub(super) async fn read(&self, path: &str) -> Result<Value, Failure> {
        self.ask::<()>(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Value, Failure> {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub(super) async fn put(&self, path: &str, body: &impl Serialize) -> Result<Value, Failure> {
        self.ask(Method::PUT, path, Some(body)).await
    }

    async fn ask<T: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&T>,
    ) -> Result<Value, Failure> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let unreachable = |e: reqwest::Error| {
            Failure::Unreachable(format!("cannot ask {}: {}", self.base, causes(&e.without_url())))
        };
        // A token that cannot stand in a header, say: that does not get better.
        let built = request.build().map_err(|e| Failure::Odd(format!("{}: {}", self.base, causes(&e))))?;
        let answer = self.client.execute(built).await.map_err(unreachable)?;
        let (status, text) = (answer.status(), answer.text().await.map_err(unreachable)?);
        let parsed = serde_json::from_str(&text);
        if !status.is_success() {
            let body = parsed.unwrap_or_default();
            return Err(Failure::Refused(Box::new(Refusal { from: self.base.clone(), status, body, text })));
        }
        parsed.map_err(|e| Failure::Odd(format!("{} does not answer in JSON: {e}", self.base)))
    }
}

// === impl Failure ===

impl Failure {
    /// Whether a later try may do better: no contact, or a process that is just stopping.
    pub(super) fn passing(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(refusal) => matches!(refusal.status.as_u16(), 429 | 502..=504),
            Self::Odd(_) => false,
        }
    }

    /// The refusal, if its status is this one.
    pub(super) fn with_status(&self, status: StatusCode) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) if refusal.status == status => Some(refusal),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) | Self::Odd(why) => f.write_str(why),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

// === impl Refusal ===

impl Refusal {
    #[cfg(test)]
    pub(super) fn new(from: &str, status: StatusCode, body: Value) -> Self {
        Self { from: from.into(), status, text: body.to_string(), body }
    }
}

impl fmt::Display for Refusal {
    /// The error, each problem on a line of its own, and the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let Some(error) = text(&self.body["error"]) else {
            return write!(f, "{} answers {}: {}", self.from, self.status, self.text.trim());
        };
        let problems: Vec<_> = self.body["problems"].as_array().into_iter().flatten().map(problem).collect();
        write!(f, "{} answers {}: {error}", self.from, self.status)?;
        // One problem is the error itself.
        for line in problems.iter().filter(|line| **line != error) {
            write!(f, "\n  {line}")?;
        }
        if let Some(hint) = text(&self.body["hint"]) {
            write!(f, "\n  hint: {hint}")?;
        }
        // What a precondition failed on.
        match (self.body["epoch"].as_u64(), self.body["generation"].as_u64()) {
            (Some(epoch), Some(generation)) => write!(f, "\n  now: epoch {epoch}, generation {generation}"),
            _ => Ok(()),
        }
    }
}

/// A problem as `config::Problem` prints itself.
fn problem(problem: &Value) -> String {
    let part = |key: &str| problem[key].as_str().filter(|text| !text.is_empty());
    let mut line = part("path").map_or_else(String::new, |path| format!("{path}: "));
    line += part("what").unwrap_or_default();
    part("hint").map_or_else(|| line.clone(), |hint| format!("{line}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(status: u16, body: Value) -> String {
        Refusal::new("http://here", StatusCode::from_u16(status).unwrap(), body).to_string()
    }

    #[test]
    fn a_refusal_shows_all_that_was_said() {
        let two = json!({"error": "2 problems; nothing was changed", "hint": "see the file", "problems": [
            {"path": "weights.contrl", "what": "no such variant", "hint": "did you mean `control`?"},
            {"path": "", "what": "odd"},
        ]});
        let expected = "http://here answers 422 Unprocessable Entity: 2 problems; nothing was changed\n  \
                        weights.contrl: no such variant; did you mean `control`?\n  odd\n  hint: see the file";
        assert_eq!(shown(422, two), expected);
    }

    #[test]
    fn one_problem_is_not_said_twice_and_no_json_is_shown_as_it_is() {
        let one = json!({"error": "a: b; c", "problems": [{"path": "a", "what": "b", "hint": "c"}]});
        assert_eq!(shown(422, one), "http://here answers 422 Unprocessable Entity: a: b; c");
        assert_eq!(shown(502, json!("Bad")), "http://here answers 502 Bad Gateway: \"Bad\"");
    }

    #[test]
    fn no_contact_names_the_reason() {
        let admin = Admin::new("127.0.0.1:1", None).unwrap();
        let failure = block_on(admin.read("/v1/splits")).unwrap_err();
        let text = failure.to_string();
        assert!(failure.passing() && text.contains("http://127.0.0.1:1"), "{text}");
        assert!(text.to_lowercase().contains("refused"), "{text}");
        let failure = Admin::new("x", Some(Path::new("/nowhere/token"))).unwrap_err();
        assert!(failure.to_string().starts_with("the token file /nowhere/token: "), "{failure}");
        for bad in ["http://", "ftp://a", "", "http://a/?b"] {
            let failure = Admin::new(bad, None).unwrap_err();
            assert!(failure.to_string().contains("is not the address of an admin API"), "{failure}");
        }
    }
}
