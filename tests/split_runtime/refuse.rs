//! What is refused changes nothing.

use serde_json::{Value, json};

use super::support::Tidegate;
use super::{SHOP, backends, live, put, set, shown};

/// Body of a PUT, and the path of the first problem.
const WRONG: &[(&str, &str)] = &[
    ("{}", "weights"),
    (r#"{"weights": {}}"#, "weights"),
    (r#"{"weights": 5}"#, "weights"),
    (r#"{"weights": ["blue"]}"#, "weights"),
    (r#"{"weights": {"blue": -1}}"#, "weights.blue"),
    (r#"{"weights": {"blue": 1.5}}"#, "weights.blue"),
    (r#"{"weights": {"blue": 1e30}}"#, "weights.blue"),
    (r#"{"weights": {"blue": 1000000001}}"#, "weights.blue"),
    (r#"{"weights": {"blue": 18446744073709551616}}"#, "weights.blue"),
    (r#"{"weights": {"blue": "ten"}}"#, "weights.blue"),
    (r#"{"weights": {"blue": null}}"#, "weights.blue"),
    (r#"{"weights": {"bleu": 1}}"#, "weights.bleu"),
    (r#"{"weights": {"a b": 1}}"#, "weights.a b"),
    (r#"{"weights": {"blue": 0, "green": 0}}"#, "weights"),
    (r#"{"weights": {"blue": 1, "blue": 2}}"#, "weights.blue"),
    (r#"{"weights": {"blue": 1}, "weigths": {}}"#, "weigths"),
    (r#"{"weights": {"blue": 1}, "weights": {"green": 1}}"#, "weights"),
    (r#"{"weights": {"blue": 1}, "if_epoch": -1}"#, "if_epoch"),
    (r#"{"weights": {"blue": 1}, "if_generation": "1"}"#, "if_generation"),
    (r#"{"weights": {"blue": 1}, "why": 7}"#, "why"),
    (r#"{"weights": {"blue": 1}, "author": "a\nb"}"#, "author"),
];

#[tokio::test]
async fn every_wrong_body_is_refused_with_its_place() {
    let (blue, green) = backends().await;
    let tidegate = Tidegate::new(&live(blue.addr(), green.addr(), [1, 2])).start().await;
    let generation = tidegate.generation().await;
    let client = super::http::client();
    for (body, path) in WRONG {
        for (method, page) in [("PUT", SHOP.to_owned()), ("POST", format!("{SHOP}/preview"))] {
            let request = client.request(method.parse().unwrap(), tidegate.admin_url(&page));
            let request = request.header("content-type", "application/json").body(*body);
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let told: Value = answer.json().await.unwrap();
            assert_eq!(status, 422, "{method} {body}: {told}");
            let problem = &told["problems"][0];
            assert_eq!(problem["path"], *path, "{method} {body}: {told}");
            assert!(problem["hint"].is_string(), "{body}: {told}");
        }
    }
    let many = r#"{"weights": {"blue": -1, "gren": 1}, "x": 1}"#;
    let request = client.put(tidegate.admin_url(SHOP)).header("content-type", "application/json").body(many);
    let told: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(told["problems"].as_array().unwrap().len(), 3, "{told}");
    assert_eq!(told["problems"][1]["hint"], "did you mean `green`?");
    for bad in ["", "{", "{\"weights\": {\"blue\": 1}} x", "{\"weights\": {\"blue\": 1e999}}"] {
        let request = client.put(tidegate.admin_url(SHOP)).header("content-type", "application/json");
        assert_eq!(request.body(bad).send().await.unwrap().status(), 400, "{bad}");
    }
    assert_eq!((tidegate.generation().await, shown(&tidegate).await.3), (generation, 0));
    assert!(!tidegate.dir().join("state/overlay.json").exists());
}

#[tokio::test]
async fn what_has_no_split_is_not_there() {
    let (blue, green) = backends().await;
    let tidegate = Tidegate::new(&live(blue.addr(), green.addr(), [1, 2])).start().await;
    for (route, hint) in
        [("shpo", "did you mean `shop`?"), ("plain", "`/v1/splits`"), ("a%20b", "`/v1/splits`")]
    {
        let path = format!("/v1/splits/{route}");
        let body = json!({"weights": {"blue": -1}});
        for answer in [
            tidegate.admin_get(&path).await,
            tidegate.admin_put(&path, &body).await,
            tidegate.admin_post(&format!("{path}/reset"), &json!({})).await,
            tidegate.admin_post(&format!("{path}/preview"), &body).await,
        ] {
            let (status, text) = answer.unwrap();
            let told: Value = serde_json::from_str(&text).unwrap();
            assert!(status == 404 && told["hint"].as_str().unwrap().contains(hint), "{route}: {text}");
        }
    }
    let client = super::http::client();
    let wrong = client.delete(tidegate.admin_url(SHOP)).send().await.unwrap();
    assert_eq!(
        (wrong.status().as_u16(), wrong.headers()["allow"].to_str().unwrap()),
        (405, "GET, HEAD, PUT")
    );
    let forged = client.put(tidegate.admin_url(SHOP)).header("origin", "http://evil.example");
    assert_eq!(forged.json(&json!({"weights": {"blue": 1}})).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn a_condition_that_does_not_hold_changes_nothing() {
    let (blue, green) = backends().await;
    let tidegate = Tidegate::new(&live(blue.addr(), green.addr(), [1, 2])).start().await;
    let ask = async |key: &str, value: u64| {
        let mut body = json!({"weights": {"blue": 5}});
        body[key] = value.into();
        put(&tidegate, body).await
    };
    let generation = set(&tidegate, 1, 1).await["generation"].as_u64().unwrap();
    for (key, value) in
        [("if_generation", generation - 1), ("if_generation", generation + 1), ("if_epoch", 0)]
    {
        let (status, told) = ask(key, value).await;
        assert_eq!(
            (status, &told["generation"], &told["epoch"]),
            (409, &json!(generation), &json!(1)),
            "{told}"
        );
        assert!(told["error"].is_string());
    }
    assert_eq!(shown(&tidegate).await.0, [1, 1]);
    let (status, _) = tidegate.admin_post(&format!("{SHOP}/reset"), &json!({"if_epoch": 0})).await.unwrap();
    assert_eq!(status, 409);
    assert_eq!(ask("if_generation", generation).await.0, 200);
    assert_eq!(ask("if_epoch", 2).await.0, 200);
    assert_eq!(shown(&tidegate).await.0, [5, 1]);
}
