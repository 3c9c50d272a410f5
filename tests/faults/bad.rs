//! It lives, and does not do its work.

use std::time::Duration;

use tokio::time::sleep;

use super::{Config, Pair, runs};
use crate::support::{Fault, Report};

/// Two seconds of the fault under load, from before it to after the return.
async fn turns(case: &str, config: Config, fault: Fault) -> (Report, Duration) {
    let mut all = (Report::default(), Duration::ZERO);
    for _ in 0..runs() {
        let pair = Pair::start(config).await;
        let (report, out) = pair
            .load()
            .during(async {
                sleep(Duration::from_millis(300)).await;
                pair.bad.set_fault(fault);
                let out = pair.out().await;
                sleep(Duration::from_secs(2)).await;
                pair.bad.set_fault(Fault::None);
                pair.back().await;
                out
            })
            .await;
        pair.told(case, &report, Some(out)).await;
        all.0.ok += report.ok;
        for (why, count) in report.failures {
            *all.0.failures.entry(why).or_default() += count;
        }
        all.1 = all.1.max(out);
    }
    all
}

/// Five tries, all begun within a few milliseconds, that end at the latest after 500 ms; with a look
/// at the admin API and a busy machine on top.
const OUT: Duration = Duration::from_secs(3);

macro_rules! guarded {
    ($name:ident, $case:literal, $fault:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let (report, out) = turns($case, Config::Guarded, $fault).await;
            report.assert_clean();
            assert!(out < OUT, "{out:?}");
        }
    };
}

guarded!(hangs, "hang", Fault::Hang);
guarded!(answers_500, "500", Fault::Status(500));
guarded!(resets_before_the_answer, "reset before answer", Fault::ResetBeforeAnswer);
guarded!(takes_5_s, "latency 5 s", Fault::Delay(Duration::from_secs(5)));

/// What the client has begun to read can't be repeated: each try up to the ejection, and each trial,
/// costs one request. Their number is bounded by what is on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breaks_in_the_body() {
    for config in [Config::Default, Config::Guarded] {
        let (report, out) = turns("break in body", config, Fault::CloseInBody).await;
        assert!(out < OUT, "{config:?}: {out:?}");
        assert!(report.failed() <= 40 * runs() as u64, "{config:?}: {report:?}");
    }
}

/// Without retries for it an answer of 500 is the client's; how many, ends with the ejection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_500_by_default() {
    let (_, out) = turns("500", Config::Default, Fault::Status(500)).await;
    assert!(out < OUT, "{out:?}");
}

/// A reset is repeated by default.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_by_default() {
    let (report, out) = turns("reset before answer", Config::Default, Fault::ResetBeforeAnswer).await;
    report.assert_clean();
    assert!(out < OUT, "{out:?}");
}

/// Nobody but the client says when it is too late, and one that goes away before half of the route's time
/// says nothing of the endpoint: it stays in, and each request to it fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hangs_and_takes_5_s_by_default() {
    for (case, fault) in [("hang", Fault::Hang), ("latency 5 s", Fault::Delay(Duration::from_secs(5)))] {
        let pair = Pair::start(Config::Default).await;
        let (report, ()) = pair
            .load()
            .during(async {
                sleep(Duration::from_millis(300)).await;
                pair.bad.set_fault(fault);
                sleep(Duration::from_secs(4)).await;
                pair.bad.set_fault(Fault::None);
                pair.back().await;
            })
            .await;
        pair.told(case, &report, None).await;
    }
}
