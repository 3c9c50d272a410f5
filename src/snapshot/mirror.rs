//! The mirror of a route, compiled: which requests are copied, and to whom.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderValue, Method};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;

use crate::config::live;
use crate::config::{Name, Problem};
use crate::observe::metrics::MirrorMetrics;
use crate::snapshot::compile::Surroundings;
use crate::snapshot::table::IDLE_TIMEOUT;

/// Where the copies of a route's requests go.
#[derive(Debug)]
pub struct Mirror {
    /// Index into the snapshot's clusters.
    pub cluster: usize,
    /// The share of requests that is copied.
    pub fraction: f64,
    /// Whose requests are copied.
    pub methods: Box<[Method]>,
    /// The route's name, as the copy's receiver is told it.
    pub route: HeaderValue,
    /// What bounds a copy's whole exchange.
    pub limit: Duration,
    pub metrics: MirrorMetrics,
    pub connections: Arc<Connections>,
}

/// The connections of all mirrors of a process. Apart from those of real requests, so that neither
/// takes the other's places in the pool.
///
/// Made for the first snapshot that has a mirror, before it is published: Pingora reads the
/// system's certificates four times for it, which takes a tenth of a second that no request should
/// wait, and memory that a process without mirrors need not spend.
#[derive(Default)]
pub struct Connections(OnceLock<Connector>);

/// So many unused connections are kept, to all mirror clusters together.
const POOL: usize = 256;

/// What changes nothing at the receiver. TRACE is left out: its answer is the request's secrets.
const SAFE: [Method; 3] = [Method::GET, Method::HEAD, Method::OPTIONS];

// === impl Mirror ===

impl Mirror {
    /// Compiles the mirror of a route with this time-out; `at` is its config path. The series that
    /// it resolves are swept if the config fails elsewhere.
    ///
    /// # Errors
    ///
    /// An unknown cluster, a fraction that is no share, words that are no methods.
    pub fn compile(
        config: &live::Mirror,
        at: &str,
        name: &Name,
        timeout: Option<Duration>,
        indexes: &HashMap<&Name, usize>,
        around: &Surroundings,
    ) -> Result<Self, Vec<Problem>> {
        let live::Mirror { cluster, fraction, methods: _ } = config;
        let mut problems = Vec::new();
        let index = indexes.get(cluster).copied();
        if index.is_none() {
            let unknown = Problem::new(format!("{at}.cluster"), format!("unknown cluster `{cluster}`"));
            problems.push(unknown.did_you_mean(cluster.as_str(), indexes.keys().map(|name| name.as_str())));
        }
        if !(0.0..=1.0).contains(fraction) {
            problems.push(Problem::new(format!("{at}.fraction"), format!("{fraction} is not a share")));
        }
        let methods = methods(config, at, &mut problems);
        // A name is a token, so it is a header's value too.
        let route = HeaderValue::from_str(name.as_str());
        let (Some(cluster), Ok(route), true) = (index, route, problems.is_empty()) else {
            return Err(problems);
        };
        Ok(Self {
            cluster,
            fraction: *fraction,
            methods,
            // A copy that may last for ever would hold its place for ever.
            limit: timeout.unwrap_or(IDLE_TIMEOUT),
            metrics: around.metrics.mirror(name.as_str(), config.cluster.as_str()),
            route,
            connections: around.mirrors.clone(),
        })
    }

    /// Whether a request is copied. `dice` is even over 0 to 1, without 1.
    pub fn takes(&self, method: &Method, dice: f64) -> bool {
        dice < self.fraction && self.methods.contains(method)
    }
}

// === impl Connections ===

impl Connections {
    /// Where they are asked for; made, if need be.
    pub fn get(&self) -> &Connector {
        self.0.get_or_init(|| Connector::new(Some(ConnectorOptions::new(POOL))))
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connections")
    }
}

/// Those of the config, or the safe ones.
fn methods(config: &live::Mirror, at: &str, problems: &mut Vec<Problem>) -> Box<[Method]> {
    if config.methods.is_empty() {
        return SAFE.into();
    }
    let mut methods = Vec::with_capacity(config.methods.len());
    for (index, text) in config.methods.iter().enumerate() {
        match Method::from_bytes(text.as_bytes()) {
            Ok(method) => methods.push(method),
            Err(_) => {
                let at = format!("{at}.methods[{index}]");
                problems.push(Problem::new(at, format!("`{text}` is not a method")));
            }
        }
    }
    methods.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Registry;
    use crate::observe::Metrics;

    fn compile(fraction: f64, methods: &[&str]) -> Result<Mirror, Vec<Problem>> {
        let (shadow, route): (Name, Name) = ("shadow".parse().unwrap(), "shop".parse().unwrap());
        let methods = methods.iter().map(ToString::to_string).collect();
        let config = live::Mirror { cluster: shadow.clone(), fraction, methods };
        let around = Surroundings {
            metrics: Arc::new(Metrics::new().unwrap()),
            filters: Registry::default(),
            listeners: Vec::new(),
            tcp: Vec::new(),
            mirrors: Arc::default(),
        };
        Mirror::compile(&config, "m", &route, None, &HashMap::from([(&shadow, 3)]), &around)
    }

    #[test]
    fn the_dice_are_under_the_fraction_or_not() {
        let half = compile(0.5, &[]).unwrap();
        assert!(half.takes(&Method::GET, 0.499) && !half.takes(&Method::GET, 0.5));
        assert!(!half.takes(&Method::POST, 0.0) && !half.takes(&Method::TRACE, 0.0));
        assert!(!compile(0.0, &[]).unwrap().takes(&Method::GET, 0.0));
        assert!(compile(1.0, &[]).unwrap().takes(&Method::HEAD, 1.0 - f64::EPSILON));
    }

    #[test]
    fn methods_that_are_named_take_the_place_of_the_safe_ones() {
        let posts = compile(1.0, &["POST", "PURGE"]).unwrap();
        assert!(posts.takes(&Method::POST, 0.0) && posts.takes(&"PURGE".parse().unwrap(), 0.0));
        assert!(!posts.takes(&Method::GET, 0.0));
        assert_eq!((posts.cluster, posts.limit, posts.route), (3, IDLE_TIMEOUT, "shop".parse().unwrap()));
    }

    #[test]
    fn every_mistake_is_told() {
        let told = compile(f64::NAN, &["A B"]).unwrap_err();
        assert_eq!(told.iter().map(|p| p.path.as_str()).collect::<Vec<_>>(), ["m.fraction", "m.methods[0]"]);
        assert!(compile(1.001, &[]).is_err() && compile(-0.1, &[]).is_err());
    }
}
