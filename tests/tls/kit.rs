//! `openssl s_client`, and a Tidegate with a TLS listener.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{Backend, Curl, Issued, Tidegate, curl};

/// Longer than anything takes that works.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// One cluster and a route to it.
pub(crate) fn to(backend: &Backend) -> String {
    format!(
        "clusters:\n  web: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }} }}\nroutes:\n  - {{ name: all, cluster: web }}\n",
        backend.addr()
    )
}

/// The `tls` of a listener, with more keys after the certificates.
pub(crate) fn tls(certificates: &[&Issued], more: &str) -> String {
    let list: Vec<_> = certificates
        .iter()
        .map(|c| format!("{{ cert: '{}', key: '{}' }}", c.cert.display(), c.key.display()))
        .collect();
    format!("tls: {{ certificates: [ {} ]{more} }}", list.join(", "))
}

/// A Tidegate before `backend` whose listener speaks TLS.
pub(crate) fn tidegate(backend: &Backend, certificates: &[&Issued], more: &str) -> Tidegate {
    Tidegate::new(&to(backend)).listener_key("http", &tls(certificates, more))
}

/// What `openssl s_client` says: one request in HTTP/1.0, after which the server closes.
pub(crate) async fn s_client(addr: SocketAddr, args: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &addr.to_string(), "-ign_eof"]).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("openssl is installed");
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(b"GET /echo HTTP/1.0\r\nhost: h\r\n\r\n").await;
    let output = timeout(SOON, child.wait_with_output()).await.expect("s_client ends by itself").unwrap();
    drop(stdin);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A GET by curl for a name that is at `addr`, with the authority of `ca`. In HTTP/1.1 unless `args`
/// say otherwise.
pub(crate) async fn get(addr: SocketAddr, name: &str, ca: &Path, args: &[&str]) -> Curl {
    let resolve = format!("{name}:{}:{}", addr.port(), addr.ip());
    let url = format!("https://{name}:{}/echo", addr.port());
    let mut all = vec!["--http1.1", "--resolve", &resolve, "--cacert", ca.to_str().unwrap()];
    all.extend(args);
    all.push(&url);
    curl(&all).await
}

/// Whether a text has a line that begins so.
pub(crate) fn says(text: &str, start: &str) -> bool {
    text.lines().any(|line| line.trim_start().starts_with(start))
}
