//! A variant that cannot serve: its requests shift to another, or fail, as the config says.

use super::live;
use crate::support::{Agent, Backend, Load, RawClient, Tidegate, eventually};

const KEY: &str = "      key: [ { header: x-user } ]\n";

/// Asks for 300 users: those whose answer is not 200, and how many each backend has.
async fn ask(raw: &mut RawClient) -> (Vec<u16>, usize, usize) {
    let (mut failed, mut control, mut candidate) = (Vec::new(), 0, 0);
    for n in 0..300 {
        let response = raw.ask(format!("GET / HTTP/1.1\r\nhost: h\r\nx-user: user-{n}\r\n\r\n")).await;
        match response.header("x-backend") {
            Some("control") => control += 1,
            Some("candidate") => candidate += 1,
            _ => failed.push(response.status),
        }
        if response.status == 503 {
            *raw = RawClient::connect(raw.peer()).await;
        }
    }
    (failed, control, candidate)
}

#[tokio::test]
async fn a_variant_whose_endpoint_is_dead_loses_nobody_a_request() {
    let (a, mut b) = (Backend::start("control").await, Backend::start("candidate").await);
    let tidegate = Tidegate::new(&live(&[(&a, 50), (&b, 50)], KEY)).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let (failed, control, candidate) = ask(&mut raw).await;
    assert_eq!((failed.len(), control + candidate), (0, 300));
    b.kill().await;
    assert_eq!(ask(&mut raw).await, (vec![], 300, 0));
    let shifted = tidegate
        .metric("split_assignments_total", &[r#"variant="control""#, r#"reason="shifted""#])
        .await;
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let due = candidate as f64;
    assert_eq!(shifted, due, "each of the candidate's requests is counted as shifted");
    b.restart().await;
    let (failed, again, _) = ask(&mut raw).await;
    assert_eq!((failed.len(), again), (0, control), "everybody is back where they were");
}

#[tokio::test]
async fn fail_answers_503_uh() {
    let (a, b) = (Backend::start("control").await, Backend::start("candidate").await);
    let text = live(&[(&a, 1), (&b, 1)], &format!("{KEY}      on_unhealthy: fail\n"));
    let endpoint = format!("{{ address: \"{}\" }}", b.addr());
    let tidegate = Tidegate::new(&text.replace(&endpoint, "")).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let (failed, control, candidate) = ask(&mut raw).await;
    assert!(failed.iter().all(|status| *status == 503), "{failed:?}");
    assert!(candidate == 0 && control > 100 && failed.len() + control == 300, "{control}");
    let line = tidegate.logged(|line| line["status"] == 503).await;
    assert_eq!((&line["flags"], &line["variant"]), (&"UH".into(), &"candidate".into()), "{line}");
}

#[tokio::test]
async fn a_variant_without_endpoints_shifts_to_the_rest() {
    let (a, b) = (Backend::start("control").await, Backend::start("candidate").await);
    let endpoint = format!("{{ address: \"{}\" }}", b.addr());
    let text = live(&[(&a, 1), (&b, 1)], KEY).replace(&endpoint, "");
    let tidegate = Tidegate::new(&text).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    assert_eq!(ask(&mut raw).await, (vec![], 300, 0));
    // Both gone: there is nobody to shift to.
    let none = text.replace(&format!("{{ address: \"{}\" }}", a.addr()), "");
    tidegate.reload(&none).await;
    let response = raw.ask("GET / HTTP/1.1\r\nhost: h\r\nx-user: u\r\n\r\n").await;
    assert_eq!(response.status, 503, "{response:?}");
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
        agent.url(),
        a.addr()
    );
    agent.register("candidate", "c1", b.addr()).await;
    let tidegate = Tidegate::new(&text).start().await;
    let (report, ()) = Load::new(tidegate.addr("http"))
        .during(async {
            eventually("candidate gets requests", || b.requests() > 50).await;
            agent.set_health("c1", "critical").await;
            eventually("candidate gets none", || b.in_flight() == 0).await;
        })
        .await;
    report.assert_clean();
}
