//! An endpoint that dies costs nobody a request, budget or not.

use std::time::Duration;

use super::{retries, to};
use crate::support::{Backend, Load, Tidegate};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_dies_under_load_fails_no_get() {
    for path in ["/", "/slow?ms=20"] {
        let (one, mut two) = (Backend::start("one").await, Backend::start("two").await);
        let tidegate = Tidegate::new(&to(&[one.addr(), two.addr()], "", "")).start().await;
        let load = Load::new(tidegate.addr("http")).connections(16).path(path).pause(Duration::ZERO);
        let (report, ()) = load
            .during(async {
                for _ in 0..3 {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    two.kill().await;
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    two.restart().await;
                }
            })
            .await;
        eprintln!("{path}: {report:?}, budget {}", retries(&tidegate, "budget").await);
        report.assert_clean();
    }
}
