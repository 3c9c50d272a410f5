//! The documents as far as they are known, and which of them must be looked up before Consul's list
//! is believed. Pure.
//!
//! A list is believed where it shows a document at least as new as ours. Where it lacks one, or
//! shows an older one (a server that lags), the leader's word about that key counts: there it is, or
//! 404. A 404 says more than it seems: its index is that of the whole store, so in the history in
//! which our document was written it is never below the document's own. If it is, this is another
//! store (restarted empty, or restored from before), which says nothing about our document: it is
//! kept until it appears again, however long that takes.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::Name;
use crate::consul::kv::{Entry, Prefix, Reading};
use crate::consul::{Error, Pause};
use crate::discovery::consul::splits::{Document, Documents, document};

/// The most keys that are remembered as logged.
const MAX_LOGGED: usize = 1000;

/// What is known.
#[derive(Debug)]
pub(super) struct Picture {
    prefix: Prefix,
    all: BTreeMap<Name, Document>,
    /// To be looked up.
    doubted: BTreeSet<Name>,
    /// Those that the store lost, or never had.
    lost: BTreeSet<Name>,
    ignored: usize,
    logged: BTreeSet<String>,
}

// === impl Picture ===

impl Picture {
    /// With what was good before.
    pub(super) fn new(prefix: Prefix, known: BTreeMap<Name, Document>) -> Self {
        let none = BTreeSet::new;
        Self { prefix, all: known, doubted: none(), lost: none(), ignored: 0, logged: BTreeSet::new() }
    }

    /// Takes a whole list.
    pub(super) fn list(&mut self, entries: Vec<Entry>) {
        self.ignored = 0;
        let mut missing: BTreeSet<Name> = self.all.keys().cloned().collect();
        for entry in entries {
            let Ok(name) = entry.name.parse::<Name>() else {
                self.ignore(entry.name);
                continue;
            };
            missing.remove(&name);
            let newer = self.all.get(&name).filter(|known| known.modify_index > entry.modify_index);
            if newer.is_some() && !self.lost.contains(&name) {
                self.doubted.insert(name);
            } else {
                self.take(name, &entry);
            }
        }
        self.doubted.extend(missing.into_iter().filter(|name| !self.lost.contains(name)));
    }

    /// The documents to look up.
    pub(super) fn doubted(&self) -> Vec<Name> {
        self.doubted.iter().cloned().collect()
    }

    /// Takes the leader's word about one key. True: it changes the picture.
    pub(super) fn read(&mut self, name: &Name, reading: Result<Reading, &Error>) -> bool {
        let before = self.all.get(name).cloned();
        match reading {
            Ok(Reading { entry: Some(entry), .. }) => self.take(name.clone(), &entry),
            Ok(Reading { index, entry: None }) => self.absent(name, index),
            Err(error) => self.keep(name, reason(error)),
        }
        self.all.get(name) != before.as_ref()
    }

    /// Whether nothing is known at all.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// To be told.
    pub(super) fn documents(&self) -> Documents {
        let prefix = self.prefix.as_str().to_owned();
        Documents { prefix, all: self.all.clone(), ignored: self.ignored }
    }

    fn take(&mut self, name: Name, entry: &Entry) {
        self.doubted.remove(&name);
        self.lost.remove(&name);
        let outcome = document::parse(&self.prefix.key(name.as_str()), &entry.value);
        let document = Document { modify_index: entry.modify_index, outcome, kept: None };
        self.all.insert(name, document);
    }

    fn absent(&mut self, name: &Name, index: u64) {
        self.doubted.remove(name);
        let Some(known) = self.all.get(name) else { return };
        if index >= known.modify_index {
            self.all.remove(name);
            return;
        }
        let why = format!(
            "Consul's store is another than the document was in (it is at index {index}, the document was \
             written at {}); its weights are kept until it is written again",
            known.modify_index
        );
        self.lost.insert(name.clone());
        self.keep(name, why);
    }

    fn keep(&mut self, name: &Name, why: String) {
        if let Some(known) = self.all.get_mut(name) {
            if known.kept.as_ref() != Some(&why) {
                log::warn!("consul: `{}`: {why}", self.prefix.key(name.as_str()));
            }
            known.kept = Some(why);
        }
    }

    fn ignore(&mut self, name: String) {
        // The folder itself, as Consul's own pages make it.
        if name.is_empty() {
            return;
        }
        self.ignored += 1;
        if self.logged.len() < MAX_LOGGED && !self.logged.contains(&name) {
            log::warn!("consul: `{}` is ignored: no route can have that name", self.prefix.key(&name));
            self.logged.insert(name);
        }
    }
}

/// Why a document is kept that could not be looked up.
fn reason(error: &Error) -> String {
    let hint = match error.pause() {
        Pause::AtLeast(_) if error.kind() == "forbidden" => "; the token needs `key_prefix` read",
        _ => "",
    };
    format!("Consul does not show the document any more and cannot say whether it is deleted: {error}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, index: u64) -> Entry {
        let value = format!(r#"{{"weights": {{"a": {index}}}, "epoch": {index}}}"#).into_bytes();
        Entry { name: name.into(), value, modify_index: index }
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn picture(entries: Vec<Entry>) -> Picture {
        let mut picture = Picture::new(Prefix::parse("p").unwrap(), BTreeMap::new());
        picture.list(entries);
        picture
    }

    fn absent(index: u64) -> Result<Reading, &'static Error> {
        Ok(Reading { index, entry: None })
    }

    #[test]
    fn keys_that_are_no_names_hurt_nobody() {
        let mut picture = picture(vec![entry("", 1), entry("x/y", 2), entry("shop", 3), entry("ä", 4)]);
        let documents = picture.documents();
        assert_eq!((documents.all.len(), documents.ignored), (1, 2));
        assert_eq!((picture.doubted(), picture.logged.len()), (vec![], 2));
        picture.list(vec![entry("shop", 3)]);
        assert_eq!(picture.documents().ignored, 0);
    }

    #[test]
    fn what_vanished_is_gone_once_the_leader_says_so() {
        let mut picture = picture(vec![entry("a", 5), entry("b", 6)]);
        picture.list(vec![entry("b", 6)]);
        assert_eq!(picture.doubted(), [name("a")]);
        assert_eq!(picture.documents().all.len(), 2, "not yet");
        assert!(picture.read(&name("a"), absent(7)));
        assert_eq!(picture.documents().all.into_keys().collect::<Vec<_>>(), [name("b")]);
        assert!(picture.doubted().is_empty());
    }

    #[test]
    fn what_cannot_be_looked_up_is_kept_and_looked_up_again() {
        let mut picture = picture(vec![entry("a", 5)]);
        picture.list(vec![]);
        let denied = Error::status(403, "Permission denied", None);
        assert!(picture.read(&name("a"), Err(&denied)));
        assert!(!picture.read(&name("a"), Err(&denied)), "told once");
        let document = &picture.documents().all[&name("a")];
        assert!(document.outcome.is_ok());
        assert!(document.kept.as_ref().unwrap().contains("Permission denied; the token needs"));
        assert_eq!(picture.doubted(), [name("a")]);
        picture.list(vec![entry("a", 5)]);
        assert_eq!((picture.doubted(), picture.documents().all[&name("a")].kept.clone()), (vec![], None));
    }

    #[test]
    fn a_store_that_never_had_it_says_nothing() {
        let mut picture = picture(vec![entry("a", 50)]);
        picture.list(vec![]);
        assert!(picture.read(&name("a"), absent(1)));
        assert!(picture.documents().all[&name("a")].kept.is_some());
        // Nor later, when that store has grown.
        picture.list(vec![]);
        assert_eq!(picture.doubted(), []);
        // Until it is written again, at an index of that store.
        picture.list(vec![entry("a", 9)]);
        let document = picture.documents().all[&name("a")].clone();
        assert_eq!((document.modify_index, document.kept), (9, None));
        picture.list(vec![]);
        picture.read(&name("a"), absent(10));
        assert!(picture.is_empty());
    }

    #[test]
    fn an_older_one_is_not_believed_of_a_list_but_of_the_leader() {
        let mut picture = picture(vec![entry("a", 7)]);
        picture.list(vec![entry("a", 5)]);
        assert_eq!(picture.documents().all[&name("a")].modify_index, 7);
        assert!(picture.read(&name("a"), Ok(Reading { index: 5, entry: Some(entry("a", 5)) })));
        assert_eq!(picture.documents().all[&name("a")].modify_index, 5);
        assert!(picture.doubted().is_empty());
    }
}
