//! How endpoints are spoken to: keys that need each other.

use crate::config::Problem;
use crate::config::live::{Cluster, Live, Protocol, Route, UpstreamTls};

pub(super) fn check(path: &str, cluster: &Cluster, problems: &mut Vec<Problem>) {
    if cluster.protocol == Protocol::Auto && cluster.tls.is_none() {
        let what = "`auto` asks the endpoint by ALPN, which needs `tls`";
        let hint = "give `http1` or `http2`, or add `tls: {}`";
        problems.push(Problem::new(format!("{path}.protocol"), what).hint(hint));
    }
    if let Some(tls) = &cluster.tls {
        self::tls(&format!("{path}.tls"), tls, problems);
    }
}

/// A call that is translated to gRPC needs a cluster that can take it.
pub(super) fn grpc_web(path: &str, route: &Route, live: &Live, problems: &mut Vec<Problem>) {
    let variants = route.split.iter().flat_map(|split| split.variants.iter().map(|variant| &variant.cluster));
    for name in route.cluster.iter().chain(variants) {
        if live.clusters.get(name).is_some_and(|cluster| cluster.protocol == Protocol::Http1) {
            let what = format!("`grpc_web` makes calls of gRPC, which cluster `{name}` cannot take");
            let problem = Problem::new(format!("{path}.grpc_web"), what);
            problems.push(problem.hint(format!("give `{name}` `protocol: http2`")));
        }
    }
}

fn tls(path: &str, tls: &UpstreamTls, problems: &mut Vec<Problem>) {
    let UpstreamTls { ca, sni, verify, cert, key } = tls;
    match (cert, key) {
        (Some(_), None) => {
            problems.push(Problem::new(format!("{path}.cert"), "`cert` needs its `key`").hint("add `key`"));
        }
        (None, Some(_)) => {
            problems.push(Problem::new(format!("{path}.key"), "`key` needs its `cert`").hint("add `cert`"));
        }
        _ => {}
    }
    if ca.is_some() && !verify {
        let what = "`ca` has no effect, since `verify` is false";
        problems.push(Problem::new(format!("{path}.ca"), what).hint("leave one of them out"));
    }
    if sni.as_ref().is_some_and(|sni| !is_dns_name(sni)) {
        let what = "not a DNS name; TLS can ask for names only";
        problems.push(Problem::new(format!("{path}.sni"), what).hint("leave it out for the request's Host"));
    }
}

/// Underscores are no part of host names, but of names that clusters have inside.
fn is_dns_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !name.is_empty() && name.bytes().all(fits) && name.parse::<std::net::IpAddr>().is_err()
}
