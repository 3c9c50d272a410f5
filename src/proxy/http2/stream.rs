//! One stream as Pingora's session: the half that reads.
//!
//! The other half is in [`answer`](super::answer).
//!
//! What a stream holds of its body is bounded three ways. `h2` keeps what was not asked for, up to
//! the window. Pingora asks for up to five pieces ahead of the endpoint; where a connection has many
//! streams the pieces are small. And the part that is kept for another try shares [`RETRY`] with the
//! other streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderValue, Request, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::time::{Instant, timeout_at};

use super::count::Counters;
use super::linger;
use super::pace::Pace;
use super::valve::Valve;
use crate::config::boot::Bounds;

/// How much the streams of a connection keep of their bodies for another try.
const RETRY: usize = 2 * 1024 * 1024;

/// How much of that a stream gets.
const RETRY_EACH: std::ops::RangeInclusive<usize> = 16 * 1024..=64 * 1024;

/// The size of a piece of a body, by how many streams there are. HTTP/2's frames have 16 KiB.
const PIECES: usize = 256 * 1024;
const PIECE: std::ops::RangeInclusive<usize> = 4 * 1024..=16 * 1024;

/// What the streams of a connection share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) bounds: Bounds,
    pub(super) counters: Counters,
    /// Open ones.
    pub(super) streams: Arc<AtomicUsize>,
    born: Instant,
    /// When the last one ended, in milliseconds since `born`.
    idle: AtomicU64,
}

/// Counts a stream while it is open.
#[derive(Debug)]
pub(super) struct Open(Arc<Shared>);

/// A stream of a connection.
pub(super) struct Stream {
    pub(super) request: RequestHeader,
    pub(super) digest: Arc<Digest>,
    pub(super) shared: Arc<Shared>,
    pub(super) valve: Arc<Valve>,
    /// None: it is left to [`linger`](super::linger).
    body: Option<RecvStream>,
    /// Of a frame that was too large to be given in one piece.
    rest: Bytes,
    pace: Pace,
    pub(super) read: usize,
    kept: Kept,
    pub(super) respond: SendResponse<Bytes>,
    pub(super) sender: Option<SendStream<Bytes>>,
    pub(super) written: Option<Box<ResponseHeader>>,
    /// The last frame of the answer has been given to `h2`.
    pub(super) ended: bool,
    pub(super) sent: usize,
    pub(super) write_timeout: Duration,
}

/// The body so far, for another try.
#[derive(Debug)]
enum Kept {
    /// Nobody asked for it yet.
    Off,
    All(BytesMut),
    /// It was too long.
    Lost,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(bounds: Bounds, counters: Counters, born: Instant) -> Self {
        Self { bounds, counters, streams: Arc::default(), born, idle: AtomicU64::new(0) }
    }

    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.streams.fetch_add(1, Relaxed);
        Open(self.clone())
    }

    /// Since when there is no stream. None: there are some.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let idle = self.born + Duration::from_millis(self.idle.load(Relaxed));
        (self.streams.load(Relaxed) == 0).then_some(idle)
    }

    /// A stream's part of what all have.
    fn part(&self, all: usize, each: &std::ops::RangeInclusive<usize>) -> usize {
        (all / self.streams.load(Relaxed).max(1)).clamp(*each.start(), *each.end())
    }
}

// === impl Open ===

impl Drop for Open {
    fn drop(&mut self) {
        let now = Instant::now().saturating_duration_since(self.0.born).as_millis();
        self.0.idle.store(u64::try_from(now).unwrap_or(u64::MAX), Relaxed);
        self.0.streams.fetch_sub(1, Relaxed);
    }
}

// === impl Stream ===

impl Stream {
    pub(super) fn new(
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        shared: Arc<Shared>,
        valve: Arc<Valve>,
        digest: Arc<Digest>,
    ) -> Self {
        let (parts, body) = request.into_parts();
        let pace = Pace::new(shared.bounds.body_timeout, shared.bounds.min_body_rate.into());
        Self {
            request: parts.into(),
            digest,
            valve,
            body: Some(body),
            rest: Bytes::new(),
            pace,
            read: 0,
            kept: Kept::Off,
            respond,
            sender: None,
            written: None,
            ended: false,
            sent: 0,
            write_timeout: shared.bounds.write_timeout,
            shared,
        }
    }

    /// The next piece of the body. None: there is none.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>> {
        let mut data = std::mem::take(&mut self.rest);
        if data.is_empty() {
            match self.frame().await? {
                Some(frame) => data = frame,
                None => return Ok(None),
            }
        }
        let most = self.shared.part(PIECES, &PIECE);
        if data.len() > most {
            self.rest = data.split_off(most);
        }
        self.read += data.len();
        self.kept.add(&data, self.shared.part(RETRY, &RETRY_EACH));
        if let Some(body) = &mut self.body {
            // More than was received can't be given back, so this does not fail.
            let _ = body.flow_control().release_capacity(data.len());
        }
        Ok(Some(data))
    }

    /// The next frame, in time.
    async fn frame(&mut self) -> Result<Option<Bytes>> {
        let Some(body) = &mut self.body else { return Ok(None) };
        let data = match body.data().now_or_never() {
            Some(data) => data,
            None => {
                let end = self.pace.wait(Instant::now());
                let Ok(data) = timeout_at(end, body.data()).await else {
                    self.shared.counters.body_timeout.inc();
                    return Err(Error::explain(ErrorType::ReadTimedout, "the body does not come").into_down());
                };
                data
            }
        };
        let data = data.transpose().or_err(ErrorType::ReadError, "reading a body")?;
        if let Some(data) = &data {
            self.pace.came(data.len(), Instant::now());
        }
        Ok(data)
    }

    /// Waits until the client gives the stream up.
    pub(super) async fn gone(&mut self) -> Result<Option<Bytes>> {
        let reset = std::future::poll_fn(|cx| match &mut self.sender {
            Some(sender) => sender.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        });
        let reason = reset.await.or_err(ErrorType::H2Error, "waiting for the client")?;
        Err(Error::explain(ErrorType::H2Error, format!("the client reset the stream: {reason}")))
    }

    /// Whether there is no more of the body to read.
    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty() && (self.is_empty() || self.is_read())
    }

    /// Whether there never was any.
    pub(super) fn is_empty(&self) -> bool {
        let none =
            || self.request.headers.get(header::CONTENT_LENGTH).map(HeaderValue::as_bytes) == Some(b"0");
        self.read == 0 && self.rest.is_empty() && (self.is_read() || none())
    }

    /// Whether the client has said that there is no more, and that was read.
    fn is_read(&self) -> bool {
        self.body.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    pub(super) fn keep(&mut self) {
        if matches!(self.kept, Kept::Off) {
            self.kept = Kept::All(BytesMut::new());
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self.kept, Kept::Lost)
    }

    pub(super) fn kept(&self) -> Option<Bytes> {
        match &self.kept {
            Kept::All(bytes) if !bytes.is_empty() => Some(Bytes::copy_from_slice(bytes)),
            _ => None,
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // One that is given up amid its answer is reset when nobody has a part of it any more.
        if self.ended
            && let Some(body) = self.body.take()
            && !body.is_end_stream()
        {
            linger::drain(body);
        }
    }
}

// === impl Kept ===

impl Kept {
    fn add(&mut self, data: &[u8], most: usize) {
        let Self::All(bytes) = self else { return };
        if bytes.len() + data.len() > most {
            *self = Self::Lost;
        } else {
            bytes.extend_from_slice(data);
        }
    }
}
