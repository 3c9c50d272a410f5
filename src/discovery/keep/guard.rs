//! The removal guard: which members that an answer no longer names stay for a while. Pure.
//!
//! A registry can be alive and wrong: an agent restarted empty, a token that lapsed, a server that
//! lags. All of these look like a normal answer that names fewer instances. What they never do is
//! invent instances. So what an answer adds or changes counts at once (weights, tags, critical,
//! maintenance: those are explicit words), and only removals are doubted:
//!
//! - of a degraded source: held until its next good answer;
//! - all of them at once: held for `empty_hold`;
//! - more than `max_removal_percent` of at least four, leaving fewer than before: held for
//!   `shrink_hold`. A rollout that replaces every instance one for one is not a shrink.
//!
//! A member that the answer still names, but as something else (it lost the tag, changed its kind),
//! is no removal to doubt: that is an explicit word too, and it goes at once, before the rest is
//! judged. So a deployment that moves its last instance from `blue` to `green` is not served as
//! blue for half a minute.
//!
//! A hold counts from the first answer without the member, so a change of reason does not add up.
//! It ends by an answer that names the member again, by its time while the source is heard, or by
//! an answer that gives no reason to hold. While the source cannot be heard at all, no hold ends.
//!
//! The bad side: the last instance of a service that is really gone gets requests for `empty_hold`;
//! the active check, outlier ejection and retries carry those. A service that is scaled to zero on
//! purpose sets `empty_hold: 0`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::config::live;
use crate::discovery::Quality;
use crate::endpoint::{Member, Members};

/// The figures of the guard. Defaults are those of the `consul` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// 0: not at all.
    pub empty_hold: Duration,
    pub shrink_hold: Duration,
    /// 100 and more: never.
    pub max_removal_percent: u8,
}

/// The members that are served, and which of them only by being held.
#[derive(Debug)]
pub struct Guard {
    rules: Rules,
    /// None until there is anything to serve, even an empty set.
    served: Option<Members>,
    /// What the source said last; `served` without the held, unless it came from disk.
    said: Members,
    held: BTreeMap<SocketAddr, Hold>,
}

/// A new set to serve, and how it differs from the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub members: Members,
    pub added: usize,
    pub removed: usize,
    /// Same address, other weight, status or labels.
    pub changed: usize,
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    since: Instant,
    /// None: until the next good answer.
    until: Option<Instant>,
}

/// What an answer's removals deserve.
#[derive(Clone, Copy)]
enum Verdict {
    Apply,
    HoldFor(Duration),
    HoldOn,
}

// === impl Rules ===

impl Default for Rules {
    fn default() -> Self {
        Self::from(&live::Consul::default())
    }
}

impl From<&live::Consul> for Rules {
    fn from(consul: &live::Consul) -> Self {
        Self {
            empty_hold: consul.empty_hold.0,
            shrink_hold: consul.shrink_hold.0,
            max_removal_percent: consul.max_removal_percent,
        }
    }
}

// === impl Guard ===

impl Guard {
    /// Knows nothing yet; the first answer is served whatever it says.
    pub fn new(rules: Rules) -> Self {
        Self { rules, served: None, said: Members::default(), held: BTreeMap::new() }
    }

    /// Starts with a set from an earlier life. The first answers are then judged against it.
    pub fn restore(&mut self, members: Members) {
        self.said = members.clone();
        self.served = Some(members);
    }

    /// Goes on from what another process served. `missed`: which of them were held, and since when;
    /// they wait for the next answer. None: that is served already.
    pub fn resume(
        &mut self,
        members: Members,
        missed: impl Iterator<Item = (SocketAddr, Instant)>,
    ) -> Option<Change> {
        let there = |address: &SocketAddr| members.binary_search_by_key(address, |m| m.address).is_ok();
        let held = missed.filter(|(address, _)| there(address));
        self.held = held.map(|(address, since)| (address, Hold { since, until: None })).collect();
        let said = members.iter().filter(|m| !self.held.contains_key(&m.address));
        self.said = Members::new(said.cloned());
        let old = self.served.replace(members.clone());
        let news = old.as_ref() != Some(&members);
        news.then(|| difference(&old.unwrap_or_default(), &members))
    }

    /// Which members are held, and for how long they have been missed.
    pub fn missed(&self, now: Instant) -> impl Iterator<Item = (SocketAddr, Duration)> {
        self.held.iter().map(move |(address, hold)| (*address, now.saturating_duration_since(hold.since)))
    }

    /// Other figures, for the answers to come. Holds that have begun keep their ends.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Takes a whole set. None: what is served stays as it is.
    pub fn answer(&mut self, said: Members, quality: Quality, now: Instant) -> Option<Change> {
        self.answer_except(said, &[], quality, now)
    }

    /// As [`Guard::answer`]; members at the addresses in `elsewhere`, which the answer names as
    /// something else, go at once.
    pub fn answer_except(
        &mut self,
        said: Members,
        elsewhere: &[SocketAddr],
        quality: Quality,
        now: Instant,
    ) -> Option<Change> {
        let Some(old) = self.served.clone() else {
            self.said = said;
            return self.serve();
        };
        let named: BTreeSet<_> = said.iter().map(|m| m.address).collect();
        let unnamed: Vec<_> = old.iter().map(|m| m.address).filter(|a| !named.contains(a)).collect();
        let elsewhere: BTreeSet<_> = elsewhere.iter().collect();
        let missing: Vec<_> = unnamed.iter().copied().filter(|a| !elsewhere.contains(a)).collect();
        let moved = unnamed.len() - missing.len();
        let verdict = self.judge(old.len() - moved, said.len(), missing.len(), quality);
        let before = std::mem::take(&mut self.held);
        for address in missing {
            let since = before.get(&address).map_or(now, |hold| hold.since);
            let until = match verdict {
                Verdict::Apply => continue,
                // A hold beyond the end of time is one without an end.
                Verdict::HoldFor(time) => since.checked_add(time),
                Verdict::HoldOn => None,
            };
            if until.is_none_or(|until| until > now) {
                self.held.insert(address, Hold { since, until });
            }
        }
        self.said = said;
        self.serve()
    }

    /// The source was heard and says what it said before.
    pub fn unchanged(&mut self, now: Instant) -> Option<Change> {
        let waiting = self.held.values().any(|hold| hold.until.is_none());
        if waiting { self.answer(self.said.clone(), Quality::Good, now) } else { None }
    }

    /// The source cannot be heard: holds wait for its next answer, since an absence was only
    /// doubted, never confirmed.
    pub fn lost(&mut self) {
        self.held.values_mut().for_each(|hold| hold.until = None);
    }

    /// Ends the holds whose time has come.
    pub fn tick(&mut self, now: Instant) -> Option<Change> {
        let before = self.held.len();
        self.held.retain(|_, hold| hold.until.is_none_or(|until| until > now));
        if self.held.len() == before { None } else { self.serve() }
    }

    /// When to call [`Guard::tick`] next.
    pub fn due(&self) -> Option<Instant> {
        self.held.values().filter_map(|hold| hold.until).min()
    }

    /// How many members are served only by being held.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// What is served. None: there was no answer yet.
    pub fn served(&self) -> Option<&Members> {
        self.served.as_ref()
    }

    fn judge(&self, old: usize, new: usize, missing: usize, quality: Quality) -> Verdict {
        let share = missing * 100 > usize::from(self.rules.max_removal_percent) * old;
        if quality == Quality::Degraded {
            Verdict::HoldOn
        } else if new == 0 {
            Verdict::HoldFor(self.rules.empty_hold)
        } else if share && old >= 4 && new < old {
            Verdict::HoldFor(self.rules.shrink_hold)
        } else {
            Verdict::Apply
        }
    }

    /// Serves what was said and what is held, if that differs from before. The first set always
    /// differs.
    fn serve(&mut self) -> Option<Change> {
        let old = self.served.take();
        let kept = old.iter().flat_map(|m| m.iter()).filter(|m| self.held.contains_key(&m.address));
        let members = Members::new(self.said.iter().chain(kept).cloned());
        let change = match &old {
            Some(old) if *old == members => None,
            _ => Some(difference(&old.unwrap_or_default(), &members)),
        };
        self.served = Some(members);
        change
    }
}

fn difference(old: &Members, new: &Members) -> Change {
    let before: BTreeMap<SocketAddr, &Member> = old.iter().map(|m| (m.address, m)).collect();
    let (mut added, mut changed) = (0, 0);
    for member in new.iter() {
        match before.get(&member.address) {
            None => added += 1,
            Some(old) if *old != member => changed += 1,
            Some(_) => {}
        }
    }
    let removed = old.len() + added - new.len();
    Change { members: new.clone(), added, removed, changed }
}

#[cfg(test)]
mod tests;
