//! Names by which a client could pretend to be a proxy.

use super::{echo, live, values};
use crate::support::{Backend, RawClient, Tidegate, curl};

#[tokio::test]
async fn no_spelling_of_what_is_set_reaches_the_endpoint() {
    let backend = Backend::start("one").await;
    let edits = ", request_headers: { set: { x-user: edge }, remove: [ x-internal ] }";
    let tidegate = Tidegate::new(&live(backend.addr(), "", edits)).start().await;
    let names = [
        "X_Forwarded_For",
        "x-forwarded_for",
        "x_forwarded-proto",
        "x.forwarded.host",
        "X_Request_Id",
        "x-request_id",
        "x_real_ip",
        "X-Real-IP",
        "x-tidegate-variant",
        "x_tidegate_variant",
        "x-tidegate-attempts",
        "X-Forwarded-Client-Cert",
        "x_forwarded_client_cert",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "forwarded",
        "content_length",
        "transfer_encoding",
        "x_user",
        "X-internal",
        "x_internal",
    ];
    let lines: Vec<_> = names.iter().map(|name| format!("{name}: 6.6.6.6")).collect();
    let mut lines: Vec<_> = lines.iter().map(String::as_str).collect();
    lines.extend(["x_other: stays", "x-forwarded-for: 6.6.6.6", "x-forwarded-proto: https"]);
    let mut client = RawClient::connect(tidegate.addr("http")).await;
    let seen = echo(&mut client, &lines).await;
    assert!(!seen.to_string().contains("6.6.6.6"), "{seen}");
    assert_eq!(values(&seen, "x_other"), ["stays"]);
    assert_eq!(values(&seen, "x-user"), ["edge"]);
    assert_eq!(values(&seen, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(values(&seen, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&seen, "x-forwarded-host"), ["shop.example.com:81"]);
    let mut args = vec!["--http2-prior-knowledge".to_owned()];
    args.extend(names.iter().flat_map(|name| ["-H".to_owned(), format!("{name}: 6.6.6.6")]));
    args.push(tidegate.url("/echo"));
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let seen = curl(&args).await.json();
    assert!(!seen.to_string().contains("6.6.6.6"), "{seen}");
}

#[tokio::test]
async fn what_is_switched_off_is_sent_by_nobody() {
    let backend = Backend::start("one").await;
    let off = "trusted: [ 127.0.0.0/8 ], x_forwarded: false";
    let tidegate = Tidegate::new(&live(backend.addr(), off, "")).start().await;
    let mut client = RawClient::connect(tidegate.addr("http")).await;
    let lines = ["x-forwarded-for: 192.0.2.7", "x-forwarded-proto: https", "forwarded: for=192.0.2.7"];
    let seen = echo(&mut client, &lines).await;
    for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "via"] {
        assert_eq!(values(&seen, name), [""; 0], "{name}: {seen}");
    }
    // It is believed all the same.
    assert_eq!(tidegate.logged(|line| line["path"] == "/echo").await["client"], "192.0.2.7");
}
