//! Certificates of clients: required, asked for, and what of them reaches routes and endpoints.

use crate::kit::{get, tls};
use crate::support::{Authority, Backend, Issued, Tidegate, TidegateProcess, curl};

const ID: &str = "spiffe://shop.test/ns/a/sa/web";

/// A Tidegate that sends those whose SPIFFE ID is known to one backend, and others to another.
async fn start(
    known: &Backend,
    others: &Backend,
    server: &Issued,
    mode: &str,
    ca: &Authority,
) -> TidegateProcess {
    let live = format!(
        "clusters:\n  known: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }} }}\n  others: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }} }}\nroutes:\n  - {{ name: known, match: {{ headers: [ {{ name: x-tidegate-client-spiffe-id, exact: '{ID}' }} ] }}, cluster: known }}\n  - {{ name: others, cluster: others }}\n",
        known.addr(),
        others.addr()
    );
    let auth = format!(", client_auth: {{ mode: {mode}, ca: '{}' }}", ca.ca().display());
    Tidegate::new(&live).listener("clear").listener_key("http", &tls(&[server], &auth)).start().await
}

fn with(issued: &Issued) -> [&str; 4] {
    ["--cert", issued.cert.to_str().unwrap(), "--key", issued.key.to_str().unwrap()]
}

fn header<'a>(echo: &'a serde_json::Value, name: &str) -> Vec<&'a str> {
    echo["headers"][name].as_array().into_iter().flatten().map(|value| value.as_str().unwrap()).collect()
}

/// What a client says of itself.
const LIES: [&str; 6] = [
    "-H",
    "x-tidegate-client-spiffe-id: spiffe://shop.test/ns/a/sa/web",
    "-H",
    "X-Forwarded-Client-Cert: Hash=1;URI=spiffe://shop.test/ns/a/sa/web",
    "-H",
    "x-tidegate-client-subject: CN=root",
];

#[tokio::test]
async fn who_has_no_valid_certificate_gets_no_handshake_where_one_is_required() {
    let (known, others) = (Backend::start("known").await, Backend::start("others").await);
    let (servers, clients, strangers) =
        (Authority::new(), Authority::named("clients"), Authority::named("strangers"));
    let server = servers.issue(&["a.test"]);
    let tidegate = start(&known, &others, &server, "require", &clients).await;
    let addr = tidegate.addr("http");
    let good = clients.leaf(&[]).uri(ID).common_name("web, one").issue();
    for version in ["1.2", "1.3"] {
        let args = [&with(&good)[..], &["--tls-max", version], &LIES].concat();
        let got = get(addr, "a.test", &servers.ca(), &args).await;
        assert_eq!(got.status, 200, "{got:?}");
        let echo = got.json();
        assert_eq!(echo["backend"], "known", "{echo}");
        assert_eq!(header(&echo, "x-tidegate-client-spiffe-id"), [ID]);
        assert_eq!(header(&echo, "x-tidegate-client-subject"), ["CN=web\\, one"]);
        let forwarded = header(&echo, "x-forwarded-client-cert");
        assert_eq!(forwarded.len(), 1, "{echo}");
        let parts: Vec<_> = forwarded[0].split(';').collect();
        assert!(parts[0].starts_with("Hash=") && parts[0].len() == 5 + 64, "{parts:?}");
        assert_eq!(parts[1..], ["Subject=\"CN=web\\, one\"", &format!("URI={ID}")]);
    }
    let stranger = strangers.leaf(&[]).uri(ID).issue();
    let old = clients.leaf(&[]).uri(ID).valid(-7200, -3600).issue();
    for args in [&[][..], &with(&stranger), &with(&old)] {
        let got = get(addr, "a.test", &servers.ca(), args).await;
        assert_eq!(got.status, 0, "{args:?}: {got:?}");
        assert!(got.log.contains("alert") || got.code == 56, "{args:?}: {got:?}");
    }
    let refused = tidegate.metric("tidegate_tls_handshakes_total", &["result=\"client_cert\""]).await;
    assert_eq!(refused, 3.0);
}

#[tokio::test]
async fn http2_knows_its_client_too() {
    let (known, others) = (Backend::start("known").await, Backend::start("others").await);
    let (servers, clients) = (Authority::new(), Authority::named("clients"));
    let server = servers.issue(&["a.test"]);
    let tidegate = start(&known, &others, &server, "require", &clients).await;
    let good = clients.leaf(&[]).uri(ID).issue();
    let args = [&with(&good)[..], &["--http2"], &LIES].concat();
    let got = get(tidegate.addr("http"), "a.test", &servers.ca(), &args).await;
    assert!(got.head.starts_with("HTTP/2 200"), "{got:?}");
    let echo = got.json();
    assert_eq!(echo["backend"], "known", "{echo}");
    assert_eq!(header(&echo, "x-tidegate-client-spiffe-id"), [ID]);
    assert_eq!(header(&echo, "x-forwarded-proto"), ["https"]);
    let line = tidegate.logged(|line| line["protocol"] == "HTTP/2").await;
    assert_eq!(line["sni"], "a.test", "{line}");
}

#[tokio::test]
async fn where_one_is_asked_for_a_client_may_have_none_and_none_that_is_not_valid() {
    let (known, others) = (Backend::start("known").await, Backend::start("others").await);
    let (servers, clients) = (Authority::new(), Authority::named("clients"));
    let server = servers.issue(&["a.test"]);
    let tidegate = start(&known, &others, &server, "request", &clients).await;
    let addr = tidegate.addr("http");
    let got = get(addr, "a.test", &servers.ca(), &LIES).await;
    let echo = got.json();
    assert_eq!(echo["backend"], "others", "{echo}");
    let clear = format!("http://{}/echo", tidegate.addr("clear"));
    let plain = curl(&[&LIES[..], &[&clear]].concat()).await.json();
    for echo in [echo, plain] {
        assert_eq!(echo["backend"], "others", "{echo}");
        for name in ["x-forwarded-client-cert", "x-tidegate-client-spiffe-id", "x-tidegate-client-subject"] {
            assert!(header(&echo, name).is_empty(), "{name}: {echo}");
        }
    }
    let good = clients.leaf(&[]).uri(ID).issue();
    let got = get(addr, "a.test", &servers.ca(), &with(&good)).await;
    assert_eq!(got.json()["backend"], "known");
    // Two URIs are no SPIFFE ID.
    let two = clients.leaf(&[]).uri(ID).uri("spiffe://shop.test/b").issue();
    let got = get(addr, "a.test", &servers.ca(), &with(&two)).await;
    assert_eq!(got.json()["backend"], "others");
    let stranger = Authority::named("strangers").leaf(&[]).uri(ID).issue();
    let got = get(addr, "a.test", &servers.ca(), &with(&stranger)).await;
    assert_eq!(got.status, 0, "{got:?}");
}

/// A session that began with an authority that is no longer trusted must not go on.
#[tokio::test]
async fn other_authorities_end_the_sessions_of_the_old() {
    use crate::kit::{SOON, s_client, says};
    let (known, others) = (Backend::start("known").await, Backend::start("others").await);
    let (servers, clients, next) = (Authority::new(), Authority::named("clients"), Authority::named("next"));
    let server = servers.issue(&["a.test"]);
    let tidegate = start(&known, &others, &server, "require", &clients).await;
    let addr = tidegate.addr("http");
    let good = clients.leaf(&[]).uri(ID).issue();
    let kept = clients.dir().join("session");
    let (cert, key, kept) = (good.cert.to_str().unwrap(), good.key.to_str().unwrap(), kept.to_str().unwrap());
    for (arg, said) in [("-sess_out", "New, "), ("-sess_in", "Reused, ")] {
        let seen = s_client(addr, &["-tls1_2", "-cert", cert, "-key", key, arg, kept]).await;
        assert!(says(&seen, said) && seen.contains("HTTP/1.1 200 OK"), "{seen}");
        assert!(seen.contains(ID), "{seen}");
    }
    std::fs::copy(next.ca(), clients.ca()).unwrap();
    crate::support::eventually(SOON, async || {
        let seen = s_client(addr, &["-tls1_2", "-cert", cert, "-key", key, "-sess_in", kept]).await;
        if seen.contains("HTTP/1.1 200 OK") { Err(seen) } else { Ok(()) }
    })
    .await;
}
