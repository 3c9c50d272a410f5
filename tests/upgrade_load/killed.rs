//! The new process is killed at some moment of the hand-over: afterwards one process serves, the old
//! one or the new one, and never neither.
//!
//! What the killed process had accepted itself dies with it, as it would at any other time: no
//! design can save that. So failures are allowed only in rounds where the heir had its gate open,
//! and only about the time of its death; there are few of them, and they are told.

use std::time::Duration;

use tokio::time::sleep;

use super::stage::{Stage, linger, rounds, runs};
use crate::SOON;
use crate::support::probe::ask;
use crate::support::tidegate::signal;
use crate::support::{eventually, http};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_one_of_them_serves() {
    let stage = Stage::start(&[]).await;
    let crowd = stage.crowd();
    let went = stage.upgrade().await;
    assert!(went.ok, "{:#}", went.told);
    let usual = Duration::from_secs_f64(went.told["seconds"].as_f64().unwrap());
    let mut rng = fastrand::Rng::with_seed(6);
    // When a heir that served was killed, since the crowd began.
    let mut deaths: Vec<Duration> = Vec::new();
    let (mut after, mut survived) = (std::collections::BTreeMap::<String, usize>::new(), 0);
    let client = http::client();
    for round in 0..rounds(30, 100) {
        let main = stage.main();
        stage.alone(main, SOON).await;
        let wait = usual.mul_f64(rng.f64());
        let (went, (killed, at)) = futures::future::join(stage.upgrade(), async {
            let heir = eventually(SOON, async || {
                stage.tidegate.processes().into_iter().find(|pid| *pid != main).ok_or("no heir")
            })
            .await;
            sleep(wait).await;
            // Once it is in charge there is no hand-over to disturb.
            let killed = stage.main() == main;
            if killed {
                signal("KILL", heir);
            }
            (killed, crowd.elapsed())
        })
        .await;
        assert_eq!(went.ok, !killed, "round {round}, after {wait:?}: {:#}\n{}", went.told, stage.log());
        let last = went.steps().last().cloned().unwrap_or_default();
        *after.entry(last.clone()).or_default() += 1;
        survived += usize::from(!killed);
        if killed && went.steps().iter().any(|step| step == "serving" || step == "sockets") {
            deaths.push(at);
        }
        let now = stage.main();
        assert_eq!(now == main, killed, "round {round}: {:#}", went.told);
        assert!(runs(now), "round {round}: {now} is in charge and gone");
        assert_eq!(ask(&client, &stage.tidegate.url("/")).await.map(|(status, _)| status), Ok(200));
        assert_eq!(stage.tidegate.admin_get("/ready").await.unwrap().0, 200);
        linger(100).await;
    }
    // After all of that an upgrade works.
    let went = stage.upgrade().await;
    assert!(went.ok, "{:#}", went.told);
    let tallies = crowd.end().await;
    eprintln!("killed after its step: {after:?}; {survived} were in charge before the shot");
    let mut lost = 0;
    for tally in &tallies {
        eprintln!("{tally}");
        assert!(tally.ok > 0, "{tally}");
        for failure in &tally.failures {
            lost += 1;
            // A machine that is busy wakes a client late.
            let near = |death: &Duration| {
                failure.at + Duration::from_millis(300) > *death
                    && failure.at < *death + Duration::from_secs(2)
            };
            assert!(deaths.iter().any(near), "no heir died then: {failure:?} of {}; {deaths:?}", tally.who);
        }
    }
    eprintln!("{lost} requests died with {} heirs that served", deaths.len());
    assert!(lost <= deaths.len() * 20, "{lost}");
}
