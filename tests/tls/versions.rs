//! What is spoken: Mozilla's intermediate profile.

use crate::kit::{s_client, says, tidegate};
use crate::support::{Authority, Backend};

#[tokio::test]
async fn versions_ciphers_and_groups_are_those_of_the_intermediate_profile() {
    let (backend, ca) = (Backend::start("a").await, Authority::new());
    let own = ca.leaf(&["a.test"]).rsa().issue();
    let tidegate = tidegate(&backend, &[&own], "").start().await;
    let addr = tidegate.addr("http");
    for args in [
        &["-tls1_2"][..],
        &["-tls1_3"],
        &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"],
        &["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"],
        &["-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"],
        &["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
        &["-groups", "X25519"],
        &["-groups", "P-256"],
        &["-groups", "P-384"],
    ] {
        let seen = s_client(addr, args).await;
        assert!(seen.contains("HTTP/1.1 200 OK"), "{args:?}: {seen}");
    }
    let refused = [
        &["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"][..],
        &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
        &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256"],
        &["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"],
        &["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"],
        &["-groups", "X448"],
        &["-groups", "secp521r1"],
    ];
    for args in refused {
        let seen = s_client(addr, args).await;
        assert!(!seen.contains("HTTP/1.1 200 OK") && seen.contains("alert"), "{args:?}: {seen}");
    }
    let unsupported = tidegate.metric("tidegate_tls_handshakes_total", &["result=\"unsupported\""]).await;
    assert_eq!(unsupported, refused.len() as f64);
    // The order is the server's, but for a client that wants ChaCha20 first.
    let (aes, chacha) = ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305");
    for (order, chosen) in [
        (format!("ECDHE-RSA-AES256-GCM-SHA384:{chacha}:{aes}"), aes),
        (format!("{chacha}:ECDHE-RSA-AES256-GCM-SHA384:{aes}"), chacha),
    ] {
        let seen = s_client(addr, &["-tls1_2", "-cipher", &order]).await;
        assert!(seen.contains(&format!("Cipher is {chosen}")), "{order}: {seen}");
    }
    let seen = s_client(addr, &["-tls1_2"]).await;
    assert!(says(&seen, "Compression: NONE"), "{seen}");
}

#[tokio::test]
async fn a_listener_can_ask_for_1_3() {
    let (backend, ca) = (Backend::start("a").await, Authority::new());
    let own = ca.issue(&["a.test"]);
    let tidegate = tidegate(&backend, &[&own], ", min_version: '1.3'").start().await;
    let seen = s_client(tidegate.addr("http"), &["-tls1_3"]).await;
    assert!(seen.contains("HTTP/1.1 200 OK"), "{seen}");
    let seen = s_client(tidegate.addr("http"), &["-tls1_2"]).await;
    assert!(seen.contains("protocol version"), "{seen}");
}
