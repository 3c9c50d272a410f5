//! Many clients of several kinds at once, as long as a piece of work runs.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::tally::{Failure, Tally};

/// Beyond it a request has failed. Long: a debug build, a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// Clients at work.
pub struct Crowd {
    begin: Instant,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<Tally>>,
}

/// What one client works by.
#[derive(Clone)]
pub struct Shift {
    pub begin: Instant,
    stopped: watch::Receiver<bool>,
    tally: Tally,
}

impl Crowd {
    pub fn new() -> Self {
        Self { begin: Instant::now(), stop: watch::Sender::new(false), tasks: Vec::new() }
    }

    /// Adds so many clients of a kind, at work from now on.
    pub fn add<F, W>(&mut self, who: &'static str, count: usize, work: F) -> &mut Self
    where
        F: Fn(Shift) -> W,
        W: Future<Output = Tally> + Send + 'static,
    {
        for _ in 0..count {
            let (begin, stopped) = (self.begin, self.stop.subscribe());
            let shift = Shift { begin, stopped, tally: Tally::new(who) };
            self.tasks.push(tokio::spawn(work(shift)));
        }
        self
    }

    /// Since its first client began.
    pub fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Lets each client finish what it has begun; one tally for each kind.
    pub async fn end(self) -> Vec<Tally> {
        let _ = self.stop.send(true);
        let mut all: Vec<Tally> = Vec::new();
        for task in self.tasks {
            let tally = task.await.expect("a client of the crowd");
            match all.iter_mut().find(|other| other.who == tally.who) {
                Some(same) => same.add(tally),
                None => all.push(tally),
            }
        }
        all
    }
}

impl Shift {
    /// Whether to ask on.
    pub fn on(&self) -> bool {
        !*self.stopped.borrow()
    }

    pub fn opened(&mut self) {
        self.tally.opened += 1;
    }

    pub fn again(&mut self) {
        self.tally.again += 1;
    }

    /// Counts one request, which began then.
    pub fn count(&mut self, began: Instant, result: Result<(), String>) {
        let after = began.elapsed();
        self.tally.took(after, began.duration_since(self.begin));
        match result {
            Ok(()) => self.tally.ok += 1,
            Err(why) => {
                let at = began.duration_since(self.begin) + after;
                self.tally.failures.push(Failure { at, after, why });
            }
        }
    }

    /// Ends the shift.
    pub fn done(self) -> Tally {
        self.tally
    }
}

/// The result, or a failure if it takes too long.
pub async fn in_time<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    within(DEADLINE, work).await
}

/// As [`in_time`], for what takes its time.
pub async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(format!("no end within {limit:?}")))
}

/// Between two requests. After a failure longer, or a server that is gone would fill the report.
pub async fn rest(pause: Duration, failed: bool) {
    sleep(if failed { pause.max(Duration::from_millis(20)) } else { pause }).await;
}
