//! Sees that certificate files changed, and has them read again.
//!
//! All files are looked at ten times a second, through links, as `stat` shows them. That finds
//! every way in which they are replaced: written in place, renamed over, a link turned (certbot), a
//! link above a link (Kubernetes), a file on a share that sends no events. Certificate and key are
//! two files and never change at one moment, so files are read once they have been left alone from
//! one look to the next; should that catch a new certificate beside an old key all the same, the set
//! is refused, and the key's change brings the next try. So a new certificate serves within about a
//! quarter of a second. The bad side: some system calls a second for each file, whether they change
//! or not.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::warn;

use crate::config::boot::Tls;
use crate::control::watch::Stamp;
use crate::discovery::Stop;
use crate::tls::Terminator;
use crate::tls::tickets::ROTATE;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// What is known of the files of one terminator.
struct Watched {
    terminator: Arc<Terminator>,
    /// The files as they were when they were read.
    read: Vec<Stamp>,
    /// The files as they were at the last look.
    seen: Vec<Stamp>,
}

/// Follows the files until `stop` turns true. `asked` tells when all are to be read, changed or not.
pub async fn follow(terminators: Vec<Arc<Terminator>>, asked: Arc<Notify>, mut stop: Stop) {
    let mut all: Vec<Watched> = terminators.into_iter().map(Watched::new).collect();
    if all.is_empty() {
        return;
    }
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut rotated = Instant::now();
    loop {
        let asked = tokio::select! {
            _ = looks.tick() => false,
            () = asked.notified() => true,
            changed = stop.changed() => if changed.is_err() || *stop.borrow() { return } else { false },
        };
        let rotate = rotated.elapsed() >= ROTATE;
        if rotate {
            rotated = Instant::now();
        }
        let looked = tokio::task::spawn_blocking(move || {
            for watched in &mut all {
                watched.look(asked);
                if rotate {
                    watched.terminator.rotate();
                }
            }
            all
        });
        all = match looked.await {
            Ok(all) => all,
            Err(error) => return warn!(%error, "certificate files are no longer watched"),
        };
    }
}

// === impl Watched ===

impl Watched {
    fn new(terminator: Arc<Terminator>) -> Self {
        let read = terminator.read.clone();
        Self { terminator, seen: read.clone(), read }
    }

    /// Reads the files if they changed and are left alone now, or if somebody asks.
    fn look(&mut self, asked: bool) {
        let now: Vec<Stamp> = stamps(&self.terminator.config);
        let settled = now == self.seen;
        if asked || (settled && now != self.read) {
            self.terminator.reload();
            self.read.clone_from(&now);
        }
        self.seen = now;
    }
}

/// The files of a listener as they are now. To be taken before they are read.
pub(super) fn stamps(config: &Tls) -> Vec<Stamp> {
    let certificates = config.certificates.iter();
    let of_certificates = certificates.flat_map(|c| [Some(&c.cert), Some(&c.key), c.ocsp.as_ref()]);
    let files = of_certificates.flatten().chain(config.client_auth.as_ref().map(|auth| &auth.ca));
    files.map(|file| Stamp::of(file)).collect()
}
