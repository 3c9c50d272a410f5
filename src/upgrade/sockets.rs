//! The listening sockets of the process, by the address that the config gives them.
//!
//! We bind them ourselves, once, and keep them while the process lives; who accepts gets a duplicate.
//! Pingora would bind them late, try a taken port for half a minute and then panic in a thread. It
//! could also not tell us when to stop accepting, nor keep a socket for a while without doing so.
//!
//! A socket that we bind does not listen until somebody first accepts on it ([`Sockets::dup`]): a
//! client that comes before there is something to serve is refused, as if we were not there, and
//! not left waiting. Until then it stands without `SO_REUSEADDR`, since of two sockets that have it
//! and don't listen, the kernel lets both have the port. With it they are bound and listen, so that
//! connections in TIME_WAIT are in nobody's way.
//!
//! `[::]:80` means IPv6 and IPv4, as long as the system's `net.ipv6.bindv6only` is 0, which is what
//! it is; as with Rust's own listeners and most servers.
//!
//! Sockets may also come from systemd ([`activation`](super::activation)) or from the process that
//! we take over from: [`Had`]. Those listen already. What is set on them is set for all who hold
//! them: a socket is one thing, whichever process has a descriptor of it.
//!
//! The bad side: a process that binds and then takes long for its first snapshot holds the port from
//! another that could serve. The other says so and ends, which is what one wants of two of them.

mod backlog;
mod claim;
mod last;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::sync::watch;
use tracing::warn;

pub use self::claim::{BindError, Claim, Refused};
use self::last::handshakes_again;
pub use self::last::no_more_handshakes;

/// The longest queue of connections that nobody has accepted yet, as Pingora's. The kernel takes
/// `net.core.somaxconn` if that is less.
const BACKLOG: i32 = 65_535;

/// Every listening TCP socket of the process; clones are the same set.
#[derive(Clone, Debug)]
pub struct Sockets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    claims: Vec<Claim>,
    #[expect(clippy::disallowed_types, reason = "for starts and ends; no request comes near it")]
    held: std::sync::Mutex<Vec<Held>>,
    /// Once they are to be given up: the addresses that another process serves on.
    released: watch::Sender<Option<Arc<[SocketAddr]>>>,
}

#[derive(Debug)]
struct Held {
    /// As claimed.
    address: SocketAddr,
    socket: Socket,
    /// As bound: differs where the claim had port 0, or systemd bound something else.
    local: SocketAddr,
    inode: Option<u64>,
    lent: bool,
    /// Another process may accept on it too: who got it of us, or whom we have it from.
    handed: bool,
}

/// Sockets that need not be bound, each with the address that the config gives it.
#[derive(Debug, Default)]
pub struct Had {
    sockets: Vec<(SocketAddr, TcpListener)>,
    lent: Vec<SocketAddr>,
    beside: bool,
}

/// A socket that is given up.
#[derive(Debug)]
pub struct Left {
    pub listener: TcpListener,
    /// systemd holds it too, and starts us again for who waits in its queue.
    pub lent: bool,
    /// Another process may hold it too: it was handed on, by us or to us, and not [taken
    /// back](Sockets::taken_back).
    pub handed: bool,
}

// === impl Had ===

impl Had {
    /// Sockets that systemd holds as well, and goes on holding when we have ended.
    pub fn from_systemd(sockets: Vec<(SocketAddr, TcpListener)>) -> Self {
        Self { lent: sockets.iter().map(|(address, _)| *address).collect(), sockets, beside: false }
    }

    /// Sockets of a process that serves beside us, and still holds some that we do not want.
    /// `lent`: as [`Sockets::lent`] says there.
    pub fn from_elder(sockets: Vec<(SocketAddr, TcpListener)>, lent: Vec<SocketAddr>) -> Self {
        Self { sockets, lent, beside: true }
    }
}

// === impl Sockets ===

impl Sockets {
    /// Binds every claim, or takes it of those that are had. The rest of `had` is closed.
    ///
    /// # Errors
    ///
    /// Every claim that can't be bound; then nothing is held.
    pub fn bind(claims: &[Claim], had: Had) -> Result<Self, BindError> {
        let sockets = Self::unbound(claims);
        sockets.fill(had)?;
        Ok(sockets)
    }

    /// A set that will have these sockets once it is [filled](Self::fill).
    pub fn unbound(claims: &[Claim]) -> Self {
        let (claims, held) = (claims.to_vec(), Vec::new().into());
        Self(Arc::new(Inner { claims, held, released: watch::Sender::new(None) }))
    }

    /// As [`bind`](Self::bind), for a set that others know already.
    ///
    /// # Errors
    ///
    /// Every claim that can't be bound; then the set stays empty.
    pub fn fill(&self, mut had: Had) -> Result<(), BindError> {
        let (mut held, mut refused): (Vec<Held>, _) = (Vec::new(), Vec::new());
        for claim in &self.0.claims {
            let address = claim.address;
            let twice = held.iter().any(|h| h.address == address);
            let found = had.sockets.iter().position(|(of, _)| *of == address);
            let lent = had.lent.contains(&address);
            let socket = match found {
                _ if twice => Err(io::Error::new(io::ErrorKind::AddrInUse, "another listener has it")),
                Some(index) => Ok(had.sockets.swap_remove(index).1.into()),
                None => bound(address, had.beside),
            };
            match socket.and_then(|socket| Held::new(address, socket, lent && found.is_some())) {
                // An elder's is the elder's until it is settled who goes on.
                Ok(socket) => held.push(Held { handed: had.beside && found.is_some(), ..socket }),
                Err(why) => refused.push(Refused::new(claim.clone(), why)),
            }
        }
        if !refused.is_empty() {
            return Err(BindError(refused));
        }
        *self.held() = held;
        Ok(())
    }

    /// What is claimed.
    pub fn claims(&self) -> &[Claim] {
        &self.0.claims
    }

    /// A duplicate of each, to hand on, with the address that the config gives it. From now on they
    /// are not ours alone.
    pub fn all(&self) -> Vec<(SocketAddr, OwnedFd)> {
        let dup = |held: &mut Held| {
            held.handed = true;
            Some((held.address, held.socket.as_fd().try_clone_to_owned().ok()?))
        };
        self.held().iter_mut().filter_map(dup).collect()
    }

    /// They are ours alone again: who got them from [`all`](Self::all) is gone, or who gave them
    /// to us has let them go. Should that process have begun to close them, that is undone.
    pub fn taken_back(&self) {
        for held in self.held().iter_mut() {
            held.handed = false;
            handshakes_again(&held.socket);
        }
    }

    /// Those of which systemd has a descriptor, to hand on with [`all`](Self::all).
    pub fn lent(&self) -> Vec<SocketAddr> {
        self.held().iter().filter(|held| held.lent).map(|held| held.address).collect()
    }

    /// Where the socket of a claim is really bound.
    pub fn local(&self, claimed: SocketAddr) -> Option<SocketAddr> {
        self.held().iter().find(|held| held.address == claimed).map(|held| held.local)
    }

    /// Lets another process of the same user bind addresses that overlap with these, until
    /// [`unshare`](Self::unshare): the ones that it does not claim, while it begins to serve.
    pub fn share(&self, unclaimed: &[SocketAddr]) {
        for held in self.held().iter().filter(|held| unclaimed.contains(&held.address)) {
            held.reuse_port(true);
        }
    }

    /// Ends [`share`](Self::share). (The kernel remembers for some addresses that they were shared:
    /// who asks for `SO_REUSEPORT` may still bind them, if it is of our user. A start does not ask.)
    pub fn unshare(&self) {
        for held in self.held().iter() {
            held.reuse_port(false);
        }
    }

    /// A duplicate to accept on. From the first one on, the socket listens.
    ///
    /// # Errors
    ///
    /// There is no such socket, or no descriptor is left; or a process that came between our bind
    /// and this took the port.
    pub fn dup(&self, claimed: SocketAddr) -> io::Result<TcpListener> {
        let all = self.held();
        let held = all.iter().find(|held| held.address == claimed).ok_or(io::ErrorKind::NotFound)?;
        if !held.socket.is_listener()? {
            held.socket.set_reuse_address(true)?;
            held.socket.listen(BACKLOG)?;
            // It was bound beside an elder's, if at all, and that is over.
            held.reuse_port(false);
        }
        Ok(held.socket.try_clone()?.into())
    }

    /// All are to be closed. `kept`: those that another process goes on accepting on. Connections
    /// that wait in the queues of the others are served first, by whoever accepted on them.
    pub fn release(&self, kept: &[SocketAddr]) {
        self.0.released.send_replace(Some(kept.into()));
    }

    /// What [`release`](Self::release) said, once it has.
    pub fn released(&self) -> watch::Receiver<Option<Arc<[SocketAddr]>>> {
        self.0.released.subscribe()
    }

    /// Takes a socket out of the set.
    pub fn take(&self, claimed: SocketAddr) -> Option<Left> {
        let mut held = self.held();
        let index = held.iter().position(|held| held.address == claimed)?;
        let Held { socket, lent, handed, .. } = held.swap_remove(index);
        Some(Left { listener: socket.into(), lent, handed })
    }

    /// How many connections wait to be accepted, for each socket that listens, as the kernel counts.
    /// Not there: a socket that belongs to another network namespace than we do.
    pub fn waiting(&self) -> Vec<(SocketAddr, usize)> {
        let queues = backlog::queues();
        let held = self.held();
        let of = |held: &Held| {
            let (_, waiting) = queues.iter().find(|(inode, _)| Some(*inode) == held.inode)?;
            Some((held.address, *waiting))
        };
        held.iter().filter_map(of).collect()
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Vec<Held>> {
        // Nothing that is done under it can panic half way.
        self.0.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

// === impl Held ===

impl Held {
    fn new(address: SocketAddr, socket: Socket, lent: bool) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let no_address = || io::Error::new(io::ErrorKind::InvalidInput, "it has no IP address");
        let local = socket.local_addr()?.as_socket().ok_or_else(no_address)?;
        let inode = backlog::inode(&socket);
        Ok(Self { address, socket, local, inode, lent, handed: false })
    }

    fn reuse_port(&self, on: bool) {
        if let Err(error) = self.socket.set_reuse_port(on) {
            warn!(address = %self.address, %error, "SO_REUSEPORT cannot be set");
        }
    }
}

/// A new socket that has its address and does not listen. `beside`: an elder may hold a socket that
/// overlaps, which it [shares](Sockets::share).
fn bound(address: SocketAddr, beside: bool) -> io::Result<Socket> {
    match bound_to(address, false) {
        // Only then, so that nobody else is sat beside by accident.
        Err(why) if beside && why.kind() == io::ErrorKind::AddrInUse => bound_to(address, true),
        done => done,
    }
}

fn bound_to(address: SocketAddr, beside: bool) -> io::Result<Socket> {
    // CLOEXEC comes with it.
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if beside {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.set_reuse_address(false)?;
    Ok(socket)
}

/// Whether a socket is one that connections can be accepted on.
pub(crate) fn listens(socket: &impl AsFd) -> bool {
    SockRef::from(socket).is_listener().unwrap_or(false)
}

#[cfg(test)]
mod tests;
