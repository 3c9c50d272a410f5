//! A config with clusters that nobody has answered for yet waits for their first answers, but not
//! for ever.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::support::fake_consul::instance;
use super::support::{
    Agent, Backend, FakeConsul, Load, Play, Tidegate, TidegateProcess, eventually, ports, probe, until,
};
use super::{SOON, body, reload, to, until_body};

fn consul(address: &str, cluster: &str) -> String {
    format!(
        "consul: {{ address: '{address}' }}\nclusters:\n  {cluster}: {{ consul: {{ service: {cluster} }} }}\nroutes:\n  - {{ name: all, cluster: {cluster} }}\n"
    )
}

#[tokio::test]
async fn a_route_that_moves_to_new_consul_clusters_fails_no_request() {
    let Some(agent) = Agent::start().await else { return };
    let (old, new) = (Backend::start("old").await, Backend::start("new").await);
    let tidegate = Tidegate::new(&to("old", old.addr())).start().await;
    let (report, ()) = Load::new(tidegate.addr("http"))
        .during(async {
            for n in 0..10 {
                let service = format!("new{n}");
                agent.register(&service, new.port(), json!({})).await;
                tidegate.write_live(&consul(&agent.address(), &service));
                reload(&tidegate).await;
                assert_eq!(body(&tidegate).await, "new");
                tidegate.write_live(&to("old", old.addr()));
                reload(&tidegate).await;
                assert_eq!(body(&tidegate).await, "old");
            }
        })
        .await;
    report.assert_clean();
}

#[tokio::test]
async fn a_move_to_another_agent_keeps_the_members_until_it_answers() {
    let Some(agent) = Agent::start().await else { return };
    let (old, new) = (Backend::start("old").await, Backend::start("new").await);
    let members = |id, backend: &Backend| json!([instance(id, "127.0.0.1", backend.port().into())]);
    let fake = FakeConsul::start(Play::Good(5, members("web-1", &old))).await;
    let tidegate = Tidegate::new(&consul(&fake.address(), "web")).start().await;
    assert_eq!(body(&tidegate).await, "old");
    let nowhere = ports::free_addr().to_string();
    let (report, ()) = Load::new(tidegate.addr("http"))
        .during(async {
            tidegate.write_live(&consul(&nowhere, "web"));
            reload(&tidegate).await;
            probe_until(&tidegate, |s| s["errors"].as_u64() > Some(0)).await;
            assert_eq!(body(&tidegate).await, "old", "nobody is there");
            // That agent is well and knows nothing of it: doubted, since it lost all at once.
            tidegate.write_live(&consul(&agent.address(), "web"));
            reload(&tidegate).await;
            probe_until(&tidegate, |s| !s["held"].is_null()).await;
            agent.register("web", new.port(), json!({})).await;
            until_body(&tidegate, "new").await;
        })
        .await;
    report.assert_clean();
}

async fn probe_until(tidegate: &TidegateProcess, fits: impl Fn(&serde_json::Value) -> bool) {
    eventually(SOON, async || {
        let source = probe::source(tidegate, "web").await;
        if fits(&source) { Ok(()) } else { Err(source.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_slow_source_is_waited_for() {
    let (old, new) = (Backend::start("old").await, Backend::start("new").await);
    let late = Duration::from_millis(1200);
    let members = json!([instance("web-1", "127.0.0.1", new.port().into())]);
    let fake = FakeConsul::start(Play::Late(late, 5, members)).await;
    let tidegate = Tidegate::new(&to("old", old.addr())).start().await;
    let (report, took) = Load::new(tidegate.addr("http"))
        .during(async {
            let begin = Instant::now();
            tidegate.write_live(&consul(&fake.address(), "web"));
            reload(&tidegate).await;
            begin.elapsed()
        })
        .await;
    report.assert_clean();
    assert!(took >= late && took < Duration::from_secs(4), "{took:?}");
    assert_eq!(body(&tidegate).await, "new");
}

#[tokio::test]
async fn a_cluster_that_comes_back_is_asked_anew_before_it_serves() {
    let (old, new) = (Backend::start("old").await, Backend::start("new").await);
    let gone = ports::free_port();
    let fake = FakeConsul::start(Play::Good(5, json!([instance("web-1", "127.0.0.1", gone.into())]))).await;
    let tidegate = Tidegate::new(&consul(&fake.address(), "web")).start().await;
    tidegate.write_live(&to("old", old.addr()));
    reload(&tidegate).await;
    // While nobody watched, the service moved; what was known of it then would fail every request
    // now.
    let members = json!([instance("web-2", "127.0.0.1", new.port().into())]);
    fake.play(Play::Late(Duration::from_millis(700), 6, members));
    let (report, ()) = Load::new(tidegate.addr("http"))
        .during(async {
            tidegate.write_live(&consul(&fake.address(), "web"));
            reload(&tidegate).await;
            assert_eq!(body(&tidegate).await, "new");
        })
        .await;
    report.assert_clean();
}

/// Two processes at once: they only wait.
#[tokio::test]
async fn a_source_that_never_answers_delays_a_reload_once() {
    futures::future::join(no_later_one_waits(), closely_following_ones_are_not_put_off()).await;
}

async fn no_later_one_waits() {
    let backend = Backend::start("a").await;
    let nowhere = ports::free_addr().to_string();
    let config = |n: usize| {
        let lost = format!("clusters:\n  lost: {{ consul: {{ service: lost }} }}\n  a{n}: ");
        let live = to(&format!("a{n}"), backend.addr()).replace(&format!("clusters:\n  a{n}: "), &lost);
        format!("consul: {{ address: '{nowhere}' }}\n{live}")
    };
    let tidegate = Tidegate::new(&to("a", backend.addr())).start().await;
    let (report, ()) = Load::new(tidegate.addr("http"))
        .during(async {
            let begin = Instant::now();
            tidegate.write_live(&config(1));
            reload(&tidegate).await;
            let first = begin.elapsed();
            assert!(first > Duration::from_secs(4) && first < Duration::from_secs(7), "{first:?}");
            // It serves without that cluster already: there is nothing more to wait for.
            let begin = Instant::now();
            tidegate.write_live(&config(2));
            reload(&tidegate).await;
            assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
            assert!(tidegate.admin_json("/v1/clusters/a2").await.is_object());
        })
        .await;
    report.assert_clean();
}

async fn closely_following_ones_are_not_put_off() {
    let backend = Backend::start("a").await;
    let nowhere = ports::free_addr().to_string();
    let tidegate = Tidegate::new(&to("a", backend.addr())).start().await;
    let first = tidegate.generation().await;
    let begin = Instant::now();
    let mut n = 0;
    while tidegate.generation().await == first {
        n += 1;
        let extra = format!("clusters:\n  lost: {{ consul: {{ service: lost }} }}\n  a{n}: ");
        let live = to(&format!("a{n}"), backend.addr()).replace(&format!("clusters:\n  a{n}: "), &extra);
        tidegate.write_live(&format!("consul: {{ address: '{nowhere}' }}\n{live}"));
        tidegate.hup();
        assert!(begin.elapsed() < Duration::from_secs(9), "{n} reloads, none of them served");
        sleep(Duration::from_millis(500)).await;
    }
    eprintln!("a reload each 500 ms with a source that does not answer: served after {:?}", begin.elapsed());
}

#[tokio::test]
async fn a_bad_file_while_one_warms_does_not_take_its_place() {
    let (old, new) = (Backend::start("old").await, Backend::start("new").await);
    let members = json!([instance("web-1", "127.0.0.1", new.port().into())]);
    let fake = FakeConsul::start(Play::Late(Duration::from_millis(1500), 5, members)).await;
    let tidegate = Tidegate::new(&to("old", old.addr())).start().await;
    tidegate.write_live(&consul(&fake.address(), "web"));
    let bad = async {
        sleep(Duration::from_millis(500)).await;
        assert_eq!(body(&tidegate).await, "old", "it warms");
        tidegate.write_config("routes: [");
        let (status, _) = tidegate.admin_post("/v1/reload", &json!({})).await.unwrap();
        assert_eq!(status, 422);
    };
    let (answer, ()) = futures::future::join(reload(&tidegate), bad).await;
    assert!(answer["generation"].as_u64().is_some(), "{answer}");
    until_body(&tidegate, "new").await;
}

#[tokio::test]
async fn a_reload_that_is_overtaken_while_it_warms_is_answered_with_what_serves() {
    let (old, new) = (Backend::start("old").await, Backend::start("new").await);
    let fake = FakeConsul::start(Play::Silence).await;
    let tidegate = Tidegate::new(&to("old", old.addr())).start().await;
    tidegate.write_live(&consul(&fake.address(), "web"));
    let overtake = async {
        sleep(Duration::from_millis(500)).await;
        tidegate.write_live(&to("new", new.addr()));
        reload(&tidegate).await
    };
    let begin = Instant::now();
    let (first, second) = futures::future::join(reload(&tidegate), overtake).await;
    assert_eq!(first, second);
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert_eq!(body(&tidegate).await, "new");
    until(SOON, "calm", || !tidegate.stderr().contains("panicked")).await;
    assert_eq!(probe::metric(&tidegate, "tidegate_config_last_reload_success").await, Some(1.0));
}
