//! The loop of a shift: one change a step, each on top of our own last one.
//!
//! Each change holds only if the split is still at the epoch that we left it at, so whatever anybody
//! else does in between stops the shift and is not overwritten. The first failure to reach the API
//! begins a time of grace, in which the same change is tried again; time lost is added at the end,
//! since catching up would be the jump that a shift is there to avoid.
//!
//! A try whose answer was lost may have been taken all the same. The next one is then refused, by
//! our own change; that is told from somebody else's by looking: our author, our weights, and the
//! epoch just after ours.

use std::pin::Pin;
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::cli::admin::Failure;
use crate::cli::split::progress::Show;
use crate::cli::split::steps::Path;
use crate::cli::split::wire::{Changed, Split, Weights};
use crate::cli::split::words;

/// So long is the API given to come back.
const GRACE: Duration = Duration::from_secs(30);
/// The pause before the second try; it doubles up to [`SLOWEST`].
const FIRST: Duration = Duration::from_millis(200);
const SLOWEST: Duration = Duration::from_secs(5);

/// Where changes are made.
pub(super) trait Desk {
    async fn look(&self) -> Result<Split, Failure>;
    /// Sets all weights, if the split is at this epoch.
    async fn put(&self, weights: &Weights, if_epoch: u64) -> Result<Changed, Failure>;
    /// Who we are.
    fn author(&self) -> &str;
}

/// How it ended.
#[derive(Debug)]
pub(super) enum End {
    /// The weights that were asked for serve.
    Done(Changed),
    /// It was told to stop.
    Stopped,
    /// Somebody else changed the split.
    Overtaken,
    Failed(Failure),
}

/// Waits to be told to stop.
pub(super) type Stop<'a> = Pin<&'a mut dyn Future<Output = ()>>;

/// Goes the path, one step after each `every`. The second value: how many steps serve.
pub(super) async fn walk(
    desk: &impl Desk,
    split: &Split,
    path: &Path,
    every: Duration,
    mut stop: Stop<'_>,
    show: &mut dyn Show,
) -> (End, u32) {
    let mut serves = path.at(0);
    let mut changed = Changed { generation: 0, epoch: split.epoch, warnings: Vec::new() };
    let mut clock = interval_at(Instant::now() + every, every);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for step in 1..=path.steps() {
        tokio::select! {
            biased;
            () = &mut stop => return (End::Stopped, step - 1),
            _ = clock.tick() => {}
        }
        let weights = path.at(step);
        // Where whole numbers are coarser than the steps.
        if weights != serves {
            match insist(desk, split, &weights, changed.epoch, &mut stop, show).await {
                Ok(now) => changed = now,
                Err(end) => return (end, step - 1),
            }
            serves = weights;
        }
        let left = words::rough(every * (path.steps() - step));
        show.step(step, path.steps(), &format!("{}; {left} left", words::weights(split, &serves)));
    }
    (End::Done(changed), path.steps())
}

/// Makes one change, and tries again while the API cannot be reached.
async fn insist(
    desk: &impl Desk,
    split: &Split,
    weights: &[u64],
    epoch: u64,
    stop: &mut Stop<'_>,
    show: &mut dyn Show,
) -> Result<Changed, End> {
    let wanted = split.named(weights);
    let (mut pause, mut since) = (FIRST, None);
    loop {
        match desk.put(&wanted, epoch).await {
            Ok(changed) => return Ok(changed),
            Err(failure) if failure.passing() => {
                let since = *since.get_or_insert_with(Instant::now);
                if since.elapsed() + pause > GRACE {
                    return Err(End::Failed(failure));
                }
                show.say(&format!("{failure}; trying again in {} ms", pause.as_millis()));
            }
            Err(failure) => {
                let Some(refusal) = failure.with_status(StatusCode::CONFLICT) else {
                    return Err(End::Failed(failure));
                };
                let generation = refusal.body["generation"].as_u64().unwrap_or_default();
                let ours = since.is_some() && is_ours(desk, weights, epoch + 1).await;
                return if ours {
                    Ok(Changed { generation, epoch: epoch + 1, warnings: Vec::new() })
                } else {
                    Err(End::Overtaken)
                };
            }
        }
        tokio::select! {
            biased;
            () = &mut *stop => return Err(End::Stopped),
            () = sleep(pause) => {}
        }
        pause = (pause * 2).min(SLOWEST);
    }
}

/// Whether what stands there is the change that we made and heard nothing of.
async fn is_ours(desk: &impl Desk, weights: &[u64], epoch: u64) -> bool {
    desk.look().await.is_ok_and(|split| {
        split.epoch == epoch && split.author.as_deref() == Some(desk.author()) && split.weights() == weights
    })
}
