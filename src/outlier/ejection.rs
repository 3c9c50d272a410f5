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

    /// Goes on from what another process knew: it stands there, for `left` if it is ejected. The
    /// quiet interval begins anew. An ejection of which nothing is left was not dated yet: the other
    /// process was asked between the failure and its next look. It is as one that is found here.
    pub fn resume(
        (standing, times, left): (Standing, u32, Duration),
        rules: &OutlierDetection,
        now: Instant,
    ) -> Self {
        let undated = standing == Standing::Ejected && left.is_zero();
        let standing = if undated { Standing::In } else { standing };
        let until = now + left.min(length(rules, u32::MAX));
        Self { standing, since: now, times, until, quiet: now }
    }

    /// What is left of the ejection.
    pub fn left(&self, now: Instant) -> Duration {
        let ejected = self.standing == Standing::Ejected;
        if ejected { self.until.saturating_duration_since(now) } else { Duration::ZERO }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::Span;

    fn rules(base: u64, most: u64) -> OutlierDetection {
        OutlierDetection {
            base_ejection: Span::secs(base),
            max_ejection: Span::secs(most),
            ..OutlierDetection::default()
        }
    }

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn an_ejection_that_nobody_has_dated_begins_when_it_is_taken_up() {
        let (rules, now) = (rules(30, 300), start());
        let mut term = Term::resume((Standing::Ejected, 1, Duration::ZERO), &rules, now);
        let change = term.look(Standing::Ejected, &rules, now).unwrap();
        assert_eq!((change.to, change.decided(Standing::Ejected)), (Standing::Ejected, None));
        assert_eq!((term.times(), term.left(now)), (2, Duration::from_secs(60)));
    }

    #[test]
    fn lengths_grow_and_stay_within_bounds() {
        for (base, most) in [(1, 1), (30, 300), (7, 300), (3600, 86_400), (30, 30)] {
            let rules = rules(base, most);
            let lengths: Vec<_> = (0..2000).map(|times| length(&rules, times)).collect();
            assert!(lengths.is_sorted());
            assert!(lengths.iter().all(|l| (rules.base_ejection.0..=rules.max_ejection.0).contains(l)));
            assert_eq!(length(&rules, u32::MAX), rules.max_ejection.0);
        }
        assert_eq!(length(&rules(30, 300), 3), Duration::from_secs(90));
    }

    #[test]
    fn times_grow_with_each_ejection_and_fall_in_quiet() {
        let rules = rules(30, 300);
        let (begin, mut term) = (start(), Term::new(start()));
        let at = |seconds| begin + Duration::from_secs(seconds);
        let eject = term.look(Standing::Ejected, &rules, at(0)).unwrap();
        assert_eq!((eject.from, eject.length), (Standing::In, Some(Duration::from_secs(30))));
        assert_eq!(term.look(Standing::Ejected, &rules, at(29)), None);
        let back = term.look(Standing::Ejected, &rules, at(30)).unwrap();
        assert_eq!(back.decided(Standing::Ejected), Some((Standing::Ejected, Standing::Returning)));
        // No traffic: it waits for its trial as long as it takes.
        assert_eq!(term.look(Standing::Returning, &rules, at(1000)), None);
        let again = term.look(Standing::Ejected, &rules, at(1001)).unwrap();
        assert_eq!((again.length, term.times()), (Some(Duration::from_secs(60)), 2));
        assert_eq!(term.look(Standing::Ejected, &rules, at(1060)), None);
        assert!(term.look(Standing::Ejected, &rules, at(1061)).is_some());
        assert!(term.look(Standing::In, &rules, at(1062)).is_some());
        for (second, times) in [(1071, 2), (1072, 1), (1081, 1), (1082, 0), (9999, 0)] {
            assert_eq!(term.look(Standing::In, &rules, at(second)), None);
            assert_eq!((term.times(), term.is_clear()), (times, times == 0), "{second}");
        }
    }

    #[test]
    fn a_trial_without_an_answer_admits_another() {
        let rules = rules(30, 300);
        let (begin, mut term) = (start(), Term::new(start()));
        let at = |seconds| begin + Duration::from_secs(seconds);
        let _ = term.look(Standing::Ejected, &rules, at(0));
        let _ = term.look(Standing::Ejected, &rules, at(30));
        assert_eq!(term.look(Standing::Trying, &rules, at(31)).unwrap().decided(Standing::Trying), None);
        assert_eq!(term.look(Standing::Trying, &rules, at(60)), None);
        let waited = term.look(Standing::Trying, &rules, at(61)).unwrap();
        assert_eq!(waited.decided(Standing::Trying), Some((Standing::Trying, Standing::Returning)));
    }
}
