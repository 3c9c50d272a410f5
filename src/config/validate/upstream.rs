//! How endpoints are spoken to: keys that need each other.

use crate::config::Problem;
use crate::config::live::{Cluster, Protocol, UpstreamTls};

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
    if sni.as_ref().is_some_and(|sni| sni.is_empty() || sni.parse::<std::net::IpAddr>().is_ok()) {
        let what = "not a DNS name; TLS can ask for names only";
        problems.push(Problem::new(format!("{path}.sni"), what).hint("leave it out for the request's Host"));
    }
}
