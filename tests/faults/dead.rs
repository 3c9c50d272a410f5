//! It dies, and comes back.

use std::time::Duration;

use tokio::time::sleep;

use super::{Config, Pair, load, runs, shows, told};
use crate::support::{Backend, Tidegate};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_for_2_s() {
    for config in [Config::Plain, Config::Default, Config::Guarded] {
        for _ in 0..runs() {
            let mut pair = Pair::start(config).await;
            let load = pair.load();
            let (report, out) = load
                .during(async {
                    sleep(Duration::from_millis(300)).await;
                    pair.bad.kill().await;
                    let out = pair.out().await;
                    sleep(Duration::from_secs(2).saturating_sub(out)).await;
                    pair.bad.restart().await;
                    pair.back().await;
                    out
                })
                .await;
            pair.told("killed 2 s", &report, Some(out)).await;
            report.assert_clean();
            assert!(out < Duration::from_secs(3), "{out:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flaps() {
    for config in [Config::Default, Config::Guarded] {
        for _ in 0..runs() {
            let mut pair = Pair::start(config).await;
            let load = pair.load();
            let (report, ()) = load
                .during(async {
                    for _ in 0..4 {
                        sleep(Duration::from_millis(500)).await;
                        pair.bad.kill().await;
                        sleep(Duration::from_millis(500)).await;
                        pair.bad.restart().await;
                    }
                    pair.back().await;
                })
                .await;
            pair.told("flaps", &report, None).await;
            report.assert_clean();
        }
    }
}

/// Two tries can both meet one that nobody has met yet: of what is on its way at that moment some may
/// fail with the default two. The bound is that, and not more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_twenty() {
    for _ in 0..runs() {
        let mut all = Vec::new();
        for i in 0..20 {
            all.push(Backend::start(&format!("b{i}")).await);
        }
        let addresses: Vec<_> = all.iter().map(Backend::addr).collect();
        let tidegate = Tidegate::new(&Config::Default.live(&addresses, "200ms")).start().await;
        for address in &addresses {
            shows(&tidegate, *address, |e| e["checked"] == "up").await;
        }
        let (report, out) = load(&tidegate, Duration::from_secs(3))
            .during(async {
                sleep(Duration::from_millis(300)).await;
                let begin = tokio::time::Instant::now();
                for backend in &mut all[..10] {
                    backend.kill().await;
                }
                for address in &addresses[..10] {
                    shows(&tidegate, *address, |e| e["checked"] == "down").await;
                }
                begin.elapsed()
            })
            .await;
        told(&tidegate, "half of 20 killed", "Default, check every 200ms", &report, Some(out)).await;
        for line in tidegate.access_log().iter().filter(|line| line["status"].as_u64() >= Some(500)) {
            eprintln!("    {} {} after {} tries", line["status"], line["flags"], line["attempts"]);
        }
        report.assert_clean();
    }
}
