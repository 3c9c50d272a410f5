//! What a change does to traffic.

use std::time::Duration;

use serde_json::json;

use super::support::{Load, Tidegate, http};
use super::{SHOP, backends, count, live, set, shown};

#[tokio::test]
async fn a_change_serves_when_it_is_answered() {
    let (blue, green) = backends().await;
    let tidegate = Tidegate::new(&live(blue.addr(), green.addr(), [1, 0])).start().await;
    let mut generation = tidegate.generation().await;
    assert_eq!(shown(&tidegate).await, (vec![1, 0], vec![1, 0], "file".into(), 0));
    for epoch in 1..=20 {
        let sides = if epoch % 2 == 1 { (0, 1, "green") } else { (1, 0, "blue") };
        let told = set(&tidegate, sides.0, sides.1).await;
        assert_eq!(count(&tidegate, 3).await, [(sides.2.to_owned(), 3)].into());
        generation += 1;
        assert_eq!((&told["generation"], &told["epoch"]), (&json!(generation), &json!(epoch)));
        assert_eq!(tidegate.generation().await, generation);
    }
    assert_eq!(shown(&tidegate).await, (vec![1, 0], vec![1, 0], "overlay".into(), 20));
    let log = tidegate.stderr();
    assert!(log.contains("split: shop: blue 1 -> 0, green 0 -> 1"), "{log}");
}

#[tokio::test]
async fn what_is_shown_says_who_and_why_and_a_reset_returns() {
    let (blue, green) = backends().await;
    let tidegate = Tidegate::new(&live(blue.addr(), green.addr(), [90, 10])).start().await;
    let body = json!({"weights": {"green": 0}, "author": "ann@host", "why": "it is slow"});
    assert_eq!(super::put(&tidegate, body).await.0, 200);
    let split = tidegate.admin_json(SHOP).await;
    assert_eq!((&split["author"], &split["why"]), (&json!("ann@host"), &json!("it is slow")));
    assert_eq!((&split["key"], &split["seed"]), (&json!("header x-user, source_ip"), &json!("shop")));
    let variant = &split["variants"][1];
    assert_eq!((&variant["weight"], &variant["file_weight"]), (&json!(0), &json!(10)));
    assert_eq!(
        (&variant["share"], &variant["available"], &variant["endpoints"]),
        (&json!(0.0), &json!(1), &json!(1))
    );
    assert!(split["at"].as_str().unwrap().starts_with("20") && split["problem"].is_null(), "{split}");
    assert_eq!(tidegate.admin_json("/v1/splits").await, json!([split]));
    assert_eq!(count(&tidegate, 50).await.get("green"), None);

    let path = format!("{SHOP}/reset");
    let (status, text) = tidegate.admin_post(&path, &json!({"author": "bob"})).await.unwrap();
    assert_eq!(status, 200, "{text}");
    assert_eq!(shown(&tidegate).await, (vec![90, 10], vec![90, 10], "file".into(), 2));
    assert_eq!(tidegate.admin_json(SHOP).await["author"], "bob");
    let log = tidegate.stderr();
    assert!(log.contains("split: shop: green 10 -> 0 (ann@host: it is slow)"), "{log}");
    assert!(log.contains("split: shop: back to the file: green 0 -> 10 (bob)"), "{log}");
    // The same again is a decision too.
    let (status, _) = tidegate.admin_post(&path, &json!({})).await.unwrap();
    assert_eq!((status, shown(&tidegate).await.3), (200, 3));
}

#[tokio::test]
async fn a_preview_says_what_would_move_and_changes_nothing() {
    let (blue, green) = backends().await;
    let tidegate = Tidegate::new(&live(blue.addr(), green.addr(), [90, 10])).start().await;
    let generation = tidegate.generation().await;
    let path = format!("{SHOP}/preview");
    let (status, text) =
        tidegate.admin_post(&path, &json!({"weights": {"blue": 70, "green": 30}})).await.unwrap();
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, 200, "{told}");
    let near = |value: &serde_json::Value, wanted: f64| {
        assert!((value.as_f64().unwrap() - wanted).abs() < 1e-9, "{told}");
    };
    near(&told["before"]["blue"], 0.9);
    near(&told["after"]["green"], 0.3);
    near(&told["moved"], 0.2);
    near(&told["moves"][0]["share"], 0.2);
    assert_eq!((&told["moves"][0]["from"], &told["moves"][0]["to"]), (&json!("blue"), &json!("green")));
    assert_eq!((tidegate.generation().await, shown(&tidegate).await.3), (generation, 0));
    // What it said comes true: users who were green stay so.
    let before = count(&tidegate, 500).await["green"];
    set(&tidegate, 70, 30).await;
    let after = count(&tidegate, 500).await["green"];
    assert!(before < 100 && (after - before).abs_diff(100) < 45, "{before} -> {after}");
}

#[tokio::test]
async fn blue_green_under_load_fails_no_request_and_leaves_none_behind() {
    let (blue, green) = backends().await;
    let tidegate = Tidegate::new(&live(blue.addr(), green.addr(), [1, 0])).start().await;
    let load = Load::new(tidegate.addr("http")).connections(8).pause(Duration::from_millis(1));
    let (report, ()) = load
        .during(async {
            for round in 0..10 {
                let (old, new) = if round % 2 == 0 { (&blue, &green) } else { (&green, &blue) };
                tokio::time::sleep(Duration::from_millis(60)).await;
                let to_green = u64::from(round % 2 == 0);
                set(&tidegate, 1 - to_green, to_green).await;
                // Requests that were decided before the answer may be on their way.
                super::support::until(super::SOON, "the old side is left", || old.in_flight() == 0).await;
                let (left, gained) = (old.requests(), new.requests());
                super::support::until(super::SOON, "the new side serves", || new.requests() > gained + 20)
                    .await;
                assert!(old.requests() <= left + 8, "at most one a connection was still on its way");
                let left = old.requests();
                super::support::until(super::SOON, "and goes on", || new.requests() > gained + 100).await;
                assert_eq!(old.requests(), left, "round {round}");
            }
        })
        .await;
    report.assert_clean();
}

/// A shift sets weights every second or faster, on a busy route.
#[tokio::test]
async fn many_changes_under_load_fail_nothing_and_are_quick() {
    let (blue, green) = backends().await;
    let tidegate = Tidegate::new(&live(blue.addr(), green.addr(), [100, 0])).start().await;
    let load = Load::new(tidegate.addr("http")).connections(4).header("x-user", "7");
    let (report, slowest) = load
        .during(async {
            let (mut slowest, mut seen) = (Duration::ZERO, Vec::new());
            for step in 1..=100 {
                let begin = tokio::time::Instant::now();
                set(&tidegate, 100 - step, step).await;
                slowest = slowest.max(begin.elapsed());
                let asked = http::client().get(tidegate.url("/")).header("x-user", "7").send().await.unwrap();
                seen.push(asked.text().await.unwrap());
            }
            seen.dedup();
            assert_eq!(seen, ["blue", "green"], "one user moves one way, once");
            slowest
        })
        .await;
    report.assert_clean();
    eprintln!("slowest of 100 changes: {slowest:?}; {} requests, slowest {:?}", report.ok, report.slowest);
    assert_eq!(shown(&tidegate).await, (vec![0, 100], vec![100, 0], "overlay".into(), 100));
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

#[tokio::test]
async fn of_two_with_the_same_epoch_exactly_one_wins() {
    let (blue, green) = backends().await;
    let tidegate = Tidegate::new(&live(blue.addr(), green.addr(), [1, 1])).start().await;
    for epoch in 0..10 {
        let ask = |green: u64| {
            let body = json!({"weights": {"blue": 1, "green": green}, "if_epoch": epoch});
            super::put(&tidegate, body)
        };
        let answers = futures::future::join_all((2..6).map(ask)).await;
        let won: Vec<_> = answers.iter().filter(|(status, _)| *status == 200).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        for (status, told) in answers.iter().filter(|(status, _)| *status != 200) {
            assert_eq!((*status, &told["epoch"]), (409, &json!(epoch + 1)), "{told}");
        }
    }
    assert_eq!(shown(&tidegate).await.3, 10);
}
