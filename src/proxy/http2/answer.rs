//! One stream as Pingora's session: the half that answers, and the session itself.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use h2::SendStream;
use http::{HeaderMap, HeaderName, Response, StatusCode, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::http::date::get_cached_date;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorSource, ErrorType, OrErr, Result};
use tokio::time::timeout;

use super::stream::Stream;

/// What belongs to one connection of HTTP/1.1 (RFC 9113 8.2.2).
const CONNECTION_FIELDS: [HeaderName; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Messages beside a body, which HTTP/2 has none of.
type Messages = Box<dyn futures::Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>;

// === impl Stream ===

impl Stream {
    fn header(&mut self, mut header: Box<ResponseHeader>, end: bool) -> Result<()> {
        if self.ended || self.written.is_some() {
            return Ok(());
        }
        if header.status == StatusCode::SWITCHING_PROTOCOLS {
            let error = Error::explain(ErrorType::InvalidHTTPHeader, "an upgrade that nobody asked for");
            return Err(error.into_up());
        }
        for name in &CONNECTION_FIELDS {
            header.remove_header(name);
        }
        if header.status.is_informational() {
            return self.interim(&header);
        }
        header.insert_header(header::DATE, get_cached_date())?;
        let response = Response::from_parts(header.as_owned_parts(), ());
        let sender = self.respond.send_response(response, end);
        self.sender = Some(sender.or_err(ErrorType::WriteError, "writing an answer")?);
        self.written = Some(header);
        self.ended = end;
        Ok(())
    }

    /// An answer before the answer.
    fn interim(&mut self, header: &ResponseHeader) -> Result<()> {
        let response = Response::from_parts(header.as_owned_parts(), ());
        self.respond.send_informational(response).or_err(ErrorType::WriteError, "writing an early answer")
    }

    async fn body(&mut self, mut data: Bytes, end: bool) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        while !data.is_empty() {
            let room = self.room(data.len()).await?;
            let piece = data.split_to(room.min(data.len()));
            self.sent += piece.len();
            self.data(piece, end && data.is_empty())?;
        }
        if end { self.end() } else { Ok(()) }
    }

    fn data(&mut self, data: Bytes, end: bool) -> Result<()> {
        let Some(sender) = &mut self.sender else {
            return Error::e_explain(ErrorType::H2Error, "a body before the header");
        };
        sender.send_data(data, end).or_err(ErrorType::WriteError, "writing a body")?;
        self.ended = end;
        Ok(())
    }

    /// Waits until the client takes more, and says how much.
    async fn room(&mut self, wanted: usize) -> Result<usize> {
        let Some(sender) = &mut self.sender else {
            return Error::e_explain(ErrorType::H2Error, "a body before the header");
        };
        sender.reserve_capacity(wanted);
        let room = sender.capacity();
        if room > 0 {
            return Ok(room);
        }
        let waited = {
            let wait = pin!(timeout(self.write_timeout, poll_fn(|cx| poll_room(sender, cx))));
            self.valve.hold(wait).await
        };
        waited.unwrap_or_else(|_| {
            self.shared.counters.write_timeout.inc();
            self.reset();
            Error::e_explain(ErrorType::WriteTimedout, "the client does not take the answer")
        })
    }

    fn trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        if let (false, Some(sender)) = (self.ended, &mut self.sender) {
            sender.send_trailers(trailers).or_err(ErrorType::WriteError, "writing trailers")?;
            self.ended = true;
        }
        Ok(())
    }

    /// Says that there is no more. Without a header there is nothing to say it of; the stream is
    /// then reset when it is dropped.
    fn end(&mut self) -> Result<()> {
        if self.ended || self.sender.is_none() {
            return Ok(());
        }
        self.data(Bytes::new(), true)
    }

    /// Gives the stream up, so that the client knows that it has not got all.
    fn reset(&mut self) {
        if !self.ended {
            self.ended = true;
            self.respond.send_reset(h2::Reason::INTERNAL_ERROR);
        }
    }

    async fn task(&mut self, task: HttpTask) -> Result<bool> {
        match task {
            HttpTask::Header(header, end) => {
                self.header(header, end)?;
                Ok(end)
            }
            HttpTask::Body(data, end) => {
                // Not ended with the data: trailers may follow what says that it is the end.
                self.body(data.unwrap_or_default(), false).await?;
                Ok(end)
            }
            HttpTask::UpgradedBody(..) => {
                Error::e_explain(ErrorType::InternalError, "a tunnel in an HTTP/2 stream")
            }
            HttpTask::Trailer(trailers) => {
                trailers.map_or(Ok(()), |trailers| self.trailers(*trailers))?;
                Ok(true)
            }
            HttpTask::Done => Ok(true),
            HttpTask::Failed(error) => Err(error),
        }
    }
}

/// An error is the client's, unless it says whose it is.
fn ours(error: Box<Error>) -> Box<Error> {
    if *error.esource() == ErrorSource::Unset { error.into_down() } else { error }
}

/// How much the client takes; not before it takes anything.
fn poll_room(sender: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<Result<usize>> {
    if let Poll::Ready(reset) = sender.poll_reset(cx) {
        let reason = reset.or_err(ErrorType::H2Error, "waiting for the client")?;
        let why = format!("the client reset the stream: {reason}");
        return Poll::Ready(Error::e_explain(ErrorType::H2Error, why));
    }
    loop {
        match ready!(sender.poll_capacity(cx)) {
            Some(Ok(0)) => {}
            Some(room) => return Poll::Ready(room.or_err(ErrorType::H2Error, "waiting for the client")),
            None => {
                return Poll::Ready(Error::e_explain(ErrorType::H2Error, "the client closed the stream"));
            }
        }
    }
}

#[async_trait]
impl Session for Stream {
    fn req_header(&self) -> &RequestHeader {
        &self.request
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.request
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.piece().await
    }

    /// Nothing to do: what is not read of a stream is in nobody's way.
    async fn drain_request_body(&mut self) -> Result<()> {
        Ok(())
    }

    async fn write_response_header(&mut self, response: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.header(response, end).map_err(ours)
    }

    async fn write_response_header_ref(&mut self, response: &ResponseHeader, end: bool) -> Result<()> {
        self.header(Box::new(response.clone()), end).map_err(ours)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.body(data, end).await.map_err(ours)
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.trailers(trailers).map_err(ours)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut end = false;
        for task in tasks {
            end |= self.task(task).await.map_err(ours)?;
        }
        if end {
            self.end().map_err(ours)?;
        }
        Ok(end)
    }

    /// Not used: the listener's bounds hold.
    fn set_read_timeout(&mut self, _timeout: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        Some(self.shared.bounds.body_timeout)
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.write_timeout = timeout.unwrap_or(self.write_timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        Some(self.write_timeout)
    }

    fn set_total_drain_timeout(&mut self, _timeout: Option<Duration>) {}

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        None
    }

    fn request_summary(&self) -> String {
        format!("{} {}", self.request.method, self.request.uri)
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.written.as_deref()
    }

    async fn shutdown(&mut self, _code: u32, _context: &str) {
        self.reset();
    }

    fn is_body_done(&mut self) -> bool {
        self.is_done()
    }

    async fn finish(&mut self) -> Result<()> {
        self.end().map_err(ours)
    }

    fn is_body_empty(&mut self) -> bool {
        self.is_empty()
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if no_body_expected || self.is_done() { self.gone().await } else { self.piece().await }
    }

    fn body_bytes_sent(&self) -> usize {
        self.sent
    }

    fn body_bytes_read(&self) -> usize {
        self.read
    }

    fn digest(&self) -> Option<&Digest> {
        Some(&self.digest)
    }

    /// All streams of a connection have one.
    fn digest_mut(&mut self) -> Option<&mut Digest> {
        None
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.peer_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.local_addr()
    }

    /// For subrequests, which are not used.
    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        Bytes::new()
    }

    fn enable_retry_buffering(&mut self) {
        self.keep();
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.is_lost()
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.kept()
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(&mut self) -> Option<Messages> {
        None
    }

    fn restore_custom_message_reader(&mut self, _reader: Messages) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _writer: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
