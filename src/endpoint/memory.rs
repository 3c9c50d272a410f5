//! What one process knows of endpoints that the next should not have to find out again.
//!
//! Of each (cluster, address): what the active check says, where it stands with real requests and
//! for how long, how far its slow start has come; of each cluster, what its requests have saved for
//! retries. Times are told as what is left of them, since clocks do not travel.
//!
//! Not told: what is in flight (it ends where it began), the row of a check that has not changed
//! its word, and the statistics since the last look. So the next process takes one more row, or one
//! more interval, to see what this one was about to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::balance::slow_start;
use crate::endpoint::{Checked, Failure, Reason, Standing, State};
use crate::state_file::lenient::{self, is_default};

/// An ejection that came so often has long reached its longest.
const MOST_TIMES: u32 = 1000;

/// By cluster.
pub type Memories = BTreeMap<crate::config::Name, ClusterMemory>;

/// Of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterMemory {
    /// Requests that pay for retries.
    #[serde(deserialize_with = "lenient::field", skip_serializing_if = "is_default")]
    pub saved: u32,
    #[serde(deserialize_with = "lenient::map")]
    pub endpoints: BTreeMap<SocketAddr, Memory>,
}

/// Of an endpoint. What it does not say is as of one that is all right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    #[serde(deserialize_with = "lenient::field", skip_serializing_if = "is_default")]
    pub checked: Checked,
    #[serde(deserialize_with = "lenient::field", skip_serializing_if = "is_default")]
    pub standing: Standing,
    /// Failures of real requests in a row.
    #[serde(skip_serializing_if = "is_default")]
    pub streak: u32,
    /// Ejections, less the quiet intervals since.
    #[serde(skip_serializing_if = "is_default")]
    pub times: u32,
    /// What is left of the ejection, in milliseconds.
    #[serde(skip_serializing_if = "is_default")]
    pub left: u64,
    /// What slow start holds back of its share, in percent.
    #[serde(skip_serializing_if = "is_default")]
    pub held_back: u8,
    /// All ejections, for people, as what follows.
    #[serde(skip_serializing_if = "is_default")]
    pub ejections: u32,
    /// When the standing changed, in milliseconds since 1970.
    #[serde(skip_serializing_if = "is_default")]
    pub since: u64,
    #[serde(deserialize_with = "lenient::field", skip_serializing_if = "is_default")]
    pub reason: Reason,
    #[serde(deserialize_with = "lenient::field", skip_serializing_if = "is_default")]
    pub failure: Failure,
}

// === impl Memory ===

impl Memory {
    /// What there is to tell of a state.
    pub fn of(state: &State) -> Self {
        let (times, left) = state.sentence.read();
        Self {
            checked: state.checked(),
            standing: state.standing(),
            streak: state.streak(),
            times,
            left: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            held_back: 100 - state.share(),
            ejections: state.faults.ejections(),
            since: state.faults.since().unwrap_or_default(),
            reason: state.faults.reason(),
            failure: state.faults.last(),
        }
    }

    /// Makes a state say the same.
    ///
    /// What its own probes have found out counts more, so only a state that no probe has reached is
    /// told what the check said. `judged`: whether anybody follows ejections there; where nobody
    /// does, nobody would end one. A trial that is on its way is the other process's; so it is still
    /// to be made here.
    pub fn recall(&self, state: &State, judged: bool) {
        if state.checked() == Checked::Unknown {
            state.set_checked(self.checked);
        }
        state.set_share(100u8.saturating_sub(self.held_back).max(slow_start::LEAST));
        if !judged {
            return;
        }
        let standing = match self.standing {
            Standing::Trying => Standing::Returning,
            other => other,
        };
        let known = standing != Standing::In || self.times > 0;
        if known || state.standing() != Standing::In || state.sentence.read().0 > 0 {
            let left = Duration::from_millis(self.left);
            state.set_standing(standing);
            state.sentence.hand(standing, self.times.min(MOST_TIMES), left);
        }
        state.set_streak(self.streak);
        state.faults.set_ejections(self.ejections);
        state.faults.date(self.since);
        state.faults.blame(self.reason);
        state.faults.note(self.failure);
    }
}

#[cfg(test)]
mod tests;
