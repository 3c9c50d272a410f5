//! What a client counted.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The work of all clients of one kind.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub who: &'static str,
    /// Whole answers that were right.
    pub ok: u64,
    /// Requests that were never taken, as the server said (GOAWAY), and were asked again.
    pub again: u64,
    /// Connections that were opened.
    pub opened: u64,
    pub failures: Vec<Failure>,
    pub slowest: Duration,
    /// When it began, since the crowd did.
    pub slowest_at: Duration,
}

/// One request that was not answered as it should be.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Since the crowd began.
    pub at: Duration,
    /// How long the client had waited.
    pub after: Duration,
    pub why: String,
}

impl Tally {
    pub fn new(who: &'static str) -> Self {
        Self { who, ..Self::default() }
    }

    pub fn failed(&self) -> u64 {
        self.failures.len() as u64
    }

    /// Requests that the client holds to be done, right or not.
    pub fn asked(&self) -> u64 {
        self.ok + self.failed()
    }

    pub fn add(&mut self, other: Self) {
        self.ok += other.ok;
        self.again += other.again;
        self.opened += other.opened;
        self.failures.extend(other.failures);
        self.took(other.slowest, other.slowest_at);
    }

    /// A request took so long.
    pub fn took(&mut self, time: Duration, at: Duration) {
        if time > self.slowest {
            (self.slowest, self.slowest_at) = (time, at);
        }
    }

    /// How often each reason.
    pub fn reasons(&self) -> BTreeMap<&str, u64> {
        let mut all = BTreeMap::new();
        for failure in &self.failures {
            *all.entry(failure.why.as_str()).or_default() += 1;
        }
        all
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { who, ok, again, opened, slowest, slowest_at, .. } = self;
        write!(
            f,
            "{who:<10} {ok:>7} ok, {} failed, {again} asked again, {opened} connections, slowest {slowest:.1?} (at {slowest_at:.1?})",
            self.failed()
        )?;
        for (why, count) in self.reasons() {
            write!(f, "\n    {count} x {why}")?;
        }
        for failure in self.failures.iter().take(5) {
            write!(f, "\n    at {:.3?}, after {:.3?}: {}", failure.at, failure.after, failure.why)?;
        }
        Ok(())
    }
}

/// Prints what all counted, and panics unless nothing failed and each kind got something.
#[track_caller]
pub fn assert_clean(what: &str, tallies: &[Tally]) {
    let text: Vec<_> = tallies.iter().map(ToString::to_string).collect();
    eprintln!("{what}\n{}", text.join("\n"));
    for tally in tallies {
        assert!(tally.failures.is_empty() && tally.ok > 0, "{what}: {tally}");
    }
}
