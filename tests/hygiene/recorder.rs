//! An endpoint that reads as strictly as can be, answers what is a request, and keeps it.

#![allow(clippy::disallowed_types, reason = "locks of test servers, never held over an await")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::reference::{Refused, Request, first};

/// Ends when dropped.
pub(crate) struct Recorder {
    pub(crate) addr: SocketAddr,
    seen: Seen,
    task: JoinHandle<()>,
}

/// The requests that came; or the bytes of one that a strict server refuses.
type Seen = Arc<Mutex<Vec<Result<Request, Vec<u8>>>>>;

impl Recorder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, seen) = (listener.local_addr().unwrap(), Seen::default());
        let noted = seen.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let noted = noted.clone();
                connections.spawn(async move {
                    let _ = serve(stream, &noted).await;
                });
            }
        });
        Self { addr, seen, task }
    }

    /// What came since the last time.
    pub(crate) fn take(&self) -> Vec<Result<Request, Vec<u8>>> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, seen: &Seen) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::new();
    loop {
        match first(&bytes) {
            Ok(Some((request, length))) => {
                bytes.drain(..length);
                seen.lock().unwrap().push(Ok(request));
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
            }
            Err(Refused) => {
                seen.lock().unwrap().push(Err(bytes));
                return Ok(());
            }
            Ok(None) if stream.read_buf(&mut bytes).await? == 0 => return Ok(()),
            Ok(None) => {}
        }
    }
}
