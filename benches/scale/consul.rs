//! A Consul agent for load: the questions that Tidegate's source asks, answered as 1.8.7 does.
//!
//! | path | answer |
//! |---|---|
//! | `/v1/health/service/<name>` | the instances; with `index` it hangs until the service changed |
//! | `/v1/catalog/services` | the names; hangs until anything is registered |
//! | `/v1/health/state/any` | `[]` (it is only asked with a filter that nothing passes); hangs until any check changed |
//! | `/v1/agent/self` | the datacenter |
//! | `/v1/kv/...` | 404 with an index: there is nothing |
//!
//! A wait is 5 minutes if it is not said, 10 at most, and up to a sixteenth longer than asked. Bodies of
//! 1,400 bytes or more are compressed for who takes that. The 201st connection is reset, since that is
//! what the real one does by default. Everything is kept open and in HTTP/1.1; there is no TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::Result;
use crate::registry::{Body, Registry};

/// Connections of one client.
const MOST: usize = 200;

/// Real agents compress from here.
const LARGE: usize = 1400;

/// The agent. It serves as long as the process lives.
pub(crate) struct Consul {
    pub(crate) address: SocketAddr,
    pub(crate) registry: Arc<Registry>,
    pub(crate) connections: Arc<AtomicUsize>,
}

/// What a question says.
struct Question {
    index: u64,
    wait: Duration,
    gzip: bool,
}

// === impl Consul ===

impl Consul {
    /// Serves it on a thread of its own.
    pub(crate) fn start(registry: Registry) -> Result<Self> {
        let (registry, connections) = (Arc::new(registry), Arc::new(AtomicUsize::new(0)));
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let served = (registry.clone(), connections.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || runtime.block_on(serve(listener, served.0, served.1)));
        Ok(Self { address, registry, connections })
    }
}

async fn serve(listener: std::net::TcpListener, registry: Arc<Registry>, connections: Arc<AtomicUsize>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        if connections.fetch_add(1, Relaxed) >= MOST {
            connections.fetch_sub(1, Relaxed);
            let _ = stream.set_zero_linger();
            continue;
        }
        let (registry, connections) = (registry.clone(), connections.clone());
        tokio::spawn(async move {
            connection(stream, &registry).await;
            connections.fetch_sub(1, Relaxed);
        });
    }
}

async fn connection(stream: TcpStream, registry: &Registry) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: http::Request<Incoming>| async move {
        registry.asked.fetch_add(1, Relaxed);
        let question = Question::of(&request);
        let answer = answer(registry, request.uri().path(), &question).await;
        Ok::<_, Infallible>(answer.unwrap_or_else(|e| said(StatusCode::INTERNAL_SERVER_ERROR, e.to_string())))
    });
    // A client that goes away is no matter here.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    registry: &Registry,
    path: &str,
    question: &Question,
) -> std::result::Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let path = path.strip_prefix("/v1/").unwrap_or(path);
    let wrong = |e: Box<dyn std::error::Error>| e.to_string();
    if let Some(name) = path.strip_prefix("health/service/") {
        let Some(news) = registry.watch(name) else {
            return question.tell(registry.index(), &Body::new(&json!([])).map_err(wrong)?);
        };
        question.hang(news).await;
        let (index, body) = registry.body(name).map_err(wrong)?;
        return question.tell(index, &body);
    }
    match path {
        "catalog/services" => {
            let index = question.hang(registry.catalog.subscribe()).await;
            question.tell(index, &registry.names())
        }
        "health/state/any" => {
            let index = question.hang(registry.checks.subscribe()).await;
            question.tell(index, &Body::new(&json!([])).map_err(wrong)?)
        }
        "agent/self" => {
            let config = json!({ "Config": { "Datacenter": "dc1", "NodeName": "fake", "Version": "1.8.7" } });
            question.tell(registry.index(), &Body::new(&config).map_err(wrong)?)
        }
        _ if path.starts_with("kv/") => {
            let mut nothing = said(StatusCode::NOT_FOUND, String::new());
            nothing.headers_mut().insert("x-consul-index", registry.index().into());
            if question.index > 0 {
                tokio::time::sleep(question.wait).await;
            }
            Ok(nothing)
        }
        _ => Ok(said(StatusCode::NOT_FOUND, format!("{path}?"))),
    }
}

fn said(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}

// === impl Question ===

impl Question {
    fn of(request: &http::Request<Incoming>) -> Self {
        let pairs = request.uri().query().unwrap_or_default().split('&');
        let value = |name: &str| {
            let mut values = pairs.clone().filter_map(|pair| pair.split_once('='));
            values.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let accepts = request.headers().get(http::header::ACCEPT_ENCODING);
        Self {
            index: value("index").and_then(|index| index.parse().ok()).unwrap_or(0),
            wait: value("wait").and_then(duration).unwrap_or(Duration::from_secs(300)),
            gzip: accepts.is_some_and(|accepts| accepts.to_str().is_ok_and(|text| text.contains("gzip"))),
        }
    }

    /// Hangs until there is news, as long as the question says; gives the index then.
    async fn hang(&self, mut news: watch::Receiver<u64>) -> u64 {
        if self.index > 0 {
            let wait = self.wait.min(Duration::from_secs(600));
            let wait = wait + wait.mul_f64(fastrand::f64() / 16.0);
            let _ = tokio::time::timeout(wait, news.wait_for(|now| *now > self.index)).await;
        }
        *news.borrow()
    }

    fn tell(
        &self,
        index: u64,
        body: &Body,
    ) -> std::result::Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
        let response = Response::builder()
            .header("content-type", "application/json")
            .header("vary", "Accept-Encoding")
            .header("x-consul-effective-consistency", "stale")
            .header("x-consul-index", index)
            .header("x-consul-knownleader", "true")
            .header("x-consul-lastcontact", "0");
        if self.gzip && body.plain.len() >= LARGE {
            return Ok(response.header("content-encoding", "gzip").body(Full::new(body.gzip.clone()))?);
        }
        Ok(response.body(Full::new(body.plain.clone()))?)
    }
}

/// `30000ms`, `10s` or `5m`.
fn duration(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(at);
    let number: f64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => number / 1e3,
        "s" => number,
        "m" => number * 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}
