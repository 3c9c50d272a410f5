//! Packages of the binary under test: one made by `.ci/deb`, and as many newer ones as wanted,
//! which differ from it by their version and a few bytes after the end of the binary.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{Container, Ran};

/// The first package, unpacked for newer ones.
pub(crate) struct Debs {
    dir: TempDir,
    first: PathBuf,
    binary: Vec<u8>,
}

impl Debs {
    /// Makes `0.1.0-1` of it.
    pub(crate) async fn build() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/deb"));
        command.arg(env!("CARGO_BIN_EXE_tidegate")).args(["--fast", "--version", "0.1.0-1", "--out"]);
        let out = command.arg(dir.path()).output().await.unwrap();
        assert!(out.status.success(), ".ci/deb: {}", String::from_utf8_lossy(&out.stderr));
        let first = PathBuf::from(String::from_utf8_lossy(&out.stdout).trim());
        let unpacked = dir.path().join("unpacked");
        dpkg_deb(&["--raw-extract", first.to_str().unwrap(), unpacked.to_str().unwrap()]).await;
        let binary = fs::read(unpacked.join("usr/bin/tidegate")).unwrap();
        Self { dir, first, binary }
    }

    /// `0.1.0-REVISION`, with a binary of its own.
    pub(crate) async fn revision(&self, revision: u32) -> PathBuf {
        self.with_binary(revision, &[&self.binary, format!("\nrevision {revision}\n").as_bytes()].concat())
            .await
    }

    /// The same binary in a newer package: only what is around it changed.
    pub(crate) async fn repackaged(&self, revision: u32) -> PathBuf {
        self.with_binary(revision, &self.binary).await
    }

    /// A newer package whose binary is another program.
    pub(crate) async fn with_binary(&self, revision: u32, binary: &[u8]) -> PathBuf {
        if revision == 1 {
            return self.first.clone();
        }
        let unpacked = self.dir.path().join("unpacked");
        fs::write(unpacked.join("usr/bin/tidegate"), binary).unwrap();
        let control = fs::read_to_string(unpacked.join("DEBIAN/control")).unwrap();
        let version = |line: &str| match line.starts_with("Version: ") {
            true => format!("Version: 0.1.0-{revision}\n"),
            false => format!("{line}\n"),
        };
        fs::write(unpacked.join("DEBIAN/control"), control.lines().map(version).collect::<String>()).unwrap();
        let deb = self.dir.path().join(format!("tidegate_0.1.0-{revision}.deb"));
        let (from, to) = (unpacked.to_str().unwrap(), deb.to_str().unwrap());
        dpkg_deb(&["--root-owner-group", "-Znone", "--build", from, to]).await;
        deb
    }
}

async fn dpkg_deb(args: &[&str]) {
    let out = Command::new("dpkg-deb").args(args).output().await.unwrap();
    assert!(out.status.success(), "dpkg-deb {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// `dpkg -i`. The container's files are in memory; what dpkg does to bring them to a disk is slow
/// and for nothing.
pub(crate) async fn install(container: &Container, deb: &std::path::Path) -> Ran {
    fs::copy(deb, container.path("/root/tidegate.deb")).unwrap();
    container.run(&["dpkg", "--force-unsafe-io", "--force-confold", "-i", "/root/tidegate.deb"]).await
}
