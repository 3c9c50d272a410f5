//! What `tidegate check` says: every file of `tests/golden` against its `.txt`, and every file of
//! `conf` as fine.
//!
//! After a change of wording, `BLESS=1 cargo test --test config_check` writes the texts anew; read
//! the diff.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may panic, as the test does")]

use std::fs;
use std::path::{Path, PathBuf};

use tidegate::cli::check::Report;
use tidegate::config::schema::schema;
use tidegate::config::{Problem, load};

#[path = "config_check/fits.rs"]
mod fits;

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{folder}: {e}"));
    let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == extension));
    files.sort();
    files
}

fn report(path: &Path) -> Report {
    Report::new(path, |_| Vec::new())
}

#[test]
fn every_mistake_is_told_as_written() {
    let bless = std::env::var_os("BLESS").is_some();
    let files = files("tests/golden", "yaml");
    assert!(files.len() >= 25, "{} files", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let report = report(&file);
        assert!(!report.ok(), "{} has no problem", file.display());
        let expected = file.with_extension("txt");
        if bless {
            fs::write(&expected, report.text()).unwrap();
        }
        let text = fs::read_to_string(&expected).unwrap_or_default();
        if text != report.text() {
            wrong.push(format!("--- {}\n{text}+++ now\n{}", expected.display(), report.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn ten_mistakes_are_ten_problems() {
    assert_eq!(report(Path::new("tests/golden/ten-at-once.yaml")).problems().len(), 10);
}

#[test]
fn every_example_is_fine_and_fits_the_schema() {
    let schema = schema();
    let files = files("conf", "yaml");
    assert!(files.len() >= 9, "{} files", files.len());
    for file in files {
        let report = report(&file);
        assert!(report.ok(), "{}", report.text());
        let builder = tidegate::app::Builder::file(&file);
        // What the examples of TLS name is on the machines that they are for.
        let mut problems = builder.problems();
        let of_files = |path: &str| path.starts_with("consul.") || path.contains(".tls.");
        problems.retain(|p| !(of_files(&p.path) && p.what.contains("/etc/tidegate/")));
        assert_eq!(problems, [], "{}", file.display());
        assert_eq!(builder.warnings(), [], "{}", file.display());
        assert!(report.text().starts_with(&format!("{}: ok: ", file.display())), "{}", report.text());
        let text = fs::read_to_string(&file).unwrap();
        let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(fits::check(&schema, &value), Ok(()), "{}", file.display());
    }
}

#[test]
fn the_schema_refuses_what_the_loader_refuses() {
    let schema = schema();
    let refused = [
        "missing-key",
        "unknown-key",
        "wrong-type",
        "no-action",
        "two-sources",
        "bad-duration",
        "bad-enum",
        "number-range",
        "condition-empty",
    ];
    for name in refused {
        let text = fs::read_to_string(format!("tests/golden/{name}.yaml")).unwrap();
        let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert!(fits::check(&schema, &value).is_err(), "{name}");
    }
}

#[test]
fn problems_of_compiling_come_in_the_same_run_with_their_places() {
    let compile = |config: &tidegate::config::Config| {
        let last = config.live.routes.len() - 1;
        vec![
            Problem::new(format!("routes[{last}].match.path.regex"), "not a regex"),
            // On what was left out, so it may only follow.
            Problem::new("routes[0]", "follows"),
        ]
    };
    let report = Report::new(Path::new("tests/golden/wrong-type.yaml"), compile);
    let told: Vec<String> = report.problems().iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|t| t.ends_with("not a regex") && t.contains("wrong-type.yaml:")), "{told:?}");
}

#[test]
fn json_has_the_place_in_numbers() {
    let json = report(Path::new("tests/golden/unknown-cluster.yaml")).json();
    assert_eq!(json["ok"], false);
    let problem = &json["problems"][0];
    assert_eq!(problem["path"], "routes[0].cluster");
    assert_eq!((problem["line"].as_u64(), problem["column"].as_u64()), (Some(9), Some(14)));
    assert_eq!(problem["file"], "tests/golden/unknown-cluster.yaml");
    assert!(problem["hint"].as_str().unwrap().contains("web-v1"));
    assert_eq!(report(Path::new("conf/static.yaml")).json()["ok"], true);
}

#[test]
fn the_readme_shows_a_config_that_is_fine() {
    let readme = fs::read_to_string("README.md").unwrap();
    let blocks: Vec<_> =
        readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let (config, _) = load::text_of(block, Path::new("README.md")).unwrap();
        let mut problems = tidegate::app::Builder::new(config.clone()).problems();
        problems.retain(|p| !(p.path.contains(".tls.") && p.what.contains("/etc/tidegate/")));
        assert_eq!(problems, []);
        assert_eq!(tidegate::app::Builder::new(config).warnings(), []);
    }
}
