//! Clusters that are found over Consul's DNS, with requests through the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use self::support::probe::{ask, metric, shares, source};
use self::support::{Agent, Backend, Load, Tidegate, TidegateProcess, eventually, http, ports};

const SOON: Duration = Duration::from_secs(15);
const INSTANCES: u8 = 8;

/// Eight instances of `web` on 127.0.0.1 to 127.0.0.8, all on one port, since A records have no
/// port; weights 1 to 8.
async fn instances(agent: &Agent) -> Vec<Backend> {
    let port = ports::free_port();
    let mut backends = Vec::new();
    for n in 1..=INSTANCES {
        let backend = Backend::start_on(&format!("b{n}"), SocketAddr::from(([127, 0, 0, n], port))).await;
        let weights = json!({"Passing": n, "Warning": 1});
        let more = json!({"ID": format!("web-{n}"), "Address": format!("127.0.0.{n}"), "Weights": weights});
        agent.register("web", port, more).await;
        backends.push(backend);
    }
    backends
}

/// `/a` by addresses, everything else by SRV.
async fn tidegate(agent: &Agent, backends: &[Backend]) -> TidegateProcess {
    let (dns, port) = (agent.dns(), backends[0].port());
    let live = format!(
        "clusters:\n  by-a: {{ dns: {{ name: web.service.consul, port: {port}, resolvers: [ '{dns}' ] }} }}\n  \
         by-srv: {{ dns: {{ name: web.service.consul, srv: true, resolvers: [ '{dns}' ] }} }}\n\
         routes:\n  - {{ name: a, match: {{ path: {{ prefix: /a }} }}, cluster: by-a }}\n  - {{ name: srv, cluster: by-srv }}\n"
    );
    Tidegate::new(&live).start().await
}

fn names(seen: &BTreeMap<String, usize>) -> Vec<&str> {
    seen.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn all_instances_get_their_share_and_a_deregistration_is_followed() {
    let Some(agent) = Agent::start_with_dns().await else { return };
    let backends = instances(&agent).await;
    let tidegate = tidegate(&agent, &backends).await;
    let client = http::client();
    let by_a = shares(&client, &tidegate.url("/a"), 80).await;
    assert_eq!(by_a.values().copied().collect::<Vec<_>>(), [10; 8], "A records have no weights: {by_a:?}");
    let by_srv = shares(&client, &tidegate.url("/"), 72).await;
    let expected: BTreeMap<String, usize> = (1..=8).map(|n| (format!("b{n}"), 2 * n)).collect();
    assert_eq!(by_srv, expected, "SRV records have: {by_srv:?}");

    let begin = Instant::now();
    let (report, ()) = Load::new(tidegate.addr("http"))
        .during(async {
            agent.deregister("web-3").await;
            for path in ["/a", "/"] {
                eventually(SOON, async || {
                    let seen = shares(&client, &tidegate.url(path), 80).await;
                    if seen.len() == 7 && !seen.contains_key("b3") {
                        Ok(())
                    } else {
                        Err(format!("{path}: {seen:?}"))
                    }
                })
                .await;
            }
        })
        .await;
    report.assert_clean();
    eprintln!("deregister to the last request on it, over DNS: {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(5), "the answers have a TTL of 0: {:?}", begin.elapsed());
}

#[tokio::test]
async fn an_agent_that_is_killed_leaves_the_last_good_set() {
    let Some(mut agent) = Agent::start_with_dns().await else { return };
    let backends = instances(&agent).await;
    let tidegate = tidegate(&agent, &backends).await;
    let client = http::client();
    let by_a = Load::new(tidegate.addr("http")).path("/a").connections(2);
    let by_srv = Load::new(tidegate.addr("http")).connections(2);
    let outage = async {
        agent.kill();
        for cluster in ["by-a", "by-srv"] {
            eventually(SOON, async || {
                let source = source(&tidegate, cluster).await;
                if source["errors"].as_u64() > Some(1) { Ok(()) } else { Err(source.to_string()) }
            })
            .await;
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
    };
    let (a, (srv, ())) = by_a.during(by_srv.during(outage)).await;
    for report in [&a, &srv] {
        report.assert_clean();
        assert_eq!(report.backends.len(), 8, "{report:?}");
    }
    eprintln!("DNS away for 4 s and more: {} requests, 0 failed", a.ok + srv.ok);
    let age = "tidegate_discovery_age_seconds{source=\"dns\",cluster=\"by-srv\"}";
    assert!(metric(&tidegate, age).await > Some(3.0));

    // It comes back with fewer: an answer, and the others are what is left.
    agent.restart().await;
    for n in [1, 2, 3, 4, 5] {
        let more = json!({"ID": format!("web-{n}"), "Address": format!("127.0.0.{n}")});
        agent.register("web", backends[0].port(), more).await;
    }
    eventually(SOON * 2, async || {
        let seen = shares(&client, &tidegate.url("/a"), 40).await;
        if names(&seen) == ["b1", "b2", "b3", "b4", "b5"] { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    assert_eq!(ask(&client, &tidegate.url("/")).await.unwrap().0, 200);
    assert!(!tidegate.stderr().contains("panicked"));
}

#[tokio::test]
async fn a_start_without_dns_serves_what_is_on_disk() {
    let Some(mut agent) = Agent::start_with_dns().await else { return };
    let backends = instances(&agent).await;
    let state = tempfile::tempdir().unwrap();
    let dns = agent.dns();
    let live = format!(
        "clusters: {{ web: {{ dns: {{ name: web.service.consul, srv: true, resolvers: [ '{dns}' ] }} }} }}\n\
         routes: [ {{ name: all, cluster: web }} ]\n"
    );
    let mut first = Tidegate::new(&live).state_dir(state.path()).start().await;
    assert_eq!(shares(&http::client(), &first.url("/"), 72).await.len(), backends.len());
    first.term();
    first.exited(SOON).await;
    agent.kill();
    let begin = Instant::now();
    let second = Tidegate::new(&live).state_dir(state.path()).start().await;
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    let seen = shares(&http::client(), &second.url("/"), 72).await;
    assert_eq!(seen.get("b8"), Some(&16), "{seen:?}");
}
