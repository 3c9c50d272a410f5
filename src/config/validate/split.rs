//! A split sends each of its keys somewhere, and every part of it can matter.
//!
//! All weights 0 in the file is refused: it serves nobody, and to close a route there is `respond`.

use std::collections::HashSet;

use crate::config::live::{Live, MAX_VARIANTS, MAX_WEIGHT, Split, SplitCookie, SplitKey, Splits};
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
    if let Some(seed) = &split.seed
        && (seed.is_empty() || seed.contains(char::is_control))
    {
        let problem = Problem::new(format!("{path}.seed"), format!("{seed:?} is not a seed"));
        problems.push(problem.hint("any text without control characters, as `checkout-2026`"));
    }
    variants(&format!("{path}.variants"), split, live, problems);
    key(&format!("{path}.key"), &split.key, problems);
    for (index, over) in split.overrides.iter().enumerate() {
        let path = format!("{path}.overrides[{index}]");
        conditions(&format!("{path}.match"), &over.r#match, problems);
        if over.r#match == Default::default() {
            let problem =
                Problem::new(format!("{path}.match"), "it has no condition, so it takes every request");
            problems.push(problem.hint("give it `headers`, `query`, `path`, `hosts` or `methods`"));
        }
        known_variant(&format!("{path}.variant"), &over.variant, split, problems);
    }
}

fn variants(path: &str, split: &Split, live: &Live, problems: &mut Vec<Problem>) {
    let count = split.variants.len();
    if count == 0 {
        let problem = Problem::new(path, "the split has no variant");
        problems.push(problem.hint("as variants: [ { name: control, cluster: web-v1, weight: 90 }, ... ]"));
        return;
    }
    if count > MAX_VARIANTS {
        problems.push(Problem::new(path, format!("{count} variants are more than {MAX_VARIANTS}")));
    }
    let mut names = HashSet::new();
    for (index, variant) in split.variants.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if !names.insert(&variant.name) {
            let what = format!("two variants are named `{}`", variant.name);
            let problem = Problem::new(format!("{path}.name"), what);
            problems.push(problem.hint("a variant's name decides which keys it gets, so each has its own"));
        }
        known_cluster(&format!("{path}.cluster"), &variant.cluster, live, problems);
        if variant.weight > MAX_WEIGHT {
            let what = format!("the weight {} is above {MAX_WEIGHT}", variant.weight);
            let problem = Problem::new(format!("{path}.weight"), what);
            problems.push(problem.hint("only the ratio counts: divide all of them"));
        }
    }
    if split.variants.iter().all(|variant| variant.weight == 0) {
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

fn known_variant(path: &str, name: &Name, split: &Split, problems: &mut Vec<Problem>) {
    let known = || split.variants.iter().map(|variant| variant.name.as_str());
    if known().any(|variant| variant == name.as_str()) {
        return;
    }
    let problem = Problem::new(path, format!("the split has no variant `{name}`"));
    let hint = format!("its variants are {}", list(known()));
    problems.push(problem.hint(hint).did_you_mean(name.as_str(), known()));
}
