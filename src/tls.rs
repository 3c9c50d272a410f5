//! TLS towards clients: certificates, the handshake, and files that change.
//!
//! ```text
//! files --read--> Bundle, ... --> Set --ArcSwap--> handshakes (one set each)
//!                                  ^
//!          watch: stamps, SIGHUP --+-- whole, or refused with a line in the log
//! ```
//!
//! Pingora's own TLS listeners are not used: they take certificates when they are made, they leave
//! no place for the PROXY header before the handshake, and what fails in them is not seen. So the
//! door takes plain connections and [`Terminator::handshake`] puts TLS over them. What listeners
//! speak is fixed while the process lives (it is boot config); what their files hold is not.
//!
//! | file | what |
//! |---|---|
//! | [`bundle`] | a certificate, its chain, key and OCSP response, checked |
//! | [`names`] | which certificate for which name |
//! | [`set`] | all of a listener, loaded whole or not at all |
//! | [`front`] | versions, ciphers, groups, resumption |
//! | [`tickets`] | when the keys of session tickets change |
//! | [`handshake`] | one client |
//! | [`identity`] | who a client is, by its certificate |
//! | [`watch`] | files that change |
//! | `wire` | what TLS is put over |

mod bundle;
mod front;
mod handshake;
mod identity;
mod names;
mod set;
mod staple;
#[cfg(test)]
mod testing;
mod tickets;
pub mod watch;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tracing::{error, info, warn};

use crate::config::Problem;
use crate::config::boot::{Boot, Tls};
use crate::control::watch::Stamp;
use crate::observe::metrics::{Metrics, TlsMetrics};

use self::set::{Loaded, Set};
use self::tickets::Fronts;

pub(crate) use self::handshake::Opening;
pub(crate) use self::identity::Identity;

/// Ends TLS for one listener.
pub struct Terminator {
    listener: String,
    /// The config path of its `tls`.
    at: String,
    config: Tls,
    /// How long a handshake may take.
    timeout: Duration,
    /// The files as they were when they were first read.
    read: Vec<Stamp>,
    sets: Arc<ArcSwap<Set>>,
    fronts: ArcSwap<Fronts>,
    metrics: TlsMetrics,
    all_metrics: Arc<Metrics>,
}

/// Everything about the files of TLS listeners that cannot work. Reads them, and so may block.
pub fn problems(boot: &Boot) -> Vec<Problem> {
    of_listeners(boot).flat_map(|(at, tls)| Loaded::new(&at, tls).err().unwrap_or_default()).collect()
}

/// What is valid and odd about them.
pub fn warnings(boot: &Boot) -> Vec<Problem> {
    let load = |(at, tls): (String, &Tls)| Loaded::new(&at, tls).map(|loaded| loaded.set.warnings(&at, tls));
    of_listeners(boot).filter_map(|listener| load(listener).ok()).flatten().collect()
}

fn of_listeners(boot: &Boot) -> impl Iterator<Item = (String, &Tls)> {
    let all = boot.listeners.iter().enumerate();
    all.filter_map(|(index, listener)| Some((path(index), listener.tls.as_ref()?)))
}

fn path(listener: usize) -> String {
    format!("listeners[{listener}].tls")
}

// === impl Terminator ===

impl Terminator {
    /// The terminators of all listeners, None for those without TLS. Reads their files, and so may
    /// block.
    ///
    /// # Errors
    ///
    /// Every problem.
    pub fn all(boot: &Boot, metrics: &Arc<Metrics>) -> Result<Vec<Option<Arc<Self>>>, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut made = Vec::new();
        for (index, listener) in boot.listeners.iter().enumerate() {
            let timeout = boot.bounds_of(listener).handshake_timeout;
            let tls = listener.tls.as_ref();
            let one = tls.map(|tls| Self::new(path(index), listener.name.to_string(), tls, timeout, metrics));
            made.push(
                one.transpose().map_err(|wrong| problems.extend(wrong)).unwrap_or_default().map(Arc::new),
            );
        }
        if problems.is_empty() { Ok(made) } else { Err(problems) }
    }

    fn new(
        at: String,
        listener: String,
        config: &Tls,
        timeout: Duration,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Vec<Problem>> {
        let read = watch::stamps(config);
        let loaded = Loaded::new(&at, config)?;
        for problem in loaded.set.warnings(&at, config) {
            warn!(%listener, "{problem}");
        }
        metrics.tls_certificates(&listener, loaded.set.expiries());
        let sets = Arc::new(ArcSwap::from_pointee(loaded.set));
        let fronts = Fronts::new(config, loaded.authorities.map(Arc::new), &sets)
            .map_err(|error| vec![Problem::new(at.as_str(), bundle::reason(&error))])?;
        Ok(Self {
            at,
            config: config.clone(),
            timeout,
            read,
            sets,
            fronts: ArcSwap::from_pointee(fronts),
            metrics: metrics.tls(&listener),
            all_metrics: metrics.clone(),
            listener,
        })
    }

    /// Reads the files again. What does not load changes nothing. May block.
    fn reload(&self) {
        match self.try_reload() {
            Ok(warnings) => {
                for problem in warnings {
                    warn!(listener = %self.listener, "{problem}");
                }
                self.metrics.reload_success.inc();
                info!(listener = %self.listener, "certificates read again");
            }
            Err(problems) => {
                self.metrics.reload_failure.inc();
                for problem in problems {
                    error!(listener = %self.listener, "certificates not reloaded, the old ones serve on: {problem}");
                }
            }
        }
    }

    fn try_reload(&self) -> Result<Vec<Problem>, Vec<Problem>> {
        let Loaded { set, authorities } = Loaded::new(&self.at, &self.config)?;
        let fronts = self.fronts.load();
        if fronts.authorities() != authorities.as_ref().map(|authorities| &authorities.digest) {
            let anew = Fronts::new(&self.config, authorities.map(Arc::new), &self.sets)
                .map_err(|error| vec![Problem::new(self.at.as_str(), bundle::reason(&error))])?;
            self.fronts.store(Arc::new(anew));
        }
        let warnings = set.warnings(&self.at, &self.config);
        self.all_metrics.tls_certificates(&self.listener, set.expiries());
        self.sets.store(Arc::new(set));
        Ok(warnings)
    }
}

impl std::fmt::Debug for Terminator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminator").field("listener", &self.listener).finish_non_exhaustive()
    }
}
