//! The newest members of every cluster, by the question that they answer.

use std::collections::HashMap;

use crate::config::{Live, Name};
use crate::discovery::Update;
use crate::endpoint::{Labels, Member, Members, Registry};

/// Members by cluster, and by the fingerprint of its source; see
/// `config::live::Cluster::fingerprint`. Mostly one for each cluster: its old questions are forgotten.
#[derive(Debug, Default)]
pub struct Book(HashMap<Name, Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    fingerprint: u64,
    members: Members,
    /// No config asked for it at the last sweep.
    idle: bool,
}

// === impl Book ===

impl Book {
    /// Enters an answer.
    pub fn enter(&mut self, update: Update) {
        self.put(update.cluster, update.fingerprint, update.members);
    }

    /// Enters the members of static clusters.
    pub fn enter_static(&mut self, live: &Live) {
        for (name, cluster) in &live.clusters {
            let Some(fixed) = &cluster.r#static else { continue };
            let members = fixed.endpoints.iter().map(|e| Member {
                address: e.address,
                weight: e.weight,
                registry: Registry::Passing,
                labels: Labels { meta: e.meta.clone(), ..Labels::default() }.into(),
            });
            self.put(name.clone(), cluster.fingerprint(), Members::new(members));
        }
    }

    /// The members of a cluster, if its source has answered.
    pub fn find(&self, cluster: &Name, fingerprint: u64) -> Option<&Members> {
        let entries = self.0.get(cluster)?;
        entries.iter().find(|entry| entry.fingerprint == fingerprint).map(|entry| &entry.members)
    }

    /// Forgets answers that nobody asked for at this sweep nor at the one before.
    ///
    /// Not at once: a source whose cluster is taken out and put back quickly may never notice, goes
    /// on, and has no reason to say again what it said.
    pub fn sweep(&mut self, asked: impl Fn(&Name, u64) -> bool) {
        self.0.retain(|name, entries| {
            entries.retain_mut(|entry| {
                let forgotten = std::mem::replace(&mut entry.idle, !asked(name, entry.fingerprint));
                !(forgotten && entry.idle)
            });
            !entries.is_empty()
        });
    }

    fn put(&mut self, cluster: Name, fingerprint: u64, members: Members) {
        let entries = self.0.entry(cluster).or_default();
        entries.retain(|entry| entry.fingerprint != fingerprint);
        entries.push(Entry { fingerprint, members, idle: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_forgotten_when_nobody_asked_twice_in_a_row() {
        let mut book = Book::default();
        let web: Name = "web".parse().unwrap();
        let update = |fingerprint| Update {
            cluster: web.clone(),
            fingerprint,
            members: Members::default(),
            cause: String::new(),
        };
        book.enter(update(1));
        book.enter(update(2));
        book.sweep(|_, fingerprint| fingerprint == 1);
        assert!(book.find(&web, 1).is_some() && book.find(&web, 2).is_some());
        book.sweep(|_, _| true);
        book.sweep(|_, fingerprint| fingerprint == 1);
        assert!(book.find(&web, 2).is_some(), "it was asked for in between");
        book.sweep(|_, fingerprint| fingerprint == 1);
        assert!(book.find(&web, 1).is_some() && book.find(&web, 2).is_none());
    }
}
