//! An HTTP/2 client that takes GOAWAY as it is meant: streams above its last one were not looked
//! at, so they are asked again on another connection; those below it are answered; and no new one
//! is begun. Anything else that fails is a failure.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use h2::client::{SendRequest, handshake};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::chain;
use super::crowd::{Shift, in_time, rest};
use super::tally::Tally;

/// Streams of a connection that are open at once.
const AT_ONCE: usize = 5;

/// How one stream ended.
enum End {
    Right,
    /// The connection takes no more; nothing was sent.
    Unsent,
    /// GOAWAY said that it was not taken.
    Refused,
    Failed(String),
}

/// One connection at a time, some streams on it at once.
pub async fn streams(addr: SocketAddr, pause: Duration, seed: u64, mut shift: Shift) -> Tally {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut kept: Option<SendRequest<Bytes>> = None;
    while shift.on() {
        let began = Instant::now();
        let mut left: Vec<Bytes> = (0..AT_ONCE).map(|_| body(&mut rng)).collect();
        let mut failed = false;
        while !left.is_empty() {
            let sender = match kept.take() {
                Some(sender) => sender,
                None => match in_time(connect(addr, &mut shift)).await {
                    Ok(sender) => sender,
                    Err(why) => {
                        left.drain(..).for_each(|_| shift.count(began, Err(why.clone())));
                        failed = true;
                        break;
                    }
                },
            };
            let ends = join_all(left.iter().map(|body| one(sender.clone(), body.clone()))).await;
            kept = ends.iter().all(|end| matches!(end, End::Right)).then_some(sender);
            let mut rest = Vec::new();
            for (end, body) in ends.into_iter().zip(left) {
                match end {
                    End::Right => shift.count(began, Ok(())),
                    End::Unsent => rest.push(body),
                    End::Refused => {
                        shift.again();
                        rest.push(body);
                    }
                    End::Failed(why) => {
                        failed = true;
                        shift.count(began, Err(why));
                    }
                }
            }
            left = rest;
        }
        rest(pause, failed).await;
    }
    shift.done()
}

/// Small ones and such that need more than one frame.
fn body(rng: &mut fastrand::Rng) -> Bytes {
    let most = if rng.u8(..8) == 0 { 60_000 } else { 500 };
    let length = rng.usize(0..most);
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

async fn connect(addr: SocketAddr, shift: &mut Shift) -> Result<SendRequest<Bytes>, String> {
    let stream = TcpStream::connect(addr).await.map_err(|e| format!("connect: {e}"))?;
    let _ = stream.set_nodelay(true);
    shift.opened();
    let (sender, connection) = handshake(stream).await.map_err(|e| format!("handshake: {}", chain(&e)))?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn one(sender: SendRequest<Bytes>, body: Bytes) -> End {
    let Ok(mut sender) = sender.ready().await else { return End::Unsent };
    let request = http::Request::post("http://load/mirror").body(()).unwrap();
    let Ok((answer, mut upload)) = sender.send_request(request, false) else { return End::Unsent };
    // The answer's error says more than that of sending.
    let _ = upload.send_data(body.clone(), true);
    let work = async {
        let answer = match answer.await {
            Ok(answer) => answer,
            Err(error) => return Ok(ended(&error)),
        };
        if answer.status() != 200 {
            return Ok(End::Failed(format!("status {}", answer.status().as_u16())));
        }
        let (mut stream, mut back) = (answer.into_body(), Vec::new());
        while let Some(data) = stream.data().await {
            let data = data.map_err(|e| format!("body: {}", chain(&e)))?;
            let _ = stream.flow_control().release_capacity(data.len());
            back.extend(data);
        }
        let differs = || format!("another body: {} bytes for {}", back.len(), body.len());
        Ok(if back == body { End::Right } else { End::Failed(differs()) })
    };
    in_time(work).await.unwrap_or_else(End::Failed)
}

fn ended(error: &h2::Error) -> End {
    if error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR) {
        return End::Refused;
    }
    End::Failed(format!("no answer: {}", chain(error)))
}
