//! Many endpoints, real load.

use std::time::Duration;

use super::{ejections, stands, to};
use crate::support::{Backend, Fault, Load, Tidegate, eventually};

async fn crowd(count: usize) -> Vec<Backend> {
    let mut all = Vec::new();
    for i in 0..count {
        all.push(Backend::start(&format!("b{i}")).await);
    }
    all
}

/// Two tries can both meet one that nobody has met yet, so a few may fail; none after that, and none
/// when they return and are still dead.
#[tokio::test]
async fn half_of_twenty_die_at_once() {
    let mut all = crowd(20).await;
    let addresses: Vec<_> = all.iter().map(Backend::addr).collect();
    let tidegate = Tidegate::new(&to(&addresses, "base_ejection: 1s", "", "")).start().await;
    let load = Load::new(tidegate.addr("http"));
    let (first, ()) = load
        .during(async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            for backend in &mut all[..10] {
                backend.kill().await;
            }
            eventually(Duration::from_secs(5), async || match ejections(&tidegate, "").await {
                10.0 => Ok(()),
                out => Err(out),
            })
            .await;
        })
        .await;
    let (later, ()) = load
        .during(async {
            eventually(Duration::from_secs(10), async || match ejections(&tidegate, "").await {
                out if out >= 30.0 => Ok(()),
                out => Err(out),
            })
            .await;
        })
        .await;
    println!(
        "when they die: {} of {} failed; later: {} of {}",
        first.failed(),
        first.total(),
        later.failed(),
        later.total()
    );
    assert!(first.failed() <= 10, "{first:?}");
    later.assert_clean();
    assert_eq!(tidegate.metric("tidegate_cluster_panic_total", &[]).await, 0.0);
}

/// One of two: the requests that it breaks off are tried on the other, then it is out, then it is
/// back; and nobody has noticed.
#[tokio::test]
async fn one_of_two_dies_and_comes_back() {
    let (mut one, two) = (Backend::start("one").await, Backend::start("two").await);
    let rules = "base_ejection: 500ms";
    let tidegate = Tidegate::new(&to(&[one.addr(), two.addr()], rules, "", "")).start().await;
    let load = Load::new(tidegate.addr("http"));
    let (report, ()) = load
        .during(async {
            for fault in [None, Some(Fault::ResetBeforeAnswer), Some(Fault::CloseBeforeAnswer)] {
                let before = ejections(&tidegate, "").await;
                match fault {
                    None => one.kill().await,
                    Some(fault) => one.set_fault(fault),
                }
                eventually(Duration::from_secs(5), async || match ejections(&tidegate, "").await {
                    out if out > before => Ok(()),
                    out => Err(format!("{fault:?}: {out}")),
                })
                .await;
                one.restart().await;
                stands(&tidegate, one.addr(), "in").await;
            }
        })
        .await;
    report.assert_clean();
}

/// A new endpoint's share in the first part of a long window.
#[tokio::test]
async fn a_new_endpoint_starts_slowly() {
    let all = crowd(3).await;
    let addresses: Vec<_> = all.iter().map(Backend::addr).collect();
    let more = ", load_balancing: { slow_start: 100s }";
    let tidegate = Tidegate::new(&to(&addresses[..2], "", more, "")).start().await;
    assert_eq!(super::gets(&tidegate, 100).await, [200; 100]);
    assert_eq!([all[0].requests(), all[1].requests()], [50, 50], "those of the start are warm");
    tidegate.reload(&to(&addresses, "", more, "")).await;
    assert_eq!(super::gets(&tidegate, 600).await, [200; 600]);
    let share = all[2].requests();
    assert!((10..60).contains(&share), "{share} of 600: a tenth of a third or so");
}
