//! The watchdog's rounds: looks at the parts of the process, and tells systemd if all are well. The
//! verdict, and what it is blind to, is [`crate::upgrade::watchdog`]'s.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{error, info};

use crate::upgrade::gate::State;
use crate::upgrade::notify;
use crate::upgrade::watchdog::{Door, Judge, ROUNDS, Round};

use super::Systemd;

/// Keeps systemd from taking this process for dead, as long as it is not. Ends at once where
/// systemd does not ask (no `WatchdogSec=`).
pub(super) async fn keep(systemd: &Systemd) {
    let Some(patience) = notify::watchdog_period() else { return };
    let period = patience / ROUNDS;
    let (mut judge, mut hung) = (Judge::new(period), false);
    let (mut main, mut clock) = (systemd.main.clone(), interval(period));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Whoever becomes the main process says so at once: the time of the one before it runs on.
        tokio::select! {
            _ = clock.tick() => {}
            Ok(()) = main.changed() => {}
        }
        if !*systemd.main.borrow() || !systemd.open() {
            continue;
        }
        let missed = judge.missed(systemd.look(period).await);
        for part in &missed {
            systemd.around.metrics.watchdog_missed(part.name());
            error!(part = part.name(), within = ?period, "watchdog: {part}; systemd is not told that this process is alive");
        }
        if missed.is_empty() {
            notify::watchdog();
            if hung {
                info!("watchdog: all is well again");
            }
        }
        hung = !missed.is_empty();
    }
}

// === impl Systemd ===

impl Systemd {
    /// One round.
    async fn look(&self, patience: Duration) -> Round {
        let at = Instant::now();
        let doors = self.doors();
        let (control, workers) = tokio::join!(timeout(patience, self.inbox.ping()), self.workers(patience));
        // While it drains the writer ends before the process does.
        let control = control.is_ok_and(|answered| answered || self.ready.draining());
        Round { at, control, workers, doors }
    }

    /// Whether the runtime of requests takes up a task. One that does not run yet, or any more, is
    /// not judged.
    async fn workers(&self, patience: Duration) -> bool {
        let Some(runtime) = self.workers.get() else { return true };
        timeout(patience, runtime.spawn(async {})).await.is_ok()
    }

    /// The listeners, if they are to let anybody in.
    fn doors(&self) -> Option<Vec<Door>> {
        let (gate, sockets) = &self.doors;
        if self.ready.draining() || gate.state() != State::Accepting {
            return None;
        }
        let waiting = sockets.waiting();
        let door = |(listener, address, accepted): (&str, _, _)| Door {
            listener: listener.to_owned(),
            waiting: waiting.iter().filter(|(at, _)| *at == address).map(|(_, n)| n).sum(),
            accepted,
        };
        Some(self.proxy.accepted().map(door).collect())
    }
}
