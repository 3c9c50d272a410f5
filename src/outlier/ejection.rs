//! How long an ejection lasts, and what comes after it: one endpoint's [`Term`], moved on by whoever
//! looks at its standing now and then.
//!
//! The n-th ejection lasts n times `base_ejection`, at most `max_ejection`. n grows with each, and
//! falls by one for each `interval` that the endpoint spends in without being ejected. When the time
//! is over the endpoint is returning: the next request is its trial. A trial that has not got an
//! answer in `base_ejection` is not waited for any longer: another request may be one. So, whatever
//! happens, an endpoint is asked again and again.
//!
//! The bad side of looking now and then: an ejection begins to count when it is seen, so it lasts up
//! to two looks longer.

use std::time::{Duration, Instant};

use crate::config::live::OutlierDetection;
use crate::endpoint::Standing;

/// Where one endpoint stands, and since when.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    standing: Standing,
    since: Instant,
    /// Ejections, less the quiet intervals since.
    times: u32,
    /// The end of the ejection.
    until: Instant,
    /// The begin of the current quiet interval.
    quiet: Instant,
}

/// A change that is worth a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub from: Standing,
    pub to: Standing,
    /// How long it stood there.
    pub after: Duration,
    /// How long it is ejected for.
    pub length: Option<Duration>,
}

/// How long the `times`-th ejection lasts.
pub fn length(rules: &OutlierDetection, times: u32) -> Duration {
    rules.base_ejection.0.saturating_mul(times.max(1)).min(rules.max_ejection.0.max(rules.base_ejection.0))
}

// === impl Term ===

impl Term {
    /// Of an endpoint that is in.
    pub fn new(now: Instant) -> Self {
        Self { standing: Standing::In, since: now, times: 0, until: now, quiet: now }
    }

    /// Whether there is nothing to remember.
    pub fn is_clear(&self) -> bool {
        self.standing == Standing::In && self.times == 0
    }

    /// How many ejections still count.
    pub fn times(&self) -> u32 {
        self.times
    }

    /// Takes note of the standing that was found. A change may be one that was found or one that is
    /// decided here, and then has to be made: see [`Change::decided`].
    pub fn look(&mut self, found: Standing, rules: &OutlierDetection, now: Instant) -> Option<Change> {
        if found != self.standing {
            return Some(self.turn(found, rules, now));
        }
        match found {
            Standing::Ejected if now >= self.until => Some(self.turn(Standing::Returning, rules, now)),
            Standing::Trying if now.saturating_duration_since(self.since) >= rules.base_ejection.0 => {
                Some(self.turn(Standing::Returning, rules, now))
            }
            Standing::In => {
                self.calm(rules.interval.0, now);
                None
            }
            _ => None,
        }
    }

    fn turn(&mut self, to: Standing, rules: &OutlierDetection, now: Instant) -> Change {
        let change = Change {
            from: self.standing,
            to,
            after: now.saturating_duration_since(self.since),
            length: (to == Standing::Ejected).then(|| {
                self.times = self.times.saturating_add(1);
                length(rules, self.times)
            }),
        };
        (self.standing, self.since) = (to, now);
        match change.length {
            Some(length) => self.until = now + length,
            None => self.quiet = now,
        }
        change
    }

    fn calm(&mut self, interval: Duration, now: Instant) {
        while self.times > 0 && now.saturating_duration_since(self.quiet) >= interval {
            self.times -= 1;
            self.quiet += interval;
        }
    }
}

impl Change {
    /// The change as it has to be made, where it was not found but decided: from, to.
    pub fn decided(&self, found: Standing) -> Option<(Standing, Standing)> {
        (found != self.to).then_some((found, self.to))
    }
}
