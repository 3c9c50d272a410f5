//! Listening sockets: bound by us or by systemd, and closed without a reset for anybody.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::{Backend, RawClient, Tidegate, eventually, http, ports, require_peer, until};

/// Longer than anything takes that works.
const SOON: Duration = Duration::from_secs(20);

const FIXED: &str = "routes: [ { name: all, respond: { status: 200, body: fixed } } ]\n";

/// A process that is ended with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status();
        assert!(status.unwrap().success());
    }
}

/// Status and body.
async fn get(url: &str) -> Result<(u16, String), String> {
    let response = http::client().get(url).send().await.map_err(|e| format!("{e:?}"))?;
    Ok((response.status().as_u16(), response.text().await.map_err(|e| format!("{e:?}"))?))
}

/// `systemd-socket-activate` becomes Tidegate when the first connection comes.
fn activated(program: &Path, listen: &[&str], names: &str, dir: &Path, config: &str) -> Process {
    let file = dir.join("tidegate.yaml");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(program);
    for address in listen {
        command.args(["-l", address]);
    }
    command
        .arg(format!("--fdname={names}"))
        .arg(env!("CARGO_BIN_EXE_tidegate"))
        .arg("run")
        .arg("-c")
        .arg(&file);
    let log = std::fs::File::create(dir.join("log")).unwrap();
    Process(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

#[tokio::test]
async fn it_serves_on_sockets_that_systemd_bound() {
    let Some(program) = require_peer("systemd-socket-activate") else { return };
    let dir = tempfile::tempdir().unwrap();
    let [web, plain, elsewhere, admin, stray] = std::array::from_fn(|_| ports::free_addr());
    let config = format!(
        "admin: {{ address: '{admin}' }}\nlisteners:\n  - {{ name: web, address: '{elsewhere}' }}\n  - {{ name: plain, address: '{plain}' }}\n{FIXED}"
    );
    let unix = dir.path().join("socket");
    let listen = [web, plain, admin, stray].map(|address| address.to_string());
    let listen: Vec<_> = listen.iter().map(String::as_str).chain([unix.to_str().unwrap()]).collect();
    let mut process = activated(&program, &listen, "web:unknown:admin:stray:unix", dir.path(), &config);
    let log = || std::fs::read_to_string(dir.path().join("log")).unwrap();
    until(SOON, "it listens", || log().contains("Listening on")).await;
    // The first connection starts it, and waits for its answer meanwhile.
    for at in [plain, web] {
        let answer = eventually(SOON, async || get(&format!("http://{at}/")).await).await;
        assert_eq!(answer, (200, "fixed".to_owned()), "{at}: {}", log());
    }
    let (status, _) = get(&format!("http://{admin}/ready")).await.unwrap();
    assert_eq!(status, 200);
    for nobody in [elsewhere, stray] {
        assert!(tokio::net::TcpStream::connect(nobody).await.is_err(), "{nobody}: {}", log());
    }
    // By the listener's own name, though its address is not the config's.
    let metrics = get(&format!("http://{admin}/metrics")).await.unwrap().1;
    for name in ["web", "plain"] {
        let series = format!("tidegate_http_requests_total{{listener=\"{name}\",route=\"all\"");
        assert!(metrics.contains(&series), "{series} in {metrics}");
    }
    for said in ["listens where systemd says, not the config", &stray.to_string(), "no listening TCP socket"]
    {
        assert!(log().contains(said), "{said:?} in {}", log());
    }
    process.signal("TERM");
    eventually(SOON, async || process.0.try_wait().unwrap().ok_or("it still runs")).await;
}

/// The sockets of a unit that fit nothing are no reason not to start.
#[tokio::test]
async fn variables_for_another_process_are_not_for_us() {
    let tidegate = Tidegate::new(FIXED)
        .env("LISTEN_FDS", "3")
        .env("LISTEN_PID", "1")
        .env("LISTEN_FDNAMES", "http:a:b")
        .start()
        .await;
    assert_eq!(get(&tidegate.url("/")).await, Ok((200, "fixed".to_owned())));
    assert!(!tidegate.stderr().contains("systemd"), "{}", tidegate.stderr());
}

#[tokio::test]
async fn forty_listeners_are_all_open_when_it_says_ready() {
    let names: Vec<_> = (0..40).map(|n| format!("l{n}")).collect();
    let all = names.iter().fold(Tidegate::new(FIXED), |tidegate, name| tidegate.listener(name));
    let tidegate = all.start().await;
    for name in &names {
        let url = format!("http://{}/", tidegate.addr(name));
        assert_eq!(get(&url).await, Ok((200, "fixed".to_owned())), "{name}");
    }
}

#[tokio::test]
async fn all_ports_that_are_taken_are_named_at_once() {
    let taken = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let [a, b] = taken.each_ref().map(|socket| socket.local_addr().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tidegate.yaml");
    let config = format!(
        "admin: {{ address: '{b}' }}\nlisteners: [ {{ name: a, address: '{a}' }}, {{ name: free, address: '{}' }} ]\n{FIXED}",
        ports::free_addr()
    );
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let output = command.arg("run").arg("-c").arg(&file).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    for line in
        [format!("listener `a` cannot listen on {a}: "), format!("the admin API cannot listen on {b}: ")]
    {
        assert!(stderr.contains(&line), "{line} in {stderr}");
    }
    assert!(!stderr.contains("panicked") && !stderr.contains("`free`"), "{stderr}");
}

/// Clients that the kernel let in while the process could not run: the stop finds all of them in
/// the queue.
#[tokio::test]
async fn who_waits_in_the_queue_at_a_stop_is_answered() {
    let backend = Backend::start("a").await;
    let live = format!(
        "clusters: {{ web: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }} }} }}\nroutes: [ {{ name: all, cluster: web }} ]\n",
        backend.addr()
    );
    for _ in 0..3 {
        let mut tidegate = Tidegate::new(&live).start().await;
        tidegate.signal("STOP");
        let mut waiting = Vec::new();
        for _ in 0..50 {
            let mut client = RawClient::connect(tidegate.addr("http")).await;
            client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            waiting.push(client);
        }
        tidegate.term();
        tidegate.signal("CONT");
        for client in &mut waiting {
            let answer = client.response().await.unwrap();
            assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        }
        assert!(tidegate.exited(SOON).await.success());
    }
}

/// While it drains, whoever looks can see it.
#[tokio::test]
async fn the_admin_api_answers_until_the_end_and_holds_nothing_up() {
    let backend = Backend::start("a").await;
    let live = format!(
        "clusters: {{ web: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }} }} }}\nroutes: [ {{ name: all, cluster: web }} ]\n",
        backend.addr()
    );
    let mut tidegate = Tidegate::new(&live).server("grace_period: 20s").start().await;
    let mut kept = RawClient::connect(tidegate.admin_addr()).await;
    assert_eq!(kept.ask("GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.status, 200);
    let mut slow = RawClient::connect(tidegate.addr("http")).await;
    slow.send("GET /slow?ms=1500 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until(SOON, "it is under way", || backend.in_flight() > 0).await;
    tidegate.term();
    let http = tidegate.addr("http");
    let refused = async || match tokio::net::TcpStream::connect(http).await {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually(SOON, refused).await;
    let (status, text) = tidegate.admin_get("/ready").await.unwrap();
    assert!(status == 503 && text.contains("draining"), "{status} {text}");
    assert_eq!(slow.response().await.unwrap().status, 200);
    let answered = tokio::time::Instant::now();
    assert!(tidegate.exited(SOON).await.success());
    assert!(answered.elapsed() < Duration::from_secs(2), "the admin's connection is not waited for");
}
