//! The one timer of a connection.
//!
//! A busy connection moves its deadline with every request, and setting a timer costs more than all
//! else that is done about deadlines. So one that is set too early is left alone until it fires,
//! and only then set to the deadline that counts. A read and a write that both wait share it: it is
//! set to the earlier, and each looks at its own deadline.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

#[derive(Debug, Default)]
pub(super) struct Clock(Option<Pin<Box<Sleep>>>);

// === impl Clock ===

impl Clock {
    /// Waits for a deadline; for none, for ever.
    pub(super) fn poll(&mut self, deadline: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        ready!(timer.as_mut().poll(cx));
        if timer.deadline() < deadline {
            timer.as_mut().reset(deadline);
            return timer.as_mut().poll(cx);
        }
        Poll::Ready(())
    }
}
