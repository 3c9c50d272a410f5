//! What a [`super::Backend`] answers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::{Request, Response, StatusCode};

use super::{Fault, Shared};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, Error>;

/// Counts down when the request is answered or dropped.
struct InFlight(Arc<Shared>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An `Err` closes the connection without an answer, or resets it where `reset` was set.
pub(super) async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    peer: Option<SocketAddr>,
    reset: Arc<AtomicBool>,
) -> Result<Response<Body>, Error> {
    if request.uri().path() == "/healthz" {
        let status = if shared.healthy.load(Ordering::SeqCst) { 200 } else { 503 };
        return Ok(plain(&shared.name, status, ""));
    }
    shared.requests.fetch_add(1, Ordering::SeqCst);
    shared.in_flight.fetch_add(1, Ordering::SeqCst);
    let _in_flight = InFlight(Arc::clone(&shared));
    shared.seen.lock().unwrap().push(format!("{} {}", request.method(), request.uri().path()));
    let fault = *shared.fault.lock().unwrap();
    match fault {
        Fault::CloseBeforeAnswer => return Err("closed on demand".into()),
        Fault::ResetBeforeAnswer => {
            reset.store(true, Ordering::SeqCst);
            return Err("reset on demand".into());
        }
        Fault::CloseInBody => return Ok(broken_body(&shared.name)),
        Fault::Status(status) => return Ok(plain(&shared.name, status, "told to\n")),
        Fault::Delay(delay) => tokio::time::sleep(delay).await,
        Fault::Hang => std::future::pending().await,
        Fault::None | Fault::CloseOnAccept | Fault::ResetOnAccept => {}
    }
    // Over HTTP/2, hyper would send the body of an answer to HEAD.
    let bodiless = request.method() == "HEAD" && request.version() == hyper::Version::HTTP_2;
    let answer = by_path(request, &shared.name, peer).await?;
    if !bodiless {
        return Ok(answer);
    }
    let length = answer.body().size_hint().exact();
    let mut answer = answer.map(|_| Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync());
    if let Some(length) = length {
        answer.headers_mut().insert("content-length", length.into());
    }
    Ok(answer)
}

async fn by_path(
    request: Request<Incoming>,
    name: &str,
    peer: Option<SocketAddr>,
) -> Result<Response<Body>, Error> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let number = |key: &str, default: u64| -> u64 {
        let value = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(k, _)| *k == key);
        value.and_then(|(_, v)| v.parse().ok()).unwrap_or(default)
    };
    if path == "/echo" {
        return echo(request, name, peer).await;
    }
    if path == "/mirror" {
        let body = request.into_body().collect().await?.to_bytes();
        return Ok(build(name, 200, Full::new(body).map_err(|e: Infallible| match e {}).boxed_unsync()));
    }
    let tag = format!("\"{name}-1\"");
    let matched = request.headers().get("if-none-match").is_some_and(|v| v.as_bytes() == tag.as_bytes());
    // Read what was sent, so that the connection can be used again.
    request.into_body().collect().await?;
    Ok(match path.as_str() {
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(number("ms", 100))).await;
            plain(name, 200, name)
        }
        "/bytes" => plain(name, 200, &"x".repeat(usize::try_from(number("n", 0))?)),
        "/drip" => drip(name, number("n", 10), Duration::from_millis(number("ms", 10))),
        "/noise" => {
            let chunks = noise(number("seed", 0), number("n", 10));
            slowly(name, chunks.map(Bytes::from), Duration::from_millis(number("ms", 10)))
        }
        "/etag" => {
            let mut response = if matched { plain(name, 304, "") } else { plain(name, 200, name) };
            response.headers_mut().insert("etag", tag.parse()?);
            response
        }
        other => match other.strip_prefix("/status/").and_then(|s| s.parse().ok()) {
            Some(status) => plain(name, status, ""),
            None => plain(name, 200, name),
        },
    })
}

async fn echo(
    request: Request<Incoming>,
    name: &str,
    peer: Option<SocketAddr>,
) -> Result<Response<Body>, Error> {
    let (head, body) = request.into_parts();
    let length = body.collect().await?.to_bytes().len();
    let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (key, value) in &head.headers {
        headers.entry(key.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    // Over h2 the Host travels in `:authority`, which hyper keeps in the URI.
    let authority = head.uri.authority().map(ToString::to_string);
    let json = serde_json::json!({
        "backend": name,
        "method": head.method.as_str(),
        "path": head.uri.path_and_query().map_or("", |p| p.as_str()),
        "authority": authority,
        "version": format!("{:?}", head.version),
        "headers": headers,
        "body_length": length,
        "peer": peer.map(|p| p.to_string()),
    });
    let mut response = plain(name, 200, &json.to_string());
    response.headers_mut().insert("content-type", "application/json".parse()?);
    Ok(response)
}

fn plain(name: &str, status: u16, text: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(text.to_owned())).map_err(|e: Infallible| match e {});
    build(name, status, body.boxed_unsync())
}

/// So many chunks of bytes that look random, and are the same for the same seed.
pub fn noise(seed: u64, count: u64) -> impl Iterator<Item = Vec<u8>> + Send + 'static {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count).map(move |_| std::iter::repeat_with(|| rng.u8(..)).take(700).collect())
}

fn drip(name: &str, count: u64, pause: Duration) -> Response<Body> {
    slowly(name, (0..count).map(|_| Bytes::from_static(b".")), pause)
}

fn slowly(
    name: &str,
    chunks: impl Iterator<Item = Bytes> + Send + 'static,
    pause: Duration,
) -> Response<Body> {
    let chunks = stream::unfold(chunks, move |mut chunks| async move {
        let chunk = chunks.next()?;
        tokio::time::sleep(pause).await;
        Some((Ok::<_, Error>(Frame::data(chunk)), chunks))
    });
    build(name, 200, StreamBody::new(chunks).boxed_unsync())
}

/// Says 10 bytes, sends 3, fails.
fn broken_body(name: &str) -> Response<Body> {
    let frames =
        stream::once(async { Ok(Frame::data(Bytes::from_static(b"abc"))) }).chain(stream::once(async {
            // Hyper sends what it has when the body is not ready, and throws it away on an error.
            tokio::time::sleep(Duration::from_millis(20)).await;
            Err(Error::from("cut on demand"))
        }));
    let body = StreamBody::new(frames).boxed_unsync();
    let mut response = build(name, 200, body);
    response.headers_mut().insert("content-length", 10.into());
    response
}

fn build(name: &str, status: u16, body: Body) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Response::builder().status(status).header("x-backend", name).body(body).unwrap()
}
