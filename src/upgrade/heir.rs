//! The new process's side of a hand-over, step by step; `app` walks through it.
//!
//! The first two words are said before the config is read, by a runtime of their own: an elder should
//! hear soon that somebody is there, and what is built is built on what it knows. Then the channel
//! moves to the runtime of a service.
//!
//! # If the elder is gone
//!
//! Before it gave the sockets: we exit, as there may be nothing to serve on, and whoever restarts a
//! service that died starts it afresh. After: we have all that it had, and go on as if it had said
//! `settled`. One that only hangs is waited for as long as for any [`ANSWER`]; then we go on too, and
//! leave word in the channel, so that it drains should it wake, whoever is main by then.
//!
//! # If we are told to stop
//!
//! Before we are main the elder serves on, and is told at once: what we would still finish is not
//! worth that nobody accepts. Unless it is the elder that stops, and us with it: then the channel
//! closes within a [`MOMENT`], and we drain as ever.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use tokio::time::{sleep, timeout};

use crate::control::heritage::Heritage;
use crate::upgrade::channel::{Channel, ChannelError, Detached};
use crate::upgrade::message::{Asked, MAX_TOLD, Peer, Told};
use crate::upgrade::sockets::{Claim, Had};
use crate::upgrade::spawn::HEIR;
use crate::upgrade::{FREEZE, HELLO};

/// How long the elder may take for its part of a step: to freeze, and to say so.
const ANSWER: Duration = Duration::from_secs(2 * FREEZE.as_secs());

/// So soon an elder that stops, and has us stop, has closed the channel.
const MOMENT: Duration = Duration::from_millis(100);

/// A process that is welcome to take over.
#[derive(Debug)]
pub struct Heir {
    channel: Detached,
    /// The old process.
    pub elder: Peer,
    /// What it knew when it welcomed us.
    pub heritage: Heritage,
}

/// The same, in the runtime in which it takes over.
#[derive(Debug)]
pub struct TakingOver(Channel);

/// What the elder hands on at last.
#[derive(Debug)]
pub struct Handed {
    pub heritage: Heritage,
    pub sockets: Had,
}

/// How the elder let us go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It said so.
    Settled,
    /// It is gone.
    Gone,
    /// It hangs.
    Silent,
}

/// Why this process cannot take over.
#[derive(Debug, thiserror::Error)]
pub enum HeirError {
    #[error("{HEIR} is set, and stdin is no channel to a process to take over from; unset it")]
    NoChannel,
    #[error("stdin: {0}")]
    Stdin(io::Error),
    #[error(
        "nobody answers at {path}, `server.upgrade_socket` of the config: {why}; \
         start without --upgrade if none runs",
        path = .0.display(), why = .1
    )]
    Nobody(PathBuf, io::Error),
    #[error("the old process is of another user ({0}) than this one")]
    Stranger(u32),
    #[error("the old process refuses: {0}")]
    Refused(String),
    #[error("{0}")]
    Mismatch(String),
    #[error("the old process said nothing for {0} s")]
    Late(u64),
    #[error("the old process is not to be understood: {0}")]
    Channel(#[from] ChannelError),
    #[error("the old process sent `{0}` out of turn")]
    OutOfTurn(&'static str),
    #[error("the old process sent {0} sockets and named {1}")]
    Count(usize, usize),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The channel to the process that started this one to take over, if one did. Stdin is empty from
/// then on. To be called once, at the start.
///
/// # Errors
///
/// Somebody says that we are an heir, and nobody is there.
pub fn born() -> Result<Option<UnixStream>, HeirError> {
    if std::env::var_os(HEIR).is_none() {
        return Ok(None);
    }
    let stdin = io::stdin();
    // Also tells a socket from a terminal.
    trusted(&stdin)?;
    let channel = stdin.as_fd().try_clone_to_owned().map_err(HeirError::Stdin)?;
    let nothing = std::fs::File::open("/dev/null").map_err(HeirError::Stdin)?;
    rustix::stdio::dup2_stdin(nothing).map_err(|e| HeirError::Stdin(e.into()))?;
    Ok(Some(UnixStream::from(channel)))
}

/// Connects to a process that runs, to take over from it.
///
/// # Errors
///
/// There is none.
pub fn connect(socket: &Path) -> Result<UnixStream, HeirError> {
    let stream = UnixStream::connect(socket).map_err(|why| HeirError::Nobody(socket.into(), why))?;
    trusted(&stream)?;
    Ok(stream)
}

/// Who gives us the sockets gives us all that we believe.
fn trusted(stream: &impl AsFd) -> Result<(), HeirError> {
    let peer = socket_peercred(stream).map_err(|_| HeirError::NoChannel)?.uid;
    let own = rustix::process::geteuid();
    if peer == own || peer.is_root() { Ok(()) } else { Err(HeirError::Stranger(peer.as_raw())) }
}

// === impl Heir ===

impl Heir {
    /// Says hello, and waits for the welcome. Blocks.
    ///
    /// # Errors
    ///
    /// The elder does not want us, or is none.
    pub fn meet(stream: UnixStream) -> Result<Self, HeirError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut channel = Channel::new(stream, MAX_TOLD, true)?;
            channel.send(&Asked::Hello(Peer::ours())).await?;
            match heard(&mut channel, ANSWER).await? {
                Told::Welcome { protocol, version, pid, heritage } => {
                    let elder = Peer { protocol, version, pid };
                    if let Some(why) = elder.mismatch("the old process") {
                        return Err(HeirError::Mismatch(why));
                    }
                    Ok(Self { channel: channel.detach()?, elder, heritage: *heritage })
                }
                other => Err(HeirError::OutOfTurn(other.name())),
            }
        })
    }

    /// Goes on in the runtime of the caller.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn attach(self) -> io::Result<TakingOver> {
        Ok(TakingOver(self.channel.attach()?))
    }

    /// Tells the elder that nothing comes of it. Blocks, but not long.
    pub fn failed(self, why: String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            if let Ok(channel) = self.attach() {
                channel.failed(why).await;
            }
        });
    }
}

// === impl TakingOver ===

impl TakingOver {
    /// Says that we could serve, and waits for the sockets.
    ///
    /// # Errors
    ///
    /// The elder will not, or is gone.
    pub async fn ready(&mut self, claims: &[Claim]) -> Result<Handed, HeirError> {
        self.0.send(&Asked::Ready { claims: claims.to_vec() }).await?;
        match heard(&mut self.0, ANSWER).await? {
            Told::Sockets { heritage, held, lent } => {
                let came = self.0.take_descriptors();
                if came.len() != held.len() {
                    return Err(HeirError::Count(came.len(), held.len()));
                }
                Ok(Handed { heritage: *heritage, sockets: Had::from_elder(pairs(held, came), lent) })
            }
            other => Err(HeirError::OutOfTurn(other.name())),
        }
    }

    /// Says that we serve, and waits until we are main. `stop` ends when this process is told to.
    ///
    /// # Errors
    ///
    /// The elder does not let us. It serves on.
    pub async fn serving(&mut self, stop: impl Future<Output = ()>) -> Result<Word, HeirError> {
        match self.0.send(&Asked::Serving {}).await {
            Ok(()) => {}
            Err(ChannelError::Closed) => return Ok(Word::Gone),
            Err(error) => return Err(error.into()),
        }
        let stop = async {
            stop.await;
            sleep(MOMENT).await;
        };
        let (mut stop, mut late) = (pin!(stop), pin!(sleep(ANSWER)));
        let mut stopped = false;
        loop {
            tokio::select! {
                biased;
                answer = self.0.receive::<Told>() => return word(answer),
                () = &mut stop, if !stopped => {
                    stopped = true;
                    // It ends us, if it has not ended itself.
                    let _ = self.0.send(&Asked::Failed { why: "it was told to stop".into() }).await;
                }
                () = &mut late => {
                    let _ = self.0.send(&Asked::Main {}).await;
                    return Ok(Word::Silent);
                }
            }
        }
    }

    /// Waits until the elder has ended.
    pub async fn elder_ended(&mut self) {
        // Whatever it may still say.
        while self.0.receive::<serde_json::Value>().await.is_ok() {}
    }

    /// Tells the elder that nothing comes of it.
    pub async fn failed(mut self, why: String) {
        let _ = timeout(HELLO, self.0.send(&Asked::Failed { why })).await;
    }
}

fn word(answer: Result<Told, ChannelError>) -> Result<Word, HeirError> {
    match answer {
        Ok(Told::Settled {}) => Ok(Word::Settled),
        Ok(Told::Refused { why }) => Err(HeirError::Refused(why)),
        Ok(other) => Err(HeirError::OutOfTurn(other.name())),
        Err(ChannelError::Closed | ChannelError::Cut) => Ok(Word::Gone),
        Err(error) => Err(error.into()),
    }
}

fn pairs(addresses: Vec<SocketAddr>, sockets: Vec<OwnedFd>) -> Vec<(SocketAddr, TcpListener)> {
    addresses.into_iter().zip(sockets.into_iter().map(TcpListener::from)).collect()
}

async fn heard(channel: &mut Channel, patience: Duration) -> Result<Told, HeirError> {
    let message = timeout(patience, channel.receive::<Told>()).await;
    match message.map_err(|_| HeirError::Late(patience.as_secs()))?? {
        Told::Refused { why } => Err(HeirError::Refused(why)),
        message => Ok(message),
    }
}

#[cfg(test)]
mod tests;
