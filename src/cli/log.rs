//! The process's own log: stderr, so that the access log has stdout to itself.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts the log at a level; `TIDEGATE_LOG` overrides it, as `debug` or
/// `tidegate=debug,pingora=info`.
///
/// Pingora logs a line for every client that goes away; what matters of those is in the access log,
/// so only its servers' own messages pass.
pub(super) fn init(level: &str) {
    let quiet = format!(
        "{level},pingora_proxy=off,pingora_core=error,h2=error,hyper=error,reqwest=error,hickory_proto=error,hickory_resolver=error"
    );
    let filter = std::env::var("TIDEGATE_LOG").ok().and_then(|text| EnvFilter::try_new(text).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(quiet));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first.
    let _ = log.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init();
}
