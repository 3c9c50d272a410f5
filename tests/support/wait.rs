//! Waiting for a condition, with a deadline and the last thing seen in the failure.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

const STEP: Duration = Duration::from_millis(10);

/// Probes until it is `Ok`, and gives what it found. Panics at the deadline with the last `Err`.
///
/// ```ignore
/// let body = eventually(Duration::from_secs(5), async || match get(&url).await {
///     Ok(r) if r.status == 200 => Ok(r.body),
///     other => Err(format!("{other:?}")),
/// }).await;
/// ```
#[track_caller]
pub fn eventually<T, E: Display>(
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, E>,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let end = Instant::now() + deadline;
        let mut last = String::from("the probe did not return once");
        loop {
            // A probe that hangs must not outlive the deadline either.
            let left = end.saturating_duration_since(Instant::now());
            match timeout(left, probe()).await {
                Ok(Ok(found)) => return found,
                Ok(Err(why)) => last = why.to_string(),
                Err(_) => {}
            }
            assert!(Instant::now() < end, "{caller}: not within {deadline:?}; last seen: {last}");
            sleep(STEP).await;
        }
    }
}

/// Waits until `holds`. Panics at the deadline with `what`.
#[track_caller]
pub fn until(deadline: Duration, what: &str, mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let what = what.to_owned();
    eventually(deadline, async move || if holds() { Ok(()) } else { Err(format!("not yet: {what}")) })
}
