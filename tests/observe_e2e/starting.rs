//! A start that must not be, ends at once with one clear line.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use super::web;
use crate::support::{Backend, Tidegate, free_port, http};

const SOON: Duration = Duration::from_secs(2);

/// Runs `tidegate run` on a config that cannot work.
async fn run(dir: &Path, config: &str) -> Output {
    let file = dir.join("tidegate.yaml");
    std::fs::write(&file, config).unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("run").arg("-c").arg(file).kill_on_drop(true);
    tokio::time::timeout(SOON, command.output()).await.expect("it ends within 2 s").unwrap()
}

fn assert_one_line(output: &Output, parts: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), text.lines().count()), (Some(1), 1), "{text}");
    assert!(text.starts_with("tidegate: ") && parts.iter().all(|part| text.contains(part)), "{text}");
    assert!(output.stdout.is_empty());
}

#[tokio::test]
async fn a_taken_port_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (live, free) =
        (web(&[]).replace("endpoints: [  ]", "endpoints: [ { address: '127.0.0.1:1' } ]"), free_port());
    let config = |admin: &str, http: &str| {
        format!("admin: {{ address: '{admin}' }}\nlisteners: [ {{ name: http, address: '{http}' }} ]\n{live}")
    };
    let output = run(dir.path(), &config(&format!("127.0.0.1:{free}"), &address)).await;
    assert_one_line(&output, &["listener `http`", &address, "another process has it"]);
    let output = run(dir.path(), &config(&address, &format!("127.0.0.1:{free}"))).await;
    assert_one_line(&output, &["the admin API", &address]);
    let output = run(dir.path(), &config(&format!("127.0.0.1:{free}"), "192.0.2.1:80")).await;
    assert_one_line(&output, &["192.0.2.1:80", "no interface of this machine"]);
    let missing =
        Command::new(env!("CARGO_BIN_EXE_tidegate")).args(["run", "-c", "/nowhere.yaml"]).output().unwrap();
    assert_one_line(&missing, &["/nowhere.yaml"]);
}

#[tokio::test]
async fn an_open_admin_api_needs_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "admin: {{ address: '0.0.0.0:{}' }}\nlisteners: [ {{ name: http, address: '127.0.0.1:{}' }} ]\nroutes: [ {{ name: all, respond: {{ status: 200 }} }} ]\n",
        free_port(),
        free_port()
    );
    assert_one_line(
        &run(dir.path(), &config).await,
        &["admin.address", "admin.token_file", "tidegate.yaml:1:"],
    );
    let backend = Backend::start("one").await;
    let token = dir.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let tidegate = Tidegate::new(&web(&[backend.addr()])).admin_on("0.0.0.0", &token).start().await;
    let url = tidegate.admin_url("/v1/config");
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    let client = http::client();
    assert_eq!(status(client.get(&url)).await, 401);
    assert_eq!(status(client.get(&url).bearer_auth("s3cre")).await, 401);
    assert_eq!(status(client.get(&url).bearer_auth("s3cret")).await, 200);
    assert_eq!(status(client.get(&url).basic_auth("me", Some("s3cret"))).await, 200);
    assert_eq!(status(client.post(tidegate.admin_url("/v1/reload"))).await, 401);
    assert_eq!(status(client.get(tidegate.admin_url("/metrics"))).await, 401);
    // Load balancers and supervisors have no token.
    assert_eq!(status(client.get(tidegate.admin_url("/ready"))).await, 200);
    // A new token counts at once; the old one no more.
    std::fs::write(&token, "other\n").unwrap();
    let changed = async || status(client.get(&url).bearer_auth("other")).await;
    for _ in 0..300 {
        if changed().await == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((changed().await, status(client.get(&url).bearer_auth("s3cret")).await), (200, 401));
    let explain = |file: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .args(["explain", "--admin", &tidegate.admin_url(""), "GET", "/"])
            .arg("--token-file")
            .arg(file);
        command.output().unwrap().status.code()
    };
    let wrong = dir.path().join("wrong");
    std::fs::write(&wrong, "s3cret").unwrap();
    assert_eq!((explain(&token), explain(&wrong)), (Some(0), Some(1)));
}
