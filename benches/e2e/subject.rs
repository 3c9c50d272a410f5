//! Who is measured. The first is the floor that the others are divided by.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::process::{Process, free_address};
use crate::{PROXY_CORE, Result, text};

/// How many routes Tidegate has in this bench.
pub(crate) const ROUTES: usize = 100;

/// A proxy that runs.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    log: Option<PathBuf>,
}

/// Starts all of them, with the same endpoints behind.
pub(crate) fn all(
    folder: &Path,
    behind: [SocketAddr; 2],
    also: &[(String, PathBuf)],
) -> Result<Vec<Subject>> {
    let this = Path::new(env!("CARGO_BIN_EXE_tidegate"));
    let mut subjects = vec![
        bare(behind)?,
        tidegate("tidegate", this, folder, behind, PLAIN)?,
        tidegate("tidegate, no log", this, folder, behind, Setting { logs: false, ..PLAIN })?,
        tidegate("tidegate, split", this, folder, behind, Setting { splits: true, ..PLAIN })?,
    ];
    for (name, binary) in also {
        subjects.push(tidegate(name, binary, folder, behind, PLAIN)?);
    }
    Ok(subjects)
}

fn bare(behind: [SocketAddr; 2]) -> Result<Subject> {
    let address = free_address()?;
    let arguments = ["bare".into(), text(address), text(behind[0]), text(behind[1])];
    let process = Process::start(PROXY_CORE, &std::env::current_exe()?, &arguments)?;
    process.wait_for(address)?;
    Ok(Subject { name: "bare Pingora".into(), address, process, log: None })
}

fn tidegate(
    name: &str,
    binary: &Path,
    folder: &Path,
    behind: [SocketAddr; 2],
    setting: Setting,
) -> Result<Subject> {
    let (address, admin) = (free_address()?, free_address()?);
    let folder = folder.join(format!("port-{}", address.port()));
    fs::create_dir(&folder)?;
    let log = setting.logs.then(|| folder.join("access.log"));
    let file = folder.join("tidegate.yaml");
    fs::write(&file, config(&folder, address, admin, behind, log.as_deref(), setting.splits))?;
    let arguments = ["run".into(), "-c".into(), file.display().to_string()];
    let process = Process::start(PROXY_CORE, binary, &arguments)?;
    process.wait_for(address)?;
    Ok(Subject { name: name.into(), address, process, log })
}

/// What one Tidegate differs from another by.
#[derive(Clone, Copy)]
struct Setting {
    logs: bool,
    /// Each route is a split of two variants, by a header that the load sends.
    splits: bool,
}

const PLAIN: Setting = Setting { logs: true, splits: false };

/// A hundred routes by host and path, every fourth with a header condition; all to one cluster of
/// two endpoints.
fn config(
    folder: &Path,
    address: SocketAddr,
    admin: SocketAddr,
    behind: [SocketAddr; 2],
    log: Option<&Path>,
    splits: bool,
) -> String {
    let log = log.map_or_else(|| "none".into(), |path| path.display().to_string());
    let [first, second] = behind;
    let mut text = format!(
        "server: {{ threads: 1, upgrade_socket: {folder}/upgrade.sock }}\n\
         admin: {{ address: \"{admin}\" }}\n\
         listeners: [ {{ name: http, address: \"{address}\" }} ]\n\
         access_log: {{ path: {log}, format: json }}\n\
         clusters:\n  \
           web: {{ static: {{ endpoints: [ {{ address: \"{first}\" }}, {{ address: \"{second}\" }} ] }} }}\n\
         routes:\n",
        folder = folder.display(),
    );
    let target = if splits {
        "split: { key: [ { header: x-group }, { cookie: { name: tg_id, mint: 30d } } ], variants: [ \
         { name: control, cluster: web, weight: 90 }, { name: candidate, cluster: web, weight: 10 } ] }"
    } else {
        "cluster: web"
    };
    for i in 0..ROUTES {
        let headers = if i % 4 == 0 { ", headers: [ { name: x-group, exact: a } ]" } else { "" };
        text.push_str(&format!(
            "  - {{ name: service-{i}, {target}, match: {{ hosts: [ shop.example.com ], \
             path: {{ prefix: /api/v1/service-{i} }}{headers} }} }}\n"
        ));
    }
    text
}

// === impl Subject ===

impl Subject {
    /// Empties its log, so that a long run does not fill the disk. The file is open for appending,
    /// so it goes on at 0.
    pub(crate) fn empty_log(&self) -> Result<()> {
        if let Some(log) = &self.log {
            OpenOptions::new().write(true).open(log)?.set_len(0)?;
        }
        Ok(())
    }
}
