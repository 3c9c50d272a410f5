//! One hand-over: waits for whatever comes next, lets the [machine](super::machine) decide, and does
//! it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{error, info};

use crate::control::heritage::Heritage;
use crate::upgrade::channel::{Channel, ChannelError};
use crate::upgrade::message::{Asked, Peer, Told};
use crate::upgrade::progress::{Progress, Report, Step};
use crate::upgrade::sockets::Claim;
use crate::upgrade::spawn::Process;

use super::machine::{Action, Event, Machine, State};
use super::{Ask, Elder, Ending, Estate, Offer};

/// How long an heir that closed the channel may take to be gone, so that its exit status is told.
const END: Duration = Duration::from_millis(500);

/// One hand-over on its way.
pub(super) struct HandOver<'a, E> {
    estate: &'a E,
    progress: &'a Progress,
    machine: Machine,
    process: Process,
    channel: Channel,
    version: Option<String>,
    begun: Instant,
    deadline: Instant,
    claims: Vec<Claim>,
    /// The last heritage, from the freeze on.
    last: Option<Box<Heritage>>,
    /// Who asks for another meanwhile.
    asks: &'a mut mpsc::Receiver<Ask>,
    ending: &'a mut watch::Receiver<Ending>,
}

// === impl HandOver ===

impl<'a, E: Estate> HandOver<'a, E> {
    pub(super) fn new(elder: &'a mut Elder<E>, process: Process, channel: Channel) -> Self {
        let now = Instant::now();
        let Elder { estate, progress, patience, asks, ending, .. } = elder;
        Self {
            machine: Machine::new(process.pid(), *patience),
            estate,
            progress,
            asks,
            ending,
            process,
            channel,
            version: None,
            begun: now,
            deadline: now + crate::upgrade::HELLO,
            claims: Vec::new(),
            last: None,
        }
    }

    /// Goes on until it is over. True: the heir is main.
    pub(super) async fn run(&mut self, first: Option<Event>) -> bool {
        let mut next = first;
        while !self.machine.over() {
            let event = match next.take() {
                Some(event) => event,
                None => self.wait().await,
            };
            let mut due: VecDeque<Action> = self.machine.step(event).into();
            while let Some(action) = due.pop_front() {
                if let Some(event) = self.act(action).await {
                    // Only what fails, or the one action that is waited for, says something. What
                    // was still to be done hangs on what failed.
                    due = self.machine.step(event).into();
                }
            }
        }
        self.machine.state == State::Settled
    }

    /// The process and the channel to it.
    pub(super) fn into_heir(self) -> (Process, Channel) {
        (self.process, self.channel)
    }

    /// What happens next. The channel first: its last word says more than the end of the process.
    async fn wait(&mut self) -> Event {
        loop {
            tokio::select! {
                biased;
                message = self.channel.receive::<Asked>() => return self.heard(message).await,
                how = self.process.ended() => return Event::Ended(how),
                now = stop(self.ending) => return Event::Stop { now },
                Some(ask) = self.asks.recv() => {
                    ask.refuse("an upgrade is under way").await;
                }
                () = sleep_until(self.deadline) => return Event::Late,
            }
        }
    }

    async fn heard(&mut self, message: Result<Asked, ChannelError>) -> Event {
        match message {
            Ok(message) => Event::Said(message),
            Err(error @ (ChannelError::Closed | ChannelError::Cut)) => {
                match timeout(END, self.process.ended()).await {
                    Ok(how) => Event::Ended(how),
                    Err(_) => Event::Broken(error.to_string()),
                }
            }
            Err(error) => Event::Broken(error.to_string()),
        }
    }

    /// Does it. What comes of it, where that is an event.
    async fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Await(span) => self.deadline = Instant::now() + span,
            Action::Welcome(peer) => return self.welcome(peer).await,
            Action::Freeze => return Some(self.freeze().await),
            Action::Hand(claims) => return self.hand(claims).await,
            Action::Shut => {
                self.estate.shut();
                self.report(Step::Serving);
            }
            Action::Main => return self.estate.main(self.process.pid()).err().map(Event::Broken),
            Action::Settle => {
                return self.send(&Told::Settled {}).await.or(Some(Event::Sent));
            }
            Action::Release => {
                self.estate.release(&self.claims);
                self.report(Step::Settled);
            }
            Action::Refuse(why) => self.refuse(why).await,
            Action::Kill => self.process.kill().await,
            Action::Terminate => self.process.terminate(),
            Action::OwnMain => {
                // If it cannot be told, it has most likely never heard otherwise.
                let _ = self.estate.main(std::process::id());
            }
            Action::Open => self.estate.open(),
            Action::Thaw => {
                self.estate.unshare();
                self.estate.thaw();
            }
            Action::Fail(why) => self.fail(why),
        }
        None
    }

    async fn welcome(&mut self, peer: Peer) -> Option<Event> {
        self.version = Some(peer.version);
        self.report(Step::Hello);
        let heritage = match self.estate.bequeath(false).await {
            Ok(heritage) => Box::new(heritage),
            Err(why) => return Some(Event::Broken(why)),
        };
        let Peer { protocol, version, pid } = Peer::ours();
        self.send(&Told::Welcome { protocol, version, pid, heritage }).await
    }

    /// Whatever else happens meanwhile is not left waiting.
    async fn freeze(&mut self) -> Event {
        self.report(Step::Ready);
        let estate = self.estate;
        tokio::select! {
            biased;
            event = self.wait() => event,
            frozen = estate.bequeath(true) => match frozen {
                Ok(heritage) => {
                    self.last = Some(Box::new(heritage));
                    Event::Frozen
                }
                Err(why) => Event::Broken(why),
            }
        }
    }

    async fn hand(&mut self, claims: Vec<Claim>) -> Option<Event> {
        let Offer { held, lent } = self.estate.sockets(&claims);
        self.claims = claims;
        let (addresses, descriptors): (Vec<_>, Vec<_>) = held.into_iter().unzip();
        let heritage = self.last.take().unwrap_or_default();
        if let Err(error) = self.channel.send_descriptors(&descriptors).await {
            return Some(self.broke(error).await);
        }
        let failed = self.send(&Told::Sockets { heritage, held: addresses, lent }).await;
        if failed.is_none() {
            self.report(Step::Sockets);
        }
        failed
    }

    /// Sends a message. What came of it, if it could not be sent.
    async fn send(&mut self, message: &Told) -> Option<Event> {
        match self.channel.send(message).await {
            Ok(()) => None,
            Err(error) => Some(self.broke(error).await),
        }
    }

    /// Its last word, if it had one, or how it ended, says more than that it took no byte.
    async fn broke(&mut self, error: ChannelError) -> Event {
        match timeout(END, self.channel.receive::<Asked>()).await {
            Ok(Ok(message @ Asked::Failed { .. })) => Event::Said(message),
            _ => self.heard(Err(error)).await,
        }
    }

    /// Lets it say on its own log why, and go.
    async fn refuse(&mut self, why: String) {
        let refused = Told::Refused { why };
        let said = timeout(END, self.channel.send(&refused)).await;
        if matches!(said, Ok(Ok(()))) {
            let _ = timeout(END, self.process.ended()).await;
        }
    }

    fn fail(&self, why: String) {
        let (heir, ms) = (self.process.pid(), self.ms());
        error!(heir, version = self.version, ms, why, "the upgrade failed; this process serves on");
        self.estate.failed();
        self.progress.tell(Report::failed(why).of(heir, self.version.as_deref()));
    }

    pub(super) fn report(&self, step: Step) {
        let (heir, version, ms) = (self.process.pid(), self.version.as_deref(), self.ms());
        let what = match step {
            Step::Spawned if self.process.ours() => "upgrade: a new process is started",
            Step::Spawned => "upgrade: a process that was started by hand wants to take over",
            Step::Hello => "upgrade: it is there; it is told what is known",
            Step::Ready => "upgrade: it could serve; operators' changes wait",
            Step::Sockets => "upgrade: it has the sockets",
            Step::Serving => "upgrade: it serves; no new connections here",
            Step::Settled => "upgrade: it is the main process; this one drains",
            Step::Draining | Step::Drained | Step::Failed => "upgrade",
        };
        info!(heir, version, ms, "{what}");
        self.progress.tell(Report::new(step).of(heir, version));
    }

    fn ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Waits until this process is told to stop. Whether at once.
async fn stop(ending: &mut watch::Receiver<Ending>) -> bool {
    let told = ending.wait_for(|ending| *ending != Ending::No).await.map(|ending| *ending);
    match told {
        Ok(ending) => ending == Ending::Now,
        Err(_) => std::future::pending().await,
    }
}
