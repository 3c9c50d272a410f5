//! The least that a server can do on a connection that is kept: one answer for each request.
//!
//! It does not parse: a request ends with an empty line, and none has a body. That is enough for
//! requests that a proxy wrote for the loads of the benches.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Answers one connection until it closes.
pub(crate) async fn answer(mut stream: TcpStream, answer: &[u8]) {
    let mut buffer = [0; 4096];
    let mut filled = 0;
    while let Ok(read) = stream.read(&mut buffer[filled..]).await {
        filled += read;
        if read == 0 || filled == buffer.len() {
            return;
        }
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}
