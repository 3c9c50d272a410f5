//! DNS clusters against a server that answers by script, and against real Consul.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;
use tidegate::config::live::Dns;
use tidegate::config::value::Span;
use tidegate::discovery::dns::{DnsSource, Heard};
use tidegate::endpoint::Member;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use self::support::dns::{Act, Asked, FakeDns, Transports, address, cname, srv};
use self::support::{consul_binary, eventually, http, ports};

const SOON: Duration = Duration::from_secs(15);

/// A source at work, and what it tells.
struct Watched {
    heard: mpsc::UnboundedReceiver<Heard>,
    _stop: watch::Sender<bool>,
}

impl Watched {
    /// A cluster of A and AAAA records with port 80.
    fn addresses(name: &str, resolvers: &[SocketAddr]) -> Self {
        Self::start(name, Some(80), resolvers)
    }

    fn srv(name: &str, resolvers: &[SocketAddr]) -> Self {
        Self::start(name, None, resolvers)
    }

    fn start(name: &str, port: Option<u16>, resolvers: &[SocketAddr]) -> Self {
        let srv = port.is_none();
        let spec =
            Dns { name: name.into(), port, srv, resolvers: resolvers.to_vec(), min_ttl: Span::millis(100) };
        let source = DnsSource::new(&spec).unwrap();
        let (out, heard) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(async move {
            source.watch(|what, _| drop(out.send(what)), stopped).await;
        });
        Self { heard, _stop: stop }
    }

    async fn next(&mut self) -> Heard {
        timeout(SOON, self.heard.recv()).await.expect("something is heard in time").unwrap()
    }

    /// The next set, whatever is told before it.
    async fn members(&mut self) -> Vec<Member> {
        loop {
            if let Heard::Members(members) = self.next().await {
                return members.to_vec();
            }
        }
    }

    async fn failed(&mut self) -> (&'static str, String) {
        match self.next().await {
            Heard::Failed { kind, why } => (kind, why),
            other => panic!("not a failure: {other:?}"),
        }
    }
}

fn only_a(asked: &Asked, act: Act) -> Act {
    if asked.kind == RecordType::A { act } else { Act::Answer(vec![], vec![]) }
}

fn ips(members: &[Member]) -> Vec<String> {
    members.iter().map(|m| m.address.to_string()).collect()
}

#[tokio::test]
async fn every_address_counts_over_tcp_though_udp_would_hide_most_without_a_word() {
    // As Consul does: three over UDP and no truncation bit, all over TCP.
    let server = FakeDns::start(|asked| {
        let count = if asked.tcp { 200 } else { 3 };
        let answers = (1..=count).map(|i| address("web.test.", 0, IpAddr::from([10, 0, 1, i]))).collect();
        only_a(asked, Act::Answer(answers, vec![]))
    })
    .await;
    let mut watched = Watched::addresses("web.test", &[server.addr]);
    assert_eq!(watched.members().await.len(), 200);
    assert_eq!(watched.next().await, Heard::Unchanged);
    assert!(server.asked().iter().all(|a| a.tcp));
}

#[tokio::test]
async fn where_tcp_is_closed_udp_is_asked() {
    let server = FakeDns::start_with(Transports::UdpOnly, |asked| {
        let own = if asked.kind == RecordType::A {
            address("web.test.", 0, IpAddr::from([10, 0, 0, 1]))
        } else {
            address("web.test.", 0, "fd00::1".parse::<IpAddr>().unwrap())
        };
        Act::Answer(vec![own], vec![])
    })
    .await;
    let mut watched = Watched::addresses("web.test", &[server.addr]);
    assert_eq!(ips(&watched.members().await), ["10.0.0.1:80", "[fd00::1]:80"]);
    assert_eq!(watched.next().await, Heard::Unchanged);
}

#[tokio::test]
async fn where_tcp_is_silent_its_time_out_is_waited_for_once() {
    let server = FakeDns::start(|asked| {
        let answer = Act::Answer(vec![address("web.test.", 0, IpAddr::from([10, 0, 0, 1]))], vec![]);
        if asked.tcp { Act::Silence } else { only_a(asked, answer) }
    })
    .await;
    let mut watched = Watched::addresses("web.test", &[server.addr]);
    assert_eq!(ips(&watched.members().await), ["10.0.0.1:80"]);
    for _ in 0..3 {
        assert_eq!(watched.next().await, Heard::Unchanged);
    }
    assert_eq!(server.asked().iter().filter(|a| a.tcp).count(), 2, "once for A, once for AAAA");
}

#[tokio::test]
async fn once_tcp_has_answered_udp_is_not_believed() {
    // A server whose TCP goes silent while UDP goes on with a part of the answer.
    let server = FakeDns::start(|asked| {
        let all = [1, 2, 3].map(|i| address("web.test.", 0, IpAddr::from([10, 0, 0, i])));
        match (asked.tcp, asked.nth) {
            (true, 0) => only_a(asked, Act::Answer(all.to_vec(), vec![])),
            (true, _) => Act::Silence,
            (false, _) => only_a(asked, Act::Answer(all[..1].to_vec(), vec![])),
        }
    })
    .await;
    let mut watched = Watched::addresses("web.test", &[server.addr]);
    assert_eq!(watched.members().await.len(), 3);
    assert_eq!(watched.failed().await.0, "timeout");
    assert!(server.asked().iter().all(|a| a.tcp));
}

#[tokio::test]
async fn a_truncated_answer_is_never_taken_for_the_whole() {
    let some = || vec![address("web.test.", 0, IpAddr::from([10, 0, 0, 1]))];
    let udp = FakeDns::start_with(Transports::UdpOnly, move |_| Act::Truncated(some())).await;
    let (kind, why) = Watched::addresses("web.test", &[udp.addr]).failed().await;
    assert_eq!(kind, "truncated", "{why}");
    let both = FakeDns::start(move |_| Act::Truncated(some())).await;
    let (kind, why) = Watched::addresses("web.test", &[both.addr]).failed().await;
    assert_eq!(kind, "truncated", "{why}");
    assert!(both.asked().iter().all(|a| a.tcp), "UDP holds less than TCP");
}

#[tokio::test]
async fn a_change_is_seen_when_the_ttl_is_over_and_not_before() {
    let server = FakeDns::start(|asked| {
        let (ttl, last) = if asked.nth == 0 { (1, 1) } else { (0, 2) };
        only_a(asked, Act::Answer(vec![address("web.test.", ttl, IpAddr::from([10, 0, 0, last]))], vec![]))
    })
    .await;
    let mut watched = Watched::addresses("web.test", &[server.addr]);
    assert_eq!(ips(&watched.members().await), ["10.0.0.1:80"]);
    let begin = tokio::time::Instant::now();
    assert_eq!(ips(&watched.members().await), ["10.0.0.2:80"]);
    assert!(begin.elapsed() >= Duration::from_millis(900), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn failures_are_told_by_kind_and_nothing_becomes_empty() {
    for (act, kind) in [
        (Act::Code(ResponseCode::ServFail), "servfail"),
        (Act::Code(ResponseCode::Refused), "refused"),
        (Act::Code(ResponseCode::NotImp), "rcode"),
        (Act::Garbage(vec![1, 2, 3]), "timeout"),
    ] {
        let server = FakeDns::start(move |_| act.clone()).await;
        let (told, why) = Watched::addresses("web.test", &[server.addr]).failed().await;
        assert_eq!(told, kind, "{why}");
        assert!(why.contains("web.test"), "{why}");
    }
    let closed = ports::free_addr();
    let (told, why) = Watched::addresses("web.test", &[closed]).failed().await;
    assert_eq!(told, "network", "{why}");
}

#[tokio::test]
async fn silence_is_a_time_out_within_its_bounds() {
    let server = FakeDns::start(|_| Act::Silence).await;
    let begin = tokio::time::Instant::now();
    let (kind, why) = Watched::addresses("web.test", &[server.addr]).failed().await;
    assert_eq!(kind, "timeout", "{why}");
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn the_second_resolver_is_asked_when_the_first_cannot_tell_and_not_otherwise() {
    let good = FakeDns::start(|asked| {
        only_a(asked, Act::Answer(vec![address("web.test.", 0, IpAddr::from([10, 0, 0, 2]))], vec![]))
    })
    .await;
    let refuses = FakeDns::start(|_| Act::Code(ResponseCode::Refused)).await;
    for first in [refuses.addr, ports::free_addr()] {
        let mut watched = Watched::addresses("web.test", &[first, good.addr]);
        assert_eq!(ips(&watched.members().await), ["10.0.0.2:80"]);
    }
    let silent = FakeDns::start(|_| Act::Silence).await;
    let mut watched = Watched::addresses("web.test", &[silent.addr, good.addr]);
    assert_eq!(watched.members().await.len(), 1);
    let asked = silent.asked().len();
    for _ in 0..3 {
        assert_eq!(watched.next().await, Heard::Unchanged);
    }
    assert_eq!(silent.asked().len(), asked, "its time-outs are paid once");
    let second = FakeDns::start(|_| Act::NoName(0)).await;
    let says_no = FakeDns::start(|_| Act::NoName(0)).await;
    let mut watched = Watched::addresses("web.test", &[says_no.addr, second.addr]);
    assert!(watched.members().await.is_empty(), "NXDOMAIN is an answer");
    assert!(second.asked().is_empty());
}

#[tokio::test]
async fn nxdomain_is_an_empty_set_and_a_failure_after_it_is_not_a_change() {
    let server = FakeDns::start(|asked| match asked.nth {
        0 => only_a(asked, Act::Answer(vec![address("web.test.", 0, IpAddr::from([10, 0, 0, 1]))], vec![])),
        1 => Act::NoName(0),
        _ => Act::Code(ResponseCode::ServFail),
    })
    .await;
    let mut watched = Watched::addresses("web.test", &[server.addr]);
    assert_eq!(watched.members().await.len(), 1);
    assert!(watched.members().await.is_empty());
    assert_eq!(watched.failed().await.0, "servfail");
}

#[tokio::test]
async fn chains_of_names_are_followed_inside_an_answer_and_across_answers() {
    let server = FakeDns::start(|asked| match asked.name.as_str() {
        "web.test." => only_a(asked, Act::Answer(vec![cname("web.test.", 60, "alias.test.")], vec![])),
        "alias.test." => {
            let chain = [
                cname("alias.test.", 60, "HOST.test."),
                address("host.test.", 60, IpAddr::from([10, 0, 0, 7])),
            ];
            only_a(asked, Act::Answer(chain.to_vec(), vec![]))
        }
        _ => Act::NoName(0),
    })
    .await;
    assert_eq!(ips(&Watched::addresses("web.test", &[server.addr]).members().await), ["10.0.0.7:80"]);
}

#[tokio::test]
async fn srv_brings_port_and_weight_of_the_lowest_priority() {
    let server = FakeDns::start(|asked| match (asked.name.as_str(), asked.kind) {
        ("_web._tcp.test.", RecordType::SRV) => Act::Answer(
            vec![
                srv("_web._tcp.test.", 0, 20, 9, 9000, "spare.test."),
                srv("_web._tcp.test.", 0, 10, 0, 9001, "a.test."),
                srv("_web._tcp.test.", 0, 10, 60, 9002, "b.test."),
            ],
            vec![address("a.test.", 0, IpAddr::from([10, 0, 0, 1]))],
        ),
        ("b.test.", RecordType::A) => {
            Act::Answer(vec![address("b.test.", 0, IpAddr::from([10, 0, 0, 2]))], vec![])
        }
        ("b.test.", _) => Act::Answer(vec![], vec![]),
        other => panic!("nobody should ask for {other:?}"),
    })
    .await;
    let members = Watched::srv("_web._tcp.test", &[server.addr]).members().await;
    let seen: Vec<_> =
        members.iter().map(|m| (m.address.to_string(), m.weight, m.labels.node.clone())).collect();
    let expected = [("10.0.0.1:9001", 1, "a.test"), ("10.0.0.2:9002", 60, "b.test")];
    assert_eq!(seen, expected.map(|(a, w, n)| (a.to_string(), w, n.to_string())));
}

#[tokio::test]
async fn the_systems_hosts_file_answers_for_localhost() {
    let members = Watched::addresses("localhost", &[]).members().await;
    assert!(members.iter().any(|m| m.address == ([127, 0, 0, 1], 80).into()), "{members:?}");
}

/// `consul agent -dev` with DNS on.
struct Agent {
    child: Child,
    http: u16,
    dns: SocketAddr,
    client: reqwest::Client,
    _data: tempfile::TempDir,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Agent {
    async fn start() -> Option<Self> {
        let binary = consul_binary()?;
        let data = tempfile::tempdir().unwrap();
        let (http, dns) = (ports::free_port(), ports::free_addr());
        let child = Command::new(binary)
            .args(["agent", "-dev", "-node=t", "-bind=127.0.0.1", "-client=127.0.0.1", "-log-level=warn"])
            .args(["-grpc-port=-1", "-serf-wan-port=-1"])
            .arg(format!("-http-port={http}"))
            .arg(format!("-dns-port={}", dns.port()))
            .arg(format!("-serf-lan-port={}", ports::free_port()))
            .arg(format!("-server-port={}", ports::free_port()))
            .env("GOMAXPROCS", "1")
            .current_dir(data.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let agent = Self { child, http, dns, client: http::client(), _data: data };
        eventually(Duration::from_secs(20), async || {
            let leader =
                agent.client.get(agent.url("status/leader")).send().await.map_err(|e| e.to_string())?;
            let text = leader.text().await.map_err(|e| e.to_string())?;
            if text.len() > 4 { Ok(()) } else { Err(format!("leader: {text}")) }
        })
        .await;
        Some(agent)
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/v1/{path}", self.http)
    }

    async fn register(&self, i: u16) {
        let body = serde_json::json!({
            "Name": "api", "ID": format!("api-{i}"), "Address": format!("127.0.0.{i}"), "Port": 9000 + i,
            "Weights": { "Passing": i, "Warning": 1 },
        });
        self.put("agent/service/register", &body).await;
    }

    async fn put(&self, path: &str, body: &serde_json::Value) {
        let answer = self.client.put(self.url(path)).json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn real_consul_gives_all_eight_instances_and_their_going() {
    let Some(agent) = Agent::start().await else { return };
    for i in 1..=8 {
        agent.register(i).await;
    }
    let mut by_address = Watched::addresses("api.service.consul", &[agent.dns]);
    let mut by_srv = Watched::srv("api.service.consul", &[agent.dns]);
    let first: BTreeSet<_> = ips(&by_address.members().await).into_iter().collect();
    assert_eq!(first, (1..=8).map(|i| format!("127.0.0.{i}:80")).collect());
    let seen: BTreeSet<_> =
        by_srv.members().await.iter().map(|m| (m.address.to_string(), m.weight)).collect();
    assert_eq!(seen, (1..=8).map(|i| (format!("127.0.0.{i}:{}", 9000 + i), i)).collect());

    // Quiet rounds: with a subset drawn anew each would be a change.
    for _ in 0..10 {
        assert_eq!(by_address.next().await, Heard::Unchanged);
    }
    agent.put("agent/service/deregister/api-3", &serde_json::Value::Null).await;
    for watched in [&mut by_address, &mut by_srv] {
        let members = watched.members().await;
        assert_eq!(members.len(), 7);
        assert!(members.iter().all(|m| m.address.ip() != IpAddr::from([127, 0, 0, 3])));
    }
    for i in [1, 2, 4, 5, 6, 7, 8] {
        agent.put(&format!("agent/service/deregister/api-{i}"), &serde_json::Value::Null).await;
    }
    eventually(SOON, async || match by_srv.members().await.len() {
        0 => Ok(()),
        more => Err(format!("{more} are left")),
    })
    .await;
}

#[tokio::test]
async fn real_consul_gives_a_hundred_instances_that_no_datagram_holds() {
    // Over UDP with 1232 bytes it gives 74 A or 19 SRV records, at random, and no truncation bit.
    let Some(agent) = Agent::start().await else { return };
    for i in 1..=100 {
        agent.register(i).await;
    }
    let mut by_address = Watched::addresses("api.service.consul", &[agent.dns]);
    let mut by_srv = Watched::srv("api.service.consul", &[agent.dns]);
    assert_eq!(by_address.members().await.len(), 100);
    assert_eq!(by_srv.members().await.len(), 100);
    assert_eq!(by_srv.next().await, Heard::Unchanged);
}

#[tokio::test]
async fn a_dead_consul_is_a_failure_and_not_an_empty_set() {
    let Some(mut agent) = Agent::start().await else { return };
    agent.register(1).await;
    let mut watched = Watched::srv("api.service.consul", &[agent.dns]);
    assert_eq!(watched.members().await.len(), 1);
    agent.child.kill().unwrap();
    loop {
        match watched.next().await {
            Heard::Unchanged => {}
            Heard::Failed { kind, .. } => break assert_eq!(kind, "network"),
            Heard::Members(members) => panic!("a set from a dead agent: {members:?}"),
        }
    }
}
