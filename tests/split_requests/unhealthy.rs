//! A variant that cannot serve: its requests shift to another, or fail, as the config says.

use std::time::Duration;

use serde_json::json;

use super::live;
use crate::support::consul::Agent;
use crate::support::{Backend, Load, RawClient, Tidegate, TidegateProcess, eventually, until};

const SOON: Duration = Duration::from_secs(15);

const KEY: &str = "      key: [ { header: x-user } ]\n";

/// The config with a backend that takes no requests.
fn closed(text: &str, backend: &Backend) -> String {
    let address = format!("address: \"{}\"", backend.addr());
    text.replace(&address, &format!("{address}, weight: 0"))
}

/// Asks for 300 users: those whose answer is not 200, and how many each backend has.
async fn ask(tidegate: &TidegateProcess) -> (Vec<u16>, usize, usize) {
    let (mut failed, mut control, mut candidate) = (Vec::new(), 0, 0);
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    for n in 0..300 {
        let response = raw.ask(format!("GET / HTTP/1.1\r\nhost: h\r\nx-user: user-{n}\r\n\r\n")).await;
        match response.header("x-backend") {
            Some("control") => control += 1,
            Some("candidate") => candidate += 1,
            _ => failed.push(response.status),
        }
        if response.status != 200 {
            raw = RawClient::connect(tidegate.addr("http")).await;
        }
    }
    (failed, control, candidate)
}

#[tokio::test]
async fn a_variant_whose_endpoint_is_dead_loses_nobody_a_request() {
    let (a, mut b) = (Backend::start("control").await, Backend::start("candidate").await);
    let tidegate = Tidegate::new(&live(&[(&a, 50), (&b, 50)], KEY)).start().await;
    let (failed, control, candidate) = ask(&tidegate).await;
    assert_eq!((failed.len(), control + candidate), (0, 300));
    b.kill().await;
    assert_eq!(ask(&tidegate).await, (vec![], 300, 0));
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let due = candidate as f64;
    // Each of the candidate's requests is counted as shifted, once it is over.
    eventually(SOON, async || {
        let labels = [r#"variant="control""#, r#"reason="shifted""#];
        let shifted = tidegate.metric("tidegate_split_assignments_total", &labels).await;
        if shifted == due { Ok(()) } else { Err(format!("{shifted} of {due}")) }
    })
    .await;
    b.restart().await;
    let (failed, again, _) = ask(&tidegate).await;
    assert_eq!((failed.len(), again), (0, control), "everybody is back where they were");
}

#[tokio::test]
async fn fail_answers_503_uh() {
    let (a, b) = (Backend::start("control").await, Backend::start("candidate").await);
    let text = live(&[(&a, 1), (&b, 1)], &format!("{KEY}      on_unhealthy: fail\n"));
    let tidegate = Tidegate::new(&closed(&text, &b)).start().await;
    let (failed, control, candidate) = ask(&tidegate).await;
    assert!(failed.iter().all(|status| *status == 503), "{failed:?}");
    assert!(candidate == 0 && control > 100 && failed.len() + control == 300, "{control}");
    let line = tidegate.logged(|line| line["status"] == 503).await;
    assert_eq!((&line["flags"], &line["variant"]), (&"UH".into(), &"candidate".into()), "{line}");
}

#[tokio::test]
async fn a_variant_without_endpoints_shifts_to_the_rest() {
    let (a, b) = (Backend::start("control").await, Backend::start("candidate").await);
    let text = closed(&live(&[(&a, 1), (&b, 1)], KEY), &b);
    let tidegate = Tidegate::new(&text).start().await;
    assert_eq!(ask(&tidegate).await, (vec![], 300, 0));
    // Both gone: there is nobody to shift to.
    let none = closed(&text, &a);
    tidegate.reload(&none).await;
    let (failed, ..) = ask(&tidegate).await;
    assert_eq!(failed, vec![503; 300]);
}

/// What Consul calls critical is not used while another variant has somebody, although panic mode
/// would use it in a cluster of its own.
#[tokio::test]
async fn a_variant_that_consul_calls_critical_shifts_under_load() {
    let Some(agent) = Agent::start().await else { return };
    let (a, b) = (Backend::start("control").await, Backend::start("candidate").await);
    let text = format!(
        "consul: {{ address: {} }}
clusters: {{ control: {{ static: {{ endpoints: [ {{ address: \"{}\" }} ] }} }}, candidate: {{ consul: {{ service: candidate }} }} }}
routes:
  - name: shop
    split: {{ variants: [ {{ name: control, cluster: control, weight: 1 }}, {{ name: candidate, cluster: candidate, weight: 1 }} ] }}
",
        agent.address(),
        a.addr()
    );
    let check = json!({"Check": {"CheckID": "it", "TTL": "10m", "Status": "passing"}});
    agent.register("candidate", b.port(), check).await;
    let tidegate = Tidegate::new(&text).start().await;
    let (report, ()) = Load::new(tidegate.addr("http"))
        .during(async {
            until(SOON, "the candidate gets requests", || b.requests() > 50).await;
            agent.put("agent/check/fail/it", json!(null)).await;
            eventually(SOON, async || {
                let cluster = tidegate.admin_json("/v1/clusters/candidate").await;
                if cluster["available"] == 0 { Ok(()) } else { Err(cluster.to_string()) }
            })
            .await;
            let before = b.requests();
            let control = a.requests();
            until(SOON, "control takes over", || a.requests() > control + 200).await;
            // One may have been on its way.
            assert!(b.requests() <= before + 16, "{} after it became critical", b.requests() - before);
        })
        .await;
    report.assert_clean();
    let shifted = tidegate.metric("tidegate_split_assignments_total", &[r#"reason="shifted""#]).await;
    assert!(shifted >= 50.0, "{shifted}");
}
