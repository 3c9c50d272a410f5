//! The files: what is wrong with them, our own certificate, and new contents after a reload.

use std::time::Duration;

use super::server::Endpoint;
use super::to;
use crate::support::{Authority, Tidegate, curl, eventually};

#[tokio::test]
async fn the_endpoint_sees_our_certificate_with_its_chain() {
    let (ca, clients) = (Authority::new(), Authority::named("clients"));
    let own = clients.leaf(&[]).common_name("tidegate").uri("spiffe://example.org/edge").issue();
    let endpoint = Endpoint::new(&ca.issue(&["web.test"])).clients(&clients).start().await;
    let (cert, key, ca) = (own.cert.display(), own.key.display(), ca.ca());
    let tls = |more: &str| format!("tls: {{ sni: web.test, ca: {}{more} }}", ca.display());
    let shown = tls(&format!(", cert: {cert}, key: {key}"));
    let tidegate = Tidegate::new(&to(&[endpoint.addr], &shown, "")).start().await;
    let answer = curl(&[&tidegate.url("/")]).await;
    assert!(answer.status == 200 && answer.text().contains("tidegate"), "{answer:?}");
    let without = Tidegate::new(&to(&[endpoint.addr], &tls(""), "")).start().await;
    // TLS 1.3 tells of it only after the handshake, with the first answer.
    assert!((500..504).contains(&curl(&[&without.url("/")]).await.status));
}

#[tokio::test]
async fn a_bad_file_refuses_the_config_and_says_why() {
    let (ca, other) = (Authority::new(), Authority::new());
    let (one, two) = (ca.issue(&["a"]), other.issue(&["b"]));
    let garbage = ca.dir().join("garbage.pem");
    std::fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n").unwrap();
    let empty = ca.dir().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let path = |path: &std::path::Path| path.display().to_string();
    let missing = path(&ca.dir().join("missing.pem"));
    for (tls, at, what) in [
        (format!("ca: {missing}"), "clusters.web.tls.ca", format!("cannot read {missing}")),
        (format!("ca: {}", path(&empty)), "clusters.web.tls.ca", "holds no certificate in PEM form".into()),
        (format!("ca: {}", path(&garbage)), "clusters.web.tls.ca", "that cannot be read".into()),
        (
            format!("cert: {}, key: {}", path(&one.cert), path(&two.key)),
            "clusters.web.tls.key",
            format!("{} is not the key of {}", path(&two.key), path(&one.cert)),
        ),
        (
            format!("cert: {}, key: {}", path(&one.cert), path(&one.cert)),
            "clusters.web.tls.key",
            "holds no private key in PEM form".into(),
        ),
        (
            format!("cert: {}, key: {}", path(&one.key), path(&one.key)),
            "clusters.web.tls.cert",
            "holds no certificate".into(),
        ),
    ] {
        let address = ([127, 0, 0, 1], 1).into();
        let refused = Tidegate::new(&to(&[address], &format!("tls: {{ {tls} }}"), "")).try_start().await;
        let text = refused.err().expect("it does not start").stderr;
        assert!(text.contains(at) && text.contains(&what), "{tls}: {text}");
    }
}

/// The config does not change, only what lies in its files.
#[tokio::test]
async fn files_that_were_replaced_are_served_after_a_reload() {
    let ca = Authority::new();
    let endpoint = Endpoint::new(&ca.issue(&["web.test"])).clients(&ca).start().await;
    let own = ca.leaf(&[]).common_name("first").issue();
    let tls = format!(
        "tls: {{ sni: web.test, ca: {}, cert: {}, key: {} }}",
        ca.ca().display(),
        own.cert.display(),
        own.key.display()
    );
    let tidegate = Tidegate::new(&to(&[endpoint.addr], &tls, "")).start().await;
    let asked = async || curl(&[&tidegate.url("/")]).await.text();
    assert!(asked().await.contains("first"));
    let generation = tidegate.generation().await;
    ca.leaf(&[]).common_name("second").replace(&own);
    assert!(asked().await.contains("first"), "not before it is told");
    tidegate.hup();
    eventually(Duration::from_secs(10), async || {
        let text = asked().await;
        if text.contains("second") { Ok(()) } else { Err(text) }
    })
    .await;
    assert_eq!(tidegate.generation().await, generation + 1);
    // Nothing new: nothing happens.
    tidegate.hup();
    eventually(Duration::from_secs(10), async || {
        let reloads = tidegate.metric("tidegate_config_reloads_total", &["success"]).await;
        if reloads >= 2.0 { Ok(()) } else { Err(reloads) }
    })
    .await;
    assert_eq!(tidegate.generation().await, generation + 1);
    // Half of a change is refused, and the old serves on.
    let other = Authority::new().issue(&["x"]);
    std::fs::copy(&other.key, &own.key).unwrap();
    tidegate.hup();
    eventually(Duration::from_secs(10), async || {
        let refused = tidegate.metric("tidegate_config_reloads_total", &["failure"]).await;
        if refused >= 1.0 { Ok(()) } else { Err(refused) }
    })
    .await;
    assert!(asked().await.contains("second"));
}
