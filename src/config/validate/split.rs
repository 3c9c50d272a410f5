//! A split sends each of its keys somewhere, and every part of it can matter.
//!
//! All weights 0 in the file is refused: it serves nobody, and to close a route there is `respond`.

use std::collections::HashSet;

use crate::config::live::{Live, MAX_VARIANTS, MAX_WEIGHT, Split, SplitCookie, SplitKey, Splits, Variant};
use crate::config::problem::list;
use crate::config::validate::route::{conditions, known_cluster};
use crate::config::validate::within;
use crate::config::value::Span;
use crate::config::{Name, Problem};

/// Browsers cut longer lifetimes to this (RFC 6265bis 5.5).
const LONGEST_COOKIE: Span = Span::secs(400 * 86_400);

/// A prefix of keys that can be asked for.
pub(super) fn fleet(splits: &Splits, problems: &mut Vec<Problem>) {
    let Some(prefix) = &splits.consul_kv else { return };
    let parts = || prefix.trim_matches('/').split('/');
    let odd = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains(char::is_control);
    if parts().any(odd) {
        let problem = Problem::new("splits.consul_kv", format!("{prefix:?} is not a prefix of keys"));
        problems.push(problem.hint("write it as `tidegate/splits`; each route's document lies below it"));
    }
}

pub(super) fn check(path: &str, split: &Split, live: &Live, problems: &mut Vec<Problem>) {
    if let Some(seed) = split.seed.as_deref().filter(|seed| !is_seed(seed)) {
        problems.push(bad_seed(&format!("{path}.seed"), seed));
    }
    variants(&format!("{path}.variants"), &split.variants, live, problems);
    key(&format!("{path}.key"), &split.key, problems);
    for (index, over) in split.overrides.iter().enumerate() {
        let path = format!("{path}.overrides[{index}]");
        conditions(&format!("{path}.match"), &over.r#match, problems);
        if over.r#match == Default::default() {
            let problem =
                Problem::new(format!("{path}.match"), "it has no condition, so it takes every request");
            problems.push(problem.hint("give it `headers`, `query`, `path`, `hosts` or `methods`"));
        }
        if split.variants.iter().all(|variant| variant.name != over.variant) {
            problems.push(unknown_variant(&format!("{path}.variant"), &over.variant, split));
        }
    }
}

pub(super) fn variants(path: &str, variants: &[Variant], live: &Live, problems: &mut Vec<Problem>) {
    let count = variants.len();
    if count == 0 {
        let problem = Problem::new(path, "the split has no variant");
        problems.push(problem.hint("as variants: [ { name: control, cluster: web-v1, weight: 90 }, ... ]"));
        return;
    }
    if count > MAX_VARIANTS {
        problems.push(Problem::new(path, format!("{count} variants are more than {MAX_VARIANTS}")));
    }
    let mut names = HashSet::new();
    for (index, variant) in variants.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if !names.insert(&variant.name) {
            let what = format!("two variants are named `{}`", variant.name);
            let problem = Problem::new(format!("{path}.name"), what);
            problems.push(problem.hint("a variant's name decides which keys it gets, so each has its own"));
        }
        known_cluster(&format!("{path}.cluster"), &variant.cluster, live, problems);
        if variant.weight > MAX_WEIGHT {
            problems.push(too_heavy(&format!("{path}.weight"), variant.weight));
        }
    }
    if variants.iter().all(|variant| variant.weight == 0) {
        let problem = Problem::new(path, "all weights are 0, so no request could be assigned");
        problems.push(
            problem.hint("give at least one variant a weight above 0; to close the route, use `respond`"),
        );
    }
}

/// Parts behind one that is always there can never matter.
fn key(path: &str, keys: &[SplitKey], problems: &mut Vec<Problem>) {
    let mut always = None;
    for (index, key) in keys.iter().enumerate() {
        if let Some(always) = always {
            let problem =
                Problem::new(format!("{path}[{index}]"), format!("it is never reached behind {always}"));
            problems.push(problem.hint("put it further up, or leave it out"));
        }
        match key {
            SplitKey::Cookie(SplitCookie { mint: Some(mint), .. }) => {
                let path = format!("{path}[{index}].cookie.mint");
                within(&path, *mint, Span::secs(1), LONGEST_COOKIE, problems);
                always = always.or(Some("a cookie that is made where it is missing"));
            }
            SplitKey::SourceIp => always = always.or(Some("`source_ip`, which every client has")),
            _ => {}
        }
    }
}

// What is said of weights that come from elsewhere too: the admin API, documents, the overlay.

/// A variant that the split does not have.
pub fn unknown_variant(at: &str, name: &Name, split: &Split) -> Problem {
    let known = || split.variants.iter().map(|variant| variant.name.as_str());
    Problem::new(at, format!("the split has no variant `{name}`"))
        .hint(format!("its variants are {}", list(known())))
        .did_you_mean(name.as_str(), known())
}

/// A weight above [`MAX_WEIGHT`].
pub fn too_heavy(at: &str, weight: u64) -> Problem {
    Problem::new(at, format!("the weight {weight} is above {MAX_WEIGHT}"))
        .hint("only the ratio counts: divide all of them")
}

/// Whether a text can be a seed: no control characters, since a zero byte ends it where it is hashed.
pub fn is_seed(seed: &str) -> bool {
    !seed.is_empty() && !seed.contains(char::is_control)
}

/// A text that can't be a seed.
pub fn bad_seed(at: &str, seed: &str) -> Problem {
    Problem::new(at, format!("{seed:?} is not a seed"))
        .hint("any text without control characters, as `checkout-2026`")
}
