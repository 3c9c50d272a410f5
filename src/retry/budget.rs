//! How many tries after the first a cluster takes.
//!
//! Retries help where one endpoint fails, and harm where all do: then each request would come several
//! times. So they are a share of the requests, in two ways, and a retry needs one of them:
//! - *Saved*: with 20 %, five requests that were let in pay for one retry. A cluster where all is well
//!   saves up for as many as it has requests on their way, at least 100. So when an endpoint dies, all
//!   that it takes with it are tried again at once, though they may be half of what is on its way.
//! - *At once*: retries on their way are no more than 20 % of the requests on their way, or a minimum.
//!
//! A retry is paid for as long as there is something saved, so the second way adds nothing to the
//! first: a cluster where everything fails sees at most 1.25 times as many requests as its clients
//! send, once the savings are gone. (A little more where it has fewer than 15 at once, for the sake of
//! the minimum.)
//!
//! Not counted is what multiplies nothing: the retry after a connection that could not be opened.
//!
//! The bad side: with few requests at once the minimum decides, and that bounds little.

use crate::config::live;

/// A limit that follows the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Of the requests on their way.
    pub percent: u8,
    /// But always so many.
    pub min: u32,
}

/// Who says how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// A share of the load: the route's own, or the default.
    Budget(Budget),
    /// A number of the cluster's circuit breaker.
    Fixed(u32),
}

// === impl Budget ===

impl Budget {
    /// How many tries after the first may be on their way beside `requests`.
    pub fn limit(self, requests: u32) -> u32 {
        let share = u64::from(requests) * u64::from(self.percent) / 100;
        u32::try_from(share).unwrap_or(u32::MAX).max(self.min)
    }
}

impl Budget {
    /// How many requests pay for a retry. None: nothing is saved.
    pub fn price(self) -> Option<u32> {
        (self.percent > 0).then(|| 100u32.div_ceil(self.percent.into()))
    }
}

impl From<&live::Budget> for Budget {
    fn from(config: &live::Budget) -> Self {
        Self { percent: config.percent, min: config.min }
    }
}

// === impl Limit ===

impl Limit {
    /// The rule: the route's budget if it has one, else the number of the cluster's breaker if it
    /// has one, else the default budget. Who wrote a limit gets that one, the nearer one first.
    pub fn choose(of_route: Option<Budget>, of_breaker: Option<u32>) -> Self {
        match (of_route, of_breaker) {
            (None, Some(most)) => Self::Fixed(most),
            (budget, _) => Self::Budget(budget.unwrap_or_else(|| Budget::from(&live::Budget::default()))),
        }
    }

    /// How many requests pay for a retry. None: nothing is saved; a fixed number is meant as it is.
    pub fn price(self) -> Option<u32> {
        match self {
            Self::Budget(budget) => budget.price(),
            Self::Fixed(_) => None,
        }
    }

    /// How many may be on their way beside `requests`.
    pub fn of(self, requests: u32) -> u32 {
        match self {
            Self::Budget(budget) => budget.limit(requests),
            Self::Fixed(most) => most,
        }
    }
}
