//! Programs that a test needs beside Tidegate. A missing one skips the test, loudly; in CI it fails
//! it.

use std::path::PathBuf;

/// Set to 1 (as `.ci/run` does), a missing peer is a failure: a suite that skips in CI tests
/// nothing.
const REQUIRE: &str = "TIDEGATE_REQUIRE_PEERS";

/// The path of a program, or None after saying so; then the test returns at once:
///
/// ```ignore
/// let Some(consul) = require_peer("consul") else { return };
/// ```
pub fn require_peer(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(usual).map(|dir| dir.join(name)).find(|p| p.is_file());
    if found.is_none() {
        skipped(&format!("`{name}` is not installed; `make test` installs what the tests need"));
    }
    found
}

/// Says loudly why a test cannot run here; the test returns then. Fails it where nothing may be
/// skipped.
pub fn skipped(why: &str) {
    assert!(std::env::var_os(REQUIRE).is_none_or(|v| v != "1"), "{why} ({REQUIRE}=1: not skipped)");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("\n*** SKIPPED {test}: {why}\n");
}

/// `require_peer("consul")`.
pub fn consul_binary() -> Option<PathBuf> {
    require_peer("consul")
}
