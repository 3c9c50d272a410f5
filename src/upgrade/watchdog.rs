//! Whether systemd may be told that this process is alive: the verdict, without clock and sockets.
//!
//! A process can be there and do nothing. So in each *round*, a quarter of `WatchdogSec=`, three
//! things are looked at, and WATCHDOG=1 is sent only if all are well:
//!
//! | part | it is well if |
//! |---|---|
//! | control | the one writer answered a ping within the round. One that has ended, which only a bug does, answers nothing |
//! | workers | the runtime of requests ran a task within the round |
//! | accept | no listener has had connections waiting in the kernel's queue at two looks, a round apart, between which it took not one |
//!
//! systemd kills (SIGABRT) and starts anew after a whole `WatchdogSec=` without a word, so nothing
//! happens before three rounds in a row went wrong: a false alarm cuts every request, a late one costs
//! seconds of an outage that is there already.
//!
//! What looks like a hang and is none:
//!
//! * no file descriptor is left: accepting fails, and those who hold the descriptors are served. The
//!   kernel's list cannot be read then either, and who is not in it has nobody waiting;
//! * a listener that is full answers 503, so it takes connections;
//! * a process that drains or hands over has closed its doors on purpose: the caller gives no
//!   listeners then;
//! * the machine slept, or the process was stopped (SIGSTOP, a debugger) and goes on: a round that
//!   begins late compares nothing with what was before. systemd itself does count that time; turn
//!   its watchdog off for a debugger: `systemctl service-watchdogs no`.
//!
//! The bad side: one worker thread of several that is blocked for ever is not seen, since the others
//! take over its work. Nor is a listener seen that nobody connects to. And a machine so loaded that a
//! task waits for seconds is restarted on top of its load; choose `WatchdogSec=` accordingly (30 s as
//! delivered).

use std::time::Duration;

use tokio::time::Instant;

/// Rounds in the time that systemd gives.
pub const ROUNDS: u32 = 4;

/// A part of the process that hangs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Control,
    Workers,
    /// The accept loop of a listener.
    Accept(String),
}

/// What is seen of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    pub listener: String,
    /// Connections that wait in the kernel's queue.
    pub waiting: usize,
    /// Those that were taken from it since the start.
    pub accepted: u64,
}

/// What a round found.
#[derive(Clone, Debug)]
pub struct Round {
    /// When it began.
    pub at: Instant,
    pub control: bool,
    pub workers: bool,
    /// None: doors are not to be judged, or could not be looked at.
    pub doors: Option<Vec<Door>>,
}

/// Remembers the round before.
#[derive(Debug)]
pub struct Judge {
    period: Duration,
    before: Option<(Instant, Vec<Door>)>,
}

// === impl Part ===

impl Part {
    /// The label of `tidegate_watchdog_missed_total`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Workers => "workers",
            Self::Accept(_) => "accept",
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Control => f.write_str("the control task does not answer"),
            Self::Workers => f.write_str("no worker thread takes up a task"),
            Self::Accept(listener) => {
                write!(f, "listener `{listener}` takes no connections though some wait")
            }
        }
    }
}

// === impl Judge ===

impl Judge {
    /// With the time between two rounds.
    pub fn new(period: Duration) -> Self {
        Self { period, before: None }
    }

    /// What hangs. Nothing: systemd may be told.
    pub fn missed(&mut self, round: Round) -> Vec<Part> {
        let Round { at, control, workers, doors } = round;
        let mut missed = Vec::new();
        if !control {
            missed.push(Part::Control);
        }
        if !workers {
            missed.push(Part::Workers);
        }
        let recent = |then: &Instant| at.saturating_duration_since(*then) < 2 * self.period;
        let before = self.before.take().filter(|(then, _)| recent(then)).map(|(_, doors)| doors);
        for door in doors.iter().flatten() {
            let stuck = |then: &&Door| {
                then.listener == door.listener && then.waiting > 0 && then.accepted == door.accepted
            };
            if door.waiting > 0 && before.iter().flatten().any(|then| stuck(&then)) {
                missed.push(Part::Accept(door.listener.clone()));
            }
        }
        self.before = doors.map(|doors| (at, doors));
        missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(5);

    fn round(at: Instant, doors: Option<&[(&str, usize, u64)]>) -> Round {
        let door = |(listener, waiting, accepted): &(&str, usize, u64)| Door {
            listener: (*listener).to_owned(),
            waiting: *waiting,
            accepted: *accepted,
        };
        let doors = doors.map(|doors| doors.iter().map(door).collect());
        Round { at, control: true, workers: true, doors }
    }

    #[tokio::test]
    async fn who_does_not_answer_is_named() {
        let (mut judge, now) = (Judge::new(PERIOD), Instant::now());
        assert!(judge.missed(round(now, None)).is_empty());
        let hung = Round { control: false, workers: false, ..round(now + PERIOD, None) };
        assert_eq!(judge.missed(hung), [Part::Control, Part::Workers]);
    }

    #[tokio::test]
    async fn a_door_is_stuck_when_others_wait_and_none_is_let_in() {
        let (mut judge, now) = (Judge::new(PERIOD), Instant::now());
        let stuck = [Part::Accept("a".into())];
        type Look<'a> = (&'a [(&'a str, usize, u64)], &'a [Part]);
        let looks: [Look<'_>; 7] = [
            (&[("a", 3, 7), ("b", 1, 4)], &[]),
            (&[("a", 4, 7), ("b", 1, 5)], &stuck),
            (&[("a", 4, 7), ("b", 0, 5)], &stuck),
            (&[("a", 2, 9), ("b", 0, 5)], &[]),
            (&[("a", 0, 9), ("b", 0, 5)], &[]),
            // Came a moment ago, after long quiet.
            (&[("a", 1, 9), ("b", 0, 5)], &[]),
            (&[("a", 0, 9), ("b", 0, 5)], &[]),
        ];
        for (n, (doors, expected)) in (0..).zip(looks) {
            assert_eq!(judge.missed(round(now + n * PERIOD, Some(doors))), expected, "look {n}");
        }
    }

    #[tokio::test]
    async fn nothing_is_compared_over_a_pause() {
        let (mut judge, now) = (Judge::new(PERIOD), Instant::now());
        let full: &[_] = &[("a", 9, 7)];
        judge.missed(round(now, Some(full)));
        assert!(judge.missed(round(now + 3 * PERIOD, Some(full))).is_empty(), "it was stopped");
        assert!(judge.missed(round(now + 4 * PERIOD, None)).is_empty(), "the list could not be read");
        assert!(judge.missed(round(now + 5 * PERIOD, Some(full))).is_empty());
        assert_eq!(judge.missed(round(now + 6 * PERIOD, Some(full))).len(), 1);
    }
}
