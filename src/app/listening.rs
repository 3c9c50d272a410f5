//! Services that take connections while their gate is open.
//!
//! Accepting goes by *terms*. A term is one of Pingora's listening services, made by a factory, with
//! duplicates of our sockets and a shutdown watch of our own. When the gate shuts, its accept loops
//! end and its connections are told to come to an end, as at a stop; the sockets stay. When the gate
//! opens again another term begins, with an application of its own, since one that was told to end
//! has closed for good. Pingora's own service can be started once and stopped once, together with the
//! process; a hand-over that fails needs more.
//!
//! When sockets are given up for good, those who wait in their queues are let in: [`last_call`].
//!
//! The bad side: one task more for each service, and one more box around each connection
//! ([`Shared`]).

mod last_call;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::IntoRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::listeners::{ListenerConfig, TcpSocketOptions};
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::protocols::{Stream, TcpKeepalive};
use pingora::server::{Fds, ListenFds, ShutdownWatch};
use pingora::services::listening::Service;
use pingora::services::{Service as Plain, ServiceReadyNotifier, ServiceWithDependents};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::error;

use self::last_call::Last;
use crate::upgrade::gate::{Gate, State};
use crate::upgrade::sockets::Sockets;

/// Before another try to listen, should it fail: no descriptor is left, or the port was taken
/// between our bind and now.
const RETRY: Duration = Duration::from_secs(1);

/// Whether the term is over in which a connection was accepted.
pub(super) type Leaving = Arc<AtomicBool>;

/// A service that takes connections while its gate is open.
pub(super) struct Listening<A> {
    name: &'static str,
    threads: Option<usize>,
    ends: Ends,
    endpoints: Vec<Endpoint>,
    gate: Gate,
    sockets: Sockets,
    make: Arc<dyn Fn(Leaving) -> A + Send + Sync>,
    opened: Box<dyn Fn() + Send + Sync>,
}

/// When a service closes its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// When the process begins to stop.
    AtStop,
    /// With the process.
    Never,
}

/// A socket of a service, and what is set on its connections.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    pub(super) buffers: L4BufferSettings,
    pub(super) keepalive: Option<TcpKeepalive>,
}

/// One time of accepting.
struct Term<A> {
    app: Arc<A>,
    leaving: Leaving,
    stop: watch::Sender<bool>,
    /// True: its accept loops have ended.
    ended: watch::Receiver<bool>,
}

/// An application that the term holds, too. Pingora wants one of its own.
struct Shared<A> {
    app: Arc<A>,
    ended: watch::Sender<bool>,
}

// === impl Listening ===

impl<A: ServerApp + Send + Sync + 'static> Listening<A> {
    /// `make` makes the application of a term; what it is given turns true when the term is over.
    pub(super) fn new(
        name: &'static str,
        endpoints: Vec<Endpoint>,
        (gate, sockets): (Gate, Sockets),
        make: impl Fn(Leaving) -> A + Send + Sync + 'static,
    ) -> Self {
        let (threads, ends, opened) = (None, Ends::AtStop, Box::new(|| ()));
        Self { name, threads, ends, endpoints, gate, sockets, make: Arc::new(make), opened }
    }

    /// On so many threads, instead of those of `server.threads`.
    pub(super) fn threads(self, threads: usize) -> Self {
        Self { threads: Some(threads), ..self }
    }

    pub(super) fn ends(self, ends: Ends) -> Self {
        Self { ends, ..self }
    }

    /// Calls this whenever it has begun to accept.
    pub(super) fn opened(self, opened: impl Fn() + Send + Sync + 'static) -> Self {
        Self { opened: Box::new(opened), ..self }
    }

    /// Terms, until the sockets are given up. The result: the last term, and, if that was said, the
    /// sockets that others accept on.
    async fn terms(
        &self,
        shutdown: &mut ShutdownWatch,
        loops: usize,
        ready: &mut Option<ServiceReadyNotifier>,
    ) -> (Option<Term<A>>, Option<Arc<[SocketAddr]>>) {
        let (mut gate, mut released) = (self.gate.subscribe(), self.sockets.released());
        let (mut last, mut term): (_, Option<Term<A>>) = (None, None);
        // What the next term will have.
        let mut next = None;
        loop {
            let stops = self.ends == Ends::AtStop && *shutdown.borrow_and_update();
            let kept = released.borrow_and_update().clone();
            if stops || kept.is_some() {
                return (term.or(last), kept);
            }
            let open = *gate.borrow_and_update();
            let mut failed = false;
            if open && term.is_none() {
                let made = match next.take() {
                    Some(made) => made,
                    None => self.made().await,
                };
                match self.begin(loops, made).await {
                    Ok(begun) => {
                        term = Some(begun);
                        // First, so that who waits for the gate finds it so.
                        (self.opened)();
                        self.gate.now(State::Accepting);
                        drop(ready.take());
                    }
                    Err(why) => {
                        error!(service = self.name, %why, "cannot listen; tries again in a second");
                        failed = true;
                    }
                }
            } else if !open && let Some(over) = term.take() {
                // While somebody still accepts, since it takes its time, and when the gate opens
                // again nobody does.
                next = Some(self.made().await);
                if *gate.borrow() {
                    term = Some(over);
                    continue;
                }
                over.end().await;
                self.gate.now(State::Paused);
                last = Some(over);
            }
            // A sender that is gone ends nothing: the process does.
            tokio::select! {
                Ok(()) = gate.changed() => {}
                Ok(()) = released.changed() => {}
                Ok(()) = shutdown.changed(), if self.ends == Ends::AtStop => {}
                () = sleep(RETRY), if failed => {}
                else => std::future::pending().await,
            }
        }
    }

    /// An application for a term. To make one is work for a thread that nobody waits for: OpenSSL
    /// reads the system's certificates, which takes a quarter of a second, or ten times that on a
    /// machine that is busy.
    async fn made(&self) -> (Leaving, Arc<A>) {
        let (make, leaving) = (self.make.clone(), Leaving::default());
        let told = leaving.clone();
        let made = tokio::task::spawn_blocking(move || Arc::new(make(told))).await;
        // An error: it panicked, and then does so here, as it should.
        let app = made.unwrap_or_else(|_| Arc::new((self.make)(leaving.clone())));
        (leaving, app)
    }

    /// Begins a term. When this returns, its accept loops are on the runtime.
    async fn begin(&self, loops: usize, (leaving, app): (Leaving, Arc<A>)) -> io::Result<Term<A>> {
        // All before any: a raw descriptor is closed by nobody.
        let duplicates = self.endpoints.iter().map(|endpoint| {
            let named = |why: io::Error| io::Error::new(why.kind(), format!("{}: {why}", endpoint.address));
            self.sockets.dup(endpoint.address).map_err(named)
        });
        let duplicates = duplicates.collect::<io::Result<Vec<_>>>()?;
        let (ending, ended) = watch::channel(false);
        let mut service = Service::new(self.name.to_owned(), Shared { app: app.clone(), ended: ending });
        let mut fds = Fds::new();
        for (endpoint, duplicate) in self.endpoints.iter().zip(duplicates) {
            fds.add(endpoint.address.to_string(), duplicate.into_raw_fd());
            service.add_listener(endpoint.config());
        }
        let fds: ListenFds = Arc::new(fds.into());
        let (stop, stopped) = watch::channel(false);
        let mut running: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(async move { Plain::start_service(&mut service, Some(fds), stopped, loops).await });
        // Before it spawns the loops, it waits only for locks that nobody holds: each of its sockets
        // is in the table. So the loops are there after one poll. (Without a budget, which that many
        // locks would use up.) Then it waits for them to end.
        let first = tokio::task::unconstrained(std::future::poll_fn(|cx| {
            std::task::Poll::Ready(running.as_mut().poll(cx))
        }));
        if first.await.is_pending() {
            tokio::spawn(running);
        }
        Ok(Term { app, leaving, stop, ended })
    }

    /// Gives the sockets up. The queues of those that others accept on are left to them.
    async fn close(&self, term: Option<Term<A>>, kept: Option<&[SocketAddr]>) {
        let mut left = Vec::new();
        for endpoint in &self.endpoints {
            let Some(socket) = self.sockets.take(endpoint.address) else { continue };
            if socket.lent || kept.is_some_and(|kept| kept.contains(&endpoint.address)) {
                continue;
            }
            // A stop amid a hand-over: it is not said who goes on.
            let alone = kept.is_some() || !socket.handed;
            left.push(Last { socket: socket.listener, alone, keepalive: endpoint.keepalive.clone() });
        }
        // Without a term they never listened.
        let Some(term) = term else { return };
        let over = term.stop.subscribe();
        tokio::join!(term.end(), last_call::serve(left, &term.app, &over));
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServiceWithDependents for Listening<A> {
    async fn start_service(
        &mut self,
        _fds: Option<ListenFds>,
        mut shutdown: ShutdownWatch,
        loops: usize,
        ready: ServiceReadyNotifier,
    ) {
        let mut ready = Some(ready);
        let (term, kept) = self.terms(&mut shutdown, loops, &mut ready).await;
        self.close(term, kept.as_deref()).await;
        self.gate.now(State::Closed);
        if ready.is_some() {
            // To drop it says that we are ready, and nobody should begin for that.
            std::future::pending::<()>().await;
        }
    }

    fn name(&self) -> &str {
        self.name
    }

    fn threads(&self) -> Option<usize> {
        self.threads
    }
}

// === impl Endpoint ===

impl Endpoint {
    fn config(&self) -> ListenerConfig {
        let mut options = TcpSocketOptions::default();
        options.tcp_keepalive = self.keepalive.clone();
        ListenerConfig::tcp(self.address.to_string()).tcp_socket_options(options).l4_buffer(self.buffers)
    }
}

// === impl Term ===

impl<A> Term<A> {
    /// Ends the accept loops, and tells the connections. Returns when no loop is left.
    async fn end(&self) {
        self.leaving.store(true, Relaxed);
        self.stop.send_replace(true);
        // An error: the service is gone, and its loops with it.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }
}

// === impl Shared ===

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for Shared<A> {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        self.app.process_new(stream, shutdown).await
    }

    /// Called when the accept loops have ended.
    async fn cleanup(&self) {
        self.ended.send_replace(true);
        self.app.cleanup().await;
    }
}

impl<A> std::fmt::Debug for Listening<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listening").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
