//! Starts that must fail, with everything that is wrong; and starts that must not.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use super::support::probe::{ask, metric};
use super::support::{Backend, RawClient, Tidegate, TidegateProcess, eventually, http, ports, until};
use super::{SOON, to};

#[tokio::test]
async fn problems_of_the_config_end_the_start_with_all_of_them() {
    let live = "\
clusters:
  web: { static: { endpoints: [ { address: 127.0.0.1:1 } ] } }
routes:
  - { name: one, cluster: wep }
  - { name: two, cluster: web, timeout: 3 parsecs }
  - { name: three, match: { path: { regex: \"/(\" } }, cluster: web }
  - { name: four, cluster: web, timeuot: 3s }
";
    let failed = Tidegate::new(live).try_start().await.err().unwrap();
    assert_eq!(failed.status.unwrap().code(), Some(1));
    let text = failed.stderr;
    for wanted in [
        "routes[0].cluster: unknown cluster `wep`; did you mean `web`?",
        "routes[1].timeout: ",
        "routes[2].match.path.regex: ",
        "routes[3].timeuot: ",
        "4 problems",
    ] {
        assert!(text.contains(wanted), "no {wanted:?} in: {text}");
    }
    assert!(text.lines().filter(|line| line.contains("tidegate.yaml:")).count() == 4, "{text}");
    assert!(!text.contains("panicked"), "{text}");
}

#[tokio::test]
async fn a_taken_port_ends_the_start_with_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let first = Tidegate::new(&to(address)).start().await;
    let mut text = std::fs::read_to_string(first.config_path()).unwrap();
    text = text.replace(&first.addr("http").to_string(), &address.to_string());
    text = text.replace(&first.admin_addr().to_string(), &ports::free_addr().to_string());
    text = text.replace("/pid\n", "/other-pid\n");
    let file = first.dir().join("other.yaml");
    std::fs::write(&file, text).unwrap();
    let output = command(&file).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains(&format!("listener `http` cannot listen on {address}")), "{stderr}");
    assert_eq!(stderr.lines().filter(|line| line.contains("cannot listen")).count(), 1, "{stderr}");
    assert!(!first.dir().join("other-pid").exists(), "a start that fails leaves nothing behind");
}

#[tokio::test]
async fn the_pid_file_says_who_runs_and_goes_with_it() {
    let backend = Backend::start("a").await;
    let mut tidegate = Tidegate::new(&to(backend.addr())).start().await;
    assert_eq!(tidegate.serving_pid(), Some(tidegate.pid()));
    tidegate.term();
    assert!(tidegate.exited(SOON).await.success());
    assert!(!tidegate.dir().join("pid").exists());
    // A folder that cannot be had is an error, said in one line.
    let failed = Tidegate::new(&to(backend.addr())).server("pid_file: /proc/nowhere/pid").try_start().await;
    let failed = failed.err().unwrap();
    assert_eq!(failed.status.unwrap().code(), Some(1));
    assert!(failed.stderr.contains("cannot write the pid file /proc/nowhere/pid"), "{}", failed.stderr);
}

#[tokio::test]
async fn a_pid_file_of_somebody_else_is_left_alone() {
    let backend = Backend::start("a").await;
    let mut tidegate = Tidegate::new(&to(backend.addr())).start().await;
    let file = tidegate.dir().join("pid");
    std::fs::write(&file, "1\n").unwrap();
    tidegate.term();
    tidegate.exited(SOON).await;
    assert_eq!(std::fs::read_to_string(file).unwrap(), "1\n");
}

#[tokio::test]
async fn every_listener_serves_under_its_own_name() {
    let backend = Backend::start("a").await;
    let tidegate = Tidegate::new(&to(backend.addr())).listener("inner").start().await;
    let (client, h2c) = (http::client(), http::h2c_client());
    for (name, count) in [("http", 1), ("inner", 3)] {
        let url = format!("http://{}/", tidegate.addr(name));
        for _ in 0..count {
            assert_eq!(ask(&client, &url).await, Ok((200, "a".to_owned())));
            assert_eq!(ask(&h2c, &url).await, Ok((200, "a".to_owned())));
        }
        let labels =
            format!("listener=\"{name}\",route=\"all\",cluster=\"web\",variant=\"\",code_class=\"2xx\"");
        let series = format!("tidegate_http_requests_total{{{labels}}}");
        eventually(SOON, async || match metric(&tidegate, &series).await {
            Some(n) if n == f64::from(2 * count) => Ok(()),
            other => Err(format!("{series} {other:?}")),
        })
        .await;
    }
    until(SOON, "both names in the log", || {
        let log = tidegate.stdout();
        log.contains("\"listener\":\"http\"") && log.contains("\"listener\":\"inner\"")
    })
    .await;
}

/// A hangup that comes as soon as anyone can know the process, as a service manager may send it, is
/// a reload and no death.
#[tokio::test]
async fn a_hangup_while_it_starts_does_not_end_it() {
    let nowhere = ports::free_addr();
    for _ in 0..5 {
        // A source that does not answer keeps the start going for some seconds.
        let live = format!(
            "consul: {{ address: '{nowhere}' }}\nclusters: {{ web: {{ consul: {{ service: web }} }} }}\nroutes: [ {{ name: all, cluster: web }} ]\n"
        );
        let mut tidegate = Tidegate::new(&live).spawn();
        let file = tidegate.dir().join("pid");
        while !file.exists() {
            std::thread::yield_now();
        }
        for _ in 0..3 {
            tidegate.hup();
        }
        until(SOON, "it has begun", || tidegate.stderr().contains("starting")).await;
        let begin = Instant::now();
        tidegate.term();
        let status = tidegate.exited(Duration::from_secs(3)).await;
        assert!(status.success(), "{status}: {}", tidegate.stderr());
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    }
}

/// The same file, started again and again; each end leaves connections in TIME_WAIT on the
/// listener's side.
#[tokio::test]
async fn it_starts_on_the_same_ports_at_once() {
    let backend = Backend::start("a").await;
    let mut first = Tidegate::new(&to(backend.addr())).start().await;
    let file = first.config_path();
    closed_by_the_server(&first).await;
    first.term();
    first.exited(SOON).await;
    for round in 0..3 {
        let mut next = Again(command(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let begin = Instant::now();
        eventually(SOON, async || {
            if let Some(status) = next.0.try_wait().unwrap() {
                panic!("round {round}: it ended with {status}");
            }
            match ask(&http::client(), &first.url("/")).await {
                Ok((200, _)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        eprintln!("round {round}: serves {:?} after the start", begin.elapsed());
        closed_by_the_server(&first).await;
        // The second round ends as a crash does.
        let signal = if round == 1 { "-KILL" } else { "-TERM" };
        assert!(Command::new("kill").args([signal, &next.0.id().to_string()]).status().unwrap().success());
        until(SOON, "it ends", || next.0.try_wait().unwrap().is_some()).await;
    }
}

/// Leaves sockets in TIME_WAIT: who closes first has them.
async fn closed_by_the_server(tidegate: &TidegateProcess) {
    for _ in 0..5 {
        let mut client = RawClient::connect(tidegate.addr("http")).await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        assert!(client.read_to_end().await.is_ok_and(|bytes| bytes.starts_with(b"HTTP/1.1 200")));
    }
}

struct Again(Child);

impl Drop for Again {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(file: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("run").arg("-c").arg(file).stdin(Stdio::null());
    command
}
