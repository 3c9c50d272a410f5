//! Stops the work on a stream while its client takes nothing.
//!
//! Pingora moves an answer by two futures in one task: one reads from the endpoint into a channel,
//! one writes to the client. While the second waits for the client, the first goes on until the
//! channel is full: ten pieces of up to 64 KiB each, half a megabyte a stream, which 500 stalled
//! streams make 250 MB of. Neither the channel nor the pieces can be made smaller.
//!
//! But both live in one task, and we poll it. So when a write has to wait for the client, the whole
//! task is left alone until *that wait* is over: its waker is a [`Valve`] of its own, all others
//! are not listened to. What they had to say is still there when the task is polled again.
//!
//! That alone comes late: within one poll the first future reads four pieces before the second one
//! looks at the first. Where a connection has many streams ([`CROWD`]), a poll is so given a small
//! part of tokio's budget only, which ends it after a read or two; the task then runs again at
//! once.
//!
//! The bad side: while a stream is held, an endpoint that breaks off is noticed late, and the time
//! of the request is not looked at; the client's write time-out ends it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;
use tokio::task::coop;

/// From how many streams on a connection the work of each is rationed.
const CROWD: usize = 8;

/// How much of tokio's budget of a poll is taken away: 128 less what is left.
const TAKEN: usize = 128 - 3;

/// What holds the work on one stream.
#[derive(Debug, Default)]
pub(super) struct Valve {
    /// A write waits for the client.
    held: AtomicBool,
    /// Its wait may be over.
    ready: AtomicBool,
    task: AtomicWaker,
}

/// A wait for the client.
pub(super) struct Hold<'a, F> {
    inner: F,
    valve: &'a Arc<Valve>,
}

/// The work on a stream.
pub(super) struct Valved<F> {
    inner: F,
    valve: Arc<Valve>,
    /// Open streams of the connection.
    streams: Arc<AtomicUsize>,
}

// === impl Valve ===

impl Valve {
    /// Waits for `inner`, and for nothing else meanwhile.
    pub(super) fn hold<F: Future + Unpin>(self: &Arc<Self>, inner: F) -> Hold<'_, F> {
        Hold { inner, valve: self }
    }

    /// Runs the work on a stream of a connection with so many.
    pub(super) fn run<F: Future + Unpin>(self: Arc<Self>, inner: F, streams: Arc<AtomicUsize>) -> Valved<F> {
        Valved { inner, valve: self, streams }
    }
}

impl Wake for Valve {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.store(true, Relaxed);
        // Releases the store: the task sees it when it runs.
        self.task.wake();
    }
}

// === impl Hold ===

impl<F: Future + Unpin> Future for Hold<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<F::Output> {
        let waker = Waker::from(self.valve.clone());
        let polled = Pin::new(&mut self.inner).poll(&mut Context::from_waker(&waker));
        self.valve.held.store(polled.is_pending(), Relaxed);
        polled
    }
}

impl<F> Drop for Hold<'_, F> {
    fn drop(&mut self) {
        self.valve.held.store(false, Relaxed);
    }
}

impl<F> std::fmt::Debug for Hold<'_, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hold").field("valve", &self.valve).finish_non_exhaustive()
    }
}

// === impl Valved ===

impl<F: Future + Unpin> Future for Valved<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.valve.task.register(cx.waker());
        let ready = self.valve.ready.swap(false, AcqRel);
        if self.valve.held.load(Acquire) && !ready {
            return Poll::Pending;
        }
        if self.streams.load(Relaxed) >= CROWD {
            ration(cx);
        }
        Pin::new(&mut self.inner).poll(cx)
    }
}

impl<F> std::fmt::Debug for Valved<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Valved").field("valve", &self.valve).finish_non_exhaustive()
    }
}

/// Takes most of the budget of this poll.
fn ration(cx: &mut Context<'_>) {
    for _ in 0..TAKEN {
        match coop::poll_proceed(cx) {
            Poll::Ready(proceed) => proceed.made_progress(),
            Poll::Pending => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::sync::{mpsc, oneshot};

    #[tokio::test]
    async fn nothing_else_runs_while_it_is_held() {
        let valve = Arc::new(Valve::default());
        let (go, wait) = oneshot::channel::<()>();
        let (tell, mut told) = mpsc::channel::<u32>(8);
        let ran = Arc::new(AtomicUsize::new(0));
        let work = {
            let (valve, ran) = (valve.clone(), ran.clone());
            let reader = async move {
                while told.recv().await.is_some() {
                    ran.fetch_add(1, Relaxed);
                }
            };
            let writer = async move { valve.hold(wait).await };
            Box::pin(async move { tokio::join!(writer, reader).0 })
        };
        let task = tokio::spawn(valve.clone().run(work, Arc::default()));
        while !valve.held.load(Relaxed) {
            tokio::task::yield_now().await;
        }
        for n in 0..5 {
            tell.send(n).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(ran.load(Relaxed), 0, "the reader is not polled");
        go.send(()).unwrap();
        drop(tell);
        task.await.unwrap().unwrap();
        assert_eq!(ran.load(Relaxed), 5);
    }
}
