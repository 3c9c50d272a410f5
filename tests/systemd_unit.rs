//! The delivered units, read by systemd's own tools. A systemd that runs them is in `tests/systemd`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::require_peer;

/// Ten times what `systemd-analyze security` may say of the service.
const EXPOSURE: &str = "--threshold=25";

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

/// What the tool printed, and whether it was content.
fn said(output: &Output) -> (bool, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn systemd_finds_nothing_wrong() {
    let Some(analyze) = require_peer("systemd-analyze") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for unit in ["tidegate.service", "tidegate.socket"] {
        // It looks whether the program is there.
        let text = std::fs::read_to_string(units().join(unit)).unwrap();
        let path = dir.path().join(unit);
        std::fs::write(&path, text.replace("/usr/bin/tidegate", env!("CARGO_BIN_EXE_tidegate"))).unwrap();
        paths.push(path);
    }
    let output = Command::new(analyze).args(["verify", "--man=no"]).args(&paths).output().unwrap();
    let (content, text) = said(&output);
    // What it says of units of this machine is none of ours.
    let ours: Vec<_> = text.lines().filter(|line| line.contains("tidegate")).collect();
    assert!(content && ours.is_empty(), "{text}");
}

#[test]
fn it_is_exposed_to_little() {
    let Some(analyze) = require_peer("systemd-analyze") else { return };
    let unit = units().join("tidegate.service");
    let output =
        Command::new(analyze).args(["security", "--no-pager", "--offline=true", EXPOSURE]).arg(unit).output();
    let (content, text) = said(&output.unwrap());
    assert!(content, "{text}");
}
