//! A route does one thing, and every key on it serves that thing.

use std::collections::HashSet;

use http::uri::Authority;

use crate::config::live::{
    HeaderEdits, Live, Match, PathMatch, Redirect, Respond, Rewrite, Route, ValueMatch,
};
use crate::config::problem::list;
use crate::config::validate::{exactly_one, split};
use crate::config::{Name, Problem};

/// So many known clusters are named in a hint when none is close.
const NAMED: usize = 8;

pub(super) fn check(live: &Live, problems: &mut Vec<Problem>) {
    let mut names = HashSet::new();
    for (index, route) in live.routes.iter().enumerate() {
        let path = format!("routes[{index}]");
        if !names.insert(&route.name) {
            let what = format!("two routes are named `{}`", route.name);
            let problem = Problem::new(format!("{path}.name"), what);
            problems.push(problem.hint("a name is the route's label in metrics and its address in the API"));
        }
        action(&path, route, problems);
        if let Some(name) = &route.cluster {
            known_cluster(&format!("{path}.cluster"), name, live, problems);
        }
        if let Some(split) = &route.split {
            split::check(&format!("{path}.split"), split, live, problems);
        }
        conditions(&format!("{path}.match"), &route.r#match, problems);
        forwarding(&path, route, problems);
        if route.grpc_web {
            super::upstream::grpc_web(&path, route, live, problems);
        }
        if let Some(mirror) = &route.mirror {
            super::mirror::check(&format!("{path}.mirror"), mirror, live, problems);
        }
        if let Some(redirect) = &route.redirect {
            self::redirect(&format!("{path}.redirect"), redirect, problems);
        }
        if let Some(respond) = &route.respond {
            self::respond(&format!("{path}.respond"), respond, problems);
        }
    }
}

/// Exactly one of `cluster`, `split`, `redirect`, `respond`.
fn action(path: &str, route: &Route, problems: &mut Vec<Problem>) {
    let keys = [
        ("cluster", route.cluster.is_some()),
        ("split", route.split.is_some()),
        ("redirect", route.redirect.is_some()),
        ("respond", route.respond.is_some()),
    ];
    let none = (
        format!("the route `{}` does nothing", route.name),
        "give exactly one of `cluster`, `split`, `redirect`, `respond`",
    );
    exactly_one(path, "the route", &keys, none, "keep one of them", problems);
}

/// The name of a cluster that is there.
pub(super) fn known_cluster(path: &str, name: &Name, live: &Live, problems: &mut Vec<Problem>) {
    if live.clusters.contains_key(name) {
        return;
    }
    let known = || live.clusters.keys().map(|n| n.as_str());
    let problem = Problem::new(path, format!("unknown cluster `{name}`"));
    let more = if live.clusters.len() > NAMED { ", ..." } else { "" };
    let hint = match live.clusters.len() {
        0 => "no cluster is defined; add it under `clusters`".into(),
        _ => format!("known are {}{more}", list(known().take(NAMED))),
    };
    problems.push(problem.hint(hint).did_you_mean(name.as_str(), known()));
}

pub(super) fn conditions(path: &str, conditions: &Match, problems: &mut Vec<Problem>) {
    let (kind, text) = match &conditions.path {
        Some(PathMatch::Exact(text)) => ("exact", text.as_str()),
        Some(PathMatch::Prefix(text)) => ("prefix", text.as_str()),
        _ => ("", "/"),
    };
    if !text.starts_with('/') {
        let problem = Problem::new(format!("{path}.path.{kind}"), format!("`{text}` can match no path"));
        problems.push(problem.hint("a path starts with `/`"));
    } else if text.contains(['?', '#']) {
        let problem = Problem::new(format!("{path}.path.{kind}"), format!("`{text}` can match no path"));
        problems.push(problem.hint("a path ends before `?`; match parameters with `query`"));
    }
    for (list, key) in [(&conditions.headers, "headers"), (&conditions.query, "query")] {
        for (index, condition) in list.iter().enumerate() {
            value(&format!("{path}.{key}[{index}]"), condition, problems);
        }
    }
}

fn value(path: &str, condition: &ValueMatch, problems: &mut Vec<Problem>) {
    let given = [
        condition.exact.is_some(),
        condition.prefix.is_some(),
        condition.regex.is_some(),
        condition.present.is_some(),
    ];
    let what = match given.into_iter().filter(|g| *g).count() {
        1 => return,
        0 => format!("the condition on `{}` says nothing", condition.name),
        _ => format!("the condition on `{}` says more than one thing", condition.name),
    };
    let hint =
        "give exactly one of `exact`, `prefix`, `regex`, `present`; a second condition is an item of its own";
    problems.push(Problem::new(path, what).hint(hint));
}

/// Keys that only mean something when a request goes upstream.
fn forwarding(path: &str, route: &Route, problems: &mut Vec<Problem>) {
    let goes = route.cluster.is_some() || route.split.is_some();
    let action = match (&route.redirect, &route.respond) {
        (Some(_), _) if !goes => "redirect",
        (None, Some(_)) if !goes => "respond",
        _ => "",
    };
    let keys = [
        ("timeout", route.timeout.is_some()),
        ("idle_timeout", route.idle_timeout.is_some()),
        ("retry", route.retry.is_some()),
        ("mirror", route.mirror.is_some()),
        ("rewrite", route.rewrite.is_some()),
        ("host", route.host.is_some()),
        ("request_headers", route.request_headers != HeaderEdits::default()),
        ("grpc_web", route.grpc_web),
        ("filters", !route.filters.is_empty()),
    ];
    for (key, _) in keys.into_iter().filter(|(_, given)| *given && !action.is_empty()) {
        let what = format!("`{key}` has no effect on a route with `{action}`");
        let problem = Problem::new(format!("{path}.{key}"), what);
        problems.push(problem.hint("nothing goes upstream; leave it out"));
    }
    if let Some(retry) = &route.retry {
        super::retry::check(&format!("{path}.retry"), retry, route, problems);
    }
    if let Some(rewrite) = &route.rewrite {
        self::rewrite(&format!("{path}.rewrite"), rewrite, &route.r#match, problems);
    }
    let sound = |host: &str| host.parse::<Authority>().is_ok_and(|a| !a.as_str().contains('@'));
    if let Some(host) = route.host.as_deref().filter(|h| !sound(h)) {
        let problem = Problem::new(format!("{path}.host"), format!("`{host}` is not a host"));
        problems.push(problem.hint("write it as name or name:port"));
    }
}

fn rewrite(path: &str, rewrite: &Rewrite, conditions: &Match, problems: &mut Vec<Problem>) {
    let hint = "give `prefix`, or `regex` and `to`";
    match (&rewrite.prefix, &rewrite.regex, &rewrite.to) {
        (Some(prefix), None, None) => {
            let at = format!("{path}.prefix");
            if !prefix.starts_with('/') {
                let problem = Problem::new(at.as_str(), format!("`{prefix}` is not a path"));
                problems.push(problem.hint("a path starts with `/`"));
            }
            if !matches!(conditions.path, Some(PathMatch::Prefix(_) | PathMatch::Exact(_))) {
                let problem = Problem::new(at, "there is no matched prefix to replace");
                problems.push(
                    problem.hint("match a path by `prefix` or `exact`, or rewrite by `regex` and `to`"),
                );
            }
        }
        (None, Some(_), Some(_)) => {}
        (None, None, None) => problems.push(Problem::new(path, "the rewrite says nothing").hint(hint)),
        (Some(_), _, _) => {
            problems.push(Problem::new(path, "`prefix` and `regex` do not go together").hint(hint));
        }
        (None, regex, _) => {
            let lacking = if regex.is_some() { "to" } else { "regex" };
            problems.push(Problem::new(path, format!("`{lacking}` is missing")).hint(hint));
        }
    }
}

fn redirect(path: &str, redirect: &Redirect, problems: &mut Vec<Problem>) {
    if !matches!(redirect.status, 301 | 302 | 303 | 307 | 308) {
        let what = format!("{} is not a redirect", redirect.status);
        let problem = Problem::new(format!("{path}.status"), what);
        problems.push(problem.hint("use 301, 302, 303, 307 or 308"));
    }
    if redirect.to.is_empty() {
        problems.push(Problem::new(format!("{path}.to"), "the target is empty"));
    }
}

fn respond(path: &str, respond: &Respond, problems: &mut Vec<Problem>) {
    if !(200..=599).contains(&respond.status) {
        let what = format!("{} is not the status of an answer", respond.status);
        problems.push(Problem::new(format!("{path}.status"), what).hint("use 200 to 599"));
    }
    if matches!(respond.status, 204 | 205 | 304) && !respond.body.is_empty() {
        let what = format!("an answer with status {} has no body", respond.status);
        problems.push(Problem::new(format!("{path}.body"), what).hint("leave `body` out, or use 200"));
    }
}
