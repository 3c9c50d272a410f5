//! What a row of probes makes of an endpoint.
//!
//! A new endpoint is decided by its first probe: it must not wait for a row of passes while others
//! carry its load, nor get requests for a row of failures. After that a change takes as many
//! probes in a row as the config says, and a probe that agrees with what holds begins the row
//! anew. The bad side: an endpoint that fails every third probe is up for ever under a threshold
//! of 3. Real requests are a better judge of that one; see outlier detection.

use crate::endpoint::Checked;

/// How many probes in a row change what holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Passes until an endpoint that was down is up.
    pub healthy: u32,
    /// Failures until an endpoint that was up is down.
    pub unhealthy: u32,
}

/// What holds of one endpoint, and the row that speaks against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    checked: Checked,
    against: u32,
}

// === impl Verdict ===

impl Verdict {
    /// Goes on from what held before, as after a reload.
    pub fn resume(checked: Checked) -> Self {
        Self { checked, against: 0 }
    }

    /// What holds.
    pub fn checked(&self) -> Checked {
        self.checked
    }

    /// Probes in a row that speak against it.
    pub fn against(&self) -> u32 {
        self.against
    }

    /// Takes the outcome of one probe. Some: it changed what holds; this held before.
    pub fn take(&mut self, passed: bool, thresholds: Thresholds) -> Option<Checked> {
        let (says, needed) = match (passed, self.checked) {
            (true, Checked::Unknown) => (Checked::Up, 1),
            (false, Checked::Unknown) => (Checked::Down, 1),
            (true, _) => (Checked::Up, thresholds.healthy),
            (false, _) => (Checked::Down, thresholds.unhealthy),
        };
        if says == self.checked {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        if self.against < needed {
            return None;
        }
        self.against = 0;
        Some(std::mem::replace(&mut self.checked, says))
    }
}

#[cfg(test)]
mod tests;
