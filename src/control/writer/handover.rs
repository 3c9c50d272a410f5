//! The writer's part in a hand-over: it tells what is known, changes nothing while another process
//! takes over, and takes up what another one has told.
//!
//! Both processes refuse operators' changes from the elder's last heritage until it is settled which
//! of them goes on, as a change that only one of them knows would be lost with it. A reload is
//! refused to whoever waits for it, and made up for afterwards where nobody does (SIGHUP, a file that
//! changed). Members and the fleet's documents serve on in both. The bad side: for about a second
//! nobody can drain.

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::info;

use crate::config::Name;
use crate::control::change::Rejected;
use crate::control::heritage::{Heritage, ROOM};
use crate::control::reading;
use crate::control::weights::Refused;
use crate::control::writer::Writer;
use crate::control::{Applied, Change, DrainError};
use crate::discovery::keep::estate::{Estate, Line};
use crate::state_file::Owner;

/// What a writer knows of hand-overs.
#[derive(Debug)]
pub(super) struct Handover {
    /// Of the files in `state_dir`.
    pub(super) owner: Owner,
    pub(super) owned: watch::Receiver<bool>,
    /// To the keeper of members. None: nobody keeps any.
    line: Option<Line>,
    /// What another process has left for it.
    estate: Estate,
    /// The generation that another process has reached.
    pub(super) floor: u64,
    /// Configs that were loaded, those of the process before too.
    pub(super) configs: u64,
    /// How many the other process had loaded when it last told.
    elder_configs: u64,
    /// Who waits for the last heritage.
    leaving: Vec<oneshot::Sender<Heritage>>,
    /// A reload that is to be made up for.
    missed: Option<&'static str>,
    /// Whether the fleet's documents were heard here.
    pub(super) fleet_heard: bool,
    pub(super) errands: JoinSet<Errand>,
}

/// What was waited for beside the loop.
#[derive(Debug)]
pub(super) enum Errand {
    /// A heritage was told.
    Told,
    /// The keeper has what another process has left.
    Adopted { reread: bool, reply: reading::Reply },
}

// === impl Handover ===

impl Handover {
    /// `heritage`: what this process starts on.
    pub(super) fn new(owner: Owner, heritage: Heritage) -> Self {
        let (floor, configs) = (heritage.floor(), heritage.configs);
        Self {
            owned: owner.changes(),
            owner,
            line: None,
            estate: heritage.members,
            floor,
            configs,
            elder_configs: configs,
            leaving: Vec::new(),
            missed: None,
            fleet_heard: false,
            errands: JoinSet::new(),
        }
    }

    /// Whether nothing may be changed.
    fn frozen(&self) -> bool {
        !self.leaving.is_empty() || !self.owner.holds()
    }
}

// === impl Writer ===

impl Writer {
    /// Who owns the files in `state_dir`.
    pub fn owner(&self) -> Owner {
        self.handover.owner.clone()
    }

    /// Makes the keeper of members known, and leaves to it what another process has. To be called
    /// before the keeper runs.
    pub fn keeper(&mut self, line: Line) {
        let estate = std::mem::take(&mut self.handover.estate);
        if !estate.is_empty() {
            line.begin_with(estate);
        }
        self.handover.line = Some(line);
    }

    /// Refuses what may not be now. None: refused.
    pub(super) fn admit(&mut self, change: Change) -> Option<Change> {
        if !self.handover.frozen() {
            return Some(change);
        }
        match change {
            Change::Reload { reply: Some(reply), .. } => {
                let _ = reply.send(Err(Rejected::handing_over()));
            }
            Change::Reload { cause, reply: None } => self.handover.missed = Some(cause),
            Change::Drain { reply, .. } => drop(reply.send(Err(DrainError::HandingOver))),
            Change::Weights { reply, .. } => drop(reply.send(Err(Refused::HandingOver))),
            other => return Some(other),
        }
        None
    }

    /// Tells what is known, now or when the disk has it.
    pub(super) fn bequeath(&mut self, last: bool, reply: oneshot::Sender<Heritage>) {
        if last {
            self.handover.leaving.push(reply);
            self.settle();
        } else {
            self.tell(0, vec![reply]);
        }
    }

    /// Gives the files up, if that was asked and all that was asked before is on disk.
    pub(super) fn settle(&mut self) {
        // Those whose hand-over is off want nothing any more.
        self.handover.leaving.retain(|reply| !reply.is_closed());
        if self.handover.leaving.is_empty() {
            return;
        }
        self.next();
        if self.desk.idle() && self.desk.waiting.is_empty() {
            self.handover.owner.leave();
            self.handover.owned.mark_unchanged();
            let replies = std::mem::take(&mut self.handover.leaving);
            self.tell(ROOM, replies);
        }
    }

    /// Goes on: nobody has taken over.
    pub(super) fn thaw(&mut self) {
        self.handover.leaving.clear();
        if self.handover.owner.holds() { self.make_up() } else { self.handover.owner.take() }
    }

    /// The files are this process's now.
    pub(super) fn owned(&mut self) {
        if self.handover.owner.holds() {
            self.desk.stale = self.desk.dir.is_some();
            self.next();
            self.make_up();
        }
    }

    fn make_up(&mut self) {
        if let Some(cause) = self.handover.missed.take() {
            self.reader.ask(cause, None);
        }
    }

    fn tell(&mut self, room: u64, replies: Vec<oneshot::Sender<Heritage>>) {
        let coming = u64::from(self.pending.is_some() || self.reader.busy());
        let mut heritage = Heritage {
            generation: self.cell.load().generation.saturating_add(room),
            configs: self.handover.configs + coming,
            overlay: Some(self.ledger.stored()),
            members: Estate::new(),
            clusters: self.roster.remember(),
            // Whoever registers says it.
            registered: Vec::new(),
            // And whoever hands over.
            elders: Vec::new(),
        };
        let line = self.handover.line.clone();
        self.handover.errands.spawn(async move {
            if let Some(line) = line {
                heritage.members = line.bequeath().await;
            }
            for reply in replies {
                let _ = reply.send(heritage.clone());
            }
            Errand::Told
        });
    }

    /// Takes up what another process knew in the end.
    pub(super) fn inherit(&mut self, heritage: Heritage, reply: reading::Reply) {
        let floor = heritage.floor();
        self.handover.floor = self.handover.floor.max(floor);
        let reread = heritage.configs != self.handover.elder_configs;
        self.handover.elder_configs = heritage.configs;
        let plan = self.serving.as_ref().or_else(|| self.pending.as_ref().map(|pending| &pending.plan));
        if let Some(stored) = heritage.overlay {
            self.ledger.inherit(stored, self.handover.fleet_heard);
            plan.into_iter().for_each(|plan| self.ledger.judge(&plan.live));
            self.drains.post(self.ledger.drains.clone());
        }
        if let Some(plan) = plan {
            let judged = |name: &Name| plan.judges(name);
            self.roster.recall(&heritage.clusters, judged, Instant::now().into_std());
        }
        let (line, estate) = (self.handover.line.clone(), heritage.members);
        self.handover.errands.spawn(async move {
            if let Some(line) = line {
                line.inherit(estate).await;
            }
            Errand::Adopted { reread, reply }
        });
    }

    /// Serves what another process knew. All that the keeper has sent on is entered.
    pub(super) fn done(&mut self, errand: Errand) {
        let Errand::Adopted { reread, reply } = errand else { return };
        self.publish(None, "hand-over".into());
        if reread {
            info!("the process before has loaded another config meanwhile; it is read");
            self.reader.ask("hand-over", Some(reply));
        } else if let (None, Some(pending)) = (&self.serving, &mut self.pending) {
            pending.replies.push(reply);
        } else {
            let generation = self.cell.load().generation;
            let _ = reply.send(Ok(Applied { generation, needs_upgrade: Vec::new(), warnings: Vec::new() }));
        }
    }
}

#[cfg(test)]
mod tests;
