use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use pingora::protocols::l4::stream::Stream as Tcp;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;
use crate::config::load;
use crate::observe::metrics::Metrics;
use crate::tls::testing::{certificate, ecdsa, write};

/// A listener with TLS whose keys can be changed at will. It says "hello" and closes.
async fn start(dir: &Path) -> (Arc<Terminator>, SocketAddr) {
    write(dir, "a", &[&certificate(&["a.test"], ecdsa(), 9, None)]);
    let text = "listeners: [ { name: a, address: '127.0.0.1:1', tls: { certificates: [ { cert: a.pem, key: a.key } ] } } ]\nroutes: [ { name: r, respond: { status: 200 } } ]\n";
    let (config, _) = load::text_of(text, &dir.join("t.yaml")).unwrap();
    let mut all = Terminator::all(&config.boot, &Arc::new(Metrics::new().unwrap())).unwrap();
    let terminator = all.remove(0).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = terminator.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let terminator = serving.clone();
            tokio::spawn(async move {
                let mut stream: Stream = Box::new(Tcp::from(tcp));
                let deadline = terminator.deadline();
                assert_eq!(terminator.opening(&mut stream, deadline).await, crate::tls::Opening::Tls);
                let mut secured = terminator.handshake(stream, deadline).await.ok().unwrap();
                secured.stream.write_all(b"hello\n").await.unwrap();
                let _ = secured.stream.shutdown().await;
            });
        }
    });
    (terminator, addr)
}

/// Whether a client goes on with the session in `from`; the new one is kept in `to`.
async fn resumes(addr: SocketAddr, version: &str, from: Option<&Path>, to: &Path) -> bool {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-ign_eof", "-connect", &addr.to_string(), version, "-sess_out"]).arg(to);
    if let Some(from) = from {
        command.arg("-sess_in").arg(from);
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("hello"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.contains("Reused, TLSv1.")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_accepted_until_the_one_after_it_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (terminator, addr) = start(dir.path()).await;
    for version in ["-tls1_2", "-tls1_3"] {
        let (first, next, last) = (dir.path().join("1"), dir.path().join("2"), dir.path().join("3"));
        assert!(!resumes(addr, version, None, &first).await);
        assert!(resumes(addr, version, Some(&first), &last).await, "{version}: the same key");
        terminator.rotate();
        assert!(resumes(addr, version, Some(&first), &last).await, "{version}: the key before");
        assert!(!resumes(addr, version, None, &next).await);
        assert!(resumes(addr, version, Some(&next), &last).await, "{version}: the new key");
        terminator.rotate();
        assert!(!resumes(addr, version, Some(&first), &last).await, "{version}: forgotten");
        assert!(resumes(addr, version, Some(&next), &last).await, "{version}: now the key before");
    }
}

#[test]
fn two_contexts_have_two_key_names() {
    let dir = tempfile::tempdir().unwrap();
    let files = write(dir.path(), "a", &[&certificate(&["a.test"], ecdsa(), 9, None)]);
    let mut config = crate::tls::testing::config(vec![files]);
    config.min_version = crate::config::boot::TlsVersion::V1_3;
    let set = crate::tls::set::Loaded::new("t", &config).unwrap().set;
    let sets = Arc::new(ArcSwap::from_pointee(set));
    let fronts = Fronts::new(&config, None, &sets).unwrap().rotated(&config, &sets).unwrap();
    let names = [&fronts.current, fronts.previous.as_ref().unwrap()].map(|front| front.keys.unwrap());
    assert_ne!(names[0], names[1]);
    assert_ne!(names[0], [0; 16]);
}
