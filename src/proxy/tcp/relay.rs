//! Bytes in both directions until both have ended.
//!
//! Like `tokio::io::copy_bidirectional`, a direction that ends is closed on the other side and the other
//! one goes on (a client that has sent its question and shut down still gets its answer). What is
//! ours: a limit on the time in which nothing moves, with one timer that is set when it fires and not
//! with each byte; whose fault an end was; word of the endpoint's first byte; and the buffers. Bytes
//! are read into one buffer of the thread and written from there at once; only what the other side
//! does not take is kept, in a buffer of the connection. So an idle connection holds none.
//!
//! The bad side: where the reader is slower than the writer, each piece is copied once more.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// How much is read at a time.
const PIECE: usize = 32 * 1024;

/// So many reads of a direction in a row; then others have their turn.
const TURNS: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into());
}

/// Either end of a connection.
pub(super) trait End: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> End for T {}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Both sides closed.
    Closed,
    /// The client's connection broke.
    Client,
    /// The endpoint's connection broke.
    Endpoint,
    /// Nothing moved for so long.
    Idle,
}

/// What is told while it goes on.
pub(super) trait Watch {
    /// Bytes from the client that the endpoint's connection took.
    fn sent(&mut self, bytes: usize);
    /// Bytes from the endpoint that the client's connection took.
    fn received(&mut self, bytes: usize);
    /// Something came from the endpoint. Called once.
    fn answered(&mut self);
}

/// One direction.
#[derive(Default)]
struct Flow {
    /// What was read and not yet written, from `begin` on.
    kept: Vec<u8>,
    begin: usize,
    read: u64,
    stage: Stage,
    unflushed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Flowing,
    /// The source has ended; the sink is being told.
    Closing,
    Done,
}

/// Which of the two broke.
enum Broke {
    Source,
    Sink,
}

/// Copies between a client and an endpoint. `first`: what was read of the client before.
pub(super) async fn relay(
    client: &mut impl End,
    endpoint: &mut impl End,
    first: Vec<u8>,
    idle: Duration,
    watch: &mut impl Watch,
) -> Ending {
    let (mut up, mut down) = (Flow { kept: first, ..Flow::default() }, Flow::default());
    let mut timer = pin!(sleep_until(Instant::now() + idle));
    let mut moved_at_last_look = 0;
    let mut moved = 0_u64;
    let mut answered = false;
    poll_fn(|cx| {
        let before = down.read;
        let upward = up.poll(cx, client, endpoint, &mut |bytes| {
            moved += bytes as u64;
            watch.sent(bytes);
        });
        if let Poll::Ready(Err(broke)) = upward {
            return Poll::Ready(if matches!(broke, Broke::Source) {
                Ending::Client
            } else {
                Ending::Endpoint
            });
        }
        let downward = down.poll(cx, endpoint, client, &mut |bytes| {
            moved += bytes as u64;
            watch.received(bytes);
        });
        if !answered && down.read > before {
            answered = true;
            watch.answered();
        }
        if let Poll::Ready(Err(broke)) = downward {
            return Poll::Ready(if matches!(broke, Broke::Source) {
                Ending::Endpoint
            } else {
                Ending::Client
            });
        }
        if upward.is_ready() && downward.is_ready() {
            return Poll::Ready(Ending::Closed);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if moved == moved_at_last_look {
                return Poll::Ready(Ending::Idle);
            }
            moved_at_last_look = moved;
            timer.as_mut().reset(Instant::now() + idle);
        }
        Poll::Pending
    })
    .await
}

// === impl Flow ===

impl Flow {
    /// Moves what can be moved. Ready: the direction has ended and the sink knows.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut (impl AsyncRead + Unpin),
        sink: &mut (impl AsyncWrite + Unpin),
        moved: &mut impl FnMut(usize),
    ) -> Poll<Result<(), Broke>> {
        let mut turns = 0;
        while self.stage == Stage::Flowing {
            ready!(self.write_kept(cx, sink, moved))?;
            if turns == TURNS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            turns += 1;
            match self.read(cx, source, sink, moved) {
                Poll::Ready(Ok(0)) => self.stage = Stage::Closing,
                Poll::Ready(result) => drop(result?),
                Poll::Pending => {
                    ready!(self.flush(cx, sink))?;
                    return Poll::Pending;
                }
            }
        }
        if self.stage == Stage::Closing {
            ready!(self.write_kept(cx, sink, moved))?;
            ready!(self.flush(cx, sink))?;
            // A sink that is gone already needs not be told.
            let _ = ready!(Pin::new(sink).poll_shutdown(cx));
            self.stage = Stage::Done;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads a piece and writes as much of it as is taken. 0: the source has ended.
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut (impl AsyncRead + Unpin),
        sink: &mut (impl AsyncWrite + Unpin),
        moved: &mut impl FnMut(usize),
    ) -> Poll<Result<usize, Broke>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(source).poll_read(cx, &mut buffer)).map_err(|_| Broke::Source)?;
            let mut rest = buffer.filled();
            let length = rest.len();
            self.read += length as u64;
            while !rest.is_empty() {
                match Pin::new(&mut *sink).poll_write(cx, rest) {
                    Poll::Ready(result) => {
                        let written = taken(result)?;
                        moved(written);
                        self.unflushed = true;
                        rest = &rest[written..];
                    }
                    Poll::Pending => {
                        self.kept.extend_from_slice(rest);
                        break;
                    }
                }
            }
            Poll::Ready(Ok(length))
        })
    }

    fn write_kept(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut (impl AsyncWrite + Unpin),
        moved: &mut impl FnMut(usize),
    ) -> Poll<Result<(), Broke>> {
        while self.begin < self.kept.len() {
            let written = taken(ready!(Pin::new(&mut *sink).poll_write(cx, &self.kept[self.begin..])))?;
            moved(written);
            self.unflushed = true;
            self.begin += written;
        }
        if self.begin > 0 {
            (self.kept, self.begin) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    fn flush(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<Result<(), Broke>> {
        if self.unflushed {
            ready!(Pin::new(sink).poll_flush(cx)).map_err(|_| Broke::Sink)?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// How much a write took. Nothing at all is an end.
fn taken(result: io::Result<usize>) -> Result<usize, Broke> {
    result.ok().filter(|written| *written > 0).ok_or(Broke::Sink)
}

#[cfg(test)]
mod tests;
