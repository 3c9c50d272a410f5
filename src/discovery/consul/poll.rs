//! The rhythm of one blocking query: what to ask next, what an answer means, how long to wait after
//! a failure. Pure.
//!
//! An answer is *degraded* when its server knows no leader or lags beyond `max_stale`, and for
//! [`UNSURE`] after the index went back or the agent was away: in those moments a registry tells
//! less than it knows. That holds for the first answer of all, if it follows a failure: after a
//! reboot the agent may be as young as we are, and our members come from disk. While that lasts,
//! and while members are held, the query asks with a short wait, so that the first good answer
//! comes soon after it can.

use std::time::{Duration, Instant};

use crate::config::live::Consistency;
use crate::consul::{Answer, Error, Index, Step};
use crate::discovery::Quality;
use crate::discovery::consul::backoff::Backoff;
use crate::discovery::consul::bucket::Bucket;

/// How long removals are doubted after a reconnect or an index that went back.
pub(super) const UNSURE: Duration = Duration::from_secs(30);

/// The wait while a good answer is hoped for.
const SHORT: Duration = Duration::from_secs(2);

/// The figures of the `consul` section that decide the rhythm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Consul takes 1s to 10m.
    pub wait: Duration,
    pub max_stale: Duration,
    pub consistency: Consistency,
}

/// The state of one blocking query.
#[derive(Debug)]
pub(super) struct Poll {
    timing: Timing,
    index: Index,
    bucket: Bucket,
    backoff: Backoff,
    failing: bool,
    unsure_until: Option<Instant>,
    /// Whether the absence that is held now was already confirmed by a fresh read.
    confirmed: bool,
}

/// What to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) index: u64,
    pub(super) wait: Duration,
    pub(super) consistency: Consistency,
}

/// What to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Take its content.
    Apply(Quality),
    /// Nothing new, but it was heard.
    Same(Quality),
    /// Drop it and ask again.
    Again,
    /// Nothing new, and too soon: wait first.
    Later(Quality, Duration),
}

// === impl Poll ===

impl Poll {
    pub(super) fn new(timing: Timing, bucket: Bucket) -> Self {
        Self {
            timing,
            index: Index::default(),
            bucket,
            backoff: Backoff::default(),
            failing: false,
            unsure_until: None,
            confirmed: false,
        }
    }

    /// How long to wait before the next question. Call it once a question.
    pub(super) fn ready(&mut self, now: Instant) -> Duration {
        self.bucket.take(now)
    }

    /// The next question. `doubtful`: members are held, or about to be. The first time, the leader
    /// is asked afresh.
    pub(super) fn ask(&mut self, doubtful: bool, now: Instant) -> Ask {
        let mut consistency = self.timing.consistency;
        if doubtful && !self.confirmed {
            self.index.lost();
            consistency = Consistency::Default;
        }
        self.confirmed = doubtful;
        let mut wait = self.timing.wait.clamp(Duration::from_secs(1), Duration::from_secs(600));
        if let Some(until) = self.unsure_until.filter(|until| *until > now) {
            wait = wait.min((until - now).max(Duration::from_secs(1)));
        }
        if doubtful {
            wait = wait.min(SHORT);
        }
        Ask { index: self.index.ask(), wait, consistency }
    }

    /// Takes the header of a good answer.
    pub(super) fn heard(&mut self, ask: Ask, answer: &Answer, now: Instant, rng: &mut fastrand::Rng) -> Next {
        if self.failing {
            self.unsure_until = Some(now + UNSURE);
        }
        self.failing = false;
        let early = ask.index > 0 && answer.took < ask.wait.mul_f64(0.9);
        let step = self.index.heard(answer.index, early, now);
        if step == Step::Backwards {
            self.unsure_until = Some(now + UNSURE);
        }
        let quality = self.judge(answer, now);
        match step {
            Step::Apply => Next::Apply(quality),
            Step::Same => {
                self.understood();
                Next::Same(quality)
            }
            Step::Backwards | Step::Early => Next::Again,
            Step::TooEarly => Next::Later(quality, self.backoff.next(rng)),
        }
    }

    /// The content of an applied answer was good too. Until then a body that does not parse keeps
    /// its back-off growing.
    pub(super) fn understood(&mut self) {
        self.backoff.reset();
    }

    /// There was no good answer: how long to wait before the next try.
    pub(super) fn failed(&mut self, error: &Error, rng: &mut fastrand::Rng) -> Duration {
        self.index.lost();
        self.failing = true;
        self.backoff.after(error, rng)
    }

    fn judge(&mut self, answer: &Answer, now: Instant) -> Quality {
        if !answer.known_leader || answer.lag > self.timing.max_stale {
            // Ask briefly until it is over.
            self.unsure_until = Some(self.unsure_until.unwrap_or(now).max(now + SHORT));
            return Quality::Degraded;
        }
        let unsure = self.unsure_until.is_some_and(|until| until > now);
        if unsure { Quality::Degraded } else { Quality::Good }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        wait: Duration::from_secs(30),
        max_stale: Duration::from_secs(10),
        consistency: Consistency::Stale,
    };

    fn answer(index: u64, took: u64) -> Answer {
        let took = Duration::from_secs(took);
        Answer { index, known_leader: true, lag: Duration::ZERO, took, body: Vec::new() }
    }

    struct Bed {
        poll: Poll,
        now: Instant,
        rng: fastrand::Rng,
    }

    impl Bed {
        fn new() -> Self {
            let now = tokio::time::Instant::now().into_std();
            let rng = fastrand::Rng::with_seed(1);
            Self { poll: Poll::new(TIMING, Bucket::service()), now, rng }
        }

        fn hear(&mut self, answer: &Answer) -> Next {
            let ask = self.poll.ask(false, self.now);
            self.poll.heard(ask, answer, self.now, &mut self.rng)
        }
    }

    #[test]
    fn the_quiet_life() {
        let mut bed = Bed::new();
        assert_eq!(bed.hear(&answer(5, 0)), Next::Apply(Quality::Good));
        assert_eq!(bed.poll.ask(false, bed.now).index, 5);
        assert_eq!(bed.hear(&answer(5, 31)), Next::Same(Quality::Good));
        assert_eq!(bed.hear(&answer(7, 3)), Next::Apply(Quality::Good));
    }

    #[test]
    fn after_a_failure_removals_are_doubted_for_half_a_minute() {
        let mut bed = Bed::new();
        bed.hear(&answer(5, 0));
        bed.poll.failed(&Error::Refused(String::new()), &mut bed.rng);
        assert_eq!(bed.poll.ask(false, bed.now).index, 0);
        assert_eq!(bed.hear(&answer(3, 0)), Next::Apply(Quality::Degraded));
        bed.now += Duration::from_secs(25);
        assert_eq!(bed.poll.ask(false, bed.now).wait, Duration::from_secs(5));
        bed.now += Duration::from_secs(5);
        assert_eq!(bed.hear(&answer(3, 31)), Next::Same(Quality::Good));
        assert_eq!(bed.poll.ask(false, bed.now).wait, TIMING.wait);
    }

    #[test]
    fn an_index_that_goes_back_is_read_again_and_doubted() {
        let mut bed = Bed::new();
        bed.hear(&answer(292, 0));
        assert_eq!(bed.hear(&answer(276, 1)), Next::Again);
        assert_eq!(bed.hear(&answer(276, 0)), Next::Apply(Quality::Degraded));
    }

    #[test]
    fn lag_and_a_missing_leader_are_degraded() {
        let mut bed = Bed::new();
        let lagging = Answer { lag: Duration::from_secs(11), ..answer(5, 0) };
        assert_eq!(bed.hear(&lagging), Next::Apply(Quality::Degraded));
        assert_eq!(bed.poll.ask(false, bed.now).wait, SHORT);
        let leaderless = Answer { known_leader: false, ..answer(5, 31) };
        assert_eq!(bed.hear(&leaderless), Next::Same(Quality::Degraded));
        bed.now += SHORT;
        assert_eq!(bed.hear(&answer(5, 31)), Next::Same(Quality::Good));
    }

    #[test]
    fn a_doubtful_set_is_confirmed_once_with_the_leader() {
        let mut bed = Bed::new();
        bed.hear(&answer(5, 0));
        let leader = Ask { index: 0, wait: SHORT, consistency: Consistency::Default };
        assert_eq!(bed.poll.ask(true, bed.now), leader);
        bed.poll.heard(leader, &answer(5, 0), bed.now, &mut bed.rng);
        let brief = Ask { index: 5, wait: SHORT, consistency: Consistency::Stale };
        assert_eq!(bed.poll.ask(true, bed.now), brief);
    }

    #[test]
    fn a_middlebox_that_answers_at_once_is_slowed() {
        let mut bed = Bed::new();
        bed.hear(&answer(5, 0));
        assert_eq!(bed.hear(&answer(5, 0)), Next::Again);
        assert_eq!(bed.hear(&answer(5, 0)), Next::Apply(Quality::Good));
        for _ in 0..20 {
            assert!(matches!(bed.hear(&answer(5, 0)), Next::Later(Quality::Good, _)));
        }
        assert!(bed.poll.backoff.next(&mut bed.rng) <= Duration::from_secs(10));
    }
}
