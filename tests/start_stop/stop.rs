//! SIGTERM: what is under way is answered, what is known is written down, and nobody waits for
//! longer than needed.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::support::probe::ask;
use super::support::{Agent, Backend, Load, RawClient, Tidegate, TidegateProcess, eventually, http, until};
use super::{SOON, to};

/// A process with one request under way that takes so long.
async fn busy(backend: &Backend, grace: &str, ms: u64) -> (TidegateProcess, RawClient) {
    let tidegate = Tidegate::new(&to(backend.addr())).server(&format!("grace_period: {grace}")).start().await;
    let mut client = RawClient::connect(tidegate.addr("http")).await;
    client.send(format!("GET /slow?ms={ms} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    until(SOON, "it is under way", || backend.in_flight() > 0).await;
    (tidegate, client)
}

#[tokio::test]
async fn a_request_under_way_is_answered_and_then_it_goes_at_once() {
    let backend = Backend::start("a").await;
    let (mut tidegate, mut client) = busy(&backend, "20s", 1000).await;
    let begin = Instant::now();
    tidegate.term();
    let (status, awaited) = eventually(SOON, async || match tidegate.admin_get("/ready").await {
        Ok((200, _)) => Err("it still says ready".to_owned()),
        Ok(answer) => Ok(answer),
        // Nobody listens there any more, which no load balancer takes for ready.
        Err(_) => Ok((503, "draining".to_owned())),
    })
    .await;
    assert!(status == 503 && awaited.contains("draining"), "{status} {awaited}");
    let answer = client.response().await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "a"));
    assert_eq!(answer.header("connection"), Some("close"), "{}", answer.head);
    let answered = begin.elapsed();
    assert!(tidegate.exited(SOON).await.success());
    let left = begin.elapsed().saturating_sub(answered);
    assert!(left < Duration::from_secs(1), "{left:?} after the last answer");
    assert!(TcpStream::connect(tidegate.addr("http")).await.is_err());
    assert!(
        tidegate.stdout().contains("/slow?ms=1000"),
        "the last line is in the access log: {}",
        tidegate.stdout()
    );
}

/// Under load: whoever was let in is answered; who comes later finds the door closed, and nothing
/// else.
#[tokio::test]
async fn under_load_only_new_connections_are_refused() {
    let backend = Backend::start("a").await;
    let mut refused = 0;
    for round in 0..5 {
        let mut tidegate = Tidegate::new(&to(backend.addr())).start().await;
        let load = Load::new(tidegate.addr("http")).connections(8).pause(Duration::from_millis(1));
        let (report, ()) = load
            .during(async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                tidegate.term();
                tidegate.exited(SOON).await;
            })
            .await;
        assert!(report.ok > 50, "{report:?}");
        let cut: Vec<_> = report.failures.iter().filter(|(why, _)| !why.starts_with("connect: ")).collect();
        assert!(cut.is_empty(), "round {round}: {cut:?} of {report:?}");
        refused += report.failed();
    }
    eprintln!("5 ends under load: nothing was cut, {refused} connections came too late");
}

#[tokio::test]
async fn the_grace_period_cuts_what_takes_longer() {
    let backend = Backend::start("a").await;
    let (mut tidegate, mut client) = busy(&backend, "1s", 20_000).await;
    let begin = Instant::now();
    tidegate.term();
    assert!(tidegate.exited(SOON).await.success());
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_millis(2500), "{took:?}");
    assert!(client.closed().await);
    assert!(tidegate.stderr().contains("the grace period is over"), "{}", tidegate.stderr());
    assert!(!tidegate.dir().join("pid").exists(), "the pid file goes also then");
}

#[tokio::test]
async fn an_idle_process_goes_within_a_second_whatever_connections_it_has() {
    let backend = Backend::start("a").await;
    let mut tidegate = Tidegate::new(&to(backend.addr())).server("grace_period: 30s").start().await;
    let mut kept = RawClient::connect(tidegate.addr("http")).await;
    kept.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(kept.response().await.unwrap().status, 200);
    let _silent = RawClient::connect(tidegate.addr("http")).await;
    let h2c = http::h2c_client();
    assert_eq!(ask(&h2c, &tidegate.url("/")).await, Ok((200, "a".to_owned())));
    let begin = Instant::now();
    tidegate.term();
    assert!(tidegate.exited(SOON).await.success());
    let took = begin.elapsed();
    eprintln!("idle: gone {took:?} after SIGTERM");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(kept.closed().await);
}

#[tokio::test]
async fn a_hangup_while_it_drains_cuts_nothing() {
    let backend = Backend::start("a").await;
    let (mut tidegate, mut client) = busy(&backend, "20s", 1200).await;
    tidegate.term();
    for _ in 0..5 {
        tidegate.hup();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(client.response().await.unwrap().status, 200);
    assert!(tidegate.exited(SOON).await.success());
}

#[tokio::test]
async fn a_second_sigterm_and_sigint_do_not_wait() {
    let backend = Backend::start("a").await;
    for signals in [["TERM", "TERM"], ["TERM", "INT"], ["INT", "INT"]] {
        let (mut tidegate, mut client) = busy(&backend, "30s", 20_000).await;
        let begin = Instant::now();
        tidegate.signal(signals[0]);
        if signals[0] == "TERM" {
            until(SOON, "it drains", || tidegate.stderr().contains("draining")).await;
            tidegate.signal(signals[1]);
        }
        assert!(tidegate.exited(SOON).await.success());
        assert!(begin.elapsed() < Duration::from_secs(2), "{signals:?}: {:?}", begin.elapsed());
        assert!(client.closed().await);
        assert!(!tidegate.dir().join("pid").exists());
    }
}

/// What was heard a moment before the end is on disk after it: when idle, when the grace period
/// cuts, and when the agent hangs.
#[tokio::test]
async fn the_members_are_on_disk_when_it_has_ended() {
    let Some(agent) = Agent::start().await else { return };
    let backend = Backend::start("a").await;
    agent.register("web", backend.port(), json!({})).await;
    let live = format!(
        "consul: {{ address: '{}' }}\nclusters: {{ web: {{ consul: {{ service: web }} }} }}\nroutes: [ {{ name: all, cluster: web }} ]\n",
        agent.address()
    );
    for (round, how) in ["idle", "cut", "cut", "frozen"].into_iter().enumerate() {
        let mut tidegate = Tidegate::new(&live).server("grace_period: 1s").start().await;
        let mut client = RawClient::connect(tidegate.addr("http")).await;
        if how == "cut" {
            client.send("GET /slow?ms=20000 HTTP/1.1\r\nhost: a\r\n\r\n").await;
            until(SOON, "it is under way", || backend.in_flight() > 0).await;
        }
        tidegate.term();
        let port = 40_000 + u16::try_from(round).unwrap();
        if how == "cut" {
            // While it drains it still follows, so that retries find somebody.
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        if how == "frozen" {
            agent.freeze();
        } else {
            agent.register("web", port, json!({})).await;
        }
        assert!(tidegate.exited(SOON).await.success());
        let file = tidegate.dir().join("state").join("members.json");
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains(&format!("127.0.0.1:{}", backend.port())), "{how}: {text}");
        assert!(how != "cut" || text.contains(&format!("127.0.0.1:{port}")), "round {round}, {how}: {text}");
        assert!(!tidegate.dir().join("pid").exists(), "round {round}, {how}");
        if how != "frozen" {
            agent.deregister(&format!("web-{port}")).await;
        }
    }
}
