//! `.ci/release`: what it does where a tool is missing, and what it refuses. With stand-ins for cargo, rustc,
//! llvm-profdata and llvm-bolt in a copy of the tree, so nothing is compiled; that the real ones fit together is seen by
//! `make release` itself, which checks its outcome.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// "Compiles" the training, and is of an LLVM that nobody has.
const RUSTC: &str = r#"
case "$1" in
  -vV) printf 'host: x-y-z\nLLVM version: 99.1.2\n' ;;
  --print) echo /nowhere ;;
  *) printf '#!/bin/sh\necho trained >>log\n[ "$(grep -c trained log)" != "${TRAINING_FAILS:-}" ]\n' >"$5"; chmod +x "$5" ;;
esac"#;

/// "Builds", and writes down with which flags.
const CARGO: &str = r#"
echo "cargo$RUSTFLAGS" >>log
folder=target/release
while [ $# -gt 0 ]; do
  if [ "$1" = --target-dir ]; then folder="$2/x-y-z/release"; fi
  shift
done
mkdir -p "$folder"
printf '#!/bin/sh\necho tidegate 1.2.3\n' >"$folder/tidegate"
chmod +x "$folder/tidegate""#;

/// Merges, and shows a function that was called `$CALLED` times.
const PROFDATA: &str = r#"
case "$1" in
  --version) echo "LLVM version 99.1.0" ;;
  merge) : >"$3" ;;
  show) printf 'Total functions: 3\nMaximum function count: %s\n' "$CALLED" ;;
esac"#;

/// Rewrites, and writes down what for. `$BOLT_FAILS` says for what it does not.
const BOLT: &str = r#"
if [ "$1" = --version ]; then echo "LLVM version 99.1.0"; exit; fi
case " $* " in *" -instrument "*) for=counting ;; *) for=laying-out ;; esac
echo "bolt $for" >>log
if [ "${BOLT_FAILS:-}" = $for ]; then echo "BOLT-ERROR: not today" >&2; exit 1; fi
for argument; do
  case "$argument" in --instrumentation-file=*) : >"${argument#*=}.17.fdata" ;; esac
done
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\necho tidegate 1.2.3, laid out\n' >"$2"
chmod +x "$2""#;

/// A tree with the scripts and the stand-ins.
struct Tree(TempDir);

/// What a run of the script came to.
struct Ran {
    ok: bool,
    said: String,
    /// What the stand-ins wrote down.
    log: String,
}

#[test]
fn without_the_tool_it_says_so_and_builds_without() {
    let ran = Tree::new().run(&[]);
    assert!(ran.ok, "{}", ran.said);
    assert!(ran.said.contains("NO llvm-profdata OF LLVM 99"), "{}", ran.said);
    assert!(ran.said.contains("rustup component add llvm-tools"), "{}", ran.said);
    assert!(ran.said.contains("target/release/tidegate is tidegate 1.2.3, built WITHOUT"), "{}", ran.said);
    assert_eq!(ran.log, "cargo\n");
}

#[test]
fn without_the_tool_it_fails_when_it_must_not_do_without() {
    let ran = Tree::new().run(&[("PGO", "1")]);
    assert!(!ran.ok);
    assert_eq!(ran.log, "");
}

#[test]
fn it_trains_once_for_the_same_sources() {
    let tree = Tree::new();
    let with = [("LLVM_PROFDATA", "bin/some-profdata"), ("CALLED", "2000000")];
    let ran = tree.run(&with);
    assert!(ran.ok, "{}", ran.said);
    assert!(
        ran.said.contains("target/release/tidegate is tidegate 1.2.3, built with a profile"),
        "{}",
        ran.said
    );
    let log: Vec<_> = ran.log.lines().collect();
    assert_eq!(log.len(), 3, "{log:?}");
    assert!(log[0].contains("-Cprofile-generate=/"), "{log:?}");
    assert_eq!(log[1], "trained");
    assert!(log[2].contains("-Cprofile-use=/"), "{log:?}");

    let again = tree.run(&with);
    assert!(again.ok && again.said.contains("stays"), "{}", again.said);
    assert_eq!(again.log.matches("trained").count(), 1, "{}", again.log);
}

#[test]
fn a_profile_of_nothing_is_refused() {
    for called in ["0", "17", ""] {
        let ran = Tree::new().run(&[("LLVM_PROFDATA", "bin/some-profdata"), ("CALLED", called)]);
        assert!(!ran.ok && ran.said.contains("were expected"), "{called}: {}", ran.said);
        assert!(!ran.log.contains("-Cprofile-use"), "{called}: {}", ran.log);
    }
}

/// With a profile; of the layout it is up to the case.
const TOOLS: [(&str, &str); 2] = [("LLVM_PROFDATA", "bin/some-profdata"), ("CALLED", "2000000")];

#[test]
fn it_lays_out_what_it_built_and_asks_it_for_everything() {
    let tree = Tree::new();
    let with = [TOOLS[0], TOOLS[1], ("LLVM_BOLT", "bin/some-bolt")];
    let ran = tree.run(&with);
    assert!(ran.ok, "{}", ran.said);
    assert!(
        ran.said.contains("is tidegate 1.2.3, laid out, built with a profile and a layout"),
        "{}",
        ran.said
    );
    let log: Vec<_> = ran.log.lines().collect();
    assert!(log[2].contains("--emit-relocs"), "{log:?}");
    assert_eq!(log[3..], ["bolt counting", "trained", "bolt laying-out", "trained"], "{}", ran.log);

    let again = tree.run(&with);
    assert!(again.ok, "{}", again.said);
    assert_eq!(again.log.matches("bolt counting").count(), 1, "its counts stay: {}", again.log);
    assert_eq!(again.log.matches("bolt laying-out").count(), 2, "{}", again.log);
}

#[test]
fn without_bolt_it_says_so_and_goes_on_unless_it_must_not() {
    let ran = Tree::new().run(&TOOLS);
    assert!(ran.ok && ran.said.contains("NO llvm-bolt OF LLVM 22"), "{}", ran.said);
    assert!(ran.said.ends_with("is tidegate 1.2.3, built with a profile\n"), "{}", ran.said);
    assert!(!ran.log.contains("emit-relocs"), "{}", ran.log);
    let ran = Tree::new().run(&[TOOLS[0], TOOLS[1], ("BOLT", "1")]);
    assert!(!ran.ok && ran.log.is_empty(), "{}", ran.said);
    let ran = Tree::new().run(&[("BOLT", "1")]);
    assert!(!ran.ok && ran.log.is_empty(), "there is no layout without a profile: {}", ran.said);
    let ran = Tree::new().run(&[("BOLT", "1"), ("PGO", "0")]);
    assert!(!ran.ok && ran.log.is_empty(), "{}", ran.said);
    let ran = Tree::new().run(&[TOOLS[0], TOOLS[1], ("BOLT", "0"), ("LLVM_BOLT", "bin/some-bolt")]);
    assert!(ran.ok && !ran.log.contains("bolt"), "{}", ran.said);
}

#[test]
fn a_layout_that_fails_leaves_the_binary_as_it_was() {
    for step in ["counting", "laying-out"] {
        let with = [TOOLS[0], TOOLS[1], ("LLVM_BOLT", "bin/some-bolt"), ("BOLT_FAILS", step)];
        let ran = Tree::new().run(&with);
        assert!(ran.ok && ran.said.contains("BOLT-ERROR: not today"), "{step}: {}", ran.said);
        assert!(ran.said.ends_with("is tidegate 1.2.3, built with a profile\n"), "{step}: {}", ran.said);
        let ran = Tree::new().run(&[&with[..], &[("BOLT", "1")]].concat());
        assert!(!ran.ok, "{step}: {}", ran.said);
    }
}

#[test]
fn a_layout_that_gives_wrong_answers_is_not_taken() {
    for (training, word) in [("2", "with counters in it"), ("3", "DOES NOT ANSWER AS IT MUST")] {
        let with = [TOOLS[0], TOOLS[1], ("LLVM_BOLT", "bin/some-bolt"), ("TRAINING_FAILS", training)];
        let ran = Tree::new().run(&with);
        assert!(ran.ok && ran.said.contains(word), "{training}: {}", ran.said);
        assert!(ran.said.ends_with("is tidegate 1.2.3, built with a profile\n"), "{training}: {}", ran.said);
        let ran = Tree::new().run(&[&with[..], &[("BOLT", "1")]].concat());
        assert!(!ran.ok && ran.said.contains(word), "{training}: {}", ran.said);
    }
    let ran = Tree::new().run(&[TOOLS[0], TOOLS[1], ("TRAINING_FAILS", "1")]);
    assert!(!ran.ok && ran.said.contains("the training failed"), "{}", ran.said);
}

#[test]
fn sources_that_change_under_the_build_end_it() {
    let tree = Tree::new();
    let root = tree.0.path();
    fs::write(root.join("Cargo.toml"), "[package]\n").unwrap();
    let train = RUSTC.replace("echo trained >>log", "echo trained >>log; echo >>Cargo.toml");
    fs::write(root.join("bin/rustc"), format!("#!/bin/bash{train}\n")).unwrap();
    let ran = tree.run(&TOOLS);
    assert!(!ran.ok && ran.said.contains("the sources have changed meanwhile"), "{}", ran.said);
}

#[test]
fn told_not_to_it_asks_for_no_tool() {
    let ran = Tree::new().run(&[("PGO", "0"), ("LLVM_PROFDATA", "bin/some-profdata")]);
    assert!(ran.ok && ran.said.contains("built WITHOUT"), "{}", ran.said);
    assert_eq!(ran.log, "cargo\n");
}

// === impl Tree ===

impl Tree {
    fn new() -> Self {
        let tree = TempDir::new().unwrap();
        let root = tree.path();
        fs::create_dir(root.join(".ci")).unwrap();
        for name in ["release", "profdata", "bolt"] {
            fs::copy(
                Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci").join(name),
                root.join(".ci").join(name),
            )
            .unwrap();
        }
        fs::create_dir(root.join("bin")).unwrap();
        for (name, text) in
            [("cargo", CARGO), ("rustc", RUSTC), ("some-profdata", PROFDATA), ("some-bolt", BOLT)]
        {
            let file = root.join("bin").join(name);
            fs::write(&file, format!("#!/bin/bash{text}\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self(tree)
    }

    fn run(&self, variables: &[(&str, &str)]) -> Ran {
        let root = self.0.path();
        let mut command = Command::new(root.join(".ci/release"));
        let path = format!("{}:{}", root.join("bin").display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).current_dir(root);
        for name in ["PGO", "BOLT", "CARGO", "RUSTFLAGS", "LLVM_PROFDATA", "LLVM_BOLT", "CARGO_TARGET_DIR"] {
            command.env_remove(name);
        }
        // That of the machine is not to be met.
        command.env("LLVM_BOLT", "/nowhere");
        let out = command.envs(variables.iter().copied()).output().unwrap();
        Ran {
            ok: out.status.success(),
            said: String::from_utf8_lossy(&out.stderr).into_owned(),
            log: fs::read_to_string(root.join("log")).unwrap_or_default(),
        }
    }
}
