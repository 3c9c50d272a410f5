//! Many good upgrades, one after the other, with everybody at work.

use std::time::Duration;

use super::stage::{Stage, gone, linger, rounds};
use crate::support::load::{assert_clean, judges};
use crate::support::probe::{Cost, figures, long};

/// So many upgrades are the first, and the last, that are compared.
const ENDS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrades_under_load_fail_nothing_and_cost_nothing() {
    let mut stage = Stage::start(&["grace_period: 30s"]).await;
    let http = stage.http();
    let crowd = stage.crowd();
    // Programs of others beside it, again and again, as long as it goes on.
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let outside = tokio::spawn(async move {
        let mut all = Vec::new();
        while !*stopped.borrow() {
            let span = Duration::from_secs(10);
            let both = [("wrk", judges::wrk(http, 3, span)), ("hey", judges::hey(http, span))];
            let none = both.iter().all(|(_, judge)| judge.is_none());
            for (who, judge) in both {
                if let Some(judge) = judge {
                    all.push((who, judge.verdict().await));
                }
            }
            if none {
                break;
            }
        }
        all
    });
    let (mut times, mut costs) = (Vec::new(), Vec::new());
    for round in 0..rounds(20, 100) {
        let began = tokio::time::Instant::now();
        let (_, new) = stage.must_upgrade().await;
        times.push(began.elapsed());
        linger(300).await;
        costs.push(Cost::of(new));
        if round == 0 {
            let status = stage.tidegate.exited(Duration::from_secs(40)).await;
            assert!(status.success(), "the first process ended with {status}");
        }
    }
    let _ = stop.send(true);
    for (who, verdict) in outside.await.unwrap() {
        verdict.assert_clean(who);
    }
    assert_clean(&format!("{} upgrades", times.len()), &crowd.end().await);
    eprintln!("an upgrade takes {}", figures(&times));
    stage.alone(stage.main(), Duration::from_secs(40)).await;
    flat(&costs);
}

/// What the newest process costs does not grow from one to the next.
fn flat(costs: &[Cost]) {
    let mean = |some: &[Cost], of: fn(&Cost) -> usize| some.iter().map(of).sum::<usize>() / some.len();
    let (first, last) = (&costs[..ENDS], &costs[costs.len() - ENDS..]);
    for (what, of, slack) in [
        ("KiB", (|cost| usize::try_from(cost.rss_kib).unwrap()) as fn(&Cost) -> usize, 3_000),
        ("open files", |cost| cost.fds, 4),
        ("threads", |cost| cost.threads, 2),
    ] {
        let (before, after) = (mean(first, of), mean(last, of));
        eprintln!("the newest process: {before} {what} in the first {ENDS}, {after} in the last");
        assert!(after <= before + before / 10 + slack, "{what}: from {before} to {after}: {costs:?}");
    }
}

/// Each request has one line in the access log, whichever process answered it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_has_its_line() {
    let stage = Stage::start(&[]).await;
    let crowd = stage.crowd();
    for _ in 0..3 {
        stage.must_upgrade().await;
        linger(500).await;
    }
    let tallies = crowd.end().await;
    assert_clean("3 upgrades", &tallies);
    stage.alone(stage.main(), Duration::from_secs(20)).await;
    stage.lines_are(&tallies).await;
}

/// SIGUSR2 does the same, and the one that is asked is the one that serves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_does_it_too() {
    let stage = Stage::start(&[]).await;
    let crowd = stage.crowd();
    for _ in 0..if long() { 10 } else { 3 } {
        let before = stage.main();
        crate::support::tidegate::signal("USR2", before);
        stage.follows(before).await;
        gone(before, Duration::from_secs(40)).await;
    }
    assert_clean("upgrades by SIGUSR2", &crowd.end().await);
}

/// Asked twice at once, one hand-over is made, and the second is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_once_are_one() {
    let stage = Stage::start(&[]).await;
    let before = stage.main();
    let (one, two) = futures::future::join(stage.upgrade(), async {
        linger(30).await;
        stage.upgrade().await
    })
    .await;
    assert_eq!([one.ok, two.ok].iter().filter(|ok| **ok).count(), 1, "{one:#?} {two:#?}");
    let refused = if one.ok { two } else { one };
    assert!(refused.why().contains("under way"), "{refused:#?}");
    assert_ne!(stage.main(), before);
    gone(before, Duration::from_secs(20)).await;
}
