//! A bad file: everything that is wrong with it is said, and nothing changes.

use serde_json::{Value, json};

use super::support::probe::metric;
use super::support::{Backend, Load, Tidegate, until};
use super::{SOON, body, reload, to};

/// One problem of each stage of the loader: an unknown key, a bad value, a rule between keys, and
/// one that only compiling shows.
const BAD: &str = "\
clusters:
  web-v2: { static: { endpoints: [ { address: 127.0.0.1:1 } ] } }
routes:
  - name: one
    cluster: web-v3
  - name: two
    cluster: web-v2
    timeuot: 3s
  - name: three
    cluster: web-v2
    timeout: 3 parsecs
  - name: four
    match: { path: { regex: \"/(\" } }
    cluster: web-v2
";

#[tokio::test]
async fn every_problem_is_told_with_its_place_and_nothing_changes() {
    let backend = Backend::start("a").await;
    let good = to("web", backend.addr());
    let tidegate = Tidegate::new(&good).start().await;
    let before = tidegate.admin_json("/v1/snapshot").await;
    let head = std::fs::read_to_string(tidegate.config_path()).unwrap();
    let first = head.lines().count() - good.lines().count() + 1;
    tidegate.write_live(BAD);
    let (status, text) = tidegate.admin_post("/v1/reload", &json!({})).await.unwrap();
    assert_eq!(status, 422, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    let problems = answer["problems"].as_array().unwrap();
    let file = tidegate.config_path().display().to_string();
    for (line, column, path, word) in [
        (5, 14, "routes[0].cluster", "did you mean `web-v2`?"),
        (8, 5, "routes[1].timeuot", "did you mean `timeout`?"),
        (11, 14, "routes[2].timeout", "parsecs"),
        (13, 29, "routes[3].match.path.regex", ""),
    ] {
        let line = line + first - 1;
        let found =
            problems.iter().find(|p| p["path"] == path).unwrap_or_else(|| panic!("no {path}: {answer:#}"));
        assert_eq!(
            (&found["file"], &found["line"], &found["column"]),
            (&json!(file), &json!(line), &json!(column))
        );
        assert!(found.to_string().contains(word), "{found}");
        let place = format!("{file}:{line}:{column}: {path}: ");
        until(SOON, &place, || tidegate.stderr().contains(&place)).await;
    }
    assert_eq!(problems.len(), 4, "{answer:#}");
    assert_eq!(tidegate.admin_json("/v1/snapshot").await, before);
    assert_eq!(body(&tidegate).await, "a");
    assert_eq!(metric(&tidegate, "tidegate_config_last_reload_success").await, Some(0.0));
    assert!(metric(&tidegate, "tidegate_config_reloads_total{result=\"failure\"}").await >= Some(1.0));
    tidegate.write_live(&good);
    reload(&tidegate).await;
    assert_eq!(metric(&tidegate, "tidegate_config_last_reload_success").await, Some(1.0));
}

#[tokio::test]
async fn bad_files_under_load_fail_no_request() {
    let backend = Backend::start("a").await;
    let good = to("web", backend.addr());
    let tidegate = Tidegate::new(&good).start().await;
    let generation = tidegate.generation().await;
    let huge = format!("# {}\n", "x".repeat(17 << 20));
    let (report, ()) = Load::new(tidegate.addr("http"))
        .during(async {
            for bad in ["", "[", "\0", "routes: {}", "- a", "a: &a [*a]", BAD, "server: 7", &huge] {
                tidegate.write_config(bad);
                let (status, text) = tidegate.admin_post("/v1/reload", &json!({})).await.unwrap();
                assert_eq!(status, 422, "{bad:.20}: {text}");
                tidegate.hup();
            }
            tidegate.write_live(&good);
            assert_eq!(reload(&tidegate).await["generation"], generation);
        })
        .await;
    report.assert_clean();
    assert!(!tidegate.stderr().contains("panicked"), "{}", tidegate.stderr());
}
