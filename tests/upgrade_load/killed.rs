//! The new process is killed after each of its steps, at some moment: afterwards the old one serves,
//! alone and as before.
//!
//! What the killed process had accepted itself dies with it, as it would at any other time: no
//! design can save that. So failures are allowed only in rounds where the heir had its gate open,
//! and only about the time of its death; there are few of them, and they are told.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;

use super::stage::{Stage, linger, rounds, runs};
use crate::SOON;
use crate::support::http;
use crate::support::load::Tally;
use crate::support::probe::ask;
use crate::support::tidegate::signal;

/// After which step, and how long after it at most. A second after `serving` it is in charge.
const MOMENTS: [(&str, u64); 5] =
    [("spawned", 300), ("hello", 300), ("ready", 30), ("sockets", 100), ("serving", 850)];

/// How a round went.
struct Round {
    /// The last step that was heard before the shot.
    step: String,
    /// Since the crowd began. None: it was in charge before the shot.
    shot: Option<Duration>,
    why: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_the_old_one_serves() {
    let stage = Stage::start(&[]).await;
    let crowd = stage.crowd();
    let mut rng = fastrand::Rng::with_seed(6);
    let mut deaths = Vec::new();
    let mut after = BTreeMap::<String, usize>::new();
    let client = http::client();
    for round in 0..rounds(30, 100) {
        let main = stage.main();
        stage.alone(main, SOON).await;
        let (step, most) = MOMENTS[round % MOMENTS.len()];
        let wait = Duration::from_millis(rng.u64(0..most));
        let went = shoot(&stage, step, wait, || crowd.elapsed()).await;
        let Some(shot) = went.shot else {
            stage.follows(main).await;
            *after.entry("in charge, and let live".into()).or_default() += 1;
            continue;
        };
        *after.entry(went.step.clone()).or_default() += 1;
        eprintln!("{round}: shot at {shot:.2?}, {wait:?} after `{step}`: {}", went.why);
        assert!(went.why.contains("signal 9"), "round {round}: {}\n{}", went.why, stage.log());
        // An heir that has the sockets may have opened its gate before it said so.
        if matches!(went.step.as_str(), "sockets" | "serving") {
            deaths.push(shot);
        }
        assert!(stage.main() == main && runs(main), "round {round}: {} is in charge", stage.main());
        stage.alone(main, SOON).await;
        assert_eq!(ask(&client, &stage.tidegate.url("/")).await.map(|(status, _)| status), Ok(200));
        assert_eq!(stage.tidegate.admin_get("/ready").await.unwrap().0, 200);
        linger(50).await;
    }
    // After all of that an upgrade works.
    stage.must_upgrade().await;
    eprintln!("killed after its step: {after:?}");
    lost(&crowd.end().await, &deaths);
}

/// Asks for an upgrade, and kills the heir so long after a step.
async fn shoot(stage: &Stage, step: &str, wait: Duration, now: impl Fn() -> Duration) -> Round {
    let mut reports = stage.watch().await;
    let mut round = Round { step: String::new(), shot: None, why: String::new() };
    let mut heir = 0;
    let mut fire = Box::pin(sleep(Duration::from_secs(3600)));
    loop {
        let report = tokio::select! {
            biased;
            report = reports.next() => report.expect("the old process does not go away"),
            () = &mut fire, if round.shot.is_none() => {
                signal("KILL", heir);
                round.shot = Some(now());
                continue;
            }
        };
        let said = report["step"].as_str().unwrap().to_owned();
        heir = report["heir_pid"].as_u64().map_or(heir, |pid| u32::try_from(pid).unwrap());
        if said == step {
            fire = Box::pin(sleep(wait));
        }
        match said.as_str() {
            "failed" => {
                round.why = report["why"].as_str().unwrap_or_default().to_owned();
                return round;
            }
            "settled" => {
                assert!(round.shot.is_none(), "it was killed and is in charge: {report}\n{}", stage.log());
                return round;
            }
            _ if round.shot.is_none() => round.step = said,
            _ => {}
        }
    }
}

/// Each failure is the death of a heir that served.
fn lost(tallies: &[Tally], deaths: &[Duration]) {
    let mut lost = 0;
    for tally in tallies {
        eprintln!("{tally}");
        assert!(tally.ok > 0, "{tally}");
        for failure in &tally.failures {
            lost += 1;
            // The death may be told late, and a client may wake late, on a machine that is busy.
            let (before, later) = (Duration::from_millis(500), Duration::from_secs(2));
            let near = |death: &Duration| failure.at + before > *death && failure.at < *death + later;
            assert!(deaths.iter().any(near), "{}: no heir died then: {failure:?}; {deaths:?}", tally.who);
        }
    }
    eprintln!("{lost} requests died with {} heirs that served or were about to", deaths.len());
    assert!(lost <= deaths.len() * 20, "{lost}");
}
