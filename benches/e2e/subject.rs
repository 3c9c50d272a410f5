//! Who is measured. The first is the floor that the others are divided by.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::process::{Process, free_address};
use crate::{PROXY_CORE, Result, certificate, text};

/// How many routes Tidegate has in this bench.
pub(crate) const ROUTES: usize = 100;

/// A proxy that runs.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    pub(crate) spoken: Spoken,
    log: Option<PathBuf>,
}

/// What the load speaks to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    Http1,
    H2c,
    /// And HTTP/2 in clear to the endpoint.
    H2Tls,
}

/// Starts all of them, with the same endpoints behind.
pub(crate) fn all(
    folder: &Path,
    behind: [SocketAddr; 3],
    also: &[(String, PathBuf)],
) -> Result<Vec<Subject>> {
    let this = Path::new(env!("CARGO_BIN_EXE_tidegate"));
    let h2c = Setting { spoken: Spoken::H2c, ..PLAIN };
    let tls = Setting { spoken: Spoken::H2Tls, ..PLAIN };
    let mut subjects = vec![
        bare(behind)?,
        tidegate("tidegate", this, folder, behind, PLAIN)?,
        tidegate("no log", this, folder, behind, Setting { logs: false, ..PLAIN })?,
        tidegate("split", this, folder, behind, Setting { splits: true, ..PLAIN })?,
        tidegate("checks, outlier", this, folder, behind, Setting { watched: true, ..PLAIN })?,
        tidegate("h2c to h1", this, folder, behind, h2c)?,
        tidegate("TLS h2 to h2", this, folder, behind, tls)?,
    ];
    for (name, binary) in also {
        subjects.push(tidegate(name, binary, folder, behind, PLAIN)?);
    }
    Ok(subjects)
}

fn bare(behind: [SocketAddr; 3]) -> Result<Subject> {
    let address = free_address()?;
    let arguments = ["bare".into(), text(address), text(behind[0]), text(behind[1])];
    let process = Process::start(PROXY_CORE, &std::env::current_exe()?, &arguments)?;
    process.wait_for(address)?;
    Ok(Subject { name: "bare Pingora".into(), address, process, spoken: Spoken::Http1, log: None })
}

fn tidegate(
    name: &str,
    binary: &Path,
    folder: &Path,
    behind: [SocketAddr; 3],
    setting: Setting,
) -> Result<Subject> {
    let (address, admin) = (free_address()?, free_address()?);
    let folder = folder.join(format!("port-{}", address.port()));
    fs::create_dir(&folder)?;
    // Not beside the config: whoever watches a file is told of all that is written in its folder.
    let logs = folder.join("log");
    fs::create_dir(&logs)?;
    let log = setting.logs.then(|| logs.join("access.log"));
    let file = folder.join("tidegate.yaml");
    fs::write(&file, config(&folder, address, admin, behind, log.as_deref(), setting))?;
    if setting.spoken == Spoken::H2Tls {
        certificate::make(&folder)?;
    }
    let arguments = ["run".into(), "-c".into(), file.display().to_string()];
    let process = Process::start(PROXY_CORE, binary, &arguments)?;
    process.wait_for(address)?;
    Ok(Subject { name: name.into(), address, process, spoken: setting.spoken, log })
}

/// What one Tidegate differs from another by.
#[derive(Clone, Copy)]
struct Setting {
    logs: bool,
    /// Each route is a split of two variants, by a header that the load sends.
    splits: bool,
    /// The endpoints are probed, and taken out for their errors.
    watched: bool,
    spoken: Spoken,
}

const PLAIN: Setting = Setting { logs: true, splits: false, watched: false, spoken: Spoken::Http1 };

/// A hundred routes by host and path, every fourth with a header condition; all to one cluster of
/// two endpoints.
fn config(
    folder: &Path,
    address: SocketAddr,
    admin: SocketAddr,
    behind: [SocketAddr; 3],
    log: Option<&Path>,
    setting: Setting,
) -> String {
    let log = log.map_or_else(|| "none".into(), |path| path.display().to_string());
    let [first, second, http2] = behind;
    let tls = match setting.spoken {
        Spoken::H2Tls => ", tls: { certificates: [ { cert: site.pem, key: site.key } ] }",
        Spoken::Http1 | Spoken::H2c => "",
    };
    let endpoints = match setting.spoken {
        Spoken::H2Tls => format!("[ {{ address: \"{http2}\" }} ] }}, protocol: http2"),
        _ => format!("[ {{ address: \"{first}\" }}, {{ address: \"{second}\" }} ] }}"),
    };
    let watch = if setting.watched {
        ", health_check: { http: { path: / }, interval: 1s }, outlier_detection: {}"
    } else {
        ""
    };
    let mut text = format!(
        "server: {{ threads: 1, upgrade_socket: {folder}/upgrade.sock }}\n\
         admin: {{ address: \"{admin}\" }}\n\
         listeners: [ {{ name: http, address: \"{address}\"{tls} }} ]\n\
         access_log: {{ path: {log}, format: json }}\n\
         clusters:\n  \
           web: {{ static: {{ endpoints: {endpoints}{watch} }}\n\
         routes:\n",
        folder = folder.display(),
    );
    let target = if setting.splits {
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
