//! The entry of this proxy itself in Consul.
//!
//! The config is the truth, and the agent is held to it: a heartbeat every third of the TTL finds an
//! agent that has forgotten (a `-dev` one that was restarted, data that was wiped, somebody who
//! deregistered by hand) within seconds, and a comparison every half minute finds what somebody else
//! has changed. Both are put back. Who wants this proxy out of Consul's answers uses maintenance mode,
//! which is never touched here and outlasts upgrades, or takes the section out of the config.
//!
//! An upgrade is no event in Consul. The ID, and all else that watchers see, is the same in each
//! process of a config; nothing of a process (its ID, its version, when it started) is in it, since
//! each change would wake every watcher. An identical registration can still wake them (1.8.7 writes
//! the check's output anew), so an heir compares first, and only goes on with the heartbeat if what
//! its elder left is right. That leaves the question whose entry it is when a process ends. A mark in
//! the entry cannot answer it, for it would have to change; so it is settled between the two: the
//! elder is told [`Register::keep`] when the heir is `settled`, and from then on never speaks of it
//! again; the heir does nothing before [`Register::start`]. Beyond that, a process only removes an
//! entry that shows its own name, address and port.
//!
//! A stop: critical at once, [`HEARD`] later removed, while the listeners are still open; so clients
//! that watch leave before the first connection is refused. A process that dies says nothing: its TTL
//! runs out, and Consul removes it after `deregister_critical_service_after`.
//!
//! The bad sides. With `check: http` the agent finds out by itself how the proxy does, so a stop has no
//! critical moment, and the admin API must answer through an upgrade. Two proxies of one name on one
//! machine that listen on the same port of different addresses need an `id` each; without, they take
//! the entry from each other, and say so. And a process that is killed between `settled` and its first
//! heartbeat leaves an entry that is good for one TTL more.

mod board;
mod decide;
mod entry;
mod goal;
mod leave;
mod task;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::config::Boot;
use crate::consul::agent::Service;
use crate::control::ready::Ready;
use crate::discovery::{Stop, stopped};

pub use self::board::{State, Status};
pub use self::entry::{entry, warnings};
pub use self::task::Task;

use self::board::Board;

/// How long a stop lets watchers hear that this instance is critical, before it is gone: some treat
/// a set that loses its members as an outage, and one that says "critical" as a word.
pub const HEARD: Duration = Duration::from_millis(100);

/// The longest that a stop should wait for Consul.
pub const LEAVE: Duration = Duration::from_secs(1);

/// Between two looks at whether traffic may come.
const AGAIN: Duration = Duration::from_millis(20);

/// Tells the registration what becomes of the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Register {
    orders: Arc<watch::Sender<Order>>,
    left: watch::Receiver<bool>,
    board: Board,
}

/// What the task is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Order {
    phase: Phase,
    /// What an elder left at the agent.
    inherited: Vec<Service>,
}

/// What the process is doing, as far as Consul is to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// It does not serve yet, or its elder still does. Nothing is said.
    #[default]
    Waiting,
    Serving,
    /// About to stop: critical.
    Draining,
    /// Stopping: removed.
    Leaving,
    /// It was never registered, or another process has taken over. Nothing is said any more.
    Silent,
}

// === impl Register ===

impl Register {
    /// The handle, and the task that does the work: to be run by whoever has the config's changes.
    pub fn new(boot: Boot) -> (Self, Task) {
        let (orders, told) = watch::channel(Order::default());
        let (done, left) = watch::channel(false);
        let board = Board::default();
        let task = Task::new(boot, told, done, board.clone());
        (Self { orders: Arc::new(orders), left, board }, task)
    }

    /// The process serves: registers it. Of an heir: after `settled`, with what the elder's
    /// [`Register::registered`] was, so that what this config does not name any more goes.
    pub fn start(&self, inherited: Vec<Service>) {
        self.orders.send_if_modified(|order| {
            let started = order.follow(Phase::Serving);
            if started {
                order.inherited = inherited;
            }
            started
        });
    }

    /// As [`Register::start`] once traffic may come, for a process that has no elder.
    pub async fn start_when(self, ready: Arc<Ready>, mut stop: Stop) {
        while ready.check().is_err() {
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = sleep(AGAIN) => {}
            }
        }
        self.start(Vec::new());
    }

    /// The process is about to stop: critical, from now on. Returns at once.
    pub fn drain(&self) {
        self.orders.send_if_modified(|order| order.follow(Phase::Draining));
    }

    /// The process stops: returns when it is out of Consul, or after `limit`, or when the agent is
    /// not there. What could not be done goes on being tried while the process lives.
    pub async fn leave(&self, limit: Duration) {
        self.orders.send_if_modified(|order| order.follow(Phase::Leaving));
        if self.orders.borrow().phase == Phase::Leaving {
            let mut left = self.left.clone();
            let _ = timeout(limit, left.wait_for(|left| *left)).await;
        }
    }

    /// Another process has taken over: what is registered is its own from now on.
    pub fn keep(&self) {
        self.orders.send_if_modified(|order| order.follow(Phase::Silent));
    }

    /// What this process has at the agent, for an heir.
    pub fn registered(&self) -> Vec<Service> {
        self.board.registered()
    }

    /// For the admin API and metrics. None: the config registers nothing.
    pub fn status(&self) -> Option<Status> {
        self.board.status()
    }
}

// === impl Order ===

impl Order {
    /// Whether a word changes anything.
    fn follow(&mut self, word: Phase) -> bool {
        let next = self.phase.after(word);
        std::mem::replace(&mut self.phase, next) != next
    }
}

// === impl Phase ===

impl Phase {
    /// The phase after a word. There is no way back: who has begun to leave does not serve again, and
    /// who was told to be silent stays so.
    fn after(self, word: Self) -> Self {
        match (self, word) {
            (Self::Waiting, Self::Serving) => Self::Serving,
            // It never spoke, so it takes nothing back: the entry may be an elder's.
            (Self::Waiting, Self::Draining | Self::Leaving) => Self::Silent,
            (Self::Serving, Self::Draining | Self::Leaving) | (Self::Draining, Self::Leaving) => word,
            (_, Self::Silent) => Self::Silent,
            (phase, _) => phase,
        }
    }
}
