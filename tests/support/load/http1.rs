//! HTTP/1.1 clients: kept connections, new ones, bodies both ways, long answers.
//!
//! They are correct and strict. A connection whose last answer said `Connection: close` is not used
//! again, and one that was closed before a request was written on it is opened anew, as every
//! client does. All else is a failure: there is no second try of what was sent.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::chain;
use super::crowd::{Shift, in_time, rest, within};
use super::tally::Tally;

type Body = BoxBody<Bytes, Infallible>;

/// The largest body that is posted.
const LARGEST: usize = 200 * 1024;

/// A client with at most one connection.
struct Client {
    addr: SocketAddr,
    kept: Option<SendRequest<Body>>,
}

/// Asks on one connection for as long as the server keeps it, and then on the next.
pub async fn keep_alive(addr: SocketAddr, pause: Duration, mut shift: Shift) -> Tally {
    let mut client = Client::new(addr);
    while shift.on() {
        let began = Instant::now();
        let result = in_time(client.get("/", &mut shift, |body| expect(body == client_name(), body))).await;
        client.drop_if(result.is_err());
        let failed = result.is_err();
        shift.count(began, result);
        rest(pause, failed).await;
    }
    shift.done()
}

/// A connection for each request; every other one says that it is the last.
pub async fn fresh(addr: SocketAddr, pause: Duration, mut shift: Shift) -> Tally {
    let mut last = false;
    while shift.on() {
        let mut client = Client::new(addr);
        last = !last;
        let began = Instant::now();
        let request = Request::get("/").header("host", "load");
        let request = if last { request.header("connection", "close") } else { request };
        let request = request.body(Empty::new().boxed()).unwrap();
        let result = in_time(async {
            let body = whole(client.send(request, &mut shift).await?).await?;
            expect(body == client_name(), &body)
        })
        .await;
        let failed = result.is_err();
        shift.count(began, result);
        rest(pause, failed).await;
    }
    shift.done()
}

/// Posts bodies of up to 200 KB, by length and in chunks, and compares what comes back.
pub async fn posts(addr: SocketAddr, pause: Duration, seed: u64, mut shift: Shift) -> Tally {
    let (mut client, mut rng) = (Client::new(addr), fastrand::Rng::with_seed(seed));
    while shift.on() {
        // As many small ones as large ones: the edges of buffers are where bodies break.
        let most = *rng.choice(&[0, 100, 5_000, 70_000, LARGEST]).unwrap_or(&0);
        let length = rng.usize(0..=most);
        let body: Bytes = std::iter::repeat_with(|| rng.u8(..)).take(length).collect();
        let request = Request::post("/mirror").header("host", "load");
        let request = request.body(if rng.bool() { by_length(&body) } else { in_chunks(&body, &mut rng) });
        let began = Instant::now();
        let result = in_time(async {
            let back = whole(client.send(request.unwrap(), &mut shift).await?).await?;
            let differs = || format!("another body: {} bytes for {}", back.len(), body.len());
            if back == body { Ok(()) } else { Err(differs()) }
        })
        .await;
        client.drop_if(result.is_err());
        let failed = result.is_err();
        shift.count(began, result);
        rest(pause, failed).await;
    }
    shift.done()
}

/// Downloads that take so long, each byte compared.
pub async fn download(addr: SocketAddr, takes: Duration, mut shift: Shift) -> Tally {
    const PAUSE: u64 = 50;
    while shift.on() {
        let (mut client, began) = (Client::new(addr), Instant::now());
        let count = takes.as_millis() as u64 / PAUSE;
        let seed = fastrand::u32(..);
        let path = format!("/noise?n={count}&ms={PAUSE}&seed={seed}");
        let work = async {
            let mut answer = client.ask(&path, &mut shift).await?;
            let mut expected = crate::support::backend::noise(u64::from(seed), count).flatten();
            while let Some(frame) = answer.frame().await {
                let frame = frame.map_err(|e| format!("body after {:?}: {}", began.elapsed(), chain(&e)))?;
                let data = frame.into_data().unwrap_or_default();
                if !data.iter().all(|byte| expected.next() == Some(*byte)) {
                    return Err("another byte than was sent".to_owned());
                }
            }
            expected.next().map_or(Ok(()), |_| Err("it ended early".to_owned()))
        };
        let result = within(takes * 3 + Duration::from_secs(20), work).await;
        let failed = result.is_err();
        shift.count(began, result);
        rest(Duration::ZERO, failed).await;
    }
    shift.done()
}

impl Client {
    fn new(addr: SocketAddr) -> Self {
        Self { addr, kept: None }
    }

    fn drop_if(&mut self, failed: bool) {
        if failed {
            self.kept = None;
        }
    }

    async fn get(
        &mut self,
        path: &str,
        shift: &mut Shift,
        check: impl Fn(&Bytes) -> Result<(), String>,
    ) -> Result<(), String> {
        let answer = self.ask(path, shift).await?;
        check(&whole(answer).await?)
    }

    async fn ask(&mut self, path: &str, shift: &mut Shift) -> Result<Response<Incoming>, String> {
        let request = Request::get(path).header("host", "load").body(Empty::new().boxed()).unwrap();
        self.send(request, shift).await
    }

    /// The head of the answer; anything but 200 is an error.
    async fn send(
        &mut self,
        request: Request<Body>,
        shift: &mut Shift,
    ) -> Result<Response<Incoming>, String> {
        let mut request = request;
        loop {
            let kept = match self.kept.take() {
                Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
                None => None,
            };
            let is_kept = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                None => connect(self.addr, shift).await?,
            };
            let answer = match sender.try_send_request(request).await {
                Ok(answer) => answer,
                Err(mut error) => match error.take_message() {
                    // Not a byte of it was written.
                    Some(unsent) if is_kept => {
                        request = unsent;
                        continue;
                    }
                    _ => return Err(format!("no answer: {}", chain(error.error()))),
                },
            };
            self.kept = Some(sender);
            let status = answer.status().as_u16();
            if status != 200 {
                let flag = answer.headers().get("x-tidegate-flag").map(|v| format!("{v:?}"));
                let body = whole(answer).await.unwrap_or_default();
                let text: String = String::from_utf8_lossy(&body).chars().take(80).collect();
                return Err(format!("status {status} {} {text:?}", flag.unwrap_or_default()));
            }
            return Ok(answer);
        }
    }
}

async fn connect(addr: SocketAddr, shift: &mut Shift) -> Result<SendRequest<Body>, String> {
    let stream = TcpStream::connect(addr).await.map_err(|e| format!("connect: {e}"))?;
    let _ = stream.set_nodelay(true);
    shift.opened();
    let (sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|e| format!("handshake: {e}"))?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn whole(answer: Response<Incoming>) -> Result<Bytes, String> {
    let body = answer.into_body().collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|e| format!("body: {}", chain(&e)))
}

fn by_length(body: &Bytes) -> Body {
    Full::new(body.clone()).boxed()
}

fn in_chunks(body: &Bytes, rng: &mut fastrand::Rng) -> Body {
    let size = rng.usize(1..20_000);
    let chunks: Vec<_> = body.chunks(size).map(|chunk| body.slice_ref(chunk)).collect();
    BodyExt::boxed(StreamBody::new(stream::iter(chunks).map(|chunk| Ok(Frame::data(chunk)))))
}

fn client_name() -> &'static [u8] {
    super::BACKEND.as_bytes()
}

fn expect(right: bool, body: &Bytes) -> Result<(), String> {
    let told = || format!("another body: {:?}", String::from_utf8_lossy(&body[..body.len().min(80)]));
    if right { Ok(()) } else { Err(told()) }
}
