//! Holds the code to the house rules of DESIGN 8: arrows go down only, files are small, and the
//! laws about who may call what.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot read its input has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The layers, from the top. A module may use its own layer and those below.
const LAYERS: &[&[&str]] = &[
    &["main", "cli"],
    &["app"],
    &["proxy", "admin"],
    &[
        "control",
        "consul",
        "tls",
        "discovery::consul",
        "discovery::dns",
        "discovery::hub",
        "upgrade",
        "register",
        "health::service",
        "health::probe",
        "outlier::service",
    ],
    &["snapshot", "cluster"],
    &[
        "route",
        "split",
        "retry",
        "balance",
        "filter",
        "endpoint",
        "grpc",
        "health",
        "outlier",
        "priority",
        "proxy_protocol",
        "client_hello",
        "discovery",
    ],
    &["config", "observe", "state_file", "stream"],
];

/// Levels below this one are pure: no async, no clock, no global random.
const PURE: usize = 5;

/// Arrows that the table forbids and that are right all the same, with the reason.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("proxy", "control", "readiness is a flag that both sides share: control::ready, nothing else"),
    ("cli", "admin", "`explain` parses a request as the admin API does"),
];

struct Source {
    path: PathBuf,
    /// `proxy::accept` for `src/proxy/accept.rs`.
    module: String,
    text: String,
}

impl Source {
    /// The code without tests and comments.
    fn code(&self) -> String {
        let text = self.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.to_string_lossy().contains("/tests/")
    }
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let relative = path.strip_prefix(&root).unwrap().with_extension("");
        let module = relative.to_string_lossy().replace('/', "::");
        Source { module, text: std::fs::read_to_string(&path).unwrap(), path }
    };
    paths.into_iter().map(read).collect()
}

/// The layer of a module: that of the longest name in the table that it begins with.
fn layer(module: &str) -> Option<usize> {
    let within = |name: &str| module == name || module.starts_with(&format!("{name}::"));
    let named =
        LAYERS.iter().enumerate().flat_map(|(level, names)| names.iter().map(move |name| (name, level)));
    named.filter(|(name, _)| within(name)).max_by_key(|(name, _)| name.len()).map(|(_, level)| level)
}

/// The modules that a text names after `crate::`, groups (`crate::{a, b::c}`) included.
fn used(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for after in code.split("crate::").skip(1) {
        let end = after.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':')));
        let head = &after[..end.unwrap_or(after.len())];
        if let Some(group) = after.strip_prefix('{') {
            let inner = group.split('}').next().unwrap_or_default();
            found.extend(inner.split(',').map(|item| item.trim().to_owned()));
        } else {
            found.push(head.trim_end_matches(':').to_owned());
        }
    }
    found
}

#[test]
fn arrows_go_down_only() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|s| !s.is_test() && s.module != "lib") {
        let Some(own) = layer(&source.module) else {
            wrong.push(format!("{}: not in the table of layers", source.module));
            continue;
        };
        for target in used(&source.code()) {
            let Some(other) = layer(&target) else { continue };
            let top = |m: &str| m.split("::").next().unwrap_or_default().to_owned();
            let allowed =
                ALLOWED.iter().any(|(from, to, _)| top(&source.module) == *from && top(&target) == *to);
            let inside = top(&source.module) == top(&target);
            if other < own && !allowed && !inside {
                wrong.push(format!("{} (layer {own}) uses {target} (layer {other})", source.module));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that go up:\n{}", wrong.join("\n"));
}

#[test]
fn the_table_of_layers_finds_wrong_arrows() {
    assert_eq!(layer("discovery::consul::watch"), Some(3));
    assert_eq!(layer("discovery::keep"), Some(5));
    assert_eq!(layer("health::verdict"), Some(5));
    assert_eq!(layer("nowhere"), None);
    assert_eq!(used("use crate::a::b;\nlet x = crate::c::D::new();"), ["a::b", "c::D::new"]);
    assert_eq!(used("use crate::{a::b, c};"), ["a::b", "c"]);
}

#[test]
fn decisions_are_pure() {
    let forbidden =
        ["async fn", ".await", "Instant::now", "SystemTime::now", "fastrand::u", "Rng::new()", "thread_rng"];
    // The roster and leases are state, not decisions; `discovery` holds the keeper task beside the
    // trait.
    let state = ["discovery"];
    for source in sources().iter().filter(|s| !s.is_test()) {
        let top = source.module.split("::").next().unwrap_or_default();
        if layer(&source.module) != Some(PURE) || state.contains(&top) {
            continue;
        }
        let code = source.code();
        for word in forbidden {
            assert!(
                !code.contains(word),
                "{} is a decision and must not use `{word}`",
                source.path.display()
            );
        }
    }
}

#[test]
fn files_have_one_idea() {
    let mut lengths = BTreeMap::new();
    for source in sources().iter().filter(|s| !s.is_test()) {
        let lines = source.text.lines().count();
        assert!(lines <= 500, "{} has {lines} lines; split it", source.path.display());
        lengths.insert((lines, source.path.clone()), ());
    }
    let median = lengths.keys().nth(lengths.len() / 2).map_or(0, |(lines, _)| *lines);
    assert!(median < 150, "the median file has {median} lines");
    let sources = sources();
    assert!(sources.iter().all(|s| !s.path.ends_with("mod.rs")), "use foo.rs beside foo/, not mod.rs");
    let main = sources.iter().find(|s| s.module == "main").expect("main.rs");
    assert!(main.text.lines().count() < 60, "main.rs parses the command line and calls one function");
}

#[test]
fn every_module_says_why_it_exists() {
    for source in sources() {
        let documented = source.text.starts_with("//!") || source.is_test();
        assert!(documented, "{} does not begin with `//!`", source.path.display());
    }
}

/// The two laws that make a snapshot what it is: one writer, and one load a request.
#[test]
fn one_writer_and_one_load() {
    let callers = |needle: &str| {
        let mut found: Vec<_> = sources()
            .iter()
            .filter(|s| !s.is_test() && s.code().contains(needle))
            .map(|s| s.module.clone())
            .collect();
        found.sort();
        found
    };
    assert_eq!(callers("cell.publish("), ["control::writer"]);
    let of_requests: Vec<_> = callers("cell.load()").into_iter().filter(|m| m.starts_with("proxy")).collect();
    assert_eq!(
        of_requests,
        ["proxy::accept", "proxy::lost", "proxy::tcp"],
        "lost: requests that never reach accept; tcp: connections without requests"
    );
}
