//! Who is measured: how each is started, and in what it cannot be made equal to the others.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scenario::Scenario;

/// A proxy, found on this machine.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    /// In the tables. Two of a kind (two builds of Tidegate) differ by it.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bare,
    Tidegate,
    Nginx,
    Haproxy,
    Envoy,
    Traefik,
    Caddy,
}

/// How one shows its counters of a route.
pub(crate) enum Counters {
    /// By HTTP at this path of its admin address.
    Page(&'static str),
    /// By this word over a connection to it.
    Word(&'static str),
}

/// Where a run of one lives.
pub(crate) struct Place<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) listen: SocketAddr,
    pub(crate) behind: &'a [SocketAddr; 3],
    pub(crate) threads: usize,
}

// === impl Kind ===

impl Kind {
    pub(crate) const ALL: [Self; 7] =
        [Self::Tidegate, Self::Bare, Self::Nginx, Self::Haproxy, Self::Envoy, Self::Traefik, Self::Caddy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare Pingora",
            Self::Tidegate => "Tidegate",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Envoy => "Envoy",
            Self::Traefik => "Traefik",
            Self::Caddy => "Caddy",
        }
    }

    /// The program to look for. None: it is built with the bench.
    pub(crate) fn program(self) -> Option<&'static str> {
        match self {
            Self::Bare | Self::Tidegate => None,
            Self::Nginx => Some("nginx"),
            Self::Haproxy => Some("haproxy"),
            Self::Envoy => Some("envoy"),
            Self::Traefik => Some("traefik"),
            Self::Caddy => Some("caddy"),
        }
    }

    /// What makes it tell its version.
    pub(crate) fn version(self) -> Option<&'static str> {
        match self {
            Self::Bare => None,
            Self::Nginx | Self::Haproxy => Some("-v"),
            Self::Traefik | Self::Caddy => Some("version"),
            Self::Tidegate | Self::Envoy => Some("--version"),
        }
    }

    /// Its config, as templates by the names of their files.
    pub(crate) fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Bare => &[],
            Self::Tidegate => &[("tidegate.yaml", include_str!("conf/tidegate.yaml"))],
            Self::Nginx => &[("nginx.conf", include_str!("conf/nginx.conf"))],
            Self::Haproxy => &[
                ("haproxy.cfg", include_str!("conf/haproxy.cfg")),
                ("haproxy.map", include_str!("conf/haproxy.map")),
                ("haproxy.lst", include_str!("conf/haproxy.lst")),
            ],
            Self::Envoy => &[("envoy.yaml", include_str!("conf/envoy.yaml"))],
            Self::Traefik => &[
                ("traefik.yaml", include_str!("conf/traefik.yaml")),
                ("traefik-routes.yaml", include_str!("conf/traefik-routes.yaml")),
            ],
            Self::Caddy => &[("Caddyfile", include_str!("conf/Caddyfile"))],
        }
    }

    /// Adds the arguments that start it.
    pub(crate) fn arguments(self, command: &mut Command, place: &Place<'_>) {
        let file = |name: &str| place.folder.join(name).into_os_string();
        let threads = place.threads.to_string();
        let list: Vec<OsString> = match self {
            Self::Bare => [
                "bare".to_owned(),
                threads,
                place.listen.to_string(),
                place.behind[0].to_string(),
                place.behind[1].to_string(),
            ]
            .map(OsString::from)
            .into(),
            Self::Tidegate => vec!["run".into(), "-c".into(), file("tidegate.yaml")],
            Self::Nginx => vec!["-p".into(), place.folder.into(), "-c".into(), file("nginx.conf")],
            // -db: in the foreground.
            Self::Haproxy => vec!["-db".into(), "-f".into(), file("haproxy.cfg")],
            Self::Envoy => {
                command.args(["--concurrency", &threads, "--disable-hot-restart", "--log-level", "error"]);
                // As nginx: a line waits a second at most. The default is ten.
                vec!["--file-flush-interval-msec".into(), "1000".into(), "-c".into(), file("envoy.yaml")]
            }
            Self::Traefik => vec!["--configFile".into(), file("traefik.yaml")],
            Self::Caddy => {
                command.env("HOME", place.folder);
                vec![
                    "run".into(),
                    "--adapter".into(),
                    "caddyfile".into(),
                    "--config".into(),
                    file("Caddyfile"),
                ]
            }
        };
        // Go's word for the number of its workers.
        command.env("GOMAXPROCS", place.threads.to_string()).args(list);
    }

    /// Whether its log goes to its standard output, which is then a file.
    pub(crate) fn logs_to_stdout(self) -> bool {
        self == Self::Haproxy
    }

    pub(crate) fn counters(self) -> Option<Counters> {
        match self {
            Self::Tidegate | Self::Traefik => Some(Counters::Page("/metrics")),
            Self::Envoy => Some(Counters::Page("/stats/prometheus")),
            Self::Haproxy => Some(Counters::Word("show table routes\n")),
            Self::Bare | Self::Nginx | Self::Caddy => None,
        }
    }

    /// In what its config of a scenario does less or more than Tidegate's.
    pub(crate) fn differs(self, scenario: Scenario) -> Option<&'static str> {
        match (self, scenario.is_full()) {
            (Self::Bare, true) => Some("has none of it: no log, no metrics, no routes, no split"),
            (Self::Nginx, true) => Some("no metrics by route (only stub_status, for all together)"),
            (Self::Haproxy, true) => Some(
                "each log line is a write to its standard output, not batched; counters by route, no histograms",
            ),
            (Self::Traefik, true) => Some("no request id; each log line is a write"),
            (Self::Caddy, true) => {
                Some("metrics by handler, not by route; each log line is a write, and has all headers")
            }
            (Self::Tidegate, false) => Some(
                "has request metrics, x-forwarded-* and x-request-id here too: they cannot be turned off",
            ),
            (Self::Traefik | Self::Caddy, false) => Some("sets x-forwarded-* here too"),
            _ => None,
        }
    }
}
