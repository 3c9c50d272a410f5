//! The fleet's weights: follows the documents in Consul's KV store, and writes them.
//!
//! Both ways lead through Consul. What an operator sets here serves here only once the watch has
//! brought it back, so "applied" means that it came from where every other node gets it; a node that
//! can write and not read says so instead of serving something of its own.

mod heard;
mod set;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::config::Name;
use crate::config::live::Live;
use crate::consul::from_environment;
use crate::control::Inbox;
use crate::control::ledger::Indexed;
use crate::discovery::consul::splits::{self, Document, Documents, Event, Setup};
use crate::discovery::{Stop, stopped};
use crate::split::Standing;

pub use self::heard::{Heard, Status};
pub use self::set::set;

/// The documents that were good before this start with their indexes, by route, and where they came
/// from.
pub type Known = Option<(String, Indexed)>;

/// The watch that runs.
struct Watching {
    setup: Setup,
    /// Without slashes at its ends.
    prefix: String,
    /// What it told last: the watch that takes its place has to doubt the same documents.
    last: BTreeMap<Name, Document>,
    events: mpsc::UnboundedReceiver<Event>,
    stop: watch::Sender<bool>,
    _task: JoinHandle<()>,
}

/// Follows the folder that the config names, until `stop`.
pub async fn follow(
    mut live: watch::Receiver<Arc<Live>>,
    mut known: Known,
    inbox: Inbox,
    heard: Heard,
    mut stop: Stop,
) {
    let mut watching: Option<Watching> = None;
    loop {
        let now = live.borrow_and_update().clone();
        reconcile(&now, &mut watching, &mut known, &heard);
        let mut wait = true;
        while wait {
            tokio::select! {
                changed = live.changed() => if changed.is_err() { return } else { wait = false },
                // Consul has just answered somebody here: no reason to pause any longer.
                () = heard.nudged() => if heard.failing() && let Some(watching) = &mut watching {
                    watching.restart();
                },
                event = next(&mut watching) => {
                    if let (Event::Documents(documents), Some(watching)) = (&event, &mut watching) {
                        watching.last.clone_from(&documents.all);
                    }
                    tell(event, &now, &inbox, &heard);
                }
                () = stopped(&mut stop) => return,
            }
        }
    }
}

/// Starts the watch that the config asks for, unless it runs.
fn reconcile(live: &Live, watching: &mut Option<Watching>, known: &mut Known, heard: &Heard) {
    let wanted = live.splits.consul_kv.as_ref();
    let wanted = wanted.map(|prefix| (prefix, Setup::new(&live.consul, prefix, &from_environment)));
    if watching.as_ref().map(|watching| &watching.setup) == wanted.as_ref().map(|(_, setup)| setup) {
        return;
    }
    let old = watching.take().map(|old| {
        old.stop.send_replace(true);
        (old.prefix, old.last)
    });
    // What the watch before it told, or else what is on disk.
    let mut before = old.or_else(|| known.take().map(|(prefix, all)| (prefix, documents(all))));
    heard.begin(wanted.as_ref().map(|(prefix, _)| prefix.as_str()));
    *watching = wanted.map(|(prefix, setup)| {
        let prefix = prefix.trim_matches('/').to_owned();
        let last = before.take().filter(|(from, _)| *from == prefix).map(|(_, all)| all).unwrap_or_default();
        Watching::start(setup, prefix, last)
    });
}

// === impl Watching ===

impl Watching {
    fn start(setup: Setup, prefix: String, last: BTreeMap<Name, Document>) -> Self {
        let (out, events) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(splits::watch(setup.clone(), last.clone(), out, stopped));
        Self { setup, prefix, last, events, stop, _task: task }
    }

    /// Asks anew, at once.
    fn restart(&mut self) {
        self.stop.send_replace(true);
        *self = Self::start(self.setup.clone(), self.prefix.clone(), self.last.clone());
    }
}

/// As a watch takes them.
fn documents(all: Indexed) -> BTreeMap<Name, Document> {
    let each = all.into_iter();
    each.map(|(route, (said, modify_index))| {
        (route, Document { modify_index, outcome: Ok(said), kept: None })
    })
    .collect()
}

async fn next(watching: &mut Option<Watching>) -> Event {
    match watching {
        // The watch ends only when it is told to.
        Some(watching) => match watching.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

fn tell(event: Event, live: &Live, inbox: &Inbox, heard: &Heard) {
    match event {
        Event::Documents(Documents { prefix, all, ignored }) => {
            info!(prefix, documents = all.len(), ignored, "the fleet's weights");
            heard.answered(Some(all.len()), ignored);
            let nothing = Standing::default();
            let said = all.into_iter().map(|(route, document)| (route, document.standing(&nothing)));
            inbox.documents(prefix, said.collect());
        }
        Event::Unchanged => heard.answered(None, 0),
        Event::Failed { kind, why } => {
            if heard.failed(kind, &why) {
                warn!(kind, why, "the fleet's weights are not heard, the last ones serve on");
            }
            if let Some(prefix) = &live.splits.consul_kv {
                inbox.no_documents(prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::Amendment;

    #[tokio::test]
    async fn another_watch_of_the_folder_doubts_the_same_documents() {
        let name: Name = "shop".parse().unwrap();
        let mut known = Some(("p".to_owned(), [(name.clone(), (Amendment::default(), 35))].into()));
        let (mut live, mut watching, heard) = (Live::default(), None, Heard::default());
        // Nobody listens there.
        live.consul.address = Some("127.0.0.1:1".into());
        live.splits.consul_kv = Some("p/".into());
        reconcile(&live, &mut watching, &mut known, &heard);
        live.consul.wait.0 *= 2;
        reconcile(&live, &mut watching, &mut known, &heard);
        assert_eq!(watching.as_ref().unwrap().last[&name].modify_index, 35);
        live.splits.consul_kv = Some("q".into());
        reconcile(&live, &mut watching, &mut known, &heard);
        assert!(watching.unwrap().last.is_empty());
    }
}
