//! What the phases of the proxy and a client's HTTP/1 connection tell each other.
//!
//! The phases see a session of Pingora's, and below it is our [`Conn`]. It must know when a request
//! has been accepted, whether it was read whole, and until when its answer is awaited; the phases
//! must know why a body ended early. Both sides are in the same task, but Pingora lends the stream
//! only as shared, so the notes are atomics.
//!
//! The deadline of the answer is here for want of a better place: Pingora's time-outs towards the
//! endpoint are fixed when the connection is chosen, and count from the last byte read. While it
//! waits for the endpoint it also reads from the client, to see it go; that read fails when the
//! time is up. (HTTP/2 has no such connection, so there the time-outs alone bound it.)

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use pingora_proxy::Session;
use tokio::time::Instant;

use crate::proxy::http1::conn::Conn;
use crate::proxy::http1::refusal::{self, Refusal};

/// What is noted of the current request.
#[derive(Debug)]
pub(crate) struct Note {
    born: Instant,
    /// When the answer must be there, in microseconds since `born`. 0: no matter.
    cut: AtomicU64,
    /// The request reached `request_filter`.
    accepted: AtomicBool,
    /// It was answered, and some of it has not been read.
    unread: AtomicBool,
    /// Why its body ended early: one more than the place in [`TROUBLES`].
    trouble: AtomicU8,
    /// The client did not take the answer.
    stalled: AtomicBool,
}

/// Why a body may end early.
static TROUBLES: [Refusal; 9] = [
    refusal::BAD_SIZE,
    refusal::LONG_SIZE,
    refusal::BAD_EXTENSION,
    refusal::LONG_EXTENSION,
    refusal::BAD_END,
    refusal::BAD_TRAILER,
    refusal::LONG_TRAILER,
    refusal::LATE_BODY,
    refusal::SLOW_BODY,
];

/// Tells the stream below a session that its request has been accepted.
pub(crate) fn accepted(session: &Session) {
    if let Some(note) = note(session) {
        note.accepted.store(true, Relaxed);
    }
}

/// Tells the stream below a session that its request was answered before it was read whole.
pub(crate) fn unread(session: &Session) {
    if let Some(note) = note(session) {
        note.linger();
    }
}

/// From `when` on reads of the client fail, so that Pingora gives the request up. None: never.
pub(crate) fn cut_at(session: &Session, when: Option<std::time::Instant>) {
    if let Some(note) = note(session) {
        note.cut_at(when.map(Instant::from_std));
    }
}

/// Why the request's body ended early, if that was the client's fault.
pub(crate) fn trouble(session: &Session) -> Option<Refusal> {
    note(session)?.trouble()
}

fn note(session: &Session) -> Option<&Note> {
    session.as_http1()?.stream().as_any().downcast_ref::<Conn>().map(Conn::note)
}

// === impl Note ===

impl Note {
    /// Of a new connection.
    pub(crate) fn new() -> Self {
        Self {
            born: Instant::now(),
            cut: 0.into(),
            accepted: false.into(),
            unread: false.into(),
            trouble: 0.into(),
            stalled: false.into(),
        }
    }

    /// Before the next request on the connection.
    pub(crate) fn reset(&self) {
        self.cut.store(0, Relaxed);
        self.accepted.store(false, Relaxed);
        self.unread.store(false, Relaxed);
        self.trouble.store(0, Relaxed);
    }

    fn cut_at(&self, when: Option<Instant>) {
        let micros = when.map_or(0, |when| {
            let since = when.saturating_duration_since(self.born).as_micros();
            u64::try_from(since).unwrap_or(u64::MAX).max(1)
        });
        self.cut.store(micros, Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn cut_in(&self, time: Duration) {
        self.cut_at(Some(Instant::now() + time));
    }

    pub(crate) fn cut(&self) -> Option<Instant> {
        match self.cut.load(Relaxed) {
            0 => None,
            micros => self.born.checked_add(Duration::from_micros(micros)),
        }
    }

    pub(crate) fn is_accepted(&self) -> bool {
        self.accepted.load(Relaxed)
    }

    /// What the client still sends must be read when the connection is closed.
    pub(crate) fn linger(&self) {
        self.unread.store(true, Relaxed);
    }

    pub(crate) fn lingers(&self) -> bool {
        self.unread.load(Relaxed)
    }

    pub(crate) fn fail(&self, refusal: Refusal) {
        let place = TROUBLES.iter().position(|trouble| *trouble == refusal);
        // There are fewer than 256; one that is not listed is a body that is not valid.
        let code = place.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(1);
        self.trouble.store(code, Relaxed);
    }

    pub(crate) fn trouble(&self) -> Option<Refusal> {
        let place = usize::from(self.trouble.load(Relaxed)).checked_sub(1)?;
        TROUBLES.get(place).copied()
    }

    pub(crate) fn stall(&self) {
        self.stalled.store(true, Relaxed);
    }

    pub(crate) fn stalled(&self) -> bool {
        self.stalled.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_is_told_apart() {
        let note = Note::new();
        assert_eq!(note.trouble(), None);
        for trouble in TROUBLES {
            note.fail(trouble);
            assert_eq!(note.trouble(), Some(trouble));
        }
        note.reset();
        assert_eq!(note.trouble(), None);
    }
}
