//! Weights: judged, written down, published, told. In this order, so that an answer means "serves,
//! and still will after a restart".

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use tracing::{info, warn};

use crate::config::Name;
use crate::control::desk::{Accepted, Entry, Reply, Wanted};
use crate::control::overlay;
use crate::control::weights::{Done, Refused, Request, Wish, find, judge, own};
use crate::control::writer::Writer;
use crate::snapshot::Serving;
use crate::split::{Standing, Weights};

/// Said with each change that only this process knows of.
pub(super) const FORGOTTEN: &str = "no `server.state_dir` is set, so this is gone after a restart";

/// So many routes are named in the cause of a snapshot; a folder may change thousands at once.
const NAMED: usize = 5;

impl Writer {
    /// Takes a wish for other weights.
    pub(super) fn weights(&mut self, request: Request, reply: Reply) {
        self.desk.waiting.push_back(Wanted::Weights(request, reply));
        self.next();
    }

    /// Enters what the fleet's source says now. It serves at once and is written down afterwards: it
    /// comes from where it is safe.
    pub(super) fn documents(&mut self, prefix: &str, said: BTreeMap<Name, Standing>) {
        let stored = self.ledger.stored();
        self.ledger.fleet(prefix, said);
        let Some(plan) = &self.serving else { return };
        self.ledger.judge(&plan.live);
        self.desk.stale |= self.desk.dir.is_some() && self.ledger.stored() != stored;
        let before = self.cell.load();
        let is_new = |old: &&Arc<Serving>| self.ledger.standing(&old.route) != old.standing;
        let changed: Vec<_> = before.splits.iter().filter(is_new).collect();
        if !changed.is_empty() {
            let who = |old: &&Arc<Serving>| {
                let said = self.ledger.standing(&old.route).amendment.unwrap_or_default();
                format!("{}{}", old.route, signed(&said.author, &said.why))
            };
            let who: Vec<_> = changed.iter().take(NAMED).map(who).collect();
            let more = changed.len() - who.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            self.publish(None, format!("consul_kv: {}{more}", who.join(", ")));
            let after = self.cell.load();
            // All at once, since a folder that is heard for the first time changes all of them.
            let new: HashMap<_, _> = after.splits.iter().map(|new| (&new.route, new)).collect();
            for old in changed {
                new.get(&old.route).into_iter().for_each(|new| tell(old, new));
            }
        }
        self.next();
    }

    /// Goes on after a write.
    pub(super) fn written(&mut self, change: Option<Entry>, outcome: io::Result<()>) {
        // What failed may have got there and only not been synced.
        self.desk.stale |= change.is_some() && outcome.is_err();
        match (change, outcome) {
            (Some(Entry::Weights(accepted)), Ok(())) => self.amend(accepted, Vec::new()),
            (Some(Entry::Drain { request, at, reply }), Ok(())) => {
                self.drain(request, at, reply, Vec::new());
            }
            (Some(Entry::Weights(Accepted { request, reply, .. })), Err(why)) => {
                let path = self.desk.dir.as_deref().map(overlay::path).unwrap_or_default();
                let refused = Refused::Unsaved { path, why: why.to_string() };
                warn!(route = %request.route, error = %refused, "weights refused");
                let _ = reply.send(Err(refused));
            }
            (Some(Entry::Drain { request, reply, .. }), Err(why)) => {
                self.drain_unsaved(&request, reply, &why);
            }
            (None, Err(why)) => {
                warn!(%why, "what is in force cannot be written to state_dir; a restart may not know it")
            }
            (None, Ok(())) => {}
        }
        self.next();
    }

    /// Begins with the next wish that is good, if none is under way.
    pub(super) fn next(&mut self) {
        while self.desk.idle()
            && let Some(wanted) = self.desk.waiting.pop_front()
        {
            match wanted {
                Wanted::Weights(request, reply) => self.next_weights(request, reply),
                Wanted::Drain(request, reply) => self.next_drain(request, reply),
            }
        }
        if self.desk.idle() && self.handover.owner.holds() && std::mem::take(&mut self.desk.stale) {
            self.desk.write(self.ledger.stored(), None);
        }
    }

    fn next_weights(&mut self, request: Request, reply: Reply) {
        let snapshot = self.cell.load();
        let good = own(&snapshot, &request.route).and_then(|()| judge(&snapshot, &request, unix_now()));
        match good {
            Err(refused) => drop(reply.send(Err(refused))),
            Ok(amendment) if self.desk.dir.is_none() => {
                self.amend(Accepted { request, amendment, reply }, vec![FORGOTTEN.to_owned()]);
            }
            Ok(amendment) => {
                let mut next = self.ledger.clone();
                next.set(request.route.clone(), amendment.clone());
                let entry = Entry::Weights(Accepted { request, amendment, reply });
                self.desk.write(next.stored(), Some(entry));
            }
        }
    }

    /// Publishes a change that is on disk.
    fn amend(&mut self, accepted: Accepted, warnings: Vec<String>) {
        let Accepted { request, amendment, reply } = accepted;
        let Request { route, wish, .. } = &request;
        let before = self.cell.load();
        // While it was written, a reload or the fleet may have taken its ground away.
        let still = own(&before, route).and_then(|()| find(&before, route.as_str())).and_then(|found| {
            let problems = amendment.problems(found.0, "weights");
            if problems.is_empty() { Ok(found) } else { Err(Refused::Invalid(problems)) }
        });
        let (split, old) = match still {
            Ok(found) => found,
            Err(refused) => {
                self.desk.stale = self.desk.dir.is_some();
                let _ = reply.send(Err(refused));
                return;
            }
        };
        let (weights, _) = Weights::amended(route, split, &amendment);
        let change = old.change(&old.variants, &weights);
        let reset = if *wish == Wish::Reset { "back to the file: " } else { "" };
        let cause = format!("split: {route}: {reset}{change}{}", signed(&amendment.author, &amendment.why));
        let epoch = amendment.epoch;
        self.ledger.set(route.clone(), amendment);
        self.publish(None, cause);
        let generation = self.cell.load().generation;
        let (author, why) = (&request.author, &request.why);
        info!(%route, change, epoch, generation, author, why, reset = *wish == Wish::Reset, "weights set");
        let _ = reply.send(Ok(Done { generation, epoch, warnings }));
    }
}

/// What a document changed, on the log.
fn tell(old: &Serving, new: &Serving) {
    let (route, epoch) = (&new.route, new.epoch());
    if let Some(problem) = new.problem.as_ref().filter(|_| old.problem != new.problem) {
        warn!(%route, problem, epoch, "a document of the fleet is not served as it is; these weights are");
    }
    if old.epoch() != epoch || old.weights != new.weights {
        let said = new.standing.amendment.clone().unwrap_or_default();
        let (change, author, why) = (old.change(&new.variants, &new.weights), &said.author, &said.why);
        info!(%route, change, epoch, author, why, origin = ?new.origin(), "weights set");
    }
}

/// ` (ann: why)`, as far as it is known.
fn signed(author: &str, why: &str) -> String {
    match (author, why) {
        ("", "") => String::new(),
        ("", said) | (said, "") => format!(" ({said})"),
        (author, why) => format!(" ({author}: {why})"),
    }
}

#[expect(clippy::disallowed_methods, reason = "the date of a change is told as the calendar has it")]
pub(super) fn unix_now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
