//! The server behind the proxies: HTTP/1.1 with keep-alive, 100 bytes for every request, as little
//! work as can be.
//!
//! The last address speaks HTTP/2 in clear instead, by hyper.

use std::net::SocketAddr;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use crate::kept;

/// The headers that an ordinary server sends, and 100 bytes.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: backend\r\n\
    Date: Tue, 24 Nov 2026 12:00:00 GMT\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 100\r\n\
    \r\n\
    0123456789012345678901234567890123456789012345678\n\
    0123456789012345678901234567890123456789012345678\n";

/// The body of [`ANSWER`].
const BODY: usize = 100;

/// Serves on all the addresses, on one thread.
pub(crate) fn serve(addresses: &[SocketAddr]) -> crate::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut listeners = tokio::task::JoinSet::new();
        for (index, address) in addresses.iter().enumerate() {
            let listener = TcpListener::bind(address).await?;
            let last = index + 1 == addresses.len();
            listeners.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    if last {
                        tokio::spawn(answer_http2(stream));
                    } else {
                        tokio::spawn(kept::answer(stream, ANSWER));
                    }
                }
            });
        }
        listeners.join_all().await;
        Ok(())
    })
}

/// The same over HTTP/2.
async fn answer_http2(stream: TcpStream) {
    let answer = service_fn(|_: http::Request<Incoming>| async {
        let body = Full::new(Bytes::from_static(&ANSWER[ANSWER.len() - BODY..]));
        let built =
            http::Response::builder().header("server", "backend").header("content-type", "text/plain");
        built.body(body)
    });
    // A client that goes away is no matter here.
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}
