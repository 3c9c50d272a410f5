//! An active check is of one kind, and asks what can be answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use http::header::HeaderName;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method};

use super::{exactly_one, within};
use crate::config::live::{Cluster, HealthCheck, HttpCheck, Protocol, TcpCheck};
use crate::config::value::Span;
use crate::config::{Name, Problem};

/// Headers that say how the message is sent. The probe writes its own.
const FRAMING: [&str; 6] = ["connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade"];

/// Longer names are a mistake, and a probe should fit into one packet.
const MAX_SERVICE: usize = 1024;

pub(super) fn check(clusters: &BTreeMap<Name, Cluster>, problems: &mut Vec<Problem>) {
    for (name, cluster) in clusters {
        if let Some(check) = &cluster.health_check {
            let path = format!("clusters.{name}.health_check");
            one(&path, check, problems);
            secure(&path, check, cluster, problems);
        }
    }
}

/// How it is asked, if that is said.
fn secure(path: &str, check: &HealthCheck, cluster: &Cluster, problems: &mut Vec<Problem>) {
    if check.tls == Some(true) && cluster.tls.is_none() {
        let problem = Problem::new(format!("{path}.tls"), "the cluster has no `tls` to send probes with");
        problems.push(problem.hint("give the cluster `tls: {}`"));
    }
    let tls = check.tls.unwrap_or_else(|| cluster.tls.is_some());
    if check.http.as_ref().is_some_and(|http| http.protocol == Some(Protocol::Auto)) && !tls {
        let problem = Problem::new(format!("{path}.http.protocol"), "`auto` asks by ALPN, which needs TLS");
        problems.push(problem.hint("give `http1` or `http2`"));
    }
}

fn one(path: &str, check: &HealthCheck, problems: &mut Vec<Problem>) {
    kind(path, check, problems);
    times(path, check, problems);
    for (key, rows) in
        [("healthy_threshold", check.healthy_threshold), ("unhealthy_threshold", check.unhealthy_threshold)]
    {
        if !(1..=100).contains(&rows) {
            let problem = Problem::new(format!("{path}.{key}"), format!("{rows} is out of range"));
            problems.push(problem.hint("give 1 to 100"));
        }
    }
    if check.port == Some(0) {
        problems.push(Problem::new(format!("{path}.port"), "port 0 cannot be connected to"));
    }
    if check.tcp.is_some() && check.reuse_connection {
        problems.push(
            Problem::new(format!("{path}.reuse_connection"), "`reuse_connection` has no effect with `tcp`")
                .hint("a TCP check opens a new connection each time; leave it out"),
        );
    }
}

fn kind(path: &str, check: &HealthCheck, problems: &mut Vec<Problem>) {
    let keys = [("http", check.http.is_some()), ("tcp", check.tcp.is_some()), ("grpc", check.grpc.is_some())];
    let hint = "give exactly one of `http`, `tcp`, `grpc`, as http: { path: /healthz }";
    let none = ("the check does not say what to ask".to_owned(), hint);
    exactly_one(path, "the check", &keys, none, "keep the one that says most", problems);
    if let Some(http) = &check.http {
        request(&format!("{path}.http"), http, problems);
    }
    if let Some(tcp) = &check.tcp {
        texts(&format!("{path}.tcp"), tcp, problems);
    }
    if let Some(grpc) = &check.grpc
        && grpc.service.len() > MAX_SERVICE
    {
        let path = format!("{path}.grpc.service");
        problems
            .push(Problem::new(path, "the name is too long").hint(format!("at most {MAX_SERVICE} bytes")));
    }
}

fn times(path: &str, check: &HealthCheck, problems: &mut Vec<Problem>) {
    let (low, hour) = (Span::millis(10), Span::secs(3600));
    within(&format!("{path}.interval"), check.interval, low, hour, problems);
    if let Some(span) = check.unhealthy_interval {
        within(&format!("{path}.unhealthy_interval"), span, low, hour, problems);
    }
    within(&format!("{path}.timeout"), check.timeout, low, Span::secs(300), problems);
}

fn request(path: &str, http: &HttpCheck, problems: &mut Vec<Problem>) {
    if !http.path.starts_with('/') || http.path.parse::<PathAndQuery>().is_err() || http.path.contains('#') {
        let problem = Problem::new(format!("{path}.path"), format!("`{}` is not a path", http.path));
        problems.push(problem.hint("it begins with `/`, as /healthz"));
    }
    if let Some(host) = &http.host
        && host.parse::<Authority>().is_err()
        && host.parse::<SocketAddr>().is_err()
    {
        let problem = Problem::new(format!("{path}.host"), format!("`{host}` is not a host"));
        problems.push(problem.hint("a name or an address, with a port or without, as web.internal"));
    }
    match http.method.parse::<Method>() {
        Ok(Method::CONNECT) | Err(_) => {
            let what = format!("`{}` cannot be the method of a check", http.method);
            problems.push(Problem::new(format!("{path}.method"), what).hint("GET, HEAD or OPTIONS will do"));
        }
        Ok(_) => {}
    }
    statuses(path, http, problems);
    match (&http.body, http.method.as_str()) {
        (Some(text), _) if text.is_empty() => {
            problems.push(Problem::new(format!("{path}.body"), "`body` is empty").hint("leave it out"));
        }
        (Some(_), "HEAD") => problems.push(
            Problem::new(format!("{path}.body"), "`body` has no effect with HEAD, whose answer has none")
                .hint("use GET, or leave `body` out"),
        ),
        _ => {}
    }
    headers(path, http, problems);
}

fn statuses(path: &str, http: &HttpCheck, problems: &mut Vec<Problem>) {
    if http.expect.is_empty() {
        let problem = Problem::new(format!("{path}.expect"), "no status would pass");
        problems.push(problem.hint("name those that do, as [200, 204]"));
    }
    for (index, status) in http.expect.iter().enumerate() {
        if !(200..=599).contains(status) {
            let what = format!("{status} is not the status of an answer");
            let problem = Problem::new(format!("{path}.expect[{index}]"), what);
            problems.push(problem.hint("give 200 to 599"));
        }
    }
}

fn headers(path: &str, http: &HttpCheck, problems: &mut Vec<Problem>) {
    for (name, value) in &http.headers {
        let at = format!("{path}.headers.{name}");
        let lower = name.to_ascii_lowercase();
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            problems.push(Problem::new(at, format!("`{name}` is not a header name")));
        } else if lower == "host" {
            problems.push(Problem::new(at, "the Host is not set here").hint("use `host`"));
        } else if FRAMING.contains(&lower.as_str()) {
            let what = format!("`{name}` says how the message is sent, which the probe decides");
            problems.push(Problem::new(at, what).hint("leave it out"));
        } else if HeaderValue::from_str(value).is_err() {
            problems.push(
                Problem::new(at, "the value cannot be sent in a header")
                    .hint("line breaks and control characters cannot"),
            );
        }
    }
}

fn texts(path: &str, tcp: &TcpCheck, problems: &mut Vec<Problem>) {
    for (key, text) in [("send", &tcp.send), ("expect", &tcp.expect)] {
        if text.as_ref().is_some_and(String::is_empty) {
            let problem = Problem::new(format!("{path}.{key}"), format!("`{key}` is empty"));
            problems.push(problem.hint("leave it out"));
        }
    }
}
