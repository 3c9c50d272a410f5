//! Retries and circuit breakers: every condition can hold, every limit lets something through.

use std::collections::HashSet;

use super::within;
use crate::config::Problem;
use crate::config::live::{CircuitBreaker, Retry, RetryOn, Route};
use crate::config::value::Span;

/// Pingora tries no more often.
const MOST: u8 = 10;

const MINUTE: Span = Span::secs(60);

pub(super) fn check(path: &str, retry: &Retry, route: &Route, problems: &mut Vec<Problem>) {
    if !(1..=MOST).contains(&retry.attempts) {
        let what = format!("`{}` is out of range", retry.attempts);
        let problem = Problem::new(format!("{path}.attempts"), what);
        problems.push(problem.hint(format!("give 1 to {MOST}: tries in all, the first included")));
    }
    conditions(&format!("{path}.on"), retry, problems);
    if let Some(span) = retry.per_try_timeout {
        let at = format!("{path}.per_try_timeout");
        within(&at, span, Span::millis(1), Span::secs(3600), problems);
        let whole = route.timeout.unwrap_or(Span::secs(15));
        if !whole.0.is_zero() && span >= whole {
            let what = format!("`{span}` is never over: the whole request has {whole}");
            problems.push(Problem::new(at, what).hint("make it shorter, or raise the route's `timeout`"));
        }
    }
    let [base, max] = [("base", retry.backoff.base), ("max", retry.backoff.max)].map(|(key, span)| {
        within(&format!("{path}.backoff.{key}"), span, Span::millis(1), MINUTE, problems);
        span
    });
    if base > max {
        let what = format!("the longest pause, {max}, is shorter than the first, {base}");
        let problem = Problem::new(format!("{path}.backoff.max"), what);
        problems.push(problem.hint("raise `max`, or lower `base`"));
    }
    if let Some(budget) = retry.budget.as_ref().filter(|budget| budget.percent > 100) {
        let what = format!("{} percent are out of range", budget.percent);
        problems.push(Problem::new(format!("{path}.budget.percent"), what).hint("give 0 to 100"));
    }
    useless(path, retry, route, problems);
}

fn conditions(path: &str, retry: &Retry, problems: &mut Vec<Problem>) {
    if retry.on.is_empty() {
        let problem = Problem::new(path, "no condition is given, so nothing is tried again");
        problems.push(problem.hint("name at least one, or write `attempts: 1`"));
    }
    let mut seen = HashSet::new();
    for (index, condition) in retry.on.iter().enumerate() {
        let at = format!("{path}[{index}]");
        if !seen.insert(condition) {
            problems.push(Problem::new(at, "this condition is given twice").hint("leave one out"));
        } else if *condition == RetryOn::Timeout && retry.per_try_timeout.is_none() {
            let what = "`timeout` never happens without `per_try_timeout`";
            let hint = "when the route's `timeout` is over, no time is left; set `per_try_timeout` to less";
            problems.push(Problem::new(at, what).hint(hint));
        }
    }
}

/// Keys that change nothing.
fn useless(path: &str, retry: &Retry, route: &Route, problems: &mut Vec<Problem>) {
    let default = Retry::default();
    if retry.attempts == 1 {
        let given = [
            ("on", retry.on != default.on),
            ("backoff", retry.backoff != default.backoff),
            ("budget", retry.budget.is_some()),
            ("respect_retry_after", retry.respect_retry_after),
            ("non_idempotent", retry.non_idempotent),
            ("other_variant", !retry.other_variant),
        ];
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            let problem =
                Problem::new(format!("{path}.{key}"), format!("`{key}` has no effect with one attempt"));
            problems.push(problem.hint("leave it out, or raise `attempts`"));
        }
        return;
    }
    let answers = [RetryOn::ServerError, RetryOn::GatewayError, RetryOn::TooManyRequests];
    if retry.respect_retry_after && !retry.on.iter().any(|condition| answers.contains(condition)) {
        let what = "no answer is a reason for another try, so none is looked at";
        let problem = Problem::new(format!("{path}.respect_retry_after"), what);
        problems.push(problem.hint("add `5xx`, `gateway_error` or `too_many_requests` to `on`"));
    }
    if !retry.other_variant && route.split.is_none() {
        let what = "`other_variant` has no effect without a `split`";
        problems.push(Problem::new(format!("{path}.other_variant"), what).hint("leave it out"));
    }
}

pub(super) fn breaker(path: &str, breaker: &CircuitBreaker, problems: &mut Vec<Problem>) {
    let CircuitBreaker { max_connections, max_requests, max_retries: _, max_requests_per_endpoint } = breaker;
    let limits = [
        ("max_connections", Some(*max_connections)),
        ("max_requests", Some(*max_requests)),
        ("max_requests_per_endpoint", *max_requests_per_endpoint),
    ];
    for (key, _) in limits.into_iter().filter(|(_, limit)| *limit == Some(0)) {
        let problem = Problem::new(format!("{path}.{key}"), "a limit of 0 lets nothing through");
        problems.push(problem.hint("give 1 or more; to stop a cluster, drain it or `respond` on its routes"));
    }
}
