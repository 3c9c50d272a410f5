//! Plain routes.

use std::collections::HashMap;

use serde_json::json;

use super::support::consul::Agent;
use super::support::{Backend, Load, RawClient, Tidegate, until};
use super::{QUICK, SOON, cluster, crowd, drain, scores, share};

const ROUTE: &str = "routes: [ { name: all, cluster: web, retry: { attempts: 4 } } ]\n";

/// 0.6 x 1.4.
#[tokio::test]
async fn four_of_ten_drained_leave_84_percent() {
    let (web, spare) = (crowd("web", 10).await, crowd("spare", 2).await);
    let text = format!(
        "clusters:\n{}{}{ROUTE}",
        cluster("web", &web, ", failover: [ spare ]"),
        cluster("spare", &spare, "")
    );
    let tidegate = Tidegate::new(&text).start().await;
    for backend in &web[..2] {
        drain(&tidegate, "web", backend.addr(), "drain").await;
    }
    scores(&tidegate, "web", 1.0).await;
    assert!((share(&tidegate, "web", 200).await - 1.0).abs() < 1e-9, "8 of 10 can carry it all");
    for backend in &web[2..4] {
        drain(&tidegate, "web", backend.addr(), "drain").await;
    }
    let before: u64 = web[..4].iter().map(Backend::requests).sum();
    let found = share(&tidegate, "web", 1500).await;
    assert!((found - 0.84).abs() < 0.05, "{found}");
    assert_eq!(web[..4].iter().map(Backend::requests).sum::<u64>(), before);
    let shown = tidegate.admin_json("/v1/clusters/web").await;
    assert_eq!(
        (&shown["failover"], &shown["score"], &shown["panic"]),
        (&json!(["spare"]), &json!(0.84), &json!(false))
    );
    let counted = tidegate.metric("tidegate_failover_total", &["cluster=\"web\"", "to=\"spare\""]).await;
    assert!((counted - 1500.0 * (1.0 - found)).abs() < 0.5, "{counted}");
    let served =
        tidegate.metric("tidegate_http_requests_total", &["route=\"all\"", "cluster=\"spare\""]).await;
    assert!((served - counted).abs() < 0.5, "{served}");
    let line = tidegate.logged(|line| line["cluster"] == "spare").await;
    assert_eq!((&line["status"], &line["route"]), (&json!(200), &json!("all")));
    let told = tidegate.admin_post("/v1/explain", &json!({"url": "http://h/"})).await.unwrap().1;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["failover"]["places"][1]["cluster"], "spare", "{told}");
    assert!((told["failover"]["places"][0]["share"].as_f64().unwrap() - 0.84).abs() < 1e-9, "{told}");
    for backend in &web {
        drain(&tidegate, "web", backend.addr(), "undrain").await;
    }
    // Ten are more than are counted with each request: some go by until all are seen to be back.
    share(&tidegate, "web", 100).await;
    assert!((share(&tidegate, "web", 200).await - 1.0).abs() < 1e-9);
}

#[tokio::test]
async fn four_of_ten_critical_in_consul_leave_84_percent() {
    let Some(agent) = Agent::start().await else { return };
    let (web, spare) = (crowd("web", 10).await, crowd("spare", 1).await);
    for backend in &web {
        let check =
            json!({"Check": {"CheckID": format!("c{}", backend.port()), "TTL": "10m", "Status": "passing"}});
        agent.register("web", backend.port(), check).await;
    }
    let text = format!(
        "consul: {{ address: {} }}\nclusters:\n  web: {{ consul: {{ service: web }}, failover: [ spare ] }}\n{}{ROUTE}",
        agent.address(),
        cluster("spare", &spare, "")
    );
    let tidegate = Tidegate::new(&text).start().await;
    scores(&tidegate, "web", 1.0).await;
    for (backend, score) in web[..4].iter().zip([1.0, 1.0, 0.98, 0.84]) {
        agent.put(&format!("agent/check/fail/c{}", backend.port()), json!(null)).await;
        scores(&tidegate, "web", score).await;
    }
    let found = share(&tidegate, "web", 1500).await;
    assert!((found - 0.84).abs() < 0.05, "{found}");
    for backend in &web[4..8] {
        agent.put(&format!("agent/check/fail/c{}", backend.port()), json!(null)).await;
    }
    scores(&tidegate, "web", 0.28).await;
    let found = share(&tidegate, "web", 1500).await;
    assert!((found - 0.28).abs() < 0.05, "{found}: no panic while the other can carry the rest");
}

#[tokio::test]
async fn all_die_and_come_back_and_nobody_notices() {
    let (mut web, spare) = (crowd("web", 2).await, crowd("spare", 2).await);
    let text = format!(
        "clusters:\n{}{}{ROUTE}",
        cluster("web", &web, &format!(", failover: [ spare ]{QUICK}")),
        cluster("spare", &spare, "")
    );
    let tidegate = Tidegate::new(&text).start().await;
    scores(&tidegate, "web", 1.0).await;
    let on_spare = || spare.iter().map(Backend::requests).sum::<u64>();
    let (report, ()) = Load::new(tidegate.addr("http"))
        .during(async {
            until(SOON, "the cluster serves", || web[0].requests() > 30).await;
            assert_eq!(on_spare(), 0);
            for backend in &mut web {
                backend.kill().await;
            }
            scores(&tidegate, "web", 0.0).await;
            let before = on_spare();
            until(SOON, "the other serves", || on_spare() > before + 200).await;
            for backend in &mut web {
                backend.restart().await;
            }
            scores(&tidegate, "web", 1.0).await;
            let before = web[0].requests();
            until(SOON, "it serves again", || web[0].requests() > before + 50).await;
        })
        .await;
    println!("{} requests, {} failed, slowest {:?}", report.total(), report.failed(), report.slowest);
    report.assert_clean();
    let after = on_spare();
    assert!((share(&tidegate, "web", 100).await - 1.0).abs() < 1e-9);
    assert_eq!(on_spare(), after);
}

/// The second of a list serves where the first has nobody either; what the first one's own list says
/// does not matter, nor that it leads back.
#[tokio::test]
async fn a_list_is_gone_through_in_order() {
    let (web, one, two) = (crowd("web", 1).await, crowd("one", 1).await, crowd("two", 1).await);
    let text = format!(
        "clusters:\n{}{}{}{}{ROUTE}",
        cluster("web", &web, ", failover: [ one, two ]"),
        cluster("one", &one, ", failover: [ web, elsewhere ]"),
        cluster("two", &two, ""),
        cluster("elsewhere", &web, "")
    );
    let tidegate = Tidegate::new(&text).start().await;
    let only = async |name: &str| (share(&tidegate, name, 30).await - 1.0).abs() < 1e-9;
    assert!(only("web").await);
    drain(&tidegate, "web", web[0].addr(), "drain").await;
    assert!(only("one").await);
    drain(&tidegate, "one", one[0].addr(), "drain").await;
    assert!(only("two").await);
    drain(&tidegate, "web", web[0].addr(), "undrain").await;
    assert!(only("web").await);
    for (name, backend) in [("web", &web[0]), ("two", &two[0])] {
        drain(&tidegate, name, backend.addr(), "drain").await;
    }
    let answer = super::http::client().get(tidegate.url("/")).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(tidegate.logged(|line| line["status"] == 503).await["flags"], "UH");
}

/// An answer that is a reason for another try: the cluster has nobody else, the other one has.
#[tokio::test]
async fn a_retry_turns_to_the_other_cluster() {
    let (web, spare) = (crowd("web", 1).await, crowd("spare", 1).await);
    web[0].set_fault(super::support::Fault::Status(503));
    let text = format!(
        "clusters:\n{}{}{}",
        cluster("web", &web, ", failover: [ spare ]"),
        cluster("spare", &spare, ""),
        "routes: [ { name: all, cluster: web, retry: { attempts: 2, on: [ gateway_error ] } } ]\n"
    );
    let tidegate = Tidegate::new(&text).start().await;
    assert!((share(&tidegate, "spare", 20).await - 1.0).abs() < 1e-9);
    assert_eq!(web[0].requests(), 20, "it is available, so each first try is its own");
}

/// A client of a hashing cluster is on one side as long as nothing changes.
#[tokio::test]
async fn a_key_does_not_flap() {
    let (web, spare) = (crowd("web", 4).await, crowd("spare", 2).await);
    let hash = "load_balancing: { policy: maglev, hash: [ { header: x-user } ] }";
    let text = format!(
        "clusters:\n{}{}{ROUTE}",
        cluster("web", &web, &format!(", failover: [ spare ], {hash}")),
        cluster("spare", &spare, "")
    );
    let tidegate = Tidegate::new(&text).start().await;
    for backend in &web[..2] {
        drain(&tidegate, "web", backend.addr(), "drain").await;
    }
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let mut seen = HashMap::new();
    let mut on_web = 0;
    for round in 0..3 {
        for user in 0..300 {
            let response = raw.ask(format!("GET / HTTP/1.1\r\nhost: h\r\nx-user: u{user}\r\n\r\n")).await;
            let name = response.header("x-backend").unwrap_or_default().to_owned();
            on_web += u32::from(round == 0 && name == "web");
            assert_eq!(seen.entry(user).or_insert_with(|| name.clone()), &name, "u{user}");
        }
    }
    assert!((180..240).contains(&on_web), "{on_web} of 300, for 70 %");
}
