//! Sends a question to the agent and accepts nothing but a proper answer.
//!
//! The deadline of a blocking query is `wait` plus the sixteenth that Consul adds as jitter, plus
//! ten seconds for a server that holds requests while it has no leader (7 s); it covers the body
//! too. Shorter, and every quiet query fails; none, and a partition is noticed after fifteen
//! minutes. Keep-alive probes find a dead host earlier, but a stopped process answers those, so the
//! deadline stays the last word.
//!
//! Proxies of the environment are not used, redirects not followed: a service name with a slash in
//! it makes Consul answer 301, and following that would read another service's instances.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderMap, Method, header};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response, Url};
use tokio::time::Instant;

use crate::config::live::Consistency;
use crate::consul::{Address, Error, Settings, tls};

/// The largest body that is read, after decompression.
pub const MAX_BODY: usize = 64 << 20;

/// How long a TCP or TLS connection may take to open.
const CONNECT: Duration = Duration::from_secs(2);

/// What a request may take beyond its wait: a server without a leader holds it for 7 s.
const GRACE: Duration = Duration::from_secs(10);

/// The shortest time between two rebuilds of the connections.
const RENEW: Duration = Duration::from_secs(10);

/// A client of one agent. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    born: Instant,
    /// Replaced after a failure that new connections may cure.
    http: ArcSwap<reqwest::Client>,
    /// When, in milliseconds since `born`.
    renewed: AtomicU64,
    base: Url,
}

/// A question.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// Path segments after `/v1`, not yet encoded.
    pub path: &'a [&'a str],
    pub params: &'a [(&'a str, &'a str)],
    /// 0: answer at once.
    pub index: u64,
    /// How long to wait for a change. Consul refuses values under a second that are not 0, and cuts
    /// those over 10 minutes.
    pub wait: Duration,
    pub consistency: Consistency,
}

/// A proper answer: status 200, JSON by its content type, with an index and a whole body.
#[derive(Clone, Debug)]
pub struct Answer {
    pub index: u64,
    /// Whether the server that answered knows a leader.
    pub known_leader: bool,
    /// How far the answer may lag: the last contact with the leader, or the age in the agent's
    /// cache.
    pub lag: Duration,
    /// How long the answer took.
    pub took: Duration,
    pub body: Vec<u8>,
}

/// An answer of the KV store, which may be that there is nothing.
#[derive(Clone, Debug)]
pub struct Found {
    pub answer: Answer,
    /// Status 404, with an index. The body is empty then.
    pub absent: bool,
}

/// What the agent said to a request about itself. On these paths a status is part of the answer.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) json: bool,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

// === impl Client ===

impl Client {
    /// Builds the client and reads its TLS files.
    ///
    /// # Errors
    ///
    /// [`Error::Config`].
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let (http, base) = build(settings)?;
        let renewed = AtomicU64::new(0);
        let http = ArcSwap::from_pointee(http);
        Ok(Self(Arc::new(Inner { settings: settings.clone(), born: Instant::now(), http, renewed, base })))
    }

    /// Asks, and waits for the answer as long as the query says.
    ///
    /// # Errors
    ///
    /// Everything that is not a proper answer.
    pub async fn get(&self, query: &Query<'_>) -> Result<Answer, Error> {
        Ok(self.ask(query, false).await?.answer)
    }

    /// As [`Client::get`], for questions that Consul answers with 404 where there is nothing.
    ///
    /// # Errors
    ///
    /// Everything that is not a proper answer, as a 404 without an index.
    pub async fn find(&self, query: &Query<'_>) -> Result<Found, Error> {
        self.ask(query, true).await
    }

    /// Sends a change that Consul answers with `true` or `false`. It is sent once, whatever happens.
    ///
    /// # Errors
    ///
    /// Everything else. The change may have happened; see [`kv::uncertain`](crate::consul::kv).
    pub async fn change(
        &self,
        method: Method,
        path: &[&str],
        params: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<bool, Error> {
        let consistency = Consistency::Default;
        let url = self.url(&Query { path, params, index: 0, wait: Duration::ZERO, consistency })?;
        let request = self.0.http.load().request(method, url).body(body);
        let answer = async {
            let response = self.send(request).await?;
            if response.status() != 200 {
                return Err(refusal(response).await);
            }
            let text = start_of(response).await;
            serde_json::from_str(text.trim()).map_err(|_| Error::NotJson(format!("`{}`", text.trim())))
        };
        self.within(GRACE, answer).await
    }

    /// Sends a request to the agent about itself, once. All of it may take `limit`.
    ///
    /// # Errors
    ///
    /// Only where nothing was answered.
    pub(super) async fn tell(
        &self,
        method: Method,
        path: &[&str],
        params: &[(&str, &str)],
        content: Vec<u8>,
        limit: Duration,
    ) -> Result<Told, Error> {
        let consistency = Consistency::Default;
        let url = self.url(&Query { path, params, index: 0, wait: Duration::ZERO, consistency })?;
        let mut request = self.0.http.load().request(method, url);
        if !content.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json").body(content);
        }
        let answer = async {
            let response = self.send(request).await?;
            let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
            let json = is_json(response.headers()).is_ok();
            Ok(Told { status, json, retry_after, body: body(response).await? })
        };
        self.within(limit, answer).await
    }

    async fn ask(&self, query: &Query<'_>, may_be_absent: bool) -> Result<Found, Error> {
        let wait = if query.index == 0 { Duration::ZERO } else { query.wait };
        let limit = wait.saturating_mul(17) / 16 + GRACE;
        let start = Instant::now();
        let mut found = self.within(limit, self.exchange(query, may_be_absent)).await?;
        found.answer.took = start.elapsed();
        Ok(found)
    }

    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let answer = tokio::time::timeout(limit, work).await;
        let answer =
            answer.unwrap_or_else(|_| Err(Error::Timeout(format!("no whole answer within {limit:.1?}"))));
        if matches!(answer, Err(Error::Timeout(_) | Error::Tls(_))) {
            self.renew();
        }
        answer
    }

    /// After a time-out the pool may hold connections to nobody; after a TLS failure the files may
    /// have been renewed (Consul hands out certificates for 72 hours). Queries in flight keep their
    /// connections.
    fn renew(&self) {
        let now = u64::try_from(self.0.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last = self.0.renewed.load(Ordering::Relaxed);
        let due = now >= last.saturating_add(RENEW.as_millis() as u64);
        let claim = |last| self.0.renewed.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed);
        if due && claim(last).is_ok() {
            match build(&self.0.settings) {
                Ok((http, _)) => self.0.http.store(Arc::new(http)),
                Err(error) => log::warn!("consul: the client keeps its old TLS files: {error}"),
            }
        }
    }

    async fn exchange(&self, query: &Query<'_>, may_be_absent: bool) -> Result<Found, Error> {
        let url = self.url(query)?;
        let request = self.0.http.load().get(url);
        let response = self.send(request).await?;
        if may_be_absent && response.status() == 404 && response.headers().contains_key("x-consul-index") {
            return Ok(Found { answer: head(response.headers())?, absent: true });
        }
        if response.status() != 200 {
            return Err(refusal(response).await);
        }
        let mut answer = accept(response.headers())?;
        answer.body = body(response).await?;
        Ok(Found { answer, absent: false })
    }

    /// Sends a request as ours.
    async fn send(&self, mut request: RequestBuilder) -> Result<Response, Error> {
        if let Some(token) = self.0.settings.token.current().await? {
            request = request.header("x-consul-token", token);
        }
        if let Some((user, password)) = &self.0.settings.auth {
            request = request.basic_auth(user, Some(password.expose()));
        }
        request.send().await.map_err(|e| Error::sending(&e))
    }

    fn url(&self, query: &Query<'_>) -> Result<Url, Error> {
        // A folder of the KV store ends in a slash.
        let named = match query.path {
            ["kv", _, .., ""] => &query.path[..query.path.len() - 1],
            path => path,
        };
        // A dot segment would be dropped by the URL rules and the question become another one.
        if let Some(bad) = named.iter().find(|s| matches!(**s, "" | "." | "..")) {
            return Err(Error::Config(format!("`{bad}` cannot be asked for")));
        }
        let mut url = self.0.base.clone();
        url.path_segments_mut()
            .map_err(|()| Error::Config("the Consul address cannot carry a path".to_owned()))?
            .pop_if_empty()
            .push("v1")
            .extend(query.path);
        let mut pairs = url.query_pairs_mut();
        match query.consistency {
            Consistency::Stale => pairs.append_key_only("stale"),
            Consistency::Default => &mut pairs,
            Consistency::Cached => pairs.append_key_only("cached"),
        };
        for (key, value) in query.params {
            pairs.append_pair(key, value);
        }
        if query.index > 0 {
            pairs.append_pair("index", &query.index.to_string());
            pairs.append_pair("wait", &format!("{}ms", query.wait.as_millis().max(1)));
        }
        drop(pairs);
        if url.query() == Some("") {
            url.set_query(None);
        }
        Ok(url)
    }
}

/// New connections, with the TLS files as they are now; and the base URL.
fn build(settings: &Settings) -> Result<(reqwest::Client, Url), Error> {
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        .tcp_keepalive(Duration::from_secs(15))
        .tcp_keepalive_interval(Duration::from_secs(5))
        .tcp_keepalive_retries(3)
        .tcp_user_timeout(Duration::from_secs(30))
        .http2_keep_alive_interval(Duration::from_secs(15))
        .http2_keep_alive_timeout(Duration::from_secs(10));
    let base = match &settings.address {
        Address::Unix(path) => {
            builder = builder.unix_socket(path.as_path());
            Url::parse("http://localhost/").map_err(|e| Error::Config(e.to_string()))?
        }
        Address::Url(url) if settings.address.tls() => {
            let (with_tls, url) = tls::apply(builder, &settings.tls, url.clone())?;
            builder = with_tls;
            url
        }
        Address::Url(url) => url.clone(),
    };
    let http = builder.build().map_err(|e| Error::Config(format!("Consul client: {e}")))?;
    Ok((http, base))
}

/// What the header of a 200 must say. Header names compare without case.
fn accept(headers: &HeaderMap) -> Result<Answer, Error> {
    is_json(headers)?;
    head(headers)
}

fn is_json(headers: &HeaderMap) -> Result<(), Error> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let media = kind.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Error::NotJson(format!("content type `{kind}`")))
    }
}

/// What the header of any answer must say.
fn head(headers: &HeaderMap) -> Result<Answer, Error> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let index = text("x-consul-index");
    let index = index.parse().map_err(|_| Error::BadIndex(format!("`{index}`")))?;
    let contact = Duration::from_millis(text("x-consul-lastcontact").parse().unwrap_or(0));
    let age = Duration::from_secs(text("age").parse().unwrap_or(0));
    let known_leader = !text("x-consul-knownleader").eq_ignore_ascii_case("false");
    Ok(Answer { index, known_leader, lag: contact.max(age), took: Duration::ZERO, body: Vec::new() })
}

async fn body(mut response: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| Error::reading(&e))? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(Error::TooLarge(MAX_BODY));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The error that a response is.
async fn refusal(response: Response) -> Error {
    let status = response.status().as_u16();
    let after = retry_after(response.headers());
    let text = start_of(response).await;
    Error::status(status, &text, after)
}

/// The first chunk of a body: an error's, for the message, or that of a short answer.
async fn start_of(mut response: Response) -> String {
    let chunk = response.chunk().await.ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&chunk[..chunk.len().min(1024)]).into_owned()
}

/// Only the form in seconds; a date is not worth a clock here.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::live;

    fn url(base: &str, path: &[&str], index: u64, consistency: Consistency) -> Result<String, Error> {
        let file = live::Consul { address: Some(base.into()), ..Default::default() };
        let client = Client::new(&Settings::resolve(&file, &|_| None).unwrap()).unwrap();
        let query =
            Query { path, params: &[("dc", "a b")], index, wait: Duration::from_secs(30), consistency };
        client.url(&query).map(String::from)
    }

    #[test]
    fn names_are_encoded() {
        let path = ["health", "service", "a/b ü?#"];
        assert_eq!(
            url("h:1/p/", &path, 7, Consistency::Stale).unwrap(),
            "http://h:1/p/v1/health/service/a%2Fb%20%C3%BC%3F%23?stale&dc=a+b&index=7&wait=30000ms"
        );
        assert_eq!(
            url("unix:///s", &["status"], 0, Consistency::Default).unwrap(),
            "http://localhost/v1/status?dc=a+b"
        );
    }

    #[test]
    fn a_folder_of_keys_ends_in_a_slash() {
        let folder = url("h:1", &["kv", "a b", "c", ""], 0, Consistency::Default).unwrap();
        assert_eq!(folder, "http://h:1/v1/kv/a%20b/c/?dc=a+b");
        assert_eq!(url("h:1", &["kv", ""], 0, Consistency::Default).unwrap_err().kind(), "config");
        assert_eq!(url("h:1", &["kv", "", ""], 0, Consistency::Default).unwrap_err().kind(), "config");
    }

    #[test]
    fn dot_segments_are_refused() {
        for name in ["", ".", ".."] {
            let error = url("h:1", &["health", name], 0, Consistency::Cached).unwrap_err();
            assert_eq!(error.kind(), "config");
        }
    }
}
