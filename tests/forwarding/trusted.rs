//! Proxies in front that are believed, and others.

use super::{echo, live, values};
use crate::support::{Backend, RawClient, Tidegate};

#[tokio::test]
async fn a_trusted_proxy_is_believed_and_added_to() {
    let backend = Backend::start("one").await;
    let config = "trusted: [ 127.0.0.2, 10.0.0.0/8 ], forwarded: true";
    let tidegate = Tidegate::new(&live(backend.addr(), config, "")).start().await;
    let lines = [
        "x-forwarded-for: 6.6.6.6, 192.0.2.7",
        "x-forwarded-for: 10.1.1.1",
        "x-forwarded-proto: https",
        "x-forwarded-host: front.example.com",
        "x-forwarded-port: 443",
        "forwarded: for=192.0.2.7;proto=https",
    ];
    let mut proxy = RawClient::connect_from("127.0.0.2", tidegate.addr("http")).await;
    let seen = echo(&mut proxy, &lines).await;
    assert_eq!(values(&seen, "x-forwarded-for"), ["6.6.6.6, 192.0.2.7, 10.1.1.1, 127.0.0.2"]);
    assert_eq!(values(&seen, "x-forwarded-proto"), ["https"]);
    assert_eq!(values(&seen, "x-forwarded-host"), ["front.example.com"]);
    assert_eq!(values(&seen, "x-forwarded-port"), ["443"]);
    let own = "for=127.0.0.2;proto=http;host=\"shop.example.com:81\"";
    assert_eq!(values(&seen, "forwarded"), [format!("for=192.0.2.7;proto=https, {own}")]);
    assert_eq!(tidegate.logged(|line| line["path"] == "/echo").await["client"], "192.0.2.7");
    let to = proxy.ask("GET /to HTTP/1.1\r\nhost: h:81\r\nx-forwarded-proto: https\r\n\r\n").await;
    assert_eq!(to.header("location"), Some("https://h:81/x"));

    // One header may be all that the proxy writes; the other one is made of it.
    let seen = echo(&mut proxy, &["forwarded: for=\"[2001:db8::7]:99\";proto=https;host=f"]).await;
    assert_eq!(values(&seen, "x-forwarded-for"), ["2001:db8::7, 127.0.0.2"]);
    assert_eq!(values(&seen, "x-forwarded-host"), ["f"]);
    let seen = echo(&mut proxy, &["x-forwarded-for: 2001:db8::7"]).await;
    assert_eq!(values(&seen, "forwarded"), [format!("for=\"[2001:db8::7]\";proto=http, {own}")]);

    let mut stranger = RawClient::connect(tidegate.addr("http")).await;
    let seen = echo(&mut stranger, &lines).await;
    assert_eq!(values(&seen, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(values(&seen, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&seen, "x-forwarded-host"), ["shop.example.com:81"]);
    assert_eq!(values(&seen, "x-forwarded-port"), [""; 0]);
    assert_eq!(values(&seen, "forwarded"), ["for=127.0.0.1;proto=http;host=\"shop.example.com:81\""]);
    tidegate.logged(|line| line["client"] == "127.0.0.1").await;
    let to = stranger.ask("GET /to HTTP/1.1\r\nhost: h\r\nx-forwarded-proto: https\r\n\r\n").await;
    assert_eq!(to.header("location"), Some("http://h/x"));
}

/// Whatever a client writes, it can't make itself another one.
#[tokio::test]
async fn nobody_chooses_an_address() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&live(backend.addr(), "trusted: [ 127.0.0.2 ]", "")).start().await;
    let mut proxy = RawClient::connect_from("127.0.0.2", tidegate.addr("http")).await;
    // The proxy adds 192.0.2.7 to what came.
    for (at, came) in
        ["6.6.6.6", "\"6.6.6.6", "for=6.6.6.6", "6.6.6.6:1, [::1]:2", "127.0.0.2", ",,", "\t", "_x, unknown"]
            .iter()
            .enumerate()
    {
        let request = format!(
            "GET /{at} HTTP/1.1\r\nhost: h\r\nforwarded: for=6.6.6.6\r\nx-forwarded-for: {came}, 192.0.2.7\r\n\r\n"
        );
        assert_eq!(proxy.ask(request).await.status, 200);
        let line = tidegate.logged(|line| line["path"] == format!("/{at}")).await;
        assert_eq!(line["client"], "192.0.2.7", "{came}");
    }
}

#[tokio::test]
async fn a_split_by_address_sees_the_client_behind_the_proxy() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let live = format!(
        r#"forwarding: {{ trusted: [ 127.0.0.0/8 ] }}
clusters:
  a: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }} }}
  b: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }} }}
routes:
  - {{ name: all, split: {{ key: [ source_ip ], variants: [ {{ name: a, cluster: a, weight: 1 }}, {{ name: b, cluster: b, weight: 1 }} ] }} }}
"#,
        a.addr(),
        b.addr()
    );
    let tidegate = Tidegate::new(&live).start().await;
    let mut proxy = RawClient::connect(tidegate.addr("http")).await;
    let mut seen = Vec::new();
    for round in 0..2 {
        for client in 0..40 {
            let request = format!("GET / HTTP/1.1\r\nhost: h\r\nx-forwarded-for: 192.0.2.{client}\r\n\r\n");
            let name = proxy.ask(request).await.text();
            match round {
                0 => seen.push(name),
                _ => assert_eq!(seen[client], name, "{client}"),
            }
        }
    }
    let of_a = seen.iter().filter(|name| *name == "a").count();
    assert!((5..=35).contains(&of_a), "{of_a} of 40");
}
