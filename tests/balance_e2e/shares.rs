//! How requests spread over endpoints of different weight.

use super::{ask, backends, endpoints};
use crate::support::{Tidegate, TidegateProcess};

const REQUESTS: usize = 10_000;
const WEIGHTS: [u32; 3] = [5, 3, 1];

async fn start() -> (Vec<crate::support::Backend>, TidegateProcess) {
    let backends = backends(3).await;
    let list = endpoints(&backends, &WEIGHTS);
    let cluster = |policy: &str| {
        format!(
            "  {policy}: {{ static: {{ endpoints: [ {list} ] }}, load_balancing: {{ policy: {policy} }} }}\n"
        )
    };
    let route = |policy: &str| {
        format!("  - {{ name: {policy}, match: {{ path: {{ prefix: /{policy} }} }}, cluster: {policy} }}\n")
    };
    let policies = ["round_robin", "random", "least_request"];
    let clusters: String = policies.iter().map(|policy| cluster(policy)).collect();
    let routes: String = policies.iter().map(|policy| route(policy)).collect();
    let live = format!("access_log: {{ path: none }}\nclusters:\n{clusters}routes:\n{routes}");
    (backends, Tidegate::new(&live).start().await)
}

/// Requests of this many connections at once.
async fn counts(tidegate: &TidegateProcess, policy: &str, connections: usize) -> [f64; 3] {
    let requests = vec![(format!("/{policy}"), "x-a: 1".to_owned()); REQUESTS / connections];
    let all = (0..connections).map(|_| ask(tidegate.addr("http"), &requests));
    let mut counts = [0.0; 3];
    for backend in futures::future::join_all(all).await.into_iter().flatten() {
        counts[backend] += 1.0;
    }
    counts
}

fn expected() -> [f64; 3] {
    let total: u32 = WEIGHTS.iter().sum();
    WEIGHTS.map(|weight| REQUESTS as f64 * f64::from(weight) / f64::from(total))
}

#[tokio::test]
async fn round_robin_keeps_its_shares() {
    let (_backends, tidegate) = start().await;
    let counts = counts(&tidegate, "round_robin", 2).await;
    for (count, expected) in counts.iter().zip(expected()) {
        assert!((count - expected).abs() / expected < 0.02, "{counts:?}");
    }
    // The counters of the admin API are of the same requests.
    let cluster = tidegate.admin_json("/v1/clusters/round_robin").await;
    let told: f64 =
        cluster["endpoints"].as_array().unwrap().iter().map(|e| e["requests"].as_f64().unwrap()).sum();
    assert_eq!(told, REQUESTS as f64);
}

/// One request at a time, so that the load that least_request looks at is equal: then its shares
/// are those of the weights. Chi-square with two degrees of freedom: above 13.8 in one of a
/// thousand runs of a fair policy. So a second run decides.
#[tokio::test]
async fn random_and_least_request_are_fair() {
    let (_backends, tidegate) = start().await;
    for policy in ["random", "least_request"] {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let counts = counts(&tidegate, policy, 1).await;
            let chi: f64 = counts.iter().zip(expected()).map(|(c, e)| (c - e).powi(2) / e).sum();
            seen.push((counts, chi));
            if chi < 13.8 {
                break;
            }
        }
        assert!(seen.last().unwrap().1 < 13.8, "{policy}: {seen:?}");
    }
}
