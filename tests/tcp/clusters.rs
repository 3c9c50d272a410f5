//! What clusters promise holds for connections: other endpoints where one is dead, passive and active
//! detection, limits, drains, failover, changes while it runs.

use std::collections::BTreeMap;

use serde_json::json;

use super::support::{Backend, Fault, RawClient, Wire, eventually, ports};
use super::{SOON, cluster, dead, kit, passing, talk, who};

#[tokio::test]
async fn a_dead_endpoint_costs_no_connection() {
    let (alive, dead) =
        (Wire::start("alive").await, [ports::free_addr(), ports::free_addr(), ports::free_addr()]);
    let endpoints = [dead[0], alive.addr(), dead[1], dead[2]];
    let tidegate = passing("{ cluster: c }", &[cluster("c", &endpoints, "")]).await;
    for _ in 0..20 {
        assert_eq!(who(tidegate.addr("bytes")).await, "alive");
    }
    let failed = tidegate.metric("tidegate_tcp_upstream_connect_failures_total", &["cluster=\"c\""]).await;
    let opened = tidegate.metric("tidegate_tcp_upstream_connections_total", &["cluster=\"c\""]).await;
    assert!(failed >= 5.0 && opened == 20.0, "{failed} {opened}");
    let most = tidegate.access_log().iter().filter_map(|line| line["attempts"].as_u64()).max();
    assert!((2..=4).contains(&most.unwrap()), "{most:?}");
}

#[tokio::test]
async fn nobody_and_nothing_but_the_dead() {
    let endpoint = ports::free_addr();
    let tidegate = passing("{ cluster: c }", &[cluster("c", &[endpoint], "")]).await;
    assert_eq!(talk(tidegate.addr("bytes"), b"").await.unwrap_or_default(), b"");
    let line = tidegate.logged(|line| line["listener"] == "bytes").await;
    assert_eq!((&line["flags"], &line["attempts"]), (&"UF".into(), &1.into()), "{line}");
    let path = format!("/v1/clusters/c/endpoints/{endpoint}/drain");
    assert_eq!(tidegate.admin_post(&path, &json!({})).await.unwrap().0, 200);
    assert_eq!(talk(tidegate.addr("bytes"), b"").await.unwrap_or_default(), b"");
    tidegate.logged(|line| line["flags"] == "UH").await;
}

#[tokio::test]
async fn endpoints_that_fail_are_ejected() {
    let (good, bad) = (Wire::start("good").await, Backend::start("bad").await);
    bad.set_fault(Fault::ResetOnAccept);
    let outlier = "    outlier_detection: { consecutive_errors: 3, base_ejection: 60s }\n";
    let tidegate = passing("{ cluster: c }", &[cluster("c", &[good.addr(), bad.addr()], outlier)]).await;
    let mut lost = 0;
    for _ in 0..30 {
        // A reset that comes while the connection opens is a failure to connect, and another endpoint
        // is asked. One that comes after is told to nobody but the client.
        lost += usize::from(who(tidegate.addr("bytes")).await != "good");
    }
    eprintln!("{lost} of 30 connections met an endpoint that resets, until it was ejected");
    assert!(lost <= 4, "{lost}");
    // Counted by the task that dates it.
    eventually(SOON, async || {
        let ejected = tidegate.metric("tidegate_outlier_ejections_total", &["cluster=\"c\""]).await;
        if ejected == 1.0 { Ok(()) } else { Err(ejected) }
    })
    .await;
    let told = tidegate.access_log().iter().filter(|line| line["flags"] == "UC").count();
    assert_eq!(told, lost);
}

#[tokio::test]
async fn an_active_check_a_drain_and_a_reload_are_followed_by_new_connections() {
    let (a, mut b, c) = (Wire::start("a").await, Backend::start("b").await, Wire::start("c").await);
    let check = "    health_check: { tcp: {}, interval: 100ms, unhealthy_threshold: 1 }\n";
    let tidegate = passing("{ cluster: c }", &[cluster("c", &[a.addr(), b.addr()], check)]).await;
    b.stop().await;
    eventually(SOON, async || {
        let cluster = tidegate.admin_json("/v1/clusters/c").await.to_string();
        if cluster.contains("\"down\"") { Ok(()) } else { Err(cluster) }
    })
    .await;
    let before = tidegate.metric("tidegate_tcp_upstream_connect_failures_total", &[]).await;
    for _ in 0..10 {
        assert_eq!(who(tidegate.addr("bytes")).await, "a");
    }
    assert_eq!(tidegate.metric("tidegate_tcp_upstream_connect_failures_total", &[]).await, before);

    tidegate.reload(&format!("clusters:\n{}", cluster("c", &[a.addr(), c.addr()], ""))).await;
    let mut kept = RawClient::connect(tidegate.addr("bytes")).await;
    kept.send(b"x").await;
    kept.read_some().await.unwrap();
    let in_flight =
        async || tidegate.metric("tidegate_endpoint_requests_in_flight", &["cluster=\"c\""]).await;
    assert_eq!(in_flight().await, 1.0);
    let path = format!("/v1/clusters/c/endpoints/{}/drain", a.addr());
    assert_eq!(tidegate.admin_post(&path, &json!({})).await.unwrap().0, 200);
    for _ in 0..10 {
        assert_eq!(who(tidegate.addr("bytes")).await, "c", "nothing new on a drained one");
    }
    kept.send(b"y").await;
    assert_eq!(kept.read_some().await.unwrap(), b"y", "what it had goes on");
}

#[tokio::test]
async fn limits_hold_for_connections() {
    let backend = Wire::start("backend").await;
    let breaker = "    circuit_breaker: { max_connections: 2 }\n";
    let tidegate = kit("{ cluster: c }", &[cluster("c", &[backend.addr()], breaker)])
        .listener_key("bytes", "limits: { max_connections: 3 }")
        .start()
        .await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = RawClient::connect(tidegate.addr("bytes")).await;
        client.send(b"x").await;
        assert_eq!(client.read_some().await.unwrap(), b"x");
        held.push(client);
    }
    assert_eq!(talk(tidegate.addr("bytes"), b"").await.unwrap_or_default(), b"");
    tidegate.logged(|line| line["flags"] == "UO").await;
    let rejected = ["cluster=\"c\"", "limit=\"connections\""];
    assert_eq!(tidegate.metric("tidegate_circuit_breaker_rejected_total", &rejected).await, 1.0);
    drop(held);
    eventually(SOON, async || match who(tidegate.addr("bytes")).await {
        name if name == "backend" => Ok(()),
        other => Err(other),
    })
    .await;
}

#[tokio::test]
async fn the_listeners_own_limit_closes_without_a_word() {
    let backend = Wire::start("backend").await;
    let tidegate = kit("{ cluster: c }", &[cluster("c", &[backend.addr()], "")])
        .listener_key("bytes", "limits: { max_connections: 1 }")
        .start()
        .await;
    let mut held = RawClient::connect(tidegate.addr("bytes")).await;
    held.send(b"x").await;
    held.read_some().await.unwrap();
    assert_eq!(talk(tidegate.addr("bytes"), b"").await.unwrap_or_default(), b"");
    let labels = ["listener=\"bytes\"", "limit=\"max_connections\""];
    assert_eq!(tidegate.metric("tidegate_listener_rejected_total", &labels).await, 1.0);
}

#[tokio::test]
async fn another_cluster_stands_in() {
    let stand_in = Wire::start("stand-in").await;
    let clusters = [dead("c", "    failover: [ d ]\n"), cluster("d", &[stand_in.addr()], "")];
    let tidegate = passing("{ cluster: c }", &clusters).await;
    assert_eq!(who(tidegate.addr("bytes")).await, "stand-in");
    assert_eq!(tidegate.metric("tidegate_failover_total", &["cluster=\"c\"", "to=\"d\""]).await, 1.0);
    assert_eq!(tidegate.logged(|line| line["listener"] == "bytes").await["cluster"], "d");
}

#[tokio::test]
async fn a_client_keeps_its_endpoint_by_its_address_and_others_spread() {
    let backends = [Wire::start("a").await, Wire::start("b").await, Wire::start("c").await];
    let addresses: Vec<_> = backends.iter().map(Wire::addr).collect();
    let hash = "    load_balancing: { policy: maglev, hash: [ source_ip ] }\n";
    let tidegate = passing("{ cluster: c }", &[cluster("c", &addresses, hash)]).await;
    let mut seen = BTreeMap::<String, usize>::new();
    for host in 1..40 {
        let mut names = Vec::new();
        for _ in 0..3 {
            let from = format!("127.0.0.{host}");
            let mut client = RawClient::connect_from(&from, tidegate.addr("bytes")).await;
            client.finish().await;
            names.push(String::from_utf8(client.read_to_end().await.unwrap()).unwrap());
        }
        assert!(names[0] == names[1] && names[1] == names[2], "127.0.0.{host}: {names:?}");
        *seen.entry(names.remove(0)).or_default() += 1;
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}
