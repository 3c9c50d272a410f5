//! Drains: judged, written down, applied, told, in this order, as weights are.
//!
//! They are marks on states, which all snapshots share, so a drain needs no new snapshot: the next
//! pick sees it. Each snapshot is marked before it serves, so no restart and no return of an
//! endpoint gives it a request that it was not to get.

use std::io;

use tracing::{info, warn};

use crate::control::desk::{DrainReply, Entry};
use crate::control::drains::{Request, enter, judge};
use crate::control::overlay;
use crate::control::writer::Writer;
use crate::control::writer::weights::{FORGOTTEN, unix_now};
use crate::control::{Applied, DrainError};
use crate::snapshot::Snapshot;

impl Writer {
    /// Makes the states of a snapshot's endpoints say what was drained.
    pub(super) fn mark(&self, snapshot: &Snapshot) {
        for cluster in snapshot.clusters.iter() {
            let drained = self.ledger.drains.get(&cluster.name);
            for endpoint in cluster.endpoints.iter() {
                let on = drained.is_some_and(|drained| drained.word(endpoint.member.address).is_some());
                // Read first: a write of what is there already would take the line from all cores.
                if endpoint.state.draining() != on {
                    endpoint.state.drain(on);
                }
            }
        }
    }

    /// Begins with a wish, if it is good.
    pub(super) fn next_drain(&mut self, request: Request, reply: DrainReply) {
        if let Err(refused) = judge(&self.cell.load(), &self.ledger.drains, &request) {
            let _ = reply.send(Err(refused));
            return;
        }
        let at = unix_now();
        let mut next = self.ledger.clone();
        enter(&mut next.drains, &request, at);
        if next.drains == self.ledger.drains {
            let _ = reply.send(Ok(self.drained(Vec::new())));
        } else if self.desk.dir.is_none() {
            self.drain(request, at, reply, vec![FORGOTTEN.to_owned()]);
        } else {
            self.desk.write(next.stored(), Some(Entry::Drain { request, at, reply }));
        }
    }

    /// Applies one that is on disk.
    pub(super) fn drain(&mut self, request: Request, at: u64, reply: DrainReply, warnings: Vec<String>) {
        enter(&mut self.ledger.drains, &request, at);
        self.drains.post(self.ledger.drains.clone());
        self.mark(&self.cell.load());
        let Request { cluster, address, on, author, why } = request;
        let what = address.map_or_else(|| "all endpoints".into(), |address| address.to_string());
        info!(%cluster, endpoint = what, author, why, "{}", if on { "drained" } else { "undrained" });
        let _ = reply.send(Ok(self.drained(warnings)));
    }

    /// Refuses one that can't be kept.
    pub(super) fn drain_unsaved(&self, request: &Request, reply: DrainReply, why: &io::Error) {
        let path = self.desk.dir.as_deref().map(overlay::path).unwrap_or_default();
        let refused = DrainError::Unsaved { path, why: why.to_string() };
        warn!(cluster = %request.cluster, error = %refused, "drain refused");
        let _ = reply.send(Err(refused));
    }

    fn drained(&self, warnings: Vec<String>) -> Applied {
        Applied { generation: self.cell.load().generation, needs_upgrade: Vec::new(), warnings }
    }
}
