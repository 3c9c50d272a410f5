//! The resolvers of one cluster, asked in order until one answers.
//!
//! "Answers" means NOERROR or NXDOMAIN: these are final. SERVFAIL, REFUSED (Consul's word for names
//! outside its domain) and silence go on to the next one. A resolver that was silent is asked last
//! for ten seconds, so that a dead first one costs its time-outs once and not at every question.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{Name, RecordType};

use super::habit::{Habit, Plan};
use super::reply::{Failure, Reply};
use super::system::{self, System};
use super::wire;

/// Something that answers questions: resolvers, or a script in a test.
pub(super) trait Ask: Send + Sync {
    fn ask(&self, name: &Name, kind: RecordType) -> impl Future<Output = Result<Reply, Failure>> + Send;
}

/// See the module.
#[derive(Debug)]
pub(super) struct Resolvers {
    /// Empty: the system's.
    named: Vec<SocketAddr>,
    habits: Habits,
    system: tokio::sync::Mutex<Option<(Instant, Arc<System>)>>,
}

/// A lock that is never held over an await, and off the request path.
#[expect(clippy::disallowed_types, reason = "taken by the task of one DNS cluster, never by a request")]
#[derive(Debug, Default)]
struct Habits(std::sync::Mutex<HashMap<SocketAddr, Habit>>);

/// Over what the last try was.
#[derive(Clone, Copy)]
enum Note {
    Tcp,
    Udp { tried_tcp: bool },
}

// === impl Resolvers ===

impl Resolvers {
    /// `named` in order; none: the system's.
    pub(super) fn new(named: Vec<SocketAddr>) -> Self {
        Self { named, habits: Habits::default(), system: tokio::sync::Mutex::default() }
    }

    async fn system(&self) -> Result<Arc<System>, Failure> {
        let mut kept = self.system.lock().await;
        let now = now();
        match &*kept {
            Some((read, system)) if now.saturating_duration_since(*read) < system::FRESH => {
                Ok(Arc::clone(system))
            }
            _ => {
                let system = Arc::new(System::read().await?);
                *kept = Some((now, Arc::clone(&system)));
                Ok(system)
            }
        }
    }

    /// The first answer; if there is none, the last failure.
    async fn first(&self, servers: &[SocketAddr], name: &Name, kind: RecordType) -> Result<Reply, Failure> {
        let mut failure = Failure::new("system", "there is no resolver to ask");
        for server in self.habits.in_order(servers, now()) {
            let asked = self.exchange(server, &wire::query(name, kind)).await;
            match asked.and_then(|message| Reply::read(&message, name, kind)) {
                Ok(reply) => return Ok(reply),
                Err(Failure { kind, why }) => failure = Failure { kind, why: format!("{name}: {why}") },
            }
        }
        Err(failure)
    }

    async fn exchange(&self, server: SocketAddr, query: &Message) -> Result<Message, Failure> {
        let plan = self.habits.plan(server, now());
        let (answer, note) = match plan {
            Plan::Tcp | Plan::TcpThenUdp => match wire::over_tcp(server, query).await {
                // Truncated even so: UDP holds less.
                Err(failure) if plan == Plan::TcpThenUdp && failure.kind != "truncated" => {
                    (whole(server, wire::over_udp(server, query).await), Note::Udp { tried_tcp: true })
                }
                answer => (answer, Note::Tcp),
            },
            Plan::UdpThenTcp => match wire::over_udp(server, query).await {
                Ok(reply) if reply.metadata.truncation => (wire::over_tcp(server, query).await, Note::Tcp),
                answer => (answer, Note::Udp { tried_tcp: false }),
            },
        };
        self.habits.note(server, answer.is_ok(), note, now());
        answer
    }
}

impl Ask for Resolvers {
    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Reply, Failure> {
        if !self.named.is_empty() {
            return self.first(&self.named, name, kind).await;
        }
        let system = self.system().await?;
        if let Some(reply) = system.hosts(name, kind) {
            return Ok(reply);
        }
        // A failure ends the search: to go on would take one name for another while its resolver is
        // down.
        let mut negative = Reply::default();
        for candidate in system.candidates(name) {
            let reply = self.first(&system.servers, &candidate, kind).await?;
            if !reply.records.is_empty() || reply.next.is_some() {
                return Ok(reply);
            }
            negative = reply;
        }
        Ok(negative)
    }
}

/// Over UDP, with TCP closed, a truncated reply cannot be completed.
fn whole(server: SocketAddr, reply: Result<Message, Failure>) -> Result<Message, Failure> {
    match reply {
        Ok(reply) if reply.metadata.truncation => {
            let why = format!("{server}: the answer does not fit in a datagram, and TCP does not answer");
            Err(Failure::new("truncated", why))
        }
        reply => reply,
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

// === impl Habits ===

impl Habits {
    fn with<T>(&self, server: SocketAddr, act: impl FnOnce(&mut Habit) -> T) -> T {
        let mut habits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(habits.entry(server).or_default())
    }

    fn plan(&self, server: SocketAddr, now: Instant) -> Plan {
        self.with(server, |habit| habit.plan(now))
    }

    fn in_order(&self, servers: &[SocketAddr], now: Instant) -> Vec<SocketAddr> {
        let mut servers = servers.to_vec();
        servers.sort_by_key(|server| self.with(*server, |habit| habit.asked_last(now)));
        servers
    }

    fn note(&self, server: SocketAddr, answered: bool, note: Note, now: Instant) {
        self.with(server, |habit| match note {
            _ if !answered => habit.silent(now),
            Note::Tcp => habit.tcp_answered(now),
            Note::Udp { tried_tcp } => habit.udp_answered(tried_tcp, now),
        });
    }
}
