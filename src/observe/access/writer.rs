//! The thread behind the access log: takes lines from the queue and writes them in large pieces.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Acquire};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use prometheus::IntCounter;

/// How many lines may wait. At 100,000 requests a second that is 80 ms of a disk that does not
/// answer.
pub(super) const QUEUE: usize = 8192;

/// How long the thread rests after a round. Longer saves wake-ups; shorter shows lines sooner.
pub(super) const LINGER: Duration = Duration::from_millis(5);

/// How much is gathered for one write.
const BATCH: usize = 64 * 1024;

/// How many emptied buffers are kept. They come back in turn, each when it was written longest ago:
/// were all those of one stall kept, 4 MB would go through the cache for ever.
const SPARE: usize = 512;

/// A buffer that grew beyond this is not kept, so that one huge URL does not hold memory for ever.
const KEPT_CAPACITY: usize = 4 * 1024;

/// What the front sends.
pub(super) enum Message {
    Line(Vec<u8>),
    /// Look at the flags.
    Wake,
}

/// What both sides hold.
pub(super) struct Shared {
    pub(super) dropped: IntCounter,
    pub(super) stop: AtomicBool,
    pub(super) reopen: AtomicBool,
    /// Emptied buffers on their way back.
    spare: ArrayQueue<Vec<u8>>,
}

/// The thread's own.
pub(super) struct Writer {
    lines: Receiver<Message>,
    shared: Arc<Shared>,
    target: Target,
    batch: Vec<u8>,
    /// The last write failed: said once, not for every line.
    failing: bool,
    /// It also left half a line, which the next write must end first.
    torn: bool,
}

enum Target {
    Stdout,
    Stderr,
    File(PathBuf, File),
}

/// Opens the target and makes both ends of the queue.
pub(super) fn open(
    path: &str,
    dropped: IntCounter,
) -> io::Result<(SyncSender<Message>, Arc<Shared>, Writer)> {
    let target = match path {
        "stdout" => Target::Stdout,
        "stderr" => Target::Stderr,
        path => Target::File(path.into(), append_to(Path::new(path))?),
    };
    let (sender, lines) = mpsc::sync_channel(QUEUE);
    let shared = Arc::new(Shared {
        dropped,
        stop: AtomicBool::new(false),
        reopen: AtomicBool::new(false),
        spare: ArrayQueue::new(SPARE),
    });
    let batch = Vec::with_capacity(BATCH + KEPT_CAPACITY);
    let writer = Writer { lines, shared: shared.clone(), target, batch, failing: false, torn: false };
    Ok((sender, shared, writer))
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

// === impl Shared ===

impl Shared {
    /// An empty buffer.
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.spare.pop().unwrap_or_else(|| Vec::with_capacity(512))
    }

    /// Takes a used buffer back.
    pub(super) fn give_back(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEPT_CAPACITY {
            buffer.clear();
            let _ = self.spare.push(buffer); // full: there are enough
        }
    }
}

// === impl Writer ===

impl Writer {
    /// Runs until [`Shared::stop`] is set or the front is gone; either way what is queued is
    /// written first.
    pub(super) fn run(mut self) {
        // A flag is set before its `Wake` is sent, and flags are read after the queue was emptied:
        // so a flag that is not seen in one round has a message that starts the next one.
        while let Ok(message) = self.lines.recv() {
            self.take(message);
            self.drain();
            if self.shared.reopen.swap(false, Acquire) {
                self.write_out();
                self.reopen();
            }
            if self.shared.stop.load(Acquire) {
                self.drain();
                self.write_out();
                return;
            }
            self.write_out();
            thread::park_timeout(LINGER);
        }
    }

    fn drain(&mut self) {
        while let Ok(message) = self.lines.try_recv() {
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        let Message::Line(line) = message else { return };
        self.batch.extend_from_slice(&line);
        self.shared.give_back(line);
        if self.batch.len() >= BATCH {
            self.write_out();
        }
    }

    /// Writes the batch. What cannot be written is counted and given up: keeping it would only fill
    /// the queue.
    fn write_out(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let result = if self.torn { self.target.write(b"\n").1 } else { Ok(()) };
        let (written, result) = match result {
            Ok(()) => self.target.write(&self.batch),
            Err(e) => (0, Err(e)),
        };
        match result {
            Ok(()) => (self.failing, self.torn) = (false, false),
            Err(e) => {
                if written > 0 {
                    self.torn = self.batch[written - 1] != b'\n';
                }
                let lost = self.batch[written..].iter().filter(|b| **b == b'\n').count();
                self.shared.dropped.inc_by(lost as u64);
                if !self.failing {
                    tracing::warn!(error = %e, lost, "the access log cannot be written; lines are dropped and counted");
                }
                self.failing = true;
            }
        }
        self.batch.clear();
    }

    fn reopen(&mut self) {
        let Target::File(path, file) = &mut self.target else { return };
        match append_to(path) {
            Ok(new) => {
                *file = new;
                self.torn = false;
            }
            Err(e) => tracing::warn!(
                path = %path.display(), error = %e, "the access log cannot be opened again; the old file goes on"
            ),
        }
    }
}

// === impl Target ===

impl Target {
    /// How many bytes went out, and why not all.
    fn write(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        match self {
            Self::Stdout => write_all(&mut io::stdout().lock(), bytes),
            Self::Stderr => write_all(&mut io::stderr().lock(), bytes),
            Self::File(_, file) => write_all(file, bytes),
        }
    }
}

fn write_all(out: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return (written, Err(e)),
        }
    }
    (written, out.flush())
}
