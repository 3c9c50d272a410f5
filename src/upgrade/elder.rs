//! The old process's side of a hand-over.
//!
//! What is decided is in [`machine`]; here it is carried out, one hand-over at a time. Whoever asks
//! for another meanwhile is refused. What the process is made of is behind [`Estate`], so that the
//! order and the times are tested without one.
//!
//! A step that must write (the state to disk) is waited for beside the channel: an heir that dies
//! then is seen at once, and SIGTERM too.

mod hand_over;
mod machine;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};

use crate::control::heritage::Heritage;
use crate::upgrade::channel::Channel;
use crate::upgrade::message::{Asked, MAX_ASKED, Peer, Told};
use crate::upgrade::progress::{Progress, Report, Step};
use crate::upgrade::sockets::Claim;
use crate::upgrade::spawn::{ENDED_WELL, GONE, Process, Program};

use self::hand_over::HandOver;
use self::machine::Event;

/// What an elder does to its own process.
#[async_trait]
pub trait Estate: Send + Sync {
    /// What is known and handed on. `last`: operators' changes are refused from then on, and all is
    /// on disk.
    async fn bequeath(&self, last: bool) -> Result<Heritage, String>;
    /// Takes changes again.
    fn thaw(&self);
    /// Descriptors of all listening sockets; those that `claims` does not name can be bound beside.
    fn sockets(&self, claims: &[Claim]) -> Offer;
    /// Nobody can bind beside any more.
    fn unshare(&self);
    /// Takes no new connections, and lets those that are open drain.
    fn shut(&self);
    /// Takes connections again, and keeps them.
    fn open(&self);
    /// Tells the service manager which process is main.
    ///
    /// # Errors
    ///
    /// It is there and was not told. It would take the end of this process for the end of the service.
    fn main(&self, pid: u32) -> Result<(), String>;
    /// Another process is main, and accepts on these: lets all sockets go, and drains.
    fn release(&self, claims: &[Claim]);
    /// Counts a hand-over that failed.
    fn failed(&self);
}

/// The sockets that are handed on.
#[derive(Debug, Default)]
pub struct Offer {
    pub held: Vec<(SocketAddr, OwnedFd)>,
    /// Those of which systemd has a descriptor too.
    pub lent: Vec<SocketAddr>,
}

/// Who asks for a hand-over.
#[derive(Debug)]
pub enum Ask {
    /// Start a process, for this reason. The answer: it is started, or why not.
    Spawn { by: &'static str, reply: oneshot::Sender<Result<(), String>> },
    /// A process that was started by hand and said hello.
    Heir { process: Process, channel: Box<Channel>, hello: Peer },
}

/// Whether this process ends, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    #[default]
    No,
    /// It drains.
    Drain,
    /// At once.
    Now,
    /// Another process serves, and this one drains.
    Upgraded,
}

/// The task that hands over.
pub struct Elder<E> {
    pub estate: E,
    /// What is started, or why nothing can be.
    pub program: Result<Program, String>,
    pub progress: Progress,
    /// How long an heir may take to be ready.
    pub patience: Duration,
    pub asks: mpsc::Receiver<Ask>,
    pub ending: watch::Receiver<Ending>,
}

// === impl Elder ===

impl<E> std::fmt::Debug for Elder<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elder").field("program", &self.program).finish_non_exhaustive()
    }
}

impl<E: Estate> Elder<E> {
    /// Hands over when asked, until one succeeds; then says so to whoever asks, until the process
    /// ends.
    pub async fn run(mut self) {
        let heir = loop {
            let Some(ask) = self.asks.recv().await else { return };
            if let Some(heir) = self.asked(ask).await {
                break heir;
            }
        };
        // The channel closes when this process ends, and that is how the heir knows.
        let (mut heir, _channel) = heir;
        let pid = heir.pid();
        let watch = async {
            let how = heir.ended().await;
            // In good order it ends when it was stopped, or has handed over itself. Of a process that
            // is no child of this one it is not known.
            if how == ENDED_WELL || how == GONE {
                info!(pid, how, "the process that took over has ended");
            } else {
                error!(pid, how, "the process that took over ended; nobody listens");
            }
        };
        let refuse = async {
            while let Some(ask) = self.asks.recv().await {
                ask.refuse(&format!("process {pid} has taken over from this one, which drains")).await;
            }
        };
        tokio::join!(watch, refuse);
    }

    /// One hand-over. The heir, if it is main now.
    async fn asked(&mut self, ask: Ask) -> Option<(Process, Channel)> {
        if *self.ending.borrow() != Ending::No {
            ask.refuse("this process is stopping").await;
            return None;
        }
        let (process, channel, hello) = match ask {
            Ask::Heir { process, channel, hello } => (process, *channel, Some(hello)),
            Ask::Spawn { by, reply } => {
                info!(by, "an upgrade is asked for");
                match self.spawn() {
                    Ok((process, channel)) => {
                        let _ = reply.send(Ok(()));
                        (process, channel, None)
                    }
                    Err(why) => {
                        error!(why, "the upgrade failed; this process serves on");
                        self.estate.failed();
                        self.progress.tell(Report::failed(why.clone()));
                        let _ = reply.send(Err(why));
                        return None;
                    }
                }
            }
        };
        let first = hello.map(|peer| Event::Said(Asked::Hello(peer)));
        let pid = process.pid();
        let mut hand_over = HandOver::new(self, process, channel);
        hand_over.report(Step::Spawned);
        let settled = hand_over.run(first).await;
        info!(heir = pid, settled, "the hand-over is over");
        settled.then(|| hand_over.into_heir())
    }

    fn spawn(&self) -> Result<(Process, Channel), String> {
        let program = self.program.as_ref().map_err(Clone::clone)?;
        let started = program
            .start()
            .and_then(|(process, stream)| Ok((process, Channel::new(stream, MAX_ASKED, false)?)));
        started.map_err(|e| format!("cannot start {}: {e}", program.path().display()))
    }
}

// === impl Ask ===

impl Ask {
    /// Says no.
    async fn refuse(self, why: &str) {
        warn!(why, "an upgrade is asked for and not begun");
        match self {
            Self::Spawn { reply, .. } => {
                let _ = reply.send(Err(why.to_owned()));
            }
            Self::Heir { mut channel, .. } => {
                let _ = channel.send(&Told::Refused { why: why.to_owned() }).await;
            }
        }
    }
}
