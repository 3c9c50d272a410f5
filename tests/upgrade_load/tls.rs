//! A TLS listener through upgrades: curl with HTTP/1.1 and HTTP/2, `openssl s_client`, and resumed
//! sessions, which an heir takes too.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::watch;

use super::stage::{gone, linger};
use crate::support::load::BACKEND;
use crate::support::{Authority, Backend, Issued, Tidegate, http};

/// Runs a program again and again until told to stop; how often it ran, and each run that was not
/// as it should be.
async fn again(
    program: &str,
    args: Vec<String>,
    input: &'static str,
    right: fn(&str) -> bool,
    stopped: watch::Receiver<bool>,
) -> (usize, Vec<String>) {
    let (mut runs, mut wrong) = (0, Vec::new());
    while !*stopped.borrow() {
        let mut command = Command::new(program);
        command.args(&args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stdin, input.as_bytes()).await;
        let output = tokio::time::timeout(Duration::from_secs(30), child.wait_with_output()).await;
        drop(stdin);
        let output = output.expect("it ends by itself").unwrap();
        runs += 1;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() || !right(&text) {
            wrong.push(format!("{:?} {text} {}", output.status, String::from_utf8_lossy(&output.stderr)));
        }
        linger(50).await;
    }
    (runs, wrong)
}

fn curl(tidegate: &At, version: &str) -> Vec<String> {
    let At { port, ca } = tidegate;
    // Many on one connection, so that it is told to go in their midst.
    let url = format!("https://a.test:{port}/x?[1-30]");
    let resolve = format!("a.test:{port}:127.0.0.1");
    let words =
        ["-q", "-sS", "--noproxy", "*", "--max-time", "25", version, "--resolve", &resolve, "--cacert", ca];
    let said = ["-o", "/dev/null", "-w", "%{http_code} %{http_version} %{size_download}\n", &url];
    words.iter().chain(&said).map(|word| (*word).to_owned()).collect()
}

/// Where the TLS listener is, and whom to trust.
struct At {
    port: u16,
    ca: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_clients_notice_nothing() {
    let backend = Backend::start(BACKEND).await;
    let ca = Authority::new();
    let issued: Issued = ca.issue(&["a.test"]);
    let live = format!(
        "clusters:\n  web: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }} }}\nroutes:\n  - {{ name: all, cluster: web }}\n",
        backend.addr()
    );
    let keys = format!(
        "tls: {{ certificates: [ {{ cert: '{}', key: '{}' }} ] }}",
        issued.cert.display(),
        issued.key.display()
    );
    let tidegate = Tidegate::new(&live).listener("clear").listener_key("http", &keys).start().await;
    let at = At { port: tidegate.addr("http").port(), ca: ca.ca().display().to_string() };
    let (stop, stopped) = watch::channel(false);
    let connect = format!("127.0.0.1:{}", at.port);
    let s_client = [
        "s_client",
        "-connect",
        &connect,
        "-servername",
        "a.test",
        "-verify_return_error",
        "-CAfile",
        &at.ca,
        "-ign_eof",
        "-quiet",
    ];
    let tasks = [
        tokio::spawn(again("curl", curl(&at, "--http1.1"), "", |text| all(text, "1.1"), stopped.clone())),
        tokio::spawn(again("curl", curl(&at, "--http2"), "", |text| all(text, "2"), stopped.clone())),
        tokio::spawn(again(
            "openssl",
            s_client.map(str::to_owned).to_vec(),
            "GET / HTTP/1.0\r\nhost: a.test\r\n\r\n",
            |text| text.contains(" 200 ") && text.ends_with(BACKEND),
            stopped.clone(),
        )),
    ];
    linger(500).await;
    for _ in 0..4 {
        let old = tidegate.serving_pid().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["upgrade", "-c"])
            .arg(tidegate.config_path())
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}\n{}", tidegate.stderr());
        linger(700).await;
        gone(old, Duration::from_secs(40)).await;
    }
    let _ = stop.send(true);
    for (who, task) in ["curl, HTTP/1.1", "curl, HTTP/2", "s_client"].iter().zip(tasks) {
        let (runs, wrong) = task.await.unwrap();
        eprintln!("{who}: {runs} runs, {} of them wrong", wrong.len());
        assert!(runs > 3 && wrong.is_empty(), "{who}: {wrong:#?}");
    }
    let answer = http::client().get(format!("http://{}/", tidegate.addr("clear"))).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// Every line of a run of curl is right.
fn all(text: &str, version: &str) -> bool {
    let line = format!("200 {version} {}", BACKEND.len());
    text.lines().count() == 30 && text.lines().all(|said| said == line)
}
