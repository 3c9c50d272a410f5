//! Two keepers, one after the other.

use std::path::Path;

use super::*;
use crate::discovery::Quality;
use crate::discovery::keep::tests::{Bed, name, set};
use crate::state_file::Owner;

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn told(bed: &Bed) -> Estate {
    let told = Line(bed.inbox.clone()).bequeath().await;
    serde_json::from_str(&serde_json::to_string(&told).unwrap()).unwrap()
}

/// A keeper that begins with what another one has told.
fn heir(estate: Estate, dir: Option<&Path>, owner: &Owner) -> Bed {
    let bed = Bed::owned(dir.map(Into::into), owner.clone());
    Line(bed.inbox.clone()).begin_with(estate);
    bed
}

#[tokio::test(start_paused = true)]
async fn an_heir_serves_the_same_at_once_and_holds_what_was_held() {
    let mut elder = Bed::new(None);
    let answers = elder.begin("c", 1, "s");
    answers.members(set([1, 2]), Quality::Good, now());
    elder.update().await;
    answers.members(set([]), Quality::Good, now());
    assert_eq!(elder.status().await.held, 2);
    tokio::time::advance(Duration::from_secs(10)).await;
    let estate = told(&elder).await;

    let mut heir = heir(estate, None, &Owner::default());
    let answers = heir.begin("c", 1, "s");
    assert_eq!(heir.update().await, ("hand-over: web: 2 members".into(), vec![1, 2]));
    let status = heir.status().await;
    assert_eq!((status.held, status.origin, answers.holding()), (2, Some(Origin::Live), true));
    // As long as the source is not heard, no hold ends.
    answers.failed("refused", "nobody there", now());
    tokio::time::advance(Duration::from_secs(100)).await;
    assert_eq!(heir.status().await.held, 2);
    assert!(heir.updates.try_recv().is_err());
    elder.end().await;
    heir.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_hold_goes_on_from_when_it_was_missed() {
    let mut elder = Bed::new(None);
    let answers = elder.begin("c", 1, "s");
    answers.members(set([1]), Quality::Good, now());
    elder.update().await;
    answers.members(set([]), Quality::Good, now());
    elder.status().await;
    tokio::time::advance(Duration::from_secs(10)).await;
    let mut heir = heir(told(&elder).await, None, &Owner::default());
    let answers = heir.begin("c", 1, "s");
    heir.update().await;
    let begin = tokio::time::Instant::now();
    answers.members(set([]), Quality::Good, now());
    assert_eq!(heir.update().await, ("consul: web: 1 removed".into(), vec![]));
    assert_eq!(begin.elapsed().as_secs(), 20, "of 30 s, ten were over");
}

#[tokio::test(start_paused = true)]
async fn what_the_heir_has_heard_counts_more_and_another_question_is_another() {
    let mut elder = Bed::new(None);
    for (cluster, id) in [("a", 1), ("b", 2), ("c", 3)] {
        let answers = elder.begin(cluster, id, "s");
        answers.members(set([1]), Quality::Good, now());
        elder.update().await;
    }
    let first = told(&elder).await;
    let mut heir = heir(first, None, &Owner::default());
    let heard = heir.begin("a", 1, "s");
    heir.update().await;
    heir.begin("b", 2, "s");
    heir.update().await;
    heir.begin("c", 3, "another question");
    heard.members(set([1, 2]), Quality::Good, now());
    assert_eq!(heir.update().await, ("consul: web: 1 added".into(), vec![1, 2]));
    let mut last = told(&elder).await;
    for left in last.values_mut() {
        left.members = set([9]);
    }
    Line(heir.inbox.clone()).inherit(last).await;
    assert_eq!(heir.updates.try_recv().unwrap().cluster, name("b"));
    assert!(heir.updates.try_recv().is_err(), "neither a, which was heard, nor c");
}

#[tokio::test(start_paused = true)]
async fn of_two_processes_one_writes() {
    let dir = tempfile::tempdir().unwrap();
    let stored = || disk::load(dir.path()).unwrap().map(|state| state[&name("c")].members.clone());
    let elders = Owner::default();
    let mut elder = Bed::owned(Some(dir.path().into()), elders.clone());
    let answers = elder.begin("c", 1, "s");
    answers.members(set([1]), Quality::Good, now());
    elder.update().await;
    told(&elder).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    elders.leave();
    let estate = told(&elder).await;
    assert_eq!(stored(), Some(set([1])), "no write is under way any more");

    let heirs = Owner::heir();
    let mut heir = heir(estate, Some(dir.path()), &heirs);
    let answers_heir = heir.begin("c", 1, "s");
    heir.update().await;
    answers.members(set([1, 7]), Quality::Good, now());
    answers_heir.members(set([1, 8]), Quality::Good, now());
    elder.update().await;
    heir.update().await;
    tokio::time::sleep(Duration::from_secs(1000)).await;
    assert_eq!(stored(), Some(set([1])), "neither has written");
    heirs.take();
    while stored() != Some(set([1, 8])) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    elder.end().await;
    assert_eq!(stored(), Some(set([1, 8])), "not even at its end");
    heir.end().await;
}
