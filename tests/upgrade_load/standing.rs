//! What an heir knows from its first request on: who is dead, who is ejected, who is drained, and
//! which weights serve.

use std::time::Duration;

use serde_json::{Value, json};

use super::SOON;
use super::stage::gone;
use crate::support::probe::ask;
use crate::support::{Backend, Fault, Tidegate, TidegateProcess, eventually, http, ports};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_heir_knows_who_is_out_and_which_weights_serve() {
    // So many good ones that the others are the lesser half: no panic.
    let goods = [Backend::start("good").await, Backend::start("good").await, Backend::start("good").await];
    let more = [Backend::start("good").await, Backend::start("good").await];
    let (bad, drained) = (Backend::start("bad").await, Backend::start("drained").await);
    let dead = ports::free_addr();
    bad.set_fault(Fault::Status(500));
    let all = goods.iter().chain(&more).chain([&bad, &drained]).map(Backend::addr).chain([dead]);
    let list: Vec<_> = all.map(|address| format!("{{ address: '{address}' }}")).collect();
    let live = format!(
        r#"clusters:
  web:
    static: {{ endpoints: [ {} ] }}
    connect_timeout: 500ms
    health_check: {{ tcp: {{}}, interval: 5s }}
    outlier_detection: {{ base_ejection: 60s, max_ejected_percent: 90 }}
  green: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }} }}
routes:
  - name: shop
    match: {{ path: {{ prefix: /shop }} }}
    split:
      variants:
        - {{ name: web, cluster: web, weight: 1 }}
        - {{ name: green, cluster: green, weight: 1 }}
  - {{ name: all, cluster: web }}
"#,
        list.join(", "),
        drained.addr(),
    );
    let tidegate = Tidegate::new(&live).start().await;
    let (client, url) = (http::client(), tidegate.url("/"));
    let path = format!("/v1/clusters/web/endpoints/{}/drain", drained.addr());
    assert_eq!(tidegate.admin_post(&path, &json!({"author": "ann", "why": "a disk"})).await.unwrap().0, 200);
    let weights = json!({"weights": {"web": 0, "green": 7}, "author": "ann"});
    assert_eq!(tidegate.admin_put("/v1/splits/shop", &weights).await.unwrap().0, 200);
    eventually(SOON, async || {
        // A round over all, since looking takes long on a busy machine and five failures eject.
        for _ in 0..8 {
            let _ = ask(&client, &url).await;
        }
        let shown = shown(&tidegate).await;
        let is = |address: String, key: &str, value: &str| shown["web"][address][key] == value;
        // Dated, too: it is ejected at once, and counted at the next look.
        let dated = shown["web"][bad.addr().to_string()]["ejections"] == 1;
        let out = is(bad.addr().to_string(), "standing", "ejected");
        if out && dated && is(dead.to_string(), "checked", "down") {
            Ok(())
        } else {
            Err(format!("{shown:#}"))
        }
    })
    .await;
    let before = shown(&tidegate).await;
    let asked = bad.requests();
    for round in 0..3 {
        let old = tidegate.serving_pid().unwrap();
        let upgraded = tokio::process::Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["upgrade", "-c"])
            .arg(tidegate.config_path())
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&upgraded.stdout).into_owned();
        assert!(
            upgraded.status.success() && text.starts_with(&format!("upgraded: PID {old} (")),
            "{upgraded:?}"
        );
        for _ in 0..20 {
            assert_eq!(ask(&client, &url).await, Ok((200, "good".into())), "round {round}");
            let shop = tidegate.url("/shop");
            assert_eq!(ask(&client, &shop).await, Ok((200, "drained".into())), "round {round}");
        }
        gone(old, Duration::from_secs(15)).await;
        assert_eq!(shown(&tidegate).await, before, "round {round}");
    }
    assert_eq!(bad.requests(), asked, "no request tried the ejected one again");
    let split = told(&tidegate, "/v1/splits/shop").await;
    assert_eq!((&split["origin"], &split["epoch"]), (&"overlay".into(), &1.into()), "{split:#}");
    // A change of an operator goes to the one in charge, and lasts over the next.
    let undrain = format!("/v1/clusters/web/endpoints/{}/undrain", drained.addr());
    let undrained = http::client().post(tidegate.admin_url(&undrain)).json(&json!({})).send().await;
    assert_eq!(undrained.unwrap().status(), 200);
    let (path, old) = (tidegate.config_path(), tidegate.serving_pid().unwrap());
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["upgrade", "-c"])
        .arg(path)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    gone(old, Duration::from_secs(15)).await;
    let after = shown(&tidegate).await;
    assert_eq!(after["web"][drained.addr().to_string()]["state"], "available", "{after:#}");
}

/// An answer of the admin API, on a connection of its own: a kept one ends with the process that it
/// is to, and whoever sends in that moment is cut.
async fn told(tidegate: &TidegateProcess, path: &str) -> Value {
    let answer = http::client().get(tidegate.admin_url(path)).send().await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// What is known of each endpoint, without what moves by itself; and the weights.
async fn shown(tidegate: &TidegateProcess) -> Value {
    let mut all = json!({});
    for cluster in ["web", "green"] {
        let told = told(tidegate, &format!("/v1/clusters/{cluster}")).await;
        for endpoint in told["endpoints"].as_array().unwrap() {
            let keys = [
                "state",
                "checked",
                "standing",
                "standing_why",
                "draining",
                "drained_by",
                "drained_why",
                "ejections",
            ];
            let kept = keys.map(|key| (key.to_owned(), endpoint[key].clone()));
            all[cluster][endpoint["address"].as_str().unwrap()] = Value::Object(kept.into_iter().collect());
        }
    }
    let split = told(tidegate, "/v1/splits/shop").await;
    let variants = split["variants"].as_array().unwrap().iter();
    all["weights"] = variants.map(|v| json!([v["name"], v["weight"]])).collect();
    all
}
