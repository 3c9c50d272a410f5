//! The rules between keys that types cannot say and that need nothing compiled.
//!
//! The measure is: no key is accepted and ignored. A `hash` under a policy that hashes nothing, a
//! `rewrite` on a redirect, a `ca` for a Consul agent spoken to in clear are mistakes of someone
//! who believes that they work, so they are refused, though the proxy could run without them.
//! Regexes, header names and templates are checked where they are compiled, and only there.

mod boot;
mod cluster;
mod consul;
mod failover;
mod health;
mod limits;
mod listener;
mod mirror;
mod outlier;
mod register;
mod retry;
mod route;
pub mod split;
mod upstream;

use std::time::Duration;

use crate::config::value::Span;
use crate::config::{Config, Problem};

/// Everything that does not hold together. Paths are given, places are not.
pub fn validate(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    boot::check(&config.boot, &mut problems);
    listener::check(config, &mut problems);
    consul::check(&config.live.consul, &mut problems);
    cluster::check(&config.live, &mut problems);
    health::check(&config.live.clusters, &mut problems);
    route::check(&config.live, &mut problems);
    register::check(config, &mut problems);
    split::fleet(&config.live.splits, &mut problems);
    problems
}

/// Exactly one of some keys is given. `none`: what is said if none is, with its hint; of several, the
/// second one is told, `keep` being the hint. `whose`: `the route`.
fn exactly_one(
    path: &str,
    whose: &str,
    keys: &[(&str, bool)],
    none: (String, &str),
    keep: &str,
    problems: &mut Vec<Problem>,
) {
    let given: Vec<&str> = keys.iter().filter_map(|(key, given)| given.then_some(*key)).collect();
    match given.as_slice() {
        [_] => {}
        [] => problems.push(Problem::new(path, none.0).hint(none.1)),
        [_, second, ..] => {
            let what = format!("{whose} has both `{}`", given.join("` and `"));
            problems.push(Problem::new(format!("{path}.{second}"), what).hint(keep));
        }
    }
}

/// A span outside of what makes sense. `0` is outside unless `low` is zero.
fn within(path: &str, span: Span, low: Span, high: Span, problems: &mut Vec<Problem>) {
    if span < low || span > high {
        let what = format!("`{span}` is out of range");
        problems.push(Problem::new(path, what).hint(format!("give {low} to {high}")));
    }
}

const ZERO: Span = Span(Duration::ZERO);

#[cfg(test)]
mod tests;
