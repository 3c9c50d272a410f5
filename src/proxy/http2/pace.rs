//! How long a client may take with a request's body.
//!
//! Two rules: no pause longer than `body_timeout`, and from ten seconds on at least `min_body_rate`
//! bytes a second on average. The first alone lets a client hold a stream for ever with a byte now
//! and then.
//!
//! Only the time counts in which we wait for the client. While the endpoint takes nothing we ask
//! for nothing (HTTP/2's window closes), and the client can't be blamed.
//!
//! Pure: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// From when on the rate is looked at.
const GRACE: Duration = Duration::from_secs(10);

/// The pace of one body.
#[derive(Debug)]
pub(super) struct Pace {
    pause: Duration,
    /// Bytes a second. 0: any will do.
    rate: u64,
    /// Since when it is waited for the next bytes.
    since: Option<Instant>,
    /// How long it was waited for those before.
    waited: Duration,
    bytes: u64,
}

// === impl Pace ===

impl Pace {
    pub(super) const fn new(pause: Duration, rate: u64) -> Self {
        Self { pause, rate, since: None, waited: Duration::ZERO, bytes: 0 }
    }

    /// Nothing is there: until when it may be waited.
    pub(super) fn wait(&mut self, now: Instant) -> Instant {
        let since = *self.since.get_or_insert(now);
        let mut most = self.pause;
        if self.rate > 0 {
            // At the slowest, this many bytes take so long.
            let due = Duration::from_secs_f64(self.bytes as f64 / self.rate as f64).max(GRACE);
            most = most.min(due.saturating_sub(self.waited));
        }
        since + most
    }

    /// So many bytes came.
    pub(super) fn came(&mut self, bytes: usize, now: Instant) {
        if let Some(since) = self.since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        self.bytes += bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_pause_has_an_end() {
        let mut pace = Pace::new(60 * SECOND, 0);
        let now = Instant::now();
        assert_eq!(pace.wait(now), now + 60 * SECOND);
        assert_eq!(pace.wait(now + SECOND), now + 60 * SECOND, "the same pause");
        pace.came(1, now + 2 * SECOND);
        assert_eq!(pace.wait(now + 3 * SECOND), now + 63 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_has_an_end_too() {
        let mut pace = Pace::new(60 * SECOND, 240);
        let mut now = Instant::now();
        let begin = now;
        let end = loop {
            let end = pace.wait(now);
            now += 2 * SECOND;
            if end <= now {
                break end;
            }
            pace.came(1, now);
        };
        assert_eq!(end - begin, GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_an_average_and_time_that_is_not_ours_does_not_count() {
        let mut pace = Pace::new(60 * SECOND, 100);
        let now = Instant::now();
        pace.wait(now);
        pace.came(3000, now + SECOND);
        // Nobody asked for more for an hour.
        let later = now + 3600 * SECOND;
        assert_eq!(pace.wait(later), later + 29 * SECOND, "3000 bytes are worth 30 s, and one is gone");
    }
}
