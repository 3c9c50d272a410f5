//! A server that answers with bytes as they are: for upstream answers that a proper server would
//! not give.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Ends when dropped.
pub struct Scripted {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    bytes: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// One thing to do on the connection, after a request came in.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    Wait(Duration),
    /// Everything that comes in goes back.
    Echo,
    /// Without it the next request on the connection is answered by the same steps.
    Close,
    Reset,
}

/// Sends a text.
pub fn send(text: impl AsRef<[u8]>) -> Step {
    Step::Send(text.as_ref().to_vec())
}

impl Scripted {
    /// Takes the steps for each request that comes in. A request's body is read before.
    pub async fn start(steps: Vec<Step>) -> Self {
        Self::by_head(move |_| steps.clone()).await
    }

    /// As [`start`](Self::start), with steps made from the request's head.
    pub async fn by_head(steps: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, seen) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<_>>>::default());
        let (steps, noted) = (Arc::new(steps), seen.clone());
        let bytes = Arc::<AtomicUsize>::default();
        let counted = bytes.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (steps, noted, counted) = (steps.clone(), noted.clone(), counted.clone());
                connections.spawn(async move {
                    let _ = serve(stream, &*steps, &noted, &counted).await;
                });
            }
        });
        Self { addr, seen, bytes, task }
    }

    /// The head and body of each request, as they came.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// All bytes that came, also of requests that are not whole.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    steps: &(dyn Fn(&str) -> Vec<Step> + Send + Sync),
    seen: &Mutex<Vec<String>>,
    bytes: &AtomicUsize,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let head_end = through(&mut stream, &mut buffer, bytes, b"\r\n\r\n", 0).await?;
        let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
        let of = |name: &str| {
            let fields = head.lines().filter_map(|line| line.split_once(':'));
            fields.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
        };
        let length = of("content-length").and_then(|value| value.parse::<usize>().ok()).unwrap_or(0);
        let end = match of("transfer-encoding") {
            Some(_) => through(&mut stream, &mut buffer, bytes, b"0\r\n\r\n", head_end).await?,
            None => head_end + length,
        };
        while buffer.len() < end {
            more(&mut stream, &mut buffer, bytes).await?;
        }
        let rest = buffer.split_off(end);
        seen.lock().unwrap().push(String::from_utf8_lossy(&buffer).into_owned());
        buffer = rest;
        for step in steps(&head) {
            match step {
                Step::Send(text) => stream.write_all(&text).await?,
                Step::Wait(span) => tokio::time::sleep(span).await,
                Step::Close => return stream.shutdown().await,
                Step::Reset => return stream.set_zero_linger(),
                Step::Echo => {
                    let (mut from, mut to) = stream.split();
                    to.write_all(&std::mem::take(&mut buffer)).await?;
                    tokio::io::copy(&mut from, &mut to).await?;
                    return Ok(());
                }
            }
        }
    }
}

/// Reads until `mark` is there, at `from` or later; where it ends.
async fn through(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    bytes: &AtomicUsize,
    mark: &[u8],
    from: usize,
) -> std::io::Result<usize> {
    loop {
        if let Some(at) = buffer[from..].windows(mark.len()).position(|w| w == mark) {
            return Ok(from + at + mark.len());
        }
        more(stream, buffer, bytes).await?;
    }
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>, bytes: &AtomicUsize) -> std::io::Result<()> {
    match stream.read_buf(buffer).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        length => {
            bytes.fetch_add(length, Relaxed);
            Ok(())
        }
    }
}
