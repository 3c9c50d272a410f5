//! A cluster has one source of endpoints, and a policy whose keys all take effect.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use http::HeaderName;

use super::{exactly_one, outlier, within};
use crate::config::Problem;
use crate::config::live::{Cluster, ConsulService, Dns, HashKey, Live, LoadBalancing, Policy, Static};
use crate::config::value::Span;

/// Weights are summed in 32 bits, over at most so many endpoints.
const MAX_WEIGHT: u32 = 65_535;

pub(super) fn check(live: &Live, problems: &mut Vec<Problem>) {
    for (name, cluster) in &live.clusters {
        let path = format!("clusters.{name}");
        source(&path, cluster, problems);
        balancing(&format!("{path}.load_balancing"), &cluster.load_balancing, problems);
        if let Some(rules) = &cluster.outlier_detection {
            outlier::check(&format!("{path}.outlier_detection"), rules, problems);
        }
        super::retry::breaker(&format!("{path}.circuit_breaker"), &cluster.circuit_breaker, problems);
        super::failover::check(&format!("{path}.failover"), name, cluster, live, problems);
        super::upstream::check(&path, cluster, problems);
        if let Some(timeout) = cluster.connect_timeout {
            let path = format!("{path}.connect_timeout");
            within(&path, timeout, Span::millis(1), Span::secs(300), problems);
        }
    }
}

fn source(path: &str, cluster: &Cluster, problems: &mut Vec<Problem>) {
    let keys = [
        ("consul", cluster.consul.is_some()),
        ("static", cluster.r#static.is_some()),
        ("dns", cluster.dns.is_some()),
    ];
    let none = ("the cluster has no endpoints".to_owned(), "give exactly one of `consul`, `static`, `dns`");
    let keep = "keep one; a route with a cluster for each would do for the other";
    exactly_one(path, "the cluster", &keys, none, keep, problems);
    if let Some(consul) = &cluster.consul {
        service(&format!("{path}.consul"), consul, problems);
    }
    if let Some(fixed) = &cluster.r#static {
        endpoints(&format!("{path}.static.endpoints"), fixed, problems);
    }
    if let Some(dns) = &cluster.dns {
        name(&format!("{path}.dns"), dns, problems);
    }
}

fn service(path: &str, consul: &ConsulService, problems: &mut Vec<Problem>) {
    for (key, text) in [("service", &consul.service), ("address", &consul.address)] {
        if text.trim().is_empty() {
            problems.push(Problem::new(format!("{path}.{key}"), format!("`{key}` is empty")));
        }
    }
    for (index, tag) in consul.tags.iter().enumerate() {
        if tag.is_empty() {
            problems.push(Problem::new(format!("{path}.tags[{index}]"), "a tag is empty"));
        }
    }
}

fn endpoints(path: &str, fixed: &Static, problems: &mut Vec<Problem>) {
    if fixed.endpoints.is_empty() {
        problems.push(
            Problem::new(path, "there are no endpoints").hint("add one: [ { address: \"10.0.0.7:80\" } ]"),
        );
    }
    let mut seen = HashSet::new();
    for (index, endpoint) in fixed.endpoints.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if !seen.insert(endpoint.address) {
            let what = format!("`{}` is given twice", endpoint.address);
            let problem = Problem::new(format!("{path}.address"), what);
            problems.push(problem.hint("to send it more, raise its `weight`"));
        }
        if endpoint.weight > MAX_WEIGHT {
            let what = format!("the weight {} is above {MAX_WEIGHT}", endpoint.weight);
            let problem = Problem::new(format!("{path}.weight"), what);
            problems.push(problem.hint("only the ratio counts: divide all of them"));
        }
        reachable(&format!("{path}.address"), endpoint.address, problems);
    }
}

fn name(path: &str, dns: &Dns, problems: &mut Vec<Problem>) {
    match (dns.port, dns.srv) {
        (None, false) => problems.push(
            Problem::new(path, "there is no `port`")
                .hint("give `port: 8080`, or `srv: true` if the name has SRV records that bring it"),
        ),
        (Some(_), true) => problems.push(
            Problem::new(format!("{path}.port"), "`port` has no effect with `srv: true`")
                .hint("each SRV record brings its port; leave one of the two out"),
        ),
        (Some(0), false) => {
            problems.push(Problem::new(format!("{path}.port"), "port 0 cannot be connected to"))
        }
        _ => {}
    }
    let at_name = format!("{path}.name");
    if dns.name.parse::<IpAddr>().is_ok() {
        let problem = Problem::new(at_name, format!("`{}` is an address, not a name", dns.name));
        problems.push(problem.hint("use a `static` cluster"));
    } else if !is_dns_name(&dns.name) {
        let problem = Problem::new(at_name, format!("`{}` is not a DNS name", dns.name));
        problems.push(
            problem.hint("labels of 1 to 63 letters, digits, `-` or `_`, joined by dots, without a port"),
        );
    }
    for (index, resolver) in dns.resolvers.iter().enumerate() {
        reachable(&format!("{path}.resolvers[{index}]"), *resolver, problems);
    }
    within(&format!("{path}.min_ttl"), dns.min_ttl, Span::millis(100), Span::secs(3600), problems);
}

fn is_dns_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    name.len() <= 253 && name.split('.').all(|l| (1..=63).contains(&l.len()) && l.bytes().all(fits))
}

fn reachable(path: &str, address: SocketAddr, problems: &mut Vec<Problem>) {
    if address.port() == 0 {
        problems.push(Problem::new(path, "port 0 cannot be connected to"));
    }
    if address.ip().is_unspecified() {
        let what = format!("`{}` stands for every interface, not for a machine", address.ip());
        problems.push(Problem::new(path, what).hint("this machine is 127.0.0.1"));
    }
}

fn balancing(path: &str, balancing: &LoadBalancing, problems: &mut Vec<Problem>) {
    let hashes = matches!(balancing.policy, Policy::RingHash | Policy::Maglev);
    if hashes && balancing.hash.is_empty() {
        problems.push(
            Problem::new(format!("{path}.policy"), "this policy needs `hash`: what to hash")
                .hint("as hash: [ { header: x-user }, source_ip ]"),
        );
    }
    if !hashes && !balancing.hash.is_empty() {
        problems.push(
            Problem::new(format!("{path}.hash"), "`hash` has no effect under this policy")
                .hint("use `policy: ring_hash` or `policy: maglev`, or leave it out"),
        );
    }
    if let Some(window) = balancing.slow_start {
        let path = format!("{path}.slow_start");
        if !matches!(balancing.policy, Policy::RoundRobin | Policy::LeastRequest) {
            let problem = Problem::new(path, "`slow_start` has no effect under this policy");
            problems
                .push(problem.hint("use `policy: round_robin` or `policy: least_request`, or leave it out"));
        } else {
            within(&path, window, Span::secs(1), Span::secs(3600), problems);
        }
    }
    if let Some(locality) = &balancing.locality {
        super::failover::locality(&format!("{path}.locality"), locality, hashes, problems);
    }
    for (index, key) in balancing.hash.iter().enumerate() {
        let (kind, name) = match key {
            HashKey::Header(name) => ("header", name),
            HashKey::Cookie(name) => ("cookie", name),
            HashKey::Query(name) => ("query", name),
            HashKey::SourceIp => continue,
        };
        let path = format!("{path}.hash[{index}].{kind}");
        if name.is_empty() {
            problems.push(Problem::new(path, format!("the name of the {kind} is empty")));
        } else if kind == "header" && HeaderName::from_bytes(name.as_bytes()).is_err() {
            problems.push(Problem::new(path, format!("`{name}` is not a header name")));
        }
    }
}
