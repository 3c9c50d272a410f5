//! Real upgrades by SIGUSR2, as Consul sees them: not at all. Then a stop.

use super::*;

/// Longer than a third of the TTL, and than the interval of the agent's own check: each process has
/// spoken, or was asked.
const SPOKEN: Duration = Duration::from_millis(2_500);

#[tokio::test]
async fn three_upgrades_wake_no_watcher_and_a_stop_does() {
    unseen(", ttl: 3s").await;
}

#[tokio::test]
async fn nor_do_they_where_the_agent_asks_by_itself() {
    unseen(", check: http, interval: 1s").await;
}

async fn unseen(more: &str) {
    let Some(agent) = Agent::start().await else { return };
    let watcher = Watcher::start(&agent, "edge");
    let process = Tidegate::new(&live(&agent.address(), more)).start().await;
    let passing = |now: &[(String, String)]| matches!(now, [(_, status)] if status == "passing");
    watcher.until(SOON, passing).await;
    // What the agent finds out first may change the words of a check.
    tokio::time::sleep(SPOKEN).await;
    let wakes = watcher.count();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let ready = tokio::spawn(unready(process.admin_url("/ready"), stopped));
    let mut main = process.pid();
    for _ in 0..3 {
        process.signal_to("USR2", main);
        main = eventually(SOON, async || {
            process.serving_pid().filter(|pid| *pid != main).ok_or("the old one is in charge")
        })
        .await;
        tokio::time::sleep(SPOKEN).await;
    }
    assert_eq!(watcher.count(), wakes, "{more}: {watcher:?}");
    stop.send_replace(true);
    let (asked, other) = ready.await.unwrap();
    eprintln!("{more}: asked {asked} times");
    assert!(asked > 100 && other.is_empty(), "{asked}: {other:?}");
    assert_eq!(registered(&process).await["registrations"], 0, "the heir found it right");

    let start = Instant::now();
    process.signal_to("TERM", main);
    watcher.until(Duration::from_secs(1), <[_]>::is_empty).await;
    eprintln!("{more}: SIGTERM to removed: {:?}", start.elapsed());
    let statuses: Vec<_> = watcher.all().into_iter().skip(wakes).collect();
    assert!(statuses.len() <= 2, "critical at most, then gone: {statuses:?}");
}

/// Asks over a new connection each time, as an agent does. Gives how often, and what was no 200.
async fn unready(url: String, stopped: tokio::sync::watch::Receiver<bool>) -> (usize, Vec<String>) {
    let (mut asked, mut other) = (0, Vec::new());
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().build().unwrap();
    while !*stopped.borrow() {
        match client.get(&url).send().await {
            Ok(answer) if answer.status() == 200 => {}
            Ok(answer) => other.push(format!("{} {:?}", answer.status(), answer.text().await)),
            Err(error) => other.push(format!("{error:?}")),
        }
        asked += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (asked, other)
}
