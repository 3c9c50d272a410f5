//! What came out: figures by scenario, peer and round.

use crate::scenario::Scenario;
use crate::spread::Spread;

/// What is measured of a round. The order is that of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Microseconds of CPU time a request, all threads of all processes.
    Cpu,
    /// The part of it in the kernel.
    Kernel,
    PerSecond,
    P50,
    P99,
    P999,
    /// Resident memory, in megabytes, at the end of the round.
    Resident,
    /// How much of its cores it used. Far under 100 %: something else was the bottleneck.
    Busy,
    /// Connections to the servers behind that it opened in the round. Many: it does not keep them.
    Opened,
    /// Kilobytes of memory for each idle connection.
    MemoryEach,
}

/// One peer in one scenario.
pub(crate) struct Row {
    pub(crate) peer: String,
    /// A round each. Empty: it was left out, and `note` says why.
    pub(crate) rounds: Vec<Vec<(Figure, f64)>>,
    pub(crate) note: Option<String>,
    /// Whether it did not do what was asked of it.
    pub(crate) failed: bool,
}

/// One scenario.
pub(crate) struct Outcome {
    pub(crate) scenario: Scenario,
    /// Tidegate first.
    pub(crate) rows: Vec<Row>,
}

// === impl Figure ===

impl Figure {
    pub(crate) const ALL: [Self; 10] = [
        Self::Cpu,
        Self::Kernel,
        Self::PerSecond,
        Self::P50,
        Self::P99,
        Self::P999,
        Self::Resident,
        Self::Busy,
        Self::Opened,
        Self::MemoryEach,
    ];

    /// In the tables.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Cpu => "CPU us/request",
            Self::Kernel => "kernel",
            Self::PerSecond => "requests/s",
            Self::P50 => "p50 us",
            Self::P99 => "p99 us",
            Self::P999 => "p99.9 us",
            Self::Resident => "RSS MB",
            Self::Busy => "busy %",
            Self::Opened => "opened",
            Self::MemoryEach => "KB a connection",
        }
    }

    /// In the JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu_us_per_request",
            Self::Kernel => "kernel_us_per_request",
            Self::PerSecond => "requests_per_second",
            Self::P50 => "p50_us",
            Self::P99 => "p99_us",
            Self::P999 => "p999_us",
            Self::Resident => "resident_mb",
            Self::Busy => "busy_percent",
            Self::Opened => "upstream_connections_opened",
            Self::MemoryEach => "kb_per_idle_connection",
        }
    }

    /// Digits after the point.
    pub(crate) fn digits(self) -> usize {
        match self {
            Self::Cpu | Self::Kernel | Self::Resident | Self::MemoryEach => 1,
            Self::PerSecond | Self::P50 | Self::P99 | Self::P999 | Self::Busy | Self::Opened => 0,
        }
    }
}

// === impl Row ===

impl Row {
    pub(crate) fn spread(&self, figure: Figure) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(|round| value(round, figure)))
    }

    /// Its ratio to another, within each round.
    pub(crate) fn ratio(&self, to: &Self, figure: Figure) -> Option<Spread> {
        let pairs = self.rounds.iter().zip(&to.rounds);
        Spread::of(pairs.filter_map(|(own, other)| Some(value(own, figure)? / value(other, figure)?)))
    }
}

fn value(round: &[(Figure, f64)], figure: Figure) -> Option<f64> {
    round.iter().find(|(each, _)| *each == figure).map(|(_, value)| *value)
}

// === impl Outcome ===

impl Outcome {
    /// The figure that the scenario is about.
    pub(crate) fn main_figure(&self) -> Figure {
        match self.scenario {
            Scenario::Idle => Figure::MemoryEach,
            Scenario::Half => Figure::P99,
            _ => Figure::Cpu,
        }
    }

    /// What the others are divided by.
    pub(crate) fn tidegate(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.peer == "Tidegate")
    }
}
