//! Who moves when weights change: those that must, and nobody else.

use serde_json::{Value, json};
use tidegate::split::{Draw, rendezvous};

use super::{SHOP, backends, live, set};
use crate::support::{Load, RawClient, Tidegate, TidegateProcess};

const USERS: usize = 1_000;

/// The backend of each user, as the published rule has it.
fn expected(weights: [u64; 2]) -> Vec<&'static str> {
    const NAMES: [&str; 2] = ["blue", "green"];
    let of_user = |n: usize| {
        let key = format!("user-{n}");
        let mut draw = Draw::new(b"shop", key.as_bytes());
        #[expect(clippy::cast_precision_loss, reason = "weights are small")]
        let candidates = NAMES.into_iter().zip(weights.map(|weight| weight as f64));
        NAMES[rendezvous::choose(&mut draw, candidates).unwrap()]
    };
    (0..USERS).map(of_user).collect()
}

async fn served(tidegate: &TidegateProcess) -> Vec<String> {
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let mut all = Vec::new();
    for n in 0..USERS {
        let response = raw.ask(format!("GET / HTTP/1.1\r\nhost: h\r\nx-user: user-{n}\r\n\r\n")).await;
        all.push(response.header("x-backend").unwrap().to_owned());
    }
    all
}

#[tokio::test]
async fn twenty_changes_under_load_move_only_whom_they_must() {
    let (blue, green) = backends().await;
    let tidegate = Tidegate::new(&live(blue.addr(), green.addr(), [90, 10])).start().await;
    let (report, ()) = Load::new(tidegate.addr("http"))
        .connections(4)
        .header("x-user", "ann")
        .during(async {
            let mut before = [90, 10];
            for round in 0..20_u64 {
                let after = [100 - round * 5, round * 5 + 1];
                let (status, told) = tidegate
                    .admin_post(
                        &format!("{SHOP}/preview"),
                        &json!({"weights": {"blue": after[0], "green": after[1]}}),
                    )
                    .await
                    .unwrap();
                assert_eq!(status, 200, "{told}");
                let told: Value = serde_json::from_str(&told).unwrap();
                set(&tidegate, after[0], after[1]).await;
                assert_eq!(served(&tidegate).await, expected(after), "{before:?} to {after:?}");
                let moved =
                    expected(before).iter().zip(expected(after)).filter(|(old, new)| **old != *new).count();
                #[expect(clippy::cast_precision_loss, reason = "a thousand users")]
                let (share, due) = (moved as f64 / USERS as f64, told["moved"].as_f64().unwrap());
                // Four standard deviations of a thousand draws.
                let slack = 4.0 * (due * (1.0 - due) / USERS as f64).sqrt() + 0.001;
                assert!(
                    (share - due).abs() < slack,
                    "{before:?} to {after:?}: {share} moved, preview said {due}"
                );
                before = after;
            }
        })
        .await;
    report.assert_clean();
}
