//! How many are copied, how many at once, over how many connections.

use crate::support::{Backend, Fault, Load, Tidegate, eventually, http, until};
use crate::{DEADLINE, counted, live, results};

async fn pair() -> (Backend, Backend) {
    (Backend::start("web").await, Backend::start("shadow").await)
}

/// 2,000 requests at one half: the standard deviation is 22, and this is over five of them.
#[tokio::test]
async fn the_fraction_is_kept() {
    let (web, shadow) = pair().await;
    let config = |fraction: &str| {
        live(web.addr(), shadow.addr(), &format!(", mirror: {{ cluster: shadow, fraction: {fraction} }}"))
    };
    let tidegate = Tidegate::new(&config("0.5")).start().await;
    let client = http::client();
    for _ in 0..2000 {
        assert_eq!(client.get(tidegate.url("/")).send().await.unwrap().status(), 200);
    }
    eventually(DEADLINE, async || {
        let answered = results(&tidegate, "2xx").await;
        if answered == shadow.requests() as f64 { Ok(()) } else { Err(answered) }
    })
    .await;
    let copies = shadow.requests();
    assert!((880..=1120).contains(&copies), "{copies} of 2000");
    tidegate.reload(&config("0")).await;
    for _ in 0..100 {
        assert_eq!(client.get(tidegate.url("/")).send().await.unwrap().status(), 200);
    }
    counted(&tidegate, "2xx", copies as f64).await;
    assert_eq!((web.requests(), shadow.requests()), (2100, copies));
}

/// 256 are held; the rest is dropped, over a reload too. When they are let go, copies are sent again.
#[tokio::test]
async fn at_most_256_are_on_their_way() {
    let (web, mut shadow) = pair().await;
    shadow.set_fault(Fault::Hang);
    let config = |timeout: &str| {
        live(web.addr(), shadow.addr(), &format!(", timeout: {timeout}, mirror: {{ cluster: shadow }}"))
    };
    let tidegate = Tidegate::new(&config("60s")).start().await;
    let client = http::client();
    let ask = async |count: usize| {
        for _ in 0..count {
            assert_eq!(client.get(tidegate.url("/")).send().await.unwrap().status(), 200);
        }
    };
    let in_flight = async || tidegate.metric("tidegate_mirror_requests_in_flight", &["route=\"all\""]).await;
    ask(300).await;
    until(DEADLINE, "256 are held", || shadow.in_flight() == 256).await;
    counted(&tidegate, "dropped", 44.0).await;
    assert_eq!(in_flight().await, 256.0);
    let endpoint = tidegate.admin_json("/v1/clusters/shadow").await["endpoints"][0].clone();
    assert_eq!((&endpoint["in_flight"], &endpoint["requests"]), (&256.into(), &256.into()));
    let second = config("61s");
    tidegate.reload(&second).await;
    ask(1).await;
    counted(&tidegate, "dropped", 45.0).await;
    shadow.restart().await;
    eventually(DEADLINE, async || match (results(&tidegate, "failed").await, in_flight().await) {
        (256.0, 0.0) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    ask(10).await;
    eventually(DEADLINE, async || match results(&tidegate, "2xx").await {
        10.0 => Ok(()),
        other => Err(other),
    })
    .await;
}

#[tokio::test]
async fn connections_to_the_mirror_are_kept_and_are_its_own() {
    let (web, shadow) = pair().await;
    // Both clusters are one server: its connections could be shared, and are not.
    let config = live(web.addr(), web.addr(), ", mirror: { cluster: shadow }");
    let tidegate = Tidegate::new(&config).start().await;
    let client = http::client();
    for asked in 1..=10_u32 {
        assert_eq!(client.get(tidegate.url("/")).send().await.unwrap().status(), 200);
        counted(&tidegate, "2xx", f64::from(asked)).await;
    }
    assert_eq!((web.requests(), web.connections()), (20, 2));
    // HEAD has no body to wait for.
    for asked in 11..=13_u32 {
        assert_eq!(client.head(tidegate.url("/bytes?n=1000")).send().await.unwrap().status(), 200);
        counted(&tidegate, "2xx", f64::from(asked)).await;
    }
    assert_eq!((web.connections(), shadow.connections()), (2, 0));
}

#[tokio::test]
async fn under_load_with_a_mirror_that_hangs_no_request_fails() {
    let (web, shadow) = pair().await;
    let config = live(web.addr(), shadow.addr(), ", timeout: 1s, mirror: { cluster: shadow }");
    let tidegate = Tidegate::new(&config).start().await;
    let (report, ()) = Load::new(tidegate.addr("http"))
        .during(async {
            for (fault, result) in [
                (Fault::Hang, "timeout"),
                (Fault::ResetBeforeAnswer, "failed"),
                (Fault::Status(503), "5xx"),
                (Fault::None, "2xx"),
            ] {
                shadow.set_fault(fault);
                let before = results(&tidegate, result).await;
                eventually(DEADLINE, async || match results(&tidegate, result).await {
                    now if now >= before + 20.0 => Ok(()),
                    now => Err(format!("{now} {result}, {before} before")),
                })
                .await;
            }
        })
        .await;
    report.assert_clean();
    assert_eq!(report.backends.keys().collect::<Vec<_>>(), ["web"], "{report:?}");
    eventually(DEADLINE, async || {
        let all = tidegate.metric("tidegate_mirror_requests_total", &[]).await;
        if all == report.total() as f64 { Ok(()) } else { Err(format!("{all} of {}", report.total())) }
    })
    .await;
}
