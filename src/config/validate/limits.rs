//! Limits that would turn everybody away, or nobody.

use super::within;
use crate::config::Problem;
use crate::config::boot::Limits;
use crate::config::value::{Size, Span};

/// More fields than Pingora's parser takes.
const MOST_HEADERS: u32 = 250;

/// Pingora's parser takes about as much.
const MOST_HEADER: Size = Size(512 * 1024);

/// `http::Uri` takes 65,534 bytes, the scheme and authority of a whole URL among them.
const MOST_TARGET: Size = Size(60 * 1024);

pub(super) fn check(at: &str, limits: Limits, problems: &mut Vec<Problem>) {
    counts(at, limits, problems);
    sizes(at, limits, problems);
    let spans = [
        ("header_timeout", limits.header_timeout),
        ("idle_timeout", limits.idle_timeout),
        ("handshake_timeout", limits.handshake_timeout),
        ("body_timeout", limits.body_timeout),
        ("write_timeout", limits.write_timeout),
        ("h2_idle_timeout", limits.h2_idle_timeout),
    ];
    for (key, span) in spans {
        if let Some(span) = span {
            within(&format!("{at}.{key}"), span, Span::millis(1), Span::secs(24 * 3600), problems);
        }
    }
}

fn counts(at: &str, limits: Limits, problems: &mut Vec<Problem>) {
    let unbounded = [("max_connections", limits.max_connections), ("max_in_flight", limits.max_in_flight)];
    for (key, limit) in unbounded {
        if limit == Some(0) {
            let problem = Problem::new(format!("{at}.{key}"), "0 would turn everybody away");
            problems.push(problem.hint("give 1 or more; leave it out for no limit"));
        }
    }
    let bounded = [
        ("max_headers", limits.max_headers, MOST_HEADERS),
        ("h2_max_streams", limits.h2_max_streams, 10_000),
        ("h2_max_resets", limits.h2_max_resets, 1_000_000),
    ];
    for (key, limit, most) in bounded {
        if limit.is_some_and(|limit| limit == 0 || limit > most) {
            let problem = Problem::new(format!("{at}.{key}"), "out of range");
            problems.push(problem.hint(format!("give 1 to {most}; leave it out for the default")));
        }
    }
}

fn sizes(at: &str, limits: Limits, problems: &mut Vec<Problem>) {
    for (key, size, most) in [
        ("max_header_bytes", limits.max_header_bytes, MOST_HEADER),
        ("max_target_bytes", limits.max_target_bytes, MOST_TARGET),
    ] {
        if let Some(size) = size
            && (size < Size(256) || size > most)
        {
            let problem = Problem::new(format!("{at}.{key}"), format!("`{size}` is out of range"));
            problems.push(problem.hint(format!("give 256 to {most}")));
        }
    }
}
