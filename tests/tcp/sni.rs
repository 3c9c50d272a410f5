//! TLS that is passed through, by the name that the client asks for. The servers and clients are those
//! of OpenSSL.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::support::{RawClient, TidegateProcess, eventually, ports, require_peer};
use super::{SOON, cluster, passing};

/// `openssl s_server` with a certificate of its own; its pages say which name it was made for.
struct Server {
    child: Child,
    addr: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Server {
    async fn start(name: &str) -> Self {
        let (dir, addr) = (tempfile::tempdir().unwrap(), ports::free_addr());
        let request =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"];
        let subject = format!("/CN={name}");
        let made = Command::new("openssl")
            .args(request)
            .args(["-keyout", "key.pem", "-out", "cert.pem", "-subj", &subject])
            .current_dir(dir.path())
            .stderr(Stdio::null())
            .status();
        assert!(made.unwrap().success());
        let child = Command::new("openssl")
            .args(["s_server", "-quiet", "-www", "-key", "key.pem", "-cert", "cert.pem"])
            .args(["-accept", &addr.to_string()])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually(SOON, async || tokio::net::TcpStream::connect(addr).await.map(drop)).await;
        Self { child, addr, _dir: dir }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The subject of the certificate that a client sees which asks for `name`, or what went wrong.
async fn subject(addr: SocketAddr, name: Option<&str>) -> String {
    let mut command = tokio::process::Command::new("openssl");
    command.args(["s_client", "-connect", &addr.to_string()]);
    match name {
        Some(name) => command.args(["-servername", name]),
        None => command.arg("-noservername"),
    };
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(SOON, output).await.expect("openssl ends").unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("subject=")).map(|line| line.replace(' ', ""));
    line.unwrap_or_else(|| "none".into())
}

async fn two(default: &str) -> Option<(TidegateProcess, [Server; 2])> {
    require_peer("openssl")?;
    let servers = [Server::start("a.example.com").await, Server::start("other").await];
    let tcp = format!(
        "{{ sni: [ {{ names: [ a.example.com ], cluster: a }}, {{ names: [ '*.example.com' ], cluster: b }} ]{default} }}"
    );
    let clusters = [cluster("a", &[servers[0].addr], ""), cluster("b", &[servers[1].addr], "")];
    Some((passing(&tcp, &clusters).await, servers))
}

#[tokio::test]
async fn names_lead_to_their_clusters() {
    let Some((tidegate, _servers)) = two("").await else { return };
    let addr = tidegate.addr("bytes");
    assert_eq!(subject(addr, Some("a.example.com")).await, "CN=a.example.com");
    assert_eq!(subject(addr, Some("A.EXAMPLE.COM")).await, "CN=a.example.com");
    assert_eq!(subject(addr, Some("b.example.com")).await, "CN=other");
    assert_eq!(subject(addr, Some("example.com")).await, "none");
    assert_eq!(subject(addr, None).await, "none");
    assert_eq!(tidegate.logged(|line| line["host"] == "b.example.com").await["cluster"], "b");
    assert_eq!(tidegate.logged(|line| line["host"] == "example.com").await["flags"], "NR");
    for reason in ["unknown_name", "no_name"] {
        let labels = ["listener=\"bytes\"", &format!("reason=\"{reason}\"")];
        assert_eq!(tidegate.metric("tidegate_tcp_unrouted_total", &labels).await, 1.0, "{reason}");
    }
}

#[tokio::test]
async fn the_default_takes_the_rest_and_other_protocols_nothing() {
    let Some((tidegate, _servers)) = two(", cluster: b").await else { return };
    let addr = tidegate.addr("bytes");
    assert_eq!(subject(addr, Some("elsewhere.test")).await, "CN=other");
    assert_eq!(subject(addr, None).await, "CN=other");
    let mut client = RawClient::connect(addr).await;
    client.send(b"GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n").await;
    assert_eq!(client.read_to_end().await.unwrap_or_default(), b"");
    let labels = ["reason=\"malformed\""];
    assert_eq!(tidegate.metric("tidegate_tcp_unrouted_total", &labels).await, 1.0);
}

#[tokio::test]
async fn a_hello_byte_by_byte_is_passed_on_whole() {
    let Some(_) = require_peer("openssl") else { return };
    let wire = super::support::Wire::start("wire").await;
    let tcp = "{ sni: [ { names: [ www.example.com ], cluster: c } ] }";
    let tidegate = passing(tcp, &[cluster("c", &[wire.addr()], "")]).await;
    let hello = hello("www.example.com").await;
    let mut client = RawClient::connect(tidegate.addr("bytes")).await;
    for byte in &hello {
        client.send([*byte]).await;
    }
    client.finish().await;
    let back = client.read_to_end().await.unwrap();
    assert_eq!(back, [hello.as_slice(), b"wire"].concat());
}

/// The first bytes of OpenSSL's client.
async fn hello(name: &str) -> Vec<u8> {
    use tokio::io::AsyncReadExt as _;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &addr, "-servername", name])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut header = [0; 5];
    stream.read_exact(&mut header).await.unwrap();
    let mut rest = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
    stream.read_exact(&mut rest).await.unwrap();
    let _ = child.kill();
    let _ = child.wait();
    [header.as_slice(), &rest].concat()
}
