//! `curl`, as users run it: for what a client must do right by itself (100-continue, uploads from a
//! pipe, h2c).

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(30);

/// What a run of curl gave.
#[derive(Debug)]
pub struct Curl {
    /// curl's own exit code: 0, or 18 for a body that broke off, 52 for no answer, ...
    pub code: i32,
    /// Heads of the final answer, with `-i` semantics taken apart.
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// With `-v`: what it did.
    pub log: String,
}

/// Runs `curl ARGS`, without proxies and config files.
pub async fn curl(args: &[&str]) -> Curl {
    curl_with(args, &[]).await
}

/// As [`curl`], with bytes on standard input (`-T -` reads them).
pub async fn curl_with(args: &[&str], input: &[u8]) -> Curl {
    let head = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("curl");
    command.args(["-q", "-sS", "--noproxy", "*", "--max-time", "25", "-D"]).arg(head.path()).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("curl is installed");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // Beside the reading of its output, or both would wait for a full pipe. It may stop reading:
    // that is its answer.
    tokio::spawn(async move {
        let _ = stdin.write_all(&input).await;
    });
    let output = timeout(DEADLINE, child.wait_with_output()).await.expect("curl ends by itself").unwrap();
    let heads = std::fs::read_to_string(head.path()).unwrap_or_default();
    // Interim answers have heads of their own before the final one.
    let last = heads.trim_end().rsplit("\r\n\r\n").next().unwrap_or_default().to_owned();
    Curl {
        code: output.status.code().unwrap_or(-1),
        status: last.split(' ').nth(1).and_then(|s| s.trim().parse().ok()).unwrap_or(0),
        head: last,
        body: output.stdout,
        log: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Curl {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}
