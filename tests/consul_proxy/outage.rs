//! The agent is killed, comes back empty, freezes: under load, and no request fails.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::support::probe::{ask, long};
use super::support::{Agent, Backend, Load, Tidegate, TidegateProcess, eventually, http};
use super::{SOON, assert_calm, live, source};

/// An agent with two instances of `web`, and a Tidegate that knows them.
struct Bed {
    agent: Agent,
    backends: [Backend; 2],
    tidegate: TidegateProcess,
}

impl Bed {
    async fn start(consul: &str) -> Option<Self> {
        let agent = Agent::start().await?;
        let backends = [Backend::start("a").await, Backend::start("b").await];
        for backend in &backends {
            agent.register("web", backend.port(), json!({})).await;
        }
        let tidegate = Tidegate::new(&live(&agent.address(), consul)).start().await;
        super::endpoints(&tidegate, 2).await;
        Some(Self { agent, backends, tidegate })
    }

    /// Both, and nobody else, have answered.
    #[track_caller]
    fn assert_both(&self, report: &super::support::Report) {
        report.assert_clean();
        let names: Vec<_> = report.backends.keys().map(String::as_str).collect();
        assert_eq!(names, ["a", "b"], "{report:?}");
        assert_calm(&self.tidegate);
    }
}

/// Both at once, each with a Tidegate of its own: they only wait.
#[tokio::test]
async fn an_agent_that_is_killed_and_one_that_is_frozen_fail_no_request() {
    futures::future::join(killed(), frozen()).await;
}

async fn killed() {
    let Some(mut bed) = Bed::start("").await else { return };
    let span = Duration::from_secs(if long() { 60 } else { 12 });
    let load = Load::new(bed.tidegate.addr("http"));
    let (report, ()) = load
        .during(async {
            bed.agent.kill();
            sleep(span).await;
        })
        .await;
    bed.assert_both(&report);
    eprintln!("agent killed for {span:?}: {} requests, {} failed", report.total(), report.failed());
    let told = source(&bed.tidegate, |s| s["errors"].as_u64() > Some(2)).await;
    assert!(told["age_seconds"].as_f64() > Some(span.as_secs_f64() - 1.0), "{told}");
    assert_eq!(bed.tidegate.admin_get("/ready").await.unwrap().0, 200, "an outage takes no node out");
}

#[tokio::test]
async fn an_agent_that_comes_back_empty_fails_no_request_while_the_set_is_held() {
    let consul = if long() { "" } else { "empty_hold: 5s" };
    let Some(mut bed) = Bed::start(consul).await else { return };
    let hold = Duration::from_secs(if long() { 30 } else { 5 });
    let load = Load::new(bed.tidegate.addr("http"));
    let (report, back) = load
        .during(async {
            bed.agent.restart().await;
            let back = Instant::now();
            source(&bed.tidegate, |s| !s["held"].is_null()).await;
            sleep(hold.saturating_sub(back.elapsed())).await;
            back
        })
        .await;
    bed.assert_both(&report);
    eprintln!("agent back and empty for {hold:?}: {} requests, {} failed", report.total(), report.failed());
    if long() {
        gone_in_the_end(&bed, back).await;
        return;
    }
    // The services register again, one of them elsewhere: that is served at once, and nobody fails
    // on the way.
    let moved = Backend::start("moved").await;
    let (report, ()) = load
        .during(async {
            for port in [bed.backends[0].port(), moved.port()] {
                bed.agent.register("web", port, json!({})).await;
            }
            let client = http::client();
            eventually(Duration::from_secs(2), async || {
                match ask(&client, &bed.tidegate.url("/")).await?.1.as_str() {
                    "moved" => Ok(()),
                    other => Err(other.to_owned()),
                }
            })
            .await;
        })
        .await;
    report.assert_clean();
}

/// What is really gone is not held for ever.
async fn gone_in_the_end(bed: &Bed, back: Instant) {
    let client = http::client();
    eventually(Duration::from_secs(60), async || match ask(&client, &bed.tidegate.url("/")).await? {
        (503, _) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    eprintln!("the set was given up {:?} after the agent was back", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(70), "{:?}", back.elapsed());
}

#[tokio::test]
async fn the_last_instance_is_held_and_then_answered_503() {
    let Some(bed) = Bed::start("empty_hold: 2s").await else { return };
    let begin = Instant::now();
    let (report, ()) = Load::new(bed.tidegate.addr("http"))
        .during(async {
            for backend in &bed.backends {
                bed.agent.deregister(&format!("web-{}", backend.port())).await;
            }
            source(&bed.tidegate, |s| !s["held"].is_null()).await;
            sleep(Duration::from_millis(1700).saturating_sub(begin.elapsed())).await;
        })
        .await;
    report.assert_clean();
    let client = http::client();
    eventually(SOON, async || match ask(&client, &bed.tidegate.url("/")).await? {
        (503, _) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let held = begin.elapsed();
    assert!(held > Duration::from_secs(2) && held < Duration::from_secs(4), "{held:?}");
    eventually(SOON, async || {
        let log = bed.tidegate.stdout();
        if log.contains("\"flags\":\"UH\"") { Ok(()) } else { Err("no UH in the access log") }
    })
    .await;
}

/// It is noticed, too.
async fn frozen() {
    let Some(bed) = Bed::start("wait: 1s").await else { return };
    let (report, ()) = Load::new(bed.tidegate.addr("http"))
        .during(async {
            bed.agent.freeze();
            let told = source(&bed.tidegate, |s| s["errors"].as_u64() > Some(0)).await;
            assert!(told["last_error"].as_str().unwrap().starts_with("timeout"), "{told}");
            bed.agent.thaw();
        })
        .await;
    bed.assert_both(&report);
    let fresh = Backend::start("fresh").await;
    bed.agent.register("web", fresh.port(), json!({})).await;
    super::endpoints(&bed.tidegate, 3).await;
    assert_calm(&bed.tidegate);
}
