//! What outlives what.

use serde_json::json;

use super::support::Tidegate;
use super::{SHOP, backends, count, live, put, set, shown};

#[tokio::test]
async fn a_reload_leaves_what_was_set() {
    let (blue, green) = backends().await;
    let tidegate = Tidegate::new(&live(blue.addr(), green.addr(), [1, 1])).start().await;
    set(&tidegate, 0, 5).await;
    tidegate.reload(&live(blue.addr(), green.addr(), [7, 3])).await;
    assert_eq!(shown(&tidegate).await, (vec![0, 5], vec![7, 3], "overlay".into(), 1));
    assert_eq!(count(&tidegate, 5).await, [("green".to_owned(), 5)].into());
    // A variant goes: what was said of it is passed over, and the rest stands.
    let renamed = live(blue.addr(), green.addr(), [7, 3]).replace("name: blue", "name: azure");
    tidegate.reload(&renamed).await;
    assert_eq!(shown(&tidegate).await.0, [7, 5]);
    let problem = tidegate.admin_json(SHOP).await["problem"].as_str().unwrap().to_owned();
    assert!(problem.contains("`blue`"), "{problem}");
    // The route goes and comes back.
    tidegate.reload(&live(blue.addr(), green.addr(), [1, 1]).replace("name: shop", "name: other")).await;
    assert_eq!(tidegate.admin_get(SHOP).await.unwrap().0, 404);
    assert_eq!(tidegate.admin_json("/v1/splits").await[0]["origin"], "file");
    tidegate.reload(&live(blue.addr(), green.addr(), [1, 1])).await;
    assert_eq!(shown(&tidegate).await, (vec![0, 5], vec![1, 1], "overlay".into(), 1));
}

#[tokio::test]
async fn reloads_and_changes_at_once_lose_neither() {
    let (blue, green) = backends().await;
    let tidegate = Tidegate::new(&live(blue.addr(), green.addr(), [1, 1])).start().await;
    let changes = async {
        for epoch in 1..=40 {
            let told = set(&tidegate, epoch, 1).await;
            let (weights, _, _, now) = shown(&tidegate).await;
            assert_eq!((told["epoch"].as_u64(), weights, now), (Some(epoch), vec![epoch, 1], epoch));
        }
    };
    let reloads = async {
        for weight in 2..=15 {
            tidegate.write_live(&live(blue.addr(), green.addr(), [1, weight]));
            let (status, text) = tidegate.admin_post("/v1/reload", &json!({})).await.unwrap();
            assert_eq!(status, 200, "{text}");
            assert_eq!(shown(&tidegate).await.1, [1, weight]);
        }
    };
    futures::future::join(changes, reloads).await;
    assert_eq!(shown(&tidegate).await, (vec![40, 1], vec![1, 15], "overlay".into(), 40));
}

#[tokio::test]
async fn killed_right_after_the_answer_the_next_process_serves_it() {
    let (blue, green) = backends().await;
    let state = tempfile::tempdir().unwrap();
    let live = live(blue.addr(), green.addr(), [1, 0]);
    for round in 0..4_u64 {
        let mut tidegate = Tidegate::new(&live).state_dir(state.path()).start().await;
        let before = if round == 0 { vec![1, 0] } else { vec![1 - round % 2, round % 2] };
        assert_eq!((shown(&tidegate).await.0, shown(&tidegate).await.3), (before, round));
        set(&tidegate, round % 2, 1 - round % 2).await;
        tidegate.kill();
    }
    let tidegate = Tidegate::new(&live).state_dir(state.path()).start().await;
    assert_eq!(tidegate.generation().await, 1, "it is in the very first snapshot");
    assert_eq!(count(&tidegate, 5).await, [("blue".to_owned(), 5)].into());
    let (status, _) = tidegate.admin_post(&format!("{SHOP}/reset"), &json!({})).await.unwrap();
    assert_eq!((status, shown(&tidegate).await.3), (200, 5));
    drop(tidegate);
    let tidegate = Tidegate::new(&live).state_dir(state.path()).start().await;
    assert_eq!(shown(&tidegate).await, (vec![1, 0], vec![1, 0], "file".into(), 5), "a reset lasts too");
}

#[tokio::test]
async fn without_a_place_to_keep_it_the_answer_says_so() {
    let (blue, green) = backends().await;
    let tidegate =
        Tidegate::new(&live(blue.addr(), green.addr(), [1, 0])).server("state_dir: ~").start().await;
    let told = set(&tidegate, 0, 1).await;
    assert!(told["warnings"][0].as_str().unwrap().contains("state_dir"), "{told}");
    assert_eq!(count(&tidegate, 3).await, [("green".to_owned(), 3)].into());
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_said() {
    let (blue, green) = backends().await;
    let state = tempfile::tempdir().unwrap();
    let live = live(blue.addr(), green.addr(), [1, 0]);
    let file = state.path().join("overlay.json");
    for bad in ["", "{", "{\"format\":1,\"sha256\":\"0\"}\n{\"splits\":{}}"] {
        std::fs::write(&file, bad).unwrap();
        let tidegate = Tidegate::new(&live).state_dir(state.path()).start().await;
        assert_eq!(shown(&tidegate).await.2, "file");
        assert_eq!(std::fs::read_to_string(state.path().join("overlay.json.damaged")).unwrap(), bad);
        let log = tidegate.stderr();
        assert!(log.contains("ERROR") && log.contains("cannot be read"), "{log}");
        set(&tidegate, 0, 1).await;
        drop(tidegate);
        let tidegate = Tidegate::new(&live).state_dir(state.path()).start().await;
        assert_eq!(shown(&tidegate).await.2, "overlay", "the next one is good");
    }
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused() {
    let (blue, green) = backends().await;
    let state = tempfile::tempdir().unwrap();
    let inner = state.path().join("state");
    let live = live(blue.addr(), green.addr(), [1, 0]);
    let tidegate = Tidegate::new(&live).state_dir(&inner).start().await;
    set(&tidegate, 3, 0).await;
    // A directory that is not one fails for everybody, also for root, whom no permission stops.
    let away = state.path().join("away");
    std::fs::rename(&inner, &away).unwrap();
    std::fs::write(&inner, "").unwrap();
    let generation = tidegate.generation().await;
    let (status, told) = put(&tidegate, json!({"weights": {"blue": 0, "green": 1}})).await;
    assert_eq!(status, 500, "{told}");
    let error = told["error"].as_str().unwrap();
    assert!(error.contains("overlay.json") && told["hint"].is_string(), "{told}");
    assert_eq!((tidegate.generation().await, shown(&tidegate).await.0), (generation, vec![3, 0]));
    assert_eq!(count(&tidegate, 3).await, [("blue".to_owned(), 3)].into());
    let log = tidegate.stderr();
    assert!(log.contains("weights refused"), "{log}");
    // And it goes on when the disk does.
    std::fs::remove_file(&inner).unwrap();
    std::fs::rename(&away, &inner).unwrap();
    assert_eq!(set(&tidegate, 0, 1).await["epoch"], 2);
    assert_eq!(count(&tidegate, 3).await, [("green".to_owned(), 3)].into());
}
