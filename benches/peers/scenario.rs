//! What is measured. One table: each scenario is a kind of load, and a config that goes with it.

use std::fmt::Display;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    Small,
    Full,
    Large,
    Upload,
    Connect,
    Idle,
    Threads,
    Streams,
    Half,
}

/// What loads a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// `wrk`: so many connections, each with its next request as soon as it has its answer.
    Wrk { connections: usize, ask: Ask },
    /// `h2load`: one HTTP/2 connection with so many streams.
    Streams(usize),
    /// `h2load` over HTTP/1.1 at half the rate at which Tidegate is at its end.
    Paced { connections: usize },
    /// Connections of the bench's own, which do nothing.
    Idle(usize),
}

/// What the requests ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Get,
    Large,
    Upload,
    /// Each over its own connection.
    Close,
}

/// How long an upload is.
pub(crate) const UPLOAD: usize = 1024 * 1024;

/// How many routes there are, and every how many one asks for a header as well.
pub(crate) const ROUTES: usize = 100;
pub(crate) const GUARDED: usize = 4;

// === impl Scenario ===

impl Scenario {
    pub(crate) const ALL: [Self; 9] = [
        Self::Small,
        Self::Full,
        Self::Large,
        Self::Upload,
        Self::Connect,
        Self::Idle,
        Self::Threads,
        Self::Streams,
        Self::Half,
    ];

    /// For the command line and the JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Full => "full",
            Self::Large => "large",
            Self::Upload => "upload",
            Self::Connect => "connect",
            Self::Idle => "idle",
            Self::Threads => "threads",
            Self::Streams => "streams",
            Self::Half => "half",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Small => "Small GET, 16 connections kept",
            Self::Full => "The same with JSON log, metrics by route, 100 routes (25 by header), split 90/10",
            Self::Large => "Answers of 100 KB, 16 connections kept",
            Self::Upload => "Uploads of 1 MB, 8 connections kept",
            Self::Connect => "Small GET, a new connection for each",
            Self::Idle => "1,000 idle connections: memory of each",
            Self::Threads => "Small GET, two threads, 32 connections kept",
            Self::Streams => "Small GET, 64 streams of one h2c connection",
            Self::Half => "Small GET at half of Tidegate's most",
        }
    }

    pub(crate) fn load(self) -> Load {
        match self {
            Self::Small | Self::Full => Load::Wrk { connections: 16, ask: Ask::Get },
            Self::Large => Load::Wrk { connections: 16, ask: Ask::Large },
            Self::Upload => Load::Wrk { connections: 8, ask: Ask::Upload },
            Self::Connect => Load::Wrk { connections: 16, ask: Ask::Close },
            Self::Idle => Load::Idle(1000),
            Self::Threads => Load::Wrk { connections: 32, ask: Ask::Get },
            Self::Streams => Load::Streams(64),
            Self::Half => Load::Paced { connections: 16 },
        }
    }

    pub(crate) fn threads(self) -> usize {
        if self == Self::Threads { 2 } else { 1 }
    }

    /// Whether the configs have all that they can have.
    pub(crate) fn is_full(self) -> bool {
        self == Self::Full
    }

    pub(crate) fn is_h2c(self) -> bool {
        self == Self::Streams
    }
}

/// What the requests of all scenarios go to; without the routes it is one path as any. `route` is a
/// number, or what stands for one.
pub(crate) fn path(route: impl Display, ask: Ask) -> String {
    match ask {
        Ask::Large => format!("/api/v1/service-{route}/large"),
        Ask::Get | Ask::Upload | Ask::Close => format!("/api/v1/service-{route}/users/12345?page=2"),
    }
}
