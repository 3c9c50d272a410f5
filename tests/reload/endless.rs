//! A hundred reloads under load, each with other routes and clusters: no failed request, and
//! nothing grows.

use std::time::Duration;

use serde_json::json;
use tokio::process::Command;
use tokio::time::sleep;

use super::support::probe::{Cost, ask, long};
use super::support::{Agent, Backend, Load, Tidegate, TidegateProcess, eventually, http};
use super::{SOON, reload};

/// With `TIDEGATE_LONG=1` five times as many.
const RELOADS: usize = 100;
const WARM_UP: usize = 20;

/// How much resident memory may grow over the last 80 reloads. The allocator takes 2 MiB at a time
/// and lets go late, the more so on a busy machine. A snapshot that leaks shows in the number of
/// series first, since it holds those of its routes.
const GROWTH_KIB: u64 = 8192;

/// What each further reload may add: answers of clusters that are gone are kept for two minutes,
/// and the states of their endpoints for ten, which is longer than the test.
const KEPT_KIB: u64 = 12;

/// The `n`-th config: `all` moves between static and Consul clusters, others come and go by name.
fn config(n: usize, agent: &str, backends: &[Backend]) -> String {
    let own = &backends[n % backends.len()];
    let main = if n.is_multiple_of(2) { format!("web{n}") } else { format!("fixed{n}") };
    let mut text = format!(
        "consul: {{ address: '{agent}' }}\nclusters:\n  web{n}: {{ consul: {{ service: web, tags: [ t{} ] }} }}\n  \
         s{n}: {{ consul: {{ service: s{} }} }}\n  fixed{n}: {{ static: {{ endpoints: [ {{ address: '{}', weight: {} }} ] }} }}\n",
        n % 3,
        n % 5,
        own.addr(),
        1 + n % 7,
    );
    text += &format!("routes:\n  - {{ name: all, cluster: {main} }}\n");
    for extra in 0..=(n % 10) {
        text += &format!(
            "  - {{ name: r{n}-{extra}, match: {{ path: {{ prefix: /r{extra} }} }}, cluster: fixed{n}, timeout: {}s }}\n",
            1 + extra
        );
    }
    text + &format!("  - {{ name: back, match: {{ path: {{ prefix: /back }} }}, cluster: s{n} }}\n")
}

async fn bed() -> Option<(Agent, Vec<Backend>, TidegateProcess)> {
    let agent = Agent::start().await?;
    let mut backends = Vec::new();
    for n in 0..3 {
        let backend = Backend::start(&format!("b{n}")).await;
        agent.register("web", backend.port(), json!({"Tags": ["t0", "t1", "t2"]})).await;
        backends.push(backend);
    }
    for n in 0..5 {
        agent.register(&format!("s{n}"), backends[0].port(), json!({})).await;
    }
    // The lines of the load would only cost time here; the log has tests of its own.
    let quiet = "access_log: { path: none }\n";
    let tidegate = Tidegate::new(&format!("{quiet}{}", config(0, &agent.address(), &backends))).start().await;
    Some((agent, backends, tidegate))
}

/// Everything that may not grow, once the process is at rest.
async fn cost(tidegate: &TidegateProcess) -> (Cost, usize) {
    let series =
        tidegate.admin_get("/metrics").await.unwrap().1.lines().filter(|l| !l.starts_with('#')).count();
    (Cost::of(tidegate.pid()), series)
}

#[tokio::test]
async fn a_hundred_reloads_fail_no_request_and_nothing_grows() {
    let Some((agent, backends, tidegate)) = bed().await else { return };
    let load = Load::new(tidegate.addr("http")).connections(4);
    let reloads = if long() { 5 * RELOADS } else { RELOADS };
    let work = async {
        let mut seen = Vec::new();
        for n in 1..=reloads {
            let text = format!("access_log: {{ path: none }}\n{}", config(n, &agent.address(), &backends));
            tidegate.write_live(&text);
            let before = tidegate.generation().await;
            let after = reload(&tidegate).await["generation"].as_u64();
            assert!(after >= Some(before), "{before} -> {after:?}");
            let (status, backend) = ask(&http::client(), &tidegate.url("/back")).await.unwrap();
            assert_eq!((status, backend.as_str()), (200, "b0"), "reload {n}: what was applied serves");
            if n >= WARM_UP && n.is_multiple_of(10) {
                seen.push(cost(&tidegate).await);
            }
            sleep(Duration::from_millis(20)).await;
        }
        seen
    };
    let wrk = wrk(&tidegate);
    let (report, seen) = load.during(work).await;
    report.assert_clean();
    stop_wrk(wrk).await;
    // A request that is still under way holds its snapshot, and so its series.
    let first = seen[0];
    let last = eventually(SOON, async || match cost(&tidegate).await {
        now if now.1 <= first.1 + 5 => Ok(now),
        (_, series) => Err(format!("{series} series, after {} at first", first.1)),
    })
    .await;
    eprintln!(
        "{reloads} reloads: {} requests, slowest {:?}; after {WARM_UP}: {first:?}, at the end: {last:?}",
        report.ok, report.slowest
    );
    let allowed = GROWTH_KIB + KEPT_KIB * (reloads - RELOADS) as u64;
    assert!(last.0.rss_kib <= first.0.rss_kib + allowed, "memory grows: {seen:?}");
    assert!(last.0.threads <= first.0.threads + 2, "threads grow: {seen:?}");
    assert!(last.0.fds <= first.0.fds + 12, "open files grow: {seen:?}");
    eventually(SOON, async || match cost(&tidegate).await.0.fds {
        fds if fds < 80 => Ok(()),
        fds => Err(format!("{fds} open files at rest")),
    })
    .await;
    assert!(!tidegate.stderr().contains("panicked"));
}

/// More load, where there is `wrk`: it keeps connections busy without a pause.
fn wrk(tidegate: &TidegateProcess) -> Option<tokio::process::Child> {
    let url = tidegate.url("/");
    Command::new("wrk")
        .args(["-t1", "-c4", "-d60s", &url])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .ok()
}

/// Ends it as Ctrl-C would and reads its report: no status but 2xx, no error of a socket.
async fn stop_wrk(child: Option<tokio::process::Child>) {
    let Some(child) = child else {
        eprintln!("there is no wrk; the load was the kit's own");
        return;
    };
    let pid = child.id().unwrap();
    assert!(std::process::Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap().success());
    let output = child.wait_with_output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    eprintln!(
        "{}",
        text.lines()
            .filter(|l| l.contains("requests in") || l.contains("Requests/sec"))
            .collect::<Vec<_>>()
            .join(";")
    );
    assert!(text.contains("requests in"), "{text}");
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
}
