//! The access log: one JSON object a line, written by a thread of its own.
//!
//! A request formats its line into a buffer that the thread gave back, puts it in a bounded queue,
//! and goes on. When the queue is full (a slow disk, a reader that does not read) the line is
//! dropped and counted: a log must not be able to stop traffic. The thread writes whole lines in
//! large pieces, and rests for [`writer::LINGER`] after each round, so that under load nobody pays
//! a system call to wake it; a line is on its way within that time.
//!
//! A log belongs to the snapshot whose config names it. Dropping the last handle lets the thread
//! write what is queued and end; only [`AccessLog::finish`] waits for it.

pub mod json;
pub mod line;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Release;
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use prometheus::IntCounter;

use self::writer::{Message, Shared};
use crate::config::live;
use crate::observe::Flag;

/// One finished request, borrowed from the request's context; DESIGN 7 names the fields of the
/// line.
///
/// What a client sent is bytes: it need not be UTF-8, and is made so when it is written.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub time: SystemTime,
    pub listener: &'a str,
    pub client: Option<IpAddr>,
    pub method: &'a str,
    pub host: &'a [u8],
    /// With its query.
    pub path: &'a [u8],
    pub protocol: &'a str,
    pub status: u16,
    /// Of a gRPC call, as its number is written.
    pub grpc_status: Option<&'static str>,
    pub flag: Option<Flag>,
    /// Empty where no route was found; so are cluster and variant where there is none.
    pub route: &'a str,
    pub cluster: &'a str,
    pub variant: &'a str,
    pub endpoint: Option<SocketAddr>,
    pub attempts: u32,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub duration_ms: f64,
    pub ttfb_ms: Option<f64>,
    pub request_id: &'a [u8],
    pub user_agent: &'a [u8],
    pub generation: u64,
    /// None: the connection is in clear.
    pub tls: Option<TlsRecord<'a>>,
}

// === impl Record ===

impl<'a> Record<'a> {
    /// With nothing in it yet.
    pub fn new(time: SystemTime, listener: &'a str, generation: u64) -> Self {
        Self {
            time,
            listener,
            client: None,
            method: "",
            host: b"",
            path: b"",
            protocol: "",
            status: 0,
            grpc_status: None,
            flag: None,
            route: "",
            cluster: "",
            variant: "",
            endpoint: None,
            attempts: 0,
            bytes_in: 0,
            bytes_out: 0,
            duration_ms: 0.0,
            ttfb_ms: None,
            request_id: b"",
            user_agent: b"",
            generation,
            tls: None,
        }
    }
}

/// How the client's connection is secured.
#[derive(Clone, Copy, Debug)]
pub struct TlsRecord<'a> {
    /// As `TLSv1.3`.
    pub version: &'a str,
    /// The name that the client asked for. Empty: none.
    pub sni: &'a str,
}

/// The log's front. The default writes nothing.
#[derive(Default)]
pub struct AccessLog {
    front: Option<Front>,
}

struct Front {
    lines: SyncSender<Message>,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

// === impl AccessLog ===

impl AccessLog {
    /// Opens the target and starts the thread; `path: none` gives a log that writes nothing.
    /// `dropped` counts lines that were lost.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or the thread cannot be started.
    pub fn new(config: &live::AccessLog, dropped: IntCounter) -> io::Result<Self> {
        let live::LogFormat::Json = config.format;
        if config.path == "none" {
            return Ok(Self::default());
        }
        let (lines, shared, writer) = writer::open(&config.path, dropped)?;
        let thread = thread::Builder::new().name("access-log".into()).spawn(|| writer.run())?;
        Ok(Self { front: Some(Front { lines, shared, thread }) })
    }

    /// Whether a line would be written, so that the caller need not gather its fields.
    pub fn enabled(&self) -> bool {
        self.front.is_some()
    }

    /// Queues one line. A full queue drops it and counts.
    pub fn write(&self, record: &Record<'_>) {
        let Some(front) = &self.front else { return };
        let mut line = front.shared.buffer();
        line::write(&mut line, record);
        if let Err(refused) = front.lines.try_send(Message::Line(line)) {
            front.shared.dropped.inc();
            let (std::sync::mpsc::TrySendError::Full(message)
            | std::sync::mpsc::TrySendError::Disconnected(message)) = refused;
            if let Message::Line(line) = message {
                front.shared.give_back(line);
            }
        }
    }

    /// Opens the file again by its name, for log rotation (SIGHUP). Where that fails the old file
    /// goes on, with a warning in the process's own log. Does nothing for the standard streams.
    pub fn reopen(&self) {
        if let Some(front) = &self.front {
            front.shared.reopen.store(true, Release);
            front.wake();
        }
    }

    /// Ends the log: what was queued before is written, what comes after is dropped and counted.
    /// Waits for that, at most `deadline`; true when it is done. It blocks: call it where nothing
    /// else runs on the thread.
    pub fn finish(&self, deadline: Duration) -> bool {
        const STEP: Duration = Duration::from_millis(1);
        let Some(front) = &self.front else { return true };
        front.shared.stop.store(true, Release);
        front.wake();
        let mut waited = Duration::ZERO;
        while !front.thread.is_finished() && waited < deadline {
            thread::sleep(STEP);
            waited += STEP;
        }
        front.thread.is_finished()
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").field("enabled", &self.enabled()).finish()
    }
}

// === impl Front ===

impl Front {
    /// Ends the thread's wait. A full queue needs no message: the thread has work.
    fn wake(&self) {
        let _ = self.lines.try_send(Message::Wake);
        self.thread.thread().unpark();
    }
}
