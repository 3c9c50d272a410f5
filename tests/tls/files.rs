//! Certificate files that change: followed without a failed request, refused whole if they are wrong.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use openssl::ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode};
use tokio::time::Instant;

use crate::kit::{SOON, get, s_client, says, tidegate, tls, to};
use crate::support::{Authority, Backend, Tidegate, eventually};

/// The common name of the certificate that a new client gets.
fn served(addr: SocketAddr) -> Result<String, String> {
    let mut connector = SslConnector::builder(SslMethod::tls()).map_err(|e| e.to_string())?;
    connector.set_verify(SslVerifyMode::NONE);
    let tcp = TcpStream::connect(addr).map_err(|e| e.to_string())?;
    tcp.set_read_timeout(Some(SOON)).map_err(|e| e.to_string())?;
    let tls = connector.build().connect("a.test", tcp).map_err(|e| e.to_string())?;
    let cert = tls.ssl().peer_certificate().ok_or("no certificate")?;
    let name = cert.subject_name().entries().next().ok_or("no subject")?;
    name.data().to_string().map_err(|e| e.to_string())
}

async fn new_name(addr: SocketAddr) -> Result<String, String> {
    tokio::task::spawn_blocking(move || served(addr)).await.unwrap()
}

/// Requests until `stop`, each with a handshake of its own, or all on one connection; those that fail.
fn load(addr: SocketAddr, ca: &Path, keep: bool, stop: &AtomicBool) -> (u64, Vec<String>) {
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_ca_file(ca).unwrap();
    let connector = connector.build();
    let (mut done, mut failed, mut kept) = (0, Vec::new(), None);
    while !stop.load(Relaxed) {
        let connection = kept.take().map_or_else(|| connect(&connector, addr), Ok);
        match connection.and_then(|mut tls| ask(&mut tls).map(|()| tls)) {
            Ok(tls) => {
                done += 1;
                kept = keep.then_some(tls);
            }
            Err(why) => failed.push(why),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    (done, failed)
}

fn connect(connector: &SslConnector, addr: SocketAddr) -> Result<SslStream<TcpStream>, String> {
    let tcp = TcpStream::connect(addr).map_err(|e| e.to_string())?;
    tcp.set_read_timeout(Some(SOON)).map_err(|e| e.to_string())?;
    connector.connect("a.test", tcp).map_err(|e| e.to_string())
}

fn ask(tls: &mut SslStream<TcpStream>) -> Result<(), String> {
    tls.write_all(b"GET /bytes?n=9 HTTP/1.1\r\nhost: a.test\r\n\r\n").map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match tls.read(&mut buffer).map_err(|e| e.to_string())? {
            0 => return Err(format!("closed after {:?}", String::from_utf8_lossy(&answer))),
            length => answer.extend_from_slice(&buffer[..length]),
        }
        let head = answer.windows(4).position(|end| end == b"\r\n\r\n");
        if head.is_some_and(|head| answer.len() == head + 4 + 9) {
            let good = answer.starts_with(b"HTTP/1.1 200 ");
            return if good { Ok(()) } else { Err(String::from_utf8_lossy(&answer).into_owned()) };
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_changes_under_load_fail_nobody() {
    let (backend, ca) = (Backend::start("a").await, Authority::new());
    let own = ca.leaf(&["a.test"]).common_name("0").issue();
    let tidegate = tidegate(&backend, &[&own], "").start().await;
    let addr = tidegate.addr("http");
    let (stop, pem) = (Arc::new(AtomicBool::new(false)), ca.ca());
    let loads = [false, false, true].map(|keep| {
        let (stop, pem) = (stop.clone(), pem.clone());
        std::thread::spawn(move || load(addr, &pem, keep, &stop))
    });
    let mut slowest = Duration::ZERO;
    for round in 1..=50 {
        let name = round.to_string();
        ca.leaf(&["a.test"]).common_name(&name).replace(&own);
        let begun = Instant::now();
        eventually(Duration::from_secs(5), async || match new_name(addr).await {
            Ok(seen) if seen == name => Ok(()),
            other => Err(format!("{other:?}, not {name}")),
        })
        .await;
        slowest = slowest.max(begun.elapsed());
    }
    stop.store(true, Relaxed);
    let [one, two, kept] = loads.map(|load| load.join().unwrap());
    let failed = [one.1, two.1, kept.1].concat();
    println!("{} handshakes, {} requests on one connection; slowest: {slowest:?}", one.0 + two.0, kept.0);
    assert!(failed.is_empty(), "{}: {:?}", failed.len(), failed.first());
    assert!(one.0 + two.0 > 100 && kept.0 > 100);
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let ok = tidegate.metric("tidegate_tls_certificate_reloads_total", &["result=\"success\""]).await;
    assert!(ok >= 50.0, "{ok}");
}

#[tokio::test]
async fn what_does_not_load_changes_nothing() {
    let (backend, ca) = (Backend::start("a").await, Authority::new());
    let own = ca.leaf(&["a.test"]).common_name("good").issue();
    let other = ca.leaf(&["b.test"]).common_name("other").issue();
    let tidegate = tidegate(&backend, &[&own, &other], "").start().await;
    let addr = tidegate.addr("http");
    let expiry = ["listener=\"http\"", "certificate=\"a.test\""];
    let before = tidegate.metric("tidegate_tls_certificate_expiry_timestamp_seconds", &expiry).await;
    let failures = async |least: f64| {
        eventually(SOON, async || {
            let count =
                tidegate.metric("tidegate_tls_certificate_reloads_total", &["result=\"failure\""]).await;
            if count >= least { Ok(count) } else { Err(count) }
        })
        .await
    };
    let key = std::fs::read(&own.key).unwrap();
    std::fs::copy(&other.key, &own.key).unwrap();
    let count = failures(1.0).await;
    let said = tidegate.stderr();
    assert!(
        said.contains("listeners[0].tls.certificates[0].key") && said.contains("is not the key of"),
        "{said}"
    );
    // The other certificate of the set does not change by itself either.
    ca.leaf(&["b.test"]).common_name("changed").replace(&other);
    let count = failures(count + 1.0).await;
    std::fs::remove_file(&own.cert).unwrap();
    failures(count + 1.0).await;
    for (name, served) in [("a.test", "good"), ("b.test", "other")] {
        let seen = s_client(addr, &["-servername", name]).await;
        assert!(says(&seen, &format!("subject=CN = {served}")), "{seen}");
    }
    assert_eq!(tidegate.metric("tidegate_tls_certificate_expiry_timestamp_seconds", &expiry).await, before);
    // Whole again: served, and so is what changed meanwhile.
    std::fs::write(&own.key, key).unwrap();
    ca.leaf(&["a.test"]).common_name("new").valid(-60, 3600).replace(&own);
    for (name, served) in [("a.test", "new"), ("b.test", "changed")] {
        eventually(SOON, async || {
            let seen = s_client(addr, &["-servername", name]).await;
            if says(&seen, &format!("subject=CN = {served}")) { Ok(()) } else { Err(seen) }
        })
        .await;
    }
    let after = tidegate.metric("tidegate_tls_certificate_expiry_timestamp_seconds", &expiry).await;
    assert!(after < before && after > 1.7e9, "{before} {after}");
}

/// As certbot and Kubernetes do it; and SIGHUP reads again even what looks the same.
#[tokio::test]
async fn links_that_turn_are_followed_and_a_hangup_reads_all() {
    use std::os::unix::fs::symlink;
    let (backend, ca) = (Backend::start("a").await, Authority::new());
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["one", "two"] {
        let own = ca.leaf(&["a.test"]).common_name(name).issue();
        std::fs::create_dir(at(name)).unwrap();
        std::fs::copy(own.cert, at(name).join("tls.crt")).unwrap();
        std::fs::copy(own.key, at(name).join("tls.key")).unwrap();
    }
    symlink("one", at("data")).unwrap();
    symlink("data/tls.crt", at("tls.crt")).unwrap();
    symlink("data/tls.key", at("tls.key")).unwrap();
    let key =
        format!("tls: {{ certificates: [ {{ cert: '{0}.crt', key: '{0}.key' }} ] }}", at("tls").display());
    let tidegate = Tidegate::new(&to(&backend)).listener_key("http", &key).start().await;
    let addr = tidegate.addr("http");
    assert_eq!(new_name(addr).await.unwrap(), "one");
    symlink("two", at("next")).unwrap();
    std::fs::rename(at("next"), at("data")).unwrap();
    eventually(Duration::from_secs(2), async || match new_name(addr).await {
        Ok(name) if name == "two" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let reloads =
        async || tidegate.metric("tidegate_tls_certificate_reloads_total", &["result=\"success\""]).await;
    assert_eq!(reloads().await, 1.0);
    tidegate.hup();
    eventually(SOON, async || if reloads().await == 2.0 { Ok(()) } else { Err("no reload") }).await;
}

#[tokio::test]
async fn check_and_start_say_what_is_wrong_with_the_files() {
    let (backend, ca) = (Backend::start("a").await, Authority::new());
    let (one, two) = (ca.issue(&["a.test"]), ca.issue(&["b.test"]));
    let old = ca.leaf(&["c.test"]).valid(-7200, -3600).issue();
    std::fs::copy(&one.key, &two.key).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = |certificates: &[&crate::support::Issued]| {
        // Relative to the file.
        std::fs::copy(&old.cert, dir.path().join("old.pem")).unwrap();
        std::fs::copy(&old.key, dir.path().join("old.key")).unwrap();
        let list = tls(certificates, "").replace(&old.cert.display().to_string(), "old.pem");
        let list = list.replace(&old.key.display().to_string(), "old.key");
        let path = dir.path().join("t.yaml");
        let text = format!("listeners:\n  - {{ name: a, address: '127.0.0.1:1', {list} }}\n{}", to(&backend));
        std::fs::write(&path, text).unwrap();
        let run =
            Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("check").arg("-c").arg(path).output().unwrap();
        (
            run.status.success(),
            String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr),
        )
    };
    let (ok, said) = config(&[&one, &two]);
    assert!(
        !ok && said.contains("t.yaml:2:") && said.contains("listeners[0].tls.certificates[1].key: "),
        "{said}"
    );
    let (ok, said) = config(&[&one, &old]);
    assert!(
        ok && said.contains("warning: ") && said.contains("listeners[0].tls.certificates[1].cert: "),
        "{said}"
    );
    assert!(said.contains("is over since"), "{said}");
    std::fs::remove_file(&one.cert).unwrap();
    let (ok, said) = config(&[&one]);
    assert!(!ok && said.contains("certificates[0].cert") && said.contains("No such file"), "{said}");
    let failed = tidegate(&backend, &[&two], "").try_start().await.err().unwrap();
    assert!(failed.stderr.contains("listeners[0].tls.certificates[0].key"), "{failed:?}");
    let fine = tidegate(&backend, &[&old], "").start().await;
    assert!(fine.stderr().contains("is over since"), "{}", fine.stderr());
    let got = get(fine.addr("http"), "c.test", &ca.ca(), &["-k"]).await;
    assert_eq!(got.status, 200);
}
