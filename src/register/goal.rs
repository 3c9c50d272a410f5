//! Which entries there are to care for: the one that the config wants, and those that it wanted
//! before.
//!
//! Pure bookkeeping. An entry is at a place, which is an agent and an ID; a new wish for the same place
//! changes the entry there, one for another place leaves the old entry to be removed once the new one
//! is in. Until then the old one is kept alive.

use std::time::Duration;

use crate::consul::agent::Service;
use crate::consul::{Agent, Client, Error, Settings};

/// An entry, and who is spoken to about it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) settings: Settings,
    pub(super) agent: Agent,
    pub(super) service: Service,
    /// None: the agent finds out by itself.
    pub(super) ttl: Option<Duration>,
    /// Something was sent that may have registered it.
    pub(super) sent: bool,
    /// The agent has it as it should be.
    pub(super) settled: bool,
}

/// All entries.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) goal: Option<Entry>,
    /// To be removed.
    pub(super) old: Vec<Entry>,
}

// === impl Entry ===

impl Entry {
    fn is_at(&self, other: &Self) -> bool {
        self.service.id == other.service.id && self.settings.address == other.settings.address
    }
}

// === impl Book ===

impl Book {
    /// An entry that is not in the book yet. Connections to an agent that is spoken to already are
    /// shared: reading the certificates of a new client takes its time, and an heir has little.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where the agent cannot be asked.
    pub(super) fn entry(
        &self,
        settings: Settings,
        service: Service,
        ttl: Option<Duration>,
    ) -> Result<Entry, Error> {
        let known = self.goal.iter().chain(&self.old).find(|entry| entry.settings == settings);
        let agent = match known {
            Some(entry) => entry.agent.clone(),
            None => Agent::new(Client::new(&settings)?),
        };
        Ok(Entry { settings, agent, service, ttl, sent: false, settled: false })
    }

    /// Takes another wish. False: it is the one that is there.
    pub(super) fn want(&mut self, mut wish: Option<Entry>) -> bool {
        let same = match (&self.goal, &wish) {
            (Some(a), Some(b)) => a.settings == b.settings && a.service == b.service,
            (a, b) => a.is_none() && b.is_none(),
        };
        if same {
            return false;
        }
        if let Some(before) = self.goal.take() {
            match &mut wish {
                Some(wish) if wish.is_at(&before) => wish.sent = before.sent,
                _ if before.sent => self.old.push(before),
                _ => {}
            }
        }
        if let Some(wish) = &mut wish {
            let count = self.old.len();
            self.old.retain(|old| !wish.is_at(old));
            wish.sent |= self.old.len() < count;
        }
        self.goal = wish;
        true
    }

    /// Takes what an elder left, before the first wish.
    pub(super) fn inherit(&mut self, left: Entry) {
        self.old.push(Entry { sent: true, ..left });
    }

    /// What may be at an agent.
    pub(super) fn registered(&self) -> Vec<Service> {
        self.sent().map(|entry| entry.service.clone()).collect()
    }

    /// The entries that may be at an agent.
    pub(super) fn sent(&self) -> impl Iterator<Item = &Entry> {
        self.goal.iter().filter(|goal| goal.sent).chain(&self.old)
    }

    /// Whether the old ones may go.
    pub(super) fn may_drop(&self) -> bool {
        !self.old.is_empty() && self.goal.as_ref().is_none_or(|goal| goal.settled)
    }
}
